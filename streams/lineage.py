"""OpenLineage: which run of which job read and wrote which data, as events that any catalogue can read.

Events go to ``RIFT_HOME/lineage/events.jsonl``, one a line, and to the server of ``RIFT_OPENLINEAGE_URL``
where that is set. Work never fails because nobody listens: that is logged.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import orjson
import structlog

from riftstream.settings import Settings

if TYPE_CHECKING:
    from openlineage.client.event_v2 import InputDataset, OutputDataset

PRODUCER = "urn:riftstream"
NAMESPACE = "riftstream"
"""Namespace of our jobs."""

State = Literal["START", "COMPLETE", "FAIL"]

log = structlog.get_logger()


@dataclass(frozen=True)
class Data:
    """A topic or table that a run read or wrote.

    Attributes:
        name: The topic, or ``namespace.table``.
        table: Whether it is a table of the lake.
        snapshot_id: Iceberg snapshot that was read or written.
        row_count: Rows that were written.
        columns: Types by column.
        assertions: Whether each thing that was checked held, by what it says.
    """

    name: str
    table: bool = True
    snapshot_id: int | None = None
    row_count: int | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    assertions: Mapping[str, bool] = field(default_factory=dict)


def emit(
    settings: Settings,
    state: State,
    run_id: str,
    job: str,
    inputs: Sequence[Data] = (),
    outputs: Sequence[Data] = (),
    error: str = "",
) -> None:
    """Tell that a run began, is complete, or failed.

    Args:
        settings: Where events go.
        state: What happened to it.
        run_id: The run, a UUID.
        job: The job.
        inputs: What it reads.
        outputs: What it writes.
        error: Why it failed.
    """
    from openlineage.client import OpenLineageClient
    from openlineage.client.event_v2 import Job, Run, RunEvent, RunState
    from openlineage.client.facet_v2 import error_message_run
    from openlineage.client.transport import Transport
    from openlineage.client.transport.file import FileConfig, FileTransport
    from openlineage.client.transport.http import HttpConfig, HttpTransport

    facets: dict[str, Any] = {}
    if error:
        facets["errorMessage"] = error_message_run.ErrorMessageRunFacet(error, "SQL")
    event = RunEvent(
        eventType=RunState[state],
        eventTime=datetime.now(UTC).isoformat(),
        run=Run(run_id, facets),
        job=Job(NAMESPACE, job),
        inputs=[_input(settings, data) for data in inputs],
        outputs=[_output(settings, data) for data in outputs],
        producer=PRODUCER,
    )
    file = events_file(settings)
    file.parent.mkdir(parents=True, exist_ok=True)
    listeners: list[Transport] = [FileTransport(FileConfig(log_file_path=str(file), append=True))]
    if settings.openlineage_url:
        listeners.append(HttpTransport(HttpConfig(settings.openlineage_url, retry={"total": 1})))
    for transport in listeners:
        # Whatever its client raises: the work itself is done.
        try:
            OpenLineageClient(transport=transport).emit(event)
        except Exception as cause:
            log.warning("lineage event not delivered", job=job, run=run_id, error=str(cause))


def events_file(settings: Settings) -> Path:
    """The file that holds every event."""
    return settings.home / "lineage" / "events.jsonl"


def runs(settings: Settings, name: str) -> list[dict[str, Any]]:
    """Events of runs that read or wrote a topic or table, oldest first, in OpenLineage's form."""
    return [event for event in _events(settings) if name in _names(event)]


def _events(settings: Settings) -> Iterator[dict[str, Any]]:
    file = events_file(settings)
    if file.is_file():
        with file.open("rb") as lines:
            yield from map(orjson.loads, lines)


def _names(event: Mapping[str, Any]) -> set[str]:
    data: Iterable[Mapping[str, Any]] = [*event.get("inputs", []), *event.get("outputs", [])]
    return {one["name"] for one in data}


def _namespace(settings: Settings, data: Data) -> str:
    """OpenLineage's naming of datasets: the broker for topics, the warehouse for tables."""
    return settings.catalog_warehouse if data.table else f"kafka://{settings.kafka_bootstrap.split(',')[0]}"


def _facets(data: Data) -> dict[str, Any]:
    from openlineage.client.facet_v2 import dataset_version_dataset, schema_dataset

    facets: dict[str, Any] = {}
    if data.columns:
        fields = [schema_dataset.SchemaDatasetFacetFields(name, kind) for name, kind in data.columns.items()]
        facets["schema"] = schema_dataset.SchemaDatasetFacet(fields)
    if data.snapshot_id is not None:
        facets["version"] = dataset_version_dataset.DatasetVersionDatasetFacet(str(data.snapshot_id))
    if data.assertions:
        from openlineage.client.facet_v2 import data_quality_assertions_dataset as quality

        told = [quality.Assertion(assertion, success) for assertion, success in data.assertions.items()]
        facets["dataQualityAssertions"] = quality.DataQualityAssertionsDatasetFacet(told)
    return facets


def _input(settings: Settings, data: Data) -> InputDataset:
    from openlineage.client.event_v2 import InputDataset

    return InputDataset(_namespace(settings, data), data.name, facets=_facets(data))


def _output(settings: Settings, data: Data) -> OutputDataset:
    from openlineage.client.event_v2 import OutputDataset
    from openlineage.client.facet_v2 import output_statistics_output_dataset as statistics

    told: dict[str, Any] = {}
    if data.row_count is not None:
        told["outputStatistics"] = statistics.OutputStatisticsOutputDatasetFacet(data.row_count)
    return OutputDataset(_namespace(settings, data), data.name, told, facets=_facets(data))
