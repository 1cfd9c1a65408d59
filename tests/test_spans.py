"""Span files become traces: LangChain's, OpenInference's, OpenTelemetry GenAI's; all real files, every call with its result."""
import json
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracekit.convert import load_formats
from tracekit.dataset import Dataset
from tracekit.pipeline import convert, read

LANGCHAIN = {"agent.query_routing_dataset.json": (20, 0), "dataset_56spans_f5b82bb.json": (8, 20), "dataset_tools_removed_36spans_c4e1a12.json": (8, 7),
             "traces_batch_001_2b20da3.json": (10, 21)}


def rows_of(path, out):
    "The plain rows of a file, converted with every record audited"
    report = convert(path, out, audit=True, progress=False)
    assert not report.rejected and report.unnamed == {}, (path.name, report.unnamed)
    return report, list(Dataset(report.files[0]).plain())


def items(row, kind): return [i for i in row["trace"]["items"] if i["type"] == kind]


def all_answered(row):
    "Every call has exactly one result"
    calls, outputs = [i["call_id"] for i in items(row, "function_call")], [i["call_id"] for i in items(row, "function_call_output")]
    return len(set(calls)) == len(calls) and sorted(calls) == sorted(outputs)


@pytest.mark.parametrize("name", LANGCHAIN)
def test_real_langchain_files(name, shared, oracle, tmp_path):
    "Recognised, a row a trace, every call answered, and the platform accepts them"
    report, rows = rows_of(shared/"data/spans/noveum"/name, tmp_path)
    assert report.formats == {"langchain": 1} and (len(rows), sum(len(items(r, "function_call")) for r in rows)) == LANGCHAIN[name]
    assert all(all_answered(row) for row in rows)
    said = subprocess.run([oracle, str(shared/"oracle/aigo.py"), *map(str, report.files), "--strict"], capture_output=True, text=True)
    assert "ORACLE OK" in said.stdout.splitlines()[-1], said.stdout


def test_langchain_results_are_what_the_model_was_told(shared, tmp_path):
    "By plain reading: each observation stands, with the log of its action before it, in a prompt of the same trace"
    path = shared/"data/spans/noveum/dataset_56spans_f5b82bb.json"
    prompts = {}
    for s in json.loads(path.read_text()): prompts.setdefault(s["trace_id"], []).extend(s["attributes"].get("llm.input.prompts") or [])
    _, rows = rows_of(path, tmp_path)
    for row in rows:
        for out in items(row, "function_call_output"):
            assert any(f"\nObservation: {out['output']}\nThought:" in p for p in prompts[row["trace_id"]])
            assert "User response" in out["output"] or out["span_output"] != out["output"]


def test_langchain_tokens_and_answers(shared, tmp_path):
    "All model calls are counted, and the last message is the agent's answer"
    path = shared/"data/spans/noveum/dataset_56spans_f5b82bb.json"
    spans = json.loads(path.read_text())
    _, rows = rows_of(path, tmp_path)
    for row in rows:
        own = [s["attributes"] for s in spans if s["trace_id"] == row["trace_id"]]
        assert row["trace"]["metadata"]["total_tokens"] == sum(a.get("llm.total_tokens", 0) for a in own)
        assert row["trace"]["items"][-1]["content"][-1]["text"] == own[0]["agent.output.finish.return_values"]["output"]
        assert row["trace"]["items"][0]["content"][0]["text"] == own[0]["chain.inputs"]["input"]


def test_a_batch_and_its_flat_file_are_the_same_conversations(shared, tmp_path):
    "Spans of several traces in any order"
    batch = json.loads((shared/"data/spans/noveum/traces_batch_001_2b20da3.json").read_text())
    flat = [{**s, "sdk": t["sdk"], "project": t["project"]} for t in batch["traces"] for s in t["spans"]]
    mixed = sorted(flat, key=lambda s: (s["start_time"], s["span_id"]))
    (tmp_path/"mixed.jsonl").write_text("".join(json.dumps(s) + "\n" for s in mixed))
    whole = {r.trace_id: [i.model_dump(mode="json") for i in r.trace.items] for r in read(shared/"data/spans/noveum/traces_batch_001_2b20da3.json")}
    parts = {r.trace_id: [i.model_dump(mode="json") for i in r.trace.items] for r in read(tmp_path/"mixed.jsonl")}
    assert whole == parts and len(whole) == 10


def test_torn_and_foreign_lines_are_set_aside(tmp_path):
    "The trace goes on without them"
    span = {"span_id": "a", "trace_id": "t", "attributes": {"chain.name": "x", "chain.inputs": {"input": "Hi"}, "langchain.run_id": "r"}}
    (tmp_path/"x.jsonl").write_text(json.dumps(span) + '\n{"span_id": "b", \n' + '{"no": "span"}\n' + json.dumps({**span, "span_id": "c", "parent_span_id": "a"}) + "\n[7]\n")
    report = convert(tmp_path/"x.jsonl", tmp_path/"out", progress=False)
    assert report.rows == 1 and report.rejected == 3 and all(r["cause"] for r in report.rejects)


