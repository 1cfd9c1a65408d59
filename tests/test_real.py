"""Real and scripted tau2 logs become rows: all of them, with every column, and every call with its own result."""
import csv
import json
from collections import Counter

import pytest
from conftest import LOGS, logs, simulations

from tracekit.dataset import Dataset
from tracekit.pipeline import convert

COLUMNS = ["trace", "simulation_id", "task_id", "trial", "agent_cost", "user_cost", "domain", "agent_model", "user_model", "termination_reason", "duration", "seed",
           "solo", "reward", "reward_info", "evaluation_criteria", "initial_state"]
LABELLED = ["reward", "termination_reason", "domain", "solo", "task_id"]
ACTION = {"action_id", "requestor", "name", "arguments", "info", "compare_args"}
ASSERTION = {"env_type", "func_name", "arguments", "assert_value", "message"}


@pytest.fixture(scope="module")
def converted(shared, tmp_path_factory):
    "Every shared log: its path -> (report with all records audited, plain rows)"
    out = tmp_path_factory.mktemp("datasets")
    made = {}
    for path in [p for kind in LOGS for p in logs(kind)]:
        report = convert(path, out, audit=True, progress=False)
        made[path] = report, list(Dataset(report.files[0]).plain()) if report.rows else []
    return made


def items(row, kind):
    "The items of one type"
    return [item for item in row["trace"]["items"] if item["type"] == kind]


def data(text):
    "Arguments as data, so that spacing does not count"
    try: return json.loads(text)
    except ValueError: return text


def pairs_of(row):
    "(name, arguments, issuer, output, issuer of the output) of every call of a row"
    outputs = {}
    for item in items(row, "function_call_output"): outputs.setdefault(item["call_id"], []).append(item)
    made = []
    for item in items(row, "function_call"):
        [*answers] = outputs.pop(item["call_id"], [])
        assert len(answers) <= 1, f"{item['name']} has {len(answers)} results"
        answer = answers[0] if answers else {"output": None, "created_by": None}
        made.append((item["name"], data(item["arguments"]), item["created_by"], answer["output"], answer["created_by"]))
    assert not outputs, "results without a call"
    return made


def flat_results(messages):
    "Messages with the results of nested tool messages in their place"
    return [inner for m in messages for inner in (m.get("tool_messages") or [m] if m["role"] == "tool" else [m])]


def pairs_by_adjacency(messages):
    "What `pairs_of` must give: k calls in one message are followed by their k results in the same order"
    flat, expected, at = flat_results(messages), [], 0
    while at < len(flat):
        calls = flat[at].get("tool_calls") or []
        results = [m for m in flat[at + 1:at + 1 + len(calls)] if m["role"] == "tool"]
        for n, call in enumerate(calls):
            named, by = call.get("function") or call, call.get("requestor") or flat[at]["role"]
            arguments = data(named["arguments"]) if isinstance(named["arguments"], str) else named["arguments"]
            expected.append((named["name"], arguments, by, *((results[n]["content"] or "", by) if n < len(results) else (None, None))))
        at += 1 + len(results)
    return expected


def chat(simulation):
    "The messages of a simulation of any text generation"
    return next(simulation[k] for k in ("messages", "traj", "trajectory") if simulation.get(k) is not None)


def test_each_real_log_gives_all_its_records(converted, shared):
    "Rows and rejects of every file, and the sums of every generation, are the manifest's counts, with nothing set aside"
    with open(shared/"data/tau2/real/MANIFEST.csv", newline="") as f: manifest = list(csv.DictReader(f))
    reports = {path.name: report for path, (report, _) in converted.items()}
    wanted, found, aside = Counter(), Counter(), Counter()
    for entry in manifest:
        report = reports[entry["file"]]
        assert report.read == int(entry["simulations"]), entry["file"]
        wanted[entry["generation"]] += int(entry["simulations"])
        found[entry["generation"]] += report.rows
        aside[entry["generation"]] += report.rejected
    assert len(manifest) == len(logs("real_log")) and len(wanted) >= 12
    assert found == wanted and not any(aside.values())


def test_nothing_is_set_aside_unnamed_or_mended(converted):
    "These logs are sound, and the format has a rule for each of their fields"
    for path, (report, rows) in converted.items():
        assert report.rows == len(rows) == len(simulations(path)), path.name
        assert (report.rejected, report.unnamed, report.repeated, report.mended) == (0, {}, {}, 0), path.name
        assert report.sampled == report.rows, path.name


