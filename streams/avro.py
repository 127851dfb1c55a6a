"""Avro in Confluent wire format, fast.

A frame is a zero byte, the schema id as four bytes big-endian, and the record in Avro binary (Confluent
documentation, "Wire format"; Avro 1.12 specification, "Binary encoding"). Our records are flat, so for each
schema plain Python functions are generated that read or write its fields one after the other: an encoder for
each set of keys that occurs (the nulls between them become constants), and a decoder for each projection.
Frames that another schema wrote go through fastavro's schema resolution.
"""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import fastavro

from riftstream.errors import SchemaError
from streams.schemas import Field, RecordSchema

Record = dict[str, Any]

_FRAME = struct.Struct(">bI")
_HEADER = _FRAME.size
_INT_RANGE = range(-(2**31), 2**31)
_LONG_RANGE = range(-(2**63), 2**63)
_MAX_ENCODERS = 512
_MAX_STRINGS = 65_536
_MAX_CACHED_LENGTH = 24


def _varint(value: int) -> bytes:
    """A long as Avro writes it: zigzag, then seven bits a byte, lowest first."""
    rest = (value << 1) ^ (value >> 63)
    out = bytearray()
    while rest > 0x7F:
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    out.append(rest)
    return bytes(out)


_SMALL = tuple(_varint(n) for n in range(8192))


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """The long that starts at ``at`` in Avro binary, and the position after it.

    Raises:
        ValueError: It is longer than a long can be.
        IndexError: The data ends within it.
    """
    shift = result = 0
    while True:
        byte = data[at]
        at += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (result >> 1) ^ -(result & 1), at
        shift += 7
        if shift > 63:
            raise ValueError("a varint is longer than ten bytes")


def _write_long(value: int, allowed: range = _LONG_RANGE) -> bytes:
    if type(value) is not int:
        raise TypeError("not an integer")
    if value not in allowed:
        raise ValueError("integer out of range")
    return _SMALL[value] if 0 <= value < 8192 else _varint(value)


def _write_int(value: int) -> bytes:
    return _write_long(value, _INT_RANGE)


def _write_double(value: float) -> bytes:
    return struct.pack("<d", value)


def _write_bytes(value: bytes) -> bytes:
    return _varint(len(value)) + value


def _write_boolean(value: bool) -> bytes:
    if value is True:
        return b"\x01"
    if value is False:
        return b"\x00"
    raise TypeError("not a boolean")


def write_string(value: str) -> bytes:
    """A string as Avro writes it: its length in bytes, then UTF-8."""
    raw = value.encode()
    return _varint(len(raw)) + raw


def _array_writer(item: Callable[[Any], bytes]) -> Callable[[Sequence[Any]], bytes]:
    def write(values: Sequence[Any]) -> bytes:
        if isinstance(values, str):
            raise TypeError("not an array")
        return _varint(len(values)) + b"".join(map(item, values)) + b"\x00" if values else b"\x00"

    return write


_WRITERS: dict[str, Callable[[Any], bytes]] = {
    "string": write_string,
    "int": _write_int,
    "long": _write_long,
    "double": _write_double,
    "boolean": _write_boolean,
    "bytes": _write_bytes,
    "array<string>": _array_writer(write_string),
    "array<double>": _array_writer(_write_double),
}


def _read_array(data: bytes, at: int, item: Callable[[bytes, int], tuple[Any, int]]) -> tuple[list[Any], int]:
    values: list[Any] = []
    while True:
        count, at = read_varint(data, at)
        if count == 0:
            return values, at
        if count < 0:
            _, at = read_varint(data, at)
        for _ in range(abs(count)):
            value, at = item(data, at)
            values.append(value)


def _read_string(data: bytes, at: int) -> tuple[str, int]:
    size, at = read_varint(data, at)
    if size < 0 or at + size > len(data):
        raise ValueError("a string reaches past the end")
    return data[at : at + size].decode(), at + size


def _read_double(data: bytes, at: int) -> tuple[float, int]:
    return struct.unpack_from("<d", data, at)[0], at + 8


