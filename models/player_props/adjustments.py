"""What a prop's mean is multiplied by beside the trees: champion, patch or season, and the pace of the
league.

Each is a small table of its own with a version and what it was fitted on, so that it can be made anew without
the trees: champions after a patch, the meta every week.

* **Champions** borrow strength from the general model: a champion's part is (seen + a) / (expected + a),
  where *expected* is what the general model says of its games in sum, and a the strength of the prior, by
  maximum likelihood of a gamma prior over champions (Poisson-gamma partial pooling). So a champion with few
  games stays at the general model, and one with many has its own. All champions and stats are one file.
* **Meta**: kills and assists a game of a patch (or season) over those of training, pooled with the patch
  before it.
* **Leagues** likewise, pooled with all leagues; they are an input of the trees.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import optimize, special

from models.history import scope_of
from models.player_props.contract import COUNTED
from models.player_props.distribution import Doubles

META_GAMES = 60.0
"""Matches that a patch needs before its own rate weighs as much as that of the patch before it."""

LEAGUE_GAMES = 30.0
"""The same for leagues, against all leagues."""

PACED = ("kills", "assists")


@dataclass(frozen=True)
class Champions:
    """The pack of champion effects.

    Attributes:
        version: Version of the pack, a number as text.
        games: Games seen of each champion.
        effects: Logarithm of the part in each of ``COUNTED``, by stat and champion.
        strength: Strength of the prior by stat: expected counts at which a champion's own weigh as much.
        fitted_on: Seasons or patches that it was fitted on.
    """

    version: str
    games: dict[str, int]
    effects: dict[str, dict[str, float]]
    strength: dict[str, float]
    fitted_on: list[str]


@dataclass(frozen=True)
class Meta:
    """Rates of patches and seasons.

    Attributes:
        version: Version of the table.
        scopes: Logarithm of a game's kills and assists over those of training, by scope, in the order of
            time; an unknown scope is taken for the newest.
        reference: Kills and assists a game (both sides) in training.
        games: Matches seen of each scope.
    """

    version: str
    scopes: dict[str, dict[str, float]]
    reference: dict[str, float]
    games: dict[str, int]


@dataclass(frozen=True)
class Leagues:
    """Logarithm of each league's kills a game over those of all leagues in training."""

    version: str
    pace: dict[str, float]


@dataclass(frozen=True)
class Tables:
    """All of them; answers ``contract.Adjustments``."""

    champions: Champions
    metas: Meta
    leagues: Leagues

    def champion(self, name: str | None, stat: str) -> float:
        """Logarithm of the champion's part in a stat; 0 for an unknown one."""
        return self.champions.effects[stat].get(name or "", 0.0)

    def league(self, name: str | None) -> float | None:
        """Logarithm of the league's pace; None for an unknown one."""
        return self.leagues.pace.get(name or "")

    def meta(self, scope: str | None, stat: str) -> float:
        """Logarithm of the scope's kills or assists a game over training; an unknown scope is the newest."""
        if not self.metas.scopes:
            return 0.0
        newest = next(reversed(self.metas.scopes))
        return self.metas.scopes.get(scope or newest, self.metas.scopes[newest])[stat]


NOTHING = Tables(
    Champions("0", {}, {stat: {} for stat in COUNTED}, {}, []), Meta("0", {}, {}, {}), Leagues("0", {})
)
"""No adjustments: every champion, patch and league is like the others."""

FILES = {"champions": "champions.json", "metas": "meta.json", "leagues": "leagues.json"}


def save(tables: Tables, folder: Path) -> None:
    """Write each table into its file."""
    for name, file in FILES.items():
        text = json.dumps(asdict(getattr(tables, name)), indent=1, ensure_ascii=False)
        (folder / file).write_text(text + "\n")


def load(folder: Path) -> Tables:
    """The tables of an artefact whose card was checked."""
    raw = {name: json.loads((folder / file).read_bytes()) for name, file in FILES.items()}
    return Tables(Champions(**raw["champions"]), Meta(**raw["metas"]), Leagues(**raw["leagues"]))


def pool(seen: np.ndarray, expected: np.ndarray) -> tuple[Doubles, float]:
    """Parts of groups that borrow from one another.

    Args:
        seen: Counts seen by group, shape [g].
        expected: What the general model expects of them, shape [g], above 0.

    Returns:
        Logarithm of each group's part, shape [g], and the strength of the prior a: (seen + a) / (expected +
        a).
    """

    def loss(log_strength: float) -> float:
        a = np.exp(log_strength)
        # Marginal likelihood of a Poisson count whose rate has a gamma prior of mean 1 and shape a.
        terms = special.gammaln(seen + a) - special.gammaln(a) + a * np.log(a)
        return -float((terms - (seen + a) * np.log(expected + a)).sum())

    # Beyond e^12 nothing is left of the groups' own counts.
    found = optimize.minimize_scalar(loss, bounds=(0.0, 12.0), method="bounded")
    strength = float(np.exp(found.x))
    return np.log((seen + strength) / (expected + strength)), strength


