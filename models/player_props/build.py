"""From matches to ``player_props`` with its card: what ``rift models train player_props`` does."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from models import history, provenance
from models.artefact import ONNX, artefact_folder, digest
from models.card import write_card
from models.player_props import adjustments, baselines, card, choice, data, evaluate, export, fit
from models.player_props.contract import COUNTED, MODEL, NAMES, SERVICE, STATS
from models.player_props.distribution import Ints
from models.player_props.model import BOOSTERS, PlayerProps
from models.win_probability.data import SPLITS, Corpus, Outcomes, corpus_of, split_of
from models.win_probability.data import VIEWS as MATCH_VIEWS
from models.win_probability.model import WinProbability

SEED = 20172
VERSION = "2"
CALIBRATED_MOMENTS = 6
"""Random moments of each match that the calibration is fitted to, beside its start."""
FILES = (*BOOSTERS.values(), ONNX, fit.CALIBRATION, *adjustments.FILES.values())
STEPS = 2 * len(COUNTED) + 2 * len(STATS) + 3

Tell = Callable[[str, int], None]
"""Told what is being done, and how many of ``STEPS`` were done since the last time."""


def _silent(_: str, __: int) -> None:
    return None


@dataclass(frozen=True)
class Material:
    """What props are made of and judged on.

    Attributes:
        games: Players' games.
        corpus: States of the same matches, for the win probability.
    """

    games: data.Games
    corpus: Corpus


def load(matches: Iterable[list[history.Event]], every_season: bool = False) -> Material:
    """Read matches, and send them through the SQL once for both.

    Raises:
        JobError: Flink could not run the SQL.
        ModelError: A split has no finished match.
    """
    kills: dict[str, data.Kills] = {}
    outcomes = Outcomes(every_season)

    def read(match: list[history.Event]) -> None:
        outcomes.read(match)
        found = data.Kills.of(match)
        if found.sides:
            kills[match[0]["match_id"]] = found

    views = tuple(dict.fromkeys((*data.VIEWS, *MATCH_VIEWS)))
    source = history.run(matches, views, read)
    corpus = corpus_of(source, outcomes, () if every_season else SPLITS)
    return Material(data.games_of(source, kills), corpus)


def in_split(games: data.Games, split: str) -> Ints:
    """Places of the games of a split."""
    return np.flatnonzero([split_of(row["season"]) == split for row in games.rows])


def with_meta(rows: data.Rows, games: data.Games, before: dict[str, dict[str, float]]) -> data.Rows:
    """Rows with the patch's rates as they were known before each match."""
    for stat in adjustments.PACED:
        known = [before[games.rows[place]["match_id"]][stat] for place in rows.game]
        rows = rows.with_column(f"meta_{stat}", np.array(known))
    return rows


def with_win_probability(rows: data.Rows, games: data.Games, corpus: Corpus, of: WinProbability) -> data.Rows:
    """Rows with what ``win_probability`` says at their moments; one half where it has no state."""
    number = {str(match_id): place for place, match_id in enumerate(corpus.ids)}
    first = np.searchsorted(corpus.match, np.arange(len(corpus.ids) + 1))
    before = of.pre_match.log_odds(corpus.before)
    match = np.array([number.get(games.rows[place]["match_id"], -1) for place in rows.game])
    clock = np.round(rows.minutes.astype(np.float64) * data.MINUTE_MS)
    states = np.zeros(len(match), np.int64)
    for place, (one, at) in enumerate(zip(match, clock, strict=True)):
        if one >= 0:
            within = corpus.clock_ms[first[one] : first[one + 1]]
            states[place] = first[one] + max(int(np.searchsorted(within, at, side="right")) - 1, 0)
    blue, _, _ = of.answer(corpus.matrix[states], np.where(match < 0, np.nan, before[match]))
    side = np.array([games.rows[place]["side"] == "blue" for place in rows.game])
    return rows.with_column("win_probability", np.where(match < 0, 0.5, np.where(side, blue, 1 - blue)))


