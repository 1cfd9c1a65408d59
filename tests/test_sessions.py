"""Sessions of coding agents: every real file becomes a trace, nothing of it is lost, and nothing in it can crash a conversion."""
import csv
import importlib
import json
import random
import subprocess
from collections import Counter
from pathlib import Path

import msgspec
import pytest
from conftest import SHARED, logs
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tracekit.convert import Context, detect, load_formats
from tracekit.dataset import Dataset
from tracekit.part import Job, Tally, span_lines
from tracekit.pipeline import convert, read
from tracekit.plan import PART, Span, home_of, logs_of, plan
from tracekit.row import build, check, line
from tracekit.source import InputError, Rejected, UnknownFormat

FOLDERS = {"claude_code": "claude_code", "codex": "codex", "hermes": "hermes_agent", "pi": "pi_coding_agent", "gemini_cli": "gemini_cli"}
NO_SESSIONS = {"sessions-index.json", "sessions.json"}
STUBS = {"session_20260407_092611_298324.json": "two members and no messages: a fixture for an error"}
BROKEN = {"edge_cases.jsonl": 6}   # lines that are no event: a text, a number, a list, a message that is a text, …


def files(format):
    "The shared files of a format that hold sessions"
    root = SHARED/"data/rollouts/logs"/FOLDERS[format]
    return [p for p in sorted(root.rglob("*.json*")) if p.name not in NO_SESSIONS | set(STUBS)]


def objects(path):
    "The lines of a session that are objects"
    found = []
    for text in path.read_text(encoding="utf-8").split("\n") if path.suffix == ".jsonl" else [path.read_text(encoding="utf-8")]:
        try: value = json.loads(text)
        except ValueError: continue
        if isinstance(value, dict): found.append(value)
    return found


@pytest.fixture(scope="module")
def converted(shared, tmp_path_factory):
    "Every shared session by itself, not told which format it is: (format, path) -> (report with all lines audited, plain rows)"
    out = tmp_path_factory.mktemp("datasets")
    made = {}
    for format in FOLDERS:
        for n, path in enumerate(files(format)):
            report = convert(path, out, name=f"{format}_{n}", audit=True, progress=False)
            made[format, path] = report, list(Dataset(report.files[0]).plain()) if report.rows else []
    return made


def test_each_real_file_is_known_and_becomes_a_trace(converted):
    "By its own format; only lines that are no events are set aside, and the audit finds no field without a rule"
    assert Counter(format for format, _ in converted) == {"claude_code": 28, "codex": 19, "hermes": 3, "pi": 17, "gemini_cli": 5}
    for (format, path), (report, rows) in converted.items():
        assert set(report.formats) == {format}, path
        assert report.rejected == BROKEN.get(path.name, 0) and report.rows == len(rows) >= 1, (path, report.rejects)
        assert (report.unnamed, report.repeated, report.mended) == ({}, {}, 0), path


def test_the_platform_takes_the_rows(converted, oracle, shared):
    "All rows of all formats are valid and canonical"
    files = [str(report.files[0]) for report, rows in converted.values() if rows]
    done = subprocess.run([oracle, str(shared/"oracle/aigo.py"), *files, "--strict", "-q"], capture_output=True, text=True)
    assert done.returncode == 0 and "ORACLE OK" in done.stdout, done.stdout[-2000:]


def test_stubs_and_indexes_are_no_sessions(shared):
    "They are refused with a reason if they are all there is"
    root = shared/"data/rollouts/logs"
    for name in (*NO_SESSIONS, *STUBS):
        with pytest.raises(InputError, match="no known format"): next(read(next(root.rglob(name))))


def test_other_logs_are_not_taken_for_sessions(shared):
    "Neither tau2 logs nor those of other agents"
    found = {}
    for path in logs("real_log"):
        found[path.name] = next(iter(pipeline_format(path)), "unknown")
    assert not set(found.values()) & set(FOLDERS), found


def pipeline_format(path):
    "The format that a file is read as"
    tally = Tally()
    next(span_lines(Span(str(path)), Job(""), tally), None)
    return tally.formats


def test_nothing_said_in_claude_code_is_lost(converted):
    "Each text, thought, call and result of a file is in the trace once"
    for (format, path), (_, rows) in converted.items():
        if format != "claude_code": continue
        text = json.dumps([r["trace"] for r in rows], ensure_ascii=False)
        items = [i for r in rows for i in r["trace"]["items"]]
        calls = Counter(i["original_call_id"] for i in items if i["type"] == "function_call")
        for row in objects(path):
            content = row["message"].get("content") if isinstance(row.get("message"), dict) else None
            if row.get("type") not in ("user", "assistant"): continue
            for block in [{"type": "text", "text": content}] if isinstance(content, str) else content if isinstance(content, list) else []:
                if not isinstance(block, dict): continue
                for name in ("text", "thinking"):
                    if isinstance(block.get(name), str): assert json.dumps(block[name], ensure_ascii=False) in text, (path, block)
                if block["type"] == "tool_use": assert calls[block["id"]] == 1, (path, block)
                if block["type"] == "tool_result" and isinstance(block["content"], str): assert json.dumps(block["content"], ensure_ascii=False) in text


