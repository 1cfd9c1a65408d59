"""tracekit beside other converters of agent logs, in one run: what each loses of the same files, what it refuses, and what it costs.

    python benchmarks/peers.py [--kinds tau2 claude_code ...] [--peers teich ...] [--mb 20] [--rounds 3] [--json FILE]
    python benchmarks/peers.py --setup [NAME ...]

The files are the real, derived and hand-made logs of the shared folder (TRACEKIT_SHARED); without it the sample that ships with tracekit. Each
peer runs in a process and an environment of its own, used as its documentation says; those that are not there are left out. --setup makes them
under .oracle (TRACEKIT_PEERS names another folder); LatticeFlow's, Data Designer's and NovaEval's come from shared/oracle/setup, or are named by
TRACEKIT_ORACLE, TRACEKIT_DATADESIGNER and TRACEKIT_NOVAEVAL, each a python.

What is kept. Every file lies in a folder of its own, so that one that is refused takes no other with it. Its records are counted (simulations of
tau2; else a file is one) as converted, refused with a reason (a reject, an error of the tool's own or a ValueError, a warning), lost without a
word, or crashed (any other exception). Then every string of three characters or more, and every number but the small whole ones, is looked for
in what came out. JSON inside of strings is opened, in and out, and times compare as times; a string of eight characters or more may stand inside
a longer one. A value counts once for each place (path) that it has in a file. The same rule goes for all, tracekit too, over the files that a tool
converted; beside it stands what tracekit keeps of the same files. It is no verdict: a converter for training means to leave out ids and settings.
Text is the same line by line, weighed by characters: lines from 20 characters on, each once; so a text that is taken apart counts as kept.

What it costs. The real files that all of them convert, repeated; once over a small folder, then measured: MB of input a second of CPU time, children
included (median), and the largest process's own memory (mapped pages left out; looked at in the round that is not timed). What a tool writes to
files by itself is measured with the writing: tracekit's rows are checked, written and synced. What it hands over as objects is dropped. Import
is the CPU time of importing what the work needs, the least of three.
"""
import argparse
import collections
import contextlib
import csv
import datetime
import functools
import io
import json
import logging
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from convert import figures, repeat, tutorial
from formats import datadesigner_frames, frame_rows, novaeval, span_file
from record import Tables, json_option, record

ROOT = Path(__file__).parents[1]
SHARED = Path(os.environ.get("TRACEKIT_SHARED", ROOT.parent/"shared"))
PEERS_AT = Path(os.environ.get("TRACEKIT_PEERS", ROOT/".oracle"))
KEPT = "kept.jsonl"   # where rows are written that will be looked at
SAMPLE = ROOT/"tracekit/data/telecom.json"


# ---------------------------------------------------------------- the peers: each makes rows of all logs under a folder, or writes them to `out`
def sessions(folder: Path) -> list[Path]:
    "The logs under a folder, without what lies beside them"
    return [p for p in sorted(folder.rglob("*")) if p.suffix in (".json", ".jsonl") and p.name not in ("sessions.json", "sessions-index.json")]


def with_tracekit(kind: str, folder: Path, out: Path) -> Iterable:
    from tracekit.pipeline import convert
    report = convert(folder, out.parent, out.stem, format=kind, progress=False)
    for line in out.with_suffix(".rejects.jsonl").read_text().splitlines() if report.rejected else ():
        logging.warning("rejected: %s", json.loads(line)["cause"])
    return ()


def with_agentdata(kind: str, folder: Path, out: Path) -> Iterable:
    from tracekit.agentdata import agentdata
    for path in sessions(folder): agentdata(path).export_to_json(out)
    return ()


def with_tutorial(kind: str, folder: Path, out: Path) -> Iterable:
    stdout = sys.stdout
    for path in sessions(folder):
        tutorial(str(path), str(out))
        sys.stdout = stdout
        (out.parent/re.sub(r"[^a-zA-Z0-9_\-]", "-", path.stem)).with_suffix(".jsonl").rename(out)
    return ()


def with_novaeval(kind: str, folder: Path, out: Path) -> Iterable:
    for path in sessions(folder): novaeval(str(path), str(out))()
    return ()


def with_datadesigner(kind: str, folder: Path, out: Path) -> Iterator:
    for frame in datadesigner_frames(kind, str(folder)): yield from frame_rows(frame) if out.name == KEPT else [None]*len(frame)


