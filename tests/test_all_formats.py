"""All formats over all shared logs: each file is known by what it looks like, what is written is read back, and the platform takes every dataset."""
import json
import re
import subprocess
from collections import Counter
from itertools import islice

import pytest
from conftest import ROOT, SHARED
from hypothesis import given
from test_atif import conversations
from test_messages import same

from tracekit.convert import Context, fitting, load_formats, record_members
from tracekit.messages import chat_messages
from tracekit.logs import Log
from tracekit.part import Job, Tally, span_lines
from tracekit.pipeline import convert
from tracekit.plan import Span, first_records, logs_of
from tracekit.row import build, check
from tracekit.source import InputError, Rejected, layout

LOGS = {   # folder or pattern below data -> the format of its files; the first that fits counts
    "rollouts/logs/claude_code": "claude_code", "rollouts/logs/codex": "codex", "rollouts/logs/hermes_agent": "hermes", "rollouts/logs/pi_coding_agent": "pi", "rollouts/logs/atif": "atif",
    "rollouts/logs/gemini_cli": "gemini_cli",
    "rollouts/edge/claude_code": "claude_code", "rollouts/edge/codex": "codex", "rollouts/edge/hermes_agent": "hermes", "rollouts/edge/pi_coding_agent": "pi", "rollouts/edge/atif": "atif",
    "invariant": "invariant", "tau2/real": "tau2", "tau2/scripted": "tau2", "spans/noveum": "langchain", "spans/openinference": "openinference",
    "spans/langfuse/google-gemini": "openinference", "spans/langfuse/openai-agents": "openinference", "spans/langfuse": "otel_genai"}
NO_LOGS = [   # patterns of files that are no logs
    r"MANIFEST\.csv", r".*\.expected\.json", r"rollouts/expected/.*", r"agentdata_expected/.*", r"json_test_suite/.*", r"xss/.*", r"tau2/scripted/labels_.*", r".*/sessions-index\.json", r".*/sessions\.json",
    r"spans/noveum/sample_agent_data\.json", r".*/MANIFEST\.csv"]
STUBS = r"rollouts/logs/(hermes_agent/.*/session_20260407_092611_298324\.json|atif/.*)"   # two members and no messages; what stands beside a trajectory
COUNTS = {"atif": 12, "claude_code": 28, "codex": 19, "gemini_cli": 5, "hermes": 3, "invariant": 22, "langchain": 4, "openinference": 4, "otel_genai": 2, "pi": 17, "tau2": 83}   # files, the edge cases not counted
EDGE = "rollouts/edge/"   # made to be hard: a file may be unknown, but is never taken for another's
REASON = re.compile(r"no known format|not JSON|not valid JSON|empty|expected \{ or \[|no record of it can be read|not UTF-8|no log|nested|breaks off|UTF-16|white space", re.IGNORECASE)


def files(): return sorted(p for p in (SHARED/"data").rglob("*") if p.is_file()) if (SHARED/"data").is_dir() else []


def name_of(path): return path.relative_to(SHARED/"data").as_posix()


def expected(name):
    "The format that a file should be known as; None if it is no log"
    if any(re.fullmatch(pattern, name) for pattern in NO_LOGS): return None
    return next((form for start, form in LOGS.items() if name.startswith(start)), None)


def opened(path):
    "What a file is known as without being told: (format or None, rows and rejects, the first reason)"
    tally, found = Tally(), []
    for made in span_lines(Span(str(path)), Job(""), tally): found.append(made)
    rejects = [m for m in found if isinstance(m, dict)]
    return next(iter(tally.formats), None), len(found), rejects[0]["cause"] if rejects else ""


@pytest.fixture(scope="module")
def known(shared): return {name_of(p): opened(p) for p in files()}


def test_each_file_is_known_by_what_it_looks_like(known):
    "As the format of its folder, or not at all and with a reason; never as another's"
    counts = Counter()
    for name, (form, count, cause) in known.items():
        wanted = expected(name)
        if form is None:
            assert wanted is None or name.startswith(EDGE) or re.fullmatch(STUBS, name), (name, cause)
            assert count == 1 and REASON.search(cause), (name, cause)
        else: assert form == wanted, (name, form)
        counts[form or "none", name.startswith(EDGE)] += 1
    assert len(known) > 850 and {form for form, _ in counts} == {*LOGS.values(), "none"}
    assert {form: counts[form, False] for form in sorted(set(LOGS.values()))} == COUNTS



def test_no_record_fits_two_formats(shared):
    "Of all files, the first two hundred records each"
    seen = Counter()
    for path in files():
        try: log = Log(str(path))
        except InputError: continue
        with log:
            try: form = layout(log.data, str(path), *record_members())
            except InputError: continue
            keys = set(form.head) | ({form.under} if form.under else set())
            for record in islice(first_records(log.data, form, 200), 200):
                if isinstance(record, Rejected): continue
                whole = set(record) if form.shape == "object" and isinstance(record, dict) else set()
                found = [f.name for f in fitting(keys | whole, record)]
                assert len(found) < 2, (name_of(path), found)
                seen[found[0] if found else "none"] += 1
    assert sum(seen.values()) > 5000 and set(LOGS.values()) <= set(seen)


