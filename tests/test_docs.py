"""The docs site: its pages, as far as they can be judged without Quarto, and the lists that are made from the notebooks and the package."""
import inspect
import json
import re
import shutil
import subprocess
from configparser import ConfigParser

import nbformat
import pytest
import yaml
from click import Group
from conftest import ROOT

import tracekit
from tools import docs
from tools.pages import Page, anchors, findings, processed, shown, styles, viewers
from tracekit.cli import main

SECTIONS = ["Get started", "Tutorials", "The book", "Formats", "Scorers", "Trust", "Reference"]
HTML = '<style>.v{color:red}</style><details class="v"><summary>turn 1</summary><pre>a ``` b &lt;img&gt;</pre></details>'


def page(html, title="A page"):
    "A page with some HTML in it"
    made = Page(title=title)
    made.feed(html)
    return made


def read(path):
    "What a notebook shows: its stored outputs as text"
    cells = json.loads((ROOT/"nbs"/path).read_text(encoding="utf-8"))["cells"]
    return "\n".join("".join(o["data"]["text/markdown"]) for c in cells for o in c.get("outputs", []) if "text/markdown" in o.get("data", {}))


def write(path, *outputs, source="x", title=True):
    "A notebook with one cell that has these outputs"
    cell = nbformat.v4.new_code_cell(source, outputs=[nbformat.v4.new_output("display_data", data=data) for data in outputs])
    first = nbformat.v4.new_raw_cell("---\ntitle: A page\noutput-file: page.html\n\n---\n")
    nbformat.write(nbformat.v4.new_notebook(cells=[first, cell] if title else [cell]), path)
    return path


def test_the_sidebar_holds_every_notebook_once():
    listed = [p.relative_to(ROOT/"nbs").as_posix() for pages in docs.sidebar().values() for p in pages]
    there = [p.relative_to(ROOT/"nbs").as_posix() for p in docs.notebooks()]
    assert list(docs.sidebar()) == SECTIONS
    assert not set(there) - set(listed), f"not in nbs/sidebar.yml: {sorted(set(there) - set(listed))}"
    assert not set(listed) - set(there), f"in nbs/sidebar.yml, and no such notebook: {sorted(set(listed) - set(there))}"
    assert len(listed) == len(set(listed)), "a notebook is in nbs/sidebar.yml twice"


def test_formats_scorers_and_tutorials_stand_in_their_sections():
    for section, folder in {"Tutorials": "tutorials", "Formats": "formats", "Scorers": "scorers", "Reference": "reference"}.items():
        assert set(docs.sidebar()[section]) == set((ROOT/"nbs"/folder).glob("*.ipynb")), section


def test_llms_txt_is_in_step():
    assert docs.llms() == (ROOT/"nbs/llms.txt").read_text(encoding="utf-8"), "run: python -m tools.docs llms"


def test_llms_txt_has_the_form_of_llmstxt_org():
    "A title, a quoted description, then sections of links with one line each"
    text = docs.llms()
    assert re.match(r"# tracekit\n\n> [^\n]+\n\n[^\n#]+\n\n## ", text)
    lines = [line for line in text.split("\n## ", 1)[1].splitlines()[1:] if line and not line.startswith("## ")]
    assert len(lines) == len(docs.notebooks())
    for line in lines: assert re.fullmatch(r"- \[[^\]]+\]\(https://\S+\.html\.md\): \S.*", line), line


def test_nbdev_yml_says_what_settings_ini_says():
    settings = ConfigParser()
    settings.read(ROOT/"settings.ini")
    site = yaml.safe_load((ROOT/"nbs/nbdev.yml").read_text())["website"]
    assert [site["title"], site["description"], site["repo-url"], site["site-url"] + "/"] == [*map(settings["DEFAULT"].get, ("title", "description", "git_url")), docs.site_address()]


def test_the_workflow_installs_the_quarto_that_was_tried():
    workflow = yaml.safe_load((ROOT/".github/workflows/docs.yaml").read_text())
    steps = workflow["jobs"]["build"]["steps"]
    assert [s["with"]["version"] for s in steps if "quarto-actions/setup" in s.get("uses", "")] == [docs.QUARTO]
    assert workflow["permissions"] == {"contents": "read"} and workflow["jobs"]["publish"]["permissions"] == {"pages": "write", "id-token": "write"}


