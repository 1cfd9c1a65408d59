"""Every notebook runs from top to bottom, and what is made from the notebooks is in step with them."""
import json
import re
import shutil
import subprocess
import sys
import tomllib
from configparser import ConfigParser
from pathlib import Path

import pytest

import tracekit
from tools.docs import notebooks, readme

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("path", notebooks(), ids=lambda p: p.stem)
def test_notebook_runs(path):
    code = ("import sys; from pathlib import Path; from nbdev.test import test_nb; "
            f"sys.exit(not test_nb(Path({str(path)!r}), basepath={str(ROOT)!r})[0])")
    done = subprocess.run([sys.executable, "-c", code], cwd=path.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    "The tree after an export and a clean"
    tree = tmp_path_factory.mktemp("tree") / "repo"
    shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(".git", ".venv", ".oracle", "_docs", "_proc", ".*_cache", "tracekit-demo"))
    for command in ("from nbdev.doclinks import nbdev_export; nbdev_export()", "from nbdev.clean import nbdev_clean; nbdev_clean()"):
        subprocess.run([sys.executable, "-c", command], cwd=tree, check=True, capture_output=True)
    return tree


def test_export_is_in_step(copy):
    modules = sorted(p.relative_to(ROOT) for p in (ROOT / "tracekit").rglob("*.py"))
    assert len(modules) > 8
    for path in modules: assert (ROOT / path).read_text() == (copy / path).read_text(), f"run: make export ({path})"


@pytest.mark.parametrize("path", notebooks(), ids=lambda p: p.stem)
def test_notebook_is_clean(copy, path):
    assert path.read_text() == (copy / path.relative_to(ROOT)).read_text(), "run: make export"


def test_readme_is_in_step():
    assert readme() == (ROOT / "README.md").read_text(), "run: python -m tools.docs readme"


@pytest.mark.parametrize("path", notebooks(), ids=lambda p: p.stem)
def test_stored_outputs_are_fit_to_publish(path):
    "Outputs are there, without errors, widgets, progress bars or paths of a machine"
    cells = [c for c in json.loads(path.read_text())["cells"] if c["cell_type"] == "code"]
    outputs = [o for c in cells for o in c["outputs"]]
    text = json.dumps(outputs)
    assert outputs and not any(o["output_type"] == "error" for o in outputs)
    assert not re.search(r"/tmp/|/home/|/root/|/Users/|widget-view|it/s|B/s|Traceback", text), re.search(r".{60}(/tmp/|/home/|/root/|widget-view|B/s).{40}", text)


def test_one_version():
    settings = ConfigParser()
    settings.read(ROOT / "settings.ini")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert settings["DEFAULT"]["version"] == tracekit.__version__ and "version" in project["dynamic"]
    assert settings["DEFAULT"]["description"] == project["description"]
    assert settings["DEFAULT"]["min_python"] in project["requires-python"]


def test_sample_is_what_its_generator_writes(tmp_path):
    made = tmp_path / "telecom.json"
    subprocess.run([sys.executable, ROOT / "tools/make_sample.py", made], check=True, capture_output=True)
    assert made.read_bytes() == (ROOT / "tracekit/data/telecom.json").read_bytes()


def test_every_format_has_its_page():
    "Each format of the registry is named in a notebook below nbs/formats"
    from tracekit.convert import load_formats
    pages = "".join("".join(c["source"]) for p in (ROOT / "nbs/formats").glob("*.ipynb") for c in json.loads(p.read_text())["cells"])
    for name in load_formats(): assert re.search(rf'@format\(\s*"{name}"', pages), f"{name} has no notebook"


def test_nothing_of_the_workshop_is_in_the_package():
    for path in (ROOT / "tracekit").rglob("*.py"):
        if path.name != "_modidx.py": assert not re.search(r"\b(nbdev|fastcore|execnb)\b(?!_)", path.read_text().split("# %%", 1)[-1]), path
