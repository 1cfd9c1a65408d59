"""Logs as they come: torn, interleaved, out of order, with strange trees and huge values. Each gives rows and rejects with a reason, and what was sound is in them."""
import json
from collections import Counter

import pytest
from makers import DOT, MAKERS, Atif, Chat, Codex, GenAI, Hermes, OpenInference, Pi, made, moment

from tracekit.dataset import Dataset
from tracekit.pipeline import convert


def of(which): return pytest.mark.parametrize("maker", [m for m in MAKERS.values() if which(m)], ids=lambda m: m.name)


each, linked = of(lambda m: True), of(lambda m: m.linked)
naming = of(lambda m: m not in (Codex, Pi, Hermes))   # a file of these agents is one session: its lines do not name theirs


def read(text, maker, folder, name=None):
    "What comes of a log, told nothing of its format: the report, the rows as plain data, the rejects"
    folder.mkdir(exist_ok=True)
    path = folder/(name or maker.file)
    if isinstance(text, bytes): path.write_bytes(text)
    else: path.write_text(text)
    report = convert(path, folder/"out", name="x", format=maker.name, progress=False)
    rows = list(Dataset(folder/"out/x.jsonl").plain()) if report.rows else []
    assert (report.rows, report.read) == (len(rows), report.rows + report.rejected) and all(r["cause"] and r["stage"] for r in report.rejects)
    return report, rows


def words(rows): return json.dumps(rows, ensure_ascii=False)


def complete(rows, turns=3, id="s1"):
    "Whether everything that was said, called and answered is there: calls with their results, none twice"
    told = words([r["trace"] for r in rows])
    items = [i for r in rows for i in r["trace"]["items"]]
    kinds = Counter(i["type"] for i in items)
    assert kinds["function_call"] == kinds["function_call_output"] == turns, kinds
    return all(text in told for n in range(turns) for text in (f"words {n} of {id}", f"done {n}", f"result {n} of {id}"))


@each
def test_the_logs_of_these_tests_are_sound(maker, tmp_path):
    report, rows = read(made(maker).text(), maker, tmp_path)
    assert (report.rows, report.rejected) == (1, 0) and complete(rows)
    assert convert(tmp_path/maker.file, tmp_path/"auto", progress=False).formats == {maker.name: 1}, "known without being told"


