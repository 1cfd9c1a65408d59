"""Each command that writes, killed at some random moments, and stopped at some points of writing; `make trust` tries many."""
import multiprocessing
import os
import time

import pytest
from breaks import ACTS, NAMED, PART, kills, no_room, points, stage
from faults import put

from tracekit.dataset import atomic, exchange


@pytest.fixture
def made(request, tmp_path, monkeypatch):
    "A command with its inputs, an older output, and the right one; small parts, so that there are many"
    monkeypatch.setattr("tracekit.plan.PART", PART)
    return stage(NAMED[request.param], tmp_path)


each = pytest.mark.parametrize("made", NAMED, indirect=True)


@pytest.mark.parametrize("act", ACTS)
@each
def test_a_full_disk_or_ctrl_c_at_points_of_writing(made, act):
    "The old output is whole, a message says what happened, nothing is left behind, and the next run ends with the right bytes"
    assert points(made, act, 24) >= 10


@pytest.mark.parametrize("made", ["convert", "convert to Parquet", "score", "columns"], indirect=True)
def test_killed_at_random_moments(made):
    "The old output is whole or the new one is, and the next run ends with the right bytes and leaves nothing behind"
    assert kills(made, 3, 1)[0] >= 3


@pytest.mark.parametrize("made", ["export"], indirect=True)
def test_what_is_broken_is_seen(made):
    "These checks fail for half a file, for one that is gone, and for one that is left behind"
    out = made.fresh()
    made.assert_whole()
    (out/".x.1.tmp").write_text("left")
    with pytest.raises(AssertionError, match="other files|left behind"): made.assert_right()
    name = next(iter(made.old))
    (out/name).write_bytes((out/name).read_bytes()[:-3])
    with pytest.raises(AssertionError, match="half a file"): made.assert_whole()
    (out/name).unlink()
    with pytest.raises(AssertionError, match="gone"): made.assert_whole()


def test_what_somebody_else_is_writing_is_not_removed(tmp_path):
    "Only the leftovers of a process that has ended"
    path = tmp_path/"a.jsonl"
    (tmp_path/".a.jsonl.999999.tmp").write_bytes(b"of a run that was killed")
    other = multiprocessing.get_context("fork").Process(target=hold, args=(path,))
    other.start()
    def held(): return [p for p in tmp_path.glob(".a.jsonl.*.tmp") if p.read_bytes() == b"half"]
    while not held(): time.sleep(0.001)
    [left] = held()
    with atomic(path) as f: f.write(b"mine")
    assert sorted(p.name for p in tmp_path.iterdir()) == [left.name, "a.jsonl"]
    other.kill()
    other.join()
    with atomic(path) as f: f.write(b"mine")
    assert [p.name for p in tmp_path.iterdir()] == ["a.jsonl"]


def hold(path):
    "Begin to write, and do not end"
    with atomic(path) as f:
        f.write(b"half")
        f.flush()
        time.sleep(60)


def test_a_folder_that_cannot_be_exchanged_is_back(tmp_path, monkeypatch):
    "The old one is moved aside, and back again if the new one cannot take its place"
    for name in ("old", "new"): put(tmp_path, {f"{name}/part-0.parquet": name.encode()})
    real, calls = os.replace, []
    def second_fails(*given):
        calls.append(given)
        if len(calls) == 2: no_room()
        real(*given)
    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", second_fails)
        with pytest.raises(OSError, match="No space left"): exchange(tmp_path/"new", tmp_path/"old")
    assert (tmp_path/"old"/"part-0.parquet").read_text() == "old" and len(calls) == 3
    exchange(tmp_path/"new", tmp_path/"old")
    assert (tmp_path/"old"/"part-0.parquet").read_text() == "new" and [p.name for p in tmp_path.iterdir()] == ["old"]
