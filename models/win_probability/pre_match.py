"""What is known before a match: the log odds that blue wins, from forms, draft and history of the two teams.

A logistic regression on differences of blue and red. What is unknown adds nothing; where nothing at all is
known there is no estimate (NaN), and ``win_probability`` goes by the live state alone. Small samples are
shrunk before they count: w wins of g games are (w + 2) / (g + 4).

All of it is read from online views as of the start of the match: ``team_form`` and ``player_form`` (30 days),
``head_to_head`` (365 days), ``champion_meta`` (patch or season so far). ``MatchContext`` is what a caller
fills.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from models import history
from models.history import scope_of

Doubles = np.ndarray[Any, np.dtype[np.float64]]
Known = Mapping[str, Any]

FILE = "pre_match.json"
VIEWS = ("match_summaries", "player_stats", "team_form", "head_to_head", "champion_meta")
INPUTS = {
    "team_wins": "wins of the team lately",
    "team_form": "newest wins of the team",
    "team_kills": "kills less deaths of the team lately",
    "team_towers": "towers taken less lost lately",
    "team_monsters": "dragons and Barons lately",
    "team_gold": "gold lead of the team lately",
    "team_games": "games of the team lately",
    "players_wins": "wins of the players lately",
    "players_score": "kills and assists less deaths of the players lately",
    "head_to_head": "games of the two against each other",
    "draft": "how often the champions picked win",
}
"""The inputs, each blue less red, with the words that reasons have for them."""

_TEAM = (
    *("games", "wins", "form", "kills_mean", "deaths_mean", "towers_mean", "towers_lost_mean"),
    *("dragons_mean", "barons_mean", "gold_diff_mean"),
)
_PLAYER = ("games", "wins", "kills_mean", "deaths_mean", "assists_mean")
_PAIR, _CHAMPION = ("games", "wins"), ("picks", "wins")
_PRIOR, _DRAFT_PRIOR = 2.0, 20.0


@dataclass(frozen=True)
class Side:
    """What is known of one side before a match; unknown parts are None or left out.

    Attributes:
        team_form: Newest TeamForm of the team (features of the online view by name).
        player_forms: Newest PlayerForm of each player.
        champions: ChampionMeta of each champion picked, in the match's patch or season.
    """

    team_form: Known | None = None
    player_forms: Sequence[Known | None] = ()
    champions: Sequence[Known | None] = ()


@dataclass(frozen=True)
class MatchContext:
    """What is known of a match before it.

    Attributes:
        blue: The blue side.
        red: The red side.
        head_to_head: Newest HeadToHead of the blue team against the red one.
    """

    blue: Side = field(default_factory=Side)
    red: Side = field(default_factory=Side)
    head_to_head: Known | None = None


def inputs(contexts: Sequence[MatchContext]) -> Doubles:
    """The inputs of the regression in the order of ``INPUTS``, shape [n, k]; NaN where unknown."""
    return np.array([_inputs(context) for context in contexts], np.float64).reshape(-1, len(INPUTS))


def _inputs(context: MatchContext) -> list[float]:
    blue, red = (
        {**_team(side.team_form), **_players(side.player_forms)} for side in (context.blue, context.red)
    )
    pair = context.head_to_head
    found = {
        "head_to_head": np.nan if pair is None else _log_odds(pair["wins"], pair["games"], _PRIOR),
        "draft": _draft(context.blue.champions) - _draft(context.red.champions),
    }
    return [found[name] if name in found else _difference(blue, red, name) for name in INPUTS]


def _difference(blue: Mapping[str, float], red: Mapping[str, float], name: str) -> float:
    """Blue less red. A side of which it is unknown is an average one: more is not known of it."""
    sides = [of.get(name, np.nan) for of in (blue, red)]
    return float("nan") if np.isnan(sides).all() else float(np.subtract(*np.nan_to_num(sides)))


def _log_odds(wins: float, games: float, prior: float) -> float:
    return float(np.log((wins + prior) / (games - wins + prior)))


def _team(form: Known | None) -> dict[str, float]:
    if form is None or not form.get("games"):
        return {}
    of = {name: np.nan if form.get(name) is None else float(form[name]) for name in _TEAM}
    weight = of["games"] / (of["games"] + 2 * _PRIOR)
    return {
        "team_wins": _log_odds(of["wins"], of["games"], _PRIOR),
        "team_form": weight * (of["form"] - 0.5),
        "team_kills": weight * (of["kills_mean"] - of["deaths_mean"]),
        "team_towers": weight * (of["towers_mean"] - of["towers_lost_mean"]),
        "team_monsters": weight * (of["dragons_mean"] + 2 * of["barons_mean"] - 3),
        "team_gold": weight * of["gold_diff_mean"] / 1000,
        "team_games": float(np.log1p(of["games"])),
    }


def _players(forms: Sequence[Known | None]) -> dict[str, float]:
    known = [form for form in forms if form and form.get("games")]
    if not known:
        return {}
    scores = [
        form["games"]
        / (form["games"] + 2 * _PRIOR)
        * (form["kills_mean"] + form["assists_mean"] / 2 - form["deaths_mean"])
        for form in known
    ]
    wins = [_log_odds(form["wins"], form["games"], _PRIOR) for form in known]
    return {"players_wins": float(np.mean(wins)), "players_score": float(np.mean(scores))}


def _draft(champions: Sequence[Known | None]) -> float:
    known = [champion for champion in champions if champion and champion.get("picks") is not None]
    if not known:
        return float("nan")
    return float(sum(_log_odds(c["wins"], c["picks"], _DRAFT_PRIOR) for c in known))


@dataclass(frozen=True)
class PreMatch:
    """The fitted regression.

    Attributes:
        version: Its version, a number as text.
        intercept: Log odds that blue wins where both sides are alike.
        weights: Log odds a unit of each input, by name.
        fitted_on: Seasons that it was fitted on.
        penalty: Strength of the ridge penalty, chosen on the validation split.
    """

    version: str
    intercept: float
    weights: dict[str, float]
    fitted_on: list[str]
    penalty: float

    def parts(self, found: Doubles) -> Doubles:
        """What each input adds to the log odds, shape [n, k]; 0 where it is unknown."""
        return np.asarray(np.nan_to_num(found) * [self.weights[name] for name in INPUTS])

    def log_odds(self, found: Doubles) -> Doubles:
        """Log odds that blue wins, shape [n]; NaN where nothing is known."""
        said = self.intercept + self.parts(found).sum(axis=1)
        return np.where(np.isnan(found).all(axis=1), np.nan, said)


def fit(
    found: Doubles,
    won: np.ndarray,
    seasons: np.ndarray,
    version: str,
    penalty: float,
    weights: Doubles | None = None,
) -> PreMatch:
    """Fit the regression to matches.

    Args:
        found: Their inputs, shape [n, k].
        won: 1 where blue won, shape [n].
        seasons: Their seasons, shape [n].
        version: Version of what is fitted.
        penalty: Strength of the ridge penalty on inputs of unit variance.
        weights: How often each match counts, shape [n]; once by default.
    """
    from sklearn.linear_model import LogisticRegression

    known = ~np.isnan(found).all(axis=1)
    scale = np.nan_to_num(found[known]).std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    regression = LogisticRegression(C=1 / penalty, max_iter=5000, tol=1e-8)
    regression.fit(
        np.nan_to_num(found[known]) / scale, won[known], None if weights is None else weights[known]
    )
    coefficients = (float(value) for value in regression.coef_[0] / scale)
    return PreMatch(
        version,
        float(regression.intercept_[0]),
        dict(zip(INPUTS, coefficients, strict=True)),
        sorted(set(seasons[known].tolist())),
        penalty,
    )


def save(model: PreMatch, folder: Path) -> None:
    """Write the regression's file."""
    (folder / FILE).write_text(json.dumps(asdict(model), indent=1) + "\n")


