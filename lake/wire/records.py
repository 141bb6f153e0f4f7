"""Records: serialized protobuf messages to Arrow, by ptars.

Takes   the handler of a message type and serialized messages.
Gives   a record batch with one row a message.
Refuses bytes that are no such message: `WireError`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from ptars._lib import ProtoRegistry

from ..errors import WireError


def handler_of(files: Sequence[FileDescriptorProto], message: str) -> Any:  # noqa: ANN401 - ptars ships no types
    """What reads messages of the type with this full name, declared in `files`."""
    return ProtoRegistry([file.SerializeToString() for file in files]).create_for_message(message, None)


def read(handler: Any, messages: list[bytes]) -> pa.RecordBatch:  # noqa: ANN401 - as above
    """Read messages.

    Raises:
        WireError: one of them is malformed. The error does not say which one.
    """
    try:
        return handler.list_to_record_batch(messages)
    except ValueError as error:
        raise _refusal(str(error)) from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        # ptars adds up a length near 2^64 without a check; Rust panics, and its exception is none that anybody catches
        raise _refusal("a field is longer than the body") from error


def _refusal(reason: str) -> WireError:
    return WireError(f"not an OTLP trace request in protobuf: {reason}")
