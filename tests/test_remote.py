"""Logs that are elsewhere: the same bytes as from a disk, for files, folders, globs, packed and large ones; and what a network does to them is no fault of a log."""
import gzip
import importlib.util
import io
import json
import os
import random
import subprocess
import sys
import zipfile
from collections import Counter
from pathlib import Path

import fsspec
import pytest
from click.testing import CliRunner
from faults import HEAD, SIMS, array, document, lines, repeated, texts
from s3_server import Server

from tracekit import pipeline, remote
from tracekit.cli import main, sample_log
from tracekit.dataset import Dataset, location
from tracekit.logs import expand, find_logs
from tracekit.pipeline import convert, read
from tracekit.plan import logs_of, plan
from tracekit.run import score
from tracekit.scale import verify
from tracekit.source import InputError, Unreachable

pytestmark = pytest.mark.skipif(not (importlib.util.find_spec("s3fs") and importlib.util.find_spec("moto")), reason="needs s3fs and moto[server]")
KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true"}


@pytest.fixture(scope="module")
def running():
    "The server, in a process of its own"
    process = subprocess.Popen([sys.executable, str(Path(__file__).with_name("s3_server.py"))], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, **KEYS})
    try: yield Server(*json.loads(process.stdout.readline()))
    finally:
        process.stdin.close()
        process.wait(10)


@pytest.fixture
def s3(running, monkeypatch):
    "The server, and what reads from it, new for each test"
    import s3fs
    for name, value in {**KEYS, "AWS_ENDPOINT_URL": running.endpoint}.items(): monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    running.log()
    yield running
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture
def brief(monkeypatch):
    "Nobody waits long for a server that stays away"
    import s3fs
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setattr(s3fs.S3FileSystem, "retries", 1)
    monkeypatch.setattr(s3fs.S3FileSystem, "read_timeout", 2)
    monkeypatch.setattr(remote, "TRIES", 2)


@pytest.fixture
def small(monkeypatch):
    "Parts and windows of a size that a test can pay for"
    monkeypatch.setattr("tracekit.plan.PART", 1 << 16)
    monkeypatch.setattr("tracekit.plan.WINDOW", 1 << 13)


def put(s3, folder, files):
    "Write files into a folder and into a bucket of the same name; the address of that"
    from botocore.session import get_session
    client = get_session().create_client("s3", endpoint_url=s3.direct)
    client.create_bucket(Bucket=folder.name)
    for name, text in files.items():
        (folder/name).parent.mkdir(parents=True, exist_ok=True)
        (folder/name).write_bytes(text)
        client.put_object(Bucket=folder.name, Key=name, Body=text)
    s3.log()
    return f"s3://{folder.name}"


@pytest.fixture
def folder(tmp_path, request):
    made = tmp_path/f"logs-{abs(hash(request.node.name)) % 10**8}"
    made.mkdir()
    return made


def outcome(given, out, here, **options):
    "Rows and rejects of a conversion; what is inside `here` is called by its own name"
    report = convert(given, out, "made", progress=False, **options)
    rejects = out/"made.rejects.jsonl"
    aside = rejects.read_bytes().replace(str(here).encode(), b"") if rejects.exists() else b""
    return (out/"made.jsonl").read_bytes() if report.rows else b"", aside, report.rows, report.rejected


def same(local, address, tmp_path, here, bucket, **options):
    "The outcome, which is the same from a disk and from elsewhere"
    expected = outcome(local, tmp_path/"local", here)
    found = outcome(address, tmp_path/"remote", bucket, **options)
    assert found == expected and expected[2] + expected[3]
    return expected


def zipped(files):
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as z:
        for name, text in files.items(): z.writestr(name, text)
    return target.getvalue()


DOC, LINES = sample_log().read_bytes(), lines(texts(SIMS[:4]))
TREE = {"a/one.json": DOC, "a.jsonl": LINES, "b/two.jsonl.gz": gzip.compress(LINES, mtime=0), "b/x.zip": zipped({"n.jsonl": LINES, "m.json": DOC, "k.txt": b"-"}),
        "b/.hidden/no.json": b"{", "b/notes.txt": b"-", "b/old.rejects.jsonl": b"-", "c/broken.jsonl": LINES + b'{"id": 1\n' + LINES}