def _read_strings(data: bytes, at: int) -> tuple[list[str], int]:
    return _read_array(data, at, _read_string)


def _read_doubles(data: bytes, at: int) -> tuple[list[float], int]:
    return _read_array(data, at, _read_double)


_READ_LINES = {
    "int": [
        "v = d[p]; p += 1",
        "if v < 128: v = (v >> 1) ^ -(v & 1)",
        "elif d[p] < 128: v = v & 127 | d[p] << 7; v = (v >> 1) ^ -(v & 1); p += 1",
        "else: v, p = read_varint(d, p - 1)",
    ],
    "timestamp-millis": [
        "if d[p] > 127 and d[p+1] > 127 and d[p+2] > 127 and d[p+3] > 127 and d[p+4] > 127 and d[p+5] < 128:",
        " v = d[p] & 127 | (d[p+1] & 127) << 7 | (d[p+2] & 127) << 14 | (d[p+3] & 127) << 21",
        " v |= (d[p+4] & 127) << 28 | d[p+5] << 35; p += 6; v = (v >> 1) ^ -(v & 1)",
        "else: v, p = read_varint(d, p)",
    ],
    "string": [
        "n = d[p]; p += 1",
        "if n > 127: n, p = read_varint(d, p - 1)",
        "else: n >>= 1",
        "v = d[p:p + n].decode(); p += n",
    ],
    "bytes": ["n, p = read_varint(d, p)", "v = d[p:p + n]; p += n"],
    "double": ["v, p = read_double(d, p)"],
    "boolean": ["v = d[p] == 1; p += 1"],
    "array<string>": ["v, p = read_strings(d, p)"],
    "array<double>": ["v, p = read_doubles(d, p)"],
}
_READ_LINES["long"] = _READ_LINES["int"]
_SKIP_LINES = {
    "string": ["n = d[p]; p += 1", "if n > 127: n, p = read_varint(d, p - 1)", "else: n >>= 1", "p += n"],
    "double": ["p += 8"],
    "boolean": ["p += 1"],
    "int": ["while d[p] > 127: p += 1", "p += 1"],
}
_SKIP_LINES["long"] = _SKIP_LINES["int"]


def plain_schema(schema: str) -> Any:
    """The schema without logical types, so that timestamps stay integers (ms since the Unix epoch)."""
    raw = json.loads(schema)

    def bare(kind: Any) -> Any:
        if isinstance(kind, list):
            return [bare(branch) for branch in kind]
        if isinstance(kind, dict) and "logicalType" in kind:
            return kind["type"]
        return kind

    for field in raw["fields"]:
        field["type"] = bare(field["type"])
    return fastavro.parse_schema(raw)


def _compile(name: str, lines: list[str], scope: dict[str, Any]) -> Any:
    """Make a function of generated lines. They hold field names of our own checked schemas, no input."""
    exec(compile("\n".join(lines), f"<avro {name}>", "exec"), scope)  # noqa: S102
    return scope["generated"]


def _decoder(fields: Sequence[Field], columns: Sequence[str], result: str) -> Callable[[bytes], Any]:
    """Generate the function that reads ``columns`` of a frame and skips the rest."""
    lines = ["def generated(d):", f" p = {_HEADER}"]
    for index, field in enumerate(fields):
        wanted = field.name in columns
        read = _READ_LINES[field.logical or field.type]
        body = read if wanted else _SKIP_LINES.get(field.type, read)
        body = [*body, f"v{index} = v"] if wanted else list(body)
        if field.nullable:
            lines += [" u = d[p]; p += 1", " if u == 2:", *("  " + line for line in body)]
            lines += [
                f" elif u == 0: {f'v{index} = None' if wanted else 'pass'}",
                " else: raise ValueError('bad union branch')",
            ]
        else:
            lines += [" " + line for line in body]
    lines += [" if p != len(d): raise ValueError('the record ends elsewhere than its frame')"]
    place = {field.name: index for index, field in enumerate(fields)}
    if result == "dict":
        lines += [" return {" + ", ".join(f"{name!r}: v{place[name]}" for name in columns) + "}"]
    else:
        lines += [" return (" + "".join(f"v{place[name]}, " for name in columns) + ")"]
    scope: dict[str, Any] = {"read_varint": read_varint, "read_double": _read_double}
    scope |= {"read_strings": _read_strings, "read_doubles": _read_doubles}
    decode: Callable[[bytes], Any] = _compile("decoder", lines, scope)
    return decode


