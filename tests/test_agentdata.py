"""LangChain spans become AgentData: the published records byte for byte, every call with its result, and NovaEval reads them back."""
import json
import os
import subprocess
import warnings
from pathlib import Path

import pytest
from conftest import ROOT
from hypothesis import given
from hypothesis import strategies as st

import tracekit
from tracekit.agentdata import FIELDS, RULES, AgentData, AgentDataset, agentdata, flat_spans, prompt_tools, read_agentdata
from tracekit.source import InputError

NOVAEVAL = Path(os.environ.get("TRACEKIT_NOVAEVAL", ROOT/".oracle/novaeval/bin/python"))
PUBLISHED = [("v1", "v1_seed-rules__dataset_56spans", "dataset_56spans_f5b82bb"), ("v2", "v2__dataset_56spans", "dataset_56spans_f5b82bb"),
             ("v4", "v4__tools_removed_36spans", "dataset_tools_removed_36spans_c4e1a12")]
SPANS = ["agent.query_routing_dataset.json", "dataset_56spans_f5b82bb.json", "dataset_tools_removed_36spans_c4e1a12.json", "traces_batch_001_2b20da3.json"]


@pytest.fixture
def noveum(shared):
    "The shared span files"
    return shared/"data/spans/noveum"


@pytest.fixture
def novaeval(shared):
    "Asks NovaEval's own AgentDataset to read files"
    if not NOVAEVAL.exists(): pytest.skip("NovaEval is not installed: make it with shared/oracle/setup .oracle novaeval, or set TRACEKIT_NOVAEVAL to its python")
    def judge(*paths):
        return subprocess.run([str(NOVAEVAL), str(shared/"oracle/novaeval.py"), *map(str, paths)], capture_output=True, text=True, timeout=120).stdout
    return judge


def quiet(dataset, path):
    "Export without the warning that NovaEval refuses its own records"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (dataset.export_to_csv if path.suffix == ".csv" else dataset.export_to_json)(path)
    return path.read_bytes()


@pytest.mark.parametrize("rules, name, source", PUBLISHED)
def test_published_records_are_equal(rules, name, source, shared, noveum, tmp_path):
    "JSON and CSV, byte for byte; and read again they are the same"
    expected = shared/"data/agentdata_expected"/name
    made = agentdata(noveum/f"{source}.json", record="span", rules=rules)
    for ending in (".json", ".csv"):
        assert quiet(made, tmp_path/f"x{ending}") == Path(f"{expected}{ending}").read_bytes()
        assert read_agentdata(f"{expected}{ending}").plain == made.plain
    assert not made.rejects


def test_a_record_a_trace_is_as_expected(shared, noveum):
    assert agentdata(noveum/"dataset_56spans_f5b82bb.json", record="trace").plain == json.loads((shared/"data/agentdata_expected/dataset_56spans_f5b82bb.json").read_text())


@pytest.mark.parametrize("name", SPANS)
def test_every_tool_that_ran_has_its_result(name, noveum):
    "As many results as tool spans, each under the id of its call, by plain counting"
    spans = [s for s in _plain_spans(json.loads((noveum/name).read_text()))]
    tools = {s["span_id"] for s in spans if "tool.name" in s["attributes"]}
    for record in ("trace", "span"):
        made = agentdata(noveum/name, record=record)
        for row in made.plain:
            ids = [c["call_id"] for c in row["tool_calls"]]
            assert len(set(ids)) == len(ids)
            if record == "trace": assert {r["call_id"] for r in row["tool_call_results"]} <= set(ids)
        assert tools <= {r["call_id"] for row in made.plain for r in row["tool_call_results"]}
        assert len(made) == (len(spans) if record == "span" else len({s["trace_id"] for s in spans})) and not made.rejects


def _plain_spans(document):
    return document if isinstance(document, list) else [s for t in document["traces"] for s in t["spans"]]


def test_novaeval_reads_back_what_we_write(noveum, novaeval, tmp_path):
    "All shared span files, both units, both file types, and its own sample"
    paths = []
    for name in SPANS:
        for record in ("span", "trace"):
            for ending in (".json", ".csv"):
                paths.append(tmp_path/f"{name}.{record}{ending}")
                quiet(agentdata(noveum/name, record=record), paths[-1])
    quiet(read_agentdata(noveum/"sample_agent_data.json"), tmp_path/"sample.json")
    said = novaeval(*paths, tmp_path/"sample.json")
    assert "NOVAEVAL OK" in said and "failures=0" in said, said


