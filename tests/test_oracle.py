"""The platform's own package, in an environment of its own, says whether what tracekit writes and reads is right."""
import importlib.util
import inspect
import json
import re
import subprocess
from copy import deepcopy

import pytest
import yaml
from conftest import LOGS, SAMPLE, logs, simulations

from tracekit import Trace
from tracekit.dataset import validate
from tracekit.pipeline import convert
from tracekit.trace import assistant, call, input_text, message, output, output_text, plain_metadata, plain_trace, reasoning_text, system, user

AIGO = """
import argparse, json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import aigo
import latticeflow.go.dtypes
SCRIPT = Path(latticeflow.go.dtypes.__file__).resolve().parents[3]/aigo.CONVERTER
"""
JUDGE = AIGO + """
def judge(file):
    given = argparse.Namespace(trace_column="trace", strict=True, allow_dangling=False, score=None, expect=None, parity=None)
    report = aigo.Report(True)
    if not file.is_file(): return ["no such file"]
    try: (aigo.check_jsonl if file.suffix == ".jsonl" else aigo.check_yaml)(file, given, report)
    except Exception as e: report.fail(file.name, f"cannot be read: {e!r}")
    return report.fails
print(json.dumps({name: judge(Path(name)) for name in json.loads(sys.stdin.read())}))
"""
PARITY = AIGO + """
def records(path):
    text = Path(path).read_text(encoding="utf-8")
    if path.endswith("l"): return [json.loads(line) for line in text.split("\\n") if line.strip()]
    document = json.loads(text)
    return document if isinstance(document, list) else document.get("simulations", [document])

def clean(messages):
    "Each call has an id of its own, each result that of a call, or none; no voice, nothing nested, no system message, which that converter drops"
    calls = [c for m in messages for c in m.get("tool_calls") or ()]
    ids, answered = [c.get("id") for c in calls], [m.get("id") for m in messages if m["role"] == "tool"]
    plain = all(m["role"] in ("user", "assistant", "tool") and "tool_messages" not in m and not m.get("utterance_ids") for m in messages)
    flat = plain and all("name" in c for c in calls)
    return flat and all(ids) and len(set(ids)) == len(ids) and all(i in ids if i else i is None for i in answered)

def beside_calls(items, n):
    "Whether item n is an empty message right before a call by the same side"
    a, b = items[n], items[n + 1] if n + 1 < len(items) else ("end",)
    return a[0] == "message" and [text for _, text in a[2]] == [""] and b[0] == "call" and b[3] == a[1]

def compare(row, simulation):
    messages = simulation.get("messages")
    if messages is None: return "peer fails"
    sound = clean(messages) and not simulation.get("ticks")
    try: peer = [aigo.flat(i) for i in converter.Tau2BenchMessageConverter().convert(messages)]
    except Exception: return "peer fails on clean input" if sound else "peer fails"
    ours = [aigo.flat(i) for i in aigo.Trace.model_validate(row["trace"]).items]
    if ours == peer: return "same"
    if ours == [i for n, i in enumerate(peer) if not beside_calls(peer, n)]: return "same without the empty messages"
    return "differs" if sound else "differs, unclean input"

converter = aigo.load_py(SCRIPT)
print(json.dumps({log: [compare(json.loads(r), s) for r, s in zip(open(dataset), records(log))] for log, dataset in json.loads(sys.stdin.read())}))
"""


@pytest.fixture(scope="module")
def ask(oracle, shared):
    "Run a script in the platform's environment: data goes in and comes out as JSON"
    def run(script, given):
        made = subprocess.run([oracle, "-c", script, str(shared/"oracle")], input=json.dumps(given), capture_output=True, text=True, timeout=120)
        assert made.returncode == 0, made.stderr[-2000:]
        return json.loads(made.stdout)
    return run


@pytest.fixture(scope="module")
def datasets(shared, tmp_path_factory):
    "A dataset for every real and scripted log and for the sample: log -> report"
    out = tmp_path_factory.mktemp("datasets")
    made = {path: convert(path, out, name=f"d{n:03}", progress=False) for n, path in enumerate([*(p for kind in LOGS for p in logs(kind)), SAMPLE])}
    return {path: report for path, report in made.items() if report.rows}


