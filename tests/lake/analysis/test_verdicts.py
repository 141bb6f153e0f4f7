from __future__ import annotations

import math

import numpy as np
import pytest

from lake.analysis.verdicts import Finding, q_values, verdict


@pytest.mark.parametrize(
    ("finding", "expected"),
    [
        (Finding("p50", 100, 1.2, 1.1, 1.3, 0.01, True, True), "regressed"),
        (Finding("p50", 100, 0.8, 0.7, 0.9, 0.01, True, True), "improved"),
        (Finding("p50", 100, 1.2, 1.1, 1.3, 0.01, True, False), "suspect"),
        (Finding("p50", 100, 1.2, 1.1, 1.3, 0.01, False, True), "insufficient data"),
        (Finding("p50", 100, 1.2, 0.95, 1.5, 0.2, True, True), "inconclusive"),
        (Finding("p50", 100, 1.04, 1.01, 1.07, 0.01, True, True), "no evidence"),  # sure, and too small to matter
        (Finding("p50", 10, 1.15, 1.1, 1.2, 0.01, True, True), "inconclusive"),  # 1.5 ms
        (Finding("p50", 100, 1.0, 0.95, 1.05, 0.9, True, False), "no evidence"),
        (Finding("p50", 100, 1.2, math.nan, math.nan, math.nan, True, True), "inconclusive"),
        (Finding("p99", 100, 2.0, 1.5, 2.5, math.nan, True, True), "inconclusive"),
        (Finding("errors", 0.01, 1.5, 1.2, 1.8, 0.01, True, True), "regressed"),
        (Finding("errors", 0.01, 0.5, 0.4, 0.6, 0.01, True, True), "improved"),
        (Finding("errors", 0.001, 2.0, 1.2, 2.8, 0.01, True, True), "no evidence"),  # never as much as 0.2 points
        (Finding("errors", 0.10, 1.2, 1.1, 1.24, 0.01, True, True), "no evidence"),  # never as much as a quarter
        (Finding("errors", 0.01, 1.0, 0.4, 2.0, 0.9, True, True), "inconclusive"),
        (Finding("errors", 0.02, 0.0, 0.0, 0.5, 0.01, True, True), "improved"),
    ],
)
def test_a_verdict_is_the_one_a_person_would_give(finding, expected):
    assert verdict(finding) == expected


def test_q_values_are_those_of_benjamini_and_hochberg():
    found = q_values([0.01, math.nan, 0.04, 0.03])
    assert found[[0, 2, 3]] == pytest.approx([0.03, 0.04, 0.04])
    assert np.isnan(found[1])


def test_nothing_to_test_has_no_q_values():
    assert q_values([]).tolist() == []
    assert np.isnan(q_values([math.nan])).all()
