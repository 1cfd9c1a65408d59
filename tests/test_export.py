"""Export: whole or not at all, rows and rejects add up, exit codes as for convert."""
import json

import pytest
from click.testing import CliRunner

from tracekit.check import check
from tracekit.cli import main
from tracekit.convert import load_formats
from tracekit.export import export
from tracekit.pipeline import convert
from tracekit.row import line
from tracekit.source import InputError
from tracekit.trace import assistant, call, output, plain_metadata, plain_trace, user

SOUND = [user("2+2?"), call("c1", "add", '{"a": 2}', created_by="assistant"), output("c1", "4", created_by="assistant"), assistant("4.")]
BY_USER = [user("Off."), call("c1", "toggle", "{}", created_by="user"), output("c1", "on", created_by="user")]
WRITABLE = ["anthropic", "atif", "chat", "invariant", "responses", "trl"]


def dataset(folder, *traces):
    "A dataset of such items, one trace each; text is a line as it is"
    path = folder/"runs.jsonl"
    path.write_bytes(b"".join(t if isinstance(t, bytes) else line({"trace": plain_trace(t, plain_metadata(trace_id=f"r{n}")), "task_id": f"t{n}"}) for n, t in enumerate(traces)))
    return path


def test_these_formats_can_be_written(): assert set(WRITABLE) <= {f.name for f in load_formats().values() if f.write}


@pytest.mark.parametrize("to", WRITABLE)
def test_rows_and_rejects_add_up(tmp_path, to):
    "Good rows are written, what the format cannot say and what is no row is set aside"
    path = dataset(tmp_path, SOUND, BY_USER, b'{"trace": 7}\n', b"{oops\n", SOUND)
    done = export(path, to, tmp_path/"out.jsonl")
    rejects = [json.loads(text) for text in (tmp_path/"out.rejects.jsonl").read_text().splitlines()]
    assert done.read == 5 == done.rows + done.rejected and len(rejects) == done.rejected == (2 if to == "invariant" else 3)
    assert len((tmp_path/"out.jsonl").read_text().splitlines()) == done.rows
    assert [r["row"] for r in rejects][-2:] == [2, 3] and all(r["cause"] and r["stage"] for r in rejects)
    again = export(dataset(tmp_path, SOUND), to, tmp_path/"out.jsonl")
    assert (again.rows, again.rejected) == (1, 0) and not (tmp_path/"out.rejects.jsonl").exists(), "the rejects of an export before are gone"


@pytest.mark.parametrize("to", WRITABLE)
def test_what_is_written_is_read_again(tmp_path, to):
    "By the same format, which knows it without being told, with the same calls"
    export(dataset(tmp_path, SOUND, SOUND), to, tmp_path/"out.jsonl")
    report = convert(tmp_path/"out.jsonl", tmp_path/"again", progress=False)
    assert (report.rows, report.rejected, report.unnamed) == (2, 0, {})
    known = list(report.formats)[0]
    assert known in {"trl": ("chat",), "invariant": ("invariant", "chat"), "anthropic": ("anthropic",)}.get(to, (to,)), known
    for text in (tmp_path/"again/out.jsonl").read_text().splitlines():
        items = json.loads(text)["trace"]["items"]
        assert [i["type"] for i in items if i["type"] != "message"] == ["function_call", "function_call_output"]
        assert json.loads(items[1]["arguments"]) == {"a": 2} and items[2]["output"] == "4"


def test_json_is_one_document(tmp_path):
    "One row is the document, several are a list"
    export(dataset(tmp_path, SOUND), "atif", tmp_path/"one.json")
    export(dataset(tmp_path, SOUND, SOUND, SOUND), "atif", tmp_path/"many.json")
    assert json.loads((tmp_path/"one.json").read_text())["steps"] and len(json.loads((tmp_path/"many.json").read_text())) == 3


def test_an_upload_obeys_its_rules(tmp_path):
    "Rows of different uploads: what would be refused together is set aside"
    log = tmp_path/"log.jsonl"
    log.write_text('{"metadata": {"a": 1}}\n{"index": 3, "messages": []}\n{"index": 3, "messages": [{"role": "user", "content": "hi"}]}\n{"messages": []}\n{"index": 4, "messages": []}\n')
    assert [f.line for f in check(log)] == [3, 4]
    convert(log, tmp_path/"data", progress=False)
    done = export(tmp_path/"data/log.jsonl", "invariant", tmp_path/"upload.jsonl")
    assert (done.rows, done.rejected) == (2, 2) and [r["row"] for r in done.rejects] == [1, 2]
    assert check(tmp_path/"upload.jsonl") == [] and json.loads((tmp_path/"upload.jsonl").read_text().splitlines()[0]) == {"metadata": {"a": 1}}


def test_nothing_is_left_of_a_failure(tmp_path, monkeypatch):
    "The old file stays if the export breaks off"
    path, form = dataset(tmp_path, SOUND, SOUND), load_formats()["chat"]
    (tmp_path/"out.jsonl").write_text("old\n")
    def stop(row): raise KeyboardInterrupt
    monkeypatch.setattr(form, "write", stop)
    with pytest.raises(KeyboardInterrupt): export(path, "chat", tmp_path/"out.jsonl")
    assert (tmp_path/"out.jsonl").read_text() == "old\n" and len(list(tmp_path.iterdir())) == 2


def test_a_writer_that_crashes_costs_its_row_only(tmp_path, monkeypatch):
    path, form = dataset(tmp_path, SOUND, SOUND), load_formats()["chat"]
    right, calls = form.write, []
    monkeypatch.setattr(form, "write", lambda row: right(row) if calls.append(1) or len(calls) > 1 else 1 / 0)
    done = export(path, "chat", tmp_path/"out.jsonl")
    assert (done.rows, done.rejected) == (1, 1) and "ZeroDivisionError" in done.rejects[0]["cause"]


@pytest.mark.parametrize("name, to, out, cause", [("runs.jsonl", "chatt", "o.jsonl", "no format"), ("runs.jsonl", "tau2", "o.jsonl", "cannot be written"), ("none.jsonl", "chat", "o.jsonl", "no such"), ("runs.jsonl", "chat", "runs.jsonl", "dataset itself")])
def test_what_cannot_be_exported(tmp_path, name, to, out, cause):
    dataset(tmp_path, SOUND)
    with pytest.raises(InputError, match=cause): export(tmp_path/name, to, tmp_path/out)


def test_exit_codes(tmp_path):
    "0 for all, 3 for some set aside, 1 if it cannot be done, 2 on bad usage"
    path = dataset(tmp_path, SOUND)
    def code(*arguments): return CliRunner().invoke(main, ["export", *map(str, arguments)]).exit_code
    assert code(path, "--to", "chat", "-o", tmp_path/"o.jsonl") == 0
    assert code(path, "--to", "nope", "-o", tmp_path/"o.jsonl") == 1
    assert code(path) == 2
    assert code(dataset(tmp_path, SOUND, BY_USER), "--to", "chat", "-o", tmp_path/"o.jsonl") == 3


def test_the_sample_is_exported(sample, tmp_path):
    "Every conversation of the log that ships with tracekit goes to Explorer; chat refuses those whose users call tools, and says so"
    convert(sample, tmp_path, name="t", progress=False)
    rows = len((tmp_path/"t.jsonl").read_text().splitlines())
    assert export(tmp_path/"t.jsonl", "invariant", tmp_path/"u.jsonl").rows == rows
    done = export(tmp_path/"t.yaml", "chat", tmp_path/"c.jsonl")
    assert done.read == rows and all("called by the user" in r["cause"] for r in done.rejects)
