"""The page as a reader has it: opened from a file in a browser without a network, by mouse, by keyboard and by address; and what hostile traces can do to it."""
import base64
import copy
import json
import re
import shutil
import zlib
from html.parser import HTMLParser

import pytest
from click.testing import CliRunner
from conftest import NO_SHARED, SHARED
from lab import AXE

from tracekit.cli import main, sample_log
from tracekit.dataset import Dataset
from tracekit.page import KEPT, page_html, write_page
from tracekit.pipeline import convert
from tracekit.result import Figure, Result, Rows, TaskResult
from tracekit.run import score
from tracekit.trace import assistant, call, message, output, output_text, plain_trace, reasoning_text, user


@pytest.fixture(scope="module")
def browser(chromium):
    "A browser without a network"
    context = chromium.new_context(offline=True, viewport={"width": 1240, "height": 1000}, permissions=["clipboard-read", "clipboard-write"])
    yield context
    context.close()


@pytest.fixture
def show(browser):
    "Opens a page; at the end nothing may have been asked of a network, and nothing said on the console"
    opened, told = [], []

    def open_(path, state="", script=True):
        tab = browser.new_page()
        opened.append(tab)
        tab.on("request", lambda r: told.append(f"request {r.url[:100]}") if not r.url.startswith(path.as_uri()) else None)
        tab.on("console", lambda m: told.append(f"console {m.text[:300]}"))
        tab.on("pageerror", lambda e: told.append(f"error {e}"))
        tab.on("dialog", lambda d: (told.append(f"dialog {d.message}"), d.dismiss()))
        tab.goto(path.as_uri() + state)
        if script: tab.wait_for_selector("main[data-ready]", timeout=20_000)
        return tab
    yield open_
    for tab in opened: tab.close()
    assert told == []


@pytest.fixture(scope="module")
def telecom(tmp_path_factory):
    "The sample, scored, as a page"
    folder = tmp_path_factory.mktemp("page")
    with pytest.MonkeyPatch.context() as m:
        m.chdir(folder)
        done = CliRunner().invoke(main, ["demo", "-o", "demo"])
    assert done.exit_code == 0, done.output
    return folder/"demo"/"telecom.html"


def wait(tab, condition): tab.wait_for_function(f"() => {condition}", timeout=5_000)
def text(tab, css): return tab.locator(css).first.inner_text()
def rows(tab): return tab.locator("#tk-rows tbody tr:visible").all_inner_texts()
def blocks(html): return {m[1]: json.loads(zlib.decompress(base64.b64decode(m[2]))) for m in re.finditer(r'<script type="application/octet-stream" id="([^"]+)"[^>]*>([^<]*)</script>', html)}


# ---- what a newcomer sees

def test_the_first_sight_answers_what_failed_and_why(show, telecom):
    tab = show(telecom)
    assert "10 failed" in text(tab, "header") and tab.locator(".tk-ci").count() >= 5
    assert tab.locator("#tk-rows tbody tr").count() == 21 and "failed" in tab.locator("#tk-rows tbody tr .tk-dot").first.get_attribute("aria-label")
    assert "Why it failed" in text(tab, "#tk-head")
    missing = tab.locator(".tk-checks li", has_text="reseat_sim_card")
    box = missing.bounding_box()
    assert "not met" in missing.inner_text() and "never called" in missing.inner_text() and box["y"] + box["height"] < 1000, "the reason is on the first screen"
    band, value = tab.locator(".tk-ci i").first.bounding_box(), tab.locator(".tk-ci u").first.bounding_box()
    assert band["width"] > 20 and band["x"] < value["x"] < band["x"] + band["width"], "the interval is drawn: its style got past the policy"


def test_without_the_script_the_first_failure_is_there(browser, telecom):
    tab = browser.browser.new_context(java_script_enabled=False, offline=True).new_page()
    tab.goto(telecom.as_uri())
    assert tab.locator("article.tk-e").count() > 10 and "reseat_sim_card" in text(tab, "#tk-head") and tab.locator("#tk-rows tbody tr:visible").count() == 21
    assert "need the script" in text(tab, "#tk-off") and tab.locator(".tk-live:visible").count() == 0
    tab.context.close()


def test_next_and_previous_by_mouse_keys_and_history(show, telecom):
    tab = show(telecom)
    first = text(tab, "#tk-head h2")
    tab.get_by_role("button", name="next ›").click()
    wait(tab, "document.querySelector('#tk-head').dataset.k === '1'")
    second = text(tab, "#tk-head h2")
    assert "#sample=" in tab.url and tab.locator("tr.tk-on").get_attribute("data-k") == "1" and text(tab, "#tk-place") == "2 of 21"
    tab.keyboard.press("j")
    wait(tab, "document.querySelector('#tk-head').dataset.k === '2'")
    tab.keyboard.press("k")
    wait(tab, "document.querySelector('#tk-head').dataset.k === '1'")
    tab.go_back()
    wait(tab, "document.querySelector('#tk-head').dataset.k === '2'")
    tab.go_forward()
    wait(tab, "document.querySelector('#tk-head').dataset.k === '1'")
    assert text(tab, "#tk-head h2") == second
    tab.locator("#tk-rows tbody tr a").first.click()
    wait(tab, "document.querySelector('#tk-head').dataset.k === '0'")
    assert text(tab, "#tk-head h2") == first and second in (tab.locator("#tk-rows tbody tr").nth(1).inner_text() + second)


