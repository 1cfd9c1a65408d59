"""OpenAI Responses and Anthropic Messages: generated logs are read and written back equal, whatever they hold."""
import json
import subprocess

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_atif import ID, OBJECT, PLAIN, TEXT, conversations
from test_messages import again, round_trip, same

from tracekit.convert import Context, detect, load_formats
from tracekit.pipeline import convert
from tracekit.row import build
from tracekit.row import check as sound
from tracekit.source import Rejected

FEW = settings(max_examples=150, suppress_health_check=list(HealthCheck))
KEPT = {"id": PLAIN, "status": PLAIN, "usage": PLAIN, "as_responses": PLAIN, "original_id": PLAIN, "instructions": PLAIN, "content_type": PLAIN, "cache_control": PLAIN}
A_PART = st.fixed_dictionaries({"type": st.sampled_from(["input_text", "output_text", "summary_text"]), "text": TEXT}, optional={"annotations": PLAIN, "logprobs": PLAIN}) | st.fixed_dictionaries(
    {"type": st.just("input_image"), "image_url": TEXT}, optional={"detail": st.sampled_from(["auto", "low"])}) | st.fixed_dictionaries({"type": st.just("refusal"), "refusal": TEXT}) | OBJECT
ITEM = st.one_of(
    st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant", "system", "developer"])}, optional=KEPT | {"type": st.just("message"), "content": TEXT | st.lists(A_PART, max_size=3) | PLAIN}),
    st.fixed_dictionaries({"type": st.just("function_call"), "name": TEXT}, optional=KEPT | {"call_id": ID, "arguments": TEXT | OBJECT | OBJECT.map(json.dumps) | PLAIN}),
    st.fixed_dictionaries({"type": st.sampled_from(["function_call_output", "computer_call_output"])}, optional=KEPT | {"call_id": ID, "output": TEXT | st.lists(A_PART, max_size=2) | PLAIN}),
    st.fixed_dictionaries({"type": st.just("reasoning")}, optional=KEPT | {"summary": st.lists(A_PART, max_size=2), "content": PLAIN | st.lists(A_PART, max_size=2), "encrypted_content": PLAIN}),
    st.fixed_dictionaries({"type": st.sampled_from(["web_search_call", "mcp_call", "custom_tool_call"])}, optional=KEPT | {"name": TEXT, "call_id": ID, "action": PLAIN, "arguments": PLAIN, "output": PLAIN, "role": PLAIN}),
    st.fixed_dictionaries({"type": st.sampled_from(["item_reference", "compaction"])}, optional=KEPT))
ITEMS = st.lists(ITEM, max_size=6)
SETTINGS = {"id": PLAIN, "model": PLAIN, "tools": PLAIN, "usage": PLAIN, "created_at": PLAIN, "error": PLAIN, "instructions": TEXT | PLAIN, "custom_id": PLAIN}
RESPONSES = st.one_of(
    st.fixed_dictionaries({"input": ITEMS | TEXT}, optional=SETTINGS | {"output": ITEMS}),
    st.fixed_dictionaries({"output": ITEMS}, optional=SETTINGS), ITEMS,
    st.fixed_dictionaries({"request": st.fixed_dictionaries({"input": ITEMS | TEXT}, optional=SETTINGS)}, optional={"response": PLAIN | st.fixed_dictionaries({"output": ITEMS}, optional=SETTINGS)}),
    st.fixed_dictionaries({"custom_id": TEXT, "response": st.fixed_dictionaries({"body": st.fixed_dictionaries({"output": ITEMS}, optional=SETTINGS)})}))
BLOCK = st.one_of(
    st.fixed_dictionaries({"type": st.just("text"), "text": TEXT}, optional=KEPT | {"citations": PLAIN, "annotations": PLAIN}),
    st.fixed_dictionaries({"type": st.just("thinking"), "thinking": TEXT}, optional={"signature": PLAIN, "data": PLAIN}), st.fixed_dictionaries({"type": st.just("redacted_thinking")}, optional={"data": PLAIN}),
    st.fixed_dictionaries({"type": st.just("image"), "source": st.fixed_dictionaries({"type": st.sampled_from(["base64", "url"])}, optional={"media_type": TEXT, "data": TEXT, "url": TEXT})}, optional=KEPT),
    st.fixed_dictionaries({"type": st.sampled_from(["tool_use", "server_tool_use"]), "name": TEXT}, optional=KEPT | {"id": ID, "input": OBJECT | PLAIN, "caller": PLAIN, "side": PLAIN}), OBJECT, PLAIN)