def test_all_datasets_are_sound(oracle, shared, datasets):
    "The oracle finds nothing at all in the rows and specs of any log, at its strictest"
    files = [str(f) for report in datasets.values() for f in report.files]
    made = subprocess.run([oracle, str(shared/"oracle"/"aigo.py"), *files, "--strict"], capture_output=True, text=True, timeout=300)
    rows, specs = sum(report.rows for report in datasets.values()), len(datasets)
    last = made.stdout.splitlines()[-1]
    assert made.returncode == 0 and last.startswith(f"ORACLE OK rows={rows} valid={rows} canonical={rows} "), made.stdout[-2000:]
    assert f" yaml_dataset={specs} failures=0 warnings=0" in last and rows > 900


def test_tracekit_finds_them_sound_too(datasets):
    "What the oracle accepts gives no finding"
    for report in datasets.values(): assert not list(validate(report.files[1]))


def test_items_equal_those_of_the_tutorials_converter(ask, datasets):
    "But for its empty messages beside calls, wherever that converter works and its input is clean"
    pairs = [(str(log), str(report.files[0])) for log, report in datasets.items()]
    found = [verdict for verdicts in ask(PARITY, pairs).values() for verdict in verdicts]
    count = {verdict: found.count(verdict) for verdict in sorted(set(found))}
    assert not count.keys() & {"differs", "peer fails on clean input"}, count
    assert count["same"] + count["same without the empty messages"] > 850, count


TUTORIAL = AIGO + """
log, script = json.loads(sys.stdin.read())
converter = aigo.load_py(SCRIPT if script is None else Path(script))
made = [converter.Trace(items=converter.Tau2BenchMessageConverter().convert(s["messages"])) for s in json.loads(Path(log).read_text(encoding="utf-8"))["simulations"]]
print(json.dumps({"source": SCRIPT.read_text(), "traces": [t.model_dump_include_unset(mode="json") for t in made]}))
"""


def without_message_ids(traces):
    "The tutorial draws message ids at random"
    for trace in traces:
        for item in trace["items"]: item["id"] = "" if item["type"] == "message" else item["id"]
    return traces


@pytest.mark.parametrize("name", ["scripted/telecom__v02_ids.json", "scripted/retail__v02_noids.json", "real/035*", "real/039*"])
def test_the_tutorials_script_runs_on_tracekit(ask, shared, tmp_path, name):
    "With its import lines changed and nothing else, and it gives what it gives on the platform's package"
    [log] = (shared/"data/tau2").glob(name)
    theirs = ask(TUTORIAL, [str(log), None])
    (tmp_path/"tutorial.py").write_text(theirs["source"].replace("latticeflow.core.dtypes", "tracekit"))
    spec = importlib.util.spec_from_file_location("tutorial", tmp_path/"tutorial.py")
    tutorial = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tutorial)
    made = [Trace(items=tutorial.Tau2BenchMessageConverter().convert(s["messages"])) for s in simulations(log)]
    expected = without_message_ids(theirs["traces"])
    assert without_message_ids([t.model_dump(mode="json") for t in made]) == expected and len(expected) > 10
    assert without_message_ids([json.loads(t.model_dump_json()) for t in made]) == expected
    assert [t.model_dump_include_unset(mode="json").keys() for t in made] == [t.keys() for t in expected]


def sound_row():
    "A row that both sides accept, with something of everything"
    items = [system("be brief", "m0"), user("hi", "m1"), message("assistant", [reasoning_text("hm"), output_text("let me look")], "m2", turn_idx=2),
             call("c1", "look", '{"x": 1}', created_by="assistant"), output("c1", "ok", created_by="assistant"),
             call("c2", "look", "{}", created_by="user"),
             output("c2", [input_text("a"), {"type": "input_image", "image_url": None, "detail": "low"}], "incomplete", created_by="user"),
             {"type": "custom_task_input_message", "content": {"any": None}}, assistant("done", "m3")]
    about = plain_metadata(trace_id="t", tags=["a"], created_at="2025-06-01T10:00:00", total_time=1.5, total_tokens=3, extra={"k": 1})
    return {"trace": plain_trace(items, about), "task_id": "1"}


