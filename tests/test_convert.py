"""The converter on small inputs: what every real log has done to its ids, texts and arguments, and what has to come of it."""
import json

import msgspec
import pytest

from tracekit import MessageConverter, Rejected, Trace
from tracekit.convert import Calls, arguments_text, failed, fitting, parts, result_content, short_hash
from tracekit.pipeline import read


def calls(*names, role="assistant", content=None, **more):
    "A message that calls tools: a call `f` is named f and has the id f; `f:x` has the id x, `f:` none at all"
    made = []
    for name in names:
        name, colon, id = name.partition(":")
        made.append({"name": name, "arguments": {}, **({"id": id or name} if id or not colon else {})})
    return {"role": role, "content": content, "tool_calls": made, **more}


def result(content, id=None, **more):
    "A tool message, without an id if none is given"
    return {"role": "tool", "content": content, **({} if id is None else {"id": id}), **more}


def said(text="hi", role="user"): return {"role": role, "content": text}


def converted(*messages):
    "The trace of some messages, and the results that were left over"
    converter = MessageConverter()
    return Trace.from_items(converter.convert(messages)), converter.orphans


def answers(*messages):
    "The output of each call in order, None for those without"
    return [o and o.output for _, o in converted(*messages)[0].pairs]


PAIRINGS = {
    "1 ids on every result": ([calls("f", "g", "h"), result("F", "f"), result("G", "g"), result("H", "h")], ["F", "G", "H"], 0),
    "1 ids on every result, in any order": ([calls("f", "g", "h"), result("H", "h"), result("F", "f"), result("G", "g")], ["F", "G", "H"], 0),
    "2 no ids, in order": ([calls("f", "g"), result("F"), result("G")], ["F", "G"], 0),
    "2 no ids on either side": ([calls("f:", "g:"), result("F"), result("G")], ["F", "G"], 0),
    "3 no ids: order is all there is": ([calls("f", "g"), result("G"), result("F")], ["G", "F"], 0),
    "4 the first result lacks its id and belongs to the second call": ([calls("f", "g"), result("G"), result("F", "f")], ["F", "G"], 0),
    "4 the second of three lacks its id": ([calls("f", "g", "h"), result("H", "h"), result("F"), result("G", "g")], ["F", "G", "H"], 0),
    "5 a call that nobody answered stays so": ([calls("f"), said(), calls("g"), result("G")], [None, "G"], 0),
    "5 also when it had the empty id": ([calls("f:"), said(), calls("g:"), result("G", "")], [None, "G"], 0),
    "5 and by another side": ([calls("f"), said(), calls("g", role="user"), result("G", requestor="user")], [None, "G"], 0),
    "6 one id in two turns": ([calls("f:x"), result("F", "x"), said(), calls("g:x"), result("G", "x")], ["F", "G"], 0),
    "6 one id in two turns, no ids on results": ([calls("f:x"), result("F"), said(), calls("g:x"), result("G")], ["F", "G"], 0),
    "7 one id twice in a message, on results too": ([calls("f:x", "g:x"), result("F", "x"), result("G", "x")], ["F", "G"], 0),
    "7 one id twice in a message, none on results": ([calls("f:x", "g:x"), result("F"), result("G")], ["F", "G"], 0),
    "8 empty ids": ([calls("f:", "g:"), result("F", ""), result("G", ""), said(), calls("h:"), result("H", "")], ["F", "G", "H"], 0),
    "9 an id nobody called stands in the place of its call": ([calls("f", "g"), result("F", "zzz"), result("G", "g")], ["F", "G"], 0),
    "9 an id nobody called, with all calls answered": ([calls("f"), result("F", "f"), result("Z", "zzz")], ["F"], 1),
    "9 an id nobody called, before any call": ([said(), result("Z", "zzz")], [], 1),
    "10 no id and nothing open": ([calls("f"), result("F"), result("Z")], ["F"], 1),
    "10 no id and no call at all": ([result("Z"), said()], [], 1),
    "11 tool_call_id": ([calls("f", "g"), result("G", tool_call_id="g"), result("F", tool_call_id="f")], ["F", "G"], 0),
    "11 tool_call_id beside an id of its own": ([calls("f", "g"), result("G", "msg_1", tool_call_id="g"), result("F", "msg_2", tool_call_id="f")], ["F", "G"], 0),
    "11 call_id": ([calls("f", "g"), result("G", call_id="g"), result("F", call_id="f")], ["F", "G"], 0),
    "11 an empty id beside tool_call_id": ([calls("f", "g"), result("G", "", tool_call_id="g"), result("F", "", tool_call_id="f")], ["F", "G"], 0),
    "13 nested": ([calls("f", "g"), {"role": "tool", "tool_messages": [result("F", "f"), result("G", "g")]}], ["F", "G"], 0),
    "13 nested, no ids": ([calls("f", "g"), {"role": "tool", "tool_messages": [result("F"), result("G")]}], ["F", "G"], 0),
    "13 nested, out of order": ([calls("f", "g"), {"role": "tool", "tool_messages": [result("G", "g"), result("F", "f")]}], ["F", "G"], 0),
    "13 nested and empty": ([calls("f"), {"role": "tool", "tool_messages": []}, result("F")], ["F"], 0),
    "13 nested, with an id outside": ([calls("f", "g"), {"role": "tool", "id": "f", "tool_messages": [result("F", "f"), result("G", "g")]}], ["F", "G"], 0),
    "19 the result says whose it is": ([calls("f"), calls("g", role="user"), result("F", requestor="assistant"), result("G", requestor="user")], ["F", "G"], 0),
    "19 the last batch if it does not": ([calls("f"), calls("g", role="user"), result("G"), result("F", "f")], ["F", "G"], 0),
    "19 a side that called nothing": ([calls("f"), result("Z", requestor="user")], [None], 1),
    "19 one id on both sides": ([calls("f:x"), calls("g:x", role="user"), result("G", "x", requestor="user"), result("F", "x", requestor="assistant")], ["F", "G"], 0),
    "22 numbers as ids": ([{"role": "assistant", "tool_calls": [{"id": 1, "name": "f"}, {"id": 2, "name": "g"}]}, result("G", 2), result("F", 1)], ["F", "G"], 0),
    "22 zero as an id": ([{"role": "assistant", "tool_calls": [{"id": 0, "name": "f"}, {"id": 1, "name": "g"}]}, result("G", 1), result("F", 0)], ["F", "G"], 0),
    "22 null as an id": ([{"role": "assistant", "tool_calls": [{"id": None, "name": "f"}]}, {"role": "tool", "id": None, "content": "F"}], ["F"], 0),
    "a result before its call": ([result("F", "f"), said(), calls("f")], ["F"], 0),
    "a result before its call, and another id after": ([said(), result("F", "f"), calls("g"), result("G", "g"), calls("f")], ["G", "F"], 0),
    "an answer after other words": ([calls("f"), said("wait", "assistant"), result("F")], ["F"], 0),
    "a late answer by its id": ([calls("f"), said(), calls("g"), result("G", "g"), said(), result("F", "f")], ["F", "G"], 0),
    "two answers to one call": ([calls("f"), result("F", "f"), result("again", "f")], ["F"], 1),
    "function for tool": ([calls("f"), {"role": "function", "name": "f", "content": "F"}], ["F"], 0),
    "an old function_call": ([{"role": "assistant", "function_call": {"name": "f", "arguments": "{}"}}, {"role": "function", "name": "f", "content": "F"}], ["F"], 0),
}


