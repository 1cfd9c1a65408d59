"""The viewers in a real JupyterLab, in headless Chromium: by mouse, by keyboard alone, light and dark, stored and converted, with hostile traces."""
import json
import re
import subprocess
import sys

import lab as L
import pytest
from conftest import SHARED
from test_view import HOST, OWN, batches, poisoned_result, poisoned_trace

from tracekit.markup import trace_html
from tracekit.report import result_html
from tracekit.view import TraceViewer

DATA = """
from tracekit import view
from tracekit.cli import sample_log
from tracekit.dataset import Dataset
from tracekit.pipeline import convert
from tracekit.result import Result, Rows, TaskResult
from tracekit.run import score
from tracekit.trace import call, output, plain_trace, user, assistant
from pathlib import Path
made = Path('telecom.jsonl')
if not made.exists(): convert(sample_log(), '.', name='telecom', progress=False)
data = Dataset(made)
items = [i for n in range(50) for i in (user(f'my *phone* {n}'), call(f'c{n}', ('look', 'fix')[n % 2], '{"n":%d}' % n, created_by=('user', 'assistant')[n % 2]),
                                        output(f'c{n}', 'Error: no signal' if n % 7 == 0 else '{"ok":true}'), assistant('a word ' + 'and more '*20))]
items.append(user('long ' + 'text '*2000))
"""
RESULT = """
scored = score(made, 'telecom')
for task in scored.tasks.values():
    task.dataset = made
    for row in task.rows:
        for check in row.get('actions') or (): check['item'] = 9
"""


@pytest.fixture(scope="session")
def lab(tmp_path_factory):
    "One server for all tests"
    L.needed()
    root = tmp_path_factory.mktemp("lab")/"root"
    root.mkdir()
    L.notebook(root/"trace.ipynb", DATA, "v = view(plain_trace(items, metadata={'model': 'example-large', 'total_time': 48.2}), notes={'items[1]': 'never answered'}, highlights={'items[0].content[0].text:0-2': 'whose'})\nv")
    L.notebook(root/"dataset.ipynb", DATA, "view(data)")
    L.notebook(root/"result.ipynb", DATA + RESULT, "view(scored)")
    server = L.Lab(root)
    yield server
    server.stop()


@pytest.fixture
def page(chromium):
    "A page that may only speak with this machine, and that has seen no error and no dialog at the end"
    context = chromium.new_context(viewport={"width": 1300, "height": 1000}, permissions=["clipboard-read", "clipboard-write"])
    context.set_default_timeout(120_000)
    asked, said = [], []
    def only_here(route):
        if re.match(r"(http://127\.0\.0\.1[:/]|data:|blob:|about:)", route.request.url): return route.continue_()
        asked.append(route.request.url)
        return route.abort()
    context.route("**/*", only_here)
    made = context.new_page()
    made.on("pageerror", lambda e: said.append(f"error: {e}"))
    made.on("dialog", lambda d: d.accept() if d.type == "beforeunload" else (said.append(f"dialog: {d.message}"), d.dismiss()))
    yield made
    ran = made.evaluate("window.PWNED")
    context.close()
    assert not asked and not said and ran is None, (asked[:5], said[:5], ran)


OUT = """() => { const w = document.querySelector('.tk-viewer'), edge = w.getBoundingClientRect().right + 2;   // what is wider than the viewer, and does not scroll within something that fits
    return [...w.querySelectorAll('*')].filter(e => e.getBoundingClientRect().right > edge && !e.closest('.tk-wide, pre, summary') && e.checkVisibility()).slice(0, 3).map(e => e.outerHTML.slice(0, 150)) }"""


def until(page, test, *given): page.wait_for_function(test, arg=list(given) if given else None)
def told(viewer, text): viewer.get_by_text(text).locator("visible=true").first.wait_for()