def put(value, *path):
    "A mutation: set a member or an element of the trace"
    def mutate(row):
        at = row["trace"]
        for step in path[:-1]: at = at[step]
        at[path[-1]] = value
    return mutate


def drop(*path):
    "A mutation: remove a member or an element of the trace"
    def mutate(row):
        at = row["trace"]
        for step in path[:-1]: at = at[step]
        del at[path[-1]]
    return mutate


def add(item):
    "A mutation: one more item"
    return lambda row: row["trace"]["items"].append(item)


EVENT = {"id": "e", "span_id": None, "timestamp": None, "metadata": None}
ROWS = {
    "sound": lambda row: None,
    "no trace": lambda row: row.pop("trace"),
    "trace null": lambda row: row.update(trace=None),
    "trace as text": lambda row: row.update(trace=json.dumps(row["trace"])),
    "trace is a list": lambda row: row.update(trace=row["trace"]["items"]),
    "trace without items": drop("items"),
    "items null": put(None, "items"),
    "items an object": put({}, "items"),
    "FORMAT unknown": put("atif", "FORMAT"),
    "FORMAT missing": drop("FORMAT"),
    "FORMAT in lower case": put("open_responses", "format"),
    "metadata missing": drop("metadata"),
    "events missing": drop("events"),
    "span_id missing": drop("span_id"),
    "span_id a number": put(1, "span_id"),
    "unknown key in trace": put(1, "reward"),
    "unknown key in metadata": put(1, "metadata", "reward"),
    "metadata a list": put([], "metadata"),
    "metadata without a key": drop("metadata", "error"),
    "trace_id a number": put(1, "metadata", "trace_id"),
    "tags as text": put("a", "metadata", "tags"),
    "tags of numbers": put([1], "metadata", "tags"),
    "total_tokens a fraction": put(1.5, "metadata", "total_tokens"),
    "total_tokens as text": put("3", "metadata", "total_tokens"),
    "total_time as text": put("1.5", "metadata", "total_time"),
    "message_count true": put(True, "metadata", "message_count"),
    "extra a list": put([], "metadata", "extra"),
    "created_at nonsense": put("yesterday", "metadata", "created_at"),
    "created_at not canonical": put("2025-06-01 10:00:00", "metadata", "created_at"),
    "created_at a number": put(1748772000, "metadata", "created_at"),
    "item null": put(None, "items", 0),
    "item empty": put({}, "items", 0),
    "item as text": put("hi", "items", 0),
    "item without type": drop("items", 1, "type"),
    "call without type": drop("items", 3, "type"),
    "item type unknown": put("reasoning", "items", 1, "type"),
    "item type null": put(None, "items", 1, "type"),
    "item type of another kind": put("function_call", "items", 1, "type"),
    "raw chat message": add({"role": "user", "content": "hi"}),
    "item_reference": add({"type": "item_reference", "id": "x"}),
    "custom message without content": drop("items", 7, "content"),
    "message without id": drop("items", 1, "id"),
    "message id null": put(None, "items", 1, "id"),
    "message id a number": put(7, "items", 1, "id"),
    "message without role": drop("items", 1, "role"),
    "role tool": put("tool", "items", 1, "role"),
    "role in upper case": put("User", "items", 1, "role"),
    "role null": put(None, "items", 1, "role"),
    "message without status": drop("items", 1, "status"),
    "status failed": put("failed", "items", 1, "status"),
    "status null": put(None, "items", 4, "status"),
    "status error": put("error", "items", 4, "status"),
    "content missing": drop("items", 1, "content"),
    "content null": put(None, "items", 1, "content"),
    "content plain text": put("hi", "items", 1, "content"),
    "part plain text": put(["hi"], "items", 1, "content"),
    "part without type": drop("items", 1, "content", 0, "type"),
    "part type unknown": put("input_audio", "items", 1, "content", 0, "type"),
    "part without text": drop("items", 1, "content", 0, "text"),
    "part text null": put(None, "items", 1, "content", 0, "text"),
    "part text a number": put(1, "items", 1, "content", 0, "text"),
    "annotations missing": drop("items", 8, "content", 0, "annotations"),
    "annotations null": put(None, "items", 8, "content", 0, "annotations"),
    "annotation unknown": put([{"type": "file_citation"}], "items", 8, "content", 0, "annotations"),
    "annotation incomplete": put([{"type": "url_citation", "url": "u"}], "items", 8, "content", 0, "annotations"),
    "logprobs missing": drop("items", 8, "content", 0, "logprobs"),
    "logprobs wrong": put([{"token": "a"}], "items", 8, "content", 0, "logprobs"),
    "image without detail": drop("items", 6, "output", 1, "detail"),
    "image detail unknown": put("best", "items", 6, "output", 1, "detail"),
    "image url missing": drop("items", 6, "output", 1, "image_url"),
    "call id missing": drop("items", 3, "call_id"),
    "call id null": put(None, "items", 3, "call_id"),
    "call id a number": put(1, "items", 3, "call_id"),
    "call id empty": put("", "items", 3, "call_id"),
    "call without name": drop("items", 3, "name"),
    "call name null": put(None, "items", 3, "name"),
    "arguments an object": put({"x": 1}, "items", 3, "arguments"),
    "arguments null": put(None, "items", 3, "arguments"),
    "arguments missing": drop("items", 3, "arguments"),
    "output missing": drop("items", 4, "output"),
    "output null": put(None, "items", 4, "output"),
    "output a number": put(1, "items", 4, "output"),
    "output an object": put({"a": 1}, "items", 4, "output"),
    "output of any objects": put([{"a": 1}], "items", 4, "output"),
    "output of output_text": put([output_text("a")], "items", 4, "output"),
    "output of input_video": put([{"type": "input_video", "video_url": "u"}], "items", 4, "output"),
    "output part without type": drop("items", 6, "output", 0, "type"),
    "output without call": put("c9", "items", 4, "call_id"),
    "output before its call": lambda row: row["trace"]["items"].insert(3, row["trace"]["items"].pop(4)),
    "two outputs": lambda row: row["trace"]["items"].insert(5, deepcopy(row["trace"]["items"][4])),
    "call id twice": put("c1", "items", 5, "call_id"),
    "events an object": put({}, "events"),
    "event unknown": put([{"type": "tool", "id": "e"}], "events"),
    "event with unknown key": put([{**EVENT, "type": "error", "message": "m", "traceback": None, "more": 1}], "events"),
    "event incomplete": put([{"type": "error", "id": "e", "message": "m"}], "events"),
    "event without what it tells": put([{"type": "span_begin", "id": "e", "span_id": "s"}], "events"),
    "compaction by an unknown strategy": put([{**EVENT, "type": "compaction", "strategy": "forget", "tokens_before": None, "tokens_after": None}], "events"),
    "NaN in metadata": put(float("nan"), "metadata", "total_time"),
    "infinity in a column": lambda row: row.update(duration=float("inf")),
}
LINES = {
    "not JSON": b"{'trace': 1}\n",
    "cut off": b'{"trace": {"items": [',
    "a list": b"[]\n",
    "a number": b"1\n",
    "no row": b"",
    "only a blank line": b"\n",
    "not UTF-8": b'{"trace": "\xff"}\n',
    "byte order mark": b"\xef\xbb\xbf" + json.dumps(sound_row()).encode() + b"\n",
    "two rows on a line": json.dumps(sound_row()).encode() * 2 + b"\n",
}
SPEC = {"key": "d", "display_name": "D", "source": {"type": "local", "file_path": "./d.jsonl"}}


