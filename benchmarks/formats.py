"""What reading formats costs beside the packages that they come from, in one run on the same bytes.

    python benchmarks/formats.py [--part agentdata] [--spans 20000] [--rounds 5]

agentdata: spans of a LangChain agent become AgentData and are written as JSON. tracekit.agentdata does it with the published rules
(v2), with its own (paired), and a record a trace; NovaEval does it as its demo does: json.load, a model for each record, tool and call,
AgentDataset.export_to_json. Its mapping is a notebook and no part of its package, so it is written again below, with the package's own
models. Needs NovaEval's environment: shared/oracle/setup .oracle novaeval, or TRACEKIT_NOVAEVAL, its python.

Each runs in a process of its own and is measured in turn, round by round; imports are not counted. Printed are spans a second of CPU
time (median) and the ratio to NovaEval's in the same round (median).
"""
import argparse
import importlib.util
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
SHARED = Path(os.environ.get("TRACEKIT_SHARED", ROOT.parent/"shared"))
NOVAEVAL = Path(os.environ.get("TRACEKIT_NOVAEVAL", ROOT/".oracle/novaeval/bin/python"))


# ---------------------------------------------------------------- what is measured (in a child process)
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


# ---------------------------------------------------------------- the measuring
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


def agentdata(wanted: int, rounds: int) -> None:
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
        print(f"{count} spans, {large.stat().st_size / 1e6:.0f} MB, spans a second of CPU time")
        for way, found in rates.items():
            ratio = statistics.median(mine / theirs for mine, theirs in zip(found, rates["novaeval"]))
            print(f"  {way:10} {statistics.median(found):9,.0f}   {ratio:5.1f} x NovaEval")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]: child(*sys.argv[2:])
    else:
        options = argparse.ArgumentParser()
        options.add_argument("--part", choices=["agentdata"], default="agentdata")
        options.add_argument("--spans", type=int, default=20_000)
        options.add_argument("--rounds", type=int, default=5)
        given = options.parse_args()
        agentdata(given.spans, given.rounds)
