"""Broken logs of every format, made by chance from sound ones, and what must hold of all that comes of them.

A sound log is a list of JSON texts, one a record; of a session, one a line. `tests/test_fuzz.py` tries some of each, `tests/trust.py` a million."""
import bz2
import gzip
import hashlib
import io
import json
import lzma
import math
import random
import re
import shutil
import time
import zipfile
from collections import Counter
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import zstandard
from conftest import SAMPLE, SHARED, logs, simulations
from makers import MAKERS, OTHERS, made

from tracekit.convert import load_formats
from tracekit.dataset import row_findings
from tracekit.part import Job, Tally, span_lines
from tracekit.pipeline import read
from tracekit.plan import Span
from tracekit.row import line
from tracekit.source import Rejected

SEED = 20_260_401
SLOW, HUGE = 0.1, 1 << 20   # seconds of CPU time that a record may take, unless it has so many bytes
REJECT = {"file", "record", "line", "offset", "length", "stage", "path", "cause", "sha256", "text"}
STAGES = {"decode", "fields", "convert", "check", "write", "open"}
TOKENS = [b"{", b"}", b"[", b"]", b'"', b",", b":", b"\\", b"null", b"NaN", b"-Infinity", b"1e999", b"-0", b"true",
          b'"x"', b"\\ud800", b"\\u0000", b"//", b"'", b"]}", b"}]",
          b"},{", b"}, {", b"\xff", b"\xc3\xa9", b"\xe2\x80\xa8", b"\xef\xbb\xbf", b"\x00", b'{"id": 1, "task_id": "t"}', b'"id":', b"9" * 400]
VALUES = [None, True, 0, -1, 2**70, -2**63, 1.5, 1e308, float("nan"), float("-inf"), "", "x", "\u2028", "\ud800", "é" * 3, "{}", "[1", "2026-13-01T00:00:00Z", [], [None], ["x"], [[]], {}, {"": {}}, {"id": 1},
          {"role": "user"}, "user", "tool", "assistant"]


# ---- sound logs

def small(simulation):
    "A simulation with its first few messages only, so that many can be tried"
    made = {k: v for k, v in simulation.items() if k not in ("policy", "effect_timeline")}
    for name in ("messages", "traj", "trajectory", "ticks"):
        if made.get(name): made[name] = made[name][:8]
    return made


def text(value): return json.dumps(value).encode()


@cache
def sample_rows():
    "The rows of the sample log, as plain data"
    return [json.loads(line(row.model_dump(mode="json"))) for row in read(SAMPLE)]


def written(name):
    "The sample log as a log of a format that can be written, with short conversations"
    form, found = load_formats()[name], []
    for row in sample_rows():
        row = row | {"trace": row["trace"] | {"items": row["trace"]["items"][:8]}}
        try: found.append(text(form.write(row)))
        except Rejected: pass
    return [found[:12]]


def own(name):
    "The sound logs of a format that need nothing but this repository"
    from test_inspect import sample
    if name == "tau2": return [[text(small(s)) for s in simulations(SAMPLE)[:12]]]
    if name == "inspect": return [[text(sample(n)) for n in range(4)]]
    found = [[text(record) for record in made(maker, turns, f"s{turns}").lines] for maker in (MAKERS | OTHERS).values() if maker.name == name for turns in (1, 3)]
    return found + (written(name) if load_formats()[name].write else [])


def pieces(path, most=12_000):
    "The records of a file, or the lines of a session, as texts; none that is long"
    data = path.read_bytes()
    try: whole = json.loads(data)
    except (ValueError, RecursionError): found = [t.strip() for t in data.split(b"\n") if t.strip()]
    else:
        under = {u for f in load_formats().values() for u in f.under}
        inner = whole if isinstance(whole, list) else next((v for k, v in whole.items() if k in under and isinstance(v, list) and v), [whole]) if isinstance(whole, dict) else []
        found = [text(v) for v in inner]
    return [t for t in found if len(t) <= most and is_json(t)][:40]


def is_json(text):
    try: json.loads(text)
    except (ValueError, RecursionError): return False
    return True


@cache
def sound_logs(name):
    "The sound logs of a format: the repository's own, and those of the shared folder if it is there"
    from test_all_formats import expected, files, name_of
    found = own(name)
    if name == "tau2": found += [[text(small(s)) for s in simulations(p)[:12] if isinstance(s, dict)] for kind in ("real_log", "scripted_log") for p in logs(kind)]
    elif (SHARED/"data").is_dir(): found += [pieces(p) for p in files() if expected(name_of(p)) == name and p.stat().st_size < 4 << 20]
    return [log for log in found if log]


