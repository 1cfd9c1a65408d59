"""Curation: nothing is lost without a word, splits share no session, and what was planted to be redacted is gone."""
import json
import random
import re
import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tracekit
from tracekit.rollouts import rollouts
from tracekit.source import InputError, Rejected
from tracekit.trace import assistant, call, output, plain_metadata, plain_trace, user
from tracekit.workflows.curate import Report, content_key, detected, keep, near_unique, session_of, split, unique
from tracekit.workflows.redact import Redactor, in_json, is_value, redact

FORMATS = ("claude_code", "codex", "hermes_agent", "pi_coding_agent")


def row(n, text, role="user", **more): return {"trace_id": f"t{n}", "root_session_id": f"s{n}", "messages": [{"role": role, "content": text}], **more}


@pytest.fixture(scope="module")
def sessions(shared):
    "The rollout rows of all shared sessions"
    return [r for name in FORMATS for r in rollouts(shared/"data/rollouts/logs"/name, name, rejects=[])]


# duplicates

ROWS = st.lists(st.builds(lambda n, text, session: row(n, text) | {"root_session_id": session}, st.integers(0, 99), st.sampled_from(["a b", "a  b ", "c", "", "é"]), st.sampled_from("xyz")), max_size=20)


@given(ROWS)
def test_unique_keeps_one_of_each(rows):
    report = Report()
    kept = list(unique(iter(rows), report))
    assert (report.read, report.kept, report.dropped.total()) == (len(rows), len(kept), len(rows) - len(kept))
    assert [content_key(r) for r in kept] == list(dict.fromkeys(map(content_key, rows)))
    assert all(any(k is r for r in rows) for k in kept) and list(unique(kept)) == kept


def test_what_makes_rows_equal():
    calls = [{"role": "assistant", "content": None, "tool_calls": [{"id": id, "function": {"name": "f", "arguments": text}}], "extra": {"timestamp": id}} for id, text in (("1", '{"a":1, "b":2}'), ("2", '{"b": 2,"a": 1}'), ("3", '{"a": 1}'))]
    keys = [content_key({"messages": [m]}) for m in calls]
    assert keys[0] == keys[1] != keys[2]
    items = [user("hi"), call("c", "f", '{"a":1, "b":2}', created_by="assistant"), output("c", "x", created_by="assistant"), assistant("bye")]
    assert content_key({"trace": plain_trace(items, plain_metadata(trace_id="a"))}) == content_key({"trace": plain_trace(items, plain_metadata(trace_id="b"))})


def test_near_duplicates_of_real_sessions(sessions):
    "A session with a few words changed is found, and no two of the real ones that differ are taken for the same"
    rows = list(unique(r for r in sessions if r["message_count"] > 10))
    report = Report()
    assert list(near_unique(rows, report)) == rows and report.dropped.total() == 0
    noise, changed = random.Random(0), []
    for r in rows[:12]:
        messages = [{**m, "content": [{**p, "text": " ".join("other" if noise.random() < 0.005 else w for w in p["text"].split(" "))} if p.get("type") == "text" else p for p in m["content"]]} for m in r["messages"]]
        changed.append({**r, "messages": messages})
    report = Report()
    assert [r["trace_id"] for r in near_unique([*rows, *changed], report)] == [r["trace_id"] for r in rows] and report.dropped == {"near-duplicate": 12}


# conditions

KEPT = [
    ({"reward": 1}, ["a"]), ({"reward": (None, 0.5)}, ["b"]), ({"messages": 2}, ["b"]), ({"messages": (1, 1)}, ["a", "c", "d"]), ({"errors": (1, None)}, ["b"]), ({"errors": (0, 0)}, ["a", "c", "d"]),
    ({"tools": "f"}, ["b"]), ({"tools": {"f", "g"}}, ["b"]), ({"without_tools": "f"}, ["a", "c", "d"]), ({"source": "codex"}, ["c"]), ({"source": ("codex", "pi")}, ["c"]),
    ({"outcome": "user_stop"}, ["d"]), ({"language": "de"}, ["c"]), ({"tokens": (None, 20)}, ["a", "b", "d"]), ({"tokens": 20, "count": len}, ["a", "c", "d"]),
    ({"where": lambda r: r["trace_id"] in "ad"}, ["a", "d"]), ({"messages": 1, "reward": 0, "tools": "f"}, ["b"]), ({}, ["a", "b", "c", "d"])]
