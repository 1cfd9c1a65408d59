"""What it takes to convert much: workers, engines, memory, a cluster that loses nodes, many small files.

    python benchmarks/scale.py [--part workers engines memory cluster files] [--mb 1000] [--rounds 3] [--json FILE]

The input is a real tau2-bench log repeated with fresh ids (see benchmarks/convert.py). Each figure is a ratio of wall times measured in turn in the same run, or a count:

    workers   one process against two
    engines   the process pool against Ray, both with two workers and already started
    memory    own memory (anonymous, input pages left out) of a worker and of the program, for logs of 100 MB up to --mb
    cluster   four simulated nodes of a Ray cluster, two of which are removed without grace half-way: equal bytes, nothing left behind
    files     100,000 small files: seconds of CPU time a file
"""
import argparse
import hashlib
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

import convert as single
from record import Tables, json_option, record


def sha(folder: Path) -> str:
    "The checksum of all rows, and that nothing but the dataset is there"
    left = sorted(p.name for p in folder.iterdir())
    assert left == ["x.jsonl", "x.manifest.json", "x.yaml"], left
    with open(folder / "x.jsonl", "rb") as f: return hashlib.file_digest(f, "sha256").hexdigest()


def timed(log: Path, out: Path, **how) -> tuple[float, str]:
    from tracekit.pipeline import convert
    began = time.perf_counter()
    convert(log, out, "x", progress=False, **how)
    return time.perf_counter() - began, sha(out)


def compared(log: Path, folder: Path, ways: dict[str, dict], rounds: int) -> dict[str, float]:
    "The median seconds of each way, measured in turn; all must give the same bytes"
    seconds, sums = {name: [] for name in ways}, set()
    for n in range(rounds + 1):   # the first round warms up
        for name, how in ways.items():
            took, digest = timed(log, folder / "out", **how)
            sums.add(digest)
            if n: seconds[name].append(took)
    assert len(sums) == 1, "the ways differ in their bytes"
    return {name: statistics.median(found) for name, found in seconds.items()}


def workers(log: Path, folder: Path, rounds: int) -> dict:
    found = compared(log, folder, {"one worker": {}, "two workers": {"workers": 2}}, rounds)
    return {**found, "two workers, times one": found["one worker"] / found["two workers"]}


def engines(log: Path, folder: Path, rounds: int) -> dict:
    import ray
    began = time.perf_counter()
    ray.init(num_cpus=2, log_to_driver=False, logging_level="ERROR")
    start = time.perf_counter() - began
    found = compared(log, folder, {"pool of two": {"workers": 2}, "Ray, two processors": {"engine": "ray"}}, rounds)
    ray.shutdown()
    return {**found, "Ray / pool": found["Ray, two processors"] / found["pool of two"], "start of Ray, s": start}


def memory(log: Path, folder: Path, rounds: int) -> dict:
    "Own memory of the largest worker, and of the program that joins, by the size of the log"
    from tracekit.pipeline import convert
    peak, stop = {}, threading.Event()
    watcher = threading.Thread(target=single.watch, args=(peak, stop), daemon=True)
    before = single.family()
    watcher.start()
    convert(log, folder / "out", "x", workers=2, progress=False)
    stop.set()
    own = str(os.getpid())
    return {"input, MB": log.stat().st_size / 1e6, "worker, MB": max((kb for pid, kb in peak.items() if pid not in before), default=0) / 1024, "program, MB": peak.get(own, 0) / 1024}


def cluster(log: Path, folder: Path, rounds: int) -> dict:
    "Four nodes, of which two are taken away while parts are on them"
    import ray
    from ray.cluster_utils import Cluster
    right = timed(log, folder / "right", workers=2)[1]
    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    others = [nodes.add_node(num_cpus=1) for _ in range(3)]
    ray.init(address=nodes.address, log_to_driver=False, logging_level="ERROR")
    removed, parts = [], folder / "out/.x.parts"
    def take_away() -> None:
        for share, node in ((0.25, others[0]), (0.55, others[1])):
            while not parts.exists() or len(list(parts.glob("*.done"))) < share * total: time.sleep(0.01)
            nodes.remove_node(node, allow_graceful=False)
            removed.append(len(list(parts.glob("*.done"))))
    from tracekit.plan import plan
    total = len(plan([log]))
    thread = threading.Thread(target=take_away)
    thread.start()
    seconds, digest = timed(log, folder / "out", engine="ray")
    thread.join()
    ray.shutdown()
    nodes.shutdown()
    return {"parts": total, "parts done when nodes were removed": removed, "seconds": seconds, "equal bytes": digest == right, "temporary files left": 0}


def files(log: Path, folder: Path, rounds: int, count: int = 100_000) -> dict:
    "Many small logs of one conversation each"
    from tracekit.pipeline import convert
    for n in range(count):
        if n % 1000 == 0: (folder / f"in/{n // 1000:03}").mkdir(parents=True)
        messages = [{"role": "user", "content": f"question {n} " * 20}, {"role": "assistant", "content": "answer " * 200}]
        (folder / f"in/{n // 1000:03}/{n:06}.json").write_text(json.dumps({"id": f"c{n}", "messages": messages}))
    found = {}
    for some in (1, 2):
        before, began = single.cpu(), time.perf_counter()
        assert convert(folder / "in", folder / "out", "x", workers=some, progress=False).rows == count
        found |= {f"{some} worker{'s' * (some > 1)}, CPU microseconds a file": (single.cpu() - before) / count * 1e6, f"{some} worker{'s' * (some > 1)}, files a second": count / (time.perf_counter() - began)}
    return found


PARTS = {"workers": workers, "engines": engines, "memory": memory, "cluster": cluster, "files": files}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    shared = Path(os.environ.get("TRACEKIT_SHARED", single.ROOT.parent / "shared"))
    parser.add_argument("--log", type=Path, default=shared / single.LOG if (shared / single.LOG).exists() else single.ROOT / "tracekit/data/telecom.json")
    parser.add_argument("--part", nargs="+", choices=PARTS, default=["workers", "engines", "memory", "cluster"])
    parser.add_argument("--mb", type=int, nargs="+", default=[1000])
    parser.add_argument("--rounds", type=int, default=3)
    json_option(parser)
    given = parser.parse_args()
    tables: Tables = {}
    for part in given.part:
        for size in given.mb if part == "memory" else given.mb[-1:]:
            with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as folder:
                log = Path(folder) / "big.json"
                if part != "files": single.repeat(given.log, log, size * 1_000_000, False)
                found = PARTS[part](log, Path(folder), given.rounds)
            title = f"{part}, {size} MB" if part != "files" else part
            tables[title] = [{"": name, "value": round(value, 2) if isinstance(value, float) else value} for name, value in found.items()]
            print(f"\n{title}")
            for name, value in found.items(): print(f"  {name:40} {value:.2f}" if isinstance(value, float) else f"  {name:40} {value}", flush=True)
    record(given.json, "scale", tables)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    main()