def spec(**changed):
    "The sound spec with members changed; None removes one"
    return {k: v for k, v in {**SPEC, **changed}.items() if v is not None}


def source(**changed):
    "The sound spec with members of its source changed; None removes one"
    return spec(source={k: v for k, v in {**SPEC["source"], **changed}.items() if v is not None})


SPECS = {
    "sound": SPEC,
    "sound with all members": spec(description="d", long_description="l", tags=["a"]),
    "sound huggingface": source(type="huggingface", file_path=None, path="p", split="test"),
    "no key": spec(key=None),
    "key empty": spec(key=""),
    "key with a space": spec(key="a b"),
    "key with a dot": spec(key="a.b"),
    "key with $": spec(key="a$b"),
    "key beyond ASCII": spec(key="été"),
    "key too long": spec(key="k" * 251),
    "key a number": spec(key=5),
    "key with a newline": spec(key="abc\n"),
    "key a list": spec(key=["a"]),
    "no display_name": spec(display_name=None),
    "display_name empty": spec(display_name=""),
    "display_name a number": spec(display_name=3),
    "unknown member": spec(owner="me"),
    "description a list": spec(description=["a"]),
    "tags as text": spec(tags="a"),
    "tags of numbers": spec(tags=[1]),
    "source as text": spec(source="d.jsonl"),
    "source a list": spec(source=[]),
    "source without type": source(type=None),
    "source of type csv": source(type="csv"),
    "source of type jsonl": source(type="jsonl"),
    "source of type opencode": source(type="opencode"),
    "source without file_path": source(file_path=None),
    "file_path a number": source(file_path=1),
    "unknown member in source": source(column="trace"),
    "no such file": source(file_path="./none.jsonl"),
    "file with a wrong ending": source(file_path="./d.json"),
    "file without ending": source(file_path="./d"),
    "a folder as file": source(file_path="./folder.jsonl"),
    "filter unknown": source(filters=[{"op": "like", "expression": "x", "value": 1}]),
    "filter without expression": source(filters=[{"op": "exists"}]),
    "filter without value": source(filters=[{"op": "equals", "expression": "x"}]),
    "filter with values for value": source(filters=[{"op": "equals", "expression": "x", "values": [1]}]),
    "filter with a surplus value": source(filters=[{"op": "exists", "expression": "x", "value": 1}]),
    "filters an object": source(filters={}),
    "url without url": source(type="url", file_path=None),
    "folder without path": source(type="folder", file_path=None),
    "huggingface without split": source(type="huggingface", file_path=None, path="p"),
    "phoenix without project": source(type="phoenix", file_path=None),
    "inspect_ai without path": source(type="inspect_ai", file_path=None),
    "claude_code with unknown member": source(type="claude_code", file_path=None, folder="x"),
    "langsmith with a wrong limit": source(type="langsmith", file_path=None, limit="many"),
    "generator incomplete": spec(generator_specification={"num_samples": 3}),
    "to do": spec(description="((TODO))"),
}
TEXTS = {
    "key twice": "key: d\nkey: e\ndisplay_name: D\nsource: {type: local, file_path: ./d.jsonl}\n",
    "source member twice": "key: d\ndisplay_name: D\nsource:\n  type: local\n  type: local\n  file_path: ./d.jsonl\n",
    "not YAML": "key: [d\n",
    "empty": "",
    "a list": "- key: d\n",
    "a text": "dataset\n",
    "tab": "key: d\n\tdisplay_name: D\n",
    "unknown tag": "key: !python/name:os.system d\ndisplay_name: D\nsource: {}\n",
    "include missing": "key: d\ndisplay_name: D\ndescription: !include none.md\nsource: {type: local, file_path: ./d.jsonl}\n",
    "include": "key: d\ndisplay_name: D\ndescription: !include about.md\nsource: {type: local, file_path: ./d.jsonl}\n",
    "include with a to do": "key: d\ndisplay_name: D\ndescription: !include todo.md\nsource: {type: local, file_path: ./d.jsonl}\n",
    "two documents": "key: d\ndisplay_name: D\nsource: {type: local, file_path: ./d.jsonl}\n---\nkey: e\n",
    "merged twice": "key: d\ndisplay_name: D\nsource: {type: local, file_path: ./d.jsonl}\nsource: {type: local, file_path: ./d.jsonl}\n",
    "reference missing": "key: d\ndisplay_name: D\nsource: {$ref: none.yaml}\n",
}