@pytest.mark.parametrize("given", ["", "/", "/a/one.json", "/*.jsonl", "/*/*.json*", "/**/*.jsonl", "/b/x.zip", "/b/two.jsonl.gz", "/b", "/c/broken.jsonl", "/[ab]*"])
def test_files_folders_and_globs_are_as_on_a_disk(s3, folder, tmp_path, given):
    bucket = put(s3, folder, TREE)
    local = [p.replace(str(folder), bucket) for p in expand([f"{folder}{given}"])]
    assert expand([f"{bucket}{given}"]) == local and local
    same(f"{folder}{given}", f"{bucket}{given}", tmp_path, folder, bucket)


def test_packed_files_of_all_kinds(s3, folder, tmp_path):
    import bz2
    import lzma

    import zstandard
    bucket = put(s3, folder, {"a.jsonl.bz2": bz2.compress(LINES), "b.jsonl.xz": lzma.compress(LINES), "c.jsonl.zst": zstandard.compress(LINES), "d.json.gz": gzip.compress(DOC), "e.jsonl.gz": gzip.compress(LINES)[:-500]})
    made = same(folder, bucket, tmp_path, folder, bucket, workers=2)
    assert made[3] and b"breaks off" in made[1]   # what was cut before it was uploaded is told of the file


def test_a_folder_is_listed_by_few_calls_and_no_file_is_asked_about(s3, folder):
    bucket = put(s3, folder, {f"{n // 500}/{n:05}.json": b"{}" for n in range(1100)})
    parts = plan([bucket])
    assert sum(len(p.spans) for p in parts) == 1100 and len(parts) == 1
    pipeline.fingerprint(parts)
    calls = s3.log()
    assert len(calls) <= 3 and all("list-type=2" in path or method == "HEAD" for method, path, _ in calls)


BROKEN = b'{"id": "broken", "messages": [\n', b'{"id": 5}\n', b"\n", b'{"id": "nan", "reward": NaN}\n'

def many(times=6): return repeated(times)


def noisy(records):
    "Lines of which some are broken, and a few empty ones at the beginning"
    random.seed(1)
    return b"\n\n" + b"".join(text + b"\n" + (random.choice(BROKEN) if n % 5 == 3 else b"") for n, text in enumerate(texts(records)))


def test_a_large_log_of_lines_is_cut_and_each_part_brings_its_own_bytes(s3, folder, tmp_path, small):
    text = noisy(many())
    bucket = put(s3, folder, {"large.jsonl": text})
    parts = plan([bucket])
    spans = [span for part in parts for span in part.spans]
    assert len(parts) > 10 and [s.start for s in spans[1:]] == [s.stop for s in spans[:-1]] and spans[-1].stop == len(text)
    assert all(text[s.start - 1:s.start] == b"\n" for s in spans[1:])
    s3.log()
    made = same(folder/"large.jsonl", f"{bucket}/large.jsonl", tmp_path, folder, bucket, workers=2)
    numbers = [json.loads(line)["line"] for line in made[1].splitlines()]
    assert len(numbers) > 5 and all(text.split(b"\n")[n - 1] in b"".join(BROKEN) for n in numbers)


def test_a_rejects_line_is_counted_from_the_beginning_of_standard_input_too(folder, tmp_path, small):
    text = noisy(many())
    (folder/"large.jsonl").write_bytes(text)
    convert(folder/"large.jsonl", tmp_path, "a", progress=False)
    CliRunner().invoke(main, ["convert", "-", "-o", str(tmp_path), "--name", "b"], input=text)
    a, b = ([{**json.loads(line), "file": ""} for line in (tmp_path/f"{name}.rejects.jsonl").read_bytes().splitlines()] for name in "ab")
    assert a == b and len(a) > 5


TRAPS = {
    "compact": lambda sims: document(texts(sims)),
    "spread": lambda sims: json.dumps(HEAD | {"simulations": sims}, indent=1).encode(),
    "a list": lambda sims: array(texts(sims)),
    "records in a text": lambda sims: array(texts([s | {"note": "".join(f', {{"id": "{n}", "task_id": "x", ' for n in range(3000))} if n % 5 == 2 else s for n, s in enumerate(sims)])),
    "broken records": lambda sims: array([t if n % 9 != 4 else t[:-1] + b"x" for n, t in enumerate(texts(sims))]),
    "an end that is missing": lambda sims: array(texts(sims))[:-3000],
    "head behind": lambda sims: b'{"simulations": ' + array(texts(sims)) + b', "info": {}, "tasks": []}',
}


