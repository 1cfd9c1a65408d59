"""Running a project here: the platform's own tutorial, every part of a task, code and data that do their worst, and the result."""
import csv
import io
import itertools
import json
import os
import random
import re
import signal
import subprocess
import sys
import textwrap
import time
from collections import Counter
from pathlib import Path

import pytest
import yaml
from conftest import ROOT

import tracekit
import tracekit.metrics
import tracekit.run
from tracekit.result import EARLY, ORIGIN, Comparison, Figure, Result, Rows, TaskResult, checks, compare, load_result, look, main_score, means, numbers, passed
from tracekit.result import kinds as kinds_of
from tracekit.run import Plan, named_scorer, run, score, score_sample, solved
from tracekit.samples import fill, opened, passes, samples
from tracekit.source import InputError, TracekitError
from tracekit.trace import assistant, call, output, plain_trace, user

# ---------------------------------------------------------------- projects


def trace(text="yes", *calls):
    "A small sound trace: a question, calls of these tools, an answer"
    items = [user("hi", "u")]
    for n, name in enumerate(calls): items += [call(f"c{n}", name, "{}", created_by="assistant"), output(f"c{n}", f"{name} done", created_by="assistant")]
    return plain_trace([*items, assistant(text, "a")])


def row(n, **columns): return {"id": f"s{n}", "x": n, "trace": trace(), **columns}


def jsonl(rows): return "".join(json.dumps(r) + "\n" for r in rows)


def table(rows, **kept):
    "Rows as CSV, what is no text as JSON"
    f = io.StringIO()
    made = csv.DictWriter(f, list(dict.fromkeys(name for r in rows for name in r)), **kept)
    made.writeheader()
    made.writerows({k: v if isinstance(v, str) else json.dumps(v) for k, v in r.items()} for r in rows)
    return f.getvalue()


SCORE = "def compute_scores(sample, solver_output):\n    return {'score': sample['x']}\n"
TASK = {"key": "t", "display_name": "T", "description": "d", "config_spec": [{"type": "dataset", "key": "data", "display_name": "D"}]}
MEAN = {"type": "mean", "field": "score", "name": "Score"}


def python(text=SCORE, *metrics, **spec):
    "A python scorer; its metrics are the mean of `score` if none are given"
    return {"type": "python", "compute_scores_snippet": textwrap.dedent(text), "metrics": list(metrics) or [MEAN], **spec}


def task(*scorers, key="t", spec=None, dataset=None, solver=True, **definition):
    "A task that passes traces through"
    passing = {"solver": {"type": "pass_through_solver", "trace_column": "trace"}} if solver is True else {"solver": solver} if solver else {}
    return TASK | {"key": key} | (spec or {}) | {"definition": {"dataset": dataset or {"key": "<< config.data >>"}, **passing, "scorers": list(scorers) or [python()], **definition}}


def data(file="d.jsonl", key="d", **source): return {"key": key, "display_name": "D", "source": {"type": "local", "file_path": f"./{file}", **source}}


def project(folder, rows, *tasks, file="d.jsonl", datasets=None, specifications=None, **more):
    "A folder with a run.yaml: rows (or the bytes of the file), and tasks that all take them; `more` are members of the run"
    given = rows if isinstance(rows, bytes) else (rows if isinstance(rows, str) else jsonl(rows)).encode()
    (folder/file).write_bytes(given)
    tasks = list(tasks or [task()])
    used = specifications if specifications is not None else [{"key": t["key"], "task_key": t["key"], "task_config": {"data": "d"}} for t in tasks]
    evaluation = {"key": "e", "display_name": "E", "description": "d", "task_specifications": used, **more.pop("evaluation", {})}
    made = {"datasets": datasets or [data(file)], "tasks": tasks, "evaluation": evaluation, **more}
    (folder/"run.yaml").write_text(yaml.safe_dump(made, sort_keys=False, allow_unicode=True), encoding="utf-8")
    return folder/"run.yaml"


FEW = [row(n) for n in range(1, 6)]


APART = """
import json, sys
from tracekit.run import run, score
given = json.loads(sys.argv[1])
made = (score if "scorer" in given["options"] else run)(given["path"], **given["options"])
text = repr(made), made._repr_markdown_(), repr(made.rows), made.rows._repr_markdown_()
notes = [n for t in made.tasks.values() for n in t.notes]
print(json.dumps({"rows": made.rows, "plain": made.plain(), "notes": notes, "metrics": made.metrics, "text": text[0], "problems": [t.problem for t in made.tasks.values() if t.problem]}))
made.save(given["path"] + ".result.jsonl")
"""


class Apart:
    "A run in a process of its own, which may hang or die; at most three at a time, in the order they were asked for"
    waiting, running = [], []

    def __init__(self, path, seconds=90, **options):
        self.path, self.seconds, self.options, self.code, self.process = path, seconds, options, None, None
        self.waiting.append(self)

    def start(self):
        self.until = time.monotonic() + self.seconds
        given = json.dumps({"path": str(self.path), "options": self.options})
        with open(f"{self.path}.out", "wb") as out, open(f"{self.path}.err", "wb") as err:
            self.process = subprocess.Popen([sys.executable, "-c", APART, given], stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True, cwd=ROOT)
        self.running.append(self)

    def end(self, code):
        "Note how it ended, and end all processes that it started"
        self.code = code
        self.running.remove(self)
        try: os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError: pass
        self.process.wait()

    @classmethod
    def go_on(cls):
        "End what has ended or takes too long, and begin what may begin"
        for job in list(cls.running):
            if (code := job.process.poll()) is not None: job.end(code)
            elif time.monotonic() > job.until: job.end("hangs")
        while cls.waiting and len(cls.running) < 3: cls.waiting.pop(0).start()

    def result(self):
        "What it found"
        if self in self.waiting:   # it is its turn
            self.waiting.remove(self)
            self.start()
        while self.code is None:
            self.go_on()
            time.sleep(0.02)
        assert self.code == 0, f"the run ended with {self.code}: {Path(f'{self.path}.err').read_text(errors='replace')[-1500:]}"
        return json.loads(Path(f"{self.path}.out").read_text())


@pytest.fixture(autouse=True)
def no_hang():
    "A run that hangs fails its test; the signal comes again, should the first be swallowed"
    def late(*_): raise TimeoutError("the run hangs")
    Apart.go_on()
    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, 60, 1)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="module", autouse=True)
def behind(request, tmp_path_factory):
    "The runs that mostly wait go on in the background from the beginning: by the name of what they are for"
    wanted = {item.originalname for item in request.session.items if item.module is request.module}
    def folder(): return tmp_path_factory.mktemp("apart")
    yield {name: job for name, (tests, make) in BEHIND.items() if wanted.intersection(tests) for name, job in [(name, make(folder))]}
    Apart.waiting.clear()
    for job in list(Apart.running): job.end("not waited for")


BEHIND = {}   # name -> (the tests that ask for it, what begins it)


def in_background(name, *tests):
    "Register what begins a run, or several by name, in the background"
    def keep(make): BEHIND[name] = (tests, make)
    return keep


def by(name, rows): return [r.get(name) for r in rows]


# ---------------------------------------------------------------- the tutorial

MEANS = {"Task Score": 0.5294117647058824, "Action Score": 0.5294117647058824, "Env Assertion Score": 0.7058823529411765, "Action Coverage": 0.6564425770308123}
EACH = [   # score, action_score, env_assertion_score, action_coverage: aigo.md section 2
    (1, 1, 1, 1), (1, 1, 1, 1), (0, 0, 1, 0), (0, 0, 1, 0), (1, 1, 1, 1), (1, 1, 1, 1), (0, 0, 0, 1/7), (0, 0, 0, 3/4), (1, 1, 1, 1), (1, 1, 1, 1), (0, 0, 1, 1/3),
    (1, 1, 1, 1), (0, 0, 0, 3/5), (1, 1, 1, 1), (0, 0, 0, 0), (1, 1, 1, 1), (0, 0, 0, 1/3),
]


def holds_the_tutorial(result, key="tau2bench-tutorial-eval"):
    made = result.tasks[key]
    assert made.metrics == MEANS and made.problem is None and not made.failed
    names = ("score", "action_score", "env_assertion_score", "action_coverage")
    assert [tuple(r[name] for name in names) for r in made.rows] == EACH and by("row", made.rows) == list(range(1, 18))
    assert all(figure.n == 17 for figure in made.figures)


def test_the_unchanged_tutorial(bundle):
    "Its files as they are: four means to the last digit, and each sample"
    result = tracekit.run.run(bundle/"run.yaml")
    holds_the_tutorial(result)
    assert result.metrics == MEANS and not result.notes and not result.tasks["tau2bench-tutorial-eval"].notes
    assert result.plain() == {"tasks": {"tau2bench-tutorial-eval": {"metrics": MEANS, "samples": 17, "failed": 0}}}


def test_the_tutorial_with_tracekits_scorer(bundle):
    "One line in the place of two hundred"
    text = (bundle/"tasks"/"scorer.py").read_text(encoding="utf-8")
    (bundle/"tasks"/"scorer.py").write_text("from tracekit.score import compute_scores\n")
    try: holds_the_tutorial(run(bundle/"run.yaml"))
    finally: (bundle/"tasks"/"scorer.py").write_text(text, encoding="utf-8")


@pytest.mark.parametrize("workers", [1, 3])
def test_the_tutorial_without_yaml(bundle, workers):
    "`score` takes the dataset or its spec, and a scorer by name or file"
    expected = {"score": MEANS["Task Score"], "action_score": MEANS["Action Score"], "env_assertion_score": MEANS["Env Assertion Score"], "action_coverage": MEANS["Action Coverage"]}
    for dataset, scorer in (("tutorial-samples.jsonl", "trace"), ("tutorial-samples.yaml", bundle/"tasks"/"scorer.py")):
        assert score(bundle/"datasets"/dataset, scorer, workers=workers).metrics == expected


def test_the_module_is_the_function(bundle):
    import tracekit.run as module
    assert module(bundle/"run.yaml").metrics == MEANS


def test_the_tutorials_snippet_for_several_models(bundle):
    "As the source tutorial has it: one literal model_key and one literal dataset a specification (the platform itself refuses this form)"
    text = yaml.safe_load((bundle/"run.yaml").read_text(encoding="utf-8"))
    text["datasets"] = [{"key": f"model-{m}-traces", "display_name": m, "source": {"type": "local", "file_path": "./datasets/tutorial-samples.jsonl"}} for m in "ab"]
    text["models"] = [{"$provider": "openai/gpt-4.1-nano"}, {"$provider": "openai/gpt-4.1-mini"}]
    text["evaluation"]["config_spec"] = []
    text["evaluation"]["task_specifications"] = [
        {"task_key": "tau2bench-tutorial-eval", "model_key": f"openai$gpt-4-1-{model}", "task_config": {"dataset_key": f"model-{m}-traces"}} for m, model in (("a", "nano"), ("b", "mini"))]
    del text["config"]
    (bundle/"several.yaml").write_text(yaml.safe_dump(text, sort_keys=False))
    result = run(bundle/"several.yaml")
    assert list(result.tasks) == ["tau2bench-tutorial-eval", "tau2bench-tutorial-eval_1"]
    for key in result.tasks: holds_the_tutorial(result, key)
    assert result.metrics["tau2bench-tutorial-eval_1/Task Score"] == MEANS["Task Score"]


def test_the_form_for_several_models_that_works_there(bundle):
    "One parameter for the model, one a dataset: aigo.md 6.5"
    text = yaml.safe_load((bundle/"run.yaml").read_text(encoding="utf-8"))
    text["datasets"] = [{"key": f"{m}-traces", "display_name": m, "source": {"type": "local", "file_path": "./datasets/tutorial-samples.jsonl"}} for m in "ab"]
    text["evaluation"]["config_spec"] = [{"type": "model", "key": "model_key", "display_name": "M"}, *({"type": "dataset", "key": f"dataset_{m}", "display_name": m} for m in "ab")]
    text["evaluation"]["task_specifications"] = [
        {"key": m, "task_key": "tau2bench-tutorial-eval", "model_key": "<< config.model_key >>", "task_config": {"dataset_key": f"<< config.dataset_{m} >>"}} for m in "ab"]
    text["config"] = {"model_key": "latticeflow$placeholder", "dataset_a": "a-traces", "dataset_b": "b-traces"}
    (bundle/"several.yaml").write_text(yaml.safe_dump(text, sort_keys=False))
    result = run(bundle/"several.yaml")
    for key in "ab": holds_the_tutorial(result, key)
    assert list(result.tasks) == ["a", "b"]


# ---------------------------------------------------------------- values

def test_values_by_default(tmp_path):
    "Of the evaluation, of the task, and of a parameter that may be null; a value that is given wins"
    spec = {"config_spec": [*TASK["config_spec"], {"type": "float", "key": "factor", "display_name": "F", "default_value": 2.5}, {"type": "string", "key": "word", "display_name": "W", "nullable": True}]}
    scorer = python("def compute_scores(sample):\n    return {'score': sample['x'] * << config.factor >>, 'word': '<< config.word >>'}\n")
    evaluation = {"config_spec": [{"type": "dataset", "key": "eval_data", "display_name": "D", "default_value": "d"}, {"type": "float", "key": "f", "display_name": "F", "default_value": 10}]}
    used = [{"key": "plain", "task_key": "t", "task_config": {"data": "<< config.eval_data >>"}}, {"key": "given", "task_key": "t", "task_config": {"data": "d", "factor": "<< config.f >>", "word": "so"}}]
    result = run(project(tmp_path, FEW, task(scorer, spec=spec), specifications=used, evaluation=evaluation))
    assert by("score", result.tasks["plain"].rows) == [2.5, 5, 7.5, 10, 12.5] and by("score", result.tasks["given"].rows) == [10, 20, 30, 40, 50]
    assert set(by("word", result.tasks["plain"].rows)) == {"None"} and set(by("word", result.tasks["given"].rows)) == {"so"}
    again = run(project(tmp_path, FEW, task(scorer, spec=spec), specifications=used, evaluation=evaluation, config={"f": 0}))
    assert by("score", again.tasks["given"].rows) == [0]*5


def test_tasks_without_an_evaluation(tmp_path):
    "Each task runs with the one dataset that there is"
    path = project(tmp_path, FEW, task(), task(python(key="other"), key="u"))
    text = yaml.safe_load(path.read_text())
    del text["evaluation"]
    path.write_text(yaml.safe_dump(text))
    result = run(path)
    assert list(result.tasks) == ["t", "u"] and result.metrics == {"t/Score": 3, "u/Score": 3}


def test_placeholders_in_the_parts_of_a_task(tmp_path):
    "The trace column, the field and the name of a metric, num_samples"
    spec = {"config_spec": [*TASK["config_spec"], *({"type": "string", "key": k, "display_name": k} for k in ("column", "field")), {"type": "int", "key": "n", "display_name": "n"}]}
    given = task(python(SCORE, {"type": "mean", "field": "<< config.field >>", "name": "Mean of << config.field >>"}), spec=spec, solver={"type": "pass_through_solver", "trace_column": "<< config.column >>"})
    used = [{"task_key": "t", "num_samples": "<< config.count >>", "task_config": {"data": "d", "column": "trace", "field": "score", "n": 3}}]
    result = run(project(tmp_path, FEW, given, specifications=used, evaluation={"config_spec": [{"type": "int", "key": "count", "display_name": "C"}]}, config={"count": 3}))
    assert result.metrics == {"Mean of score": 2} and len(result.rows) == 3


def test_a_value_that_is_missing_is_told_with_its_name(tmp_path):
    result = run(project(tmp_path, FEW, task(), task(key="sound"), specifications=[{"task_key": "t", "task_config": {"data": "<< config.nowhere >>"}}, {"task_key": "sound", "task_config": {"data": "d"}}]))
    assert "config.nowhere" in result.tasks["t"].problem and result.tasks["sound"].metrics == {"Score": 3}


# ---------------------------------------------------------------- datasets

def test_two_datasets_side_by_side(tmp_path):
    "A sample holds a row of each, under the placeholder of its parameter, as the platform's guide writes it"
    (tmp_path/"b.jsonl").write_text(jsonl([{"label": label} for label in "aabba"]))
    spec = {"config_spec": [{"type": "dataset", "key": f"data_{m}", "display_name": m} for m in "ab"]}
    scorer = python("def compute_scores(sample):\n    return {'score': sample['<< config.data_a >>']['label'] == sample['<< config.data_b >>']['label']}\n")
    given = task(scorer, spec=spec, dataset={"keys": ["<< config.data_a >>", "<< config.data_b >>"]}, solver=None)
    used = [{"task_key": "t", "task_config": {"data_a": "d", "data_b": "b"}}]
    result = run(project(tmp_path, [{"label": label} for label in "abbaa"], given, datasets=[data(), data("b.jsonl", "b")], specifications=used))
    assert by("score", result.rows) == [True, False, True, False, True] and result.metrics == {"Score": 0.6}


def test_two_datasets_of_different_length_are_told(tmp_path):
    "The guide says they must be equally long; what is left over must not vanish in silence"
    (tmp_path/"b.jsonl").write_text(jsonl([{}]*3))
    spec = {"config_spec": [{"type": "dataset", "key": f"data_{m}", "display_name": m} for m in "ab"]}
    given = task(python("def compute_scores(sample): return {'score': 1}\n"), spec=spec, dataset={"keys": ["<< config.data_a >>", "<< config.data_b >>"]}, solver=None)
    result = run(project(tmp_path, FEW, given, datasets=[data(), data("b.jsonl", "b")], specifications=[{"task_key": "t", "task_config": {"data_a": "d", "data_b": "b"}}]))
    told = result.tasks["t"]
    assert len(told.rows) == 5 or told.problem or told.notes