def test_back_to_the_beginning(show, telecom):
    "The address without anything after it is the first sample, and clearing a field does not scroll away"
    tab = show(telecom)
    tab.keyboard.press("j")
    wait(tab, "document.querySelector('#tk-head').dataset.k === '1'")
    tab.go_back()
    wait(tab, "document.querySelector('#tk-head').dataset.k === '0'")
    tab.locator("#tk-list article").last.scroll_into_view_if_needed()
    tab.locator("#tk-q").fill("the")
    wait(tab, "document.querySelector('mark.tk-now')")
    tab.evaluate("scrollTo(0, 700)")
    tab.locator("#tk-q").fill("")
    wait(tab, "!document.querySelector('mark')")
    assert tab.evaluate("scrollY") > 400
    tab.keyboard.press("Escape")
    tab.keyboard.press("j")
    wait(tab, "document.querySelector('#tk-head').dataset.k === '1'")
    assert 0 <= tab.locator("#tk-head").bounding_box()["y"] < 200, "another sample begins at its top"
    tab.keyboard.press("/")
    tab.keyboard.type("sim card")
    wait(tab, "document.querySelector('#tk-count').textContent.includes(' of 21')")
    assert tab.locator("#tk-all").bounding_box()["y"] >= 0, "the field that somebody types in stays"
    tab.keyboard.press("Enter")
    assert tab.evaluate("document.activeElement.closest('tr').dataset.k") == str(tab.locator("#tk-rows tbody tr:visible").first.get_attribute("data-k"))


def test_a_page_of_nothing(show, tmp_path):
    assert "There are no rows" in text(show(write_page([], tmp_path/"none.html")), "main")
    assert "could not be run" in text(show(write_page(Result([TaskResult("t", problem="no such dataset")]), tmp_path/"problem.html")), "main")


def test_a_row_can_be_reached_with_the_tab_key(show, telecom):
    tab = show(telecom)
    tab.locator("#tk-rows tbody tr a").nth(3).focus()
    tab.keyboard.press("Tab")
    tab.keyboard.press("Enter")
    wait(tab, "document.querySelector('#tk-head').dataset.k === '4'")


def test_an_address_opens_a_sample_at_an_item(show, telecom):
    names = blocks(telecom.read_text())["tk-values"]["names"]
    tab = show(telecom, f"#sample={names[5]}&at=items[6]")
    wait(tab, "document.querySelector('.tk-target')")
    assert tab.locator("#tk-head").get_attribute("data-k") == "5" and "items[6]" in tab.locator(".tk-target").get_attribute("data-at").split()
    assert tab.locator(".tk-target > details").get_attribute("open") is not None and tab.locator(".tk-target > details > summary").evaluate("e => e === document.activeElement")
    assert 0 <= tab.locator(".tk-target").bounding_box()["y"] < 1000 and tab.locator(".tk-strip .tk-here").count() == 1
    tab.evaluate("location.hash = '#sample=no+such&at=items[999]'")
    wait(tab, "document.querySelector('#tk-missing').textContent")
    assert "no sample no such" in text(tab, "#tk-missing")
    wait(tab, "document.querySelector('#tk-lost').textContent.includes('items[999]')")


def test_strip_checks_and_links_go_to_the_item(show, telecom, tmp_path):
    tab = show(telecom)
    tab.locator(".tk-strip a").nth(4).click()
    wait(tab, "location.hash.includes('at=items[4]')")
    wait(tab, "document.querySelector('.tk-target > details[open]')")
    tab.locator(".tk-strip a").nth(4).focus()
    tab.keyboard.press("ArrowRight")
    tab.keyboard.press("Enter")
    wait(tab, "location.hash && !location.hash.includes('at=items[4]')")
    row = {"id": "a", "reward": 0.0, "row": 1, "actions": [{"name": "f", "met": False, "why": "wrong", "item": 2}]}
    (tmp_path/"d.jsonl").write_text(json.dumps({"trace": plain_trace([user("x"), call("c", "f", "{}"), output("c", "y")])}) + "\n")
    tab = show(write_page(Result([TaskResult("t", Rows([row]))]), tmp_path/"r.html", dataset=tmp_path/"d.jsonl"))
    tab.get_by_role("link", name="item 2").click()
    wait(tab, "document.querySelector('.tk-target > details[open]')")
    assert tab.locator(".tk-target").get_attribute("data-at") == "items[1] items[2]", "the result stands in the entry of its call"


# ---- the table

