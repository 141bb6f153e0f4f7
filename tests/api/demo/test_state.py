"""What the demo keeps in a data folder, and whose folder it leaves alone."""

import stat

import pytest

from api.demo.state import KEYS_FILE, STATE_FILE, DemoError, State, begun, demo_keys
from lake.control import FIRST_PROJECT, Control
from lake.folder import create_folder

END_NS = 1_795_000_000 * 10**9


def test_a_history_once_begun_keeps_its_seed_end_and_size(tmp_path):
    first = begun(tmp_path / "data", seed=1, end_ns=END_NS, span_count=1000)
    create_folder(tmp_path / "data" / FIRST_PROJECT / "live")
    assert begun(tmp_path / "data", seed=2, end_ns=END_NS + 1, span_count=2000) == first


def test_a_history_of_which_nothing_was_sent_ends_at_the_new_start(tmp_path):
    begun(tmp_path, seed=1, end_ns=END_NS, span_count=1000)
    assert begun(tmp_path, seed=1, end_ns=END_NS + 1, span_count=1000).end_ns == END_NS + 1


def test_a_folder_with_a_lake_that_is_not_the_demos_is_refused(tmp_path):
    create_folder(tmp_path / FIRST_PROJECT / "live")
    with pytest.raises(DemoError, match=r"not the demo's: choose an empty folder with --data"):
        begun(tmp_path, seed=1, end_ns=END_NS, span_count=1000)
    assert not (tmp_path / STATE_FILE).exists()


def test_a_damaged_state_is_named(tmp_path):
    (tmp_path / STATE_FILE).write_text('{"seed": 1}')
    with pytest.raises(DemoError, match=STATE_FILE):
        State.read(tmp_path)


def test_what_was_sent_is_remembered(tmp_path):
    state = State(1, END_NS, 1000).with_sent(7, is_complete=True)
    state.write(tmp_path)
    assert State.read(tmp_path) == state


def test_keys_stay_the_same_and_only_their_owner_can_read_them(tmp_path):
    keys = demo_keys(tmp_path, None)
    assert demo_keys(tmp_path, None) == keys
    assert stat.S_IMODE((tmp_path / KEYS_FILE).stat().st_mode) == 0o600
    with Control(tmp_path) as control:
        owners = [control.authenticate(key) for key in (keys.ingest, keys.live)]
    assert [owner and (owner.project, owner.kind) for owner in owners] == [
        (FIRST_PROJECT, "ingest"),
        (FIRST_PROJECT, "live"),
    ]


def test_a_revoked_key_is_replaced_and_the_other_one_stays(tmp_path):
    keys = demo_keys(tmp_path, None)
    with Control(tmp_path) as control:
        control.revoke_key(keys.live)
    again = demo_keys(tmp_path, None)
    assert again.ingest == keys.ingest
    assert again.live != keys.live
    with Control(tmp_path) as control:
        assert control.authenticate(again.live)