def _write_lines(index: int, field: Field) -> list[str]:
    """Lines that append one non-null value ``v``, its union branch included."""
    branch = "b'\\x02' + " if field.nullable else ""
    if field.type == "string":
        return [
            f"c = strings{index}.get(v)",
            f"if c is None: c = string(v, strings{index}, {field.nullable})",
            "a(c)",
        ]
    if field.type in ("int", "long"):
        table = f"small{int(field.nullable)}"
        slow = f"a({branch}write{index}(v))"
        return [f"if type(v) is int and 0 <= v < 8192: a({table}[v])", f"else: {slow}"]
    return [f"a({branch}write{index}(v))"]


def _cached_string(value: str, cache: dict[str, bytes], nullable: bool) -> bytes:
    raw = (b"\x02" if nullable else b"") + write_string(value)
    if len(value) <= _MAX_CACHED_LENGTH and len(cache) < _MAX_STRINGS:
        cache[value] = raw
    return raw


_SMALL_NULLABLE = tuple(b"\x02" + small for small in _SMALL)


def _encoder(header: bytes, fields: Sequence[Field], present: Iterable[str]) -> Callable[[Record], bytes]:
    """Generate the function that writes records with exactly the keys ``present``."""
    keys = set(present)
    scope: dict[str, Any] = {"string": _cached_string, "small0": _SMALL, "small1": _SMALL_NULLABLE}
    lines = ["def generated(r):", " out = []; a = out.append"]
    constant = header
    for index, field in enumerate(fields):
        if field.name not in keys:
            constant += b"\x00"
            continue
        scope[f"write{index}"] = _WRITERS[field.type]
        scope[f"strings{index}"] = {}
        if constant:
            lines.append(f" a({constant!r})")
            constant = b""
        lines.append(f" v = r[{field.name!r}]")
        body = _write_lines(index, field)
        if field.nullable:
            lines += [" if v is None: a(b'\\x00')", " else:", *("  " + line for line in body)]
        else:
            lines += [" " + line for line in body]
    lines += [f" a({constant!r})" if constant else " pass", " return b''.join(out)"]
    encode: Callable[[Record], bytes] = _compile("encoder", lines, scope)
    return encode


