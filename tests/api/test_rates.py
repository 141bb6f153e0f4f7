"""The table of windows that worker processes share."""

import subprocess
import sys

import pytest

from api.rates import FILE_NAME, PLACES, Rates


class Clock:
    now_s = 1000.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def rates(tmp_path, clock):
    rates = Rates(tmp_path, monotonic_s=clock)
    yield rates
    rates.close()


def allowed(rates, name, limit, count, *, is_key=True):
    return sum(rates.count(name, limit, is_key=is_key).is_allowed for _ in range(count))


def test_each_name_has_a_window_of_its_own(rates):
    assert allowed(rates, "a", 5, 9) == 5
    assert allowed(rates, "b", 7, 9) == 7
    assert allowed(rates, "a", 9, 9, is_key=False) == 9


def test_a_window_is_the_same_in_every_process(tmp_path, rates):
    program = (
        "import sys, pathlib; from api.rates import Rates; r = Rates(pathlib.Path(sys.argv[1]))\n"
        "print(sum(r.count('a', 1000, is_key=True).is_allowed for _ in range(700)))"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", program, tmp_path], stdout=subprocess.PIPE, text=True) for _ in range(3)
    ]
    assert sum(int(process.communicate()[0]) for process in running) == 1000


def test_a_window_lasts_over_a_restart(tmp_path, rates, clock):
    allowed(rates, "a", 5, 3)
    again = Rates(tmp_path, monotonic_s=clock)
    assert allowed(again, "a", 5, 9) == 2
    again.close()


def test_a_look_counts_nothing_and_is_right_within_a_second(rates, clock):
    assert rates.look("a", 5, is_key=True).remaining == 5
    allowed(rates, "a", 5, 9)
    clock.now_s += 1
    for _ in range(9):
        assert (rates.look("a", 5, is_key=True).remaining, rates.look("a", 5, is_key=True).is_allowed) == (0, True)
    clock.now_s += 60
    assert allowed(rates, "a", 5, 9) == 5


def test_the_file_keeps_its_size_and_addresses_do_not_make_keys_forget(tmp_path, rates, clock):
    size = (tmp_path / FILE_NAME).stat().st_size
    allowed(rates, "key", 5, 5)
    for number in range(3 * PLACES):
        rates.count(f"10.0.{number}", 5, is_key=False)
    assert allowed(rates, "key", 5, 5) == 0
    assert (tmp_path / FILE_NAME).stat().st_size == size < 4 * 2**20


def test_of_names_that_share_a_place_the_one_that_was_quiet_for_longest_is_forgotten(rates, clock):
    names = [f"k{number}" for number in range(PLACES)]
    for name in names:
        clock.now_s += 0.001
        allowed(rates, name, 1, 1)
    recent = names[-20:]
    assert sum(allowed(rates, name, 1, 1) for name in recent) == 0


def test_a_table_from_before_the_machine_started_again_refuses_nobody(tmp_path, rates, clock):
    for number in range(3 * PLACES):
        rates.count(f"k{number}", 1, is_key=True)
    clock.now_s = 5.0
    for number in range(50):
        assert allowed(rates, f"k{number}", 1, 2) == 1
        assert allowed(rates, f"new{number}", 1, 2) == 1


@pytest.mark.parametrize("content", [b"", b"x", bytes(10 * 2**20)])
def test_a_file_of_another_version_is_made_anew(tmp_path, content):
    (tmp_path / FILE_NAME).write_bytes(content)
    rates = Rates(tmp_path)
    assert allowed(rates, "a", 2, 3) == 2
    rates.close()


def test_only_the_owner_can_read_the_file(tmp_path, rates):
    assert (tmp_path / FILE_NAME).stat().st_mode & 0o077 == 0


def test_without_room_for_the_table_requests_are_counted_all_the_same(tmp_path):
    """A limit on the size of files is what a full disk looks like to one process."""
    script = (
        "import resource, sys; from pathlib import Path; from api.rates import Rates\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "rates = Rates(Path(sys.argv[1]))\n"
        "print(sum(rates.count('a', 2, is_key=True).is_allowed for _ in range(5)))\n"
    )
    done = subprocess.run([sys.executable, "-c", script, tmp_path], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "2"
    assert "each worker counts for itself" in done.stdout + done.stderr
