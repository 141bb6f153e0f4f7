"""Client: a server, asked as if it were a lake.

Takes   the address of a server and a key.
Gives   the questions of a local `Lake` and the calls of the API, as methods (`Client`) or coroutines (`AsyncClient`).
Refuses what `lake.client.errors` lists.

What a call sends and reads is said once, in `lake.client.questions` and `lake.client.calls`; the classes only list them
and run them.
"""

from __future__ import annotations

import re
from typing import Self, TypeVar
from urllib.parse import urlsplit

from ..errors import InvalidParameter
from . import questions
from . import search as searches
from .call import Call
from .calls import alerts, deliveries, errors, ingest, keys, maintenance, nodes, services, traces
from .methods import async_pages, coroutine, method, pages
from .questions import Snapshot
from .retries import Clock
from .transport import AsyncConnection, Connection, Limits, Wire

T = TypeVar("T")

_KEY = re.compile(r"[!-~]+")
"""What can stand in a header."""


class RemoteLake:
    """The questions of a local `Lake`, asked of a server: of its newest snapshot, or of the one it is `at`."""

    sql = method(questions.sql)
    sql_first = method(questions.sql_first)
    spans = method(questions.spans)
    trace = method(questions.trace)
    errors = method(questions.errors)
    deploys = method(questions.deploys)
    traces = method(questions.traces)
    search = method(searches.search)
    search_metrics = method(searches.search_metrics)
    snapshot = method(questions.snapshot)

    def __init__(self, connection: Connection, *, at: str | None = None) -> None:
        """Use `lake.connect(url, key)`."""
        self._connection = connection
        self._at = at

    @property
    def url(self) -> str:
        return self._connection.url

    def at(self, snapshot: Snapshot | str) -> RemoteLake:
        """The same lake at a snapshot (or the text of `X-Lake-Snapshot`): the same question gives the same answer.

        Whether there is such a snapshot is known when something is asked: `BadRequest` says if it is gone.
        """
        return RemoteLake(self._connection, at=_token(snapshot))

    def run(self, call: Call[T]) -> T:
        """Make a call that `lake.client.questions` or `lake.client.calls` describes."""
        asked: T | Call[T] = call if self._at is None else questions.pinned(call, self._at)
        while isinstance(asked, Call):
            asked = asked.read(self._connection.send(asked.request))
        return asked

    def close(self) -> None:
        """Close the connections; neither the client nor a lake at one of its snapshots can be used afterwards."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r})"


class Client(RemoteLake):
    """A server and a key. Several threads may use it; close it, or use it in a `with` statement."""

    list_traces = method(traces.list_traces)
    iter_traces = pages(traces.list_traces)
    get_trace = method(traces.get_trace)
    export_trace = method(traces.export_trace)
    search_traces = method(traces.search_traces)
    iter_search = pages(traces.search_traces)
    explain_search = method(traces.explain_search)
    measure_traces = method(traces.measure_traces)
    list_errors = method(errors.list_errors)
    iter_errors = pages(errors.list_errors)
    get_error = method(errors.get_error)
    list_occurrences = method(errors.list_occurrences)
    iter_occurrences = pages(errors.list_occurrences)
    set_error_status = method(errors.set_error_status)
    list_deploys = method(errors.list_deploys)
    iter_deploys = pages(errors.list_deploys)
    get_deploy = method(errors.get_deploy)
    get_deploy_impact = method(errors.get_deploy_impact)
    list_alerts = method(alerts.list_alerts)
    iter_alerts = pages(alerts.list_alerts)
    acknowledge_alert = method(alerts.acknowledge_alert)
    list_alert_events = method(alerts.list_alert_events)
    iter_alert_events = pages(alerts.list_alert_events)
    list_alert_rules = method(alerts.list_alert_rules)
    iter_alert_rules = pages(alerts.list_alert_rules)
    get_alert_rule = method(alerts.get_alert_rule)
    create_alert_rule = method(alerts.create_alert_rule)
    replace_alert_rule = method(alerts.replace_alert_rule)
    change_alert_rule = method(alerts.change_alert_rule)
    delete_alert_rule = method(alerts.delete_alert_rule)
    try_alert_rule = method(alerts.try_alert_rule)
    list_silences = method(alerts.list_silences)
    iter_silences = pages(alerts.list_silences)
    create_silence = method(alerts.create_silence)
    end_silence = method(alerts.end_silence)
    list_alert_deliveries = method(deliveries.list_alert_deliveries)
    iter_alert_deliveries = pages(deliveries.list_alert_deliveries)
    retry_alert_delivery = method(deliveries.retry_alert_delivery)
    current_key = method(keys.current_key)
    list_keys = method(keys.list_keys)
    iter_keys = pages(keys.list_keys)
    get_key = method(keys.get_key)
    create_key = method(keys.create_key)
    change_key = method(keys.change_key)
    revoke_key = method(keys.revoke_key)
    list_services = method(services.list_services)
    get_topology = method(services.get_topology)
    list_endpoints = method(services.list_endpoints)
    iter_endpoints = pages(services.list_endpoints)
    get_maintenance = method(maintenance.get_maintenance)
    list_nodes = method(nodes.list_nodes)
    iter_nodes = pages(nodes.list_nodes)
    get_node = method(nodes.get_node)
    register_node = method(nodes.register_node)
    beat_node = method(nodes.beat_node)
    change_node = method(nodes.change_node)
    forget_node = method(nodes.forget_node)
    send_traces = method(ingest.send_traces)
    report_error = method(ingest.report_error)
    report_errors = method(ingest.report_errors)
    report_deploy = method(ingest.report_deploy)


class AsyncRemoteLake:
    """The same as `RemoteLake` for asyncio."""

    sql = coroutine(questions.sql)
    sql_first = coroutine(questions.sql_first)
    spans = coroutine(questions.spans)
    trace = coroutine(questions.trace)
    errors = coroutine(questions.errors)
    deploys = coroutine(questions.deploys)
    traces = coroutine(questions.traces)
    search = coroutine(searches.search)
    search_metrics = coroutine(searches.search_metrics)
    snapshot = coroutine(questions.snapshot)

    def __init__(self, connection: AsyncConnection, *, at: str | None = None) -> None:
        """Use `lake.connect_async(url, key)`."""
        self._connection = connection
        self._at = at

    @property
    def url(self) -> str:
        return self._connection.url

    def at(self, snapshot: Snapshot | str) -> AsyncRemoteLake:
        """The same lake at a snapshot, as `RemoteLake.at`."""
        return AsyncRemoteLake(self._connection, at=_token(snapshot))

    async def run(self, call: Call[T]) -> T:
        """Make a call that `lake.client.questions` or `lake.client.calls` describes."""
        asked: T | Call[T] = call if self._at is None else questions.pinned(call, self._at)
        while isinstance(asked, Call):
            asked = asked.read(await self._connection.send(asked.request))
        return asked

    async def close(self) -> None:
        """Close the connections; neither the client nor a lake at one of its snapshots can be used afterwards."""
        await self._connection.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r})"


class AsyncClient(AsyncRemoteLake):
    """A server and a key, for asyncio; close it, or use it in an `async with` statement."""

    list_traces = coroutine(traces.list_traces)
    iter_traces = async_pages(traces.list_traces)
    get_trace = coroutine(traces.get_trace)
    export_trace = coroutine(traces.export_trace)
    search_traces = coroutine(traces.search_traces)
    iter_search = async_pages(traces.search_traces)
    explain_search = coroutine(traces.explain_search)
    measure_traces = coroutine(traces.measure_traces)
    list_errors = coroutine(errors.list_errors)
    iter_errors = async_pages(errors.list_errors)
    get_error = coroutine(errors.get_error)
    list_occurrences = coroutine(errors.list_occurrences)
    iter_occurrences = async_pages(errors.list_occurrences)
    set_error_status = coroutine(errors.set_error_status)
    list_deploys = coroutine(errors.list_deploys)
    iter_deploys = async_pages(errors.list_deploys)
    get_deploy = coroutine(errors.get_deploy)
    get_deploy_impact = coroutine(errors.get_deploy_impact)
    list_alerts = coroutine(alerts.list_alerts)
    iter_alerts = async_pages(alerts.list_alerts)
    acknowledge_alert = coroutine(alerts.acknowledge_alert)
    list_alert_events = coroutine(alerts.list_alert_events)
    iter_alert_events = async_pages(alerts.list_alert_events)
    list_alert_rules = coroutine(alerts.list_alert_rules)
    iter_alert_rules = async_pages(alerts.list_alert_rules)
    get_alert_rule = coroutine(alerts.get_alert_rule)
    create_alert_rule = coroutine(alerts.create_alert_rule)
    replace_alert_rule = coroutine(alerts.replace_alert_rule)
    change_alert_rule = coroutine(alerts.change_alert_rule)
    delete_alert_rule = coroutine(alerts.delete_alert_rule)
    try_alert_rule = coroutine(alerts.try_alert_rule)
    list_silences = coroutine(alerts.list_silences)
    iter_silences = async_pages(alerts.list_silences)
    create_silence = coroutine(alerts.create_silence)
    end_silence = coroutine(alerts.end_silence)
    list_alert_deliveries = coroutine(deliveries.list_alert_deliveries)
    iter_alert_deliveries = async_pages(deliveries.list_alert_deliveries)
    retry_alert_delivery = coroutine(deliveries.retry_alert_delivery)
    current_key = coroutine(keys.current_key)
    list_keys = coroutine(keys.list_keys)
    iter_keys = async_pages(keys.list_keys)
    get_key = coroutine(keys.get_key)
    create_key = coroutine(keys.create_key)
    change_key = coroutine(keys.change_key)
    revoke_key = coroutine(keys.revoke_key)
    list_services = coroutine(services.list_services)
    get_topology = coroutine(services.get_topology)
    list_endpoints = coroutine(services.list_endpoints)
    iter_endpoints = async_pages(services.list_endpoints)
    get_maintenance = coroutine(maintenance.get_maintenance)
    list_nodes = coroutine(nodes.list_nodes)
    iter_nodes = async_pages(nodes.list_nodes)
    get_node = coroutine(nodes.get_node)
    register_node = coroutine(nodes.register_node)
    beat_node = coroutine(nodes.beat_node)
    change_node = coroutine(nodes.change_node)
    forget_node = coroutine(nodes.forget_node)
    send_traces = coroutine(ingest.send_traces)
    report_error = coroutine(ingest.report_error)
    report_errors = coroutine(ingest.report_errors)
    report_deploy = coroutine(ingest.report_deploy)


def _token(snapshot: Snapshot | str) -> str:
    return snapshot.token if isinstance(snapshot, Snapshot) else snapshot


_LIMITS = Limits()
_CLOCK = Clock()


def connect(url: str, key: str, *, limits: Limits = _LIMITS, clock: Clock = _CLOCK) -> Client:
    """A client of the server at an address; nothing is sent before the first call.

    Args:
        url: as `http://localhost:3000`, with a path in front of `/v1` if the server is behind one.
        key: `mtk_live_...` or `mtk_test_...` to ask, `proj_...` to send.
        limits: how long and how much to wait for, in seconds and bytes.

    Raises:
        InvalidParameter: the address or the key cannot be one.
    """
    return Client(Connection(_wire(url, key, limits, clock)))


def connect_async(url: str, key: str, *, limits: Limits = _LIMITS, clock: Clock = _CLOCK) -> AsyncClient:
    """The same for asyncio: its methods are coroutines, its iterators asynchronous."""
    return AsyncClient(AsyncConnection(_wire(url, key, limits, clock)))


def _wire(url: str, key: str, limits: Limits, clock: Clock) -> Wire:
    if not _KEY.fullmatch(key):  # the message of an HTTP library would show it
        raise InvalidParameter("key", "the key is empty or has characters that no key has, as a line end")
    return Wire(_address(url), key, limits, clock)


def _address(url: str) -> str:
    """The address in front of `/v1`.

    Raises:
        InvalidParameter: it cannot be one.
    """
    try:
        parts = urlsplit(url)
        is_sound = bool(parts.scheme in ("http", "https") and parts.hostname and parts.port != 0)
    except ValueError:  # a host or port that cannot be
        is_sound = False
    if not is_sound or "@" in parts.netloc or parts.query or parts.fragment:
        raise InvalidParameter("url", "the address must be as http://localhost:3000, without a user, ? or #")
    return f"{parts.scheme}://{parts.netloc}{parts.path}".rstrip("/").removesuffix("/v1")