# ---------------------------------------------------------------- by mouse
def test_a_trace_by_mouse(lab, page):
    v = lab.open(page, "trace.ipynb")
    L.shot(page, "trace-light")
    assert v.locator(".tk-e").count() == 40 and v.locator(".tk-note").count() == 1 and v.locator("mark.tk-light").count() == 1
    v.get_by_label("Search").fill("signal")
    v.get_by_label("Search").press("Enter")
    told(v, "1 of 8 hits")
    assert v.locator("mark.tk-now").count() == 1 and v.locator("mark.tk-now").is_visible()
    top = page.evaluate("document.querySelector('.tk-viewer').getBoundingClientRect().top")
    v.get_by_role("button", name="Previous hit").click()
    told(v, "8 of 8 hits")
    page.locator("mark.tk-now").wait_for()
    page.wait_for_timeout(300)
    box = page.evaluate("(() => { const r = document.querySelector('mark.tk-now').getBoundingClientRect(); return [r.top, innerHeight] })()")
    assert 0 <= box[0] < box[1] and page.evaluate("document.querySelector('.tk-viewer').getBoundingClientRect().top") != top, "the hit was scrolled to"
    L.shot(page, "trace-hit")
    v.get_by_label("Search").fill("")
    v.get_by_label("Search").press("Enter")
    v.get_by_role("button", name="Only errors").click()
    told(v, "entries 1 to 8 of 8, 143 are filtered out")
    assert v.locator(".tk-strip .tk-dim").count() > 100
    v.get_by_label("Tool").select_option(index=1)
    told(v, "entries 1 to 4 of 4, 147 are filtered out")
    v.get_by_label("Tool").select_option(label="all")
    v.get_by_role("button", name="Only errors").click()
    told(v, "entries 1 to 40 of 151")
    v.get_by_role("button", name="Next page").click()
    told(v, "entries 41 to 80 of 151")
    v.locator(".tk-strip a").first.click()
    v.locator(".tk-e.tk-target summary").first.wait_for()
    until(page, "() => document.activeElement.tagName === 'SUMMARY'")
    entry = v.locator(".tk-e").nth(1)
    entry.locator("summary").first.click()
    told(entry, "Error: no signal")
    entry.hover()
    entry.get_by_role("button", name="JSON").click()
    told(entry, '"type": "function_call"')
    entry.get_by_role("button", name="items[1]").first.click()
    until(page, "async () => await navigator.clipboard.readText() === 'items[1]'")
    until(page, "() => [...document.querySelectorAll('.tk-viewer input')].some(e => e.value === 'items[1]')")
    entry.get_by_role("button", name="note").click()
    page.keyboard.type("the SIM is out")
    v.get_by_role("button", name="Add note").click()
    told(v, "the SIM is out")
    v.get_by_label("Go to").fill("items[200].content")
    v.get_by_label("Go to").press("Enter")
    last = v.locator(".tk-e.tk-target")
    told(last, "of 10,005")
    last.get_by_role("button", name="show more").click()
    told(last, "characters 0 to 10,005")
    L.shot(page, "trace-long")


def test_copying_without_a_clipboard(lab, page):
    "Where the page may not use the clipboard, the old way is taken"
    v = lab.open(page, "trace.ipynb")
    page.evaluate("() => { window.copied = []; navigator.clipboard.writeText = () => Promise.reject(1); document.execCommand = what => { copied.push([what, document.activeElement.value]); return true } }")
    button = v.locator(".tk-n").nth(2)
    button.click()
    until(page, "() => copied.length === 1")
    assert page.evaluate("copied[0]") == ["copy", "items[3]"] and "tk-n" in L.focused(page)["cls"]