def mutants(folder):
    "Write every mutation into a file of its own: name -> file"
    made = {}
    (folder/"d.jsonl").write_text(json.dumps(sound_row()) + "\n")
    (folder/"d.json").write_text("{}")
    (folder/"d").write_text("{}")
    (folder/"folder.jsonl").mkdir()
    (folder/"about.md").write_text("about")
    (folder/"todo.md").write_text("((TODO))")
    for name, mutate in ROWS.items():
        mutate(row := sound_row())
        made[f"row: {name}"] = json.dumps(row).encode() + b"\n", ".jsonl"
    made |= {f"line: {name}": (text, ".jsonl") for name, text in LINES.items()}
    made |= {f"spec: {name}": (yaml.safe_dump(given, sort_keys=False, allow_unicode=True).encode(), ".yaml") for name, given in SPECS.items()}
    made |= {f"text: {name}": (text.encode(), ".yaml") for name, text in TEXTS.items()}
    files = {name: folder/(re.sub(r"\W+", "-", name) + ending) for name, (_, ending) in made.items()}
    for name, (text, _) in made.items(): files[name].write_bytes(text)
    return files


@pytest.fixture(scope="module")
def verdicts(ask, tmp_path_factory):
    "Every mutation as both sides see it: name -> (what the oracle says against it, tracekit's findings)"
    files = mutants(tmp_path_factory.mktemp("mutants"))
    said = ask(JUDGE, [str(f) for f in files.values()])
    return {name: (said[str(f)], [str(finding) for finding in validate(f)]) for name, f in files.items()}


