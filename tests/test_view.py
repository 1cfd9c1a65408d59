"""The viewers without a browser: nothing of a trace becomes markup, nothing grows without bounds, and whatever somebody does, they hold."""
import base64
import html
import json
import os
import random
import re
import subprocess
import sys
from html.parser import HTMLParser

import ipywidgets as W
import pytest
from conftest import SAMPLE, SHARED, logs
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markupsafe import escape

from tracekit import view
from tracekit.dataset import Dataset
from tracekit.entries import at, clean, entries, hits, pretty, shown_range
from tracekit.markup import LINK, PICTURE, Drawing, asset, list_html, trace_html
from tracekit.pipeline import convert, read
from tracekit.report import dataset_html, result_html
from tracekit.result import CHECKS, Figure, Result, Rows, TaskResult
from tracekit.source import InputError
from tracekit.table import of_rows
from tracekit.trace import Trace, call, message, output, output_text, plain_trace, reasoning_text, user
from tracekit.view import MOVE, PAGE, DatasetViewer, ResultViewer, TraceViewer, raw_block

MOST = 300_000   # bytes of one piece of HTML

# ---------------------------------------------------------------- payloads
HOST = "evil.invalid"
RUN = "window.PWNED=1"
OWN = [
    f"<script>{RUN}</script>", f"</script><script>{RUN}</script>", f"<ScRiPt src=//{HOST}/a.js>", f"<img src=x onerror={RUN}>", f'"><img src=x onerror="{RUN}">',
    f"'><img src=x onerror='{RUN}'>", f"<svg onload={RUN}>", f"<svg><script>{RUN}</script></svg>", f"<svg><animate onbegin={RUN} attributeName=x dur=1s>",
    f"<math><mi xlink:href=javascript:{RUN}>x", f"<iframe srcdoc='<script>parent.{RUN}</script>'>", f"<iframe src=javascript:parent.{RUN}>", f"<object data=//{HOST}/x>", f"<embed src=//{HOST}/x>",
    f"<form action=//{HOST}><input autofocus onfocus={RUN}>", f"<body onload={RUN}>", f"<base href=//{HOST}/>", f"<meta http-equiv=refresh content=0;url=//{HOST}>", f"<link rel=stylesheet href=//{HOST}/a.css>",
    f"<style>@import '//{HOST}/a.css';*{{display:none}}</style>", f"</style><script>{RUN}</script>", "</style><style>*{display:none}", f'" onclick="{RUN}', f"' onmouseover='{RUN}", f"x onfocus={RUN} autofocus tabindex=0",
    f'"style="background:url(//{HOST}/x)', f"x;background:url(//{HOST}/x)", f"<a href=javascript:{RUN}>x</a>", f"[x](javascript:{RUN})", f"[x](<javascript:{RUN}>)", f"[x](JaVaScRiPt:{RUN})", f"[x](java\tscript:{RUN})",
    f"[x](&#106;avascript:{RUN})", f"[x](\x01javascript:{RUN})", f"[x]\n\n[x]: javascript:{RUN}", f"<javascript:{RUN}>", "[x](vbscript:msgbox)", "[x](file:///etc/passwd)", f"[x](//{HOST})", f"[x](data:text/html,<script>{RUN}</script>)",
    f"[x](data:text/html;base64,{base64.b64encode(b'<script>1</script>').decode()})", f"[x](https://{HOST}/\"onclick=\"{RUN})", f"<https://{HOST}/\"onmouseover=\"{RUN}>", f"![x](https://{HOST}/p.png)", f"![x](javascript:{RUN})",
    f"![<img src=x onerror={RUN}>](https://{HOST}/p.png \"onload={RUN}\")", f"data:image/svg+xml,<svg onload={RUN}>", f"data:image/png;base64,iVBORw0KGgo\" onerror=\"{RUN}", f"data:text/html,<script>{RUN}</script>", f"https://{HOST}/pixel.png",
    f"//{HOST}/pixel.png", "blob:null/1", "```\n</pre><script>x</script>\n```", f"```html\n<script>{RUN}</script>\n```", f"```{{=html}}\n<script>{RUN}</script>\n```", f"\n`````\n\n<script>{RUN}</script>\n\n`````{{=html}}\n",
    "`"*50, "~~~~\n~~~~{=html}\n<script>x</script>\n~~~~", "::: {.x onclick=alert(1)}\n:::", "{{< include /etc/passwd >}}", "<!-- ", "--> <script>x</script>", "]]><script>x</script>", "<![CDATA[<script>x</script>", "<?php echo 1 ?>",
    "</section></article></details></pre></div>", "<plaintext>", "<xmp>", "<textarea>", "<noscript><p title='</noscript><script>x</script>'>", "<template><script>x</script></template>", "<select><option>", "<table><tr><td>", "<title>x",
    "&lt;script&gt;alert(1)&lt;/script&gt;", "&#x3c;script&#x3e;", "\\u003cscript\\u003e", "%3Cscript%3E", "{{constructor.constructor('alert(1)')()}}", "${alert(1)}", "$$\\href{javascript:alert(1)}{x}$$", "|a|b|\n|-|:-:|\n|<script>|\"onclick=\"|",
    "\x1b[31mred\x1b[0m\x1b]8;;http://evil.invalid\x07link\x1b]8;;\x07", "\x1b[2J\x1b[H", "abc\u202etxt.exe", "\u2066\u2067\u2068\u202a\u202b\u202d", "zero\u200bwidth\ufeff", "\x00\x08\x0c\x7f\x9b31m", "\u2028alert(1)\u2029", "\ud800 alone", "e" + "\u0301"*500,
    "items[0]\" data-do=\"explode", "open 0", "at items[0] #1", "constructor", "__proto__", "tk-viewer", "tk-inbox", "x" * 2000, "<"*600, "&"*600, "'\"`<>&"*50, "{" * 300, "[" * 300, "> " * 300, "* " * 300, "# <b>x</b>", "1. <script>\n2. y", "<a id=tk name=tk>", "<b><i><u>",
]
ALIVE = "section style h1 h2 h3 h4 h5 h6 p span b i u a nav details summary article div dl dt dd pre code mark button table thead tbody tr th td ul ol li img blockquote em strong hr br s".split()
PLAIN = ("class", "id", "title", "alt", "open", "tabindex", "role", "type", "rel", "target", "scope", "hidden", "start", "aria-label", "aria-hidden", "aria-current", "data-at", "data-go", "data-do", "data-copy")
STYLE = re.compile(r"left:[-\d.]+%(;width:[-\d.]+%)?|text-align:(left|right|center)")


