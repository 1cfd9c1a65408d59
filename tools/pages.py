"""What must hold for every page of the docs site: it has a title, it shows its viewers without a kernel, it asks no other host for anything,
and its links lead somewhere. The same rules judge the pages that Quarto made and, where Quarto is not, what nbdev's processors hand to it.
"""
import json
import re
import warnings
from dataclasses import dataclass, field
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from posixpath import dirname, join, normpath
from urllib.parse import unquote

FOREIGN = re.compile(r"(?i)^\s*(https?:)?//")
CSS = re.compile(r"""(?i)(?:url\(\s*|@import\s+)["']?\s*((?:https?:)?//[^"')\s;]+)""")                             # what a stylesheet loads
SCRIPTED = re.compile(r"""(?i)(?:\.src\s*=\s*|\bimport\s*\(?\s*|\bfrom\s+|\bfetch\(\s*)["'`]((?:https?:)?//[^"'`]+)""")   # what a script loads
RAW = re.compile(r"^(`{3,})\{=html\}\n(.*?)\n\1\s*$", re.S | re.M)                                                # a block of HTML in Markdown
VIEWER = re.compile(r"^(?:\w+\.)*(?:view|\w+Viewer)\(")                                                         # a last line that shows one
LOADS = {"script": "src", "img": "src", "iframe": "src", "embed": "src", "object": "data", "source": "src", "video": "src", "audio": "src", "track": "src",
         "input": "src", "image": "href", "use": "href"}
ONLY_NAMED = {"canonical", "alternate", "license", "author", "next", "prev"}                                      # links that no browser fetches


@dataclass
class Page(HTMLParser):
    "One page: its title, its text, the places that a link can lead to, its links, and what a browser would load for it"
    title: str = ""
    text: str = ""
    ids: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    widgets: int = 0

    def __post_init__(self):
        super().__init__(convert_charrefs=True)
        self.inside = ""

    def handle_starttag(self, tag, attrs):
        given = {k: v or "" for k, v in attrs}
        self.inside = tag if tag in ("title", "script", "style") else ""
        self.ids |= {given[k] for k in ("id", "name") if given.get(k)}
        if tag == "a" and "href" in given: self.links.append(given["href"])
        loads = [given.get(LOADS.get(tag, ""), ""), given.get("poster", ""), *(part.split()[0] for part in given.get("srcset", "").split(",") if part.strip())]
        if tag == "link" and not ONLY_NAMED & set(given.get("rel", "").lower().split()): loads.append(given.get("href", ""))
        self.foreign += [f"<{tag}> loads {url}" for url in loads if FOREIGN.match(url)]
        self.foreign += [f"a style loads {url}" for url in CSS.findall(given.get("style", ""))]
        self.widgets += "widget-view" in given.get("type", "")

    def handle_endtag(self, tag): self.inside = ""

    def handle_data(self, data):
        if self.inside == "title": self.title += data
        elif self.inside == "style": self.foreign += [f"a style loads {url}" for url in CSS.findall(data)]
        elif self.inside == "script": self.foreign += [f"a script loads {url}" for url in SCRIPTED.findall(data)]
        else: self.text += data


def built(path: Path) -> Page:
    "A page that Quarto made"
    page = Page()
    page.feed(path.read_text(encoding="utf-8"))
    return page


def outputs(nb: dict) -> list[tuple[dict, dict]]:
    "Every output with data, after its cell"
    return [(cell, o["data"]) for cell in nb["cells"] for o in cell.get("outputs", []) if "data" in o]


def markdown(data: dict) -> str: return "".join(data.get("text/markdown", ""))


