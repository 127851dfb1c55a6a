"""What jobs read and write, from their SQL: topics, and tables of the lake."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from jobs import ddl, sqlfile
from jobs.sqlfile import Job

HISTORY = "raw.match_events"
"""What a batch job reads where a stream reads live-matches."""

_TABLE = re.compile(rf"\b{ddl.CATALOG}\.`?(\w+)`?\.`?(\w+)`?")
_FROM = re.compile(r"\b(?:FROM|JOIN)\s+`?(\w+)`?(?![\w`]*\s*\.)", re.IGNORECASE)


@dataclass(frozen=True)
class Flow:
    """A topic or table that a job writes, and what that is made of.

    Attributes:
        job: Name of the job.
        batch: Whether it comes to an end.
        target: The topic, or ``namespace.table``.
        topics: Topics that it is made of.
        tables: Tables that it is made of, with their namespaces.
        table: Whether the target is a table.
    """

    job: str
    batch: bool
    target: str
    topics: tuple[str, ...]
    tables: tuple[str, ...]
    table: bool


def flows() -> list[Flow]:
    """What every job of ours writes, streams first."""
    streams = map(sqlfile.load, sqlfile.names())
    batches = map(sqlfile.read, sorted(sqlfile.BATCH.glob("*.sql")))
    return [flow for job in (*streams, *batches) for flow in flows_of(job)]


def flows_of(job: Job) -> list[Flow]:
    """What a job writes."""
    batch = job.file is not None and job.file.parent == sqlfile.BATCH
    known = {table: schema.topic for table, schema in ddl.topics(job.schemas).items()}
    found = []
    for target in job.targets:
        read = frozenset(_read(job, _texts(job, target), frozenset()))
        topics = tuple(sorted(known[name] for name in read if name in known))
        tables = tuple(sorted(name for name in read if "." in name))
        found.append(
            Flow(
                job.name,
                batch,
                known.get(target, target.removeprefix(f"{ddl.CATALOG}.")),
                () if batch else topics,
                (HISTORY, *tables) if batch and topics else tables,
                target not in known,
            )
        )
    return found


def _texts(job: Job, target: str) -> str:
    """The INSERT statements of a table."""
    return " ".join(text for text in job.inserts if text.split(maxsplit=3)[2].replace("`", "") == target)


def _read(job: Job, text: str, seen: frozenset[str]) -> Iterator[str]:
    """Topics' and the lake's tables that a statement comes to through the job's views."""
    body = text.partition("SELECT")[2]
    yield from (".".join(found) for found in _TABLE.findall(body))
    for name in _FROM.findall(body):
        if name in job.views and name not in seen:
            yield from _read(job, job.views[name], seen | {name})
        elif name not in job.views:
            yield name