def test_enough_mutations_are_refused(verdicts):
    "The table is worth its name: most of its entries fail the oracle"
    assert len(verdicts) > 160 and sum(bool(against) for against, _ in verdicts.values()) > 135


@pytest.mark.parametrize("name", [f"{kind}: {name}" for kind, table in (("row", ROWS), ("line", LINES), ("spec", SPECS), ("text", TEXTS)) for name in table])
def test_validate_finds_what_the_oracle_refuses(verdicts, name):
    "No mutation that the oracle refuses passes; what is called sound gives no finding on either side"
    against, findings = verdicts[name]
    if against: assert findings, against
    if name.split(": ")[1].startswith("sound"): assert not against and not findings, (against, findings)


def facts(trace):
    "What the helpers of a trace say; run here and in the platform's environment"
    def show(items): return [(i.type, getattr(i, "id", None)) for i in items]
    def pairs(found): return [(c.call_id, c.name, o.id if o else None, o.status.value if o else None) for c, o in found]
    def sure(function, *args):
        try: return function(*args)
        except Exception as e: return type(e).__name__
    return {
        "preamble": show(trace.preamble), "conversation": show(trace.conversation_items), "calls": pairs([(c, None) for c in trace.function_calls]),
        "outputs": show(trace.function_outputs),
        "pairs": pairs(trace.get_function_call_pairs()), "user": show(trace.user_messages), "assistant": show(trace.assistant_messages),
        "last assistant": trace.get_last_assistant_text(), "last user": trace.get_last_user_text(), "first system": trace.get_first_system_prompt(),
        "turns": [(show([t.user_message]), show(t.assistant_items), pairs(t.function_call_pairs)) for t in trace.turns],
        "kinds in turns": [(show(t.assistant_messages), show(t.function_calls), show(t.function_outputs)) for t in trace.turns],
        "by name": [pairs([(c, None) for c in trace.get_function_calls_by_name(c.name)]) for c in trace.function_calls],
        "arguments": [sure(trace.get_function_call_arguments, c) for c in trace.function_calls],
        "output text": [trace.get_function_output_text(o) for o in trace.function_outputs],
        "output for call": [show(filter(None, [trace.get_function_output_for_call(c.call_id)])) for c in trace.function_calls],
        "unknown": trace.get_function_output_for_call("none"), "system": show(trace.system_messages), "spans": len(trace.spans())}


