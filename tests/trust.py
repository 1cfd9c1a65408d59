"""The long form of the tests that keep tracekit's promises: `make trust`.

It breaks a million inputs, kills and starves the commands that write, sets off bombs, and runs the short suite under every Python it finds and with the oldest packages that are allowed.
With `--atheris N` a fuzzer that is guided by coverage tries N inputs more, if it is installed (pip install atheris).
It prints a table, leaves with 1 if a promise is broken, and writes its figures to nbs/guarantees.json, which the page Guarantees reads. A part alone: `--only fuzz,kills`; less of it: `--inputs 10000`."""
import argparse
import json
import multiprocessing
import os
import platform
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FIGURES = ROOT/"nbs"/"guarantees.json"
FAILED = Path(tempfile.gettempdir())/"tracekit-trust"
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
SUITE = [f"tests/test_{name}.py" for name in ("source", "trace", "convert", "messages", "fuzz", "breaks", "bombs", "columns", "score", "export", "inspect", "hermes", "spans", "publish")]   # where a version could make a difference


@dataclass(frozen=True)
class Promise:
    "What is promised, how it is tried, where it ends, the parts of `make trust` that count it, and the tests that keep it"
    name: str
    promise: str
    how: str
    limit: str
    parts: tuple[str, ...]
    tests: tuple[str, ...]
    said: str = ""   # the figure in words, if not those of the parts


