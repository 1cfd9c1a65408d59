"""Metrics, trials and intervals: tables, brute force, published values, and simulations with a fixed seed."""
import math
import pickle
import random
from fractions import Fraction
from itertools import combinations, product
from statistics import pstdev, stdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracekit.metrics import (
    METRICS,
    MetricError,
    SampleScore,
    aggregate,
    mean,
    mean_interval,
    metric_values,
    paired_difference,
    pass_at_k,
    pass_hat,
    pass_hat_k,
    t_quantile,
    variance_of_mean,
    wilson,
)
from tracekit.source import TracekitError

# what the platform gives for the seventeen samples of its tutorial
COVERAGE = [1, 1, 0, 0, 1, 1, 1/7, 0.75, 1, 1, 1/3, 1, 0.6, 1, 0, 1, 1/3]


def column(name, values): return [{name: value} for value in values]


def mean_of(values): return metric_values({"type": "mean", "field": "x"}, column("x", values))["x_mean"]


# Metrics

@pytest.mark.parametrize("values, expected", [
    ([1]*9 + [0]*8, 0.5294117647058824), ([1]*12 + [0]*5, 0.7058823529411765), (COVERAGE, 0.6564425770308123),
    ([True, False, True], 2/3), ([0.1, 0.2, 0.3], 0.6/3), ([2**53, 1, 1], (2**53 + 2)/3), ([-5], -5), ([1e99, 1, -1e99], 1/3)])
def test_means_are_exact(values, expected):
    "Whatever the order of the samples"
    shuffled = random.Random(1)
    for _ in range(20):
        assert mean_of(values) == expected
        shuffled.shuffle(values)


LABELS = column("label", ["good", "bad", "good", "fair"])
COUNTS = [{"tp": 3, "fp": 1, "fn": 0}, {"tp": 1, "fp": 2, "fn": 2}]
FIELDS = {"num_true_positives_field": "tp", "num_false_positives_field": "fp", "num_false_negatives_field": "fn"}
TABLE = {
    "max": ({"type": "max", "field": "x"}, column("x", [1, 3.5, True]), {"x_max": 3.5}),
    "min": ({"type": "min", "field": "x"}, column("x", [1, 3.5, False]), {"x_min": 0.0}),
    "a name": ({"type": "min", "field": "x", "name": "Worst"}, column("x", [2, 1]), {"Worst": 1.0}),
    "no name": ({"type": "mean", "field": "x", "name": None}, column("x", [2, 1]), {"x_mean": 1.5}),
    "a key is no name": ({"type": "mean", "field": "x", "key": "k"}, column("x", [2, 1]), {"x_mean": 1.5}),
    "std_dev": ({"type": "std_dev", "field": "x"}, column("x", [2, 4, 4, 4, 5, 5, 7, 9]), {"x_std_dev": math.sqrt(32/7)}),
    "std_dev of equal values": ({"type": "std_dev", "field": "x"}, column("x", [0.1]*7), {"x_std_dev": 0.0}),
    "frequency": ({"type": "frequency", "field": "label"}, LABELS, {"label_good": 0.5, "label_bad": 0.25, "label_fair": 0.25}),
    "frequency of booleans": ({"type": "frequency", "field": "x"}, column("x", [True, False, True, True]), {"x_False": 0.25, "x_True": 0.75}),
    "frequency of numbers": ({"type": "frequency", "field": "x"}, column("x", [1, 2, 2, 3]), {"x_1": 0.25, "x_2": 0.5, "x_3": 0.25}),
    "true is not 1": ({"type": "frequency", "field": "x"}, column("x", [1, True]), {"x_1": 0.5, "x_True": 0.5}),
    "weights": ({"type": "weighted_average", "field": "label", "weights": {"good": 1, "fair": 0.5, "bad": 0, "unused": 9}}, LABELS,
                {"label_weighted_average": 0.625}),
    "weights of YAML": ({"type": "weighted_average", "field": "x", "weights": {1: 0.5, 2: 1}}, column("x", [1, 2]), {"x_weighted_average": 0.75}),
    "weights of YAML's true": ({"type": "weighted_average", "field": "x", "weights": {True: 0.5, False: 0}}, column("x", [True, False]),
                               {"x_weighted_average": 0.25}),
    "recall": ({"type": "recall", **FIELDS}, COUNTS, {"recall": 4/6}),
    "precision": ({"type": "precision", **FIELDS}, COUNTS, {"precision": 4/7}),
    "f1_score": ({"type": "f1_score", **FIELDS}, COUNTS, {"f1_score": 8/13}),
    "a named recall": ({"type": "recall", **FIELDS, "name": "Call Recall"}, COUNTS, {"Call Recall": 4/6}),
}


