"""Inputs made to use up a machine, in small; `make trust` sets them off in full size."""
import pytest
from bombs import BOMBS, assert_contained, burst


@pytest.mark.parametrize("bomb", BOMBS, ids=lambda bomb: bomb.name)
def test_contained(bomb, tmp_path):
    "Refused at a stated limit or read, without a traceback, and with little time, memory and talk"
    assert_contained(bomb, burst(bomb, tmp_path))
