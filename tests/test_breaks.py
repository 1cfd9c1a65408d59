"""Each command that writes, killed at some random moments, and stopped at some points of writing; `make trust` tries many."""
import pytest
from breaks import ACTS, NAMED, PART, kills, points, stage

from tracekit import pipeline


@pytest.fixture
def made(request, tmp_path, monkeypatch):
    "A command with its inputs, an older output, and the right one; small parts, so that there are many"
    monkeypatch.setattr(pipeline, "PART", PART)
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
