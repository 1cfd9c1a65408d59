"""What a conversion costs: CPU time, wall time and memory, as ratios to a floor measured in the same run on the same bytes.

    python benchmarks/convert.py [--log LOG] [--mb 100 1000] [--layout compact indented] [--rounds 5] [--json FILE]

The input is a real tau2-bench log repeated with fresh ids (by default one of ../shared, else the sample that ships with tracekit). Measured in turn, round by round:

    floor       split the document into its records (msgspec.Raw over mapped memory), orjson.loads and orjson.dumps of each
    rows        the same work by tracekit: split, decode, convert, check and print each row; like the floor, nothing is written
    floor+file  the floor, and its lines written to a file, as a converter must
    1, 2        tracekit.convert with that many workers: every row checked, files written and synced
    tutorial    the platform's tutorial script (only with TRACEKIT_ORACLE or .oracle/aigo; 100 MB at the most)

Each runs in a process of its own, and first goes once over the log that is repeated: imports, and the types that are built at their first use, are not counted. CPU is user and system time of the process and its children. `own MB` is the peak of anonymous
memory of the largest single process, mapped input pages left out.
"""
import argparse
import json
import mmap
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from record import Tables, json_option, record

ROOT = Path(__file__).parents[1]
LOG = "data/tau2/real/049_results.json"


# ---------------------------------------------------------------- what is measured (in a child process)
def floor(log: str, out: str, write: bool) -> None:
    "The least that any converter has to do"
    import msgspec
    import orjson

    class Document(msgspec.Struct):
        simulations: list[msgspec.Raw]

    with open(log, "rb") as f, open(out, "wb", buffering=1 << 20) as target:
        data = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ)
        for raw in msgspec.json.decode(data, type=Document).simulations:
            line = orjson.dumps(orjson.loads(memoryview(raw)))
            if write: target.write(line + b"\n")


def tracekit(log: str, out: str, workers: int) -> None:
    "Our conversion"
    from tracekit.pipeline import convert
    report = convert(log, Path(out).parent, name=Path(out).name, workers=workers, progress=False)
    assert not report.rejected


def rows(log: str, out: str) -> None:
    "Our rows, checked and printed, and dropped"
    from tracekit.part import Job, Tally, span_lines
    from tracekit.plan import Span
    assert all(type(made) is bytes for made in span_lines(Span(log), Job(""), Tally()))


def tutorial(log: str, out: str) -> None:
    "The platform's tutorial script, as it is, with its own output left out of the report"
    import importlib.util
    import latticeflow.go.dtypes
    script = Path(latticeflow.go.dtypes.__file__).resolve().parents[3] / "latticeflow/go/skills_data/integrations/tutorials/trace-integration-tutorial/convert_tau2bench.py"
    spec = importlib.util.spec_from_file_location("tutorial", script)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    os.chdir(Path(out).parent)
    sys.argv, sys.stdout = ["convert", "--input-file", log], open(os.devnull, "w")
    module.main()


WAYS = {"floor": lambda log, out: floor(log, out, False), "rows": rows, "floor+file": lambda log, out: floor(log, out, True),
        "1": lambda log, out: tracekit(log, out, 1), "2": lambda log, out: tracekit(log, out, 2), "tutorial": tutorial}


def family() -> list[str]:
    "This process and its children, as folders of /proc"
    me = os.getpid()
    found = [str(me)]
    for task in Path(f"/proc/{me}/task").iterdir():
        try: found += (task / "children").read_text().split()
        except OSError: continue   # a thread that has just ended
    return found


def watch(peak: dict[str, int], stop: threading.Event) -> None:
    "Sample the anonymous memory of this process and its children"
    while not stop.wait(0.005):
        for pid in family():
            try: text = Path(f"/proc/{pid}/status").read_text()
            except OSError: continue
            peak[pid] = max(peak.get(pid, 0), next((int(line.split()[1]) for line in text.splitlines() if line.startswith("RssAnon")), 0))


def measured(way: str, small: str, log: str, out: str, memory: str) -> None:
    "Run one way and print its figures; memory is sampled only in the first round, since looking costs time"
    if way != "tutorial": import msgspec, orjson  # noqa: E401, F401
    if way in ("rows", "1", "2"): import tracekit.pipeline, tracekit.formats.tau2, tqdm.auto, concurrent.futures.process  # noqa: E401, F401
    if way in ("rows", "1", "2"): rows(small, "")
    if way == "tutorial": tutorial(small, out)
    sys.__stdout__.write(json.dumps(figures(lambda: WAYS[way](log, out), memory == "yes")))


def figures(go: Callable[[], None], memory: bool) -> dict[str, float]:
    "CPU time, wall time and, if asked for, the own memory of the largest process"
    peak, stop = {}, threading.Event()
    if memory: threading.Thread(target=watch, args=(peak, stop), daemon=True).start()
    before, began = cpu(), time.perf_counter()
    go()
    found = {"cpu": cpu() - before, "wall": time.perf_counter() - began, "own": max(peak.values(), default=0) / 1024}
    stop.set()
    return found


