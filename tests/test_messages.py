"""Chat messages both ways, and the formats that are made of them: what is read is written back equal, whatever it holds."""
import json
import subprocess
from copy import deepcopy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracekit import entries
from tracekit.check import check
from tracekit.convert import Context, detect, load_formats
from tracekit.dataset import Dataset
from tracekit.messages import chat_items, chat_messages, edited, edits, tool_definitions
from tracekit.pipeline import convert
from tracekit.row import build
from tracekit.row import check as sound
from tracekit.source import Rejected

TEXT = st.text(st.characters(codec="utf-8"), max_size=8)
PLAIN = st.recursive(st.none() | st.booleans() | st.integers(-2**70, 2**70) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
                     lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=6)
OBJECT = st.dictionaries(TEXT, PLAIN, max_size=3)
ARGUMENTS = OBJECT | OBJECT.map(json.dumps) | OBJECT.map(repr) | st.none() | TEXT
ID = st.none() | st.sampled_from(["", "a", "b", "c"])
PART = st.fixed_dictionaries({"type": st.just("text"), "text": TEXT}) | st.fixed_dictionaries({"type": st.just("image_url"), "image_url": st.fixed_dictionaries(
    {"url": TEXT}, optional={"detail": st.sampled_from(["auto", "low", "odd"])})}) | OBJECT
CONTENT = st.none() | TEXT | st.lists(PART, max_size=3)
CALL = st.fixed_dictionaries({"function": st.fixed_dictionaries({"name": TEXT}, optional={"arguments": ARGUMENTS, "strict": PLAIN})},
                             optional={"id": ID, "type": st.just("function"), "index": PLAIN})
MORE = {"name": TEXT, "timestamp": PLAIN, "usage": PLAIN, "id": ID, "status": PLAIN, "type": PLAIN, "as_chat": PLAIN, "original_call_id": PLAIN, "created_by": PLAIN,
        "output": PLAIN, "arguments": PLAIN, "refusal": PLAIN, "reasoning": st.none() | TEXT, "reasoning_content": st.none() | TEXT, "arguments_as": PLAIN, "place": PLAIN}
SPEECH = st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant", "assistant", "system", "developer"])}, optional=MORE | {
    "content": CONTENT, "tool_calls": st.none() | st.lists(CALL, max_size=3), "function_call": st.none() | st.fixed_dictionaries({"name": TEXT}, optional={"arguments": ARGUMENTS})})
RESULT = st.fixed_dictionaries({"role": st.sampled_from(["tool", "function"]), "content": CONTENT | OBJECT}, optional=MORE | {"tool_call_id": ID, "error": PLAIN})
MESSAGES = st.lists(SPEECH | RESULT, max_size=8)
EVENTS = st.lists(SPEECH | RESULT | CALL | SPEECH.map(lambda m: m | {"role": "planner"}) | st.just({"tools": [{"name": "f", "inputSchema": {}}]})
                  | st.just({"role": "user", "content": "base64_img: AAAA"}) | st.just({"role": "tool", "content": "s3_img_link: x.png"}), max_size=8)


def again(row):
    "A row after a way through a file"
    return json.loads(json.dumps(row))


@given(PLAIN, PLAIN)
def test_edits_make_one_of_the_other(made, wanted):
    "Whatever the two are; and none are needed for what is equal"
    assert same(edited(deepcopy(made), list(edits(made, wanted))), wanted)
    assert list(edits(made, deepcopy(made))) == []


@given(PLAIN, PLAIN)
def test_edits_of_anything_do_no_harm(made, changes): edited(made, changes if isinstance(changes, list) else [[changes, 1]])


def same(a, b): return json.dumps(a, sort_keys=True) == json.dumps(b, sort_keys=True)


@given(MESSAGES)
def test_messages_are_given_back(messages):
    "What became items is written as it was; each row is sound"
    notes = {}
    try: items = chat_items(messages, notes)
    except Rejected as e: assert "without a name" in e.cause
    else: assert same(chat_messages(again({"items": items, "metadata": {"extra": notes}})), messages)


def round_trip(name, record, head=None):
    form = load_formats()[name]
    row = sound(build(form, form.one.decode(json.dumps(record)), Context(head=head, raw=lambda: b"x")))
    return form.write(again(row))