@each
def test_a_log_that_is_still_being_written(maker, tmp_path):
    "Cut anywhere in its last line, or in the middle of a letter: what stands before is kept, and the rest is a reject"
    whole = (made(maker, 2) if maker not in (Chat, Atif) else made(maker, 2, "s0")).text()
    if maker in (Chat, Atif): whole += made(maker, 2).text()
    last = whole[:-1].rindex("\n") + 1
    for cut in (*range(last + 1, len(whole) - 2, max(1, (len(whole) - last) // 9)), len(whole) - 1):
        report, rows = read(whole[:cut], maker, tmp_path/"torn")
        assert report.rejected == (cut < len(whole) - 1) and rows, cut
        if report.rejected: assert report.rejects[0]["text"] == whole[last:cut].rstrip()
        assert ("words 1 of s0" if maker in (Chat, Atif) else "words 1 of s1" if maker not in (GenAI, OpenInference) else "words") in words(rows)
    report, rows = read((whole[:last] + '{"text": "caf\u00e9').encode()[:-1], maker, tmp_path/"letter")
    assert report.rejected == 1 and rows


@each
def test_an_empty_line_and_a_broken_one_in_the_middle(maker, tmp_path):
    "Cost only themselves"
    lines = (made(maker, 3) if maker not in (Chat, Atif) else made(maker, 3)).text().splitlines()
    report, rows = read("\n".join([*lines[:1], "", '{"a": ', "   ", *lines[1:], "[1]"]), maker, tmp_path)
    assert report.rejected == 2 and complete(rows)


@naming
def test_interleaved_sessions(maker, tmp_path):
    "Lines of two logs in turn: nothing is lost, and no call is answered by the other's result"
    one, two = made(maker, id="s1").lines, made(maker, id="s2").lines
    report, rows = read("".join(json.dumps(x) + "\n" for pair in zip(one, two) for x in pair), maker, tmp_path)
    assert report.rejected == 0 and len(rows) == 2
    for row in rows:
        told = words(row["trace"]["items"])
        assert ("of s1" in told) != ("of s2" in told)
        outputs = {i["call_id"]: i["output"] for i in row["trace"]["items"] if i["type"] == "function_call_output"}
        assert all(f"result {json.loads(i['arguments'])['n']} of" in outputs[i["call_id"]] for i in row["trace"]["items"] if i["type"] == "function_call")


@pytest.mark.parametrize("clock", ["backwards", "one moment", "far apart", "none", "nonsense"])
@each
def test_clock_jumps(maker, clock, tmp_path):
    "The order is that of the log, whatever its clock says, and the lengths that are told make sense"
    at = {"backwards": lambda n: moment(7200 - 1000 * n), "one moment": lambda n: moment(0), "far apart": lambda n: ("1970-01-01T00:00:00Z", "2099-12-31T23:59:59Z", "2026-03-01T10:00:00+14:00")[n],
          "none": lambda n: None, "nonsense": lambda n: ("yesterday", "2026-99-99T99:99:99Z", [7])[n]}[clock]
    report, rows = read(made(maker, at=at).text(), maker, tmp_path)
    assert (report.rows, report.rejected) == (1, 0) and complete(rows)
    said = [p["text"] for i in rows[0]["trace"]["items"] if i["type"] == "message" and i["role"] == "user" for p in i["content"]]
    assert said == [f"words {n} of s1" for n in range(3)]
    assert (rows[0]["trace"]["metadata"]["total_time"] or 0) >= 0


TREES = {"a missing parent": {4: 999}, "all parents missing": {n: 999 for n in range(12)}, "its own parent": {5: 5}, "a ring": {0: 3}, "a ring of all": {0: 11}, "two roots": {6: None}, "a branch": {8: 3}, "a branch that goes on": {8: 3, 4: 1}}


@pytest.mark.parametrize("tree", TREES)
@linked
def test_trees_of_any_shape(maker, tree, tmp_path):
    "Parents that are missing, or in a ring, cost nothing: all that was said is there, in the conversation or beside it"
    report, rows = read(made(maker, tree=TREES[tree]).text(), maker, tmp_path)
    assert report.rejected == 0 and rows
    told = words([r["trace"] for r in rows])
    assert all(told.count(f"words {n} of s1") >= 1 and f"done {n}" in told and f"result {n} of s1" in told for n in range(3))


@each
def test_an_output_of_50_megabytes(maker, tmp_path):
    "Is kept whole"
    huge = "0123456789abcdef" * (50 * 65_536)
    report, rows = read(made(maker, 1, gives=lambda n: huge).text(), maker, tmp_path)
    assert (report.rows, report.rejected) == (1, 0)
    (output,) = (i["output"] for i in rows[0]["trace"]["items"] if i["type"] == "function_call_output")
    assert output == huge or output[0]["text"] == huge


@each
def test_an_image_in_base64(maker, tmp_path):
    "Comes through byte for byte, as an image where the format says that it is one"
    report, rows = read(made(maker, 1, gives=lambda n: DOT).text(), maker, tmp_path)
    assert (report.rows, report.rejected) == (1, 0) and DOT in words(rows)
    (output,) = (i["output"] for i in rows[0]["trace"]["items"] if i["type"] == "function_call_output")
    if maker not in (GenAI,): assert output[0]["type"] == "input_image" and output[0]["image_url"] == f"data:image/png;base64,{DOT}"


@each
def test_a_record_of_an_unknown_kind(maker, tmp_path):
    "Is in the trace or a reject, and a member that no rule names is reported; the others are as they were"
    report, rows = read(made(maker).text() + json.dumps(maker.typed) + "\n", maker, tmp_path)
    told = any(path.endswith(".secret") for path in report.unnamed)
    assert complete(rows[:1]) and len(rows) + report.rejected >= 1 and (told or "kept words" in words(rows) or report.rejected == 1 and "kept words" in report.rejects[0]["text"])


