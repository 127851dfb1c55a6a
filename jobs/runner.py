"""Runs jobs: submits a file to a cluster, stops it, goes on where it was, and runs its views over history.

A job goes on from the newest checkpoint or savepoint of its predecessor, which ``RIFT_HOME/jobs/NAME.json``
remembers; so a cluster that was killed loses nothing.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from pydantic import SecretStr

from jobs import sqlfile
from jobs.cluster import Cluster, Running, Snapshot
from jobs.session import LOCAL
from riftstream.errors import JobError
from riftstream.settings import Settings, get_settings

if TYPE_CHECKING:
    import pyarrow as pa

REMOTE = "remote"
LATEST = "latest"
LAKE = "lake"


@dataclass(frozen=True)
class Submitted:
    """What came of submitting a job.

    Attributes:
        name: Name of the job.
        job_id: Flink's id.
        new: False where it ran already and was left alone.
        restored_from: Checkpoint or savepoint that it goes on from; None where it begins anew.
    """

    name: str
    job_id: str
    new: bool
    restored_from: str | None = None


@dataclass
class _Memory:
    """What is remembered of a job: ids that it had, oldest first, and its savepoints."""

    job_ids: list[str] = field(default_factory=list)
    savepoints: list[dict[str, Any]] = field(default_factory=list)


def running(settings: Settings | None = None) -> dict[str, str]:
    """Live jobs by name, with Flink's word for their state.

    Raises:
        StackError: The cluster does not answer.
    """
    cluster = Cluster((settings or get_settings()).flink_url)
    return {job.name: job.state for job in cluster.jobs() if job.alive}


def listing(settings: Settings | None = None, target: str = REMOTE) -> dict[str, Running | None]:
    """Every job that there is a file for, and its newest run that the cluster remembers.

    Raises:
        StackError: The cluster does not answer.
    """
    jobs = Cluster(_address(target, settings or get_settings())).jobs()
    return {name: next((job for job in jobs if job.name == name), None) for name in sqlfile.names()}


def submit(
    name: str,
    *,
    target: str = REMOTE,
    from_savepoint: str = LATEST,
    fresh: bool = False,
    options: Mapping[str, str] | None = None,
    source_options: Mapping[str, str] | None = None,
    file: Path | None = None,
    settings: Settings | None = None,
) -> Submitted:
    """Submit a job, unless it runs already, and wait until all of its tasks run.

    Args:
        name: The job: ``jobs/NAME.sql``.
        target: ``remote`` for the cluster of the settings, the REST address of another, or ``local`` to run
            it to its end in a process of its own.
        from_savepoint: Path of a checkpoint or savepoint to go on from; ``latest`` for the newest that is
            known, if any.
        fresh: Begin anew, from the start of the topics and without state.
        options: Flink options over those of the job's file, for example ``{"parallelism.default": "2"}``.
        source_options: Options over those of the tables that the job reads, for example
            ``{"scan.bounded.mode": "latest-offset"}``.
        file: The job's file where it lies elsewhere; ``.avsc`` files beside it are records of topics that
            only it knows.
        settings: Where everything is; the process's settings by default.

    Returns:
        The job's id, whether it is new, and what it went on from.

    Raises:
        JobError: There is no such job, or Flink refused it, or it failed at once.
        StackError: The cluster does not answer.
    """
    settings = settings or get_settings()
    job = sqlfile.load(name) if file is None else sqlfile.read(file)
    options = options or {}
    return _submit([job], target, from_savepoint, fresh, options, source_options or {}, settings)[0]


def submit_all(names: Sequence[str], *, settings: Settings | None = None) -> list[Submitted]:
    """Submit several jobs to the cluster of the settings, as ``submit`` does one.

    One Flink client plans them all, so that its start counts once.

    Raises:
        JobError: One of them could not be submitted; the others are.
        StackError: The cluster does not answer.
    """
    settings = settings or get_settings()
    return _submit([sqlfile.load(name) for name in names], REMOTE, LATEST, False, {}, {}, settings)


def _submit(
    jobs: Sequence[sqlfile.Job],
    target: str,
    from_savepoint: str,
    fresh: bool,
    options: Mapping[str, str],
    source_options: Mapping[str, str],
    settings: Settings,
) -> list[Submitted]:
    done: dict[str, Submitted] = {}
    paths: dict[str, str | None] = {}
    cluster = None if target == LOCAL else Cluster(_address(target, settings))
    for name in (job.name for job in jobs):
        live = cluster.find(name) if cluster else None
        if live is not None:
            done[name] = Submitted(name, live.job_id, new=False)
        elif cluster is None or fresh:
            paths[name] = None
        else:
            paths[name] = _restore_path(cluster, _recall(settings, name), from_savepoint)
    orders = [
        {"file": str(job.file), "options": {**options, **_going_on_from(paths[job.name])}}
        for job in jobs
        if job.name in paths
    ]
    request = {
        "jobs": orders,
        "target": cluster.url if cluster else LOCAL,
        "source_options": dict(source_options),
    }
    answers: list[dict[str, str]] = _session(settings, "submit", request) if orders else []
    for answer in answers:
        if "job_id" in answer:
            name, job_id = answer["name"], answer["job_id"]
            done[name] = Submitted(name, job_id, new=True, restored_from=paths[name])
            if cluster:
                memory = _recall(settings, name)
                memory.job_ids.append(job_id)
                _remember(settings, name, memory)
                _tell_lineage(settings, next(job for job in jobs if job.name == name), job_id)
    for answer in answers:
        if "error" in answer:
            raise JobError(answer["error"], answer["hint"])
    if cluster:
        for answer in answers:
            cluster.wait_running(answer["job_id"])
    return [done[job.name] for job in jobs]


def stop(
    name: str, *, target: str = REMOTE, savepoint: bool = True, settings: Settings | None = None
) -> Snapshot | None:
    """Stop a job.

    Args:
        name: The job.
        target: The cluster, as for ``submit``.
        savepoint: Take a savepoint; else the job is cancelled, and its newest checkpoint stays.
        settings: Where everything is; the process's settings by default.

    Returns:
        The savepoint; None where none was asked for.

    Raises:
        JobError: It does not run, or the savepoint failed.
        StackError: The cluster does not answer.
    """
    settings = settings or get_settings()
    cluster = Cluster(_address(target, settings))
    job = _live(cluster, name)
    if not savepoint:
        cluster.cancel(job.job_id)
        return None
    taken = cluster.stop(job.job_id)
    _note(settings, name, taken)
    return taken


def savepoint(name: str, *, target: str = REMOTE, settings: Settings | None = None) -> Snapshot:
    """Take a savepoint of a job that goes on running.

    Raises:
        JobError: It does not run, or the savepoint failed.
        StackError: The cluster does not answer.
    """
    settings = settings or get_settings()
    cluster = Cluster(_address(target, settings))
    taken = cluster.savepoint(_live(cluster, name).job_id)
    _note(settings, name, taken)
    return taken


def upgrade(
    name: str,
    *,
    target: str = REMOTE,
    options: Mapping[str, str] | None = None,
    settings: Settings | None = None,
) -> Submitted:
    """Stop a job with a savepoint and submit its file as it is now from there.

    Raises:
        JobError: It does not run, the savepoint failed, or the new text cannot take over the state.
        StackError: The cluster does not answer.
    """
    sqlfile.load(name)
    taken = stop(name, target=target, settings=settings)
    path = taken.path if taken else LATEST
    return submit(name, target=target, from_savepoint=path, options=options, settings=settings)


def run_batch(
    name: str,
    view: str,
    *,
    source: Path | str = LAKE,
    matches: Collection[str] | None = None,
    since_ms: int | None = None,
    until_ms: int | None = None,
    snapshot_id: int | None = None,
    file: Path | None = None,
    out: Path | None = None,
    options: Mapping[str, str] | None = None,
    settings: Settings | None = None,
) -> pa.Table:
    """Run a view of a job over history: the same SQL text in batch mode, in the order of the log.

    History is that of live-matches. A job that reads what another job writes, such as ``player_form``, gets
    what that job makes of the same history.

    It runs on a Flink of its own in a process of its own; a file needs no running stack.

    Args:
        name: The job, for example ``match_pipeline``.
        view: A view of it that has no column which only a stream can have, for example ``features``; or the
            table of a topic that it writes, for example ``player_stats``.
        source: ``lake`` for ``raw.match_events``, or a file of events: JSON lines (plain or ``.gz``) or
            ``.parquet``, in log order, with the fields of the topic's record; ``source_partition`` and
            ``source_offset`` are partition 0 and the row's number where the file lacks them.
        matches: Only these match ids.
        since_ms: Only events at or after this event time (ms since the Unix epoch).
        until_ms: Only events before this event time.
        snapshot_id: Iceberg snapshot to read; the newest by default. A file has none.
        file: The job's file where it lies elsewhere.
        out: Parquet file to write; the table is read from it on demand.
        options: Flink options.
        settings: Where everything is; the process's settings by default.

    Returns:
        The view's rows; memory-mapped where ``out`` is given. Times are ms since the Unix epoch.

    Raises:
        JobError: There is no such job or view, or Flink could not run it.
    """
    job = sqlfile.load(name) if file is None else sqlfile.read(file)
    return run_batches(
        [(job, view, out)],
        source,
        matches,
        since_ms,
        until_ms,
        snapshot_id=snapshot_id,
        options=options,
        settings=settings,
    )[0]


def run_batches(
    views: Sequence[tuple[sqlfile.Job | str, str, Path | None]],
    source: str | Path = LAKE,
    matches: Collection[str] | None = None,
    since_ms: int | None = None,
    until_ms: int | None = None,
    *,
    snapshot_id: int | None = None,
    options: Mapping[str, str] | None = None,
    settings: Settings | None = None,
) -> list[pa.Table]:
    """Run several views over the same history, as ``run_batch`` does one; a JVM's start counts once.

    Args:
        views: Job (or its name) and view, and the Parquet file to write or None, of each.
        source: See ``run_batch``, like the others.
        matches: Only these match ids.
        since_ms: Only events at or after this event time.
        until_ms: Only events before this event time.
        snapshot_id: Iceberg snapshot to read; the newest by default.
        options: Flink options.
        settings: Where everything is.

    Raises:
        JobError: There is no such job or view, or Flink could not run one.
    """
    import pyarrow.parquet as pq

    settings = settings or get_settings()
    with tempfile.TemporaryDirectory(prefix="rift-batch-") as folder:
        orders = []
        for number, (named, view, out) in enumerate(views):
            job = sqlfile.load(named) if isinstance(named, str) else named
            if view not in (*job.views, *job.targets):
                raise JobError(f"{job.name} has no view {view}.", f"It has: {', '.join(job.views)}.")
            file = out or Path(folder) / f"rows-{number}.parquet"
            orders.append({"file": str(job.file), "view": view, "out": str(file.resolve())})
        request: dict[str, Any] = {
            "views": orders,
            "options": dict(options or {}),
            "source": str(source if source == LAKE else Path(source).resolve()),
            "matches": sorted(matches) if matches is not None else None,
            "since_ms": since_ms,
            "until_ms": until_ms,
            "snapshot_id": snapshot_id,
            "folder": folder,
        }
        _session(settings, "batch", request)
        return [
            pq.read_table(order["out"], memory_map=out is not None)
            for order, (_, _, out) in zip(orders, views, strict=True)
        ]


def run_tables(
    name: str,
    folder: Path,
    *,
    matches: Collection[str] | None = None,
    since_ms: int | None = None,
    until_ms: int | None = None,
    snapshot_id: int | None = None,
    options: Mapping[str, str] | None = None,
    settings: Settings | None = None,
) -> dict[str, pa.Table]:
    """Run a batch job over ``raw.match_events`` and give the rows of each table that it writes.

    It runs on a Flink of its own in a process of its own, and inserts nothing: the rows are for who audits
    and publishes them.

    Args:
        name: The job: ``jobs/batch/NAME.sql``.
        folder: Empty folder that takes the rows as Parquet, on which the tables given lie.
        matches: Only these match ids; None for all.
        since_ms: Only events at or after this event time (ms since the Unix epoch).
        until_ms: Only events before this event time.
        snapshot_id: Iceberg snapshot of ``raw.match_events`` to read; None for the newest.
        options: Flink options.
        settings: Where everything is; the process's settings by default.

    Returns:
        The rows by table, for example ``processed.matches``. Times are ms since the Unix epoch.

    Raises:
        JobError: There is no such job, or Flink could not run it.
    """
    import pyarrow.parquet as pq

    file = sqlfile.BATCH / f"{name}.sql"
    if not file.is_file():
        known = ", ".join(sorted(one.stem for one in sqlfile.BATCH.glob("*.sql")))
        raise JobError(f"There is no batch job {name}.", f"There are: {known}.")
    request = {
        "file": str(file),
        "folder": str(folder.resolve()),
        "matches": sorted(matches) if matches is not None else None,
        "since_ms": since_ms,
        "until_ms": until_ms,
        "snapshot_id": snapshot_id,
        "options": dict(options or {}),
    }
    files = _session(settings or get_settings(), "tables", request)
    return {table: pq.read_table(one, memory_map=True) for table, one in files.items()}


def _tell_lineage(settings: Settings, job: sqlfile.Job, job_id: str) -> None:
    """Tell that a job of the cluster began: what it reads and writes."""
    from jobs.lineage import flows_of
    from streams.lineage import Data, emit

    flows = flows_of(job)
    topics = dict.fromkeys(topic for flow in flows for topic in flow.topics)
    tables = dict.fromkeys(table for flow in flows for table in flow.tables)
    read = [*(Data(name, table=False) for name in topics), *map(Data, tables)]
    emit(
        settings,
        "START",
        str(UUID(job_id)),
        job.name,
        read,
        [Data(flow.target, table=flow.table) for flow in flows],
    )


def _address(target: str, settings: Settings) -> str:
    return settings.flink_url if target == REMOTE else target


def _live(cluster: Cluster, name: str) -> Running:
    job = cluster.find(name)
    if job is None:
        raise JobError(f"The job {name} does not run.", "See `rift jobs list`.")
    return job


def _restore_path(cluster: Cluster, memory: _Memory, wanted: str) -> str | None:
    if wanted != LATEST:
        return wanted
    known = [Snapshot(**savepoint) for savepoint in memory.savepoints]
    for job_id in memory.job_ids:
        known += cluster.snapshots(job_id)
    return max(known, key=lambda snapshot: snapshot.taken_ms).path if known else None


def _going_on_from(path: str | None) -> dict[str, str]:
    return {"execution.state-recovery.path": path} if path else {}


def _file(settings: Settings, name: str) -> Path:
    return settings.home / "jobs" / f"{name}.json"


def _recall(settings: Settings, name: str) -> _Memory:
    file = _file(settings, name)
    return _Memory(**json.loads(file.read_text())) if file.is_file() else _Memory()


def _remember(settings: Settings, name: str, memory: _Memory) -> None:
    file = _file(settings, name)
    file.parent.mkdir(parents=True, exist_ok=True)
    beside = file.with_suffix(".new")
    beside.write_text(json.dumps(asdict(memory), indent=1))
    beside.replace(file)


def _note(settings: Settings, name: str, taken: Snapshot) -> None:
    memory = _recall(settings, name)
    memory.savepoints.append(asdict(taken))
    _remember(settings, name, memory)


def _session(settings: Settings, what: str, request: Mapping[str, Any]) -> Any:
    """Run ``jobs.session`` in a process of its own, so that its JVM goes when it is done.

    The request goes through standard input, since it holds the keys of the object store.
    """
    done = subprocess.run(
        [sys.executable, "-m", "jobs.session"],
        input=json.dumps({"what": what, "settings": _open(settings), **request}),
        capture_output=True,
        text=True,
        check=False,
    )
    lines = done.stdout.splitlines()
    try:
        answer = json.loads(lines[-1])
    except (IndexError, ValueError) as cause:
        raise JobError(
            f"The Flink client died (exit code {done.returncode}): {done.stderr[-2000:]}"
        ) from cause
    if "error" in answer:
        raise JobError(answer["error"], answer["hint"])
    return answer["result"]


def _open(settings: Settings) -> dict[str, Any]:
    """Settings as JSON holds them, secrets readable."""
    values = settings.model_dump()
    return {
        name: value.get_secret_value()
        if isinstance(value, SecretStr)
        else str(value)
        if isinstance(value, Path)
        else value
        for name, value in values.items()
    }
