"""Review records: every call and every result is in one record, and a window never has more tokens than it may."""
import json
from collections import Counter
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tracekit
from tracekit.rollouts import rollouts
from tracekit.row import Row
from tracekit.source import InputError
from tracekit.trace import call, output, plain_metadata, plain_trace, user
from tracekit.workflows.review import Talk, Window, before, clip, counter, estimate, interactions, messages_of, names_of, transcript, turns

FORMATS = ("claude_code", "codex", "hermes_agent", "pi_coding_agent")


def asked(id, name="f", arguments="{}"): return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}
def calling(*calls): return {"role": "assistant", "content": [], "tool_calls": list(calls)}
def answer(id, text="ok", **more): return {"role": "tool", "tool_call_id": id, "content": [{"type": "text", "text": text}], **more}


@pytest.fixture(scope="module")
def sessions(shared):
    "The rollout rows of all shared sessions"
    return [row for name in FORMATS for row in rollouts(shared/"data/rollouts/logs"/name, name, rejects=[])]


PAIRINGS = [
    ("in order", [calling(asked("a")), answer("a")], [(0, 1)]),
    ("out of order", [calling(asked("a"), asked("b")), answer("b"), answer("a")], [(0, 2), (0, 1)]),
    ("without ids", [calling(asked(None), asked(None)), answer(None), answer(None)], [(0, 1), (0, 2)]),
    ("an id on one only", [calling(asked("a"), asked("b")), answer(None), answer("a")], [(0, 2), (0, 1)]),
    ("an id that repeats", [calling(asked("a")), answer("a"), calling(asked("a")), answer("a")], [(0, 1), (2, 3)]),
    ("never answered", [calling(asked("a")), {"role": "user", "content": "stop"}], [(0, None)]),
    ("answered late", [calling(asked("a")), {"role": "user", "content": "hm"}, answer("a")], [(0, 2)]),
    ("no call", [answer("z"), calling(asked("a")), answer("a")], [(0, 0), (1, 2)]),
    ("nothing", [], []),
]


@pytest.mark.parametrize("messages, wanted", [p[1:] for p in PAIRINGS], ids=[p[0] for p in PAIRINGS])
def test_pairing(messages, wanted): assert [(t.at, t.answer) for t in turns(messages)] == wanted


@pytest.mark.parametrize("message", [{}, {"role": None}, {"role": "tool"}, {"role": "assistant", "tool_calls": None, "content": None}, {"role": "assistant", "tool_calls": [{}]},
    {"role": "assistant", "tool_calls": [{"id": "a", "function": {"name": None, "arguments": {"x": 1}}}]}, {"role": "user", "content": 7}, {"role": "user", "content": [7, None, {"type": "image_url"}], "extra": "?"},
    {"role": "assistant", "tool_calls": "no", "reasoning_content": 3}, {"role": "tool", "content": "text", "tool_call_id": None, "is_error": None}])
def test_odd_messages_do_no_harm(message):
    "Rows that come back from Parquet have every member, as None; others have anything"
    row = {"trace_id": "t", "messages": [{"role": "user", "content": "hi"}, message, message]}
    for window in (None, 0, 50): assert all(r["outcome"] for r in interactions(row, window))
    assert transcript(row["messages"])


def test_a_row_without_messages_is_refused():
    for row in ({}, {"task_id": "1"}, {"messages": None}, SimpleNamespace()):
        with pytest.raises(InputError, match="messages or a trace"): interactions(row)


def test_rows_of_a_dataset():
    "Plain and as a model; the address is that of the item, the id that of the trace"
    items = [user("2+2?"), call("c1", "add", '{"a": "007"}', created_by="assistant"), output("c1", "4", created_by="assistant"), call("c2", "add", "{}", created_by="assistant")]
    row = {"trace": plain_trace(items, plain_metadata(trace_id="r1", source_type="tau2", source_uri="x.json"))}
    for given_row in (row, Row(**row)):
        first, second = interactions(given_row)
        assert (first["trace_id"], first["source_kind"], first["source_path"]) == ("r1", "tau2", "x.json")
        assert (first["call_at"], first["response_at"], first["call_id"], first["response"]) == ("items[1]", "items[2]", "c1", "4")
        assert (second["call_at"], second["outcome"], second["tool_response"], second["is_error"]) == ("items[3]", "unanswered", None, None)
        assert first["tool_call"]["function"]["arguments"] == '{"a": "007"}'
    assert tracekit.interactions is interactions


WORDS = st.text(max_size=60)
IDS = st.sampled_from(["a", "b", "c", None])
MESSAGES = st.lists(st.one_of(
    st.builds(lambda ids, text: {"role": "assistant", "content": text, "tool_calls": [asked(i) for i in ids]}, st.lists(IDS, max_size=3), WORDS),
    st.builds(lambda id, text, bad: answer(id, text, **({"is_error": True} if bad else {})), IDS, WORDS, st.booleans()),
    st.builds(lambda role, text: {"role": role, "content": text}, st.sampled_from(["user", "system"]), WORDS)), max_size=12)


