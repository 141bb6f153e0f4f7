"""Every error that Tracelake raises on purpose.

    LakeError
    |-- WireError               the sender's bytes are not what the route takes
    |   `-- TooLarge            the request is over a limit of size or count
    |-- Overloaded              for the moment no more can be taken in; come back after `retry_after_s`
    |   `-- QueryTimeout        the question took too long
    |-- NotALake                the folder holds no lake, or one of a newer format
    |-- LakeCorrupt             a file the Delta log names is missing or unreadable
    |-- CommitConflict          another compactor was faster: open the table again and plan again
    |-- LeaseLost               this process is not (or no longer) the compactor of the lake
    |-- SnapshotInvalid         the text does not name a snapshot of this lake
    |   `-- SnapshotExpired     it did, but its files are gone
    |-- QueryError              the question cannot be answered as asked
    |   `-- InvalidParameter    one parameter is wrong; `param` names it
    |-- SettingError            an environment variable has a value that it cannot have
    |-- RemoteError             a server refused; it and its kin are in `lake.client.errors`
    `-- ControlError            projects and keys: unknown, taken or malformed

Anything else that escapes is a bug in Tracelake.
"""

from __future__ import annotations


class LakeError(Exception):
    """Base of every error in this module."""


class WireError(LakeError):
    """The sender's bytes are not what the route takes; sending them again cannot help."""


class TooLarge(WireError):
    """The request is over a limit of size or count; the message names limit and value."""


class Overloaded(LakeError):
    """For the moment no more can be taken in. Nothing of the request was stored."""

    def __init__(self, message: str, *, retry_after_s: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class QueryTimeout(Overloaded):
    """The question took too long and was stopped."""


class NotALake(LakeError):
    """The folder holds no lake, or one of a newer format than this version reads."""


class LakeCorrupt(LakeError):
    """A file that the Delta log or a landing watermark names is missing or unreadable."""


class CommitConflict(LakeError):
    """Another compactor committed first; nothing was changed by this one."""


class LeaseLost(LakeError):
    """Another process holds the compactor's lease of this lake."""


class SnapshotInvalid(LakeError):
    """The text does not name a snapshot of this lake."""


class SnapshotExpired(SnapshotInvalid):
    """The snapshot was real, but files it needs may be gone: start again from a new one."""


class QueryError(LakeError):
    """The question cannot be answered as asked."""


class InvalidParameter(QueryError):
    """One parameter is wrong.

    Attributes:
        param: name of the parameter as the caller wrote it.
    """

    def __init__(self, param: str, message: str) -> None:
        super().__init__(message)
        self.param = param


class ControlError(LakeError):
    """A project or key is unknown, already there, or malformed."""


class SettingError(LakeError):
    """An environment variable has a value that it cannot have."""
