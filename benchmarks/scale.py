"""What it takes to convert much: workers, engines, memory, a cluster that loses nodes, many small files.

    python benchmarks/scale.py [--part workers engines memory cluster files] [--mb 1000] [--sizes 100 1000] [--rounds 3] [--json FILE]

The input is a real tau2-bench log repeated with fresh ids (see benchmarks/convert.py). Each way runs in a process of its own, turn by turn, and has converted
the log once before it is measured. The figures are ratios of wall times (the median of the ratios in each round), or counts:

    workers   one process against two
    engines   the process pool against Ray, both with two workers and already started
    memory    own memory (anonymous, input pages left out) of a worker and of the program, for logs of --sizes MB
    cluster   four simulated nodes of a Ray cluster, two of which are removed without grace half-way: equal bytes, nothing left behind
    files     100,000 small files: seconds of CPU time a file
"""
import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import convert as single
from record import Tables, json_option, record


def left_over(folder: Path) -> list[str]:
    "What lies beside a dataset and is no part of it"
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.name not in ("x.jsonl", "x.manifest.json", "x.yaml"))


def sha(folder: Path) -> str:
    "The checksum of all rows"
    with open(folder / "x.jsonl", "rb") as f: return hashlib.file_digest(f, "sha256").hexdigest()


def timed(log: Path, out: Path, **how) -> tuple[float, str]:
    from tracekit.pipeline import convert
    began = time.perf_counter()
    convert(log, out, "x", progress=False, **how)
    return time.perf_counter() - began, sha(out)


def way(log: str, out: str, how: str) -> None:
    "Convert a log twice; print seconds and checksum of the second time, or the own memory in MB of the first"
    given, start = json.loads(how), 0.0
    look = given.pop("look", False)   # which costs time
    if given.get("engine") == "ray":
        import ray
        began = time.perf_counter()
        ray.init(num_cpus=2, log_to_driver=False, logging_level="ERROR")
        start = time.perf_counter() - began
    peak, stop = {}, threading.Event()
    if look: threading.Thread(target=single.watch, args=(peak, stop), daemon=True).start()
    for _ in range(1 if look else 2):
        os.sync()   # what was written before is not to be paid for now
        seconds, digest = timed(Path(log), Path(out), **given)
    stop.set()
    assert not left_over(Path(out)), left_over(Path(out))
    own = str(os.getpid())
    print(json.dumps({"seconds": seconds, "digest": digest, "start": start, "program": peak.get(own, 0) / 1024, "worker": max((kb for pid, kb in peak.items() if pid != own), default=0) / 1024}))


def alone(log: Path, folder: Path, **how) -> dict:
    "What `way` prints in a process of its own"
    done = subprocess.run([sys.executable, __file__, "--way", str(log), str(folder / "out"), json.dumps(how)], capture_output=True, text=True)
    if done.returncode: raise RuntimeError(done.stderr[-2000:])
    return json.loads(done.stdout.splitlines()[-1])


def compared(log: Path, folder: Path, ways: dict[str, dict], rounds: int) -> tuple[dict[str, float], float, float]:
    "The median seconds of each of two ways, the median of how much longer the first took in each round, and the start of an engine; both must give the same bytes"
    found = {name: [] for name in ways}
    for _ in range(rounds):
        for name, how in ways.items(): found[name].append(alone(log, folder, **how))
    assert len({one["digest"] for ones in found.values() for one in ones}) == 1, "the ways differ in their bytes"
    seconds = {name: [one["seconds"] for one in ones] for name, ones in found.items()}
    ratio = statistics.median(a / b for a, b in zip(*seconds.values()))
    return {name: statistics.median(ones) for name, ones in seconds.items()}, ratio, max(one["start"] for ones in found.values() for one in ones)


def workers(log: Path, folder: Path, rounds: int) -> dict:
    found, ratio, _ = compared(log, folder, {"one worker": {}, "two workers": {"workers": 2}}, rounds)
    return {**found, "two workers, times one": ratio}


def engines(log: Path, folder: Path, rounds: int) -> dict:
    found, ratio, start = compared(log, folder, {"pool of two": {"workers": 2}, "Ray, two processors": {"engine": "ray"}}, rounds)
    return {**found, "Ray / pool": 1 / ratio, "start of Ray, s": start}


def memory(log: Path, folder: Path, rounds: int) -> dict:
    "Own memory of the largest worker, and of the program that joins, by the size of the log"
    found = alone(log, folder, workers=2, look=True)
    return {"input, MB": log.stat().st_size / 1e6, "worker, MB": found["worker"], "program, MB": found["program"]}


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
    return {"parts": total, "parts done when nodes were removed": removed, "seconds": seconds, "equal bytes": digest == right, "temporary files left": len(left_over(folder / "out"))}


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
    if sys.argv[1:2] == ["--way"]: return way(*sys.argv[2:])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    shared = Path(os.environ.get("TRACEKIT_SHARED", single.ROOT.parent / "shared"))
    parser.add_argument("--log", type=Path, default=shared / single.LOG if (shared / single.LOG).exists() else single.ROOT / "tracekit/data/telecom.json")
    parser.add_argument("--part", nargs="+", choices=PARTS, default=["workers", "engines", "memory", "cluster"])
    parser.add_argument("--mb", type=int, default=1000)
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 1000], help="of the logs for memory, in MB")
    parser.add_argument("--rounds", type=int, default=3)
    json_option(parser)
    given = parser.parse_args()
    tables: Tables = {}
    for part in given.part:
        for size in given.sizes if part == "memory" else [given.mb]:
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