def test_a_result_by_mouse(lab, page):
    v = lab.open(page, "result.ipynb")
    L.shot(page, "result-light")
    assert v.locator(".tk-metrics b").first.inner_text() == "0.52" and v.get_by_text("Why it failed").count() == 1
    v.get_by_role("button", name="Previous page").scroll_into_view_if_needed()
    link = v.get_by_role("link", name="item 9").first
    link.click()
    v.locator(".tk-e.tk-target").wait_for()
    page.wait_for_timeout(300)
    assert v.locator(".tk-e.tk-target").get_attribute("data-at").split()[0] == "items[9]" and L.focused(page)["tag"] == "summary"
    assert page.evaluate("(() => { const r = document.querySelector('.tk-target').getBoundingClientRect(); return r.top >= 0 && r.bottom <= innerHeight })()")
    L.shot(page, "result-evidence")
    first = v.locator("tr.tk-on").inner_text()
    v.get_by_role("button", name="Next trace").click()
    until(page, "was => document.querySelector('tr.tk-on').innerText !== was[0]", first)
    v.get_by_text("Failures by kind").click()
    v.locator("[data-do^=kind]").first.click()
    told(v, "2 of 21 samples")
    v.get_by_role("button", name="Clear filters").click()
    told(v, "21 rows")
    v.get_by_label("Verdict").select_option(label="passed")
    told(v, "11 of 21 rows")
    v.get_by_label("Column").select_option(label="task_id")
    v.get_by_label("is", exact=True).fill("mms")
    v.get_by_label("is", exact=True).press("Enter")
    told(v, "task_id mms")
    L.theme(page, "JupyterLab Dark")
    page.evaluate("document.querySelector('.jp-WindowedPanel-outer').scrollTo(0, 0)")
    L.shot(page, "result-dark")
    assert not L.serious(page, ".tk-viewer")
    L.theme(page, "JupyterLab Light")


# ---------------------------------------------------------------- by keyboard alone
def test_a_trace_by_keyboard(lab, page):
    v = lab.open(page, "trace.ipynb")
    cells = page.locator(".jp-Cell").count()
    seen = L.tab_to(page, lambda f: f["label"] == "Search")
    assert all(f["outline"] for f in seen if f["here"]), "the focus can be seen"
    page.keyboard.type("signal")
    page.keyboard.press("Enter")
    told(v, "1 of 8 hits")
    L.choose(page, lambda f: f["text"] == "Next hit")
    told(v, "2 of 8 hits")
    assert L.focused(page)["text"] == "Next hit"
    L.tab_to(page, lambda f: f["label"] == "Search", key="Shift+Tab")
    page.keyboard.press("Control+a")
    page.keyboard.press("Delete")
    page.keyboard.press("Enter")
    L.tab_to(page, lambda f: f["text"] == "Only errors")
    page.keyboard.press("Space")
    told(v, "entries 1 to 8 of 8, 143 are filtered out")
    page.keyboard.press("Space")
    told(v, "entries 1 to 40 of 151")
    L.choose(page, lambda f: f["text"] == "Next page")
    told(v, "entries 41 to 80 of 151")
    L.tab_to(page, lambda f: f["label"] == "Go to")
    page.keyboard.type("items[1]")
    page.keyboard.press("Enter")
    v.locator(".tk-e.tk-target").wait_for()
    L.choose(page, lambda f: f["title"].endswith("items[1]") and "tk-n" in f["cls"])
    until(page, "async () => await navigator.clipboard.readText() === 'items[1]'")
    L.choose(page, lambda f: f["tag"] == "summary")
    until(page, "() => !document.querySelector('.tk-target > details').open")
    page.keyboard.press("Enter")
    until(page, "() => document.querySelector('.tk-target > details').open")
    for key in ("b", "x", "ArrowDown"): page.keyboard.press(key)   # shortcuts of the notebook, which would add, cut or leave the cell
    assert page.locator(".jp-Cell").count() == cells and L.focused(page)["tag"] == "summary"
    L.choose(page, lambda f: f["text"] == "JSON")
    told(v.locator(".tk-target"), '"type": "function_call"')
    until(page, "() => document.activeElement.textContent === 'as usual'")
    page.keyboard.press("Enter")
    until(page, "() => document.activeElement.textContent === 'JSON'")
    L.choose(page, lambda f: f["text"] == "note")
    page.keyboard.type("seen")
    L.choose(page, lambda f: f["text"] == "Add note")
    told(v, "seen")
    page.locator(".tk-strip a").first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("End")
    assert L.focused(page)["title"].startswith("items[200]")
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    until(page, "() => document.activeElement.tagName === 'SUMMARY'")
    assert v.locator(".tk-target").get_attribute("data-at") == "items[1] items[2]"
    L.theme(page, "JupyterLab Dark")
    L.shot(page, "trace-dark")
    assert not L.serious(page, ".tk-viewer")
    L.theme(page, "JupyterLab Light")
    assert not L.serious(page, ".tk-viewer")