@pytest.mark.parametrize("case", TABLE)
def test_metric(case):
    spec, scores, expected = TABLE[case]
    found = metric_values(spec, scores)
    assert found == pytest.approx(expected, rel=1e-15) and found.notes == []


def test_the_standard_deviation_is_that_of_a_sample():
    rng = random.Random(2)
    values = [rng.gauss(3, 2) for _ in range(50)]
    found = metric_values({"type": "std_dev", "field": "x"}, column("x", values))["x_std_dev"]
    assert found == stdev(values) != pstdev(values)


SPECS = {
    **{kind: {"type": kind, "field": "x"} for kind in ("mean", "max", "min", "std_dev", "frequency")},
    "weighted_average": {"type": "weighted_average", "field": "x", "weights": {"a": 1}},
    **{kind: {"type": kind, **dict.fromkeys(FIELDS, "x")} for kind in ("recall", "precision", "f1_score")},
    "binary-classification": {"type": "binary-classification", "field_gt": "x", "field_pred": "x", "positive_answer": "a", "negative_answer": "b"},
    "multiclass-classification": {"type": "multiclass-classification", "field_gt": "x", "field_pred": "x"},
}
NAMES = {"mean": "x_mean", "max": "x_max", "min": "x_min", "std_dev": "x_std_dev", "weighted_average": "x_weighted_average"}
OF_LABELS = {"frequency", "weighted_average", "binary-classification", "multiclass-classification"}
NO_LABEL = {"null": None, "NaN": math.nan, "infinity": math.inf, "a list": [1], "an object": {"x": 1}, "1e400": 10**400, "5000 digits": 10**5000}


def test_all_types_of_the_platform_are_here():
    assert set(METRICS) == set(SPECS) and len(METRICS) == 11


@pytest.mark.parametrize("kind", SPECS)
def test_no_samples_give_no_value(kind):
    found = metric_values(SPECS[kind], [])
    assert set(found.values()) <= {None} and len(found.notes) == 1 and "no samples" in found.notes[0]
    assert kind not in NAMES or found == {NAMES[kind]: None}
    assert found or kind == "frequency"


@pytest.mark.parametrize("kind, bad", [(kind, bad) for kind in SPECS for bad in [*NO_LABEL, "missing", *([] if kind in OF_LABELS else ["a text"])]])
def test_a_score_that_does_not_fit_is_told(kind, bad):
    "With the metric, the score, how many samples there are of it, and the first of them"
    sound = "a" if kind in OF_LABELS else 1
    wrong = {} if bad == "missing" else {"x": {**NO_LABEL, "a text": "high"}[bad]}
    scores = [{"x": sound}, wrong, {"x": sound}, wrong]
    with pytest.raises(MetricError) as e: metric_values(SPECS[kind], scores)
    assert isinstance(e.value, TracekitError)
    for part in (f"metric {NAMES.get(kind, kind if kind != 'frequency' else 'x_frequency')}: ", "'x'", f"in 2 of 4 samples; sample 2 {'lacks it' if bad == 'missing' else 'has '}"):
        assert part in str(e.value)
    assert str(e.value).count("exclude_from_metrics") == 1 and len(str(e.value)) < 400
    with pytest.raises(MetricError, match="sample s-2 (has|lacks)"): metric_values(SPECS[kind], scores, ["s-1", "s-2", "s-3", "s-4"])


def test_a_score_that_no_sample_has_is_told_with_those_there_are():
    with pytest.raises(MetricError, match="metric Scor: no sample has 'scor'; there are coverage, label, score; did you mean 'score'"):
        metric_values({"type": "mean", "field": "scor", "name": "Scor"}, [{"score": 1, "label": "a"}, {"coverage": 1}])
    with pytest.raises(MetricError, match="there are none"): metric_values(SPECS["mean"], [{}, {}])


@pytest.mark.parametrize("spec, part", [
    ({"type": "median", "field": "x"}, "no metric of type 'median'"), ({}, "no metric of type 'None'"), ({"type": ["mean"]}, "no metric of type"),
    ({"type": "meen", "field": "x"}, "did you mean 'mean'"), ({"type": "mean"}, "metric mean: field is missing"),
    ({"type": "mean", "field": 3}, "field is missing or no text"), ({"type": "mean", "field": ["x"]}, "field is missing or no text"),
    ({"type": "f1_score", "num_true_positives_field": "x"}, "num_false_positives_field, num_false_negatives_field is missing"),
    ({"type": "binary-classification", "field_gt": "x", "field_pred": "x", "positive_answer": True, "negative_answer": "b"}, "positive_answer"),
    ({"type": "weighted_average", "field": "x"}, "`weights` is None"), ({"type": "weighted_average", "field": "x", "weights": {"a": "1"}}, "`weights`"),
    ({"type": "weighted_average", "field": "x", "weights": {"1.5": 1}}, "1 of 1 samples have a label without a weight, such as '1'")])
