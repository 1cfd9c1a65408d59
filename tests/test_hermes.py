"""The database of Hermes: every session is a row, what was switched off is a span, and a damaged or foreign database is refused with its reason."""
import json
import os
import random
import shutil
import sqlite3
import subprocess
from contextlib import closing

import fsspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracekit.dataset import Dataset
from tracekit.pipeline import convert, read
from tracekit.plan import home_of, logs_of
from tracekit.source import InputError

SESSION = """id TEXT PRIMARY KEY, source TEXT NOT NULL, created_source TEXT, user_id TEXT, session_key TEXT, chat_id TEXT, chat_type TEXT, thread_id TEXT, display_name TEXT, origin_json TEXT,
    expiry_finalized INTEGER DEFAULT 0, model TEXT, model_config TEXT, system_prompt TEXT, system_prompt_hash TEXT, parent_session_id TEXT, started_at REAL NOT NULL, ended_at REAL, end_reason TEXT,
    message_count INTEGER DEFAULT 0, tool_call_count INTEGER DEFAULT 0, input_tokens INTEGER DEFAULT 0, output_tokens INTEGER DEFAULT 0, cache_read_tokens INTEGER DEFAULT 0,
    cache_write_tokens INTEGER DEFAULT 0, reasoning_tokens INTEGER DEFAULT 0, cwd TEXT, git_branch TEXT, git_repo_root TEXT, git_metadata_generation INTEGER NOT NULL DEFAULT 0,
    billing_provider TEXT, billing_base_url TEXT, billing_mode TEXT, estimated_cost_usd REAL, actual_cost_usd REAL, cost_status TEXT, cost_source TEXT, pricing_version TEXT, title TEXT,
    title_source TEXT, last_activity_at REAL, last_activity_description TEXT, last_activity_provenance TEXT, api_call_count INTEGER DEFAULT 0, handoff_state TEXT, handoff_platform TEXT,
    handoff_error TEXT, compression_failure_cooldown_until REAL, compression_failure_error TEXT, compression_fallback_streak INTEGER NOT NULL DEFAULT 0,
    compression_ineffective_count INTEGER NOT NULL DEFAULT 0, compression_recovery_deadline REAL, compression_overload_streak INTEGER NOT NULL DEFAULT 0, profile_name TEXT,
    transport_profile TEXT, rewind_count INTEGER NOT NULL DEFAULT 0, archived INTEGER NOT NULL DEFAULT 0, pinned INTEGER NOT NULL DEFAULT 0, hidden INTEGER NOT NULL DEFAULT 0,
    last_read_at REAL, tool_names TEXT"""
MESSAGE = """id INTEGER PRIMARY KEY AUTOINCREMENT, session_id TEXT NOT NULL, role TEXT NOT NULL, content TEXT, tool_call_id TEXT, tool_calls TEXT, tool_name TEXT, effect_disposition TEXT,
    timestamp REAL NOT NULL, token_count INTEGER, finish_reason TEXT, reasoning TEXT, reasoning_content TEXT, reasoning_details TEXT, codex_reasoning_items TEXT, codex_message_items TEXT,
    platform_message_id TEXT, observed INTEGER DEFAULT 0, _compressed_summary INTEGER NOT NULL DEFAULT 0, active INTEGER NOT NULL DEFAULT 1, compacted INTEGER NOT NULL DEFAULT 0,
    api_content TEXT, display_kind TEXT, display_metadata TEXT, display_identity BLOB, display_order INTEGER"""
USAGE = "session_id TEXT, model TEXT, billing_provider TEXT DEFAULT '', billing_base_url TEXT DEFAULT '', billing_mode TEXT DEFAULT '', task TEXT DEFAULT '', input_tokens INTEGER, output_tokens INTEGER"
TODAY = {"sessions": SESSION, "messages": MESSAGE, "session_model_usage": USAGE, "system_prompts": "hash TEXT PRIMARY KEY, prompt TEXT NOT NULL", "schema_version": "version INTEGER", "state_meta": "key TEXT, value TEXT"}
FIRST = {"sessions": "id TEXT PRIMARY KEY, source TEXT NOT NULL, user_id TEXT, model TEXT, model_config TEXT, system_prompt TEXT, parent_session_id TEXT, started_at REAL NOT NULL, ended_at REAL, end_reason TEXT, "
                     "message_count INTEGER DEFAULT 0, tool_call_count INTEGER DEFAULT 0, input_tokens INTEGER DEFAULT 0, output_tokens INTEGER DEFAULT 0",
         "messages": "id INTEGER PRIMARY KEY AUTOINCREMENT, session_id TEXT NOT NULL, role TEXT NOT NULL, content TEXT, tool_call_id TEXT, tool_calls TEXT, tool_name TEXT, timestamp REAL NOT NULL, token_count INTEGER"}