class Live(HTMLParser):
    "Reads HTML and keeps what should not be in it: elements and attributes that nobody here makes, addresses that are not of the web"
    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.found, self.ids, self.open, self.count = [], set(), [], 0
        self.feed(text)
        self.close()
        if self.open: self.found.append(f"left open: {self.open}")

    def handle_starttag(self, tag, given):
        self.count += 1
        if tag not in ("img", "hr", "br"): self.open.append(tag)
        if tag not in ALIVE: self.found.append(f"<{tag} {given}>")
        names = [name for name, _ in given]
        if len(names) != len(set(names)): self.found.append(f"twice in <{tag} {names}>")
        for name, value in given: self.attribute(tag, name, value or "")

    def attribute(self, tag, name, value):
        if name == "id":
            if value in self.ids or not re.fullmatch(r"tk[0-9a-f]{8}-\d+", value): self.found.append(f"id {value}")
            self.ids.add(value)
        elif name in PLAIN: return
        elif name == "href" and tag == "a" and (re.fullmatch(r"#(tk[0-9a-f]{8}-\d+)?", value) or LINK.fullmatch(value)): return
        elif name == "src" and tag == "img" and PICTURE.fullmatch(value): return
        elif name == "style" and STYLE.fullmatch(value): return
        elif name in ("onclick", "onkeydown") and tag == "section" and value == asset("act.js"): return
        elif name == "onload" and tag == "style" and MOVE == f'<style onload="{value}"></style>': return
        else: self.found.append(f"<{tag} {name}={value[:200]!r}>")

    def handle_startendtag(self, tag, given):
        self.handle_starttag(tag, given)
        if tag not in ("hr", "br"): self.found.append(f"<{tag}/>")

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag: self.found.append(f"</{tag}> out of place")

    def handle_data(self, data):
        if self.open[-1:] == ["style"] and data != asset("view.css"): self.found.append(f"style {data[:100]!r}")
    def handle_comment(self, data): self.found.append(f"<!--{data[:100]}")
    def handle_decl(self, decl): self.found.append(f"<!{decl[:100]}")
    def handle_pi(self, data): self.found.append(f"<?{data[:100]}")
    def unknown_decl(self, data): self.found.append(f"<![{data[:100]}")


def sound(text):
    "HTML that holds nothing alive, and is no larger than a page may be"
    assert len(text.encode("utf-8")) <= MOST, f"{len(text.encode()):,} bytes"   # also: no lone surrogate
    read = Live(text)
    assert not read.found, read.found[:5]
    return read


def drawn(widget):
    "Every HTML value inside a widget"
    if isinstance(widget, W.HTML): yield widget.value
    for child in getattr(widget, "children", ()): yield from drawn(child)


def all_sound(viewer):
    values = [v for v in drawn(viewer) if "<style>" not in v[:10]]
    for value in values: sound(value)
    return "".join(values)


@pytest.fixture(scope="module")
def payloads():
    "Those of this file, and those that the makers share"
    path = SHARED/"data"/"xss"/"payloads.txt"
    return OWN + (path.read_text(encoding="utf-8").splitlines() if path.exists() else [])


