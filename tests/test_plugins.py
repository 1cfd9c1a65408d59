"""Formats from elsewhere: a Python file, a package, a notebook. One registry; what fails costs nobody else anything, and what is unclear is asked."""
import json
import multiprocessing
import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor

import pytest
from click.testing import CliRunner
from conftest import ROOT

from tracekit import convert
from tracekit.cli import main
from tracekit.convert import FORMATS, Context, Format, detect, fitting, format, format_file, load_formats, named_format, record_members
from tracekit.pipeline import read
from tracekit.source import InputError, UnknownFormat
from tracekit.trace import user

DESK = '''
import msgspec
from tracekit import format
from tracekit.trace import user, assistant

class Ticket(msgspec.Struct):
    ticket: str
    said: list[str]

@format("{name}", "tickets", under="{under}")
def {name}(record: Ticket, context):
    for text in record.said: yield {speaker}(text)

@{name}.part
def sniff(keys, record): return "ticket" in record
'''
TICKETS = [{"ticket": "T1", "said": ["Hello?", "Anybody?"]}, {"ticket": "T2", "said": ["Bye."]}]


@pytest.fixture(autouse=True)
def registry():
    "The registry is as it was when a test is over"
    before = dict(load_formats())
    yield
    FORMATS.clear()
    FORMATS.update(before)


@pytest.fixture
def desk(tmp_path):
    "Writes a file that registers a format; its path"
    def write(name="desk", under="tickets", speaker="user", file=None, more=""):
        path = tmp_path/(file or f"{name}.py")
        path.write_text(DESK.format(name=name, under=under, speaker=speaker) + more)
        return path
    return write


@pytest.fixture
def log(tmp_path):
    path = tmp_path/"tickets.json"
    path.write_text(json.dumps({"shop": "S", "tickets": TICKETS}))
    return path


def said(rows): return [[(i.role.value, p.text) for i in row.trace.items for p in i.content] for row in rows]


HELLO, BYE = [("user", "Hello?"), ("user", "Anybody?")], [("user", "Bye.")]


def test_a_file_is_a_format(desk, log, tmp_path):
    "For read and convert, and from then on it is known without being named"
    with pytest.raises(InputError, match="bring_your_own_format"): list(read(log))
    path = desk()
    assert said(read(log, format=str(path))) == [HELLO, BYE] == said(read(log, format=f"{path}:desk"))
    report = convert(log, tmp_path/"out", format=str(path), progress=False)
    assert (report.rows, report.formats) == (2, {"desk": 1})
    assert said(read(log)) == [HELLO, BYE] and "tickets" in record_members()[0]


@pytest.mark.parametrize("name, file", [("desk.py", "desk.py"), ("a/b.py:x", "a/b.py"), ("C:\\logs\\b.py:my-x", "C:\\logs\\b.py"), ("desk", None), ("a.pyx", None), ("auto", None), (".py", None), ("b.py:a:c", None)])
def test_what_is_a_file(name, file): assert format_file(name) == file


def test_each_command_takes_a_file(desk, log, tmp_path):
    path, call = desk(), lambda *words: CliRunner().invoke(main, [str(w) for w in words])
    assert call("convert", log, "-o", tmp_path/"out").exit_code == 1
    assert call("convert", log, "-o", tmp_path/"out", "--format", path).exit_code == 0
    assert call("rollouts", log, "--format", path, "-o", tmp_path/"r.jsonl").exit_code == 0
    assert [json.loads(text)["source_kind"] for text in (tmp_path/"r.jsonl").read_text().splitlines()] == ["desk", "desk"]
    assert call("view", log, "--format", path, "-o", tmp_path/"p.html").exit_code == 0 and "Anybody?" in (tmp_path/"p.html").read_text()
    assert call("convert", "--format", path).exit_code == 1, "no place of its own is known"
    done = call("export", tmp_path/"out/tickets.jsonl", "--to", path)
    assert done.exit_code == 1 and "cannot be written" in done.output


def test_an_export_to_a_file_is_named_after_its_format(desk, log, tmp_path, monkeypatch):
    path = desk(more="\n@desk.part\ndef write(row): return {'ticket': 'T', 'said': [i['content'][0]['text'] for i in row['trace']['items']]}\n")
    convert(log, tmp_path/"out", format=str(path), progress=False)
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(main, ["export", "out/tickets.jsonl", "--to", "desk.py"]).exit_code == 0
    assert [json.loads(t)["said"] for t in (tmp_path/"tickets.desk.jsonl").read_text().splitlines()] == [t["said"] for t in TICKETS]


