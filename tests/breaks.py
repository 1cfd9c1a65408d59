"""Commands that write, and what breaks them: SIGKILL, Ctrl-C, a full disk. Afterwards the old output is whole, and the next run ends with the right bytes.

`tests/test_breaks.py` tries some moments of each, `tests/trust.py` many."""
import builtins
import errno
import hashlib
import io
import multiprocessing
import os
import random
import shutil
import signal
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from click.testing import CliRunner
from faults import SIMS, lines, put, repeated, texts
from tqdm.auto import tqdm

from tracekit import pipeline
from tracekit.cli import main

SPEC = """rows: rows.jsonl
seed: 3
columns:
  - {name: double, expression: "{{ n * 2 }}"}
  - {name: side, sample: [left, right]}
"""


@dataclass(frozen=True)
class Command:
    "What is run in a folder with inputs: its arguments, and those with which it goes on"
    name: str
    arguments: tuple[str, ...]
    again: tuple[str, ...] = ()
    code: int = 0           # how a run ends that nothing disturbs
    keeps: str = ""         # a folder that a run which failed leaves on purpose

    def run(self, folder, again=False):
        "In this process; the old output is that of a run on other inputs"
        before = os.getcwd()
        os.chdir(folder)
        try: return CliRunner().invoke(main, [*self.arguments, *(self.again if again else ())])
        finally: os.chdir(before)


CONVERT = ("convert", "log.jsonl", "-o", "out", "--name", "x", "--workers", "1")
COMMANDS = [
    Command("convert", CONVERT, ("--resume",), 3, ".x.parts"),
    Command("convert to Parquet", (*CONVERT, "--to", "parquet"), ("--resume",), 3, ".x.parts"),
    Command("score", ("score", "x.jsonl", "--scorer", "trace", "-o", "out/scores.jsonl", "--workers", "1")),
    Command("columns", ("columns", "spec.yaml", "-o", "out/o.jsonl"), ("--resume",)),
    Command("columns to Parquet", ("columns", "spec.yaml", "-o", "out/o.parquet"), ("--resume",)),
    Command("view", ("view", "x.jsonl", "-o", "out/page.html")),
    Command("export", ("export", "x.jsonl", "--to", "chat", "-o", "out/x.chat.jsonl"), code=3),
]
NAMED = {c.name: c for c in COMMANDS}
PART = 1 << 17
tqdm.set_lock(threading.RLock())   # not one that is shared with children: whoever is killed would keep it


def inputs(folder, records, rows):
    "A log with a broken record, a dataset, and rows for columns"
    put(folder, {"log.jsonl": lines([*records, b"oops"]), "rows.jsonl": b"".join(b'{"n": %d}\n' % n for n in range(rows)), "spec.yaml": SPEC.encode()})
    pipeline.convert(folder/"log.jsonl", folder, "x", progress=False)
    return folder


def digests(folder):
    "The sha256 of every file that has a name of its own, and the names of hidden ones"
    found = {p.relative_to(folder).as_posix(): p for p in sorted(folder.rglob("*")) if p.is_file()}
    shown = {n: hashlib.sha256(p.read_bytes()).hexdigest() for n, p in found.items() if not any(part.startswith(".") for part in n.split("/"))}
    return shown, sorted(set(found) - set(shown))


@dataclass
class Stage:
    "A command with its inputs, what an earlier run has written, and what an undisturbed run writes"
    command: Command
    folder: Path
    old: dict
    right: dict
    seconds: float

    def fresh(self, before=True):
        "The output folder as it was before, or empty"
        shutil.rmtree(self.folder/"out", ignore_errors=True)
        if before: shutil.copytree(self.folder/"old", self.folder/"out")
        return self.folder/"out"

    def now(self): return digests(self.folder/"out") if (self.folder/"out").exists() else ({}, [])

    def assert_whole(self, before=True):
        "Every name holds the old file or the whole new one; a folder of parts is the old one, the new one, or not there"
        now, _ = self.now()
        for name in {*now, *self.right}: assert now.get(name) in ((self.old if before else {}).get(name), self.right.get(name)), f"{name} is half a file, or gone"

    def assert_right(self):
        "The files of an undisturbed run, and nothing else"
        now, hidden = self.now()
        assert now == self.right, f"other files: {sorted(now.items() ^ self.right.items())[:4]}"
        assert not hidden, f"left behind: {hidden[:5]}"

    def complete(self):
        "Run it again, and see that it ends as if nothing had been"
        done = self.command.run(self.folder, again=True)
        assert done.exit_code == self.command.code, f"{done.output}{done.exception!r}"
        self.assert_right()


def stage(command, folder, times=2, rows=600):
    "Make the inputs, an older output and the right one"
    inputs(folder, texts(SIMS[:3]), 5)
    command.run(folder)
    shutil.rmtree(folder/"old", ignore_errors=True)
    shutil.move(folder/"out", folder/"old")
    inputs(folder, texts(repeated(times)), rows)
    for _ in range(2):   # the second time it is warm
        began = time.monotonic()
        done = command.run(folder)
        seconds = time.monotonic() - began
        assert done.exit_code == command.code, f"{done.output}{done.exception!r}"
    right, hidden = digests(folder/"out")
    assert right and not hidden
    old, _ = digests(folder/"old")
    assert old and old.keys() & right.keys()
    return Stage(command, folder, old, right, seconds)


