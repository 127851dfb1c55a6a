"""The contract of ``player_props``: named inputs, named outputs, and distributions of both.

How a caller goes, live or before the match::

    context = PlayerContext(player_form=..., team_form=..., opponent_form=..., role="mid", ...)
    matrix = vectors([context], adjustments)         # float32 [n, len(FEATURES)], in the order of FEATURES
    outputs = session.run(OUTPUTS, {"features": matrix})
    props = distributions(matrix, dict(zip(OUTPUTS, outputs)))
    props["kills"].overall.over(3.5)                 # P(more than 3.5 kills in the whole map), shape [n]

The model predicts what is **still to come** after ``clock_minutes``, given that the player's team wins, and
given that it loses. What a player has already is added to it, and the two cases are mixed by the win
probability: a prop follows the match, never says less than what was counted, and is as sure of the outcome as
the win probability is. Before the match everything live is 0, and the win probability is that before the
match.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from models.player_props.distribution import (
    CountDistribution,
    Doubles,
    NegativeBinomial,
    Tabulated,
    mixed,
    total,
)
from models.vector import Matrix, to_matrix

MODEL = "player_props"
SERVICE = "player_props_v1"
ROLES = ("top", "jungle", "mid", "adc", "support")
COUNTED = ("kills", "deaths", "assists")
FANTASY = {"kills": 3, "deaths": -1, "assists": 2}
"""Fantasy points a kill, death and assist; creep score has no part, since most sources do not tell it."""
STATS = (*COUNTED, "fantasy")
OUTCOMES = ("lost", "won")
"""Columns of every output: the player's team loses the map, and wins it."""

OUTPUTS = tuple(f"{stat}_{what}" for stat in COUNTED for what in ("mean", "dispersion"))
"""Outputs of the model, float32 [n, 2] by ``OUTCOMES``: mean and dispersion of what is still to come."""


@dataclass(frozen=True)
class Feature:
    """An input of the model.

    Attributes:
        name: Name of the feature.
        doc: What it is, and where it comes from.
        words: How reasons speak of it; empty where it only carries what others say.
    """

    name: str
    doc: str
    words: str = ""


def _form(of: str, column: str, doc: str, words: str) -> Feature:
    view = "player_form" if of == "player" else "team_form"
    return Feature(f"{of}_{column}", f"{doc} ({view}.{column}); null without a form.", words)


_PLAYER = (
    ("games", "Games of the player in the 30 days before the match", "games played lately"),
    ("form", "Recent wins of the player, newest weighted most", "recent wins of the player"),
    ("kills_mean", "Kills a game of the player over 30 days", "kills a game lately"),
    ("deaths_mean", "Deaths a game of the player over 30 days", "deaths a game lately"),
    ("assists_mean", "Assists a game of the player over 30 days", "assists a game lately"),
    ("participation", "Share of the team's kills that the player took part in", "part in the team's kills"),
    ("kills_volatility", "Standard deviation of the player's kills a game", "ups and downs of the player"),
)
_TEAM = (
    ("games", "Games of the {} in the 30 days before the match", "games of the {} lately"),
    ("form", "Recent wins of the {}, newest weighted most", "recent wins of the {}"),
    ("kills_mean", "Kills a game of the {} over 30 days", "kills a game of the {}"),
    ("deaths_mean", "Champions that the {} lost a game over 30 days", "deaths a game of the {}"),
)

FEATURES: tuple[Feature, ...] = (
    *(_form("player", *row) for row in _PLAYER),
    *(_form("team", column, doc.format("team"), words.format("team")) for column, doc, words in _TEAM),
    *(
        _form("opponent", column, doc.format("other team"), words.format("opponents"))
        for column, doc, words in _TEAM
    ),
    Feature(
        "expected_minutes",
        "Expected length of the map, minutes: mean of both teams' team_form.duration_mean_ms.",
        "expected length of the game",
    ),
    Feature(
        "league_pace",
        "Logarithm of the league's kills a game over those of all leagues; null for a new league.",
        "how bloody the league is",
    ),
    Feature("role", f"Role: {', '.join(f'{place} {name}' for place, name in enumerate(ROLES))}.", "role"),
    Feature("blue", "1 on the blue side, 0 on red.", "side of the map"),
    Feature("clock_minutes", "Match clock in minutes; 0 before the match.", "time played"),
    Feature("kills", "Kills of the player so far.", "kills so far"),
    Feature("deaths", "Deaths of the player so far.", "deaths so far"),
    Feature("assists", "Assists of the player so far.", "assists so far"),
    Feature(
        "team_kills",
        "Kills of the player's side so far (match_state.kills_blue or kills_red).",
        "kills of the team so far",
    ),
    Feature("opponent_kills", "Kills of the other side so far.", "kills of the opponents so far"),
    Feature(
        "win_probability",
        "Probability that the player's team wins the map, as it is said now; null counts as one half.",
        "chance to win",
    ),
    Feature("champion_kills", "Logarithm of the champion's part in kills; 0 for an unknown one.", "champion"),
    Feature("champion_deaths", "The same for deaths.", "champion"),
    Feature("champion_assists", "The same for assists.", "champion"),
    Feature(
        "meta_kills",
        "Logarithm of the patch's or season's kills a game over those of training.",
        "patch or season",
    ),
    Feature("meta_assists", "The same for assists.", "patch or season"),
)
NAMES: tuple[str, ...] = tuple(feature.name for feature in FEATURES)

WIN = NAMES.index("win_probability")
OFFSETS: dict[str, tuple[str, ...]] = {
    "kills": ("champion_kills", "meta_kills"),
    "deaths": ("champion_deaths", "meta_kills"),
    "assists": ("champion_assists", "meta_assists"),
}
"""Features that are added to the logarithm of a mean instead of going through the trees; null counts as 0."""