def processed(path: Path) -> Page:
    "The page that a processed notebook would become: by nbconvert, with pandoc's raw blocks as what they hold and pandoc's names for headings"
    import nbformat
    import yaml
    from nbconvert import HTMLExporter
    nb = nbformat.reads(path.read_text(encoding="utf-8"), as_version=4)
    for _, data in outputs(nb):
        raw = RAW.fullmatch(markdown(data).strip())
        if raw: data.clear(); data["text/html"] = raw[2]
    front = next((yaml.safe_load(c.source.strip().strip("-")) for c in nb.cells if c.cell_type == "raw" and c.source.startswith("---")), {})
    nb.cells = [c for c in nb.cells if c.cell_type != "raw"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")   # nbconvert on cells without ids: the processors make them so
        body, _ = HTMLExporter(template_name="basic", exclude_anchor_links=True).from_notebook_node(nb)
    page = Page(title=str(front.get("title", "")))
    page.feed(body)
    page.ids |= anchors(re.findall(r"<h[1-6][^>]*>(.*?)</h[1-6]>", body, re.S))
    page.widgets += sum("widget-view" in kind for _, data in outputs(nb) for kind in data)
    return page


def anchors(headings: list[str]) -> set[str]:
    "The names that pandoc gives to headings: lower case, words joined by -, nothing before the first letter, a number for a name that is taken"
    names: set[str] = set()
    for heading in headings:
        text = unescape(re.sub(r"<[^>]+>", "", heading)).lower()
        name = re.sub(r"^[^a-z\u00df-\uffff]+", "", re.sub(r"\s+", "-", re.sub(r"[^\w\s.-]", "", text).strip())) or "section"
        n = 0
        while (unique := f"{name}-{n}" if n else name) in names: n += 1
        names.add(unique)
    return names


def viewers(source: Path, made: Path) -> list[str]:
    "Viewers of a notebook that would need a kernel on the site, or scripts of another host"
    found = []
    nb = json.loads(source.read_text(encoding="utf-8"))
    for _, data in outputs(nb):
        if any("widget-view" in kind for kind in data) and "text/html" not in data: found.append(f"{source.name}: a widget without HTML beside it")
    for cell in nb["cells"]:
        last = "".join(cell["source"]).rstrip().split("\n")[-1]
        static = any("text/html" in o.get("data", {}) for o in cell.get("outputs", []))
        if cell["cell_type"] == "code" and VIEWER.match(last) and not static: found.append(f"{source.name}: no HTML is stored for the viewer {last}")
    for _, data in outputs(json.loads(made.read_text(encoding="utf-8"))):
        if "text/html" in data: found.append(f"{source.name}: text/html reaches Quarto, which then asks another host for scripts; settings.ini: procs = tracekit.view:raw_block")
        if any("widget-view" in kind for kind in data): found.append(f"{source.name}: a widget reaches Quarto, which cannot show it without a kernel")
    return found


def words(html: str) -> str:
    "The text of a piece of HTML, without spaces"
    page = Page()
    page.feed(html)
    return "".join(page.text.split())


def shown(made: Path, page: Page, name: str) -> list[str]:
    "Raw blocks of a processed notebook whose text is not on its page"
    text = "".join(page.text.split())
    blocks = [m[2] for _, data in outputs(json.loads(made.read_text(encoding="utf-8"))) for m in RAW.finditer(markdown(data))]
    return [f"{name}: a viewer is not on the page: {words(b)[:60]}" for b in blocks if words(b)[:200] not in text]


def styles(folder: Path) -> list[str]:
    "Stylesheets of a built site that load something from another host"
    return [f"{p.relative_to(folder)}: loads {url}" for p in sorted(folder.rglob("*.css")) for url in CSS.findall(p.read_text(encoding="utf-8"))]


def findings(pages: dict[str, Page], address: str, notebooks: dict[str, str], files: set[str]) -> list[str]:
    "What is wrong with pages: `notebooks` maps a notebook to its page, `files` are other files that a link may name"
    found = []
    for name, page in pages.items():
        if not page.title.strip(): found.append(f"{name}: has no title")
        if page.widgets: found.append(f"{name}: holds a widget, which needs a kernel")
        found += [f"{name}: {what}" for what in page.foreign]
        for link in page.links:
            if link.startswith(address): target = link.removeprefix(address)
            elif re.match(r"(?i)[a-z][a-z0-9+.-]*:|//", link): continue
            else: target = normpath(join(dirname(name), link)) if not link.startswith("#") and link else name + link
            place, _, anchor = target.partition("#")
            place = unquote(place.split("?")[0])
            place = {"": "index.html", ".": "index.html"}.get(place, notebooks.get(place, place))
            if place not in pages and place not in files: found.append(f"{name}: the link {link} leads nowhere")
            elif anchor and place in pages and unquote(anchor) not in pages[place].ids: found.append(f"{name}: the link {link} names no place on {place}")
    return found
