"""Training and evaluation of every model by name: what ``rift models`` does."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from models.artefact import Card, load_card
from models.history import Event
from models.markdown import ranged
from models.player_props import adjustments, contract
from models.player_props import baselines as prop_baselines
from models.player_props import build as props
from models.player_props import data as prop_data
from models.player_props import evaluate as prop_evaluate
from models.player_props import model as prop_model
from models.win_probability import build as win
from models.win_probability import data as win_data
from models.win_probability import evaluate as win_evaluate
from models.win_probability import features as win_features
from models.win_probability import model as win_model
from riftstream.errors import ModelError

NAMES = (win_features.MODEL, contract.MODEL)

Tell = Callable[[str, int], None]
"""Told what is being done, and how many steps were done since the last time."""

_SQL = "features by the streaming SQL"


def steps(name: str) -> int:
    """How many steps ``train`` tells of.

    Raises:
        ModelError: There is no such model.
    """
    return {win_features.MODEL: win.STEPS, contract.MODEL: props.STEPS}[_known(name)] + 1


def train(
    name: str,
    matches: Iterable[list[Event]],
    out: Path,
    source: str,
    tell: Tell = lambda _, __: None,
    snapshot_id: int | None = None,
) -> dict[str, Any]:
    """Train a model and write its artefact.

    Args:
        name: Name of the model.
        matches: Events of each match, in log order.
        out: Folder to write.
        source: Name of the data, for the card.
        tell: Told of progress.
        snapshot_id: Iceberg snapshot of the events, where they are of the lake.

    Returns:
        The card, as in ``card.json``.

    Raises:
        JobError: Flink could not run the SQL.
        ModelError: There is no such model, or the matches do not cover the seasons that are needed.
    """
    tell(_SQL, 0)
    if _known(name) == win_features.MODEL:
        corpus = win_data.load(matches)
        tell(_SQL, 1)
        return win.build(corpus, out, source=source, snapshot_id=snapshot_id, tell=tell)
    known = load_card(win_features.MODEL)
    material = props.load(matches)
    tell(_SQL, 1)
    return props.build(
        material,
        win_model.load(known),
        out,
        source=source,
        snapshot_id=snapshot_id,
        win_version=known.version,
        tell=tell,
    )


def evaluation_steps(name: str) -> int:
    """How many steps ``evaluate`` tells of."""
    return 1 + (len(win_data.MINUTES) if _known(name) == win_features.MODEL else len(contract.STATS))


def evaluate(
    card: Card, matches: Iterable[list[Event]], split: str, tell: Tell = lambda _, __: None
) -> dict[str, Any]:
    """Evaluate a model on matches.

    Args:
        card: The model's card.
        matches: Events of each match, in log order.
        split: One of ``win_probability.data.SPLITS``, or ``all``.
        tell: Told of progress.

    Returns:
        The metrics, JSON-ready, with ``data_sha256`` and whether that is the card's.

    Raises:
        JobError: Flink could not run the SQL.
        ModelError: There is no finished match in a split that is needed.
    """
    every = split == win_evaluate.ALL
    tell(_SQL, 0)
    step = partial(tell, "evaluating", 1)
    if card.name == win_features.MODEL:
        corpus = win_data.load(matches, every)
        tell(_SQL, 1)
        result = win_evaluate.evaluate(win_model.load(card), corpus, split, card.seed, step)
        digest = corpus.sha256
    else:
        material = props.load(matches, every)
        tell(_SQL, 1)
        result = {"split": split, **_evaluate_props(card, material, split, step)}
        digest = material.games.sha256
    return {**result, "data_sha256": digest, "same_data_as_card": digest == card.data_sha256}


def _evaluate_props(
    card: Card, material: props.Material, split: str, step: Callable[[], None]
) -> dict[str, Any]:
    """The baselines' roles are those of the training split, or of the matches themselves without one."""
    games = material.games
    every = np.arange(len(games.rows))
    chosen = every if split == win_evaluate.ALL else props.in_split(games, split)
    if not len(chosen):
        raise ModelError(f"There is no game in the {split} split.", "Try --split all.")
    model = prop_model.load(card)
    training = props.in_split(games, "train")
    roles = prop_baselines.fit(games, training if len(training) else every)
    rows = prop_data.rows_of(games, chosen, model.tables, prop_data.judged_moments)
    _, before = adjustments.fit_meta(games.rows, model.tables.metas.reference, "0")
    rows = props.with_meta(rows, games, before)
    known = win_model.load(load_card(win_features.MODEL))
    rows = props.with_win_probability(rows, games, material.corpus, known)
    said = {stat: prop.overall for stat, prop in model.said(rows.matrix).items()}
    return prop_evaluate.evaluate(said, games, rows, roles, card.seed, step)


