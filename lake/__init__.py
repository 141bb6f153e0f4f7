"""lake: where spans are kept and asked about; imports none of its neighbours.

    import lake
    shop = lake.open("data/default/live")
    shop.sql("SELECT service_name, count(*) FROM spans GROUP BY 1").pl()

How data flows, which is also the order of imports:

    schema, errors, settings, disk, folder   what a lake is
    wire, fingerprint                        bytes of clients -> Arrow rows
    landing                                  rows -> one durable file per commit
    tables, data_files, commit_file          Delta tables: data files, log, compare-and-swap
    batches, derived, identity, lease        which requests and spans are the same, what derives from spans, who compacts
    compaction, partitioning                 landing -> tables, each request once
    merge, rewrite, trace_ranges,
    retention, promotion, doctor             tables kept in order
    snapshot                                 one moment: a list of files
    queries, relations, result               questions -> SQL -> frames
    trace_list, trace_view, render, n_plus_one   the answers about traces
    occurrences, file_cache, table_cache, error_status,
    error_groups, error_view, deploys        the answers about errors and deploys
    services, topology                       the answers about services, endpoints and who calls whom
    sandbox                                  SQL of strangers, each query in a process of its own
    analysis, impact                         what a deploy did, as numbers with their uncertainty
    search, deadline                         TQ, the search language, and how long a search may take
    store                                    `Lake`, what callers meet
    client                                   the same questions, asked of a server; knows nothing of files

`control` (projects and keys) stands apart: nothing of it is needed to read a lake.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .client import AsyncClient, Client, connect, connect_async
    from .errors import LakeError
    from .result import Result
    from .settings import LakeSettings
    from .snapshot import Snapshot
    from .store import Lake, open  # noqa: A004 - users write lake.open(...)

__all__ = [
    "AsyncClient",
    "Client",
    "Lake",
    "LakeError",
    "LakeSettings",
    "Result",
    "Snapshot",
    "connect",
    "connect_async",
    "open",
]

_HOMES = {
    "AsyncClient": "client",
    "Client": "client",
    "Lake": "store",
    "LakeError": "errors",
    "LakeSettings": "settings",
    "Result": "result",
    "Snapshot": "snapshot",
    "connect": "client",
    "connect_async": "client",
    "open": "store",
}


def __getattr__(name: str) -> object:
    """Import what is used when it is used (PEP 562): `lake.errors` or `lake.control` alone need no DuckDB."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found: object = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = found
    return found
