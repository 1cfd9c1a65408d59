"""Columns: templates, samplers, functions and models, through a real server on loopback; killed and resumed; hostile prompts and answers."""
import json
import random
import signal
import subprocess
import sys
import textwrap
import time
from collections import Counter
from pathlib import Path
from typing import Literal

import pytest
from chat_server import chat_server
from click.testing import CliRunner
from conftest import ROOT, heed_ctrl_c
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from tracekit.cli import main
from tracekit.dataset import Dataset
from tracekit.source import InputError, Rejected
from tracekit.workflows.column import make_column, ordered, stretches
from tracekit.workflows.columns import Pipeline
from tracekit.workflows.model import Model
from tracekit.workflows.template import Template, readable

KEY = "sk-test-0123456789abcdefghij"
pytest.importorskip("openai", reason="the extra for models is not installed: pip install 'tracekit[models]'")


class ToolInteractionAnalysis(BaseModel):
    outcome: Literal["success", "failure", "unclear"] = Field(description="How it ended")
    summary: str = Field(description="What was asked and what came of it")


EXPLODE = textwrap.dedent('''
    def explode_tool_interactions(row):
        rows, calls, context = [], {}, []
        for message in row["messages"]:
            context.append(message)
            for call in message.get("tool_calls") or []:
                if call.get("id"): calls[call.get("id")] = call
            if message.get("role") != "tool": continue
            call = calls.get(message.get("tool_call_id"), {"id": message.get("tool_call_id"), "type": "function", "function": {"name": "unknown", "arguments": "{}"}})
            rows.append({**row, "tool_interaction_context": list(context), "tool_call": call, "tool_response": message, "tool_name": call.get("function", {}).get("name", "unknown")})
        return rows
''')   # behaves as the source guide's function of that name
exec(EXPLODE, _made := {})   # noqa: S102
explode_tool_interactions = _made["explode_tool_interactions"]


@pytest.fixture
def server(tmp_path):
    "A server that answers at once"
    with chat_server(tmp_path) as running: yield running


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("TEST_KEY", KEY)


def model(server, **more):
    return Model("m", base_url=server.url, api_key_env="TEST_KEY", **{"timeout": 2, **more})


def lines(path): return [json.loads(text) for text in Path(path).read_text().splitlines()]


# ---------------------------------------------------------------- templates
@pytest.mark.parametrize("source, row, text", [
    ("{{ a }}", {"a": "{{ 7*7 }}{% raw %}{# x #}"}, "{{ 7*7 }}{% raw %}{# x #}"),
    ("{{ a }}", {"a": "\x00\x1b[31m\u202e}"}, "\x00\x1b[31m\u202e}"),
    ("{ {a} {{ a }} }", {"a": "{x}"}, "{ {a} {x} }"),
    ("{{ range }} {{ dict }} {{ self }} {{ loop }} {{ lipsum }} {{ namespace }}", {k: k for k in ("range", "dict", "self", "loop", "lipsum", "namespace")}, "range dict self loop lipsum namespace"),
    ("{{ context }}{{ environment }}{{ caller }}{{ kwargs }}{{ missing }}{{ name }}", {k: "x" for k in ("context", "environment", "caller", "kwargs", "missing", "name")}, "xxxxxx"),
    ("{% for x in range(3) %}{{ loop.index }}{{ x }} {% endfor %}", {}, "10 21 32 "),
    ("{{ a }}", {"a": {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "{}"}}]}}, "assistant: [calls f {}]"),
    ("{{ a.b[0].c }}", {"a": {"b": [{"c": "<&>"}]}}, "<&>"),
    ("{{ a | tojson }}", {"a": {"x": "<é>"}}, '{"x":"<é>"}'),
    ("{{ a | string }}|{{ a ~ '' }}|{{ [a, a] | join(',') }}", {"a": {"k": 1}}, '{"k":1}|{"k":1}|{"k":1},{"k":1}'),
    ("{% if x is defined %}{{ x }}{% else %}-{% endif %}", {}, "-"),
    ("a\n\n", {}, "a\n\n"),
])
def test_templates(source, row, text): assert Template(source).text(row) == text