def test_a_wrong_metric_is_told(spec, part):
    with pytest.raises(MetricError) as e: metric_values(spec, column("x", [1]))
    assert part in str(e.value)


@pytest.mark.parametrize("spec, scores, names", [
    ({"type": "std_dev", "field": "x"}, column("x", [1]), ["x_std_dev"]),
    ({"type": "recall", **FIELDS}, [{"tp": 0, "fn": 0}], ["recall"]),
    ({"type": "precision", **FIELDS}, [{"tp": 0, "fp": 0, "fn": 3}], ["precision"]),
    ({"type": "f1_score", **FIELDS}, [{"tp": 0, "fp": 0, "fn": 0}], ["f1_score"]),
    (SPECS["binary-classification"], column("x", ["b", "b"]), ["precision", "recall", "f1_score"]),
    (SPECS["binary-classification"], column("x", ["c"]), ["accuracy", "precision", "recall", "f1_score"]),
    ({**SPECS["multiclass-classification"], "field_pred": "y"}, [{"x": "a", "y": "b"}, {"x": "b", "y": "b"}], ["a_precision"])])
def test_nothing_to_divide_by_gives_no_value(spec, scores, names):
    found = metric_values(spec, scores)
    assert [name for name, value in found.items() if value is None] == names
    assert f"no value for {', '.join(names)}" in found.notes[0]


def test_zero_is_a_value():
    "Nothing found although there was something to find"
    assert metric_values({"type": "recall", **FIELDS}, [{"tp": 0, "fn": 2}]) == {"recall": 0.0}


@pytest.mark.parametrize("seed", range(20))
def test_classification_against_its_definition(seed):
    "Each class on its own, counted one by one"
    rng = random.Random(seed)
    classes = ["a", "b", "c", "d"][:rng.randint(2, 4)]
    pairs = [(rng.choice(classes), rng.choice(classes)) for _ in range(rng.randint(1, 30))]
    scores = [{"gt": gt, "pred": pred} for gt, pred in pairs]
    spec = {"type": "multiclass-classification", "field_gt": "gt", "field_pred": "pred"}
    found, here = metric_values(spec, scores), sorted({c for pair in pairs for c in pair})
    assert found["accuracy"] == len([1 for gt, pred in pairs if gt == pred])/len(pairs)
    macro = {"precision": 0, "recall": 0, "f1_score": 0}
    for c in here:
        tp, fp, fn = (len([1 for gt, pred in pairs if (gt == c, pred == c) == kind]) for kind in ((True, True), (False, True), (True, False)))
        figures = {"precision": tp/(tp + fp) if tp + fp else None, "recall": tp/(tp + fn) if tp + fn else None, "f1_score": 2*tp/(2*tp + fp + fn)}
        for name, value in figures.items():
            assert found[f"{c}_{name}"] == value
            macro[name] += (value or 0)/len(here)
    for name, value in macro.items(): assert found[f"{name}_macro"] == pytest.approx(value)
    assert len(found) == 4 + 3*len(here)
    two = metric_values({**spec, "type": "binary-classification", "positive_answer": "a", "negative_answer": "b"}, scores)
    kept = [(gt, pred) for gt, pred in pairs if gt in "ab" and pred in "ab"]
    tp, out = kept.count(("a", "a")), len(pairs) - len(kept)
    assert two["accuracy"] == (sum(gt == pred for gt, pred in kept)/len(kept) if kept else None)
    f1 = 2*tp/(2*tp + len(kept) - kept.count(("b", "b")) - tp) if len(kept) > kept.count(("b", "b")) else None
    assert two["f1_score"] == f1
    assert any(f"{out} of {len(pairs)} samples are left out" in note for note in two.notes) == (out > 0)


def test_answers_are_compared_as_text():
    spec = {"type": "binary-classification", "field_gt": "gt", "field_pred": "pred", "positive_answer": "True", "negative_answer": "False"}
    assert metric_values(spec, [{"gt": True, "pred": "True"}, {"gt": "False", "pred": True}])["accuracy"] == 0.5