@cache
def formats(): return sorted(name for name in load_formats() if sound_logs(name))


# ---- mutations

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


def truncate(rng, text): return text[:rng.randrange(1, max(2, len(text)))]


def insert(rng, text):
    "A token where none belongs"
    at = rng.randrange(1, max(2, len(text)))
    return text[:at] + rng.choice(TOKENS) + text[at:]


def cut(rng, text):
    "A stretch is missing"
    at = rng.randrange(1, max(2, len(text)))
    return text[:at] + text[at + rng.randint(1, 40):]


def repeat(rng, text):
    "A stretch is there twice"
    at = rng.randrange(1, max(2, len(text)))
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


@on_data
def nest(rng, at, key):
    "A value is deep inside lists and objects"
    for n in range(rng.choice([1, 3, 30, 300])): at[key] = [at[key]] if n % 2 else {"x": at[key]}


@on_data
def cross(rng, at, key):
    "A piece of a log of any format in the place of a value, or under its name"
    other = json.loads(rng.choice(rng.choice(sound_logs(rng.choice(formats())))))
    if place := somewhere(rng, other):
        if isinstance(at, dict) and isinstance(place[1], str) and rng.random() < 0.5: at[place[1]] = at.pop(key)
        else: at[key] = place[0][place[1]]


MUTATIONS = [flip, truncate, insert, cut, repeat, swap, swap, swap, delete, double, nest, cross]


def mutant(rng, text, mutations=MUTATIONS): return rng.choice(mutations)(rng, text)


def mutants(rng, texts, number, mutations=MUTATIONS):
    "Mutated records as text"
    return [mutant(rng, rng.choice(texts), mutations) for _ in range(number)]


def a_line(text):
    "A record that stays on its line"
    return text.replace(b"\n", b" ")


# ---- what came of a log

@dataclass
class Outcome:
    "Rows as lines, rejects, and the record that took longest: its seconds of CPU time and its bytes"
    rows: list = field(default_factory=list)
    rejects: list = field(default_factory=list)
    slowest: float = 0.0

    def __len__(self): return len(self.rows) + len(self.rejects)


SEEN = Counter()   # rows, rejects, and the milliseconds of the slowest record, of all that was tried here


def outcome(path, format="auto"):
    "Read a log as a conversion does; a slow record is read again, since only what is slow each time is slow by itself"
    found = outcome_once(path, format)
    for _ in range(2):
        if found.slowest >= SLOW: found.slowest = min(found.slowest, outcome_once(path, format).slowest)
    SEEN["rows"] += len(found.rows)
    SEEN["rejects"] += len(found.rejects)
    SEEN["slowest"] = max(SEEN["slowest"], round(1000 * found.slowest))
    return found


def outcome_once(path, format):
    found = Outcome()
    began = time.process_time()
    for found_one in span_lines(Span(str(path)), Job("", format), Tally()):
        found.slowest = max(found.slowest, time.process_time() - began)
        (found.rejects if isinstance(found_one, dict) else found.rows).append(found_one)
        began = time.process_time()
    return found


def assert_sound_row(text):
    "A row is valid by the models, in the canonical full form, and each output answers a call of its own"
    text = text if isinstance(text, bytes) else b"".join(text)
    found = list(row_findings(text.rstrip(b"\n")))
    assert not found, found[:3]


def assert_reject_explains(reject, path, data=None):
    "A reject says where it stands, at which stage it failed and why, and holds the very bytes"
    assert REJECT <= set(reject) and reject["file"] == str(path) and reject["cause"] and reject["stage"] in STAGES and reject["path"].startswith("$"), reject
    if reject["stage"] == "open" or data is None: return
    assert isinstance(reject["offset"], int) and isinstance(reject["record"], int), reject
    text = data[reject["offset"]:reject["offset"] + reject["length"]]
    assert hashlib.sha256(text).hexdigest() == reject["sha256"], "offset and length lead to other bytes"


def assert_sound(found, path, data=None):
    "All that came of a log is valid, explained, and was made in time"
    for row in found.rows: assert_sound_row(row)
    for reject in found.rejects: assert_reject_explains(reject, path, data)
    assert found.slowest < SLOW or (data is not None and len(data) > HUGE), f"a record took {found.slowest:.3f} s"


# ---- one log, made and tried; each returns how many inputs it was

def put(folder, name, data):
    path = folder/name
    path.write_bytes(data)
    return path