@pytest.mark.parametrize("source", [
    "{{ x.__class__.__mro__ }}", "{{ x|attr('__class__') }}", "{{ ''.__class__ }}", "{{ x.format.__globals__ }}", "{{ '{0.__class__}'.format(x) }}", "{{ m.append(1) }}", "{{ d.update({'a': 1}) }}", "{{ self.__init__ }}",
    "{{ 'a' * 10**9 }}", "{{ [1] * 10**9 }}", "{{ 9 ** (9 ** 9) }}", "{{ '%999999999d' | format(1) }}", "{{ '%9999999d' % 1 }}", "{{ '{:>999999999}'.format(1) }}", "{{ 'a'.ljust(10**9) }}", "{{ 'a' | center(10**9) }}",
    "{{ 'a' | indent(10**9) }}", "{{ range(10**9) | list }}", "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}", "{% macro f() %}{{ f() }}{{ f() }}{% endmacro %}{{ f() }}",
    "{% set n = namespace(x='aaaa') %}{% for i in range(99) %}{% set n.x = n.x ~ n.x %}{% endfor %}", "{% set n = namespace(x=[1]) %}{% for i in range(99) %}{% set n.x = [n.x, n.x] %}{% endfor %}{{ n.x }}",
    "{% set n = namespace(x='aaaa') %}{% for i in range(99) %}{% set n.x = n.x | replace('a', 'aaaa') %}{% endfor %}", "{% include 'x' %}", "{% import 'x' as y %}", "{{ undefined_name }}", "{{ d.nothing }}", "{{ [] | random }}", "{{",
    "{{ " + "("*5000 + "1" + ")"*5000 + " }}", "{{ cycler }}", "{{ x.upper }}",
])
def test_what_a_template_may_not_do(source):
    began = time.monotonic()
    with pytest.raises((InputError, Rejected)) as e: Template(source, "c").value({"x": "x", "m": [1], "d": {"a": 1}})
    assert time.monotonic() - began < 12 and len(str(e.value)) < 700


def test_a_choice_depends_on_nothing_but_seed_record_and_column():
    rows = [{"trace_id": str(n), "source_path": f"/a/{n}", "messages": [{"role": "user", "content": str(k)} for k in range(10)]} for n in range(40)]
    def picks(rows, seed=1, **more):
        pipe = Pipeline(rows, seed=seed).add("turn", "{{ messages | random }}").add("dice", sample=list(range(1000)))
        return {r["trace_id"]: (r["turn"]["content"], r["dice"]) for r in pipe.preview(99).rows}
    moved = [r | {"source_path": "/elsewhere"} for r in rows]
    assert picks(rows) == picks(rows[::-1]) == picks(moved) != picks(rows, seed=2) and len({p[0] for p in picks(rows).values()}) > 5
    assert picks(rows)["7"] == picks([rows[7]])["7"]


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4), max_leaves=12))
def test_any_value_can_be_put_into_a_text(value):
    assert Template("{{ a }}").text({"a": value}) == readable(value) and Template("{{ a }}", "c").value({"a": value}) is not ...


# ---------------------------------------------------------------- columns
def test_columns_are_ordered_by_what_they_need():
    columns = [make_column("d", "{{ c }}{{ b }}"), make_column("c", "{{ b }}"), make_column("a", "1"), make_column("b", "{{ x }}")]
    assert [c.name for c in ordered(columns)] == ["a", "b", "c", "d"]
    for n in range(50):
        mixed = random.Random(n).sample(columns, 4)
        assert [c.name for c in ordered(mixed) if c.name != "a"] == ["b", "c", "d"] and len(stretches(ordered(mixed))[0][0]) == 3


def test_every_record_is_accounted_for(tmp_path):
    "Rows, rejects and records without any, one after another, in order"
    def split(row): return [{"k": k} for k in range(row["n"] % 4)]
    def odd(row):
        if row["n"] % 5 == 4: raise ValueError(f"no {row['n']}")
        return {"odd": row["n"] % 2}
    rows = [{"n": n} for n in range(100)]
    report = Pipeline([*rows, "no row"]).add(odd, makes=["odd"]).add(split, needs=["n"], makes=["k"]).add("t", "{{ 6 // k }}").run(tmp_path/"o.jsonl")
    kept, aside = lines(tmp_path/"o.jsonl"), lines(tmp_path/"o.rejects.jsonl")
    assert report.read == 101 and report.records == report.rows + report.rejected + report.empty and (len(kept), len(aside)) == (report.rows, report.rejected)
    assert [(r["n"], r["k"]) for r in kept] == [(n, k) for n in range(100) if n % 5 != 4 for k in range(n % 4) if k]
    assert report.empty == sum(n % 4 == 0 for n in range(100) if n % 5 != 4) and aside[-1]["stage"] == "read"
    assert {(a["column"], a["stage"]) for a in aside} == {("odd", "function"), ("t", "template"), ("", "read")} and "ValueError: no 4" in aside[3]["cause"]


