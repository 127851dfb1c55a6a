"""Flink sessions: a table environment that knows our tables and functions, and what a job does in it.

PyFlink brings a JVM with it, so this module is the only one that imports it, and the runner calls it in a
process of its own: ``python -m jobs.session`` reads a request as JSON and prints the answer as JSON.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from infra.flink_home import flink_home, java_home
from jobs import ddl, history, sqlfile
from jobs.cluster import innermost
from jobs.history import Rows
from riftstream.errors import JobError, RiftError
from riftstream.settings import Settings
from streams.schemas import RecordSchema, for_topic

if TYPE_CHECKING:
    import pyarrow as pa
    from pyflink.table import TableEnvironment

LOCAL = "local"

_MINI_CLUSTER = {
    "execution.target": "local",
    "taskmanager.numberOfTaskSlots": "4",
    "taskmanager.memory.network.min": "128mb",
    "taskmanager.memory.network.max": "128mb",
    "taskmanager.memory.managed.size": "256mb",
    "rest.bind-address": "127.0.0.1",
    "rest.bind-port": "0",
}
_BATCH = {
    "parallelism.default": "2",
    "state.backend.type": "hashmap",
    "table.exec.iceberg.infer-source-parallelism": "false",
}
_STREAM_ONLY = ("execution.checkpointing.", "restart-strategy.", "table.exec.state.", "table.exec.source.")


def environment(
    target: str,
    *,
    batch: bool = False,
    options: Mapping[str, str] | None = None,
    logs: Path | None = None,
    brief: bool = False,
) -> TableEnvironment:
    """A table environment in which our JVM functions are known.

    The first call of a process starts the JVM.

    Args:
        target: ``local`` for a cluster within this process, else the REST address of a cluster.
        batch: Batch mode instead of streaming.
        options: Flink options.
        logs: Folder for the client's log; the Flink home's own by default.
        brief: Whether little is to be computed, so that planning takes most of the time.
    """
    os.environ["FLINK_HOME"] = str(flink_home())
    os.environ["JAVA_HOME"] = str(java_home())
    os.environ.pop("FLINK_CONF_DIR", None)
    if target != LOCAL or brief:
        # A client plans for some seconds and is gone: it must start quickly, not run long.
        os.environ["JVM_ARGS"] = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
    if logs is not None:
        logs.mkdir(parents=True, exist_ok=True)
        os.environ["FLINK_LOG_DIR"] = str(logs)
    from pyflink.common import Configuration
    from pyflink.table import EnvironmentSettings, TableEnvironment

    configuration = Configuration()
    for key, value in {**_target(target), **(options or {})}.items():
        configuration.set_string(key, value)
    builder = EnvironmentSettings.new_instance().with_configuration(configuration)
    mode = builder.in_batch_mode() if batch else builder.in_streaming_mode()
    table_environment = TableEnvironment.create(mode.build())
    for statement in ddl.functions():
        table_environment.execute_sql(statement)
    return table_environment


def declare(
    environment: TableEnvironment,
    job: sqlfile.Job,
    settings: Settings,
    source_options: Mapping[str, str] | None = None,
) -> None:
    """Make known what a job uses: the topics that it reads and writes, the lake, its own views."""
    own = (
        {"properties.fetch.max.wait.ms": job.settings[ddl.FETCH_WAIT]}
        if ddl.FETCH_WAIT in job.settings
        else {}
    )
    reading = own | dict(source_options or {})
    written = set(job.targets)
    for table, schema in ddl.topics(job.schemas).items():
        if table in written:
            environment.execute_sql(ddl.sink(schema, settings))
        elif table in job.words:
            environment.execute_sql(ddl.source(schema, settings, ddl.group(job.name), reading))
    if ddl.CATALOG in job.words:
        environment.execute_sql(ddl.catalog(settings))
    for statement in job.views.values():
        environment.execute_sql(statement)


def explain(environment: TableEnvironment, job: sqlfile.Job) -> str:
    """Flink's plan of a job whose tables are declared."""
    return str(_statement_set(environment, job).explain())


