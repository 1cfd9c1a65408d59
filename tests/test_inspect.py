"""Inspect logs become traces: archives and documents alike, every sample a row, broken ones named."""
import json
import subprocess
import sys
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracekit.dataset import Dataset
from tracekit.pipeline import convert
from tracekit.source import InputError


def sample(n, **more):
    "A sample with two calls, one of which failed"
    said = [{"id": "a", "role": "system", "content": "You add."}, {"id": "b", "role": "user", "content": "attachment://q"},
            {"id": "c", "role": "assistant", "content": "", "model": "m/x", "tool_calls": [{"id": "k1", "function": "add", "arguments": {"x": n}, "type": "function"},
             {"id": "k2", "function": "broken", "arguments": {}, "type": "function"}]},
            {"id": "d", "role": "tool", "tool_call_id": "k2", "function": "broken", "content": "", "error": {"type": "timeout", "message": "too slow"}},
            {"id": "e", "role": "tool", "tool_call_id": "k1", "function": "add", "content": [{"type": "text", "text": str(n + 1)}]},
            {"id": "f", "role": "assistant", "content": [{"type": "reasoning", "reasoning": "Easy."}, {"type": "text", "text": f"It is {n + 1}."}]}]
    events = [{"event": "model", "timestamp": "2026-02-03T10:00:01+00:00", "output": {"usage": {"input_tokens": 5, "output_tokens": 2}, "choices": [{"message": {"id": "f"}, "stop_reason": "stop"}]}}]
    return {"id": f"s{n}", "epoch": 1, "input": "q", "target": "t", "messages": said, "output": {"model": "m/x", "choices": []}, "scores": {"acc": {"value": 1}}, "metadata": {}, "store": {},
            "events": events, "attachments": {"q": "What?"}, "model_usage": {"m/x": {"input_tokens": 5, "output_tokens": 2, "total_tokens": 7}}, "total_time": 1.5, "uuid": f"u{n}", **more}


HEAD = {"version": 2, "status": "success", "eval": {"task": "sums", "model": "m/x", "run_id": "r"}, "plan": {}, "stats": {}}


def archive(path, samples, head=HEAD, packed=zipfile, method=zipfile.ZIP_DEFLATED):
    "An .eval archive as Inspect writes it"
    with packed.ZipFile(path, "w", method) as z:
        z.writestr("_journal/start.json", json.dumps({k: HEAD[k] for k in ("version", "eval", "plan")}))
        for s in samples: z.writestr(f"samples/{s['id']}_epoch_1.json", json.dumps(s, indent=1))
        z.writestr("summaries.json", "[]")
        if head: z.writestr("header.json", json.dumps(head, indent=2))
    return path


def rows_of(path, out):
    report = convert(path, out, audit=True, progress=False)
    return report, list(Dataset(report.files[0]).plain()) if report.rows else []


def test_all_layouts_say_the_same(tmp_path, oracle, shared):
    "A document, an archive packed the old way and one packed with zstd; the platform accepts them"
    if sys.version_info >= (3, 14): zstd = zipfile
    else: from backports.zstd import zipfile as zstd
    samples = [sample(n) for n in range(3)]
    (tmp_path/"log.json").write_text(json.dumps({**HEAD, "samples": samples, "reductions": []}))
    paths = [tmp_path/"log.json", archive(tmp_path/"old.eval", samples), archive(tmp_path/"new.eval", samples, packed=zstd, method=93)]
    found, files = [], []
    for path in paths:
        report, rows = rows_of(path, tmp_path/path.stem)
        assert report.formats == {"inspect": 1} and (report.rows, report.rejected, report.unnamed) == (3, 0, {})
        files += report.files
        for row in rows: row["trace"]["metadata"]["source_uri"] = None
        found.append(rows)
    assert found[0] == found[1] == found[2]
    said = subprocess.run([oracle, str(shared/"oracle/aigo.py"), *map(str, files), "--strict"], capture_output=True, text=True)
    assert "ORACLE OK" in said.stdout.splitlines()[-1], said.stdout


