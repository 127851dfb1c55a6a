"""Audits: Great Expectations suites, one a table, run on the rows of a branch before they are published.

A suite is a file, ``lakehouse/suites/TABLE.json``, in Great Expectations' own form. Its ``meta`` holds the
columns that name a row (``keys``), columns that are made for the audit (``made``: SQL by name), and the
queries whose answers stand for ``{"$PARAMETER": ...}`` (``parameters``), in DuckDB's SQL over:

=================== =======================================================================================
``batch``           The rows that are audited.
``matches``         Rows of processed.matches that belong to the same run.
``processed.X``     Any table of the lake, as the run leaves it: its branch, or main where it has none.
``source.X``        What the log says of the run's matches (``lakehouse/suites/source.sql``).
=================== =======================================================================================

An expectation's ``meta`` may say ``why`` it must hold, and ``names``: a query for the rows behind a count.
"""

from __future__ import annotations

import json
import re
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
import structlog
from pyiceberg.catalog import Catalog
from pyiceberg.expressions import AlwaysTrue, BooleanExpression, GreaterThanOrEqual
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Operation, Snapshot

from infra.locks import file_lock
from lakehouse.commits import append
from lakehouse.publish import MAIN
from lakehouse.sql import rows as lake_rows
from lakehouse.sql import table_names
from lakehouse.tables import ARRIVED, AUDITS, load, spec
from riftstream.errors import RiftError
from riftstream.settings import Settings
from streams.avro import Record
from streams.client import Producer

if TYPE_CHECKING:
    from great_expectations.data_context.data_context.file_data_context import FileDataContext

FOLDER = Path(__file__).parent / "suites"
NAMED = 20
"""Rows that a failure names at most."""
KEPT = 20
"""Validations of each table that the data docs keep."""
_PATIENCE_S = 5.0
_LONGEST = 10_000
_OVERLAP = timedelta(minutes=10)

log = structlog.get_logger()


class AuditError(RiftError):
    """Rows did not pass their audit; they lie on a branch, and main is as it was."""


@dataclass(frozen=True)
class Audit:
    """What came of auditing a table; also a row of ``audits.runs``.

    Attributes:
        run_id: The run that wrote the rows.
        table_name: The table.
        branch: The branch that was audited.
        snapshot_id: Its newest snapshot; None where it has none.
        source_snapshot_id: Snapshot of ``raw.match_events`` behind the rows; None where it does not matter.
        event_time: When, UTC.
        row_count: Rows that were audited.
        expectations: Expectations that were checked.
        failed: Those that failed.
        failures: What failed, a sentence each, with the rows by their keys.
        seconds: How long it took.
    """

    run_id: str
    table_name: str
    branch: str
    snapshot_id: int | None
    source_snapshot_id: int | None
    event_time: datetime
    row_count: int
    expectations: int
    failed: int
    failures: tuple[str, ...]
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether everything held."""
        return not self.failed


@dataclass(frozen=True)
class Suite:
    """A suite's file.

    Attributes:
        name: The table.
        keys: Columns that name a row.
        made: SQL of columns that are made for the audit, by name.
        parameters: SQL of what stands for ``$PARAMETER``, by name.
        expectations: The expectations, in Great Expectations' form.
    """

    name: str
    keys: tuple[str, ...]
    made: Mapping[str, str]
    parameters: Mapping[str, str]
    expectations: tuple[Mapping[str, Any], ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the table that the audit reads, each once."""
        found = list(self.keys)
        for expectation in self.expectations:
            kwargs = expectation["kwargs"]
            found += [kwargs[name] for name in ("column", "column_A", "column_B") if name in kwargs]
            found += kwargs.get("column_list", [])
        return tuple(name for name in dict.fromkeys(found) if name not in self.made)


def suites() -> dict[str, Path]:
    """The suites' files by table."""
    return {file.stem: file for file in sorted(FOLDER.glob("*.json"))}


def suite(name: str) -> Suite:
    """The suite of a table.

    Raises:
        RiftError: There is none.
    """
    file = suites().get(name)
    if file is None:
        raise RiftError(f"There is no audit of {name}.", f"There are audits of {', '.join(suites())}.")
    raw = json.loads(file.read_text())
    meta = raw["meta"]
    return Suite(
        raw["name"],
        tuple(meta["keys"]),
        meta.get("made", {}),
        meta.get("parameters", {}),
        tuple(raw["expectations"]),
    )


