"""The number of a notebook is its layer: it imports only from notebooks with smaller numbers, and formats never from each other."""
import ast
import json
import re

import pytest
from conftest import ROOT

BOOK = [p for p in sorted((ROOT/"nbs").rglob("[0-9]*.ipynb")) if ".ipynb_checkpoints" not in p.parts]
MODULES = {p: m[1] for p in BOOK if (m := re.search(r"#\|\s*default_exp ([\w.]+)", p.read_text(encoding="utf-8")))}
LAYERS = {module: int(re.match(r"\d+", p.name)[0]) for p, module in MODULES.items()}
CALLABLE = ("convert", "pipeline")   # tracekit.convert is a chapter and a function: called, it hands over to the pipeline


def imported(path):
    "The chapters that the exported cells of a notebook import, at any depth"
    cells = ["".join(c["source"]) for c in json.loads(path.read_text(encoding="utf-8"))["cells"] if c["cell_type"] == "code"]
    for node in (n for text in cells if re.match(r"#\|\s*export", text) for n in ast.walk(ast.parse(text))):
        names = [a.name for a in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
        if isinstance(node, ast.ImportFrom): names = [node.module, *(f"{node.module}.{name}" for name in names)]
        yield from {name.removeprefix("tracekit.") for name in names if name.removeprefix("tracekit.") in LAYERS and name.startswith("tracekit.")}


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.stem)
def test_a_notebook_imports_only_from_smaller_numbers(path):
    "80_init, which holds the table of public names, may name all"
    module = MODULES[path]
    for other in imported(path):
        assert LAYERS[other] < LAYERS[module] or (module, other) == CALLABLE, f"{module} imports {other}"
        assert not (module.startswith("formats.") and other.startswith("formats.")), f"{module} imports {other}"


def test_the_layers_are_known():
    "The chapters of the book, and that imports are seen at all"
    assert {"source", "trace", "convert", "formats.tau2", "row", "dataset", "pipeline", "cli"} <= set(LAYERS)
    assert {"source", "trace"} <= set(imported(next(p for p, m in MODULES.items() if m == "convert")))