def test_a_python_metric_is_left_to_the_runner():
    found = metric_values({"type": "python", "compute_metrics_snippet": "..."}, column("x", [1]))
    assert found == {} and "python" in found.notes[0]


def test_figures_and_scores_travel_between_processes():
    found = metric_values({"type": "std_dev", "field": "x"}, column("x", [1]))
    again = pickle.loads(pickle.dumps(found))
    assert again == found and again.notes == found.notes
    assert pickle.loads(pickle.dumps(SampleScore({"x": 1}, {"why": "a"}))).values["x"] == 1


# Trials

def asking(function, k=None, name=None, score="is_correct"):
    return {"score_name": score, "aggregator": {"function": function, **({} if k is None else {"k": k}), **({} if name is None else {"score_name": name})}}


def trials(*values, name="is_correct"): return [{name: value} for value in values]


@pytest.mark.parametrize("values, aggregator, expected", [
    ((True, True, False, True, True), asking("mean"), {"is_correct": 0.8}),                            # as the platform's page on trials has them
    ((True, False, True, False, True), asking("pass@k", 5), {"pass@5": 0.98976}),
    ((True, False, True, False, True), asking("pass^k", 5), {"pass^5": 0.07776}),
    ((True, True, False), asking("pass^k", 3, "reliable"), {"reliable": (2/3)**3}),
    ((True, False), asking("pass^k", 3), {"pass^3": 0.125}),                                           # more attempts than trials
    ((True, True), asking("pass^k", 10**6), {"pass^1000000": 1.0}),
    ((True, False), asking("pass^k", 10**6), {"pass^1000000": 0.0}),
    ((1, 0, 1.0, 0.0), asking("pass@k", 1), {"pass@1": 0.5}),
    ((3, 1, 2), asking("min"), {"is_correct": 1}), ((3, 1, 2), asking("max"), {"is_correct": 3}),
    ((3, 1, 2), asking("max", name="best"), {"best": 3})])
def test_aggregator(values, aggregator, expected):
    assert aggregate(trials(*values), [aggregator]) == pytest.approx(expected)


@pytest.mark.parametrize("k", [1, 2, 3, 7])
@pytest.mark.parametrize("n", [2, 5])
def test_the_platforms_formulas(n, k):
    for c in range(n + 1):
        found = aggregate(trials(*[i < c for i in range(n)]), [asking("pass@k", k), asking("pass^k", k)])
        assert found == {f"pass@{k}": 1 - (1 - c/n)**k, f"pass^{k}": (c/n)**k}


def test_scores_without_an_aggregator():
    "Numbers: the mean. Others: the most frequent, the first of equals"
    rows = [{"is_correct": True, "turns": 3, "label": "b", "why": ["x"], "none": None, "tie": "z"},
            {"is_correct": False, "turns": 4, "label": "a", "why": ["x"], "none": None, "tie": "a"},
            {"is_correct": True, "turns": 8, "label": "a", "why": ["y"], "none": None, "tie": None}]
    assert aggregate(rows) == aggregate(rows, []) == {"is_correct": 2/3, "turns": 5.0, "label": "a", "why": ["x"], "none": None, "tie": "z"}
    found = aggregate(rows, [asking("pass^k", 2), asking("max", name="longest", score="turns"), asking("min", name="shortest", score="turns")])
    assert found == {"label": "a", "why": ["x"], "none": None, "tie": "z", "pass^2": (2/3)**2, "longest": 8, "shortest": 3}


@pytest.mark.parametrize("rows, aggregators, part", [
    ([], [], "no trials"),
    (trials(0.5, 1), [asking("pass^k", 2)], "aggregator pass^k of is_correct: 'is_correct' is not true or false in 1 of 2 trials; trial 1 has 0.5"),
    (trials("yes", True), [asking("pass@k", 2)], "trial 1 has 'yes'"), (trials(True, None), [asking("mean")], "trial 2 has None"),
    (trials(True, math.nan), None, "trial 2 has nan"), (trials(True, "x"), None, "not a number in 1 of 2 trials; trial 2 has 'x'"),
    ([{"is_correct": True}, {}], None, "trial 2 lacks it"), ([{"label": "a"}, {}], None, "'label' is not there in 1 of 2 trials; trial 2 lacks it"),
    (trials(True), [asking("mean", score="is_corect")], "no trial has 'is_corect'; there are is_correct; did you mean 'is_correct'"),
    (trials(True), [asking("median")], "no aggregator 'median'; there are max, mean, min, pass@k, pass^k"),
    (trials(True), [{}], "no aggregator 'None'"), (trials(True), [{"score_name": "is_correct", "aggregator": None}], "no aggregator 'None'"),
    (trials(True), [asking("pass^k")], "`k` is None"), (trials(True), [asking("pass^k", 0)], "`k` is 0"), (trials(True), [asking("pass^k", True)], "`k` is True"),
    (trials(True), [asking("pass^k", 1.5)], "`k` is 1.5"), (trials(True), [asking("pass^k", 10**5000)], "`k` is a number out of range"),
    (trials(True), [asking("min"), asking("max")], "two aggregated scores have the name 'is_correct'"),
    ([{"is_correct": True, "x": 1}], [asking("min", name="x")], "two aggregated scores have the name 'x'")])