def with_teich(kind: str, folder: Path, out: Path) -> Iterable:
    from teich import convert_traces_to_training_data
    return convert_traces_to_training_data(folder)


def with_scout(kind: str, folder: Path, out: Path) -> Iterable:
    import asyncio

    from inspect_scout import sources
    async def rows() -> list:   # a folder is searched no deeper than a project of Claude Code is, so each file is named
        return [made if out.name == KEPT else None for path in sessions(folder) async for made in getattr(sources, kind)(str(path))]
    return asyncio.run(rows())


def with_atif_make(kind: str, folder: Path, out: Path) -> Iterator:
    from atif_make import convert
    for path in sessions(folder): yield json.dumps(convert(path, kind)[0].to_dict())


def with_agentpile(kind: str, folder: Path, out: Path) -> Iterator:
    import agentpile
    for path in sessions(folder):
        for run in agentpile.load(str(path), reader=kind): yield run.record


WHOLE = {"toolArguments": {"maxCharacters": None}, "toolResults": {"maxCharacters": None}}   # else results are cut at 2,500 characters


def with_agent_trajectory(kind: str, folder: Path, out: Path) -> Iterator:
    from trajectory import normalize_many
    paths = sessions(folder)
    for n in range(0, len(paths), 32):
        asked = [{"source": kind, "transcript": p.read_text(encoding="utf-8"), "filters": {"systemMessages": "include"}, "bounds": WHOLE} for p in paths[n:n + 32]]
        for made in normalize_many(asked):
            yield made["records"]


def with_claude_converter(kind: str, folder: Path, out: Path) -> Iterator:
    from claude_converter import Converter
    for path in sessions(folder): yield Converter(converter=kind).session_to_messages(str(path))


class Peer(NamedTuple):
    "A converter: what it makes, what is imported, its name for each kind, how it is called, what is installed"
    makes: str
    modules: str
    kinds: dict[str, str]
    run: Callable[[str, Path, Path], Iterable]
    install: tuple[str, ...] = ()
    python: str = "3.11"
    only: str = ""   # the ending of the files that it reads


OURS = {kind: kind for kind in ("tau2", "claude_code", "codex", "pi", "hermes", "gemini_cli", "atif")} | {"spans": "langchain"}
PEERS = {
    "tracekit": Peer("dataset rows, checked and written", "tracekit.pipeline, tracekit.formats.tau2", OURS, with_tracekit),
    "tracekit agentdata": Peer("AgentData, written", "tracekit.agentdata", {"spans": "spans"}, with_agentdata),
    "tutorial": Peer("dataset rows, written", "latticeflow.core.dtypes", {"tau2": "tau2"}, with_tutorial, ("latticeflow-go-sdk==3.17.0",)),
    "data-designer": Peer("rollout rows", "data_designer.engine.resources.seed_reader", {"claude_code": "claude_code", "codex": "codex", "pi": "pi_coding_agent", "hermes": "hermes_agent", "atif": "atif"}, with_datadesigner, ("data-designer==0.9.7",)),
    "novaeval": Peer("AgentData, written", "novaeval.agents.agent_data", {"spans": "spans"}, with_novaeval, ("novaeval==0.7.0",)),
    "teich": Peer("training rows", "teich", {kind: kind for kind in ("claude_code", "codex", "pi", "hermes")}, with_teich, ("teich==0.3.6",), only=".jsonl"),
    "inspect_scout": Peer("transcripts with messages and events", "inspect_scout.sources", {"claude_code": "claude_code", "atif": "atif"}, with_scout, ("inspect_scout==0.6.1", "harbor==0.24.0"), "3.12"),
    "atif-make": Peer("ATIF, as text", "atif_make", {"claude_code": "claude-code-transcript", "codex": "codex-rollout", "atif": "atif"}, with_atif_make, ("atif-make==0.10.0",), "3.12"),
    "agentpile": Peer("ATIF records", "agentpile", {"claude_code": "claude-code-jsonl", "atif": "atif"}, with_agentpile, ("agentpile==0.3.1",)),
    "agent-trajectory": Peer("trajectory records, by Node.js", "trajectory", {"claude_code": "claude-code", "codex": "codex", "pi": "pi", "gemini_cli": "gemini-cli", "atif": "atif"}, with_agent_trajectory, ("agent-trajectory==0.4.3",)),
    "claude-converter": Peer("messages of plain text", "claude_converter", {"claude_code": "claude-code", "codex": "codex", "pi": "pi"}, with_claude_converter, ("claude-converter==1.9.0",)),
}
GIVEN = {"tutorial": ("TRACEKIT_ORACLE", "aigo"), "data-designer": ("TRACEKIT_DATADESIGNER", "datadesigner"), "novaeval": ("TRACEKIT_NOVAEVAL", "novaeval")}