CALL = json.dumps([{"id": "c1", "call_id": "c1", "type": "function", "function": {"name": "terminal", "arguments": '{"command": "ls"}'}}])
START = 1772359200.0


def talk(n):
    "The messages of a session in which one command fails"
    return [{"role": "user", "content": f"List {n}."}, {"role": "assistant", "content": "", "reasoning": "I list.", "reasoning_content": "I list.", "tool_calls": CALL, "finish_reason": "tool_calls", "token_count": 7},
            {"role": "tool", "content": '{"output": "no such folder", "exit_code": 2}', "tool_call_id": "c1", "tool_name": "terminal"}, {"role": "assistant", "content": f"Nothing {n}.", "finish_reason": "stop"}]


def add(db, table, **values): db.execute(f"insert into {table} ({', '.join(values)}) values ({', '.join('?' * len(values))})", list(values.values()))


def database(path, sessions, schema=TODAY, wal=False):
    "A database as Hermes makes it: {session id: (its columns, its messages)}; open"
    path.parent.mkdir(parents=True, exist_ok=True)
    db = sqlite3.connect(path)
    if wal: db.execute("pragma journal_mode = wal")
    for table, columns in schema.items(): db.execute(f"create table {table} ({columns})")
    db.execute("create index idx_messages_session on messages (session_id, timestamp)")
    known = {table: {r[1] for r in db.execute(f"pragma table_info({table})")} for table in schema}
    for n, (id, (columns, messages)) in enumerate(sessions.items()):
        if columns is not None: add(db, "sessions", **{"id": id, "source": "cli", "started_at": START + n, **columns})
        for k, m in enumerate(messages): add(db, "messages", session_id=id, **{"timestamp": START + n + k, **{c: v for c, v in m.items() if c in known["messages"]}})
    db.commit()
    return db


def made(path, sessions, **more):
    database(path, sessions, **more).close()
    return path


def texts(row): return [p.text for i in row.trace.items if i.type == "message" for p in i.content]


def test_each_session_is_a_row(tmp_path, oracle, shared):
    "Of today's schema and of the first: messages, calls and results, thinking once, the system prompt from its table, usage; no field without a rule; the platform takes them"
    long = "\0json:" + json.dumps([{"type": "text", "text": "Look at this."}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}])
    extra = {"b": ({"system_prompt_hash": "h1", "cwd": "/shop", "git_branch": "main", "model": "m", "input_tokens": 5, "output_tokens": 2, "title": "Lists"}, [{"role": "user", "content": long, "display_identity": b"\xff\0"}])}
    for name, schema, sessions in (("today", TODAY, {"a": ({}, talk(1)), **extra, "empty": ({}, [])}), ("first", FIRST, {"a": ({"system_prompt": "You are Hermes."}, talk(1))})):
        with closing(database(tmp_path/name/"state.db", sessions, schema=schema)) as db, db:
            if schema is TODAY:
                add(db, "system_prompts", hash="h1", prompt="You are Hermes.")
                add(db, "session_model_usage", session_id="b", model="m", input_tokens=5, output_tokens=2)
        report = convert(tmp_path/name/"state.db", tmp_path/"out", name=name, audit=True, progress=False)
        assert (report.rows, report.rejected, report.unnamed, report.formats) == (len(sessions), 0, {}, {"hermes": 1})
        rows = {r.session_id: r for r in Dataset(tmp_path/f"out/{name}.jsonl")}
        call, output = rows["a"].trace.pairs[0]
        assert (call.name, output.status.value) == ("terminal", "incomplete")
        assert texts(rows["a"]) == (["You are Hermes.", "List 1.", "Nothing 1."] if schema is FIRST else ["List 1.", "I list.", "Nothing 1."])
        done = subprocess.run([oracle, str(shared/"oracle/aigo.py"), *map(str, report.files), "--strict", "-q"], capture_output=True, text=True)
        assert done.returncode == 0 and "ORACLE OK" in done.stdout, done.stdout[-2000:]
    (b,) = (r for r in Dataset(tmp_path/"out/today.jsonl") if r.session_id == "b")
    assert [i.role for i in b.trace.items] == ["system", "user"] and b.trace.items[1].content[1].type == "input_image" and (b.cwd, b.git_branch) == ("/shop", "main")
    assert b.trace.metadata.total_tokens == 7 and b.trace.metadata.extra["model_usage"][0]["model"] == "m" and b.trace.metadata.extra["title"] == "Lists"


