"""Clocks for clients: time passes only when a client waits, and every wait is noted.

Takes   nothing.
Gives   `Waits`: a clock, and what was waited by it.
Refuses nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from lake.client.retries import Clock

KEY = "mtk_live_0123456789abcdef0123456789abcdef"


@dataclass
class Waits:
    """What a client waited, in seconds."""

    seconds: list[float] = field(default_factory=list)
    now_s: float = 1_000_000.0
    jitter: float = 0.5
    step_s: float = 0.0
    """How much time passes whenever somebody looks at the clock that measures answers."""
    elapsed_s: float = 0.0

    @property
    def clock(self) -> Clock:
        return Clock(
            now_s=lambda: self.now_s,
            elapsed_s=self._look,
            pause=self._pause,
            pause_async=self._pause_async,
            jitter=lambda: self.jitter,
        )

    def _look(self) -> float:
        self.elapsed_s += self.step_s
        return self.elapsed_s

    def _pause(self, seconds: float) -> None:
        self.seconds.append(seconds)
        self.now_s += seconds

    async def _pause_async(self, seconds: float) -> None:
        self._pause(seconds)
