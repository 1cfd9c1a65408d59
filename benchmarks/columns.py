"""What a model column costs beside the wait for the model: overhead per call, against a bare HTTP client doing the same calls in the same run.

    python benchmarks/columns.py [--records 10000] [--concurrency 32] [--delay 0.1] [--json FILE]

A server on loopback (tests/chat_server.py, in a process of its own) answers after a delay; of the prompts, 2 % meet an error, 1 % a server that hangs until the time-out, 1 % an answer
that is no JSON. Each record is a tool interaction: its prompt is filled in, asked, the answer checked against a schema, kept on disk, and the row written. Measured:

    floor      a bare httpx2 client that posts as many prompts of the same size, all of which are answered, and parses the JSON
    columns    the pipeline over records that are all answered: CPU time a call, and wall time a call beside the wait
    faulty     the pipeline over all records with the faults above: every one ends as a row, or set aside with its reason
    again      the same once more: nothing is asked, all answers are known
"""
import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Literal

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[1]/"tests")]
from chat_server import chat_server   # noqa: E402
from pydantic import BaseModel   # noqa: E402
from record import json_option, record   # noqa: E402

from tracekit.workflows.columns import Pipeline   # noqa: E402
from tracekit.workflows.model import Model   # noqa: E402

PROMPT = """Context:
{{ context }}

Tool name: {{ tool_name }}
Tool call:
{{ tool_call }}
Tool response:
{{ tool_response }}
"""


class Analysis(BaseModel):
    "What became of a call"
    outcome: Literal["success", "failure", "unclear"]
    summary: str


def interactions(count: int, begin: int = 0):
    "Tool interactions as a function that explodes sessions makes them"
    for n in range(begin, begin + count):
        call = {"id": f"c{n}", "type": "function", "function": {"name": "Bash", "arguments": json.dumps({"command": f"make test TEST={n}"})}}
        response = {"role": "tool", "content": [{"type": "text", "text": f"collected {n} items\n" + "tests/test_a.py ....\n"*20}], "tool_call_id": f"c{n}"}
        context = [{"role": "user", "content": [{"type": "text", "text": "Please run the tests. "*10}]}, {"role": "assistant", "content": [], "tool_calls": [call]}, response]
        yield {"trace_id": f"s{n//50}", "context": context, "tool_name": "Bash", "tool_call": call, "tool_response": response}


def pipeline(url: str, count: int, concurrency: int, begin: int = 0, timeout: float = 60) -> Pipeline:
    os.environ["BENCH_KEY"] = "sk-bench-0123456789abcdef"
    judge = Model("judge", base_url=url, api_key_env="BENCH_KEY", concurrency=concurrency, timeout=timeout)
    return Pipeline(interactions(count, begin), models=[judge]).add("analysis", prompt=PROMPT, model="judge", output=Analysis)


def timed(work):
    "What work returns, with its seconds of CPU and wall time"
    cpu, wall = time.process_time(), time.perf_counter()
    made = work()
    return made, time.process_time() - cpu, time.perf_counter() - wall


def floor(url: str, count: int, concurrency: int, size: int) -> None:
    "A bare client: posts, and parses what comes back"
    import httpx2
    async def go() -> None:
        limits = httpx2.Limits(max_connections=concurrency, max_keepalive_connections=concurrency)
        async with httpx2.AsyncClient(limits=limits, timeout=60) as client:
            left = iter(range(count))
            async def one() -> None:
                for n in left:
                    body = {"model": "judge", "messages": [{"role": "user", "content": f"{n} " + "x"*size}]}
                    (await client.post(f"{url}/chat/completions", json=body, headers={"authorization": "Bearer x"})).json()
            await asyncio.gather(*(one() for _ in range(concurrency)))
    asyncio.run(go())


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--records", type=int, default=10_000)
    parser.add_argument("--concurrency", type=int, default=32)
    parser.add_argument("--delay", type=float, default=0.1)
    json_option(parser)
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp())
    ideal = given.delay/given.concurrency*1e3
    with chat_server(folder, delay=given.delay) as server:
        size = len(next(iter(pipeline(server.url, 1, 1).preview(1, ask=False)[0].prompts.values())))
        pipeline(server.url, 200, given.concurrency, 10**6).run(folder/"warm.jsonl", progress=False)
        floor(server.url, 200, given.concurrency, size)
        figures = {}
        for part in range(4):   # in turn, so that a busy machine is busy for both
            n = given.records//4
            for name, work in (("floor", lambda n=n: floor(server.url, n, given.concurrency, size)),
                               ("columns", lambda n=n, part=part: pipeline(server.url, n, given.concurrency, part*n).run(folder/f"c{part}.jsonl", progress=False))):
                _, cpu, wall = timed(work)
                figures.setdefault(name, []).append((cpu/n*1e3, wall/n*1e3))
    print(f"{given.records:,} calls at {given.concurrency} at a time, {given.delay:g} s each: the wait alone is {ideal:.2f} ms a call")
    best = {name: (min(c for c, _ in found), min(w for _, w in found)) for name, found in figures.items()}
    for name, (cpu, wall) in best.items(): print(f"{name:8} {cpu:5.2f} ms CPU a call   {wall:5.2f} ms wall a call, {wall - ideal:5.2f} beside the wait")
    print(f"overhead of tracekit over the bare client: {best['columns'][0] - best['floor'][0]:.2f} ms CPU, {best['columns'][1] - best['floor'][1]:.2f} ms wall a call")
    with chat_server(folder, delay=given.delay, errors=0.02, hangs=0.01, broken=0.01) as server:
        work = pipeline(server.url, given.records, given.concurrency, timeout=5)
        report, _, wall = timed(lambda: work.run(folder/"f.jsonl", progress=False))
        print(f"faulty   {wall:.1f} s: {str(report).splitlines()[-2]}\n         {str(report).splitlines()[-1]}")
        assert report.rows + report.rejected == given.records == report.read
        before = len(server.requests())
        work.rows = interactions(given.records)
        report, cpu, wall = timed(lambda: work.run(folder/"f.jsonl", progress=False))
        record(given.json, "columns", {f"{given.records:,} calls at {given.concurrency} at a time, {given.delay:g} s each: the wait alone is {ideal:.2f} ms a call":
               [{"": name, "ms of CPU time a call": round(cpu, 2), "ms of the clock a call, beside the wait": round(wall - ideal, 2)} for name, (cpu, wall) in best.items()]})
        print(f"again    {wall:.1f} s: {str(report).splitlines()[-2]}; requests that the server saw: {len(server.requests()) - before}")


if __name__ == "__main__": main()