def poisoned(evil, n=0):
    "Items with a text wherever items have one"
    loaded = json.dumps({evil: evil, "deep": {evil: [evil, {evil: 1}]}})
    return [
        message(evil, [output_text(evil), reasoning_text(evil), {"type": "summary_text", "text": evil}, {"type": "refusal", "refusal": evil}, {"type": "input_image", "image_url": evil},
                       {"type": "input_file", "filename": evil}, {"type": "input_video", "video_url": evil}, {"type": evil, evil: evil}, evil, {"type": "input_image", "image_url": {evil: evil}}]),
        {"type": "message", "role": "user", "content": f"{evil}\n\n[click]({evil}) ![see]({evil}) <{evil}>\n\n```{evil}\n{evil}\n```\n\n{evil}"},
        call(f"{evil}{n}", evil, loaded, created_by=evil), output(f"{evil}{n}", evil, created_by=evil),
        call(f"b{n}", "f", evil), output(f"b{n}", [{"type": "input_text", "text": evil}, {"type": "input_image", "image_url": evil}, evil]),
        call(f"c{n}", "f", "{}"), output(f"c{n}", json.dumps({evil: [evil]*20})),
        output("nobody asked", "--- a\n+++ b\n+" + evil), evil, {"type": evil, "content": evil}, {"type": "custom_task_input_message", "content": [evil]}, {"type": "function_call", "name": {evil: evil}, "arguments": {evil: evil}},
    ]


def poisoned_trace(some):
    "A trace full of payloads, also in its metadata and spans"
    when, first = "2026-01-01T00:00:00Z", some[0].replace("\ud800", "")
    return plain_trace([i for n, evil in enumerate(some) for i in poisoned(evil, n)], events=[
        {"type": "span_begin", "span_id": first, "name": first, "timestamp": when}, {"type": "message_event", "item": user(first), "span_id": first, "timestamp": when}, {"type": "span_end", "span_id": first, "timestamp": when},
    ]) | {"metadata": {evil: evil for evil in some} | {"trace_id": some[0], "model": some[0], "agent": some[0], "error": some[0], "extra": {"marks": [
        {"at": at, "text": evil, "source": evil, "address": evil} for n, evil in enumerate(some) for at in (evil, "", f"items[{13*n}].content[0].text:0-{n + 1}", f"items[{13*n + 2}].arguments.deep", f"items[{13*n + 3}].output:1-99999999999")]}}}


def columns_of(some): return {evil: evil for evil in some} | {"task_id": some[0], "id": some[-1], "termination_reason": some[0], "trial": some[0], "nested": {some[0]: some}}


def batches(texts, size=12): return [texts[n:n + size] for n in range(0, len(texts), size)]


# ---------------------------------------------------------------- nothing of a trace is alive
def test_live_nodes_are_seen():
    "The reader of these tests finds what it looks for"
    for text in (f"<p onclick='{RUN}'>x</p>", "<script></script>", "<a href='javascript:x'>x</a>", "<img src='https://evil.invalid'>", "<p style='x:y'>z</p>", "<p>", "</p>", "<style>x</style>", "<section onclick='x'></section>", "<!-- x -->", "<p id=a>x</p>"):
        with pytest.raises(AssertionError): sound(text)
    assert sound(trace_html([user("*hi*")])).count > 10


@pytest.mark.parametrize("mode", ["markdown", "text", "json"])
def test_hostile_traces(payloads, mode):
    for some in batches(payloads):
        trace, read = poisoned_trace(some), 0
        for start in range(0, len(some)*11 + 2, 60):
            page = trace_html(trace, columns_of(some), title=some[0], start=start, most=60, mode=mode, unfold=True, highlights={f"items[{n}]": evil for n, evil in enumerate(some)} | {evil: evil for evil in some},
                              notes={f"items[{n}]": evil for n, evil in enumerate(some)} | {"items[1].content": some[0]})
            read += sound(page).count
        assert read > 40*len(some), "what is read is the page, and not an empty one"


def test_hostile_traces_in_the_widget(payloads):
    for some in batches(payloads):
        shown = TraceViewer(poisoned_trace(some), columns_of(some), title=some[0], notes={f"items[{n}]": evil for n, evil in enumerate(some)}, unfold=True)
        for mode in ("markdown", "json"):
            shown.show.value = mode
            for evil in some[:3]:
                shown.search.value = evil.replace("\ud800", "")[:60]
                shown.step(1)
                all_sound(shown)
            shown.search.value = ""
            for page in range(1, shown.page.max + 1):
                shown.page.value = page
                all_sound(shown)
        for evil in some:
            for verb in ("go", "at", "raw", "more 5", "open", "sort", "kind", "fold"): shown._inbox.value = f"{verb} {evil}".replace("\ud800", "")
            shown.goto.value, shown.note.value = evil.replace("\ud800", "").replace("\n", " "), evil.replace("\ud800", "").replace("\n", " ")
            shown.add_note("bad")
            all_sound(shown)
        bundle = shown._repr_mimebundle_()
        sound(bundle["text/html"])