def cpu() -> float:
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


# ---------------------------------------------------------------- the run
def repeat(log: Path, out: Path, size: int, indented: bool) -> int:
    "Write a log of at least `size` bytes made of the simulations of `log` with fresh ids; how many there are"
    import orjson
    document = json.loads(log.read_text())
    option = orjson.OPT_INDENT_2 if indented else 0
    simulations = [s for s in document.pop("simulations") if s["messages"]]
    between = b",\n    " if indented else b","
    with open(out, "wb") as f:
        f.write(orjson.dumps(document, option=option).rstrip()[:-1].rstrip() + (b',\n  "simulations": [\n    ' if indented else b',"simulations":['))
        n = 0
        while f.tell() < size:
            text = orjson.dumps(simulations[n % len(simulations)] | {"id": f"{n:08}-0000-4000-8000-000000000000"}, option=option)
            f.write((between if n else b"") + (text.replace(b"\n", b"\n    ") if indented else text))
            n += 1
        f.write(b"\n  ]\n}\n" if indented else b"]}\n")
    return n


def oracle() -> str | None:
    "The Python that has the platform's packages, if there is one"
    given = os.environ.get("TRACEKIT_ORACLE") or str(ROOT / ".oracle/aigo/bin/python")
    return given if Path(given).exists() else None


def bench(log: Path, size: int, indented: bool, rounds: int) -> Tables:
    "Measure all ways on one log, print the table and return it"
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as folder:
        big = Path(folder) / "big.json"
        count = repeat(log, big, size * 1_000_000, indented)
        ways = [w for w in WAYS if w != "tutorial" or oracle() and size <= 100]
        found, own = {way: [] for way in ways}, {}
        for n in range(rounds + 1):
            for way in ways:
                python = oracle() if way == "tutorial" else sys.executable
                done = subprocess.run([python, __file__, "--way", way, str(log), str(big), str(Path(folder) / "out"), "no" if n else "yes"], capture_output=True, text=True, check=True)
                seen = json.loads(done.stdout)
                if not n: own[way] = seen["own"]          # the first round warms up, and looks at memory
                if n: found[way].append(seen)
        bytes_ = big.stat().st_size
        title = f"{bytes_ / 1e6:.0f} MB {'indented' if indented else 'compact'}, {count} simulations of {bytes_ / count / 1000:.0f} kB; median of {rounds} rounds"
        table: list[dict] = []
        print(f"\n{title}")
        print(f"{'':12}{'CPU s':>8}{'CPU ms/MB':>11}{'wall s':>8}{'own MB':>8}{'/ floor':>9}{'/ floor+file':>14}")
        median = {way: {k: statistics.median(f[k] for f in seen) for k in seen[0]} for way, seen in found.items()}
        for way, m in median.items():
            name = way if not way.isdigit() else f"{way} worker{'s' if way != '1' else ''}"
            table.append({"": name, "MB a second of CPU time": round(bytes_ / 1e6 / m["cpu"]), "own MB": round(own[way]), "CPU time, x the floor": round(m["cpu"] / median["floor"]["cpu"], 2),
                          "x the floor with a file": round(m["cpu"] / median["floor+file"]["cpu"], 2), "clock, x one worker": round(m["wall"] / median["1"]["wall"], 2)})
            print(f"{name:12}{m['cpu']:8.2f}{m['cpu'] * 1e9 / bytes_:11.2f}{m['wall']:8.2f}{own[way]:8.0f}{m['cpu'] / median['floor']['cpu']:9.2f}{m['cpu'] / median['floor+file']['cpu']:14.2f}")
        print(f"two workers: {median['1']['wall'] / median['2']['wall']:.2f}x one" + (f"; one worker: {median['tutorial']['cpu'] / median['1']['cpu']:.1f}x the tutorial" if "tutorial" in median else ""))
        return {title: table}


def main() -> None:
    if sys.argv[1:2] == ["--way"]: return measured(*sys.argv[2:])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    shared = Path(os.environ.get("TRACEKIT_SHARED", ROOT.parent / "shared"))
    parser.add_argument("--log", type=Path, default=shared / LOG if (shared / LOG).exists() else ROOT / "tracekit/data/telecom.json")
    parser.add_argument("--mb", type=int, nargs="+", default=[100])
    parser.add_argument("--layout", nargs="+", choices=["compact", "indented"], default=["compact", "indented"])
    parser.add_argument("--rounds", type=int, default=5)
    json_option(parser)
    given = parser.parse_args()
    tables: Tables = {}
    print(f"log: {given.log.name}")
    for size in given.mb:
        for layout in given.layout: tables |= bench(given.log, size, layout == "indented", given.rounds)
    record(given.json, "convert", tables)
    print("\nStart-up, user and system time of a process:")
    for what in ("import tracekit", "import tracekit.cli; tracekit.cli.main(['--help'])"):
        before = cpu()
        subprocess.run([sys.executable, "-c", what], capture_output=True)
        print(f"  {cpu() - before:.2f} s  {what}")


if __name__ == "__main__": main()