@pytest.mark.parametrize("name", PAIRINGS)
def test_each_call_gets_its_own_result(name):
    "The outputs of the calls in order, and how many results fit no call; the trace's ids are sound"
    messages, expected, left_over = PAIRINGS[name]
    trace, orphans = converted(*messages)
    assert [o and o.output for _, o in trace.pairs] == expected and len(orphans) == left_over
    ids = [c.call_id for c in trace.calls]
    assert len(set(ids)) == len(ids) and all(ids) and {o.call_id for o in trace.outputs} <= set(ids) and len({o.call_id for o in trace.outputs}) == len(trace.outputs)
    seen = set()
    for item in trace.items:
        if item.type == "function_call": seen.add(item.call_id)
        elif item.type == "function_call_output": assert item.call_id in seen, "an output stands before its call"


def test_ids_are_the_same_in_every_run():
    "A hash of the log's id and of its occurrence; messages are counted"
    messages = [said(), calls("f:x", "g:x", "h:", "i:"), result("F"), result("G"), said()]
    first, second = (converted(*messages)[0].model_dump(mode="json") for _ in range(2))
    assert first == second
    trace = Trace.model_validate(first)
    assert [c.call_id for c in trace.calls] == [c.id for c in trace.calls] == [short_hash("x"), short_hash("x#2"), short_hash(""), short_hash("#2")]
    assert len({m.id for m in trace.messages}) == 2 and [c.original_call_id for c in trace.calls] == ["x", "x", None, None]