@pytest.mark.parametrize("code, cause", [
    ("import nothing_of_that_name", "ModuleNotFoundError"), ("def x(:", "SyntaxError"), ("1/0", "ZeroDivisionError"), ("x = 1", "registers no format"), ("raise SystemExit(3)", "SystemExit"),
    ("from tracekit import format\n@format('x', 'x')\ndef x(record, context): yield", "must say what a record is"),
    ("from tracekit import format\n@format('chat', 'x')\ndef x(record: dict, context): yield", "a format of that name"),
    ("from tracekit import format\n@format('x', 'x')\ndef x(record: dict, context): yield\n@x.part\ndef snif(keys, record): pass", "no part 'snif'"),
    ("from tracekit import format\n@format('x', 'x')\ndef x(record: dict, context): yield\n@format('y', 'y')\ndef y(record: dict, context): yield", "say which one is meant, as in .*:x")])
def test_a_file_that_is_no_format(tmp_path, log, code, cause):
    "Says what is wrong with it; the registry is as it was, and the commands say it in one line"
    (tmp_path/"bad.py").write_text(code)
    before = dict(FORMATS)
    with pytest.raises(InputError, match=cause): list(read(log, format=str(tmp_path/"bad.py")))
    assert {n: f for n, f in FORMATS.items() if n not in "xy"} == before
    done = CliRunner().invoke(main, ["convert", str(log), "-o", str(tmp_path/"out"), "--format", str(tmp_path/"bad.py")])
    assert done.exit_code == 1 and done.output.startswith("error: ") and not (tmp_path/"out").exists()


def test_a_file_that_is_not_there(log):
    with pytest.raises(InputError, match="no such file"): list(read(log, format="none.py"))
    with pytest.raises(InputError, match="or name a Python file"): list(read(log, format="none"))


def test_one_of_several_in_a_file(desk, log):
    path = desk(more=DESK.format(name="other", under="tickets", speaker="assistant"))
    assert said(read(log, format=f"{path}:other"))[1] == [("assistant", "Bye.")] and said(read(log, format=f"{path}:desk")) == [HELLO, BYE]
    with pytest.raises(InputError, match="registers desk, other, and not third"): list(read(log, format=f"{path}:third"))


def test_a_file_is_read_again_when_it_changed(desk, log):
    path = desk()
    assert said(read(log, format=str(path))) == [HELLO, BYE]
    desk(speaker="assistant")
    os.utime(path, ns=(1, 1))
    assert said(read(log, format=str(path)))[1] == [("assistant", "Bye.")] == said(read(log))[1]


def test_a_format_may_be_registered_again(tmp_path):
    "As it happens in a notebook, over and over: the newest is the one that reads, also the log that was read just now"
    (tmp_path/"log.jsonl").write_text('{"ticket": "T1"}\n')
    for text in ("first", "second"):
        @format("desk", "tickets", sniff=lambda keys, record: "ticket" in record)
        def desk(record: dict, context: Context, text=text): yield user(text)
        assert said(read(tmp_path/"log.jsonl")) == [[("user", text)]]


def test_two_formats_that_fit_are_named(desk, log, tmp_path):
    "Neither is chosen; a record that only one of them knows decides"
    desk_file, other = desk(), desk("other", file="other.py")
    named_format(str(desk_file)), named_format(str(other))
    with pytest.raises(InputError, match=r"fits desk \(tickets\) and other \(tickets\) equally well; say which it is, as in --format desk"): list(read(log))
    with pytest.raises(UnknownFormat, match="desk .* and other "): detect(set(), TICKETS[0])
    done = CliRunner().invoke(main, ["convert", str(log), "-o", str(tmp_path/"out")])
    assert done.exit_code == 1 and "desk (tickets) and other (tickets)" in done.output
    assert said(read(log, format="other")) == [HELLO, BYE]
    FORMATS["desk"].sniff = lambda keys, record: record.get("ticket") == "T1"
    assert said(read(log)) == [HELLO, BYE], "the second record is only the other's"
    FORMATS["desk"].sniff = lambda keys, record: False
    assert [f.name for f in fitting(set(), TICKETS[0])] == ["other"]