@pytest.mark.parametrize("more", [{"spans": []}, {"spans": [{"span_id": "b", "trace_id": "t"}]}])
def test_a_span_that_looks_like_a_batch_is_a_span_too(tmp_path, more):
    "Neither itself nor what is in it is lost"
    span = {"span_id": "a", "trace_id": "t", "attributes": {"chain.name": "x", "chain.inputs": {"input": "Hi"}, "langchain.run_id": "r"}}
    (tmp_path/"x.jsonl").write_text(json.dumps(span | more) + "\n")
    [row] = read(tmp_path/"x.jsonl")
    assert len(row.trace.metadata.extra["spans"]) == 1 + sum(bool(inside) for inside in more.values())


JSON = st.recursive(st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3), max_leaves=6)
LC = ["langchain.run_id", "chain.name", "chain.inputs", "llm.model", "llm.input.prompts", "llm.input.messages", "llm.output.response", "llm.output.tool_calls", "tool.name", "tool.output.output",
      "agent.output.finish.return_values", "agent.output.finish.log", "llm.executed_tool_calls"]


@settings(max_examples=40)
@given(st.lists(st.fixed_dictionaries({"span_id": st.sampled_from("abc"), "attributes": st.dictionaries(st.sampled_from(LC), JSON, max_size=6)},
                optional={"trace_id": st.sampled_from("tu"), "parent_span_id": JSON, "events": JSON, "status": JSON, "start_time": JSON, "metadata": JSON, "sdk": JSON}), min_size=1, max_size=4))
def test_any_langchain_spans(tmp_path_factory, spans): nothing_is_lost(tmp_path_factory, spans, "langchain")


def nothing_is_lost(folder, records, name):
    "Every trace is a row or a reject that says why; nothing crashes"
    path = folder.mktemp("any")/"x.json"
    path.write_text(json.dumps(records))
    report = convert(path, path.parent/"out", format=name, progress=False)
    assert report.rows + report.rejected >= 1
    assert not [r for r in report.rejects if "Error:" in r["cause"]], report.rejects


OTEL = {   # file -> format, items, calls, calls without a result, tokens
    "openinference/rag_earnings_agent.json": ("openinference", 4, 1, 0, 648),
    "openinference/smol_deep_research_agent.json": ("openinference", 20, 2, 2, 25074),   # its results are only in the text of the next prompt
    "langfuse/google-gemini-2025-08-01.json": ("openinference", 2, 0, 0, 2061),
    "langfuse/openai-agents-2025-09-30.json": ("openinference", 5, 1, 0, 184),
    "langfuse/pydantic-ai-tools-2025-12-04.json": ("otel_genai", 14, 4, 1, 1524),       # the last call is how the agent answers; nothing runs
    "langfuse/langgraph-2025-08-22.json": ("otel_genai", 5, 1, 0, 234),
}


@pytest.mark.parametrize("name", OTEL)
def test_real_otel_files(name, shared, oracle, tmp_path):
    "Recognised, one row each, calls and tokens by plain counting, and the platform accepts them"
    report, [row] = rows_of(shared/"data/spans"/name, tmp_path)
    form, count, calls, unanswered, tokens = OTEL[name]
    answered = {i["call_id"] for i in items(row, "function_call_output")}
    assert report.formats == {form: 1} and len(row["trace"]["items"]) == count
    assert len(items(row, "function_call")) == calls and len([i for i in items(row, "function_call") if i["call_id"] not in answered]) == unanswered
    assert row["trace"]["metadata"]["total_tokens"] == tokens and not row["trace"]["metadata"]["extra"].get("orphans")
    said = subprocess.run([oracle, str(shared/"oracle/aigo.py"), *map(str, report.files), "--strict"], capture_output=True, text=True)
    assert "ORACLE OK" in said.stdout.splitlines()[-1], said.stdout


@pytest.mark.parametrize("name", OTEL)
def test_no_model_answer_is_lost_or_doubled(name, shared, tmp_path):
    "Every token-counted answer is one item; spans are all named in the metadata"
    _, [row] = rows_of(shared/"data/spans"/name, tmp_path)
    spans = row["trace"]["metadata"]["extra"]["spans"]
    own = [i["span_id"] for i in row["trace"]["items"] if "usage" in i]
    assert len(own) == len(set(own)) and set(own) <= {s["id"] for s in spans}