def test_call_ids_never_meet():
    "Not even where one id looks like the occurrence of another"
    ids = ["x", "x", "x#2", "x#2", "", "#2", "x#3", "x"] * 3
    kept = Calls()
    kept.begin("assistant")
    assert len({kept.open(id, "assistant").call_id for id in ids}) == len(ids)


def test_results_carry_their_calls_names():
    "original_call_id and created_by of an output are those of its call"
    trace, _ = converted(calls("f", role="user"), result("F", "f"), calls("g:"), result("G"))
    made_by = [[(i.original_call_id, i.created_by) for i in items] for items in (trace.calls, trace.outputs)]
    assert made_by == [[("f", "user"), (None, "assistant")]] * 2


@pytest.mark.parametrize("role, requestor, expected", [
    ("assistant", None, "assistant"), ("user", None, "user"), ("assistant", "user", "user"), ("user", "assistant", "assistant")])
def test_the_requestor_of_a_call_is_who_made_it(role, requestor, expected):
    "Whoever speaks, unless the call says otherwise"
    call = {"id": "c", "name": "f", "arguments": {}, **({"requestor": requestor} if requestor else {})}
    trace, _ = converted({"role": role, "tool_calls": [call]}, result("F", "c", **({"requestor": requestor} if requestor else {})))
    assert trace.calls[0].created_by == trace.outputs[0].created_by == expected


def test_two_sides_in_one_message():
    "Calls of both sides in one message, answered without ids but by side"
    both = {"role": "assistant", "tool_calls": [{"name": "f", "requestor": "assistant"}, {"name": "g", "requestor": "user"}, {"name": "h", "requestor": "assistant"}]}
    assert answers(both, result("G", requestor="user"), result("F", requestor="assistant"), result("H", requestor="assistant")) == ["F", "G", "H"]


@pytest.mark.parametrize("content, expected", [
    ("hi", [("input_text", "hi")]), ("", [("input_text", "")]), (None, []), ([], []), (12.5, [("input_text", "12.5")]), (0, [("input_text", "0")]),
    (True, [("input_text", "true")]), ({"a": 1}, [("input_text", '{"a":1}')]),
    (["a", "b"], [("input_text", "a"), ("input_text", "b")]), ([{"type": "text", "text": "a"}], [("input_text", "a")]),
    ([{"type": "output_text", "text": "a"}], [("input_text", "a")]),
    ([{"type": "image_url", "image_url": {"url": "u", "detail": "low"}}], [("input_image", "u")]), ([{"type": "input_image", "image_url": "u"}], [("input_image", "u")]),
    ([{"type": "thinking", "thinking": "hm"}], [("reasoning_text", "hm")]), ([{"type": "refusal", "refusal": "no"}], [("refusal", "no")]),
    ([{"type": "new", "x": 1}], [("input_text", '{"type":"new","x":1}')]), ([7], [("input_text", "7")]),
    ([{"type": "text", "text": 7}], [("input_text", '{"type":"text","text":7}')])])
def test_the_content_of_a_message_in_any_form(content, expected):
    "Text, a list of parts, a number or nothing become parts, and nothing is lost"
    trace, _ = converted({"role": "user", "content": content})
    assert [(p.type, next(v for v in (getattr(p, n, None) for n in ("text", "image_url", "refusal")) if v is not None)) for p in trace.items[0].content] == expected


def test_text_of_the_assistant_is_output_text():
    "And what went in is input_text, in every role; thinking comes first"
    thought = {"role": "assistant", "content": "f", "reasoning_content": "hm"}
    trace, _ = converted(said("a", "assistant"), said("b", "system"), said("c", "developer"), said(["d", "e"], "assistant"), thought)
    kinds = [["output_text"], ["input_text"], ["input_text"], ["output_text", "output_text"], ["reasoning_text", "output_text"]]
    assert [[p.type for p in m.content] for m in trace.messages] == kinds
    assert [m.role for m in trace.messages] == ["assistant", "system", "developer", "assistant", "assistant"]


