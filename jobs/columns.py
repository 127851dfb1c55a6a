"""Where a column of a topic comes from: the expressions of a job's SQL that lead to it.

This reads our own jobs' SQL, a list of columns and where they are taken from; it is no SQL parser.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from jobs import sqlfile
from jobs.sqlfile import Job

_NAME = re.compile(r"(?:^|\s)AS\s+`?(\w+)`?$", re.IGNORECASE)
_TEXT = re.compile(r"'[^']*'")
_SPACE = re.compile(r"\s+")
_REFERENCE = re.compile(r"(?:\b([A-Za-z_]\w*)\.)?`?\b([A-Za-z_]\w*)`?")
_FROM = re.compile(r"\b(?:FROM|JOIN)\s+`?(\w+)`?(?:\s+AS\s+(\w+))?", re.IGNORECASE)
_UNNEST = re.compile(
    r"\bUNNEST\s*\(((?:[^()]|\([^()]*\))*)\)\s*(?:WITH\s+ORDINALITY\s+)?AS\s+(\w+)", re.IGNORECASE
)


@dataclass(frozen=True)
class Step:
    """One expression on the way to a column.

    Attributes:
        view: View that holds it; the topic's table for the statement that writes it.
        column: Column that it makes.
        expression: The expression.
        line: Line of the job's file where the view begins.
    """

    view: str
    column: str
    expression: str
    line: int


def writer(table: str) -> str | None:
    """Name of the job that writes a topic's table; None where there is none."""
    return next((name for name in sqlfile.names() if table in _job(name).targets), None)


def trace(name: str, table: str, column: str) -> list[Step]:
    """The expressions that lead to a column of a table that a job writes, the last one first.

    Columns that are only passed on are no steps.

    Raises:
        JobError: There is no such job.
    """
    found: dict[tuple[str, str], Step] = {}
    for statement in _job(name).inserts:
        expression = _inserted(statement).get(column) if _target(statement) == table else None
        if expression is not None:
            _explain(name, table, statement, column, expression, found)
    return list(found.values())


def _follow(name: str, view: str, column: str, found: dict[tuple[str, str], Step]) -> None:
    """Add where a view's column is made, and what that is made of."""
    statement = _job(name).views.get(view)
    if statement is None or (view, column) in found:
        return
    expression = _columns(statement).get(column, column)
    _explain(name, view, statement, column, expression, found)


def _explain(
    name: str, place: str, statement: str, column: str, expression: str, found: dict[tuple[str, str], Step]
) -> None:
    """Add an expression that makes a column, unless it passes one on, and what it is made of."""
    references = _references(expression)
    passed_on = expression == column or expression in {
        f"{alias}.{column}" for alias in _sources(statement).aliases
    }
    if not passed_on:
        begin = "INSERT INTO" if statement.upper().startswith("INSERT") else "CREATE TEMPORARY VIEW"
        found[place, column] = Step(place, column, expression, _line(name, f"{begin} {place}"))
    for reference in references:
        _resolve(name, statement, *reference, found)


def _resolve(
    name: str, statement: str, qualifier: str, column: str, found: dict[tuple[str, str], Step]
) -> None:
    """Follow a name in a statement: a column of a source, an unnested array's, or a part of a row."""
    sources = _sources(statement)
    if qualifier in sources.arrays:
        for reference in _references(sources.arrays[qualifier]):
            _resolve(name, statement, *reference, found)
    elif qualifier in sources.aliases:
        _follow(name, sources.aliases[qualifier], column, found)
    else:
        for view in sources.views:
            _follow(name, view, qualifier or column, found)


@dataclass(frozen=True)
class _Sources:
    """What a statement selects from: views, views by alias, and unnested expressions by alias."""

    views: tuple[str, ...]
    aliases: dict[str, str]
    arrays: dict[str, str]


@lru_cache(maxsize=256)
def _sources(statement: str) -> _Sources:
    outermost = "".join(piece for depth, piece in _pieces(statement) if depth == 0)
    tables = [pair for pair in _FROM.findall(outermost) if pair[0].upper() != "UNNEST"]
    return _Sources(
        tuple(dict.fromkeys(view for view, _ in tables)),
        {alias: view for view, alias in tables if alias},
        {alias: argument for argument, alias in _UNNEST.findall(statement)},
    )


@lru_cache(maxsize=16)
def _job(name: str) -> Job:
    return sqlfile.load(name)


def _line(name: str, text: str) -> int:
    lines = (sqlfile.FOLDER / f"{name}.sql").read_text().splitlines()
    return next((number for number, line in enumerate(lines, 1) if line.startswith(text)), 1)


def _target(insert: str) -> str:
    return insert.split(maxsplit=3)[2].replace("`", "")


def _inserted(insert: str) -> dict[str, str]:
    """Expressions of an INSERT by the column that they go to."""
    names = re.search(r"\(([^)]*)\)", insert)
    if names is None:
        return {}
    columns = [name.strip(" `\n") for name in names[1].split(",")]
    return dict(zip(columns, _expressions(insert[names.end() :]), strict=False))


@lru_cache(maxsize=256)
def _columns(view: str) -> dict[str, str]:
    """Expressions of a view by the name of their column; a column that is passed on is itself."""
    found = {}
    for expression in _expressions(view):
        named = _NAME.search(expression)
        column = named[1] if named else expression.rpartition(".")[2].strip("`")
        found[column] = expression[: named.start()].strip() if named else expression.replace("`", "")
    return found


def _expressions(statement: str) -> list[str]:
    """What stands between SELECT and FROM, at the outermost level, by commas."""
    inside = False
    found, current = [], ""
    for depth, piece in _pieces(statement):
        word = piece.upper()
        if depth == 0 and word == "SELECT" and not inside:
            inside = True
        elif depth == 0 and word == "FROM" and inside:
            break
        elif inside and depth == 0 and piece == ",":
            found.append(current)
            current = ""
        elif inside:
            current += piece
    found.append(current)
    return [_SPACE.sub(" ", text).strip() for text in found]


def _pieces(statement: str) -> Iterator[tuple[int, str]]:
    """Words, texts, spaces and signs, each with how many parentheses and CASEs are open before it."""
    depth = 0
    for piece in re.findall(r"'[^']*'|`?\w+`?|\s+|[^\w\s]", statement):
        if piece == ")" or piece.upper() == "END":
            depth -= 1
        yield (depth + 1 if piece == ")" or piece.upper() == "END" else depth), piece
        if piece == "(" or piece.upper() == "CASE":
            depth += 1


def _references(expression: str) -> list[tuple[str, str]]:
    """Qualifier (empty where there is none) and name of everything that may be a column."""
    return list(dict.fromkeys(_REFERENCE.findall(_TEXT.sub("", expression))))
