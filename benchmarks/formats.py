"""What reading formats costs beside the packages that they come from, in one run on the same bytes.

    python benchmarks/formats.py [--part sessions agentdata] [--rounds 5] [--spans 20000] [--mb 200] [--formats claude_code codex pi] [--json FILE]

sessions: real sessions of coding agents, repeated, become rollout rows. Data Designer's reader makes them in batches of 64, as it does for
its users; tracekit makes the same rows (like: in one process; like 2: in two, over the parts of the plan), the same written as JSON lines
(file 1, file 2), its own rows (own, own file 2), and a dataset (convert). What is not written is dropped, in both. The floor is to split the lines and to parse each with orjson. The same on one session of that
size. Printed are MB/s of CPU time and of the clock, the ratio to Data Designer's in the same round (median; of CPU time, with two processes
of the clock), and the largest process's own memory, mapped pages left out. Needs Data Designer's environment: shared/oracle/setup .oracle
datadesigner, or TRACEKIT_DATADESIGNER, its python; without it the others are measured alone.

agentdata: spans of a LangChain agent become AgentData and are written as JSON. tracekit.agentdata does it with the published rules
(v2), with its own (paired), and a record a trace; NovaEval does it as its demo does: json.load, a model for each record, tool and call,
AgentDataset.export_to_json. Its mapping is a notebook and no part of its package, so it is written again below, with the package's own
models. Needs NovaEval's environment: shared/oracle/setup .oracle novaeval, or TRACEKIT_NOVAEVAL, its python.

For AgentData the figures are spans a second of CPU time (median) and the ratio to NovaEval's in the same round (median).

Each runs in a process of its own and is measured in turn, round by round; imports are not counted, nor is the first round of sessions,
which looks at memory.
"""
import argparse
import csv
import functools
import hashlib
import importlib.util
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from convert import figures
from record import Tables, json_option, record

ROOT = Path(__file__).parents[1]
SHARED = Path(os.environ.get("TRACEKIT_SHARED", ROOT.parent/"shared"))
NOVAEVAL = Path(os.environ.get("TRACEKIT_NOVAEVAL", ROOT/".oracle/novaeval/bin/python"))
DATADESIGNER = Path(os.environ.get("TRACEKIT_DATADESIGNER", ROOT/".oracle/datadesigner/bin/python"))


# ---------------------------------------------------------------- AgentData: what is measured (in a child process)
def ours(spans: str, out: str, record: str, rules: str):
    "Our conversion, spans in and JSON out"
    import warnings
    warnings.simplefilter("ignore")
    from tracekit.agentdata import agentdata
    return lambda: agentdata(spans, record, rules).export_to_json(out)


