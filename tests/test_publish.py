"""A published folder: every row is there once with its values, the card says so, and a trainer can read it."""
import json
import os
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import jinja2
import pyarrow.parquet as pq
import pytest
import yaml
from conftest import ROOT
from hypothesis import given
from hypothesis import strategies as st

import tracekit
from tracekit.rollouts import rollouts
from tracekit.row import Row
from tracekit.source import InputError, Rejected
from tracekit.trace import assistant, call, output, plain_metadata, plain_trace, user
from tracekit.workflows.curate import Report, keep, unique
from tracekit.workflows.publish import findings, publish, trl_row
from tracekit.workflows.redact import Redactor
from tracekit.workflows.review import interactions

FORMATS = ("claude_code", "codex", "hermes_agent", "pi_coding_agent")
TOOLS = [{"type": "function", "function": {"name": "f", "description": "", "parameters": {"type": "object", "properties": {}}}}]
DATASETS = Path(os.environ.get("TRACEKIT_DATASETS", ROOT/".oracle"/"datasets"/"bin"/"python"))


@pytest.fixture(scope="module")
def sessions(shared):
    "The rollout rows of all shared sessions"
    return [r for name in FORMATS for r in rollouts(shared/"data/rollouts/logs"/name, name, rejects=[])]


def chat(n, arguments='{"id": "007"}'):
    return {"trace_id": f"t{n}", "root_session_id": f"s{n % 7}", "source_meta": {"tools": TOOLS}, "messages": [
        {"role": "user", "content": "go"}, {"role": "assistant", "content": None, "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}}]},
        {"role": "tool", "tool_call_id": "c", "content": "1.50"}, {"role": "assistant", "content": "done"}]}


def stored(folder):
    "The rows of each split as they are in the files"
    made = {}
    for path in sorted((folder/"data").iterdir()):
        rows = pq.read_table(path).to_pylist() if path.suffix == ".parquet" else [json.loads(text) for text in path.read_text().splitlines()]
        made.setdefault(path.stem.split("-")[0], []).extend(rows)
    return made


def front(folder): return yaml.safe_load((folder/"README.md").read_text().split("---\n")[1])


VALUES = st.one_of(st.none(), st.booleans(), st.integers(-2**70, 2**70), st.floats(allow_nan=False, allow_infinity=False), st.sampled_from(["007", "1e5", "2026-03-01T10:00:00Z", "null", '{"a":1}', "", "a\u2028b", "é"]), st.lists(st.integers(), max_size=2), st.dictionaries(st.sampled_from("xy"), st.text(max_size=3), max_size=2))


@given(rows=st.lists(st.fixed_dictionaries({"trace_id": st.sampled_from("abcdef")}, optional={"a": VALUES, "b": VALUES, "c": st.sampled_from(["007", "2026-03-01"])}), min_size=1, max_size=12), to=st.sampled_from(["parquet", "jsonl"]))
def test_values_come_back(tmp_path_factory, rows, to):
    "Each row is in one split, no value is changed, and columns of JSON text are named on the card"
    folder = tmp_path_factory.mktemp("made")/"x"
    done = publish(rows, folder, splits={"train": 0.5, "test": 0.5}, to=to)
    text, made = (folder/"README.md").read_text(), stored(folder)
    nested = {n for n in "abc" if f"`{n}` | `JSON text`" in text}
    back = [{n: json.loads(v) if n in nested and v is not None else v for n, v in r.items() if v is not None} for side in made.values() for r in side]
    def key(r): return json.dumps({n: v for n, v in r.items() if v is not None}, sort_keys=True)
    assert Counter(map(key, back)) == Counter(map(key, rows)) and done.rows == {side: len(made[side]) for side in done.rows}
    sides = [{r["trace_id"] for r in side} for side in made.values()]
    assert len(sides) == 1 or not sides[0] & sides[1]
    shutil.rmtree(folder.parent)


@pytest.mark.parametrize("to", ["parquet", "jsonl"])
@pytest.mark.parametrize("form", ["rows", "trl"])
def test_the_card(tmp_path, form, to):
    report = Report()
    done = publish(map(Redactor(report=report), unique(map(chat, range(40)), key=lambda r: r["trace_id"])), tmp_path/"x", name="A: name\nof two lines", splits={"train": 0.7, "test": 0.3}, form=form, to=to, license="mit", tags=["x"], reports=report)
    head = front(tmp_path/"x")
    assert head["license"] == "mit" and head["tags"][0] == "x" and head["size_categories"] == ["n<1K"] and head["pretty_name"] == "A: name\nof two lines"
    assert {s["name"]: s["num_examples"] for s in head["dataset_info"]["splits"]} == done.rows and sum(done.rows.values()) == 40
    for file in head["configs"][0]["data_files"]: assert list((tmp_path/"x").glob(file["path"]))
    text = (tmp_path/"x"/"README.md").read_text()
    assert "No session has rows in more than one split" in text and "# A: name of two lines" in text and "## License" not in text and "40 rows read, 40 kept" in text
    assert [f["name"] for f in head["dataset_info"]["features"]] == list(stored(tmp_path/"x")["train"][0]) and sorted(p.name for p in tmp_path.iterdir()) == ["x"]


def test_splits_of_a_column_and_sessions_on_two_sides(tmp_path):
    rows = [{**chat(n), "root_session_id": "s", "split": side} for n, side in enumerate(["train", "dev", "train"])]
    assert publish(rows, tmp_path/"x").rows == {"train": 2, "dev": 1}
    assert "Some sessions have rows in more than one split" in (tmp_path/"x/README.md").read_text()
    with pytest.raises(InputError, match="name of a split"): publish([{**chat(1), "split": "../x"}], tmp_path/"y")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x"]


@pytest.mark.parametrize("columns", [{"type": "user", "message": {}}, {"type": "a", "payload": 1, "more": 2}, {"id": 1, "source": "x", "model": "m", "system_prompt": "", "messages": []}])
def test_columns_that_would_be_misread(tmp_path, columns):
    with pytest.raises(InputError, match="raw agent log"): publish([{"trace_id": "t", **columns}], tmp_path/"x")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("options, cause", [({"form": "sft"}, "form rows or trl"), ({"to": "csv"}, "parquet or jsonl"), ({"splits": {"train": 0.5}}, "make 1 together"), ({"rows": []}, "no row")])
def test_what_cannot_be_published(tmp_path, options, cause):
    with pytest.raises(InputError, match=cause): publish(**{"rows": [chat(1)], "folder": tmp_path/"x", **options})
    assert not list(tmp_path.iterdir())


def test_a_folder_with_something_in_it_is_not_touched(tmp_path):
    (tmp_path/"x").mkdir()
    publish([chat(1)], tmp_path/"x")
    before = sorted((tmp_path/"x").rglob("*"))
    with pytest.raises(InputError, match="something already"): publish([chat(2)], tmp_path/"x")
    assert sorted((tmp_path/"x").rglob("*")) == before


def test_nothing_is_left_of_a_failure(tmp_path):
    def rows():
        yield chat(1)
        raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt): publish(rows(), tmp_path/"x")
    assert not list(tmp_path.iterdir())