HELPERS = AIGO + inspect.getsource(facts) + """
print(json.dumps([facts(aigo.Trace.model_validate(plain)) for plain in json.loads(sys.stdin.read())], default=str))
"""


def odd_traces():
    "Traces at the edges of what the helpers look at"
    refusal, media = {"type": "refusal", "refusal": "no"}, {"type": "input_image", "image_url": "u", "detail": "auto"}
    texts = [{"type": "summary_text", "text": "s"}, {"type": "text", "text": "t"}]
    return {
        "empty": [], "only system": [system("s", "m0")], "assistant first": [assistant("hello", "m0"), user("hi", "m1")],
        "no assistant": [user("a", "m0"), user("b", "m1")],
        "developer": [message("developer", [input_text("d")], "m0"), system("s", "m1"), user("u", "m2"),
                      message("assistant", [output_text("a"), refusal, media, output_text("b")], "m3")],
        "calls before the first user": [system("s", "m0"), call("c0", "f", "{}"), output("c0", "x"), user("u", "m1"), call("c1", "f", '{"a": 1}'),
                                        output("c1", [input_text("x"), media, input_text("y")])],
        "unanswered": [user("u", "m0"), call("c1", "f", "no JSON"), call("c2", "g", "")],
        "empty texts": [user("", "m0"), message("assistant", [], "m1"), message("assistant", [media], "m2")],
        "custom": [{"type": "custom_task_input_message", "content": 1}, user("u", "m0"), {"type": "custom_task_output_message", "content": None}],
        "reasoning": [user("u", "m0"), message("assistant", [reasoning_text("hm"), *texts, output_text("o")], "m1")],
    }


def test_helpers_say_what_the_platforms_say(ask, datasets):
    "On the first row of every dataset and on traces at the edges"
    rows = [json.loads(report.files[0].open("rb").readline())["trace"] for report in datasets.values()] + [plain_trace(items) for items in odd_traces().values()]
    theirs = ask(HELPERS, rows)
    for plain, expected in zip(rows, theirs): assert json.loads(json.dumps(facts(Trace.model_validate(plain)), default=str)) == expected
    assert len(rows) > 80


def test_helpers_differ_only_where_mended(ask):
    "With two outputs for one call, and a system message in the middle, tracekit is consistent where the platform is not"
    odd = plain_trace([system("a", "m0"), user("u", "m1"), call("c", "f", "{}"), {**output("c", "1"), "id": "o1"}, system("b", "m2"), {**output("c", "2"), "id": "o2"}])
    [theirs], ours = ask(HELPERS, [odd]), json.loads(json.dumps(facts(Trace.model_validate(odd)), default=str))
    assert {name for name in ours if ours[name] != theirs[name]} == {"output for call", "system"}
    assert (ours["output for call"], ours["system"]) == ([[["function_call_output", "o2"]]], [["message", "m0"], ["message", "m2"]])


def derived(Trace, given):
    "What comes of events; run here and in the platform's environment, where the ids of calls are drawn at random"
    def shown(trace):
        items = trace.model_dump_include_unset(mode="json")["items"]
        return {"items": [{k: v for k, v in i.items() if k != "id" or i["type"] == "message"} for i in items], "span": (trace.span_id, trace.span_name, trace.span_type),
                "inner": [shown(t) for t in trace.spans()]}
    try: return shown(Trace.from_events(Trace.model_validate({"items": [], "events": given}).events))
    except (ValueError, TypeError) as e: return type(e).__name__


EVENTS = AIGO + inspect.getsource(derived) + """
print(json.dumps([derived(aigo.Trace, given) for given in json.loads(sys.stdin.read())], default=str))
"""


def said(item, span=None, at=None):
    "A message event"
    return {"type": "message_event", "id": "e", "span_id": span, "timestamp": at, "item": item}


