"""Pictures: the drawn numbers are the computed ones, hostile and extreme data is drawn or refused with words, and the bytes are the same every time."""
import json
import math
import os
import subprocess
import sys
import warnings
from collections import Counter
from xml.dom.minidom import parseString

import pytest
from conftest import ROOT

import tracekit
from tracekit.dataset import Dataset
from tracekit.metrics import mean, mean_interval, pass_hat
from tracekit.pictures import MOST, calls_per_tool, costs, cut, edges, heights, lengths, pass_hat_k, score_per_task, side_by_side, width
from tracekit.result import Result, Rows, TaskResult, load_result
from tracekit.run import score
from tracekit.score import recorded_calls
from tracekit.source import InputError, TracekitError

ON_RESULTS, ON_TRACES = (score_per_task, pass_hat_k), (calls_per_tool, lengths, costs)
HOSTILE = ("$x_1^2\\frac{ <b>&\"' ]]> \N{GRINNING FACE}\N{ZERO WIDTH JOINER}\N{CJK UNIFIED IDEOGRAPH-6F22} \n\n \x00\x1b[31m \ud800 \u202e "*20)[:300]


@pytest.fixture(autouse=True)
def no_warnings():
    "A warning of matplotlib in front of a user is a fault"
    with warnings.catch_warnings():
        for kind in (UserWarning, RuntimeWarning, ResourceWarning): warnings.simplefilter("error", kind)
        yield


@pytest.fixture(scope="module")
def dataset(sample, tmp_path_factory):
    "The sample as a dataset"
    folder = tmp_path_factory.mktemp("pictures")
    tracekit.convert(sample, folder, progress=False)
    return Dataset(folder/"telecom.jsonl")


@pytest.fixture(scope="module")
def result(dataset): return score(dataset.path, "telecom")


def rows_with(tasks, trials, reward):
    "The rows of a result: `reward(task, trial)` for each"
    return Rows({"id": f"{i}-{t}", "task_id": f"task {i}", "trial": t, "reward": reward(i, t), "coverage": (i % 5)/4} for i in range(tasks) for t in range(trials))


def row_of(calls, metadata=None, **columns):
    "A row with a trace of calls: (tool, who, failed)"
    items = [{"type": "message", "role": "user", "id": "u", "status": "completed", "content": [{"type": "input_text", "text": "Hi"}]}]
    for n, (name, who, failed) in enumerate(calls):
        items += [{"type": "function_call", "id": f"c{n}", "call_id": f"c{n}", "name": name, "arguments": "{}", "created_by": who, "status": "completed"},
                  {"type": "function_call_output", "id": f"o{n}", "call_id": f"c{n}", "output": "Error: no" if failed else "ok", "status": "completed", "created_by": who}]
    return {"trace": {"items": items, "metadata": metadata}, **columns}


