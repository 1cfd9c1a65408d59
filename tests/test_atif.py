"""ATIF: real and generated trajectories are read and written back equal, sub-agents are spans, and chat survives the way through it."""
import json
import subprocess

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_messages import again, round_trip, same

from tracekit.convert import Context, detect, load_formats
from tracekit.dataset import Dataset
from tracekit.messages import chat_messages
from tracekit.pipeline import convert
from tracekit.row import Row, build
from tracekit.row import check as sound
from tracekit.source import Rejected
from tracekit.trace import call, output, plain_metadata, plain_trace, user

TEXT = st.sampled_from(["", "x", "é\u2028", "{}", "f"])
ID = st.none() | st.sampled_from(["", "a", "b", "c"])
PLAIN = st.deferred(lambda: st.sampled_from([None, True, 0, 7, 2**70, 1.5, "", "x", "user"])) | st.builds(list) | st.builds(dict) | st.builds(lambda: ["x", {"a": [1]}]) | st.builds(lambda: {"a": {"b": None}})
OBJECT = st.dictionaries(TEXT, PLAIN, max_size=2)
CONTENT = st.none() | TEXT | st.lists(st.fixed_dictionaries({"type": st.just("text"), "text": TEXT}) | OBJECT, max_size=2)
FEW = settings(max_examples=60, suppress_health_check=list(HealthCheck))

MORE = {"timestamp": st.sampled_from(["2026-01-01T00:00:00Z", "2026-01-01T00:00:00", "bad"]) | PLAIN, "model_name": TEXT | PLAIN, "metrics": OBJECT | PLAIN, "extra": PLAIN,
        "is_copied_context": PLAIN, "llm_call_count": PLAIN, "id": PLAIN, "type": PLAIN, "content": PLAIN, "as_atif": PLAIN, "observation": PLAIN, "usage": PLAIN, "call_id": PLAIN}
CALL = st.fixed_dictionaries({"function_name": TEXT}, optional={"tool_call_id": ID | PLAIN, "arguments": OBJECT | PLAIN, "extra": PLAIN, "type": PLAIN, "name": PLAIN, "as_atif": PLAIN})
REFS = st.lists(st.fixed_dictionaries({}, optional={"trajectory_id": st.sampled_from(["t1", "t2"]), "session_id": PLAIN, "extra": PLAIN}), max_size=2)
IMAGE = st.fixed_dictionaries({"type": st.just("image"), "source": st.fixed_dictionaries({"path": TEXT}, optional={"media_type": PLAIN})})
ANY_CONTENT = CONTENT | PLAIN | st.lists(IMAGE, max_size=2)
RESULT = st.fixed_dictionaries({}, optional={"source_call_id": ID, "content": ANY_CONTENT, "subagent_trajectory_ref": REFS | PLAIN, "extra": PLAIN | st.just({"tool_result_is_error": True}), "output": PLAIN})
STEP = st.fixed_dictionaries({"source": st.sampled_from(["user", "system", "agent", "agent"])}, optional=MORE | {
    "step_id": st.integers(1, 4) | PLAIN, "message": ANY_CONTENT, "reasoning_content": TEXT | PLAIN, "tool_calls": st.lists(CALL, max_size=3) | PLAIN})
OBSERVED = st.builds(lambda step, results: step | {"observation": {"results": results}}, STEP, st.lists(RESULT, max_size=3))
AGENT = st.fixed_dictionaries({}, optional={"name": TEXT | PLAIN, "version": PLAIN, "model_name": TEXT | PLAIN, "tool_definitions": PLAIN})


def trajectories(subs):
    return st.fixed_dictionaries({"schema_version": TEXT, "steps": st.lists(STEP | OBSERVED, max_size=5)}, optional={
        "agent": AGENT, "session_id": st.sampled_from(["t1", ""]) | PLAIN, "trajectory_id": st.sampled_from(["t1", "t2"]), "notes": PLAIN, "extra": PLAIN,
        "final_metrics": PLAIN | st.just({"total_prompt_tokens": 3}), "continued_trajectory_ref": PLAIN, "subagent_trajectories": subs})


