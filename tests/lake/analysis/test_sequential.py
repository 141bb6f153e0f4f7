from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from lake.analysis.sequential import level_of, levels
from lake.analysis.windows import LOOKS_MIN


def test_boundaries_of_four_equal_looks_are_those_of_the_literature():
    # Lan and DeMets' program with the O'Brien-Fleming spending function, two-sided 0.05
    bounds = stats.norm.isf(np.array(levels((0.25, 0.5, 0.75, 1.0))) / 2)
    assert bounds == pytest.approx([4.333, 2.963, 2.359, 2.014], abs=0.003)


def test_one_look_has_the_whole_level():
    assert levels((1.0,)) == pytest.approx((0.05,))


def test_all_looks_together_have_a_false_alarm_in_one_of_twenty():
    share = np.array(LOOKS_MIN) / 60
    steps = np.random.default_rng(1).standard_normal((200_000, 4)) * np.sqrt(np.diff(share, prepend=0))
    p_values = 2 * stats.norm.sf(np.abs(np.cumsum(steps, 1)) / np.sqrt(share))
    alarms = (p_values < levels(tuple(share))).any(1).mean()
    assert alarms == pytest.approx(0.05, abs=0.002)


def test_a_window_that_is_cut_has_fewer_looks():
    assert level_of(20, 20) > level_of(15, 20) > level_of(5, 20)