@pytest.mark.parametrize("kind", TRAPS)
def test_a_large_list_is_cut_where_its_beginning_tells_how(s3, folder, tmp_path, small, monkeypatch, kind):
    text = TRAPS[kind](many(3))
    if kind in ("compact", "spread"): monkeypatch.setattr("tracekit.plan.PART", 1 << 18)   # the head with its tasks is read as a whole
    bucket = put(s3, folder, {"large.json": text})
    assert (len(plan([f"{bucket}/large.json"])) > 1) == (kind != "head behind")
    same(folder/"large.json", f"{bucket}/large.json", tmp_path, folder, bucket, workers=2)


def test_what_belongs_to_a_log_is_found_beside_it(s3, folder, tmp_path):
    event = {"type": "user", "uuid": "u1", "sessionId": "s1", "timestamp": "2026-01-01T00:00:00.000Z", "message": {"role": "user", "content": "Hello"}}
    index = {"info": {}, "tasks": [], "simulation_index": [{"id": sim["id"]} for sim in SIMS[:3]]}
    bucket = put(s3, folder, {
        "s/s1.jsonl": lines([json.dumps(event).encode()]), "s/s1/subagents/agent-a.jsonl": lines([json.dumps(event | {"uuid": "u2", "isSidechain": True, "agentId": "a"}).encode()]),
        "t/results.json": json.dumps(index).encode(), **{f"t/simulations/{sim['id']}.json": json.dumps(sim).encode() for sim in SIMS[:3]}})
    assert [p.removeprefix(bucket) for p in logs_of([bucket])] == [p.removeprefix(str(folder)) for p in logs_of([folder])]
    made = same(folder, bucket, tmp_path, folder, bucket)
    assert len(logs_of([folder])) == 2 and made[2] == 4, made[1]


FAULTS = ["busy", "cut", "stall"]


@pytest.mark.parametrize("kind", FAULTS)
@pytest.mark.parametrize("name", ["large.jsonl", "x.zip"])
def test_a_fault_that_passes_costs_nothing(s3, folder, tmp_path, small, monkeypatch, kind, name):
    import s3fs
    monkeypatch.setattr(s3fs.S3FileSystem, "read_timeout", 2)
    text = noisy(many(2))
    bucket = put(s3, folder, {"large.jsonl": text, "two.jsonl.gz": gzip.compress(text), "x.zip": zipped({"n.jsonl": text})})
    with s3.failing(kind, name, 2): same(folder/name, f"{bucket}/{name}", tmp_path, folder, bucket, workers=2)


@pytest.mark.parametrize("kind, name", [*((kind, name) for kind in ("busy", "cut") for name in ("large.jsonl", "large.json", "one.json", "two.jsonl.gz", "x.zip")), ("stall", "large.jsonl"), ("stall", "two.jsonl.gz")])
def test_a_fault_that_stays_ends_the_run_and_is_resumed(s3, folder, tmp_path, brief, small, monkeypatch, kind, name):
    "No record is set aside, nothing is published, and what was finished is not read again"
    text = noisy(many(3))
    bucket = put(s3, folder, {"a.jsonl": text, "large.jsonl": text, "large.json": array(texts(many(3))), "one.json": DOC, "two.jsonl.gz": gzip.compress(text), "x.zip": zipped({"n.jsonl": text})})
    given = [f"{bucket}/a.jsonl", f"{bucket}/{name}"]
    expected = outcome([str(folder/"a.jsonl"), str(folder/name)], tmp_path/"local", folder)
    parts, asked = len(plan(given)), Counter(path for method, path, _ in s3.log() if method == "GET")
    args = ["convert", *given, "-o", str(tmp_path/"remote"), "--name", "made", "--workers", "1"]
    with s3.failing(kind, f"/{name}", 1000, skip=asked[f"/{folder.name}/{name}"] + 2 * name.startswith("large")): ended = CliRunner().invoke(main, args)
    assert ended.exit_code == 1 and f"{bucket}/{name}" in ended.stderr and "What is finished is kept in" in ended.stderr and "--resume" in ended.stderr
    assert [p.name for p in (tmp_path/"remote").iterdir()] == [".made.parts"] and not list((tmp_path/"remote").rglob("*.tmp"))
    done = {p.stem for p in (tmp_path/"remote/.made.parts").glob("*.done")}
    assert 0 < len(done) < parts or name == "x.zip"   # which is unpacked before anything is converted
    s3.log()
    monkeypatch.setattr(remote, "TRIES", 4)
    assert outcome(given, tmp_path/"remote", bucket, resume=True) == expected
    again = Counter(path for method, path, _ in s3.log() if method == "GET")
    assert again[f"/{folder.name}/a.jsonl"] == asked[f"/{folder.name}/a.jsonl"] or not done   # the plan looks for its cuts again, and that is all