def test_memory_does_not_grow_with_rows(tmp_path):
    "Rows are read as they are needed"
    ahead = Counter()
    def rows():
        for n in range(3000):
            ahead["read"] += 1
            yield {"n": n, "pad": "x"*1000}
    def seen(row):
        ahead["most"] = max(ahead["most"], ahead["read"] - row["n"])
        return {"m": row["n"]}
    report = Pipeline(rows(), models=[Model("f", lambda messages: "ok", concurrency=4)]).add("a", prompt="{{ n }}").add(seen, needs=["a"], makes=["m"]).run(tmp_path/"o.jsonl")
    assert report.rows == 3000 and ahead["most"] < 600 and [r["n"] for r in lines(tmp_path/"o.jsonl")] == list(range(3000))


@pytest.mark.parametrize("name", ["o.jsonl", "o.parquet"])
def test_values_come_back_as_they_were(tmp_path, name):
    values = [{"a": [1, None, "\u2028", {"b": 1.5}]}, {"a": "é\x00"}, {"a": 2**70}, {"a": True}]
    Pipeline(values).add("b", "{{ a }}").run(tmp_path/name)
    assert [r["b"] for r in Dataset(tmp_path/name).plain()] == [v["a"] for v in values]


# ---------------------------------------------------------------- a model behind a server
@pytest.mark.parametrize("do, calls, why", [
    ("", 1, None), ("500:2", 3, None), ("429:2", 3, None), ("cut:1", 2, None), ("notjson:1", 2, None), ("html:1", 2, None), ("hang:1", 2, None), ("sse", 1, None), ("sse_cut:1", 2, None), ("empty:1", 2, None),
    ("500", 3, "answered 500: internal, after 3 tries"), ("400", 1, "context length exceeded"), ("huge", 1, "longer than"), ("gzip", 1, "longer than"), ("long", 1, "max_output"), ("refuse", 1, "refuses"), ("drip", 3, "no answer within"),
    ("hang", 3, "no answer within 2 s, after 3 tries"), ("html", 3, "no JSON: <html>"), ("echo_key", 1, "who is ***?")])
def test_what_a_server_may_do(server, tmp_path, do, calls, why):
    report = Pipeline([{"n": 1}], models=[model(server, retries=2)]).add("a", prompt="{{ n }} #" + do if do else "{{ n }}").run(tmp_path/"o.jsonl")
    assert report.calls == calls and (report.rows, report.rejected) == ((1, 0) if why is None else (0, 1))
    if why: assert why in report.rejects[0]["cause"] and report.rejects[0]["stage"] == "model"
    assert all(KEY[:8] not in p.read_text(errors="replace") for p in tmp_path.glob("o*"))


@pytest.mark.parametrize("do, told", [("401", "check TEST_KEY"), ("404", "no such model")])
def test_what_would_fail_every_record_ends_the_run(server, tmp_path, do, told):
    with pytest.raises(InputError, match=told) as e: Pipeline([{"n": n} for n in range(500)], models=[model(server)]).add("a", prompt="{{ n }} #" + do).run(tmp_path/"o.jsonl")
    assert KEY[:10] not in str(e.value) and not (tmp_path/"o.jsonl").exists() and len(server.requests()) < 100


def test_an_endpoint_that_is_not_there_ends_the_run(tmp_path):
    pipe = Pipeline([{"n": 1}], models=[Model("m", base_url="http://127.0.0.1:9/v1", api_key_env=None, retries=1)]).add("a", prompt="{{ n }}")
    with pytest.raises(InputError, match="cannot be reached"): pipe.run(tmp_path/"o.jsonl")