def test_novaeval_cannot_read_its_own(shared, novaeval):
    "Which is why the default rules are others"
    assert "NOVAEVAL FAIL" in novaeval(shared/"data/agentdata_expected/v2__dataset_56spans.json")


def test_the_batch_and_its_flat_file_say_the_same(noveum, tmp_path):
    "A batch, its traces as lines, and its spans as a list"
    batch = json.loads((noveum/"traces_batch_001_2b20da3.json").read_text())
    (tmp_path/"lines.jsonl").write_text("".join(json.dumps(t) + "\n" for t in batch["traces"]))
    (tmp_path/"flat.json").write_text("\ufeff" + json.dumps([{**s, "metadata": t["metadata"]} for t in batch["traces"] for s in t["spans"]]))
    whole = agentdata(noveum/"traces_batch_001_2b20da3.json", record="trace").plain
    assert whole == agentdata(tmp_path/"lines.jsonl", record="trace").plain == agentdata(tmp_path/"flat.json", record="trace").plain == agentdata(batch, record="trace").plain
    (tmp_path/"one.json").write_text(json.dumps(batch["traces"][0]))
    assert agentdata(tmp_path/"one.json", record="trace").plain == whole[:1]


ODD = [
    {"attributes": '{"chain.name": "x", "chain.inputs": {"input": "hi"}}'}, {"attributes": None, "span_id": 7}, {"span_id": "a", "events": "torn [", "attributes": {}},
    {"span_id": "a", "status": 3, "trace_id": [1], "attributes": [{"key": "llm.model", "value": {"stringValue": "m"}}]},
    {"span_id": {"x": 1}, "parent_span_id": {"x": 1}, "attributes": {"tool.name": ["f"], "tool.output.output": {"k": [1]}}},
    {"span_id": "a", "attributes": {"llm.model": "m", "llm.input.prompts": "not a list", "llm.output.response": []}},
    {"span_id": "a", "attributes": {"chain.name": "c", "chain.inputs": "text", "agent.output.action.tool": {"a": 1}, "agent.output.action.tool_input": [2]}},
    {"span_id": "a", "attributes": {"llm.model": 1, "llm.output.tool_calls": "[1, {}]", "llm.executed_tool_calls": [{"input": "(", "error": "e", "status": "error"}]}},
    {"span_id": "a", "attributes": {"llm.model": 1}, "events": [1, {"name": "agent_action", "attributes": 5}], "metadata": "m", "start_time": 5},
]


@pytest.mark.parametrize("rules", RULES)
@pytest.mark.parametrize("record", ["span", "trace"])
def test_odd_spans_still_make_records(rules, record):
    "What upstream fails on becomes text; every record is valid"
    made = agentdata(ODD, record, rules)
    assert not made.rejects and len(made) == (len(ODD) if record == "span" else len({json.dumps(o.get("trace_id")) for o in ODD}))
    for row in made.plain: assert tuple(row) == FIELDS and AgentData(**row).model_dump() == row


JSON = st.recursive(st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3), max_leaves=6)
NAMES = st.sampled_from(["chain.name", "chain.inputs", "llm.model", "llm.input.prompts", "llm.output.response", "llm.output.tool_calls", "tool.name", "tool.output.output", "tool.input.x",
                         "agent.output.action.tool", "agent.output.action.tool_input", "agent.output.finish.return_values", "llm.executed_tool_calls", "x.agent_scratchpad.tool_results"])
EVENTS = st.lists(st.fixed_dictionaries({"name": st.sampled_from(["agent_action", "agent_finish", "x"]), "attributes": st.dictionaries(st.sampled_from(["action.tool", "action.tool_input", "action.log"]), JSON)}) | JSON, max_size=3)
SPAN = st.fixed_dictionaries({"span_id": st.sampled_from(["a", "b", "c"]), "attributes": st.dictionaries(NAMES, JSON, max_size=6)},
                             optional={"trace_id": st.sampled_from(["t", "u"]), "parent_span_id": st.sampled_from(["a", "b", None]) | JSON, "events": EVENTS | JSON, "status": JSON, "metadata": JSON})


@given(st.lists(SPAN, max_size=5), st.sampled_from(["span", "trace"]), st.sampled_from(sorted(RULES)))
def test_any_spans_make_valid_records(spans, record, rules):
    made = agentdata(spans, record, rules)
    assert not made.rejects
    for row in made.plain: assert AgentData(**row).model_dump() == row
    if rules == "paired": assert all(len(r["retrieval_query"] or []) == len(r["retrieved_context"] or []) for r in made.plain)