def records_of(rng, name):
    "The records of some logs of a format, without heads"
    opening = load_formats()[name].opening or (lambda record: False)
    return [t for log in rng.sample(sound_logs(name), min(len(sound_logs(name)), 6)) for t in log if not opening(json.loads(t))]


def try_lines(rng, name, folder, number):
    "Many mutated records in JSON Lines: every line that holds anything is a row or a reject, and sound neighbours are rows"
    texts = records_of(rng, name)
    lines = [rng.choice(texts), *(a_line(t) for t in mutants(rng, texts, 50))]
    data = b"\n".join(lines) + b"\n"
    path = put(folder, f"{number}.jsonl", data)
    found = outcome(path, name)
    assert_sound(found, path, data)
    assert len(found) == sum(1 for t in data.split(b"\n") if t.strip()), f"{len(found)} rows and rejects of {len(lines)} lines"
    return 50


NUMBER = re.compile(rb"(words|done|result) (\d+) of (s\d+)|done \d+")


OWN_WORDS = {"claude_code", "codex", "hermes", "pi"}   # each line of these sessions has words of its own; a span repeats those of others, and a message of gemini_cli can take another's place


def try_session(rng, name, folder, number):
    "A session with one or two broken lines: each broken line counts for itself only, so that what stands in the others is in a row or a reject"
    lines = list(rng.choice(sound_logs(name)))
    broken = rng.sample(range(len(lines)), min(len(lines), rng.randint(1, 2)))
    for n in broken: lines[n] = a_line(mutant(rng, lines[n]))
    data = b"\n".join(lines) + b"\n"
    path = put(folder, f"{number}.jsonl", data)
    found = outcome(path, name)
    assert_sound(found, path, data)
    assert len(found) or not any(t.strip() for t in lines) or name in ("openinference", "otel_genai") and not any(map(spans_in, lines)), "nothing came of it"
    if name not in OWN_WORDS or any(r["record"] is None for r in found.rejects): return len(broken)   # the whole file was refused, by name
    told = b"".join(found.rows) + b"".join(json.dumps(r["text"], ensure_ascii=False).encode("utf-8", "surrogatepass") for r in found.rejects)
    lost = [m[0] for n, t in enumerate(lines) if n not in broken for m in NUMBER.finditer(t) if m[1] and m[0] not in told]
    assert not lost, f"{lost[:3]} is in no row and no reject"
    return len(broken)


def spans_in(text):
    "How many spans a record of OTLP, or a batch of LangChain, holds; 1 for anything else"
    try: record = json.loads(text.decode("utf-8", "replace"))
    except (ValueError, RecursionError): return 1
    if not isinstance(record, dict): return 1
    if isinstance(record.get("spans", record.get("traces")), list) and record.get("span_id") is None and not record.get("attributes"):
        return sum(spans_in(json.dumps(inner).encode()) for name in ("spans", "traces") for inner in members(record, name))
    if not isinstance(record.get("resourceSpans"), list): return 1
    return sum(1 for r in record["resourceSpans"] for s in members(r, "scopeSpans") for _ in members(s, "spans"))


def members(value, name):
    "A list inside an object; NaN and infinities stand for nothing"
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, list) else [] if found is None or isinstance(found, float) and not math.isfinite(found) else [found]


FRAMES = [(b"[", b", ", b"]"), (b"[", b",\n", b"]"), (b"", b"\n\n", b""), (b'{"%s": [', b", ", b"]}"), (b'{"info": {}, "%s": [', b" ,\n    ", b"], \"more\": 1}")]


def try_whole(rng, name, folder, number):
    "A list or a document of a few records, broken anywhere, told nothing of its format: rows or a reject, never nothing"
    before, between, after = rng.choice(FRAMES)
    form, texts = load_formats()[name], records_of(rng, name)
    under = (rng.choice(form.under) if form.under else "simulations").encode()
    data = (before.replace(b"%s", under)) + between.join(rng.choice(texts) for _ in range(rng.randint(1, 3))) + after
    for _ in range(rng.randint(1, 2)): data = rng.choice([flip, truncate, insert, cut, repeat])(rng, data) or b"["
    path = put(folder, f"{number}.json", data)
    found = outcome(path)
    assert_sound(found, path, data)
    assert len(found) or without_records(data), "nothing came of it"
    return 1


def without_records(data):
    "Whether a log is sound and holds no records"
    try: value = json.loads(data.removeprefix(b"\xef\xbb\xbf"))
    except (ValueError, RecursionError): return False
    return value == [] or isinstance(value, dict) and any(v == [] for v in value.values())


def zip_of(data, name="log.jsonl"):
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as z: z.writestr(name, data)
    return held.getvalue()