def test_every_public_name_stands_in_the_reference():
    text = read("reference/public_names.ipynb")
    parts = dict(re.findall(r"^### (\w+)\n(.*?)(?=^##|\Z)", text, re.S | re.M))
    names = set(dir(tracekit)) - {"__version__"}
    assert not names - set(parts), f"not on the page, run make export: {sorted(names - set(parts))}"
    assert not set(parts) - names, f"on the page, and no public name: {sorted(set(parts) - names)}"
    for name, part in parts.items():
        obj = getattr(tracekit, name)
        assert f"```python\n{name}" in part and re.search(r"\]\(\.\./\S+\.ipynb", part), part
        if inspect.isfunction(obj) or inspect.isclass(obj): assert (inspect.getdoc(obj) or "").split("\n")[0] in part, f"{name}: run make export"
        if inspect.isfunction(obj):
            for parameter in inspect.signature(obj).parameters: assert re.search(rf"\b{parameter}\b", part), f"{name}: {parameter} is not on the page, run make export"


def test_every_command_and_option_stands_in_the_reference():
    assert isinstance(main, Group)
    parts = dict(re.findall(r"^## tracekit ?([\w-]*)\n(.*?)(?=^## |\Z)", read("reference/commands.ipynb"), re.S | re.M))
    assert set(parts) == {"", *main.commands}, "run make export"
    for name, command in main.commands.items():
        for option in command.params:
            for written in (option.opts if option.param_type_name == "option" else [option.metavar or option.name.upper()]):
                assert written in parts[name], f"tracekit {name}: {written} is not on the page, run make export"


def test_without_quarto_make_docs_says_how_to_get_it(monkeypatch, capsys):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(subprocess, "run", lambda *a, **k: pytest.fail("something was run"))
    assert docs.site() == 1
    told = capsys.readouterr().out.strip().splitlines()
    assert len(told) == 3 and "quarto.org" in told[1] and docs.QUARTO in told[1] and "make docs" in told[2]


@pytest.mark.parametrize("html, what", [
    ('<script src="https://cdn.example.org/x.js"></script>', "<script> loads"),
    ('<script src="//cdn.example.org/x.js"></script>', "<script> loads"),
    ('<link rel="stylesheet" href="http://example.org/a.css">', "<link> loads"),
    ('<link rel="preconnect" href="https://example.org">', "<link> loads"),
    ('<img src="HTTPS://example.org/a.png">', "<img> loads"),
    ('<img srcset="a.png 1x, https://example.org/b.png 2x">', "<img> loads"),
    ('<iframe src="https://example.org"></iframe>', "<iframe> loads"),
    ('<style>@import "https://example.org/font.css";</style>', "a style loads"),
    ("<style>@font-face {src: url(//example.org/f.woff)}</style>", "a style loads"),
    ('<p style="background: url(https://example.org/x.png)">', "a style loads"),
    ('<script>s.src = "https://example.org/x.js"</script>', "a script loads"),
    ('<script type="module">import x from "https://example.org/x.js"</script>', "a script loads"),
    ('<script type="application/vnd.jupyter.widget-view+json">{}</script>', "needs a kernel"),
    ('<a href="gone.html">x</a>', "leads nowhere"),
    ('<a href="sub/../other.html#gone">x</a>', "names no place"),
    ('<a href="https://example.org/site/gone.html">x</a>', "leads nowhere"),
    ('<a href="gone.ipynb">x</a>', "leads nowhere"),
    ('<a href="#gone">x</a>', "names no place"),
])
def test_a_fault_of_a_page_is_found(html, what):
    pages = {"a.html": page(html), "other.html": page('<h1 id="here">x</h1>')}
    found = findings(pages, "https://example.org/site/", {"00_other.ipynb": "other.html"}, set())
    assert len(found) == 1 and what in found[0], found