def test_a_fault_while_listing_ends_the_run(s3, folder, tmp_path, brief):
    bucket = put(s3, folder, TREE)
    with s3.failing("busy", "list-type=2", 1000):
        with pytest.raises(Unreachable, match=f"{bucket}.*asked 2 times"): convert(bucket, tmp_path, progress=False)
    with s3.failing("busy", "list-type=2", 1): assert len(expand([bucket])) == len(expand([folder]))


def test_nothing_there_and_no_permission_are_told_of_the_file(s3, folder, tmp_path):
    bucket = put(s3, folder, TREE)
    for missing in ["/none.json", "/none/", "/none/*.json"]:
        with pytest.raises(InputError, match="no such file or folder"): expand([f"{bucket}{missing}"])
    with s3.failing("denied", "/a/one.json", 1000):
        report = convert([f"{bucket}/a.jsonl", f"{bucket}/a/one.json"], tmp_path, "made", progress=False)
        assert report.rows == 4 and [r["stage"] for r in report.rejects] == ["open"] and "PermissionError" in report.rejects[0]["cause"]
        with pytest.raises(InputError, match="a/one.json.*PermissionError"): convert(f"{bucket}/a/one.json", tmp_path, progress=False)


def test_a_log_that_was_changed_is_converted_again(s3, folder, tmp_path, brief):
    bucket = put(s3, folder, {"a.jsonl": LINES, "b.jsonl": LINES})
    with s3.failing("busy", "/b.jsonl", 1000), pytest.raises(Unreachable): convert(bucket, tmp_path, "made", progress=False)
    put(s3, folder, {"a.jsonl": lines(texts(SIMS[4:8]))})
    found = outcome(bucket, tmp_path, bucket, resume=True)
    assert found[0] == outcome(folder, tmp_path/"local", folder)[0]


@pytest.mark.parametrize("scheme, package", {"gs": "gcsfs", "abfs": "adlfs"}.items())
def test_a_missing_package_is_named(scheme, package):
    if importlib.util.find_spec(package): pytest.skip(f"{package} is installed")
    with pytest.raises(InputError, match=f"pip install {package}"): expand([f"{scheme}://bucket/logs"])