def poisoned_result(some):
    "A result full of payloads, without a dataset"
    def checks_of(evil): return [{"name": evil, "met": met, "why": evil, "by": evil, "arguments": {evil: evil}, "item": where} for met, where in ((False, 1), (True, evil), (None, {evil: evil}))]
    rows = [{"id": evil, "task_id": evil, "reward": n % 2, evil: evil, "reason": evil, "note": evil, "excluded": evil if n % 5 == 4 else None, "stage": evil if n % 4 == 3 else None, "error": evil,
             **({part: checks_of(evil) for part in CHECKS} if n % 3 else {})} for n, evil in enumerate(some)]
    figures = [Figure(evil, 0.5, 0.1, 0.9, n) for n, evil in enumerate(some)] + [Figure(f"pass^{some[0]}", 2.0), Figure("x", None)]
    return Result([TaskResult(some[0], Rows(rows), figures, list(some), None), TaskResult(some[-1] + "2", Rows(), problem=some[0])], list(some))


def test_hostile_results_and_datasets(payloads):
    for some in batches(payloads):
        result = poisoned_result(some)
        sound(result_html(result))
        shown = ResultViewer(result)
        for n in range(min(4, len(some))):
            shown.choose(n)
            shown._inbox.value = f"kind {n} #{n}"
            all_sound(shown)
        rows = [{"trace": plain_trace([user(evil)]), **{other: other for other in some}, "task_id": evil, "reward": evil} for evil in some]
        sound(dataset_html(rows))
        sound(dataset_html(of_rows(rows, name=some[0])))
        shown = DatasetViewer(of_rows(rows, name=some[0]), columns=some[:4])
        for evil in (e.replace("\ud800", "").replace("\n", " ") for e in some):
            shown._inbox.value = f"sort {evil}"
            shown.condition.value = evil
            shown.search.value = evil[:40]
            all_sound(shown)
        shown.clear()


def test_hostile_text_in_the_docs(payloads):
    "The HTML of a stored notebook goes to the site as one raw block, which no text of a trace can end"
    made = MarkdownIt("commonmark")
    for some in batches(payloads, 40):
        text = trace_html(poisoned_trace(some), columns_of(some), title=some[0], most=500, mode="text")
        cell = {"outputs": [{"data": {"text/html": text, "application/vnd.jupyter.widget-view+json": {}, "text/plain": "x"}}]}
        raw_block(cell)
        data = cell["outputs"][0]["data"]
        assert "application/vnd.jupyter.widget-view+json" not in data and "text/html" not in data
        (block,) = made.parse("before\n\n" + data["text/markdown"] + "\nafter")[3:-3]
        assert block.type == "fence" and block.info == "{=html}" and block.content == text + "\n"


def test_characters_that_hide_are_seen():
    text = trace_html([user("a\u202eb \x1b[31mred\x1b[0m \u200b \x07 \ud800")])
    assert "a[U+202E]b red [U+200B] [U+0007] [U+D800]" in text and not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u202a-\u202e\u2066-\u2069\ud800-\udfff]", text)


# ---------------------------------------------------------------- sizes
def deep(n): return "["*n + "]"*n


def spans(n, inside=False):
    "A trace of n spans, side by side or each inside the one before"
    told, when = [], "2026-01-01T00:00:00Z"
    for k in range(n):
        told += [{"type": "span_begin", "span_id": f"s{k}", "name": f"helper {k}", "timestamp": when, **({"parent_span_id": f"s{k-1}"} if inside and k else {})},
                 {"type": "message_event", "item": user(f"job {k}"), "span_id": f"s{k}", "timestamp": when}]
        if not inside: told.append({"type": "span_end", "span_id": f"s{k}", "timestamp": when})
    return plain_trace([user("begin")], events=told + [{"type": "span_end", "span_id": f"s{k}", "timestamp": when} for k in reversed(range(n)) if inside])


PNG = "data:image/png;base64,iVBORw0KGgoA"
LARGE = {
    "10,000 items": lambda: plain_trace([user(f"message {n} " + "word "*200) for n in range(10_000)]),
    "1 MB without a space": lambda: plain_trace([user("x"*1_000_000)]*50),
    "quotes and ampersands": lambda: plain_trace([user("&\"'<"*250_000)]*50),
    "just too long": lambda: plain_trace([user("&"*23_000)]*50),
    "long results": lambda: plain_trace([i for n in range(60) for i in (call(f"c{n}", "f", json.dumps({"a": "&"*50_000})), output(f"c{n}", "<"*50_000))]),
    "20,000 parts": lambda: plain_trace([message("user", [output_text("x &")]*20_000)]),
    "100,000 arguments": lambda: plain_trace([call("c", "f", json.dumps({f"key {n}": "value & " for n in range(100_000)}))]),
    "deep JSON": lambda: plain_trace([call("c", "f", '{"a":' + deep(10_000) + "}"), output("c", deep(10_000)), call("d", "f", '{"a":' + deep(800) + "}"), output("d", deep(800))]),
    "500 tools": lambda: plain_trace([call(f"c{n}", f"tool {n} " + "&"*100, "{}") for n in range(500)]),
    "long names": lambda: plain_trace([call(f"c{n}", "&"*100_000, json.dumps({"<"*100_000: 1}), created_by="'"*100_000) for n in range(50)]),
    "long roles": lambda: plain_trace([message("&"*100_000, [output_text("hi")])]*50),
    "5 MB of arguments": lambda: plain_trace([call("c", "f", json.dumps({"a": "x"*5_000_000}))]),
    "a 5 MB image": lambda: plain_trace([message("user", [{"type": "input_image", "image_url": PNG + "A"*5_000_000}])]),
    "many images": lambda: plain_trace([message("user", [{"type": "input_image", "image_url": PNG + "A"*100_000}]*10)]*10),
    "2,000 spans": lambda: spans(2_000),
    "60 spans deep": lambda: spans(60, inside=True),
    "tables": lambda: plain_trace([user("|a|b|\n|-|-|\n" + "|x|y|\n"*300)]*50),
    "quotes in quotes": lambda: plain_trace([user(">"*2_900)]*50),
    "stars": lambda: plain_trace([user("**a"*900)]*50),
    "brackets": lambda: plain_trace([user("["*2_900)]*50),
    "coloured code": lambda: plain_trace([user("```python\n" + "a=1;"*700 + "\n```")]*50),
    "20,000 annotations": lambda: plain_trace([user("&"*500)]*50) | {"metadata": {"extra": {"marks": [{"at": f"items[{n % 60}].content[0].text:{n % 400}-{n % 400 + 50}", "text": "&"*2_000, "source": "<"*500} for n in range(20_000)]}}},
    "much metadata": lambda: plain_trace([user("hi")]) | {"metadata": {f"name {n}": "&"*5_000 for n in range(2_000)}},
}


