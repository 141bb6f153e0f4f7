"""Scenarios: what is simulated, and what each row of the tables must keep to.

Takes   nothing.
Gives   the rows.
Refuses nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from .world import LATER, Background, Errors, Scenario

_QUIET = Background()
_RAMP = replace(_QUIET, ramp=1.10)


@dataclass(frozen=True, slots=True)
class Row:
    """A scenario and its bar."""

    scenario: Scenario
    metric: str | None = None
    """The metric whose alarms `at_least` counts."""
    at_most: float = 1.0
    """Alarms of any metric, as a share of the trials."""
    at_least: float = 0.0


FALSE_ALARMS, FALSE_ALARMS_IN_BURSTS = 0.06, 0.08

ROWS = (
    Row(Scenario("nothing, drift only", _QUIET), at_most=FALSE_ALARMS),
    Row(Scenario("nothing, heavy payloads 30 -> 45 %", _QUIET, heavy=0.45), at_most=FALSE_ALARMS),
    Row(Scenario("nothing, all services +10 %", _QUIET, shared=1.10), at_most=FALSE_ALARMS),
    Row(Scenario("nothing, a control is deployed too, +25 %", _QUIET, neighbour=1.25), at_most=FALSE_ALARMS),
    Row(Scenario("nothing, deployed again after 30 min, +25 %", _QUIET, later=1.25, after_end=LATER), at_most=FALSE_ALARMS),
    Row(Scenario("nothing, +10 % an hour every day", _RAMP), at_most=FALSE_ALARMS),
    Row(Scenario("nothing, drift 0.80", replace(_QUIET, autocorrelation=0.80)), at_most=FALSE_ALARMS),
    Row(Scenario("nothing, drift 0.99", replace(_QUIET, autocorrelation=0.99)), at_most=FALSE_ALARMS),
    Row(Scenario("nothing, 4 requests a minute", replace(_QUIET, per_minute=4.0)), at_most=FALSE_ALARMS),
    Row(Scenario("nothing, bursts 1.0 of 0.5 % errors", _QUIET, errors=Errors(0.005, 1.0)),
        at_most=FALSE_ALARMS_IN_BURSTS),
    Row(Scenario("nothing, bursts 1.0 of 2 % errors", _QUIET, errors=Errors(0.02, 1.0)),
        at_most=FALSE_ALARMS_IN_BURSTS),
    Row(Scenario("+2 %", _QUIET, change=1.02), "p50"),
    Row(Scenario("+5 %", _QUIET, change=1.05), "p50"),
    Row(Scenario("+10 %", _QUIET, change=1.10), "p50", at_least=0.48),
    Row(Scenario("+25 %", _QUIET, change=1.25), "p50", at_least=0.98),
    Row(Scenario("+10 %, heavy payloads 30 -> 45 %", _QUIET, change=1.10, heavy=0.45), "p50"),
    Row(Scenario("-10 %, +10 % an hour every day", _RAMP, change=0.90), "p50"),
    Row(Scenario("slow way +25 %", _QUIET, tail=1.25), "p95"),
    Row(Scenario("slow way +50 %", _QUIET, tail=1.50), "p95"),
    Row(Scenario("errors 1 -> 2 %", _QUIET, error_factor=2.0), "errors"),
    Row(Scenario("errors 1 -> 4 %", _QUIET, error_factor=4.0), "errors"),
    Row(Scenario("nothing, 100 requests a minute", replace(_QUIET, per_minute=100.0)), at_most=FALSE_ALARMS),
    Row(Scenario("+10 %, 100 requests a minute", replace(_QUIET, per_minute=100.0), change=1.10), "p50"),
)  # fmt: skip
