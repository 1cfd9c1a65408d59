"""The trace: models and plain data are two faces of one shape, and what is wrong is said with its place."""
import json
from copy import deepcopy
from datetime import datetime

import msgspec
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracekit import SchemaError, Trace, TraceMetadata
from tracekit.dataset import Dataset, row_findings, spec_text
from tracekit.row import Row, check, line
from tracekit.source import Rejected
from tracekit.trace import (
    CompactionEvent,
    FunctionCallEvent,
    Message,
    MessageEvent,
    ModelCallEvent,
    SpanBeginEvent,
    SpanEndEvent,
    assistant,
    call,
    input_text,
    message,
    output,
    output_text,
    plain_metadata,
    plain_trace,
    reasoning_text,
    stamp,
    system,
    twin,
    user,
)

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
MAYBE = st.none() | TEXTS
FLOATS = st.floats(-1e15, 1e15)   # orjson and pydantic write 1e+16, msgspec 1e16: see below
NUMBERS = st.integers() | st.integers(-2**80, 2**80) | FLOATS
DATA = st.recursive(st.none() | st.booleans() | NUMBERS | TEXTS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=6)
KEPT = st.dictionaries(st.sampled_from(["timestamp", "turn_idx", "cost", "usage", "original_call_id", "created_by", "späť", "x y"]), DATA, max_size=3)
STATUS = st.sampled_from(["in_progress", "completed", "incomplete"])


def fields(**given):
    "An object with these fields, in this order"
    return st.tuples(*given.values()).map(lambda values: dict(zip(given, values)))


def one(text): return st.just(text)


TOKENS = {"token": TEXTS, "logprob": FLOATS, "bytes": st.lists(st.integers(0, 255), max_size=3)}
LOGPROBS = fields(**TOKENS, top_logprobs=st.lists(fields(**TOKENS), max_size=2))
CITATIONS = fields(type=one("url_citation"), url=TEXTS, start_index=st.integers(), end_index=st.integers(), title=TEXTS)
ANNOTATIONS = CITATIONS | fields(type=one("text_citation"), content=TEXTS)
IMAGES = fields(type=one("input_image"), image_url=MAYBE, detail=st.sampled_from(["low", "high", "auto"]))
FILES = fields(type=one("input_file"), filename=MAYBE, file_url=MAYBE)
WRITTEN = fields(type=one("output_text"), text=TEXTS, annotations=st.lists(ANNOTATIONS, max_size=2), logprobs=st.none() | st.lists(LOGPROBS, max_size=2))
SIMPLE = [st.builds(constructor, TEXTS) for constructor in (input_text, output_text, reasoning_text)]
PARTS = st.one_of(*SIMPLE, WRITTEN, IMAGES, FILES, fields(type=one("refusal"), refusal=TEXTS), fields(type=one("input_video"), video_url=TEXTS),
                  fields(type=st.sampled_from(["text", "summary_text"]), text=TEXTS))
RESULTS = TEXTS | st.lists(st.builds(input_text, TEXTS) | IMAGES | FILES, max_size=3)
CUSTOM = fields(type=st.sampled_from(["custom_task_input_message", "custom_task_output_message"]), content=DATA)


def keeping(constructor, *args):
    "An item of a constructor, with fields beyond the schema"
    return st.builds(lambda kept, *given: constructor(*given, **kept), KEPT, *args)


ITEMS = st.one_of(keeping(user, TEXTS, TEXTS), keeping(assistant, TEXTS, TEXTS), keeping(system, TEXTS, TEXTS), keeping(call, TEXTS, TEXTS, TEXTS),
                  keeping(output, TEXTS, RESULTS, STATUS),
                  keeping(message, st.sampled_from(["user", "assistant", "system", "developer"]), st.lists(PARTS, max_size=4), TEXTS), CUSTOM)