@pytest.mark.parametrize("what", LARGE)
def test_a_page_has_a_largest_size(what):
    trace = LARGE[what]()
    sound(trace_html(trace, trace.get("metadata"), unfold=True))
    shown = TraceViewer(trace, unfold=True)
    for mode, text in (("markdown", ""), ("markdown", "x"), ("json", ""), ("json", "&")):
        shown.show.value, shown.search.value = mode, text
        shown.step(-1)
        shown.turn(1)
        all_sound(shown)
    shown.go("items[0]")
    for piece in shown.shown[0].pieces[:2]: shown._inbox.value = f"more 400000 {piece.at}"
    all_sound(shown)


def test_large_results_have_a_largest_size():
    rows = [{"id": f"s{n}", "reward": 0.0, "reason": "&"*100_000, "note": "<"*100_000, "actions": [{"name": "'"*10_000, "met": False, "why": "&"*50_000, "by": "&"*5_000, "arguments": {f"{k}": "&"*500 for k in range(300)}, "item": 1}]*100} for n in range(12)]
    figures = [Figure(f"{n} " + "&"*500, 0.5, 0.1, 0.9, 3) for n in range(120)]
    result = Result([TaskResult(f"task {n} " + "&"*2_000, Rows(rows if n == 1 else ()), figures, ["&"*5_000]*40) for n in range(60)])
    sound(result_html(result))
    all_sound(ResultViewer(result))
    wide = [{"trace": plain_trace([user("hi")]), **{f"column {n}" + "&"*n: "&"*n for n in range(3_000)}}]*30
    sound(dataset_html(wide))
    all_sound(DatasetViewer(wide))


# ---------------------------------------------------------------- search, addresses, notes
def real_traces(most=4):
    "A few traces of every real log of ../shared, or of the sample"
    for path in logs("real_log") or [SAMPLE]:
        for n, row in zip(range(most), read(str(path))): yield f"{path.name[:30]} {n}", row


@pytest.fixture(scope="module")
def real(): return [(name, row.trace.model_dump(mode="json"), row.columns) for name, row in real_traces()]


def test_real_logs(real):
    "Every real trace is sound HTML in every way of showing, all its addresses resolve, and all hits are marked"
    assert len(real) >= 4
    for name, trace, columns in real:
        found = entries(trace)
        for mode in ("markdown", "json"): sound(trace_html(trace, columns, mode=mode, unfold=True))
        for entry in found[:60]:
            for piece in entry.pieces: at(trace, piece.at)
        for wanted in ("the", "{", "ERROR", "é"):
            drawing = Drawing(query=wanted, live=True, long=10**9, budget=10**9)
            assert list_html(found, drawing).count("<mark") == sum(hits(found, wanted)), (name, wanted)
            as_json = Drawing(query=wanted, live=True, long=10**9, budget=10**9, mode="json")
            assert list_html(found, as_json).count("<mark") == sum(hits(found, wanted, lambda e: True)), (name, wanted)


@pytest.mark.parametrize("wanted", ["ſ", "s", "S", "ß", "İ", "i", "ı", "K", "k", "ς", "Σ", "aa", "é", "<", "&", "&amp;", ".*", "[", "\\", "\n", " ", "\u0301", "ﬁ"])
def test_every_hit_is_counted_and_marked(wanted):
    told = "ſ s S ß ẞ İ i ı I K k K ς σ Σ aaaaa é É <&> &amp; .* [ \\ \n x\u0301 ﬁ fi"
    trace = plain_trace([user(told), message("assistant", [reasoning_text(told), output_text("Sss kk")]), call("c", "KISS", json.dumps({told: told, "s": "kiss"})), output("c", told), call("d", "ﬁ", "{}"), told])
    found = entries(trace)
    for as_json in (False, True):
        drawing = Drawing(query=wanted, live=True, mode="json" if as_json else "markdown")
        assert list_html(found, drawing).count("<mark") == sum(hits(found, wanted, lambda e: as_json)), wanted   # noqa: B023