def test_a_result_by_keyboard(lab, page):
    "From a failed check to the call it speaks of"
    v = lab.open(page, "result.ipynb")
    L.choose(page, lambda f: f["tag"] == "a" and f["text"] == "item 9")
    v.locator(".tk-e.tk-target").wait_for()
    until(page, "() => document.activeElement.tagName === 'SUMMARY'")
    assert v.locator(".tk-target").get_attribute("data-at").split()[0] == "items[9]"
    was = v.locator("tr.tk-on").inner_text()
    L.choose(page, lambda f: f["text"] == "Next trace")
    until(page, "was => document.querySelector('tr.tk-on').innerText !== was[0]", was)
    assert L.focused(page)["text"] == "Next trace"


def test_a_dataset_by_keyboard(lab, page):
    v = lab.open(page, "dataset.ipynb")
    L.shot(page, "dataset-light")
    L.choose(page, lambda f: f["text"].startswith("reward"))
    told(v, "reward ▴")
    assert L.focused(page)["text"].startswith("reward"), "the focus is where it was"
    page.keyboard.press("Enter")
    told(v, "reward ▾")
    L.tab_to(page, lambda f: f["text"].startswith("["))
    wanted = L.focused(page)["text"]
    page.keyboard.press("Enter")
    until(page, "was => document.querySelector('tr.tk-on')?.innerText.includes(was[0].slice(0, 30))", wanted)
    assert L.focused(page)["text"] == wanted
    L.choose(page, lambda f: f["text"] == "Next trace")
    L.tab_to(page, lambda f: f["label"] == "is", key="Shift+Tab")
    page.keyboard.type("mms")
    page.keyboard.press("Enter")
    told(v, "4 of 21 rows")
    L.choose(page, lambda f: f["text"] == "Clear filters")
    told(v, "21 rows")
    assert not L.serious(page, ".tk-viewer")
    page.set_viewport_size({"width": 700, "height": 1000})
    page.wait_for_timeout(400)
    L.shot(page, "dataset-narrow")
    assert not page.evaluate(OUT), "nothing sticks out"


# ---------------------------------------------------------------- stored, converted
def test_the_stored_form(lab, page, tmp_path):
    "Run and cleaned twice without a difference; opened without a kernel and converted, the static form is there"
    path = lab.root/"stored.ipynb"
    L.notebook(path, DATA, "view(data[9])", "view(data)")
    told = []
    for _ in range(2):
        subprocess.run([sys.executable, "-m", "tools.docs", "run", str(path)], cwd=L.ROOT, check=True, capture_output=True)
        subprocess.run([sys.executable, "-c", f"from nbdev.clean import nbdev_clean; nbdev_clean({str(path)!r})"], cwd=L.ROOT, check=True, capture_output=True)
        told.append(path.read_text())
    assert told[0] == told[1] and "widget-view" not in told[0] and "model_id" not in told[0]
    book = lab.open(page, "stored.ipynb", run=False)
    book.locator(".tk-e").first.wait_for()
    assert book.locator(".tk-viewer").count() == 0 and book.locator(".tk-strip").count() >= 1
    L.shot(page, "stored-lab")
    out = tmp_path/"stored.html"
    subprocess.run([sys.executable, "-m", "nbconvert", "--to", "html", "--output", str(out), str(path)], check=True, capture_output=True)
    text = out.read_text()
    assert "vnd.jupyter.widget" not in re.sub(r"(?s)<script>.*?</script>|<style.*?</style>", "", text) and len(re.findall(r'<section[^>]* class="tk"', text)) == 2
    page.unroute_all()
    page.context.unroute_all()
    page.context.route("http*://**", lambda route: route.abort())   # the page asks for MathJax of another host, as every converted notebook does
    page.goto(out.as_uri(), wait_until="domcontentloaded")
    page.locator(".tk-e").first.wait_for()
    assert page.locator(".tk-e").count() > 15
    page.locator(".tk-call summary").first.click()
    assert page.locator(".tk-call details[open] .tk-args").first.is_visible()
    page.locator(".tk-strip a").nth(5).click()
    assert L.focused(page)["tag"] == "summary"
    assert not L.serious(page, "section.tk")
    L.shot(page, "stored-html")