def test_csv_rows_score_as_the_same_rows_in_jsonl(bundle, tmp_path):
    "Traces, criteria and states as JSON text in the cells"
    rows = [json.loads(line) for line in (bundle/"datasets"/"tutorial-samples.jsonl").read_text(encoding="utf-8").splitlines()]
    given = task(python("from tracekit.score import compute_scores\n"))
    result = run(project(tmp_path, table(rows), given, file="d.csv", datasets=[data("d.csv")]))
    assert by("score", result.rows) == [each[0] for each in EACH]


def test_a_folder_of_texts(tmp_path):
    (tmp_path/"texts").mkdir()
    (tmp_path/"texts"/"a.md").write_text("---\nx: 7\n---\nhello\n")
    (tmp_path/"texts"/"b.md").write_text("no matter")
    (tmp_path/"texts"/"c.md").write_text("---\n[1\n---\nbroken matter")
    (tmp_path/"texts"/"d.md").write_bytes(b"\xff")
    (tmp_path/"texts"/"e.txt").write_text("another ending")
    scorer = python("def compute_scores(sample): return {'score': sample.get('x', 0), 'text': sample['content'], 'file': sample['file_name']}\n")
    source = {"key": "d", "display_name": "D", "source": {"type": "folder", "directory_path": "./texts", "extension": "md"}}
    result = run(project(tmp_path, [], task(scorer, solver=None), datasets=[source]))
    assert by("file", result.rows)[:2] == ["a.md", "b.md"] and by("score", result.rows) == [7, 0, None, None] and by("stage", result.rows) == [None, None, "read", "read"]
    assert result.rows[0]["text"] == "hello\n" and "c.md" in result.rows[2]["error"] and "d.md" in result.rows[3]["error"]


# ---------------------------------------------------------------- filters

ROWS = [
    {"id": "a", "n": 1, "word": "x", "flag": True, "none": None, "list": [1], "text": "5"},
    {"id": "b", "n": 2.5, "word": "y", "flag": False, "none": None, "list": [], "text": "x"},
    {"id": "c", "n": -3, "word": "", "flag": True, "none": 0, "list": [1, 2], "text": ""},
]
FILTERS = [
    *({"op": op, "expression": e, "value": v} for op in ("equals", "not_equals", "greater_than", "less_than", "greater_or_equal", "less_or_equal")
      for e, v in (("{{ sample.n }}", 1), ("{{ n }}", 2.5), ("{{ -n }}", 3), ("{{ sample.list | length }}", 1), ("{{ sample.flag }}", True), ("{{ sample.n + 1 }}", 2), ("{{ n > 0 }}", True))),
    *({"op": op, "expression": e, "value": v} for op in ("equals", "not_equals") for e, v in (("{{ word }}", "x"), ("{{ sample.word }}", ""), ("{{ word }}{{ flag }}", "xTrue"), ("w-{{ word }}", "w-y"), ("{{ word | upper }}", "Y"))),
    *({"op": op, "expression": e, "values": v} for op in ("in", "not_in") for e, v in (("{{ sample.id }}", ["a", "c"]), ("{{ n }}", [1, -3]), ("{{ word }}", []), ("{{ flag }}", [True]))),
    *({"op": op, "expression": e} for op in ("exists", "not_exists") for e in ("{{ sample.n }}", "{{ sample.nothing }}", "{{ nothing }}", "{{ nothing.more }}", "{{ sample.word }}", "{{ sample.list[1] }}")),
    *({"op": op, "expression": e} for op in ("is_true", "is_false") for e in ("{{ flag }}", "{{ sample.n > 0 }}", "{{ word == 'x' }}", "{{ not flag }}", "{{ 'a' in id }}")),
]
PEER_FILTER = """
import json, sys
from pydantic import TypeAdapter
from latticeflow.go.utils.dataset import FilterComparison, FilterMembership, FilterUnary, _filter_dataset
rows, filters = json.loads(sys.stdin.read())
read = TypeAdapter(FilterComparison | FilterMembership | FilterUnary).validate_python
def kept(rule):
    try: return [r["id"] for r in _filter_dataset(rows, [read(rule)])]
    except Exception as e: return type(e).__name__
print(json.dumps([kept(rule) for rule in filters]))
"""


def filtered(rule, rows=ROWS):
    try: return [r["id"] for r in rows if passes(rule, {**r, "sample": r})]
    except InputError: return "refused"


@pytest.fixture(scope="module")
def peer_filters(oracle):
    "What the platform's own filter keeps"
    made = subprocess.run([oracle, "-c", PEER_FILTER], input=json.dumps([ROWS, FILTERS]), capture_output=True, text=True, timeout=60)
    assert made.returncode == 0, made.stderr[-2000:]
    found = dict(zip(map(json.dumps, FILTERS), json.loads(made.stdout), strict=True))
    assert sum(isinstance(kept, list) for kept in found.values()) > 60
    return found


@pytest.mark.parametrize("rule", FILTERS, ids=lambda f: f"{f['op']} {f['expression']} {f.get('value', f.get('values', ''))}")
def test_filters_keep_what_the_platform_keeps(peer_filters, rule):
    peer = peer_filters[json.dumps(rule)]
    assert filtered(rule) == (peer if isinstance(peer, list) else "refused")


@pytest.mark.parametrize(("rule", "expected"), [
    ({"op": "equals", "expression": "{{ n }}", "value": 1}, ["a"]), ({"op": "not_equals", "expression": "{{ n }}", "value": 1}, ["b", "c"]),
    ({"op": "greater_than", "expression": "{{ n }}", "value": 1}, ["b"]), ({"op": "less_than", "expression": "{{ n }}", "value": 1}, ["c"]),
    ({"op": "greater_or_equal", "expression": "{{ n }}", "value": 1}, ["a", "b"]), ({"op": "less_or_equal", "expression": "{{ n }}", "value": 1}, ["a", "c"]),
    ({"op": "in", "expression": "{{ sample.id }}", "values": ["a", "c"]}, ["a", "c"]), ({"op": "not_in", "expression": "{{ id }}", "values": ["a", "c"]}, ["b"]),
    ({"op": "exists", "expression": "{{ sample.nothing }}"}, []), ({"op": "not_exists", "expression": "{{ sample.nothing }}"}, ["a", "b", "c"]),
    ({"op": "is_true", "expression": "{{ flag }}"}, ["a", "c"]), ({"op": "is_false", "expression": "{{ flag }}"}, ["b"]),
], ids=lambda v: v["op"] if isinstance(v, dict) else "")
def test_every_filter(rule, expected): assert filtered(rule) == expected


def test_filters_in_a_run(tmp_path):
    "The rows keep their numbers"
    rule = {"op": "in", "expression": "{{ sample.id }}", "values": ["a", "c"]}
    result = run(project(tmp_path, ROWS, task(python("def compute_scores(sample): return {'score': 1}\n"), solver=None), datasets=[data(filters=[rule])]), workers=1)
    assert by("id", result.rows) == ["a", "c"] and by("row", result.rows) == [1, 3]


def test_filters_are_joined_by_and(tmp_path):
    rules = [{"op": "is_true", "expression": "{{ flag }}"}, {"op": "less_than", "expression": "{{ n }}", "value": 0}]
    scorer = python("def compute_scores(sample): return {'score': 1}\n")
    assert by("id", run(project(tmp_path, ROWS, task(scorer, solver=None), datasets=[data(filters=rules)])).rows) == ["c"]


@pytest.mark.parametrize("expression", ["{{ sample.none + 1 }}", "{{ sample.none | length }}", "{{ 1/n0 }}", "{{ sample.text | fromjson }}", "{{ sample.n.x.y }}", "{{ sample.word | int // 0 }}",
                                        "{{ sample.nothing }}", "{{ sample.__class__ }}", "{{ sample.list[0] + 'x' }}", "{{ range(1000000) | list }}", "{{ (sample.word or 'z') * 5 + 5 }}"])
def test_a_row_that_a_filter_cannot_judge_costs_itself(tmp_path, expression):
    "Its stage is filter, and the others are judged; on the platform the whole dataset would fail"
    rows = [{"id": f"s{n}", "n": 1, "n0": 1, "word": "1", "none": 1, "text": "1", "list": [1], "x": n} for n in range(3)]
    rows.insert(1, {"id": "bad", "n": 1, "n0": 0, "word": "", "none": None, "text": "{", "list": [], "x": 9})
    result = run(project(tmp_path, rows, task(python("def compute_scores(sample): return {'score': 1}\n"), solver=None), datasets=[data(filters=[{"op": "greater_than", "expression": expression, "value": 0}])]))
    stages = {r["id"]: r["stage"] for r in result.rows}
    assert stages.get("bad", stages.get("2")) == "filter" and result.tasks["t"].problem is None


def test_numbers_in_a_csv_are_compared_as_on_the_platform(oracle, tmp_path):
    "There a cell that reads as a number is one when a filter looks at it"
    rows, rule = [{"id": f"r{n}", "x": str(n)} for n in range(4)], {"op": "greater_than", "expression": "{{ sample.x }}", "value": 1}
    made = subprocess.run([oracle, "-c", PEER_FILTER], input=json.dumps([rows, [rule]]), capture_output=True, text=True, timeout=60)
    scorer = python("def compute_scores(sample): return {'score': 1}\n")
    result = run(project(tmp_path, table(rows), task(scorer, solver=None), file="d.csv", datasets=[data("d.csv", filters=[rule])]))
    assert [r["id"] for r in result.rows if not r["stage"]] == json.loads(made.stdout)[0] == ["r2", "r3"]


# ---------------------------------------------------------------- which samples

MANY = [row(n) for n in range(1, 21)]


@pytest.mark.parametrize(("spec", "config", "limit", "expected"), [(None, None, None, 20), (7, None, None, 7), (None, 6, None, 6), (None, None, 5, 5), (7, 6, 5, 5), (3, 6, 5, 3), (100, None, None, 20), (None, None, 0, 0)])
def test_how_many_samples(tmp_path, spec, config, limit, expected):
    used = [{"task_key": "t", "task_config": {"data": "d"}, **({"num_samples": spec} if spec else {})}]
    result = run(project(tmp_path, MANY, specifications=used, **({"run_config": {"num_samples": config}} if config else {})), limit=limit)
    assert by("x", MANY[:expected]) == by("score", result.rows)


def test_fewer_than_no_samples_are_refused(tmp_path):
    with pytest.raises(InputError): run(project(tmp_path, FEW), limit=-1)


def test_random_samples(tmp_path):
    "As many as asked for, the same in every run, in the order of the dataset, and not the first"
    path = project(tmp_path, MANY, run_config={"num_samples": 5, "subsampling": "random"})
    found = by("row", run(path).rows)
    assert found == by("row", run(path, workers=3).rows) == sorted(found) and len(set(found)) == 5 and found != [1, 2, 3, 4, 5]
    assert len(run(path, limit=2).rows) == 2
    assert by("row", run(project(tmp_path, MANY[:3], run_config={"num_samples": 5, "subsampling": "random"})).rows) == [1, 2, 3]


@pytest.mark.parametrize(("ids", "expected"), [(["s3"], [3]), (["s3", "s1"], [1, 3]), (["s3", "nobody"], [3]), ([], [1, 2, 3, 4, 5])])
def test_samples_by_id(tmp_path, ids, expected):
    assert by("row", run(project(tmp_path, FEW), ids=ids).rows) == expected


def test_an_id_is_no_trial(tmp_path):
    "Trial 1 is not the sample 1"
    rows = [row(n, id=n, trial=1) for n in range(1, 6)]
    assert by("row", run(project(tmp_path, rows), ids=["1"]).rows) == [1]


def test_the_id_that_a_result_shows_picks_the_sample(tmp_path):
    "A row without any id column is called by its number, so it can be asked for by it"
    rows = [{"x": n, "trace": trace()} for n in range(1, 4)]
    path = project(tmp_path, rows)
    shown_id = run(path).rows[1]["id"]
    assert by("row", run(path, ids=[shown_id]).rows) == [2]


def test_an_id_that_nobody_has_is_told(tmp_path):
    "No samples and no word would look like a run that went well"
    result = run(project(tmp_path, FEW), ids=["s33"])
    assert not result.rows and "s33" in repr(result)


@pytest.mark.parametrize("name", ["sample_id", "id", "simulation_id", "task_id"])
def test_a_column_that_names_samples_is_no_score(tmp_path, name):
    "Numbers that name samples have no mean, and are not compared"
    rows = [{name: 100 + n, "trace": trace(), "x": n % 2} for n in range(5)]
    path = tmp_path/"d.jsonl"
    path.write_text(jsonl(rows))
    (tmp_path/"scorer.py").write_text(SCORE)
    made = score(path, tmp_path/"scorer.py")
    assert by("id", made.rows) == [str(100 + n) for n in range(5)] and list(made.metrics) == ["score"] and numbers(made.rows) == ["score"]


# ---------------------------------------------------------------- scorers

KINDS = {
    "sample and output": "def compute_scores(sample, solver_output): return {'score': len(solver_output.items)}",
    "sample only": "def compute_scores(sample): return {'score': len(sample['trace']['items'])}",
    "async": "import asyncio\nasync def compute_scores(sample, solver_output):\n    await asyncio.sleep(0)\n    return {'score': len(solver_output.trace.items)}",
    "async, sample only": "async def compute_scores(sample): return {'score': len(sample['trace']['items'])}",
    "an object": "class Scorer:\n    def __call__(self, sample, solver_output): return {'score': len(solver_output.items)}\ncompute_scores = Scorer()",
    "a partial": "from functools import partial\ndef of(n, sample, solver_output): return {'score': n*len(solver_output.items)}\ncompute_scores = partial(of, 1)",
    "a lambda": "compute_scores = lambda sample, solver_output: {'score': len(solver_output.items)}",
    "any arguments": "def compute_scores(*given): return {'score': len(given[1].items)}",
    "a default": "def compute_scores(sample, solver_output, strict=False): return {'score': len(solver_output.items)}",
    "any keywords too": "def compute_scores(sample, solver_output, **kwargs): return {'score': len(solver_output.items)}",
    "scores and metadata": "def compute_scores(sample, solver_output): return {'scores': {'score': len(solver_output.items)}, 'metadata': {'why': ['counted', None, True, 1.5]}}",
    "platform imports": "from latticeflow.core.dtypes import RawSample, SolverOutput, SolverTrace, Trace\ndef compute_scores(sample: RawSample, solver_output: SolverOutput):\n"
                        "    assert isinstance(solver_output, SolverTrace) and isinstance(solver_output.trace, Trace)\n    return {'score': len(solver_output.trace.items)}",
    "platform imports of the module": "import latticeflow.core.dtypes\nfrom latticeflow.core import dtypes\ndef compute_scores(sample, solver_output):\n"
                                      "    return {'score': len(solver_output.trace.items) if dtypes.Trace is latticeflow.core.dtypes.Trace else None}",
    "a dataclass": "from dataclasses import dataclass, asdict\n@dataclass\nclass Found:\n    score: int\ndef compute_scores(sample, solver_output): return asdict(Found(len(solver_output.items)))",
    "a pydantic model": "from pydantic import BaseModel\ndef compute_scores(sample, solver_output):\n    class Found(BaseModel):\n        score: int\n    return Found(score=len(solver_output.items)).model_dump()",
    "annotations are what they say": "def f(x: int): pass\ndef compute_scores(sample, solver_output): return {'score': len(solver_output.items) if f.__annotations__['x'] is int else -1}",
    "global state": "seen = []\ndef compute_scores(sample, solver_output):\n    global seen\n    seen.append(sample['id'])\n    return {'score': len(solver_output.items)}",
    "main is not run": "def compute_scores(sample, solver_output): return {'score': len(solver_output.items)}\nif __name__ == '__main__': raise SystemExit",
    "an import from another function": "def helper(o): return len(o.items)\ndef compute_scores(sample, solver_output):\n    import snippet\n    return {'score': snippet.helper(solver_output)}",
}


@pytest.fixture(scope="module")
def kinds(tmp_path_factory):
    "One run with a scorer of every kind"
    rows = [row(1), row(2, trace=trace("no", "f"))]
    return run(project(tmp_path_factory.mktemp("kinds"), rows, task(*(python(text + "\n", MEAN | {"name": kind}, key=f"k{n}") for n, (kind, text) in enumerate(KINDS.items())))), workers=1)


@pytest.mark.parametrize("kind", KINDS)
def test_python_scorers(kinds, kind):
    assert by(f"k{list(KINDS).index(kind)}.score", kinds.rows) == [2, 4] and kinds.metrics[kind] == 3, kinds.rows[0]["error"]
    if kind == "scores and metadata": assert kinds.rows[0]["why"] == ["counted", None, True, 1.5]


def test_a_scorer_included_from_a_file_says_its_line(tmp_path):
    (tmp_path/"scorer.py").write_text("\n\ndef compute_scores(sample, solver_output):\n    return {'score': sample['gone']}\n")
    path = project(tmp_path, FEW[:1], task(python("PLACE")))
    path.write_text(re.sub(r"compute_scores_snippet: .*", "compute_scores_snippet: !include scorer.py", path.read_text()))
    [found] = run(path).rows
    # the platform strips included text, so the line is counted in the stripped text or in the file
    assert found["stage"] == "score" and found["error"].startswith("KeyError: 'gone' (scorer.py, line ")