def test_lines_of_spans_are_the_same_as_otlp(shared, tmp_path):
    "Each resourceSpans record on a line, and each span by itself with Python's names, in reverse"
    path = shared/"data/spans/openinference/smol_deep_research_agent.json"
    records = json.loads(path.read_text())
    (tmp_path/"otlp.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records))
    spans = [s for r in records for rs in r["resourceSpans"] for ss in rs["scopeSpans"] for s in ss["spans"]]
    flat = [{"name": s["name"], "context": {"trace_id": s["traceId"], "span_id": s["spanId"]}, "parent_id": s.get("parentSpanId"), "start_time": s["startTimeUnixNano"],
             "end_time": s["endTimeUnixNano"], "attributes": s["attributes"], "status": {"status_code": "OK"}} for s in reversed(spans)]
    (tmp_path/"lines.jsonl").write_text("".join(json.dumps(s) + "\n" for s in flat))
    whole, lines, single = ([i.model_dump(mode="json") for i in next(read(p)).trace.items] for p in (path, tmp_path/"otlp.jsonl", tmp_path/"lines.jsonl"))
    assert whole == lines == single


def test_a_large_span_file_is_not_cut(shared, tmp_path):
    "A list of more than a part's bytes: the spans of a trace may stand anywhere in it"
    records = json.loads((shared/"data/spans/openinference/smol_deep_research_agent.json").read_text())
    padding = [{"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": f"p{n}", "spanId": "x", "name": "pad", "startTimeUnixNano": "1", "attributes": [
        {"key": "openinference.span.kind", "value": {"stringValue": "LLM"}}, {"key": "input.value", "value": {"stringValue": "x" * 90_000}}]}]}]}]} for n in range(120)]
    (tmp_path/"large.json").write_text(json.dumps(records[:3] + padding + records[3:]))
    report = convert(tmp_path/"large.json", tmp_path/"out", workers=2, progress=False)
    assert report.rows == 121 and not report.rejected
    assert [len(r["trace"]["items"]) for r in Dataset(report.files[0]).plain()][0] == 20


OI = ["openinference.span.kind", "llm.input_messages.0.message.role", "llm.input_messages.0.message.content", "llm.input_messages.1.message.tool_calls.0.tool_call.id", "llm.output_messages",
      "llm.output_messages.0.message.contents.0.message_content.text", "llm.token_count.prompt", "input.value", "output.value", "retrieval.documents.0.document.content", "tool.name", "tool_call.id"]
GEN = ["gen_ai.operation.name", "gen_ai.input.messages", "gen_ai.output.messages", "gen_ai.system_instructions", "gen_ai.prompt.0.role", "gen_ai.prompt.0.content", "gen_ai.completion.0.tool_calls",
       "gen_ai.tool.name", "gen_ai.tool.call.id", "gen_ai.tool.call.result", "gen_ai.usage.input_tokens", "events", "gen_ai.response.finish_reasons", "gen_ai.agent.name"]
PARTS = st.lists(st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant", "tool", "system", "x"]), "parts": st.lists(st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "reasoning", "tool_call", "tool_call_response", "blob"])}, optional={"content": JSON, "id": JSON, "name": JSON, "arguments": JSON, "response": JSON}) | JSON, max_size=3)}), max_size=3)
KINDS = st.sampled_from(["LLM", "TOOL", "RETRIEVER", "CHAIN", "chat", "execute_tool", "invoke_agent"])


def a_span(names): return st.fixed_dictionaries({"spanId": st.sampled_from("abc"), "attributes": st.dictionaries(st.sampled_from(names), JSON | KINDS | PARTS | PARTS.map(json.dumps), max_size=6)},
    optional={"traceId": st.sampled_from("tu"), "parentSpanId": JSON, "status": JSON, "startTimeUnixNano": JSON, "name": JSON, "resource": JSON, "context": JSON,
              "events": st.lists(st.fixed_dictionaries({"name": st.sampled_from(["gen_ai.user.message", "gen_ai.choice", "gen_ai.tool.message", "x"]), "attributes": st.dictionaries(st.sampled_from(["content", "message", "id", "tool_calls"]), JSON)}), max_size=3) | JSON})


@settings(max_examples=40)
@given(st.lists(a_span(OI), min_size=1, max_size=4))
def test_any_openinference_spans(tmp_path_factory, spans): nothing_is_lost(tmp_path_factory, spans, "openinference")


@settings(max_examples=40)
@given(st.lists(a_span(GEN), min_size=1, max_size=4))
def test_any_genai_spans(tmp_path_factory, spans): nothing_is_lost(tmp_path_factory, spans, "otel_genai")


def test_the_formats_are_there():
    assert all(load_formats()[name].session for name in ("langchain", "openinference", "otel_genai"))