METADATA = st.builds(plain_metadata, trace_id=MAYBE, source_type=MAYBE, source_uri=MAYBE, agent=MAYBE, model=MAYBE, tags=st.none() | st.lists(TEXTS, max_size=3),
                     created_at=st.none() | st.datetimes().map(lambda when: stamp(when.isoformat())), total_time=st.none() | FLOATS,
                     total_tokens=st.none() | st.integers(), message_count=st.none() | st.integers(), error=MAYBE,
                     extra=st.none() | st.dictionaries(TEXTS, DATA, max_size=3))
TRACES = st.builds(plain_trace, st.lists(ITEMS, max_size=6), st.none() | METADATA)


def exact_json(value):
    "JSON by orjson or, for integers beyond 64 bits, by msgspec"
    try: return orjson.dumps(value)
    except TypeError: return msgspec.json.encode(value)


@settings(max_examples=400)
@given(TRACES)
def test_plain_data_and_models_are_two_faces(plain):
    "A plain trace is the canonical full form of its model, to the byte; and the fast check accepts it"
    trace = Trace.model_validate(plain)
    assert trace.model_dump(mode="json") == plain and list(trace.model_dump(mode="json")) == list(plain)
    assert trace.model_dump_json().encode() == msgspec.json.encode(plain) == exact_json(plain)
    msgspec.convert(plain, twin(Trace))
    assert Trace.model_validate_json(exact_json(plain)) == trace


@pytest.mark.parametrize("number", [1e16, 1.5e17, 1e21, 1e300, 1e-5, 1e-6, 1e-7, 5e-324, -0.0, 2**64, -2**80])
def test_both_faces_spell_a_number_alike(number):
    "However large or small it is, the model writes what orjson writes"
    plain = plain_trace([user("a", "m", cost=number)], plain_metadata(extra={"n": [number]}))
    assert Trace.model_validate(plain).model_dump_json().encode() == exact_json(plain)


@settings(max_examples=200)
@given(TRACES, st.dictionaries(TEXTS.filter(lambda name: name != "trace" and name.isidentifier()), DATA, max_size=3))
def test_a_row_comes_back_from_its_line(plain, columns):
    "The line of a row is one line for every reader, and reads back as the same row"
    row = {"trace": plain, **columns}
    text = line(check(row))
    assert text.endswith(b"\n") and text.decode().splitlines() == [text.decode()[:-1]]
    assert msgspec.json.decode(text) == row and (Row(**row).trace, Row(**row).columns) == (Trace.model_validate(plain), columns)
    assert Trace.model_validate(plain).text() and repr(Row(**row))


@settings(max_examples=50)
@given(st.lists(TRACES, min_size=1, max_size=5))
def test_a_dataset_comes_back_from_its_file(tmp_path_factory, traces):
    "All rows, one row by its number, one column, by the path of the rows or of the spec"
    folder, rows = tmp_path_factory.mktemp("d"), [{"trace": plain, "n": n} for n, plain in enumerate(traces)]
    (folder/"d.jsonl").write_bytes(b"".join(map(line, rows)))
    (folder/"d.yaml").write_bytes(spec_text("d", "d.jsonl"))
    for dataset in (Dataset(folder/"d.jsonl"), Dataset(folder/"d.yaml")):
        assert list(dataset.plain()) == rows and len(dataset) == len(rows) and dataset.column("n") == list(range(len(rows)))
        assert [row.trace for row in dataset] == [Trace.model_validate(plain) for plain in traces]
        assert dataset[-1].n == len(rows) - 1 and dataset[0].trace == Trace.model_validate(traces[0])


@settings(max_examples=200)
@given(TRACES)
def test_no_trace_leaves_a_helper_without_an_answer(plain):
    "The helpers work on any trace, and the views together hold each item once"
    trace = Trace.model_validate(plain)
    assert trace.preamble + trace.conversation_items == trace.items and len(trace.pairs) == len(trace.calls)
    assert len(trace.turns) == len(trace.user_messages) and sum(1 + len(t.assistant_items) for t in trace.turns) == len(trace.conversation_items)
    assert [trace.get_function_output_for_call(c.call_id) for c, _ in trace.pairs] == [o for _, o in trace.pairs]
    for helper in (trace.get_last_assistant_text, trace.get_last_user_text, trace.get_first_system_prompt): assert isinstance(helper(), str | None)
    assert trace.text().count("\n") == max(len(trace.items) - 1, 0)