def novaeval(spans: str, out: str):
    "The same with NovaEval's package"
    if "novaeval" not in sys.modules:   # without the large libraries that its __init__ imports
        home = Path(importlib.util.find_spec("novaeval").submodule_search_locations[0]).parent
        for name in ("novaeval", "novaeval.agents", "novaeval.datasets"):
            sys.modules[name] = type(sys)(name)
            sys.modules[name].__path__ = [str(home/name.replace(".", "/"))]
    from novaeval.agents import agent_data as kinds
    from novaeval.datasets.agent_dataset import AgentDataset

    tool_line = re.compile(r"(\w+)\(([^)]*)\)\s*->\s*(\w+)\s*-\s*(.+?)(?=\n\w+\(|$)", re.DOTALL)

    def schema(text):
        made = {}
        for part in (p.strip() for p in text.split(",") if ":" in p):
            name, rest = part.split(":", 1)
            kind, _, default = rest.partition("=")
            made[name.strip()] = {"type": kind.strip(), **({"default": default.strip().strip("\"'")} if default else {})}
        return made

    def record(span):
        held, events, id = span.get("attributes", {}), span.get("events", []), span["span_id"]
        kind = "agent" if "chain.name" in held else "llm" if "llm.model" in held else "tool" if "tool.name" in held else "unknown"
        data = {"user_id": span.get("metadata", {}).get("user_id"), "task_id": span.get("trace_id"), "turn_id": id, "agent_name": kind,
                "agent_role": kind, "exit_status": span.get("status"), "tool_call_results": []}
        if kind == "agent":
            data["agent_task"] = held.get("chain.inputs", {}).get("input")
            data["agent_response"] = held.get("agent.output.finish.return_values", {}).get("output")
            if tool := held.get("agent.output.action.tool"):
                given = {"input": held.get("agent.output.action.tool_input")}
                data.update(tool_calls=[kinds.ToolCall(tool_name=tool, parameters=given, call_id=id)], parameters_passed=given)
                if tool == "langchain_retriever": data["retrieval_query"] = [given["input"]]
            data["agent_exit"] = any(e.get("name") == "agent_finish" for e in events)
            if events: data["trace"] = json.dumps(events)
        elif kind == "llm":
            data.update(agent_task=held["llm.input.prompts"][0], agent_response=held["llm.output.response"][0])
            data["tools_available"] = [kinds.ToolSchema(name=n, description=d.strip(), args_schema=schema(p), return_schema={"type": r})
                                       for n, p, r, d in tool_line.findall(held["llm.input.prompts"][0])]
        elif kind == "tool":
            answer = data["agent_response"] = held.get("tool.output.output")
            data["tool_call_results"] = [kinds.ToolResult(call_id=id, result=answer, success=span.get("status") == "ok")]
            if held["tool.name"] == "langchain_retriever": data["retrieved_context"] = [[answer]]
            data["parameters_passed"] = {k[len("tool.input."):]: v for k, v in held.items() if k.startswith("tool.input.")}
        return kinds.AgentData(**data)

    def run():
        dataset = AgentDataset()
        with open(spans) as f: dataset.data = [record(s) for s in json.load(f)]
        dataset.export_to_json(out)
    return run


WAYS = {"novaeval": novaeval, "published": lambda s, o: ours(s, o, "span", "v2"), "paired": lambda s, o: ours(s, o, "span", "paired"),
        "trace": lambda s, o: ours(s, o, "trace", "paired")}


def child(way: str, small: str, spans: str, out: str) -> None:
    "Once over a small file, then measured over the large one"
    WAYS[way](small, out)()
    run, began = WAYS[way](spans, out), time.process_time()
    run()
    print(time.process_time() - began)