def test_sort_filter_and_search(show, telecom):
    known = blocks(telecom.read_text())["tk-values"]
    trial, task = known["columns"].index("trial"), known["columns"].index("task_id")
    tab = show(telecom)
    tab.get_by_role("button", name="trial", exact=True).click()
    wait(tab, "document.querySelector('[aria-sort=ascending]')")
    order = tab.locator("#tk-rows tbody tr").evaluate_all("rs => rs.map(r => Number(r.dataset.k))")
    assert [known["rows"][k][trial] for k in order] == sorted(r[trial] for r in known["rows"])
    tab.get_by_role("button", name="trial", exact=True).click()
    wait(tab, "document.querySelector('[aria-sort=descending]')")
    tab.get_by_label("Verdict").select_option("passed")
    wait(tab, "document.querySelector('#tk-count').textContent.startsWith('11 of')")
    tab.get_by_label("Column of the condition").select_option("task_id")
    tab.get_by_label("Condition on the column").fill("!mms")
    wait(tab, "location.hash.includes('where.task_id')")
    want = sum(v is True and "mms" not in r[task] for v, r in zip(known["verdicts"], known["rows"]))
    wait(tab, f"document.querySelectorAll('#tk-rows tbody tr:not([hidden])').length === {want}")
    tab.locator("#tk-chips button").click()
    wait(tab, "!location.hash.includes('where.')")
    tab.get_by_label("Column of the condition").select_option("trial")
    tab.get_by_label("Condition on the column").fill("<x")
    wait(tab, "document.querySelector('#tk-count').textContent.includes('expected a number')")
    tab.goto(telecom.as_uri() + "#where.trial=%3D0&verdict=failed")
    tab.reload()
    tab.wait_for_selector("main[data-ready]")
    assert len(rows(tab)) == sum(v is False and r[trial] == 0 for v, r in zip(known["verdicts"], known["rows"]))


def test_search_in_all_opens_with_the_hits_marked(show, telecom):
    texts = [t for id, held in blocks(telecom.read_text()).items() if id.startswith("i") for t in held]
    want = [k for k, t in enumerate(texts) if "airplane" in "\n".join(t).lower()]
    tab = show(telecom)
    tab.keyboard.press("/")
    tab.keyboard.type("AIRPLANE")
    wait(tab, f"document.querySelectorAll('#tk-rows tbody tr:not([hidden])').length === {len(want)}")
    wait(tab, "document.querySelector('mark.tk-now')")
    assert {m.lower() for m in tab.locator("#tk-list mark").all_inner_texts()} <= {"airplane", ""}
    tab.keyboard.press("Escape")
    tab.keyboard.press("j")
    wait(tab, f"document.querySelector('#tk-head').dataset.k === '{want[1]}'")
    tab.locator("#tk-all").fill("no such text")
    wait(tab, "document.querySelector('#tk-count').textContent === '0 of 21 samples'")


def test_kinds_of_failures_are_filters(show, telecom):
    tab = show(telecom)
    tab.locator("summary", has_text="Failures by kind").click()
    line = tab.locator("header tr").first
    many = int(line.locator("td").first.inner_text())
    line.get_by_role("button").click()
    wait(tab, f"document.querySelectorAll('#tk-rows tbody tr:not([hidden])').length === {many}")


# ---- one trace

SMALL = plain_trace([
    user("I landed in France and my *mobile data* does nothing.\n\n| a | b |\n|---|--:|\n| 1 | 2 |"),
    message("assistant", [reasoning_text("Abroad: look at roaming first."), output_text("Let me look at your **roaming**.")]),
    call("c1", "get_line", '{"id":"L1002"}', created_by="assistant"),
    output("c1", json.dumps({"line_id": "L1002", "roaming_enabled": False, "plans": [{"id": n, "gb": 10*n} for n in range(5)]}), created_by="assistant"),
    call("c2", "refuel", '{"gb":0}', created_by="user"), output("c2", "Error: must be positive", created_by="user"), assistant("Roaming, ROAMING and roaming."),
], metadata={"trace_id": "t1"})


@pytest.fixture(scope="module")
def small(tmp_path_factory): return write_page(SMALL, tmp_path_factory.mktemp("small")/"small.html")


def test_one_trace_has_no_table(show, small):
    tab = show(small)
    assert tab.locator("#tk-rows").count() == 0 and tab.locator("article.tk-e").count() == 5


def test_search_in_the_trace(show, small):
    tab = show(small)
    tab.keyboard.press("t")
    tab.keyboard.type("roaming")
    wait(tab, "document.querySelector('#tk-hits').textContent === '1 of 6'")
    assert tab.locator("#tk-list mark").count() == 6 and tab.locator("mark.tk-now").is_visible(), "the thinking that holds it is unfolded"
    for n in (2, 3):
        tab.keyboard.press("Enter")
        wait(tab, f"document.querySelector('#tk-hits').textContent === '{n} of 6'")
    assert tab.locator("mark.tk-now").is_visible() and tab.locator("mark.tk-now").evaluate("e => e.closest('article').dataset.at") == "items[2] items[3]", "the call that holds it is unfolded"
    tab.keyboard.press("Shift+Enter")
    wait(tab, "document.querySelector('#tk-hits').textContent === '2 of 6'")
    tab.get_by_role("button", name="Next hit").click()
    wait(tab, "document.querySelector('#tk-hits').textContent === '3 of 6'")
    tab.locator("#tk-q").fill("")
    wait(tab, "!document.querySelector('#tk-list mark')")
    assert tab.locator("table").count() == 1, "Markdown is back"
    tab = show(small, "#q=roaming&hit=5")
    wait(tab, "document.querySelector('#tk-hits').textContent === '5 of 6'")