def whole():
    "A trace with something of everything"
    parts = [output_text("a"), reasoning_text("r"), {"type": "refusal", "refusal": "no"}]
    items = [system("s", "m0"), user("u", "m1"), message("assistant", parts, "m2"), call("c1", "f", "{}", created_by="user"),
             output("c1", [input_text("x"), {"type": "input_image", "image_url": None, "detail": "low"}, {"type": "input_file", "filename": "f", "file_url": None}]),
             {"type": "custom_task_output_message", "content": None}]
    events = [Trace.from_events([MessageEvent(id="e", item=Message(id="m", status="completed", role="user", content=[]))]).model_dump(mode="json")["events"][0]]
    return plain_trace(items, plain_metadata(trace_id="t", created_at="2025-01-01T00:00:00", total_time=1.0, total_tokens=1, extra={}), events)


def put(value, *path):
    "The whole trace with one value changed"
    def change(plain):
        at = plain
        for step in path[:-1]: at = at[step]
        at[path[-1]] = value
    return change


def drop(*path):
    "The whole trace with one member removed"
    def change(plain):
        at = plain
        for step in path[:-1]: at = at[step]
        del at[path[-1]]
    return change


def changed(change):
    "The whole trace, changed"
    change(plain := whole())
    return plain


CONTENT, RESULT = ("items", 2, "content"), ("items", 4, "output")
GOOD = {
    "whole": lambda plain: None,
    "no items": put([], "items"),
    "no metadata": put(None, "metadata"),
    "no events": put(None, "events"),
    "empty events": put([], "events"),
    "latticeflow": put("latticeflow", "FORMAT"),
    "span": put("s", "span_id"),
    "extra field of an item": put(1, "items", 1, "turn_idx"),
    "extra field of a part": put(1, *CONTENT, 0, "more"),
    "extra field of an output part": put(1, *RESULT, 0, "more"),
    "empty content": put([], *CONTENT),
    "empty ids": put("", "items", 3, "call_id"),
    "empty name": put("", "items", 3, "name"),
    "arguments no JSON": put("x=1", "items", 3, "arguments"),
    "developer": put("developer", "items", 1, "role"),
    "output as text": put("", *RESULT),
    "output an empty list": put([], *RESULT),
    "incomplete": put("incomplete", "items", 4, "status"),
    "video": put([{"type": "input_video", "video_url": "u"}], *CONTENT),
    "summary": put([{"type": "summary_text", "text": "s"}, {"type": "text", "text": "t"}], *CONTENT),
    "citation": put([{"type": "text_citation", "content": "c"}], *CONTENT, 0, "annotations"),
    "custom content": put({"a": [1]}, "items", 5, "content"),
    "time with a zone": put("2025-01-01T00:00:00Z", "metadata", "created_at"),
}
BAD = {
    "no items member": drop("items"),
    "items null": put(None, "items"),
    "items a dict": put({}, "items"),
    "FORMAT unknown": put("x", "FORMAT"),
    "unknown member": put(1, "more"),
    "span a number": put(1, "span_id"),
    "unknown in metadata": put(1, "metadata", "more"),
    "metadata a list": put([], "metadata"),
    "tags a text": put("a", "metadata", "tags"),
    "tags of numbers": put([1], "metadata", "tags"),
    "tokens a fraction": put(1.5, "metadata", "total_tokens"),
    "time no time": put("yesterday", "metadata", "created_at"),
    "extra a list": put([], "metadata", "extra"),
    "trace_id a number": put(1, "metadata", "trace_id"),
    "item null": put(None, "items", 0),
    "item a text": put("hi", "items", 0),
    "item empty": put({}, "items", 0),
    "no type": drop("items", 1, "type"),
    "type null": put(None, "items", 1, "type"),
    "type unknown": put("reasoning", "items", 1, "type"),
    "no id": drop("items", 1, "id"),
    "id null": put(None, "items", 1, "id"),
    "id a number": put(1, "items", 1, "id"),
    "role tool": put("tool", "items", 1, "role"),
    "role in capitals": put("USER", "items", 1, "role"),
    "no role": drop("items", 1, "role"),
    "status failed": put("failed", "items", 4, "status"),
    "status null": put(None, "items", 3, "status"),
    "no status": drop("items", 3, "status"),
    "content a text": put("hi", *CONTENT),
    "content null": put(None, *CONTENT),
    "no content": drop(*CONTENT),
    "part a text": put(["hi"], *CONTENT),
    "part without type": drop(*CONTENT, 0, "type"),
    "part unknown": put("input_audio", *CONTENT, 0, "type"),
    "part without text": drop(*CONTENT, 0, "text"),
    "text null": put(None, *CONTENT, 0, "text"),
    "text a number": put(1, *CONTENT, 1, "text"),
    "refusal missing": drop(*CONTENT, 2, "refusal"),
    "annotations null": put(None, *CONTENT, 0, "annotations"),
    "annotation unknown": put([{"type": "file_citation"}], *CONTENT, 0, "annotations"),
    "logprobs wrong": put([{"token": "t"}], *CONTENT, 0, "logprobs"),
    "detail unknown": put("best", *RESULT, 1, "detail"),
    "no detail": drop(*RESULT, 1, "detail"),
    "no call_id": drop("items", 3, "call_id"),
    "name null": put(None, "items", 3, "name"),
    "arguments a dict": put({}, "items", 3, "arguments"),
    "arguments null": put(None, "items", 3, "arguments"),
    "output null": put(None, *RESULT),
    "output a number": put(1, *RESULT),
    "output a dict": put({}, *RESULT),
    "output of any dicts": put([{"a": 1}], *RESULT),
    "output of output_text": put([output_text("a")], *RESULT),
    "output of video": put([{"type": "input_video", "video_url": "u"}], *RESULT),
    "custom without content": drop("items", 5, "content"),
    "events a dict": put({}, "events"),
    "event unknown": put([{"type": "x"}], "events"),
    "unknown in event": put(1, "events", 0, "more"),
    "event without item": drop("events", 0, "item"),
    "call as event item": put(call("c", "f", "{}"), "events", 0, "item"),
}
LOOSE = {
    "no metadata member": drop("metadata"),
    "no FORMAT": drop("FORMAT"),
    "no span_id": drop("span_id"),
    "metadata without error": drop("metadata", "error"),
    "no annotations": drop(*CONTENT, 0, "annotations"),
    "no logprobs": drop(*CONTENT, 0, "logprobs"),
    "no image_url": drop(*RESULT, 1, "image_url"),
    "tokens as text": put("1", "metadata", "total_tokens"),
    "time as text": put("1.5", "metadata", "total_time"),
    "count true": put(True, "metadata", "message_count"),
    "created_at a number": put(1735689600, "metadata", "created_at"),
}


