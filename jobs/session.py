"""Flink sessions: a table environment that knows our tables and functions, and what a job does in it.

PyFlink brings a JVM with it, so this module is the only one that imports it, and the runner calls it in a
process of its own: ``python -m jobs.session`` reads a request as JSON and prints the answer as JSON.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from infra.flink_home import flink_home, java_home
from jobs import ddl, sqlfile
from riftstream.errors import JobError
from riftstream.settings import Settings
from streams.schemas import RecordSchema

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


def environment(
    target: str,
    *,
    batch: bool = False,
    options: Mapping[str, str] | None = None,
    logs: Path | None = None,
) -> TableEnvironment:
    """A table environment in which our JVM functions are known.

    The first call of a process starts the JVM.

    Args:
        target: ``local`` for a cluster within this process, else the REST address of a cluster.
        batch: Batch mode instead of streaming.
        options: Flink options.
        logs: Folder for the client's log; the Flink home's own by default.
    """
    os.environ["FLINK_HOME"] = str(flink_home())
    os.environ["JAVA_HOME"] = str(java_home())
    os.environ.pop("FLINK_CONF_DIR", None)
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
    """Make the tables of a job known: topics that it reads and writes, the lake where it uses it, its views."""
    written = set(job.targets)
    for table, schema in ddl.topics().items():
        if table in written:
            environment.execute_sql(ddl.sink(schema, settings))
        elif table in job.words:
            environment.execute_sql(ddl.source(schema, settings, f"rift-{job.name}", source_options))
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
    rows: str,
    setup: Sequence[str] = (),
    *,
    environment: TableEnvironment,
) -> Iterator[pa.RecordBatch]:
    """Run a view of a job over a finished set of rows.

    Args:
        job: The job.
        view: The view, without the columns that only a stream has.
        schema: Record of the topic that the rows stand for.
        rows: A query for the rows, see ``ddl.batch_source``.
        setup: Statements that make known what ``rows`` reads.
        environment: A table environment in batch mode.

    Returns:
        The view's rows as Arrow batches.

    Raises:
        JobError: There is no such view, or Flink could not run it.
    """
    if view not in job.views:
        raise JobError(f"{job.name} has no view {view}.", f"It has: {', '.join(job.views)}.")
    try:
        for statement in (*setup, *ddl.batch_source(schema, rows)):
            environment.execute_sql(statement)
        for name, statement in job.views.items():
            environment.execute_sql(statement)
            if name == view:
                break
        yield from _collect(environment, f"SELECT * FROM {view}")
    except JobError:
        raise
    except Exception as cause:
        raise _job_error(job.name, cause) from cause


def _collect(environment: TableEnvironment, query: str) -> Iterator[pa.RecordBatch]:
    """Rows of a query as Arrow batches, as ``Table.to_pandas`` has them before pandas."""
    import pytz
    from pyflink.java_gateway import get_gateway
    from pyflink.table.serializers import ArrowSerializer
    from pyflink.table.types import create_arrow_schema

    names = environment.sql_query(query).get_schema().get_field_names()
    columns = ", ".join(f"`{name}`" for name in names if name not in ("ts", "log_order", "kafka_time"))
    table = environment.sql_query(query.replace("*", columns, 1))
    environment._before_execute()
    arrow = get_gateway().jvm.org.apache.flink.table.runtime.arrow.ArrowUtils
    schema = table.get_schema()
    serializer = ArrowSerializer(
        create_arrow_schema(schema.get_field_names(), schema.get_field_data_types()),
        schema.to_row_data_type(),
        pytz.utc,
    )
    yield from serializer.load_from_iterator(arrow.collectAsPandasDataFrame(table._j_table, 20_000))


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
        raise JobError(f"{target} is no address of a Flink cluster.", "Give local, remote, or http://HOST:PORT.")
    return {
        "execution.target": "remote",
        "rest.address": address.hostname,
        "rest.port": str(address.port or 8081),
    }


def _job_error(name: str, cause: Exception) -> JobError:
    """The innermost sentence of a Java stack trace, which is the one that says what is wrong."""
    lines = str(cause).splitlines()
    causes = [line.removeprefix("Caused by: ") for line in lines if line.startswith("Caused by: ")]
    sentence = (causes or [line for line in lines if line.strip()] or [repr(cause)])[-1 if causes else 0]
    return JobError(f"Flink could not run {name}: {sentence.strip()}")