def test_the_database_says_what_its_export_says(tmp_path):
    "The rows of a database and of an export of it are the same, but for where they come from; each line of the export is its own row"
    sessions = {f"s{n}": ({}, talk(n)) for n in range(5)}
    path = made(tmp_path/"state.db", sessions)
    with closing(sqlite3.connect(path)) as db:
        db.row_factory = sqlite3.Row
        whole = [dict(s) | {"messages": [{**m, "tool_calls": json.loads(m["tool_calls"] or "[]")} for m in map(dict, db.execute("select * from messages where session_id = ? order by id", (s["id"],)))]}
                 for s in db.execute("select * from sessions order by started_at")]
    for s in whole:
        for m in s["messages"]: del m["display_identity"], m["display_order"]
    (tmp_path/"export.jsonl").write_text("".join(json.dumps(s) + "\n" for s in whole))
    one, other = ([r.trace for r in read(p)] for p in (path, tmp_path/"export.jsonl"))
    assert [t.items for t in one] == [t.items for t in other] and len(one) == 5
    assert convert(tmp_path/"export.jsonl", tmp_path/"out", audit=True, progress=False).unnamed == {}


def test_what_was_switched_off_stands_beside_the_conversation(tmp_path):
    "Summarized messages and those taken back are spans; nothing is lost, nothing is said twice"
    off = [{**m, "active": 0, "compacted": 1} for m in talk(1)] + [{"role": "user", "content": "wrong", "active": 0}]
    path = made(tmp_path/"state.db", {"a": ({}, off + [{"role": "user", "content": "So far: nothing.", "_compressed_summary": 1}, {"role": "assistant", "content": "Good."}])})
    (row,) = read(path)
    assert texts(row) == ["So far: nothing.", "Good."] and row.trace.items[0].compressed_summary == 1
    spans = {s.span_name: s for s in row.trace.spans()}
    assert [c.name for c in spans["summarized"].calls] == ["terminal"] and [m.content[0].text for m in spans["taken_back"].messages] == ["wrong"]


def test_who_has_a_parent_is_not_always_a_sub_agent(tmp_path):
    "A session that goes on after a summary, and a branch, are conversations of their own"
    sessions = {"root": ({"end_reason": "compression"}, talk(0)), "goes_on": ({"parent_session_id": "root"}, talk(1)), "helper": ({"parent_session_id": "goes_on"}, talk(2)),
                "branch": ({"parent_session_id": "helper", "model_config": '{"_branched_from": "helper"}'}, talk(3)), "lost": ({"parent_session_id": "nobody"}, talk(4)),
                "own": ({"parent_session_id": "own"}, talk(5)), "x": ({"parent_session_id": "y"}, talk(6)), "y": ({"parent_session_id": "x"}, talk(7))}
    rows = {r.session_id: r.is_sidechain for r in read(made(tmp_path/"state.db", sessions))}
    assert rows == {"root": False, "goes_on": False, "helper": True, "branch": False, "lost": True, "own": True, "x": True, "y": True}


def test_messages_without_their_session_are_kept(tmp_path):
    "As a row of their own, which says so"
    rows = list(read(made(tmp_path/"state.db", {"a": ({}, talk(1)), "gone": (None, talk(2))})))
    assert [r.session_id for r in rows] == ["a", "gone"] and rows[1].trace.metadata.extra["session_row"] == "missing" and len(rows[1].trace.items) == len(rows[0].trace.items)