RESULT = st.fixed_dictionaries({"type": st.sampled_from(["tool_result", "web_search_tool_result"])}, optional=KEPT | {"tool_use_id": ID, "content": TEXT | PLAIN | st.lists(BLOCK, max_size=2), "is_error": PLAIN})
MESSAGE = st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant", "assistant", "system"])}, optional={"content": TEXT | PLAIN | st.lists(BLOCK | RESULT, max_size=4), "id": PLAIN, "as_anthropic": PLAIN})
MESSAGES = st.lists(MESSAGE, max_size=6)
REQUEST = {"system": TEXT | PLAIN | st.lists(BLOCK, max_size=2), "model": PLAIN, "tools": PLAIN, "thinking": PLAIN, "custom_id": PLAIN}
CAME = {"content": TEXT | st.lists(BLOCK, max_size=3), "role": st.just("assistant"), "usage": PLAIN, "id": PLAIN}
ANTHROPIC = st.one_of(
    st.fixed_dictionaries({"messages": MESSAGES}, optional=REQUEST), st.fixed_dictionaries(CAME),
    st.fixed_dictionaries({"request": st.fixed_dictionaries({"messages": MESSAGES}, optional=REQUEST)}, optional={"response": PLAIN | st.fixed_dictionaries(CAME)}),
    st.fixed_dictionaries({"custom_id": TEXT, "result": st.fixed_dictionaries({"type": TEXT, "message": st.fixed_dictionaries(CAME)})}))


@pytest.mark.parametrize("name, logs", [("responses", RESPONSES), ("anthropic", ANTHROPIC)])
def test_logs_are_written_back_equal(name, logs):
    "Each is written back equal, or set aside with a reason"
    @FEW
    @given(logs)
    def equal(record):
        try: written = round_trip(name, record)
        except Rejected as e: assert "without a name" in e.cause or "no log" in e.cause or "no response" in e.cause or "expected a" in e.cause, e
        else: assert same(written, record)
    equal()


@pytest.mark.parametrize("name", ["responses", "anthropic", "invariant"])
def test_chat_survives_the_way_through(name):
    "chat -> trace -> another format -> trace: the same texts, calls and results"
    @settings(max_examples=60)
    @given(conversations())
    def survives(messages):
        chat, other = load_formats()["chat"], load_formats()[name]
        first = sound(build(chat, chat.one.decode(json.dumps({"messages": messages, "model": "m"})), Context(raw=lambda: b"x")))
        second = sound(build(other, other.one.decode(json.dumps(again(other.write(again(first))))), Context(raw=lambda: b"x")))
        assert told(second) == told(first)
    def told(row):
        made, said = [], {}
        for item in row["trace"]["items"]:
            if item["type"] == "message":
                for p in item["content"]:
                    if p["type"] == "input_image": made.append(("image", p["image_url"]))
                    elif p["text"]: said[item["role"]] = said.get(item["role"], "") + p["text"]
            elif item["type"] == "function_call": made.append(("call", item["name"], json.loads(item["arguments"]), item["original_call_id"]))
            else: made.append(("output", "".join(p.get("text") or p.get("image_url") or "" for p in item["output"]) if isinstance(item["output"], list) else item["output"], item["original_call_id"]))
        if name == "anthropic": made = sorted(map(repr, made))   # the system comes first there
        return made, said
    survives()


@pytest.mark.parametrize("record, name", [
    ({"model": "m", "input": "hi"}, "responses"), ({"model": "m", "input": [{"role": "user", "content": "hi"}]}, "responses"), ({"object": "response", "output": []}, "responses"),
    ([{"type": "message", "role": "user", "content": "hi"}], "responses"), ([{"role": "user", "content": "hi"}, {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"}], "responses"),
    ({"system": "s", "messages": [{"role": "user", "content": "hi"}]}, "anthropic"), ({"messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a"}]}]}, "anthropic"),
    ({"type": "message", "role": "assistant", "content": [{"type": "text", "text": "hi"}], "stop_reason": "end_turn"}, "anthropic"),
    ({"custom_id": "a", "params": {"model": "m", "system": "s", "messages": [{"role": "user", "content": "hi"}]}}, "anthropic")])
def test_formats_are_told_apart(record, name): assert detect(set(), record).name == name


def test_the_platform_takes_them(shared, oracle, tmp_path):
    "Logs of both providers, by the platform's own code"
    search = [{"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "q"}}, {"type": "web_search_tool_result", "tool_use_id": "s", "content": [{"type": "web_search_result", "url": "u"}]}]
    logs = {"responses": {"model": "m", "instructions": "Be short.", "input": "2+2?", "output": [{"type": "reasoning", "summary": [{"type": "summary_text", "text": "easy"}]}, {"type": "web_search_call", "action": {"query": "2+2"}},
                          {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "4", "annotations": [{"type": "file_citation", "file_id": "f", "index": 0}]}]}]},
            "anthropic": {"system": "Be short.", "messages": [{"role": "user", "content": "2+2?"}, {"role": "assistant", "content": [*search, {"type": "thinking", "thinking": "t", "signature": "s"}, {"type": "text", "text": "4"}]}]}}
    files = []
    for name, record in logs.items():
        (tmp_path/f"{name}.jsonl").write_text(json.dumps(record) + "\n")
        report = convert(tmp_path/f"{name}.jsonl", tmp_path/"out", progress=False)
        assert (report.formats, report.rows, report.unnamed) == ({name: 1}, 1, {})
        files.append(str(tmp_path/"out"/f"{name}.jsonl"))
    done = subprocess.run([oracle, str(shared/"oracle/aigo.py"), *files, "--strict"], capture_output=True, text=True, timeout=300)
    assert "ORACLE OK" in done.stdout, done.stdout[-2000:] + done.stderr[-2000:]