def test_each_row_has_all_columns(converted):
    "In this order, in every row of every log"
    for path, (_, rows) in converted.items():
        for row in rows: assert list(row) == COLUMNS, path.name


def test_simulation_and_task_ids_are_the_logs_own(converted):
    "Ids stay as they are, as text"
    for path, (_, rows) in converted.items():
        for row, simulation in zip(rows, simulations(path)):
            given = simulation.get("id") or (simulation.get("run_info") or {}).get("simulation_id")
            assert row["simulation_id"] == (None if given is None else str(given)), path.name
            assert row["task_id"] == (str(simulation["task_id"]) if simulation.get("task_id") is not None else None), path.name


def tasks_of(path, member):
    "One member of every task of a log, by the task's id"
    return {t["id"]: t.get(member) for t in json.loads(path.read_text(encoding="utf-8"))["tasks"]}


def test_scripted_criteria_are_complete(scripted_log, converted):
    "Actions have arguments, requestor and compare_args, assertions env_type and assert_value, and the reward basis is there"
    for row in converted[scripted_log][1]:
        criteria = row["evaluation_criteria"]
        assert all(ACTION <= set(action) for action in criteria["actions"]), row["termination_reason"]
        assert all(ASSERTION <= set(check) for check in criteria.get("env_assertions") or ()), row["termination_reason"]
        assert criteria["reward_basis"], row["termination_reason"]


def test_scripted_criteria_lose_nothing(scripted_log, converted):
    "What the tasks list says of a run is in its row, and what the run was graded by is too"
    tasks = tasks_of(scripted_log, "evaluation_criteria")
    for row in converted[scripted_log][1]:
        criteria, given, graded = row["evaluation_criteria"], tasks[row["task_id"]], row["reward_info"]
        assert set(given) <= set(criteria)
        for name in ("actions", "env_assertions"):
            assert len(criteria.get(name) or ()) == len(given.get(name) or ())
            for kept, original in zip(criteria.get(name) or (), given.get(name) or ()): assert original.items() <= kept.items()
        if graded["action_checks"]:
            assert criteria["actions"] == [check["action"] for check in graded["action_checks"]] and criteria["reward_basis"] == graded["reward_basis"]


def test_initial_state_is_the_tasks(scripted_log, converted):
    "The whole initial state, not a part of it"
    tasks = tasks_of(scripted_log, "initial_state")
    for row in converted[scripted_log][1]: assert row["initial_state"] == tasks[row["task_id"]]


def test_scripted_rewards_equal_their_labels(shared, converted):
    "Reward, end, domain and solo mode of each run are those of the labels beside the logs"
    labels = {label["id"]: label for path in (shared/"data/tau2/scripted").glob("labels_*.jsonl") for label in map(json.loads, path.open())}
    rows = {row["simulation_id"]: row for path in logs("scripted_log") for row in converted[path][1]}
    assert set(rows) == set(labels) and len(rows) == 420
    for id, label in labels.items():
        row = rows[id]
        assert [row[name] for name in LABELLED] == [label[name] for name in LABELLED]
        assert row["reward_info"]["reward"] == label["reward"]


def test_criteria_of_the_grading_win_over_the_tasks_list(tmp_path):
    "A run was graded by the criteria inside its reward_info, whatever the tasks list says now"
    graded = {"action_id": "a", "requestor": "user", "name": "graded", "arguments": {"x": 1}, "info": None, "compare_args": ["x"]}
    asserted = {"env_type": "user", "func_name": "assert_it", "arguments": {}, "assert_value": False, "message": None}
    listed = {"actions": [{**graded, "name": "listed"}], "env_assertions": None, "communicate_info": ["kept"], "nl_assertions": None, "reward_basis": ["DB"]}
    reward = {"reward": 1.0, "action_checks": [{"action": graded, "action_match": True, "action_reward": 1.0}], "reward_basis": ["ACTION", "ENV_ASSERTION"],
              "env_assertions": [{"env_assertion": asserted, "met": True, "reward": 1.0}]}
    ungraded = {"reward": 0.0, "action_checks": None}
    runs = [{"id": id, "task_id": "t", "messages": [], "reward_info": info} for id, info in (("s1", reward), ("s2", ungraded))]
    log = {"tasks": [{"id": "t", "evaluation_criteria": listed}], "simulations": runs}
    (tmp_path/"log.json").write_text(json.dumps(log))
    first, second = Dataset(convert(tmp_path/"log.json", tmp_path, name="d", progress=False).files[0]).column("evaluation_criteria")
    assert first == {"actions": [graded], "env_assertions": [asserted], "communicate_info": ["kept"], "nl_assertions": None, "reward_basis": ["ACTION", "ENV_ASSERTION"]}
    assert second == listed