# ---------------------------------------------------------------- AgentData: the measuring
def span_file(path: Path, wanted: int) -> int:
    "Real spans, repeated with fresh ids until there are so many"
    real = json.loads((SHARED/"data/spans/noveum/dataset_56spans_f5b82bb.json").read_text())
    made = []
    for n in range(-(-wanted // len(real))):
        for s in real:
            again = {k: f"{s[k]}-{n}" if s.get(k) else s.get(k) for k in ("span_id", "trace_id", "parent_span_id", "trace_trace_id")}
            made.append({**s, **again})
    path.write_text(json.dumps(made))
    return len(made)


def agentdata(wanted: int, rounds: int) -> Tables:
    if not NOVAEVAL.exists(): sys.exit(f"{NOVAEVAL} is not there: make it with shared/oracle/setup .oracle novaeval, or set TRACEKIT_NOVAEVAL")
    with tempfile.TemporaryDirectory() as folder:
        small, large, out = (Path(folder)/name for name in ("small.json", "large.json", "out.json"))
        span_file(small, 1)
        count = span_file(large, wanted)
        rates: dict[str, list[float]] = {way: [] for way in WAYS}
        written = {}
        for _ in range(rounds):
            for way in WAYS:
                python = str(NOVAEVAL) if way == "novaeval" else sys.executable
                done = subprocess.run([python, __file__, "--child", way, str(small), str(large), str(out)], check=True, capture_output=True, text=True,
                                      env={**os.environ, "PYTHONPATH": "" if way == "novaeval" else str(ROOT)})
                rates[way].append(count / float(done.stdout))
                written[way] = json.loads(out.read_text())
        assert written["published"] == written["novaeval"], "both must write the same records"
        title = f"{count} spans, {large.stat().st_size / 1e6:.0f} MB, spans a second of CPU time"
        table: list[dict] = []
        print(title)
        for way, found in rates.items():
            ratio = statistics.median(mine / theirs for mine, theirs in zip(found, rates["novaeval"]))
            print(f"  {way:10} {statistics.median(found):9,.0f}   {ratio:5.1f} x NovaEval")
            table.append({"": way, "spans a second": round(statistics.median(found)), "x NovaEval": round(ratio, 1)})
        return {f"AgentData: {title}": table}


# ---------------------------------------------------------------- sessions: what is measured (in a child process)
KINDS = {"claude_code": "claude_code", "codex": "codex", "pi": "pi_coding_agent"}   # our format -> Data Designer's, and the shared folder


def floor(kind: str, folder: str) -> Iterator[None]:
    "The least that any reader of all lines has to do"
    import orjson
    for path in sorted(Path(folder).rglob("*.jsonl")):
        with open(path, "rb") as f:
            for line in f: orjson.loads(line)
            yield


def datadesigner_frames(format: str, folder: str) -> Iterator:
    "The rows of Data Designer's reader, in the batches that its users get"
    import logging
    import data_designer.config as dd
    from data_designer.engine.resources.seed_reader import AgentRolloutSeedReader
    logging.getLogger("data_designer").setLevel(logging.CRITICAL)
    reader = AgentRolloutSeedReader()
    reader.attach(dd.AgentRolloutSeedSource(format=dd.AgentRolloutFormat(format), path=folder), None)
    batches = reader.create_batch_reader(batch_size=64, index_range=None, shuffle=False)
    while True:
        try: batch = batches.read_next_batch()
        except StopIteration: return
        yield batch.to_pandas()


def frame_rows(frame) -> list[dict]:
    "The rows of a batch as dicts; pandas says NaN for nothing"
    return [{k: None if v != v else v for k, v in r.items()} for r in frame.to_dict("records")]


def datadesigner(kind: str, folder: str) -> Iterator[dict]:
    for frame in datadesigner_frames(KINDS[kind], folder): yield from frame_rows(frame) if Path(folder).name == "small" else [{}]*len(frame)


def rows(kind: str, folder: str, like: str | None) -> Iterator[dict]:
    from tracekit.rollouts import rollouts
    return rollouts(folder, kind, like, [])


def shared_out(kind: str, folder: str) -> Iterator[int]:
    "The same rows as `like`, made and dropped by two processes"
    from concurrent.futures import ProcessPoolExecutor
    from tracekit.plan import parts_of
    from tracekit.rollouts import peer_files
    with ProcessPoolExecutor(2) as pool: yield from pool.map(dropped, parts_of(peer_files(folder, KINDS[kind])), [(KINDS[kind], folder)]*1000)


def dropped(part, given: tuple[str, str]) -> int:
    "How many rows a part has"
    from tracekit.rollouts import peer_rows
    return sum(1 for span in part.spans for _ in peer_rows(given[0], known_folder(given[1]), span))


@functools.cache
def known_folder(folder: str):
    from tracekit.datadesigner import Folder
    return Folder(folder)


def written(kind: str, folder: str, like: str | None, workers: int) -> Iterator[int]:
    "The same rows in a file"
    from tracekit.rollouts import write_rollouts
    with tempfile.TemporaryFile() as out: yield write_rollouts(out, folder, kind, like, [], workers)


def converted(kind: str, folder: str, workers: int) -> Iterator[int]:
    "A dataset, rows checked and files synced"
    from tracekit.pipeline import convert
    with tempfile.TemporaryDirectory() as out: yield convert(folder, out, "out", format=kind, workers=workers, progress=False).rows


PEER = "data-designer"
SESSIONS: dict[str, Callable[[str, str], Iterable]] = {
    "floor": floor, PEER: datadesigner, "like": lambda k, f: rows(k, f, PEER), "like 2": shared_out, "file 1": lambda k, f: written(k, f, PEER, 1), "file 2": lambda k, f: written(k, f, PEER, 2),
    "own": lambda k, f: rows(k, f, None), "own file 2": lambda k, f: written(k, f, None, 2), "convert 1": lambda k, f: converted(k, f, 1), "convert 2": lambda k, f: converted(k, f, 2)}


def session_child(way: str, kind: str, small: str, folder: str, memory: str) -> None:
    "Once over the small folder, whose rows are told by a hash, then measured over the large one"
    made = list(SESSIONS[way](kind, small))
    told = sorted(hashlib.sha256(json.dumps(r, sort_keys=True, default=lambda array: array.tolist()).encode()).hexdigest() for r in made if way in (PEER, "like"))
    del made
    def go() -> None:
        for _ in SESSIONS[way](kind, folder): pass
    sys.__stdout__.write(json.dumps({**figures(go, memory == "yes"), "rows": told}))


# ---------------------------------------------------------------- sessions: the measuring
def real_sessions(kind: str) -> list[Path]:
    "The shared sessions of a format that Data Designer reads too"
    root = SHARED/"data/rollouts"
    with open(root/"MANIFEST.csv", newline="") as f:
        return sorted(root/e["file"] for e in csv.DictReader(f) if e["format"] == KINDS[kind] and e["data_designer_status"] == "ok" and e["kind"] == "real")


def many_sessions(kind: str, folder: Path, size: int) -> int:
    "Copies of the real sessions, until there are so many bytes; how many"
    files, total, n = real_sessions(kind), 0, 0
    above = Path(os.path.commonpath(files))
    while total < size or not n:
        for path in files:
            copy = folder/f"{n:05}"/path.relative_to(above)
            copy.parent.mkdir(parents=True, exist_ok=True)
            total += copy.write_bytes(path.read_bytes())
        n += 1
    return total


def one_session(folder: Path, size: int) -> int:
    "One session of Claude Code made of the real ones, with fresh ids"
    import orjson
    lines = [orjson.loads(line) for path in real_sessions("claude_code") for line in path.read_bytes().splitlines()]
    lines = [e for e in lines if not e.get("isSidechain")]
    folder.mkdir(parents=True)
    n = 0
    with open(folder/"one.jsonl", "wb") as f:
        while f.tell() < size:
            for e in lines:
                again = {**e, **{name: f"{e[name]}-{n}" for name in ("uuid", "parentUuid") if e.get(name)}, **({"sessionId": "one"} if "sessionId" in e else {})}
                if isinstance(m := e.get("message"), dict): again["message"] = {**m, **({"id": f"{m['id']}-{n}"} if m.get("id") else {}), "content": _fresh(m.get("content"), n)}
                f.write(orjson.dumps(again, option=orjson.OPT_APPEND_NEWLINE))
            n += 1
        return f.tell()


def _fresh(content, n: int):
    "The blocks of a message, with fresh ids of calls"
    if not isinstance(content, list): return content
    return [{**b, **{name: f"{b[name]}-{n}" for name in ("id", "tool_use_id") if b.get(name)}} if isinstance(b, dict) else b for b in content]


def sessions(size: int, kinds: list[str], rounds: int) -> Tables:
    if not (SHARED/"data/rollouts").is_dir(): sys.exit(f"sessions: not measured, the shared folder is not at {SHARED} (TRACEKIT_SHARED)")
    tables: Tables = {}
    if not DATADESIGNER.exists(): print(f"sessions: without Data Designer, {DATADESIGNER} is not there: make it with shared/oracle/setup .oracle datadesigner, or set TRACEKIT_DATADESIGNER")
    with tempfile.TemporaryDirectory() as top:
        for kind in kinds:
            small, large = Path(top)/kind/"small", Path(top)/kind/"large"
            many_sessions(kind, small, 0)
            tables |= session_table(f"{kind}, many sessions", kind, small, large, many_sessions(kind, large, size), rounds)
            if kind == "claude_code": tables |= session_table(f"{kind}, one session", kind, small, Path(top)/"one", one_session(Path(top)/"one", size), rounds)
    return tables


def session_table(title: str, kind: str, small: Path, large: Path, size: int, rounds: int) -> Tables:
    "Measure all ways, print the table and return it"
    ways = [way for way in SESSIONS if way != PEER or DATADESIGNER.exists()]
    found: dict[str, list[dict]] = {way: [] for way in ways}
    own, told = {}, {}
    for n in range(rounds + 1):
        for way in ways:
            command = [str(DATADESIGNER) if way == PEER else sys.executable, __file__, "--session-child", way, kind, str(small), str(large), "no" if n else "yes"]
            done = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": "" if way == PEER else str(ROOT)}).stdout)
            if n: found[way].append(done)
            else: own[way], told[way] = done["own"], done["rows"]
    print(f"\n{title}, {size / 1e6:.0f} MB; median of {rounds} rounds\n{'':15}{'MB/s CPU':>10}{'MB/s wall':>11}{'own MB':>8}{'/ floor':>9}{'x Data Designer':>17}")
    table: list[dict] = []
    for way, measured in found.items():
        clock = "wall" if way.endswith("2") else "cpu"
        def ratio(to: str, by: str = clock) -> float: return statistics.median(t[by] / m[by] for m, t in zip(measured, found[to]))  # noqa: B023
        speed = {by: size / 1e6 / statistics.median(m[by] for m in measured) for by in ("cpu", "wall")}
        times = f"{ratio(PEER):17.1f}" + goal(way, ratio(PEER), own[way], "one" in title) if PEER in found else ""
        table.append({"": way, "MB a second of CPU time": round(speed["cpu"]), "MB a second by the clock": round(speed["wall"]), "own MB": round(own[way]),
                      **({"x Data Designer": round(ratio(PEER), 1)} if PEER in found else {})})
        print(f"{way:15}{speed['cpu']:10.0f}{speed['wall']:11.0f}{own[way]:8.0f}{1 / ratio('floor', 'cpu'):9.2f}{times}")
    if PEER in told: print(f"rows of the real sessions: {len(told['like'])}, " + ("equal to Data Designer's" if told["like"] == told[PEER] else "NOT equal to Data Designer's"))
    return {f"{title}, {size / 1e6:.0f} MB; median of {rounds} rounds": table}


def goal(way: str, ratio: float, own: float, alone: bool) -> str:
    "The goals that a way has, and whether it meets them; one session is one record, which two processes cannot share"
    wanted = {"like": 2.5, "like 2": None if alone else 5.0}.get(way)
    said = [f"goal {wanted:g}: {'met' if ratio >= wanted else 'MISSED'}"] if wanted else []
    return "   " + "; ".join([*said, f"below 100 MB: {'met' if own < 100 else 'MISSED'}"]) if way not in ("floor", PEER) else ""


def main() -> None:
    if sys.argv[1:2] == ["--child"]: return child(*sys.argv[2:])
    if sys.argv[1:2] == ["--session-child"]: return session_child(*sys.argv[2:])
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--part", nargs="+", choices=["sessions", "agentdata"], default=["sessions", "agentdata"])
    options.add_argument("--spans", type=int, default=20_000)
    options.add_argument("--mb", type=int, default=200)
    options.add_argument("--formats", nargs="+", choices=list(KINDS), default=list(KINDS))
    options.add_argument("--rounds", type=int, default=5)
    json_option(options)
    given = options.parse_args()
    tables: Tables = {}
    if "sessions" in given.part: tables |= sessions(given.mb * 1_000_000, given.formats, given.rounds)
    if "agentdata" in given.part: tables |= agentdata(given.spans, given.rounds)
    record(given.json, "formats", tables)


if __name__ == "__main__": main()
