"""Mutations: bodies that are nearly trace requests.

Takes   a body and a source of chance.
Gives   the body with some bytes changed, or with another value in one place.
Refuses nothing.
"""

from __future__ import annotations

import json
from random import Random
from typing import Any

_TAGS = bytes([0x0A, 0x12, 0x1A, 0x22, 0x4A, 0x5A, 0x6A, 0x7A, 0x0B, 0x0C, 0x0D, 0x09, 0x08, 0x00, 0x7F, 0x80, 0xFF])
_LENGTHS = [b"\xff" * 9 + b"\x01", b"\xfa" + b"\xff" * 8 + b"\x01", b"\xff\xff\xff\xff\x0f", b"\x80\x80\x00", b"\xff" * 11]


def mutated_protobuf(body: bytes, random: Random) -> bytes:
    """Up to three cuts, copies, flips or splices; now and then the end is missing."""
    for _ in range(random.choice([1, 1, 1, 2, 3])):
        at = random.randrange(len(body) + 1)
        end = min(len(body), at + random.choice([0, 1, 1, 2, 5, 20]))
        start = random.randrange(len(body) + 1)
        splice = random.choice(
            [
                random.randbytes(end - at),
                random.randbytes(random.choice([1, 2, 4])),
                bytes([random.choice(_TAGS)]),
                body[start : start + random.choice([2, 5, 30, 300])],
                random.choice(_LENGTHS),
                b"",
            ]
        )
        body = body[:at] if random.random() < 0.1 else body[:at] + splice + body[end:]
    return body


_SPLICES = [b"null", b"[]", b"{}", b"1e999", b"-1", b'"\\ud800"', b"NaN", b'"', b",", b"[" * 1500, b"\xff", b"true",
            b'{"stringValue":"x"}', b"0x1", b"123456789012345678901234567890", b"\x00", b"\\"]  # fmt: skip


def mutated_json(body: bytes, random: Random) -> bytes:
    """Up to three cuts, copies, flips or splices, half of them where a JSON value begins."""
    for _ in range(random.randint(1, 3)):
        at = random.randrange(len(body))
        if random.random() < 0.5:
            at = max(body.rfind(b":", 0, at) + 1, 0)
        end = min(len(body), at + random.choice([0, 1, 2, 8, 60]))
        if random.random() < 0.3:
            ends = [body.find(stop, at) for stop in (b",", b"}", b"]")]
            end = min((e for e in ends if e >= 0), default=end)
        splice = random.choice([*_SPLICES, b"", body[end : end + 40], bytes([random.randrange(256)])])
        body = body[:at] + splice + body[end:] or b" "
    return body


_ODDITIES: list[Any] = [None, True, 0, -1, 2**64, 1.5, 1e18, "", "1", "NaN", "é", "x" * 200, [], {}, [None],
             {"values": [{}]}, {"intValue": 1}, {"stringValue": "\x00", "boolValue": True}]  # fmt: skip


def with_another_value(body: bytes, random: Random) -> bytes:
    """The same JSON with one value, at any depth, changed for another."""
    tree = node = json.loads(body)
    while True:
        key = random.choice(list(node) if isinstance(node, dict) else range(len(node)))
        if not isinstance(node[key], dict | list) or not node[key] or random.random() < 0.1:
            node[key] = random.choice(_ODDITIES)
            return json.dumps(tree).encode()
        node = node[key]