# training rows

REFUSED = [({"messages": [{"role": "user", "content": "hi"}]}, "no message of an assistant"), (chat(1, "[1]"), "no object"), (chat(1, "not json"), "no object"),
           ({"messages": [{"role": "user", "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": "{}"}}]}]}, "called by the user"), ({"messages": [{"role": "critic", "content": "x"}, {"role": "assistant", "content": "y"}]}, "unknown role")]


@pytest.mark.parametrize("row, cause", REFUSED)
def test_what_cannot_be_said_for_training(tmp_path, row, cause):
    with pytest.raises(Rejected, match=cause): trl_row(row)
    done = publish([chat(1), {"trace_id": "bad", **row}], tmp_path/"x", form="trl")
    assert done.rows == {"train": 1} and done.dropped.total() == 1 and "Set aside" in (tmp_path/"x/README.md").read_text()


def test_rows_of_a_dataset_train_too(tmp_path):
    items = [user("2+2?"), call("c1", "f", '{"a": "007", "n": 123456789012345678901}', created_by="assistant"), output("c1", "4", created_by="assistant"), assistant("4.")]
    row = {"trace": plain_trace(items, plain_metadata(trace_id="r1", extra={"tools": TOOLS}))}
    for given_row in (row, Row(**row)):
        publish([given_row], tmp_path/"x", form="trl")
        [made] = stored(tmp_path/"x")["train"]
        assert made["trace_id"] == "r1" and json.loads(made["tools"]) == TOOLS and json.loads(made["messages"][1]["tool_calls"][0]["function"]["arguments"]) == {"a": "007", "n": 123456789012345678901}
        shutil.rmtree(tmp_path/"x")
    assert tracekit.publish is publish