PACKERS = {"gz": lambda d: gzip.compress(d, 1, mtime=0), "zst": zstandard.ZstdCompressor(1).compress, "bz2": bz2.compress, "xz": lambda d: lzma.compress(d, preset=0), "zip": zip_of}


def try_packed(rng, name, folder, number):
    "The same records packed, and then the packed bytes broken: what can still be unpacked is read, and the rest is told"
    texts, (ending, pack) = records_of(rng, name), rng.choice(list(PACKERS.items()))
    lines = [a_line(t) for t in [rng.choice(texts), *mutants(rng, texts, 3)]]
    whole = rng.random() < 0.3
    packed = pack(b"\n".join(lines) + b"\n")
    if not whole: packed = rng.choice([flip, truncate, cut, repeat])(rng, packed)
    path = put(folder, f"{number}.jsonl.{ending}" if ending != "zip" else f"{number}.zip", packed)
    address = f"zip://log.jsonl::{path}" if ending == "zip" else str(path)
    found = outcome(address, name)
    for row in found.rows: assert_sound_row(row)
    for reject in found.rejects: assert_reject_explains(reject, address)
    assert len(found) >= 1 and found.slowest < SLOW, f"{len(found)} made, the slowest in {found.slowest:.3f} s"
    if whole and not load_formats()[name].session: assert len(found) == sum(1 for t in lines if t.strip()), f"{len(found)} rows and rejects of {len(lines)} lines"
    return 1


def try_eval(rng, name, folder, number):
    "An archive of inspect_ai with a broken sample in it, or broken itself"
    from test_inspect import archive
    from test_inspect import sample as inspect_sample
    path = archive(folder/f"{number}.eval", [inspect_sample(n) for n in range(2)], method=rng.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]))
    path.write_bytes(rng.choice([flip, truncate, cut, repeat])(rng, path.read_bytes()))
    found = outcome(path)
    for row in found.rows: assert_sound_row(row)
    for reject in found.rejects: assert_reject_explains(reject, path)
    assert len(found) >= 1
    return 1


@cache
def hermes_database():
    "The bytes of a database of Hermes"
    import tempfile

    from test_hermes import database, talk
    with tempfile.TemporaryDirectory() as folder:
        database(Path(folder)/"state.db", {f"s{n}": ({}, talk(n)) for n in range(3)}).close()
        return (Path(folder)/"state.db").read_bytes()


def try_database(rng, name, folder, number):
    "A database with broken bytes"
    data = rng.choice([flip, flip, truncate, cut])(rng, hermes_database())
    path = put(folder, f"{number}.db", data)
    found = outcome(path)
    for row in found.rows: assert_sound_row(row)
    for reject in found.rejects: assert_reject_explains(reject, path)
    assert len(found) >= 1
    return 1


def ways(name):
    "How a format is tried, with the share of each way"
    main = [try_session] * 8 if load_formats()[name].session else [try_lines] * 4
    own = {"inspect": [try_eval], "hermes": [try_database]}.get(name, [])
    return [*main, try_whole, try_packed, *own]


class Failed(AssertionError):
    "An input that broke a promise; the message says where it is kept"


def fuzz(name, inputs, seed, folder, keep):
    "Try that many inputs of a format (or of `rows`, or `specs`); how many it were. Raises Failed, with the input kept in `keep`"
    done = n = 0
    while done < inputs:
        rng = random.Random(f"{seed} {name} {n}")
        try: done += OTHERWISE[name](rng, folder, n) if name in OTHERWISE else rng.choice(ways(name))(rng, name, folder, n)
        except Exception as e:
            keep.mkdir(parents=True, exist_ok=True)
            kept = [Path(shutil.copy(p, keep/f"{name}-{seed}-{p.parent.name if p.name == 'run.yaml' else ''}{p.name}")) for p in folder.rglob("*") if p.is_file()]
            raise Failed(f"{name}, seed {seed}, number {n}: {type(e).__name__}: {e}; kept as {', '.join(map(str, kept))}") from e
        for p in folder.iterdir(): p.unlink()
        n += 1
    return done


# ---- records made from nothing but the names of a format

@cache
def vocabulary(name):
    "The names of members, and the short texts, that occur in the logs of a format"
    names, words = set(), set()
    def look(value):
        if isinstance(value, dict):
            names.update(value)
            for inner in value.values(): look(inner)
        elif isinstance(value, list):
            for inner in value[:20]: look(inner)
        elif isinstance(value, str) and len(value) < 30: words.add(value)
    for log in sound_logs(name):
        for record in log[:20]: look(json.loads(record))
    return sorted(names)[:400], sorted(words)[:400]