def test_filters_dim_the_strip(show, small):
    tab = show(small)
    tab.get_by_label("errors only").check()
    wait(tab, "document.querySelectorAll('article.tk-e:not([hidden])').length === 1")
    assert text(tab, "#tk-left") == "1 of 5 entries" and tab.locator(".tk-strip .tk-dim").count() == 4
    tab.get_by_label("errors only").uncheck()
    for label, value, many in (("Who", "user", 2), ("Kind", "thinking", 1), ("Tool", "get_line", 1)):
        tab.get_by_label(label, exact=True).select_option(value)
        wait(tab, f"document.querySelectorAll('article.tk-e:not([hidden])').length === {many}")
        tab.get_by_label(label, exact=True).select_option("")
        wait(tab, "document.querySelectorAll('article.tk-e:not([hidden])').length === 5")
    tab.keyboard.press("e")
    wait(tab, "location.hash.includes('at=items[4]')")


def test_folds_are_kept_from_sample_to_sample(show, telecom):
    tab = show(telecom)
    closed = "document.querySelectorAll('#tk-list article > details:not([open])').length"
    assert tab.evaluate(closed) > 0
    tab.get_by_role("button", name="Unfold all").click()
    wait(tab, f"{closed} === 0")
    tab.keyboard.press("j")
    wait(tab, "document.querySelector('#tk-head').dataset.k === '1'")
    wait(tab, f"{closed} === 0")
    tab.keyboard.press("f")
    wait(tab, "document.querySelectorAll('#tk-list article > details[open]').length === 0")
    tab.keyboard.press("f")
    wait(tab, "document.querySelectorAll('#tk-list article > details[open]').length > 0")


def test_forms_and_exact_json(show, small):
    tab = show(small)
    assert tab.locator("#tk-list table").is_visible()
    tab.get_by_label("Form", exact=True).select_option("text")
    wait(tab, "document.querySelector('#tk-list').classList.contains('tk-in-plain')")
    assert not tab.locator("#tk-list table").is_visible() and "| 1 | 2 |" in text(tab, "article.tk-e")
    tab.get_by_label("Form", exact=True).select_option("json")
    wait(tab, "document.querySelectorAll('.tk-json pre').length >= 7")
    assert json.loads(tab.locator("article.tk-e .tk-json pre").first.text_content()) == SMALL["items"][0]
    tab.get_by_label("Form", exact=True).select_option("trace")
    wait(tab, "!document.querySelector('#tk-whole').hidden")
    assert json.loads(tab.locator("#tk-whole pre").text_content()) == SMALL
    tab.locator("#tk-whole button").click()
    wait(tab, "document.querySelector('#tk-whole button').textContent === 'copied'")
    assert json.loads(tab.evaluate("navigator.clipboard.readText()")) == SMALL
    tab.get_by_label("Form", exact=True).select_option("")
    wait(tab, "document.querySelector('#tk-whole').hidden")
    tab.locator("article.tk-e").first.hover()
    tab.locator("article.tk-e").first.get_by_role("button", name="JSON").click()
    assert tab.locator("article.tk-e").first.locator("pre").is_visible() and not tab.locator("#tk-list table").is_visible()


def test_a_number_copies_its_address(show, small):
    tab = show(small)
    tab.locator(".tk-n").nth(2).click()
    wait(tab, "document.querySelectorAll('.tk-n')[2].textContent === 'copied'")
    assert tab.evaluate("navigator.clipboard.readText()") == "items[2]"
    tab.evaluate("() => { Object.defineProperty(navigator, 'clipboard', {value: {writeText: () => Promise.reject(new Error('no'))}}); document.addEventListener('copy', () => { window.copied = document.activeElement.value; }); }")
    tab.locator(".tk-n").nth(1).click()
    wait(tab, "window.copied === 'items[1]'")


def test_print_shows_the_sample_unfolded_and_no_controls(show, telecom):
    tab = show(telecom)
    tab.evaluate("dispatchEvent(new Event('beforeprint'))")
    tab.emulate_media(media="print", color_scheme="dark")
    assert tab.locator("#tk-list details:not([open])").count() == 0 and tab.locator("#tk-list .tk-args").first.is_visible()
    assert tab.locator(".tk-bar:visible, #tk-rows:visible, .tk-walk:visible, .tk-at:visible, .tk-act:visible").count() == 0
    assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)" and tab.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
    tab.emulate_media(media="screen")
    tab.evaluate("dispatchEvent(new Event('afterprint'))")
    assert tab.locator("#tk-list article > details:not([open])").count() > 0


@pytest.mark.parametrize("width", [1240, 700, 400, 320])
def test_nothing_is_wider_than_the_screen(show, telecom, width):
    tab = show(telecom, "#fold=all")
    tab.set_viewport_size({"width": width, "height": 900})
    assert tab.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(browser, telecom, small, scheme):
    "Rules of accessibility, by axe-core, if its file is at hand"
    if not AXE.is_file(): pytest.skip("axe-core is not here: run make browser")
    tab = browser.browser.new_context(bypass_csp=True, offline=True, color_scheme=scheme).new_page()
    for page, state in ((telecom, ""), (telecom, "#fold=all"), (telecom, "#find=airplane&verdict=failed&where.trial=%3E0"), (small, "#at=items[2]&show=json"), (small, "#q=roaming")):
        tab.goto("about:blank")
        tab.goto(page.as_uri() + state)
        tab.wait_for_selector("main[data-ready]")
        tab.evaluate("document.querySelectorAll('header details').forEach(d => { d.open = true; })")
        tab.add_script_tag(content=AXE.read_text(encoding="utf-8"))
        assert [(v["impact"], v["id"], v["nodes"][0]["html"][:120]) for v in tab.evaluate("axe.run(document)")["violations"]] == []
    tab.context.close()


