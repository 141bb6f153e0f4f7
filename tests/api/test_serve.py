"""The supervisor with real child processes."""

import os
import signal
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from api.serve import Command, ServeError, Supervisor, check_port, commands, wait_until_healthy
from api.settings import ServerSettings
from tests.servers import wait_until

OBEDIENT = "import signal, time; signal.signal(signal.SIGTERM, lambda *_: exit(0)); {ready}; time.sleep(600)"
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); {ready}; time.sleep(600)"
PARENT = """
import subprocess, time
subprocess.Popen([sys.executable, "-c", sys.argv[2], sys.argv[1]])
{ready}
while len(os.listdir(sys.argv[1])) < 2:
    time.sleep(0.01)
sys.exit(3)
"""
FAILING = "{ready}; exit(3)"
READY = "open(sys.argv[1] + '/' + str(os.getpid()), 'w').close()"


@pytest.fixture(autouse=True)
def a_terminal_that_is_minded():
    """As in a shell, also where the tests themselves run under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture
def place(tmp_path):
    """Where each child leaves a file with its process id as name."""
    folder = tmp_path / "running"
    folder.mkdir()
    return folder


def child(place, name, program, *arguments, **what):
    return Command(
        name, (sys.executable, "-c", "import os, sys; " + program.format(ready=READY), str(place), *arguments), **what
    )


def started(place, count=1):
    """The process ids of the children, once there are that many."""
    wait_until(lambda: len(list(place.iterdir())) >= count, lambda: f"{list(place.iterdir())} of {count} have started")
    return sorted(int(path.name) for path in place.iterdir())


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text() if Path("/proc").exists() else True


def supervise(place, *children, stop=signal.SIGTERM, count=None):
    """Run children, stop when all have started; returns the exit code and their process ids."""
    supervisor = Supervisor(list(children))

    def ready():
        started(place, count or len(children))
        os.kill(os.getpid(), stop)

    code = supervisor.run(ready)
    return code, started(place)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_stops_all_children_and_is_no_failure(place, number):
    code, pids = supervise(place, child(place, "a", OBEDIENT), child(place, "b", OBEDIENT), stop=number)
    assert code == 0
    assert len(pids) == 2
    assert not any(is_alive(pid) for pid in pids)


def test_a_child_that_ignores_the_signal_is_killed_in_time(place, monkeypatch):
    monkeypatch.setattr("api.serve.STOP_S", 0.3)
    code, pids = supervise(place, child(place, "a", STUBBORN), child(place, "b", OBEDIENT))
    assert code == 0
    assert not any(is_alive(pid) for pid in pids)


def test_the_time_that_children_have_to_stop_is_under_five_seconds():
    from api import serve, server  # noqa: PLC0415 - the constants as they are, not as another test has them

    assert server.STOP_S < serve.STOP_S < 5


def test_signals_are_as_before_afterwards(place):
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)]
    supervise(place, child(place, "a", OBEDIENT))
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)] == before


def test_a_server_that_was_told_not_to_mind_its_terminal_does_not(place):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        supervisor = Supervisor([child(place, "a", OBEDIENT)])

        def ready():
            os.kill(os.getpid(), signal.SIGHUP)
            assert not supervisor.is_told_to_stop()
            os.kill(os.getpid(), signal.SIGTERM)

        assert supervisor.run(ready) == 0
    finally:
        signal.signal(signal.SIGHUP, before)


def test_the_end_of_an_essential_child_is_the_end_of_all_with_its_code(place):
    supervisor = Supervisor([child(place, "server", FAILING, essential=True), child(place, "b", OBEDIENT)])
    assert supervisor.run() == 3
    assert not any(is_alive(pid) for pid in started(place))


def test_an_essential_child_that_ends_well_is_a_failure_all_the_same(place):
    assert Supervisor([child(place, "server", "{ready}", essential=True)]).run() == 1


def test_nobody_waits_for_a_server_that_has_ended(place):
    supervisor = Supervisor([child(place, "server", FAILING, essential=True)])
    waited = []

    def ready():
        wait_until_healthy("http://127.0.0.1:9", supervisor.is_told_to_stop, timeout_s=600)
        waited.append(supervisor.is_told_to_stop())

    assert supervisor.run(ready) == 3
    assert waited == [True]


def in_background(supervisor, ready=lambda: None):
    """Runs `ready` and what follows in a thread, since the supervisor wants the main one; stops it afterwards."""

    def run():
        try:
            ready()
        finally:
            if signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:  # else the supervisor has ended, and the tests would
                os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=run).start()
    return supervisor.run()


def test_another_child_that_ends_is_started_again(place, monkeypatch):
    monkeypatch.setattr("api.serve._RESTART_PAUSE_S", 0.05)
    supervisor = Supervisor([child(place, "server", OBEDIENT, essential=True), child(place, "scheduler", OBEDIENT)])
    seen = []

    def ready():
        seen.extend(started(place, 2))
        scheduler = supervisor._running["scheduler"].pid
        os.kill(scheduler, signal.SIGKILL)
        seen.append(len(started(place, 3)))

    assert in_background(supervisor, ready) == 0
    assert seen[-1] == 3
    assert not any(is_alive(pid) for pid in started(place))


def test_a_child_that_cannot_be_started_again_does_not_end_the_others(place, monkeypatch, tmp_path):
    monkeypatch.setattr("api.serve._RESTART_PAUSE_S", 0.05)
    program = tmp_path / "program"
    program.write_text(f"#!{sys.executable}\nimport os, sys; {READY}; sys.exit(1)\n")
    program.chmod(0o755)
    gone = tmp_path / "moved"
    supervisor = Supervisor(
        [child(place, "server", OBEDIENT, essential=True), Command("scheduler", (str(program), str(place)))]
    )

    def ready():
        started(place, 2)
        program.rename(gone)
        before = len(started(place))
        gone.rename(program)
        started(place, before + 1)

    assert in_background(supervisor, ready) == 0


def test_what_a_child_leaves_behind_is_ended_too(place):
    """The workers of a web server that has crashed would hold its port."""
    orphan = f"import os, sys, time; {READY}; time.sleep(600)"
    assert Supervisor([child(place, "server", PARENT, orphan, essential=True)]).run() == 3
    pids = started(place, 2)
    wait_until(lambda: not any(is_alive(pid) for pid in pids), lambda: f"one of {pids} lives on")


def test_clients_are_stopped_before_the_server(place, tmp_path):
    order = tmp_path / "order"
    program = (
        "import signal, time; "
        f"signal.signal(signal.SIGTERM, lambda *_: (open({str(order)!r}, 'a').write(sys.argv[2] + ' '), exit(0))); "
        "{ready}; time.sleep(600)"
    )
    server = child(place, "server", program, "server", essential=True)
    client = child(place, "shop", program, "shop", is_client=True)
    supervise(place, server, client)
    assert order.read_text().split() == ["shop", "server"]


def test_a_child_can_be_added_while_the_others_run(place):
    supervisor = Supervisor([child(place, "a", OBEDIENT)])

    def ready():
        supervisor.add(child(place, "b", OBEDIENT))
        started(place, 2)
        os.kill(os.getpid(), signal.SIGTERM)

    assert supervisor.run(ready) == 0
    assert not any(is_alive(pid) for pid in started(place))


def test_an_error_in_ready_stops_the_children(place):
    supervisor = Supervisor([child(place, "a", OBEDIENT)])

    def ready():
        started(place)
        raise ServeError("does not answer")

    with pytest.raises(ServeError):
        supervisor.run(ready)
    assert not any(is_alive(pid) for pid in started(place))


def test_children_have_the_settings_in_their_environment(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = ServerSettings(Path("data"), "sqlite:///keys.db", "::1", 4000, 3, lab_url="http://lab")
    server, scheduler = commands(settings)
    assert server.essential
    assert not scheduler.essential
    read = ServerSettings.from_env(server.environment)
    assert (read.data, read.host, read.port, read.workers) == (tmp_path / "data", "::1", 4000, 3)
    assert (read.control_url, read.lab_url) == ("sqlite:///keys.db", "http://lab")
    assert ServerSettings.from_env(scheduler.environment).data == tmp_path / "data"


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_port_that_is_taken_is_named(host):
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as listener:
        listener.bind((host, 0))
        listener.listen()
        port = listener.getsockname()[1]
        with pytest.raises(ServeError, match=f"{host}:{port}: .*choose --port"):
            check_port(host, port)
    check_port(host, port)


def test_a_host_that_is_none_is_named():
    with pytest.raises(ServeError, match=r"nowhere\.invalid:3000"):
        check_port("nowhere.invalid", 3000)


class Unwell(BaseHTTPRequestHandler):
    answers: ClassVar = [503, 503, 200]

    def do_GET(self):
        self.send_response(self.answers.pop(0))
        self.end_headers()

    def log_message(self, *_):
        """Tests are quiet."""


def test_a_server_is_ready_when_it_says_200():
    with HTTPServer(("127.0.0.1", 0), Unwell) as server:

        def answer_all():
            while Unwell.answers:
                server.handle_request()

        thread = threading.Thread(target=answer_all)
        thread.start()
        wait_until_healthy(f"http://127.0.0.1:{server.server_port}", lambda: False)
        thread.join()
    assert Unwell.answers == []


def test_a_server_that_never_answers_is_given_up():
    with pytest.raises(ServeError, match=r"did not answer within 0 s"):
        wait_until_healthy("http://127.0.0.1:9", lambda: False, timeout_s=0.1)


def test_who_is_told_to_stop_waits_no_longer():
    wait_until_healthy("http://127.0.0.1:9", lambda: True, timeout_s=0)