def records(name):
    "A hypothesis strategy: a sound record of a format with some members that are anything"
    from hypothesis import strategies as st
    names, words = vocabulary(name)
    leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(words or ["x"])
    anything = st.recursive(leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(names), inner, max_size=4), max_leaves=8)
    sound = st.sampled_from([v for log in sound_logs(name) for record in log if isinstance(v := json.loads(record), dict)])
    return st.builds(lambda record, changes: {**record, **changes}, sound, st.dictionaries(st.sampled_from(names), anything, max_size=4)) | st.dictionaries(st.sampled_from(names), anything, max_size=6)


def try_records(name, values, folder):
    "Records of any members, as lines: each is a row or a reject; of a session, something comes of it"
    data = b"".join(json.dumps(v, ensure_ascii=False).encode("utf-8", "surrogatepass").replace(b"\n", b" ") + b"\n" for v in values)
    path = put(folder, f"{hashlib.sha256(data).hexdigest()[:16]}.jsonl", data)
    found = outcome(path, name)
    path.unlink()
    assert_sound(found, path, data)
    if not load_formats()[name].session: assert len(found) in (len(values), len(values) - 1 if load_formats()[name].opening else len(values)), f"{len(found)} rows and rejects of {len(values)} records"
    else: assert len(found) or name in ("langchain", "openinference", "otel_genai") and not any(spans_in(t) for t in data.splitlines()), "nothing came of it"


def hypothesis_run(name, examples, seed, folder):
    "Try that many lists of such records; how many records they were"
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import seed as seeded
    from hypothesis import strategies as st
    count = 0
    @seeded(seed)
    @settings(max_examples=examples, deadline=None, database=None, derandomize=False, phases=[Phase.generate, Phase.shrink], suppress_health_check=list(HealthCheck))
    @given(st.lists(records(name), min_size=1, max_size=20))
    def each(values):
        nonlocal count
        count += len(values)
        try_records(name, values, folder)
    each()
    return count


# ---- rows, specs and pages

DATA_MUTATIONS = [swap, swap, delete, double, nest, cross]
SCORERS = ("telecom", "tau2-db", "trace")


@cache
def scoring():
    from tracekit.run import Plan, named_scorer
    return {name: Plan([{"key": name, "type": "python", "spec": {"snippet": named_scorer(name)}}], "trace") for name in SCORERS}


def try_rows(rng, folder, number):
    "Broken rows: checked, scored by every scorer, written in every format and shown, and none of these raises"
    from test_view import sound

    from tracekit.export import ruled
    from tracekit.run import score_sample
    from tracekit.source import TracekitError
    from tracekit.view import trace_html
    rows = [mutant(rng, text(rng.choice(sample_rows())), DATA_MUTATIONS) for _ in range(4)]
    path = put(folder, f"{number}.jsonl", b"".join(a_line(t) + b"\n" for t in rows))
    for row in rows:
        list(row_findings(row))
        for name, plan in scoring().items():
            for out in score_sample(plan, read_sample(plan, row)):
                assert not [f for f in out["failed"].values() if f[0] == "score"], f"{name}: {out['failed']}"
        value = json.loads(row)
        try: page = trace_html(value["trace"], {k: v for k, v in value.items() if k != "trace"}) if isinstance(value, dict) and "trace" in value else ""
        except TracekitError: continue
        if page: sound(page)
    for name in WRITTEN(): assert sum(n is not None for n, _ in ruled(load_formats()[name], path)) == len(rows)
    return len(rows)


def WRITTEN(): return sorted(n for n, f in load_formats().items() if f.write)


def read_sample(plan, row):
    "A row as a scorer is handed it; {} if it cannot be read"
    from tracekit.source import TracekitError
    try: found = plan.read(row)
    except (TracekitError, ValueError): return {}
    return found if hasattr(found, "get") else {}


def try_specs(rng, folder, number):
    "Broken YAML of a project: findings, and never an exception"
    from test_project import RUN, TASK

    from tracekit.check import check
    path = folder/f"{number}.d"/"run.yaml"
    path.parent.mkdir()
    data = (RUN + TASK).encode()
    for _ in range(rng.randint(1, 3)): data = rng.choice([flip, truncate, insert, cut, repeat])(rng, data)
    path.write_bytes(data)
    for found in check(path): assert found.level in ("error", "platform", "warning") and str(found)
    path.unlink()
    path.parent.rmdir()
    return 1


OTHERWISE = {"rows": try_rows, "specs": try_specs}
