"""From an Avro frame to what is sent to Redis, without building the record in between.

For each view a plain Python function is generated that walks a frame once and gives, ready to be sent, each
feature's value as Feast has it, in MessagePack. Small numbers, as most features are, come from tables.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from features import layout
from features.views import TIMESTAMP, View
from riftstream.errors import SchemaError
from streams.avro import Codec, read_varint
from streams.schemas import Field

_HEADER = 5
_TABLE = 16_384
_MAX_STRINGS = 16_384
_MAX_CACHED_LENGTH = 24

NULL = b"\xa0"
"""Feast's null, in MessagePack: a Value that holds none is empty."""


@dataclass(frozen=True)
class Row:
    """One row of a view on its way to Redis.

    Attributes:
        key: Redis key of its entity.
        time: Event time, ms since the Unix epoch.
        values: The values of its features in the view's order, in MessagePack.
    """

    key: bytes
    time: int
    values: list[bytes]


def bulk(data: bytes) -> bytes:
    """A string in RESP."""
    return b"$%d\r\n%b\r\n" % (len(data), data)


def packed(data: bytes) -> bytes:
    """A string in MessagePack. (MessagePack specification, "str format family".)"""
    size = len(data)
    if size < 32:
        return bytes((0xA0 | size,)) + data
    if size < 2**8:
        return bytes((0xD9, size)) + data
    if size < 2**16:
        return b"\xda" + size.to_bytes(2, "big") + data
    return b"\xdb" + size.to_bytes(4, "big") + data


def _number(tag: bytes, value: int) -> bytes:
    return packed(tag + layout.varint(value))


def _table(tag: bytes) -> tuple[bytes, ...]:
    """Numbers by their zigzag code, in MessagePack."""
    return tuple(_number(tag, (code >> 1) ^ -(code & 1)) for code in range(_TABLE))


def _text(tag: bytes, raw: bytes) -> bytes:
    raw.decode()  # Feast could not read anything else back
    return _data(tag, raw)


def _data(tag: bytes, raw: bytes) -> bytes:
    return packed(tag + layout.varint(len(raw)) + raw)


def _cached_text(raw: bytes, cache: dict[bytes, bytes]) -> bytes:
    value = _text(layout.TEXT, raw)
    if len(raw) <= _MAX_CACHED_LENGTH and len(cache) < _MAX_STRINGS:
        cache[raw] = value
    return value


def _blocks(d: bytes, p: int, item: Callable[[int], tuple[bytes, int]]) -> tuple[list[bytes], int]:
    """The items of an Avro array, and the position after it."""
    items: list[bytes] = []
    while True:
        count, p = read_varint(d, p)
        if count == 0:
            return items, p
        if count < 0:
            _, p = read_varint(d, p)
        for _ in range(abs(count)):
            value, p = item(p)
            items.append(value)


def _texts(d: bytes, p: int) -> tuple[bytes, int]:
    """An array of strings in MessagePack, and the position after it."""

    def item(at: int) -> tuple[bytes, int]:
        size, at = read_varint(d, at)
        d[at : at + size].decode()
        return b"\x0a" + layout.varint(size) + d[at : at + size], at + size

    items, p = _blocks(d, p, item)
    return _data(layout.TEXTS, b"".join(items)), p


def _doubles(d: bytes, p: int) -> tuple[bytes, int]:
    """An array of doubles in MessagePack, and the position after it."""
    items, p = _blocks(d, p, lambda at: (d[at : at + 8], at + 8))
    packed = b"".join(items)
    return _data(layout.DOUBLES, b"\x0a" + layout.varint(len(packed)) + packed if packed else b""), p


_NUMBER_TAGS = {"int": layout.INT32, "long": layout.INT64}
_READ_NUMBER = [
    "z = d[p]; p += 1",
    "if z > 127:",
    " if d[p] < 128: z = z & 127 | d[p] << 7; p += 1",
    " else: z, p = read_varint(d, p - 1); z = z << 1 if z >= 0 else -z * 2 - 1",
]
_READ_TEXT = [
    "n = d[p]; p += 1",
    "if n > 127: n, p = read_varint(d, p - 1)",
    "else: n >>= 1",
    "if p + n > len(d): raise ValueError('a string reaches past the end')",
    "v = d[p:p + n]; p += n",
]
_SKIP_ITEMS = {"array<string>": "texts", "array<double>": "doubles"}


def _read_lines(field: Field) -> list[str]:
    """Lines that read one value to ``z`` (numbers, by their zigzag code), ``v`` (bytes) or nowhere."""
    if field.type in _NUMBER_TAGS:
        return _READ_NUMBER
    if field.type in ("string", "bytes"):
        return _READ_TEXT
    if field.type == "double":
        return ["v = d[p:p + 8]; p += 8"]
    if field.type == "boolean":
        return ["v = d[p]; p += 1"]
    return [f"c, p = {_SKIP_ITEMS[field.type]}(d, p)"]


