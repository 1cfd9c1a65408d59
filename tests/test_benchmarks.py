"""The benchmarks: the comparison with other converters runs with nothing but the sample, its measure sees what is lost, and the page shows the figures that are kept."""
import json
import os
import subprocess
import sys

import pytest
from conftest import ROOT

sys.path.insert(0, str(ROOT/"benchmarks"))
import peers  # noqa: E402
import record  # noqa: E402

PAGE = ROOT/"nbs/benchmarks.ipynb"


def test_peers_runs_without_any_peer(tmp_path):
    "On the sample, tracekit alone: nothing is lost, and the figures are kept in place of those of an earlier run"
    nowhere = {name: str(tmp_path/"none") for name in ("TRACEKIT_SHARED", "TRACEKIT_PEERS", "TRACEKIT_ORACLE", "TRACEKIT_NOVAEVAL", "TRACEKIT_DATADESIGNER")}
    kept = tmp_path/"figures.json"
    kept.write_text(json.dumps([{"benchmark": "peers", "figures": "old"}, {"benchmark": "view", "figures": "other"}]))
    done = subprocess.run([sys.executable, "benchmarks/peers.py", "--mb", "0.5", "--rounds", "1", "--json", str(kept)], cwd=ROOT, capture_output=True, text=True, env={**os.environ, **nowhere})
    assert done.returncode == 0, done.stderr
    assert "not there: tutorial, data-designer, novaeval, teich" in done.stdout
    entry, other = json.loads(kept.read_text())
    assert other == {"benchmark": "view", "figures": "other"} and entry["benchmark"] == "peers"
    assert entry["command"] == "python benchmarks/peers.py --mb 0.5 --rounds 1" and str(tmp_path) not in json.dumps(entry)
    (row,) = next(rows for title, rows in entry["figures"].items() if title.startswith("tau2: 1 files; timed on"))
    assert (row["all records"], row["refused"], row["silent"], row["crashed"]) == ("21 of 21", 0, 0, 0) and row["MB a second"] > 0
    assert float(row["values kept"].rstrip(" %")) > 95


KEPT = [("a word or two", "a word or two"), ("call_1234", {"deep": ["call_1234"]}), ("part of a text", "before part of a text after"), ('say "hi"\nthere', {"flat": 'in=say \\"hi\\"\\nthere'}),
        ("2026-01-02T03:04:05Z", "2026-01-02 03:04:05+00:00"), ("2026-01-02T03:04:05.000Z", 1767323045000), (1234, "1234"), (0.125, {"cost": 0.125}), ("id-77", json.dumps({"arguments": {"id": "id-77"}}))]
LOST = [("call_1234", "call_123"), ("short", "a short text"), (1234, 12345), ("2026-01-02T03:04:05Z", "2026-01-02T03:04:06Z"), ("a longer text", "a longer tex")]


@pytest.mark.parametrize("value, row", KEPT)
def test_what_is_there_is_found(value, row): assert peers.Output([row]).has(value)


@pytest.mark.parametrize("value, row", LOST)
def test_what_is_not_there_is_missed(value, row): assert not peers.Output([row]).has(value)


def test_a_value_counts_once_for_each_place():
    held = [{"id": "abc", "args": '{"path": "/x/y", "n": 5}', "flag": True, "none": None, "cost": 1.5}, {"id": "abc", "to": "abc"}]
    values = frozenset((p, v) for d in held for p, v in peers.leaves(d) if peers.told(v))
    assert values == {("id", "abc"), ("args.path", "/x/y"), ("cost", 1.5), ("to", "abc")}
    place = peers.Place("chat", "", values, 1, True)
    kept, count, _, _, lost = peers.compared(place, [{"id": "abc"}])
    assert (kept, count, lost) == (2, 4, {("args.path", "/x/y"), ("cost", 1.5)})


def test_the_page_shows_the_figures_that_are_kept():
    "Each benchmark's command, date and tables, as they are in nbs/benchmarks.json"
    cells = json.loads(PAGE.read_text(encoding="utf-8"))["cells"]
    shown = "\n".join("".join(o["data"]["text/markdown"]) for c in cells for o in c.get("outputs", []) if "text/markdown" in o.get("data", {})).replace("\\", "")
    entries = json.loads((ROOT/"nbs/benchmarks.json").read_text(encoding="utf-8"))
    assert {e["benchmark"] for e in entries} >= {"convert", "formats", "score", "columns", "view", "peers"}
    for entry in entries:
        assert f"`{entry['command']}`, {entry['date']}, {entry['machine']['cores']} cores" in shown, f"run nbs/benchmarks.ipynb again: {entry['benchmark']}"
        for title, rows in entry["figures"].items():
            for row in rows:
                cells = [f"{v:,}" if isinstance(v, int) else str(v).replace("\\", "") for v in row.values()]
                assert f"| {' | '.join(cells)} |" in shown or all(c in shown for c in cells), (title, row)
    assert record.Tables and "/home/" not in shown and "/tmp/" not in shown and "/work/" not in shown
