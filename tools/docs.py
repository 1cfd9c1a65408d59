"""Helpers for the notebooks and the docs site: nothing here is part of the installed package.

python -m tools.docs run [NOTEBOOK...]   execute notebooks in place, keeping outputs that are the same every time
python -m tools.docs readme              write README.md from nbs/index.ipynb
python -m tools.docs process             run nbdev's processors over all notebooks, as the docs build does (no Quarto needed)
python -m tools.docs site                build the docs site into _docs (needs Quarto)
"""
import os
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
WIDGET = "application/vnd.jupyter.widget-view+json"


def notebooks() -> list[Path]:
    "Every notebook of the book, in reading order"
    return sorted(p for p in (ROOT / "nbs").rglob("*.ipynb") if not any(part[0] in "._" for part in p.relative_to(ROOT).parts))


def run(path: str | Path) -> None:
    "Execute the notebook at `path` in place"
    import nbformat
    from nbclient import NotebookClient
    nb = nbformat.read(path, as_version=4)
    os.environ["PYTHONPATH"] = str(ROOT)
    NotebookClient(nb, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(Path(path).parent)}}).execute()
    nb.metadata.pop("widgets", None)
    for cell in nb.cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if WIDGET in data and "text/html" in data: del data[WIDGET]
    Path(path).write_text(nbformat.writes(nb).rstrip() + "\n", encoding="utf-8")


def readme(path: str | Path = ROOT / "nbs/index.ipynb") -> str:
    "README text from the index notebook, with nbdev's own processors and nbconvert (no Quarto needed)"
    import nbformat
    import yaml
    from execnb.nbio import nb2str, read_nb
    from nbconvert import MarkdownExporter
    from nbdev.processors import FilterDefaults
    nb = read_nb(Path(path))
    FilterDefaults()(nb)
    n = nbformat.reads(nb2str(nb), as_version=4)
    n.metadata["language_info"] = {"name": "python"}
    n.cells = [c for c in n.cells if c.source.strip()]
    body, _ = MarkdownExporter().from_notebook_node(n)
    m = re.match(r"\s*---\n(.*?)\n---\n(.*)", body, re.S)
    assert m, "the index notebook has no title"
    front = yaml.safe_load(m[1])
    text = re.sub(r"\n{3,}", "\n\n", m[2]).strip()
    text = re.sub(r"\]\((?!https?:)([^)]+\.ipynb)\)", r"](nbs/\1)", text)   # the README stands one folder above
    return f"# {front['title']}\n\n> {front['description']}\n\n{text}\n"


def site() -> int:
    "Build the docs site; without Quarto, say how to get it"
    import shutil
    import subprocess
    if not shutil.which("quarto"):
        print("The docs site is rendered by Quarto, which is not on this machine. Install it from quarto.org (no Python package has it), then run: make docs")
        return 1
    done = subprocess.run([str(Path(sys.executable).parent / "nbdev_docs")], cwd=ROOT).returncode
    if not done: print(f"The site is in {ROOT.name}/_docs: open index.html there")
    return done


if __name__ == "__main__":
    verb, *names = sys.argv[1:] or [""]
    if verb == "readme": (ROOT / "README.md").write_text(readme(), encoding="utf-8")
    elif verb == "run":
        for p in names or notebooks():
            run(p)
            print("ran", p)
    elif verb == "process":
        from nbdev.serve import proc_nbs
        proc_nbs(path=str(ROOT / "nbs"), force=True)
        print("processed", len(notebooks()), "notebooks")
    elif verb == "site": sys.exit(site())
    else: sys.exit(__doc__)