def python_of(name: str) -> str | None:
    "The python of a peer's environment, if it is there"
    if name.startswith("tracekit"): return sys.executable
    variable, folder = GIVEN.get(name, ("", name))
    found = os.environ.get(variable) or str(PEERS_AT/folder/"bin/python")
    return found if Path(found).exists() else None


def setup(names: list[str]) -> None:
    "Make the environments of the peers that are installed by name"
    for name in names or [n for n, p in PEERS.items() if p.install and n not in GIVEN]:
        python = shutil.which(f"python{PEERS[name].python}") or sys.executable
        subprocess.run([python, "-m", "venv", str(PEERS_AT/name)], check=True)
        done = subprocess.run([str(PEERS_AT/name/"bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PEERS[name].install])
        print(f"{name}: {'ready' if not done.returncode else 'not installed'}")


# ---------------------------------------------------------------- in a child process
def plain(row: Any) -> Any:
    "A row of any make as plain JSON"
    if isinstance(row, str): return json.loads(row)
    if hasattr(row, "model_dump"): row = row.model_dump(mode="json")
    return json.loads(json.dumps(row, default=lambda x: x.tolist() if hasattr(x, "tolist") else str(x)))


def kept_child(name: str, todo: str, out: str) -> None:
    "Convert each place by itself; write its rows to a file, and how it ended to standard output"
    peer, result = PEERS[name], sys.__stdout__
    for n, (kind, folder) in enumerate(json.loads(Path(todo).read_text())):
        said, work = io.StringIO(), Path(out)/str(n)
        work.mkdir()
        logging.basicConfig(stream=said, level=logging.WARNING, format="%(message)s", force=True)
        rows: list = []
        ended, error = "done", ""
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            try: rows = [plain(row) for row in peer.run(peer.kinds[kind], Path(folder), work/KEPT)] or written(work/KEPT)
            except BaseException as e:
                own = type(e).__module__.split(".")[0] == peer.modules.split(".")[0]
                ended, error = "refused" if own or isinstance(e, (ValueError, OSError, SystemExit)) else "crashed", f"{type(e).__name__}: {e}"
        (Path(out)/f"{n}.json").write_text(json.dumps(rows))
        result.write(json.dumps({"ended": ended, "error": error, "rows": len(rows), "said": [line for line in said.getvalue().splitlines() if line.strip()]}) + "\n")


def written(path: Path) -> list:
    "The rows of a file that a tool wrote"
    if not path.exists(): return []
    text = path.read_text()
    return json.loads(text) if text.startswith("[") else [json.loads(line) for line in text.split("\n") if line]


def cost_child(name: str, kind: str, small: str, large: str, memory: str) -> None:
    "Once over the small folder, then measured over the large one"
    peer, result = PEERS[name], sys.__stdout__
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as out, open(os.devnull, "w") as sink, contextlib.redirect_stdout(sink), contextlib.redirect_stderr(sink):
        def go(folder: str) -> None:
            made = sum(1 for _ in peer.run(peer.kinds[kind], Path(folder), Path(out)/"rows.jsonl"))
            if not made and not any(Path(out).iterdir()): raise RuntimeError(f"{name} made nothing of {folder}")
        go(small)
        found = figures(lambda: go(large), memory == "yes")
    result.write(json.dumps(found))


def child(name: str, *args: str) -> str:
    "Run one of the above in the peer's own environment"
    done = subprocess.run([python_of(name) or "", __file__, "--child", args[0], name, *args[1:]], capture_output=True, text=True,
                          env={**os.environ, "PYTHONPATH": str(ROOT) if name.startswith("tracekit") else ""})
    if done.returncode: raise RuntimeError(f"{name}: {done.stderr[-500:]}")
    return done.stdout


# ---------------------------------------------------------------- what is kept
TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?$")


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    "Every string and number of a value with its path; JSON inside of strings is opened"
    if isinstance(value, dict):
        for key, held in value.items(): yield from leaves(held, f"{path}.{key}" if re.fullmatch(r"[\w.:-]{1,60}", key) else f"{path}.*")
    elif isinstance(value, list):
        for held in value: yield from leaves(held, f"{path}[]")
    elif isinstance(value, str) and (opened := inside(value)) is not None: yield from leaves(opened, path)
    elif isinstance(value, str): yield path.lstrip("."), value.strip()
    elif isinstance(value, (int, float)) and not isinstance(value, bool): yield path.lstrip("."), value


@functools.lru_cache(10_000)
def inside(text: str) -> dict | list | None:
    "The object or list that a string holds as JSON"
    if text.lstrip()[:1] not in ("{", "["): return None
    try: found = json.loads(text)
    except (ValueError, RecursionError): return None
    return found if isinstance(found, (dict, list)) else None


def told(value: Any) -> bool:
    "Is a value so particular that finding it again says something?"
    return len(value) >= 3 if isinstance(value, str) else value != int(value) or abs(value) >= 100 if abs(value) < 1e300 else False


def moment(value: Any) -> float | None:
    "A time as seconds: written as text, in seconds or in milliseconds"
    if isinstance(value, str):
        if not TIME.match(value): return None
        with contextlib.suppress(ValueError):
            when = datetime.datetime.fromisoformat(value)
            return round((when if when.tzinfo else when.replace(tzinfo=datetime.UTC)).timestamp(), 2)
        return None
    return round(float(value), 2) if 1e9 < value < 2e9 else round(value/1000, 2) if 1e12 < value < 2e12 else None


class Output:
    "What came out of a tool for one log, to look values up in"
    def __init__(self, rows: Any):
        values = {value for _, value in leaves(rows)}
        self.values = values | {str(v) for v in values}
        self.moments = {m for v in values if (m := moment(v)) is not None}
        self.text = "\n".join(v for v in raw(rows))

    def has(self, value: Any) -> bool:
        if value in self.values or str(value) in self.values or moment(value) in self.moments: return True
        return isinstance(value, str) and len(value) >= 8 and any(form in self.text for form in {value, json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1], repr(value)[1:-1]})


def raw(value: Any) -> Iterator[str]:
    "Every string as it stands"
    if isinstance(value, dict):
        for held in value.values(): yield from raw(held)
    elif isinstance(value, list):
        for held in value: yield from raw(held)
    elif isinstance(value, str): yield value


def documents(path: Path) -> list:
    "What a log holds, as plainly as can be; lines that are no JSON are left out"
    text = path.read_text(encoding="utf-8", errors="replace")
    if path.suffix == ".json":
        with contextlib.suppress(ValueError): return [json.loads(text)]
    found = []
    for line in text.split("\n"):
        with contextlib.suppress(ValueError, RecursionError): found.append(json.loads(line))
    return found


class Place(NamedTuple):
    "A folder with one log: what it holds, how many records those are, and whether it is a real one"
    kind: str
    folder: str
    values: frozenset
    records: int
    real: bool


def compared(place: Place, rows: Any) -> tuple[int, int, int, int, set]:
    "Values kept and in all, characters of lines kept and in all, and the lost values with their paths"
    out = Output(rows)
    known = {value: out.has(value) for value in {v for _, v in place.values}}
    lost = {(path, value) for path, value in place.values if not known[value]}
    lines = {part: known[value] for value in known if isinstance(value, str) for line in value.split("\n") if len(part := line.strip()) >= 20}
    found = {line for line, whole in lines.items() if whole or out.has(line)}
    return len(place.values) - len(lost), len(place.values), sum(map(len, found)), sum(map(len, lines)), lost


# ---------------------------------------------------------------- the logs
def places(top: Path) -> list[Place]:
    "Every log of the shared folder in a folder of its own; without it the sample alone"
    found: list[Place] = []
    def put(kind: str, path: Path, real: bool, under: Path | None = None, beside: Iterable[Path] = ()) -> None:
        folder = top/f"{len(found):04}"
        for each in [path, *beside]:
            target = folder/(each.relative_to(under) if under else each.name)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(each, target)
        held = documents(path)
        found.append(Place(kind, str(folder), frozenset((p, v) for d in held for p, v in leaves(d) if told(v)), records(kind, held, path), real))
    if not (SHARED/"data").is_dir():
        put("tau2", SAMPLE, True)
        return found
    for path in sorted((SHARED/"data/tau2/real").glob("0*.json*")): put("tau2", path, True)
    for path in sorted((SHARED/"data/tau2/scripted").glob("*__*.json")): put("tau2", path, False)
    rollouts = SHARED/"data/rollouts"
    with open(rollouts/"MANIFEST.csv", newline="") as f: listed = list(csv.DictReader(f))
    kinds = {"pi_coding_agent": "pi", "hermes_agent": "hermes"}
    for entry in listed:
        if entry["data_designer_status"] == "unhandled": continue   # what lies beside sessions
        beside = [rollouts/e["file"] for e in listed if e["root"] == entry["root"] and e["data_designer_status"] == "unhandled"]
        put(kinds.get(entry["format"], entry["format"]), rollouts/entry["file"], entry["kind"] in ("real", "harbor_derived", "golden"), rollouts/entry["root"], beside)
    for path in sorted(p for p in (rollouts/"edge").glob("*/*") if p.is_dir()):
        for log in sessions(path): put(kinds.get(path.parent.name, path.parent.name), log, False, path, [p for p in path.rglob("sessions*.json")])
    for path in sorted((SHARED/"data/spans/noveum").glob("*.json")):
        if path.name != "sample_agent_data.json": put("spans", path, True)   # that one is no log, but what came out of one
    return found


def records(kind: str, held: list, path: Path) -> int:
    "How many records a log holds"
    if held in ([], [[]]): return 0
    if kind != "tau2": return 1
    first = held[0] if path.suffix == ".json" and held else held
    if isinstance(first, list): return len(first)
    if "simulations" in first: return len(first["simulations"])
    return 0 if "tasks" in first and "messages" not in first else 1


def enlarge(kind: str, chosen: list[Place], folder: Path, size: int) -> int:
    "Copies of the logs, at least so many bytes; how many there are"
    if kind == "tau2":
        folder.mkdir(parents=True)
        repeat(sessions(Path(max(chosen, key=lambda p: p.records).folder))[0], folder/"big.json", max(size, 500_000), False)   # tasks stand before the simulations
    elif kind == "spans":
        folder.mkdir(parents=True)
        span_file(folder/"big.json", max(1, size//3000))
    else:
        n = 0
        while not n or sum(p.stat().st_size for p in sessions(folder)) < size:
            for place in chosen:
                for path in (p for p in Path(place.folder).rglob("*") if p.is_file()):
                    target = folder/f"{n:05}"/Path(place.folder).name/path.relative_to(place.folder)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(path.read_bytes().replace(b'"slug":"', b'"slug":"%05d-' % n))   # sessions of one slug are one to some readers
            n += 1
    return sum(p.stat().st_size for p in sessions(folder))


# ---------------------------------------------------------------- the run
def looked_at(name: str, given: list[Place], top: Path) -> list[dict]:
    "How each place ended with one peer, and what is kept of it"
    todo, out = top/"todo.json", top/f"out {name}"
    out.mkdir()
    mine = [(n, p) for n, p in enumerate(given) if p.kind in PEERS[name].kinds and sessions(Path(p.folder))[0].suffix.endswith(PEERS[name].only)]
    todo.write_text(json.dumps([(p.kind, p.folder) for _, p in mine]))
    ended = [json.loads(line) for line in child(name, "kept", str(todo), str(out)).splitlines()]
    return [{**how, "place": n, "kept": compared(p, json.loads((out/f"{i}.json").read_text())) if how["rows"] and p.values else None} for i, ((n, p), how) in enumerate(zip(mine, ended, strict=True))]


def summary(kind: str, given: list[Place], seen: list[dict], ours: dict[int, dict]) -> dict:
    "The figures of one peer over the logs of one kind"
    total: collections.Counter = collections.Counter()
    lost: collections.Counter = collections.Counter()
    beyond: collections.Counter = collections.Counter()
    reasons: collections.Counter = collections.Counter()
    for how in (h for h in seen if given[h["place"]].kind == kind):
        place, own = given[how["place"]], ours.get(how["place"], {}).get("kept")
        made = min(how["rows"], place.records)
        missing = place.records - made
        end = "crashed" if how["ended"] == "crashed" else "refused" if how["error"] or how["said"] else "silent"
        total.update({"files": 1, "records": place.records, "converted": made, end: missing})
        if place.real: total.update({"real": place.records, "real converted": made})
        if missing and end != "silent": reasons[re.sub(r"/\S+|\d+|'[^']*'", "…", " ".join((how["error"] or how["said"][0]).split()))[:100]] += missing
        if how["kept"]:
            total.update(dict(zip(("values kept", "values", "text kept", "text"), how["kept"], strict=False)))
            lost.update(path for path, _ in how["kept"][4])
            if own:
                total.update({"ours kept": own[0], "ours": own[1]})
                beyond.update(path for path, _ in own[4] - how["kept"][4])
    return {**{key: total[key] for key in ("files", "records", "converted", "refused", "silent", "crashed", "real", "real converted")},
            "values kept": share(total["values kept"], total["values"]), "tracekit keeps": share(total["ours kept"], total["ours"]), "text kept": share(total["text kept"], total["text"]),
            "lost": lost.most_common(8), "beyond tracekit": beyond.most_common(8), "beyond": beyond.total(), "reasons": reasons.most_common(4)}


def share(part: int, whole: int) -> float | None:
    return round(part/whole, 4) if whole else None


def costs(kind: str, names: list[str], chosen: list[Place], top: Path, size: int, rounds: int) -> dict[str, dict]:
    "MB a second of CPU time, and the own memory, of all peers in turn"
    small, large = top/f"small {kind}", top/f"large {kind}"
    enlarge(kind, chosen, small, 1)
    bytes_ = enlarge(kind, chosen, large, size)
    found: dict[str, list[dict]] = {name: [] for name in names}
    for n in range(rounds + 1):
        for name in names: found[name].append(json.loads(child(name, "cost", kind, str(small), str(large), "no" if n else "yes")))
    shutil.rmtree(large)
    def ratio(name: str) -> float: return statistics.median(theirs["cpu"]/mine["cpu"] for mine, theirs in zip(found["tracekit"][1:], found[name][1:], strict=True))
    return {name: {"MB/s": round(bytes_/1e6/statistics.median(f["cpu"] for f in seen[1:]), 2), "tracekit is": round(ratio(name), 2), "own MB": round(seen[0]["own"]), "input MB": round(bytes_/1e6, 1)}
            for name, seen in found.items()}


def imported(name: str) -> float:
    "Seconds of CPU time to import what the work needs"
    ask = "import sys, types, resource\nfrom pathlib import Path\n"
    if name == "novaeval": ask += "import importlib.util\nhome = Path(importlib.util.find_spec('novaeval').submodule_search_locations[0])\nfor n in ('novaeval', 'novaeval.agents'): sys.modules[n] = types.ModuleType(n); sys.modules[n].__path__ = [str(home.parent/n.replace('.', '/'))]\n"
    ask += f"def cpu(): u = resource.getrusage(resource.RUSAGE_SELF); return u.ru_utime + u.ru_stime\nbegan = cpu()\nimport {PEERS[name].modules}\nprint(cpu() - began)"
    env = {**os.environ, "PYTHONPATH": str(ROOT) if name.startswith("tracekit") else ""}
    return round(min(float(subprocess.run([python_of(name) or "", "-c", ask], capture_output=True, text=True, check=True, env=env).stdout.split()[-1]) for _ in range(3)), 2)


def measured(names: list[str], kinds: list[str], size: int, rounds: int) -> dict:
    "All figures, as the page of benchmarks shows them"
    result: dict = {"peers": {name: {"makes": PEERS[name].makes, "version": " ".join(PEERS[name].install), "import s": imported(name)} for name in names}, "kinds": {}}
    with tempfile.TemporaryDirectory() as folder:
        top = Path(folder)
        (top/"logs").mkdir()
        given = [p for p in places(top/"logs") if p.kind in kinds]
        seen = {name: {h["place"]: h for h in looked_at(name, given, top)} for name in names}
        for kind in dict.fromkeys(p.kind for p in given):
            can = [name for name in names if kind in PEERS[name].kinds]
            table = {name: summary(kind, given, list(seen[name].values()), seen["tracekit"]) for name in can}
            able = [name for name in can if table[name]["converted"]]
            chosen = [p for n, p in enumerate(given) if p.kind == kind and p.real and p.records and all(seen[name].get(n, {}).get("rows") and seen[name][n]["ended"] == "done" for name in able)]
            if size and chosen:
                for name, cost in costs(kind, able, chosen, top, size, rounds).items(): table[name].update(cost)
            result["kinds"][kind] = table
            show(kind, table)
    return result


def row(name: str, f: dict) -> dict:
    "The figures of a peer over the logs of one kind, as the tables have them"
    def percent(x: float | None) -> str: return "" if x is None else f"{100*x:.1f} %"
    return {"": name, "real records": f"{f['real converted']} of {f['real']}", "all records": f"{f['converted']} of {f['records']}", "refused": f["refused"], "silent": f["silent"], "crashed": f["crashed"],
            "values kept": percent(f["values kept"]), "by tracekit": percent(f["tracekit keeps"]), "text kept": percent(f["text kept"]),
            **({"MB a second": f["MB/s"], "tracekit is": f"{f['tracekit is']:.1f} x", "own MB": f["own MB"]} if "MB/s" in f else {})}


def title(kind: str, table: dict[str, dict]) -> str:
    first = next(iter(table.values()))
    return f"{kind}: {first['files']} files" + (f"; timed on {first['input MB']:.0f} MB" if "input MB" in first else "")


def named(counted: list) -> str:
    return ", ".join(f"{path} ({n})" for path, n in counted)


def show(kind: str, table: dict[str, dict]) -> None:
    "Print the table of one kind"
    rows = [row(name, f) for name, f in table.items()]
    columns = {c: max(len(c), *(len(str(r.get(c, ""))) for r in rows)) for c in max(rows, key=len)}
    print(f"\n{title(kind, table)}\n" + "  ".join(f"{c:>{w}}" for c, w in columns.items()))
    for r in rows: print("  ".join(f"{r.get(c, '')!s:>{w}}" for c, w in columns.items()))
    for name, f in table.items():
        if f["lost"]: print(f"  {name} leaves out most: {named(f['lost'])}")
        if f["beyond"]: print(f"  {name} keeps {f['beyond']} that tracekit does not: {named(f['beyond tracekit'])}")
        for reason, n in f["reasons"]: print(f"  {name}, {n}: {reason}")
    sys.stdout.flush()


def tables(result: dict) -> Tables:
    "All figures as tables, for the page of benchmarks"
    kinds = result["kinds"].items()
    return {"The tools": [{"": name, **peer} for name, peer in result["peers"].items()],
            **{title(kind, table): [row(name, f) for name, f in table.items()] for kind, table in kinds},
            "What each leaves out most": [{"": name, "logs": kind, "leaves out": named(f["lost"][:5])} for kind, table in kinds for name, f in table.items() if f["lost"]],
            "What others keep and tracekit does not": [{"": name, "logs": kind, "values": f["beyond"], "most": named(f["beyond tracekit"][:5])} for kind, table in kinds for name, f in table.items() if f["beyond"]],
            "Why records were refused or crashed": [{"": name, "logs": kind, "records": n, "said": reason} for kind, table in kinds for name, f in table.items() for reason, n in f["reasons"]]}


def main() -> None:
    if sys.argv[1:2] == ["--child"]: return {"kept": kept_child, "cost": cost_child}[sys.argv[2]](*sys.argv[3:])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--setup", nargs="*", metavar="NAME", help="make the environments of the peers, and stop")
    parser.add_argument("--peers", nargs="+", choices=list(PEERS), default=list(PEERS))
    parser.add_argument("--kinds", nargs="+", choices=list(OURS), default=list(OURS))
    parser.add_argument("--mb", type=float, default=20, help="size of the input whose conversion is timed; 0: none is")
    parser.add_argument("--rounds", type=int, default=3)
    json_option(parser)
    given = parser.parse_args()
    if given.setup is not None: return setup(given.setup)
    names = [name for name in PEERS if name == "tracekit" or name in given.peers and python_of(name)]
    if left := [name for name in given.peers if name not in names]: print(f"not there: {', '.join(left)} (see --help)")
    result = measured(names, given.kinds, int(given.mb*1e6), given.rounds)
    print("\nimport, seconds of CPU time: " + ", ".join(f"{name} {p['import s']:.2f}" for name, p in result["peers"].items()))
    record(given.json, "peers", tables(result))


if __name__ == "__main__": main()