TRAJECTORY = trajectories(st.lists(trajectories(st.just([])), max_size=2))


@FEW
@given(TRAJECTORY)
def test_generated_trajectories_are_written_back_equal(record):
    try: written = round_trip("atif", record)
    except Rejected as e: assert "function_name" in e.cause
    else: assert same(written, record)


@FEW
@given(TRAJECTORY)
def test_spans_make_sense_to_the_models(record):
    "The events of sub-agents make a trace whose spans can be asked for"
    form = load_formats()["atif"]
    try: row = sound(build(form, form.one.decode(json.dumps(record)), Context(raw=lambda: b"x")))
    except Rejected: return
    trace = Row(**again(row)).trace
    assert len(trace.spans()) == len(record.get("subagent_trajectories", []))


def files(shared): return sorted((shared/"data/rollouts/logs/atif").rglob("*.json")) + sorted((shared/"data/rollouts/edge/atif").rglob("trajectory.json"))


def test_real_trajectories(shared, tmp_path):
    "Each is known, read whole with no field unnamed, and written back equal; the one that is a bare list of text is refused"
    form, seen = load_formats()["atif"], 0
    for path in files(shared):
        record = json.loads(path.read_text())
        if not isinstance(record, dict): continue
        report = convert(path, tmp_path, name="x", audit=True, progress=False)
        assert (list(report.formats), report.rows, report.rejected, report.unnamed, report.mended) == (["atif"], 1, 0, {}, 0), path
        assert same(form.write(next(iter(Dataset(tmp_path/"x.jsonl").plain()))), record), path
        seen += 1
    assert seen >= 40


def test_calls_and_answers_are_those_of_data_designer(shared, tmp_path):
    "Where Data Designer's reader accepts a real trajectory, its messages hold the same calls and results"
    seen = 0
    for path in sorted((shared/"data/rollouts/expected/atif").rglob("*.expected.json")):
        expected = json.loads(path.read_text())
        rows = expected.get("rows") if isinstance(expected, dict) else expected
        for wanted in rows or ():
            log = shared/"data/rollouts/logs/atif"/str(path.relative_to(shared/"data/rollouts/expected/atif")).removesuffix(".expected.json")
            convert(log, tmp_path, name="x", progress=False)
            trace = Row(**next(iter(Dataset(tmp_path/"x.jsonl").plain()))).trace
            told = [m for m in wanted["messages"] if m["role"] == "tool"]
            assert [c.name for c in trace.calls] == [c["function"]["name"] for m in wanted["messages"] for c in m.get("tool_calls") or ()], log
            assert [i.original_call_id for i in trace.items if i.type == "function_call_output"] == [m["tool_call_id"] for m in told], log
            seen += 1
    assert seen >= 8


def test_the_platform_takes_them(shared, oracle, tmp_path):
    "Every row, those with spans included, by the platform's own code"
    made = [convert(p, tmp_path/str(n), name="x", progress=False) for n, p in enumerate(p for p in files(shared) if p.read_text().lstrip().startswith("{"))]
    found = [str(f) for r in made for f in r.files if f.suffix == ".jsonl"]
    done = subprocess.run([oracle, str(shared/"oracle/aigo.py"), *found, "--strict"], capture_output=True, text=True, timeout=300)
    assert "ORACLE OK" in done.stdout, done.stdout[-2000:] + done.stderr[-2000:]


@pytest.mark.parametrize("step, path", [("x", "$.steps[0]"), ({"source": "narrator"}, "$.steps[0].source"), ({"message": "hi"}, "$.steps[0].source"),
                                        ({"source": "agent", "tool_calls": [{"tool_call_id": "a"}]}, "$.steps[0].tool_calls[0]")])
def test_what_is_no_step_is_refused(step, path):
    with pytest.raises(Rejected) as refused: round_trip("atif", {"schema_version": "ATIF-v1.7", "steps": [step]})
    assert refused.value.path == path