def refused(function, *args):
    "Whether a check refuses its argument"
    try: function(*args)
    except (SchemaError, msgspec.ValidationError): return True
    return False


@pytest.mark.parametrize("name", GOOD)
def test_model_and_twin_accept(name):
    "Both faces accept it, and the model gives it back unchanged"
    plain = changed(GOOD[name])
    assert Trace.model_validate(deepcopy(plain)).model_dump(mode="json") == plain
    msgspec.convert(plain, twin(Trace))
    assert check({"trace": plain})["trace"] is plain


@pytest.mark.parametrize("name", BAD)
def test_model_and_twin_refuse(name):
    "Neither face lets it through, and a row that holds it is set aside"
    plain = changed(BAD[name])
    assert refused(Trace.model_validate, plain) and refused(msgspec.convert, plain, twin(Trace)) and refused(lambda: Row(trace=plain))
    with pytest.raises(Rejected) as caught: check({"trace": plain})
    assert caught.value.stage == "check" and caught.value.path.startswith("$.trace")


@pytest.mark.parametrize("name", LOOSE)
def test_what_the_model_completes_the_twin_refuses(name):
    "The model fills in and converts, which changes the data; what is written must be canonical already, so the twin refuses"
    plain = changed(LOOSE[name])
    assert json.dumps(Trace.model_validate(deepcopy(plain)).model_dump(mode="json")) != json.dumps(plain)
    assert refused(msgspec.convert, plain, twin(Trace)) and list(row_findings(json.dumps({"trace": plain}).encode()))