WRAPPED = st.one_of(
    st.fixed_dictionaries({"messages": MESSAGES}, optional={"tools": PLAIN, "model": PLAIN, "id": PLAIN, "custom_id": PLAIN, "created": PLAIN, "usage": PLAIN, "error": PLAIN, "metadata": PLAIN}),
    st.fixed_dictionaries({"prompt": MESSAGES, "completion": MESSAGES}),
    st.fixed_dictionaries({"request": st.fixed_dictionaries({"messages": MESSAGES}, optional={"model": PLAIN, "tools": PLAIN})}, optional={
        "response": PLAIN | st.fixed_dictionaries({"choices": st.lists(st.fixed_dictionaries({}, optional={"message": SPEECH, "finish_reason": PLAIN}), max_size=2)}, optional={"usage": PLAIN, "id": PLAIN, "created": PLAIN})}),
    st.fixed_dictionaries({"custom_id": TEXT, "response": st.fixed_dictionaries({"body": st.fixed_dictionaries({"choices": st.lists(st.fixed_dictionaries({"message": SPEECH}), max_size=1)})})}))


@given(WRAPPED)
def test_chat_is_written_back_equal(record): assert same(round_trip("chat", record), record)


@given(EVENTS, st.fixed_dictionaries({}, optional={"metadata": PLAIN, "name": PLAIN, "hierarchy_path": PLAIN, "index": st.integers(0, 9), "annotations": st.lists(
    st.fixed_dictionaries({"content": TEXT, "address": TEXT}), max_size=2)}))
def test_invariant_is_written_back_equal(events, more):
    for record in (events, {"messages": events} | more): assert same(round_trip("invariant", record), record)


@pytest.mark.parametrize("record, name", [
    ({"messages": [{"role": "user", "content": "hi"}]}, "chat"),
    ({"messages": [{"role": "user", "content": "hi"}], "tools": []}, "chat"),
    ({"prompt": [{"role": "user", "content": "hi"}], "completion": [{"role": "assistant", "content": "hi"}]}, "chat"),
    ({"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "m", "messages": [{"role": "user", "content": "hi"}]}}, "chat"),
    ({"id": "b", "custom_id": "a", "response": {"status_code": 200, "body": {"choices": [{"message": {"role": "assistant", "content": "hi"}}]}}}, "chat"),
    ({"object": "chat.completion", "choices": [{"message": {"role": "assistant", "content": "hi"}}]}, "chat"),
    ([{"role": "user", "content": "hi"}], "invariant"),
    ([{"metadata": {"name": "a"}}, {"role": "user", "content": "hi"}], "invariant"),
    ({"index": 0, "messages": [{"role": "user", "content": "hi"}]}, "invariant"),
    ({"messages": [{"role": "user", "content": "hi"}], "metadata": {"a": 1}}, "invariant"),
    ({"messages": [{"role": "user", "content": "hi", "turn_idx": 0}]}, "tau2"),
    ({"task_id": "t", "messages": [{"role": "user", "content": "hi"}]}, "tau2"),
    ({"messages": [{"role": "assistant", "tool_calls": [{"id": "1", "name": "f", "arguments": {}}]}]}, "tau2")])
def test_formats_are_told_apart(record, name): assert detect(set(), record).name == name


def test_tau2_logs_are_left_to_tau2(real_log):
    "A benchmark's own lists of messages are not taken for chat"
    from tracekit.pipeline import read
    row = next(iter(read(real_log)), None)
    assert row is None or row.trace.metadata.source_type == "tau2-bench"


@pytest.mark.parametrize("record, cause", [({}, "no chat"), ({"messages": "none"}, "list of messages"), ({"messages": [{"role": "critic", "content": "hm"}]}, "unknown role"),
                                           ({"messages": [7]}, "object"), ({"messages": [{"content": "hm"}]}, "role")])
def test_what_is_no_chat_is_refused(record, cause):
    with pytest.raises(Rejected, match=cause): round_trip("chat", record)


def test_calls_by_the_user_are_not_chat():
    from tracekit.trace import call, plain_trace
    row = {"trace": plain_trace([call("c", "toggle", "{}", created_by="user")])}
    for name in ("chat", "trl"):
        with pytest.raises(Rejected, match="called by the user"): load_formats()[name].write(row)


def test_tools_of_any_spelling_are_training_data():
    nested = {"type": "function", "function": {"name": "f", "description": "", "parameters": {"type": "object"}}}
    for spelled in ([nested], json.dumps([nested]), [{"name": "f", "input_schema": {"type": "object"}}], [{"type": "function", "name": "f", "parameters": {"type": "object"}}]):
        assert tool_definitions({"metadata": {"extra": {"tools": spelled}}}) == [nested]
    for nothing in (None, 7, [7, {"type": "web_search"}], "x", {}): assert tool_definitions({"metadata": {"extra": {"tools": nothing}}}) == []


ANNOTATED = [
    {"role": "user", "content": "Pay the bill.\nNow."}, {"role": "assistant", "content": "Let me see.", "reasoning_content": "hm", "tool_calls": [
        {"id": "c1", "type": "function", "function": {"name": "read", "arguments": {"path": "bill.txt", "odd name": "x", "deep": {"k": ["abc"]}}}}, {"id": "c2", "type": "function", "function": {"name": "look", "arguments": "{'a': 'b'}"}}]},
    {"role": "tool", "tool_call_id": "c2", "content": "second"}, {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "first"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}]},
    {"id": "c3", "type": "function", "function": {"name": "pay", "arguments": '{"amount": 98.7, "to": "CH93"}'}}, {"role": "tool", "content": "base64_img: iVBORw0KGgo="}, {"role": "tool", "tool_call_id": "zz", "content": "lost"},
    {"role": "assistant", "content": None}, {"role": "user", "content": [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]}]


