"""Twenty thousand broken records: each becomes a sound row or is set aside with its reason, and costs nobody else anything."""
import hashlib
import json
import random
from copy import deepcopy

import pytest
from conftest import LOGS, SAMPLE, logs, simulations

from tracekit import Trace
from tracekit.dataset import Dataset
from tracekit.pipeline import convert
from tracekit.row import Row

LINES, LISTED, SEED = 10_000, 10_000, 20_260_401
REJECT = {"file", "record", "line", "offset", "length", "stage", "path", "cause", "sha256", "text"}
STAGES = {"decode", "fields", "convert", "check", "write", "open"}
TOKENS = [b"{", b"}", b"[", b"]", b'"', b",", b":", b"\\", b"null", b"NaN", b"-Infinity", b"1e999", b"-0", b"true",
          b'"x"', b"\\ud800", b"\\u0000", b"//", b"'", b"]}", b"}]",
          b"},{", b"}, {", b"\xff", b"\xc3\xa9", b"\xe2\x80\xa8", b"\xef\xbb\xbf", b"\x00", b'{"id": 1, "task_id": "t"}', b'"id":', b"9" * 400]
VALUES = [None, True, 0, -1, 2**70, 1.5, 1e308, "", "x", "\u2028", "é" * 3, [], [None], ["x"], [[]], {}, {"id": 1}, {"role": "user"}, "user", "tool"]


def small(simulation):
    "A record with its first few messages only, so that many can be tried"
    made = {k: v for k, v in simulation.items() if k not in ("policy", "effect_timeline")}
    for name in ("messages", "traj", "trajectory", "ticks"):
        if made.get(name): made[name] = made[name][:8]
    return made


@pytest.fixture(scope="module")
def seeds():
    "Sound records of every generation there is, by log"
    paths = [p for kind in LOGS for p in logs(kind)] or [SAMPLE]
    return [found for path in paths if (found := [small(s) for s in simulations(path)[:12] if isinstance(s, dict)])]


def somewhere(rng, value):
    "A container inside `value` and a key of it; None if there is no such"
    found = None
    while isinstance(value, dict | list) and value:
        key = rng.choice(list(value)) if isinstance(value, dict) else rng.randrange(len(value))
        found = value, key
        if rng.random() < 0.2: break
        value = value[key]
    return found


def flip(rng, text):
    "Some bytes become others"
    made = bytearray(text)
    for _ in range(rng.randint(1, 3)): made[rng.randrange(len(made))] = rng.randrange(256)
    return bytes(made)


def truncate(rng, text): return text[:rng.randrange(1, len(text))]


def insert(rng, text):
    "A token where none belongs"
    at = rng.randrange(1, len(text))
    return text[:at] + rng.choice(TOKENS) + text[at:]


def cut(rng, text):
    "A stretch is missing"
    at = rng.randrange(1, len(text))
    return text[:at] + text[at + rng.randint(1, 40):]


def repeat(rng, text):
    "A stretch is there twice"
    at = rng.randrange(1, len(text))
    return text[:at] + text[max(0, at - rng.randint(1, 80)):]