def test_the_platform_takes_every_dataset(shared, oracle, tmp_path):
    "Made of all files of a format at once, those that are hard too"
    made = []
    for form in sorted(set(LOGS.values())):
        given = [p for p in files() if expected(name_of(p)) == form]
        report = convert([p for p in given if str(p) in set(logs_of(given))], tmp_path, name=form, progress=False)
        assert report.rows and report.formats.keys() == {form}, form
        made += [str(f) for f in report.files if f.name == f"{form}.jsonl"]
    done = subprocess.run([oracle, str(shared/"oracle/aigo.py"), *made, "--strict", "-q"], capture_output=True, text=True, timeout=600)
    assert len(made) == len(set(LOGS.values())) and "ORACLE OK" in done.stdout, done.stdout[-2000:] + done.stderr[-2000:]


@pytest.fixture(scope="module")
def rows(shared):
    "Plain rows of real logs, a few of each file: (name, row)"
    found = []
    for path in files():
        name = name_of(path)
        if expected(name) is None or name.startswith(EDGE) or path.stat().st_size > 2_000_000: continue
        made = (m for m in span_lines(Span(str(path)), Job(""), Tally()) if isinstance(m, bytes))
        found += [(name, json.loads(m)) for m in islice(made, 3)]
    return found


def again(form, record): return check(build(form, form.one.decode(json.dumps(record)), Context(raw=lambda: b"x")))


@pytest.mark.parametrize("to", [f.name for f in load_formats().values() if f.write])
def test_real_logs_written_in_another_format_are_stable(rows, to):
    "What the writer makes of a row is read by the same format, and written again it is the same"
    form, counts = load_formats()[to], Counter()
    for name, row in rows:
        try: record = json.loads(json.dumps(form.write(row)))
        except Rejected as e:
            counts["refused"] += 1
            assert e.cause, name
            continue
        read = again(form, record)
        assert same(form.write(json.loads(json.dumps(read))), record), name
        assert calls(read) == calls(row), name
        counts["written"] += 1
    assert counts["written"] > 100, counts


def calls(row):
    "Names, arguments and whether there is an output, of the calls of a row"
    items = row["trace"]["items"]
    answered = {i["call_id"] for i in items if i["type"] == "function_call_output"}
    def data(text):
        try: return json.loads(text or "{}")
        except ValueError: return text
    return sorted((i["name"], json.dumps(data(i["arguments"]), sort_keys=True), i["call_id"] in answered) for i in items if i["type"] == "function_call")


@pytest.mark.parametrize("through", ["atif", "responses", "anthropic", "invariant"])
def test_real_chats_survive_the_way_through_another_format(rows, through):
    "chat -> trace -> another format -> trace -> chat: the same messages, for all real logs that chat can say"
    chat, other, counts = load_formats()["chat"], load_formats()[through], Counter()
    for name, row in rows:
        try: record = chat.write(row)
        except Rejected: continue
        first = json.loads(json.dumps(again(chat, record)))
        try: between = other.write(first)
        except Rejected as e:
            counts["refused"] += 1
            assert e.cause, name
            continue
        back = chat_messages(json.loads(json.dumps(again(other, between)))["trace"], exact=False)
        assert told(back) == told(chat_messages(first["trace"], exact=False)), name
        counts["equal"] += 1
    assert counts["equal"] > 100, counts


@given(conversations())
def test_chat_survives_training_rows(messages):
    "chat -> trace -> TRL -> trace -> chat: equal, and TRL's own rows are written again as they were"
    chat, trl = load_formats()["chat"], load_formats()["trl"]
    tools = [{"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}}]
    first = json.loads(json.dumps(again(chat, {"messages": messages, "tools": tools})))
    training = trl.write(first)
    second = json.loads(json.dumps(again(trl, training)))
    assert same(trl.write(second), training) and training["tools"] == tools
    assert told(chat_messages(second["trace"], exact=False)) == told(messages)


def told(messages):
    "What both formats can say of messages: roles, texts, thoughts, calls and results"
    found = []
    for m in messages:
        content = m.get("content")
        parts = content if isinstance(content, list) else [] if content in (None, "") else [{"type": "text", "text": content}]
        role = "system" if m["role"] == "developer" else m["role"]
        found += [(role, p.get("text") if p["type"] == "text" else json.dumps(p, sort_keys=True)) for p in parts if p.get("text") != ""]
        found += [("thought", m["reasoning_content"])] if m.get("reasoning_content") else []
        found += [("call", c["id"], c["function"]["name"], json.dumps(plain(c["function"]["arguments"]), sort_keys=True)) for c in m.get("tool_calls") or ()]
    return sorted(map(repr, found))


def plain(text):
    try: return json.loads(text)
    except ValueError: return text


def test_the_table_of_formats_is_whole():
    "The page that the README is made from names every format, what it can do, and where its logs are"
    text = "".join("".join(c["source"]) for c in json.loads((ROOT/"nbs/index.ipynb").read_text())["cells"])
    table = {m[1]: [cell.strip() for cell in m[0].strip("|").split("|")] for m in re.finditer(r"^\| \[(\w+)\]\(formats.*\|$", text, re.MULTILINE)}
    assert set(table) == set(load_formats())
    for name, form in load_formats().items():
        named = "named" if form.sniff is type(form).sniff else "yes"
        assert table[name][2:] == [named, "yes" if form.write else "", ", ".join(f"`{home}`" for home in form.homes)], name