@pytest.mark.parametrize("ending", ["gz", "zst", "zip"])
@pytest.mark.parametrize("whole", [True, False])
def test_a_packed_log_that_all_would_wait_for_is_unpacked_once(folder, tmp_path, small, ending, whole):
    "And then cut like any other; what is wrong with it is told as before"
    import zstandard
    text = noisy(many(8)) + b"".join(b'{"id": "%s"}\n' % random.randbytes(30000).hex().encode() for _ in range(40))
    packed = {"gz": gzip.compress, "zst": zstandard.compress, "zip": lambda t: zipped({"n.jsonl": t})}[ending](text)
    if not whole and ending == "zip": pytest.skip("a zip archive without its end cannot be opened")
    name = f"large.{'' if ending == 'zip' else 'jsonl.'}{ending}"
    (folder/name).write_bytes(packed if whole else packed[:-len(packed)//5])
    (tmp_path/"parts").mkdir()
    parts = plan([folder], folder=tmp_path/"parts")
    assert len(parts) > 10 and len([p for p in (tmp_path/"parts").iterdir() if not p.name.endswith(".damage")]) == 1
    once = outcome(folder, tmp_path/"a", folder, workers=2)
    monkey = pytest.MonkeyPatch()
    with monkey.context() as patched:
        patched.setattr("tracekit.plan.ALONE", 1 << 30)
        assert len(plan([folder], folder=tmp_path/"parts")) == 1
        assert outcome(folder, tmp_path/"b", folder) == once
    assert (b"breaks off" in once[1]) != whole


def test_workers_leave_the_connections_of_their_parent_alone(s3, folder, tmp_path):
    "Nothing is printed but the report"
    bucket = put(s3, folder, {f"{n}.jsonl": LINES * 100 for n in range(2)})
    done = subprocess.run([sys.executable, "-m", "tracekit", "convert", bucket, "-o", str(tmp_path/"out"), "--workers", "2"], capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr == "" and "read 800 rows 800 rejected 0" in done.stdout


def test_memory_needs_no_network(tmp_path, folder):
    "The same way in, through another file system"
    files = {"runs/a.json": DOC, "runs/b/c.jsonl.gz": gzip.compress(LINES), "runs/z.zip": zipped({"n.jsonl": LINES})}
    for name, text in files.items():
        (folder/name).parent.mkdir(parents=True, exist_ok=True)
        (folder/name).write_bytes(text)
    fsspec.filesystem("memory").pipe({f"/{folder.name}/{name}": text for name, text in files.items()})
    same(folder/"runs", f"memory://{folder.name}/runs", tmp_path, folder, f"memory://{folder.name}")
    assert [seen.size for seen in find_logs([f"memory://{folder.name}/runs"]).values()] == [len(DOC), len(files["runs/b/c.jsonl.gz"]), len(LINES)]
    assert len(list(read(f"memory://{folder.name}/runs/a.json"))) == len(SIMS)


# ---------------------------------------------------------------- outputs
@pytest.mark.parametrize("to", ["jsonl", "parquet"])
@pytest.mark.parametrize("shared", [False, True], ids=["parts here", "parts in the store"])
def test_outputs_in_a_store(s3, folder, tmp_path, monkeypatch, small, to, shared):
    "The same files as in a folder, proved and scored where they are; of the parts nothing is left"
    address = put(s3, folder, {"a.jsonl": lines(texts(SIMS))})
    monkeypatch.chdir(tmp_path)
    how = {"map": map} if shared else {}
    pipeline.convert(folder/"a.jsonl", tmp_path/"here", "x", to=to, progress=False)
    for _ in range(2): report = pipeline.convert(folder/"a.jsonl", f"{address}/out", "x", to=to, progress=False, **how)   # the second takes the place of the first
    found = {p.name: p.read_bytes() for p in sorted((tmp_path/"here").rglob("*")) if p.is_file()}
    there = {p.name: p.read_bytes() for p in location(f"{address}/out").rglob("*") if p.is_file()}
    assert there == found and sorted(os.listdir(tmp_path)) == sorted(["here", folder.name])
    target = f"{address}/out/x" + (".jsonl" if to == "jsonl" else "")
    assert not verify(target, progress=False).findings
    assert len(list(Dataset(target).plain())) == report.rows > 10 and len(score(target, "trace").tasks["x"].rows) == report.rows


def test_a_run_into_a_store_is_resumed(s3, folder, tmp_path, monkeypatch, small):
    "Parts in the store stay there when a run is cut off, and the next one goes on"
    address = put(s3, folder, {"a.jsonl": lines(texts(SIMS))})
    pipeline.convert(folder/"a.jsonl", tmp_path/"here", "x", progress=False)
    done = []
    def cut_off(task, parts):
        for part in parts[:2]: yield task(part)
        raise KeyboardInterrupt
    def counted(task, parts): return map(lambda part: done.append(part.number) or task(part), parts)
    with pytest.raises(KeyboardInterrupt): pipeline.convert(folder/"a.jsonl", f"{address}/out", "x", map=cut_off, progress=False)
    parts = location(f"{address}/out/.x.parts")
    before = {p.name: p.stat().st_mtime for p in parts.iterdir() if p.suffix == ".done"}
    assert len(before) == 2 and not location(f"{address}/out/x.jsonl").exists()
    pipeline.convert(folder/"a.jsonl", f"{address}/out", "x", map=counted, resume=True, progress=False)
    assert location(f"{address}/out/x.jsonl").read_bytes() == (tmp_path/"here/x.jsonl").read_bytes() and not parts.exists() and len(done) > 2