def test_the_line_that_is_told_is_the_users_own(tmp_path):
    "Also where the exception comes from deeper down: exit(), a frozen module, a library"
    (tmp_path/"scorer.py").write_text("def compute_scores(sample, solver_output):\n    if sample['x'] == 1: exit()\n    import abc, json\n    if sample['x'] == 2: json.loads('{')\n"
                                      "    from pydantic import TypeAdapter\n    return TypeAdapter(int).validate_python('x')\n")
    path = project(tmp_path, FEW[:3], task(python("PLACE")))
    path.write_text(re.sub(r"compute_scores_snippet: .*", "compute_scores_snippet: !include scorer.py", path.read_text()))
    for found, line in zip(run(path).rows, (2, 4, 6), strict=True): assert f"(scorer.py, line {line})" in found["error"]


def test_several_scorers(tmp_path):
    "Scores of the same name get the scorer's key in front; each scorer has its own metrics; a scorer that fails costs its own scores"
    one = python("def compute_scores(sample): return {'score': 1, 'same': 1}\n", {"type": "mean", "field": "same", "name": "One"}, key="one")
    two = python("def compute_scores(sample): return {'same': 1/(sample['x'] - 3)}\n", {"type": "mean", "field": "same", "name": "Two"}, key="two")
    result = run(project(tmp_path, FEW, task(one, two)))
    assert result.rows[0]["one.same"] == 1 and result.rows[0]["two.same"] == -0.5 and result.rows[0]["score"] == 1
    assert by("stage", result.rows) == [None, None, "score", None, None] and result.rows[2]["score"] == 1 and "ZeroDivisionError" in result.rows[2]["error"]
    assert result.metrics == {"One": 1, "Two": 0} and [f.n for f in result.tasks["t"].figures] == [5, 4]


def test_scorers_without_keys_do_not_take_each_others_place(tmp_path):
    scorers = [python(f"def compute_scores(sample): return {{'s{n}': {n}}}\n", {"type": "mean", "field": f"s{n}", "name": f"M{n}"}) for n in range(3)]
    assert run(project(tmp_path, FEW, task(*scorers))).metrics == {"M0": 0, "M1": 1, "M2": 2}


def test_two_scorers_of_one_key_are_both_there_or_refused(tmp_path):
    scorers = [python(f"def compute_scores(sample): return {{'s{n}': {n}}}\n", {"type": "mean", "field": f"s{n}", "name": f"M{n}"}, key="same") for n in range(2)]
    try: result = run(project(tmp_path, FEW, task(*scorers)))
    except InputError: return
    assert result.tasks["t"].problem or result.metrics == {"M0": 0, "M1": 1}


def test_a_scorer_cannot_change_what_the_next_one_sees(tmp_path):
    "Nor what the next trial of its own sees"
    first = python("def compute_scores(sample, solver_output):\n    sample['trace']['items'].clear(); solver_output.plain['items'].clear(); sample.clear()\n    return {'first': 1}\n", {"type": "mean", "field": "first"}, key="first")
    second = python("def compute_scores(sample, solver_output): return {'score': sample['x'] + len(solver_output.items)}\n", key="second")
    result = run(project(tmp_path, FEW, task(first, second)))
    assert by("score", result.rows) == [3, 4, 5, 6, 7], result.rows[0]["error"]


TAKEN = ("id", "row", "task", "stage", "error", "excluded", "trial")


@pytest.fixture(scope="module")
def taken(tmp_path_factory):
    "A scorer that gives one score, or one piece of metadata, the name of a field that every row has"
    text = "def compute_scores(sample):\n    name = {sample['name']: 'mine'}\n    return {'scores': {'score': 1, **name}} if sample['part'] == 'scores' else {'scores': {'score': 1}, 'metadata': name}\n"
    rows = [row(n, part=part, name=name, trial=7) for n, (part, name) in enumerate(itertools.product(("scores", "metadata"), TAKEN))]
    return run(project(tmp_path_factory.mktemp("taken"), rows, task(python(text))))


@pytest.mark.parametrize("n", range(2*len(TAKEN)), ids=[f"{part}-{name}" for part, name in itertools.product(("scores", "metadata"), TAKEN)])
def test_no_name_of_a_score_or_its_metadata_is_lost(taken, n):
    "A scorer may well call something `error` or `stage`; the row has these too, and the value must not vanish, nor exclude the sample"
    found, name = taken.rows[n], (*TAKEN, *TAKEN)[n]
    assert "mine" in [v for k, v in found.items() if k.endswith(name)]
    assert found["stage"] is None and found["error"] is None and found["row"] == n + 1 and found["id"] == f"s{n}" and found["trial"] == 7 and found["task"] == "t"
    assert not found.get("excluded") and "excluded" not in repr(Result([TaskResult("t", Rows([found]))]))


def test_no_scorers_and_no_metrics(tmp_path):
    "Both are legal"
    assert run(project(tmp_path, FEW, TASK | {"definition": {"dataset": {"key": "<< config.data >>"}, "solver": {"type": "pass_through_solver", "trace_column": "trace"}}})).plain()["tasks"]["t"] == {"metrics": {}, "samples": 5, "failed": 0}
    scorer = python()
    scorer["metrics"] = []
    result = run(project(tmp_path, FEW, task(scorer)))
    assert result.metrics == {} and by("score", result.rows) == [1, 2, 3, 4, 5]


def test_a_scorer_without_metrics_gets_the_means_of_its_numbers(tmp_path):
    result = run(project(tmp_path, [row(1, trace=trace("Paris")), row(2, trace=trace("Rome"))], task({"type": "string_equals", "ground_truth": "Paris"})))
    assert result.metrics == {"is_correct": 0.5} and result.rows[0]["answer_pred"] == "Paris"


SNIPPETS = {
    "def compute_scores(sample)\n    return 1\n": "SyntaxError.*line 1", "def other(sample): pass\n": "defines no function compute_scores", "compute_scores = 5\n": "defines no function compute_scores",
    "import no_such_package\n": "ModuleNotFoundError.*no_such_package", "1/0\n": "ZeroDivisionError.*line 1", "exit(3)\n": "exit", "from latticeflow.core.dtypes import NoSuchName\n": "ImportError.*NoSuchName",
    "def compute_scores(sample, solver_output, third): return {}\n": "TypeError.*third", "": "defines no function compute_scores", "def compute_scores(sample): return {'score': sample['x']\n": "SyntaxError",
}


@pytest.fixture(scope="module")
def snippets(tmp_path_factory):
    "A task with a scorer for each of them, and a sound one; each has a task of its own, since a row tells one error"
    tasks = [task(python(text), key=f"t{n}") for n, text in enumerate(SNIPPETS)]
    return run(project(tmp_path_factory.mktemp("snippets"), FEW[:2], *tasks, task(key="sound")))


@pytest.mark.parametrize("n", range(len(SNIPPETS)), ids=[repr(text[:30]) for text in SNIPPETS])
def test_snippets_that_cannot_run(snippets, n):
    "Told on every sample, in one line, or of the task as a whole; the other tasks run"
    made = snippets.tasks[f"t{n}"]
    assert snippets.tasks["sound"].metrics == {"Score": 1.5}
    assert made.problem or by("stage", made.rows) == ["score"]*2
    told = made.problem or made.rows[0]["error"]
    assert re.search(list(SNIPPETS.values())[n], told) and "\n" not in told


# ---------------------------------------------------------------- scorers without code

def test_string_equals_in_yaml(tmp_path):
    rows = [row(1, truth="Paris", trace=trace("Paris")), row(2, truth="Rome", trace=trace("Paris")), row(3, truth=5, trace=trace("5")), {"id": "none", "trace": trace()}]
    metrics = [{"type": "mean", "field": "is_correct", "name": "Right"}]
    scorers = [{"type": "string_equals", "key": "last", "ground_truth": "{{ sample.truth }}", "metrics": metrics},
               {"type": "string_equals", "key": "own", "ground_truth": "{{ sample.truth }}!", "value": "{{ sample.truth }}!", "metrics": [{**metrics[0], "name": "Own"}]}]
    result = run(project(tmp_path, rows, task(*scorers)))
    assert by("last.is_correct", result.rows)[:3] == [True, False, True] and result.metrics == {"Right": 2/3, "Own": 1}
    assert result.rows[3]["stage"] == "score" and "truth" in result.rows[3]["error"]


def test_multiple_choice_in_yaml(tmp_path):
    rows = [row(n, truth="B", choices=["A", "B"], trace=trace(text)) for n, text in enumerate(("B) yes", "A", "", "Z"))]
    scorer = {"type": "string_equals_mcqa", "ground_truth_choice": "{{ sample.truth }}", "choices": "{{ sample.choices }}", "metrics": [{"type": "mean", "field": "is_correct", "name": "Right"}]}
    result = run(project(tmp_path, rows, task(scorer)))
    assert by("is_correct", result.rows) == [True, False, False, False] and by("completion_validity", result.rows) == ["valid", "valid", "invalid", "invalid"] and result.metrics == {"Right": 0.25}


@pytest.mark.parametrize("wanted", ['["f", "g"]', "{{ sample.calls }}", "{{ sample.calls | tojson }}", '["f", "{{ sample.second }}"]', '[{"name": "f", "arguments": {}}, {"name": "g"}]'])
def test_coverage_in_yaml(tmp_path, wanted):
    rows = [row(n, calls=["f", "g"], second="g", trace=trace("x", *made)) for n, made in enumerate((["f", "g"], ["g", "f"], ["f"], []))]
    metrics = [{"type": "mean", "field": "required_calls_coverage", "name": "Coverage"}, {"type": "mean", "field": "all_required_calls_made", "name": "All"}]
    scorers = [{"type": "function_call_coverage", "key": mode, "mode": mode, "function_calls": wanted, "metrics": [{**m, "name": f"{m['name']} {mode}"} for m in metrics]} for mode in ("any_order", "in_order")]
    assert run(project(tmp_path, rows, task(*scorers))).metrics == {"Coverage any_order": 0.625, "All any_order": 0.5, "Coverage in_order": 0.625, "All in_order": 0.25}


@pytest.mark.parametrize(("wanted", "cause"), [("f", "JSON list"), ("{}", "list"), ("5", "list"), ("[5]", r"function_calls\[0\]"), ("{{ sample.gone }}", "gone"), ("[", "JSON list"), ("", "JSON list")])
def test_coverage_that_cannot_be_read(tmp_path, wanted, cause):
    [found] = run(project(tmp_path, FEW[:1], task({"type": "function_call_coverage", "function_calls": wanted, "mode": "any_order"}))).rows
    assert found["stage"] == "score" and re.search(cause, found["error"])


# ---------------------------------------------------------------- all samples at once

def test_a_scorer_of_all_samples(tmp_path):
    scorer = {"type": "python_all_samples", "metrics": [{"type": "mean", "field": "is_unique", "name": "Unique"}], "compute_scores_snippet":
              "from collections import Counter\ndef compute_scores(samples):\n    count = Counter(s['word'] for s in samples)\n    return [{'scores': {'is_unique': count[s['word']] == 1}, 'metadata': {'word': s['word']}} for s in samples]\n"}
    rows = [row(n, word=word) for n, word in enumerate("abca")]
    result = run(project(tmp_path, rows, task(scorer, python())))
    assert by("is_unique", result.rows) == [False, True, True, False] and by("word", result.rows) == list("abca") and result.metrics == {"Unique": 0.5, "Score": 1.5}


def test_a_scorer_of_all_samples_sees_the_sound_ones(tmp_path):
    "A line that is no JSON is no sample; a scorer that fails on all of them costs its own scores only"
    scorer = {"type": "python_all_samples", "metrics": [{"type": "mean", "field": "n", "name": "N"}], "compute_scores_snippet": "async def compute_scores(samples): return [{'n': len(samples)} for _ in samples]\n"}
    text = jsonl(FEW[:2]) + "{torn\n" + jsonl(FEW[2:])
    result = run(project(tmp_path, text, task(scorer)))
    assert by("n", result.rows) == [5, 5, None, 5, 5, 5] and by("stage", result.rows) == [None, None, "read", None, None, None]


WHOLE = {
    "1/0": "ZeroDivisionError", "return None": "expected a list", "return [{}]": "5 samples", "while True: pass": "longer", "import os; os._exit(3)": "died", "raise SystemExit": "exit",
    "return [{'n': 1}]*4 + [{'n': float('nan')}]": "nan", "return [{'n': 1}]*4 + [5]": "expected a dict",
}


@in_background("wholes", "test_a_scorer_of_all_samples_that_fails")
def wholes(folder):
    "A task for each, with a sound scorer beside it"
    tasks = [task({"type": "python_all_samples", "key": "whole", "metrics": [{"type": "mean", "field": "n", "name": "N"}], "compute_scores_snippet": f"def compute_scores(samples):\n    {body}\n"}, python(), key=f"t{n}")
             for n, body in enumerate(WHOLE)]
    return Apart(project(folder(), FEW, *tasks), timeout=0.5, seconds=120, workers=1)


@pytest.mark.parametrize("n", range(len(WHOLE)), ids=list(WHOLE))
def test_a_scorer_of_all_samples_that_fails(behind, n):
    made = behind["wholes"].result()
    rows = [r for r in made["rows"] if r["task"] == f"t{n}"]
    assert by("score", rows) == [1, 2, 3, 4, 5] and made["metrics"][f"t{n}/Score"] == 3
    assert rows[4]["stage"] == "score" and list(WHOLE.values())[n] in rows[4]["error"]


# ---------------------------------------------------------------- postprocessors

SPLIT = "def postprocess(sample, solver_output):\n    return [({'id': f\"{sample['id']}-{k}\", 'x': k, 'trace': sample['trace']}, solver_output) for k in range(sample['x'])]\n"


def processed(text): return {"type": "pass_through_solver", "trace_column": "trace", "postprocessor": {"type": "python", "postprocess_snippet": text}}


def test_a_postprocessor_makes_samples(tmp_path):
    "Each goes through the scorers; a scorer is given what the postprocessor made of the output"
    result = run(project(tmp_path, FEW[:3], task(solver=processed(SPLIT))))
    assert by("id", result.rows) == ["s1-0", "s2-0", "s2-1", "s3-0", "s3-1", "s3-2"] and by("score", result.rows) == [0, 0, 1, 0, 1, 2] and by("row", result.rows) == [1, 2, 2, 3, 3, 3]
    made = "from latticeflow.core.dtypes import SolverTrace\ndef postprocess(sample, solver_output): return [(sample, SolverTrace(trace=solver_output.trace, raw_outputs=[]))]\n"
    assert run(project(tmp_path, FEW, task(solver=processed(made)))).metrics == {"Score": 3}


def test_all_that_a_postprocessor_makes_is_scored_by_every_kind_of_scorer(tmp_path):
    "Also by one that looks at all samples, and by action rules that look at a sample"
    whole = {"type": "python_all_samples", "key": "whole", "metrics": [{"type": "mean", "field": "n", "name": "N"}], "compute_scores_snippet": "def compute_scores(samples): return [{'n': s['x']} for s in samples]\n"}
    rule = {"key": "zero", "action": "exclude_from_metrics", "filter": {"op": "equals", "expression": "{{ sample.x }}", "value": 0}}
    result = run(project(tmp_path, FEW[:3], task(whole, python(), solver=processed(SPLIT), actions=[rule])))
    assert by("n", result.rows) == by("score", result.rows) == [0, 0, 1, 0, 1, 2]
    assert by("excluded", result.rows) == [["zero"], ["zero"], None, ["zero"], None, None]


PROCESSES = {"return None": "expected a list", "return sample": "expected a list", "return [sample]": "expected a list", "1/0": "ZeroDivisionError", "return [(1, 2)]": "expected a list", "exit()": "exit",
             "import os; os._exit(1)": "died", "while True: pass": "longer", "return [(sample, None)]": "", "return [(sample, 5)]": "", "return [({}, {})]": "", "return 'ab'": "expected a list"}


@in_background("processes", "test_a_postprocessor_that_fails")
def processes(folder):
    "One run of a postprocessor that fails in every way, on every second sample"
    text = "def postprocess(sample, solver_output):\n" + "".join(f"    if sample['what'] == {body!r}:\n        {body}\n" for body in PROCESSES) + "    return [(sample, solver_output)]\n"
    scorer = "def compute_scores(sample, solver_output): return {'score': len(solver_output.items)}\n"
    rows = [row(n, what=body) for n, body in enumerate(b for body in PROCESSES for b in (body, ""))]
    return Apart(project(folder(), rows, task(python(scorer), solver=processed(text))), timeout=1)


@pytest.mark.parametrize("n", range(len(PROCESSES)), ids=list(PROCESSES))
def test_a_postprocessor_that_fails(behind, n):
    "Costs its own sample, in the stage postprocess; an output that is none may be found by the scorer"
    cause = list(PROCESSES.values())[n]
    rows = behind["processes"].result()["rows"]
    bad, sound = rows[2*n:2*n + 2]
    assert sound["score"] == 2 and len(rows) == 2*len(PROCESSES)
    if cause: assert bad["stage"] == "postprocess" and cause in bad["error"]
    else: assert bad["stage"] in ("postprocess", "score") and bad["error"]


def test_a_sample_that_a_postprocessor_drops_is_told(tmp_path):
    "Rows in are rows out, or there is a word about it; and a scorer of all samples does not fail for it"
    text = "def postprocess(sample, solver_output): return [] if sample['x'] == 2 else [(sample, solver_output)]\n"
    whole = {"type": "python_all_samples", "metrics": [{"type": "mean", "field": "n", "name": "N"}], "compute_scores_snippet": "def compute_scores(samples): return [{'n': 1} for s in samples]\n"}
    result = run(project(tmp_path, FEW, task(python(), solver=processed(text)), task(whole, key="whole", solver=processed(text))))
    assert result.tasks["t"].metrics == {"Score": 3.25} and result.tasks["whole"].metrics == {"N": 1}
    assert len(result.tasks["t"].rows) == 5 or result.tasks["t"].notes