def test_a_page_without_a_title_is_found(tmp_path):
    assert findings({"a.html": page("", "")}, "https://example.org/", {}, set()) == ["a.html: has no title"]
    assert not processed(write(tmp_path/"a.ipynb", title=False)).title and processed(write(tmp_path/"b.ipynb")).title == "A page"


def test_a_sound_page_has_no_findings():
    html = """<link rel="canonical" href="https://example.org/site/a.html"><script src="site_libs/x.js"></script><img src="data:image/png;base64,AA"><a href="https://elsewhere.org">x</a>
        <a href="mailto:a@b.c">x</a><a href="">x</a><a href="#me">x</a><b id="me"></b><a href="sub/b.html?q=1#there">x</a><a href="https://example.org/site/">x</a><a href="llms.txt">x</a>
        <script>const home = "https://example.org";</script><pre>&lt;script src="https://example.org/x.js"&gt;</pre>"""
    pages = {"index.html": page(html), "sub/b.html": page('<a href="../00_a.ipynb#me">x</a><i id="there"></i>')}
    assert findings(pages, "https://example.org/site/", {"00_a.ipynb": "index.html"}, {"llms.txt"}) == []


def test_headings_get_the_names_that_pandoc_gives_them():
    assert anchors(["The <em>errors</em>, as a tree", "Trace", "trace", "1. Understand the data", "pass^k", "A &amp; B", "recorded_calls"]) == {
        "the-errors-as-a-tree", "trace", "trace-1", "understand-the-data", "passk", "a-b", "recorded_calls"}


def test_a_viewer_must_be_static_html(tmp_path):
    widget = {"application/vnd.jupyter.widget-view+json": {"model_id": "x"}, "text/plain": "Viewer()"}
    bare, both = write(tmp_path/"bare.ipynb", widget), write(tmp_path/"both.ipynb", {**widget, "text/html": HTML})
    never = write(tmp_path/"never.ipynb", source="rows = 1\ntracekit.view(rows)")
    block = write(tmp_path/"block.ipynb", {"text/markdown": f"````{{=html}}\n{HTML}\n````"})
    assert [f.split(": ", 1)[1][:30] for f in viewers(bare, bare)] == ["a widget without HTML beside i", "a widget reaches Quarto, which"]
    assert [f.split(": ", 1)[1][:30] for f in viewers(both, both)] == ["text/html reaches Quarto, whic", "a widget reaches Quarto, which"]
    assert "no HTML is stored for the viewer tracekit.view(rows)" in viewers(never, block)[0]
    assert viewers(both, block) == []
    assert processed(bare).widgets == 1


def test_a_viewer_must_be_on_its_page(tmp_path):
    made = write(tmp_path/"block.ipynb", {"text/markdown": f"````{{=html}}\n{HTML}\n````"})
    assert "turn 1" in processed(made).text and "a ``` b <img>" in processed(made).text and not processed(made).foreign
    assert shown(made, processed(made), "a.html") == []
    assert shown(made, page("<p>nothing</p>"), "a.html") == ["a.html: a viewer is not on the page: turn1a```b<img>"]
    loud = write(tmp_path/"loud.ipynb", {"text/markdown": '```{=html}\n<img src="https://example.org/x.png">\n```'})
    assert processed(loud).foreign == ["<img> loads https://example.org/x.png"]


def test_a_stylesheet_of_the_site_may_load_nothing_from_another_host(tmp_path):
    (tmp_path/"a.css").write_text('@import url("https://fonts.example.org/css");\n.b {background: url("data:image/svg+xml,<svg xmlns=\'http://www.w3.org/2000/svg\'>")}')
    assert styles(tmp_path) == ["a.css: loads https://fonts.example.org/css"]


def test_the_site_loads_no_formula_script_and_no_font():
    "What Quarto would ask other hosts for by default"
    html = yaml.safe_load((ROOT/"_quarto.yml").read_text())["format"]["html"]
    assert html["html-math-method"] == "mathml" and all("offline.scss" in html["theme"][scheme] for scheme in ("light", "dark"))
    assert "$web-font-path: false" in (ROOT/"nbs/offline.scss").read_text()