def test_next_hit_walks_through_all_hits():
    trace = plain_trace([user(f"a word, {'word '*(n % 3)}") for n in range(100)] + [user("x"*10_000 + " word " + "y"*10_000)])
    shown = TraceViewer(trace)
    shown.search.value = "WORD"
    seen = []
    for _ in range(shown.total):
        (now,) = re.findall(r'<mark class="tk-now">', shown.body.value)
        before = shown.body.value.split(now)[0]
        seen.append((shown.page.value, re.findall(r'data-at="([^"]*)"', before)[-1], before.count("<mark", before.rindex("<article"))))
        shown.step(1)
    assert len(set(seen)) == len(seen) == shown.total == sum(1 + n % 3 for n in range(100)) + 1 and seen == sorted(seen, key=lambda s: (s[0], int(s[1][6:-1]), s[2]))
    assert shown.at_hit == 0
    shown.step(-1)
    assert shown.at_hit == shown.total - 1 and "tk-now" in shown.body.value


def test_every_address_shown_resolves(real):
    for _, trace, columns in [*real[:20], ("", poisoned_trace(OWN[:10]), {}), ("", spans(5), {}), ("", spans(5, inside=True), {})]:
        for mode in ("markdown", "json"):
            shown = set(re.findall(r'data-(?:copy|go)="([^"]*)"', trace_html(trace, columns, mode=mode)))
            assert shown or not trace["items"]
            for address in shown: at(trace, html.unescape(address))


MARKED = plain_trace([user("Pay the *bill*\u202e now."), call("c", "read", '{"path":"a.txt"}'), output("c", '{"to":"CH93","n":[1,2]}')]) | {"metadata": {"extra": {"marks": [
    {"at": "items[0].content[0].text:16-19", "text": "which one?", "source": "reviewer", "address": "messages[0].content:16-19"}, {"at": "items[1].arguments.path:0-1", "text": "P"},
    {"at": "items[2].output:7-11", "text": "untrusted", "address": "messages[2].content:7-11"}, {"at": "items[2].output:99-120", "text": "too far"}, {"at": "items[1].gone", "text": "no such place"},
    {"at": "items[9]", "text": "no such item", "address": "messages[9]"}, {"text": "on the whole"}, {"at": 7, "text": None}, "x", None]}}}


def words(page):
    "The text of a page"
    return " ".join(html.unescape(re.sub(r"<style>.*?</style>|<[^>]+>", "", page, flags=re.S)).split())


def test_annotations_are_shown_where_they_belong():
    "Each once, in every form of the viewer: with its text, its source and its address in the log; the characters are marked as they are shown, also with indents and where letters hide"
    found = entries(MARKED)
    assert [[m.text for m in e.marks] for e in found] == [["which one?"], ["P", "untrusted", "too far", "no such place"]]
    for page in (trace_html(MARKED), TraceViewer(MARKED).body.value, dataset_html([{"trace": MARKED}])):
        told = words(page[page.index("<article"):])
        assert all(told.count(t) == 1 for t in ("which one?", "untrusted", "too far", "no such place", "reviewer", "messages[2].content:7-11")), told
        assert re.findall(r'<mark class="tk-light"[^>]*>([^<]*)</mark>', page) == ["now", "a", "CH93"]
    assert "no such item messages[9]" in words(trace_html(MARKED)).partition("everything else")[0] and "on the whole" in words(trace_html(MARKED)).partition("everything else")[0]
    assert all(t in TraceViewer(MARKED).head.value for t in ("no such item", "on the whole"))
    assert "which one?" in trace_html(MARKED, mode="json")
    assert Trace.model_validate(MARKED).text().splitlines()[1] == "    ^ reviewer: which one? (messages[0].content:16-19)" and "    ^ no such item (messages[9])" in Trace.model_validate(MARKED).text(1)
    assert "annotation" not in trace_html(MARKED | {"metadata": {"extra": {"marks": "x"}}}).replace("tk-", "") and [e.marks for e in entries({"items": [1], "metadata": 7})] == [[]]


@settings(max_examples=200)
@given(st.recursive(st.none() | st.integers() | st.text(max_size=6), lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(max_size=4), v, max_size=3), max_leaves=6), st.text(alphabet="ab \n\u202e\x1b{}[]\",:1", max_size=30), st.data())
def test_a_range_is_shown_where_it_is(value, text, data):
    "The characters that are marked are those that are meant, whatever is done to make a text readable"
    for raw in (text, json.dumps(value), json.dumps({"a": text, "b": value}, ensure_ascii=False)):
        a = data.draw(st.integers(0, len(raw)))
        b = data.draw(st.integers(a, len(raw)))
        shown = clean(pretty(raw))
        x, y = shown_range(raw, shown, a, b)
        assert 0 <= x and y <= len(shown)
        if "\x1b" not in raw: assert "".join(shown[x:y].split()) == "".join(clean(raw[a:b]).split())


