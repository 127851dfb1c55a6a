"""A job as a file: ``jobs/NAME.sql`` with its header, settings, views and inserts.

A job's file begins with a comment that says what the job reads, writes, keeps and promises, then holds SET
lines, CREATE TEMPORARY VIEW and INSERT statements. The tables that stand for topics, the catalog ``lake`` and
our functions are there without being declared (``jobs.ddl``).

A header may also say ``From: JOB.VIEW``: then the job begins with the views of another job up to that one, so
that what both need, such as what makes an event valid, is written once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from riftstream.errors import JobError
from streams import schemas

FOLDER = Path(__file__).parent
BATCH = FOLDER / "batch"
"""Jobs that come to an end: no stream submits them, ``rift lake etl`` runs them."""
COMMON = {
    "table.local-time-zone": "UTC",
    "execution.checkpointing.interval": "10 s",
    "execution.checkpointing.externalized-checkpoint-retention": "RETAIN_ON_CANCELLATION",
    "restart-strategy.type": "exponential-delay",
    "restart-strategy.exponential-delay.initial-backoff": "1 s",
    "restart-strategy.exponential-delay.max-backoff": "30 s",
}
"""Settings of every job; its own SET lines come over them."""
HEADINGS = ("Reads", "Writes", "Keeps", "Promises")
BEGINS_WITH = "From"

_TOKEN = re.compile(r"--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'|`[^`]*`|;|[^-/'`;]+|.", re.DOTALL)
_HEADING = re.compile(rf"^\s*({'|'.join((*HEADINGS, BEGINS_WITH))}):\s*(.*)$")
_SET = re.compile(r"^SET\s+'([^']+)'\s*=\s*'([^']*)'$", re.IGNORECASE)
_VIEW = re.compile(r"^CREATE\s+TEMPORARY\s+VIEW\s+(\w+)\s+AS\s", re.IGNORECASE)
_INSERT = re.compile(r"^INSERT\s+INTO\s+([\w.`]+)", re.IGNORECASE)
_HINT = r"(?:/\*\+.*?\*/\s*)?"
_FEED = re.compile(
    rf"^INSERT\s+INTO\s+[\w.`]+\s*{_HINT}\(([^)]*)\)\s*(SELECT\b.*)$", re.IGNORECASE | re.DOTALL
)
_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Job:
    """A job's file, taken apart.

    Attributes:
        name: Name of the job: the file's name.
        header: What the header says under Reads, Writes, Keeps and Promises.
        settings: ``COMMON`` and over it the SET lines.
        views: CREATE TEMPORARY VIEW statements by the view's name, in order.
        inserts: INSERT statements in order.
        file: Where it was read from; None for a text that lies nowhere.
        schemas: Records of topics that only this job knows: the ``.avsc`` files beside its file.
        begins_with: ``JOB.VIEW`` where the job begins with the views of another; else empty. ``load`` has put
            those views before its own.
    """

    name: str
    header: dict[str, str]
    settings: dict[str, str]
    views: dict[str, str]
    inserts: tuple[str, ...]
    file: Path | None = None
    schemas: tuple[schemas.RecordSchema, ...] = ()
    begins_with: str = ""

    @property
    def targets(self) -> tuple[str, ...]:
        """Tables that the job inserts into, each once."""
        found = (_INSERT.match(insert) for insert in self.inserts)
        return tuple(dict.fromkeys(match[1].replace("`", "") for match in found if match))

    def rows_of(self, target: str) -> str:
        """A query for the rows that the job inserts into a table, under the names of the table's columns.

        Raises:
            JobError: The job inserts nothing into it, or by more than one statement.
        """
        found = [insert for insert in self.inserts if _INSERT.match(insert)[1].replace("`", "") == target]  # type: ignore[index]
        feed = _FEED.match(found[0]) if len(found) == 1 else None
        if feed is None:
            raise JobError(f"{self.name} has no one INSERT INTO {target} (COLUMNS) SELECT.")
        return f"SELECT * FROM ({feed[2]}) AS fed ({feed[1]})"  # noqa: S608

    @property
    def words(self) -> frozenset[str]:
        """Every word of the statements: tables that the job uses are among them."""
        return frozenset(_WORD.findall(" ".join([*self.views.values(), *self.inserts])))


def names() -> list[str]:
    """Names of all jobs."""
    return sorted(file.stem for file in FOLDER.glob("*.sql"))


def load(name: str) -> Job:
    """Read a job's file.

    Raises:
        JobError: There is no such job, or its file is not one.
    """
    file = FOLDER / f"{name}.sql"
    if not file.is_file():
        raise JobError(f"There is no job {name}.", f"There are: {', '.join(names())}.")
    return read(file)


def read(file: Path) -> Job:
    """Read a job's file, wherever it lies.

    Raises:
        JobError: It is not one.
        SchemaError: A schema beside it is not one.
    """
    own = tuple(map(schemas.load, sorted(file.parent.glob("*.avsc"))))
    job = parse(file.stem, file.read_text())
    views = {**_views_before(job), **job.views} if job.begins_with else job.views
    return replace(job, views=views, file=file.resolve(), schemas=own)


def writer(table: str) -> Job:
    """The job that writes a table.

    Raises:
        JobError: None does, or more than one.
    """
    found = [job for job in map(load, names()) if table in job.targets]
    if len(found) != 1:
        raise JobError(f"{len(found)} jobs write {table}.", "History of it is made by the one that does.")
    return found[0]


def _views_before(job: Job) -> dict[str, str]:
    """The views of another job that this one begins with."""
    other_name, _, last = job.begins_with.partition(".")
    views = load(other_name).views
    if last not in views:
        raise JobError(f"{job.name} begins with {job.begins_with}, which is not there.")
    names = list(views)
    return {name: views[name] for name in names[: names.index(last) + 1]}


def parse(name: str, text: str) -> Job:
    """Take a job's text apart.

    Raises:
        JobError: The header lacks a part, or a statement is none of SET, CREATE TEMPORARY VIEW and INSERT.
    """
    header = _header(text)
    missing = [heading for heading in HEADINGS if not header.get(heading)]
    if missing:
        raise JobError(
            f"The header of {name}.sql does not say {', '.join(missing)}.",
            "Begin the file with comment lines '-- Reads: ...', '-- Writes: ...' and so on.",
        )
    settings = dict(COMMON)
    views: dict[str, str] = {}
    inserts: list[str] = []
    for statement in statements(text):
        if found := _SET.match(statement):
            settings[found[1]] = found[2]
        elif found := _VIEW.match(statement):
            views[found[1]] = statement
        elif _INSERT.match(statement):
            inserts.append(statement)
        else:
            raise JobError(
                f"{name}.sql holds a statement that a job cannot have: {statement[:60]!r}.",
                "A job has SET, CREATE TEMPORARY VIEW and INSERT statements.",
            )
    if not inserts:
        raise JobError(f"{name}.sql writes nothing.", "A job needs an INSERT statement.")
    return Job(name, header, settings, views, tuple(inserts), begins_with=header.pop(BEGINS_WITH, ""))


def statements(text: str) -> list[str]:
    """The statements of a text, without closing semicolons and comments; hints (``/*+ ... */``) are none."""
    found, current = [], ""
    for piece in _TOKEN.findall(text):
        if piece == ";":
            found.append(current.strip())
            current = ""
        elif piece.startswith("/*+") or not piece.startswith(("--", "/*")):
            current += piece
    found.append(current.strip())
    return [statement for statement in found if statement]


def _header(text: str) -> dict[str, str]:
    """What the comment lines at the top say, by heading; lines without a heading go on with the last one."""
    parts: dict[str, list[str]] = {}
    heading = ""
    for line in text.splitlines():
        if not line.startswith("--"):
            break
        comment = line.removeprefix("--")
        if not comment.strip():
            heading = ""
        elif found := _HEADING.match(comment):
            heading = found[1]
            parts[heading] = [found[2]]
        elif heading:
            parts[heading].append(comment.strip())
    return {name: " ".join(filter(None, lines)) for name, lines in parts.items()}