def fit_champions(
    names: Sequence[str | None],
    seen: dict[str, np.ndarray],
    expected: dict[str, np.ndarray],
    fitted_on: Iterable[str],
    version: str,
) -> Champions:
    """Champion effects from games.

    Args:
        names: Champion of each game, shape [n]; null where unknown.
        seen: Counts by stat, shape [n] each.
        expected: What the general model says of each game, given who won, by stat.
        fitted_on: Seasons of the games.
        version: Version of the pack.
    """
    known, place = np.unique([name or "" for name in names], return_inverse=True)
    games = np.bincount(place)
    effects, strength = {}, {}
    for stat in COUNTED:
        had, due = (np.bincount(place, values[stat]).astype(np.float64) for values in (seen, expected))
        part, strength[stat] = pool(had, due)
        effects[stat] = {str(n): round(float(p), 6) for n, p in zip(known, part, strict=True) if n}
    counts = {str(n): int(g) for n, g in zip(known, games, strict=True) if n}
    return Champions(version, counts, effects, strength, sorted(fitted_on))


@dataclass(frozen=True)
class _Match:
    started: int
    ended: int
    scope: str
    league: str
    counts: dict[str, int]


def _matches(rows: Iterable[dict[str, Any]]) -> dict[str, _Match]:
    """Matches of PlayerGames, with the kills and assists of both sides."""
    found: dict[str, _Match] = {}
    for row in rows:
        match = found.setdefault(
            row["match_id"],
            _Match(
                row["started"],
                row["event_time"],
                scope_of(row) or "",
                row["league"] or "",
                dict.fromkeys(PACED, 0),
            ),
        )
        for stat in PACED:
            match.counts[stat] += row[stat]
    return found


def reference(rows: Iterable[dict[str, Any]]) -> dict[str, float]:
    """Kills and assists a game, both sides together."""
    matches = list(_matches(rows).values())
    return {stat: sum(m.counts[stat] for m in matches) / len(matches) for stat in PACED}


def fit_meta(
    rows: Iterable[dict[str, Any]], against: dict[str, float], version: str
) -> tuple[Meta, dict[str, dict[str, float]]]:
    """Rates of scopes over the matches of some PlayerGames.

    Returns:
        The table after all of them, and by match what it said before that match began: only of matches that
        had ended by then.
    """
    matches = _matches(rows)
    steps = [(m.ended, 0, name) for name, m in matches.items()]
    steps += [(m.started, 1, name) for name, m in matches.items()]
    sums: dict[str, dict[str, float]] = {}
    games: dict[str, int] = {}
    before: dict[str, dict[str, float]] = {}
    rate = dict(against)
    for _, starts, name in sorted(steps):
        match = matches[name]
        if match.scope not in sums:
            # The scope so far is what the new one is pooled with.
            sums[match.scope] = {stat: rate[stat] * META_GAMES for stat in PACED}
            games[match.scope] = 0
        if not starts:
            games[match.scope] += 1
            for stat in PACED:
                sums[match.scope][stat] += match.counts[stat]
        rate = {stat: sums[match.scope][stat] / (games[match.scope] + META_GAMES) for stat in PACED}
        if starts:
            before[name] = {stat: float(np.log(rate[stat] / against[stat])) for stat in PACED}
    scopes = {
        scope: {
            stat: round(float(np.log(sums[scope][stat] / (games[scope] + META_GAMES) / against[stat])), 6)
            for stat in PACED
        }
        for scope in sums
        if scope
    }
    return Meta(version, scopes, against, {scope: games[scope] for scope in scopes}), before


def fit_leagues(rows: Iterable[dict[str, Any]], version: str) -> Leagues:
    """Pace of each league over the matches of some PlayerGames."""
    matches = list(_matches(rows).values())
    mean = sum(m.counts["kills"] for m in matches) / len(matches)
    pace = {}
    for league in sorted({m.league for m in matches} - {""}):
        kills = [m.counts["kills"] for m in matches if m.league == league]
        pooled = (sum(kills) + LEAGUE_GAMES * mean) / (len(kills) + LEAGUE_GAMES)
        pace[league] = round(float(np.log(pooled / mean)), 6)
    return Leagues(version, pace)
