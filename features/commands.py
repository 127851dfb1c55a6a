"""``rift features``: what there is, what it holds now, and the way into the online store."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from riftstream.console import JsonFlag, err, out, print_json
from riftstream.errors import FeatureError

if TYPE_CHECKING:
    from features.compare import Agreement
    from features.online import Vectors
    from features.views import Service, View
    from streams.schemas import Field

features = typer.Typer(
    help="Features: what there is, where it comes from, what it is now.", no_args_is_help=True
)


def register(app: typer.Typer) -> None:
    """Add ``rift features``."""
    app.add_typer(features, name="features")


@features.command("list")
def _list(json: JsonFlag = False) -> None:
    """List feature views and feature services. Example: rift features list"""
    from rich.table import Table

    from features.views import SERVICES, VIEWS

    if json:
        print_json({"views": [_view(view) for view in VIEWS], "services": [_service(s) for s in SERVICES]})
        return
    table = Table("view", "entity", "features", "topic", "time to live", box=None)
    for view in VIEWS:
        table.add_row(
            view.name, ", ".join(view.keys), str(len(view.features)), view.topic, duration(view.ttl)
        )
    out.print(table)
    table = Table("service", "model", "features", "views", box=None)
    for service in SERVICES:
        names = ", ".join(view.name for view in service.views)
        table.add_row(service.name, service.model, str(len(service.features)), names)
    out.print(table)


@features.command("show")
def _show(
    name: Annotated[str, typer.Argument(help="A view, a service, or a feature (VIEW:FEATURE).")],
    json: JsonFlag = False,
) -> None:
    """Show the features of a view or service, or one feature: type, unit, meaning.

    Example: rift features show match_state:gold_diff
    """
    from features.views import SERVICES, VIEWS, find_feature, find_service, find_view

    if any(view.name == name for view in VIEWS):
        view = find_view(name)
        _show_parts(_view(view), [(view, field) for field in view.features], view.schema.doc, json)
    elif any(service.name == name for service in SERVICES):
        service = find_service(name)
        _show_parts(_service(service), list(service.parts), service.doc, json)
    else:
        view, field = find_feature(name)
        _show_parts(_view(view), [(view, field)], "", json)


@features.command("get")
def _get(
    service: Annotated[str, typer.Argument(help="A service, or a view for all its features.")],
    entities: Annotated[
        list[str], typer.Argument(help="Entities; KEY=VALUE for each key where the service has several.")
    ],
    json: JsonFlag = False,
) -> None:
    """Read feature vectors from the online store, with their age.

    Example: rift features get win_probability_v1 TRLH1/30030
    """
    from features import online
    from features.views import find_service

    keys = find_service(service).keys
    vectors = online.get(service, entities if len(keys) == 1 else _pairs(keys, entities))
    if json:
        print_json(_told(vectors))
    else:
        _show_vectors(vectors)


@features.command("compare")
def _compare(
    view: Annotated[
        list[str] | None, typer.Option("--view", help="Only this view; may be repeated. All by default.")
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Compare stock Feast, our reader and the topic, for every value of every entity that was ever told.

    Exits with 1 where a value is not the same in all three. Example: rift features compare --view match_state
    """
    from features import repo
    from features.compare import compare
    from features.views import VIEWS, find_view
    from riftstream.settings import get_settings

    settings = get_settings()
    views = [find_view(name) for name in view] if view else list(VIEWS)
    found = []
    with err.status("reading") as status:
        feast = repo.store(settings)
        for one in views:
            status.update(f"comparing {one.name}")
            found.append(compare(one, settings, feast))
    if json:
        print_json({"equal": all(one.equal for one in found), "views": found})
    else:
        _show_agreements(found)
    if not all(one.equal for one in found):
        raise typer.Exit(1)


@features.command(
    "feast",
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []},
)
def _feast(context: typer.Context) -> None:
    """Run the stock feast command line on this platform: plan, apply, materialize, ui, serve and the others.

    Example: rift features feast feature-views list
    """
    from features import repo

    raise typer.Exit(repo.run(context.args))


