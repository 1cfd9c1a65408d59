"""Broken logs of every format: each record becomes a sound row or is set aside with its reason, and costs nobody else anything. `make trust` tries a million."""
import json
import random

import pytest
from conftest import LOGS, SAMPLE, logs, simulations
from fuzz import MUTATIONS, OTHERWISE, SEED, Failed, a_line, assert_reject_explains, assert_sound_row, cross, formats, fuzz, hypothesis_run, mutants, nest, sample_rows, small, text

from tracekit.convert import load_formats
from tracekit.dataset import Dataset
from tracekit.pipeline import convert
from tracekit.row import Row

LINES, LISTED = 10_000, 10_000
EACH = 600   # inputs of each format
FORMATS = sorted(load_formats())


@pytest.fixture(scope="module")
def seeds():
    "Sound records of every generation there is, by log"
    paths = [p for kind in LOGS for p in logs(kind)] or [SAMPLE]
    return [found for path in paths if (found := [small(s) for s in simulations(path)[:12] if isinstance(s, dict)])]


def broken(rng, records, number): return mutants(rng, [text(r) for r in records], number, [m for m in MUTATIONS if m not in (cross, nest)])


def converted(path, out):
    "What came of a log: plain rows, rejects, both checked"
    report = convert(path, out, name="fuzzed", progress=False)
    rows = list(Dataset(out/"fuzzed.jsonl").plain())
    rejects = [json.loads(text) for text in open(out/"fuzzed.rejects.jsonl", "rb")] if report.rejected else []
    assert (len(rows), len(rejects)) == (report.rows, report.rejected)
    data = path.read_bytes()
    for made in open(out/"fuzzed.jsonl", "rb") if report.rows else []: assert_sound_row(made)
    for row in rows: assert Row(**row).columns == {k: v for k, v in row.items() if k != "trace"}
    for reject in rejects: assert_reject_explains(reject, path, data)
    return rows, rejects


@pytest.mark.parametrize("part", range(5))
def test_mutated_lines(seeds, tmp_path, part):
    "In JSON Lines every line that holds anything is a row or a reject"
    rng, counts = random.Random(SEED + part), [0, 0]
    for n in range(4):
        records = [r for group in rng.sample(seeds, min(len(seeds), 6)) for r in group]
        texts = [json.dumps(rng.choice(records)).encode(), *map(a_line, broken(rng, records, LINES//20))]
        path = tmp_path/f"{n}.jsonl"
        path.write_bytes(b"\n".join(texts) + b"\n")
        rows, rejects = converted(path, tmp_path)
        assert len(rows) + len(rejects) == sum(1 for t in texts if t.strip())
        counts = [counts[0] + len(rows), counts[1] + len(rejects)]
    assert min(counts) > LINES//20


FRAMES = {
    "head first": (b'{"info": {}, "tasks": [], "simulations": [', b"]}"),
    "no head": (b'{"simulations": [', b"]}"),
    "head last": (b'{"simulations": [', b'], "info": {}, "tasks": []}'),
    "a list": (b"[", b"]"),
}


def mixed(rng, group, number):
    "Sound records with ids of their own, and broken ones between them"
    sound = [json.dumps({**rng.choice(group), "id": f"sound-{k}"}).encode() for k in range(number + 1)]
    return [t for pair in zip(sound, broken(rng, group, number)) for t in pair] + sound[-1:]


@pytest.mark.parametrize("frame", FRAMES)
def test_mutated_members_of_a_list(seeds, tmp_path, frame):
    "In a document every sound record becomes a row, whatever its broken neighbours look like; but for the few between a bracket too many and one too few, which are in a reject together"
    rng, lost, sound = random.Random(f"{SEED} {frame}"), {}, 0
    listed = [group for group in seeds if list(group[0])[:2] == ["id", "task_id"] and "ticks" not in group[0]]
    for n in range(50):
        texts = mixed(rng, rng.choice(listed), LISTED//len(FRAMES)//50)
        path = tmp_path/f"{n}.json"
        path.write_bytes(FRAMES[frame][0] + rng.choice([b", ", b",", b",\n", b" ,\n    "]).join(texts) + FRAMES[frame][1])
        rows, rejects = converted(path, tmp_path)
        kept = {row["simulation_id"] for row in rows}
        sound += len(texts)//2 + 1
        if missing := [k for k in range(len(texts)//2 + 1) if f"sound-{k}" not in kept]: lost[n] = missing
        assert all(any(texts[2*k].decode() in reject["text"] for reject in rejects) for k in missing), f"sound records are in no row and no reject: {missing} of document {n}"
    assert sum(map(len, lost.values())) <= sound//200, f"{sum(map(len, lost.values()))} of {sound} sound records are in a reject, in {len(lost)} of 50 documents"


def test_the_same_mutants_give_the_same_files(seeds, tmp_path):
    "Rows and rejects of two conversions are equal to the byte"
    path = tmp_path/"a.jsonl"
    path.write_bytes(b"\n".join([json.dumps(seeds[0][0]).encode(), *map(a_line, broken(random.Random(SEED), seeds[0], 300))]))
    for name in ("one", "two"): convert(path, tmp_path, name=name, progress=False)
    for ending in (".jsonl", ".rejects.jsonl"): assert (tmp_path/f"one{ending}").read_bytes() == (tmp_path/f"two{ending}").read_bytes()


@pytest.mark.parametrize("name", FORMATS)
def test_broken_logs_of_every_format(name, tmp_path):
    "Records and sessions, as lines, lists, documents, packed files and archives: rows and rejects add up, are valid and explained, and none takes long"
    assert formats() == FORMATS, "a format without a sound log to break"
    assert fuzz(name, EACH, SEED, tmp_path, tmp_path.parent/"failed") >= EACH


@pytest.mark.parametrize("name", FORMATS)
def test_records_of_any_members(name, tmp_path):
    "The names of a format with values that are anything"
    assert hypothesis_run(name, 20, SEED, tmp_path) > 20


@pytest.mark.parametrize("what", OTHERWISE)
def test_broken_rows_and_specs(what, tmp_path):
    "Rows through the checks, the scorers, the writers and the viewer; specs through the checks"
    assert fuzz(what, 60, SEED, tmp_path, tmp_path.parent/"failed") >= 60


def test_what_is_broken_is_seen(tmp_path, monkeypatch):
    "These checks fail for a reader that loses a record, for a row that is not valid, and for one that lasts; the input is kept"
    import fuzz as tried
    real, keep = tried.span_lines, tmp_path/"failed"
    (tmp_path/"in").mkdir()
    def lossy(*given): yield from list(real(*given))[:-1]
    monkeypatch.setattr(tried, "span_lines", lossy)
    with pytest.raises(Failed, match="rows and rejects of|nothing came|made") as e: fuzz("tau2", 200, 1, tmp_path/"in", keep)
    assert any(str(p) in str(e.value) for p in keep.iterdir())
    monkeypatch.setattr(tried, "span_lines", real)
    monkeypatch.setattr(tried, "SLOW", 0.0)
    with pytest.raises(Failed, match="took|slowest in"): fuzz("chat", 200, 1, tmp_path/"in", keep)
    with pytest.raises(AssertionError): assert_sound_row(text({"trace": {"items": []}}))
    row = json.loads(json.dumps(sample_rows()[0]))
    for item in row["trace"]["items"]:
        if item["type"] == "function_call_output": item["call_id"] = "nobody"
    with pytest.raises(AssertionError, match="answers no earlier call"): assert_sound_row(text(row))