def test_the_time_of_each_line_of_an_answer_is_kept(tmp_path):
    "Thinking and text become one message; the line of the text has a time and an id of its own"
    lines = [{"type": "assistant", "uuid": f"u{n}", "parentUuid": None, "sessionId": "s1", "timestamp": f"2026-01-01T00:00:0{n}.000Z", "message": {"id": "m1", "role": "assistant", "content": [part]}}
             for n, part in enumerate([{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "one"}, {"type": "text", "text": "two"}])]
    item, = next(read(write(tmp_path/"s1.jsonl", lines), format="claude_code")).trace.model_dump()["items"]
    assert (item["timestamp"], item["uuid"]) == ("2026-01-01T00:00:00.000Z", "u0")
    assert item["more_timestamps"] == ["2026-01-01T00:00:01.000Z", "2026-01-01T00:00:02.000Z"] and item["more_uuids"] == ["u1", "u2"]


def test_tokens_of_claude_code_count_once_for_each_answer(converted):
    "Although the log repeats them on every line of an answer"
    names = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens")
    for (format, path), (_, rows) in converted.items():
        if format != "claude_code" or path.name in BROKEN or any(r["trace"]["events"] for r in rows if r["trace"]["events"] and any(e["type"] == "span_begin" for e in r["trace"]["events"])): continue
        last = {m["id"]: m["usage"] for row in objects(path) if row.get("type") == "assistant" and "usage" in (m := row["message"]) and "id" in m}
        wanted = sum(u.get(name) or 0 for u in last.values() for name in names)
        assert (rows[0]["trace"]["metadata"]["total_tokens"] or 0) == wanted, path


def test_nothing_said_in_codex_is_lost_or_said_twice(converted):
    "Each message, call and output is there as often as the items say it, and reasoning once"
    for (format, path), (_, rows) in converted.items():
        if format != "codex": continue
        items, wanted = rows[0]["trace"]["items"], Counter()
        for row in objects(path):
            p = row.get("payload") or {}
            if row.get("type") != "response_item": continue
            kind = "message" if "role" in p else p.get("type", "")
            wanted["calls"] += kind.endswith("_call")
            wanted["outputs"] += kind.endswith("output")
            if p.get("role") == "assistant": wanted["said"] += 1
            if kind == "reasoning": wanted.update(f"thought {s['text']}" for s in p.get("summary") or ())
        found = Counter({"calls": sum(i["type"] == "function_call" for i in items), "outputs": sum(i["type"] == "function_call_output" for i in items)})
        found["outputs"] += len((rows[0]["trace"]["metadata"]["extra"]).get("orphans", ()))
        found["said"] = sum(i["type"] == "message" and i["role"] == "assistant" and any(p["type"] == "output_text" for p in i["content"]) for i in items)
        found.update(f"thought {p['text']}" for i in items if i["type"] == "message" for p in i["content"] if p["type"] == "summary_text")
        shown = any((row.get("payload") or {}).get("type") == "agent_message" and row.get("type") == "event_msg" for row in objects(path))
        if not wanted["said"] and shown: found["said"] = 0   # an old version, which said it in events only
        assert +found == +wanted, path


def test_codex_knows_its_branch(converted):
    "payload.git.branch is the row's git_branch"
    for (format, path), (_, rows) in converted.items():
        metas = [row["payload"] for row in objects(path) if row.get("type") == "session_meta"]
        if format == "codex" and metas: assert rows[0]["git_branch"] == ((metas[0].get("git") or {}).get("branch") or metas[0].get("git_branch")), path


def test_old_pi_sessions_keep_all_messages(converted):
    "A session without ids is no tree: what its 914 messages say, call and return is all there"
    path, rows = next((path, rows) for (_, path), (_, rows) in converted.items() if path.name == "large-session.jsonl")
    messages, items = [row["message"] for row in objects(path) if row["type"] == "message"], rows[0]["trace"]["items"]
    blocks = [b for m in messages if m["role"] == "assistant" for b in m["content"]]
    orphans = rows[0]["trace"]["metadata"]["extra"].get("orphans", [])
    assert len(messages) == 914
    assert sum(i["type"] == "message" and i["role"] == "user" for i in items) == sum(m["role"] == "user" for m in messages)
    assert sum(i["type"] == "function_call" for i in items) == sum(b["type"] == "toolCall" for b in blocks) == rows[0]["tool_call_count"]
    assert sum(i["type"] == "function_call_output" for i in items) + len(orphans) == sum(m["role"] == "toolResult" for m in messages)
    said = [p["text"] for i in items if i["type"] == "message" and i["role"] == "assistant" for p in i["content"]]
    assert said == [b.get("text") or b["thinking"] for b in blocks if b["type"] != "toolCall" and (b.get("text") or b.get("thinking")) is not None]


