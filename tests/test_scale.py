"""Engines, plans that travel, the manifest and its proof: equal bytes whoever runs the parts, and no record that is lost unseen."""
import copy
import hashlib
import json
import multiprocessing
import os
import re
import shutil
import subprocess
import sys
import tempfile
import textwrap
import time
from concurrent.futures import Future
from pathlib import Path

import pytest
from click.testing import CliRunner
from conftest import ROOT, SAMPLE, SHARED
from faults import digests

from tracekit import pipeline
from tracekit.cli import main
from tracekit.convert import FORMATS
from tracekit.dataset import Dataset
from tracekit.engine import Died, Pool, named_engine, ordered
from tracekit.scale import convert_share, join_plan, load_plan, save_plan, share, verify
from tracekit.source import InputError

FRAGILE = '''
"Notes; some of them end the process that reads them"
import ctypes, os, signal
import msgspec
from tracekit import format
from tracekit.trace import user

class Note(msgspec.Struct):
    note: str
    n: int

@format("fragile", "notes: note, n", under="notes")
def fragile(record: Note, context):
    if record.note == "kill": os.kill(os.getpid(), signal.SIGKILL)
    if record.note == "exit": os._exit(3)
    if record.note == "crash": ctypes.string_at(0)
    if record.note == "refuse": raise ValueError("not this one")
    yield user(record.note, f"m{record.n}")
'''


FORMAT = str(Path(tempfile.mkdtemp())/"fragile.py")   # one path, since the name of a format belongs to one file


@pytest.fixture(autouse=True, scope="module")
def fragile():
    Path(FORMAT).write_text(FRAGILE)
    yield
    FORMATS.pop("fragile", None)
    shutil.rmtree(Path(FORMAT).parent)


def notes(folder, fatal=(), count=3000, ending="jsonl"):
    "A log of notes, some fatal ({number: how}), and the file of its format"
    told = [{"note": dict(fatal).get(n, "fine " * 20), "n": n} for n in range(count)]
    folder.mkdir(parents=True, exist_ok=True)
    log = folder/f"notes.{ending}"
    log.write_text("".join(json.dumps(t) + "\n" for t in told) if ending == "jsonl" else json.dumps({"notes": told}))
    return log, FORMAT


def sessions(folder, count=60):
    "A folder of chats"
    folder.mkdir(parents=True, exist_ok=True)
    for n in range(count):
        (folder/f"{n:03}.json").write_text(json.dumps({"id": f"c{n}", "messages": [{"role": "user", "content": f"question {n}"}, {"role": "assistant", "content": "answer " * 30}]}))
    return folder


@pytest.fixture
def small_parts(monkeypatch):
    "Parts of 32 kB, so that small logs have many; workers are forked and have them too"
    monkeypatch.setattr("tracekit.plan.PART", 1 << 15)