TEXTS = st.none() | st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0\r"), min_size=1, max_size=9)
RECORD = st.builds(AgentData, user_id=TEXTS, task_id=st.sampled_from(["007", "1e5", "N/A", "x"]), agent_task=TEXTS, agent_response=TEXTS, agent_exit=st.booleans() | st.just("soon"),
                   tool_calls=st.lists(st.fixed_dictionaries({"tool_name": st.text(max_size=4), "parameters": st.just({"a": [1, None]}), "call_id": st.text(max_size=4)}), max_size=2),
                   retrieval_query=st.none() | st.lists(st.text(max_size=3), max_size=2), parameters_passed=st.just({}) | st.just({"x": 1.5}), trace=st.none() | st.just("[not json"))


@given(st.lists(RECORD, max_size=4))
def test_what_is_written_is_read_again(tmp_path_factory, records):
    "JSON and CSV; ids that look like numbers and texts that look like nothing stay as they are"
    folder = tmp_path_factory.mktemp("agentdata")
    for name in ("x.json", "x.csv"):
        quiet(AgentDataset(records), folder/name)
        if records: assert read_agentdata(folder/name).data == records


def test_long_cells_are_read(tmp_path):
    quiet(AgentDataset([AgentData(agent_task="x" * 300_000)]), tmp_path/"x.csv")
    assert len(read_agentdata(tmp_path/"x.csv")[0].agent_task) == 300_000


def test_rejects_say_where_and_why(tmp_path):
    (tmp_path/"spans.jsonl").write_text('{"span_id": "a", "attributes": {}}\n{"span_id": \n[1]\n{"no": "span"}\n{"spans": [7]}\n{"span_id": "b", "attributes": {"chain.name": NaN}}\n')
    made = agentdata(tmp_path/"spans.jsonl")
    assert [r["record"] for r in made.rejects] == [1, 2, 3, 4] and len(made) == 2
    assert all(r["file"].endswith("spans.jsonl") and r["cause"] for r in made.rejects)
    (tmp_path/"rows.json").write_text('[{"agent_task": 5}, {"agent_task": "x", "mood": 1}, 7]')
    read = read_agentdata(tmp_path/"rows.json")
    assert len(read) == 1 and [r["record"] for r in read.rejects] == [0, 2] and read.unnamed == {"mood": 1}


@pytest.mark.parametrize("wrong", [{"record": "turn"}, {"rules": "v9"}])
def test_wrong_choices_are_named(wrong):
    with pytest.raises(InputError, match=next(iter(wrong.values()))): agentdata([], **wrong)


def test_a_missing_file_is_named():
    with pytest.raises(InputError, match="no such file"): agentdata("nowhere.json")
    with pytest.raises(InputError, match="cannot read spans from int"): agentdata(7)


def test_it_warns_before_novaeval_misreads(tmp_path):
    rows = AgentDataset([AgentData(task_id="007", agent_response="N/A"), AgentData(task_id="008", retrieval_query=["x"])])
    with pytest.warns(UserWarning, match="retrieval_query.*task_id.*N/A"): rows.export_to_csv(tmp_path/"x.csv")
    with pytest.warns(UserWarning, match="record 1"): rows.export_to_json(tmp_path/"x.json")


def upstream(prompt):
    "The published grammar, as one pattern"
    import re
    return [(n, d.strip(), r) for n, _, r, d in re.findall(r"(\w+)\(([^)]*)\)\s*->\s*(\w+)\s*-\s*(.+?)(?=\n\w+\(|$)", prompt, re.DOTALL)]


@given(st.lists(st.sampled_from(["f(", "x: str = 'a'", ")", " -> ", "str", " - ", "words", "\n", "g(", "\n\n", "->", " ", "Question", "h(y) -> int - does\n"]), max_size=30).map("".join))
def test_the_prompt_grammar_is_the_published_one(prompt):
    "For any text, also where arrows and brackets stand in the wrong places"
    assert [(t["name"], t["description"], t["return_schema"]["type"]) for t in prompt_tools(prompt)] == upstream(prompt)


def test_it_is_public():
    assert tracekit.agentdata([], record="trace").plain == [] and tracekit.AgentData is AgentData and list(flat_spans({"spans": []})) == []