def _emit_lines(index: int, field: Field) -> list[str]:
    """Lines that append the value that ``_read_lines`` read."""
    if field.logical:
        return ["a(number(SECONDS, ((z >> 1) ^ -(z & 1)) // 1000))"]
    if field.type in _NUMBER_TAGS:
        return [
            f"a(table_{field.type}[z] if z < {_TABLE} else number({field.type.upper()}, (z >> 1) ^ -(z & 1)))"
        ]
    if field.type == "string":
        return [
            f"c = strings{index}.get(v)",
            f"if c is None: c = cached_text(v, strings{index})",
            "a(c)",
        ]
    if field.type == "bytes":
        return ["a(data(BYTES, v))"]
    if field.type == "double":
        return ["a(DOUBLE + v)"]
    if field.type == "boolean":
        return ["a(flags[v])"]
    return ["a(c)"]


def _scope(view: View) -> dict[str, Any]:
    """What the generated function may use: helpers, tables, and for each text the values that were met."""
    tables = {kind: _table(tag) for kind, tag in _NUMBER_TAGS.items()}
    scope: dict[str, Any] = {
        "read_varint": read_varint,
        "number": _number,
        "data": _data,
        "cached_text": _cached_text,
        "texts": _texts,
        "doubles": _doubles,
        "table_int": tables["int"],
        "table_long": tables["long"],
        "INT": layout.INT32,
        "LONG": layout.INT64,
        "SECONDS": layout.SECONDS,
        "BYTES": layout.BYTES,
        "DOUBLE": packed(layout.DOUBLE + bytes(8))[:-8],
        "NULL": NULL,
        "flags": tuple(_number(layout.BOOLEAN, value) for value in (0, 1)),
    }
    names = {field.name for field in view.features}
    for index, field in enumerate(view.schema.fields):
        if field.name in names and field.type == "string":
            scope[f"strings{index}"] = {}
    return scope


def _generate(view: View) -> Callable[[bytes], tuple[Any, ...]]:
    """The function that walks a frame of the view's record: (keys, event time, values)."""
    features = {field.name for field in view.features}
    lines = ["def generated(d):", f" out = []; a = out.append; p = {_HEADER}"]
    for index, field in enumerate(view.schema.fields):
        body = list(_read_lines(field))
        if field.name in features:
            body += _emit_lines(index, field)
        if field.name in view.keys:
            body.append(f"k{view.keys.index(field.name)} = v")
        if field.name == TIMESTAMP:
            body.append("t = (z >> 1) ^ -(z & 1)")
        if field.nullable:
            null = "a(NULL)" if field.name in features else "pass"
            lines += [" u = d[p]; p += 1", " if u == 2:", *("  " + line for line in body)]
            lines += [f" elif u == 0: {null}", " else: raise ValueError('bad union branch')"]
        else:
            lines += [" " + line for line in body]
    lines.append(" if p != len(d): raise ValueError('the record ends elsewhere than its frame')")
    lines.append(f" return ({''.join(f'k{place}, ' for place in range(len(view.keys)))}), t, out")
    scope = _scope(view)
    # Generated from our own checked schemas, no input.
    exec(compile("\n".join(lines), f"<transcode {view.name}>", "exec"), scope)  # noqa: S102
    generated: Callable[[bytes], tuple[Any, ...]] = scope["generated"]
    return generated


class Transcoder:
    """Turns frames of a view's topic into rows for Redis.

    Args:
        view: The view.
        codec: Codec of its topic.

    Raises:
        SchemaError: The record cannot carry the view: a key, the event time or a field of its order is
            missing, nullable, or of another type than it needs.
    """

    def __init__(self, view: View, codec: Codec) -> None:
        check(view)
        self.view = view
        self._codec = codec
        self._keys = layout.KeyMaker(view.keys)
        self._walk = _generate(view)

    def row(self, frame: bytes) -> Row:
        """The row that a frame holds.

        Raises:
            SchemaError: The frame, or the record in it, cannot be read.
        """
        try:
            if not frame.startswith(self._codec.header):
                # Another version of the schema wrote it: read it as what it is, and write it as ours.
                frame = self._codec.encode(self._codec.decode(frame))
            keys, time, values = self._walk(frame)
            return Row(self._keys.key(*keys), time, values)
        except (ValueError, IndexError, struct.error) as cause:
            raise SchemaError(
                f"These {len(frame)} bytes are not a {self._codec.schema.name}: {cause}."
            ) from cause


def check(view: View) -> None:
    """Make sure that a view's record can carry it.

    Raises:
        SchemaError: It cannot; the sentence names the field.
    """
    fields = {field.name: field for field in view.schema.fields}
    needed: Sequence[tuple[str, tuple[str, ...]]] = (
        *((name, ("string",)) for name in view.keys),
        (TIMESTAMP, ("long",)),
        *((name, ("long", "int")) for name in view.order),
    )
    for name, types in needed:
        field = fields.get(name)
        if field is None or field.nullable or field.type not in types:
            raise SchemaError(
                f"The view {view.name} needs a field {name} of type {' or '.join(types)} in "
                f"{view.schema.name} that is never null."
            )