def test_wrong_trials_are_told(rows, aggregators, part):
    with pytest.raises(MetricError) as e: aggregate(rows, aggregators)
    assert part in str(e.value) and "exclude_from_metrics" not in str(e.value)


# pass^k

@pytest.mark.parametrize("n", range(1, 8))
def test_unbiased_estimators_count_sets_of_trials(n):
    for c, k in product(range(n + 1), range(1, n + 1)):
        sets = list(combinations([True]*c + [False]*(n - c), k))
        assert pass_hat_k(c, n, k) == sum(map(all, sets))/len(sets)
        assert pass_at_k(c, n, k) == sum(map(any, sets))/len(sets)


@pytest.mark.parametrize("p", [Fraction(0), Fraction(1, 3), Fraction(9, 10), Fraction(1)])
@pytest.mark.parametrize("n, k", [(2, 2), (4, 3), (8, 1), (8, 5)])
def test_unbiased_estimators_are_right_on_average(p, n, k):
    chances = [math.comb(n, c)*p**c*(1 - p)**(n - c) for c in range(n + 1)]
    assert math.isclose(math.fsum(float(chance)*pass_hat_k(c, n, k) for c, chance in enumerate(chances)), p**k, abs_tol=1e-15)
    assert math.isclose(math.fsum(float(chance)*pass_at_k(c, n, k) for c, chance in enumerate(chances)), 1 - (1 - p)**k, abs_tol=1e-15)


@pytest.mark.parametrize("c, n, k", [(0, 0, 1), (1, 2, 3), (1, 2, 0), (3, 2, 1), (-1, 2, 1)])
def test_estimators_refuse_what_was_not_tried(c, n, k):
    for estimate in (pass_hat_k, pass_at_k):
        with pytest.raises(MetricError, match="k is from 1 to the number of trials"): estimate(c, n, k)


@pytest.mark.parametrize("seed", range(10))
def test_pass_hat_over_a_dataset(seed):
    "Against sets of rows that are counted one by one; the order of the rows says nothing"
    rng = random.Random(seed)
    tasks = {f"t{i}": [rng.choice([0.0, 0.5, 1.0, 1 - 1e-9, 1 + 1e-9, 1 - 1e-5]) for _ in range(rng.randint(2, 5))] for i in range(6)}
    rows = [{"task_id": task, "reward": reward} for task, rewards in tasks.items() for reward in rewards]
    rng.shuffle(rows)
    found = pass_hat(rows)
    assert list(found) == list(range(1, min(map(len, tasks.values())) + 1))
    for k, value in found.items():
        each = [mean([all(abs(r - 1) < 1e-6 for r in chosen) for chosen in combinations(rewards, k)]) for rewards in tasks.values()]
        assert value == pytest.approx(sum(each)/len(each))
    assert found[max(found)] <= found[1]


def test_pass_hat_tells_rows_that_do_not_fit():
    rows = [{"task_id": "a", "reward": 1.0}, {"task_id": "a", "reward": None, "termination_reason": "infrastructure_error"}, {"task_id": "a", "reward": None}]
    assert pass_hat(rows[:2]) == {1: 1.0} and pass_hat(rows[1:2]) == {}
    with pytest.raises(MetricError, match="'reward' is not a number in 1 of 2 rows; row 3 has None"): pass_hat(rows)
    with pytest.raises(MetricError, match="no row has 'score'; there are reward, task_id"): pass_hat(rows[:1], score="score")
    with pytest.raises(MetricError, match="'task_id' is not a text or a number in 1 of 2 rows; row 2 lacks it"): pass_hat([rows[0], {"reward": 1.0}])
    assert pass_hat([{"id": 7, "ok": True}, {"id": 7, "ok": False}], group="id", score="ok") == {1: 0.5, 2: 0.0}