PROMISES = [
    Promise("Nothing lost", "Every record of a log is a row or a reject.", "Logs of every format are broken by chance: bytes, tokens, types, nesting, pieces of other formats, packed files and archives. Rows and rejects are counted against the records.",
            "A member whose name no rule knows is listed by `--audit`, and is not in the row. A session is one row; of a list that is broken in the middle, what cannot be told apart is one reject. An OTLP batch without spans holds no record.", ("fuzz",),
            ("tests/test_fuzz.py::test_broken_logs_of_every_format", "tests/test_fuzz.py::test_mutated_lines", "tests/test_fuzz.py::test_mutated_members_of_a_list", "tests/test_faults.py::test_one_broken_record", "tests/test_robust.py::test_a_log_that_is_still_being_written"), said="{inputs:,} inputs in {formats} formats: {rows:,} rows and {rejects:,} rejects, 0 records lost, 0 exceptions"),
    Promise("Every reject explains itself", "A reject names its file, its record or line, the stage and the cause, and holds the text that was read.", "Each reject of the same inputs is checked; offset, length and sha256 must lead to the very bytes.",
            "Of a record beyond 1 MiB only the beginning is kept. A file that cannot be opened is one reject, without a record.", ("fuzz",), ("tests/test_fuzz.py::test_broken_logs_of_every_format", "tests/test_faults.py::test_one_broken_record"), said="{rejects:,} rejects, all explained"),
    Promise("Every row is valid", "What is written is a trace by the models, in its canonical full form, and `tracekit validate` finds nothing.", "Each row of the same inputs goes through the models and the checks.", "A row is nested 254 levels deep at most, and is made of 256 MB at most.",
            ("fuzz",), ("tests/test_fuzz.py::test_records_of_any_members", "tests/test_fuzz.py::test_broken_logs_of_every_format", "tests/test_trace.py::test_model_and_twin_refuse"), said="{rows:,} rows, 0 invalid"),
    Promise("Calls and results belong together", "Call ids are unique in a trace, and each result answers an earlier call of its own.", "The same rows; and logs in which ids repeat, are missing, or stand in any order.", "A result that answers nothing is no item; the trace says so in its metadata.",
            ("fuzz",), ("tests/test_convert.py::test_each_call_gets_its_own_result", "tests/test_convert.py::test_an_orphan_is_told_and_never_invented", "tests/test_fuzz.py::test_what_is_broken_is_seen"), said="{rows:,} rows, 0 with a call id that is there twice or a result without its call"),
    Promise("No record lasts", "A broken record takes less than 100 ms of CPU time.", "The slowest record of the same inputs.", "Records over 1 MB take longer, in proportion to their size.", ("fuzz",), ("tests/test_fuzz.py::test_broken_logs_of_every_format", "tests/test_bombs.py::test_contained"), said="{inputs:,} inputs, the slowest record in {slowest} ms"),
    Promise("JSON by the letter", "Sound JSON is read, broken JSON is refused; what real tools write though it is none (`NaN`, half a surrogate pair) is mended, and the row says so.", "The public conformance suite JSONTestSuite.", "The 35 files on which the standard is silent are pinned one by one.",
            ("json",), ("tests/test_source.py::test_the_decided_files_of_the_suite", "tests/test_source.py::test_the_open_files_of_the_suite", "tests/test_faults.py::test_mended")),
    Promise("Crash-safe", "After SIGKILL at any moment the old output is whole, and the next run ends with the right bytes and leaves nothing else behind.", "convert (JSON Lines and Parquet), score and columns are killed at random moments, some again while they go on.",
            "`score` starts afresh; there is nothing to resume. Between two renames a folder of Parquet parts is not there; it is never half there. An older dataset and the rejects beside it are replaced one after the other.", ("kills",),
            ("tests/test_breaks.py::test_killed_at_random_moments", "tests/test_faults.py::test_killed_at_any_moment", "tests/test_faults.py::test_killed_at_every_step", "tests/test_columns.py::test_a_run_that_is_cut_off_goes_on_without_asking_twice")),
    Promise("A full disk, Ctrl-C", "At every point of writing: the old output is whole, a message says what happened, no temporary file is left, and the next run ends with the right bytes.", "convert, score, columns, view and export are stopped at points of writing, each by an error of the disk and by Ctrl-C.",
            "convert keeps its finished parts in a hidden folder, for `--resume`.", ("points",), ("tests/test_breaks.py::test_a_full_disk_or_ctrl_c_at_points_of_writing", "tests/test_faults.py::test_really_full_disk", "tests/test_faults.py::test_ctrl_c")),
    Promise("Idempotent", "The same log gives the same bytes, however often, and a finished run may be resumed.", "Runs are repeated, resumed, and resumed after their input has changed.", "", ("suite",),
            ("tests/test_faults.py::test_resume_of_a_finished_run", "tests/test_faults.py::test_resume_after_the_input_changed_starts_afresh", "tests/test_fuzz.py::test_the_same_mutants_give_the_same_files")),
    Promise("Deterministic", "Bytes do not depend on workers, sizes of parts, engines, hash seeds, folders or times.", "The same log with each of these.", "Figures of a model are as the model answers; its answers are kept and used again.", ("suite",),
            ("tests/test_determinism.py::test_workers", "tests/test_determinism.py::test_sizes_of_parts", "tests/test_determinism.py::test_custom_maps", "tests/test_determinism.py::test_hash_seeds")),
    Promise("Small files stay small", "A packed log that unpacks to more than a gigabyte and a thousand times its size is refused.", "gzip, bzip2, xz, zstd, zip, and archives of inspect_ai, also one that lies about its sizes.", "Unpacking needs room for temporary files (TMPDIR). A log at an address is not limited by its ratio.",
            ("bombs",), ("tests/test_bombs.py::test_contained",)),
    Promise("Bounded time and memory", "Deep, endless and countless values are refused at a stated limit or read, in time that grows with the input and not with its square.", "A million levels, a line of a gigabyte, an object of a million keys, ten million empty records, 200,000 records that never close their brackets.",
            "One row may need several times its own size. A session, or a record, of more than 256 MB is refused.", ("bombs",), ("tests/test_bombs.py::test_contained", "tests/test_faults.py::test_a_line_of_200_megabytes", "tests/test_columns.py::test_memory_does_not_grow_with_rows")),
    Promise("Files stay in their folder", "`!include`, `$ref` and file_path reach nothing outside the project.", "`..`, absolute paths, links, `~`, addresses, special files.", "Python files that a project names are run: run none that you have not read.", ("suite",), ("tests/test_project.py::test_nothing_outside_the_folder_is_read", "tests/test_project.py::test_special_files_are_not_read")),
    Promise("YAML", "No tag makes an object, and no alias multiplies.", "Hostile files, and specs that are broken by chance.", "A file holds 1 MB at most, 8 MB with its aliases and references written out, and is nested 80 levels deep at most.", ("fuzz", "suite"), ("tests/test_project.py::test_tags_are_refused", "tests/test_project.py::test_bombs_are_refused", "tests/test_fuzz.py::test_broken_rows_and_specs"), said="{specs:,} broken specs, 0 exceptions; {passed} tests passed"),
    Promise("Nothing of a log is alive", "A page or a viewer runs nothing that a log says, and loads nothing from a network.", "Payloads at every place of traces, results and datasets, and rows that are broken by chance, read by an HTML parser that knows what may be there.", "Links are kept; they open when somebody clicks them.", ("fuzz", "suite"),
            ("tests/test_view.py::test_hostile_traces", "tests/test_view.py::test_hostile_results_and_datasets", "tests/test_fuzz.py::test_broken_rows_and_specs", "tests/test_page.py::test_what_is_large_deep_or_broken_is_shown"), said="{shown:,} broken rows shown, 0 live nodes; {passed} tests passed"),
    Promise("A scorer fails alone", "A row on which a scorer fails, hangs or dies costs itself, and no name in a log calls anything but a check.", "Code and data that do their worst, and rows that are broken by chance.", "A scorer is Python and may do what you may: a process of its own holds its crashes and its time, and is no sandbox.", ("fuzz", "suite"),
            ("tests/test_run.py::test_a_scorer_that_fails_costs_no_other_sample", "tests/test_run.py::test_several_hanging_samples", "tests/test_score.py::test_a_name_of_an_attribute_is_no_check", "tests/test_fuzz.py::test_broken_rows_and_specs"), said="{shown:,} broken rows through 3 scorers, 0 exceptions; {passed} tests passed"),
    Promise("Other tools read it", "Datasets load in Hugging Face's datasets with their values unchanged, the platform takes every row, and what is exported is read again.", "Published folders, the platform's own models, and every format that can be written.", "The tests that need another package or the makers' logs are skipped where these are not.", ("suite",),
            ("tests/test_publish.py::test_datasets_loads_it", "tests/test_all_formats.py::test_the_platform_takes_every_dataset", "tests/test_export.py::test_what_is_written_is_read_again", "tests/test_agentdata.py::test_novaeval_reads_back_what_we_write")),
    Promise("Python and packages", "Python 3.11, 3.12 and 3.13, with the newest packages and with the oldest that are allowed.", "The short suite in an environment of each.", "Python 3.14 where it is found.", ("pythons",), ("tests/test_trust.py::test_the_oldest_packages_are_named",)),
]