def test_a_sample_is_mapped(tmp_path):
    "Results find their calls out of order; the error is the failed one's"
    _, [row] = rows_of(archive(tmp_path/"x.eval", [sample(1)]), tmp_path/"out")
    items = row["trace"]["items"]
    outputs = {i["call_id"]: i for i in items if i["type"] == "function_call_output"}
    calls = {i["name"]: outputs[i["call_id"]] for i in items if i["type"] == "function_call"}
    assert (calls["add"]["output"], calls["add"]["status"], calls["broken"]["output"], calls["broken"]["status"]) == ("2", "completed", "too slow", "incomplete")
    assert items[1]["content"][0]["text"] == "What?" and items[-1]["usage"]["prompt_tokens"] == 5 and items[-1]["content"][0]["type"] == "reasoning_text"
    assert (row["sample_id"], row["epoch"], row["task"], row["trace"]["metadata"]["total_tokens"]) == ("s1", 1, "sums", 7)


def test_a_run_that_broke_off(tmp_path):
    "Its samples are rows, and one reject says that the header is missing"
    report, rows = rows_of(archive(tmp_path/"x.eval", [sample(1)], head=None), tmp_path/"out")
    assert len(rows) == 1 and rows[0]["task"] == "sums" and report.rejected == 1 and "broke off" in report.rejects[0]["cause"]


@pytest.mark.parametrize("name, data, told", [("no.eval", b"PK\x03\x04 no zip", "inspect_ai"), ("text.eval", b"hello", "inspect_ai")])
def test_what_is_no_archive(name, data, told, tmp_path):
    (tmp_path/name).write_bytes(data)
    with pytest.raises(InputError, match=told): convert(tmp_path/name, tmp_path/"out", progress=False)


def test_an_empty_archive(tmp_path):
    with zipfile.ZipFile(tmp_path/"x.eval", "w") as z: z.writestr("readme.txt", "hm")
    with pytest.raises(InputError, match="no header"): convert(tmp_path/"x.eval", tmp_path/"out", progress=False)


def test_a_folder_of_archives(tmp_path):
    "Found like any other log"
    (tmp_path/"logs").mkdir()
    for n in range(2): archive(tmp_path/"logs"/f"{n}.eval", [sample(n)])
    assert convert(tmp_path/"logs", tmp_path/"out", progress=False).rows == 2


def test_broken_samples_cost_only_themselves(tmp_path):
    odd = [sample(0), sample(1, messages="none"), sample(2, messages=[7]), sample(3, messages=[{"role": "critic"}]), sample(4)]
    report, rows = rows_of(archive(tmp_path/"x.eval", odd), tmp_path/"out")
    assert [r["sample_id"] for r in rows] == ["s0", "s4"] and report.rejected == 3 and all("Error" not in r["cause"] for r in report.rejects)


JSON = st.recursive(st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3), max_leaves=6)
MESSAGE = st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant", "tool", "system"])}, optional={name: JSON for name in ("id", "content", "tool_calls", "tool_call_id", "error", "source", "model", "reasoning")})


@settings(max_examples=60)
@given(st.fixed_dictionaries({"id": JSON, "epoch": JSON, "messages": st.lists(MESSAGE, max_size=4), "scores": JSON},
                             optional={name: JSON for name in ("events", "attachments", "output", "model_usage", "started_at", "total_time", "error", "target", "metadata", "store", "uuid", "transcript")}))
def test_any_sample(tmp_path_factory, given):
    "A row, or a reject with a reason of ours"
    path = tmp_path_factory.mktemp("any")/"x.json"
    path.write_text(json.dumps({**HEAD, "samples": [given]}))
    report = convert(path, path.parent/"out", progress=False)
    assert report.rows + report.rejected == 1 and not [r for r in report.rejects if "Error:" in r["cause"]], report.rejects


def test_a_broken_sample_of_an_archive_costs_itself(tmp_path):
    "The others are rows, and the reject names it; if no sample is left, the archive is refused"
    path = archive(tmp_path/"x.eval", [sample(n) for n in range(3)])
    with zipfile.ZipFile(path) as z: at = {i.filename: i.header_offset for i in z.infolist()}
    data = bytearray(path.read_bytes())
    for name in ("samples/s1_epoch_1.json",): data[at[name] + 80:at[name] + 120] = b"\xff" * 40
    path.write_bytes(data)
    report, rows = rows_of(path, tmp_path/"out")
    assert (report.rows, report.rejected) == (2, 1) and "samples/s1_epoch_1.json cannot be unpacked" in report.rejects[0]["cause"]