def test_notes_are_kept():
    shown = TraceViewer(plain_trace([user("hello"), user("there")]), notes={"items[0]": "first"})
    shown._inbox.value = "at items[1].content[0].text #1"
    shown.note.value = "why?"
    shown.add_note()
    assert shown.notes == {"items[0]": "first", "items[1].content[0].text": "why?"} and "why?" in shown.body.value and "why?" in shown.static_html()
    shown.add_note()
    assert shown.notes == {"items[0]": "first"}


# ---------------------------------------------------------------- whatever somebody does
def do_something(rng, shown, words):
    "One action of a user, sensible or not"
    word = rng.choice(words)
    verb = rng.choice(["go", "at", "fold", "unfold", "raw", "more", "more 7", "more 99999999999", "open", "sort", "kind", "explode", "heard", "repr_mimebundle", "", "static"])
    one = shown.trace_viewer if isinstance(shown, DatasetViewer) else shown
    acts = [lambda: setattr(shown._inbox, "value", f"{verb} {word} #{rng.random()}"), lambda: setattr(one._inbox, "value", f"{verb} {word}"), lambda: setattr(one.search, "value", word), lambda: setattr(one.goto, "value", word),
            lambda: setattr(one.note, "value", word), lambda: one.add_note(rng.choice(["", "good", "bad"])), lambda: one.step(rng.choice([1, -1])), lambda: one.turn(rng.choice([1, -1, 5])), lambda: setattr(one.page, "value", rng.randint(-3, 9))]
    for control in (one.role, one.kind, one.tool, one.show, one.fold): acts.append(lambda c=control: setattr(c, "value", rng.choice([v for _, v in c.options])))
    acts.append(lambda: setattr(one.errors, "value", rng.random() < 0.3))
    if one is not shown:
        acts += [lambda: setattr(shown.search, "value", word), lambda: setattr(shown.condition, "value", rng.choice(["", word, "<3", ">=0", "empty", "!empty", "=1", "!x"])), lambda: shown.step(rng.choice([1, -1])), lambda: shown.turn(rng.choice([1, -1])), shown.clear,
                 lambda: setattr(shown.reverse, "value", rng.random() < 0.5), lambda: setattr(shown.page, "value", rng.randint(-3, 9))]
        for control in (shown.verdict, shown.sort, shown.column): acts.append(lambda c=control: setattr(c, "value", rng.choice([v for _, v in c.options])))
    rng.choice(acts)()