def test_a_database_in_use(tmp_path):
    "What is committed and not yet moved into the database is read; what is not committed is not; the writer goes on; the database stays byte for byte"
    db = database(tmp_path/"state.db", {"a": ({}, talk(1))}, wal=True)
    add(db, "sessions", id="late", source="cli", started_at=START + 9)
    db.commit()
    before = (tmp_path/"state.db").read_bytes()
    add(db, "sessions", id="unfinished", source="cli", started_at=START + 10)
    assert [r.session_id for r in read(tmp_path/"state.db")] == ["a", "late"] and (tmp_path/"state.db").read_bytes() == before
    db.commit()
    assert [r.session_id for r in read(tmp_path/"state.db")] == ["a", "late", "unfinished"]
    db.close()


def test_nothing_is_written_beside_a_database(tmp_path):
    "Not even a lock, if nobody else has it open; so a database in a folder that cannot be written is read as well"
    made(tmp_path/"kept/state.db", {"a": ({}, talk(1))}, wal=True)
    os.chmod(tmp_path/"kept", 0o555)
    try: assert len(list(read(tmp_path/"kept/state.db"))) == 1 and [p.name for p in (tmp_path/"kept").iterdir()] == ["state.db"]
    finally: os.chmod(tmp_path/"kept", 0o755)


def test_other_databases_are_refused(tmp_path):
    "With what they are; in a folder they are passed over"
    with closing(sqlite3.connect(tmp_path/"history.db")) as db, db: db.execute("create table urls (url text)")
    with closing(sqlite3.connect(tmp_path/"chats.sqlite")) as db, db:
        db.execute("create table sessions (id text, started_at real, system_prompt text)")
        db.execute("create table messages (id integer, role text)")
    (tmp_path/"text.db").write_text('{"role": "user"}')
    (tmp_path/"empty.db").write_bytes(b"")
    shutil.copy(tmp_path/"history.db", tmp_path/"log.jsonl")
    made(tmp_path/"none/state.db", {})
    for name, words in {"history.db": "not of Hermes: it lacks .*; its tables are urls", "chats.sqlite": "it lacks messages.content", "text.db": "no SQLite database: it begins with", "empty.db": "no SQLite database",
                        "log.jsonl": "SQLite database without the ending .db", "none/state.db": "no session", "missing.db": "no such file"}.items():
        with pytest.raises(InputError, match=words): list(read(tmp_path/name))
    (tmp_path/"log.jsonl").unlink()
    assert logs_of([tmp_path]) == [str(tmp_path/"none/state.db")]
    fsspec.filesystem("memory").pipe("/hermes/state.db", b"SQLite format 3\0")
    with pytest.raises(InputError, match="local file"): list(read("memory://hermes/state.db"))