def test_what_atif_cannot_say_is_refused():
    write = load_formats()["atif"].write
    for items, cause in [([], "no items"), ([call("c", "f", "{}", created_by="user")], "called by the user"), ([call("c", "f", "x=1")], "no object"), ([output("c", "?")], "no call")]:
        with pytest.raises(Rejected, match=cause): write({"trace": plain_trace(items, plain_metadata())})
    assert write({"trace": plain_trace([user("hi")], plain_metadata())})["steps"][0]["message"] == "hi"


SIMPLE_PART = st.fixed_dictionaries({"type": st.just("text"), "text": TEXT}) | st.fixed_dictionaries({"type": st.just("image_url"), "image_url": st.fixed_dictionaries({"url": TEXT})})
SAID = TEXT | st.lists(SIMPLE_PART, min_size=2, max_size=3)


@st.composite
def conversations(draw):
    "What both chat and ATIF can say: any turns, each call with an id of its own, answered in its turn or not"
    messages, count = [], 0
    for kind in draw(st.lists(st.sampled_from(["system", "user", "assistant", "calls"]), min_size=1, max_size=6)):
        if kind != "calls":
            messages.append({"role": kind, "content": draw(SAID)})
            continue
        ids = [f"call_{count + n}" for n in range(draw(st.integers(1, 3)))]
        count += len(ids)
        said = {"reasoning_content": draw(TEXT.filter(bool))} if draw(st.booleans()) else {}
        messages.append({"role": "assistant", "content": draw(st.none() | TEXT.filter(bool))} | said | {
            "tool_calls": [{"id": i, "type": "function", "function": {"name": draw(TEXT), "arguments": json.dumps(draw(OBJECT))}} for i in ids]})
        messages += [{"role": "tool", "tool_call_id": i, "content": draw(SAID)} for i in draw(st.permutations(ids))]
    return messages


