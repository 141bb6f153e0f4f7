"""What Landlock keeps from a process, each version by itself."""

import json
import subprocess
import sys

import pytest

from lake.sandbox import landlock

pytestmark = pytest.mark.skipif(not landlock.abi(), reason="this kernel has no Landlock")

TRY = """
import json, os, socket, sys, threading
from pathlib import Path
from lake.sandbox import landlock

folder, version, listening = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
parent = os.getppid()

def outcome(task):
    try:
        task()
        return "done"
    except OSError as error:
        return type(error).__name__

def connect(family, address):
    with socket.socket(family) as probe:
        probe.connect(address)

tasks = {
    "read": lambda: (folder / "mine").read_text(),
    "read below": lambda: (folder / "open/inner").read_text(),
    "list": lambda: os.listdir(folder / "open"),
    "read another": lambda: (folder / "other").read_text(),
    "list another": lambda: os.listdir(folder),
    "read by a link": lambda: (folder / "open/link").read_text(),
    "read by ..": lambda: (folder / "open/../other").read_text(),
    "passwd": lambda: Path("/etc/passwd").read_text(),
    "environ": lambda: Path(f"/proc/{parent}/environ").read_bytes(),
    "make": lambda: (folder / "new").write_text("x"),
    "write": lambda: (folder / "mine").open("r+").close(),
    "truncate": lambda: os.truncate(folder / "other", 0),
    "remove": lambda: (folder / "other").unlink(),
    "rename": lambda: (folder / "mine").rename(folder / "open/mine"),
    "link": lambda: os.symlink("x", folder / "y"),
    "tcp": lambda: connect(socket.AF_INET, ("127.0.0.1", listening)),
    "abstract": lambda: connect(socket.AF_UNIX, f"\\0tracelake-{listening}"),
    "signal": lambda: os.kill(parent, 0),
}
landlock.restrict(version, [folder / "mine", folder / "open"])
found = {name: outcome(task) for name, task in tasks.items()}
thread = threading.Thread(target=lambda: found.update(thread=outcome(tasks["passwd"])))
thread.start()
thread.join()
print(json.dumps(found))
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "open").mkdir()
    for name in ("mine", "other", "open/inner"):
        (tmp_path / name).write_text("x")
    (tmp_path / "open/link").symlink_to(tmp_path / "other")
    return tmp_path


@pytest.fixture
def listening():
    """A port of TCP that is listened to, and an abstract socket of that number."""
    import socket  # noqa: PLC0415

    with socket.socket() as tcp, socket.socket(socket.AF_UNIX) as abstract:
        tcp.bind(("127.0.0.1", 0))
        tcp.listen()
        abstract.bind(f"\0tracelake-{tcp.getsockname()[1]}")
        abstract.listen()
        yield tcp.getsockname()[1]


@pytest.mark.parametrize("version", range(1, landlock.abi() + 1))
def test_a_process_reads_what_it_may_and_does_nothing_else(folder, listening, version):
    done = subprocess.run(
        [sys.executable, "-c", TRY, folder, str(version), str(listening)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    denied = {name for name, outcome in found.items() if outcome != "done"}
    assert {name for name, outcome in found.items() if outcome == "done"} >= {"read", "read below", "list"}
    expected = set(found) - {"read", "read below", "list"}
    expected -= {"truncate"} if version < 3 else set()
    expected -= {"tcp"} if version < 4 else set()
    expected -= {"abstract", "signal"} if version < 6 else set()
    assert denied == expected


def test_a_path_that_is_not_there_is_an_error(folder):
    with pytest.raises(FileNotFoundError):
        landlock.restrict(landlock.abi(), [folder / "nothing"])
