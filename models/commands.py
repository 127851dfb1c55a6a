"""``rift models``: train, evaluate and look at models."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from riftstream.console import JsonFlag, err, out, print_json

if TYPE_CHECKING:
    from streams.sources import Source

models = typer.Typer(help="Models: train, evaluate, status.", no_args_is_help=True)

DataOption = Annotated[
    str | None,
    typer.Option(
        "--data",
        help="Folder of the lol-pro files, a file of events, or kaggle: to download; RIFT_DATA by default.",
    ),
]


def register(app: typer.Typer) -> None:
    """Add ``rift models``."""
    app.add_typer(models, name="models")


@models.command("train")
def _train(
    data: DataOption = None,
    out_folder: Annotated[
        Path | None, typer.Option("--out", help="Folder to write; the committed artefact's by default.")
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Train win_probability from real matches, through the same SQL as the stream, and write its card.

    The same data and versions give the same files. Example: rift models train --data lol-pro-2014-2017
    """
    from models.artefact import artefact_folder
    from models.win_probability.build import STEPS, build
    from models.win_probability.features import MODEL

    source = _source(data)
    with _progress("training", STEPS) as tell:
        card = build(source.matches(), out_folder, source=_described(source), tell=tell)
    if json:
        print_json(card)
        return
    _show(card["metrics"]["test"])
    out.print(f"The model and its card are in {out_folder or artefact_folder(MODEL)}.", highlight=False)


@models.command("evaluate")
def _evaluate(
    data: DataOption = None,
    split: Annotated[str, typer.Option(help="train, validation or test.")] = "test",
    folder: Annotated[
        Path | None, typer.Option("--model", help="Folder of the artefact; the committed one by default.")
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Evaluate win_probability and its baselines, minute by minute. Example: rift models evaluate"""
    from models.artefact import load_booster, load_card
    from models.win_probability.data import MINUTES, SPLITS, load
    from models.win_probability.evaluate import evaluate
    from models.win_probability.features import MODEL
    from models.win_probability.interval import load_table
    from riftstream.errors import ModelError

    if split not in SPLITS:
        raise ModelError(f"There is no split {split}.", f"Splits: {', '.join(SPLITS)}.")
    card = load_card(MODEL, folder)
    source = _source(data)
    with _progress("evaluating", len(MINUTES) + 1) as tell:
        tell("features by the streaming SQL", 0)
        corpus = load(source.matches())
        tell("evaluating", 1)
        booster, table = load_booster(card), load_table(card.folder)
        result = evaluate(booster, table, corpus, split, card.seed, lambda: tell("evaluating", 1))
    result["data_sha256"] = corpus.sha256
    result["same_data_as_card"] = corpus.sha256 == card.data_sha256
    if json:
        print_json(result)
        return
    _show(result)
    if not result["same_data_as_card"]:
        err.print("These are other events than the model was trained with.")


def committed_status() -> list[dict[str, Any]]:
    """The committed models, checked against their cards."""
    from models.artefact import MODEL_FILES, load_card
    from models.win_probability.features import MODEL

    card = load_card(MODEL)
    pooled = card.metrics["pooled"]["model"]
    return [
        {
            "name": card.name,
            "version": card.version,
            "sha256": card.sha256,
            "bytes": sum((card.folder / name).stat().st_size for name in MODEL_FILES),
            "feature_service": card.feature_service,
            "features": len(card.features),
            "data_sha256": card.data_sha256,
            "test_matches": card.metrics["matches"],
            "brier": pooled["brier"],
            "ece": pooled["ece"],
            "folder": card.folder,
        }
    ]


def show_committed(status: dict[str, Any]) -> None:
    """Print what ``committed_status`` says of a model, for people."""
    from rich.table import Table

    table = Table(box=None, show_header=False)
    for name, value in (
        ("model", f"{status['name']}, version {status['version']}"),
        ("features", f"{status['feature_service']}, {status['features']}"),
        ("test", f"{status['test_matches']} matches never seen"),
        ("Brier", _ranged(status["brier"])),
        ("ECE", _ranged(status["ece"])),
        ("size", f"{status['bytes'] / 1024:.0f} KiB"),
        ("sha256", status["sha256"]),
        ("data sha256", status["data_sha256"]),
        ("files", f"{status['folder']}, as the card describes them"),
    ):
        table.add_row(name, value)
    out.print(table)


def _source(data: str | None) -> Source:
    from streams.sources import open_input, open_source

    return open_source("lol-pro") if data is None else open_input(data)


def _described(source: Source) -> str:
    return f"{source.account.source}, {len(source)} matches"


@contextmanager
def _progress(what: str, steps: int) -> Iterator[Callable[[str, int], None]]:
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True) as progress:
        task = progress.add_task(what, total=steps)
        yield lambda doing, done: progress.update(task, description=doing, advance=done)


def _show(result: dict[str, Any]) -> None:
    from rich.table import Table

    table = Table("", "Brier", "log loss", "AUC", "ECE", box=None)
    for name, values in result["pooled"].items():
        table.add_row(name, *(_ranged(values[metric]) for metric in ("brier", "log_loss", "auc", "ece")))
    out.print(f"{result['matches']} matches of the {result['split']} split, minutes 1 to 40:")
    out.print(table)
    minutes = Table("minute", "matches", "model", "logistic", "base rate", box=None)
    for row in result["by_minute"]:
        brier = (f"{row[name]['brier'][0]:.4f}" for name in ("model", "logistic", "base_rate"))
        minutes.add_row(str(row["minute"]), str(row["matches"]), *brier)
    out.print("Brier by minute:")
    out.print(minutes)
    interval = result["interval"]
    out.print(
        f"Interval: {interval['covered']:.1%} of {interval['groups']} groups covered, "
        f"{interval['level']:.0%} stated."
    )


def _ranged(value: list[float]) -> str:
    middle, low, high = value
    return f"{middle:.4f} [{low:.4f}, {high:.4f}]"