@pytest.mark.parametrize("number", ["047", "048"])
def test_voice_runs_become_readable_turns(shared, converted, number):
    "Hundreds of chunks of a fifth of a second become few turns, and the first thing the user said is there as a whole"
    [path] = [p for p in logs("real_log") if p.name.startswith(number)]
    [row] = converted[path][1]
    [simulation] = simulations(path)
    assert len(simulation["ticks"]) > 300 and len(row["trace"]["items"]) < 80
    said = [t["user_chunk"] for t in simulation["ticks"] if t.get("user_chunk") and t["user_chunk"].get("content")]
    first = "".join(c["content"] for c in said if c.get("utterance_ids") == said[0].get("utterance_ids")) if said else ""
    [user, *_] = [m for m in items(row, "message") if m["role"] == "user"]
    assert "".join(part["text"] for part in user["content"]) == first and (len(first) > 40 or not said)


def test_the_results_of_a_voice_run_are_paired(shared, converted):
    "Although its messages are sorted by time, with a result before its call"
    [path] = [p for p in logs("real_log") if p.name.startswith("048")]
    [row], [simulation] = converted[path][1], simulations(path)
    asked = [c for t in simulation["ticks"] for c in t.get("agent_tool_calls") or ()]
    told = {r["id"]: r["content"] for t in simulation["ticks"] for r in t.get("agent_tool_results") or ()}
    assert pairs_of(row) == [(c["name"], c["arguments"], "assistant", told[c["id"]], "assistant") for c in asked] and asked


@pytest.mark.parametrize("kind", LOGS)
def test_each_call_has_its_own_result(shared, converted, kind):
    "In all logs, whatever the style of their ids: the pairs are those that stand together in the log"
    compared = 0
    for path in logs(kind):
        if path.name.startswith(("047", "048")): continue
        for row, simulation in zip(converted[path][1], simulations(path)):
            expected = pairs_by_adjacency(chat(simulation))
            assert pairs_of(row) == expected, (path.name, row["simulation_id"])
            compared += len(expected)
    assert compared == {"real_log": 3937, "scripted_log": 3226}[kind]


def copied(simulation):
    "A simulation with messages of its own, its calls numbered so that no id occurs twice"
    made = json.loads(json.dumps(simulation))
    count = 0
    for m in made["messages"]:
        for call in m.get("tool_calls") or ():
            call["id"] = f"call_{count}"
            count += 1
    results = iter([m for m in made["messages"] if m["role"] == "tool"])
    for n, result in enumerate(results): result["id"] = f"call_{n}"
    return made


def batches(messages):
    "Each message with calls, and the results that follow it"
    for n, m in enumerate(messages):
        if calls := m.get("tool_calls"): yield calls, messages[n + 1:n + 1 + len(calls)]


def renamed(call_id, result_id):
    "A style that gives ids by (position in the batch, position in the run)"
    def restyle(messages):
        count = 0
        for calls, results in batches(messages):
            for n, call in enumerate(calls):
                call["id"] = call_id(n, count + n, call["id"])
                if n < len(results): results[n]["id"] = result_id(n, count + n, results[n]["id"])
            count += len(calls)
        return messages
    return restyle


def without(*names, of=("calls", "results")):
    "A style in which calls or results lack members"
    def restyle(messages):
        for calls, results in batches(messages):
            for one in [*(calls if "calls" in of else ()), *(results if "results" in of else ())]:
                for name in names: one.pop(name, None)
        return messages
    return restyle


def nested(messages):
    "The results of a batch in one message"
    made, at = [], 0
    while at < len(messages):
        k = len(messages[at].get("tool_calls") or ())
        made.append(messages[at])
        if k and messages[at + 1:at + 1 + k]: made.append({"role": "tool", "tool_messages": messages[at + 1:at + 1 + k]})
        at += 1 + k
    return made


def turned(messages):
    "The results of a batch in reverse order"
    made = list(messages)
    for n, m in enumerate(messages):
        if k := len(m.get("tool_calls") or ()): made[n + 1:n + 1 + k] = messages[n + 1:n + 1 + k][::-1]
    return made


