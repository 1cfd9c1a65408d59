"""`make trust` and the page Guarantees: the promises name tests that are there, the page shows them all, and a broken promise is seen."""
import ast
import json
import re
import subprocess
import sys

import pytest
import trust
from conftest import ROOT
from trust import FIGURES, PARTS, PROMISES, SUITE, Figure, lower_bounds

ALL = [test for p in PROMISES for test in p.tests]


@pytest.mark.parametrize("test", sorted(set(ALL)))
def test_every_named_test_is_there(test):
    "A promise without its test would be words"
    file, name = test.split("::")
    assert name in {n.name for n in ast.parse((ROOT/file).read_text(encoding="utf-8")).body if isinstance(n, ast.FunctionDef)}


def test_promises_are_whole():
    "Each has words, a way to be tried, a part that counts it, and tests"
    for p in PROMISES: assert p.promise and p.how and p.tests and p.parts and set(p.parts) <= set(PARTS), p.name
    assert len({p.name for p in PROMISES}) == len(PROMISES) and all((ROOT/file).exists() for file in SUITE)


def test_the_page_is_in_step():
    "The file that it reads holds these promises, with figures of every part, and no part was broken; the page shows them"
    found = json.loads(FIGURES.read_text(encoding="utf-8"))
    assert [{k: v for k, v in p.items() if k != "figure"} for p in found["promises"]] == json.loads(json.dumps([vars(p) for p in PROMISES])), "run: python tests/trust.py --only= and then make export"
    assert set(found["figures"]) - {"atheris"} == set(PARTS) and all(f["ok"] and f["date"] for f in found["figures"].values())
    cells = json.loads((ROOT/"nbs"/"guarantees.ipynb").read_text(encoding="utf-8"))["cells"]
    shown = "".join("".join(o.get("data", {}).get("text/markdown", "")) for c in cells for o in c.get("outputs", []))
    for p in found["promises"]: assert p["name"] in shown and p["figure"].replace("|", "\\|") in shown and all(t in shown for t in p["tests"]), f"{p['name']}: run make export"


def test_a_small_run(tmp_path):
    "A seed is told, figures are written, and the exit code is 0"
    done = subprocess.run([sys.executable, ROOT/"tests"/"trust.py", "--only", "fuzz", "--inputs", "400", "--seed", "7", "--workers", "1", "--out", tmp_path/"g.json"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0 and "seed 7" in done.stdout and "Nothing lost" in done.stdout, done.stdout + done.stderr
    figures = json.loads((tmp_path/"g.json").read_text())["figures"]
    assert figures["fuzz"]["ok"] and sum(figures["fuzz"]["more"]["inputs"].values()) >= 400 and figures["fuzz"]["seed"] == 7


def test_a_broken_promise_is_told(tmp_path, monkeypatch, capsys):
    "The exit code is 1, and the table says which"
    monkeypatch.setitem(PARTS, "kills", lambda options: Figure("half a file", False, ["convert: x.jsonl is half a file"]))
    monkeypatch.setattr(sys, "argv", ["trust.py", "--only", "kills", "--seed", "1", "--out", str(tmp_path/"g.json")])
    assert trust.main() == 1
    said = capsys.readouterr().out
    assert "BROKEN convert: x.jsonl is half a file" in said and re.search(r"Crash-safe +BROKEN +half a file", said)


def test_the_oldest_packages_are_named():
    "Each package has a lower bound, with which the suite is run"
    bounds = lower_bounds()
    assert {"pydantic", "msgspec", "orjson", "click", "pyarrow", "fsspec", "pebble", "jinja2", "matplotlib"} <= set(bounds) and all(re.fullmatch(r"\d+(\.\d+)*", v) for v in bounds.values())