def called(id, status="completed", span=None, at=None, result="r"):
    "A function call event"
    made = {"call_id": id, "function": "f", "arguments": "{}", "result": result, "status": status}
    return {"type": "function_call_event", "id": "e", "span_id": span, "timestamp": at, **made}


def modelled(context, made, span=None, at=None):
    "A model call event"
    return {"type": "model_call_event", "id": "e", "span_id": span, "timestamp": at, "model": "m", "input_context": context, "output_items": made}


def span(id, parent=None, at=None, **more):
    "The beginning of a span"
    return {"type": "span_begin", "id": "e", "span_id": id, "parent_span_id": parent, "name": f"name {id}", "timestamp": at, **more}


def end(id, at=None): return {"type": "span_end", "id": "e", "span_id": id, "timestamp": at}


COMPACTED = {"type": "compaction", "id": "e", "strategy": "summary"}
U, V, A, B, C, R = user("u", "m1"), user("v", "m4"), assistant("a", "m2"), assistant("b", "m3"), call("c1", "f", "{}"), output("c1", "r")
EVENT_LISTS = {
    "none": [],
    "messages": [said(U), said(A)],
    "a call": [said(U), called("c1"), said(A)],
    "a call that failed": [said(U), called("c1", "incomplete")],
    "a call in progress": [said(U), called("c1", "in_progress")],
    "a call with parts": [said(U), called("c1", result=[input_text("x")])],
    "by time": [said(A, at="2025-01-02T00:00:00"), said(U, at="2025-01-01T00:00:00")],
    "equal times": [said(U, at="2025-01-01T00:00:00"), said(A, at="2025-01-01T00:00:00")],
    "some times": [said(U), said(A, at="2025-01-01T00:00:00")],
    "naive and aware times": [said(U, at="2025-01-01T00:00:00"), said(A, at="2025-01-01T00:00:00Z")],
    "a model call": [modelled([U], [A])],
    "two model calls": [modelled([U], [A]), modelled([U, A, U], [B])],
    "model calls with tools": [modelled([U], [C]), modelled([U, C, R], [A])],
    "model calls and messages": [said(U), modelled([U], [A]), said(A)],
    "compacted": [modelled([U], [A]), COMPACTED, modelled([U], [B])],
    "compacted twice": [modelled([U], [C]), modelled([U, C, R], [A]), COMPACTED, modelled([U], [B]), COMPACTED, modelled([U], [A])],
    "the same said twice": [modelled([U, A, U], [A])],
    "the same said twice without ids": [modelled([user("yes"), assistant("ok"), user("yes")], [assistant("ok")])],
    "trimmed": [modelled([U, A, V], [B]), {**COMPACTED, "strategy": "trim"}, modelled([V, B], [A])],
    "compacted at the end": [modelled([U], [A]), COMPACTED],
    "error and custom": [said(U), {"type": "error", "id": "e", "message": "m"}, {"type": "custom", "id": "e", "name": "n", "data": {}}],
    "a span": [said(U), span("s"), said(A, "s"), end("s"), said(B)],
    "a span of model calls": [modelled([U], [A]), span("s"), modelled([U], [B], "s"), end("s")],
    "spans in spans": [span("s"), said(U, "s"), span("t", "s"), said(A, "t"), end("t"), end("s"), said(B)],
    "two spans": [span("s"), said(A, "s"), end("s"), span("t", span_type="agent"), said(B, "t"), end("t")],
    "a span with times": [said(U, at="2025-01-01T00:00:00"), span("s", at="2025-01-01T00:00:01"), said(A, "s", "2025-01-01T00:00:03"),
                          said(B, "s", "2025-01-01T00:00:02"), end("s")],
}


@pytest.fixture(scope="module")
def platforms(ask):
    "What the platform's package derives from each list of events"
    return dict(zip(EVENT_LISTS, ask(EVENTS, list(EVENT_LISTS.values()))))


@pytest.mark.parametrize("name", EVENT_LISTS)
def test_events_give_the_platforms_items(platforms, name):
    "Items, errors and spans"
    assert json.loads(json.dumps(derived(Trace, EVENT_LISTS[name]), default=str)) == platforms[name]