# ---------------------------------------------------------------- action rules

def rules(*filters): return [{"key": f"rule{n}", "action": "exclude_from_metrics", "filter": f} for n, f in enumerate(filters)]


RULES = [
    ({"op": "is_true", "expression": "{{ sample.x > 3 }}"}, [4, 5]), ({"op": "in", "expression": "{{ sample.id }}", "values": ["s1", "s2"]}, [1, 2]), ({"op": "equals", "expression": "{{ scores.mine.score }}", "value": 3}, [3]),
    ({"op": "equals", "expression": "{{ scores.mine.label }}", "value": "odd"}, [1, 3, 5]), ({"op": "greater_than", "expression": "{{ solver_output.trace.function_calls | length }}", "value": 3}, [4, 5]),
    ({"op": "equals", "expression": "{{ solver_output.output.choices[0].message.content }}", "value": "yes 2"}, [2]), ({"op": "exists", "expression": "{{ sample.extra }}"}, [5]),
    ({"op": "not_exists", "expression": "{{ sample.extra }}"}, [1, 2, 3, 4]), ({"op": "is_true", "expression": "{{ false }}"}, []), ({"op": "is_false", "expression": "{{ false }}"}, [1, 2, 3, 4, 5]),
]
LABELLED = python("def compute_scores(sample): return {'score': sample['x'], 'label': 'odd' if sample['x'] % 2 else 'even'}\n", key="mine")
TALKING = [row(n, trace=trace(f"yes {n}", *["f"]*n), **({"extra": 1} if n == 5 else {})) for n in range(1, 6)]


@pytest.fixture(scope="module")
def ruled(tmp_path_factory): return run(project(tmp_path_factory.mktemp("ruled"), TALKING, task(LABELLED, actions=rules(*(rule for rule, _ in RULES)))))


@pytest.mark.parametrize("n", range(len(RULES)), ids=[f"{rule['op']} {rule['expression']}" for rule, _ in RULES])
def test_what_action_rules_look_at(ruled, n):
    "The sample, the scores by the key of their scorer, the output"
    assert [r["row"] for r in ruled.rows if f"rule{n}" in r.get("excluded", ())] == RULES[n][1] and by("score", ruled.rows) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("rule", RULES[:2] + RULES[8:], ids=lambda r: r[0]["expression"])
def test_an_action_rule_takes_samples_out_of_the_metrics(tmp_path, rule):
    made = run(project(tmp_path, TALKING, task(LABELLED, actions=rules(rule[0])))).tasks["t"]
    rest = [n for n in range(1, 6) if n not in rule[1]]
    assert [r["row"] for r in made.rows if r.get("excluded")] == rule[1] and by("score", made.rows) == [1, 2, 3, 4, 5] and not made.failed
    assert (made.metrics.get("Score"), made.figures[0].n) == ((sum(rest)/len(rest) if rest else None), len(rest)) and (f"{len(rule[1])} excluded" in repr(Result([made]))) == bool(rule[1])


def test_several_rules_name_themselves(tmp_path):
    result = run(project(tmp_path, FEW, task(actions=rules({"op": "is_true", "expression": "{{ sample.x > 3 }}"}, {"op": "is_true", "expression": "{{ sample.x > 4 }}"}))))
    assert by("excluded", result.rows) == [None, None, None, ["rule0"], ["rule0", "rule1"]] and result.metrics == {"Score": 2}


@pytest.mark.parametrize("expression", ["{{ scores.mine.gone }}", "{{ sample.nothing }}", "{{ sample.x + 'a' }}", "{{ 1/(sample.x - 2) > 0 }}", "{{ sample.x | length }}", "{{ sample.__class__ }}"])
def test_a_rule_that_cannot_judge_a_sample(tmp_path, expression):
    "The stage is actions; it costs that sample its place in the metrics, and no other"
    result = run(project(tmp_path, FEW, task(python(key="mine"), actions=rules({"op": "is_true", "expression": expression}))))
    wrong = [r for r in result.rows if r["stage"]]
    assert wrong and {r["stage"] for r in wrong} == {"actions"} and all(r["error"] for r in wrong) and by("score", result.rows) == [1, 2, 3, 4, 5]


def test_a_rule_also_holds_for_a_sample_that_one_scorer_failed_on(tmp_path):
    "Its other scores are in the metrics unless the rule takes it out"
    broken = python("def compute_scores(sample): return {'other': 1/(sample['x'] - 5)}\n", {"type": "mean", "field": "other", "name": "Other"}, key="broken")
    result = run(project(tmp_path, FEW, task(python(key="mine"), broken, actions=rules({"op": "is_true", "expression": "{{ sample.x > 3 }}"}))))
    assert result.metrics["Score"] == 2, "the samples 4 and 5 are excluded"


def test_a_rule_without_braces_is_not_a_rule_that_never_holds(tmp_path):
    "The platform's manual has `expression: scores.judge.label`, without braces: it must work or be told"
    result = run(project(tmp_path, FEW, task(python(key="mine"), actions=rules({"op": "equals", "expression": "scores.mine.score", "value": 3}))))
    assert [r["row"] for r in result.rows if r.get("excluded")] == [3] or result.tasks["t"].notes or result.tasks["t"].problem or result.tasks["t"].failed


# ---------------------------------------------------------------- trials

real_metrics = pytest.mark.skipif(not hasattr(tracekit.metrics, "MetricError"), reason="the chapter of metrics is a stand-in in this tree")
COUNTING = "from collections import Counter\ntrials = Counter()\ndef compute_scores(sample):\n    trials[sample['id']] += 1\n    n = trials[sample['id']]\n    return {'scores': {'score': n, 'ok': n % 2 == 1}, 'metadata': {'n': n}}\n"


def aggregated(function, score="ok", **more): return {"score_name": score, "aggregator": {"function": function, **more}}


@real_metrics
@pytest.mark.parametrize(("aggregator", "name", "value"), [
    (aggregated("mean", "score"), "score", 3), (aggregated("min", "score"), "score", 1), (aggregated("max", "score", score_name="most"), "most", 5), (aggregated("pass^k", k=2), "pass^2", .36),
    (aggregated("pass@k", k=2), "pass@2", .84), (aggregated("pass^k", k=3, score_name="reliable"), "reliable", .216), (None, "score", 3), (None, "ok", .6),
])
def test_trials(tmp_path, aggregator, name, value):
    "Five trials a sample, three of them right"
    trials = {"num_trials": 5, **({"score_aggregators": [aggregator]} if aggregator else {})}
    result = run(project(tmp_path, FEW, task(python(COUNTING, {"type": "mean", "field": name, "name": "M"}), trials=trials)))
    assert [r[name] for r in result.rows] == pytest.approx([value]*5) and result.metrics == {"M": pytest.approx(value)} and len(result.rows) == 5


@pytest.mark.parametrize(("more", "expected"), [({"run_config": {"trials_config": {"num_trials": 3}}}, 2), ({"spec": {"trials": {"num_trials": 7}}}, 4), ({}, 3)])
def test_where_the_number_of_trials_comes_from(tmp_path, more, expected):
    "The specification before the run before the task"
    used = [{"task_key": "t", "task_config": {"data": "d"}, **more.pop("spec", {})}]
    assert run(project(tmp_path, FEW, task(python(COUNTING), trials={"num_trials": 5}), specifications=used, **more)).metrics == {"Score": expected}


@real_metrics
def test_an_aggregator_that_does_not_fit_costs_no_run(tmp_path):
    for aggregator in (aggregated("pass^k", "score", k=2), aggregated("median"), aggregated("pass^k", k=0), aggregated("mean", "gone")):
        try: result = run(project(tmp_path, FEW, task(python(COUNTING), trials={"num_trials": 2, "score_aggregators": [aggregator]}), task(key="sound")))
        except InputError as e:   # the file itself is wrong
            assert "median" in str(e) or " k" in str(e) or ".k" in str(e)
            continue
        assert result.tasks["sound"].metrics == {"Score": 3}
        assert result.tasks["t"].problem or set(by("stage", result.tasks["t"].rows)) == {"score"}


# ---------------------------------------------------------------- python metrics

def metric(body, **more): return {"type": "python", "key": "own", "compute_metrics_snippet": f"def compute_metrics(scores):\n    {body}\n", **more}


def test_a_python_metric(tmp_path):
    "It gets the scores and the metadata of each sample; it may be async, and its names are those of the result"
    scorer = "def compute_scores(sample): return {'scores': {'score': sample['x']}, 'metadata': {'weight': 6 - sample['x']}}\n"
    own = metric("return {'weighted': sum(s.values['score']*s.metadata['weight'] for s in scores), 'n': len(scores)}")
    asynchronous = {"type": "python", "compute_metrics_snippet": "from latticeflow.core.dtypes import SampleScore\nasync def compute_metrics(scores: list[SampleScore]): return {'kinds': len({type(s).__name__ for s in scores})}\n"}
    assert run(project(tmp_path, FEW, task(python(scorer, MEAN, own, asynchronous)))).metrics == {"Score": 3, "weighted": 35, "n": 5, "kinds": 1}


METRICS = ["1/0", "return None", "return 5", "return {'a': 'x'}", "return {'a': float('nan')}", "while True: pass", "import os; os._exit(1)"]


@in_background("metrics", "test_python_metrics_that_fail_are_notes")
def failing_metrics(folder):
    return Apart(project(folder(), FEW, task(python(SCORE, *(metric(body, key=f"own{n}") for n, body in enumerate(METRICS)), MEAN))), timeout=0.5, workers=1)


def test_python_metrics_that_fail_are_notes(behind):
    "One note each, and the other metrics are there"
    made = behind["metrics"].result()
    assert made["metrics"] == {"Score": 3} and len(made["notes"]) == len(METRICS)
    assert all(f"own{n}" in note and "\n" not in note for n, note in enumerate(made["notes"]))


@pytest.mark.parametrize("body", ["return {'a': None}", "return {'a': 10**400}", "return {'a': True}", "return {1: 2}", "return {}"])
def test_odd_figures_of_a_python_metric_can_be_shown(tmp_path, body):
    result = run(project(tmp_path, FEW[:1], task(python(SCORE, metric(body), MEAN))))
    assert result.metrics["Score"] == 1 and repr(result) and result._repr_markdown_() and json.dumps(result.plain(), allow_nan=False)


@pytest.mark.parametrize("spec", [{"type": "mean", "field": "gone"}, {"type": "mean"}, {"type": "median", "field": "score"}, {"field": "score"}, {"type": "mean", "field": 5}, {"type": "mean", "field": "label"}, {"type": "mean", "field": None}, 5])
def test_a_metric_that_cannot_be_made_is_a_note(tmp_path, spec):
    "Or the file is refused; the other metric and the other task are there"
    scorer = "def compute_scores(sample): return {'score': sample['x'], 'label': 'x'}\n"
    try: result = run(project(tmp_path, FEW, task(python(scorer, spec, MEAN))))
    except InputError: return
    assert result.tasks["t"].problem or (result.tasks["t"].metrics.get("Score") == 3 and result.tasks["t"].notes)


# ---------------------------------------------------------------- what needs a model, and what is not there

MODEL = {
    "single_turn_solver": {"type": "single_turn_solver", "input_builder": {"type": "chat_completion", "input_messages": [{"role": "user", "content": "hi"}]}},
    "multi_turn_solver": {"type": "multi_turn_solver", "message_builders": [{"type": "generate"}]},
    "grouped_single_turn_solver": {"type": "grouped_single_turn_solver", "input_builder": {"type": "generic", "template": "x"}},
    "python": {"type": "python", "run_solver_snippet": "async def run_solver(sample, model, trace): pass"},
}


@pytest.mark.parametrize("kind", MODEL)
def test_a_solver_that_needs_a_model(tmp_path, kind):
    "One line says so, and the other tasks run"
    result = run(project(tmp_path, FEW, task(solver=MODEL[kind]), task(key="sound")))
    assert kind in result.tasks["t"].problem and "model" in result.tasks["t"].problem and "\n" not in result.tasks["t"].problem
    assert result.tasks["sound"].metrics == {"Score": 3} and "could not be run" in repr(result) and result.plain()["tasks"]["t"]["problem"]


JUDGES = {
    "model_as_a_judge_classifier": {"model_key": "<< config.judge >>", "user_prompt": "{{ sample.x }}", "correct_labels": ["A"], "incorrect_labels": ["B"]},
    "model_as_a_judge_scorer": {"model_key": "<< config.judge >>", "user_prompt": "{{ sample.x }}"}, "labeler_via_model": {"model_key": "<< config.judge >>", "user_prompt": "{{ sample.x }}"},
    "rag_checker": {"judge_model_key": "<< config.judge >>"}, "bleu": {"ground_truth": "{{ sample.x }}"},
}


@pytest.mark.parametrize("kind", JUDGES)
def test_a_scorer_that_needs_a_model(tmp_path, kind):
    "Or a package: one line says so, and the other scorers run"
    judge = {"type": kind, "key": "judge", "metrics": [{"type": "mean", "field": "score", "name": "Judged"}], **JUDGES[kind]}
    spec = {"config_spec": [*TASK["config_spec"], {"type": "model", "key": "judge", "display_name": "J", "default_value": "openai$gpt-4-1-nano"}]}
    made = run(project(tmp_path, FEW, task(judge, python(), spec=spec))).tasks["t"]
    assert made.metrics == {"Score": 3} and not made.failed
    [note] = made.notes
    assert "judge" in note and kind in note and "\n" not in note


def test_a_scorer_of_no_known_type_is_no_scorer_that_needs_a_model(tmp_path):
    "It is a slip of the pen, and told as such"
    try: told = run(project(tmp_path, FEW, task({"type": "string_equal", "ground_truth": "x"}, python()))).tasks["t"].notes[0]
    except InputError as e: told = str(e)
    assert "string_equal" in told and "needs a model" not in told