@pytest.mark.parametrize("change, where, what", [
    (put("tool", "items", 1, "role"), "items[1].role", "'tool'"), (drop("items", 1, "type"), "items[1]", "has no \"type\""),
    (put("x", "items", 1, "type"), "items[1]", "type 'x' is unknown"),
    (put(1, *CONTENT, 1, "text"), "items[2].content[1].text", "got 1"), (put(1, *CONTENT, 2, "refusal"), "items[2].content[2].refusal", "got 1"),
    (put(1, "metadata", "error"), "metadata.error", "got 1"), (drop(*CONTENT, 0, "type"), "items[2].content[0]", "has no \"type\""),
    (put("hi", *CONTENT), "items[2].content", "'hi'"),
    (put({"a": 1}, "items", 3, "arguments"), "items[3].arguments", "got {'a': 1}"),
    (put(7, *RESULT), "items[4].output", "text or a list of parts, got 7"), (put("x", *RESULT, 1, "detail"), "items[4].output[1].detail", "'x'"),
    (drop("items", 4, "status"), "items[4].status", "is missing"), (put("failed", "items", 4, "status"), "items[4].status", "'failed'"),
    (put(1, "more"), "more", "is not a field of the schema"),
    (put(1, "metadata", "reward"), "metadata.reward", "put it into metadata.extra"),
    (put(1.5, "metadata", "total_tokens"), "metadata.total_tokens", "1.5"), (drop("items"), "items", "is missing"),
    (put({"role": "user", "content": "hi"}, "items", 0), "items[0]", "MessageConverter"),
    (put(1, "events", 0, "more"), "events[0].more", "is not a field"), (put(None, "items", 5), "items[5]", "None")])
def test_a_schema_error_names_item_and_field(change, where, what):
    "In one line, first the place and then what is wrong there"
    for build in (Trace.model_validate, lambda plain: Trace(**plain), lambda plain: Trace.model_validate_json(json.dumps(plain)), lambda plain: Row(trace=plain)):
        with pytest.raises(SchemaError) as caught: build(changed(change))
        first = str(caught.value).splitlines()[0].removeprefix("trace: ")
        assert first.startswith(f"{where}: ") and what in first and "pydantic" not in str(caught.value)


@pytest.mark.parametrize("given", [None, [], 7, "text", b"{", "{", '{"items": 1}', "[]", '{"items": [NaN]}'])
def test_no_trace_at_all(given):
    "Anything else gives a SchemaError too, which is a ValueError"
    read = Trace.model_validate_json if isinstance(given, str | bytes) else Trace.model_validate
    with pytest.raises(ValueError) as caught: read(given)
    assert type(caught.value) is SchemaError


