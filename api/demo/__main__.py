"""The shop as a process: `python -m api.demo`, started beside the server by `tracelake demo`.

Takes   `TRACELAKE_DATA`, and `TRACELAKE_DEMO_URL` and `TRACELAKE_DEMO_KEY`: the address to send to and an ingest key.
Gives   what is missing of the history, then live traffic, until SIGTERM.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ..logs import configure_logging
from . import live
from .history import CONNECTIONS, Dispatch, History
from .sender import Sender
from .shop import SHOP
from .state import DemoError, State
from .story import Story


def main() -> int:
    """Run until told to stop."""
    configure_logging()
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # what is sent again is no news; what is not, an error of ours
    data, url, key = (os.environ[f"TRACELAKE_{name}"] for name in ("DATA", "DEMO_URL", "DEMO_KEY"))
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    state = State.read(Path(data))
    if state is None:
        raise DemoError(f"{data} has no state of a demo: start it with `tracelake demo`")
    story = Story(SHOP, state.end_ns, state.seed)
    try:
        if send_history(story, state, Path(data), url, key, stop):
            live.run(story, url, key, stop)
    except DemoError as error:
        Console(stderr=True, highlight=False, markup=False).print(f"Error: {error}")
        return 1
    return 0


def send_history(story: Story, state: State, data: Path, url: str, key: str, stop: threading.Event) -> bool:
    """Send what is missing of the history, with a progress bar; whether it is complete now."""
    if state.is_complete:
        return True
    history = History(story, state.span_count)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    began_s = time.monotonic()
    with Sender(url, key, connections=CONNECTIONS) as sender, Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("History: spans", total=state.span_count)
        before = state.span_count * state.parts_sent // history.part_count
        progress.advance(task, before)
        is_complete = Dispatch(history, state, data, sender).run(stop, lambda spans: progress.advance(task, spans))
        done = int(progress.tasks[task].completed)
        progress.update(task, total=done if is_complete else state.span_count)
    if is_complete:
        Console(stderr=True, highlight=False).print(
            f"The history is there: {done - before:,} spans sent in {time.monotonic() - began_s:.0f} s. Live traffic begins."
        )
    return is_complete


if __name__ == "__main__":
    sys.exit(main())