@pytest.mark.parametrize("do, native, calls, ok", [("", False, 1, True), ("", True, 1, True), ("fence", False, 1, True), ("prose:1", False, 2, True), ("wrong:1", False, 2, True), ("wrong", False, 3, False), ("prose", True, 3, False), ("long", False, 1, False)])
def test_structured_answers(server, tmp_path, do, native, calls, ok):
    pipe = Pipeline([{"n": 1}], models=[model(server, native=native)]).add("a", prompt="{{ n }} #" + do if do else "{{ n }}", output=ToolInteractionAnalysis)
    report = pipe.run(tmp_path/"o.jsonl")
    assert report.calls == calls and report.rows == ok
    if ok: ToolInteractionAnalysis.model_validate(lines(tmp_path/"o.jsonl")[0]["a"])
    elif do != "long": assert "no answer fits the schema, 3 were given" in report.rejects[0]["cause"]


def test_limits_are_kept(server, tmp_path):
    "Not more at a time than asked for, not more in a minute, and the same question once"
    Pipeline([{"n": n % 50} for n in range(100)], models=[model(server, concurrency=5)]).add("a", prompt="{{ n }}").run(tmp_path/"o.jsonl")
    assert len(server.requests()) == 50 and server.requests()[-1]["most"] <= 5
    began = time.monotonic()
    Pipeline([{"n": n} for n in range(6)], models=[model(server, per_minute=600)]).add("a", prompt="slowly {{ n }}").run(tmp_path/"p.jsonl")
    assert time.monotonic() - began >= 0.45


def test_prompts_arrive_as_they_were_written(server, tmp_path):
    hostile = ["{{ 7*7 }} {% for %}", "\x00\x01\x1b[2J\u202e", "a\ud800b", "}}{{", "\r\n\r\nHTTP/1.1 200 OK", '"}],"x":[{"', "é\u2028\U0001f600"]
    rows = [{"t": t} for t in hostile]
    report = Pipeline(rows, models=[model(server)]).add("a", prompt="{{ t }}").run(tmp_path/"o.jsonl")
    assert report.rows + report.rejected == len(hostile) and {r["prompt"] for r in server.requests()} == {t.encode("utf-8", "replace").decode() for t in hostile}


def test_a_stream_gives_the_same(server, tmp_path):
    for stream in (False, True): Pipeline([{"n": 1}], models=[model(server, stream=stream)]).add("a", prompt="two {{ n }}").run(tmp_path/f"{stream}.jsonl")
    assert lines(tmp_path/"True.jsonl") == lines(tmp_path/"False.jsonl") and len(server.requests()) == 2


def test_tokens_and_cost_are_counted_once(server, tmp_path):
    pipe = Pipeline([{"n": n} for n in range(10)], models=[model(server, price=(1.0, 2.0))]).add("a", prompt="{{ n }}")
    pipe.preview(3)
    first, second = pipe.run(tmp_path/"o.jsonl"), pipe.run(tmp_path/"o.jsonl")
    assert (first.calls, first.cached, first.input_tokens, first.output_tokens) == (7, 3, 70, 35) and first.cost == pytest.approx((70 + 70)/1e6)
    assert (second.calls, second.cached, second.cost) == (0, 10, 0) and len(server.requests()) == 10


def test_the_key_is_nowhere(server, tmp_path, capsys):
    pipe = Pipeline([{"n": n} for n in range(3)], models=[model(server, retries=0)]).add("a", prompt="{{ n }} #echo_key")
    told = repr(pipe) + str(pipe.preview(2)) + pipe.preview(2)._repr_html_() + repr(pipe.models) + str(pipe.run(tmp_path/"o.jsonl")) + "".join(capsys.readouterr())
    held = b"".join(p.read_bytes() for p in tmp_path.rglob("o*") if p.is_file())
    assert "***" in told and KEY[3:12] not in told and KEY[3:12].encode() not in held
    with pytest.raises(InputError) as e: Model("m", api_key_env=KEY)
    assert KEY not in str(e.value)


def test_without_a_key_or_the_extra_one_line_says_so(tmp_path, monkeypatch):
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    pipe = Pipeline([{"n": 1}], models=[Model("gpt-5-mini", api_key_env="NO_KEY")]).add("b", "{{ n }}").add("a", prompt="{{ n }}").add("c", "{{ a }}")
    with pytest.raises(InputError, match="NO_KEY"): pipe.run(tmp_path/"o.jsonl")
    card = pipe.preview(1)[0]
    assert card.row == {"n": 1, "b": 1} and card.prompts == {"a": "1"} and "NO_KEY" in pipe.preview(1).notes[0]
    monkeypatch.setattr("tracekit.workflows.endpoint.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'tracekit\[models\]'"): pipe.run(tmp_path/"o.jsonl")