@pytest.mark.parametrize("address, wanted, words", [
    ("messages[0].content", "items[0].content[0].text", "Pay the bill.\nNow."), ("messages.0.content:8-12", "items[0].content[0].text:8-12", "bill"), ("messages[0].content:L1", "items[0].content[0].text:14-18", "Now."),
    ("messages[0].content:L9", "items[0].content[0].text", None), ("messages[0].content:90-99", "items[0].content[0].text", None), ("messages[0].content:5-999", "items[0].content[0].text:5-18", "he bill.\nNow."), ("messages[0].role", "items[0]", None),
    ("messages[1].content:0-3", "items[1].content[1].text:0-3", "Let"), ("messages[1].tool_calls[0].function.arguments.path:0-4", "items[2].arguments.path:0-4", "bill"), ("messages.1.tool_calls.1.function.arguments.a", "items[3].arguments.a", "b"),
    ("messages[1].tool_calls[0].function.name", "items[2].name", "read"), ("messages[1].tool_calls[0]", "items[2]", None), ("messages[1].tool_calls", "items[2]", None), ("messages[1].tool_calls[0].function.arguments.deep.k[0]:1-2", "items[2].arguments.deep.k[0]:1-2", "b"),
    ("messages[1].tool_calls[0].function.arguments.nothing:0-2", "items[2].arguments", None), ("messages[1].tool_calls[9].function.name", "items[1]", None), ("messages[2].content:0-3", "items[4].output:0-3", "sec"),
    ("messages[3].content[0].text:0-2", "items[5].output[0].text:0-2", "fi"), ("messages[3].content.1:bbox-0,0,5,5", "items[5].output[1].image_url", None), ("messages[4].function.arguments.to:0-2", "items[6].arguments.to:0-2", "CH"),
    ("messages[5].content:bbox-1,2,3,4", "items[7].output", None), ("messages[6].content:0-2", "", None), ("messages[7].content:L0", "items[8]", None), ("messages[8].content[1]:0-3", "items[9].content[1].text:0-3", "two"), ("messages[8].content:0-3", "items[9]", None),
    ("messages[99].content", "", None), ("<root>", "", None), ("", "", None), ("messages[-1].content", "", None), ("messages[99999999999999999999].content", "", None), ("messages[1].content:3-1", "items[1].content[1].text", None)])
def test_an_address_of_a_message_becomes_one_of_an_item(address, wanted, words):
    "And what stands there is what the address means; what is not there is said of the nearest thing that is"
    record = {"index": 0, "messages": ANNOTATED, "annotations": [{"content": "!", "address": address, "extra_metadata": {"source": "me"}}]}
    form = load_formats()["invariant"]
    row = sound(build(form, form.one.decode(json.dumps(record)), Context(raw=lambda: b"x")))
    assert row["trace"]["metadata"]["extra"]["marks"] == [{"at": wanted, "text": "!", "source": "me", "address": address}]
    if words is not None: assert entries.at(row["trace"], wanted) == words
    elif wanted: entries.at(row["trace"], wanted)
    assert same(form.write(again(row)), record)


STEPS = st.sampled_from(["[0]", ".0", ".content", ".tool_calls", ".function", ".arguments", ".a", ".text", "[1]", "[9]", ":0-1", ":L0", ":bbox-1,2,3,4", ".role", "::", "[", "]", ".name", ' "x"', "\n"])


