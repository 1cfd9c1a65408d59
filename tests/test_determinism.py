"""The same logs give the same bytes, whatever runs the parts, however they are cut, and in whatever form the records are written."""
import hashlib
import json
import multiprocessing
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.pool import ThreadPool

import pytest
from faults import FIVE, HEAD, SIMS, array, bare, digests, document, ids, jsonl, lines, put, repeated, texts

from tracekit import pipeline

TIMES, PART = 5, 1 << 16
MANY = repeated(TIMES)
ALL = {"x.jsonl", "x.rejects.jsonl", "x.yaml"}


WAYS = [
    lambda text: text.replace(b'": ', b'" ', 1),
    lambda text: b"null",
    lambda text: text.replace(b'"id": "', b'"id": "\xff', 1),
    lambda text: text.replace(b'"messages": [', b'"messages": [7, ', 1),
    lambda text: text.replace(b'"trial": ', b'"trial": NaN, "was": ', 1),
    lambda text: b"[1, 2]",
    lambda text: text.replace(b'"seed": ', b'"seed": ' + b"9" * 30, 1),
]
MENDABLE = (4, 6)


def broken(records):
    "Every seventh record broken, each in another way"
    return [WAYS[n // 7 % len(WAYS)](text) if n % 7 == 3 else text for n, text in enumerate(records)]


def rejects_of(records):
    "How many of such records have to be set aside"
    return sum(n % 7 == 3 and n // 7 % len(WAYS) not in MENDABLE for n in range(len(records)))


def indented(records):
    "A document as tau2 writes it, on many lines"
    head = json.dumps(HEAD, indent=2).encode()[:-2]
    return head + b',\n  "simulations": [\n    ' + b",\n    ".join(text.replace(b"\n", b"\n    ") for text in records) + b"\n  ]\n}\n"


LOGS = {"lines": ("a.jsonl", lines), "list": ("a.json", array), "document": ("a.json", document), "indented document": ("a.json", indented)}


def run(log, out, **options):
    "Convert without a progress bar: the report and the digests of what was written"
    report = pipeline.convert(log, out, "x", progress=False, **options)
    return report, digests(out)


@pytest.fixture(scope="module", params=LOGS)
def made_whole(request, tmp_path_factory):
    "A log with some broken records, in each shape, and the digests of what one part alone gives"
    name, shape = LOGS[request.param]
    folder = tmp_path_factory.mktemp("logs")
    log = put(folder, {name: shape(broken(texts(MANY, indent=2 if shape is indented else None)))})/name
    assert len(pipeline.plan([log])) == 1
    report, whole = run(log, folder/"whole")
    assert report.read == len(MANY) and report.rejected == rejects_of(MANY) > 5 and report.mended > 1
    assert set(whole) == ALL
    return log, whole


@pytest.fixture
def log(made_whole, monkeypatch):
    "A log of many parts"
    monkeypatch.setattr("tracekit.plan.PART", PART)
    assert len(pipeline.plan([made_whole[0]])) > 15
    return made_whole[0]


@pytest.fixture
def whole(made_whole): return made_whole[1]


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_workers(log, whole, tmp_path, workers):
    "Any number of processes writes what one part alone gives"
    report, made = run(log, tmp_path/"out", workers=workers)
    assert made == whole and report.read == len(MANY)


@pytest.mark.parametrize("part", [4_000, 9_973, 50_000, 333_333])
def test_sizes_of_parts(log, whole, tmp_path, monkeypatch, part):
    "Wherever the plan cuts, the bytes are the same"
    monkeypatch.setattr("tracekit.plan.PART", part)
    assert run(log, tmp_path/"out")[1] == whole


def backwards(function, parts):
    "Runs the last part first, and gives the results in order"
    made = {part.number: function(part) for part in reversed(parts)}
    return [made[part.number] for part in parts]


def doubled(function, parts):
    "Runs every part twice"
    for part in parts:
        function(part)
        yield function(part)


def in_threads(function, parts):
    "Runs the parts in threads, results in order"
    with ThreadPool(3) as pool: yield from pool.imap(function, parts)


def in_futures(function, parts):
    "Runs the parts in an executor, results in order"
    with ThreadPoolExecutor(4) as pool: yield from pool.map(function, parts)


def in_processes(function, parts):
    "Runs the parts in a pool of processes, a few at a time"
    with multiprocessing.get_context("fork").Pool(2) as pool: yield from pool.imap(function, parts, chunksize=3)


def at_once(function, parts): return [function(part) for part in parts]


@pytest.mark.parametrize("engine", [backwards, doubled, in_threads, in_futures, in_processes, at_once])
def test_custom_maps(log, whole, tmp_path, engine):
    "Whatever maps the parts, as long as it gives their results in order"
    assert run(log, tmp_path/"out", map=engine)[1] == whole


def test_a_thread_pool_over_many_files(tmp_path, monkeypatch):
    "Threads that read different logs at the same time do not mix up their heads"
    monkeypatch.setattr("tracekit.plan.PART", 20_000)
    files = {f"{n:02}.json": document(texts([sim]), info={"environment_info": {"domain_name": f"domain{n}"}}) for n, sim in enumerate(repeated(3))}
    folder = put(tmp_path/"in", files)
    assert len(pipeline.plan([folder])) > 30
    _, right = run(folder, tmp_path/"right")
    assert [row["domain"] for row in jsonl(tmp_path/"right"/"x.jsonl")] == [f"domain{n}" for n in range(len(files))]
    with ThreadPool(3) as pool: assert run(folder, tmp_path/"out", map=pool.imap)[1] == right


COMMAND = "import sys; import tracekit.plan as p; p.PART = int(sys.argv.pop(1)); from tracekit.cli import main; main()"


def command(folder, seed, *arguments):
    "The command in a process of its own with a hash seed: its exit code and its words"
    called = [sys.executable, "-c", COMMAND, str(PART), "convert", *arguments]
    ran = subprocess.run(called, cwd=folder, env=os.environ | {"PYTHONHASHSEED": seed}, capture_output=True, text=True, timeout=60)
    assert ran.stderr == ""
    return ran.returncode, ran.stdout


def test_hash_seeds(tmp_path):
    "Sets and dicts in another order change neither a byte nor a word; fields without a rule and double keys are among the words"
    records = broken(texts(MANY))
    records[0] = records[0].replace(b'"trial": ', b'"trial": 1, "zulu": 1, "alpha": 2, "mike": 3, "seed": 1, "trial": ', 1)
    put(tmp_path, {"in/a.jsonl": lines(records), "in/b.json": document(texts(repeated(2)))})
    settings = [("0", "1"), ("1", "2"), ("2", "1")]
    runs = [(command(tmp_path, seed, "in", "-o", "out", "--name", "x", "--workers", workers), digests(tmp_path/"out")) for seed, workers in settings]
    assert runs[0] == runs[1] == runs[2]
    (code, said), made = runs[0]
    assert code == 3 and set(made) == ALL
    for word in ("$.zulu", "$.alpha", "$.mike", "'trial' is written twice", "'seed' is written twice", f"read {len(MANY) + 42} rows"): assert word in said


def test_neither_folder_nor_time_are_in_the_rows(tmp_path):
    "The same log in another folder, at another time, gives the same bytes"
    for name in ("one", "two"):
        log = put(tmp_path/name/"in", {"a.json": document()})/"a.json"
        os.utime(log, (1e9 if name == "one" else 1.5e9,) * 2)
        run(log, tmp_path/name/"out")
    made = digests(tmp_path/"one"/"out")
    assert made == digests(tmp_path/"two"/"out") and set(made) == ALL - {"x.rejects.jsonl"}
    assert str(tmp_path).encode() not in (tmp_path/"one"/"out"/"x.jsonl").read_bytes()


def test_order_of_inputs(tmp_path):
    "Rows come in the order of the inputs; a folder's logs in the order of their names; each file once"
    folder = put(tmp_path/"in", {f"{n}.jsonl": lines(texts([FIVE[n]])) for n in (3, 1, 0, 2)})
    def order(*given):
        pipeline.convert(list(given), tmp_path/"out", "x", progress=False)
        return [row["simulation_id"] for row in jsonl(tmp_path/"out"/"x.jsonl")]
    assert order(folder) == ids(FIVE[:4])
    assert order(folder/"2.jsonl", folder/"0.jsonl") == ids([FIVE[2], FIVE[0]])
    assert order(folder/"2.jsonl", folder) == ids([FIVE[2], FIVE[0], FIVE[1], FIVE[3]])


# ---- forms of the same records

def rows_of(folder, name, data):
    "The rows of a log given as bytes"
    log = put(folder/"in", {name: data})/name
    report, _ = run(log, folder/"out")
    assert not report.rejected
    return jsonl(folder/"out"/"x.jsonl")


FORMS = {
    "list": ("a.json", lambda sims: array(texts(sims))),
    "indented list": ("a.json", lambda sims: json.dumps(sims, indent=4).encode()),
    "concatenated": ("a.json", lambda sims: b"\n".join(texts(sims, 2))),
    "document without a head": ("a.json", lambda sims: json.dumps({"simulations": sims}).encode()),
    "indented document without a head": ("a.json", lambda sims: json.dumps({"simulations": sims}, indent=1).encode()),
    "lines without escapes": ("a.jsonl", lambda sims: "".join(json.dumps(sim, ensure_ascii=False) + "\n" for sim in sims).encode()),
    "narrow": ("a.json", lambda sims: json.dumps(sims, separators=(",", ":")).encode()),
    "wide": ("a.json", lambda sims: json.dumps(sims, separators=(" ,\t\r\n", " :  ")).encode()),
}


@pytest.mark.parametrize("part", [20_000, 8 << 20])
@pytest.mark.parametrize("name, form", FORMS.values(), ids=FORMS)
def test_forms(tmp_path, monkeypatch, name, form, part):
    "Lines, lists and concatenated values, narrow or indented, give equal rows"
    plain = rows_of(tmp_path/"plain", "a.jsonl", lines(texts(MANY[:60])))
    assert [row["simulation_id"] for row in plain] == ids(MANY[:60])
    monkeypatch.setattr("tracekit.plan.PART", part)
    made = rows_of(tmp_path/"form", name, form(MANY[:60]))
    assert [bare(row) for row in made] == [bare(row) for row in plain]


@pytest.mark.parametrize("part", [20_000, 8 << 20])
def test_forms_of_documents(tmp_path, monkeypatch, part):
    "A document gives the same bytes however it is indented, and wherever its head stands"
    monkeypatch.setattr("tracekit.plan.PART", part)
    windows = json.dumps(HEAD | {"simulations": MANY[:60]}, indent=1).replace("\n", "\r\n").encode()
    forms = [document(texts(MANY[:60])), indented(texts(MANY[:60], 2)), json.dumps({"simulations": MANY[:60]} | HEAD).encode(), windows]
    made = []
    for n, data in enumerate(forms):
        rows = rows_of(tmp_path/str(n), "a.json", data)
        assert [row["simulation_id"] for row in rows] == ids(MANY[:60]) and rows[0]["domain"] == "telecom"
        made.append(digests(tmp_path/str(n)/"out")["x.jsonl"])
    assert len(set(made)) == 1


# ---- where the plan guesses wrong

def lookalikes(sim, count=25, **members):
    "Objects that begin like a simulation, to be put inside one"
    return [{"id": f"{sim['id']}-inner{n}", "task_id": "inner", "padding": "p" * 300} | members for n in range(count)]


NESTED = {
    "in a free field": lambda sim: sim | {"info": {"runs": lookalikes(sim)}},
    "that look right": lambda sim: sim | {"info": lookalikes(sim, messages=[{"role": "user", "content": "inner"}])},
    "that cannot be converted": lambda sim: sim | {"info": lookalikes(sim, messages="none")},
    "in a list of lists": lambda sim: sim | {"info": [[[one]] + lookalikes(sim, 3) for one in lookalikes(sim, 6)]},
    "in text": lambda sim: sim | {"messages": [{"role": "user", "content": json.dumps(lookalikes(sim))}, *sim["messages"]]},
    "in arguments": lambda sim: sim | {"messages": [{"role": "assistant", "tool_calls": [{"id": "1", "name": "f", "arguments": {"runs": lookalikes(sim)}}]}]},
    "in some records": lambda sim: sim | {"info": lookalikes(sim, 60)} if sim["id"][-1] in "02468ace" else sim,
}


def wrong_guesses(log, records):
    "How many parts of the plan begin inside a record"
    data, starts, pos = log.read_bytes(), set(), 0
    for text in records:
        pos = data.index(text, pos)
        starts.add(pos)
        pos += len(text)
    return sum(span.start not in starts for part in pipeline.plan([log]) for span in part.spans)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("shape", [array, document], ids=["list", "document"])
@pytest.mark.parametrize("nest", NESTED.values(), ids=NESTED)
def test_wrong_guesses(tmp_path, monkeypatch, nest, shape, workers):
    "Records inside records: exactly the outer ones become rows, in order, with the bytes of a plan that guessed nothing"
    sims = [nest(sim) for sim in repeated(2)]
    log = put(tmp_path/"in", {"a.json": shape(texts(sims))})/"a.json"
    report, right = run(log, tmp_path/"whole")
    assert (report.rows, report.rejected) == (len(sims), 0)
    monkeypatch.setattr("tracekit.plan.PART", 10_000)
    assert wrong_guesses(log, texts(sims)) > 3 or nest is NESTED["in text"] and len(pipeline.plan([log])) > 10, "the plan guesses right: this test is of no use"
    report, made = run(log, tmp_path/"out", workers=workers)
    assert (report.rows, report.rejected) == (len(sims), 0) and made == right
    assert [row["simulation_id"] for row in jsonl(tmp_path/"out"/"x.jsonl")] == ids(sims)


@pytest.mark.parametrize("engine", [backwards, in_threads])
def test_wrong_guesses_with_broken_records(tmp_path, monkeypatch, engine):
    "A broken record between records inside records: the same bytes with any plan and any map"
    sims = [NESTED["that look right"](sim) for sim in repeated(4)]
    records = broken(texts(sims))
    log = put(tmp_path/"in", {"a.json": document(records)})/"a.json"
    report, right = run(log, tmp_path/"whole")
    assert report.read == len(sims) and report.rejected > 4 and set(right) == ALL
    for part in (5_000, 10_000, 64_000):
        monkeypatch.setattr("tracekit.plan.PART", part)
        assert wrong_guesses(log, records) > 0
        assert run(log, tmp_path/"out", map=engine)[1] == right


def test_strict_is_not_stopped_by_a_wrong_guess(tmp_path, monkeypatch):
    "A sound log is sound, even if a part begins inside a record"
    sims = [NESTED["that cannot be converted"](sim) for sim in SIMS]
    log = put(tmp_path/"in", {"a.json": array(texts(sims))})/"a.json"
    monkeypatch.setattr("tracekit.plan.PART", 10_000)
    assert wrong_guesses(log, texts(sims)) > 3
    report, _ = run(log, tmp_path/"out", strict=True)
    assert (report.rows, report.rejected) == (len(sims), 0)


@pytest.mark.parametrize("cut", [3_000, 30_000, 99_999])
def test_truncated_logs_and_wrong_guesses(tmp_path, monkeypatch, cut):
    "A log that breaks off inside such a record: the same bytes with any plan"
    data = document(texts([NESTED["that look right"](sim) for sim in repeated(2)]))[:-cut]
    log = put(tmp_path/"in", {"a.json": data})/"a.json"
    report, right = run(log, tmp_path/"whole")
    assert report.rows > 20 and report.rejected
    for part in (5_000, 20_000, 100_000):
        monkeypatch.setattr("tracekit.plan.PART", part)
        assert run(log, tmp_path/"out")[1] == right


def test_digests_see_a_difference(tmp_path):
    "The comparison itself is worth something"
    run(put(tmp_path/"a", {"a.jsonl": lines(texts())})/"a.jsonl", tmp_path/"one")
    run(put(tmp_path/"b", {"a.jsonl": lines(texts()).replace(b"Hello", b"Hallo").replace(b"the", b"teh", 1)})/"a.jsonl", tmp_path/"two")
    one, two = digests(tmp_path/"one"), digests(tmp_path/"two")
    assert one["x.jsonl"] != two["x.jsonl"] and one["x.yaml"] == two["x.yaml"]
    assert one["x.jsonl"] == hashlib.sha256((tmp_path/"one"/"x.jsonl").read_bytes()).hexdigest()