def load(folder: Path) -> PreMatch:
    """The regression of an artefact whose card was checked."""
    return PreMatch(**json.loads((folder / FILE).read_bytes()))


def contexts_of(source: history.Source) -> dict[str, MatchContext]:
    """What was known before each completed match, by match id. The source holds ``VIEWS``."""
    matches = source.tables["match_summaries"].to_pylist()
    teams, players, champions = [], [], []
    for match in matches:
        head = {"match_id": match["match_id"], "started": match["started"], "scope": scope_of(match)}
        for side, other in (("blue", "red"), ("red", "blue")):
            of = {**head, "side": side}
            teams.append({**of, "team": match[f"{side}_team"], "opponent": match[f"{other}_team"]})
            players += [{**of, "player_id": name} for name in match[f"{side}_players"] or () if name]
            champions += [{**of, "champion": name} for name in match[f"{side}_champions"] or () if name]
    told: dict[str, dict[str, Any]] = {match["match_id"]: {"blue": {}, "red": {}} for match in matches}
    joins: tuple[tuple[str, list[dict[str, Any]], str, tuple[str, ...]], ...] = (
        ("team", teams, "team_form", _TEAM),
        ("pair", teams, "head_to_head", _PAIR),
        ("players", players, "player_form", _PLAYER),
        ("champions", champions, "champion_meta", _CHAMPION),
    )
    for what, spine, view, columns in joins:
        part = history.part(view, columns, "known_")
        for row in history.known_before(source, pa.Table.from_pylist(spine), [part]).to_pylist():
            known = {name: row[f"known_{name}"] for name in columns}
            empty = known[columns[0]] is None
            told[row["match_id"]][row["side"]].setdefault(what, []).append(None if empty else known)
    return {match_id: _context(sides) for match_id, sides in told.items()}


def _context(sides: dict[str, Any]) -> MatchContext:
    def side(name: str) -> Side:
        of = sides[name]
        return Side(of["team"][0], of.get("players", ()), of.get("champions", ()))

    return MatchContext(side("blue"), side("red"), sides["blue"]["pair"][0])
