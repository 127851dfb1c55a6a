"""``rift models``: train, evaluate and look at models."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from riftstream.console import JsonFlag, err, out, print_json
from riftstream.errors import ModelError

if TYPE_CHECKING:
    from models.artefact import Card
    from models.tracking import Run
    from streams.sources import Source

models = typer.Typer(help="Models: train, evaluate, status.", no_args_is_help=True)

DataOption = Annotated[
    str | None,
    typer.Option(
        "--data",
        help="Folder of the lol-pro files, a file of events, SOURCE:PATH, kaggle: to download, lake or "
        "lake:SNAPSHOT for the events of the lake; RIFT_DATA by default.",
    ),
]


def register(app: typer.Typer) -> None:
    """Add ``rift models``."""
    app.add_typer(models, name="models")


NameArgument = Annotated[str, typer.Argument(help="Model: win_probability or player_props.")]
FolderOption = Annotated[
    Path | None, typer.Option("--model", help="Folder of the artefact; the committed one by default.")
]


@models.command("train")
def _train(
    name: NameArgument = "win_probability",
    data: DataOption = None,
    out_folder: Annotated[
        Path | None, typer.Option("--out", help="Folder to write; the committed artefact's by default.")
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Train a model from real matches, through the same SQL as the stream, and write its card.

    The same data, code and versions give the same files. The run is recorded in MLflow, in a SQLite file of
    RIFT_HOME/mlflow.

    Example: rift models train player_props --data lol-pro-2014-2017
    """
    from models import training
    from models.artefact import artefact_folder

    source, folder = _source(data), out_folder or artefact_folder(name)
    with _progress("training", training.steps(name)) as tell:
        snapshot_id = getattr(source, "snapshot_id", None)
        card = training.train(name, source.matches(), folder, _described(source), tell, snapshot_id)
    run = _tracked(card, folder)
    if json:
        print_json({**card, "run": run})
        return
    training.show(name, card["metrics"]["test"], out)
    out.print(f"The model and its card are in {folder}.", highlight=False)
    if run is not None:
        out.print(f"The run is {run.run_id} in {run.store}.", highlight=False)


def _tracked(card: dict[str, Any], folder: Path) -> Run | None:
    """The run in MLflow; None, and a word on standard error, where MLflow cannot be used."""
    from models.tracking import track

    try:
        return track(card, folder)
    except ModelError as error:
        err.print(str(error))
        return None


@models.command("evaluate")
def _evaluate(
    name: NameArgument = "win_probability",
    data: DataOption = None,
    split: Annotated[
        str, typer.Option(help="train, validation, test, or all: every match of whatever season.")
    ] = "test",
    folder: FolderOption = None,
    json: JsonFlag = False,
) -> None:
    """Evaluate a model beside its baselines on matches of any folder in a source's format.

    Example: rift models evaluate win_probability --data oracles-elixir:oracles-elixir --split all
    """
    from models import training
    from models.artefact import load_card
    from models.win_probability.data import SPLITS
    from models.win_probability.evaluate import ALL

    if split not in (*SPLITS, ALL):
        raise ModelError(f"There is no split {split}.", f"Splits: {', '.join((*SPLITS, ALL))}.")
    card = load_card(name, folder)
    source = _source(data)
    with _progress("evaluating", training.evaluation_steps(name)) as tell:
        result = training.evaluate(card, source.matches(), split, tell)
    if json:
        print_json(result)
        return
    training.show(name, result, out)
    if not result["same_data_as_card"]:
        err.print("These are other events than the model was trained with.")


def committed_status() -> list[dict[str, Any]]:
    """The committed models, checked against their cards."""
    from models import training
    from models.store import committed

    cards = [card for name in training.NAMES if (card := committed(name)) is not None]
    return [
        {
            "name": card.name,
            "version": card.version,
            "sha256": card.sha256,
            "bytes": sum((card.folder / file).stat().st_size for file in card.model_files),
            "feature_service": card.feature_service,
            "features": len(card.features),
            "data_sha256": card.data_sha256,
            **_as_trained(card),
            "test_matches": card.metrics["matches"],
            **training.headline(card.name, card.metrics),
            "folder": card.folder,
        }
        for card in cards
    ]


def _as_trained(card: Card) -> dict[str, bool]:
    """Whether code and SQL are still those that made a model."""
    from models import provenance

    now = provenance.code(card.name)
    return {
        f"{of}_as_trained": card.made_by.get(f"{of}_sha256") == now[f"{of}_sha256"] for of in ("code", "sql")
    }


def show_committed(status: dict[str, Any]) -> None:
    """Print what ``committed_status`` says of a model, for people."""
    from rich.table import Table

    from models.markdown import ranged

    table = Table(box=None, show_header=False)
    for name, value in status.items():
        table.add_row(name.replace("_", " "), ranged(value) if isinstance(value, list) else str(value))
    out.print(table)


def _source(data: str | None) -> Source:
    from models import lake
    from streams.sources import open_input, open_source

    if data is None:
        return open_source("lol-pro")
    name, _, snapshot = data.partition(":")
    if name != lake.NAME:
        return open_input(data)
    if snapshot and not snapshot.isdecimal():
        raise ModelError(
            f"{snapshot} is no snapshot: that is a number.", "See 'rift lake describe raw.match_events'."
        )
    return lake.Lake(int(snapshot) if snapshot else None)


def _described(source: Source) -> str:
    return f"{source.account.source}, {len(source)} matches"


@contextmanager
def _progress(what: str, steps: int) -> Iterator[Callable[[str, int], None]]:
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True) as progress:
        task = progress.add_task(what, total=steps)
        yield lambda doing, done: progress.update(task, description=doing, advance=done)