REFUSED = {
    "a system task": ({"tasks": [TASK | {"definition": {"type": "system_task", "compute_evidence_snippet": "def compute_evidence(): return {}"}}]}, "app|platform"),
    "no such task": ({"specifications": [{"task_key": "gone"}]}, "gone"),
    "a repeatability specification": ({"specifications": [{"key": "r", "type": "repeatability", "repeatability_config": {"num_runs": 2}, "inputs": [{"evaluation_key": "e"}]}]}, "repeatability"),
    "no such dataset": ({"specifications": [{"task_key": "t", "task_config": {"data": "gone"}}]}, "gone"),
    "a file that is not there": ({"datasets": [data("gone.jsonl")]}, "gone.jsonl"),
    "a dataset of the hub": ({"datasets": [{"key": "d", "display_name": "D", "source": {"type": "huggingface", "path": "p", "split": "s"}}]}, "huggingface"),
    "a dataset of a generator": ({"datasets": [{"key": "d", "display_name": "D", "generator_specification": {"dataset_generator_key": "g", "dataset_generator_config": {}, "num_samples": 3}}]}, "generator"),
    "a dataset with no source": ({"datasets": [{"key": "d", "display_name": "D"}]}, "d"),
    "another task's result": ({"tasks": [task(dataset={"source": "task_result", "key": "<< config.data >>"})]}, "result"),
    "no dataset": ({"tasks": [TASK | {"definition": {"scorers": [python()]}}]}, "dataset"),
    "a value that is missing": ({"specifications": [{"task_key": "t", "task_config": {}}]}, "config.data"),
    "a file of another kind": ({"datasets": [data("run.yaml")]}, "run.yaml"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_task_that_cannot_be_run_is_told(tmp_path, name):
    "In one line that names it, beside a task that runs"
    given, told = REFUSED[name]
    given = dict(given)
    tasks = [*given.pop("tasks", [task()]), task(key="sound")]
    (tmp_path/"ok.jsonl").write_text(jsonl(FEW))
    used = [*given.pop("specifications", [{"task_key": "t", "task_config": {"data": "d"}}]), {"key": "sound", "task_key": "sound", "task_config": {"data": "ok"}}]
    try: result = run(project(tmp_path, FEW, *tasks, specifications=used, datasets=[*given.pop("datasets", [data()]), data("ok.jsonl", "ok")]))
    except InputError as e:   # the file is not what the platform would take: nothing is run
        assert re.search(told, str(e)) and name in ("a dataset with no source", "no dataset")
        return
    assert result.tasks["sound"].metrics == {"Score": 3}
    [problem] = [t.problem for k, t in result.tasks.items() if k != "sound"]
    assert problem and re.search(told, problem) and "\n" not in problem


def changed(*at, value=None, drop=False):
    "A change of the run's data at a path"
    def change(made):
        for step in at[:-1]: made = made[step]
        if drop: del made[at[-1]]
        else: made[at[-1]] = value
    return change


SHAPES = {
    "no definition": changed("tasks", 0, "definition", drop=True), "a definition that is text": changed("tasks", 0, "definition", value="x"), "a definition that is null": changed("tasks", 0, "definition"),
    "scorers as text": changed("tasks", 0, "definition", "scorers", value="x"), "a scorer that is text": changed("tasks", 0, "definition", "scorers", value=["x"]), "a scorer without type": changed("tasks", 0, "definition", "scorers", value=[{"metrics": []}]),
    "a python scorer without a snippet": changed("tasks", 0, "definition", "scorers", 0, "compute_scores_snippet", drop=True), "a snippet that is a number": changed("tasks", 0, "definition", "scorers", 0, "compute_scores_snippet", value=5),
    "metrics as text": changed("tasks", 0, "definition", "scorers", 0, "metrics", value="x"), "metrics null": changed("tasks", 0, "definition", "scorers", 0, "metrics"),
    "string_equals without a truth": changed("tasks", 0, "definition", "scorers", value=[{"type": "string_equals"}]), "a truth that is a number": changed("tasks", 0, "definition", "scorers", value=[{"type": "string_equals", "ground_truth": 5}]),
    "coverage without calls": changed("tasks", 0, "definition", "scorers", value=[{"type": "function_call_coverage", "mode": "any_order"}]), "coverage in another mode": changed("tasks", 0, "definition", "scorers", value=[{"type": "function_call_coverage", "function_calls": "[]", "mode": "x"}]),
    "a solver that is text": changed("tasks", 0, "definition", "solver", value="x"), "a solver without a column": changed("tasks", 0, "definition", "solver", "trace_column", drop=True),
    "a postprocessor that is text": changed("tasks", 0, "definition", "solver", "postprocessor", value="x"), "a dataset that is text": changed("tasks", 0, "definition", "dataset", value="d"), "a dataset without key": changed("tasks", 0, "definition", "dataset", value={}),
    "actions as text": changed("tasks", 0, "definition", "actions", value="x"), "a rule without filter": changed("tasks", 0, "definition", "actions", value=[{"key": "k", "action": "exclude_from_metrics"}]),
    "a rule with an unknown op": changed("tasks", 0, "definition", "actions", value=[{"key": "k", "action": "exclude_from_metrics", "filter": {"op": "like", "expression": "{{ 1 }}", "value": 1}}]),
    "trials as text": changed("tasks", 0, "definition", "trials", value="x"), "num_trials as text": changed("tasks", 0, "definition", "trials", value={"num_trials": "many"}), "num_samples as text": changed("evaluation", "task_specifications", 0, "num_samples", value="all"),
    "num_samples negative": changed("evaluation", "task_specifications", 0, "num_samples", value=-1), "task_specifications as text": changed("evaluation", "task_specifications", value="x"), "a specification that is text": changed("evaluation", "task_specifications", value=["x"]),
    "an evaluation that is text": changed("evaluation", value="x"), "tasks as text": changed("tasks", value="x"), "datasets as text": changed("datasets", value="x"), "run_config as text": changed("run_config", value="x"), "config as text": changed("config", value="x"),
    "a filter without op": changed("datasets", 0, "source", "filters", value=[{"expression": "{{ 1 }}", "value": 1}]), "a filter with an unknown op": changed("datasets", 0, "source", "filters", value=[{"op": "like", "expression": "{{ sample.x }}", "value": 1}]),
    "a filter without expression": changed("datasets", 0, "source", "filters", value=[{"op": "equals", "value": 1}]), "a filter without value": changed("datasets", 0, "source", "filters", value=[{"op": "equals", "expression": "{{ sample.x }}"}]),
    "a filter that is text": changed("datasets", 0, "source", "filters", value=["x"]), "filters as text": changed("datasets", 0, "source", "filters", value="x"), "an expression that is a number": changed("datasets", 0, "source", "filters", value=[{"op": "equals", "expression": 5, "value": 5}]),
    "values that are no list": changed("datasets", 0, "source", "filters", value=[{"op": "in", "expression": "{{ sample.x }}", "values": 5}]), "a source that is text": changed("datasets", 0, "source", value="x"), "config_spec as text": changed("tasks", 0, "config_spec", value="x"),
    "a parameter that is text": changed("tasks", 0, "config_spec", value=["x"]), "task_config as text": changed("evaluation", "task_specifications", 0, "task_config", value="x"), "a key that is a list": changed("evaluation", "task_specifications", 0, "key", value=["x"]),
}


@pytest.mark.parametrize("name", SHAPES)
def test_a_project_of_another_shape_is_told(tmp_path, name):
    "A value of another shape than the platform's: an error that tracekit meant, or a problem of the task; never a traceback of its inside"
    path = project(tmp_path, FEW, task(), config={}, run_config={})
    made = yaml.safe_load(path.read_text())
    SHAPES[name](made)
    path.write_text(yaml.safe_dump(made, sort_keys=False))
    try: result = run(path, workers=1)
    except TracekitError as e:
        assert str(e)
        return
    told = [t.problem or t.notes or t.failed for t in result.tasks.values()]
    assert all(told) or result.metrics == {"Score": 3}, result


# ---------------------------------------------------------------- code that does its worst

HEAD = """
import asyncio, enum, json, os, resource, signal, sys, threading, time
class Boom(BaseException): pass
class Bang(Exception): pass
class Mute(Exception):
    def __str__(self): raise RuntimeError("not even that")
class Colour(str, enum.Enum): RED = "red"
class Number(enum.IntEnum): ONE = 1
class Text(str): pass
class Real(float): pass
def compute_scores(sample, solver_output):
    what = sample["what"]
"""
FAILING = {   # what the scorer does, and the cause that the user reads
    "an endless loop": ("while True: pass", "longer than"),
    "sleep": ("time.sleep(600)", "longer than"),
    "exit()": ("exit()", "called exit"),
    "sys.exit": ("sys.exit(3)", "called exit.*3"),
    "os._exit": ("os._exit(3)", "exit code 3"),
    "kill": ("os.kill(os.getpid(), 9)", "signal 9"),
    "abort": ("os.abort()", "signal 6"),
    "infinite recursion": ("compute_scores(sample, solver_output)", "RecursionError"),
    "much memory": ("soft, hard = resource.getrlimit(resource.RLIMIT_AS); resource.setrlimit(resource.RLIMIT_AS, (int(open('/proc/self/statm').read().split()[0])*4096 + 10**8, hard))\n        kept = []\n"
                    "        try:\n            while True: kept.append(bytearray(4*10**7))\n        finally: kept.clear(); resource.setrlimit(resource.RLIMIT_AS, (soft, hard))", "MemoryError"),
    "NaN": ("return {'score': float('nan')}", "'score'.*nan"),
    "infinity": ("return {'score': -float('inf')}", "'score'.*inf"),
    "NaN inside": ("return {'score': 1, 'more': [{'deep': float('nan')}]}", "'more'.*nan"),
    "text": ("return 'good'", "str 'good'.*expected a dict"),
    "None": ("return None", "nothing.*expected a dict"),
    "a list": ("return [1]", r"list \[1\].*expected a dict"),
    "a number": ("return 1.0", "float 1.0.*expected a dict"),
    "an object": ("return object()", "object.*expected a dict"),
    "a generator": ("return (x for x in ())", "generator.*expected a dict"),
    "a score that is an object": ("return {'score': object()}", "'score'.*object.*expected JSON"),
    "a score that is bytes": ("return {'score': b'1'}", "'score'.*bytes"),
    "a score that is a class": ("return {'score': int}", "'score'.*expected JSON"),
    "metadata that is an object": ("return {'scores': {'score': 1}, 'metadata': {'why': object()}}", "metadata 'why'.*expected JSON"),
    "metadata that is a list": ("return {'scores': {'score': 1}, 'metadata': [1]}", "metadata"),
    "metadata that is text": ("return {'scores': {'score': 1}, 'metadata': 'because'}", "metadata"),
    "a circle": ("made = {}; made['made'] = made; return {'score': 1, 'made': made}", "RecursionError|nested|circle"),
    "an exception of its own": ("raise Bang('bang')", "Bang: bang"),
    "an exception without words": ("raise Mute", "Mute|RuntimeError"),
    "a long message": ("raise ValueError('x'*10**7)", "ValueError: x"),
    "a message of many lines": ("raise ValueError('one\\ntwo\\nthree')", "ValueError: one"),
    "StopIteration": ("raise StopIteration", "StopIteration"),
    "an assertion": ("assert 1 == 2, 'no'", "AssertionError: no"),
    "closes stdout and prints": ("sys.stdout.close(); print('x')", "closed"),
    "reads stdin": ("input()", "EOFError|closed file"),
    "closes the pipes": ("os.closerange(3, 200); return {'score': 1}", "died|lost|closed"),
    "awaits what is no coroutine": ("return asyncio.get_event_loop_policy()", "expected a dict"),
}
UNTIDY = {   # bad manners that leave a score: (what the scorer does, the score)
    "prints megabytes": "for _ in range(300): print('x'*10_000); print('y'*10_000, file=sys.stderr)",
    "writes to the descriptor": "os.write(1, b'noise'*1000)",
    "changes the directory": "os.chdir('/')",
    "closes the descriptors of its output": "os.close(1); os.close(2)",
    "leaves threads": "[threading.Thread(target=time.sleep, args=(600,)).start() for _ in range(5)]",
    "leaves a daemon thread": "threading.Thread(target=lambda: [None for _ in iter(int, 1)], daemon=True).start()",
    "changes the recursion limit": "sys.setrecursionlimit(150)",
    "makes warnings errors": "import warnings; warnings.simplefilter('error')",
    "changes the environment": "os.environ.clear()",
    "ignores signals": "signal.signal(signal.SIGTERM, signal.SIG_IGN)",
    "stays at exit": "import atexit; atexit.register(time.sleep, 600)",
    "empties the path": "sys.path.clear(); sys.modules.pop('msgspec', None)",
    "names that are no text": "return {None: 1, 5: 2, (1, 2): 3, 'score': 1.0}",
    "tuples and sets": "return {'score': 1.0, 't': (1, 2), 's': {1}, 'd': {1: {2: None}}}",
    "no scores at all": "return {}",
    "a large result": "return {'score': 1.0, 'text': 'x'*5_000_000}",
    "an exact large number": "return {'score': 1.0, 'n': 2**80}",
    "takes json away": "json.loads = json.dumps = None",
}
BREAKING = {   # what a pool of processes may choke on: (what the scorer does, the cause, or None if there is a score)
    "its own BaseException": ("raise Boom('boom')", "Boom"),
    "BaseException": ("raise BaseException('boom')", "BaseException"),
    "KeyboardInterrupt": ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    "GeneratorExit": ("raise GeneratorExit", "GeneratorExit"),
    "CancelledError": ("raise asyncio.CancelledError", "CancelledError"),
    "a label of its own enum": ("return {'score': 1.0, 'label': Colour.RED}", None),
    "a number of its own enum": ("return {'score': Number.ONE}", None),
    "a text of its own class": ("return {'score': 1.0, 'label': Text('x')}", None),
    "a float of its own class": ("return {'score': Real(1)}", None),
    "a huge number": ("return {'score': 10**400}", None),
    "a number beyond sums": ("return {'score': 1e300}", None),
    "a lone surrogate": ("return {'score': 1.0, 'text': '\\ud800'}", None),
    "a lone surrogate in an error": ("raise ValueError('\\ud800')", "ValueError"),
    "a fork": ("os.fork(); return {'score': 1.0}", None),
}


def doing(table):
    "A scorer that does each of these when its sample asks for it, and else gives 1.0"
    branches = "".join(f"    if what == {name!r}:\n        {body}\n" for name, body in table.items())
    return HEAD + branches + "    return {'score': 1.0}\n"


def alternating(table): return [{"id": f"good {n}" if what == "good" else what, "what": what, "x": 1, "trace": trace()} for n, what in enumerate([w for name in table for w in ("good", name)] + ["good"])]


def good(found): return [r for r in found["rows"] if r["id"].startswith("good")]


@in_background("failing", "test_a_scorer_that_fails_costs_its_sample", "test_a_scorer_that_fails_costs_no_other_sample")
def failing_runs(folder):
    "One run of a scorer that fails in every way, on every second sample"
    scorer = python(doing({name: body for name, (body, _) in FAILING.items()}))
    return Apart(project(folder(), alternating(FAILING), task(scorer)), timeout=1.5, workers=2, seconds=50)


@pytest.fixture
def failing(behind): return behind["failing"].result()


@pytest.mark.parametrize("name", FAILING)
def test_a_scorer_that_fails_costs_its_sample(failing, name):
    "The stage is score, and the cause in one line says what happened"
    [found] = [r for r in failing["rows"] if r["id"] == name]
    assert found["stage"] == "score" and "score" not in found and re.search(FAILING[name][1], found["error"]), found["error"]
    assert len(found["error"]) < 1500 and "\n" not in found["error"] and "0x" not in found["error"], "in one line, the same in every run"


def test_a_scorer_that_fails_costs_no_other_sample(failing):
    n = len(FAILING)
    assert len(good(failing)) == n + 1 and all(r["score"] == 1.0 and r["stage"] is None for r in good(failing))
    assert failing["metrics"] == {"Score": 1.0} and failing["plain"]["tasks"]["t"] == {"metrics": {"Score": 1.0}, "samples": 2*n + 1, "failed": n}
    assert f"{n} could not be scored (score: {n})" in failing["text"]


@in_background("untidy", "test_a_scorer_with_bad_manners_has_its_score", "test_bad_manners_cost_no_other_sample")
def untidy_run(folder):
    "One run of a scorer with bad manners. That its output was read as JSON shows that nothing was printed into it"
    whole = {"type": "string_equals_mcqa", "key": "choice", "ground_truth_choice": "y", "choices": "['y']"}
    return Apart(project(folder(), alternating(UNTIDY), task(python(doing(UNTIDY)), whole)), timeout=5, workers=1, seconds=50)


@pytest.fixture
def untidy(behind): return behind["untidy"].result()


@pytest.mark.parametrize("name", UNTIDY)
def test_a_scorer_with_bad_manners_has_its_score(untidy, name):
    [found] = [r for r in untidy["rows"] if r["id"] == name]
    if name == "no scores at all": assert found["stage"] == "score" and "gave no score 'score'" in found["error"] and found["is_correct"] is True
    else: assert found["stage"] is None and found.get("score") == 1.0 and found["is_correct"] is True, found["error"]


def test_bad_manners_cost_no_other_sample(untidy):
    assert len(good(untidy)) == len(UNTIDY) + 1 and [(r["id"], r["error"]) for r in good(untidy) if r["stage"] or r["score"] != 1.0 or r["is_correct"] is not True] == []


@in_background("breaking", "test_what_a_scorer_returns_or_raises_does_not_break_the_run")
def breaking_runs(folder):
    "For each a run of its own: one such sample among forty"
    def rows(name): return [{"id": "bad" if n == 20 else f"good {n}", "what": name if n == 20 else "", "x": 1, "trace": trace()} for n in range(40)]
    return {name: Apart(project(folder(), rows(name), task(python(doing({name: body})))), timeout=5, workers=2, seconds=15) for name, (body, _) in BREAKING.items()}


@pytest.mark.parametrize("name", BREAKING)
def test_what_a_scorer_returns_or_raises_does_not_break_the_run(behind, name):
    "The others have their scores; the result can be shown and saved"
    found, cause = behind["breaking"][name].result(), BREAKING[name][1]
    assert len(found["rows"]) == 40 and [r["score"] for r in good(found)] == [1.0]*39
    [bad] = [r for r in found["rows"] if r["id"] == "bad"]
    if cause: assert bad["stage"] == "score" and cause in bad["error"]
    else: assert bad["stage"] is None or bad["error"]


ODD = ["return {'score': 10**400}", "return {'score': 1e300}", "return {'score': 'high'}", "return {}", "return {'score': None}", "return {'score': [1]}"]


@in_background("odd", "test_one_odd_score_does_not_take_the_mean_of_the_others")
def odd_runs(folder):
    "For each a run without YAML: one such sample among five"
    found = {}
    for body in ODD:
        at = folder()
        (at/"scorer.py").write_text(f"def compute_scores(sample, solver_output):\n    if sample['x'] == 3: {body}\n    return {{'score': 1.0}}\n")
        (at/"d.jsonl").write_text(jsonl(FEW))
        found[body] = Apart(at/"d.jsonl", scorer=str(at/"scorer.py"))
    return found


@pytest.mark.parametrize("body", ODD)
def test_one_odd_score_does_not_take_the_mean_of_the_others(behind, body):
    "The mean of the rest is there, or a word says why not"
    found = behind["odd"][body].result()
    assert [r["score"] for r in found["rows"] if r["row"] != 3] == [1.0]*4
    assert found["metrics"].get("score") == 1.0 or found["notes"] or "score" in str(found["problems"])


@real_metrics
@pytest.mark.parametrize("bad", ["return {'score': 'high'}", "return {}", "return {'score': None}", "return {'scores': [1], 'metadata': {}}"])
def test_one_sample_without_the_score_of_a_metric_is_told(tmp_path, bad):
    "The metric is made of the others and says so, or a note names it"
    text = f"def compute_scores(sample, solver_output):\n    if sample['x'] == 3: {bad}\n    return {{'score': 1.0}}\n"
    made = run(project(tmp_path, FEW, task(python(text)), task(key="sound"))).tasks
    assert made["sound"].metrics == {"Score": 3}
    assert made["t"].notes or (made["t"].metrics == {"Score": 1.0} and made["t"].figures[0].n == 4)


@in_background("hanging", "test_several_hanging_samples")
def hanging_run(folder):
    rows = [row(n, what="sleep" if n % 10 == 3 else "") for n in range(20)]
    return Apart(project(folder(), rows, task(python(doing({"sleep": "time.sleep(600)"})))), timeout=0.5, workers=2)


def test_several_hanging_samples(behind):
    "None costs another"
    found = behind["hanging"].result()
    assert [r["stage"] for r in found["rows"]] == ["score" if n % 10 == 3 else None for n in range(20)]


def test_slow_samples_are_no_hanging_ones(tmp_path):
    "Each within the limit, their sum beyond it"
    text = "import time\ndef compute_scores(sample, solver_output):\n    time.sleep(0.12)\n    return {'score': 1}\n"
    assert run(project(tmp_path, MANY[:12], task(python(text))), timeout=1, workers=1).metrics == {"Score": 1}


@pytest.mark.parametrize("workers", [1, 3])
def test_the_order_is_that_of_the_dataset(tmp_path, workers):
    rows = [row(n) for n in range(200)]
    text = "import time\ndef compute_scores(sample, solver_output):\n    if sample['x'] % 70 == 0: time.sleep(0.05)\n    return {'score': sample['x']}\n"
    assert by("score", run(project(tmp_path, rows, task(python(text))), workers=workers).rows) == list(range(200))


# ---------------------------------------------------------------- data that does its worst

LINES = {   # a line among good ones: its stage (None: it is scored), and the cause
    "torn": (b'{"id": "bad", "x": 1, "trace": {"items": [', "read", "not JSON"),
    "text": (b'"hello"', "read", "object.*str"), "a list": (b"[1, 2]", "read", "object.*list"), "a number": (b"5", "read", "object.*int"), "null": (b"null", "read", "object"),
    "not UTF-8": (b'{"id": "\xff"}', "read", "utf-8|UTF-8"), "a zero byte": (b"\x00", "read", "not JSON"), "single quotes": (b"{'id': 'x'}", "read", "not JSON"),
    "no trace": (b'{"id": "bad", "x": 1}', "solve", "no column 'trace'.*id, x"), "an empty row": (b"{}", "solve", "no column 'trace'"),
    "a trace that is null": (b'{"id": "bad", "trace": null}', "solve", "trace"), "a trace that is a number": (b'{"id": "bad", "trace": 5}', "solve", "no trace.*int"),
    "a trace that is text": (b'{"id": "bad", "trace": "hello"}', "solve", "trace: not JSON"), "a trace without items": (b'{"id": "bad", "trace": {}}', "solve", "items.*missing"),
    "an item that is none": (b'{"id": "bad", "trace": {"items": [{}]}}', "solve", r"items\[0\]"), "items that are null": (b'{"id": "bad", "trace": {"items": null}}', "solve", "items"),
    "a call without name": (json.dumps({"id": "bad", "trace": {"items": [{"type": "function_call", "id": "c", "call_id": "c", "arguments": "{}", "status": "completed"}]}}).encode(), "solve", r"items\[0\].*name"),
    "a trace as JSON text": (json.dumps({"id": "bad", "x": 1, "trace": json.dumps(trace())}).encode(), None, ""),
    "a number too large": (b'{"id": "bad", "x": 1' + b"0"*5000 + b"}", "read", "not JSON|range"),
    "nested a little": (json.dumps({"id": "bad", "x": 1, "trace": trace()})[:-1].encode() + b', "deep": ' + b"["*100 + b"]"*100 + b"}", None, ""),
    "nested beyond reading": (b'{"id": "bad", "deep": ' + b"["*100_000 + b"]"*100_000 + b"}", "read", "not JSON|nested"),
    "a large row": (json.dumps({"id": "bad", "x": 1, "trace": trace("y"*20_000_000)}).encode(), None, ""),
    "the same id": (json.dumps({**row(1), "x": 1}).encode(), None, ""),
    "arguments nested deeply": (json.dumps({"id": "bad", "x": 1, "trace": plain_trace([call("c", "f", "["*100_000)])}).encode(), None, ""),
    "an id that is a list": (json.dumps({"id": [1], "x": 1, "trace": trace()}).encode(), None, ""),
    "an id with markup": (json.dumps({"id": "<script>|x\n", "x": 1, "trace": trace()}).encode(), None, ""),
    "columns with odd names": (json.dumps({"": 1, "a b": 2, "self": 3, "text": 4, "stage": "x", "error": "y", "x": 1, "trace": trace()}).encode(), None, ""),
    "windows line": (json.dumps(row(1)).encode() + b"\r", None, ""),
    "surrogates": (b'{"id": "\\ud83d\\ude00", "x": 1, "trace": ' + json.dumps(trace()).encode() + b"}", None, ""),
}
ITEMS = python("def compute_scores(sample, solver_output): return {'score': float(len(solver_output.items) > 0)}\n")


@pytest.fixture(scope="module")
def lines(tmp_path_factory):
    "One run over all of them, each between two good ones"
    text = b"".join(json.dumps(row(n)).encode() + b"\n" + line + b"\n" for n, (line, _, _) in enumerate(LINES.values()))
    return run(project(tmp_path_factory.mktemp("lines"), text + json.dumps(row(99)).encode(), task(ITEMS)), workers=1, timeout=20)


@pytest.mark.parametrize("n", range(len(LINES)), ids=list(LINES))
def test_a_bad_row_costs_itself(lines, n):
    _, stage, cause = list(LINES.values())[n]
    before, found, after = lines.rows[2*n:2*n + 3]
    assert before["score"] == after["score"] == 1.0 and (before["row"], found["row"], after["row"]) == (2*n + 1, 2*n + 2, 2*n + 3)
    assert found["stage"] == stage and (stage is None or re.search(cause, found["error"])), found
    assert repr(Rows([found])) and "<script>" not in Rows([found])._repr_markdown_()


@pytest.fixture(scope="module")
def known_lines(tmp_path_factory):
    "The same without YAML: by a scorer that comes with tracekit, which may read less of a row, and by the same one in a file"
    folder = tmp_path_factory.mktemp("known")
    (folder/"d.jsonl").write_bytes(b"".join(json.dumps(row(n)).encode() + b"\n" + line + b"\n" for n, (line, _, _) in enumerate(LINES.values())))
    (folder/"scorer.py").write_text("from tracekit.score import compute_scores\n")
    return [score(folder/"d.jsonl", scorer, workers=1, timeout=20).rows for scorer in ("trace", folder/"scorer.py")]


@pytest.mark.parametrize("n", range(len(LINES)), ids=list(LINES))
def test_a_bad_row_costs_itself_without_yaml_too(known_lines, n):
    "Both ways find the same: the scorer's name is no other scorer than its text"
    known, own = (found[2*n:2*n + 2] for found in known_lines)
    assert [r["stage"] is None for r in known] == [True, list(LINES.values())[n][1] is None]
    assert [{k: v for k, v in r.items() if k not in ("stage", "error", "id")} for r in known] == [{k: v for k, v in r.items() if k not in ("stage", "error", "id")} for r in own]


def test_bad_rows_are_counted(lines):
    stages = [stage for _, stage, _ in LINES.values() if stage]
    assert lines.tasks["t"].failed == Counter(stages) and lines.metrics == {"Score": 1.0} and len(lines.rows) == 2*len(LINES) + 1
    assert f"{len(stages)} could not be scored (read: {stages.count('read')}, solve: {stages.count('solve')})" in repr(lines)


HOLDS = {"op": "exists", "expression": "{{ sample.id }}"}
COUNT = {"type": "python_all_samples", "metrics": [{"type": "mean", "field": "n", "name": "N"}], "compute_scores_snippet": "def compute_scores(samples): return [{'n': 1} for _ in samples]\n"}
DEEP = {   # how deep, and how the row comes to a scorer
    "400": (400, {}), "520": (520, {}), "900": (900, {}), "1000": (1000, {}), "900, filtered": (900, {"datasets": [data(filters=[HOLDS])]}), "900 in CSV": (900, {"file": "d.csv", "datasets": [data("d.csv")]}),
    "900, with rules": (900, {"task": task(ITEMS, actions=rules({"op": "is_true", "expression": "{{ false }}"}))}), "900, all samples": (900, {"task": task(ITEMS, COUNT)}),
    "900, with trials": (900, {"task": task(ITEMS, trials={"num_trials": 2})}),
}


@in_background("deep", "test_a_row_that_is_nested_deeply")
def deep_runs(folder):
    "For each a run of its own: one such row among six"
    made = {}
    for name, (depth, more) in DEEP.items():
        nested = "["*depth + "]"*depth
        line = json.dumps({"id": "bad", "x": 1, "trace": trace()})[:-1] + f', "deep": {nested}}}\n'
        text = table([*FEW[:2], {"id": "bad", "x": 1, "trace": trace(), "deep": nested}, *FEW[2:]]) if "CSV" in name else jsonl(FEW[:2]) + line + jsonl(FEW[2:])
        more = {"task": task(ITEMS), **more}
        made[name] = Apart(project(folder(), text, more.pop("task"), **more), seconds=10)
    return made


@pytest.mark.parametrize("name", DEEP)
def test_a_row_that_is_nested_deeply(behind, name):
    "Deep enough that it can be read, and perhaps not be sent to a worker or copied"
    found = behind["deep"][name].result()
    assert [r["score"] for r in found["rows"] if r["row"] != 3] == [1.0]*5 and len(found["rows"]) == 6
    assert found["rows"][2].get("score") == 1.0 or found["rows"][2]["error"]


def test_a_last_line_that_is_torn(tmp_path):
    result = run(project(tmp_path, jsonl(FEW).encode()[:-200], task(ITEMS)))
    assert by("score", result.rows) == [1.0]*4 + [None] and result.rows[4]["stage"] == "read"


@pytest.mark.parametrize(("text", "n"), [(b"", 0), (b"\n\n \n", 0), (b"\n" + jsonl(FEW).encode().replace(b"\n", b"\n\n \t\n"), 5), (jsonl(FEW).encode().rstrip(b"\n"), 5), (jsonl(FEW).replace("\n", "\r\n").encode(), 5)])
def test_blank_lines_and_ends(tmp_path, text, n):
    result = run(project(tmp_path, text, task(ITEMS), task({"type": "string_equals", "ground_truth": "yes"}, key="u")))
    for made in result.tasks.values(): assert len(made.rows) == n and not made.failed and made.problem is None
    assert repr(result) and result._repr_markdown_()


def test_an_empty_dataset_has_no_mean(tmp_path):
    "And says so; a mean of nothing is not 0"
    made = run(project(tmp_path, b"")).tasks["t"]
    assert made.metrics.get("Score") is None and "0 samples" in repr(Result([made]))


def test_a_byte_order_mark(tmp_path):
    "Tools of Windows write it; the first row is scored, or the cause says what it is"
    found = run(project(tmp_path, b"\xef\xbb\xbf" + jsonl(FEW).encode(), task(ITEMS))).rows
    assert by("score", found)[1:] == [1.0]*4 and (found[0].get("score") == 1.0 or "byte order mark" in found[0]["error"].lower() or "BOM" in found[0]["error"])


def test_rows_of_one_id_are_told(tmp_path):
    result = run(project(tmp_path, [row(1), row(1), row(2)], task(ITEMS)))
    assert by("row", result.rows) == [1, 2, 3] and by("id", result.rows) == ["s1", "s1", "s2"] and any("s1" in note for note in result.tasks["t"].notes)


CSVS = {
    "plain": (table(FEW).encode(), [None]*5), "with a byte order mark": (b"\xef\xbb\xbf" + table(FEW).encode(), [None]*5), "quoted": (table(FEW, quoting=csv.QUOTE_ALL).encode(), [None]*5),
    "a long cell": (table([row(1), row(2, trace=trace("y"*200_000)), row(3)]).encode(), [None]*3), "a short row": (table(FEW[:2]).encode() + b"only\r\n" + table(FEW[:2]).encode().split(b"\r\n", 1)[1], [None, None, "solve", None, None]),
    "a long row": (table(FEW[:2]).encode()[:-2] + b",more,and more\r\n" + table(FEW[2:]).encode().split(b"\r\n", 1)[1], [None]*5),
    "a trace that is no JSON": (table([row(1), {**row(2), "trace": "hello"}, row(3)]).encode(), [None, "solve", None]),
    "not UTF-8": (table(FEW[:2]).encode() + b"\xff,1,{}\r\n" + table(FEW[2:]).encode().split(b"\r\n", 1)[1], None),
    "a quote that never ends": (table(FEW[:2]).encode() + b'"abc,1\r\n', [None, None, "solve"]), "only a head": (b"id,x,trace\r\n", []), "empty": (b"", []), "a zero byte": (table(FEW[:2]).encode() + b"\x00,1,2\r\n", None),
}


@pytest.mark.parametrize("name", CSVS)
def test_csv_files(tmp_path, name):
    "A row that cannot be read costs itself, or the file is refused in one line; never a traceback"
    text, stages = CSVS[name]
    result = run(project(tmp_path, text, task(ITEMS), task(key="sound", dataset={"key": "<< config.data >>"}), file="d.csv", datasets=[data("d.csv")], specifications=[{"key": "t", "task_key": "t", "task_config": {"data": "d"}}]))
    made = result.tasks["t"]
    if stages is None: assert made.problem or [r.get("score") for r in made.rows][:2] == [1.0, 1.0]
    else: assert by("stage", made.rows) == stages and all(r["score"] == 1.0 for r in made.rows if not r["stage"])


@pytest.mark.parametrize("ending", ["json", "txt", "parquet"])
def test_a_dataset_of_another_ending(tmp_path, ending):
    "Is read as JSON lines, or refused in one line; never a traceback"
    made = run(project(tmp_path, FEW, file=f"d.{ending}", datasets=[data(f"d.{ending}")])).tasks["t"]
    assert made.metrics == {"Score": 3} if not made.problem else "\n" not in made.problem


def test_parquet(sample, tmp_path):
    "Parts that tracekit writes give the scores of the JSONL that it writes"
    plain, parts = (tracekit.convert(sample, tmp_path/to, to=to, progress=False).files[0] for to in ("jsonl", "parquet"))
    assert score(parts, "trace").rows == score(plain, "trace").rows and len(score(plain, "trace").rows) == 21
    made = run(project(tmp_path, b"", task(python("from tracekit.score import compute_scores\n")), datasets=[data(f"parquet/{parts.name}")]))
    assert made.metrics == {"Score": score(plain, "trace").metrics["score"]}


# ---------------------------------------------------------------- templates that do their worst

@pytest.mark.parametrize("template", [
    "{{ sample.__class__ }}", "{{ ''.__class__.__mro__ }}", "{{ sample['__class__'] }}", "{{ sample | attr('__class__') }}", "{{ lipsum.__globals__ }}", "{{ cycler.__init__.__globals__ }}", "{{ self.__init__ }}",
    "{{ sample.update({'x': 1}) }}", "{{ sample.trace['items'].append(1) }}", "{% for i in range(10**9) %}{% endfor %}", "{{ range(10**9) | list }}", "{{ '{0.__class__}'.format(sample) }}", "{{ '%(a)s' | format }}",
    "{% include 'x' %}", "{% import 'os' as os %}", "{{ 1/0 }}", "{{ sample.x | nothing }}", "{{ sample.x", "{% if %}", "{{ sample.x.y.z }}", "{{ '' | fromjson }}", "{{ [] | first | length }}", "{{ 5 | fromjson }}", "{{ 'a' + 1 }}",
    "{{ (" * 300, "{{ " + "("*300 + "1" + ")"*300 + " }}", "{% raw %}", "{{ namespace().x }}", "{{ sample.trace.metadata.extra }}", "{{ 10 ** 10000 ** 1 | string | length | nothing }}",
])
def test_a_template_that_reaches_too_far_is_an_input_error(template):
    "The sandbox holds, nothing of the row is changed, and whatever is wrong comes as InputError, which a filter and a scorer can tell"
    given = row(1)
    before = json.dumps(given)
    try: found = fill(template, {"sample": given})
    except InputError as e: assert str(e)
    else: assert "class" not in str(found) and "function" not in str(found) and "os" not in str(found)
    assert json.dumps(given) == before


ENDLESS = {"loops": "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}", "text": "{{ 'a' * 10**12 }}", "more text": "{{ range(99999) | list | string | length * 10**9 * 'x' }}"}
ASKED = list(itertools.product(("a filter", "a scorer", "an action rule"), ENDLESS))


@in_background("endless", "test_a_template_that_never_ends")
def endless_runs(folder):
    "For each template and place a run of its own"
    made = {}
    for where, name in ASKED:
        rule = {"op": "equals", "expression": ENDLESS[name], "value": 1}
        scorers = [{"type": "string_equals", "ground_truth": ENDLESS[name]}] if where == "a scorer" else [ITEMS]
        path = project(folder(), FEW[:2], task(*scorers, **({"actions": rules(rule)} if where == "an action rule" else {})), datasets=[data(**({"filters": [rule]} if where == "a filter" else {}))])
        made[where, name] = Apart(path, timeout=0.5, seconds=10)
    return made


@pytest.mark.parametrize(("where", "name"), ASKED)
def test_a_template_that_never_ends(behind, where, name):
    "Wherever it stands, it has a time limit, or an error, and costs the samples it was asked for"
    found = behind["endless"][where, name].result()
    assert set(by("stage", found["rows"])) <= {"filter", "score", "actions"} and (found["rows"] or found["problems"])


# ---------------------------------------------------------------- results

ROWS_OF = [
    {"task": "t", "id": "a", "row": 1, "score": 1.0, "label": "x", "env": [{"why": "because"}], "stage": None, "error": None},
    {"task": "t", "id": "b", "row": 2, "score": 0.0, "label": "y", "n": 5, "stage": None, "error": None},
    {"task": "t", "id": "c", "row": 3, "stage": "score", "error": "ValueError: no"},
    {"task": "t", "id": "d", "row": 4, "score": 0.5, "label": "x", "stage": None, "error": None, "excluded": ["rule"]},
]


def result_of(rows, key="t"): return Result([TaskResult(key, Rows(rows), means(rows))])


def test_sort_and_filter():
    made = result_of(ROWS_OF)
    assert by("id", made.sort("score")) == ["b", "d", "a", "c"] and by("id", made.sort("score", reverse=True)) == ["a", "d", "b", "c"]
    assert by("id", made.sort("label")) == ["a", "d", "b", "c"] and by("id", made.sort("env.0.why"))[0] == "a"
    assert by("id", made.sort("n")) == ["b", "a", "c", "d"] and by("id", made.sort("n", reverse=True))[0] == "b"
    assert by("id", made.filter(label="x")) == ["a", "d"] and by("id", made.filter(lambda r: r["row"] > 2)) == ["c", "d"] and by("id", made.filter(lambda r: r["row"] > 2, label="x")) == ["d"]
    assert by("id", made.filter(**{"env.0.why": "because"})) == ["a"] and made.filter(score=2) == [] and by("id", made.filter(stage="score")) == ["c"]
    assert isinstance(made.filter(label="x"), Rows) and isinstance(made.rows[1:], Rows) and made.rows[0] is ROWS_OF[0]


@pytest.mark.parametrize("values", [[1, "a", None, True, 2.5, [1], {"a": 1}, -3, "", 10**400], [[2], [1], "z", {"b": 1}], [float("inf"), 1, float("-inf"), "x"]])
def test_sorting_what_cannot_be_compared(values):
    "No order of such values is right, but there is one, and it loses nothing"
    for order in itertools.permutations(values[:5]):
        made = Rows({"v": v} for v in order)
        for reverse in (False, True):
            found = by("v", made.by("v", reverse))
            assert sorted(map(repr, found)) == sorted(map(repr, order)) and (None not in found or found[-1] is None)


@pytest.mark.parametrize(("path", "expected"), [
    ("score", 1.0), ("env.0.why", "because"), ("env.-1.why", "because"), ("env.1.why", None), ("env.x", None), ("env.0.gone", None), ("env.0.why.more", None), ("gone", None), ("", None), (".", None), ("env.", None), ("score.0", None),
    ("label.0", None), ("env.²", None), ("env.--1", None), ("env.-", None), ("env.١", None), ("a.b", "dotted"), ("env.99999999999999999999", None),
])
def test_paths(path, expected):
    "A path that leads nowhere leads to None; a name with a dot is a name first"
    assert look({**ROWS_OF[0], "a.b": "dotted"}, path) == expected or path == "env.١"


HOSTILE = ["<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "a|b", "a\nb", "# head", "[x](javascript:alert(1))", "![x](http://x)", "`code`", "$x$", "\\(x\\)", "&lt;b&gt;", "**b**", "- item\n- item", "1. x\n2. y",
           "\r\n\r\n<b>x</b>", "|---|---|", "~~x~~", "x\u2028<b>y", "x" * 500, "</td></tr></table>", "<!-- x -->", "\x00<b>", "<http://x>", "^x^", "javascript:alert(1)"]


def no_markup(text, rows):
    "No raw HTML, link, code or formula in a Markdown table, and not a line more than it has rows"
    assert not re.search(r"[<>`$\\\[\]*_~]", text.replace(" --- |", "")), text
    lines = re.split("\r\n|\n|\r", text)   # what ends a line of Markdown
    assert len(lines) == rows + 2 and all(line.startswith("|") and line.endswith("|") for line in lines)


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_is_markup(text):
    "In a cell, in the name of a score, in the name of a task, a metric, a note, a problem"
    no_markup(Rows([{"id": text, "score": 1.0}])._repr_markdown_(), 1)
    no_markup(Rows([{"id": "a", text: 1.0}])._repr_markdown_(), 1)
    made = Result([TaskResult(text, Rows([{"id": text, "stage": text}]), [Figure(text, 1.0, 0.5, 1.5, 3)], [text], text), TaskResult("u", notes=[text])], [text])
    found = made._repr_markdown_()
    assert not re.search(r"[<>`$\\\[\]*_~]", found.replace(" --- |", "")), found
    first, *told = found.split("\n\n")
    assert first.count("\n") == 2 and len(told) == 5 and all("\n" not in line for line in told), "each note is one paragraph"
    no_markup(Comparison([Figure(text, 0.5, 0.1, 0.9, 3)], Rows([{"id": text, "score a": 1, "score b": 0}]))._repr_markdown_().split("\n\n")[0], 1)


@pytest.mark.parametrize("text", ["\x1b[31mred\x1b[0m", "\x1b]0;title\x07", "\x9b31m", "a\rb", "\x08\x08", "\x7f"])
def test_no_text_commands_the_terminal(text):
    "A cell of a trace must not colour, clear or rename the terminal of the one who reads the table"
    made = Result([TaskResult("t", Rows([{"id": text, "error": text}]), [Figure("m", 1.0)], [text], text)], [text])
    for told in (repr(Rows([{"id": text}])), repr(made), repr(made.rows)): assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", told)


def test_tables_of_any_rows():
    for rows in ([], [{}], [{}, {}], [{"a": None}], [{"a": [1]}], [{"a": 1}, {"b": 2}], [{"a": 1}]*100, [{"a": "x"*10_000}], [{}]*100, [{"a": float("nan")}], [{"a": 10**400}], [{"a": True}], [{"": 1}]):
        made = Rows(rows)
        assert isinstance(repr(made), str) and isinstance(made._repr_markdown_(), str)
        assert all(line.startswith("|") for line in made._repr_markdown_().splitlines())
    assert "... 70 more" in repr(Rows([{"a": 1}]*100)) and repr(Rows([{"a": 1}]*30)).count("\n") == 30


def test_save_and_load(tmp_path):
    made = result_of(ROWS_OF)
    again = load_result(made.save(tmp_path/"r.jsonl"))
    assert again.rows == made.rows and again.metrics == made.metrics == {"score": 0.5, "n": 5} and again.plain() == made.plain() and repr(again) == repr(made)


def test_a_run_that_is_saved_and_loaded(tmp_path):
    "Every row of every task, also those that failed, with what a row may hold"
    text = "def compute_scores(sample):\n    if sample['x'] == 2: 1/0\n    return {'scores': {'score': sample['x'], 'big': 2**60, 'é': 0.1}, 'metadata': {'why': {'a': [1, None, 'é\\u2028']}}}\n"
    made = run(project(tmp_path, FEW, task(python(text)), task(key="u")))
    again = load_result(made.save(tmp_path/"r.jsonl"))
    assert again.rows == made.rows and list(again.tasks) == ["t", "u"] and [dict(t.failed) for t in again.tasks.values()] == [{"score": 1}, {}]
    assert again.metrics["t/score"] == made.metrics["t/Score"] == 3.25
    assert len((tmp_path/"r.jsonl").read_bytes().split(b"\n")) == 11


@pytest.mark.parametrize("value", [2**80, -2**70, 10**99, float("nan"), float("inf"), {1: 2}, "\u2028", "\x00", ["é", "\U0001f600"]])
def test_what_a_row_holds_is_saved_and_read_again(tmp_path, value):
    "What no JSON can hold is refused before, or told in a word; the file is whole, or not there"
    made = Result([TaskResult("t", Rows([{"task": "t", "id": "a", "row": 1, "score": 1.0, "more": value, "stage": None, "error": None}]))])
    try: made.save(tmp_path/"r.jsonl")
    except TracekitError:
        assert not (tmp_path/"r.jsonl").exists()
        return
    [found] = load_result(tmp_path/"r.jsonl").rows
    assert found["id"] == "a" and found["score"] == 1.0


@pytest.mark.parametrize(("text", "told"), [(b'{"id": "a"}\n{"id"', ":2: not JSON"), (b"[1]\n", ":1: expected an object"), (b"\xff\n", ":1: not JSON"), (b'{"id": "a"}\n5\n', ":2: expected an object")])
def test_a_result_that_cannot_be_read(tmp_path, text, told):
    (tmp_path/"r.jsonl").write_bytes(text)
    with pytest.raises(InputError, match=re.escape(told)): load_result(tmp_path/"r.jsonl")


def test_a_result_that_is_not_there(tmp_path):
    for path in (tmp_path/"gone.jsonl", tmp_path):
        with pytest.raises(InputError, match="cannot be read"): load_result(path)


@pytest.mark.parametrize("line", [{"task_id": [1], "score": 1}, {"task": ["x"], "score": 1}, {"score": 10**400}, {"id": None}, {"stage": 5}, {"stage": [1]}, {"excluded": "x", "score": 1}, {"score": "x"}, {}, {"score": True}, {"": 1}, {"task_id": {"a": 1}, "score": 0.5}], ids=str)
def test_a_result_with_odd_rows(tmp_path, line):
    "Another program may have written it: it is shown, or refused with a word"
    (tmp_path/"r.jsonl").write_text(json.dumps(line) + "\n" + json.dumps(line) + "\n")
    try:
        made = load_result(tmp_path/"r.jsonl")
        assert repr(made) and made._repr_markdown_() and made.plain() and repr(made.rows)
    except TracekitError as e: assert str(e)


# ---------------------------------------------------------------- where the traces are

def test_a_result_knows_its_dataset(tmp_path):
    "By score and by run; written beside each row, seen from the folder of the file, and taken out again"
    for name in ("data", "runs/deep", "runs/moved"): (tmp_path/name).mkdir(parents=True)
    path = project(tmp_path/"data", FEW, task(), task(key="u", solver={"type": "pass_through_solver", "trace_column": "trace"}))
    (tmp_path/"s.py").write_text(SCORE)
    for made, tasks in ((score(tmp_path/"data"/"d.jsonl", tmp_path/"s.py"), ["d"]), (run(path), ["t", "u"])):
        assert [t.dataset for t in made.tasks.values()] == [tmp_path/"data"/"d.jsonl"]*len(tasks) and not any("dataset" in r for r in made.rows)
        saved = made.save(tmp_path/"runs"/"deep"/"r.jsonl")
        rows = [json.loads(line) for line in saved.read_text().splitlines()]
        assert by("dataset", rows) == ["../../data/d.jsonl"]*len(rows) and all(list(r)[list(r).index("row") + 1] == "dataset" for r in rows) and not any("trace_column" in r for r in rows)
        again = load_result(saved)
        assert again.rows == made.rows and [t.dataset for t in again.tasks.values()] == [(tmp_path/"data"/"d.jsonl").resolve()]*len(tasks)
        assert {t.trace_column for t in again.tasks.values()} == {"trace"} and again.plain()["tasks"].keys() <= {"r", *tasks}
    saved.rename(tmp_path/"r.jsonl")
    assert load_result(tmp_path/"r.jsonl").tasks["t"].dataset == (tmp_path/"../../data/d.jsonl").resolve(), "what was moved alone points to where it says, and that is all"


def test_another_trace_column_is_kept(tmp_path):
    rows = [{"id": r["id"], "x": r["x"], "talk": r["trace"]} for r in FEW]
    (tmp_path/"d.jsonl").write_text(jsonl(rows))
    (tmp_path/"s.py").write_text(SCORE)
    made = score(tmp_path/"d.jsonl", tmp_path/"s.py", trace_column="talk")
    assert made.tasks["d"].trace_column == "talk"
    again = load_result(made.save(tmp_path/"r.jsonl"))
    assert again.tasks["d" if "d" in again.tasks else "r"].trace_column == "talk" and again.rows == made.rows
    assert json.loads((tmp_path/"r.jsonl").read_text().splitlines()[0])["trace_column"] == "talk"
    other = run(project(tmp_path, rows, task(solver={"type": "pass_through_solver", "trace_column": "talk"})))
    assert other.tasks["t"].trace_column == "talk" and other.tasks["t"].dataset == tmp_path/"d.jsonl"


def test_no_dataset_where_there_is_none(tmp_path):
    "Several datasets side by side, texts of a folder, a task that cannot be run; and a result that was made by hand"
    (tmp_path/"texts").mkdir()
    (tmp_path/"texts"/"a.md").write_text("A text")
    folder = {"key": "f", "display_name": "F", "source": {"type": "folder", "directory_path": "./texts", "extension": ".md"}}
    two = task(key="two", spec={"config_spec": [{"type": "dataset", "key": k, "display_name": "D"} for k in ("a", "b")]}, dataset={"keys": ["<< config.a >>", "<< config.b >>"]}, solver=False)
    path = project(tmp_path, FEW, task(), two, task(key="f", solver=False), datasets=[data(), folder], specifications=[
        {"key": "gone", "task_key": "t", "task_config": {"data": "nowhere"}}, {"key": "two", "task_key": "two", "task_config": {"a": "d", "b": "d"}}, {"key": "f", "task_key": "f", "task_config": {"data": "f"}}])
    made = run(path)
    assert list(made.tasks) == ["gone", "two", "f"] and [t.dataset for t in made.tasks.values()] == [None]*3
    assert "dataset" not in made.save(tmp_path/"r.jsonl").read_text() and load_result(tmp_path/"r.jsonl").tasks["two"].dataset is None


def test_row_is_the_place_in_the_dataset(tmp_path):
    "With blank lines, filters, limits, ids, several tasks, from JSONL, CSV and Parquet: Dataset(path)[row - 1] is the sample"
    lines = [json.dumps(row(n)) for n in range(1, 9)]
    text = "\n" + lines[0] + "\n\n   \n" + "\n".join(lines[1:5]) + "\n\t\n" + "\n".join(lines[5:]) + "\n\n"
    (tmp_path/"s.py").write_text(SCORE)
    even = data(filters=[{"op": "in", "expression": "{{ sample.x }}", "values": [2, 4, 6, 8]}])
    path = project(tmp_path, text, task(), task(key="u"), datasets=[even])
    stored = tracekit.Dataset(tmp_path/"d.jsonl")
    found = {"all": (score(path.parent/"d.jsonl", tmp_path/"s.py"), 8), "limit": (score(path.parent/"d.jsonl", tmp_path/"s.py", limit=3), 3),
             "ids": (score(path.parent/"d.jsonl", tmp_path/"s.py", ids=["s3", "s7"]), 2), "workers": (score(path.parent/"d.jsonl", tmp_path/"s.py", workers=2), 8),
             "filter": (run(path), 8), "filter and limit": (run(path, limit=2), 4), "filter and id": (run(path, ids=["s6"]), 2)}
    for name, (made, n) in found.items():
        assert len(made.rows) == n, name
        for r in made.rows: assert r["row"] == int(r["id"][1:]) and list(stored.plain())[r["row"] - 1]["id"] == r["id"], name
    (tmp_path/"d.csv").write_text(table([row(n) for n in range(1, 4)]).replace("\r\ns2", "\r\n\r\ns2"))
    (tmp_path/"csv").mkdir()
    (tmp_path/"d.csv").rename(tmp_path/"csv"/"d.csv")
    made = run(project(tmp_path/"csv", (tmp_path/"csv"/"d.csv").read_bytes(), file="d.csv"))
    assert [(r["row"], r["id"]) for r in made.rows] == [(1, "s1"), (2, "s2"), (3, "s3")]


@pytest.mark.parametrize("scorer", ["trace", "telecom", "tau2-db"])
def test_the_short_way_of_reading_a_row_changes_nothing(sample, tmp_path, scorer):
    "tracekit's own scorers get rows that are read in one go; they see the columns and the trace that all others see"
    tracekit.convert(sample, tmp_path, progress=False)
    plan = Plan([{"key": "s", "type": "python", "spec": {"snippet": named_scorer(scorer)}}], "trace")
    short = 0
    for _, line in samples(tmp_path/"telecom.jsonl"):
        whole = json.loads(line)
        for text in (line, json.dumps(whole | {"trace": json.dumps(whole["trace"])}).encode(), b"\xef\xbb\xbf" + line, json.dumps({n: v for n, v in whole.items() if n != "reward"} | {"sample_id": 7}).encode()):
            row, given = plan.read(text), opened(text)
            assert score_sample(plan, row) == score_sample(plan, given)
            for name in [n for n in (*whole, "sample_id", "nothing") if n != "trace"]: assert plan.read(text).get(name, "none") == given.get(name, "none"), name
            for name in given.keys() - {"trace"}: assert plan.read(text)[name] == given[name]
            made = solved(plan, plan.read(text))
            assert made.plain == whole["trace"] and made.trace == tracekit.Trace.model_validate(whole["trace"])
            short += getattr(plan.read(text), "row", None) is not None
            with pytest.raises(KeyError): plan.read(text)["nothing"]
    assert short == 42, "two of the four forms"
    assert "no column 'talk'" in score_sample(Plan(plan.scorers, "talk"), Plan(plan.scorers, "talk").read(line))[0]["failed"][""][1]


def test_a_name_of_ours_is_no_score(tmp_path):
    "A scorer's own `dataset` gets the scorer's key in front, so that a file keeps it apart from where the rows are"
    (tmp_path/"d.jsonl").write_text(jsonl(FEW))
    (tmp_path/"s.py").write_text("def compute_scores(sample):\n    return {'scores': {'score': 1, 'dataset': 3}, 'metadata': {'trace_column': 'x'}}\n")
    made = score(tmp_path/"d.jsonl", tmp_path/"s.py")
    assert {"dataset", "trace_column"} <= {*ORIGIN} and numbers(made.rows) == ["score", "scorer.dataset"] and made.rows[0]["scorer.trace_column"] == "x"
    assert load_result(made.save(tmp_path/"r.jsonl")).rows == made.rows


@pytest.mark.parametrize("value", [5, None, True, ["/etc/passwd"], {"a": 1}, "", "a\u0000b", "a\nb", "\x1b[31m"])
def test_a_dataset_that_is_no_path_is_ignored_with_a_note(tmp_path, value):
    "In a results file that anybody may have written"
    for name in ("dataset", "trace_column"):
        (tmp_path/"r.jsonl").write_text(jsonl([{"id": "a", "row": 1, name: value, "score": 1}, {"id": "b", "row": 2, "score": 0}]))
        made = load_result(tmp_path/"r.jsonl")
        [told] = made.tasks.values()
        assert told.dataset is None and told.trace_column == "trace" and by("score", made.rows) == [1, 0] and not any(name in r for r in made.rows)
        assert told.notes == [f"1 rows name a {name} that is no text, which is ignored"] and made.metrics == {"score": 0.5}


def test_a_dataset_is_only_a_path(tmp_path, monkeypatch):
    "Nothing is opened or asked for: it may be anywhere, or nowhere, and the rows of one task have one"
    tmp_path, asked, opens = tmp_path.resolve(), [], io.open
    (tmp_path/"sub").mkdir()
    monkeypatch.setattr("io.open", lambda path, mode="r", *a, **k: (asked.append(path) if "r" in mode else None, opens(path, mode, *a, **k))[1])
    for value, there in (("../../x.jsonl", tmp_path.parent.parent/"x.jsonl"), ("/etc/passwd", Path("/etc/passwd")), ("sub/../d.jsonl", tmp_path/"d.jsonl"), ("~/d.jsonl", tmp_path/"~"/"d.jsonl"), ("é/\U0001f600.jsonl", tmp_path/"é"/"\U0001f600.jsonl")):
        (tmp_path/"r.jsonl").write_text(jsonl([{"id": "a", "dataset": value}]))
        asked.clear()
        found = load_result(tmp_path/"r.jsonl").tasks["r"]
        assert found.dataset == there and found.notes == [] and {str(p) for p in asked} == {str(tmp_path/"r.jsonl")}
    (tmp_path/"r.jsonl").write_text(jsonl([{"id": "a", "dataset": "a.jsonl"}, {"id": "b", "dataset": "b.jsonl"}]))
    found = load_result(tmp_path/"r.jsonl").tasks["r"]
    assert found.dataset is None and found.notes == ["the rows name 2 values as their dataset, so none is taken"]


def test_a_folder_behind_a_link(tmp_path):
    "The path is that between the real folders, so it holds by either name"
    for name in ("real/results", "data", "links"): (tmp_path/name).mkdir(parents=True)
    (tmp_path/"links"/"r").symlink_to(tmp_path/"real"/"results")
    (tmp_path/"data"/"d.jsonl").write_text(jsonl(FEW))
    made = Result([TaskResult("t", Rows([{"task": "t", "id": "a", "row": 1}]), dataset=tmp_path/"data"/"d.jsonl")])
    made.save(tmp_path/"links"/"r"/"r.jsonl")
    for folder in ("links/r", "real/results"): assert load_result(tmp_path/folder/"r.jsonl").tasks["t"].dataset.samefile(tmp_path/"data"/"d.jsonl")


def test_a_relative_dataset(tmp_path, monkeypatch):
    "Given as a path from here, it is found from everywhere"
    (tmp_path/"d.jsonl").write_text(jsonl(FEW))
    (tmp_path/"s.py").write_text(SCORE)
    monkeypatch.chdir(tmp_path)
    score("d.jsonl", "s.py").save("out/r.jsonl")
    assert json.loads((tmp_path/"out"/"r.jsonl").read_text().splitlines()[0])["dataset"] == "../d.jsonl"
    monkeypatch.chdir("/")
    assert load_result(tmp_path/"out"/"r.jsonl").tasks["r"].dataset == (tmp_path/"d.jsonl").resolve()


# ---------------------------------------------------------------- what failed

@pytest.mark.parametrize(("fields", "name", "verdict"), [
    ({"reward": 1.0}, "reward", True), ({"reward": 0.0, "score": 1.0}, "reward", False), ({"score": 1, "reward": None}, "reward", None), ({"score": 0.9999999}, "score", True), ({"score": 0.99}, "score", False),
    ({"is_correct": True}, "is_correct", True), ({"is_correct": False, "turns": 1}, "is_correct", False), ({"turns": 12, "ok": True}, "ok", True), ({"turns": 1, "ok": False}, "ok", False),
    ({"coverage": 0.5, "turns": 3}, "coverage", False), ({"turns": 12}, None, None), ({}, None, None), ({"official_reward": 1.0}, None, None), ({"trial": 1, "row": 1, "label": "x"}, None, None),
    ({"reward": "high"}, "reward", None), ({"score": 1.5}, "score", False), ({"ok": None}, None, None), ({"score": 10**400}, "score", False), ({"score": float("nan")}, "score", False),
])
def test_whether_a_sample_has_passed(fields, name, verdict):
    "One score says it: that which pass^k counts"
    found = {"task": "t", "id": "a", "row": 1, **fields, "stage": None, "error": None}
    assert main_score([found]) == name and passed(found) is verdict


def test_pass_k_counts_what_has_passed(tmp_path):
    (tmp_path/"d.jsonl").write_text(jsonl([row(n, task_id=f"t{n // 2}") for n in range(8)]))
    for name, value in (("reward", "float(sample['x'] < 5)"), ("is_correct", "sample['x'] < 5"), ("fine", "sample['x'] < 5"), ("share", "float(sample['x'] < 5)")):
        (tmp_path/"s.py").write_text(f"def compute_scores(sample):\n    return {{'{name}': {value}, 'x': sample['x']}}\n")
        made = score(tmp_path/"d.jsonl", tmp_path/"s.py")
        assert main_score(made.rows) == name and [passed(r) for r in made.rows] == [n < 5 for n in range(8)]
        assert made.metrics["pass^1"] == 5/8 and made.metrics["pass^2"] == 2/4
    (tmp_path/"s.py").write_text("def compute_scores(sample):\n    return {'x': sample['x']}\n")
    assert "pass^1" not in score(tmp_path/"d.jsonl", tmp_path/"s.py").metrics


def check(name, met, item=1, **more): return {"name": name, "met": met, "why": "because", "item": item, **more}


def lost(id, **fields): return {"task": "t", "id": id, "row": 1, "score": 0.0, **fields, "stage": None, "error": None}


def test_kinds_of_failures():
    "Each sample once in each kind, the commonest first; who passed, is excluded or unknown is in none"
    env = [check("assert_x", False), check("assert_x", False), check("assert_y", True)]
    rows = [
        lost("a", actions=[check("pay", False, None), check("call", False, 3)], env=env), lost("b", actions=[check("pay", False, None)]), lost("c", env=env[:1]), lost("d", env=env[:1]),
        lost("e", reason=f"{EARLY}: max_steps"), lost("f", reason="ACTION: pay: x\nmore"), lost("g"), lost("h", **{"python_1.actions": [check("pay", False, None)]}),
        lost("i", writes=[check("refund", False)], communicate=[check("12", False, None)], db_checks=[check("db", False)], nl_assertion_checks=[check("polite", None)]),
        lost("j", writes=[check("refund", False)], reason=f"{EARLY}: timeout"), {**lost("k", env=env), "excluded": ["rule"]}, {**lost("l", env=env), "score": 1.0}, {**lost("m", env=env), "score": None},
        {"task": "t", "id": "n", "row": 1, "stage": "score", "error": "ValueError: no"}, {**lost("o", env=env[:1]), "stage": "score", "error": "ValueError: no"},
    ]
    found = {kind: "".join(by("id", samples)) for kind, samples in kinds_of(rows)}
    assert found == {"assertion not met: assert_x": "acdo", "action never called: pay": "abh", "database write not as expected: refund": "ij", "stage score: ValueError: no": "no",
                     "action not as expected: call": "a", f"{EARLY}: max_steps": "e", "ACTION: pay: x": "f", "score is less than 1": "g", "never said: 12": "i", "database not as expected": "i", f"{EARLY}: timeout": "j"}
    sizes = [len(samples) for _, samples in kinds_of(rows)]
    assert sizes == sorted(sizes, reverse=True) and all(isinstance(samples, Rows) for _, samples in kinds_of(rows)) and kinds_of([]) == []


ODD_CHECKS = [5, "x", None, {}, [5], [None], [[]], [{}], [{"name": 5, "met": False}], [{"name": "x"}], [{"name": "x", "met": "no"}], [{"name": "x", "met": [1]}], [{"name": "x", "met": False}], [{"name": "\x1b[31m" * 1000, "met": False, "item": {}}]]


@pytest.mark.parametrize("value", ODD_CHECKS, ids=range(len(ODD_CHECKS)))
def test_checks_of_any_shape_do_no_harm(value):
    for part in ("actions", "env", "writes", "x.env"):
        odd = lost("a", **{part: value, "reason": value})
        for _, found in checks(odd): assert isinstance(found["name"], str) and found["met"] in (True, False, None)
        for kind, group in kinds_of([odd]): assert kind.isprintable() and len(kind) <= 120 and len(group) == 1


def test_kinds_of_a_real_run(sample, tmp_path):
    "Every failed sample of the log that ships with tracekit is in some kind, for all scorers"
    tracekit.convert(sample, tmp_path, progress=False)
    for scorer in ("telecom", "trace"):
        made = score(tmp_path/"telecom.jsonl", scorer)
        failed = {r["id"] for r in made.rows if passed(r) is False}
        assert failed and {r["id"] for _, samples in kinds_of(made.rows) for r in samples} == failed
        assert all({"name", "met", "why", "item"} <= c.keys() for r in made.rows for _, c in checks(r)) and sum(1 for r in made.rows for _ in checks(r)) > 50
        again = load_result(made.save(tmp_path/"r.jsonl"))
        assert kinds_of(again.rows) == kinds_of(made.rows)


def test_a_frame_without_pandas(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    for made in (result_of(ROWS_OF), Rows(ROWS_OF)):
        with pytest.raises(InputError, match="pip install pandas"): made.frame()


# ---------------------------------------------------------------- comparing

def scored(*values, **kept): return [{"task": "t", "id": f"s{n}", "row": n + 1, "score": float(v), "stage": None, "error": None, **kept} for n, v in enumerate(values)]


def test_compare_is_paired():
    a, b = scored(0, 0, 1, 1, 0), scored(1, 0, 1, 1, 1)
    made = compare(result_of(a), result_of(b[::-1]))
    assert made.figures[0].value == 0.4 and made.figures[0].n == 5 and made.only == (0, 0) and by("id", made.rows) == ["s0", "s4"]
    assert made.rows[0]["score a"] == 0 and made.rows[0]["score b"] == 1 and "+0.4000" in repr(made) and "2 samples differ" in repr(made)
    assert result_of(a).compare(result_of(a)).figures[0].value == 0 and not result_of(a).compare(result_of(a)).rows


def test_compare_counts_what_only_one_has():
    "Also a sample that failed, or was excluded, in one of them"
    a, b = scored(0, 1, 1, 1), scored(1, 1, 1, 1)
    b[1] = {"task": "t", "id": "s1", "row": 2, "stage": "score", "error": "x"}
    a[2] |= {"excluded": ["rule"]}
    made = result_of(a).compare(result_of([*b, {**b[0], "id": "new"}]))
    assert made.figures[0].n == 2 and made.figures[0].value == 0.5 and made.only == (1, 2) and "1 only in a, 2 only in b" in repr(made)


def test_compare_where_ids_repeat():
    "The first goes with the first"
    a, b = scored(0, 1, 0), scored(1, 1, 1)
    for rows in (a, b):
        for r in rows: r["id"] = "same"
    made = result_of(a).compare(result_of(b))
    assert made.figures[0].value == pytest.approx(2/3) and made.figures[0].n == 3 and len(made.rows) == 2


def test_compare_where_ids_repeat_and_one_failed():
    "The trials of a sample are told apart by `trial` or `row`: one that failed does not move the others"
    a, b = scored(0, 1, 1), scored(0, 1, 1)
    for rows in (a, b):
        for n, r in enumerate(rows): r |= {"id": "same", "trial": n}
    a[0] = {"task": "t", "id": "same", "trial": 0, "row": 1, "stage": "score", "error": "x"}
    made = result_of(a).compare(result_of(b))
    assert made.figures[0].value == 0 and made.figures[0].n == 2


def test_two_runs_of_the_same_tasks_are_compared(tmp_path):
    "Two models answered the same tasks: the rows of two logs, whose simulations have ids of their own"
    (tmp_path/"scorer.py").write_text("def compute_scores(sample): return {'score': sample['x']}\n")
    made = []
    for name, values in (("a", (0, 0, 1)), ("b", (1, 0, 1))):
        (tmp_path/f"{name}.jsonl").write_text(jsonl([{"simulation_id": f"{name}-{n}", "task_id": f"task {n}", "trial": 0, "x": x, "trace": trace()} for n, x in enumerate(values)]))
        made.append(score(tmp_path/f"{name}.jsonl", tmp_path/"scorer.py"))
    assert compare(*made).figures[0].value == pytest.approx(1/3) and compare(*made).figures[0].n == 3


def test_compare_with_nothing_in_common():
    for a, b in ((scored(1), [{**scored(1)[0], "id": "other"}]), (scored(1), [{"task": "t", "id": "s0", "row": 1, "other": 1.0}]), ([], []), (scored(1), [])):
        with pytest.raises(InputError, match="nothing to compare"): compare(result_of(a), result_of(b))


def test_compare_scores_that_no_sample_has_twice():
    "A score that both results have, but never for the same sample"
    a, b = scored(1, 1), scored(0, 1)
    a[0]["more"], b[1]["more"] = 1.0, 1.0
    made = compare(result_of(a), result_of(b))
    assert repr(made) and made._repr_markdown_() and [f.value for f in made.figures if f.name == "score"] == [-0.5]


def test_compare_tasks_by_their_keys():
    "Results of several tasks: the same sample of the same task; of one task each: the names do not matter"
    two = [Result([TaskResult(key, Rows({**r, "task": key} for r in scored(*values))) for key, values in tasks.items()]) for tasks in ({"t": (0, 1), "u": (1, 1)}, {"u": (1, 0), "t": (1, 1)})]
    made = compare(*two)
    assert made.figures[0].n == 4 and made.figures[0].value == 0 and {(r["task"], r["id"]) for r in made.rows} == {("t", "s0"), ("u", "s1")}
    assert compare(Result([TaskResult("x", Rows({**r, "task": "x"} for r in scored(0)))]), result_of(scored(1))).figures[0].value == 1


def test_compare_large_results_at_random():
    "By a second way: the mean of the differences of the samples that both have"
    rng = random.Random(0)
    a, b = (scored(*(rng.random() for _ in range(300))) for _ in range(2))
    a, b = rng.sample(a, 250), rng.sample(b, 250)
    of = {r["id"]: r["score"] for r in a}
    both = [(of[r["id"]], r["score"]) for r in b if r["id"] in of]
    made = compare(result_of(a), result_of(b))
    assert made.figures[0].n == len(both) and made.figures[0].value == pytest.approx(sum(y - x for x, y in both)/len(both)) and made.only == (250 - len(both), 250 - len(both))


# ---------------------------------------------------------------- small things

def test_a_run_that_has_nothing_to_do(tmp_path):
    for text in ("{}", "tasks: []", "datasets: []", "evaluation: {key: e, display_name: E, description: d, task_specifications: []}"):
        (tmp_path/"run.yaml").write_text(text)
        with pytest.raises(InputError): run(tmp_path/"run.yaml")


@pytest.mark.parametrize("scorer", ["no-such-scorer", "gone.py", "."])
def test_a_scorer_that_is_not_there(sample, tmp_path, scorer):
    tracekit.convert(sample, tmp_path, name="d", progress=False)
    with pytest.raises(InputError): score(tmp_path/"d.jsonl", scorer)


@pytest.mark.parametrize("dataset", ["gone.jsonl", "gone.yaml", "."])
def test_a_dataset_that_is_not_there(tmp_path, dataset):
    with pytest.raises(InputError): score(tmp_path/dataset, "trace")


def test_numbers_of_lines_are_those_of_samples(tmp_path):
    (tmp_path/"d.jsonl").write_text("\n" + jsonl(FEW[:2]) + "\n\n{\n" + jsonl(FEW[2:]))
    (tmp_path/"scorer.py").write_text(SCORE)
    made = score(tmp_path/"d.jsonl", tmp_path/"scorer.py").rows
    assert by("row", made) == [1, 2, 3, 4, 5, 6] and by("stage", made) == [None, None, "read", None, None, None]


def test_the_figures_do_not_depend_on_the_workers(sample, tmp_path):
    tracekit.convert(sample, tmp_path, name="d", progress=False)
    one, three = (score(tmp_path/"d.jsonl", "trace", workers=n) for n in (1, 3))
    assert one.rows == three.rows and one.plain() == three.plain() and repr(one) == repr(three)


def test_nothing_is_left_running(tmp_path):
    "After a run its workers are gone, also those that hung; what ran before it, such as a browser of another test, may stay"
    before = _children()
    run(project(tmp_path, FEW, task(python(doing({"": "time.sleep(600)"})))) , timeout=0.1, workers=2, limit=0)
    rows = [{**r, "what": "sleep"} for r in FEW]
    run(project(tmp_path, rows, task(python(doing({"sleep": "time.sleep(600)"})))), timeout=0.1, workers=2)
    background = {job.process.pid for job in Apart.running}
    left = {pid: what for pid, what in _children().items() if pid not in before and pid not in background}
    assert not left


def _children():
    "The processes that this one started and that still are, by their ids, with their command lines"
    pids = [p for p in Path("/proc").iterdir() if p.name.isdigit() and _parent(p) == os.getpid()]
    return {int(p.name): (p/"cmdline").read_bytes().replace(b"\0", b" ")[:200] for p in pids if p.exists()}


def _parent(process):
    try: return int((process/"stat").read_text().rsplit(")", 1)[1].split()[1])
    except (OSError, IndexError, ValueError): return None