# ---- much

def test_a_long_trace_opens_in_parts(show, tmp_path):
    items = [m for n in range(900) for m in (call(f"c{n}", "look", json.dumps({"n": n})), output(f"c{n}", f"found {n} needle" if n == 777 else f"found {n}"))]
    page = write_page(plain_trace(items), tmp_path/"long.html")
    tab = show(page)
    assert tab.locator("article.tk-e").count() == 200 and tab.locator(".tk-part").count() == 5 and text(tab, "#tk-left") == "900 entries"
    tab.locator(".tk-later").first.scroll_into_view_if_needed()
    wait(tab, "document.querySelectorAll('article.tk-e').length >= 400")
    tab = show(page, "#at=items[1700].arguments")
    wait(tab, "document.querySelector('.tk-target')")
    assert tab.locator(".tk-target").get_attribute("data-at") == "items[1700] items[1701]" and 0 <= tab.locator(".tk-target").bounding_box()["y"] < 1000
    tab = show(page, "#q=needle")
    wait(tab, "document.querySelector('mark.tk-now')")
    assert text(tab, "#tk-hits") == "1 of 1" and 0 <= tab.locator("mark.tk-now").bounding_box()["y"] < 1000
    tab = show(page, "#show=trace")
    wait(tab, "!document.querySelector('#tk-whole').hidden && document.querySelector('#tk-whole pre')")
    assert len(json.loads(tab.locator("#tk-whole pre").text_content())["items"]) == 1800


def test_nothing_is_lost_up_to_a_size_and_what_is_cut_is_counted(small):
    for size in (5_000, KEPT - 10, KEPT + 300_000):
        held = blocks(page_html(plain_trace([user("x"*size)])))["z0.0"]
        there = re.sub(r"<[^>]+>", "", held["html"]).count("x")
        if size < KEPT: assert there >= size and "not on this page" not in held["html"] and "x"*size in held["json"]["items[0]"]
        else: assert "300,000 characters are not on this page" in held["html"] and "not on this page" in held["json"]["items[0]"]


def test_the_limit_is_told():
    given = [{"trace": plain_trace([user(str(n))]), "task_id": str(n)} for n in range(7)]
    html = page_html(given, limit=3)
    assert "this page holds the first 3 of 7 (--limit N shows more)" in html and len(blocks(html)["tk-values"]["rows"]) == 3
    result = Result([TaskResult("t", Rows({"id": str(n), "reward": float(n != 5)} for n in range(7)))])
    assert "of 7 (--limit N shows more)" in page_html(result, limit=2) and blocks(page_html(result, limit=2))["tk-values"]["names"][0] == "5", "those that failed stay"


def test_the_page_is_the_same_every_time(telecom):
    data = Dataset(telecom.parent/"telecom.jsonl")
    assert page_html(data) == page_html(data)


# ---- spans

def test_a_sub_agent_stands_in_a_fold(show, tmp_path):
    at = "2026-01-01T00:00:00Z"
    trace = plain_trace([user("find the bug"), assistant("found")], events=[
        {"type": "span_begin", "span_id": "s1", "name": "helper", "timestamp": at},
        {"type": "message_event", "item": user("look into the parser"), "span_id": "s1", "timestamp": at}, {"type": "span_end", "span_id": "s1", "timestamp": at}])
    tab = show(write_page(trace, tmp_path/"span.html"), "#at=spans[0].items[0]")
    wait(tab, "document.querySelector('.tk-span[open] .tk-target')")
    tab = show(tmp_path/"span.html", "#q=parser")
    wait(tab, "document.querySelector('.tk-span[open] mark.tk-now')")
    tab = show(tmp_path/"span.html", "#who=user")
    wait(tab, "document.querySelectorAll('article.tk-e:not([hidden])').length === 2")
    assert tab.locator(".tk-span").get_attribute("hidden") is None


# ---- hostile traces

