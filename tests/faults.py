"""Broken logs made from the sample, the command run on them, and what must hold of all that it writes."""
import hashlib
import json
import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from click.testing import CliRunner

from tracekit.cli import main, sample_log

SAMPLE = json.loads(sample_log().read_bytes())
SIMS = SAMPLE["simulations"]
FIVE = SIMS[:5]
HEAD = {name: value for name, value in SAMPLE.items() if name != "simulations"}
FIELDS = {"file", "record", "line", "offset", "length", "stage", "path", "cause", "sha256", "text"}
STAGES = {"crash", "open", "decode", "fields", "convert", "check", "write"}


def texts(sims=FIVE, indent=None):
    "Each simulation as JSON text"
    return [json.dumps(sim, indent=indent).encode() for sim in sims]


def lines(records):
    "JSON Lines of texts"
    return b"".join(text + b"\n" for text in records)


def array(records):
    "A JSON list of texts"
    return b"[" + b", ".join(records) + b"]"


def document(records=None, **head):
    "A results document, its head first, as tau2 writes it"
    return json.dumps(HEAD | head).encode()[:-1] + b', "simulations": ' + array(texts() if records is None else records) + b"}"


def changed(n, **members):
    "The five simulations, number `n` with other members"
    return [sim | members if i == n else sim for i, sim in enumerate(FIVE)]


def replaced(records, n, text):
    "A copy of `records` with `text` as number `n`"
    return [*records[:n], text, *records[n + 1:]]


def ids(sims):
    "The ids of simulations"
    return [sim["id"] for sim in sims]


def repeated(times, sims=SIMS):
    "The simulations many times over, each with an id of its own"
    return [sim | {"id": f"{n:04}-{sim['id']}"} for n in range(times) for sim in sims]


def bare(row):
    "A row without the name of its log"
    metadata = {name: value for name, value in row["trace"]["metadata"].items() if name != "source_uri"}
    return row | {"trace": row["trace"] | {"metadata": metadata}}


def put(folder, files):
    "Write files, given as path -> bytes, below a folder"
    for name, data in files.items():
        path = folder/name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def digests(folder, name="x"):
    "The sha256 of every file of a dataset that is there"
    paths = [Path(folder)/f"{name}{ending}" for ending in (".jsonl", ".rejects.jsonl", ".yaml")]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths if path.exists()}


def strict_json(text):
    "One line by the letter of RFC 8259: UTF-8, no NaN, no infinities, no lone surrogates"
    def no(constant): raise ValueError(f"{constant} is no JSON")
    value = json.loads(text.decode("utf-8"), parse_constant=no)
    json.dumps(value, ensure_ascii=False, allow_nan=False).encode("utf-8")
    return value


def jsonl(path):
    "All lines of a file that must be strict JSON Lines; none if it is not there"
    if not path.exists(): return []
    data = path.read_bytes()
    assert data.endswith(b"\n") and b"\r" not in data and data.count(b"\n") == len(data.splitlines())
    return [strict_json(text) for text in data.splitlines()]


@dataclass
class Outcome:
    "What the command did: its exit code, its words, and the files it left"
    code: int
    said: str
    rows: list = field(default_factory=list)
    rejects: list = field(default_factory=list)
    left: list = field(default_factory=list)

    @property
    def ids(self): return [row["simulation_id"] for row in self.rows]


def command(*arguments, input=None):
    "Run `tracekit` with arguments; whatever goes wrong, it must end with a message and not with a traceback"
    result = CliRunner().invoke(main, [str(a) for a in arguments], input=input)
    assert result.exception is None or isinstance(result.exception, SystemExit), f"a traceback: {result.exception!r}"
    assert "Traceback" not in result.output
    return result


def convert(inputs, out, *options, name="x", input=None):
    "Run `tracekit convert` on a path (or several), and read what it wrote"
    given = inputs if isinstance(inputs, list) else [inputs]
    result = command("convert", *given, "-o", out, "--name", name, *options, input=input)
    left = sorted(os.listdir(out)) if Path(out).is_dir() else []
    return Outcome(result.exit_code, result.output, jsonl(out/f"{name}.jsonl"), jsonl(out/f"{name}.rejects.jsonl"), left)


def convert_bytes(folder, filename, data, *options):
    "Convert one log given as bytes"
    log = put(folder/"in", {filename: data})/filename
    return convert(log, folder/"out", *options)


def assert_reject_is_whole(reject):
    "A reject has every field, and leads to the very bytes it speaks of"
    assert FIELDS <= set(reject) and reject["stage"] in STAGES and reject["cause"] and reject["path"].startswith("$")
    log = Path(reject["file"])
    if not log.is_file() or log.suffix in (".gz", ".xz", ".bz2", ".zst") or reject["offset"] is None: return
    raw = log.read_bytes()[reject["offset"]:reject["offset"] + reject["length"]]
    assert len(raw) == reject["length"]
    assert hashlib.sha256(raw).hexdigest() == reject["sha256"], "offset and length lead to other bytes than the sha256"
    if not reject.get("cut"): assert raw.decode("utf-8", "backslashreplace") == reject["text"]


def assert_nothing_lost(made, records):
    "Every record is a row or a reject, the command says so, its exit code does too, and nothing else is left behind"
    assert len(made.rows) + len(made.rejects) == records
    assert made.said.splitlines()[-1] == f"read {records} rows {len(made.rows)} rejected {len(made.rejects)}"
    assert made.code == (3 if made.rejects else 0)
    assert made.left == sorted((["x.jsonl", "x.yaml"] if made.rows else []) + (["x.rejects.jsonl"] if made.rejects else []) + ["x.manifest.json"]*bool(records))
    for reject in made.rejects: assert_reject_is_whole(reject)


def assert_refused(made, *words):
    "The command could not do it: exit code 1, one message with the words, and nothing written"
    assert made.code == 1
    assert made.said.startswith("error: ")
    for word in words: assert re.search(word, made.said), f"{word!r} is not in: {made.said}"
    assert not made.rows and not made.rejects and not made.left