@pytest.mark.parametrize("content, expected", [
    ("text", "text"), ("", ""), (None, ""), ({"a": "Zoë"}, '{"a":"Zoë"}'), ([1, None], "[1,null]"), ([], "[]"), (5, "5"), (False, "false"), ("null", "null"),
    ([{"type": "text", "text": "ok"}], "ok"), ({"big": 2**70}, f'{{"big":{2**70}}}'), ([{"type": "other"}], '[{"type":"other"}]'), ([{"a": 1}], '[{"a":1}]')])
def test_what_a_tool_returned_is_text(content, expected):
    "Data becomes JSON text without escapes, and nothing becomes empty text, not the word null"
    assert answers(calls("f"), result(content, "f")) == [expected] and result_content(content) == expected


def test_a_tool_may_return_pictures():
    "A list of text and images stays one"
    trace, _ = converted(calls("f"), result([{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": "u"}}], "f"))
    assert [p.type for p in trace.outputs[0].output] == ["input_text", "input_image"]


@pytest.mark.parametrize("message, types", [
    (calls("f", content=""), ["function_call"]), (calls("f", content=None), ["function_call"]), (calls("f", content=[]), ["function_call"]),
    (calls("f", content="text"), ["message", "function_call"]),
    (calls("f", "g", content="text", role="user"), ["message", "function_call", "function_call"]), (said("", "assistant"), ["message"]),
    ({"role": "assistant", "content": "", "tool_calls": []}, ["message"]),
    ({"role": "assistant", "content": "a", "tool_calls": None}, ["message"]), ({"role": "assistant"}, ["message"]),
    (calls("f", content="", reasoning="hm"), ["message", "function_call"])])
def test_text_beside_calls(message, types):
    "Text comes before the calls; empty text beside calls is no message, and an empty message without calls stays a turn"
    assert [i.type for i in converted(message)[0].items] == types


@pytest.mark.parametrize("error, expected", [
    (True, True), ("true", True), ("True", True), (1, True), ("timeout", True), ({"code": 1}, True), (False, False), (None, False), (0, False), ("", False),
    ("false", False), ("False", False), ("0", False), ("none", False)])
def test_a_failed_call_is_incomplete(error, expected):
    "However the log says that it failed"
    trace, _ = converted(calls("f"), result("F", "f", error=error))
    assert failed(error) is expected and trace.outputs[0].status == ("incomplete" if expected else "completed")


@pytest.mark.parametrize("arguments, expected", [
    ({"x": 1, "y": "é"}, '{"x":1,"y":"é"}'), ({}, "{}"), (None, "{}"), ("", "{}"), ('{"x": 1}', '{"x": 1}'), (' {"x": 1} ', ' {"x": 1} '),
    ("{'x': None, 'y': True, 'z': (1, 2)}", '{"x":null,"y":true,"z":[1,2]}'), ("{'it\\'s': 'Zoë'}", '{"it\'s":"Zoë"}'),
    ("x=1", "x=1"), ('{"x": ', '{"x": '), ("[1, 2]", "[1, 2]"), ([1], "[1]"), (5, "5"), ("null", "null"), ('{"x": NaN}', '{"x":null}'),
    ("{'x': float('nan')}", "{'x': float('nan')}"), ("{'x': 1e999}", '{"x":null}'),
    ({"big": 2**70}, f'{{"big":{2**70}}}'), (f'{{"big": {2**70}}}', f'{{"big": {2**70}}}'), ("{'a': {'x', 'y', 'z'}}", "{'a': {'x', 'y', 'z'}}"),
    ("{'a': b'x'}", "{'a': b'x'}"), ("__import__('os')", "__import__('os')"), ("(" * 300, "(" * 300), ("{" * 5000, "{" * 5000),
    ('{"x": "\\ud83d"}', '{"x":"\ufffd"}'), ("{1: 2}", '{"1":2}')])
def test_arguments_in_any_form(arguments, expected):
    "JSON text in the end; text that is no data at all stays as it is"
    assert arguments_text(arguments) == expected
    for call in ({"name": "f", "arguments": arguments}, {"type": "function", "function": {"name": "f", "arguments": arguments}}):
        assert converted({"role": "assistant", "tool_calls": [call]})[0].calls[0].arguments == expected


def test_missing_arguments_are_none():
    "A call without arguments has the empty object"
    assert [c.arguments for c in converted({"role": "assistant", "tool_calls": [{"name": "f"}, {"function": {"name": "g"}}]})[0].calls] == ["{}", "{}"]


def test_nested_functions_are_calls():
    "OpenAI's form, with its type, its id and its arguments as text"
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}
    trace, _ = converted({"role": "assistant", "content": None, "tool_calls": [call]}, result("F", tool_call_id="a"))
    assert [(c.name, trace.get_function_call_arguments(c), o.output) for c, o in trace.pairs] == [("f", {"x": 1}, "F")]


@pytest.mark.parametrize("messages, path, cause", [
    ([said(), {"content": "hi"}], "$[1]", "role"), ([{"role": None, "content": "hi"}], "$[0].role", "null"), ([{"role": 7}], "$[0].role", "int"),
    ([said(), said(), {"role": "critic"}], "$.messages[2].role", "critic"), ([{"role": ""}], "$.messages[0].role", "role"),
    ([said(), {"role": "assistant", "tool_calls": [{"id": "c"}]}], "$.messages[1].tool_calls[0]", "without a name"),
    ([{"role": "assistant", "tool_calls": [{"name": None}]}], "$.messages[0].tool_calls[0]", "without a name"),
    ([{"role": "assistant", "tool_calls": [{"name": "f"}, {"function": {}}]}], "$.messages[0].tool_calls[1]", "without a name"),
    ([{"role": "assistant", "tool_calls": {"name": "f"}}], "$[0].tool_calls", "array"),
    ([{"role": "assistant", "tool_calls": ["f"]}], "$[0].tool_calls[0]", "object"), (["hi"], "$[0]", "object"), ([None], "$[0]", "object"),
    ([{"role": "assistant", "tool_calls": [{"id": ["a"], "name": "f"}]}], "$[0].tool_calls[0].id", "array"),
    ([{"role": "tool", "tool_messages": [{"content": "x"}]}], "$[0].tool_messages[0]", "role")])
def test_a_message_that_is_none_is_refused(messages, path, cause):
    "With the place and the reason"
    with pytest.raises(Rejected) as caught: MessageConverter().convert(messages)
    assert caught.value.path == path and cause in caught.value.cause


def test_what_stays_of_a_message():
    "Time, turn, cost and usage stay on its first item; the calls share its time"
    when = {"timestamp": "2025-06-01T10:00:00", "turn_idx": 3, "cost": 0.5, "usage": {"prompt_tokens": 1}}
    items = converted(calls("f", "g", content="text", **when), result("F", "f", timestamp="2025-06-01T10:00:01", turn_idx=4))[0].model_dump(mode="json")["items"]
    assert all(items[0][name] == value for name, value in when.items()) and [i.get("timestamp") for i in items] == [when["timestamp"]] * 3 + ["2025-06-01T10:00:01"]
    assert [i.get("cost") for i in items] == [0.5, None, None, None] and items[3]["turn_idx"] == 4


def test_the_methods_one_by_one():
    "Give what convert gives"
    by_hand = MessageConverter()
    by_hand.convert_user_content("hi")
    by_hand.convert_assistant_content("hello")
    by_hand.convert_tool_calls([{"id": "a", "name": "f", "arguments": {}}], "assistant")
    by_hand.convert_tool_result(result("F", "a"))
    assert by_hand.items == converted(said(), said("hello", "assistant"), calls("f:a"), result("F", "a"))[0].items
    assert parts("user", "hi") == [{"type": "input_text", "text": "hi"}]


def rows_of(tmp_path, *simulations, **head):
    "The rows of a tau2 log, and what was set aside"
    path, rejects = tmp_path/"log.json", []
    path.write_text(json.dumps({**head, "simulations": list(simulations)}))
    return list(read(path, rejects=rejects)), rejects


def test_an_orphan_is_told_and_never_invented(tmp_path):
    "It stands in metadata.extra.orphans with its place, and no item is made for it"
    orphan = result({"z": 1}, "zzz", requestor="user", error=True, name="g")
    [row], _ = rows_of(tmp_path, {"id": "s", "task_id": "t", "messages": [said(), calls("f"), result("F", "f"), orphan, said("bye")]})
    assert [i.type for i in row.trace.items] == ["message", "function_call", "function_call_output", "message"]
    assert row.trace.metadata.extra["orphans"] == [{"before_item": 3, "id": "zzz", "requestor": "user", "name": "g", "content": {"z": 1}, "error": True}]


@pytest.mark.parametrize("simulation", [
    {"id": "s"}, {"task_id": "t"}, {"messages": []}, {"messages": [said()]}, {"id": "s", "messages": None}, {"task_id": "t", "messages": [said()]},
    {"id": "s", "task_id": 3, "messages": []}, {"id": 7, "messages": [said()]}, {"id": "", "task_id": "", "messages": [said()]},
    {"id": None, "task_id": None, "messages": [said()]},
    {"id": "s", "messages": [said()], "reward_info": None, "trial": None, "seed": None, "termination_reason": None, "duration": None}])
def test_a_simulation_that_lacks_nearly_everything_is_still_a_row(tmp_path, simulation):
    "Its trace has an id, and nothing is set aside"
    [row, other], rejects = rows_of(tmp_path, simulation, {"id": "other", "task_id": "t", "messages": [said()]}, info={}, tasks=[])
    assert not rejects and row.trace.metadata.trace_id and row.trace.metadata.trace_id != other.trace.metadata.trace_id
    assert row.simulation_id == (str(simulation.get("id") or "") or None) and len(row.trace.items) == len(simulation.get("messages") or ())


@pytest.mark.parametrize("simulation", [{}, {"messages": None}, {"id": None, "task_id": None, "messages": None, "reward": 1.0}])
def test_a_record_that_tells_of_no_simulation_is_set_aside(tmp_path, simulation):
    "With neither messages nor any id there is nothing to make a trace of; it is not passed over in silence"
    rows, rejects = rows_of(tmp_path, simulation, {"id": "other", "task_id": "t", "messages": [said()]}, info={}, tasks=[])
    assert len(rows) == 1 and [(r["record"], r["stage"]) for r in rejects] == [(0, "convert")] and "no simulation" in rejects[0]["cause"]


def test_one_broken_simulation_costs_only_itself(tmp_path):
    "A log is not lost because of a record"
    sound = {"id": "a", "task_id": "t", "messages": [said()]}
    rows, rejects = rows_of(tmp_path, sound, {"id": "b", "task_id": "t", "messages": [{"content": "no role"}]}, {**sound, "id": "c"}, info={}, tasks=[])
    assert [row.simulation_id for row in rows] == ["a", "c"] and [(r["record"], r["stage"], r["path"]) for r in rejects] == [(1, "fields", "$.messages[0]")]


@pytest.mark.parametrize("usage, tokens", [
    ({"prompt_tokens": 1, "completion_tokens": 2}, 3), ({"prompt_tokens": 1.0, "completion_tokens": 2.0}, 3), ({}, None), ({"prompt_tokens": 1}, None),
    ("many", None), ([], None),
    ({"prompt_tokens": "1", "completion_tokens": "2"}, None), ({"prompt_tokens": None, "completion_tokens": 2}, None), (None, None)])
def test_usage_in_any_form_costs_no_record(tmp_path, usage, tokens):
    "Tokens are counted where they are numbers"
    [row], rejects = rows_of(tmp_path, {"id": "s", "task_id": "t", "messages": [{"role": "assistant", "content": "hi", "usage": usage}]}, info={}, tasks=[])
    assert not rejects and row.trace.metadata.total_tokens == tokens


def test_nothing_that_is_no_json_is_written(tmp_path):
    "NaN and infinities become null, half a character the replacement character; the row says so"
    path = tmp_path/"log.jsonl"
    said = '{"role": "assistant", "content": "half \\ud83d", "tool_calls": [{"id": "c", "name": "f", "arguments": {"x": NaN, "y": -Infinity}}]}'
    path.write_text(f'{{"id": "s", "task_id": "t", "duration": NaN, "messages": [{said}]}}\n')
    [row] = read(path)
    assert row.duration is None and row.trace.calls[0].arguments == '{"x":null,"y":null}' and row.trace.messages[0].content[0].text == "half \ufffd"
    assert len(row.trace.metadata.extra["repaired"]) == 4 and msgspec.json.decode(row.trace.model_dump_json())


def test_no_simulations_give_no_rows(tmp_path):
    "An empty list is a sound log without records"
    assert rows_of(tmp_path, info={}, tasks=[]) == ([], []) and rows_of(tmp_path) == ([], [])


def test_a_look_at_a_strange_record_never_fails(recwarn):
    "Sniffing says no to what it does not expect; it does not raise, which would be told as a warning"
    for calls in (1, "x", {"a": 1}, [1], None):
        for role in ("assistant", 7, None): fitting({"messages"}, {"messages": [{"role": role, "content": 1, "tool_calls": calls}]})
    assert not [w for w in recwarn if "sniff" in str(w.message)]