P = "window.PWNED=1"
OWN = [
    f"<script>{P}</script>", f"</script><script>{P}</script>", f"</style><script>{P}</script>", f"</template><script>{P}</script>", f"</title><script>{P}</script>", f"</textarea><script>{P}</script>",
    f"</details></article></section></main><script>{P}</script>", f"--><script>{P}</script>", f"]]><script>{P}</script>", f"<!--<script>{P}</script>", f"<!-- --!><img src=x onerror={P}>",
    f"<img src=x onerror={P}>", f'"><img src=x onerror={P}>', f"'><img src=x onerror={P}>", f"<svg onload={P}>", f"<svg><script>{P}</script></svg>", f"<svg><animate onbegin={P} attributeName=x>",
    f"<math><mtext><table><mglyph><style><img src=x onerror={P}>", "<iframe srcdoc='<script>parent.PWNED=1</script>'>", "<iframe src=javascript:parent.PWNED=1>", f"<object data=javascript:{P}>",
    f"<embed src=javascript:{P}>", f"<body onload={P}>", f"<input autofocus onfocus={P}>", f"<details open ontoggle={P}>", f"<video><source onerror={P}>", f"<audio src=x onerror={P}>", f"<marquee onstart={P}>",
    f"<a href=javascript:{P} id=x>x</a>", f"[x](javascript:{P})", f"[x](JaVaScRiPt:{P})", f"[x](java\tscript:{P})", f"[x](&#106;avascript:{P})", f"[x](data:text/html,<script>{P}</script>)",
    f"[x](vbscript:{P})", f"<javascript:{P}>", f"![x](javascript:{P})", "![x](https://example.invalid/x.png)", "![x](data:image/svg+xml;base64,PHN2ZyBvbmxvYWQ9YWxlcnQoMSk+)",
    f"[x]: javascript:{P}\n\n[x]", f'[x](https://example.invalid/"onmouseover="{P})', f"```html\n<script>{P}</script>\n```", f"````\n```\n<script>{P}</script>", f"`<script>{P}</script>`", f"~~~\" onclick=\"{P}\n~~~",
    f"| <img src=x onerror={P}> |\n|--:|\n| <script>{P}</script> |", f"> <svg onload={P}>", f"1. <script>{P}</script>", f"# <img src=x onerror={P}>", "<style>*{background:url(https://example.invalid/c)}</style>",
    "<style>@import 'https://example.invalid/i.css'</style>", "<link rel=stylesheet href=https://example.invalid/l.css>", "<link rel=prefetch href=https://example.invalid/p>", "<meta http-equiv=refresh content='0;url=https://example.invalid/'>",
    "<base href=https://example.invalid/>", "<form action=https://example.invalid/><button>go</button></form>", "<img srcset='https://example.invalid/s.png 1x'>", "<div style='background:url(https://example.invalid/b)'>", "<p style=x:expression(alert(1))>",
    "<script type=module src=https://example.invalid/m.js></script>", "{{constructor.constructor('window.PWNED=1')()}}", "${window.PWNED=1}", f"%3Cscript%3E{P}%3C/script%3E", f"&lt;script&gt;{P}&lt;/script&gt;", f"\\u003cscript\\u003e{P}", f"\x00<script\x00>{P}</script>",
    "\u202egpj.exe\u202c \u2066x\u2069 \u200b\u200e", "\x1b[31mred\x1b[0m\x1b]0;title\x07\x1b[2J", "\x85\u2028\u2029\ufeff\U000e0041", "__proto__", "constructor", "<form id=tk-list><input name=attributes>", '<a id="tk-head" name="tk-rows">',
    "items[0]\" onclick=\"window.PWNED=1", "' data-do='print", "<button data-do=print>x</button>", "<button data-copy=x>y</button>", "-1e999", "NaN", "[[]]", '{"a":' * 30 + "1" + "}" * 30, "", " ", "\n", "-", "=1+1|cmd",
]
ALIGNED = {f"text-align:{side}" for side in ("left", "center", "right")}
NEVER = {"script", "style", "svg", "math", "iframe", "frame", "object", "embed", "applet", "link", "meta", "base", "form", "template", "video", "audio", "source", "marquee", "body", "html", "head", "title", "textarea", "input", "select", "noscript", "portal"}


def payloads():
    "The lines of the shared list, if it is here, and our own"
    return ((SHARED/"data"/"xss"/"payloads.txt").read_text(encoding="utf-8", errors="replace").split("\n") if (SHARED/"data").is_dir() else []) + OWN


def hostile(evil):
    "Items that have a text in every place"
    return [
        user(evil), message("user", evil), {"type": "message", "role": evil, "content": evil, "id": evil},
        message("assistant", [output_text(evil), reasoning_text(evil), {"type": "refusal", "refusal": evil}, {"type": "summary_text", "text": evil}, {"type": "input_image", "image_url": evil},
                              {"type": "input_file", "filename": evil, "file_url": evil}, {"type": evil, "text": evil}, {"type": evil, evil: evil}, evil]),
        call(evil, evil, json.dumps({evil: evil, "nested": {evil: [evil]}}), created_by=evil), output(evil, evil, created_by=evil), call("c2", "f", evil), output("c2", json.dumps({evil: [evil]*14}, indent=1)),
        output("orphan", [{"type": "input_text", "text": evil}, {"type": evil, evil: evil}]), {"type": evil, "content": {evil: evil}}, evil,
    ]


def hostile_page(folder, texts):
    "A result whose rows, figures and traces hold every text in every place"
    data, scored = [], []
    for n in range(0, len(texts), 20):
        some = texts[n:n + 20]
        first = some[0] or "empty"
        data.append({"trace": {"items": [i for evil in some for i in hostile(evil)], "metadata": {"trace_id": first, "model": first, "error": first, "extra": {evil: evil for evil in some}}},
                     "task_id": first, "trial": n, **{f"c{evil}": evil for evil in some}})
        checks = [{"name": evil, "met": bool(k % 2), "why": evil, "by": evil, "item": k if k % 3 else evil, "arguments": {evil: evil}} for k, evil in enumerate(some)]
        scored.append({"id": first, "row": len(data), "reward": 0.0, "actions": checks, "env": checks, "reason": first, "note": first, "stage": first if n % 40 else None, "error": first, first: 0.5})
    path = folder/"hostile.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in data))
    notes = [*texts[:40]]
    result = Result([TaskResult(texts[0] or "x", Rows(scored), [Figure(evil, 0.5, 0.2, 0.7, 3) for evil in texts[:40]], notes)])
    return write_page(result, folder/"hostile.html", title=OWN[4], dataset=path)