def dataset_of(folder, *rows):
    (folder/"made.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Dataset(folder/"made.jsonl")


def artists(axes, gid):
    "What is drawn under a name in axes"
    return [a for a in axes.get_children() if a.get_gid() == gid]


def looked_at(picture):
    "The SVG of a picture, which is XML"
    svg = picture._repr_svg_()
    parseString(svg)
    return svg


# The drawn numbers

def test_score_per_task_draws_means_intervals_and_trials(result):
    axes, coverage = score_per_task(result).axes
    by_task = {}
    for row in result.rows: by_task.setdefault(row["task_id"], []).append(row)
    means = [m.get_segments()[0][0][0] for m in artists(axes, "mean")]
    assert means[0] == pytest.approx(result.metrics["reward"])
    assert means[1:] == pytest.approx(sorted(mean([r["reward"] for r in rows]) for rows in by_task.values()))
    (band,) = artists(axes, "interval")
    low, high = mean_interval([r["reward"] for r in result.rows], [r["task_id"] for r in result.rows])
    assert (band.get_x(), band.get_x() + band.get_width()) == pytest.approx((low, high))
    assert Counter(x for line in artists(axes, "trials") for x in line.get_xdata()) == Counter(r["reward"] for r in result.rows)
    bars = sorted(bar.get_width() for bar in artists(coverage, "coverage")[1:])
    there = [[r["action_coverage"] for r in rows if r["action_coverage"] is not None] for rows in by_task.values()]
    assert artists(coverage, "coverage")[0].get_width() == result.metrics["action_coverage"] and bars == pytest.approx(sorted(map(mean, there)))


def test_many_trials_become_an_interval():
    rows = rows_with(3, 12, lambda i, t: float(t % (i + 2) == 0))
    axes = score_per_task(rows).axes[0]
    bands = [(b.get_x(), b.get_x() + b.get_width()) for b in artists(axes, "interval")[1:]]
    found = sorted((mean_interval([r["reward"] for r in rows if r["task_id"] == f"task {i}"]) for i in range(3)), key=sum)
    assert not artists(axes, "trials") and [v for b in bands for v in b] == pytest.approx([v for b in found for v in b])


def test_of_many_tasks_the_worst_are_drawn_and_the_picture_says_so():
    picture = score_per_task(rows_with(300, 2, lambda i, t: i/300))
    shown = [m.get_segments()[0][0][0] for m in artists(picture.axes[0], "mean")][1:]
    assert shown == pytest.approx([i/300 for i in range(MOST)]) and f"the {MOST} worst of 300 tasks" in looked_at(picture)


def test_pass_hat_k_is_that_of_the_metrics(result, dataset):
    picture = pass_hat_k({"scored": result, "recorded": dataset})
    for line, rows in zip(picture.axes[0].get_lines(), (result.rows, list(dataset.plain()))):
        assert dict(enumerate(line.get_ydata(), 1)) == pytest.approx(pass_hat(rows))
    deep = rows_with(4, 8, lambda i, t: t < 2*i)
    axes = pass_hat_k(deep).axes[0]
    assert list(axes.get_lines()[0].get_ydata()) == pytest.approx(list(pass_hat(deep).values())) and len(axes.get_lines()[0].get_ydata()) == 8
    for k, band in enumerate(artists(axes, "interval"), 1):
        values = [math.comb(2*i, k)/math.comb(8, k) for i in range(4)]
        low, high = mean_interval(values)
        assert [y for _, y in band.get_segments()[0]] == pytest.approx([max(0, low), min(1, high)])


def test_calls_per_tool_counts_every_call(dataset):
    calls, errors = calls_per_tool(dataset).axes
    made = [c for row in dataset.plain() for c in recorded_calls(row["trace"])]
    per_tool = Counter(c["name"] for c in made).most_common()
    drawn = [0.0]*min(MOST, len(per_tool))
    for who in ("assistant", "user", "not said"):
        for bar in artists(calls, who): drawn[round(bar.get_y() + bar.get_height()/2)] += bar.get_width()
    assert drawn == [n for _, n in per_tool][:MOST]
    failed = Counter(c["name"] for c in made if c["failed"])
    assert sorted(line.get_xdata()[0] for line in artists(errors, "rate")) == pytest.approx(sorted(failed[name]/n for name, n in per_tool if failed[name]))


@pytest.mark.parametrize("draw, column", [(lengths, lambda row: len(row["trace"]["items"])), (costs, lambda row: row["agent_cost"])])
def test_distributions_hold_every_trace(dataset, draw, column):
    axes = draw(dataset).axes[0]
    values = [column(row) for row in dataset.plain()]
    assert sum(bar.get_height() for bar in artists(axes, "traces")) == len(values)
    for bar in artists(axes, "traces"):
        left = bar.get_x()
        assert bar.get_height() == sum(left - 1e-9 <= v < left + bar.get_width() - 1e-9 for v in values)
    assert artists(axes, "median")[0].get_segments()[0][0][0] == sorted(values)[len(values)//2]


def test_side_by_side_draws_means_and_the_paired_difference(result):
    other = Rows({**row, "id": f"b{n}", "reward": float(n % 3 == 0)} for n, row in enumerate(result.rows))
    means, differences, tasks = side_by_side(result, other, ("one", "two")).axes
    compared = {f.name: f for f in result.compare(Result([TaskResult("b", other)])).figures}
    found = [m.get_segments()[0][0][0] for m in artists(differences, "mean")]
    assert found == [f.value for f in compared.values()] and [b.get_x() for b in artists(differences, "interval")] == [f.low for f in compared.values()]
    assert artists(means, "mean 0")[0].get_xdata()[0] == result.metrics["reward"] and artists(means, "mean 1")[0].get_xdata()[0] == 7/21
    for n, rows in enumerate((result.rows, other)):
        by_task = {}
        for row in rows: by_task.setdefault(row["task_id"], []).append(row["reward"])
        assert sorted(artists(tasks, f"tasks {n}")[0].get_xdata()) == pytest.approx(sorted(map(mean, by_task.values())))


@pytest.mark.parametrize("values", [[0], [7]*3, [0.1, 0.2], [-5, 1e9], [1e99, -1e99], [2.5], list(range(1000)), [1e-9, 2e-9], [0.1]*50, [10**15, 1]])
def test_no_value_falls_between_the_bars(values):
    borders = edges(values, False)
    assert sum(heights(values, borders)) == len(values) and borders[0] <= min(values) and max(values) <= borders[-1] and len(borders) < 60


# Hostile and extreme data

REWARDS = {
    "one": lambda i, t: 1.0, "none": lambda i, t: 0, "true": lambda i, t: t == 0, "parts": lambda i, t: t/7, "steps": lambda i, t: 7*i + t, "negative": lambda i, t: -i,
    "huge": lambda i, t: (-1)**t*1e99, "mixed": lambda i, t: (float("nan"), None, 1.0, "x", 10**400, float("inf"), 0.5, True)[(i + t) % 8],
}


@pytest.mark.parametrize("shape", [(1, 1), (1, 12), (3, 3), (300, 2)], ids=str)
@pytest.mark.parametrize("kind", REWARDS)
def test_any_rewards_are_drawn_or_refused_with_words(kind, shape):
    rows = rows_with(*shape, REWARDS[kind])
    for draw in (*ON_RESULTS, lambda rows: side_by_side(rows, Rows(reversed(rows)))):
        try: looked_at(draw(rows))
        except InputError as e: assert kind == "mixed" and shape == (1, 1) and ("number as 'reward'" in str(e) or "coverage" in str(e)), e


def test_hostile_text_stays_text(tmp_path):
    rows = Rows({"id": n, "task_id": f"{n}{HOSTILE}{n}", "trial": 0, "reward": n % 2, "$bad_$": 0.5} for n in range(4))
    given = dataset_of(tmp_path, row_of([(HOSTILE.replace("\ud800", ""), "user", True), ("a", HOSTILE[:40].replace("\ud800", ""), False)], agent_cost=0.1))
    pictures = [score_per_task(rows), pass_hat_k({HOSTILE: rows, "b": rows}), side_by_side(rows, Rows(reversed(rows)), (HOSTILE, HOSTILE[::-1])),
                calls_per_tool(given), costs({HOSTILE: given, "b": given}), lengths(given)]
    for picture in pictures:
        svg = looked_at(picture)
        assert "<b>" not in svg and "\x1b" not in svg and "\N{RIGHT-TO-LEFT OVERRIDE}" not in svg and ("$" in svg or picture is pictures[-1])
        picture.savefig(tmp_path/"a.png")
    assert "&lt;b&gt;" in looked_at(pictures[0])


@pytest.mark.parametrize("text", ["W"*300, "\N{CJK UNIFIED IDEOGRAPH-6F22}"*300, "i"*5000, "a $ b "*99, "x", "", "\n", HOSTILE])
def test_a_text_is_cut_to_its_room(text):
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path
    for room in (40, 100, 400):
        shown = cut(text, room)
        assert width(shown) <= room and "\n" not in shown and (width(text) > room or "\n" in text or "\x00" in text or shown == text)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")     # the font lacks some glyphs, which are as wide as its box then
            assert text_to_path.get_text_width_height_descent(shown, FontProperties(size=11, family="DejaVu Sans"), False)[0] <= room*1.12 + 2


@pytest.mark.parametrize("rows, draw", [([[]], lengths), ([[("t", None, True)]], calls_per_tool), ([[("t", "user", False)]*500], calls_per_tool), ([[(f"t{n}", "user", n % 2)] for n in range(90)], calls_per_tool)])
def test_few_and_many_calls(tmp_path, rows, draw): assert looked_at(draw(dataset_of(tmp_path, *map(row_of, rows))))


@pytest.mark.parametrize("column", [0.0, -3, 1e99, 5, [1, 1000000.0, 0.001], [None, 2.0, "x", True]])
def test_any_cost_is_drawn(tmp_path, column):
    given = dataset_of(tmp_path, *(row_of([], agent_cost=value) for value in (column if isinstance(column, list) else [column])))
    svg = looked_at(costs(given))
    assert "No row has time: looked for duration" in svg and ("logarithmic" in svg) == (column == [1, 1000000.0, 0.001]) and ("1 of 4 rows" in svg) == (None in column if isinstance(column, list) else False)


# What is refused

@pytest.mark.parametrize("draw", [*ON_RESULTS, *ON_TRACES, lambda source: side_by_side(source, source)])
def test_no_rows(tmp_path, draw):
    for nothing in (Rows(), Result([]), dataset_of(tmp_path), tmp_path/"made.jsonl"):
        with pytest.raises(InputError, match="no rows|nothing to compare"): draw(nothing)


@pytest.mark.parametrize("draw, source, said", [
    (score_per_task, [], "expected a Result, a Dataset"), (costs, None, "got NoneType"), (score_per_task, "a.json", "tracekit convert a.json"), (lengths, "nowhere.jsonl", "nowhere.jsonl"),
    (lambda rows: score_per_task(rows, "rewards"), rows_with(1, 1, lambda i, t: 1), "did you mean 'reward'"),
    (calls_per_tool, rows_with(1, 1, lambda i, t: 1), "in the Dataset that was scored"), (lengths, rows_with(1, 1, lambda i, t: 1), "looked for trace.items"),
    (costs, rows_with(1, 1, lambda i, t: 1), "looked for agent_cost"), (pass_hat_k, {}, "no source"), (pass_hat_k, dict.fromkeys("abcde", Rows()), "at most 4")])
def test_an_error_says_what_was_expected(draw, source, said):
    with pytest.raises(TracekitError) as e: draw(source)
    assert said in str(e.value)


def test_a_path_of_either_is_taken(result, dataset, sample, tmp_path):
    saved = result.save(tmp_path/"result.jsonl")
    assert looked_at(score_per_task(saved)) == looked_at(score_per_task(load_result(saved))) == looked_at(score_per_task(str(saved)))
    assert looked_at(lengths(dataset.path)) == looked_at(lengths(dataset.path.with_suffix(".yaml"))) == looked_at(lengths(dataset))
    tracekit.convert(sample, tmp_path/"parts", to="parquet", progress=False)
    parts = next(path.parent for path in tmp_path.rglob("*.parquet"))
    assert looked_at(lengths(parts)) == looked_at(lengths(dataset))


# The same every time, and without traces in the process

ALL = """
import sys, hashlib, tracekit.pictures as p
from pathlib import Path
assert "matplotlib" not in sys.modules, "tracekit.pictures imports matplotlib"
made = [p.score_per_task(sys.argv[2]), p.pass_hat_k({"a": sys.argv[2], "b": sys.argv[1]}), p.calls_per_tool(sys.argv[1]), p.lengths(sys.argv[1]), p.costs(sys.argv[1]), p.side_by_side(sys.argv[2], sys.argv[2])]
first = [m._repr_svg_() for m in made]
assert first == [m._repr_svg_() for m in made]
for m in made: m.savefig(sys.argv[3], format="svg")
assert "matplotlib.pyplot" not in sys.modules, "pyplot keeps every figure"
print(hashlib.sha256("".join(first).encode()).hexdigest(), hashlib.sha256(Path(sys.argv[3]).read_bytes()).hexdigest())
"""


def python(code, *args, **env):
    return subprocess.run([sys.executable, "-W", "error::UserWarning", "-c", code, *map(str, args)], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT), **env}, capture_output=True, text=True, timeout=120)