def build(
    material: Material,
    win: WinProbability,
    out: Path | None = None,
    *,
    source: str,
    snapshot_id: int | None = None,
    win_version: str,
    version: str = VERSION,
    seed: int = SEED,
    rounds: int = fit.ROUNDS,
    tell: Tell = _silent,
) -> dict[str, Any]:
    """Train, calibrate, evaluate and write the artefact.

    Args:
        material: What it is made of, see ``load``.
        win: The win probability that props are mixed by where they are judged.
        out: Folder to write; the committed artefact's by default.
        source: Name of the data, for the card.
        snapshot_id: Iceberg snapshot of the events, where they are of the lake.
        win_version: Version of ``win``, for the card.
        version: Version of the model, a number as text.
        seed: Seed of everything random. The same matches, seed and library versions give the same files.
        rounds: Trees a stat.
        tell: Told of progress.

    Returns:
        The card, as in ``card.json``.
    """
    out = out or artefact_folder(MODEL)
    games = material.games
    places = {split: in_split(games, split) for split in SPLITS}
    training = [games.rows[place] for place in places["train"]]
    against = adjustments.reference(training)
    metas, meta_before = adjustments.fit_meta(games.rows, against, version)
    leagues = adjustments.fit_leagues(training, version)
    plain = replace(adjustments.NOTHING, leagues=leagues)

    def rows_of(split: str, tables: adjustments.Tables, moments: Any) -> data.Rows:
        return with_meta(data.rows_of(games, places[split], tables, moments), games, meta_before)

    learnt = rows_of("train", plain, data.learnt_moments(seed))
    trees = {}
    for stat in COUNTED:
        tell(f"fitting {stat}", 0)
        trees[stat] = fit.fit(learnt, stat, seed, rounds)
        tell(f"fitting {stat}", 1)
    boosters = {stat: of.booster for stat, of in trees.items()}
    tell("champions", 0)
    champions = _champions(trees, rows_of("train", plain, _at_start), games, version)
    tables = adjustments.Tables(champions, metas, leagues)
    tell("calibrating", 1)
    validation = rows_of("validation", tables, data.learnt_moments(seed, CALIBRATED_MOMENTS))
    calibration = fit.calibrate(trees, validation, ["2017 Spring"], version, lambda: tell("calibrating", 1))
    model = PlayerProps(boosters, calibration, tables)

    out.mkdir(parents=True, exist_ok=True)
    for stat, file in BOOSTERS.items():
        (out / file).write_bytes(boosters[stat].save_raw("ubj"))
    (out / ONNX).write_bytes(export.whole(boosters, calibration))
    fit.save(calibration, out)
    adjustments.save(tables, out)
    roles = baselines.fit(games, places["train"])
    metrics, chosen = {}, {}
    for split in ("validation", "test"):
        rows = with_win_probability(rows_of(split, tables, data.judged_moments), games, material.corpus, win)
        told = f"evaluating on {split}"
        props = model.said(rows.matrix)
        overall = {stat: prop.overall for stat, prop in props.items()}
        metrics[split] = evaluate.evaluate(overall, games, rows, roles, seed, partial(tell, told, 1))
        metrics[split]["champions"] = choice.champions(model, rows, games, seed)
        metrics[split]["meta"] = choice.meta(model, rows, seed)
        if split == "validation":
            chosen = choice.kinds(model, rows)
    tell("writing the card", 1)
    return write_card(
        out,
        {
            "name": MODEL,
            "version": version,
            "feature_service": SERVICE,
            "features": list(NAMES),
            "seed": seed,
            "parameters": {**fit.PARAMS, "rounds": rounds},
            "win_probability": win_version,
            "calibration": asdict(calibration),
            "champions": {
                "version": champions.version,
                "champions": len(champions.games),
                "strength": champions.strength,
            },
            "meta": asdict(metas),
            "choice": chosen,
            "data": {
                "source": source,
                **({} if snapshot_id is None else {"snapshot_id": snapshot_id}),
                "sha256": games.sha256,
                "events": games.events,
            },
            "splits": {split: _split(games, of) for split, of in places.items()},
            "training_rows": len(learnt.won),
            **provenance.code(MODEL),
            "versions": provenance.versions(),
            "files": {name: digest(out / name) for name in FILES},
            "metrics": metrics,
        },
        card.markdown,
        card.diagram,
    )


def _at_start(_: int, __: int) -> Ints:
    return np.zeros(1, np.int64)


def _champions(
    trees: dict[str, fit.Trees], rows: data.Rows, games: data.Games, version: str
) -> adjustments.Champions:
    """Champion effects over whole maps of training, against the general model."""
    names = [games.rows[place]["champion"] for place in rows.game]
    seasons = {games.rows[place]["season"] for place in rows.game}
    expected = {stat: fit.general(trees[stat], rows, stat) for stat in COUNTED}
    return adjustments.fit_champions(names, rows.final, expected, seasons, version)


def _split(games: data.Games, places: Ints) -> dict[str, Any]:
    rows = [games.rows[place] for place in places]
    return {
        "seasons": sorted({row["season"] for row in rows}),
        "matches": len({row["match_id"] for row in rows}),
        "player_games": len(rows),
    }