def test_the_commands(tmp_path):
    "tracekit rollouts writes a file or to standard output; without a path and a format it is bad usage; nothing readable is 1, something set aside 3"
    from click.testing import CliRunner
    from tracekit.cli import main
    run = CliRunner().invoke
    path = write(tmp_path/"home/.claude/projects/-shop/s1.jsonl", [event(0), event(1, "assistant")])
    done = run(main, ["rollouts", str(path), "--like", "data-designer", "--format", "claude_code", "-o", str(tmp_path/"r.jsonl")])
    assert done.exit_code == 0 and json.loads((tmp_path/"r.jsonl").read_text())["message_count"] == 2
    assert run(main, ["rollouts"]).exit_code == run(main, ["convert"]).exit_code == 2
    home = {"HOME": str(tmp_path/"home")}
    assert run(main, ["rollouts", "--format", "claude_code", "-o", str(tmp_path/"all.jsonl")], env=home).exit_code == 0 and (tmp_path/"all.jsonl").exists()
    assert run(main, ["convert", "--format", "claude_code", "-o", str(tmp_path/"out")], env=home).exit_code == 0 and (tmp_path/"out/claude_code.jsonl").exists()
    assert run(main, ["convert", "--format", "codex", "-o", str(tmp_path/"out")], env=home).exit_code == 1
    write(path, [event(0), "torn"])
    assert run(main, ["rollouts", str(path)]).exit_code == 3
    write(tmp_path/"notes.jsonl", ['{"a": 1}'])
    assert run(main, ["rollouts", str(tmp_path/"notes.jsonl")]).exit_code == 1


# ---------------------------------------------------------------- the seam
def event(n, type="user", session="s1", **more):
    "A line of a made-up session of Claude Code"
    return {"type": type, "uuid": f"u{n}", "parentUuid": f"u{n-1}" if n else None, "sessionId": session, "timestamp": f"2026-03-01T10:{n // 60 % 60:02}:{n % 60:02}Z",
            "message": {"role": type, "content": f"line {n}"}, **more}


def write(path, lines):
    "A JSONL file of dicts and of raw text"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join((one if isinstance(one, str) else json.dumps(one)) + "\n" for one in lines))
    return path


def texts(row): return [p.text for i in row.trace.items if i.type == "message" for p in i.content]


@pytest.mark.parametrize("broken", ['{"type": "user", "mess', "7", '"text"', "[]", '{"type": 7}', '{"no": "type"}', '{"type": "user", "message": "text"}', "{'a': 1}", "\x01\x02"], ids=repr)
@pytest.mark.parametrize("at", [0, 1, 5, 10])
def test_a_broken_line_costs_only_itself(tmp_path, broken, at):
    "Wherever it stands, the reject tells its line, and the trace has all others and says so"
    lines = [event(n) for n in range(10)]
    path = write(tmp_path/"s1.jsonl", [*lines[:at], broken, *lines[at:]])
    report = convert(path, tmp_path/"out", format="claude_code", progress=False)
    assert (report.rows, report.rejected, report.read) == (1, 1, 2)
    reject = report.rejects[0]
    assert (reject["line"], reject["record"], reject["file"]) == (at + 1, at, str(path)) and reject["text"] == broken
    row = Dataset(tmp_path/"out/s1.jsonl")[0]
    assert texts(row) == [f"line {n}" for n in range(10)] and row.trace.metadata.extra["lines_set_aside"] == 1


def test_a_torn_last_line_costs_only_itself(tmp_path):
    "Wherever the file breaks off"
    whole = "".join(json.dumps(event(n)) + "\n" for n in range(3)).encode()
    for cut in range(len(whole) - 150, len(whole), 7):
        (tmp_path/"s1.jsonl").write_bytes(whole[:cut])
        rejects = []
        rows = list(read(tmp_path/"s1.jsonl", rejects=rejects))
        assert len(rows) == 1 and texts(rows[0])[:2] == ["line 0", "line 1"] and len(texts(rows[0])) + len(rejects) in (2, 3), cut