SOME = [
    row("", "Please add a button to the page.", reward=1.0) | {"trace_id": "a"},
    {"trace_id": "b", "reward": 0, "messages": [{"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "{}"}}]}, {"role": "tool", "tool_call_id": "1", "content": "no", "is_error": True}]},
    row("", "Bitte füge einen Knopf hinzu, mit dem man die ganze Tabelle als Datei exportieren kann. " * 2, source_kind="codex") | {"trace_id": "c"},
    {"trace_id": "d", "termination_reason": "user_stop", "messages": [{"role": "user", "content": "Thank you for that, it works now."}]}]


@pytest.mark.parametrize("conditions, wanted", KEPT, ids=[" and ".join(k[0]) or "none" for k in KEPT])
def test_keep(conditions, wanted):
    report = Report()
    assert [r["trace_id"] for r in keep(SOME, report, **conditions)] == wanted
    assert report.read == 4 and report.kept == len(wanted) and report.dropped.total() == 4 - len(wanted)


def test_rows_of_a_dataset_are_rows_too():
    items = [user("hi"), call("c", "f", "{}", created_by="assistant"), output("c", "no", status="incomplete", created_by="assistant"), assistant("bye")]
    r = {"trace": plain_trace(items, plain_metadata(trace_id="t", source_type="tau2")), "reward": 0.0}
    assert list(keep([r], reward=(0, 0), messages=(3, 4), errors=(1, 1), tools="f", source="tau2")) == [r] and session_of(r) == "t"


@pytest.mark.parametrize("text, wanted", [("fix the tests please", "en"), ("Corrige le bug de connexion s'il te plaît", "fr"), ("请修复登录错误", "zh"), ("```\nfor x in y: print(x)\n```", ""), ("", ""), ("\ud800 fix the tests please", "en"), ("почини тесты пожалуйста", "ru")])
def test_languages(text, wanted): assert detected(row(1, text)) == wanted


# splits

@given(ROWS, st.integers(0, 5), st.sampled_from([{"train": 1.0}, {"train": 0.5, "test": 0.5}, {"train": 0.6, "dev": 0.2, "test": 0.2}, {"train": 1, "test": 0}]))
def test_no_session_is_on_two_sides(rows, seed, shares):
    made = list(split(rows, shares, seed=seed))
    assert [{k: v for k, v in r.items() if k != "split"} for r in made] == rows
    sides = {}
    for r in made: assert sides.setdefault(r["root_session_id"], r["split"]) == r["split"] and shares[r["split"]]
    assert sorted(map(str, split(rows[::-1], shares, seed=seed))) == sorted(map(str, made)), "whatever the order"


@given(ROWS, st.integers(0, 3))
def test_sessions_that_are_alike_are_on_one_side(rows, seed):
    made = list(split(rows, {"train": 0.5, "test": 0.5}, seed=seed, near=0.9))
    parts = [{r[name] if name else content_key(r) for r in made if r["split"] == side} for name in ("root_session_id", "") for side in ("train", "test")]
    assert len(made) == len(rows) and not parts[0] & parts[1] and not parts[2] & parts[3]


def test_shares_come_out_and_a_seed_changes_them():
    rows = [row(n, "x") for n in range(4000)]
    first = [r["split"] for r in split(rows, {"train": 0.9, "test": 0.1})]
    assert 320 < first.count("test") < 480 and first != [r["split"] for r in split(rows, {"train": 0.9, "test": 0.1}, seed=1)]
    assert first[:100] == [r["split"] for r in split(rows[:100], {"train": 0.9, "test": 0.1})], "a row more moves no other"


@pytest.mark.parametrize("shares", [{}, {"train": 0.5}, {"train": 1.5, "test": -0.5}, {"train": 0.9, "test": 0.2}])
def test_wrong_shares(shares):
    with pytest.raises(InputError, match="make 1 together"): list(split([], shares))


def test_by_another_column():
    rows = [row(n, "x", task=str(n % 3)) for n in range(30)]
    for by in ("task", lambda r: r["task"]): assert len({(r["task"], r["split"]) for r in split(rows, {"a": 0.5, "b": 0.5}, by=by)}) == 3


# redaction: (kind, value) that must be gone, put together from halves so that no scanner takes this file for a leak

def _pem(kind=""): return f"-----BEGIN {kind}PRIVATE " + "KEY-----\n" + "\n".join(["MIIEowIBAAKCAQEA0Z3VS5JJcds3xfn" + "a" * 20] * 3) + f"\n-----END {kind}PRIVATE KEY-----"

PLANTED = [
    ("AWS_ACCESS_KEY", "AKIA" + "QYLPMN5HFIQR7XYZ"), ("GITHUB_TOKEN", "ghp_" + "aB3dE5fG7hI9jK1lM3nO5pQ7rS9tU1vW3xY5"), ("GITHUB_TOKEN", "github_pat_" + "11ABCDEFG0aBcDeFgHiJkL_mNoPqRsTuVwXyZ0123456789"),
    ("ANTHROPIC_KEY", "sk-ant-" + "api03-Xk2mQ8vLr4TzWn6YbHs9PdGf1Jc5Aa-Bb_Cc"), ("OPENAI_KEY", "sk-proj-" + "Xk2mQ8vLr4TzWn6YbHs9PdGf1Jc5AaBbCc"), ("OPENAI_KEY", "sk-" + "Xk2mQ8vLr4TzWn6YbHs9T3BlbkFJPdGf1Jc5AaBbCc7788"),
    ("OPENROUTER_KEY", "sk-or-" + "v1-0123456789abcdef0123456789abcdef"), ("GOOGLE_KEY", "AIza" + "SyA1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q"), ("HUGGINGFACE_TOKEN", "hf_" + "aBcDeFgHiJkLmNoPqRsTuVwXyZ012345"),
    ("SLACK_TOKEN", "xoxb-" + "123456789012-1234567890123-AbCdEfGhIjKlMnOpQrStUvWx"), ("STRIPE_ACCESS_KEY", "sk_live_" + "4eC39HqLyjWDarjtT1zdp7dc"), ("GITLAB_TOKEN", "glpat-" + "aBcDeFgHiJkLmNoPqRsT"),
    ("JSON_WEB_TOKEN", "eyJhbGciOiJIUzI1NiJ9." + "eyJzdWIiOiIxMjM0NTY3ODkwIn0." + "dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"), ("NPM_TOKEN", "npm_" + "aBcDeFgHiJkLmNoPqRsTuVwXyZ0123456789"),
    ("PRIVATE_KEY", _pem()), ("PRIVATE_KEY", _pem("RSA ")), ("PRIVATE_KEY", _pem("OPENSSH ")),
    ("EMAIL", "jane.doe+bills@corp.example"), ("EMAIL", "jane@sub.corp-mail.co.uk"), ("EMAIL", "O'Brien_7@example.com"), ("EMAIL", "test@example.org"),
    ("PHONE", "+41 44 668 18 00"), ("PHONE", "+1 (415) 555-0132"), ("PHONE", "+442079460958"), ("PHONE", "+49 30 901820"),
    ("IP", "203.0.113.77"), ("IP", "8.8.4.4"), ("IP", "2001:db8:85a3::8a2e:370:7334"), ("CARD", "4111 1111 1111 1111"), ("CARD", "5500-0000-0000-0004"), ("CARD", "378282246310005"),
    ("IBAN", "DE89370400440532013000"), ("IBAN", "CH93 0076 2011 6238 5295 7"), ("IBAN", "GB82 WEST 1234 5698 7654 32"), ("SSN", "219-09-9999"),
]
WITHIN = [   # the part that must be gone, in a text that says what it is
    ("SECRET", "9f8e7d6c5b4a", "API_KEY={}"), ("SECRET", "9f8e7d6c5b4a", 'export STRIPE_SECRET="{}"'), ("SECRET", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYzz", "aws_secret_access_key = {}"), ("SECRET", "a1b2c3d4e5f6", "client_secret: {}"),
    ("SECRET", "tok3nvalue99", "--api-key {} run"), ("SECRET", "tok3nvalue99", "x-api-key: {}"), ("SECRET", "tok3nvalue99", "{{'access_token': '{}'}}"),
    ("PASSWORD", "hunter22", "password={}"), ("PASSWORD", "correct-horse", 'password: "{}"'), ("PASSWORD", "s3cr3t!", "DB_PASSWORD='{}'"), ("PASSWORD", "Tr0ub4dor&3", "passwd: {}"),
    ("BEARER_TOKEN", "abcdef0123456789abcdef", "Authorization: Bearer {}"), ("BEARER_TOKEN", "dXNlcjpwYXNzd29yZDEyMw==", "authorization: basic {}"), ("URL_PASSWORD", "s3cr3t-pw", "postgres://shop:{}@db.internal:5432/shop"), ("URL_PASSWORD", "letmein", "https://bob:{}@corp.internal/x"),
    ("USER", "alice", "/home/{}/shop/a.py"), ("USER", "alice.b", "/Users/{}/x"), ("USER", "Alice", "C:\\Users\\{}\\x"), ("USER", "alice", "~/.claude/projects/-Users-{}-shop"), ("USER", "alice", "/mnt/c/Users/{}/x")]
INNOCENT = [
    "Chrome/120.0.6099.109 of 1.2.3", "at 12:30:45.123 on 2026-03-01T10:00:00Z", "127.0.0.1:8080 and 10.0.0.12, 192.168.1.1, 0.0.0.0, ::1", "git@github.com:foo/bar.git", "pkg@1.2.3 and @types/node@20.1.0", "std::vector<int> a::b::c",
    "password: string; token: str = None", "token = get_token()", "api_key=os.environ['API_KEY']", "apiKey: process.env.API_KEY", "API_KEY=$API_KEY", "API_KEY=your-api-key-here1", "password = '********'", "sk-ant-... or hf_xxx", "total_tokens: 123456789",
    "0x7f3a2b1c4d5e6f70", "d41d8cd98f00b204e9800998ecf8427e", "550e8400-e29b-41d4-a716-446655440000", "1767700800000 1767700800", "1234567890123456", "lat 47.376887, 8.541694", "commit 4e480f9057dbe4b7313ef9b16c371d756767002d",
    "/home/ubuntu/x /home/runner/work", "$HOME/x /home/$USER/x", "see RFC 2606, 555-0199", "the tokens of the session", "basic understanding of it", "999-99-9999 000-12-3456", "toolu_01RvSvwyWx1qsj6xChmZ4tG8 call_lQ3xkq0", "secret sauce: none", "a token bucket12345 limit"]


@pytest.mark.parametrize("kind, secret", PLANTED, ids=[f"{n}-{p[0]}" for n, p in enumerate(PLANTED)])
def test_planted(kind, secret):
    "In text, at a line end, in JSON, in JSON inside JSON, in what a tool printed with escapes, as a value that stands alone"
    for text in (secret, f"It is {secret}.", f"a\n{secret}\nb", f"({secret})", f"<{secret}>", f"'{secret}',", json.dumps({"note": f"x\n{secret}\ty"}), json.dumps({"a": json.dumps([f"\n{secret}"])}), f"line: {json.dumps(f'{secret} and')}"):
        made = redact(row(1, text))["messages"][0]["content"]
        assert secret not in made and json.dumps(secret)[1:-1] not in made and f"[{kind}_1]" in made, (text, made)


@pytest.mark.parametrize("kind, secret, place", WITHIN, ids=[w[2][:40] for w in WITHIN])
def test_planted_in_its_place(kind, secret, place):
    text = place.format(secret)
    for given_text in (text, f"see: {text}\nand so on", json.dumps({"out": f"a\n{text}"}), json.dumps({"command": text})):
        made = redact(row(1, given_text))["messages"][0]["content"]
        assert secret not in made and f"[{kind}_1]" in made, (given_text, made)


@pytest.mark.parametrize("text", INNOCENT)
def test_innocent(text):
    for given_text in (text, json.dumps({"text": text})): assert redact(row(1, given_text)) == row(1, given_text)


def everywhere(secret):
    "A row with a secret wherever a text can be"
    return {"trace_id": "t", "root_session_id": "t", "cwd": f"/work/{secret}", "source_path": "/x/y.jsonl", "git_branch": secret, "final_assistant_message": f"Is {secret} ok?", "message_count": 3,
            "messages": [{"role": "system", "content": secret}, {"role": "user", "content": [{"type": "text", "text": f"see {secret}"}], "extra": {"deep": [{"x": [secret]}], f"key {secret}": 1}},
                         {"role": "assistant", "content": [], "reasoning_content": f"hm {secret}", "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "f", "arguments": json.dumps({"a": {"b": [f"\n{secret}"]}, "n": 1.50})}}]},
                         {"role": "tool", "tool_call_id": "call_1", "content": [{"type": "text", "text": json.dumps({"out": secret})}]}],
            "source_meta": {"git": {"url": f"https://x/{secret}"}, "events": [{"type": "custom", "data": {"text": secret}}]},
            "trace": plain_trace([user(secret), call("c1", "f", json.dumps({"a": secret}), created_by="assistant"), output("c1", f"{secret}!", created_by="assistant")], plain_metadata(trace_id="t", error=secret, extra={"k": secret}))}


@pytest.mark.parametrize("secret", [p[1] for p in PLANTED if p[0] in ("EMAIL", "ANTHROPIC_KEY", "GITHUB_TOKEN", "PRIVATE_KEY", "CARD", "JSON_WEB_TOKEN")])
def test_all_of_a_row(secret):
    "No place is forgotten; ids stay, arguments stay JSON, and a second time nothing changes"
    before, report = everywhere(secret), Report()
    copy = json.dumps(before)
    made = redact(before, report=report)
    text = json.dumps(made)
    assert secret not in text and json.dumps(secret)[1:-1] not in text and json.dumps(json.dumps(secret)[1:-1])[1:-1] not in text
    assert json.dumps(before) == copy, "the row that was given is untouched"
    [c] = made["messages"][2]["tool_calls"]
    assert (c["id"], made["messages"][3]["tool_call_id"], made["trace"]["items"][1]["call_id"]) == ("call_1", "call_1", "c1")
    assert json.loads(c["function"]["arguments"])["n"] == 1.5 and json.loads(made["trace"]["items"][1]["arguments"])
    assert redact(made) == made and sum(report.values.values()) == 1 and sum(report.redacted.values()) == len(re.findall(r"\[[A-Z_]+_1\]", text))
    assert tracekit.redact is redact


def test_a_secret_is_one_everywhere():
    "Found by its place once, gone from wherever it is said again, in later rows of the session too"
    redactor = Redactor()
    first = redactor({"root_session_id": "s", "messages": [{"role": "assistant", "content": "I use 9f8e7d6c5b4a now"}, {"role": "tool", "content": "API_KEY=9f8e7d6c5b4a"}]})
    later, other = (redactor({"root_session_id": id, "messages": [{"role": "user", "content": "was it 9f8e7d6c5b4a?"}]}) for id in ("s", "z"))
    assert [m["content"] for m in first["messages"]] == ["I use [SECRET_1] now", "API_KEY=[SECRET_1]"]
    assert later["messages"][0]["content"] == "was it [SECRET_1]?" and other["messages"][0]["content"] == "was it 9f8e7d6c5b4a?"


def test_placeholders_that_are_there_are_not_taken_again():
    made = redact(row(1, "[EMAIL_1] wrote to b@corp.example and [EMAIL_7]"))["messages"][0]["content"]
    assert made == "[EMAIL_1] wrote to [EMAIL_8] and [EMAIL_7]"


def test_names_and_regions():
    assert redact(row(1, "Ada met ADA and Adam"), names=["Ada"])["messages"][0]["content"] == "[NAME_1] met [NAME_1] and Adam"
    assert redact(row(1, "call 044 668 18 00"), region="CH")["messages"][0]["content"] == "call [PHONE_1]"
    assert redact(row(1, "x T-12"), detectors=[lambda text: [(2, 6, "TICKET")]])["messages"][0]["content"] == "x [TICKET_1]"


def test_images_are_left_alone():
    url = "data:image/png;base64," + "AKIA" + "QYLPMN5HFIQR7XYZ" * 20
    r = {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]}
    assert redact(r) == r


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=12), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3), max_leaves=8)


@given(JSON, st.sampled_from([None, 1]), st.text(max_size=8))
def test_in_json_changes_strings_only(value, indent, mark):
    text = json.dumps([value], indent=indent)
    assert in_json(text, lambda s, name: s) == text
    def changed(v):
        if isinstance(v, str): return v + mark
        if isinstance(v, list): return [changed(x) for x in v]
        return {k + mark: changed(x) for k, x in v.items()} if isinstance(v, dict) else v
    assert json.loads(in_json(text, lambda s, name: s + mark)) == [changed(value)]


@given(st.lists(st.one_of(st.sampled_from([p[1] for p in PLANTED if "\n" not in p[1]]), st.text(max_size=12)), min_size=1, max_size=6), st.sampled_from([" ", "\n", ", ", "; "]))
def test_redaction_is_idempotent(pieces, between):
    made = redact(row(1, between.join(pieces)))
    assert redact(made) == made
    for p in PLANTED:
        if between != " " and "\n" not in p[1] and any(p[1] == piece for piece in pieces) and all(piece.isascii() and not re.search(r"[\w.+%'@:-]", piece) or piece in [q[1] for q in PLANTED] for piece in pieces):
            assert p[1] not in made["messages"][0]["content"]


HOSTILE = {"slashes": "://" * 40_000 + "@", "homes": "/home/" * 20_000, "mails": "a@b.cc " * 10_000, "keys": "-----BEGIN PRIVATE KEY-----" * 4_000, "digits": "4111 " * 20_000, "marks": "[A_1]" * 20_000, "words": "a-" * 50_000 + "password",
           "passwords": "password=" * 10_000, "blanks": "secret" + " " * 100_000, "quotes": '"' * 100_000, "deep": '{"a":' * 400 + "1" + "}" * 400, "tokens": "eyJaaaaaaaaa." * 8_000}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_texts_end(text):
    "Patterns that run wild would take minutes here"
    made = redact(row(1, text))
    assert redact(made) == made


def test_what_is_too_deep_is_refused():
    deep = inner = {}
    for _ in range(100_000): inner["a"] = inner = {}
    with pytest.raises(Rejected, match="nested too deep"): redact({"messages": [], "extra": deep})
    while deep: deep = deep.pop("a")   # taken apart step by step, or freeing it would recurse


@pytest.mark.parametrize("text, wanted", [("hunter22", True), ("********", False), ("xxxxxxxx", False), ("$TOKEN", False), ("sk-...", False), ("get_token(", False), ("undefined", False), ("process.env.X", False), ("", False)])
def test_what_may_be_a_secret(text, wanted): assert is_value(text) is wanted


def test_real_sessions(sessions):
    "Ids, numbers of messages and JSON stay; twice is once; on real text nothing is taken for a secret, and no number for a person"
    report = Report()
    redactor = Redactor(report=report)
    made = [redactor(r) for r in sessions]
    for a, b in zip(sessions, made):
        assert [(m["role"], m.get("tool_call_id"), [(c["id"], c["function"]["name"]) for c in m.get("tool_calls", ())]) for m in a["messages"]] == [(m["role"], m.get("tool_call_id"), [(c["id"], c["function"]["name"]) for c in m.get("tool_calls", ())]) for m in b["messages"]]
        assert a["trace_id"] == b["trace_id"] and b["cwd"] == (a["cwd"] and re.sub(r"(/home/|/Users/|\\Users\\)(?!(?:ubuntu|USER|test|user|runner|me)(?:[/\\]|$))[^/\\]+", r"\1[USER_1]", a["cwd"])), (a["cwd"], b["cwd"])
        for m, n in zip(a["messages"], b["messages"]):
            for c, d in zip(m.get("tool_calls", ()), n.get("tool_calls", ())):
                try: json.loads(c["function"]["arguments"])
                except ValueError: continue
                json.loads(d["function"]["arguments"])
    assert set(report.redacted) == {"EMAIL", "USER"} and report.kept == len(sessions)
    again = Redactor(report=Report())
    assert [again(r) for r in made] == made and not again.report.redacted


def test_planted_in_real_sessions(sessions):
    "Each secret in each of many real places: all are gone"
    noise, missed, total = random.Random(1), Counter(), 0
    for r in (r for r in sessions if r["tool_call_count"] > 5):
        copy, put = json.loads(json.dumps(r)), []
        for kind, secret in noise.sample(PLANTED, 8):
            m = noise.choice([m for m in copy["messages"] if m.get("content") or m.get("tool_calls")])
            if m.get("tool_calls"):
                function = noise.choice(m["tool_calls"])["function"]
                try: function["arguments"] = json.dumps({**json.loads(function["arguments"]), "planted": f"x {secret} y"})
                except (ValueError, TypeError): continue
            elif isinstance(m["content"], list) and isinstance(m["content"][0].get("text"), str):
                words = m["content"][0]["text"].split(" ")
                words.insert(noise.randrange(len(words) + 1), secret)
                m["content"][0]["text"] = " ".join(words)
            else: continue
            put.append((kind, secret))
        text, total = json.dumps(redact(copy)), total + len(put)
        missed.update(kind for kind, secret in put if json.dumps(secret)[1:-1] in text or json.dumps(json.dumps(secret)[1:-1])[1:-1] in text)
    assert total > 150 and missed.total() <= total * 0.02, (total, missed)


@pytest.mark.parametrize("module, use, name", [("datasketch", "list(near_unique([r]))", "datasketch"), ("py3langid", "list(keep([r], language='en'))", "py3langid"), ("detect_secrets", "redact(r)", "detect-secrets"), ("phonenumbers", "redact(r)", "phonenumbers")])
def test_a_missing_package_is_told_in_one_line(module, use, name):
    "And the rest of the module works without it"
    code = (f"import sys; sys.modules[{module!r}] = None\nfrom tracekit.workflows.curate import *; from tracekit.workflows.redact import redact; from tracekit.source import InputError\n"
            f"r = {{'messages': [{{'role': 'user', 'content': 'hello there'}}]}}; assert len(list(unique([r, r]))) == 1\ntry: {use}\nexcept InputError as e: print(e)")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.endswith(f"needs {name}: pip install 'tracekit[curate]'\n") and done.stdout.count("\n") == 1, done.stdout + done.stderr


def test_nothing_is_loaded_before_it_is_needed():
    code = "import sys, tracekit; tracekit.redact; tracekit.interactions; tracekit.publish; print([m for m in ('datasketch', 'py3langid', 'detect_secrets', 'phonenumbers', 'pyarrow', 'scipy') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"