def duration(length: timedelta) -> str:
    """A length of time for people: ``30 d``, ``6 h``, ``90 s``."""
    seconds = int(length.total_seconds())
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size or seconds == size:
            return f"{round(seconds / size, 1):g} {unit}"
    return f"{seconds} s"


def _pairs(keys: tuple[str, ...], words: list[str]) -> dict[str, list[str]]:
    """One entity from ``KEY=VALUE`` words.

    Raises:
        FeatureError: A word is none.
    """
    found: dict[str, list[str]] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or key not in keys:
            raise FeatureError(
                f"{word} names none of the keys {', '.join(keys)}.",
                f"Write {' '.join(f'{key}=...' for key in keys)}.",
            )
        found[key] = [value]
    return found


def _field(field: Field) -> dict[str, Any]:
    return {
        "name": field.name,
        "type": field.logical or field.type,
        "nullable": field.nullable,
        "unit": field.unit,
        "doc": field.doc,
    }


def _view(view: View) -> dict[str, Any]:
    return {
        "name": view.name,
        "entities": view.entities,
        "keys": view.keys,
        "topic": view.topic,
        "record": view.schema.name,
        "table": view.table,
        "ttl_seconds": view.ttl.total_seconds(),
        "features": [_field(field) for field in view.features],
    }


def _service(service: Service) -> dict[str, Any]:
    return {
        "name": service.name,
        "model": service.model,
        "keys": service.keys,
        "features": service.features,
        "doc": service.doc,
    }


def _show_parts(whole: dict[str, Any], parts: list[tuple[View, Field]], doc: str, json: bool) -> None:
    if json:
        features = [{"view": view.name} | _field(field) for view, field in parts]
        print_json(whole | {"features": features})
        return
    from rich.table import Table

    if doc:
        out.print(doc)
    table = Table("feature", "type", "unit", "meaning", box=None)
    for view, field in parts:
        kind = f"{field.logical or field.type}{'?' if field.nullable else ''}"
        unit = "" if field.unit == "none" else field.unit
        table.add_row(f"{view.name}:{field.name}", kind, unit, field.doc)
    out.print(table)


def _told(vectors: Vectors) -> dict[str, Any]:
    """Vectors as plain data."""
    from features.online import State

    views = [view.name for view in vectors.service.views]
    told = []
    for number, values in enumerate(vectors.rows):
        entity = {key: given[number] for key, given in vectors.entities.items()}
        rows = zip(views, vectors.state[number], vectors.age_ms[number], strict=True)
        held = {
            view: {
                "state": State(state).name.lower(),
                "age_ms": None if state == State.MISSING else int(age),
            }
            for view, state, age in rows
        }
        told.append({"entity": entity, "views": held, "features": values})
    return {"service": vectors.service.name, "vectors": told}


def _show_vectors(vectors: Vectors) -> None:
    from rich.table import Table

    for vector in _told(vectors)["vectors"]:
        out.print("[bold]" + ", ".join(vector["entity"].values()) + "[/bold]", highlight=False)
        for view, held in vector["views"].items():
            age = (
                "" if held["age_ms"] is None else f", {duration(timedelta(milliseconds=held['age_ms']))} old"
            )
            out.print(f"{view}: {held['state']}{age}", highlight=False)
        table = Table("feature", "value", box=None)
        for name, value in vector["features"].items():
            table.add_row(name, "-" if value is None else str(value))
        out.print(table)


def _show_agreements(found: list[Agreement]) -> None:
    from rich.table import Table

    table = Table("view", "entities", "values", "that differ", "missing", "unsettled", box=None)
    for one in found:
        counts = (one.entities, one.values, one.differ, one.missing, one.unsettled)
        table.add_row(one.view, *(f"{count:,}" for count in counts))
    out.print(table)
    for one in found:
        for value in one.first:
            entity = ", ".join(value.entity)
            told = f"topic {value.told}, our reader {value.fast}, Feast {value.feast}"
            out.print(f"{one.view}:{value.feature} of {entity}: {told}", markup=False, highlight=False)