@given(EVENTS, st.lists(STEPS, max_size=6), st.integers(0, 3))
def test_any_address_is_read(events, steps, n):
    "It leads to something, or to nothing; never elsewhere, never to an error"
    address = f"messages[{n}]" + "".join(steps)
    form = load_formats()["invariant"]
    row = sound(build(form, form.one.decode(json.dumps({"messages": events, "annotations": [{"content": 7, "address": address}]})), Context(raw=lambda: b"x")))
    (mark,) = row["trace"]["metadata"]["extra"]["marks"]
    assert mark["address"] == address and (not mark["at"] or entries.at(row["trace"], mark["at"]) is not NotImplemented)
    assert sum(len(e.marks) for e in entries.entries(row["trace"])) == bool(mark["at"])


BAD = {"duplicate_index": (4, "is taken"), "inconsistent_index_presence": (4, "without an index"), "incorrect_index_type": (2, "no whole number"), "metadata_not_in_first_row": (2, "first line"),
       "mixed_format": (3, "annotated trace after a raw"), "trace_with_incorrect_annotation": (2, "no content"), "two_metadata_rows": (3, "first line")}


def test_invariant_uploads(shared, tmp_path):
    "Good ones are read and written back equal; bad ones are refused with the line and the rule"
    form = load_formats()["invariant"]
    for path in sorted((shared/"data/invariant").rglob("*.json*")):
        report = convert(path, tmp_path, name="x", audit=True, progress=False)
        assert list(report.formats) == ["invariant"] and not report.unnamed, path.name
        if path.suffix == ".jsonl":
            findings = check(path)
            if path.stem in BAD:
                assert [f.line for f in findings] == [BAD[path.stem][0]] and BAD[path.stem][1] in findings[0].what, path.name
                continue
            assert findings == [], path.name
        assert not report.rejected, path.name
        records = [json.loads(text) for text in path.read_text().split("\n") if text] if path.suffix == ".jsonl" else [json.loads(path.read_text())]
        rows = list(Dataset(tmp_path/"x.jsonl").plain())
        assert same([r for r in [form.first(rows[0])] if r] + [form.write(r) for r in rows], records), path.name


def test_the_platform_takes_these_datasets(shared, oracle, tmp_path):
    "Every row, by the platform's own code"
    good = [p for p in sorted((shared/"data/invariant").rglob("*.json*")) if p.stem not in BAD]
    (tmp_path/"log.jsonl").write_text(json.dumps({"messages": [{"role": "user", "content": "2+2?"}, {"role": "assistant", "content": None, "tool_calls": [
        {"id": "c", "type": "function", "function": {"name": "add", "arguments": "{}"}}]}, {"role": "tool", "tool_call_id": "c", "content": "4"}]}) + "\n")
    reports = [convert(p, tmp_path/str(n), name="x", progress=False) for n, p in enumerate([*good, tmp_path/"log.jsonl"])]
    files = [f for r in reports for f in r.files if f.suffix == ".jsonl"]
    done = subprocess.run([oracle, str(shared/"oracle/aigo.py"), *map(str, files), "--strict"], capture_output=True, text=True, timeout=300)
    assert "ORACLE OK" in done.stdout, done.stdout[-2000:] + done.stderr[-2000:]


ODD = st.recursive(PLAIN | st.sampled_from(["user", "assistant", "message", "tool_use", "text", "function_call", "response", "ATIF-v1.7"]), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
    st.sampled_from(["messages", "role", "content", "type", "tool_calls", "function", "arguments", "request", "response", "body", "choices", "message", "input", "output", "steps", "source", "agent", "schema_version",
                     "metadata", "index", "annotations", "prompt", "params", "result", "system", "tools", "model", "usage", "object"]), inner, max_size=5), max_leaves=20)


@given(ODD, st.sets(st.sampled_from(["messages", "metadata", "simulations", "steps"])))
def test_looking_at_a_record_never_fails(record, keys):
    "Whatever it is; and reading what was recognised gives a sound row or a reject"
    for form in load_formats().values():
        assert form.sniff(keys, record) in (True, False), form.name
        if form.name == "tau2" or not form.sniff(keys, record): continue
        try:
            read = form.one.decode(json.dumps(record))
            sound(build(form, [read] if form.session else read, Context(raw=lambda: b"x")))
        except Rejected: pass