def headline(name: str, metrics: dict[str, Any]) -> dict[str, list[float]]:
    """The few figures that ``rift models status`` shows: value, low, high."""
    if name == win_features.MODEL:
        pooled = metrics["pooled"]["model"]
        return {"brier": pooled["brier"], "ece": pooled["ece"]}
    return {f"crps_{stat}": metrics["stats"][stat][0]["model"]["crps"] for stat in contract.STATS}


def show(name: str, result: dict[str, Any], out: Console) -> None:
    """Print an evaluation."""
    if name == win_features.MODEL:
        _show_win_probability(result, out)
    else:
        _show_props(result, out)


def _show_win_probability(result: dict[str, Any], out: Console) -> None:
    table = Table("", "Brier", "log loss", "AUC", "ECE", box=None)
    for name, values in result["pooled"].items():
        table.add_row(name, *(ranged(values[metric]) for metric in ("brier", "log_loss", "auc", "ece")))
    out.print(f"{result['matches']} matches of the {result['split']} split, minutes 1 to 40:")
    out.print(table)
    names = [name for name in ("model", "live_only", "logistic", "base_rate") if name in result["pooled"]]
    minutes = Table("minute", "matches", *(name.replace("_", " ") for name in names), box=None)
    for row in result["by_minute"]:
        brier = (f"{row[name]['brier'][0]:.4f}" for name in names)
        minutes.add_row(str(row["minute"]), str(row["matches"]), *brier)
    out.print("Brier by minute:")
    out.print(minutes)
    interval = result["interval"]
    out.print(
        f"Interval: {interval['covered']:.1%} of {interval['groups']} groups covered, "
        f"{interval['level']:.0%} stated."
    )


def _show_props(result: dict[str, Any], out: Console) -> None:
    names = ("model", *prop_baselines.NAMES_OF)
    table = Table(
        "stat", "minute", "players", *(f"CRPS {name.replace('_', ' ')}" for name in names), box=None
    )
    for stat in contract.STATS:
        for row in result["stats"][stat]:
            scores = (ranged(row[name]["crps"]) for name in names)
            table.add_row(stat, str(row["minute"]), str(row["players"]), *scores)
    out.print(f"{result['matches']} matches, {result['player_games']} player games; minute 0 is before:")
    out.print(table)
    levels = [
        f"{one['level']:.0%} interval" for one in result["stats"][contract.STATS[0]][0]["model"]["coverage"]
    ]
    sure = Table("stat", "minute", *levels, *(f"ECE {name.replace('_', ' ')}" for name in names), box=None)
    for stat in contract.STATS:
        for row in result["stats"][stat]:
            covered = (f"{one['covered']:.1%} ({one['said']:.1%})" for one in row["model"]["coverage"])
            errors = (f"{row[name]['over_ece']:.3f}" for name in names)
            sure.add_row(stat, str(row["minute"]), *covered, *errors)
    out.print("Covered (and said to be), and the calibration error of P(over):")
    out.print(sure)


def _known(name: str) -> str:
    if name not in NAMES:
        raise ModelError(f"There is no model {name}.", f"Models: {', '.join(NAMES)}.")
    return name
