"""Settings of a lake: how long things are kept and where the limits lie.

Takes   environment variables `TRACELAKE_<FIELD>`; only the command reads them, everything else is handed the object.
Gives   `LakeSettings`, frozen.
Refuses a value that is no number or is not positive: `SettingError` names the variable.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Self

from .errors import SettingError


@dataclass(frozen=True, slots=True)
class LakeSettings:
    """Every field is also an environment variable: `snapshot_keep_s` is `TRACELAKE_SNAPSHOT_KEEP_S`."""

    spans_days: int = 14
    """Days that spans are kept, by start and by ingest."""
    errors_days: int = 30
    """Days that errors are kept, reported ones and those from spans."""
    requests_days: int = 14
    """Days that HTTP request metrics are kept."""
    deploys_days: int = 90
    """Days that deploys are kept."""
    rollups_days: int = 90
    """Days that counts and latencies by minute, endpoint and service edge are kept."""
    batches_days: int = 2
    """Days that the list of ingested request bodies is kept; never less than the 24 h it is needed."""
    snapshot_keep_s: int = 3600
    """Seconds that a snapshot stays readable after newer data replaced its files."""
    landing_max_files: int = 2000
    """Landing files that may wait for compaction before ingest answers 503."""
    landing_max_bytes: int = 2**30
    """Bytes of landing files that may wait for compaction before ingest answers 503."""
    inflight_max_bytes: int = 128 * 2**20
    """Bytes of inflated request bodies that one process holds before it answers 503."""
    body_max_bytes: int = 64 * 2**20
    """Bytes of one request body, before and after inflation, before it is answered 413."""
    request_max_spans: int = 250_000
    """Spans in one request before it is answered 413."""
    request_max_resources: int = 10_000
    """Resources in one request before it is answered 413."""
    compaction_files: int = 64
    """Landing files that start a compaction at once."""
    compaction_interval_s: int = 5
    """Seconds after which waiting landing files are compacted even if they are few."""
    disk_free_min_bytes: int = 256 * 2**20
    """Free bytes on the data disk below which ingest answers 503, so that compaction can still work."""
    query_memory_mib: int = 384
    """MiB of memory that DuckDB may use in one process."""
    search_timeout_s: int = 30
    """Seconds that a search may take before it is answered 503."""

    @classmethod
    def from_env(cls, environment: Mapping[str, str]) -> Self:
        """Read the settings that are set; the others keep their defaults.

        Raises:
            SettingError: a value is not a positive whole number.
        """
        values = {}
        for field in fields(cls):
            name = f"TRACELAKE_{field.name.upper()}"
            if environment.get(name):
                values[field.name] = _positive(name, environment[name])
        return cls(**values)


def _positive(name: str, text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value <= 0:
        raise SettingError(f"{name} must be a whole number above 0, not {text!r}")
    return value