def test_a_sniff_that_fails_costs_its_own_format_only(desk, log, tmp_path):
    "It is told of, and all other logs are read"
    named_format(str(desk()))
    FORMATS["desk"].sniff = lambda keys, record: record["ticket"]["x"]
    (tmp_path/"chat.jsonl").write_text('{"messages": [{"role": "user", "content": "hi"}]}\n')
    with pytest.warns(UserWarning, match="the sniff of the format 'desk' failed at an object, .* KeyError"): assert said(read(tmp_path/"chat.jsonl")) == [[("user", "hi")]]


def test_workers_know_the_file(desk, tmp_path, monkeypatch):
    "Also those that share no memory with their parent"
    monkeypatch.setattr("tracekit.plan.PART", 200)
    (tmp_path/"many.json").write_text(json.dumps({"tickets": [{"ticket": f"T{n}", "said": ["x" * 50]} for n in range(40)]}))
    path = str(desk())
    convert(tmp_path/"many.json", tmp_path/"one", format=path, progress=False)
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        report = convert(tmp_path/"many.json", tmp_path/"two", format=path, map=pool.map, progress=False)
    convert(tmp_path/"many.json", tmp_path/"three", format=path, workers=2, progress=False)
    assert report.rows == 40 and report.rejected == 0
    assert (tmp_path/"one/many.jsonl").read_bytes() == (tmp_path/"two/many.jsonl").read_bytes() == (tmp_path/"three/many.jsonl").read_bytes()


def test_a_run_does_not_go_on_with_another_format(desk, log, tmp_path, monkeypatch):
    "What a file of before its change has made is thrown away"
    path = desk()
    def cut_off(function, parts):
        for part in parts:
            yield function(part)
            raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt): convert(log, tmp_path/"out", format=str(path), map=cut_off, progress=False)
    assert list((tmp_path/"out/.tickets.parts").glob("*.done"))
    desk(speaker="assistant")
    os.utime(path, ns=(1, 1))
    convert(log, tmp_path/"out", format=str(path), resume=True, progress=False)
    assert '"role":"assistant"' in (tmp_path/"out/tickets.jsonl").read_text()


def package(folder, module, entry):
    "What pip leaves of a package with one entry point"
    note = folder/f"{module}_pkg-1.0.dist-info"
    note.mkdir()
    (note/"METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}-pkg\nVersion: 1.0\n")
    (note/"entry_points.txt").write_text(f"[tracekit.formats]\n{entry} = {module}\n")


def command(folder, *words):
    return subprocess.run([sys.executable, "-c", "from tracekit.cli import main; main()", *map(str, words)], capture_output=True, text=True, cwd=folder, timeout=120,
                          env=os.environ | {"PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])})


def test_a_package_joins_by_its_entry_point(desk, log, tmp_path):
    "Each command knows its format without being told"
    desk()
    package(tmp_path, "desk", "desk")
    assert any(line.split()[:3] == ["desk", "yes", "-"] for line in command(tmp_path, "formats").stdout.splitlines())
    done = command(tmp_path, "convert", log, "-o", tmp_path/"out", "--workers", 2)
    assert done.returncode == 0 and done.stdout.splitlines()[-1] == "read 2 rows 2 rejected 0", done.stderr


def test_a_broken_package_costs_nobody_else_anything(desk, log, tmp_path):
    "It is named with its reason; tracekit and the other packages go on"
    desk()
    package(tmp_path, "desk", "desk")
    for module, code in {"broken": "import nothing_of_that_name", "taker": "from tracekit import format\n@format('chat', 'mine')\ndef chat(record: dict, context): yield"}.items():
        (tmp_path/f"{module}.py").write_text(code)
        package(tmp_path, module, module)
    done = command(tmp_path, "convert", log, "-o", tmp_path/"out")
    assert done.returncode == 0 and "broken-pkg, entry point broken: no format comes of it: ModuleNotFoundError" in done.stderr
    assert "taker-pkg, entry point taker: no format comes of it: it registers 'chat'" in done.stderr
    (tmp_path/"chat.jsonl").write_text('{"messages": [{"role": "user", "content": "hi"}]}\n')
    assert command(tmp_path, "convert", tmp_path/"chat.jsonl", "-o", tmp_path/"out").returncode == 0


def test_the_parts_of_a_format_are_those_that_are_used():
    "Each is a field of Format; what is registered by default gives nothing away"
    from tracekit.convert import PARTS
    assert set(PARTS) <= set(Format.__dataclass_fields__)
    for form in load_formats().values(): assert form.name == "trl" or form.sniff is not Format.sniff
