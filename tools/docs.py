"""Helpers for the notebooks and the docs site: nothing here is part of the installed package.

python -m tools.docs run [NOTEBOOK...]   execute notebooks in place, keeping outputs that are the same every time
python -m tools.docs readme              write README.md from nbs/index.ipynb
python -m tools.docs llms                write nbs/llms.txt from the sidebar and the first cells of the notebooks
python -m tools.docs process             run nbdev's processors over all notebooks, as the docs build does (no Quarto needed)
python -m tools.docs check [FOLDER]      process, then check every page that would be on the site (no Quarto needed); or a site that is built
python -m tools.docs site                build the docs site into _docs (needs Quarto), then check its pages
"""
import json
import os
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
WIDGET = "application/vnd.jupyter.widget-view+json"
QUARTO = "1.7.34"   # the version that the site was built and looked at with; .github/workflows/docs.yaml installs it
NO_QUARTO = f"""\
The docs site is rendered by Quarto, a program of its own that no Python package brings along; it is not on this machine's PATH.
To get it, open the download page of quarto.org, take the file for your system (tried: version {QUARTO}; 1.7 or newer is needed), and install it.
Then run again: make docs    (without Quarto, "python -m tools.docs check" checks all that can be checked, and "make lab" opens the same pages)"""


def notebooks() -> list[Path]:
    "Every notebook of the book, in reading order"
    return sorted(p for p in (ROOT / "nbs").rglob("*.ipynb") if not any(part[0] in "._" for part in p.relative_to(ROOT).parts))


def sidebar() -> dict[str, list[Path]]:
    "The sections of the site, each with its notebooks, in reading order"
    import yaml
    contents = yaml.safe_load((ROOT / "nbs/sidebar.yml").read_text(encoding="utf-8"))["website"]["sidebar"]["contents"]
    return {part["section"]: [ROOT / "nbs" / (e if isinstance(e, str) else e["href"]) for e in part["contents"]] for part in contents}


def site_address() -> str:
    "Where the site is published, from settings.ini"
    from configparser import ConfigParser
    settings = ConfigParser()
    settings.read(ROOT / "settings.ini")
    return settings["DEFAULT"]["doc_host"] + settings["DEFAULT"]["doc_baseurl"] + "/"


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
    for found in (o for c in nb.cells for o in c.get("outputs", []) if len(o.get("data", {})) > 1): found["data"].pop("text/html", None)   # a README shows the Markdown or the text of a value
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


def opening(path: Path) -> tuple[str, str, str]:
    "Title, description and first paragraph of a notebook"
    title, paragraph = ["".join(c["source"]) for c in json.loads(path.read_text(encoding="utf-8"))["cells"] if c["cell_type"] == "markdown"][:2]
    m = re.fullmatch(r"# (.+)\n+> (.+)", title.strip())
    assert m, f"{path}: the first cell is not a title and a description"
    return m[1], m[2], paragraph.split("\n\n")[0]


def page_of(path: Path) -> str:
    "The page that a notebook becomes, below the address of the site: nbdev leaves the number of the chapter out"
    return path.relative_to(ROOT / "nbs").with_name(re.sub(r"^\d+[a-z]?_", "", path.stem) + ".html").as_posix()


def llms() -> str:
    "Text of llms.txt (the form is that of llmstxt.org): the site for a reader that is a program, each page as Markdown"
    title, description, paragraph = opening(ROOT / "nbs/index.ipynb")
    lines = [f"# {title}", "", f"> {description}", "", paragraph]
    for section, pages in sidebar().items():
        lines += ["", f"## {section}", ""]
        for page in pages:
            name, about, _ = opening(page)
            lines.append(f"- [{name}]({site_address()}{page_of(page)}.md): {about}")
    return "\n".join(lines) + "\n"


def process() -> Path:
    "Run nbdev's processors over all notebooks, as the docs build does; the folder with the outcome"
    from nbdev.serve import proc_nbs
    return Path(proc_nbs(path=str(ROOT / "nbs"), force=True))


def check(folder: Path | None = None) -> list[str]:
    "What is wrong with the pages, as far as it can be seen without Quarto; `folder` holds processed notebooks"
    from tools.pages import findings, processed, viewers
    folder = folder or process()
    pages = {page_of(p): processed(folder / p.relative_to(ROOT / "nbs")) for p in notebooks()}
    names = {p.relative_to(ROOT / "nbs").as_posix(): page_of(p) for p in notebooks()}
    return [f for p in notebooks() for f in viewers(p, folder / p.relative_to(ROOT / "nbs"))] + findings(pages, site_address(), names, {"llms.txt"})


def check_site(folder: Path) -> list[str]:
    "What is wrong with the pages that Quarto made"
    from tools.pages import built, findings, shown, styles
    pages = {p.relative_to(folder).as_posix(): built(p) for p in sorted(folder.rglob("*.html")) if "site_libs" not in p.parts}
    files = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    wanted = [name for p in notebooks() for name in (page_of(p), page_of(p) + ".md")] + ["llms.txt", "search.json"]
    found = [f"{name}: was not made" for name in wanted if name not in files] + styles(folder)
    found += [f for p in notebooks() if page_of(p) in pages for f in shown(ROOT / "_proc" / p.relative_to(ROOT / "nbs"), pages[page_of(p)], page_of(p))]
    return found + findings(pages, site_address(), {}, files)


def site() -> int:
    """Build the docs site and check it; without Quarto, say how to get it.

    nbdev_docs is not asked: it installs Quarto with sudo where there is none, and writes README.md anew."""
    import shutil
    import subprocess
    if not shutil.which("quarto"):
        print(NO_QUARTO)
        return 1
    folder = process()
    if subprocess.run(["quarto", "render", "--no-cache"], cwd=folder).returncode: return 1
    shutil.rmtree(ROOT / "_docs", ignore_errors=True)
    shutil.move(folder / "_docs", ROOT / "_docs")
    told = tell(check_site(ROOT / "_docs"))
    if not told: print("The site is in _docs: open index.html there")
    return told


def tell(found: list[str]) -> int:
    "Print findings; 1 if there are any"
    for finding in found: print(finding)
    print(f"{len(notebooks())} pages, {len(found)} findings")
    return int(bool(found))


if __name__ == "__main__":
    verb, *names = sys.argv[1:] or [""]
    if verb == "readme": (ROOT / "README.md").write_text(readme(), encoding="utf-8")
    elif verb == "llms": (ROOT / "nbs/llms.txt").write_text(llms(), encoding="utf-8")
    elif verb == "run":
        for p in names or notebooks():
            run(p)
            print("ran", p)
    elif verb == "process": print("processed", len(notebooks()), "notebooks into", process().name)
    elif verb == "check": sys.exit(tell(check_site(Path(names[0])) if names else check()))
    elif verb == "site": sys.exit(site())
    else: sys.exit(__doc__)