class Live(HTMLParser):
    "What is alive in a piece of HTML"
    def __init__(self, text):
        super().__init__()
        self.found, self.tags = [], 0
        self.feed(text)

    def handle_starttag(self, name, attrs):
        self.tags += 1
        if name in NEVER: self.found.append(name)
        for k, v in attrs:
            v = v or ""
            if k.startswith("on") or k in ("srcdoc", "formaction", "action", "srcset", "background", "poster", "ping", "xlink:href"): self.found.append((name, k, v))
            if k == "href" and not re.match(r"(https?://|mailto:|#)", v): self.found.append((name, k, v))
            if k == "src" and not re.match(r"data:image/(png|jpeg|gif|webp);base64,", v): self.found.append((name, k, v))
            if k == "style" and v not in ALIGNED: self.found.append((name, k, v))


def test_the_counter_of_what_is_alive_counts():
    assert len(Live("<p>x</p><img src=x onerror=1><a href='javascript:1'>x</a><i style='color:red'></i><svg></svg>").found) == 5


@pytest.fixture(scope="module")
def evil_page(tmp_path_factory): return hostile_page(tmp_path_factory.mktemp("evil"), payloads())


def test_hostile_texts_are_text_in_every_fragment(evil_page):
    html = evil_page.read_text(encoding="utf-8")
    held = blocks(html)
    fragments = [part[k] for id, part in held.items() if id[0] == "z" for k in ("html", "head") if k in part]
    assert len(fragments) > len(payloads())//20
    for fragment in fragments:
        live = Live(fragment)
        assert live.found == [] and live.tags > 50
    body = html.partition("<body>")[2].partition('<script type="application/octet-stream"')[0]
    bars = re.compile(r"(left|width):[\d.]+%(;width:[\d.]+%)?")
    assert [f for f in Live(body).found if not (f in ("input", "select") or f[1] == "style" and bars.fullmatch(f[2]))] == []
    assert html.count("<script") == len(held) + 1 and html.count("<style") == 1 == html.count("</style")