@dataclass(frozen=True)
class PlayerContext:
    """All that is known of one player in one map, before it or while it is played. What is unknown is None.

    Attributes:
        role: One of ``ROLES``.
        player_form: Newest PlayerForm of the player as of the start of the map: the record, or the features
            of the online view ``player_form`` by name.
        team_form: Newest TeamForm of the player's team.
        opponent_form: Newest TeamForm of the other team.
        champion: Champion, as the source spells it.
        league: League.
        scope: Patch, or season where the source tells no patch, as ``champion_meta`` has it.
        side: blue or red.
        win_probability: Probability that the player's team wins.
        clock_ms: Match clock; 0 before the match.
        kills: Kills of the player so far.
        deaths: Deaths of the player so far.
        assists: Assists of the player so far.
        team_kills: Kills of the player's side so far.
        opponent_kills: Kills of the other side so far.
    """

    role: str | None = None
    player_form: Mapping[str, Any] | None = None
    team_form: Mapping[str, Any] | None = None
    opponent_form: Mapping[str, Any] | None = None
    champion: str | None = None
    league: str | None = None
    scope: str | None = None
    side: str | None = None
    win_probability: float | None = None
    clock_ms: int = 0
    kills: int = 0
    deaths: int = 0
    assists: int = 0
    team_kills: int = 0
    opponent_kills: int = 0


class Adjustments(Protocol):
    """What is known of champions, leagues and patches beside the trees; ``adjustments.load`` reads it."""

    def champion(self, name: str | None, stat: str) -> float:
        """Logarithm of the champion's part in a stat; 0 for an unknown one."""

    def league(self, name: str | None) -> float | None:
        """Logarithm of the league's pace; None for an unknown one."""

    def meta(self, scope: str | None, stat: str) -> float:
        """Logarithm of the patch's or season's kills or assists a game over training."""


def vectors(contexts: Sequence[PlayerContext], adjustments: Adjustments) -> Matrix:
    """The model's input, float32, shape [n, len(FEATURES)]; what is unknown is NaN."""
    return to_matrix([_vector(context, adjustments) for context in contexts])


def _vector(context: PlayerContext, adjustments: Adjustments) -> list[float | None]:
    player, team, opponent = (
        form or {} for form in (context.player_form, context.team_form, context.opponent_form)
    )
    lengths = [length for form in (team, opponent) if (length := form.get("duration_mean_ms")) is not None]
    return [
        *(player.get(column) for column, *_ in _PLAYER),
        *(team.get(column) for column, *_ in _TEAM),
        *(opponent.get(column) for column, *_ in _TEAM),
        sum(lengths) / len(lengths) / 60_000 if lengths else None,
        adjustments.league(context.league),
        ROLES.index(context.role) if context.role in ROLES else None,
        None if context.side is None else float(context.side == "blue"),
        context.clock_ms / 60_000,
        context.kills,
        context.deaths,
        context.assists,
        context.team_kills,
        context.opponent_kills,
        context.win_probability,
        *(adjustments.champion(context.champion, stat) for stat in COUNTED),
        *(adjustments.meta(context.scope, stat) for stat in ("kills", "assists")),
    ]


@dataclass(frozen=True)
class Prop:
    """What is said of one stat of n players over one map, what is counted already included.

    Attributes:
        lost: The distributions given that the player's team loses.
        won: The distributions given that it wins.
        win_probability: Probability that it wins, shape [n].
    """

    lost: CountDistribution
    won: CountDistribution
    win_probability: Doubles

    @cached_property
    def overall(self) -> CountDistribution:
        """The distributions whoever wins: ``over``, ``push``, ``quantile``, ``mean`` and so on."""
        weights = np.column_stack((1 - self.win_probability, self.win_probability))
        if isinstance(self.lost, NegativeBinomial) and isinstance(self.won, NegativeBinomial):
            return NegativeBinomial(
                np.concatenate((self.lost.component_mean, self.won.component_mean), axis=1),
                np.concatenate((self.lost.component_dispersion, self.won.component_dispersion), axis=1),
                np.concatenate((self.lost.weight * weights[:, :1], self.won.weight * weights[:, 1:]), axis=1),
                self.lost.start,
            )
        return mixed((self.lost, self.won), weights)


def distributions(matrix: np.ndarray, outputs: Mapping[str, np.ndarray]) -> dict[str, Prop]:
    """What the model's outputs say of each of ``STATS``.

    Args:
        matrix: The input, see ``vectors``.
        outputs: The outputs by name, see ``OUTPUTS``.

    Raises:
        ValueError: A mean or dispersion is negative or unknown.
    """
    said = np.asarray(matrix[:, WIN], dtype=np.float64)
    win = np.clip(np.where(np.isnan(said), 0.5, said), 0, 1)
    found = {}
    for stat in COUNTED:
        start = np.asarray(matrix[:, NAMES.index(stat)], dtype=np.int64)
        lost, won = (
            NegativeBinomial.of(
                outputs[f"{stat}_mean"][:, outcome], outputs[f"{stat}_dispersion"][:, outcome], start=start
            )
            for outcome in range(len(OUTCOMES))
        )
        found[stat] = Prop(lost, won, win)
    found["fantasy"] = Prop(_fantasy(found, "lost"), _fantasy(found, "won"), win)
    return found


def _fantasy(props: Mapping[str, Prop], outcome: str) -> Tabulated:
    """Fantasy points given the outcome, where the three counts are taken as independent."""
    return total(
        [getattr(props[stat], outcome).tabulated().times(points) for stat, points in FANTASY.items()]
    )