def first_id_missing(messages):
    "The first result that stands behind a batch has no id"
    for _, results in batches(messages):
        if results: del results[0]["id"]
    return messages


def tool_call_id(own=None):
    "The id of the call under tool_call_id, as OpenAI has it; `own` gives the message an id of its own"
    def restyle(messages):
        for _, results in batches(messages):
            for result in results:
                result["tool_call_id"] = result.pop("id")
                if own: result["id"] = own + result["tool_call_id"]
        return messages
    return restyle


def functions(messages):
    "Calls as OpenAI has them: nested, arguments as JSON text"
    for calls, _ in batches(messages):
        for call in calls: call.update(type="function", function={"name": call.pop("name"), "arguments": json.dumps(call.pop("arguments"), ensure_ascii=False)})
    return messages


def python_arguments(messages):
    "Arguments as Python prints them"
    for calls, _ in batches(messages):
        for call in calls: call["arguments"] = repr(call["arguments"])
    return messages


def after(*styles):
    "One style upon the other"
    def restyle(messages):
        for style in styles: messages = style(messages)
        return messages
    return restyle


STYLES = {
    "ids kept": lambda messages: messages,
    "results without id": without("id", of=("results",)),
    "no ids at all": without("id"),
    "no ids and no requestor": without("id", "requestor"),
    "null ids": renamed(lambda *_: None, lambda *_: None),
    "empty ids": renamed(lambda *_: "", lambda *_: ""),
    "empty ids on results": renamed(lambda n, count, id: id, lambda *_: ""),
    "one id for all": renamed(lambda *_: "call", lambda *_: "call"),
    "one id for all calls, none on results": renamed(lambda *_: "call", lambda *_: None),
    "ids restart in each message": renamed(lambda n, *_: f"call_{n}", lambda n, *_: f"call_{n}"),
    "ids restart in each message, none on results": renamed(lambda n, *_: f"call_{n}", lambda *_: None),
    "unknown ids on results": renamed(lambda n, count, id: id, lambda n, count, id: f"result_{count}"),
    "numbers as ids": renamed(lambda n, count, id: count + 1, lambda n, count, id: count + 1),
    "numbers from 0 as ids": renamed(lambda n, count, id: count, lambda n, count, id: count),
    "nested": nested,
    "nested without ids": after(without("id", of=("results",)), nested),
    "nested with empty ids": after(renamed(lambda *_: "", lambda *_: ""), nested),
    "nested out of order": after(turned, nested),
    "out of order": turned,
    "out of order, numbers from 0 as ids": after(renamed(lambda n, count, id: count, lambda n, count, id: count), turned),
    "first id missing": first_id_missing,
    "first id missing, out of order": after(turned, first_id_missing),
    "tool_call_id": tool_call_id(),
    "tool_call_id, out of order": after(tool_call_id(), turned),
    "tool_call_id beside an id of the message's own": tool_call_id("msg_"),
    "tool_call_id beside an id of the message's own, out of order": after(tool_call_id("msg_"), turned),
    "OpenAI": after(functions, tool_call_id(), without("requestor")),
    "OpenAI, out of order": after(functions, tool_call_id(), without("requestor"), turned),
    "Python arguments": python_arguments,
}


@pytest.fixture(scope="module")
def originals(converted):
    "The logs whose every result has its id: (path, its pairs)"
    return [(path, [pairs_of(row) for row in converted[path][1]]) for path in logs("scripted_log") if "v02_ids" in path.name]


@pytest.mark.parametrize("style", STYLES)
def test_the_style_of_ids_changes_no_pair(originals, tmp_path, style):
    "Every run, restyled, has the same calls, arguments, results and issuers as with its own ids"
    assert sum(len(pairs) for _, pairs in originals) == 200
    for path, expected in originals:
        restyled = [{**(s := copied(simulation)), "messages": STYLES[style](s["messages"])} for simulation in simulations(path)]
        (tmp_path/path.name).write_text(json.dumps({"simulations": restyled}))
        report = convert(tmp_path/path.name, tmp_path, name="restyled", progress=False)
        rows = list(Dataset(report.files[0]).plain())
        assert report.rejected == 0 and [pairs_of(row) for row in rows] == expected
        assert not any("orphans" in row["trace"]["metadata"]["extra"] for row in rows)
