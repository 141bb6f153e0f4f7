"""Commit file: the JSON of one version of a Delta table.

Takes   what a version adds, removes and records.
Gives   the bytes of `_delta_log/<version>.json`, one action a line.
Refuses nothing.

delta-rs could write these files, but it never flushes them: after a power loss the newest may be empty or cut, and then
either nobody can open the table any more or rows are there without their watermark (docs/decisions/0006). So a version
is put together here, as https://github.com/delta-io/delta/blob/master/PROTOCOL.md says under "Actions", and `lake.tables`
makes it durable before it has its name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

import orjson

from .data_files import DataFile, LiveFile

Action = Mapping[str, object]

_PROTOCOL = {"protocol": {"minReaderVersion": 1, "minWriterVersion": 2}}


def commit_bytes(actions: Iterable[Action]) -> bytes:
    """The content of a commit file."""
    return b"".join(orjson.dumps(action) + b"\n" for action in actions)


def create(metadata: Action, *, now_ms: int) -> list[Action]:
    """The actions of version 0."""
    return [_info("CREATE TABLE", now_ms), _PROTOCOL, metadata]


def change(
    *,
    now_ms: int,
    add: Iterable[DataFile] = (),
    remove: Iterable[LiveFile] = (),
    watermarks: Mapping[str, int] = MappingProxyType({}),
    forget: Iterable[str] = (),
    metadata: Action | None = None,
) -> list[Action]:
    """The actions of a later version.

    Args:
        now_ms: milliseconds since the Unix epoch.
        watermarks: writer to its highest absorbed sequence.
        forget: writers whose watermarks go.
        metadata: the table's columns, if they change.
    """
    return [
        _info("WRITE", now_ms),
        *([metadata] if metadata else []),
        *(_remove(file, now_ms) for file in remove),
        *(_add(file, now_ms) for file in add),
        # no `lastUpdated`, which would let the watermark of a quiet writer expire
        *({"txn": {"appId": writer, "version": sequence}} for writer, sequence in watermarks.items()),
        *({"txn": {"appId": writer, "version": 0, "lastUpdated": 0}} for writer in forget),
    ]


def metadata(
    *,
    table_id: str,
    schema_json: str,
    partition_columns: list[str],
    configuration: Mapping[str, str],
    created_ms: int | None,
) -> Action:
    """Says which columns the table has.

    Args:
        schema_json: the columns as the Delta protocol writes them.
        created_ms: when the table was made, milliseconds since the Unix epoch.
    """
    return {
        "metaData": {
            "id": table_id,
            "format": {"provider": "parquet", "options": {}},
            "schemaString": schema_json,
            "partitionColumns": partition_columns,
            "configuration": dict(configuration),
            "createdTime": created_ms,
        }
    }


def _info(operation: str, now_ms: int) -> Action:
    return {"commitInfo": {"timestamp": now_ms, "operation": operation, "engineInfo": "tracelake"}}


def _add(file: DataFile, now_ms: int) -> Action:
    return {
        "add": {
            "path": file.path,
            "partitionValues": file.partition.values,
            "size": file.size_bytes,
            "modificationTime": now_ms,
            "dataChange": True,
            "stats": file.statistics,
        }
    }


def _remove(file: LiveFile, now_ms: int) -> Action:
    # dataChange also where rows only move, so that no other writer takes this for a change that may be reordered
    return {
        "remove": {
            "path": file.path,
            "deletionTimestamp": now_ms,
            "dataChange": True,
            "extendedFileMetadata": True,
            "partitionValues": file.partition.values,
            "size": file.size_bytes,
        }
    }