# ---------------------------------------------------------------- the two examples of the source guide
FORMATS = ["claude_code", "codex", "hermes_agent", "pi_coding_agent"]


def folder_of(shared, kind, tmp_path, most=5):
    "A folder with some of the real sessions of a format"
    found = sorted((p for p in (shared/"data"/"rollouts"/"logs"/kind).rglob("*") if p.is_file() and p.suffix in (".jsonl", ".json") and p.name not in ("sessions.json", "sessions-index.json") and p.stat().st_size < 600_000), key=lambda p: p.stat().st_size)
    folder = tmp_path/"logs"
    for n, p in enumerate(found[::-1][::max(1, len(found)//most)][:most]):
        (folder/str(n)).mkdir(parents=True)
        (folder/str(n)/p.name).write_bytes(p.read_bytes())
    return folder


@pytest.mark.parametrize("kind", FORMATS)
def test_summarise_a_random_turn(shared, server, tmp_path, kind):
    pipe = (Pipeline(folder_of(shared, kind, tmp_path), models=[model(server)], seed=3)
        .add("sampled_turn", "{{ messages | random }}")
        .add("turn_summary", model="m", prompt="Summarize this turn.\n\nTrace: {{ trace_id }}\nTurn:\n{{ sampled_turn }}\n"))
    report = pipe.run(tmp_path/"o.jsonl")
    rows = lines(tmp_path/"o.jsonl")
    assert report.rows >= 3 and report.read == report.rows + report.rejected and all(r["sampled_turn"] in r["messages"] and r["turn_summary"] for r in rows)
    assert not any("{'" in r["prompt"][:200] for r in server.requests())


@pytest.mark.parametrize("kind", FORMATS)
def test_tool_interactions_become_a_review_dataset(shared, server, tmp_path, kind):
    "The function of the guide runs as it is, and every interaction of the sessions becomes a row"
    folder = folder_of(shared, kind, tmp_path)
    pipe = (Pipeline(folder, models=[model(server)])
        .add("tool_interaction_context", explode_tool_interactions, needs=["messages"], makes=["tool_call", "tool_response", "tool_name"])
        .add("tool_interaction_analysis", model="m", output=ToolInteractionAnalysis, prompt="Context:\n{{ tool_interaction_context[-3:] }}\n\nTool name: {{ tool_name }}\n\nTool call:\n{{ tool_call }}\n\nTool response:\n{{ tool_response }}\n"))
    report = pipe.run(tmp_path/"o.parquet")
    from tracekit.rollouts import rollouts
    wanted = sum(m["role"] == "tool" for row in rollouts(folder, rejects=[]) for m in row["messages"])
    rows = list(Dataset(tmp_path/"o.parquet").plain())
    assert wanted and len(rows) == wanted == report.rows and all(ToolInteractionAnalysis.model_validate(r["tool_interaction_analysis"]) for r in rows)
    assert all(r["tool_interaction_context"][-1] == r["tool_response"] for r in rows)


# ---------------------------------------------------------------- killed and resumed
SCRIPT = """
import sys
from tracekit.workflows.columns import Pipeline
from tracekit.workflows.model import Model
Pipeline(({"n": n} for n in range(400)), models=[Model("m", base_url=sys.argv[1], api_key_env="TEST_KEY", concurrency=8)]).add("a", prompt="{{ n }} of many").run(sys.argv[2], progress=False)
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT], ids=["kill", "ctrl-c"])
def test_a_run_that_is_cut_off_goes_on_without_asking_twice(tmp_path, how):
    "Only what was on its way when the run died is sent again: at most as many as there were at a time"
    with chat_server(tmp_path, delay=0.02) as server:
        started, kills = [sys.executable, "-c", SCRIPT, server.url, str(tmp_path/"o.jsonl")], 0
        dice = random.Random(5)
        for _ in range(40):
            process = subprocess.Popen(started, cwd=ROOT, stderr=subprocess.DEVNULL, preexec_fn=heed_ctrl_c)
            before = len(server.requests())
            while kills < 4 and process.poll() is None and len(server.requests()) < before + dice.randint(10, 90): time.sleep(0.01)
            if kills < 4 and process.poll() is None:
                process.send_signal(how)
                kills += 1
                process.wait(20)
            elif process.wait(60) == 0: break
        asked = Counter(r["prompt"] for r in server.requests())
    assert kills >= 3 and [r["n"] for r in lines(tmp_path/"o.jsonl")] == list(range(400)) and len(asked) == 400
    assert sum(asked.values()) - 400 <= 8*kills and max(asked.values()) <= 1 + kills
    assert not (tmp_path/".o.columns").exists()


# ---------------------------------------------------------------- the command
SPEC = """
rows: rows.jsonl
seed: 3
models:
  - {{name: m, base_url: "{url}", api_key_env: TEST_KEY, retries: 0, timeout: 2}}
columns:
  - {{function: "explode.py:explode_tool_interactions", needs: [messages], makes: [tool_call, tool_response, tool_name]}}
  - name: label
    model: m
    prompt: "{{{{ tool_name }}}} {{{{ tool_response }}}}"
    output: {{outcome: [success, failure], summary: One sentence}}
"""


def test_the_command(server, tmp_path, monkeypatch):
    "0, 3, 1 and 2, and the counts in the last line"
    monkeypatch.chdir(tmp_path)
    call = {"id": "c", "type": "function", "function": {"name": "Read", "arguments": "{}"}}
    rows = [{"trace_id": n, "messages": [{"role": "assistant", "content": [], "tool_calls": [call]}, {"role": "tool", "content": text, "tool_call_id": "c"}]} for n, text in enumerate(["fine", "bad", "#400"])]
    Path("rows.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    Path("explode.py").write_text(EXPLODE)
    Path("spec.yaml").write_text(SPEC.format(url=server.url))
    run = CliRunner().invoke
    done = run(main, ["columns", "spec.yaml", "--limit", "2"])
    assert done.exit_code == 0 and done.output.splitlines()[-1] == "read 2 records 2 rows 2 rejected 0 without records 0", done.output
    assert [r["label"]["outcome"] in ("success", "failure") for r in lines("spec.jsonl")] == [True, True]
    again = run(main, ["columns", "spec.yaml"])
    assert again.exit_code == 1 and "--resume" in again.output
    more = run(main, ["columns", "spec.yaml", "--resume", "--json"])
    assert more.exit_code == 3 and json.loads(more.output) | {"files": 0, "cost": 0} == {"read": 3, "records": 3, "rows": 2, "rejected": 1, "empty": 0, "calls": 1, "cached": 2, "input_tokens": 0, "output_tokens": 0, "cost": 0, "files": 0}
    assert "tool_name: Read" in run(main, ["columns", "spec.yaml", "--preview", "1"]).output and run(main, ["columns"]).exit_code == 2
    Path("spec.yaml").write_text(SPEC.format(url=server.url).replace("api_key_env: TEST_KEY", "api_key: x"))
    assert "spec.yaml:5" in (wrong := run(main, ["columns", "spec.yaml"])).output and wrong.exit_code == 1


def test_fuzzed_specs_are_refused_in_words(tmp_path):
    "Any value at any place of the file is a finding or a pipeline, never a crash"
    import yaml

    from tracekit.workflows.columns_file import read_columns
    (tmp_path/"rows.jsonl").write_text('{"a": 1}\n')
    sound = {"rows": "rows.jsonl", "models": [{"name": "m", "base_url": "http://127.0.0.1:9", "api_key_env": None}], "columns": [{"name": "b", "expression": "{{ a }}"}, {"name": "c", "sample": [1, 2]}, {"name": "d", "prompt": "x", "model": "m", "output": {"e": ["f"]}}]}
    def places(value, at=()):
        yield at
        for k, v in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else (): yield from places(v, (*at, k))
    for at in [p for p in places(sound) if p]:
        for junk in (None, 3, "{{", [], {}, [None], {"x": None}, True, -1.5, ""):
            made = json.loads(json.dumps(sound))
            held = made
            for step in at[:-1]: held = held[step]
            held[at[-1]] = junk
            (tmp_path/"s.yaml").write_text(yaml.safe_dump(made))
            try: read_columns(tmp_path/"s.yaml")
            except InputError as e: assert "s.yaml" in str(e)