# ---- killed

def child(command, folder, again):
    "What a child does: the command, in a process group of its own"
    os.setsid()
    tqdm.set_lock(threading.RLock())   # nor a copy that another thread of the parent held
    command.run(folder, again)
    os._exit(0)


def spawn(command, folder, again=False):
    "Start a child process, and wait until it is in its own group"
    started = multiprocessing.get_context("fork").Process(target=child, args=(command, folder, again))
    started.start()
    while started.is_alive() and os.getpgid(started.pid) != started.pid: time.sleep(0.0005)
    return started


def slay(process):
    "SIGKILL for a child and its workers; whether they were still at work"
    try: os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError: pass
    process.join()
    return process.exitcode == -signal.SIGKILL


def kills(made, wanted, seed):
    "SIGKILL at that many random moments, with and without an older output; (killed, runs in all)"
    rng, killed, tries = random.Random(seed), 0, 0
    while killed < wanted and tries < 4 * wanted + 20:
        tries += 1
        before = rng.random() < 0.7
        made.fresh(before)
        process = spawn(made.command, made.folder)
        time.sleep(rng.random() * made.seconds * 1.1)
        while rng.random() < 0.3 and slay(process):   # killed, gone on, and killed again
            killed += 1
            made.assert_whole(before)
            process = spawn(made.command, made.folder, again=True)
            time.sleep(rng.random() * made.seconds)
        killed += slay(process)
        made.assert_whole(before)
        made.complete()
    assert killed >= wanted, f"only {killed} of {tries} runs were killed: the moments are badly chosen"
    return killed, tries


# ---- a full disk and Ctrl-C at every point of writing

class Points:
    "Counts the points at which this process writes below a folder; at number `at` it acts instead"
    def __init__(self, folder, at=0, act=None): self.folder, self.at, self.act, self.count = str(folder), at, act, 0

    def point(self):
        self.count += 1
        if self.count == self.at: self.act()

    def here(self, path): return isinstance(path, str | os.PathLike) and os.path.abspath(path).startswith(self.folder)

    def __enter__(self):
        self.before = builtins.open, io.open, {name: getattr(os, name) for name in ("replace", "mkdir", "fsync", "copy_file_range") if hasattr(os, name)}
        real = builtins.open
        def opened(file, mode="r", *more, **options):
            if not ("w" in mode or "a" in mode) or not self.here(file): return real(file, mode, *more, **options)
            self.point()
            return Watched(real(file, mode, *more, **options), self)
        def counted(function):
            def called(*given, **options):
                self.point()
                return function(*given, **options)
            return called
        builtins.open = io.open = opened
        for name, function in self.before[2].items(): setattr(os, name, counted(function))
        make = os.mkdir
        os.mkdir = lambda path, *more, **options: (self.before[2]["mkdir"] if os.path.isdir(path) else make)(path, *more, **options)   # what is there is not made
        return self

    def __exit__(self, *exc):
        builtins.open, io.open, functions = self.before
        for name, function in functions.items(): setattr(os, name, function)


class Watched:
    "A file whose writing is counted"
    def __init__(self, file, points): self.file, self.points = file, points
    def __enter__(self): return self
    def __exit__(self, *exc): self.file.close()
    def __getattr__(self, name): return getattr(self.file, name)
    def write(self, data):
        self.points.point()
        return self.file.write(data)
    def writelines(self, texts):
        for text in texts: self.write(text)
    def flush(self):
        self.points.point()
        self.file.flush()


def no_room(): raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
def ctrl_c(): raise KeyboardInterrupt


ACTS = {"a full disk": (no_room, "No space left"), "Ctrl-C": (ctrl_c, "stopped|Aborted")}


def chosen(count, wanted):
    "Points to try: all of the last ones, where files are finished, and some of the others"
    last = range(max(1, count - 20), count + 1)
    return sorted({*last, *(1 + (count - 1) * n // max(1, wanted - len(last) - 1) for n in range(max(1, wanted - len(last))))})[:max(wanted, len(last))]


def points(made, act, wanted):
    "Act at so many points of writing; how many were tried"
    import re
    do, words = ACTS[act]
    made.fresh()
    with Points(made.folder/"out") as whole: made.command.run(made.folder)
    tried = 0
    for at in chosen(whole.count, wanted):
        made.fresh()
        with Points(made.folder/"out", at, do) as met: done = made.command.run(made.folder)
        assert met.count >= at, f"only {met.count} of {whole.count} points were met"
        assert isinstance(done.exception, SystemExit) or done.exception is None, f"point {at}: a traceback: {done.exception!r}"
        assert done.exit_code == 1 and re.search(words, done.output), f"point {at}: exit code {done.exit_code}: {done.output}"
        made.assert_whole()
        _, hidden = made.now()
        left = [n for n in hidden if not (made.command.keeps and n.startswith(made.command.keeps)) or n.endswith(".tmp")]
        assert not left, f"point {at}: left behind: {left[:5]}"
        made.complete()
        tried += 1
    return tried
