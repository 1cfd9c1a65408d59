"""What scoring costs: traces per second on one core, against the platform's own package in the same run on the same rows.

    python benchmarks/score.py [--log LOG] [--rows 2000] [--rounds 5] [--json FILE]

The rows are those of a telecom log (by default one of ../shared, else the sample that ships with tracekit), repeated. Measured in turn, round by round, CPU time:

    read       read the file and check each trace, as the runner does
    trace      the same, and score it by the rules of its sample (tracekit.score)
    telecom    the same, and score it by replaying its calls (tracekit.scorers.telecom)
    peer       Trace.model_validate and the tutorial's compute_scores on rows that are read already (only with TRACEKIT_ORACLE or .oracle/aigo)
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from record import json_option, record

ROOT = Path(__file__).parents[1]
LOG = "data/tau2/scripted/telecom__v02_ids.json"


# ---------------------------------------------------------------- what is measured (in a child process)
def ours(scorer: str, rows: str) -> float:
    "Seconds of CPU time to read, check and score the rows"
    from tracekit.run import Plan, Stop, named_scorer, samples, score_sample, solved
    plan = Plan([] if scorer == "read" else [{"key": "s", "type": "python", "spec": {"snippet": named_scorer(scorer)}}], "trace")
    def go() -> None:
        for _, row in samples(Path(rows)):
            row = plan.read(row)
            assert not isinstance(row, Stop)
            if plan.scorers: assert not score_sample(plan, row)[0]["failed"]
            else: solved(plan, row)
    return timed(go)


def peer(rows: str) -> float:
    "Seconds of CPU time for the platform's classes and the tutorial's scorer, reading left out"
    import importlib.util
    import latticeflow.go.dtypes
    from latticeflow.core.dtypes import SolverTrace, Trace
    folder = Path(latticeflow.go.dtypes.__file__).resolve().parents[3]/"latticeflow/go/skills_data/integrations/tutorials"
    spec = importlib.util.spec_from_file_location("scorer", next(p for p in folder.rglob("scorer.py") if "TraceScorer" in p.read_text()))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    read = [json.loads(line) for line in open(rows)]
    def go() -> None:
        for row in read: module.compute_scores(row, SolverTrace(trace=Trace.model_validate(row["trace"]), raw_outputs=[]))
    return timed(go)


def timed(go) -> float:
    go()          # imports, and types that are built at their first use
    began = time.process_time()
    go()
    return time.process_time() - began


# ---------------------------------------------------------------- the run
def oracle() -> str | None:
    "The Python that has the platform's packages, if there is one"
    given = os.environ.get("TRACEKIT_ORACLE") or str(ROOT/".oracle/aigo/bin/python")
    return given if Path(given).exists() else None


def main() -> None:
    if sys.argv[1:2] == ["--way"]: return print(peer(sys.argv[3]) if sys.argv[2] == "peer" else ours(sys.argv[2], sys.argv[3]))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    shared = Path(os.environ.get("TRACEKIT_SHARED", ROOT.parent/"shared"))
    parser.add_argument("--log", type=Path, default=shared/LOG if (shared/LOG).exists() else ROOT/"tracekit/data/telecom.json")
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    json_option(parser)
    given = parser.parse_args()
    import tracekit
    with tempfile.TemporaryDirectory() as folder:
        tracekit.convert(given.log, folder, name="rows", progress=False)
        lines = (Path(folder)/"rows.jsonl").read_bytes().splitlines(keepends=True)
        many = Path(folder)/"many.jsonl"
        many.write_bytes(b"".join(lines[n % len(lines)] for n in range(given.rows)))
        ways = ["read", "trace", "telecom", *(["peer"] if oracle() else [])]
        found: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(given.rounds):
            for way in ways:
                done = subprocess.run([oracle() if way == "peer" else sys.executable, __file__, "--way", way, str(many)], capture_output=True, text=True, check=True)
                found[way].append(float(done.stdout.split()[-1]))
        print(f"log: {given.log.name}; {given.rows} rows of {many.stat().st_size/given.rows/1000:.0f} kB; median of {given.rounds} rounds")
        print(f"{'':10}{'µs a trace':>12}{'traces/s':>10}{'x peer':>8}")
        median = {way: statistics.median(seconds) for way, seconds in found.items()}
        for way, seconds in median.items():
            print(f"{way:10}{seconds/given.rows*1e6:12.0f}{given.rows/seconds:10.0f}" + (f"{median['peer']/seconds:8.1f}" if "peer" in median else ""))
        record(given.json, "score", {f"{given.rows} rows of {many.stat().st_size/given.rows/1000:.0f} kB; median of {given.rounds} rounds":
               [{"": way, "traces a second": round(given.rows/seconds), **({"x the platform's package": round(median["peer"]/seconds, 1)} if "peer" in median else {})} for way, seconds in median.items()]})


if __name__ == "__main__": main()