def test_pass_hat_of_the_sample_log(sample):
    import json
    log = json.loads(sample.read_text(encoding="utf-8"))
    rows = [{"task_id": s["task_id"], "reward": s["reward_info"]["reward"]} for s in log["simulations"]]
    found, tasks = pass_hat(rows), {r["task_id"] for r in rows}
    per_task = [mean([abs(r["reward"] - 1) < 1e-6 for r in rows if r["task_id"] == t]) for t in tasks]
    assert found[1] == pytest.approx(mean(per_task))


# Intervals

def exact_t(df: int) -> float:
    "The 97.5 % quantile from the closed form of the distribution for whole degrees of freedom, by bisection"
    def between(t):
        angle = math.atan(t/math.sqrt(df))
        term, total = (math.cos(angle), math.cos(angle)) if df % 2 else (1.0, 1.0)
        for i in range(3 if df % 2 else 2, df - 1, 2):
            term *= math.cos(angle)**2*(i - 1)/i
            total += term
        if df == 1: total = 0.0
        return 2/math.pi*(angle + math.sin(angle)*total) if df % 2 else math.sin(angle)*total
    low, high = 0.0, 100.0
    for _ in range(80): low, high = ((low + high)/2, high) if between((low + high)/2) < 0.95 else (low, (low + high)/2)
    return low


# two-sided 95 %, as printed in tables
T_TABLE = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262, 10: 2.228, 11: 2.201, 12: 2.179, 13: 2.160,
           14: 2.145, 15: 2.131, 16: 2.120, 17: 2.110, 18: 2.101, 19: 2.093, 20: 2.086, 25: 2.060, 30: 2.042, 40: 2.021, 60: 2.000, 120: 1.980}


@pytest.mark.parametrize("df", T_TABLE)
def test_t_quantile(df):
    allowed = {3: 0.004, 4: 0.001, 5: 0.0003}.get(df, 0.00012)
    assert abs(exact_t(df) - T_TABLE[df]) < 0.0006 and abs(t_quantile(df) - exact_t(df)) < allowed
    if df < 3: assert t_quantile(df) == pytest.approx(exact_t(df), rel=1e-12)


@pytest.mark.parametrize("successes, n, low, high", [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0, 0.1611), (1, 29, 0.0061, 0.1718)])
def test_wilson_as_published(successes, n, low, high):
    "Newcombe, Statistics in Medicine 17 (1998), table I, method 3"
    values = [1]*successes + [0]*(n - successes)
    assert mean_interval(values) == wilson(successes/n, n) == pytest.approx((low, high), abs=5.1e-5)


def test_the_interval_holds_its_mean():
    for n in range(2, 40):
        for c in range(n + 1):
            low, high = mean_interval([1]*c + [0]*(n - c))
            assert 0 <= low <= c/n <= high <= 1 and high - low < 1
            other = mean_interval([0]*c + [1]*(n - c))
            assert other == pytest.approx((1 - high, 1 - low), abs=1e-12)


def test_students_interval_by_hand():
    "Mean 5, standard deviation 2.13809, eight values: 5 +- 2.3646 * 2.13809 / sqrt(8)"
    assert mean_interval([2, 4, 4, 4, 5, 5, 7, 9]) == pytest.approx((5 - 1.7875, 5 + 1.7875), abs=1e-4)
    low, high = mean_interval(COVERAGE)
    assert low < 0.6564425770308123 < high and math.isclose(low + high, 2*0.6564425770308123)


def test_too_few_values_give_no_interval():
    assert mean_interval([]) is mean_interval([1]) is mean_interval([0.5]) is mean_interval([1, 0, 1], ["a"]*3) is None
    assert mean_interval([0.5, 0.5]) == (0.5, 0.5) and mean_interval([True, True]) == wilson(1, 2)


@pytest.mark.parametrize("values, groups, part", [
    ([1, math.nan], None, "value 2 of 2 is nan"), ([math.inf, 1], None, "value 1 of 2"), ([1, None], None, "value 2 of 2 is None"),
    ([1, "1"], None, "value 2 of 2 is '1'"), ([1, 10**5000], None, "out of range"), ([1, 0], ["a"], "2 values and 1 groups")])
def test_wrong_values_are_told(values, groups, part):
    with pytest.raises(MetricError) as e: mean_interval(values, groups)
    assert part in str(e.value)
    with pytest.raises(MetricError) as e: paired_difference(values, [0.0]*len(values), groups)
    assert part in str(e.value)


def test_groups_of_one_change_nothing():
    rng = random.Random(3)
    for values in ([rng.random() for _ in range(12)], [rng.randint(0, 1) for _ in range(12)]):
        assert mean_interval(values, range(12)) == mean_interval(values) == mean_interval(values, [f"task {n}" for n in range(12)])
    assert variance_of_mean(values, range(12)) == pytest.approx(stdev(values)**2/12)