TEMPLATE = """{%- if tools %}<tools>{% for tool in tools %}
{{ tool | tojson }}{% endfor %}</tools>{% endif %}
{%- for m in messages %}
<|{{ m.role }}|>{{ m.content }}{% if m.tool_calls %}{% for c in m.tool_calls %}
<call>{"name": "{{ c.function.name }}", "arguments": {{ c.function.arguments | tojson }}}</call>{% endfor %}{% endif %}
{%- if m.role == "tool" %} ({{ m.name }}){% endif %}<|end|>
{%- endfor %}"""


def ready_of(folder):
    "The function that stands on the card"
    text = (folder/"README.md").read_text()
    code = next(part for part in text.split("```python\n")[1:] if "def ready" in part).split("```")[0]
    space = {}
    exec(code, space)  # noqa: S102
    return space["ready"]


def test_a_chat_template_can_read_it(tmp_path, sessions):
    "All real sessions, through the function on the card and a template that stops at what is not there; a call is there once, as an object"
    done = publish(keep(sessions, messages=2), tmp_path/"x", form="trl", splits={"train": 0.9, "test": 0.1})
    ready, template = ready_of(tmp_path/"x"), jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False)
    template.policies["json.dumps_kwargs"] = {}
    compiled, calls = template.from_string(TEMPLATE.replace("m.tool_calls", "m.get('tool_calls')").replace("m.name", "m.get('name')")), 0
    for row in (r for side in stored(tmp_path/"x").values() for r in side):
        made = ready(row)
        text = compiled.render(**made)
        assert text.count("<|end|>") >= len(made["messages"]) and all(isinstance(c["function"]["arguments"], dict) for m in made["messages"] for c in m.get("tool_calls", ()))
        calls += sum(len(m.get("tool_calls", ())) for m in made["messages"])
        assert all(f in ("calls tools, and none is defined", "a call that is not answered") or f.startswith("calls ") for f in findings(row)), findings(row)
    assert calls > 1000 and sum(done.rows.values()) > 50 and sum(done.rows.values()) + done.dropped.total() == len(list(keep(sessions, messages=2)))


FINDINGS = [(chat(1), []), ({**chat(1), "source_meta": {}}, ["calls tools, and none is defined"]), ({**chat(1), "messages": chat(1)["messages"][:2]}, ["a call that is not answered"]),
            ({**chat(1), "source_meta": {"tools": [{"name": "g"}]}}, ["calls f, which is not defined"])]


@pytest.mark.parametrize("row, wanted", FINDINGS)
def test_findings(row, wanted): assert findings(trl_row(row)) == wanted


LOADED = """
import json, sys
from datasets import load_dataset
print(json.dumps({folder: {name: [dict(row) for row in split] for name, split in load_dataset(folder, cache_dir=sys.argv[1]).items()} for folder in sys.argv[2:]}))
"""


def test_datasets_loads_it(tmp_path, sessions):
    "Real sessions, records of a review and training rows: what the Hub's own library loads is what is in the files, in both kinds of files"
    if not DATASETS.exists(): pytest.skip("there is no environment with the package datasets: make one, and set TRACEKIT_DATASETS to its python")
    some = [r for r in sessions if r["message_count"] < 60]
    records = [{**r, "context": r["context"], "label": None} for s in some for r in interactions(s, 300)]
    made = {}
    for form, rows in (("rows", some), ("trl", some), ("records", records)):
        for to in ("parquet", "jsonl"):
            publish(rows, tmp_path/f"{form}-{to}", form="rows" if form == "records" else form, to=to, splits={"train": 0.8, "test": 0.2})
            made[str(tmp_path/f"{form}-{to}")] = stored(tmp_path/f"{form}-{to}")
    done = subprocess.run([str(DATASETS), "-c", LOADED, str(tmp_path/"cache"), *made], capture_output=True, text=True, env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "PYTHONPATH": ""})
    assert done.returncode == 0, done.stderr[-2000:]
    loaded = json.loads(done.stdout)
    assert loaded == made
    for form in ("rows", "trl", "records"): assert loaded[str(tmp_path/f"{form}-parquet")] == loaded[str(tmp_path/f"{form}-jsonl")]