@given(conversations())
def test_chat_survives_the_way_through_atif(messages):
    "chat -> trace -> ATIF -> trace -> chat loses nothing that both can say"
    chat, atif = load_formats()["chat"], load_formats()["atif"]
    tools = [{"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}}]
    first = sound(build(chat, chat.one.decode(json.dumps({"messages": messages, "tools": tools, "model": "m"})), Context(raw=lambda: b"x")))
    trajectory = again(atif.write(again(first)))
    second = sound(build(atif, atif.one.decode(json.dumps(trajectory)), Context(raw=lambda: b"x")))
    written = chat.write(again(second))
    usual = chat_messages(first["trace"], exact=False)
    for m in [*usual, *written["messages"]]:
        for c in m.get("tool_calls") or (): c["function"]["arguments"] = json.loads(c["function"]["arguments"])
        if m["role"] != "tool" and m.get("tool_calls") and m["content"] is None: m["content"] = ""   # ATIF has no null
    assert same(written["messages"], usual) and written["tools"] == tools
    assert second["trace"]["metadata"]["model"] == "m" and detect(set(), trajectory).name == "atif"


def test_rollouts_of_trajectories(shared, tmp_path):
    "A row for the trajectory and one for each of its sub-agents, with the folder, the branch and the times; all that Data Designer gives, and the trajectories that it refuses"
    from tracekit.rollouts import rollouts
    inner = {"schema_version": "ATIF-v1.7", "trajectory_id": "t2", "agent": {"name": "helper", "version": "1"}, "steps": [
        {"step_id": 1, "source": "user", "message": "Look.", "timestamp": "2026-03-01T10:00:02Z"}, {"step_id": 2, "source": "agent", "message": "Found.", "timestamp": "2026-03-01T10:00:04Z", "tool_calls": [
            {"tool_call_id": "d1", "function_name": "grep", "arguments": {}}], "observation": {"results": [{"source_call_id": "d1", "content": "x"}]}}]}
    whole = {"schema_version": "ATIF-v1.7", "session_id": "t1", "agent": {"name": "a", "version": "1", "extra": {"cwd": "/shop", "git_branch": "main"}}, "subagent_trajectories": [inner], "steps": [
        {"step_id": 1, "source": "user", "message": "Hi", "timestamp": "2026-03-01T10:00:00Z"}, {"step_id": 2, "source": "agent", "message": "", "timestamp": "2026-03-01T10:00:05Z", "tool_calls": [
            {"tool_call_id": "c1", "function_name": "ask", "arguments": {}}], "observation": {"results": [{"source_call_id": "c1", "content": "done", "subagent_trajectory_ref": [{"trajectory_id": "t2"}]}]}}]}
    (tmp_path/"t.json").write_text(json.dumps(whole))
    one, two = rollouts(tmp_path/"t.json", format="atif")
    assert (one["trace_id"], one["source_kind"], one["cwd"], one["project_path"], one["git_branch"], one["is_sidechain"]) == ("t1", "atif", "/shop", "/shop", "main", False)
    assert (one["started_at"], one["ended_at"], one["tool_call_count"]) == ("2026-03-01T10:00:00Z", "2026-03-01T10:00:05Z", 1)
    assert (two["root_session_id"], two["is_sidechain"], two["source_meta"]["name"], two["final_assistant_message"], two["tool_call_count"]) == ("t1", True, "helper", "Found.", 1) and list(one) == list(two)
    assert (two["started_at"], two["ended_at"]) == ("2026-03-01T10:00:02Z", "2026-03-01T10:00:04Z")
    logs = shared/"data/rollouts/logs/atif"
    theirs = {r["source_path"]: r for r in rollouts(logs, format="atif", like="data-designer", rejects=[])}
    ours = {r["source_path"]: r for r in rollouts(logs, format="atif", rejects=[])}
    assert len(ours) > len(theirs) and set(theirs) <= set(ours)
    for path, row in theirs.items(): assert all(ours[path][name] == row[name] for name in ("root_session_id", "cwd", "git_branch", "started_at", "ended_at", "tool_call_count", "final_assistant_message")), path


def test_sub_agents_of_other_formats_are_written(shared):
    "As trajectories inside, each named by the result of the call that began it; read again, the same is said and called in them"
    from tracekit.pipeline import read
    form, seen = load_formats()["atif"], 0
    for path in sorted((shared/"data/rollouts/logs/claude_code").rglob("*.jsonl")):
        for row in read(path, format="claude_code", rejects=[]):
            plain = {"trace": again(row.trace.model_dump(mode="json"))}
            before = row.trace.spans()
            try: written = form.write(plain)
            except Rejected as e:
                assert "needs a step" in e.cause or "no call" in e.cause or "no object" in e.cause
                continue
            after = Row(**again(sound(build(form, form.one.decode(json.dumps(written)), Context(raw=lambda: b"x"))))).trace.spans()
            assert told(after) == told(before), path
            refs = [r["trajectory_id"] for s in written["steps"] for o in s.get("observation", {}).get("results", ()) for r in o.get("subagent_trajectory_ref", ())]
            assert set(refs) <= {t["trajectory_id"] for t in written.get("subagent_trajectories", ())}
            seen += len(told(after))
    assert seen >= 1


def told(spans):
    "What is said and called in spans, and in the spans inside them"
    return [([(str(i.role), [p.text for p in i.content if p.type.endswith("text") and p.text]) if i.type == "message" else i.name for i in s.items if i.type in ("message", "function_call")], told(s.spans())) for s in spans if s.items]


@FEW
@given(trajectories(st.lists(trajectories(st.lists(trajectories(st.just([])), max_size=2)), min_size=1, max_size=2)))
def test_sub_agents_of_sub_agents_are_written(record):
    "As if the trace came from elsewhere, so that the events are all there is to write from; in order and at their depth"
    form = load_formats()["atif"]
    try:
        row = again(sound(build(form, form.one.decode(json.dumps(record)), Context(raw=lambda: b"x"))))
        before = told(Row(**row).trace.spans())
        row["trace"]["metadata"] |= {"source_type": "elsewhere", "extra": {}}
        written = form.write(row)
    except Rejected: return
    after = Row(**again(sound(build(form, form.one.decode(json.dumps(written)), Context(raw=lambda: b"x"))))).trace.spans()
    def held(spans): return sorted(json.dumps([said, held(inner)]) for said, inner in spans)
    assert held(told(after)) == held(before)