def on_data(change):
    "A mutation of the data, not of the text"
    def mutate(rng, text):
        value = json.loads(text)
        if place := somewhere(rng, value): change(rng, *place)
        return json.dumps(value, ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass")
    return mutate


@on_data
def swap(rng, at, key): at[key] = deepcopy(rng.choice(VALUES))


@on_data
def delete(rng, at, key): del at[key]


@on_data
def double(rng, at, key):
    "An element is there twice, or a value under another name of the same object"
    if isinstance(at, list): at.insert(key, deepcopy(at[key]))
    else: at[rng.choice(list(at))] = deepcopy(at[key])


MUTATIONS = [flip, truncate, insert, cut, repeat, swap, swap, swap, delete, double]


def mutants(rng, records, number):
    "Mutated records as text"
    texts = [json.dumps(r).encode() for r in records]
    return [rng.choice(MUTATIONS)(rng, rng.choice(texts)) for _ in range(number)]


def converted(path, out):
    "What came of a log: plain rows, rejects, both checked"
    report = convert(path, out, name="fuzzed", progress=False)
    rows = list(Dataset(out/"fuzzed.jsonl").plain())
    rejects = [json.loads(text) for text in open(out/"fuzzed.rejects.jsonl", "rb")] if report.rejected else []
    assert (len(rows), len(rejects)) == (report.rows, report.rejected)
    data = path.read_bytes()
    for row in rows: check_row(row)
    for reject in rejects: check_reject(reject, path, data)
    return rows, rejects


def check_row(row):
    "A row is sound by the model, and is the canonical full form already"
    assert Trace.model_validate(row["trace"]).model_dump(mode="json") == row["trace"]
    assert Row(**row).columns == {k: v for k, v in row.items() if k != "trace"}


def check_reject(reject, path, data):
    "A reject says where it stands, at which stage it failed and why, and holds the very bytes"
    assert REJECT <= set(reject) and reject["file"] == str(path) and reject["cause"] and reject["stage"] in STAGES and reject["path"].startswith("$")
    assert isinstance(reject["offset"], int) and (isinstance(reject["record"], int) or reject["stage"] == "open")
    text = data[reject["offset"]:reject["offset"] + reject["length"]]
    assert hashlib.sha256(text).hexdigest() == reject["sha256"] or reject["stage"] == "open"


@pytest.mark.parametrize("part", range(5))
def test_mutated_lines(seeds, tmp_path, part):
    "In JSON Lines every line that holds anything is a row or a reject"
    rng, counts = random.Random(SEED + part), [0, 0]
    for n in range(4):
        records = [r for group in rng.sample(seeds, min(len(seeds), 6)) for r in group]
        texts = [json.dumps(rng.choice(records)).encode(), *(t.replace(b"\n", b" ") for t in mutants(rng, records, LINES//20))]
        path = tmp_path/f"{n}.jsonl"
        path.write_bytes(b"\n".join(texts) + b"\n")
        rows, rejects = converted(path, tmp_path)
        assert len(rows) + len(rejects) == sum(1 for t in texts if t.strip())
        counts = [counts[0] + len(rows), counts[1] + len(rejects)]
    assert min(counts) > LINES//20


FRAMES = {
    "head first": (b'{"info": {}, "tasks": [], "simulations": [', b"]}"),
    "no head": (b'{"simulations": [', b"]}"),
    "head last": (b'{"simulations": [', b'], "info": {}, "tasks": []}'),
    "a list": (b"[", b"]"),
}


def mixed(rng, group, number):
    "Sound records with ids of their own, and broken ones between them"
    sound = [json.dumps({**rng.choice(group), "id": f"sound-{k}"}).encode() for k in range(number + 1)]
    broken = mutants(rng, group, number)
    return [t for pair in zip(sound, broken) for t in pair] + sound[-1:]


@pytest.mark.parametrize("frame", FRAMES)
def test_mutated_members_of_a_list(seeds, tmp_path, frame):
    "In a document every sound record becomes a row, whatever its broken neighbours look like"
    rng, lost = random.Random(f"{SEED} {frame}"), {}
    listed = [group for group in seeds if list(group[0])[:2] == ["id", "task_id"] and "ticks" not in group[0]]
    for n in range(50):
        texts = mixed(rng, rng.choice(listed), LISTED//len(FRAMES)//50)
        path = tmp_path/f"{n}.json"
        path.write_bytes(FRAMES[frame][0] + rng.choice([b", ", b",", b",\n", b" ,\n    "]).join(texts) + FRAMES[frame][1])
        rows, rejects = converted(path, tmp_path)
        kept = {row["simulation_id"] for row in rows}
        if missing := [texts[2*k - 1] for k in range(len(texts)//2 + 1) if f"sound-{k}" not in kept]: lost[n] = missing
    assert not lost, f"{sum(map(len, lost.values()))} sound records were lost in {len(lost)} of 50 documents, the first behind {next(iter(lost.values()))[0][-200:]!r}"


def test_the_same_mutants_give_the_same_files(seeds, tmp_path):
    "Rows and rejects of two conversions are equal to the byte"
    path = tmp_path/"a.jsonl"
    path.write_bytes(b"\n".join([json.dumps(seeds[0][0]).encode(), *(t.replace(b"\n", b" ") for t in mutants(random.Random(SEED), seeds[0], 300))]))
    for name in ("one", "two"): convert(path, tmp_path, name=name, progress=False)
    for ending in (".jsonl", ".rejects.jsonl"): assert (tmp_path/f"one{ending}").read_bytes() == (tmp_path/f"two{ending}").read_bytes()