def test_the_bytes_are_the_same_in_every_process(result, dataset, tmp_path):
    saved = result.save(tmp_path/"result.jsonl")
    runs = [python(ALL, dataset.path, saved, tmp_path/"a.svg", PYTHONHASHSEED=seed) for seed in ("1", "2")]
    assert [r.stderr for r in runs] == ["", ""] and runs[0].stdout == runs[1].stdout


def test_without_matplotlib_an_error_names_the_command(result, tmp_path):
    code = "import sys\nsys.modules['matplotlib'] = None\nimport tracekit.pictures as p\ntry: p.score_per_task(sys.argv[1])\nexcept p.InputError as e: print(e)"
    assert "pip install 'tracekit[pictures]'" in python(code, result.save(tmp_path/"result.jsonl")).stdout


def test_settings_of_the_user_change_nothing(result):
    import matplotlib
    plain = looked_at(score_per_task(result))
    with matplotlib.rc_context({"text.usetex": True, "axes.facecolor": "black", "font.size": 30, "svg.fonttype": "path", "axes.grid": True}):
        assert looked_at(score_per_task(result)) == plain
        assert matplotlib.rcParams["text.usetex"], "and the settings are still the user's"


def test_a_notebook_shows_a_picture(result):
    from IPython.core.interactiveshell import InteractiveShell
    shown, _ = InteractiveShell().display_formatter.format(score_per_task(result))
    assert shown["image/svg+xml"].startswith("<?xml") and "<title>reward per task</title>" in shown["image/svg+xml"]


def drawn_of(log, folder):
    "How many pictures a log gives; one that cannot be drawn says why"
    tracekit.convert(log, folder, progress=False)
    n = 0
    for given in folder.glob("*.jsonl"):
        if given.name.endswith(".rejects.jsonl"): continue
        for draw in (*ON_RESULTS, *ON_TRACES):
            try: n += len(looked_at(draw(given))) > 5000
            except InputError as e: assert draw is not lengths and "none of" in str(e) or "no rows" in str(e), e
    return n


def test_scripted_logs_are_drawn(scripted_log, tmp_path): assert drawn_of(scripted_log, tmp_path) >= 4


def test_real_logs_are_drawn(real_log, tmp_path):
    "Those that hold runs"
    try: drawn = drawn_of(real_log, tmp_path)
    except TracekitError as e: pytest.skip(f"not a log that can be converted: {type(e).__name__}")
    assert drawn >= any(path.stat().st_size for path in tmp_path.glob("*.jsonl"))