def test_what_is_too_deep_to_be_written_is_told():
    "As a SchemaError, and by validate as a finding; what is less deep is written"
    for levels, sound in ((100, True), (300, False), (400, False)):
        deep = 1
        for n in range(levels): deep = [deep] if n % 2 else {"x": deep}
        item = {"type": "message", "id": "m", "role": "user", "status": "completed", "content": [], "usage": deep}
        trace = Trace(items=[item])
        if sound: assert trace.model_dump(mode="json")["items"][0]["usage"] == deep and trace.model_dump_json()
        else:
            with pytest.raises(SchemaError, match="nested too deeply"): trace.model_dump(mode="json")
            assert [what for what, _ in row_findings(json.dumps({"trace": {"items": [item]}}).encode())] == ["a value holds itself, or is nested too deeply: more than some 250 levels"]


def test_keys_keep_their_order():
    "The full dump has the schema's fields in the schema's order, then what was kept"
    dumped = Trace(items=[Message(turn_idx=1, content=[], role="user", status="completed", id="m")], metadata=TraceMetadata(model="m")).model_dump(mode="json")
    assert list(dumped) == ["FORMAT", "items", "metadata", "events", "span_id", "span_name", "span_type"] and list(dumped["metadata"]) == list(plain_metadata())
    assert list(dumped["items"][0]) == ["type", "id", "status", "role", "content", "turn_idx"]


def test_a_trace_as_text():
    "One line an item: its number, its type, its text, and who"
    shown = Trace.model_validate(whole()).text().splitlines()
    assert shown[0] == "[0] message: s (role=system)" and shown[3] == "[3] function_call: f (call_id=c1, created_by=user)" and len(shown) == 6
    assert "no" in shown[2] and "x" in shown[4] and "call_id=c1" in shown[4]


def test_a_long_trace_is_cut():
    "repr shows the first hundred items and says how to see the rest; str shows all"
    trace = Trace.from_items([user("a\nb " * 200)] * 150)
    assert repr(trace).splitlines()[-1] == "… and 50 more items: print(trace.text()) shows all" and len(repr(trace).splitlines()) == 101
    assert len(str(trace).splitlines()) == 150 and max(map(len, str(trace).splitlines())) < 130 and repr(Trace(items=[])) == "a trace without items"


def said(text, at=None, span=None):
    "A message event"
    return MessageEvent(item=user(text, text), timestamp=at, span_id=span)


def texts(trace): return [i.content[0].text for i in trace.items]


def test_events_are_put_in_order_of_time():
    "Whatever order they come in"
    trace = Trace.from_events([said("b", "2025-01-01T00:00:02"), said("a", "2025-01-01T00:00:01"), said("c", "2025-01-01T00:00:03")])
    assert texts(trace) == ["a", "b", "c"] and len(trace.events) == 3


@pytest.mark.parametrize("times, error", [(["2025-01-01T00:00:00", None], ValueError), (["2025-01-01T00:00:00", "2025-01-01T00:00:00Z"], TypeError)])
def test_times_that_cannot_be_ordered(times, error):
    "Only some events timed, or naive and aware times mixed"
    with pytest.raises(error): Trace.from_events([said("a", at) for at in times])


@pytest.mark.parametrize("status, types", [
    ("completed", ["function_call", "function_call_output"]), ("incomplete", ["function_call"]), ("in_progress", ["function_call"])])
def test_a_call_event_gives_its_call_and_result(status, types):
    "The result only if the call came to its end"
    made = Trace.from_events([said("a"), FunctionCallEvent(call_id="c", function="f", arguments="{}", result="r", status=status)])
    assert [i.type for i in made.items] == ["message", *types] and made.calls[0].call_id == "c" and made.calls[0].status == status


def modelled(context, made): return ModelCallEvent(model="m", input_context=context, output_items=made)


@pytest.mark.parametrize("events, expected", [
    ([modelled([user("a", "1")], [assistant("b", "2")])], ["a", "b"]),
    ([modelled([user("a", "1")], [assistant("b", "2")]), modelled([user("a", "1"), assistant("b", "2"), user("c", "3")], [assistant("d", "4")])], ["a", "b", "c", "d"]),
    ([modelled([user("a", "1")], [assistant("b", "2")]), CompactionEvent(strategy="summary"), modelled([user("s", "3")], [assistant("d", "4")])], ["a", "b", "s", "d"]),
    ([modelled([user("yes"), assistant("ok"), user("yes")], [assistant("ok")])], ["yes", "ok", "yes", "ok"])])
