"""Where a person is named in rows, and rows without them.

A person is named where a text or bytes are their id, a list of texts holds it, or a text or bytes hold it in
quotes (JSON) or as Avro writes a string. What becomes of a row that names them is decided by what else it is
about (ADR 0091).
"""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.compute as pc

from streams.avro import write_string

OTHERS = frozenset({"victim_id", "assist_ids", "blue_players", "red_players"})
"""Columns of rows that are about several people: facts of a match, which stay without the person's name."""

OWN_EVENTS = ("PLAYER_STATS", "ITEM_PURCHASED", "LEVEL_UP", "WARD_PLACED", "WARD_KILL")
"""Events that are about one player alone, in a table of facts that are shared."""

_NOBODY = ""


def naming(rows: pa.Table | pa.RecordBatch, player: str) -> pa.Array:
    """Which rows name a person: booleans, one a row."""
    found: pa.Array = pa.repeat(pa.scalar(False), rows.num_rows)
    for field in rows.schema:
        if searched(field.type):
            found = pc.or_(found, _names(_column(rows, field.name), player))
    return found


def searched(kind: pa.DataType) -> bool:
    """Whether values of a type can name a person."""
    return _text(kind) or _bytes(kind) or _texts(kind)


def without(rows: pa.Table, player: str) -> tuple[pa.Table, int, int]:
    """Rows as they may stay when a person is forgotten.

    Rows about the person alone go, and so do those whose bytes hold the name, since bytes cannot be altered
    without breaking them. Rows about others too stay: the person's id becomes null, in lists an empty text
    (nobody, in a place that still counts), in JSON an empty text.

    Args:
        rows: Rows of one table, as its schema has them.
        player: The person's id.

    Returns:
        The rows that stay, how many went, how many of those that stay were altered.
    """
    gone = _own(rows, player)
    kept = rows.filter(pc.invert(gone))
    altered = int(pc.sum(naming(kept, player)).as_py() or 0)
    if altered:
        for place, field in enumerate(kept.schema):
            if _text(field.type) or _texts(field.type):
                column = _cleared(_column(kept, field.name), player)
                kept = kept.set_column(place, field, column.cast(field.type))
    return kept, rows.num_rows - kept.num_rows, altered


def _own(rows: pa.Table, player: str) -> pa.Array:
    """Which rows have to go whole."""
    names = set(rows.column_names)
    gone: pa.Array = pa.repeat(pa.scalar(False), rows.num_rows)
    for field in rows.schema:
        if _bytes(field.type):
            gone = pc.or_(gone, _names(_column(rows, field.name), player))
    for name in ("player_id", "subject_id"):
        if name in names:
            own = _flags(pc.equal(_column(rows, name), player))
            if names & OTHERS:
                own = pc.and_(own, _own_event(rows))
            gone = pc.or_(gone, own)
    return gone


def _own_event(rows: pa.Table) -> pa.Array:
    if "event_type" not in rows.column_names:
        return pa.repeat(pa.scalar(False), rows.num_rows)
    return _flags(pc.is_in(_column(rows, "event_type"), pa.array(OWN_EVENTS)))


def _names(column: pa.Array, player: str) -> pa.Array:
    if _texts(column.type):
        parents = pc.list_parent_indices(column)
        named = pc.filter(parents, _flags(pc.equal(pc.list_flatten(column), player)))
        return pc.is_in(pa.array(range(len(column)), pa.int64()), pc.cast(named, pa.int64()))
    if _bytes(column.type):
        found = pc.equal(column, pa.scalar(player.encode(), column.type))
        for pattern in (write_string(player), _quoted(player).encode(), json.dumps(player).encode()):
            found = pc.or_(found, pc.match_substring(column, pattern))
        return _flags(found)
    quoted = pc.match_substring(column, _quoted(player))
    return _flags(pc.or_(pc.equal(column, player), quoted))


def _cleared(column: pa.Array, player: str) -> pa.Array:
    if _texts(column.type):
        values = pc.list_flatten(column)
        named = _flags(pc.equal(values, player))
        nobody = pc.if_else(named, pa.scalar(_NOBODY, values.type), values)
        lengths = pc.fill_null(pc.list_value_length(column), 0).to_pylist()
        offsets = [0]
        for length in lengths:
            offsets.append(offsets[-1] + length)
        return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), nobody, mask=pc.is_null(column))
    inside = pc.replace_substring(column, _quoted(player), _quoted(_NOBODY))
    return pc.if_else(_flags(pc.equal(column, player)), pa.scalar(None, column.type), inside)


def _column(rows: pa.Table | pa.RecordBatch, name: str) -> pa.Array:
    column = rows.column(name)
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _flags(found: pa.Array) -> pa.Array:
    """Booleans without nulls."""
    return pc.fill_null(found, False)


def _quoted(text: str) -> str:
    return f'"{text}"'


def _text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _bytes(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _texts(kind: pa.DataType) -> bool:
    return bool((pa.types.is_list(kind) or pa.types.is_large_list(kind)) and _text(kind.value_type))
