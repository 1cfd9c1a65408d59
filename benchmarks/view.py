"""What looking costs: how long a viewer takes to come up, to turn a page and to search, and how much HTML it sends, each beside its goal.

    python benchmarks/view.py [--items 10000] [--rows 100000] [--bytes 2000] [--rounds 3] [--browser] [--json FILE]

A trace of many items and 10 MB, then a dataset of many rows in a file. Measured: CPU seconds of Python, the best of some rounds, a new viewer for each. Widgets are made without a kernel, so
nothing is sent. With --browser, the same in a real JupyterLab, from the click to the drawn page, on the wall clock (it needs what `make browser` installs).
"""
import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

from record import Tables, json_option, record

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
TRACE, TABLE, PAGE = 0.3, 1.0, 300   # seconds, seconds, kB


def trace_of(items: int) -> dict:
    "A trace of messages and calls, a kilobyte an item"
    from tracekit.trace import assistant, call, output, plain_trace, user
    made = []
    for n in range(items//4):
        made += [user(f"message {n}: " + "my *phone* has no data, ä "*36), call(f"c{n}", f"tool_{n % 20}", json.dumps({"id": n, "text": "x y "*240})),
                 output(f"c{n}", json.dumps({"line": n, "plan": ["a", "b"], "text": "nothing is wrong "*52})), assistant(f"answer {n}: " + "let me look at your line "*40)]
    return plain_trace(made)


def write_rows(path: Path, rows: int, size: int) -> None:
    "A dataset of rows of about `size` bytes, as convert writes it"
    from tracekit.trace import plain_trace, user
    trace = json.dumps(plain_trace([user("word "*(max(0, size - 330)//5))]) | {"metadata": {"model": "example-large", "total_tokens": 812}})
    with path.open("w") as f:
        for n in range(rows): f.write(f'{{"trace":{trace},"task_id":"task {n % 500}","trial":{n % 4},"reward":{(n % 3)/2},"domain":"{("air", "shop", "phone")[n % 3]}","duration":{n % 977}.5}}\n')


def timed(rounds: int, make, act) -> float:
    "The least CPU seconds of `act` on what `make` makes, which is not measured"
    best = float("inf")
    for _ in range(rounds):
        given = make()
        began = time.process_time()
        act(given)
        best = min(best, time.process_time() - began)
    return best


TABLES: Tables = {}


def about(title: str) -> None:
    "What the next figures are about"
    TABLES[title] = []
    print(title)


def told(what: str, value: float, goal: float, unit: str = "s") -> None:
    TABLES[next(reversed(TABLES))].append({"": what.strip(), "measured": round(value, 3), "unit": unit, "goal": goal})
    print(f"{what:44}{value:10.3f} {unit:3} goal {goal:g} {unit:3} {'' if value <= goal else 'MISSED'}".rstrip())


def largest(widget) -> float:
    "Kilobytes of the largest HTML value inside a widget"
    import ipywidgets as W
    own = len(widget.value.encode())/1000 if isinstance(widget, W.HTML) else 0
    return max([own, *(largest(c) for c in getattr(widget, "children", ()))])


def of_trace(items: int, rounds: int) -> None:
    from tracekit.markup import trace_html
    from tracekit.view import TraceViewer
    trace = trace_of(items)
    about(f"a trace of {len(trace['items']):,} items, {len(json.dumps(trace))/1e6:.1f} MB")
    def make() -> TraceViewer: return TraceViewer(trace)
    def search(viewer: TraceViewer, text: str) -> None: viewer.search.value = text
    told("  viewer up", timed(rounds, lambda: None, lambda _: make()), TRACE)
    told("  next page", timed(rounds, make, lambda v: v.turn(1)), TRACE)
    told("  first search", timed(rounds, make, lambda v: search(v, "wrong")), TRACE)
    shown = make()
    shown.search.value = "line"
    told("  second search", timed(1, lambda: shown, lambda v: search(v, "Phone")), TRACE)
    told("  next hit", timed(rounds, lambda: shown, lambda v: v.step(1)), TRACE)
    told("  a filter", timed(rounds, make, lambda v: setattr(v.kind, "value", "call")), TRACE)
    told("  go to the last item", timed(rounds, make, lambda v: v.go(f"items[{len(trace['items']) - 1}]")), TRACE)
    shown.fold.value = "open"
    told("  one page of HTML", largest(shown), PAGE, "kB")
    told("  the static form", len(trace_html(trace).encode())/1000, PAGE, "kB")


def of_dataset(folder: Path, rows: int, size: int, rounds: int) -> None:
    from tracekit.dataset import Dataset
    from tracekit.view import DatasetViewer
    path = folder/"many.jsonl"
    write_rows(path, rows, size)
    about(f"a dataset of {rows:,} rows of {path.stat().st_size/rows/1000:.1f} kB, {path.stat().st_size/1e6:.0f} MB")
    def make() -> DatasetViewer: return DatasetViewer(Dataset(path))
    told("  table up", timed(rounds, lambda: None, lambda _: make()), TABLE)
    def keep(viewer: DatasetViewer, text: str) -> None: viewer.column.value, viewer.condition.value = "domain", text
    told("  first filter (reads the columns of all rows)", timed(1, make, lambda v: keep(v, "air")), TABLE)
    shown = make()
    keep(shown, "air")
    told("  another filter", timed(1, lambda: shown, lambda v: keep(v, "shop")), TABLE)
    told("  sort", timed(1, lambda: shown, lambda v: setattr(v.sort, "value", "duration")), TABLE)
    told("  next trace", timed(rounds, lambda: shown, lambda v: v.step(1)), TABLE)
    told("  search in all traces", timed(1, make, lambda v: setattr(v.search, "value", "task 499")), TABLE)
    told("  largest HTML", largest(shown), PAGE, "kB")


def in_browser(items: int) -> None:
    "From the click to the drawn page, in JupyterLab"
    sys.path.insert(0, str(ROOT/"tests"))
    import lab as L
    from playwright.sync_api import sync_playwright
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        root = Path(folder)/"root"
        root.mkdir()
        L.notebook(root/"big.ipynb", f"import sys\nsys.path.insert(0, {str(ROOT)!r})\nfrom benchmarks.view import trace_of\nfrom tracekit import view\ntrace = trace_of({items})\nv = view([trace]); v.close_all()", "view(trace)")
        lab = L.Lab(root)
        try:
            with sync_playwright() as pw:
                browser = pw.chromium.launch(executable_path=L.chromium(), args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
                page = browser.new_page()
                v = lab.open(page, "big.ipynb")
                def wall(act, text: str) -> float:
                    began = time.perf_counter()
                    act()
                    v.get_by_text(text).first.wait_for()
                    return time.perf_counter() - began
                about("in JupyterLab, wall clock")
                told("  next page", wall(lambda: v.get_by_role("button", name="Next page").click(), "entries 41 to 80"), TRACE)
                field = v.get_by_label("Search", exact=True).first
                field.fill("answer 999")
                told("  search", wall(lambda: field.press("Enter"), "1 of"), TRACE)
                browser.close()
        finally: lab.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--bytes", type=int, default=2_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--browser", action="store_true")
    json_option(parser)
    given = parser.parse_args()
    of_trace(given.items, given.rounds)
    with tempfile.TemporaryDirectory() as folder: of_dataset(Path(folder), given.rows, given.bytes, given.rounds)
    if given.browser: in_browser(given.items)
    record(given.json, "view", TABLES)


if __name__ == "__main__": main()
