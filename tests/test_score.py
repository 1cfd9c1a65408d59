"""The scorer: the platform's tutorial and its own scorers are the judges, real and scripted logs the cases, and inputs that nobody meant."""
import importlib.util
import json
import random
import string
import subprocess
from collections import Counter
from copy import deepcopy
from types import SimpleNamespace

import pytest
from conftest import LOGS, logs
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tracekit import Trace
from tracekit.pipeline import read
from tracekit.run import SCORERS
from tracekit.score import (
    items_of,

    SolverTrace,
    TraceScorer,
    arguments_of,
    choices_of,
    compute_scores,
    disallowed_function_calls,
    function_call_coverage,
    function_call_output_contains,
    function_call_output_not_contains,
    recorded_calls,
    string_equals,
    string_equals_mcqa,
)
from tracekit.source import InputError
from tracekit.trace import assistant, call, output, plain_trace, system, user

# ---------------------------------------------------------------- the judges

ORACLE = """
import asyncio, importlib.util, json, sys
from pathlib import Path
given = json.loads(sys.stdin.read())

def loaded(path):
    spec = importlib.util.spec_from_file_location("peer_" + Path(path).stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module

from latticeflow.core.dtypes import SolverTrace, Trace
"""
TUTORIAL = ORACLE + """
scorer = loaded(given["scorer"])
def scored(row):
    try: return scorer.compute_scores(row, SolverTrace(trace=Trace.model_validate(row["trace"]), raw_outputs=[]))
    except Exception as e: return type(e).__name__
print(json.dumps([scored(json.loads(line)) for line in open(given["rows"], encoding="utf-8")]))
"""
CONVERTED = ORACLE + """
import latticeflow.go.dtypes
sys.path.insert(0, given["oracle"])
import aigo
converter = loaded(Path(latticeflow.go.dtypes.__file__).resolve().parents[3]/aigo.CONVERTER)
made = {}
for log in given["logs"]:
    for s in json.loads(Path(log).read_text(encoding="utf-8"))["simulations"]:
        trace = Trace(items=converter.Tau2BenchMessageConverter().convert(s["messages"]))
        made[Path(log).name + s["id"]] = trace.model_dump_include_unset(mode="json")
print(json.dumps(made))
"""
PEERS = ORACLE + """
from types import SimpleNamespace
for absent in ("numpy", "pandas"):   # asked for by a division of two plain numbers, and not in this environment
    if importlib.util.find_spec(absent) is None: sys.modules[absent] = SimpleNamespace(ndarray=type("ndarray", (), {}), Series=type("Series", (), {}))
from latticeflow.core.dtypes import ChatCompletionModelOutput, ChatCompletionModelOutputChoice, ChatCompletionOutputMessage
from latticeflow.core.experimental import scorers

def solved(trace, text):
    if text is None: return SolverTrace(trace=Trace.model_validate(trace), raw_outputs=[])
    message = ChatCompletionOutputMessage(role="assistant", content=text)
    return SolverTrace(trace=Trace.model_validate(trace), raw_outputs=[ChatCompletionModelOutput(choices=[ChatCompletionModelOutputChoice(message=message)])])

def scored(case):
    scorer = getattr(scorers, case["scorer"])
    try: made = asyncio.run(scorer(**case["spec"]).ascore(sample=case["sample"], solver_output=solved(case["trace"], case.get("text"))))
    except Exception as e: return {"error": type(e).__name__}
    return json.loads(json.dumps({"values": made.values, "metadata": made.metadata}, default=str))
print(json.dumps([scored(case) for case in given]))
"""


@pytest.fixture(scope="module")
def ask(oracle):
    "Run a script in the platform's environment: data goes in and comes out as JSON"
    def run(script, given):
        made = subprocess.run([oracle, "-c", script], input=json.dumps(given), capture_output=True, text=True, timeout=120)
        assert made.returncode == 0, made.stderr[-2000:]
        return json.loads(made.stdout)
    return run