def command(*arguments):
    result = CliRunner().invoke(main, [str(a) for a in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), f"a traceback: {result.exception!r}"
    return result


# ---------------------------------------------------------------- the size of a part
@pytest.mark.parametrize("many", [10, 45, 400])
def test_parts_grow_with_the_input(tmp_path, small_parts, many):
    "Small inputs have small parts, larger ones at least 32, and none has more than four times the smallest; small files are put together in the same way"
    from tracekit.plan import PARTS, part_size, plan
    least = 1 << 15
    records = "".join(json.dumps({"id": f"c{n}", "messages": [{"role": "user", "content": "question " * 100}, {"role": "assistant", "content": "answer"}]}) + "\n" for n in range(many * 34))
    (tmp_path/"log.jsonl").write_text(records)
    (tmp_path/"files").mkdir()
    for n, line in enumerate(records.splitlines()[::8]): (tmp_path/f"files/{n:05}.json").write_text(line)
    for log in (tmp_path/"log.jsonl", tmp_path/"files"):
        parts = plan([log])
        total = sum(p.size for p in parts)
        size = part_size(total)
        assert size == min(max(least, total // PARTS), 4*least) and all(p.size <= size + 2000 for p in parts)
        assert abs(len(parts) - total/size) <= 1 + len(parts)/20


# ---------------------------------------------------------------- what dies
@pytest.mark.parametrize("ending", ["jsonl", "json"])
@pytest.mark.parametrize("workers", [2, 3])
def test_a_fatal_record_is_set_aside(tmp_path, small_parts, ending, workers):
    "All others are rows, and the reject says how the process died; the proof holds"
    fatal = {0: "kill", 700: "exit", 701: "crash", 702: "refuse", 2999: "kill"}
    log, format = notes(tmp_path, fatal.items(), ending=ending)
    report = pipeline.convert(log, tmp_path/"out", "x", format=format, workers=workers, progress=False)
    rejects = [json.loads(text) for text in (tmp_path/"out/x.rejects.jsonl").read_text().splitlines()]
    assert report.rows == 2995 and [r["record"] for r in rejects] == list(fatal)
    assert [r["stage"] for r in rejects] == ["crash", "crash", "crash", "convert", "crash"]
    assert [json.loads(r["text"])["n"] for r in rejects] == list(fatal), "the record itself is kept"
    assert "SIGKILL" in rejects[0]["cause"] and "exit code 3" in rejects[1]["cause"] and "SIGSEGV" in rejects[2]["cause"]
    assert not verify(tmp_path/"out/x.jsonl", progress=False).findings
    assert sorted(os.listdir(tmp_path/"out")) == ["x.jsonl", "x.manifest.json", "x.rejects.jsonl", "x.yaml"]


def test_a_fatal_session_is_set_aside(tmp_path):
    "Of many small files the one that kills its reader"
    (tmp_path/"in").mkdir()
    for n in range(50): (tmp_path/f"in/{n:02}.json").write_text(json.dumps({"notes": [{"note": "exit" if n == 20 else "fine", "n": n}]}))
    report = pipeline.convert(tmp_path/"in", tmp_path/"out", "x", format=FORMAT, workers=2, progress=False)
    assert (report.rows, report.rejected) == (49, 1) and report.rejects[0]["file"].endswith("20.json")


def test_a_run_that_died_by_itself_is_resumed_apart(tmp_path):
    "With one worker in this process a fatal record ends the run; --resume works on it in a process of its own"
    log, format = notes(tmp_path, [(5, "kill")], 20)
    code = f"from tracekit.pipeline import convert; convert({str(log)!r}, {str(tmp_path/'out')!r}, 'x', format={format!r}, progress=False)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == -9
    report = pipeline.convert(log, tmp_path/"out", "x", format=format, resume=True, progress=False)
    assert (report.rows, report.rejected) == (19, 1)


def test_an_item_that_always_kills_is_told():
    pool = Pool(1)
    try:
        with pytest.raises(Died, match="exit code 4"): list(ordered(pool, os._exit, [4]))
    finally: pool.close()


def written_pipes(_):
    "This process, and the pipes that it can write into"
    time.sleep(0.01)   # so that every process gets an item
    pipes = {n: os.readlink(f"/proc/self/fd/{n}") for n in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{n}")}
    return os.getpid(), {name for n, name in pipes.items() if name.startswith("pipe:") and int(re.search(r"flags:\s*(\d+)", Path(f"/proc/self/fdinfo/{n}").read_text())[1], 8) & os.O_WRONLY}


@pytest.mark.skipif(not Path("/proc/self/fdinfo").exists(), reason="needs /proc")
def test_no_process_holds_the_pipe_that_tells_the_end_of_another():
    "Else whoever closes a pool waits for a process that has ended until it gives up, seconds later"
    for _ in range(10):
        pool = Pool(3)
        try:
            held = dict(ordered(pool, written_pipes, range(30)))
            ends = {p.pid: os.readlink(f"/proc/self/fd/{p.sentinel}") for p in multiprocessing.active_children() if p.pid in held}
            assert len(ends) == 3
            for process, end in ends.items(): assert [other for other, pipes in held.items() if end in pipes] == [process]
        finally: pool.close()


def test_no_such_engine(tmp_path):
    with pytest.raises(InputError, match="no engine 'slurm'.*local, ray"): named_engine("slurm")
    with pytest.raises(InputError, match="no engine"): pipeline.convert(SAMPLE, tmp_path, engine="slurm", progress=False)


# ---------------------------------------------------------------- plan, part, join
@pytest.mark.parametrize("to", ["jsonl", "parquet"])
@pytest.mark.parametrize("of", [1, 3, 7])
def test_plan_part_join(tmp_path, small_parts, to, of):
    "The same bytes as convert, in whatever order the tasks of the array run"
    log, format = notes(tmp_path/"in", [(77, "refuse")])
    inputs = [log, sessions(tmp_path/"chats")]
    for given, kind in ((inputs[0], format), (inputs[1], "auto")):
        pipeline.convert(given, tmp_path/"right", "x", format=kind, to=to, progress=False)
        assert command("plan", given, "-o", tmp_path/"out", "--name", "x", "--format", kind, "--to", to).exit_code == 0
        for index in reversed(range(of)): assert command("part", tmp_path/"out/x.plan.json", "--index", index, "--of", of).exit_code == 0
        joined = command("join", tmp_path/"out/x.plan.json")
        assert joined.exit_code == (3 if kind != "auto" else 0), joined.output
        assert tree(tmp_path/"out") == tree(tmp_path/"right")
        assert not verify(tmp_path/"out"/("x.jsonl" if to == "jsonl" else "x"), progress=False).findings
        shutil.rmtree(tmp_path/"out")
        shutil.rmtree(tmp_path/"right")


def tree(folder): return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.rglob("*") if p.is_file()}


def test_a_plan_is_checked(tmp_path, small_parts):
    "Missing parts, changed inputs, another version, no plan: each is told, and nothing is written"
    log, format = notes(tmp_path)
    work = pipeline.prepared(pipeline.work_of(log, tmp_path/"out", "x", format=format))
    path = save_plan(work)
    assert load_plan(path) == work and len(work.parts) > 5
    convert_share(share(work, 1, 2), progress=False)
    with pytest.raises(InputError, match="parts are not done.*tracekit part"): join_plan(path, progress=False)
    with pytest.raises(InputError, match="no task 2 in an array of 2"): share(work, 2, 2)
    convert_share(work, 2, progress=False)
    plain = json.loads(path.read_text())
    path.write_text(json.dumps(plain | {"tracekit": "0.0.0"}))
    with pytest.raises(InputError, match="made by tracekit 0.0.0"): join_plan(path, progress=False)
    path.write_text(json.dumps(plain))
    log.write_bytes(log.read_bytes() + b'{"note": "late", "n": 1}\n')
    with pytest.raises(InputError, match="an input has changed"): join_plan(path, progress=False)
    path.write_text("[]")
    with pytest.raises(InputError, match="this is no plan"): load_plan(path)
    path.write_text("{")
    with pytest.raises(InputError, match="cannot be read as a plan"): load_plan(path)
    assert not digests(tmp_path/"out")


def test_a_part_with_a_fatal_record(tmp_path, small_parts):
    "The share of an array works in processes of its own"
    log, format = notes(tmp_path, [(100, "kill")])
    command("plan", log, "-o", tmp_path/"out", "--name", "x", "--format", format)
    done = command("part", tmp_path/"out/x.plan.json", "--workers", 1)
    assert done.exit_code == 0 and "rows 2999 rejected 1" in done.output
    assert command("join", tmp_path/"out/x.plan.json").output.splitlines()[-1] == "read 3000 rows 2999 rejected 1"


# ---------------------------------------------------------------- the proof
def files(): return sorted(p for p in (SHARED/"data").rglob("*") if p.is_file() and p.stat().st_size < 3_000_000) if (SHARED/"data").is_dir() else []


def test_every_real_log_is_proved(tmp_path, shared, small_parts):
    "Convert every log there is, in small parts, and make each record again by itself: not one differs"
    proved = records = 0
    for n, path in enumerate(files()):
        try: report = pipeline.convert(path, tmp_path/f"{n}", "x", progress=False)
        except InputError: continue   # no log
        if not report.read: continue
        verdict = verify(tmp_path/f"{n}/x.jsonl", progress=False)
        assert not verdict.findings, f"{path}: {verdict}"
        proved, records = proved + 1, records + verdict.records
        shutil.rmtree(tmp_path/f"{n}")
    assert proved > 100 and records > 1000


@pytest.mark.parametrize("to", ["jsonl", "parquet"])
def test_proof_of_many_parts(tmp_path, small_parts, to):
    log, format = notes(tmp_path/"in", [(n, "refuse") for n in range(0, 3000, 301)], ending="json")
    pipeline.convert(log, tmp_path/"out", "x", format=format, to=to, progress=False)
    target = tmp_path/"out"/("x.jsonl" if to == "jsonl" else "x")
    for workers in (1, 2):
        verdict = verify(target, workers, progress=False)
        assert str(verdict) == "verified: 3000 records of 1 file are 2990 rows and 10 rejects, each in exactly one of them"
    said = command("verify", target)
    assert said.exit_code == 0 and said.output == f"{verdict}\n"


def damage(name):
    "What somebody may do to a dataset (rows, rejects and manifest as data); the manifest then says so"
    def swap(rows, rejects, manifest): rows[3], rows[4] = rows[4], rows[3]
    def drop(rows, rejects, manifest): del rows[1500]
    def double(rows, rejects, manifest): rows.insert(1500, rows[1500])
    def change(rows, rejects, manifest): rows[7] = rows[7].replace(b"fine", b"evil", 1)
    def lose_reject(rows, rejects, manifest): del rejects[2]
    def excuse(rows, rejects, manifest): rejects[2] = rejects[2].replace(b"not this one", b"no reason at all")
    def more(rows, rejects, manifest): rejects.append(rejects[-1])
    def gap(rows, rejects, manifest): manifest["parts"][2]["spans"][0][1] += 1
    def count(rows, rejects, manifest): manifest["parts"][2]["spans"][0][3] += 1
    def part(rows, rejects, manifest): del manifest["parts"][-1]
    def tail(rows, rejects, manifest): manifest["parts"][-1]["spans"][0][2] -= 100
    return locals()[name]


@pytest.mark.parametrize("what", ["swap", "drop", "double", "change", "lose_reject", "excuse", "more", "gap", "count", "part", "tail"])
def test_damage_is_found(tmp_path, small_parts, what):
    "Even if the checksums of the files are made to fit"
    log, format = notes(tmp_path/"in", [(n, "refuse") for n in range(0, 3000, 301)])
    pipeline.convert(log, tmp_path/"out", "x", format=format, progress=False)
    assert not verify(tmp_path/"out/x.jsonl", progress=False).findings
    paths = [tmp_path/"out/x.jsonl", tmp_path/"out/x.rejects.jsonl"]
    rows, rejects = (p.read_bytes().splitlines(keepends=True) for p in paths)
    manifest = json.loads((tmp_path/"out/x.manifest.json").read_text())
    before = copy.deepcopy((rows, rejects, manifest))
    damage(what)(rows, rejects, manifest)
    assert (rows, rejects, manifest) != before
    for path, made in zip(paths, (rows, rejects)): path.write_bytes(b"".join(made))
    for file in manifest["files"]:
        data = (tmp_path/"out"/file["name"]).read_bytes()
        file.update(bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
    (tmp_path/"out/x.manifest.json").write_text(json.dumps(manifest))
    assert verify(tmp_path/"out/x.jsonl", progress=False).findings
    assert command("verify", tmp_path/"out/x.jsonl").exit_code == 1


def test_what_is_not_there_is_found(tmp_path):
    "A file that is gone, one byte that differs, an input more, an input less, an input that has changed, no manifest"
    folder = sessions(tmp_path/"in")
    pipeline.convert(folder, tmp_path/"out", "x", progress=False)
    def found(): return "\n".join(verify(tmp_path/"out/x.yaml", progress=False).findings)
    assert not found()
    rows = (tmp_path/"out/x.jsonl").read_bytes()
    (tmp_path/"out/x.jsonl").write_bytes(rows[:-2] + b" \n")
    assert "SHA-256" in found()
    (tmp_path/"out/x.jsonl").unlink()
    assert "the file is missing" in found()
    (tmp_path/"out/x.jsonl").write_bytes(rows)
    shutil.copy(folder/"000.json", folder/"more.json")
    assert "more.json: this input is in no part" in found()
    (folder/"more.json").unlink()
    (folder/"007.json").write_text((folder/"007.json").read_text().replace("question 7", "question 8"))
    assert "row 7 is not what" in found()
    (folder/"007.json").unlink()
    assert "007.json: this input of the dataset is not there any more" in found()
    (tmp_path/"out/x.manifest.json").write_text("{}")
    with pytest.raises(InputError, match="this is no manifest"): verify(tmp_path/"out/x.jsonl")
    (tmp_path/"out/x.manifest.json").unlink()
    with pytest.raises(InputError, match="there is no manifest"): verify(tmp_path/"out/x.jsonl")


# ---------------------------------------------------------------- Parquet in parts
def test_parquet_in_several_files(tmp_path, small_parts, monkeypatch):
    "Files are cut at parts; rows, order and bytes are the same for any number of workers"
    monkeypatch.setattr(pipeline, "PARQUET_BYTES", 1 << 17)
    log, format = notes(tmp_path/"in", [(77, "refuse")])
    pipeline.convert(log, tmp_path/"jsonl", "x", format=format, progress=False)
    for workers in (1, 2): pipeline.convert(log, tmp_path/f"{workers}", "x", format=format, to="parquet", workers=workers, progress=False)
    assert tree(tmp_path/"1") == tree(tmp_path/"2") and len(list((tmp_path/"1/x").iterdir())) > 3
    assert [json.dumps(r) for r in Dataset(tmp_path/"1/x").plain()] == [json.dumps(r) for r in Dataset(tmp_path/"jsonl/x.jsonl").plain()]


# ---------------------------------------------------------------- clusters
def run(code, timeout=600):
    "Run Python in a process of its own; what it printed"
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=timeout, cwd=ROOT,
                          env={**os.environ, "RAY_raylet_start_wait_time_s": "200", "PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture
def expected(tmp_path):
    "A log in many parts, and what one process makes of it"
    log, format = notes(tmp_path/"in", [(77, "refuse"), (800, "exit")], 100_000)
    pipeline.convert(log, tmp_path/"right", "x", format=format, workers=2, progress=False)
    return log, format, digests(tmp_path/"right")


SCORER = """
import os, time
def compute_scores(sample, solver_output):
    if sample["simulation_id"].endswith("f"): os._exit(1)
    if sample["simulation_id"].endswith("c"): raise ValueError("no three")
    if sample["simulation_id"].endswith("b"): time.sleep(60)
    return {"calls": len(solver_output.trace.calls), "ok": 1.0}
"""


def test_ray(tmp_path, expected):
    "Equal rows, the fatal record set aside, and the scores of a dataset, by tasks of a Ray cluster"
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'tracekit[ray]'")
    log, format, right = expected
    (tmp_path/"scorer.py").write_text(SCORER)
    run(f'''
        import ray
        from tracekit.cli import sample_log
        from tracekit.pipeline import convert
        from tracekit.run import score
        ray.init(num_cpus=2, log_to_driver=False, logging_level="ERROR")
        convert({str(log)!r}, {str(tmp_path/"out")!r}, "x", format={format!r}, engine="ray", progress=False)
        convert(sample_log(), {str(tmp_path/"sample")!r}, "s", progress=False)
        for engine in ("local", "ray"):
            score({str(tmp_path/"sample/s.jsonl")!r}, {str(tmp_path/"scorer.py")!r}, engine=engine, timeout=3).save({str(tmp_path)!r} + f"/{{engine}}.jsonl")
        ray.shutdown()
    ''')
    made = digests(tmp_path/"out")
    assert made["x.jsonl"] == right["x.jsonl"] and made["x.yaml"] == right["x.yaml"]
    rejects = [json.loads(text) for text in (tmp_path/"out/x.rejects.jsonl").read_text().splitlines()]
    assert [(r["record"], r["stage"]) for r in rejects] == [(77, "convert"), (800, "crash")]
    ours, theirs = ([json.loads(text) for text in (tmp_path/f"{engine}.jsonl").read_text().splitlines()] for engine in ("local", "ray"))
    assert {(r["error"] or "")[:16] for r in ours} == {"", "its process died", "took longer than", "ValueError: no t"}
    assert [{k: v for k, v in r.items() if k != "error"} for r in ours] == [{k: v for k, v in r.items() if k != "error"} for r in theirs]
    assert all("took longer" in theirs[n]["error"] for n, r in enumerate(ours) if "took longer" in (r["error"] or ""))
    assert sorted(os.listdir(tmp_path/"out")) == ["x.jsonl", "x.manifest.json", "x.rejects.jsonl", "x.yaml"]


@pytest.fixture
def sound(tmp_path):
    log, format = notes(tmp_path/"in", [(77, "refuse")], 100_000)
    pipeline.convert(log, tmp_path/"right", "x", format=format, progress=False)
    return log, format, digests(tmp_path/"right")


def test_dask(tmp_path, sound):
    "The recipe of the chapter on scale"
    pytest.importorskip("distributed", reason="Dask is not installed: pip install 'dask[distributed]'")
    log, format, right = sound
    run(f'''
        from dask.distributed import Client
        from tracekit.pipeline import convert
        if __name__ == "__main__":
            with Client(n_workers=2, threads_per_worker=1, dashboard_address=None) as client:
                convert({str(log)!r}, {str(tmp_path/"out")!r}, "x", format={format!r}, map=lambda task, parts: (f.result() for f in client.map(task, parts, pure=False)), progress=False)
    ''')
    assert digests(tmp_path/"out") == right


def test_spark(tmp_path, sound):
    "The recipe of the chapter on scale"
    pytest.importorskip("pyspark", reason="Spark is not installed: pip install pyspark")
    if not shutil.which("java"): pytest.skip("Spark needs Java, which is not on the PATH")
    log, format, right = sound
    run(f'''
        import os, sys
        os.environ["PYSPARK_PYTHON"] = sys.executable
        from pyspark import SparkContext
        from tracekit.pipeline import convert
        sc = SparkContext("local[2]")
        convert({str(log)!r}, {str(tmp_path/"out")!r}, "x", format={format!r}, map=lambda task, parts: sc.parallelize(parts, len(parts)).map(task).collect(), progress=False)
        sc.stop()
    ''')
    assert digests(tmp_path/"out") == right


def test_without_ray(tmp_path, monkeypatch):
    "The message names the package"
    monkeypatch.setitem(sys.modules, "ray", None)
    said = command("convert", SAMPLE, "-o", tmp_path/"out", "--engine", "ray")
    assert said.exit_code == 1 and "pip install 'tracekit[ray]'" in said.output


@pytest.mark.parametrize("said", ["cancelled", "failed", "nothing"])
def test_a_pool_closes_though_a_process_never_said_its_id(said):
    "Its process is ended the slow way, and nothing is raised"
    before, pool = set(multiprocessing.active_children()), Pool(1)
    assert pool.result(pool.send(abs, -3)) == 3
    [process] = pool._processes
    pool._processes[process] = id = Future()
    if said == "cancelled": id.cancel()
    if said == "failed": id.set_exception(OSError("gone"))
    pool.close()
    assert set(multiprocessing.active_children()) <= before