def test_repeating_each_sample_adds_nothing():
    "Rows that are copies of one another are worth one"
    rng = random.Random(4)
    single = [rng.random() for _ in range(15)]
    copies = mean_interval(single*4, list(range(15))*4)
    assert copies == pytest.approx(mean_interval(single), rel=1e-9)
    alone, counted = [1.0]*9 + [0.0]*6, mean_interval(([1.0]*9 + [0.0]*6)*4, list(range(15))*4)
    low, high = mean_interval(alone)
    assert counted[0] <= low < high <= counted[1] < high + 0.05   # a little wider, for the t quantile and n - 1
    assert mean_interval([1.0]*60, list(range(15))*4) == pytest.approx(wilson(1, 15, t_quantile(14)))   # never a point

    assert mean_interval([1, 0]*10, [n//2 for n in range(20)]) == pytest.approx(wilson(0.5, 20, t_quantile(9)))   # never more than there are


def covered(make, runs):
    "How often the interval of a simulated run holds the truth"
    rng, held = random.Random(5), 0
    for _ in range(runs):
        interval, true = make(rng)
        held += interval[0] <= true <= interval[1]
    return held/runs


@pytest.mark.parametrize("name, make", {
    "wilson, 17 at 0.5": lambda rng: (mean_interval([rng.random() < 0.5 for _ in range(17)]), 0.5),
    "wilson, 30 at 0.9": lambda rng: (mean_interval([rng.random() < 0.9 for _ in range(30)]), 0.9),
    "t, 5 normal": lambda rng: (mean_interval([rng.gauss(2, 3) for _ in range(5)]), 2),
    "t, 20 uniform": lambda rng: (mean_interval([rng.random() for _ in range(20)]), 0.5),
}.items(), ids=lambda x: x if isinstance(x, str) else "")
def test_intervals_hold_the_truth_as_often_as_they_say(name, make):
    assert 0.93 < covered(make, 3000) < 0.985   # Wilson's coverage jumps with the rate


def of_tasks(rng, tasks=20, each=4):
    "Trials of tasks, some of which are nearly always solved and some nearly never; and their groups"
    values = [float(rng.random() < rate) for rate in (rng.betavariate(0.6, 0.4) for _ in range(tasks)) for _ in range(each)]
    return values, [task for task in range(tasks) for _ in range(each)]


def test_intervals_of_trials_need_their_groups():
    "As if they were independent, trials of one task claim too much"
    assert 0.925 < covered(lambda rng: (mean_interval(*of_tasks(rng)), 0.6), 1500) < 0.98
    assert covered(lambda rng: (mean_interval(of_tasks(rng)[0]), 0.6), 1500) < 0.85
    def noisy(rng):
        values, groups = of_tasks(rng)
        return mean_interval([v + rng.gauss(0, 0.1) for v in values], groups), 0.6
    assert 0.92 < covered(noisy, 1000) < 0.975


# Pairs

def paired(rng, n=25):
    "Two models on the same samples: what is hard for one is mostly hard for the other"
    hard = [rng.random() for _ in range(n)]
    return [float(h < 0.5 + rng.gauss(0, 0.1)) for h in hard], [float(h < 0.7 + rng.gauss(0, 0.1)) for h in hard]


def test_a_paired_difference_holds_the_truth():
    rates = [sum(x) for x in zip(*((mean(a), mean(b)) for a, b in [paired(random.Random(6), 200_000)]))]
    truth = rates[1] - rates[0]
    assert 0.93 < covered(lambda rng: (paired_difference(*paired(rng))[1:3], truth), 2000) < 0.99
    def measured(rng):
        easy = [rng.gauss(0, 5) for _ in range(10)]
        return paired_difference([e + rng.gauss(0, 1) for e in easy], [e + 0.5 + rng.gauss(0, 1) for e in easy])[1:3], 0.5
    assert 0.93 < covered(measured, 2000) < 0.975


def test_pairs_are_narrower_than_two_means():
    rng = random.Random(7)
    a, b = paired(rng, 200)
    difference, low, high, n = paired_difference(a, b)
    assert difference == pytest.approx(mean(b) - mean(a)) and n == 200
    assert high - low < sum(top - bottom for bottom, top in (mean_interval(a), mean_interval(b)))/2


@pytest.mark.parametrize("seed", range(5))
def test_the_other_way_round_it_is_the_negative(seed):
    rng = random.Random(seed)
    for a, b in (paired(rng), ([rng.random() for _ in range(9)], [rng.random() for _ in range(9)])):
        there, low, high, n = paired_difference(a, b)
        assert paired_difference(b, a) == pytest.approx((-there, -high, -low, n)) and low <= there <= high


def test_a_large_paired_sample_agrees_with_the_plain_formula():
    "Agresti's approval ratings: 794 yes twice, 150 yes then no, 86 no then yes, 570 no twice"
    a, b = [1]*944 + [0]*656, [1]*794 + [0]*150 + [1]*86 + [0]*570
    difference, low, high, n = paired_difference(a, b)
    half = 1.959964*math.sqrt(150 + 86 - (150 - 86)**2/1600)/1600
    assert difference == -64/1600 and n == 1600 and (low, high) == pytest.approx((difference - half, difference + half), abs=5e-4)


def test_a_small_paired_sample_by_hand():
    "Ten pairs, three up and one down: (3 + 1)/12 and (1 + 1)/12"
    found = paired_difference([0, 0, 0, 1] + [1]*6, [1, 1, 1, 0] + [1]*6)
    half = 1.959964*math.sqrt((4/12 + 2/12 - (2/12)**2)/12)
    assert found == pytest.approx((0.2, 2/12 - half, 2/12 + half, 10), abs=1e-6)


def test_two_pairs_are_no_proof():
    assert paired_difference([0, 0], [1, 1])[1] < 0 and paired_difference([0]*20, [1]*20)[1] > 0.5
    difference, low, high, n = paired_difference([1, 0, 1], [1, 0, 1])
    assert difference == 0 and low == -high < 0 and n == 3


def test_pairs_of_other_scores_are_not_taken_for_rates():
    "Differences of 0 and 1 between scores that are neither"
    a, b = [0.5, 0.25, 2.0, 0.5], [1.5, 0.25, 3.0, 0.5]
    assert paired_difference(a, b)[1:3] == pytest.approx((0.5 - 3.1786*math.sqrt(1/12), 0.5 + 3.1786*math.sqrt(1/12)), abs=1e-3)


def test_pairs_that_cannot_be_told():
    assert paired_difference([], []) == (None, None, None, 0) and paired_difference([0.5], [1]) == (0.5, None, None, 1)
    assert paired_difference([1, 0], [0, 0], ["a", "a"]) == (-0.5, None, None, 2)
    with pytest.raises(MetricError, match="no pairs"): paired_difference([1], [1, 2])


def test_pairs_by_task():
    a, b = [0.0, 0.2, 0.5, 0.1], [0.4, 0.1, 0.9, 0.8]
    copies = paired_difference(a*3, b*3, list(range(4))*3)
    assert copies == pytest.approx((*paired_difference(a, b)[:3], 12))
    differences = [1, 1, 0, -1, 0]   # of scores that are 0 or 1
    half = exact_t(4)*stdev(differences)/math.sqrt(5)
    found = paired_difference([0, 0, 1, 1, 0]*2, [1, 1, 1, 0, 0]*2, list(range(5))*2)
    assert found == pytest.approx((0.2, 0.2 - half, 0.2 + half, 10), abs=1e-3)


# Anything

JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5), lambda x: st.lists(x, max_size=2), max_leaves=3)
ROWS = st.lists(st.dictionaries(st.sampled_from(["x", "tp", "fp", "a"]), JSON | st.sampled_from([0, 1, True, "a", "b", 0.5]), max_size=3), max_size=6)


@given(st.sampled_from([*SPECS.values(), {"type": "f1_score", **FIELDS}, {}]), ROWS)
def test_any_scores_give_numbers_or_an_error(spec, rows):
    try: found = metric_values(spec, rows)
    except MetricError as e: assert str(e)
    else: assert all(value is None or math.isfinite(value) for value in found.values())


@given(ROWS, st.lists(st.builds(asking, st.sampled_from(["mean", "min", "max", "pass@k", "pass^k", "x"]), st.integers() | st.none(),
                                st.none() | st.text(max_size=3), st.sampled_from(["x", "tp"])), max_size=2))
def test_any_trials_give_scores_or_an_error(rows, aggregators):
    try: found = aggregate(rows, aggregators)
    except MetricError as e: assert str(e)
    else: assert len(found) >= 1 or not any(rows)


@given(st.lists(st.floats() | st.integers(), max_size=8), st.lists(st.integers(0, 3), max_size=8))
def test_any_values_give_an_interval_or_none(values, groups):
    for given_groups in (None, groups):
        try: found = mean_interval(values, given_groups)
        except MetricError as e: assert str(e)
        else: assert found is None or -math.inf < found[0] <= found[1] < math.inf