# ---------------------------------------------------------------- hostile
def payloads():
    path = SHARED/"data"/"xss"/"payloads.txt"
    return OWN + (path.read_text(encoding="utf-8").splitlines() if path.exists() else [])


def test_hostile_html_in_a_real_browser(page):
    "Everything that the viewers make of hostile traces, as a page and through innerHTML, as a widget sets it"
    for n, some in enumerate(batches(payloads(), 40)):
        trace = poisoned_trace(some)
        shown = TraceViewer(trace, {"task_id": some[0]}, unfold=True)
        made = [shown.head.value, shown.strip.value, shown.body.value]
        shown.search.value = some[0][:4].replace("\ud800", "")
        whole = [trace_html(trace, {"task_id": some[0]}, title=some[0], unfold=True), result_html(poisoned_result(some))]
        for text in whole[:1 + n % 2]: page.set_content(text, wait_until="commit")
        page.evaluate("parts => { for (const part of parts) { const e = document.createElement('div'); e.innerHTML = part; document.body.append(e) } }", [*made, shown.body.value, whole[1]])
        page.evaluate("() => { for (const e of document.querySelectorAll('summary, [data-go], [data-do]')) { e.dispatchEvent(new MouseEvent('mouseover', {bubbles: true})); e.click() } }")
        page.evaluate("() => document.querySelectorAll('details').forEach(e => e.open = true)")
        alive = page.evaluate("""() => [...document.querySelectorAll('body *')].filter(e => /^(script|iframe|object|embed|form|base|meta|link|svg|math|video|audio)$/i.test(e.tagName) || e.tagName === 'IMG' && !e.src.startsWith('data:image/')
            || /^(javascript|data|vbscript|file):/i.test(e.href || '') || [...e.attributes].some(a => a.name.startsWith('on') && !(e.tagName === 'SECTION' || e.tagName === 'STYLE'))).map(e => e.outerHTML.slice(0, 200))""")
        assert not alive, alive[:3]
    page.wait_for_timeout(200)


def test_hostile_traces_in_lab(lab, page):
    "A trace of all payloads in the live viewer: nothing runs, nothing is fetched (see `page`), the notebook holds together"
    (lab.root/"hostile.json").write_text(json.dumps({"trace": poisoned_trace(payloads()[:150]), "task_id": OWN[3], "reward": 0.0, OWN[3]: OWN[3]}))
    L.notebook(lab.root/"hostile.ipynb", "import json\nfrom tracekit import view\nrow = json.load(open('hostile.json'))\nhuge = {'trace': [{'role': 'user', 'content': 'x'*1_000_000}, {'role': 'assistant', 'content': '['*10_000 + ']'*10_000}], 'task_id': '</script>'}",
               "view([row, huge], unfold=True)", "from IPython.display import HTML\nHTML(view(row).static_html())")
    v = lab.open(page, "hostile.ipynb")
    for text in ("script", "alert", "onerror"):
        v.get_by_label("Search").nth(1).fill(text)
        v.get_by_label("Search").nth(1).press("Enter")
        v.locator("mark.tk-now").first.wait_for()
        v.get_by_role("button", name="Next hit").click()
    v.get_by_label("Show").select_option(label="JSON")
    told(v, '"type": "message"')
    L.shot(page, "hostile")
    v.get_by_role("button", name="Next trace").click()
    told(v, re.compile(r"of 1,000,\d+"))
    assert not page.evaluate(OUT), "nothing sticks out"
    assert HOST not in page.url and page.locator(".jp-Notebook").count() == 1
    L.shot(page, "huge")