@given(MESSAGES)
def test_each_call_and_each_result_once(messages):
    found = interactions({"messages": messages})
    assert Counter(r["call_at"] for r in found if r["call_at"]) == Counter(f"messages[{n}].tool_calls[{k}]" for n, m in enumerate(messages) for k in range(len(m.get("tool_calls", ()))))
    assert Counter(r["response_at"] for r in found if r["response_at"]) == Counter(f"messages[{n}]" for n, m in enumerate(messages) if m["role"] == "tool")
    assert [r["position"] for r in found] == list(range(len(found)))
    for r in found: assert r["outcome"] == ("no call" if r["tool_call"] is None else "unanswered" if r["tool_response"] is None else "answered")


COUNTERS = [estimate, len, lambda text: len(text.split()), lambda text: len(text.encode("utf-8", "surrogatepass")), lambda text: 3 * len(text) + 1 if text else 0]


@given(MESSAGES, st.integers(0, 120), st.sampled_from(COUNTERS))
def test_a_window_keeps_its_budget(messages, tokens, count):
    "For any counter, whatever it counts"
    for r in interactions({"messages": messages}, Window(tokens, count)):
        assert count(r["context"]) <= tokens
        assert r["response"] is None or count(r["response"]) <= max(tokens // 4, count(""))


@given(st.text(max_size=400), st.integers(0, 100), st.sampled_from(COUNTERS))
def test_clip_keeps_its_budget(text, tokens, count):
    made = clip(text, tokens, count)
    assert count(made) <= tokens and (made == text or count(text) > tokens)


@pytest.mark.parametrize("tokens", [200, 1000, 4000])
def test_windows_of_real_sessions(sessions, tokens):
    "Within the budget; the first request is there, the nearest message too, and what is missing is said with its number"
    seen = 0
    for row in sessions:
        for r in interactions(row, tokens):
            assert estimate(r["context"]) <= tokens
            seen += "left out" in r["context"]
    assert seen > 100


def test_what_is_left_out_is_told_exactly():
    messages = [{"role": "system", "content": "S"}, {"role": "user", "content": "U"}] + [m for n in range(30) for m in (calling(asked(f"c{n}", "g")), answer(f"c{n}", "word " * 30))]
    talk = Talk(messages, names_of(turns(messages)), Window(120))
    text = before(talk, len(messages))
    shown = {int(line[1:].split()[0]) for line in text.splitlines() if line.startswith("#")}
    note = next(line for line in text.splitlines() if "messages, about" in line)
    assert {0, 1, 61} <= shown and f"[… {62 - len(shown)} messages, about" in note


def test_injected_text_is_no_request():
    messages = [{"role": "user", "content": "<environment>" * 50, "extra": {"is_meta": True}}, {"role": "user", "content": "Fix it"}, *[{"role": "assistant", "content": "x " * 200}] * 5, calling(asked("a"))]
    [r] = interactions({"messages": messages}, 100)
    assert "Fix it" in r["context"] and "<environment>" not in r["context"]


def test_real_sessions_lose_nothing(sessions):
    "Every result answers the call of its id, as a plain look-up finds it; the numbers of tool calls agree"
    outcomes = Counter()
    for row in sessions:
        found = interactions(row)
        outcomes.update(r["outcome"] for r in found)
        assert sum(r["tool_call"] is not None for r in found) == row["tool_call_count"]
        assert sum(r["tool_response"] is not None for r in found) == sum(m["role"] == "tool" for m in row["messages"])
        for r in found:
            if r["outcome"] == "answered": assert r["tool_call"]["id"] == r["tool_response"]["tool_call_id"] == r["call_id"]
            assert r["trace_id"] == row["trace_id"] and r["context"] == row["messages"][:len(r["context"])]
    assert outcomes == {"answered": 1172, "unanswered": 25}


def test_the_size_of_the_context(sessions):
    "The whole context is many times the sessions; a window makes it about as much as they are, or less"
    def size(value): return len(json.dumps(value, ensure_ascii=False))
    whole = sum(size(row["messages"]) for row in sessions)
    full = 0
    for row in sessions:
        total = [0]
        for m in row["messages"]: total.append(total[-1] + size(m) + 2)
        full += sum(total[len(r["context"])] for r in interactions(row))
    assert full > 40 * whole
    for tokens, most in ((500, 0.5), (2000, 1.5)): assert sum(size(r["context"]) for row in sessions for r in interactions(row, tokens)) < most * whole


def test_counters():
    assert estimate("") == 0 and estimate("a") == 1 and estimate("\ud800abc") > 0
    assert counter(SimpleNamespace(encode_ordinary=lambda text: text.split()))("<|endoftext|> a") == 2
    for wrong in (7, None):
        with pytest.raises(InputError, match="counted by a function"): counter(wrong)
    with pytest.raises(InputError, match="0 tokens or more"): Window(-1)


def test_messages_of_a_trace_are_those_of_rollouts():
    items = [user("hi"), call("c1", "f", "{}", created_by="assistant") | {"original_call_id": "same"}, output("c1", "x", created_by="assistant") | {"original_call_id": "same"}]
    assert [m.get("tool_call_id") for m in messages_of({"trace": plain_trace(items)})] == [None, None, "c1"], "the id of the trace, which is unique"