def test_hostile_texts_do_nothing_in_a_browser(show, evil_page):
    if not (SHARED/"data").is_dir(): print(NO_SHARED)
    tab = show(evil_page)
    many = tab.locator("#tk-rows tbody tr").count()
    for k in range(many):
        if k:
            tab.keyboard.press("j")
            wait(tab, f"document.querySelector('#tk-head').dataset.k === '{k}'")
        if k == 0:
            tab.get_by_role("button", name="Unfold all").click()
            wait(tab, "location.hash.includes('fold=all')")
        if k % 4 == 3:
            tab.get_by_label("Form", exact=True).select_option(["json", "text", "trace", ""][k//4 % 4])
            tab.wait_for_timeout(60)
        alive = tab.evaluate("""() => [...document.querySelectorAll('#tk-head *, #tk-list *, #tk-whole *, #tk-rows *')].flatMap(e => [
            ...(/^(script|style|svg|math|iframe|object|embed|link|meta|base|form|template|video|audio)$/i.test(e.localName) ? [e.localName] : []),
            ...[...e.attributes].filter(a => /^on/i.test(a.name) || a.name === 'href' && !/^(https?:|mailto:|#)/.test(a.value) || a.name === 'src' && !a.value.startsWith('data:image/')).map(a => a.name + '=' + a.value)])""")
        assert alive == []
    for query in ("<script", "PWNED", "\\", "(", "[", ".*"):
        tab.locator("#tk-q").fill(query)
        wait(tab, "document.querySelector('#tk-hits').textContent")
    assert tab.evaluate("window.PWNED") is None and tab.evaluate("document.scripts.length") == len(blocks(evil_page.read_text(encoding="utf-8"))) + 1


def test_hostile_addresses_do_nothing(show, telecom):
    for state in ("#sample=<img src=x onerror=window.PWNED=1>&at=items[\"]", "#at=" + "[" * 500, "#where.<b>=<&sort=up __proto__&why=__proto__&verdict=__proto__&show=__proto__", "#q=(((&hit=-1e9&fold=x", "#%E0%A4%A=%", "#find=\\&kind=constructor", "#" + "a=b&"*2000):
        tab = show(telecom, state)
        assert tab.evaluate("window.PWNED") is None and tab.locator("article.tk-e").count() > 0


def test_what_is_large_deep_or_broken_is_shown(show, tmp_path):
    deep = []
    for _ in range(10_000): deep = [deep]
    lone = "a\ud83d b\udc00"
    given = [
        {"trace": {"items": [user("w"*1_000_000), output("x", "v"*1_000_000)]}, "task_id": "wide"},
        {"trace": {"items": [call("c", "f", "["*10_000 + "]"*10_000), output("c", '{"a":'*10_000 + "1" + "}"*10_000)]}, "task_id": "deep text"},
        {"trace": {"items": [{"type": "message", "role": "user", "content": [{"type": "x", "y": deep}]}, {"type": "x", "content": deep}]}, "task_id": "deep data"},
        {"trace": {"items": [user(lone), call(lone, lone, json.dumps({lone: lone})), lone, {"type": lone, lone: lone}], "metadata": {"trace_id": lone, lone: lone}}, "task_id": lone, lone: lone},
        {"trace": {"items": [None, 3, [], {}, {"type": None}, {"type": "message"}, {"type": "function_call"}, {"type": "function_call_output"}], "metadata": 3, "events": 4}, "task_id": 7},
        {"trace": {"items": []}}, {"trace": {"items": [user("x")], "metadata": {"total_time": float("inf"), "total_tokens": 10**30}}, "reward": float("nan"), "big": 10**30},
    ]
    tab = show(write_page(given, tmp_path/"odd.html"))
    assert tab.locator("#tk-rows tbody tr").count() == len(given)
    for n in range(len(given)):
        tab.evaluate(f"location.hash = '#sample={n + 1}&fold=all&show={['', 'json'][n % 2]}'")
        wait(tab, f"document.querySelector('tr.tk-on a').getAttribute('href') === '#sample={n + 1}'")
        assert tab.evaluate("document.documentElement.scrollWidth") <= 1240
    assert "characters are not on this page" in page_html(given[0])


def test_hidden_characters_are_shown_and_copied_exactly(show, tmp_path):
    text_ = "gpj.\u202eexe \u200b \x1b[31m \U000e0041 é"
    tab = show(write_page(plain_trace([user(text_)]), tmp_path/"bidi.html"))
    assert "[U+202E]" in text(tab, "article.tk-e") and "\u202e" not in tab.locator("main").inner_text()
    tab.get_by_label("Form", exact=True).select_option("json")
    wait(tab, "document.querySelector('.tk-json pre')")
    shown = tab.locator(".tk-json pre").text_content()
    assert "\\u202e" in shown and json.loads(shown)["content"] == plain_trace([user(text_)])["items"][0]["content"]


# ---- the command

def test_view_takes_datasets_logs_and_results(telecom, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = telecom.parent/"telecom.jsonl"
    log = tmp_path/"log.json"
    shutil.copy(sample_log(), log)
    convert(log, tmp_path/"parquet", name="p", to="parquet", progress=False)
    score(data, "telecom").save(tmp_path/"scores.jsonl")
    folder = next(p for p in [tmp_path/"parquet"/"p", *(tmp_path/"parquet").iterdir(), tmp_path/"parquet"] if p.is_dir() and any(p.glob("*.parquet")))
    for given, many in ((data, 21), (data.with_suffix(".yaml"), 21), (folder, 21), (log, 21), (tmp_path/"scores.jsonl", 21)):
        more = ["--dataset", str(data)] if given.name == "scores.jsonl" else []
        done = CliRunner().invoke(main, ["view", str(given), "-o", "out.html", *more])
        assert done.exit_code == 0, done.output
        assert len(blocks((tmp_path/"out.html").read_text())["tk-values"]["names"]) == many and "file://" in done.output and "out.html" in done.output
    done = CliRunner().invoke(main, ["view", str(log)])
    assert done.exit_code == 0 and (tmp_path/"log.html").exists()
    done = CliRunner().invoke(main, ["view", "lo*.json", "-o", "glob.html"])
    assert done.exit_code == 0 and len(blocks((tmp_path/"glob.html").read_text())["tk-values"]["names"]) == 21, done.output
    done = CliRunner().invoke(main, ["view", "-"], input=log.read_text())
    assert done.exit_code == 0 and (tmp_path/"dataset.html").exists(), done.output


def test_view_tells_what_is_missing(telecom, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path/"bad.json").write_text('[1, 2]')
    (tmp_path/"r.jsonl").write_text('{"id": "a", "row": 1, "dataset": "gone.jsonl", "reward": 0.0, "stage": null}\n')
    for given, more, told, code in (("none.json", [], "no such file", 1), ("bad.json", [], "bad.json", 1), ("r.jsonl", [], "gone.jsonl is not there", 0), (str(telecom.parent/"telecom.jsonl"), ["--dataset", "x"], "no meaning", 1)):
        done = CliRunner().invoke(main, ["view", given, *more])
        assert done.exit_code == code and told in done.output and "Traceback" not in done.output, done.output
    done = CliRunner().invoke(main, ["view", str(telecom.parent/"telecom.jsonl"), "-o", "/proc/none/x.html"])
    assert done.exit_code == 1 and "cannot be written" in done.output


def test_records_that_are_set_aside_are_told(telecom, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    log = json.loads(sample_log().read_text())
    broken = copy.deepcopy(log)
    broken["simulations"][0]["messages"][0]["role"] = ["assistant"]
    (tmp_path/"log.json").write_text(json.dumps(broken))
    done = CliRunner().invoke(main, ["view", "log.json"])
    assert done.exit_code == 0 and "1 of 21 records were set aside" in done.output
