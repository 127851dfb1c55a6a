"""How Feast lays features out in Redis, byte for byte.

One hash holds all views of an entity. Its key is Feast's entity key (version 3) followed by the project; a
feature is the field MurmurHash3("view:feature") with a ``feast.types.Value`` in protobuf, and ``_ts:view`` is
the row's event time as a ``google.protobuf.Timestamp``. (Feast's documentation, "Online store format".)

``_at:view`` is ours, and Feast does not look at it: the row's place among those of its event time.

A tag byte in protobuf is the field's number times eight plus its wire type; a number is a varint, a negative
one its two's complement in 64 bits. (Protocol Buffers documentation, "Encoding".)
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import mmh3

from features.views import PROJECT
from riftstream.errors import FeatureError

_STRING = 2
"""``STRING`` in ``feast.types.ValueType``."""

LENGTH = struct.Struct("<I")
"""How a length stands before a value in an entity's key."""

_DOUBLE = struct.Struct("<d")
_MASK = 2**64 - 1

BYTES, TEXT, INT32, INT64, DOUBLE, BOOLEAN, SECONDS = (
    b"\x0a",
    b"\x12",
    b"\x18",
    b"\x20",
    b"\x29",
    b"\x38",
    b"\x40",
)
"""Tags of ``feast.types.Value`` by type: bytes_val, string_val, int32_val, int64_val, double_val, bool_val,
unix_timestamp_val."""
TEXTS, DOUBLES = b"\x62", b"\x7a"
"""Tags of string_list_val and double_list_val."""

_NUMBERS = (INT32[0], INT64[0], SECONDS[0])
_TS_SECONDS, _TS_NANOS = b"\x08", b"\x10"


class KeyMaker:
    """Makes the Redis keys of one kind of entity.

    Args:
        join_keys: Its join keys.
    """

    def __init__(self, join_keys: Sequence[str]) -> None:
        self._order = sorted(range(len(join_keys)), key=lambda place: join_keys[place])
        names = [join_keys[place].encode() for place in self._order]
        self._prefix = LENGTH.pack(len(names)) + b"".join(
            LENGTH.pack(_STRING) + LENGTH.pack(len(name)) + name for name in names
        )
        self._kind = LENGTH.pack(_STRING)
        self._suffix = PROJECT.encode()

    def key(self, *values: bytes) -> bytes:
        """Redis key of the entity with these values (UTF-8), in the order of the join keys."""
        if len(values) == 1:
            value = values[0]
            return b"".join((self._prefix, self._kind, LENGTH.pack(len(value)), value, self._suffix))
        parts = [self._prefix]
        for place in self._order:
            parts += (self._kind, LENGTH.pack(len(values[place])), values[place])
        return b"".join((*parts, self._suffix))


def feature_field(view: str, feature: str) -> bytes:
    """Field of a feature in its entity's hash."""
    return LENGTH.pack(mmh3.hash(f"{view}:{feature}", signed=False))


def time_field(view: str) -> bytes:
    """Field of a view's event time in its entity's hash."""
    return f"_ts:{view}".encode()


def place_field(view: str) -> bytes:
    """Field that holds the place of a view's row among those of the same event time."""
    return f"_at:{view}".encode()


def varint(value: int) -> bytes:
    """A number as protobuf writes it."""
    rest = value & _MASK
    out = bytearray()
    while rest > 0x7F:
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    out.append(rest)
    return bytes(out)


def timestamp(ms: int) -> bytes:
    """An event time (ms since the Unix epoch) as a ``google.protobuf.Timestamp``."""
    seconds, rest = divmod(ms, 1000)
    encoded = _TS_SECONDS + varint(seconds) if seconds else b""
    return encoded + _TS_NANOS + varint(rest * 1_000_000) if rest else encoded


def milliseconds(encoded: bytes) -> int:
    """The event time (ms since the Unix epoch) in a ``google.protobuf.Timestamp``."""
    seconds = nanos = at = 0
    while at < len(encoded):
        tag = encoded[at]
        value, at = _read_varint(encoded, at + 1)
        if tag == _TS_SECONDS[0]:
            seconds = value
        else:
            nanos = value
    return seconds * 1000 + nanos // 1_000_000


_INTEGERS = {"int": INT32, "long": INT64}
_TEXTS = {"string": TEXT, "bytes": BYTES}


def encoded(kind: str, value: Any) -> bytes:
    """A Python value as a ``feast.types.Value``, as ``value_of`` reads it; empty for None.

    Args:
        kind: Its type in the Avro record, such as ``long`` or ``array<string>``; ``seconds`` for a timestamp
            in seconds since the Unix epoch.
        value: The value.
    """
    if value is None:
        return b""
    if kind == "seconds":
        return SECONDS + varint(value)
    if kind in _INTEGERS:
        return _INTEGERS[kind] + varint(value)
    if kind in _TEXTS:
        return _TEXTS[kind] + _sized(value if kind == "bytes" else value.encode())
    if kind == "double":
        return DOUBLE + _DOUBLE.pack(value)
    if kind == "boolean":
        return BOOLEAN + (b"\x01" if value else b"\x00")
    if kind == "array<string>":
        return TEXTS + _sized(b"".join(b"\x0a" + _sized(one.encode()) for one in value))
    packed = struct.pack(f"<{len(value)}d", *value)
    return DOUBLES + _sized(b"\x0a" + _sized(packed) if packed else b"")


def _sized(data: bytes) -> bytes:
    return varint(len(data)) + data


def value_of(encoded: bytes) -> Any:
    """The Python value in a ``feast.types.Value``; None where it holds none. Timestamps are seconds.

    Raises:
        FeatureError: It is of a type that no feature of ours has.
    """
    if not encoded:
        return None
    tag = encoded[:1]
    if tag[0] in _NUMBERS:
        return _read_varint(encoded, 1)[0]
    if tag == DOUBLE:
        return _DOUBLE.unpack_from(encoded, 1)[0]
    if tag == BOOLEAN:
        return encoded[1] == 1
    if tag in (TEXT, BYTES, TEXTS, DOUBLES):
        size, at = _read_varint(encoded, 1)
        body = encoded[at : at + size]
        if tag == BYTES:
            return body
        return body.decode() if tag == TEXT else _list_of(tag, body)
    raise FeatureError(f"Redis holds a value of a type that features do not have: {encoded[:20]!r}.")


def _list_of(tag: bytes, body: bytes) -> list[Any]:
    """The items of a StringList (each tagged) or a DoubleList (packed)."""
    items: list[Any] = []
    at = 0
    while at < len(body):
        size, at = _read_varint(body, at + 1)
        chunk = body[at : at + size]
        items += [chunk.decode()] if tag == TEXTS else struct.unpack(f"<{size // 8}d", chunk)
        at += size
    return items


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    """The signed number that starts at ``at``, and the position after it."""
    shift = result = 0
    while True:
        byte = data[at]
        at += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            break
        shift += 7
    return (result - 2**64 if result >> 63 else result), at