def test_a_damaged_database_gives_what_is_sound(tmp_path):
    "Pages of nonsense or a torn end: rows, and rejects that say what is wrong; never a crash, never nothing"
    whole = made(tmp_path/"whole.db", {f"s{n}": ({}, [{"role": "user", "content": f"{n} " + "x" * 5000}] * 4) for n in range(40)}).read_bytes()
    luck, seen = random.Random(3), {"rows": 0, "rejects": 0, "refused": 0}
    for n in range(60):
        data = bytearray(whole)
        if n % 3 == 0: data = data[:luck.randrange(100, len(data))]
        else:
            for _ in range(luck.randrange(1, 4)):
                at = luck.randrange(0 if n % 3 == 1 else 4096, len(data))
                data[at:at + 400] = luck.randbytes(min(400, len(data) - at))
        (tmp_path/"state.db").write_bytes(data)
        rejects = []
        try: rows = list(read(tmp_path/"state.db", format="hermes", rejects=rejects))
        except InputError as e:
            assert "state.db" in str(e)
            seen["refused"] += 1
            continue
        seen["rows"] += bool(rows)
        seen["rejects"] += bool(rejects)
        for r in rejects: assert "damaged" in r["cause"] and r["stage"] == "open"
    assert all(count >= 5 for count in seen.values()), seen
    (tmp_path/"state.db").write_bytes(whole[:len(whole) // 2])
    rejects = []
    try: list(read(tmp_path/"state.db", rejects=rejects))
    except InputError as e: rejects = [{"cause": str(e)}]
    assert "malformed" in rejects[0]["cause"]


values = st.none() | st.integers(-2**63, 2**63 - 1) | st.floats() | st.text() | st.binary() | st.sampled_from(["\0json:", "\0json:{", "[[[[", '[{"function": 7}]', '{"a": 1}', "user", "tool", "assistant", "1e999"])


@settings(max_examples=60)
@given(st.lists(st.dictionaries(st.sampled_from(["role", "content", "tool_calls", "tool_call_id", "timestamp", "reasoning", "reasoning_details", "active", "compacted", "display_metadata"]), values), max_size=5), values, values)
def test_any_values_give_a_row_or_a_reject(tmp_path_factory, messages, start, prompt):
    "SQLite lets any kind of value into any column; every session is a row or a reject"
    path = tmp_path_factory.mktemp("db")/"state.db"
    with closing(sqlite3.connect(path)) as db, db:
        for table, columns in TODAY.items(): db.execute(f"create table {table} ({columns.replace(' NOT NULL', '')})")
        add(db, "sessions", id="a", source="cli", started_at=start, system_prompt=prompt)
        for m in messages: add(db, "messages", session_id="a", **{k: v.encode("utf-8", "replace").decode() if isinstance(v, str) else v for k, v in m.items()})
    rejects = []
    rows = list(read(path, rejects=rejects))
    assert len(rows) + len(rejects) == 1 and not any(r["cause"].split(":")[0].endswith("Error") for r in rejects), rejects


def test_many_sessions_are_not_held_together(tmp_path, monkeypatch):
    "The bound for one session is none for a database or an export of many"
    for module in ("plan", "part"): monkeypatch.setattr(f"tracekit.{module}.LARGEST", 3000)
    path = made(tmp_path/"state.db", {f"s{n}": ({}, talk(n)) for n in range(30)})
    assert [r.session_id for r in read(path)] == [f"s{n}" for n in range(30)]
    (tmp_path/"one.jsonl").write_text("".join(json.dumps(m) + "\n" for m in talk(1) * 10))
    with pytest.raises(InputError, match="at most"): list(read(tmp_path/"one.jsonl"))


def test_a_broken_line_of_an_export_costs_only_itself(tmp_path):
    "Also the torn last one; no other session is told of it"
    lines = [json.dumps({"id": f"s{n}", "started_at": START, "end_reason": None, "messages": talk(n)}) for n in range(3)]
    (tmp_path/"export.jsonl").write_text("\n".join([lines[0], '{"id": "s9", "messages": 7}', lines[1], lines[2][:90]]))
    rejects = []
    rows = list(read(tmp_path/"export.jsonl", rejects=rejects))
    assert [r.session_id for r in rows] == ["s0", "s1"] and [r["line"] for r in rejects] == [2, 4] and "lines_set_aside" not in rows[1].trace.metadata.extra


def test_its_home(tmp_path, monkeypatch):
    "The database, or the folder of an old version"
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(InputError, match=r"state\.db or .*sessions: no such"): home_of("hermes")
    (tmp_path/".hermes/sessions").mkdir(parents=True)
    assert home_of("hermes").name == "sessions"
    made(tmp_path/".hermes/state.db", {"a": ({}, talk(1))})
    report = convert(home_of("hermes"), tmp_path/"out", progress=False)
    assert report.rows == 1 and [p.name for p in report.files] == ["state.jsonl", "state.yaml"]


def test_a_broken_name_of_a_column_is_told(tmp_path):
    "A byte that is no text in the schema is damage like any other"
    database(tmp_path/"state.db", {"s1": ({}, talk(1))}).close()
    data = (tmp_path/"state.db").read_bytes()
    (tmp_path/"state.db").write_bytes(data.replace(b"last_activity_description", b"last_activity_\xb3escription"))
    with pytest.raises(InputError, match="cannot be read|breaks off"): list(read(tmp_path/"state.db"))