@dataclass
class Figure:
    "What a part of `make trust` has found"
    count: str
    ok: bool
    failures: list[str] = field(default_factory=list)
    seconds: int = 0
    date: str = ""
    seed: int = 0
    more: dict = field(default_factory=dict)


# ---- fuzz

def fuzz_share(task):
    "What one worker does: so many inputs of one kind, in memory"
    import fuzz
    name, inputs, seed, strategies = task
    fuzz.SEEN.clear()
    shm = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shm if shm.is_dir() else None) as folder:
        count, wrong = 0, None
        try: count = fuzz.hypothesis_run(name, inputs, seed, Path(folder)) if strategies else fuzz.fuzz(name, inputs, seed, Path(folder), FAILED)
        except Exception as e: wrong = f"{name}: {str(e)[:600]}"
    return ("strategies" if strategies else name), count, dict(fuzz.SEEN), wrong


def fuzzed(options):
    "A million inputs: most by mutation, in shares so that all formats come on; some by hypothesis; rows and specs"
    import fuzz
    each = max(50, options.inputs // (len(fuzz.formats()) + 1))
    share = max(50, min(5000, each))
    tasks = [(name, share, options.seed + n, False) for n in range(max(1, round(each / share))) for name in fuzz.formats()]
    tasks += [(name, max(2, each // 60), options.seed, True) for name in fuzz.formats()]
    tasks += [(what, max(20, min(2000, each // 20)), options.seed + n, False) for what in fuzz.OTHERWISE for n in range(8)]
    counts, seen, failures = Counter(), Counter(), []
    with multiprocessing.get_context("fork").Pool(options.workers) as pool:
        for done, (name, count, found, wrong) in enumerate(pool.imap_unordered(fuzz_share, tasks), 1):
            counts[name] += count
            seen.update({k: found.get(k, 0) for k in ("rows", "rejects")})
            seen["slowest"] = max(seen["slowest"], found.get("slowest", 0))
            if wrong: failures.append(wrong)
            progress("fuzz", done, len(tasks), sum(counts.values()))
    total = sum(counts.values())
    return Figure(f"{total:,} inputs in {len(fuzz.formats())} formats: {seen['rows']:,} rows, {seen['rejects']:,} rejects, none lost, none invalid, none uncaught; the slowest record took {seen['slowest']} ms"
                  if not failures else f"{total:,} inputs, {len(failures)} failures", not failures, failures, more={"inputs": dict(sorted(counts.items())), **seen})


def guided(options):
    "Inputs that reach new lines of tracekit, found by atheris, in a process of its own"
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([sys.executable, __file__, "--atheris-here", folder, str(options.atheris), str(options.seed)], cwd=ROOT, capture_output=True, text=True)
        said = done.stdout + done.stderr
        count = re.search(r"Done (\d+) runs", said)
        crash = [p for p in Path(folder).iterdir() if p.name.startswith(("crash", "timeout", "oom"))]
        failures = [f"{p.name}, kept in {kept(Path(folder))}: {said[-1500:]}" for p in crash] or ([] if count else [said[-1500:]])
    return Figure(f"{int(count[1]):,} inputs guided by coverage, 0 exceptions" if not failures else f"{len(failures)} failures", not failures, failures, more={"inputs": int(count[1]) if count else 0})


def atheris_here(folder, runs, seed):
    "What that process does: the first byte chooses the format, the others are the log"
    import atheris
    with atheris.instrument_imports(include=["tracekit"]):
        import fuzz
    corpus, logs = Path(folder)/"corpus", Path(tempfile.mkdtemp())
    corpus.mkdir()
    names = fuzz.formats()
    for n, name in enumerate(names):
        for k, log in enumerate(fuzz.sound_logs(name)[:20]): (corpus/f"{name}-{k}").write_bytes(bytes([n]) + b"\n".join(log[:3])[:4000])
    count = 0
    def one(data):
        nonlocal count
        if len(data) < 2: return
        count += 1
        path = fuzz.put(logs, f"{count}.jsonl", data[1:])
        found = fuzz.outcome_once(path, names[data[0] % len(names)] if data[0] < 128 else "auto")
        for row in found.rows: fuzz.assert_sound_row(row)
        for reject in found.rejects: fuzz.assert_reject_explains(reject, path, data[1:])
        path.unlink()
    atheris.Setup([sys.argv[0], f"-runs={runs}", f"-seed={seed % 2**31}", "-max_len=4096", "-timeout=60", "-rss_limit_mb=8000", f"-artifact_prefix={folder}/", str(corpus)], one)
    atheris.Fuzz()


# ---- kills, points, bombs

def stages(names):
    "Each command with its inputs, in a folder of its own"
    import breaks

    from tracekit import plan
    plan.PART = breaks.PART
    for name in names:
        with tempfile.TemporaryDirectory() as folder: yield name, breaks.stage(breaks.NAMED[name], Path(folder))


def tried(what, names, one, seed=0):
    "Run `one` on each command; (name -> count, failures)"
    counts, failures = Counter(), []
    for name, made in stages(names):
        try: counts[name] += one(made)
        except AssertionError as e: failures.append(f"{what} of {name}, seed {seed}: {str(e)[:500]}; kept as {kept(made.folder)}")
        progress(what, len(counts) + len(failures), len(names), sum(counts.values()))
    return counts, failures


def kept(folder):
    "A copy of what a failure left"
    FAILED.mkdir(parents=True, exist_ok=True)
    to = Path(tempfile.mkdtemp(dir=FAILED))/"folder"
    shutil.copytree(folder, to)
    return to


def killed(options):
    import breaks
    names = ["convert", "convert to Parquet", "score", "columns"]
    counts, failures = tried("kills", names, lambda made: breaks.kills(made, -(-options.kills // len(names)), options.seed)[0], options.seed)
    told = ", ".join(f"{name} {n}" for name, n in counts.items())
    return Figure(f"{sum(counts.values())} kills ({told}): the right bytes each time" if not failures else f"{len(failures)} of {len(names)} commands failed", not failures, failures, more=dict(counts))


def starved(options):
    import breaks
    counts, failures = Counter(), []
    for act in breaks.ACTS:
        found, wrong = tried(act, list(breaks.NAMED), lambda made, act=act: breaks.points(made, act, options.points))
        counts[act], failures = sum(found.values()), failures + wrong
    told = ", ".join(f"{act} at {n}" for act, n in counts.items())
    return Figure(f"{told} points of writing in {len(breaks.NAMED)} commands" if not failures else f"{len(failures)} failures", not failures, failures, more=dict(counts))


def bombed(options):
    import bombs
    took, failures = {}, []
    for n, bomb in enumerate(bombs.BOMBS, 1):
        with tempfile.TemporaryDirectory() as folder:
            try:
                done = bombs.burst(bomb, Path(folder), options.full)
                took[bomb.name] = {"seconds": round(done.seconds, 1), "megabytes": round(done.megabytes), "units": bomb.units if options.full else bomb.few}
                bombs.assert_contained(bomb, done, options.full)
            except AssertionError as e: failures.append(f"{bomb.name}: {str(e)[:500]}")
        progress("bombs", n, len(bombs.BOMBS), n)
    most = max(t["megabytes"] for t in took.values())
    return Figure(f"{len(took)} bombs held, with {most} MB of memory at most" if not failures else f"{len(failures)} of {len(bombs.BOMBS)} bombs not held", not failures, failures, more=took)


# ---- tests

class Outcomes:
    "A plugin of pytest that keeps the outcome of every test"
    def __init__(self): self.found = {}
    def pytest_runtest_logreport(self, report):
        if report.when == "call" or report.outcome != "passed": self.found[report.nodeid] = report.outcome


def run_tests(given):
    "Run tests in this process: {test: outcome}"
    import pytest
    outcomes = Outcomes()
    pytest.main(["-q", "--no-header", "-p", "no:cacheprovider", "--tb=short", *given], plugins=[outcomes])
    return outcomes.found


def outcomes_of(python, given, env=None):
    "The same with another Python, in a process of its own, and its versions"
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)/"out.json"
        with open(Path(folder)/"said", "w") as said:
            subprocess.run([python, __file__, "--tests", str(out), *given], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT), **(env or {})}, stdout=said, stderr=subprocess.STDOUT)
        if out.exists(): return json.loads(out.read_text())
        return {"python": str(python), "packages": {}, "outcomes": {}, "said": (Path(folder)/"said").read_text()[-2000:]}


def versions():
    "The versions of the packages that tracekit needs"
    from importlib.metadata import PackageNotFoundError, version
    found = {}
    for name in lower_bounds():
        try: found[name] = version(name)
        except PackageNotFoundError: pass
    return found


def summed(outcomes): return Counter(outcomes.values())


def suite(options):
    "The tests that the promises name"
    names = sorted({test for p in PROMISES for test in p.tests})
    found = outcomes_of(sys.executable, names)["outcomes"]
    counts, bad = summed(found), [t for t, o in found.items() if o == "failed"]
    missing = [n for n in names if not any(t.startswith(n) for t in found)]
    by = {n: dict(Counter(o for t, o in found.items() if t == n or t.startswith(n + "["))) for n in names}
    return Figure(f"{counts['passed']:,} tests passed, {counts['skipped']} skipped" if not bad and not missing else f"{len(bad)} tests failed, {len(missing)} not found", not bad and not missing, bad + missing, more={"tests": by})


def conformance(options):
    "The public suite of JSON files"
    found = outcomes_of(sys.executable, ["tests/test_source.py", "-k", "suite"])["outcomes"]
    from conftest import SHARED
    files = len([*(SHARED/"data/json_test_suite/test_parsing").glob("[yn]_*.json")])
    good = bool(found) and set(found.values()) == {"passed"}
    return Figure(f"{files} of {files} files" if good else "the suite is not here" if set(found.values()) <= {"skipped"} else "failed", good, [t for t, o in found.items() if o == "failed"], more={"files": files})


# ---- Pythons and packages

def lower_bounds():
    "Every package that tracekit needs, with the oldest version that is allowed"
    project = tomllib.loads((ROOT/"pyproject.toml").read_text())["project"]
    needed = [*project["dependencies"], *project["optional-dependencies"]["pictures"], *project["optional-dependencies"]["curate"]]
    return {m[1]: m[2] for n in needed if (m := re.match(r"([\w.-]+)(?:\[\w+\])?>=([\d.]+)", n))}


def pythons():
    "The Pythons of this machine, by version"
    found = {}
    for wanted in PYTHONS:
        places = [shutil.which(f"python{wanted}"), *map(str, sorted(Path.home().glob(f".pyenv/versions/{wanted}.*/bin/python")))]
        for place in filter(None, places):
            done = subprocess.run([place, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"], capture_output=True, text=True)
            if done.stdout.strip() == wanted:
                found[wanted] = place
                break
    return found


def environment(python, folder, oldest=False):
    "An environment with tracekit and what its tests need: the newest packages, or the oldest that are allowed"
    subprocess.run([python, "-m", "venv", folder], check=True, capture_output=True)
    limits = Path(folder)/"oldest.txt"
    limits.write_text("".join(f"{name}=={version}\n" for name, version in lower_bounds().items()) if oldest else "")
    installed = subprocess.run([f"{folder}/bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-c", str(limits), "-e", f"{ROOT}[pictures,curate{'' if oldest else ',models'}]", "pytest>=8", "hypothesis>=6.100", "zstandard>=0.22"],
                               capture_output=True, text=True)
    if installed.returncode: raise AssertionError(installed.stderr[-1500:])
    return f"{folder}/bin/python"


def everywhere(options):
    "The short suite under each Python, and with the oldest packages"
    found, failures, told = {}, [], []
    todo = [(f"Python {v}", p, False) for v, p in pythons().items()] + [(f"oldest packages, Python {v}", p, True) for v, p in list(pythons().items())[:1]]
    for n, (name, python, oldest) in enumerate(todo, 1):
        with tempfile.TemporaryDirectory() as folder:
            try: made = outcomes_of(environment(python, folder, oldest), SUITE)
            except (AssertionError, subprocess.CalledProcessError) as e: made = {"outcomes": {}, "said": str(e), "packages": {}, "python": name}
        counts, bad = summed(made["outcomes"]), [t for t, o in made["outcomes"].items() if o == "failed"]
        found[name] = {"python": made["python"], "packages": made["packages"], **counts}
        failures += [f"{name}: {t}" for t in bad] + ([] if counts["passed"] else [f"{name}: no test ran: {made.get('said', '')[-1000:]}"])
        told.append(f"{name} {counts['passed']:,} passed")
        progress("pythons", n, len(todo), sum(counts.values()))
    return Figure("; ".join(told) if not failures else f"{len(failures)} failures", not failures, failures, more=found)


# ---- all together

PARTS = {"suite": suite, "json": conformance, "bombs": bombed, "points": starved, "kills": killed, "pythons": everywhere, "fuzz": fuzzed}


def progress(what, done, of, count):
    if done == of or done % max(1, of // 20) == 0: print(f"{what}: {done} of {of}, {count:,} tried", file=sys.stderr, flush=True)


def values(figures):
    "What the words of a promise may name"
    fuzz = figures.get("fuzz", {}).get("more", {})
    inputs = fuzz.get("inputs", {})
    return {"inputs": sum(inputs.values()), "formats": len([n for n in inputs if n not in ("rows", "specs", "strategies")]), "specs": inputs.get("specs", 0), "shown": inputs.get("rows", 0), **{k: fuzz.get(k, 0) for k in ("rows", "rejects", "slowest")}}


def passed(promise, figures):
    "How many of the tests that a promise names have passed, each with its cases"
    by = figures.get("suite", {}).get("more", {}).get("tests", {})
    return sum(by.get(test, {}).get("passed", 0) for test in promise.tests)


def figure_of(promise, figures):
    "The figures of the last run that count for a promise, in words"
    there = all(part in figures and figures[part]["ok"] for part in promise.parts)
    if there and promise.said: return promise.said.format(**values(figures), passed=passed(promise, figures))
    if there and promise.parts == ("suite",): return f"{passed(promise, figures):,} tests passed"
    return "; ".join(figures[part]["count"] for part in promise.parts if part in figures) or "not run yet"


def table(figures, parts):
    "What was promised, tried and found"
    lines = [("promise", "result", "figure")]
    for p in PROMISES:
        mine = [figures[part] for part in p.parts if part in parts]
        if mine: lines.append((p.name, "ok" if all(f["ok"] for f in mine) else "BROKEN", figure_of(p, figures)))
    widths = [max(len(line[n]) for line in lines) for n in range(2)]
    return "\n".join("  ".join([*(cell.ljust(width) for cell, width in zip(line, widths)), line[2]]) for line in lines)


def written(figures, path):
    "The promises and the figures, for the page"
    promises = [asdict(p) | {"figure": figure_of(p, figures)} for p in PROMISES]
    path.write_text(json.dumps({"promises": promises, "figures": figures}, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--points", type=int, default=100)
    parser.add_argument("--small", dest="full", action="store_false", help="small bombs")
    parser.add_argument("--seed", type=int, default=None, help="to repeat a run")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())
    parser.add_argument("--only", default=",".join(PARTS), help=f"some of {', '.join(PARTS)}; nothing: write the words again")
    parser.add_argument("--out", type=Path, default=FIGURES)
    parser.add_argument("--atheris", type=int, default=0, metavar="N")
    parser.add_argument("--atheris-here", nargs=3, help=argparse.SUPPRESS)   # what the process of atheris does
    parser.add_argument("--tests", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)   # what a process of another Python does
    return parser.parse_args()


def main():
    options = arguments()
    sys.path[:0] = [str(ROOT), str(ROOT/"tests")]
    if options.tests:
        out, *given = options.tests
        found = run_tests(given)
        Path(out).write_text(json.dumps({"python": platform.python_version(), "packages": versions(), "outcomes": found}))
        return 0
    if options.atheris_here:
        folder, runs, seed = options.atheris_here
        return atheris_here(folder, int(runs), int(seed))
    options.seed = random.randrange(10**9) if options.seed is None else options.seed
    parts = [part for part in options.only.split(",") if part]
    if options.atheris: parts.append("atheris")
    if unknown := set(parts) - {*PARTS, "atheris"}: sys.exit(f"there is no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    print(f"seed {options.seed}; what fails is kept in {FAILED}", flush=True)
    for part in parts:
        began, date = time.monotonic(), time.strftime("%Y-%m-%d", time.gmtime())
        made = (PARTS | {"atheris": guided})[part](options)
        made.seconds, made.date, made.seed = round(time.monotonic() - began), date, options.seed
        figures = json.loads(options.out.read_text())["figures"] if options.out.exists() else {}   # another part may have been run beside this one
        figures[part] = asdict(made)
        written(figures, options.out)
        for failure in made.failures: print(f"BROKEN {failure}", flush=True)
    figures = json.loads(options.out.read_text())["figures"] if options.out.exists() else {}
    written(figures, options.out)
    print(table(figures, parts))
    return 0 if all(figures[part]["ok"] for part in parts) else 1


if __name__ == "__main__": sys.exit(main())