def holds(shown):
    "What is true of every viewer at any time"
    one = shown.trace_viewer if isinstance(shown, DatasetViewer) else shown
    assert 1 <= one.page.value <= one.page.max == max(1, -(-len(one.shown)//PAGE))
    assert one.total == sum(one.counts) and len(one.counts) == len(one.shown) and -1 <= one.at_hit < max(1, one.total)
    start = (one.page.value - 1)*PAGE
    assert one.body.value.count("<mark") - one.body.value.count('<mark class="tk-light"') == sum(one.counts[start:start + PAGE])
    assert one.body.value.count("tk-now") - one.body.value.count("mark.tk-now") <= 1
    if one is not shown:
        assert set(shown.order) <= set(range(shown.table.count)) and 1 <= shown.page.value <= shown.page.max == max(1, -(-len(shown.order)//10))


def some_trace(): return plain_trace([i for n in range(50) for i in (user(f"my *phone* {n}"), call(f"c{n}", ("look", "fix")[n % 2], f'{{"n":{n}}}', created_by=("user", "assistant")[n % 2]), output(f"c{n}", "Error: no" if n % 7 == 0 else '{"ok":true}'))])


WORDS = ["", "phone", "look", "Error", "items[3]", "items[3].arguments.n", "items[149]", "items[150]", "items[0].content[0].text:0-4", "spans[0]", "n", "0", "1", "-1", "9"*30, "task_id", "reward", "<img>", "²", "٣", "\\", "(", "items[٣]", "more"]


@pytest.mark.parametrize("seed", range(6))
def test_random_use_of_a_trace_viewer(seed):
    rng, shown = random.Random(seed), TraceViewer(some_trace(), notes={"items[9]": "kept"})
    for _ in range(150):
        do_something(rng, shown, WORDS)
        holds(shown)
    assert all(isinstance(k, str) and isinstance(v, str) for k, v in shown.notes.items())
    all_sound(shown)


@pytest.mark.parametrize("seed", range(6))
def test_random_use_of_a_result_viewer(seed, scored):
    rng, shown = random.Random(seed), ResultViewer(scored) if seed % 2 else DatasetViewer([{"trace": some_trace(), "task_id": f"t{n % 5}", "reward": [0.0, 1.0, None, "x"][n % 4], "mixed": [1, "a", None, True, 2.5][n % 5]} for n in range(35)])
    for _ in range(80):
        do_something(rng, shown, WORDS)
        holds(shown)
    all_sound(shown)


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    "The sample log, scored"
    from tracekit.run import score
    folder = tmp_path_factory.mktemp("scored")
    convert(SAMPLE, folder, name="telecom", progress=False)
    found = score(folder/"telecom.jsonl", "telecom")
    for task in found.tasks.values(): task.dataset = folder/"telecom.jsonl"
    return found


def test_notes_stay_when_everything_else_changes():
    shown = TraceViewer(some_trace(), notes={"items[9]": "kept"})
    rng = random.Random(1)
    for _ in range(100):
        before = dict(shown.notes)
        do_something(rng, shown, ["", "phone", "items[3]"])
        assert set(before) - set(shown.notes) <= {shown.goto.value} and shown.notes["items[9]"] == "kept"


def test_a_check_leads_to_its_item(scored):
    "A row of a result whose check names an item, as the scorers write it"
    rows = Rows({**row, "actions": [{"name": "look", "met": False, "why": "too late", "by": "assistant", "item": 4}]} for row in scored.rows)
    (task,) = scored.tasks.values()
    shown = ResultViewer(Result([TaskResult("demo", rows, task.figures, dataset=task.dataset)]))
    assert 'data-go="items[4]"' in shown.checks.value
    shown._inbox.value = "go items[4] #1"
    assert re.search(r'tk-target" id="[^"]*" data-at="items\[4\]', shown.trace_viewer.body.value)


# ---------------------------------------------------------------- the same every time, and what cannot be shown
def test_html_is_the_same_in_every_process(tmp_path):
    code = ("import hashlib,sys;from tracekit.view import Dataset,view,trace_html,dataset_html,result_html;from tracekit.run import score;from tracekit.pipeline import convert;from tracekit.cli import sample_log;"
            f"convert(sample_log(),{str(tmp_path)!r},name=sys.argv[1],progress=False);d=Dataset({str(tmp_path)!r}+'/'+sys.argv[1]+'.jsonl');r=score(d.path,'telecom');"
            "print([hashlib.sha256(t.replace(sys.argv[1],'').encode()).hexdigest() for t in (trace_html(d[3].trace,d[3].columns),dataset_html(d),result_html(r),view(d[3]).static_html())])")
    told = {subprocess.run([sys.executable, "-c", code, name], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True).stdout for name, seed in (("aaaa", "1"), ("bbbb", "77"))}
    assert len(told) == 1


@pytest.mark.parametrize("given", [3, None, {}, {"items": 3}, "no such file", "", [3, "x"], [None], {"trace": 3}, {"trace": None, "task_id": "x"}, [[]], [{"role": "user"}]], ids=repr)
def test_what_is_no_trace_is_shown_or_refused(given):
    "Never any other error than the one that says what was expected"
    try: shown = view(given)
    except InputError as e: assert str(e)
    else: all_sound(shown)


@pytest.mark.parametrize("item", [3, None, "x", [], {}, {"type": "message"}, {"type": "message", "role": 3, "content": 3}, {"type": "message", "content": [None, 3, [], {"text": 3}, {"type": "input_image"}, {"type": "refusal"}]}, {"type": "function_call"},
                                  {"type": "function_call", "name": 3, "arguments": [1], "call_id": []}, {"type": "function_call_output", "output": 3}, {"type": "function_call_output", "output": [3, None, {"text": 5}]}, {"type": 3}, {"type": []}, {"type": "function_call_output", "output": [{"text": 5}], "status": 4},
                                  {"type": "message", "role": "user", "content": [{"type": [], "text": "x"}]}, {"type": "function_call", "arguments": '{"a":1e999,"b":NaN}'}, {"type": "function_call", "arguments": '{"a": "\\ud800"}'}, {"type": "function_call_output", "output": float("nan")}], ids=repr)
def test_items_of_any_shape(item):
    trace = {"items": [item, item], "metadata": item, "events": [item] if isinstance(item, dict) else item}
    sound(trace_html({"items": [item, item], "metadata": item}))
    for mode in ("markdown", "json"):
        shown = TraceViewer({"items": [item, item]}, mode=mode, unfold=True)
        shown.search.value = "x"
        all_sound(shown)
    try: sound(trace_html(trace))
    except InputError: pass


def test_text_is_escaped_once():
    assert "&amp;amp;" not in trace_html([user("a & b")]) and str(escape("a & b")) in trace_html([user("a & b")]) and clean("&") == "&"


def test_a_dataset_in_a_file(tmp_path, scored):
    (task,) = scored.tasks.values()
    shown = DatasetViewer(Dataset(task.dataset))
    shown.column.value, shown.condition.value = "reward", "=1"
    kept = list(shown.order)
    assert kept and all(shown.table.row(n)["reward"] == 1 for n in kept)
    shown.sort.value = "total_time"
    times = [shown.table.values[n]["total_time"] for n in shown.order]
    assert times == sorted(times) and sorted(shown.order) == kept
    shown.verdict.value = "failed"
    assert not shown.order
    shown.clear()
    assert len(shown.order) == 21
