"""The lakes of a worker: opened once, replaced when they change, closed with everything stored."""

import asyncio
import shutil

import pytest

import lake
from api.settings import ServerSettings
from api.tenants import Tenants, Traces
from lake.control import Principal
from lake.errors import Overloaded
from lake.folder import add_promotion, open_folder
from lake.schema import Promoted
from lake.settings import LakeSettings
from lake.wire.traces import TraceBody
from tests.lake.spans import otlp_body

SHOP = Principal("shop", "live", "live", frozenset(), "id")
BANK = Principal("bank", "live", "live", frozenset(), "id")
SANDBOX = Principal("shop", "test", "sandbox", frozenset(), "id")


def run(tmp_path, scenario, **settings):
    """Run `scenario(tenants)` and close the tenants."""

    async def main():
        tenants = Tenants(ServerSettings(data=tmp_path, lake=LakeSettings(**settings)))
        try:
            return await scenario(tenants)
        finally:
            await tenants.close()

    return asyncio.run(main())


def request(spans=10):
    return Traces(TraceBody(otlp_body(spans), "protobuf"), None)


def count(folder):
    with lake.open(folder) as opened:
        [row] = opened.sql("SELECT count(*) AS n FROM spans").rows()
    return row["n"]


def test_a_lake_is_opened_once_however_many_ask_at_once(tmp_path):
    async def at_once(tenants):
        return await asyncio.gather(*(tenants.of(SHOP) for _ in range(20)))

    assert len(set(map(id, run(tmp_path, at_once)))) == 1


def test_every_project_and_environment_has_a_lake_of_its_own(tmp_path):
    async def of_all(tenants):
        for principal in (SHOP, BANK, SANDBOX):
            await (await tenants.of(principal)).store_traces(request())

    run(tmp_path, of_all)
    assert sorted(path.parent.relative_to(tmp_path).as_posix() for path in tmp_path.glob("*/*/lake.json")) == [
        "bank/live", "shop/live", "shop/sandbox",
    ]  # fmt: skip
    assert [count(tmp_path / place) for place in ("shop/live", "bank/live", "shop/sandbox")] == [10, 10, 10]


def test_what_came_before_the_end_is_stored(tmp_path):
    async def end_at_once(tenants):
        tenant = await tenants.of(SHOP)
        tasks = [asyncio.create_task(tenant.store_traces(request())) for _ in range(30)]
        await asyncio.sleep(0)
        return tasks

    tasks = run(tmp_path, end_at_once)
    assert [task.result().row_count for task in tasks] == [10] * 30
    assert count(tmp_path / "shop" / "live") == 300


def test_a_promotion_makes_a_new_tenant_and_the_old_one_ends_what_it_began(tmp_path):
    async def promote(tenants):
        old = await tenants.of(SHOP)
        add_promotion(open_folder(old.lake.path), Promoted("tier", "customer.tier", "!", "span"))
        new = await tenants.of(SHOP)
        assert new is not old
        assert new is await tenants.of(SHOP)
        await asyncio.gather(old.store_traces(request()), new.store_traces(request()))

    run(tmp_path, promote)
    assert count(tmp_path / "shop" / "live") == 20


def test_a_folder_that_was_moved_away_is_made_anew(tmp_path):
    async def move(tenants):
        await (await tenants.of(SHOP)).store_traces(request())
        shutil.move(tmp_path / "shop", tmp_path / "away")
        await (await tenants.of(SHOP)).store_traces(request(3))

    run(tmp_path, move)
    assert count(tmp_path / "shop" / "live") == 3
    assert count(tmp_path / "away" / "live") == 10


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"landing_max_files": 1}, "2 landing files wait for compaction, the limit is 1"),
        ({"landing_max_bytes": 1}, "bytes of landing files wait for compaction, the limit is 1"),
        ({"disk_free_min_bytes": 2**62}, "bytes are free on the data disk"),
    ],
)
def test_nothing_more_comes_in_beyond_a_limit(tmp_path, settings, said):
    async def fill(tenants):
        tenant = await tenants.of(SHOP)
        for _ in range(2):
            await tenant.store_traces(request())
        with pytest.raises(Overloaded, match=said) as caught:
            await tenant.admit()
        assert caught.value.retry_after_s >= 1

    run(tmp_path, fill, **settings)


def test_a_lake_that_cannot_be_read_takes_nothing_in(tmp_path):
    async def damage(tenants):
        tenant = await tenants.of(SHOP)
        (tmp_path / "shop" / "live" / "landing").write_text("no folder")
        with pytest.raises(Overloaded, match="tracelake doctor"):
            await tenant.admit()

    run(tmp_path, damage)


def test_how_much_waits_is_looked_at_once_a_second_and_not_for_each_request(tmp_path, monkeypatch):
    looks = []
    monkeypatch.setattr("api.tenants.overload", lambda *_: looks.append(1))

    async def ask_often(tenants):
        tenant = await tenants.of(SHOP)
        for _ in range(50):
            await tenant.admit()

    monkeypatch.setattr("api.tenants.BACKLOG_CHECK_S", 3600)
    run(tmp_path, ask_often)
    assert len(looks) == 1
