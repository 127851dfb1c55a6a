"""What parts of the model are worth: kind of distribution, champions, and the patch's or season's rates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from models.metrics import crps, mean_interval
from models.player_props.contract import COUNTED, NAMES, OFFSETS
from models.player_props.data import Games, Rows
from models.player_props.distribution import CountDistribution, NegativeBinomial
from models.player_props.fit import dispersion_of, phase_of
from models.player_props.model import PlayerProps

DRAWS = 400
GAMES_SEEN = (0, 10, 30, 100, 300)
"""Lower edges of the groups of champions by games seen in training."""

_COUNTS = np.arange(60)


def champions(model: PlayerProps, rows: Rows, games: Games, seed: int) -> list[dict[str, Any]]:
    """The pack of champion effects against the general model before the match, by games seen of the champion.

    Returns:
        A row a group: ``from`` (games seen), ``champions``, ``players``, and by stat the mean CRPS and log
        score with the pack less those without it, each with its interval: below 0 the pack is better.
    """
    at_start = rows.where(rows.minutes == 0)
    names = [games.rows[place]["champion"] for place in at_start.game]
    seen = np.array([model.tables.champions.games.get(name or "", 0) for name in names])
    group = np.searchsorted(GAMES_SEEN, seen, side="right") - 1
    gains = _gains(model, at_start, [f"champion_{stat}" for stat in COUNTED])
    found = []
    for number, least in enumerate(GAMES_SEEN):
        chosen = group == number
        if chosen.any():
            known = {name for name, of in zip(names, chosen, strict=True) if of}
            found.append(
                {"from": least, "champions": len(known), "players": int(chosen.sum())}
                | _means(gains, at_start, chosen, seed)
            )
    return found


def meta(model: PlayerProps, rows: Rows, seed: int) -> dict[str, Any]:
    """The patch's or season's rates against none, over all rows before the match; as ``champions``."""
    at_start = rows.where(rows.minutes == 0)
    gains = _gains(model, at_start, ["meta_kills", "meta_assists"])
    return _means(gains, at_start, np.ones(len(at_start.won), bool), seed)


def _gains(model: PlayerProps, rows: Rows, columns: Sequence[str]) -> dict[str, dict[str, np.ndarray]]:
    """CRPS and log score with some offsets less those without them, by stat, shape [n] each."""
    bare = rows
    for name in columns:
        bare = bare.with_column(name, 0.0)
    said, without = model.said(rows.matrix), model.said(bare.matrix)
    found: dict[str, dict[str, np.ndarray]] = {}
    for stat in COUNTED:
        if not set(OFFSETS[stat]) & set(columns):
            continue
        ours, theirs = (_scores(of[stat].overall, rows.final[stat]) for of in (said, without))
        found[stat] = {name: ours[name] - theirs[name] for name in ours}
    return found


def _scores(said: CountDistribution, came: np.ndarray) -> dict[str, np.ndarray]:
    return {
        "crps": crps(said.cdf(_COUNTS[:, None]), _COUNTS, came),
        "log_score": -np.log(np.maximum(said.pmf(came), 1e-9)),
    }


def _means(
    gains: dict[str, dict[str, np.ndarray]], rows: Rows, chosen: np.ndarray, seed: int
) -> dict[str, Any]:
    return {
        stat: {
            name: mean_interval(values[chosen], rows.match[chosen], DRAWS, seed)
            for name, values in of.items()
        }
        for stat, of in gains.items()
    }


def kinds(model: PlayerProps, rows: Rows) -> dict[str, dict[str, float]]:
    """Mean log score of three kinds of distribution with the same means, by stat and kind.

    Poisson; one negative binomial; and the mixture over who wins. Dispersions are fitted by phase to every
    other match and judged on the rest.
    """
    fitted = rows.match % 2 == 0
    phase = phase_of(rows.minutes)
    props = model.said(rows.matrix)
    found: dict[str, dict[str, float]] = {}
    for stat in COUNTED:
        prop, came = props[stat], rows.final[stat]
        start = rows.matrix[:, NAMES.index(stat)].astype(np.int64)
        mean = prop.overall.mean - start
        means = np.concatenate([_means_of(prop.lost), _means_of(prop.won)], axis=1)
        one, two = np.zeros(len(mean)), np.zeros((len(mean), 2))
        for number in np.unique(phase):
            at = phase == number
            one[at] = dispersion_of((came - start)[at & fitted], mean[at & fitted])
            for outcome in (0, 1):
                of = at & fitted & (rows.won == outcome)
                two[at, outcome] = dispersion_of((came - start)[of], means[of, outcome])
        weights = np.column_stack((1 - prop.win_probability, prop.win_probability))
        candidates = {
            "poisson": NegativeBinomial.of(mean, 0.0, start=start),
            "negative_binomial": NegativeBinomial.of(mean, one, start=start),
            "mixture": NegativeBinomial.of(means, two, weights, start),
        }
        found[stat] = {
            name: float(-np.log(np.maximum(said.pmf(came), 1e-9))[~fitted].mean())
            for name, said in candidates.items()
        }
    return found


def _means_of(said: CountDistribution) -> np.ndarray:
    """Mean of what is still to come, shape [n, 1]."""
    return np.asarray((said.mean - said.lowest)[:, None])