def test_the_ending_of_a_session_may_be_packed(tmp_path):
    "zstd, as Codex writes it, gives the same row; half of it gives what came before the break, and a reject"
    compression = pytest.importorskip("zstandard")
    lines = [{"timestamp": "2026-03-01T10:00:00Z", "type": "session_meta", "payload": {"id": "x", "cwd": "/shop"}}]
    lines += [{"timestamp": "2026-03-01T10:00:00Z", "type": "response_item", "payload": {"type": "message", "role": "user", "content": [{"type": "input_text", "text": f"{random.Random(n).random()}"}]}} for n in range(5000)]
    path = write(tmp_path/"rollout-x.jsonl", lines)
    packed = compression.compress(path.read_bytes())
    (tmp_path/"packed").mkdir()
    (tmp_path/"packed/rollout-x.jsonl.zst").write_bytes(packed)
    assert texts(next(read(tmp_path/"packed"))) == texts(next(read(path)))
    (tmp_path/"packed/rollout-x.jsonl.zst").write_bytes(packed[:len(packed)*3//4])
    report = convert(tmp_path/"packed", tmp_path/"out", name="half", progress=False)
    assert 100 < len(texts(Dataset(tmp_path/"out/half.jsonl")[0])) < 5000 and any("breaks off" in r["cause"] for r in report.rejects)


def test_a_large_session_is_not_cut(tmp_path):
    "Not into parts, whatever its size, and the others beside it still are spread over parts"
    big = write(tmp_path/"logs/big.jsonl", [event(n, message={"role": "user", "content": "x" * 5000}) for n in range(3000)])
    for n in range(3): write(tmp_path/f"logs/small{n}.jsonl", [event(0, session=f"small{n}")])
    assert big.stat().st_size > PART and [len(p.spans) for p in plan([big])] == [1]
    reports = [convert(tmp_path/"logs", tmp_path/f"out{workers}", workers=workers, progress=False) for workers in (1, 2)]
    assert [r.rows for r in reports] == [4, 4] and len(Dataset(reports[0].files[0])[0].trace.items) == 3000
    assert (tmp_path/"out1/logs.jsonl").read_bytes() == (tmp_path/"out2/logs.jsonl").read_bytes()


def test_a_session_beyond_the_limit_is_refused(tmp_path, monkeypatch):
    "With its reason, and without being loaded"
    for module in ("plan", "part"): monkeypatch.setattr(f"tracekit.{module}.LARGEST", 2000)
    write(tmp_path/"logs/a.jsonl", [event(n) for n in range(100)])
    write(tmp_path/"logs/b.jsonl", [event(0, session="b")])
    report = convert(tmp_path/"logs", tmp_path/"out", progress=False)
    assert (report.rows, report.rejected) == (1, 1) and "at most" in report.rejects[0]["cause"]


def test_resume_goes_on_with_sessions(tmp_path, monkeypatch):
    "Finished parts are kept; if a file of a sub-agent changes, its session is converted again"
    monkeypatch.setattr("tracekit.plan.PART", 2000)
    for n in range(8): write(tmp_path/f"logs/s{n}.jsonl", [event(k, session=f"s{n}") for k in range(10)])
    agent = write(tmp_path/"logs/s3/subagents/agent-a.jsonl", [event(50, session="s3", isSidechain=True, agentId="a")])
    calls = []
    def stop_at(function, parts):
        for part in parts:
            calls.append(part.number)
            if len(calls) == 4: raise KeyboardInterrupt
            yield function(part)
    with pytest.raises(KeyboardInterrupt): convert(tmp_path/"logs", tmp_path/"out", name="x", map=stop_at, progress=False)
    assert len(list((tmp_path/"out/.x.parts").glob("*.done"))) == 3
    write(agent, [event(50, session="s3", isSidechain=True, agentId="a"), event(51, session="s3", isSidechain=True, agentId="a")])
    report = convert(tmp_path/"logs", tmp_path/"out", name="x", resume=True, progress=False)
    convert(tmp_path/"logs", tmp_path/"whole", name="x", progress=False)
    assert report.rows == 8 and (tmp_path/"out/x.jsonl").read_bytes() == (tmp_path/"whole/x.jsonl").read_bytes()


def test_sub_agents_are_spans_of_their_session(tmp_path):
    "The files in the folder of a session are read with it, and not as logs of their own; a broken line in one names that file"
    call = event(1, "assistant", message={"role": "assistant", "id": "m", "content": [{"type": "tool_use", "id": "t1", "name": "Task", "input": {"subagent_type": "Explore"}}]})
    result = event(2, toolUseResult={"agentId": "a7"}, message={"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "found"}]})
    write(tmp_path/"p/s1.jsonl", [event(0), call, result])
    inner = write(tmp_path/"p/s1/subagents/agent-a7.jsonl", [event(n, isSidechain=True, agentId="a7") for n in (10, 11)] + ["torn"])
    write(tmp_path/"p/sessions-index.json", [{"version": 1, "entries": []}])
    assert [Path(p).name for p in logs_of([tmp_path/"p"])] == ["s1.jsonl"]
    rejects = []
    (row,) = read(tmp_path/"p", rejects=rejects)
    (span,) = row.trace.spans()
    assert span.span_name == "Explore" and [m.content[0].text for m in span.messages] == ["line 10", "line 11"]
    begin = next(e for e in row.trace.events if e.type == "span_begin")
    assert begin.metadata["call_id"] == row.trace.calls[0].call_id and len(row.trace.items) == 3
    assert [(r["file"], r["line"]) for r in rejects] == [(str(inner), 3)]
    (alone,) = read(inner, rejects=[])
    assert alone.agent_id == "a7" and alone.is_sidechain and texts(alone) == ["line 10", "line 11"] and alone.trace.metadata.trace_id == "s1:a7"


def test_what_lies_beside_a_session_of_claude_code(tmp_path):
    "The index tells the project; an index that is broken, or of another shape, costs nothing and is told; large outputs are no logs, and stay as the model saw them"
    kept = "<persisted-output>\nOutput too large (50KB). Full output saved to: /home/x/s1/tool-results/toolu_1.txt\n\nPreview (first 2KB):\nabc\n</persisted-output>"
    call = event(1, "assistant", message={"role": "assistant", "id": "m", "content": [{"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {}}]})
    path = write(tmp_path/"p/s1.jsonl", [event(0, cwd="/a"), call, event(2, message={"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": kept}]}, toolUseResult={"persistedOutputPath": "/etc/passwd"})])
    write(tmp_path/"p/s1/tool-results/toolu_1.json", ['{"type": "user", "sessionId": "s1", "message": {"content": "no"}}'])
    write(tmp_path/"p/s1/tool-results/toolu_2.jsonl", ['{"type": "user", "sessionId": "s1", "message": {"content": "no"}}'])
    for index, project in (({"entries": [7, {"sessionId": "s0"}, {"sessionId": "s1", "projectPath": "/shop", "summary": "Lists"}]}, "/shop"), ([], "/a"), ({"entries": 7}, "/a"), ({"entries": [{"sessionId": "s1", "projectPath": []}]}, "/a"), ("torn", "/a"), (None, "/a")):
        (tmp_path/"p/sessions-index.json").write_text('{"entries": [' if index == "torn" else "" if index is None else json.dumps(index))
        (row,) = read(tmp_path/"p")
        extra = row.trace.metadata.extra
        assert row.project_path == project and ("unread" in extra) == (index in ("torn", None)) and row.trace.pairs[0][1].output == kept
        assert extra.get("index", {}).get("summary") == ("Lists" if project == "/shop" else None)
    assert [Path(p) for p in logs_of([tmp_path])] == [path]


def test_the_gateway_of_hermes_knows_its_chats(tmp_path):
    "sessions.json tells the chat of a session and its times"
    write(tmp_path/"g1.jsonl", [{"role": "session_meta", "platform": "telegram"}, {"role": "user", "content": "hi"}])
    write(tmp_path/"g2.jsonl", [{"role": "user", "content": "ho"}])
    (tmp_path/"sessions.json").write_text(json.dumps({"a": {"session_id": "g1", "created_at": "2026-03-01T10:00:00", "updated_at": "2026-03-01T10:05:00", "display_name": "Zoe"}, "b": "g2", "c": 7, "d": {"session_id": []}}))
    one, two = read(tmp_path)
    assert one.trace.metadata.extra["chat"]["display_name"] == "Zoe" and one.trace.metadata.total_time == 300 and two.trace.metadata.extra["chat"] == {"session_key": "b", "session_id": "g2"}


def test_mixed_sessions_are_taken_apart(tmp_path):
    "If they alternate; not if one follows the other"
    write(tmp_path/"mixed.jsonl", [event(n, session="ab"[n % 2]) for n in range(6)])
    write(tmp_path/"resumed.jsonl", [event(n, session="ab"[n // 3]) for n in range(6)])
    assert [len(r.trace.items) for r in read(tmp_path/"mixed.jsonl")] == [3, 3] and [len(r.trace.items) for r in read(tmp_path/"resumed.jsonl")] == [6]


def test_a_branch_that_was_left_is_kept(tmp_path):
    "In Pi: beside the conversation, as a span"
    lines = [{"type": "session", "version": 3, "id": "p", "cwd": "/"}] + [
        {"type": "message", "id": id, "parentId": parent, "timestamp": "2026-03-01T10:00:00Z", "message": {"role": "user", "content": id}} for id, parent in (("a", None), ("b", "a"), ("c", "b"), ("d", "a"))]
    (row,) = read(write(tmp_path/"p.jsonl", lines))
    assert texts(row) == ["a", "d"] and [m.content[0].text for m in row.trace.spans()[0].messages] == ["b", "c"]


# ---------------------------------------------------------------- hostile values
HOSTILE = [None, True, 0, -1, 1.5, 10**30, "", "x", "\ud800", [], {}, [None], [[]], [1, "a", {}], {"type": "text"}, {"type": ["x"]}, {"a": {"b": []}}, "2026-99-99T00:00:00Z", "[" * 50]


def places(value, at=()):
    "Every place inside a JSON value"
    yield at
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else (): yield from places(inner, (*at, key))


def changed(value, at, to):
    "A copy of a JSON value with one place changed"
    if not at: return to
    copied = dict(value) if isinstance(value, dict) else list(value)
    copied[at[0]] = changed(value[at[0]], at[1:], to)
    return copied


@pytest.mark.parametrize("format", FOLDERS)
def test_hostile_values_give_a_row_or_a_reject(shared, tmp_path, format):
    "One value of a real line after the other is replaced: never a crash, each line is in the row or a reject, and never an internal error"
    luck = random.Random(7)
    for path in files(format)[:12]:
        lines = objects(path)[:25]
        for _ in range(25):
            n = luck.randrange(len(lines))
            at = luck.choice(list(places(lines[n]))[1:])
            bad = [*lines[:n], changed(lines[n], at, luck.choice(HOSTILE)), *lines[n + 1:]]
            target = tmp_path/path.name
            if path.suffix == ".jsonl": write(target, bad)
            else: target.write_text(json.dumps(bad[0]))
            rejects = []
            try: rows = list(read(target, format=format, rejects=rejects))
            except InputError as e: rows, rejects = [], [{"cause": str(e)}]
            assert len(rows) + len(rejects) >= 1
            for r in rejects: assert not r["cause"].split(":")[0].endswith("Error") or "Unicode" in r["cause"], (path.name, at, r["cause"])


json_values = st.recursive(st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5), lambda v: st.lists(v, max_size=3) | st.dictionaries(
    st.sampled_from(["type", "role", "content", "text", "id", "name", "tool_use_id", "call_id", "output", "payload", "message", "input", "arguments", "summary"]), v, max_size=4), max_leaves=8)


@pytest.mark.parametrize("format", FOLDERS)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_lines_give_a_sound_row_or_a_reason(format, data):
    "Whatever the decoder lets through is converted to a row that the check accepts, or refused for a reason"
    form = load_formats()[format]
    members = sorted(form.known)
    kinds = {"claude_code": ["user", "assistant", "system", "progress"], "codex": ["response_item", "event_msg", "session_meta", "turn_context", "message"],
             "hermes": [None], "pi": ["message", "session", "compaction", "custom"], "gemini_cli": ["user", "gemini", "info", "error", None]}[format]
    lines = []
    for _ in range(data.draw(st.integers(1, 5))):
        value = data.draw(st.dictionaries(st.sampled_from(members), json_values, max_size=6)) | {"type": data.draw(st.sampled_from(kinds))}
        try: lines.append(form.one.decode(json.dumps(value)))
        except Exception: continue
    if not lines: return
    for session in form.sessions(lines):
        try: line(check(build(form, session, Context(source="s.jsonl", raw=lambda: b"x"))))
        except Rejected: pass


@settings(max_examples=80)
@given(st.lists(st.sampled_from("abcd"), max_size=12), st.randoms(use_true_random=False))
def test_calls_and_results_find_each_other(ids, luck):
    "Results in any order answer the call of their id, each once; what is left over is an orphan"
    called = list(dict.fromkeys(ids))
    lines = [event(n, "assistant", message={"role": "assistant", "id": f"m{n}", "content": [{"type": "tool_use", "id": id, "name": "f", "input": {}}]}) for n, id in enumerate(called)]
    answers = [*ids]
    luck.shuffle(answers)
    lines += [event(100 + n, message={"role": "user", "content": [{"type": "tool_result", "tool_use_id": id, "content": f"{id}{n}"}]}) for n, id in enumerate(answers)]
    form, context = load_formats()["claude_code"], Context(source="s.jsonl")
    items = form.items([form.one.decode(json.dumps(one)) for one in lines], context)
    outputs = {i["original_call_id"]: i["output"] for i in items if i["type"] == "function_call_output"}
    assert outputs == {id: f"{id}{answers.index(id)}" for id in called} and len(context.notes.get("orphans", [])) == len(ids) - len(called)


def test_a_format_is_known_by_a_line_of_the_middle(shared):
    "Whichever of its lines comes first, a file is not taken for another format"
    for format in FOLDERS:
        for path in files(format):
            for record in objects(path)[:200]:
                try: found = detect(set(record), record).name
                except UnknownFormat: continue
                assert found == format, (path.name, str(record)[:200])


def test_home_folders(tmp_path, monkeypatch):
    "Without a path, sessions are looked for where the agent keeps them"
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(InputError, match="no such file or folder"): home_of("codex")
    with pytest.raises(InputError, match="claude_code"): home_of("tau2")
    write(tmp_path/".claude/projects/-shop/s1.jsonl", [event(0)])
    assert [texts(r) for r in read(home_of("claude_code"))] == [["line 0"]]


# ---------------------------------------------------------------- rollout rows
def peers():
    "(name, format, file, folder, what Data Designer made of it) of every real file and every edge case"
    root = SHARED/"data/rollouts"
    with open(root/"MANIFEST.csv", newline="") as f:
        for e in csv.DictReader(f):
            if e["format"] != "gemini_cli": yield e["file"], e["format"], root/e["file"], root/e["root"], json.loads((root/e["expected"]).read_text())
    for path in sorted(root.glob("edge/*/*.expected.json")):
        case = json.loads(path.read_text())
        folder = path.parent/path.name.removesuffix(".expected.json")
        for name, expected in case["files"].items(): yield f"{case['format']}/{folder.name}/{name}", case["format"], folder/name, folder, expected


def test_rollouts_like_data_designer(shared):
    "Field by field and in the same order, on every file that it reads; where it gives no row, none is given"
    from tracekit.datadesigner import peer_row
    counts, without_index = Counter(), "seed_reader5/gateway-session-1.jsonl"   # the sessions.json that this row tells of is not in the shared folder
    for name, kind, path, folder, expected in peers():
        try: made = [peer_row(kind, path, folder)]
        except Rejected: made = []
        wanted = expected.get("rows") or []
        for row in made: row["source_path"] = "{ROOT}/" + path.relative_to(folder).as_posix()
        if name.endswith(without_index): wanted[0]["source_meta"].pop("session_key")
        assert json.dumps(made) == json.dumps(wanted), name
        counts["rows" if wanted else "none"] += 1
    assert counts["rows"] > 150 and counts["none"] > 40


PIECES = [b'{"type":"user","message":{"content":"a"}}', b'{"type":"assistant","message":{"content":[{"type":"text","text":"\xc3\xa9 \\ud83d\\ude00"}]}}', b'{"a":"x', b'y"}', b'{"type":1,"type":2}', b'{"n":NaN}', b"[1]", b"1",
          b'{"cwd":12345678901234567890123,"version":1e400}', b'{"cwd":"\\ud800"}', b'{"toolUseResult":"\xff"}', b'{"toolUseResult":"\\x"}', b'{"message":7}', b'{"message":{"content":1.5}}', b"\xef\xbb\xbf", b"\xc2\xa0", b" ", b"\t", b",", b"{}", b"null"]


@given(st.lists(st.tuples(st.sampled_from(PIECES), st.sampled_from([b"\n", b"\r\n", b"\r", b"", b" "])), max_size=6))
def test_lines_are_read_as_python_reads_them(tmp_path_factory, pieces):
    "A line as a type gives what json.loads of Python's text lines gives; one that is no object costs the file"
    from tracekit.datadesigner import ClaudeLine, lines_of
    path = tmp_path_factory.getbasetemp()/"lines.jsonl"
    path.write_bytes(b"".join(a + b for a, b in pieces))
    def plain():
        read = [json.loads(line.strip()) for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]
        assert read and all(isinstance(line, dict) for line in read)
        return [msgspec.convert(line, ClaudeLine) for line in read]
    try: wanted = repr(plain())
    except (ValueError, AssertionError): wanted = None
    try: made = repr(list(lines_of(path, ClaudeLine)))
    except Rejected: made = None
    assert made == wanted


def test_rollouts_by_many_processes(shared, tmp_path, monkeypatch):
    "The rows and rejects of two processes are those of one, in parts and pieces of any size, also where formats are mixed"
    rows = importlib.import_module("tracekit.rollouts")
    monkeypatch.setattr("tracekit.plan.PART", 1 << 16)
    monkeypatch.setattr(rows, "FEW", 3)
    root = shared/"data/rollouts/logs"
    for folder, kind, like in ((root/"claude_code", "claude_code", None), (root/"claude_code", "claude_code", "data-designer"), (root/"codex", "codex", "data-designer"), (root/"pi_coding_agent", "pi", "data-designer"),
                               (root, "auto", None)):
        one, two, three = [], [], []
        alone = list(rows.rollouts(folder, kind, like, one))
        assert json.dumps(alone) == json.dumps(list(rows.rollouts(folder, kind, like, two, workers=2))) and one == two
        with open(tmp_path/"rows.jsonl", "w+b") as out:
            assert rows.write_rollouts(out, folder, kind, like, three, workers=1) == len(alone) and three == one
            out.seek(0)
            assert out.read() == b"".join(map(line, alone))


def test_rollouts_keep_what_data_designer_loses(shared):
    "Its messages are there with their time, model and tokens; failed tools are marked; the branch of Codex is known"
    from tracekit.rollouts import rollouts
    root = shared/"data/rollouts/logs"
    aside = []
    claude = list(rollouts(root/"claude_code", "claude_code", rejects=aside))
    assert len(aside) == sum(BROKEN.values()) and sum(m.get("is_error", False) for r in claude for m in r["messages"]) >= 20
    assert all(m["extra"]["model"] for r in claude if "claude-code-log" not in r["source_path"] for m in r["messages"] if m["role"] == "assistant" and "usage" in m.get("extra", {}))
    codex = list(rollouts(root/"codex", "codex"))
    assert len(codex) == 19 and sum(r["git_branch"] is not None for r in codex) >= 15
    columns = list(next(rollouts(root/"codex", "codex", like="data-designer", rejects=[])))
    assert all(list(r) == columns for r in claude + codex)
    for row in claude + codex: assert row["message_count"] == len(row["messages"]) and row["tool_call_count"] == sum(len(m.get("tool_calls", ())) for m in row["messages"])


# default rows and Data Designer's over all real files, as tracekit.rollouts.counted counts them: rows, sub-agents that name their call, branches that were left,
# rows with a git branch, rows that only lost a line, messages, of the assistant, calls, characters of reasoning, failed results, with time, model, tokens, no prompt, compactions, errors
COUNTED = {
    "claude_code": ((30, 1, 0, 18, 2, 830, 390, 373, 63889, 24, 699, 275, 275, 7, 1, 0), (27, 0, 0, 17, 0, 1129, 707, 361, 63889, 0, 0, 0, 0, 0, 0, 0)),
    "codex": ((19, 0, 0, 15, 0, 643, 256, 330, 10569, 30, 622, 220, 25, 12, 0, 0), (19, 0, 0, 1, 0, 833, 455, 323, 21134, 0, 0, 0, 0, 0, 0, 0)),
    "hermes_agent": ((3, 0, 0, 0, 0, 128, 63, 55, 0, 9, 89, 0, 0, 0, 0, 0), (3, 0, 0, 0, 0, 128, 63, 55, 0, 0, 0, 0, 0, 0, 0, 0)),
    "pi_coding_agent": ((17, 0, 0, 0, 0, 1044, 505, 439, 138, 21, 843, 305, 305, 8, 1, 0), (16, 0, 0, 0, 0, 121, 54, 47, 0, 0, 0, 0, 0, 0, 0, 0)),
    "atif": ((12, 0, 0, 0, 0, 184, 83, 81, 8009, 5, 76, 59, 59, 0, 0, 0), (10, 0, 0, 0, 0, 181, 82, 80, 8009, 0, 0, 0, 0, 0, 0, 0))}


@pytest.mark.parametrize("kind", COUNTED)
def test_each_difference_on_real_files_is_counted(shared, kind):
    "What the default rows tell of, and what Data Designer's do"
    from tracekit.rollouts import counted, rollouts
    root = shared/"data/rollouts/logs"/kind
    ours, theirs = (counted(rollouts(root, kind, like, rejects=[])) for like in (None, "data-designer"))
    assert (tuple(ours.values()), tuple(theirs.values())) == COUNTED[kind]


def test_what_is_counted_of_data_designer_is_what_it_gave(shared):
    "The counts of its side are those of the rows that were recorded"
    from tracekit.rollouts import counted
    rows = {kind: [] for kind in COUNTED}
    for name, kind, _, _, expected in peers():
        if name.startswith("logs/"): rows[kind] += expected.get("rows") or []
    assert {kind: tuple(counted(found).values()) for kind, found in rows.items()} == {kind: theirs for kind, (_, theirs) in COUNTED.items()}


def test_the_rollout_row_of_a_trace(converted):
    "The same row of a row, read or plain; of a trace alone the same but for what only the row knows"
    from tracekit.rollouts import rollouts
    only = {"source_path", "root_session_id", "agent_id", "is_sidechain", "started_at", "ended_at"}
    def equal(a, b, but=frozenset()): assert [{k: v for k, v in r.items() if k not in but} for r in a] == [{k: v for k, v in r.items() if k not in but} for r in b]
    for path in (*(path for _, path in list(converted)[::6]), logs("real_log")[1], logs("real_log")[37]):
        rejects = []
        own, rows = list(rollouts(path, rejects=rejects)), list(read(path, rejects=rejects))
        assert rows, path
        equal(own, [r for row in rows for r in rollouts(row)], {"source_path"})
        equal(own, [r for row in rows for r in rollouts({**row.columns, "trace": row.trace.model_dump(mode="json")})], {"source_path"})
        equal(own, [r for row in rows for r in rollouts(row.trace)], only | {"trace_id"} if any(r["agent_id"] for r in own) else only)
    with pytest.raises(InputError, match="not of a trace"): rollouts(rows[0], like="data-designer")
