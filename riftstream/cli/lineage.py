"""`rift features lineage`: from a feature back to SQL, topic and schema, and forward to models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer
from rich.markup import escape

from features.views import SERVICES, View, find_feature
from jobs import columns, sqlfile
from jobs.columns import Step
from riftstream.console import JsonFlag, out, print_json

_WIDTH = 160
"""Characters of an expression that people are shown; ``--json`` has all."""


@dataclass(frozen=True)
class Lineage:
    """Where a feature comes from and who reads it.

    Attributes:
        feature: ``view:feature``.
        doc: What it means.
        source: Topics that the job reads, in the words of its header.
        job: Job that computes it; None where there is none yet.
        steps: The SQL that leads to it, the last expression first.
        topic: Topic that carries it.
        record: Record on the topic.
        schema: File of the record's schema.
        table: Table that keeps its history.
        keys: Keys of its entity.
        services: Feature services that hold it.
        models: Models that read those.
    """

    feature: str
    doc: str
    source: str
    job: str | None
    steps: list[Step]
    topic: str
    record: str
    schema: str
    table: str
    keys: tuple[str, ...]
    services: list[str]
    models: list[str]


def lineage(reference: str) -> Lineage:
    """The lineage of ``view:feature``.

    Raises:
        FeatureError: There is no such feature.
    """
    from streams.schemas import file_of

    view, field = find_feature(reference)
    job = job_of(view)
    readers = [service for service in SERVICES if f"{view.name}:{field.name}" in service.features]
    return Lineage(
        feature=f"{view.name}:{field.name}",
        doc=field.doc,
        source="" if job is None else sqlfile.load(job).header["Reads"],
        job=None if job is None else f"jobs/{job}.sql",
        steps=[] if job is None else columns.trace(job, _table(view), field.name),
        topic=view.topic,
        record=view.schema.name,
        schema=f"schemas/avro/{file_of(view.topic).name}",
        table=view.table,
        keys=view.keys,
        services=[service.name for service in readers],
        models=list(dict.fromkeys(service.model for service in readers)),
    )


def job_of(view: View) -> str | None:
    """The job that computes a view; None where there is none yet."""
    return columns.writer(_table(view))


def _table(view: View) -> str:
    """Table that stands for the view's topic in a job."""
    return view.topic.replace("-", "_")


def register(features: typer.Typer) -> None:
    """Add ``rift features lineage``."""
    features.command("lineage")(_lineage)


def _lineage(
    feature: Annotated[str, typer.Argument(help="VIEW:FEATURE, or FEATURE where one view has it.")],
    json: JsonFlag = False,
) -> None:
    """Show where a feature comes from, back to the SQL and the events, and which models read it.

    Example: rift features lineage gold_diff_3m
    """
    found = lineage(feature)
    if json:
        print_json(found)
        return

    def line(name: str, text: str) -> None:
        out.print(f"[dim]{name:>9}[/dim]  {text}", highlight=False, soft_wrap=True)

    line("feature", f"[bold]{found.feature}[/bold]  {found.doc}")
    line("entity", ", ".join(found.keys))
    line("topic", f"{found.topic} ({found.record}, {found.schema})")
    line("job", f"{found.job}, which reads {found.source}" if found.job else "none writes this topic yet")
    for step in found.steps:
        said = step.expression if len(step.expression) <= _WIDTH else step.expression[:_WIDTH] + " …"
        line("", f"{step.column} = {escape(said)}  [dim]{step.view}, line {step.line}[/dim]")
    line("history", found.table)
    line("services", ", ".join(found.services) or "none")
    line("models", ", ".join(found.models) or "none")