def submit(
    job: sqlfile.Job,
    settings: Settings,
    target: str,
    options: Mapping[str, str] | None = None,
    source_options: Mapping[str, str] | None = None,
) -> str:
    """Submit a job; on the local target, run it to its end.

    Args:
        job: The job.
        settings: Where Kafka, the registry and the lake are.
        target: ``local`` or the REST address of a cluster.
        options: Flink options over those of the job's file.
        source_options: Options over those of the tables that the job reads.

    Returns:
        The job's id.

    Raises:
        JobError: Flink refused it.
    """
    options = {**job.settings, "pipeline.name": job.name, **(options or {})}
    try:
        table_environment = environment(target, options=options, logs=settings.home / "logs")
        declare(table_environment, job, settings, source_options)
        result = _statement_set(table_environment, job).execute()
        client = result.get_job_client()
        if client is None:
            raise JobError(f"Flink gave no job for {job.name}.")
        if target == LOCAL:
            result.wait()
        return str(client.get_job_id())
    except JobError:
        raise
    except Exception as cause:
        raise _job_error(job.name, cause) from cause


def batch(
    job: sqlfile.Job,
    view: str,
    schema: RecordSchema,
    rows: Rows,
    *,
    environment: TableEnvironment,
    folder: Path,
) -> pa.Table:
    """Run a view of a job over a finished set of rows, or what it inserts into a topic.

    Where the job does not read the topic of the rows itself, the jobs before it run over them too.

    Flink writes the rows as Parquet (a table of an Iceberg catalog in a folder), which is four times as quick
    as sending them to Python through its gateway.

    Args:
        job: The job.
        view: The view, without the columns that only a stream has, or a table that the job inserts into.
        schema: Record of the topic that the rows stand for.
        rows: The rows.
        environment: A table environment in batch mode, on this machine.
        folder: Empty folder that Flink may write into.

    Returns:
        The view's rows by their place in the log, where the view tells it. Times are ms since the Unix epoch.

    Raises:
        JobError: There is no such view, or Flink could not run it.
    """
    if view not in (*job.views, *job.targets):
        raise JobError(f"{job.name} has no view {view}.", f"It has: {', '.join(job.views)}.")
    try:
        for statement in rows.setup:
            environment.execute_sql(statement)
        _declare_history(environment, job, schema, rows)
        for name, statement in job.views.items():
            environment.execute_sql(statement)
            if name == view:
                break
        if view in job.views:
            return written(environment, view, folder)
        environment.execute_sql(f"CREATE TEMPORARY VIEW inserted AS {job.rows_of(view)}")
        return written(environment, "inserted", folder)
    except JobError:
        raise
    except Exception as cause:
        raise _job_error(job.name, cause) from cause


def batch_all(
    job: sqlfile.Job,
    schema: RecordSchema,
    rows: Rows,
    *,
    environment: TableEnvironment,
    folder: Path,
) -> dict[str, pa.Table]:
    """What a batch job would insert into each of its tables, from a finished set of events.

    Nothing is inserted: who publishes the rows decides where they go.

    Args:
        job: The job; it reads live-matches, and may read tables of the lake.
        schema: Record of live-matches.
        rows: The events.
        environment: A table environment in batch mode, on this machine.
        folder: Empty folder that Flink may write into.

    Returns:
        The rows by table, without the catalog's name. Times are ms since the Unix epoch.

    Raises:
        JobError: Flink could not run it.
    """
    try:
        for statement in rows.setup:
            environment.execute_sql(statement)
        environment.execute_sql(ddl.batch_source(schema, rows.query))
        _declare_in_stages(environment, job, folder)
        views = {}
        for target in job.targets:
            name = target.removeprefix(f"{ddl.CATALOG}.")
            views[name.replace(".", "__")] = view = f"into_{name.replace('.', '__')}"
            environment.execute_sql(f"CREATE TEMPORARY VIEW {view} AS {job.rows_of(target)}")
        found = written_all(environment, views, folder / "written")
    except JobError:
        raise
    except Exception as cause:
        raise _job_error(job.name, cause) from cause
    return {name.replace("__", "."): table for name, table in found.items()}


def _declare_in_stages(environment: TableEnvironment, job: sqlfile.Job, folder: Path) -> None:
    """Declare a batch job's views; those of ``ddl.STAGES`` are computed and written, a stage at a time.

    A view that others use twice is planned and computed twice in each of them; a table is read.
    """
    stages = [stage.split() for stage in job.settings.get(ddl.STAGES, "").split(",")]
    waiting = list(filter(None, stages))
    for name, statement in job.views.items():
        environment.execute_sql(statement)
        if waiting and name == waiting[0][-1]:
            stage = waiting.pop(0)
            catalog = f"stage_{name}"
            _write(environment, {one: one for one in stage}, catalog, folder / catalog)
            for one in stage:
                environment.execute_sql(f"DROP TEMPORARY VIEW {one}")
                query = f"SELECT * FROM {catalog}.batch.`{one}`"  # noqa: S608
                environment.execute_sql(f"CREATE TEMPORARY VIEW {one} AS {query}")