class Codec:
    """Encodes and decodes one record type under one schema id.

    Timestamps are integers (ms since the Unix epoch), arrays are lists, a missing key is null.

    Args:
        schema: The record.
        schema_id: Its id in the Schema Registry.
        writer_schema: Gives the schema text of another id, for frames that another version wrote;
            without it such frames are refused.
    """

    def __init__(
        self, schema: RecordSchema, schema_id: int, writer_schema: Callable[[int], str] | None = None
    ) -> None:
        self.schema = schema
        self.schema_id = schema_id
        self.header = _FRAME.pack(0, schema_id)
        self._names = tuple(field.name for field in schema.fields)
        self._required = frozenset(field.name for field in schema.fields if not field.nullable)
        self._encoders: dict[tuple[str, ...], Callable[[Record], bytes]] = {}
        self._decode_all = _decoder(schema.fields, self._names, "dict")
        self._writer_schema = writer_schema
        self._writers: dict[int, Any] = {}
        self._plain = plain_schema(schema.text)

    def encode(self, record: Record) -> bytes:
        """One record as a frame.

        Raises:
            SchemaError: A key is unknown, a required field is missing, or a value has the wrong type; the
                sentence names the field.
        """
        try:
            return self._encoder_for(record)(record)
        except (TypeError, ValueError, AttributeError, struct.error, OverflowError) as cause:
            raise self._explain(record, cause) from cause

    def encode_batch(self, records: Iterable[Record]) -> list[bytes]:
        """Many records as frames, in order. Raises as ``encode`` does; then none is returned."""
        return [self.encode(record) for record in records]

    def decode(self, value: bytes) -> Record:
        """One frame as a record with every field of the schema.

        Raises:
            SchemaError: The frame, or the record in it, cannot be read.
        """
        decoded: Record = self._decode(value, self._decode_all, None)
        return decoded

    def decode_batch(self, values: Iterable[bytes]) -> list[Record]:
        """Many frames as records, in order. Raises as ``decode`` does; then none is returned."""
        return [self.decode(value) for value in values]

    def projection(self, columns: Sequence[str]) -> Callable[[bytes], tuple[Any, ...]]:
        """A function that reads only ``columns`` of a frame, as a tuple in their order, and skips the rest.

        Raises:
            SchemaError: A column is not a field of the record.
        """
        unknown = [name for name in columns if name not in self._names]
        if unknown:
            raise SchemaError(f"{self.schema.name} has no field {unknown[0]}.")
        fast = _decoder(self.schema.fields, tuple(columns), "tuple")

        def read(value: bytes) -> tuple[Any, ...]:
            row: tuple[Any, ...] = self._decode(value, fast, columns)
            return row

        return read

    def partly(self, fields: Sequence[str]) -> Callable[[bytes], Record]:
        """A function that reads only these fields of a frame, as a record that has no others.

        Raises:
            SchemaError: One of them is not a field of the record.
        """
        read = self.projection(fields)
        return lambda value: dict(zip(fields, read(value), strict=True))

    def _decode(self, value: bytes, fast: Callable[[bytes], Any], columns: Sequence[str] | None) -> Any:
        try:
            if value.startswith(self.header):
                return fast(value)
            record = self._resolve(value)
        except (
            ValueError,
            IndexError,
            EOFError,
            TypeError,
            struct.error,
            fastavro.read.SchemaResolutionError,
        ) as cause:
            raise SchemaError(f"These {len(value)} bytes are not a {self.schema.name}: {cause}.") from cause
        return record if columns is None else tuple(record[name] for name in columns)

    def _resolve(self, value: bytes) -> Record:
        if len(value) < _HEADER:
            raise ValueError("shorter than a frame's header")
        magic, schema_id = _FRAME.unpack_from(value)
        if magic != 0:
            raise ValueError("no Confluent frame")
        if schema_id not in self._writers:
            if self._writer_schema is None:
                raise ValueError(f"written with schema id {schema_id}, not {self.schema_id}")
            self._writers[schema_id] = plain_schema(self._writer_schema(schema_id))
        body = io.BytesIO(value)
        body.seek(_HEADER)
        record = fastavro.schemaless_reader(body, self._writers[schema_id], self._plain)
        if body.tell() != len(value):
            raise ValueError("the record ends elsewhere than its frame")
        return dict(record)  # type: ignore[arg-type]

    def _encoder_for(self, record: Record) -> Callable[[Record], bytes]:
        keys = tuple(record)
        encoder = self._encoders.get(keys)
        if encoder is None:
            unknown = [name for name in keys if name not in self._names]
            missing = sorted(self._required.difference(keys))
            if unknown:
                raise SchemaError(f"{self.schema.name} has no field {unknown[0]}.")
            if missing:
                raise SchemaError(f"{self.schema.name} needs the field {missing[0]}.")
            if len(self._encoders) >= _MAX_ENCODERS:
                self._encoders.clear()
            encoder = self._encoders[keys] = _encoder(self.header, self.schema.fields, keys)
        return encoder

    def _explain(self, record: Record, cause: Exception) -> SchemaError:
        for field in self.schema.fields:
            value = record.get(field.name)
            if value is None:
                if not field.nullable:
                    return SchemaError(f"{self.schema.name}.{field.name} must not be null.")
                continue
            try:
                _WRITERS[field.type](value)
            except (TypeError, ValueError, AttributeError, struct.error, OverflowError) as bad:
                shown = repr(value)[:60]
                return SchemaError(
                    f"{self.schema.name}.{field.name} must be {field.type}, not {shown}: {bad}."
                )
        return SchemaError(f"{self.schema.name} cannot be encoded: {cause}.")