@pytest.fixture(scope="module")
def tutorial(bundle):
    "The rows of the tutorial"
    return [json.loads(line) for line in (bundle/"datasets"/"tutorial-samples.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def theirs(bundle):
    "The tutorial's scorer, which needs nothing but the standard library"
    spec = importlib.util.spec_from_file_location("tutorial_scorer", bundle/"tasks"/"scorer.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def log_rows(shared):
    "The rows of all real and scripted tau2 logs, by the name of the log"
    return {path.name: [{**row.columns, "trace": row.trace.model_dump(mode="json")} for row in read(path)] for kind in LOGS for path in logs(kind)}


def mine(row, trace=None): return compute_scores(row, SolverTrace(row["trace"] if trace is None else trace))


# ---------------------------------------------------------------- the tutorial

TABLE = """
24 1 1 1 1 1 1
24 1 1 1 1 1 1
20 1 1 0 0 1 0
24 1 1 0 0 1 0
32 5 2 1 1 1 1
32 2 2 1 1 1 1
24 7 2 0 0 0 0.14285714285714285
48 4 2 0 0 0 0.75
28 2 2 1 1 1 1
40 2 2 1 1 1 1
42 3 2 0 0 1 0.3333333333333333
32 2 3 1 1 1 1
54 5 3 0 0 0 0.6
34 3 1 1 1 1 1
20 5 1 0 0 0 0
52 2 2 1 1 1 1
32 3 2 0 0 0 0.3333333333333333
"""   # items, actions, assertions, score, action_score, env_assertion_score, action_coverage: aigo.md section 2
NAMES = ("score", "action_score", "env_assertion_score", "action_coverage")
MEANS = {"score": 0.5294117647058824, "action_score": 0.5294117647058824, "env_assertion_score": 0.7058823529411765, "action_coverage": 0.6564425770308123}


@pytest.mark.parametrize("n", range(17))
def test_each_sample_of_the_tutorial(tutorial, n):
    row, expected = tutorial[n], [float(cell) for cell in TABLE.split("\n")[n + 1].split()]
    found = mine(row)
    sizes = [len(row["trace"]["items"]), len(row["evaluation_criteria"]["actions"]), len(row["evaluation_criteria"]["env_assertions"])]
    assert [*sizes, *(found[name] for name in NAMES)] == expected and list(found) == list(NAMES)


def test_the_four_means_of_the_tutorial(tutorial):
    "To the last digit, from plain data and from models"
    for form in (lambda row: row["trace"], lambda row: Trace.model_validate(row["trace"])):
        found = [mine(row, form(row)) for row in tutorial]
        assert {name: sum(f[name] for f in found)/17 for name in NAMES} == MEANS
    assert not any("unsupported" in mine(row).metadata for row in tutorial), "the six methods are all that its samples ask for"


def test_what_the_tutorial_scorer_has_is_there(tutorial, theirs):
    "A script that builds on the tutorial's class finds its attributes and methods, with the same values"
    for row in tutorial:
        trace, broken = Trace.model_validate(row["trace"]), row["initial_state"]["initialization_actions"]
        ours, peer = TraceScorer(trace, broken), theirs.TraceScorer(trace, broken)
        assert ours.trace is trace and ours.status_bar == peer.status_bar and ours.broken == peer.broken
        assert [{k: c[k] for k in peer.calls[0]} for c in ours.calls] == peer.calls
        for tool in {c["name"] for c in peer.calls}: assert ours.last_tool_output(tool) == peer.last_tool_output(tool)
        for part in ("actions", "env_assertions"):
            check = {"actions": "check_actions", "env_assertions": "check_env_assertions"}[part]
            assert getattr(ours, check)(row["evaluation_criteria"][part]) == getattr(peer, check)(row["evaluation_criteria"][part])
        assert ours.score(row["evaluation_criteria"]) == peer.score(row["evaluation_criteria"])
    missing = [name for name in dir(theirs.TraceScorer) if not hasattr(TraceScorer, name)]
    assert not missing


def test_both_scorers_agree_on_every_log(ask, bundle, log_rows, tmp_path):
    "On all rows that the tutorial's scorer can take; the rest it refuses by an exception, and ours gives scores"
    rows = [row for found in log_rows.values() for row in found]
    (tmp_path/"rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    peer = ask(TUTORIAL, {"scorer": str(bundle/"tasks"/"scorer.py"), "rows": str(tmp_path/"rows.jsonl")})
    differing = [(row["simulation_id"], mine(row), found) for row, found in zip(rows, peer, strict=True) if isinstance(found, dict) and mine(row) != found]
    assert not differing, differing[:3]
    taken = Counter(row["domain"] for row, found in zip(rows, peer) if isinstance(found, dict))
    assert taken["telecom"] >= 300 and sum(taken.values()) > 350, taken
    refused = [row for row, found in zip(rows, peer) if isinstance(found, str)]
    assert len(refused) > 100 and all(set(mine(row)) == set(NAMES) for row in refused)


# ---------------------------------------------------------------- agreement with the official reward

COLUMN_A = {   # tau2.md 4.2, corpus A: true and false positives, false and true negatives of the tutorial's converter and scorer
    "assert_service_status": (70, 0, 0, 18), "assert_mobile_data_status": (59, 11, 4, 20), "assert_internet_speed": (37, 14, 10, 33),
    "assert_can_send_mms": (38, 0, 30, 39), "assert_no_overdue_bill": (19, 0, 0, 0), "assert_data_refueling_amount": (79, 2, 2, 12),
}


def table(verdicts): return tuple(verdicts[pair] for pair in ((1, 1), (1, 0), (0, 1), (0, 0)))


def agreement(rows, labels, trace_of=lambda name, row: row["trace"]):
    "Overall, by func_name and by action: (true positives, false positives, false negatives, true negatives)"
    overall, actions, assertions = Counter(), Counter(), {}
    for name, row in rows:
        label, trace = labels[name, row["simulation_id"]], trace_of(name, row)
        overall[mine(row, trace)["score"], label["reward"]] += 1
        scorer, criteria = TraceScorer(trace, row["initial_state"]["initialization_actions"]), row["evaluation_criteria"]
        for (function, met), found in zip(label["env"], scorer.check_env_assertions(criteria["env_assertions"])):
            assertions.setdefault(function, Counter())[found, met] += 1
        for (*_, met), found in zip(label["actions"], scorer.check_actions(criteria["actions"])): actions[found, met] += 1
    return table(overall), table(actions), {function: table(verdicts) for function, verdicts in assertions.items()}


@pytest.fixture(scope="module")
def corpus_a(shared, log_rows):
    "The 300 scripted telecom runs, and the official verdicts on them"
    labels = [json.loads(line) for line in (shared/"data/tau2/scripted/labels_telecom.jsonl").read_text(encoding="utf-8").splitlines()]
    rows = [(name, row) for name, found in log_rows.items() if name.startswith("telecom__") for row in found]
    assert len(rows) == len(labels) == 300
    return rows, {(label["file"], label["id"]): label for label in labels}


def test_the_baseline_is_the_published_one(ask, shared, corpus_a):
    "Traces by the tutorial's converter: tau2.md 4.1 to 4.3, to the last run"
    rows, labels = corpus_a
    traces = ask(CONVERTED, {"oracle": str(shared/"oracle"), "logs": [str(path) for path in logs("scripted_log") if path.name.startswith("telecom__")]})
    overall, actions, assertions = agreement(rows, labels, lambda name, row: traces[name + row["simulation_id"]])
    assert overall == (117, 9, 52, 122) and round((117 + 122)/300, 3) == .797
    assert actions == (890, 20, 99, 126) and assertions == COLUMN_A


def test_the_baseline_on_tracekits_traces(corpus_a):
    "Two outputs that the tutorial's converter loses (nested tool messages) are there: two assertions and one verdict more are right"
    overall, actions, assertions = agreement(*corpus_a)
    assert overall == (118, 9, 51, 122) and actions == (890, 20, 99, 126)
    assert assertions == {**COLUMN_A, "assert_mobile_data_status": (60, 11, 3, 20), "assert_internet_speed": (38, 14, 9, 33)}


# ---------------------------------------------------------------- what makes the tutorial's scorer fail

def one_call(**changed):
    "A trace with one refuelling, answered; None removes a member of the call"
    made = call("c1", "refuel_data", '{"customer_id": "C1", "line_id": "L1", "gb_amount": 2}', created_by="assistant") | changed
    return plain_trace([user("hi", "u"), {k: v for k, v in made.items() if v is not None}, output("c1", "done", created_by="assistant")])


REFUEL = {"func_name": "assert_data_refueling_amount", "arguments": {"customer_id": "C1", "line_id": "L1", "expected_amount": 2}, "assert_value": True}
ACTION = {"name": "refuel_data", "requestor": "assistant"}
STATE = {"initialization_actions": []}


def sample(**changed): return {"initial_state": STATE, "evaluation_criteria": {"actions": [ACTION], "env_assertions": [REFUEL]}, **changed}


def criteria(**changed): return sample(evaluation_criteria={"actions": [ACTION], "env_assertions": [REFUEL], **changed})


CRASHES = {   # the sample, the trace, and the scores: score, action, env
    "all is well": (sample(), one_call(), (1, 1, 1)),
    "no created_by": (sample(), one_call(created_by=None), (0, 0, 1)),
    "arguments are no JSON": (sample(), one_call(arguments="gb=2"), (0, 1, 0)),
    "arguments are empty": (sample(), one_call(arguments=""), (0, 1, 0)),
    "arguments are null": (sample(), one_call(arguments="null"), (0, 1, 0)),
    "arguments are a list": (sample(), one_call(arguments="[1, 2]"), (0, 1, 0)),
    "arguments are a number": (sample(), one_call(arguments="7"), (0, 1, 0)),
    "arguments are nested deeply": (sample(), one_call(arguments="["*100_000), (0, 1, 0)),
    "arguments hold NaN": (sample(), one_call(arguments='{"gb_amount": NaN}'), (0, 1, 0)),
    "initial_state is null": (sample(initial_state=None), one_call(), (1, 1, 1)),
    "initial_state is empty": (sample(initial_state={}), one_call(), (1, 1, 1)),
    "initial_state is missing": ({"evaluation_criteria": sample()["evaluation_criteria"]}, one_call(), (1, 1, 1)),
    "initialization_actions is null": (sample(initial_state={"initialization_actions": None}), one_call(), (1, 1, 1)),
    "initialization_actions hold others": (sample(initial_state={"initialization_actions": [None, 5, {}, {"func_name": None}]}), one_call(), (1, 1, 1)),
    "actions is null": (criteria(actions=None), one_call(), (1, 1, 1)),
    "env_assertions is null": (criteria(env_assertions=None), one_call(), (1, 1, 1)),
    "criteria is null": (sample(evaluation_criteria=None), one_call(), (1, 1, 1)),
    "criteria is missing": ({"initial_state": STATE}, one_call(), (1, 1, 1)),
    "an action without requestor": (criteria(actions=[{"name": "refuel_data"}]), one_call(), (1, 1, 1)),
    "an action without name": (criteria(actions=[{"requestor": "user"}]), one_call(), (0, 0, 1)),
    "an assertion without func_name": (criteria(env_assertions=[{"arguments": {}}]), one_call(), (0, 1, 0)),
    "an assertion with func_name null": (criteria(env_assertions=[{"func_name": None, "assert_value": False}]), one_call(), (0, 1, 0)),
    "an assertion that nobody knows": (criteria(env_assertions=[{"func_name": "assert_mood", "assert_value": False}]), one_call(), (0, 1, 0)),
    "an assertion named calls": (criteria(env_assertions=[{"func_name": "calls"}]), one_call(), (0, 1, 0)),
    "an assertion named __class__": (criteria(env_assertions=[{"func_name": "__class__"}]), one_call(), (0, 1, 0)),
    "an assertion named find_last_status_bar": (criteria(env_assertions=[{"func_name": "find_last_status_bar"}]), one_call(), (0, 1, 0)),
    "an assertion named score": (criteria(env_assertions=[{"func_name": "score", "arguments": {}}]), one_call(), (0, 1, 0)),
    "no items": (sample(), plain_trace([]), (0, 0, 0)),
}


@pytest.mark.parametrize("name", CRASHES)
def test_what_makes_the_tutorials_scorer_fail(name):
    given, trace, expected = CRASHES[name]
    for form in (trace, Trace.model_validate(trace), SimpleNamespace(items=Trace.model_validate(trace).items)):
        found = compute_scores(given, SimpleNamespace(trace=form))
        assert tuple(found[n] for n in NAMES[:3]) == expected


ASSERTIONS = [name for name in dir(TraceScorer) if name.startswith("assert_")]


@pytest.mark.parametrize("name", [name for name in ASSERTIONS])
@pytest.mark.parametrize("arguments", [{}, None, [], "x", 5, {"expected_status": [{}]}, {"expected_desc": {}}, {"customer_id": [], "line_id": {}, "expected_amount": [{}]}])
def test_no_assertion_fails_on_its_arguments(name, arguments):
    "Whatever the log says the arguments are, and if it says nothing"
    for trace in (one_call(), one_call(arguments='{"customer_id": [], "line_id": {}, "gb_amount": {}}'), one_call(arguments="[]"), plain_trace([])):
        for rule in ({"func_name": name, "arguments": arguments}, {"func_name": name}):
            assert compute_scores(criteria(env_assertions=[rule]), SolverTrace(trace))["env_assertion_score"] in (0.0, 1.0)


def test_an_assertion_without_an_amount_is_not_met_by_a_call_without_one():
    "A rule that says nothing must not be met by a call that says nothing"
    rule = {"func_name": "assert_data_refueling_amount", "arguments": {}}
    assert compute_scores(criteria(env_assertions=[rule]), SolverTrace(one_call(arguments="{}")))["env_assertion_score"] == 0.0


@pytest.mark.parametrize("given", [
    criteria(actions=["refuel_line"]), criteria(actions={"name": "refuel_line"}), criteria(actions="refuel_line"), criteria(env_assertions=["assert_can_send_mms"]),
    criteria(env_assertions={"func_name": "assert_can_send_mms"}), sample(evaluation_criteria=json.dumps({"actions": [{"name": "refuel_line"}]})), sample(evaluation_criteria=[1]),
], ids=["an action as text", "actions an object", "actions as text", "an assertion as text", "assertions an object", "criteria as JSON text", "criteria a list"])
def test_rules_that_cannot_be_read_do_not_pass(given):
    "Null means that there are no rules. Rules of another shape are rules that nobody checked: no full score, or at least a word in the metadata"
    found = compute_scores(given, SolverTrace(one_call()))
    assert found["score"] < 1 or found.metadata.get("note"), dict(found)


# ---------------------------------------------------------------- names in a log call nothing but checks

class Watched(TraceScorer):
    "Records which of its attributes the checks look up by a name from the log"
    def _check_assertion(self, assertion):
        self.__dict__["asked"] = []
        try: return super()._check_assertion(assertion)
        finally: self.__dict__["last"] = self.__dict__.pop("asked")

    def __getattribute__(self, name):
        if "asked" in object.__getattribute__(self, "__dict__"): object.__getattribute__(self, "__dict__")["asked"].append(name)
        return object.__getattribute__(self, name)


def names_of_everything():
    scorer = TraceScorer(one_call())
    return sorted({*dir(scorer), *dir(type(scorer)), *dir(object), *vars(scorer), "assert_", "assert_ ", "Assert_service_status", " assert_service_status"})


OWN = {"unsupported", "__dict__"}   # what _check_assertion itself needs


@pytest.mark.parametrize("name", names_of_everything())
def test_a_name_of_an_attribute_is_no_check(name):
    scorer = Watched(one_call())
    [met] = scorer.check_env_assertions([{"func_name": name, "arguments": {}, "assert_value": False}])
    touched = set(scorer.last) - OWN
    if name in ASSERTIONS: assert name in touched
    else: assert not met and scorer.unsupported == {name: 1} and {t for t in touched if not t.startswith("assert_")} == set()


@given(st.one_of(st.text(max_size=30), st.text(max_size=20).map("assert_".__add__), st.sampled_from(names_of_everything()), st.none(), st.integers(),
                 st.lists(st.text(max_size=5), max_size=2), st.dictionaries(st.text(max_size=5), st.integers(), max_size=2)))
def test_no_name_calls_what_is_no_check(name):
    scorer = Watched(one_call())
    found = scorer.score({"env_assertions": [{"func_name": name}]})
    if name in ASSERTIONS: return
    assert found["env_assertion_score"] == 0.0 and scorer.unsupported == {str(name): 1} and found.metadata["unsupported"] == {str(name): 1}
    assert {t for t in set(scorer.last) - OWN if not t.startswith("assert_")} == set()


def test_a_check_is_a_method_more_and_nothing_else():
    "A subclass adds checks; an attribute that is no function is none"
    class Mine(TraceScorer):
        assert_number = 5
        def assert_refuelled(self, expected): return expected["n"] == len(self.calls)
    rules = [{"func_name": "assert_refuelled", "arguments": {"n": 1}}, {"func_name": "assert_refuelled", "arguments": {"n": 1}, "assert_value": False},
             {"func_name": "assert_number"}]
    scorer = Mine(one_call())
    assert scorer.check_env_assertions(rules) == [True, False, False] and scorer.unsupported == {"assert_number": 1}


def test_unsupported_counts_one_score_only():
    "A scorer that is asked twice does not add up"
    scorer, rules = TraceScorer(one_call()), {"env_assertions": [{"func_name": "assert_mood"}]*2}
    assert scorer.score(rules).metadata == scorer.score(rules).metadata and scorer.score(rules).metadata["unsupported"] == {"assert_mood": 2}
    assert scorer.score({}).metadata == {"env": [], "actions": []}


# ---------------------------------------------------------------- why

FORM = {"name", "met", "why", "item"}


def test_every_check_points_where_it_says(log_rows):
    "On all logs: one check a rule, met as the methods say, and its item is what its reason speaks of"
    seen = Counter()
    for row in [row for found in log_rows.values() for row in found]:
        rules = row["evaluation_criteria"] or {}
        items, scores = row["trace"]["items"], mine(row)
        scorer = TraceScorer(row["trace"], (row["initial_state"] or {}).get("initialization_actions"))
        actions, env = scores.metadata["actions"], scores.metadata["env"]
        assert [c["met"] for c in actions] == scorer.check_actions(rules.get("actions")) and [c["met"] for c in env] == scorer.check_env_assertions(rules.get("env_assertions"))
        assert scores["action_coverage"] == (sum(c["met"] for c in actions)/len(actions) if actions else 1)
        for check, action in zip(actions, rules.get("actions") or (), strict=True):
            by = action.get("requestor") or "assistant"
            calls = [n for n, i in enumerate(items) if i["type"] == "function_call" and i["name"] == action["name"]]
            assert check["by"] == by and check["name"] == action["name"] and check["why"]
            assert check.get("arguments", {}) == (action.get("arguments") or {}) or any(isinstance(v, list | dict) for v in action["arguments"].values())
            if check["item"] is None: assert not calls and check["why"] == f"never called: nobody called {action['name']}"
            else: assert check["item"] in calls and f"at item {check['item']}" in check["why"]
            if check["met"]: assert items[check["item"]]["created_by"] == by and f"called by the {by}" in check["why"]
            seen["action", check["met"], check["item"] is None] += 1
        for check, rule in zip(env, rules.get("env_assertions") or (), strict=True):
            assert check.keys() == FORM and check["name"] == rule["func_name"] and (check["met"] or ", expected" in check["why"] or "; expected" in check["why"] or "no check is known" in check["why"])
            if check["item"] is not None: assert items[check["item"]]["type"].startswith("function_call")
            if "status bar shows" in check["why"]: assert "Status Bar" in json.dumps(items[check["item"]]["output"])
            seen["env", check["met"], check["item"] is None] += 1
    assert min(seen["action", True, False], seen["action", False, True], seen["env", True, False], seen["env", False, False]) > 10 and not seen["action", True, True], seen


def test_an_action_says_what_came_closest():
    "By the other side, failed, or never; and for a rule of one's own, in which arguments"
    class Strict(TraceScorer):
        def check_actions(self, expected): return [False for _ in expected]
    def why(kind, action, **changed):
        [check] = kind(one_call(**changed)).score({"actions": [action]}).metadata["actions"]
        return check["why"], check["item"]
    assert why(TraceScorer, ACTION) == ("called by the assistant at item 1", 1)
    assert why(TraceScorer, ACTION | {"requestor": "user"}) == ("called by the assistant at item 1, expected of the user", 1)
    assert why(TraceScorer, ACTION, created_by=None) == ("called at item 1, expected of the assistant", 1)
    assert why(TraceScorer, {"name": "pay"}) == ("never called: nobody called pay", None) and why(TraceScorer, 5) == ("this is no action: 5", None)
    assert why(Strict, ACTION) == ("called by the assistant at item 1, which is not as expected", 1)
    assert why(Strict, ACTION | {"arguments": {"gb_amount": 3, "note": "x"}}) == ("called by the assistant at item 1 with gb_amount 2, expected 3; without note, expected 'x'", 1)
    assert why(Strict, ACTION, arguments="gb=2") == ("called by the assistant at item 1 with 'gb=2'", 1)
    failed = plain_trace([call("a", "f", "{}", created_by="user"), output("a", "Error: no"), call("b", "f", "{}", created_by="user"), output("b", "ok")])
    rule = {"actions": [{"name": "f", "requestor": "user"}]}
    assert TraceScorer(failed).score(rule).metadata["actions"][0]["item"] == 2
    assert TraceScorer({**failed, "items": failed["items"][:2]}).score(rule).metadata["actions"][0]["why"] == "called by the user at item 0; that call failed"


def test_an_assertion_of_ones_own_says_what_was_expected():
    "Also one that replaces a method: what it looks at only its author knows"
    class Mine(TraceScorer):
        def assert_service_status(self, expected): return True
        def assert_mood(self, expected): return False
    rules = [{"func_name": "assert_service_status", "arguments": {"expected_status": "connected"}}, {"func_name": "assert_mood", "arguments": {"at_least": 3, "expected_word": "fine"}, "assert_value": False},
             {"func_name": "assert_mood"}, {"func_name": "assert_none"}]
    found = Mine(one_call()).score({"env_assertions": rules}).metadata["env"]
    assert [(c["met"], c["why"], c["item"]) for c in found] == [
        (True, "expected status 'connected'", None), (True, "expected not at least 3, word 'fine'", None), (False, "expected true", None),
        (False, "no check is known for this assertion, so it counts as not met", None)]


def test_expected_arguments_are_kept_as_a_result_can_hold_them():
    "Deep, huge and odd ones are printed short"
    deep = None
    for _ in range(2000): deep = [deep]
    args = {"a": "x", "b": 2, "c": None, "d": ["1", {"e": 2.5}], "deep": deep, "long": ["y"]*1000, "huge": 10**5000, "odd": object()}
    kept = TraceScorer(one_call()).score({"actions": [ACTION | {"arguments": args}]}).metadata["actions"][0]["arguments"]
    assert {n: kept[n] for n in "abcd"} == {n: args[n] for n in "abcd"} and all(isinstance(kept[n], str) and len(kept[n]) <= 60 for n in ("deep", "long", "huge", "odd"))


# ---------------------------------------------------------------- calls

JUNK = st.recursive(st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
                    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3), max_leaves=6)
MEMBERS = st.fixed_dictionaries({}, optional={
    "type": st.sampled_from(["message", "function_call", "function_call_output"]) | JUNK, "name": JUNK | st.just("refuel_data"), "call_id": JUNK | st.just("c"),
    "arguments": JUNK, "output": JUNK | st.just("x\n📶 Status Bar: 5G"), "status": JUNK | st.just("incomplete"), "created_by": JUNK, "content": JUNK, "role": JUNK})


@settings(phases=[Phase.generate], report_multiple_bugs=False)
@given(st.one_of(JUNK, st.fixed_dictionaries({"items": st.lists(MEMBERS | JUNK, max_size=5)})), JUNK)
def test_no_trace_stops_the_scorer(trace, rules):
    "A trace is untrusted: what is none gives scores too, and so do rules that are none"
    found = compute_scores({"evaluation_criteria": rules, "initial_state": rules}, SimpleNamespace(trace=trace))
    assert set(found) == set(NAMES) and all(0 <= value <= 1 for value in found.values())
    assert all(set(c) == {"name", "args", "created_by", "output", "failed", "item"} for c in recorded_calls(trace))


@pytest.mark.parametrize("item", [
    {"type": "function_call", "name": "f", "call_id": []}, {"type": "function_call_output", "call_id": {}, "output": "x"}, {"type": "function_call_output", "call_id": "c", "output": 5},
    {"type": "function_call_output", "call_id": "c", "output": {"a": 1}}, {"type": "function_call_output", "call_id": "c", "output": None}, {"type": "function_call_output", "call_id": "c", "output": [1, None]},
    {"type": "function_call_output", "call_id": "c", "output": True}, {"type": [], "name": "f"}, None, 5, "text", []], ids=str)
def test_items_of_any_shape(item):
    "What the bulk path hands over has been checked; a plain dict that a user hands over has not"
    trace = {"items": [{"type": "function_call", "name": "f", "call_id": "c", "arguments": "{}"}, item]}
    assert recorded_calls(trace)[0]["name"] == "f" and TraceScorer(trace).status_bar is None


def test_recorded_calls_are_the_same_from_every_form(log_rows):
    for row in [row for found in log_rows.values() for row in found[:2]]:
        calls, trace = recorded_calls(row["trace"]), Trace.model_validate(row["trace"])
        assert recorded_calls(trace) == recorded_calls(SimpleNamespace(items=trace.items)) == calls
        assert len(calls) == sum(i["type"] == "function_call" for i in row["trace"]["items"])
        assert all(row["trace"]["items"][c["item"]]["name"] == c["name"] for c in calls)


def test_repeated_ids_have_the_last_output():
    "As in the tutorial and the platform's pairs; tracekit's own datasets have unique ids"
    trace = plain_trace([call("c", "f", "{}"), output("c", "one"), call("c", "g", "{}"), output("c", "two", "incomplete")])
    assert [(c["name"], c["output"], c["failed"]) for c in recorded_calls(trace)] == [("f", "two", True), ("g", "two", True)]


@pytest.mark.parametrize(("text", "expected"), [("", {}), ("{}", {}), ("null", None), ("[]", []), ("gb=2", "gb=2"), ('{"a": 18446744073709551616}', {"a": 2**64}), (None, {}), ("{" * 5000, "{" * 5000),
                                                ('{"a": 1, "a": 2}', {"a": 2}), (" ", " "), ({"a": 1}, {"a": 1}), ([1], [1])])
def test_arguments(text, expected): assert arguments_of(text) == expected


@pytest.mark.parametrize("trace", [None, 5, "text", {}, {"items": None}, {"items": {}}, {"items": "abc"}, object(), {"items": ()}])
def test_what_is_no_trace_has_no_items(trace): assert items_of(trace) == [] == recorded_calls(trace)


# ---------------------------------------------------------------- what a scorer is given

def test_solver_trace_offers_what_the_platforms_does(tutorial):
    row = tutorial[0]
    solved, model = SolverTrace(row["trace"]), Trace.model_validate(row["trace"])
    assert solved.trace == model and solved.items == model.items and solved.raw_outputs == [] == solved.direct_ios
    assert SolverTrace(model).plain == row["trace"] == SolverTrace(trace=model, raw_outputs=[]).plain
    assert solved.trace is solved.trace


MESSAGES = ORACLE + """
made = [SolverTrace(trace=Trace.model_validate(trace), raw_outputs=[]) for trace in given]
print(json.dumps([[{"role": getattr(m.role, "value", m.role), "content": m.content} for m in t.messages if isinstance(m.content, str) and not getattr(m, "tool_calls", None) and getattr(m, "role", "") != "tool"] for t in made]))
"""


def test_the_chat_view_is_the_platforms(ask, tutorial):
    "Roles and texts of the messages, as plain words"
    peer = ask(MESSAGES, [row["trace"] for row in tutorial])
    for row, expected in zip(tutorial, peer, strict=True):
        assert [m for m in SolverTrace(row["trace"]).messages] == [m for m in expected if m["content"]], "roles are words such as user"


@pytest.mark.parametrize("items", [[], [user("hi", "u")], [assistant("x", "a"), user("hi", "u")], [user("hi", "u"), assistant("one", "a"), user("b", "v"), assistant("two", "b")]])
def test_output_is_the_last_text(items):
    trace = plain_trace(items)
    last = [i for i in items if i.get("role") == "assistant"]
    assert SolverTrace(trace).output["choices"][0]["message"]["content"] == (last[-1]["content"][0]["text"] if last else "")


def test_output_is_read_by_name_and_by_key():
    "The platform's guides write solver_output.output.choices[0].message.content, its scorers output[\"choices\"]: there both work"
    made = SolverTrace(plain_trace([user("hi", "u"), assistant("yes", "a")])).output
    assert made["choices"][0]["message"]["content"] == made.choices[0].message.content == "yes"


# ---------------------------------------------------------------- the platform's own scorers

TOOLS = ("f", "g", "h")
ARGUMENTS = ('{"a": 1}', '{"a": 1.0}', '{"a": true}', "{}", "", "null", "[1]", "not json", '{"b": [1, {"c": null}]}', '{"a": "1"}', '{"a": 1, "a": 2}', '{"a": NaN}', '{"a": "\\ud800"}', '{"a": 1e400}')
RESULTS = ("", "ok", "Error: no", "two\nlines", "📶 5G", [{"type": "input_text", "text": "ok"}, {"type": "input_text", "text": "then"}], [{"type": "input_image", "image_url": "u", "detail": "auto"}])


def made_up(rng, preamble=False):
    "A trace with a few calls, answered or not, in any order; a preamble with a call of its own if asked"
    items = [system("be brief", "s")]
    if preamble: items += [call("p", "f", "{}"), output("p", "ok")]
    items.append(user("hi", "u"))
    for n in range(rng.randrange(7)):
        id = f"c{rng.choice((n, n, n, 0))}"
        items.append(call(id, rng.choice(TOOLS), rng.choice(ARGUMENTS)))
        if rng.random() < .8: items.append(output(id, deepcopy(rng.choice(RESULTS)), rng.choice(("completed", "incomplete"))))
    return plain_trace([*items, assistant(rng.choice(("A", "B) yes", "", "Paris", " paris")), "a")])


def entries(rng):
    "Required calls: names, and names with arguments"
    arguments = [a for t in ARGUMENTS if isinstance(a := arguments_of(t), dict)]
    return [rng.choice((rng.choice(TOOLS), {"name": rng.choice(TOOLS)}, {"name": rng.choice(TOOLS), "arguments": None}, {"name": rng.choice(TOOLS), "arguments": rng.choice(arguments)}))
            for _ in range(rng.randrange(5))]


def plain_arguments(trace):
    "Whether the platform and tracekit read all arguments alike: see test_arguments_that_are_read_differently"
    return not {i["arguments"] for i in trace["items"] if i["type"] == "function_call"} & {"", '{"a": NaN}', '{"a": "\\ud800"}', '{"a": 1e400}'}


def cases(kind, n=250):
    rng = random.Random(kind)
    made = [(made_up(rng), rng) for _ in range(n)]
    return [(trace, rng) for trace, rng in made if plain_arguments(trace)]


def asked(scorer, trace, spec, sample=None, text=None): return {"scorer": scorer, "trace": trace, "spec": spec, "sample": sample or {}, "text": text}


def held(ask, ours, theirs):
    "Hold what tracekit found against what the platform's scorers find, case by case"
    found = ask(PEERS, theirs)
    wrong = [(case["spec"], a, b) for case, a, b in zip(theirs, ours, found, strict=True) if a != b.get("values", b)]
    assert not wrong, (len(wrong), wrong[:3])
    assert sum("values" in b for b in found) > len(found)/2
    return found


@pytest.mark.parametrize("mode", ["any_order", "in_order"])
def test_coverage(ask, mode):
    made = [(trace, entries(rng)) for trace, rng in cases(mode)]
    held(ask, [function_call_coverage(t, e, mode) for t, e in made], [asked("FunctionCallCoverage", t, {"function_calls": json.dumps(e), "mode": mode}) for t, e in made])


def test_disallowed_calls(ask):
    made = [(trace, rng.sample(TOOLS, rng.randrange(3))) for trace, rng in cases("disallowed")]
    held(ask, [disallowed_function_calls(t, n) for t, n in made], [asked("DisallowedFunctionCalls", t, {"function_calls": json.dumps(n)}) for t, n in made])


@pytest.mark.parametrize(("name", "ours"), [("FunctionCallOutputContains", function_call_output_contains), ("FunctionCallOutputNotContains", function_call_output_not_contains)])
def test_outputs(ask, name, ours):
    patterns = ("ok", "^ok$", "Error", "", "(?i)OK", "k.t", "\\nthen", "two.lines", "[📶]", "(?s)two.lines", "\\d")
    made = [(trace, rng.choice(TOOLS), rng.choice(patterns)) for trace, rng in cases(name)]
    held(ask, [ours(*case) for case in made], [asked(name, t, {"function_name": f, "pattern": p}) for t, f, p in made])


@pytest.mark.parametrize(("scorer", "ours", "spec"), [
    ("FunctionCallCoverage", lambda t: function_call_coverage(t, ["f"]), {"function_calls": '["f"]', "mode": "any_order"}),
    ("DisallowedFunctionCalls", lambda t: disallowed_function_calls(t, ["f"]), {"function_calls": '["f"]'}),
    ("FunctionCallOutputContains", lambda t: function_call_output_contains(t, "f", "ok"), {"function_name": "f", "pattern": "ok"}),
])
def test_calls_before_the_first_user_message(ask, scorer, ours, spec):
    "The platform's scorers leave the preamble out; here every call counts, since a run without a user has no others"
    traces = [t for t in (made_up(random.Random(n), preamble=True) for n in range(40)) if plain_arguments(t)]
    whole = [{**t, "items": [user("hi", "u0"), *t["items"]]} for t in traces]     # nothing is left of the preamble then
    held(ask, [ours(t) for t in traces], [asked(scorer, t, spec) for t in whole])


READ = [   # arguments, the required call, whether the platform says the same
    ("", {}, False),   # for the platform there are none, which is not {}; here they are {}, as the tutorial's scorer reads them
    ('{"a": NaN}', {"a": 1}, True), ("not json", {}, True), ("null", {}, True), ("[]", {}, True), ("{}", {}, True), ('{"a": 1e400}', {"a": 1}, True),
    ('{"a": "\\ud83d\\ude00"}', {"a": "\U0001f600"}, True), ('{"a": 123456789012345678901234567890}', {"a": 123456789012345678901234567890}, True),
    ('{"a": 1, "a": 2}', {"a": 2}, True), ('{"a": 0.1}', {"a": 0.1}, True), ('{"a": -0.0}', {"a": 0}, True), (' {"a": 1} ', {"a": 1}, True),
]


def test_arguments_that_are_read_differently(ask):
    "One difference is meant; all else is equal"
    made = [(plain_trace([user("hi", "u"), call("c", "f", text)]), [{"name": "f", "arguments": required}]) for text, required, _ in READ]
    peer = ask(PEERS, [asked("FunctionCallCoverage", trace, {"function_calls": json.dumps(entry), "mode": "any_order"}) for trace, entry in made])
    found = [(text, function_call_coverage(*case) == p["values"]) for case, p, (text, *_) in zip(made, peer, READ, strict=True)]
    assert found == [(text, same) for text, _, same in READ]


def test_required_calls_of_another_shape(ask):
    "Both refuse them; ours says which entry it is"
    wrong = [[5], [{}], [{"name": "f", "arguments": 5}], [{"name": "f", "arguments": [1]}], [{"arguments": {}}], [None], [["f"]]]
    peer = ask(PEERS, [asked("FunctionCallCoverage", one_call(), {"function_calls": json.dumps(calls), "mode": "any_order"}) for calls in wrong])
    assert all("error" in p for p in peer)
    for calls in wrong:
        with pytest.raises(InputError, match=r"function_calls\[0\]"): function_call_coverage(one_call(), calls)


@pytest.mark.parametrize("pattern", ["(", "[", "*", "(?P<n>", "\\", "(?z)", "a{2,1}"])
def test_a_pattern_that_is_none(pattern):
    for check in (function_call_output_contains, function_call_output_not_contains):
        with pytest.raises(InputError, match="pattern"): check(one_call(), "refuel_data", pattern)


TEXTS = ("Paris", "paris", "Paris ", "", "5", "True", "None", "é", "A", "B) yes", "[1, 2]", "1.0", "<b>", "a\nb", "'")
TEMPLATES = ("{{ sample.x }}", "{{ sample.x | upper }}", "Paris", " {{ sample.x }}", "{{ sample.x }}\n", "{{ sample.x }} ", "{{ sample.n }}", "{{ -sample.n }}", "{{ sample.n - 1 }}", "{{ sample.f }}",
             "{{ sample.none }}", "{{ sample.flag }}", "{{ sample.list }}", "{{ sample.list | tojson }}", "{{ sample.missing }}", "{{ sample.x", "{% if sample.flag %}Paris{% endif %}", "{{ sample['x'] }}",
             "{{ sample.list[0] }}{{ sample.n }}", "{{ '{{' }}", "{{ sample.list | length }}", "{{ '%s!' | format(sample.x) }}", "{# c #}{{ sample.x }}", "{{- sample.x -}}", "  {{- sample.x }}", "",
             "{{ {'a': 1} }}", "{{ sample.x | default('z') }}", "{{ sample.missing | default('z') }}", "{{ 1/0 }}", "{{ sample.none | length }}", "{{ '\"a\"' | json_escape }}",
             "{{ sample.x | regex_replace('P', 'p') }}", "{{ '[1]' | fromjson }}", "{{ '[1' | fromjson }}", "{{ [1, 2] | zip(sample.list) | list }}", "{{ sample.obj | tojson }}", "{{ '<' | tojson }}")
ROW = {"x": "Paris", "n": 5, "f": 1.0, "none": None, "flag": True, "list": [1, 2], "obj": {"a": "é"}}


def answered(text): return plain_trace([user("hi", "u"), assistant(text, "a")])


def by_name(scorer, spec, trace, given=ROW):
    "What a scorer of a task finds: its values, or error"
    try: found = SCORERS[scorer](spec, given, SolverTrace(trace))
    except Exception: return {"error": "any"}
    return found


def same_errors(found): return [{"error": "any"} if "error" in f else f for f in found]


ASKED = [(template, text) for template in TEMPLATES for text in ("Paris", "5")] + [(text, text) for text in TEXTS]


@pytest.fixture(scope="module")
def peer_strings(ask):
    "What the platform's string_equals finds, by template and answer"
    peer = same_errors(ask(PEERS, [asked("StringEquals", answered(text), {"ground_truth": template}, ROW, text) for template, text in ASKED]))
    return dict(zip(ASKED, peer, strict=True))


@pytest.mark.parametrize("template", list(dict.fromkeys(template for template, _ in ASKED)))
def test_string_equals(peer_strings, template):
    "Every template as the truth, against a few answers, and every answer as it is: both find the same text, or both refuse it"
    for text in [text for asked_for, text in ASKED if asked_for == template]:
        peer, ours = peer_strings[template, text], by_name("string_equals", {"ground_truth": template}, answered(text))
        if "error" in peer or "error" in ours: assert ours == peer
        else: assert (dict(ours), ours.metadata) == (peer["values"], peer["metadata"])


def test_a_value_of_ones_own(ask):
    "`value` is a template over the sample and the output"
    values = ("{{ sample.x }}", "{{ solver_output.trace.get_last_assistant_text() }}", "{{ solver_output.output.choices[0].message.content }}",
              "{{ solver_output.output['choices'][0]['message']['content'] }}", "{{ solver_output.trace.function_calls | length }}", "{{ solver_output.nothing }}")
    peer = same_errors(ask(PEERS, [asked("StringEquals", answered("Paris"), {"ground_truth": "Paris", "value": value}, ROW, "Paris") for value in values]))
    ours = [by_name("string_equals", {"ground_truth": "Paris", "value": value}, answered("Paris")) for value in values]
    wrong = [(value, o, p) for value, o, p in zip(values, ours, peer) if (o != p if "error" in p or "error" in o else o.metadata != p["metadata"])]
    assert not wrong, "\n".join(map(str, wrong))


def test_multiple_choice(ask):
    texts = ("A", "B) yes", "", "b", " A", "C", "é", "5")
    choices = ('["A", "B"]', "['A', 'B']", '["A", "B", "5"]', "('A', 'B')", "{'A'}", '{"A": 1}', "5", '"AB"', "[]", "nonsense", "[", "{{ ['A', 'B'] }}", "{{ sample.letters }}", "{{ sample.letters | tojson }}", "")
    made = [(text, choice, truth) for text in texts for choice in choices for truth in ("A", "B", "")]
    row = {"letters": ["A", "B"]}
    peer = ask(PEERS, [asked("StringEqualsMCQA", answered(t), {"ground_truth_choice": truth, "choices": c}, row, t) for t, c, truth in made])
    ours = [by_name("string_equals_mcqa", {"ground_truth_choice": truth, "choices": c}, answered(t), row) for t, c, truth in made]
    wrong = []
    for case, o, p in zip(made, ours, peer, strict=True):
        if "error" in p or "error" in o:   # the platform refuses choices that are no list; here their validity is unknown, or they are refused too
            if "error" not in p or not ("error" in o or o.metadata["completion_validity"] == "unknown"): wrong.append((case, o, p))
        else:
            kept = {k: v for k, v in p["metadata"].items() if k != "ground_truth_choices"}
            if dict(o) != p["values"] or o.metadata | {"completion_validity": ""} != kept | {"completion_validity": ""}: wrong.append((case, o.metadata, kept))
            elif o.metadata["completion_validity"] != p["metadata"]["completion_validity"].split(".")[-1].lower(): wrong.append((case, o.metadata, kept))
    assert not wrong, (len(wrong), wrong[:4])


@pytest.mark.parametrize(("value", "truth", "correct"), [("Paris", "Paris", True), ("", "", True), ("Paris", "paris", False), ("\u00e9", "e\u0301", False)])
def test_letter_by_letter(value, truth, correct):
    found = string_equals(value, truth)
    assert found == {"is_correct": correct} and found.metadata == {"answer_gt": truth, "answer_pred": value}


@pytest.mark.parametrize(("value", "choices", "validity"), [("B", ["A", "B"], "valid"), ("Z", ["A"], "invalid"), ("", ["A"], "invalid"), ("A", None, "unknown"), ("A", '{"A": 1}', "unknown"), ("A", "('A',)", "unknown")])
def test_the_validity_of_a_choice(value, choices, validity):
    assert string_equals_mcqa(value, "A", choices).metadata["completion_validity"] == validity


@given(st.text(max_size=40))
def test_choices_are_a_list_or_an_error(text):
    try: assert choices_of(text) is None or isinstance(choices_of(text), list)
    except InputError: pass


@pytest.mark.parametrize("text", ["["*10_000, "(" * 300, "1"*5000, "'"*99, "\x00", "[" + "1,"*99_999 + "]", "-"*3000 + "1"])
def test_choices_that_are_large(text):
    try: found = choices_of(text)
    except InputError: return
    assert found is None or isinstance(found, list)


@given(st.lists(st.sampled_from(TOOLS), max_size=6), st.lists(st.sampled_from(TOOLS), max_size=6), st.sampled_from(["any_order", "in_order"]))
def test_coverage_is_what_counting_says(made, required, mode):
    "By a second way: multisets, and a subsequence"
    trace = plain_trace([user("hi", "u"), *(call(f"c{n}", name, "{}") for n, name in enumerate(made))])
    found, rest = function_call_coverage(trace, required, mode), iter(made)
    done = (Counter(made) & Counter(required)).total()
    assert found["num_required_calls_made"] == done and found["num_required_calls_not_made"] == len(required) - done and found["num_unrequired_calls"] == len(made) - done
    assert found["required_calls_coverage"] == (done/len(required) if required else 1) and found["num_required_calls_total"] == len(required)
    assert found["all_required_calls_made"] == (done == len(required) and (mode == "any_order" or all(name in rest for name in required)))


def test_a_mode_that_is_none():
    with pytest.raises(InputError, match="any_order"): function_call_coverage(one_call(), [], string.ascii_letters)
