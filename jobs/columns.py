"""Where a column of a topic comes from: the expressions of a job's SQL that lead to it.

This reads our own jobs' SQL, a list of columns and where they are taken from; it is no SQL parser.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from jobs import sqlfile
from jobs.sqlfile import Job

_NAME = re.compile(r"(?:^|\s)AS\s+`?(\w+)`?$", re.IGNORECASE)
_TEXT = re.compile(r"'[^']*'")
_SPACE = re.compile(r"\s+")


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
    job = _job(name)
    found: dict[tuple[str, str], Step] = {}
    statements = [text for text in job.inserts if _target(text) == table]
    for statement in statements:
        expression = _inserted(statement).get(column)
        if expression is None:
            continue
        if expression != column:
            step = Step(table, column, expression, _line(name, f"INSERT INTO {table}"))
            found[table, column] = step
        for word in _words(expression):
            _follow(name, job, _source(statement), word, found)
    return list(found.values())


def _follow(name: str, job: Job, view: str, column: str, found: dict[tuple[str, str], Step]) -> None:
    """Add where a view's column is made, and what that is made of."""
    while view in job.views:
        expression = _columns(job.views[view]).get(column)
        if expression is not None and expression != column:
            if (view, column) in found:
                return
            line = _line(name, f"CREATE TEMPORARY VIEW {view} AS")
            found[view, column] = Step(view, column, expression, line)
            for word in _words(expression):
                _follow(name, job, _source(job.views[view]), word, found)
            return
        view = _source(job.views[view])


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
        found[column] = expression[: named.start()].strip() if named else column
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


def _source(statement: str) -> str:
    """The view or table that a statement selects from, at the outermost level."""
    pieces = [piece for depth, piece in _pieces(statement) if depth == 0 and piece.strip()]
    for word, following in pairwise(pieces):
        if word.upper() == "FROM":
            return following.strip("`")
    return ""


def _pieces(statement: str) -> Iterator[tuple[int, str]]:
    """Words, texts, spaces and signs, each with how many parentheses and CASEs are open before it."""
    depth = 0
    for piece in re.findall(r"'[^']*'|`?\w+`?|\s+|[^\w\s]", statement):
        if piece == ")" or piece.upper() == "END":
            depth -= 1
        yield (depth + 1 if piece == ")" or piece.upper() == "END" else depth), piece
        if piece == "(" or piece.upper() == "CASE":
            depth += 1


def _words(expression: str) -> list[str]:
    """Names in an expression that may be columns; of ``e.team`` and of ``so_far.kills`` both parts."""
    return list(dict.fromkeys(re.findall(r"[A-Za-z_]\w*", _TEXT.sub("", expression))))