def _declare_history(
    environment: TableEnvironment, job: sqlfile.Job, schema: RecordSchema, rows: Rows
) -> None:
    """Put history in the place of the topic that a job reads.

    That is the rows themselves, or what the job before it makes of them.
    """
    source = _only_source(job)
    if source.topic == schema.topic:
        environment.execute_sql(ddl.batch_source(schema, rows.query))
        return
    before = sqlfile.writer(ddl.table_name(source.topic))
    _declare_history(environment, before, schema, rows)
    for statement in before.views.values():
        environment.execute_sql(statement)
    query = before.rows_of(ddl.table_name(source.topic))
    environment.execute_sql(ddl.batch_source(source, query))


def written(environment: TableEnvironment, view: str, folder: Path) -> pa.Table:
    """Let Flink write the rows of a view into an empty folder as Parquet, and read them.

    Args:
        environment: A table environment on this machine; in streaming mode the view must come to an end.
        view: The view; it must only grow.
        folder: Empty folder.

    Returns:
        The rows by their place in the log, where the view tells it. Times are ms since the Unix epoch.
    """
    return written_all(environment, {"rows": view}, folder)["rows"]


def written_all(environment: TableEnvironment, views: Mapping[str, str], folder: Path) -> dict[str, pa.Table]:
    """As ``written``, for several views in one run of Flink, in which what they share is done once.

    Args:
        environment: A table environment on this machine; in streaming mode the views must come to an end.
        views: The views by the names under which their rows are given.
        folder: Empty folder.
    """
    _write(environment, views, "written", folder)
    environment.execute_sql("DROP CATALOG written")
    return {name: _read(folder / "batch" / name) for name in views}


def _write(environment: TableEnvironment, views: Mapping[str, str], catalog: str, folder: Path) -> None:
    """Let Flink write views into tables of a new catalog in a folder, all in one run."""
    for statement in ddl.folder_catalog(catalog, folder):
        environment.execute_sql(statement)
    statements = environment.create_statement_set()
    for name, view in views.items():
        query = f"SELECT {', '.join(_columns(environment, view))} FROM `{view}`"  # noqa: S608
        environment.execute_sql(f"CREATE TABLE {catalog}.batch.`{name}` ({_declared(environment, query)})")
        statements.add_insert_sql(f"INSERT INTO {catalog}.batch.`{name}` {query}")
    statements.execute().wait()


def _declared(environment: TableEnvironment, query: str) -> str:
    """The columns of a query as a table declares them."""
    columns = environment.sql_query(query)._j_table.getResolvedSchema().getColumns()
    return ", ".join(
        f"`{column.getName()}` {column.getDataType().getLogicalType().copy(True).asSerializableString()}"
        for column in columns
    )


def _read(folder: Path) -> pa.Table:
    """The rows of a table that Flink wrote into a folder."""
    import pyarrow.dataset as dataset
    from pyiceberg.io.pyarrow import schema_to_pyarrow
    from pyiceberg.table import StaticTable

    newest = max((folder / "metadata").glob("v*.metadata.json"), key=_version)
    schema = schema_to_pyarrow(StaticTable.from_metadata(newest.as_uri()).schema())
    files = sorted(map(str, (folder / "data").rglob("*.parquet")))
    table: pa.Table = dataset.dataset(files, format="parquet").to_table() if files else schema.empty_table()
    order = [name for name in ("source_partition", "source_offset") if name in table.column_names]
    return table.sort_by([(name, "ascending") for name in order]) if order else table


def _version(metadata: Path) -> int:
    """Number of a metadata file: 3 for ``v3.metadata.json``."""
    return int(metadata.name.removeprefix("v").split(".")[0])


def _columns(environment: TableEnvironment, view: str) -> list[str]:
    """The columns of a view, points in time as milliseconds."""
    from pyflink.table.types import LocalZonedTimestampType

    schema = environment.from_path(view).get_schema()
    kinds = zip(schema.get_field_names(), schema.get_field_data_types(), strict=True)
    return [
        f"EPOCH_MILLIS(`{name}`) AS `{name}`" if isinstance(kind, LocalZonedTimestampType) else f"`{name}`"
        for name, kind in kinds
    ]


def _statement_set(environment: TableEnvironment, job: sqlfile.Job) -> Any:
    statement_set = environment.create_statement_set()
    for insert in job.inserts:
        statement_set.add_insert_sql(insert)
    return statement_set