def test_without_messages_the_last_model_call_tells(events, expected):
    "What it had in its context and wrote, and what compactions had cut; what was said twice is there twice"
    assert texts(Trace.from_events(events)) == expected


def test_spans_are_traces():
    "The spans directly below, each with its own items, name and type, and spans of its own"
    events = [said("a"), SpanBeginEvent(span_id="s", name="outer", span_type="agent"), said("b", span="s"),
              SpanBeginEvent(span_id="t", parent_span_id="s", name="inner"), said("c", span="t"),
              SpanEndEvent(span_id="t"), SpanEndEvent(span_id="s"), said("d")]
    trace = Trace.from_events(events)
    [outer], [inner] = trace.spans(), trace.spans()[0].spans()
    assert (texts(trace), texts(outer), texts(inner), inner.spans()) == (["a", "d"], ["b"], ["c"], [])
    assert (outer.span_id, outer.span_name, outer.span_type, inner.span_name, inner.span_type) == ("s", "outer", "agent", "inner", None)
    assert Trace.model_validate(trace.model_dump(mode="json")) == trace and Trace(items=[]).spans() == []


@pytest.mark.parametrize("given, expected", [
    ("2025-06-01T10:00:00", "2025-06-01T10:00:00"), ("2025-06-01 10:00:00.5", "2025-06-01T10:00:00.500000"), ("2025-06-01T10:00:00+00:00", "2025-06-01T10:00:00Z"),
    ("2025-06-01T10:00:00Z", "2025-06-01T10:00:00Z"), ("2025-06-01T10:00:00+02:00", "2025-06-01T10:00:00+02:00"), (0, "1970-01-01T00:00:00Z"),
    (1748772000.5, "2025-06-01T10:00:00.500000Z"),
    ("1748772000", "2025-06-01T10:00:00Z"), (datetime(2025, 6, 1), "2025-06-01T00:00:00"), ("2025-06-01", "2025-06-01T00:00:00"), ("yesterday", None),
    ("", None), (None, None), ({}, None), ([], None), (1e300, None)])
def test_a_time_has_one_spelling(given, expected):
    "ISO text and seconds become the canonical spelling, which the model reads and writes unchanged; what is no time gives None"
    assert stamp(given) == expected
    if expected: assert TraceMetadata(created_at=expected).model_dump(mode="json")["created_at"] == expected


@given(st.datetimes() | st.datetimes(timezones=st.timezones() | st.just(None)), st.sampled_from([("", ""), ("T", " "), ("T", "t"), (".", ","), ("-", ""), (":00", ""), ("0", "00")]))
def test_a_time_that_is_canonical_already_is_told_from_others(when, change):
    "Canonical times are taken as they are; the model has to agree that they are canonical"
    text = when.isoformat().replace(*change) if change[0] else when.isoformat()
    try: expected = TraceMetadata(created_at=text).model_dump(mode="json")["created_at"]
    except ValueError: expected = None
    assert stamp(text) == expected


def test_what_the_platform_leaves_out_is_shown():
    "Calls where nothing else was recorded, model calls beside an inner span with messages, and a span that was never closed"
    call_event = FunctionCallEvent(call_id="c", function="f", arguments="{}", result="r", status="completed")
    assert [i.type for i in Trace.from_events([call_event]).items] == ["function_call", "function_call_output"]
    opened = SpanBeginEvent(span_id="s", name="inner")
    made = Trace.from_events([modelled([user("a", "1")], [assistant("b", "2")]), opened, said("c", span="s")])
    assert texts(made) == ["a", "b"] and [texts(s) for s in made.spans()] == [["c"]]
