"""Inputs made to use up a machine: small files that unpack to huge ones, deep and endless values. Each is refused at a stated limit, or read in bounded time and memory.

`tests/test_bombs.py` tries them small, `tests/trust.py` in full size."""
import bz2
import gzip
import io
import json
import lzma
import os
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass

import zstandard
from faults import FIVE, put, texts
from test_inspect import HEAD, sample

PIECE = b"\0" * (1 << 20)
RUN = """
import sys, tracekit.unpack as u
u.ALWAYS_ALLOWED = int(sys.argv.pop(1))
from tracekit.cli import main
try: main()
finally: open("peak", "w").write(next(l for l in open("/proc/self/status") if l.startswith("VmHWM")).split()[1])
"""
SOUND = texts(FIVE)
CHAT = {"messages": [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi"}]}


@dataclass(frozen=True)
class Bomb:
    "How it is made, of so many units in full and in small; what is said of it, or what is counted"
    name: str
    make: Callable          # (folder, units) -> path
    units: int
    few: int
    said: str = ""          # a pattern of the message
    counted: str = ""       # the last line, with {n} units in it
    verb: str = "convert"
    megabytes: int = 400    # resident memory in full; a gigabyte that is mapped counts, although the system may take it back
    seconds: int = 120      # of CPU time


@dataclass
class Burst:
    code: int
    said: str
    seconds: float
    megabytes: float


def unpacks(opened):
    "Makes a packed file of so many megabytes of nothing"
    def make(folder, units):
        with opened(folder) as f:
            for _ in range(units): f.write(PIECE)
        return next(p for p in folder.iterdir() if p.name.startswith("bomb"))
    return make


def zip_bomb(folder, units, name="log.jsonl", more=()):
    path = folder/("bomb.zip" if name == "log.jsonl" else "bomb.eval")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as z:
        for other, text in more: z.writestr(other, text)
        with z.open(name, "w", force_zip64=True) as f:
            for _ in range(units): f.write(PIECE)
    return path


def eval_bomb(folder, units): return zip_bomb(folder, units, "samples/s0_epoch_1.json", [("header.json", json.dumps(HEAD))])


def lying_eval(folder, units):
    "An archive whose list of contents says that its huge sample is small; the sound one beside it is read"
    path = zip_bomb(folder, units, "samples/s0_epoch_1.json", [("header.json", json.dumps(HEAD)), ("samples/s1_epoch_1.json", json.dumps(sample(1)))])
    data = bytearray(path.read_bytes())
    at = data.rindex(b"PK\x01\x02")
    struct.pack_into("<I", data, at + 24, 1000)
    path.write_bytes(data)
    return path


def zip_in_zip(folder, units):
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as z: z.writestr("log.jsonl", PIECE * units)
    path = folder/"bomb.zip"
    with zipfile.ZipFile(path, "w") as z: z.writestr("inner.zip", inner.getvalue())
    return path


def lines_with(record): return lambda folder, units: put(folder, {"bomb.jsonl": b"\n".join([SOUND[0], record(units), SOUND[1]]) + b"\n"})/"bomb.jsonl"


def deep(units, open=b'{"a":', inner=b"1", close=b"}"): return open * units + inner + close * units


def long_line(folder, units):
    "A sound line, one of so many megabytes, a sound line"
    with open(folder/"bomb.jsonl", "wb") as f:
        f.write(SOUND[0] + b'\n{"id": "huge", "task_id": "t", "messages": [{"role": "user", "content": "')
        for _ in range(units): f.write(b"x" * (1 << 20))
        f.write(b'"}]}\n' + SOUND[1] + b"\n")
    return folder/"bomb.jsonl"


def many_keys(units): return b'{"id": "k", "task_id": "t", "messages": [], ' + b", ".join(b'"k%d": 1' % n for n in range(units)) + b"}"
def twice(units): return many_keys(units)[:-1] + b', "k0": 2}'


def members(folder, units, record, first=SOUND[0]):
    "A list of a sound record, so many others, and a sound one"
    with open(folder/"bomb.json", "wb") as f:
        f.write(b"[" + first)
        for at in range(0, units, 10_000): f.write((b",\n" + record) * min(10_000, units - at))
        f.write(b",\n" + first + b"]")
    return folder/"bomb.json"


def parquet(folder, units):
    import pyarrow as pa
    import pyarrow.parquet as pq
    pq.write_table(pa.table({"a": list(range(units))}), folder/"bomb.json")
    return folder/"bomb.json"


def chat_with(arguments): return json.dumps({"messages": [*CHAT["messages"], {"role": "assistant", "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}}]}]}).encode()
def chat_line(arguments): return lambda folder, units: put(folder, {"bomb.jsonl": json.dumps(CHAT).encode() + b"\n" + chat_with(arguments(units)) + b"\n"})/"bomb.jsonl"
def aliases(folder, units): return put(folder, {"bomb.yaml": b"a0: &a0 [x, x]\n" + b"".join(b"a%d: &a%d [%s]\n" % (n, n, b", ".join([b"*a%d" % (n - 1)] * 9)) for n in range(1, units)) + b"key: x\n"})/"bomb.yaml"


BROKEN = b'{"id": "x", "task_id": "y", "a": [[{"b": '
BIG = 1500
BOMBS = [   # a packed file is made of megabytes; small ones are tried with a limit that is small too
    Bomb("gzip of 1,000:1", unpacks(lambda f: gzip.open(f/"bomb.jsonl.gz", "wb", 9)), BIG, 12, "unpacks to more than", megabytes=300),
    Bomb("bzip2", unpacks(lambda f: bz2.open(f/"bomb.jsonl.bz2", "wb")), BIG, 12, "unpacks to more than", megabytes=300),
    Bomb("xz", unpacks(lambda f: lzma.open(f/"bomb.jsonl.xz", "wb", preset=0)), BIG, 12, "unpacks to more than", megabytes=300),
    Bomb("zstd", unpacks(lambda f: zstandard.open(f/"bomb.jsonl.zst", "wb")), BIG, 12, "unpacks to more than", megabytes=300),
    Bomb("zip", zip_bomb, BIG, 12, "unpacks to more than", megabytes=300),
    Bomb(".eval archive", eval_bomb, BIG, 12, "unpacks to more than", megabytes=300),
    Bomb(".eval archive that lies about its size", lying_eval, BIG, 12, r"read 2 rows 1 rejected 1", megabytes=300),
    Bomb("zip in a zip", zip_in_zip, 100, 3, "the archive holds no", megabytes=300),
    Bomb("a document nested deeply", lambda f, n: put(f, {"bomb.json": deep(n)})/"bomb.json", 1_000_000, 10_000, "nested too deeply"),
    Bomb("a line nested deeply", lines_with(deep), 1_000_000, 10_000, "read 3 rows 2 rejected 1"),
    Bomb("a member of a list nested deeply", lambda f, n: put(f, {"bomb.json": b"[" + b", ".join([SOUND[0], deep(n), SOUND[1]]) + b"]"})/"bomb.json", 1_000_000, 10_000, "read 3 rows 2 rejected 1"),
    Bomb("deep values in a record", lines_with(lambda n: SOUND[2][:-1] + b', "more": ' + deep(n, b"[", b"", b"]") + b"}"), 1_000_000, 10_000, "read 3 rows 2 rejected 1"),
    Bomb("tool arguments nested deeply", chat_line(lambda n: "[" * n + "]" * n), 1_000_000, 10_000, "read 2 rows 2 rejected 0"),
    Bomb("a number of many digits", lines_with(lambda n: b'{"id": ' + b"9" * n + b', "task_id": "t", "messages": []}'), 10_000_000, 100_000, "read 3 rows 2 rejected 1"),
    Bomb("tool arguments with a number of many digits", chat_line(lambda n: '{"n": ' + "9" * n + "}"), 10_000_000, 100_000, "read 2 rows 2 rejected 0"),
    Bomb("an object of many keys", lines_with(many_keys), 1_000_000, 20_000, "and .* more(.|\n)*read 3 rows 3 rejected 0", megabytes=1500),
    Bomb("an object of many keys, one of them twice", lines_with(twice), 1_000_000, 20_000, "written twice(.|\n)*read 3 rows 3 rejected 0", megabytes=1500),
    Bomb("a list of empty records", lambda f, n: members(f, n, b"{}"), 10_000_000, 20_000, counted="read {n} rows 2 rejected {m}", megabytes=600, seconds=3000),
    Bomb("broken records, none of which closes its brackets", lambda f, n: members(f, n, BROKEN), 200_000, 2_000, "rows 2 rejected", seconds=600),
    Bomb("a line of a gigabyte", long_line, 1024, 20, "rows [23] rejected [01]", megabytes=1300),
    Bomb("Parquet given as a log", parquet, 1000, 10, "this is a Parquet file"),
    Bomb("YAML aliases", aliases, 12, 12, "alias", verb="validate"),
    Bomb("gzip through standard input", lambda f, n: unpacks(lambda g: gzip.open(g/"bomb.jsonl.gz", "wb"))(f, n), BIG, 12, "gzip data without the ending", megabytes=300, verb="stdin"),
]


def burst(bomb, folder, full=False):
    "Make a bomb and set it off in a process of its own: what it said, and what it took"
    units = bomb.units if full else bomb.few
    (folder/"in").mkdir()
    path = bomb.make(folder/"in", units)
    arguments = ["validate", path] if bomb.verb == "validate" else ["convert", "-" if bomb.verb == "stdin" else path, "-o", folder/"out", "--name", "x", "--workers", "1"]
    called = [sys.executable, "-c", RUN, str(1 << 30 if full else 1 << 20), *map(str, arguments)]
    with open(path, "rb") as given, open(folder/"said", "wb") as said:
        process = subprocess.Popen(called, stdin=given, stdout=said, stderr=subprocess.STDOUT, cwd=folder)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    return Burst(process.returncode, (folder/"said").read_text(errors="replace"), used.ru_utime + used.ru_stime, int((folder/"peak").read_text()) / 1024)


def assert_contained(bomb, done, full=False):
    "It ended with a message or a count, in time, without a traceback, and with the memory that is allowed"
    import re
    units = bomb.units if full else bomb.few
    wanted = bomb.said or bomb.counted.format(n=units + 2, m=units)
    assert done.code in (0, 1, 3) and "Traceback" not in done.said, done.said[-2000:]
    assert re.search(wanted, done.said), f"{wanted!r} is not in: {done.said[:300]} … {done.said[-700:]}"
    assert len(done.said) < 20_000, f"{len(done.said)} characters were printed"
    assert done.megabytes < (bomb.megabytes if full else 300), f"{done.megabytes:.0f} MB"
    assert done.seconds < bomb.seconds, f"{done.seconds:.0f} s"