def _target(target: str) -> dict[str, str]:
    if target == LOCAL:
        return {**_MINI_CLUSTER, "io.tmp.dirs": tempfile.gettempdir()}
    address = urlsplit(target)
    if address.hostname is None:
        raise JobError(
            f"{target} is no address of a Flink cluster.", "Give local, remote, or http://HOST:PORT."
        )
    return {
        "execution.target": "remote",
        "rest.address": address.hostname,
        "rest.port": str(address.port or 8081),
    }


def _job_error(name: str, cause: Exception) -> JobError:
    return JobError(f"Flink could not run {name}: {innermost(str(cause))}")


def main() -> None:
    """Do what the request on standard input asks, and print the answer as one line of JSON."""
    request = json.load(sys.stdin)
    settings = Settings(**request["settings"])
    try:
        answer = {"result": _ANSWERS[request["what"]](request, settings)}
    except RiftError as error:
        answer = {"error": error.message, "hint": error.hint}
    print(json.dumps(answer), flush=True)
    sys.exit("error" in answer)


def _answer_submit(request: dict[str, Any], settings: Settings) -> list[dict[str, str]]:
    """For each job its id, or why it could not be submitted: one that fails does not keep the others."""
    answers = []
    for order in request["jobs"]:
        job = sqlfile.read(Path(order["file"]))
        try:
            job_id = submit(job, settings, request["target"], order["options"], request["source_options"])
            answers.append({"name": job.name, "job_id": job_id})
        except RiftError as error:
            answers.append({"name": job.name, "error": error.message, "hint": error.hint})
    return answers


def _answer_batch(request: dict[str, Any], settings: Settings) -> None:
    """Write the rows of each view that is asked for; one JVM does them all, one after the other."""
    for number, order in enumerate(request["views"]):
        folder = Path(request["folder"]) / str(number)
        folder.mkdir()
        _write_view(order, request, folder, settings)


def _write_view(order: dict[str, str], request: dict[str, Any], folder: Path, settings: Settings) -> None:
    import pyarrow.parquet as pq

    job = sqlfile.read(Path(order["file"]))
    schema = for_topic(history.TOPIC)
    chosen = history.Chosen(
        request["matches"], request["since_ms"], request["until_ms"], request["snapshot_id"]
    )
    if request["source"] == "lake":
        rows = history.from_lake(schema, settings, chosen)
    else:
        rows = history.from_file(schema, Path(request["source"]), chosen, folder)
    options = _batch_options(job, f"{job.name}: {order['view']}", request)
    table_environment = environment(LOCAL, batch=True, options=options, logs=settings.home / "logs")
    table = batch(job, order["view"], schema, rows, environment=table_environment, folder=folder / "flink")
    pq.write_table(table, order["out"], compression="zstd")


def _batch_options(job: sqlfile.Job, name: str, request: dict[str, Any]) -> dict[str, str]:
    """A job's settings without those of streams, and the request's own; a batch that fails is not retried."""
    kept = {key: value for key, value in job.settings.items() if not key.startswith(_STREAM_ONLY)}
    return {**kept, **_BATCH, "pipeline.name": name, **request["options"]}


def _answer_tables(request: dict[str, Any], settings: Settings) -> dict[str, str]:
    import pyarrow.parquet as pq

    job = sqlfile.read(Path(request["file"]))
    schema = for_topic(history.TOPIC)
    chosen = history.Chosen(
        request["matches"], request["since_ms"], request["until_ms"], request["snapshot_id"]
    )
    rows = history.fullest(history.from_lake(schema, settings, chosen))
    options = _batch_options(job, job.name, request)
    table_environment = environment(
        LOCAL, batch=True, options=options, logs=settings.home / "logs", brief=request["matches"] is not None
    )
    folder = Path(request["folder"])
    tables = batch_all(job, schema, rows, environment=table_environment, folder=folder / "flink")
    files = {}
    for name, table in tables.items():
        files[name] = str(folder / f"{name}.parquet")
        pq.write_table(table, files[name], compression="zstd")
    return files


def _only_source(job: sqlfile.Job) -> RecordSchema:
    """The record of the one topic that a job reads; batch mode puts history in its place."""
    read = [
        schema for table, schema in ddl.topics().items() if table in job.words and table not in job.targets
    ]
    if len(read) != 1:
        raise JobError(f"{job.name} reads {len(read)} topics.", "Batch mode is for jobs that read one.")
    return read[0]


_ANSWERS: dict[str, Callable[[dict[str, Any], Settings], Any]] = {
    "submit": _answer_submit,
    "batch": _answer_batch,
    "tables": _answer_tables,
}


if __name__ == "__main__":
    main()