def draft(name: str) -> str:
    """A first suite of a table, as the text of its file: what its record says must be there, and its keys.

    Raises:
        SchemaError: There is no table of this name.
    """
    table = spec(name)
    columns = {field.name for field in table.fields}
    place = ["log_partition", "log_offset"]
    keys = place if set(place) <= columns else [table.record.key]
    asked = [
        {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": field.name}, "meta": {}}
        for field in table.record.fields
        if not field.nullable
    ]
    unique = {"column_list": keys, "ignore_row_if": "any_value_is_missing"}
    if len(keys) > 1:
        asked.append({"type": "expect_compound_columns_to_be_unique", "kwargs": unique, "meta": {}})
    else:
        asked.append({"type": "expect_column_values_to_be_unique", "kwargs": {"column": keys[0]}, "meta": {}})
    head = json.dumps({"name": name, "meta": {"keys": keys, "made": {}, "parameters": {}}}, indent=2)
    lines = ",\n".join(f"    {json.dumps(one)}" for one in asked)
    return f'{head[:-2]},\n  "expectations": [\n{lines}\n  ]\n}}\n'


def audit(
    catalog: Catalog,
    settings: Settings,
    run_id: str,
    tables: Mapping[str, BooleanExpression],
    *,
    branch: str = MAIN,
    source: pa.Table | None = None,
    source_snapshot_id: int | None = None,
) -> list[Audit]:
    """Audit rows of tables, and build the data docs (``RIFT_HOME/lake/gx``).

    Args:
        catalog: The catalog.
        settings: Where results and data docs lie.
        run_id: The run that wrote the rows.
        tables: Which rows of which tables.
        branch: Branch that holds them, the same name in each table.
        source: Events of ``raw.match_events`` behind them, for what reconciles with the source.
        source_snapshot_id: Snapshot that those were read from.

    Returns:
        What came of it, a table each. Failures are logged as errors, and told on the topic of alerts.

    Raises:
        RiftError: A table has no suite.
        StackError: Another audit is at work in this RIFT_HOME, or a table is missing.
    """
    wanted = [suite(name) for name in tables]
    with _engine(catalog, branch, wanted, source) as engine, file_lock(settings.home / "lake" / "audit.lock"):
        context = _context(settings)
        done = []
        for one in wanted:
            table = load(catalog, one.name)
            begin = time.perf_counter()
            rows = _rows(catalog, one.name, branch, tables[one.name], one.columns)
            checked, failures = _validate(context, engine, one, rows, run_id, source is not None)
            snapshot = table.snapshot_by_name(branch) or table.current_snapshot()
            done.append(
                Audit(
                    run_id,
                    one.name,
                    branch,
                    snapshot.snapshot_id if snapshot else None,
                    source_snapshot_id,
                    datetime.now(UTC),
                    rows.num_rows,
                    checked,
                    len(failures),
                    tuple(failures),
                    time.perf_counter() - begin,
                )
            )
        _forget(settings, wanted)
        context.build_data_docs()
    for result in done:
        if not result.passed:
            log.error(
                "audit failed",
                table=result.table_name,
                run=run_id,
                branch=branch,
                failed=result.failed,
                failures=result.failures,
            )
    _alert(settings, [result for result in done if not result.passed])
    return done


def _alert(settings: Settings, failed: list[Audit]) -> None:
    """Tell people of tables that did not pass, on the topic of alerts; without Kafka the log has it."""
    if not failed:
        return
    try:
        with Producer(settings, topic="alerts", patience=_PATIENCE_S) as producer:
            producer.send_batch(map(_alert_of, failed))
    except RiftError as error:
        log.warning("the alert could not be sent", reason=str(error))


def _alert_of(result: Audit) -> Record:
    time_ms = round(result.event_time.timestamp() * 1000)
    return {
        "alert_id": f"audit_failed {result.table_name} {result.run_id}",
        "kind": "audit_failed",
        "source": "lake",
        "subject": result.table_name,
        "value": float(result.failed),
        "limit_value": 0.0,
        "detail": f"expectations that failed on {result.branch}: {' '.join(result.failures)}"[:_LONGEST],
        "event_time": time_ms,
        "raised_at": time_ms,
    }


def due(catalog: Catalog, tables: Iterable[str]) -> dict[str, BooleanExpression]:
    """Tables that changed since their last audit on main, each with the rows that came since.

    A table that was never audited, or whose rows do not say when they came, is due whole.

    Args:
        catalog: The catalog.
        tables: Their names; those that are not there or hold nothing are left out.
    """
    audited = {name: row for name, row in last(catalog).items() if row["branch"] == MAIN}
    there = set(table_names(catalog))
    found: dict[str, BooleanExpression] = {}
    for name in tables:
        table = load(catalog, name) if name in there else None
        head = table.current_snapshot() if table else None
        if table is None or head is None or _is_maintained(table, head, audited.get(name)):
            continue
        column = next((one for one in ARRIVED if one in table.schema().column_names), None)
        if column is None or name not in audited:
            found[name] = AlwaysTrue()
        else:
            # Rows that a job had read but not committed by then came a little before it.
            since = audited[name]["event_time"] - _OVERLAP
            found[name] = GreaterThanOrEqual(column, since.isoformat())  # type: ignore[call-arg]
    return found


def _is_maintained(table: Table, head: Snapshot, audited: dict[str, Any] | None) -> bool:
    """Whether nothing but the upkeep changed a table since it was audited."""
    snapshot: Snapshot | None = head
    while audited is not None and snapshot is not None:
        if snapshot.snapshot_id == audited["snapshot_id"]:
            return True
        if snapshot.summary is None or snapshot.summary.operation != Operation.REPLACE:
            return False
        parent = snapshot.parent_snapshot_id
        snapshot = None if parent is None else table.snapshot_by_id(parent)
    return False


def docs(settings: Settings) -> Path:
    """The first page of the data docs; it is there after the first audit."""
    return settings.home / "lake" / "gx" / "uncommitted" / "data_docs" / "local_site" / "index.html"


def record(catalog: Catalog, audits: Iterable[Audit], *, published: bool) -> None:
    """Keep what came of audits in ``audits.runs``.

    Raises:
        StackError: There is no such table, or others committed at each attempt.
    """
    rows = [
        {
            **{name: getattr(one, name) for name in Audit.__dataclass_fields__},
            "failures": list(one.failures),
            "passed": one.passed,
            "published": published,
        }
        for one in audits
    ]
    append(catalog, AUDITS, pa.Table.from_pylist(rows))


def last(catalog: Catalog) -> dict[str, dict[str, Any]]:
    """The newest audit of each table, as ``audits.runs`` has it; empty where there was none."""
    if AUDITS not in table_names(catalog):
        return {}
    rows = load(catalog, AUDITS).scan().to_arrow().sort_by("event_time").to_pylist()
    return {row["table_name"]: row for row in rows}


@contextmanager
def _engine(
    catalog: Catalog, branch: str, wanted: Iterable[Suite], source: pa.Table | None
) -> Iterator[duckdb.DuckDBPyConnection]:
    """DuckDB that knows the tables that parameters speak of, and the source."""
    text = " ".join(query for one in wanted for query in _queries(one))
    with duckdb.connect(config={"enable_external_access": "false"}) as engine:
        engine.execute("SET TimeZone = 'UTC'")
        for name in table_names(catalog):
            if name in text:
                namespace, _, short = name.rpartition(".")
                table = load(catalog, name)
                engine.register(f"lake.{name}", lake_rows(table, table.snapshot_by_name(branch)))
                engine.execute(f'CREATE SCHEMA IF NOT EXISTS "{namespace}"')
                engine.execute(f'CREATE VIEW "{namespace}"."{short}" AS SELECT * FROM "lake.{name}"')  # noqa: S608
        if source is not None:
            engine.register("source_rows", source)
            engine.execute((FOLDER / "source.sql").read_text().replace("{events}", "source_rows"))
            # The run's matches are those that the log told: all tables of the run are of them.
            engine.execute(
                "CREATE VIEW matches AS SELECT * FROM processed.matches WHERE EXISTS ("
                "SELECT 1 FROM source.ended AS e WHERE list_contains(match_ids, e.match_id))"
            )
        yield engine


def _queries(one: Suite) -> list[str]:
    names = [expectation["meta"].get("names", "") for expectation in one.expectations]
    return [*one.parameters.values(), *filter(None, names)]


def _rows(
    catalog: Catalog, name: str, branch: str, rows: BooleanExpression, columns: tuple[str, ...]
) -> pa.Table:
    table = load(catalog, name)
    scan = table.scan(row_filter=rows, selected_fields=columns)
    return (scan.use_ref(branch) if branch in table.refs() else scan).to_arrow()


def _context(settings: Settings) -> FileDataContext:
    import great_expectations as gx

    folder = settings.home / "lake"
    folder.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        context = gx.get_context(mode="file", project_root_dir=folder)
    context.variables.progress_bars = {"globally": False}  # type: ignore[assignment]
    return context


def _validate(
    context: FileDataContext,
    engine: duckdb.DuckDBPyConnection,
    one: Suite,
    rows: pa.Table,
    run_id: str,
    reconciled: bool,
) -> tuple[int, list[str]]:
    """How many expectations were checked, and what failed; without a source nothing is reconciled with it."""
    import great_expectations as gx
    from great_expectations.core.run_identifier import RunIdentifier

    engine.register("batch", rows)
    known = {name: query for name, query in one.parameters.items() if reconciled or not _of_source(query)}
    parameters = {name: _answer(engine, query) for name, query in known.items()}
    made = "".join(f', {expression} AS "{name}"' for name, expression in one.made.items())
    frame = engine.sql(f"SELECT *{made} FROM batch").to_arrow_table().to_pandas()  # noqa: S608
    expectations = [
        dict(asked)
        for asked in one.expectations
        if _needs(asked) <= set(known) and (rows.num_rows or not _of_values(asked, parameters))
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        kept = context.suites.add_or_update(gx.ExpectationSuite(name=one.name, expectations=expectations))
        source = context.data_sources.add_or_update_pandas("lake")
        batch = source.add_dataframe_asset(one.name).add_batch_definition_whole_dataframe(one.name)
        definition = gx.ValidationDefinition(name=one.name, data=batch, suite=kept)
        result = context.validation_definitions.add_or_update(definition).run(
            batch_parameters={"dataframe": frame},
            expectation_parameters=parameters,
            result_format={
                "result_format": "COMPLETE",
                "unexpected_index_column_names": list(one.keys),
                "return_unexpected_index_query": False,
            },
            run_id=RunIdentifier(run_name=run_id, run_time=datetime.now(UTC)),
        )
    failed = [_sentence(engine, found) for found in result.results if not found.success]
    engine.unregister("batch")
    return len(result.results), failed


def _of_source(query: str) -> bool:
    """Whether a query speaks of the log, or of the matches that it told."""
    return "source." in query or re.search(r"(?<![.\w])matches\b", query) is not None


def _needs(expectation: Mapping[str, Any]) -> set[str]:
    """Parameters that an expectation waits for."""
    return {one["$PARAMETER"] for one in expectation["kwargs"].values() if isinstance(one, dict)}


def _of_values(expectation: Mapping[str, Any], parameters: Mapping[str, Any]) -> bool:
    """Whether an expectation is about values together, of which no rows have none.

    A sum that must be positive is not: no rows are too few.
    """
    if expectation["type"] == "expect_column_sum_to_be_between":
        least = expectation["kwargs"]["min_value"]
        return not (parameters[least["$PARAMETER"]] if isinstance(least, dict) else least)
    return expectation["type"] in (
        "expect_column_mean_to_be_between",
        "expect_column_unique_value_count_to_be_between",
    )


def _answer(engine: duckdb.DuckDBPyConnection, query: str) -> Any:
    """The one value that a query gives; a list for a list."""
    return engine.sql(query).to_arrow_table().column(0)[0].as_py()


def _sentence(engine: duckdb.DuckDBPyConnection, found: Any) -> str:
    """What failed, where, and the rows by their keys."""
    config = found.expectation_config
    kwargs, meta = config.kwargs, config.meta or {}
    on = kwargs.get("column") or ", ".join(
        kwargs.get("column_list") or [kwargs[name] for name in ("column_A", "column_B") if name in kwargs]
    )
    what = f"{config.type}{f' on {on}' if on else ''}"
    if found.exception_info and found.exception_info.get("raised_exception"):
        return f"{what} could not be checked: {found.exception_info.get('exception_message')}."
    bounds = {
        name: kwargs[name] for name in ("value", "min_value", "max_value") if kwargs.get(name) is not None
    }
    said = found.result
    if "observed_value" in said:
        seen = f"{said['observed_value']}, expected {bounds}"
    else:
        seen = f"{said['unexpected_count']} of {said['element_count']} rows"
    rows = said.get("unexpected_index_list") or []
    if "names" in meta:
        rows = engine.sql(f"FROM ({meta['names']}) LIMIT {NAMED}").to_arrow_table().to_pylist()
    named = "; ".join(", ".join(f"{key}={value}" for key, value in row.items()) for row in rows[:NAMED])
    more = f" and {len(rows) - NAMED} more" if len(rows) > NAMED else ""
    why = f" ({meta['why']})" if "why" in meta else ""
    return f"{what}{why}: {seen}{f': {named}{more}' if named else ''}."


def _forget(settings: Settings, wanted: Iterable[Suite]) -> None:
    """Keep the newest validations of each table alone, so that building the pages does not grow slow."""
    import shutil

    for one in wanted:
        folder = docs(settings).parents[2] / "validations" / Path(*one.name.split("."))
        runs = sorted((run for run in folder.glob("*") if run.is_dir()), key=lambda run: run.stat().st_mtime)
        for run in runs[:-KEPT]:
            shutil.rmtree(run)
