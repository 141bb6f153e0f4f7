"""lake: where spans are kept and asked about; imports none of its neighbours.

    import lake
    shop = lake.open("data/default/live")
    shop.sql("SELECT service_name, count(*) FROM spans GROUP BY 1").pl()

How data flows, which is also the order of imports:

    schema, errors, settings, disk, folder   what a lake is
    wire                                     bytes of clients -> Arrow rows
    landing                                  rows -> one durable file per commit
    tables                                   Delta tables: data files, log, compare-and-swap
    batches, exceptions, compaction          landing -> tables, each request once
    rewrite, retention, doctor               tables kept in order
    snapshot                                 one moment: a list of files
    queries, result, store                   questions -> SQL -> frames

`control` (projects and keys) stands apart: nothing of it is needed to read a lake.
"""

from .errors import LakeError
from .result import Result
from .settings import LakeSettings
from .snapshot import Snapshot
from .store import Lake, open  # noqa: A004 - users write lake.open(...)

__all__ = ["Lake", "LakeError", "LakeSettings", "Result", "Snapshot", "open"]
