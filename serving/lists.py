"""Lists by HTTP: filters (``filter[name][op]=value``), pages by cursor, and their limits."""

from __future__ import annotations

import base64
import binascii
import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from serving import problems
from streams.schemas import Field, for_topic

OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "lte": operator.le,
    "gt": operator.gt,
    "gte": operator.ge,
}
MOST_FILTERS = 8
LIMIT, MOST_LIMIT = 100, 500
LARGEST = 2**53
"""Largest whole number that every JSON reader takes as it is."""

_FILTER = re.compile(r"filter\[(\w{1,40})\]\[(\w{1,5})\]")
_TRUTHS = {"true": True, "false": False}


@dataclass(frozen=True)
class Filter:
    """One condition on a field. A null meets ``ne`` only.

    Attributes:
        field: Name of the field.
        op: One of ``OPERATORS``.
        value: What it is compared with.
    """

    field: str
    op: str
    value: Any

    def takes(self, record: Mapping[str, Any]) -> bool:
        """Whether a record meets it."""
        held = record[self.field]
        if held is None:
            return self.op == "ne"
        return OPERATORS[self.op](held, self.value)


def fields() -> dict[str, Field]:
    """Fields of a ``Prediction`` that lists can be filtered by: those that hold one value."""
    return {field.name: field for field in for_topic("predictions").fields if "array" not in field.type}


def filters(query: Iterable[tuple[str, str]], known: Sequence[str]) -> list[Filter]:
    """The filters of a query.

    Args:
        query: Names and values.
        known: Names of the other parameters that the route has.

    Raises:
        Refused: A parameter is unknown or has no use.
    """
    found = []
    for name, text in query:
        if name in known:
            continue
        match = _FILTER.fullmatch(name)
        if match is None:
            names = ", ".join((*known, "filter[FIELD][OPERATOR]"))
            raise problems.wrong_query(name[:60], f"there is no such parameter; there are: {names}.")
        found.append(_filter(name, match[1], match[2], text))
    if len(found) > MOST_FILTERS:
        raise problems.wrong_query("filter", f"there may be {MOST_FILTERS} of them.")
    return found


def _filter(name: str, field_name: str, op: str, text: str) -> Filter:
    field = fields().get(field_name)
    if field is None:
        raise problems.wrong_query(name, "predictions have no such field.")
    if op not in OPERATORS:
        raise problems.wrong_query(name, f"the operator is one of {', '.join(OPERATORS)}.")
    if field.type in ("string", "boolean") and op not in ("eq", "ne"):
        raise problems.wrong_query(name, "this field can be compared by eq and ne only.")
    try:
        return Filter(field_name, op, _value(field.type, text))
    except (ValueError, KeyError):
        raise problems.wrong_query(name, f"{text[:40]!r} is no {field.type}.") from None


def _value(kind: str, text: str) -> Any:
    if kind == "string":
        return text
    if kind == "boolean":
        return _TRUTHS[text]
    if kind == "double":
        value = float(text)
        if not math.isfinite(value):
            raise ValueError(text)
        return value
    number = int(text)
    if abs(number) > LARGEST:
        raise ValueError(text)
    return number


def whole(query: Mapping[str, str], name: str, default: int | None, least: int, most: int) -> int | None:
    """A whole number of a query within its bounds.

    Raises:
        Refused: It is none, or out of them.
    """
    text = query.get(name)
    if text is None:
        return default
    if not re.fullmatch(r"-?\d{1,16}", text, re.ASCII) or not least <= int(text) <= most:
        raise problems.wrong_query(name, f"must be a whole number from {least} to {most}.")
    return int(text)


def flag(query: Mapping[str, str], name: str) -> bool:
    """A truth value of a query; false where it is not given.

    Raises:
        Refused: It is neither ``true`` nor ``false``.
    """
    text = query.get(name, "false")
    if text not in _TRUTHS:
        raise problems.wrong_query(name, "must be true or false.")
    return _TRUTHS[text]


def cursor_of(place: Sequence[Any]) -> str:
    """The cursor of the page that begins after a place."""
    return base64.urlsafe_b64encode(orjson.dumps(place)).decode().rstrip("=")


def place_of(cursor: str | None, *types: type) -> tuple[Any, ...] | None:
    """The place after which a page begins; None for the first page.

    Raises:
        Refused: No answer of ours gave this cursor.
    """
    if cursor is None:
        return None
    try:
        padded = cursor.encode() + b"=" * (-len(cursor) % 4)
        place = orjson.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (binascii.Error, ValueError):
        place = None
    if (
        not isinstance(place, list)
        or len(place) != len(types)
        or not all(type(part) is kind for part, kind in zip(place, types, strict=True))
    ):
        raise problems.wrong_query("cursor", "take it from next_cursor of an answer.")
    return tuple(place)
