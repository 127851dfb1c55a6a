"""Questions about players: player_props on what the online store has of a player, both teams and a match.

A player who is seen to play is answered about that map: what is counted already, the match clock, side,
opponent, champion, and the win probability as it is now. Else, and where the question tells opponent, side or
champion and names no match, the answer is about the next map.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from scipy import stats

from features.online import OnlineReader, State
from features.views import find_view
from models.artefact import Card
from models.player_props import adjustments, explain
from models.player_props.contract import (
    COUNTED,
    MODEL,
    OUTPUTS,
    ROLES,
    PlayerContext,
    Prop,
    distributions,
    vectors,
)
from models.player_props.distribution import CountDistribution, Tabulated
from models.player_props.model import PlayerProps, load
from models.player_props.series import over_series
from serving import problems
from serving.engine import Facts, Known, Sources
from serving.explain import MOST_REASONS
from serving.matches import OVER
from serving.predictor import EVENTS
from serving.questions import LONGEST_ID, MATCH, OF_MATCHES, PLAYER, Question, refusal_of
from serving.rows import Row, read_all, rows_of, together
from streams.avro import Record

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
LONGEST_MATCH_MS = 3 * 3_600_000
"""A match that was last heard of longer ago is not being played, though nobody told its end."""

_FALLBACK_MOST = 60
_FORM, _WINDOW = find_view("player_form"), find_view("player_window")
_STATE, _CONTEXT, _TEAM = find_view("match_state"), find_view("match_context"), find_view("team_form")
_OF_PLAYERS = together("player", _FORM, _WINDOW)
_SIDES = ("blue", "red")


@lru_cache(maxsize=16)
def _adjustments(folder: Path) -> adjustments.Tables:
    return adjustments.load(folder)


_models: dict[str, PlayerProps] = {}


def _model(sha256: str, card: Card) -> PlayerProps:
    """The model as XGBoost has it, by the artefact's identity."""
    if sha256 not in _models:
        _models[sha256] = load(card)
    return _models[sha256]


@dataclass(frozen=True)
class _Playing:
    """A match: its state, what its MATCH_START told of each side, and whether it goes on."""

    state: Row
    event_ms: int
    contexts: Mapping[str, Row]
    on: bool

    @property
    def teams(self) -> dict[str, str | None]:
        """The names of the teams by side."""
        return {side: self.state[f"{side}_team"] for side in _SIDES}


@dataclass(frozen=True)
class _Case:
    """A player in a map: what is known without forms of teams and without who wins.

    ``seated`` says that the player is known to play in the match that was looked up, and with which counts.
    """

    seated: bool
    form: Row
    event_ms: int
    playing: _Playing | None
    side: str | None
    team: str | None
    opponent: str | None
    role: str | None
    champion: str | None
    scope: str | None
    map_number: int | None
    counted: dict[str, int]


class PlayerKind:
    """How many kills, deaths or assists a player will have in a map, or in the first maps of a series."""

    model = MODEL
    subject_type = PLAYER
    outputs = OUTPUTS

    def asked(self, prediction: Record) -> Question:
        """The player, the match that was played, what was taken into account, and how many maps.

        In a match too the rest counts, for what the match itself does not tell.
        """
        told = {name: prediction[name] for name in ("opponent", "side", "champion")}
        return Question.model_construct(
            subject_type=PLAYER,
            subject_id=prediction["subject_id"],
            statistic=prediction["statistic"],
            match_id=prediction["match_id"],
            maps=prediction["maps"],
            **told,
        )

    def context(self, question: Question) -> tuple[str, ...]:
        """What the question tells of the map, and whether others follow it."""
        told = (question.match_id, question.opponent, question.side, question.champion)
        return (*(one or "" for one in told), "series" if _maps(question) > 1 else "")

    def key(self, question: Question) -> tuple[str, ...]:
        """The statistic, the line, and the number of maps."""
        line = "" if question.line is None else repr(question.line)
        return (question.statistic or "", line, str(_maps(question)))

    def refusal(self, question: Question) -> str:
        """A player's statistic must be named, and no teams of a match."""
        if not question.statistic:
            return "Say which statistic of the player: kills, deaths or assists."
        return refusal_of(question, OF_MATCHES, "Of a player the opponent is asked for, not the {}.")

    def read(self, sources: Sources, card: Card, questions: Sequence[Question]) -> list[Known]:
        """The newest forms of each player and both teams, and the match that is being played."""
        found = sources.reader.get(_OF_PLAYERS, [question.subject_id for question in questions])
        forms, windows = rows_of(found, _FORM), rows_of(found, _WINDOW)
        names = [
            question.match_id or (window["match_id"] if window and not _told_of(question) else "")
            for question, (_, window) in zip(questions, windows, strict=True)
        ]
        matches = _matches(sources.reader, {name for name in names if name})
        known: dict[int, Known] = {}
        cases: dict[int, _Case] = {}
        for n, (question, (at, form), (_, window)) in enumerate(zip(questions, forms, windows, strict=True)):
            match = matches.get(names[n])
            if form is None:
                known[n] = replace(self.nothing(card), missing=True)
            elif question.match_id is not None and (match is None or not match.on):
                what = "is not known" if match is None else "is over"
                known[n] = replace(self.nothing(card), refusal=f"The match {question.match_id} {what}.")
            else:
                case = _case(question, form, at, window, match if match and match.on else None)
                if refusal := _refusal(question, case):
                    known[n] = replace(self.nothing(card), refusal=refusal)
                else:
                    cases[n] = case
        asked = {n: questions[n] for n in cases}
        known |= self._answerable(sources, card, asked, cases)
        return [known[n] for n in range(len(questions))]

    def _answerable(
        self, sources: Sources, card: Card, questions: Mapping[int, Question], cases: Mapping[int, _Case]
    ) -> dict[int, Known]:
        """What is known of players in maps, with forms of both teams and who is likely to win."""
        if not cases:
            return {}
        teams = _teams(sources.reader, {name for one in cases.values() for name in (one.team, one.opponent)})
        before, now = _chances(sources, cases)
        tables = _adjustments(card.folder)
        known = {}
        for n, case in cases.items():
            own, other = (teams.get(name or "") for name in (case.team, case.opponent))
            league = case.playing.state["league"] if case.playing else (own or {}).get("league")
            later = PlayerContext(
                role=case.role,
                player_form=case.form,
                team_form=own,
                opponent_form=other,
                champion=case.champion,
                league=league,
                scope=case.scope,
                side=case.side,
                win_probability=before.get(n),
            )
            context = later
            if case.playing is not None:
                state = case.playing.state
                own_kills, other_kills = (
                    0 if case.side is None else state[f"kills_{side}"]
                    for side in (case.side, _other(case.side))
                )
                context = replace(
                    later,
                    win_probability=now.get(n),
                    clock_ms=state["clock_ms"],
                    kills=case.counted["kills"],
                    deaths=case.counted["deaths"],
                    assists=case.counted["assists"],
                    team_kills=own_kills,
                    opponent_kills=other_kills,
                )
            first, then = vectors([context, later], tables)
            series = case.playing is not None and _maps(questions[n]) > 1
            known[n] = self._known(case, context, first, then if series else None)
            known[n].record["win_probability_next"] = later.win_probability if series else None
        return known

    def _known(
        self, case: _Case, context: PlayerContext, vector: np.ndarray, then: np.ndarray | None
    ) -> Known:
        playing, form = case.playing, case.form
        place = form if playing is None else playing.state
        record: dict[str, Any] = {
            "game_time_ms": context.clock_ms,
            "event_time": case.event_ms if playing is None else playing.event_ms,
            "source_topic": EVENTS,
            "source_partition": place["source_partition"],
            "source_offset": place["source_offset"],
            "league": context.league,
            "opponent": case.opponent,
            "side": case.side,
            "champion": case.champion,
            "win_probability": context.win_probability,
        }
        if playing is not None:
            record |= {name: playing.state[name] for name in ("event_id", "blue_team", "red_team")}
            record["match_id"] = playing.state["match_id"]
        told = {
            "match_id": record.get("match_id"),
            "team": case.team,
            "opponent": case.opponent,
            "side": case.side,
            "role": case.role,
            "champion": case.champion,
            "league": context.league,
            "patch": case.scope,
            "win_probability": context.win_probability,
            "game_time_ms": context.clock_ms,
            **{name: getattr(context, name) for name in COUNTED},
        }
        means = {} if playing else {name: form[f"{name}_mean"] for name in COUNTED}
        # A map may begin at any moment, so no answer counts longer than one about a map that goes on.
        return Known(vector, record, record["event_time"], True, means=means, then=then, context=told)

    def nothing(self, card: Card) -> Known:
        """A player of whom nothing is known."""
        (vector,) = vectors([PlayerContext()], _adjustments(card.folder))
        record = {
            "game_time_ms": 0,
            "event_time": 0,
            "source_topic": EVENTS,
            "source_partition": -1,
            "source_offset": -1,
        }
        return Known(vector, record, None, True)

    def reasons(self, card: Card, question: Question, known: Known) -> dict[str, Any]:
        """What each thing that is known adds to the logarithm of the mean.

        Raises:
            Refused: The question is about several maps.
        """
        assert question.statistic is not None
        if _maps(question) > 1:
            raise problems.unfit("Reasons are told of one map, not of several.")
        model = _model(card.sha256, card)
        found = explain.reasons(
            model.boosters, model.calibration, known.vector, question.statistic, MOST_REASONS
        )
        parts = explain.contributions(
            model.boosters, model.calibration, known.vector[None], question.statistic
        )
        mean = model.said(known.vector[None])[question.statistic].overall.mean
        told = [
            {
                "feature": ", ".join(one.features),
                "meaning": one.words,
                "value": one.value,
                "adds": one.contribution,
            }
            for one in found
        ]
        return {
            "unit": "logarithm of the mean",
            "base": float(np.log(mean[0]) - parts.sum()),
            "reasons": told,
            "others": float(parts.sum() - sum(one.contribution for one in found)),
        }

    def facts(
        self, card: Card, question: Question, known: Known, said: list[np.ndarray] | None
    ) -> Facts | None:
        """The distribution of the count; a Poisson distribution round the player's mean as a fallback.

        None where nothing is known of the player: without a role the model's answer is nobody's.
        """
        assert question.statistic is not None
        if known.event_ms is None:
            return None
        maps = _maps(question)
        if said is None:
            mean = known.means.get(question.statistic)
            if mean is None or maps > 1:
                return None
            spread: CountDistribution = Tabulated.of(stats.poisson.pmf(np.arange(_FALLBACK_MOST), mean))
        else:
            first, *then = (
                _prop(vector, [values[row] for values in said], question.statistic)
                for row, vector in enumerate(known.rows)
            )
            spread = first.overall if maps == 1 else over_series(first, *then).maps[maps - 1]
        told = _told(spread, question)
        record = known.record | {"player_id": question.subject_id, "maps": question.maps} | told
        more = {"mean": float(spread.mean[0]), "quantiles": _quantiles(told["distribution"])}
        return Facts(record, more | {"context": dict(known.context)})


def _maps(question: Question) -> int:
    """Over how many maps a statistic is summed."""
    return question.maps or 1


def _told_of(question: Question) -> bool:
    """Whether a question tells something of the map."""
    return any((question.opponent, question.side, question.champion))


def _refusal(question: Question, case: _Case) -> str:
    """Why a question cannot be answered of a player in a map; empty where it can."""
    if question.match_id is not None and not case.seated:
        return f"{question.subject_id} is not known to play in {question.match_id}."
    if _maps(question) > 1 and (case.map_number or 1) > 1:
        return f"This is map {case.map_number} of a series; sums are from its first map on."
    return ""


def _prop(vector: np.ndarray, outputs: Sequence[np.ndarray], statistic: str) -> Prop:
    """What the model's outputs for one vector say of a statistic."""
    said = {name: values[None] for name, values in zip(OUTPUTS, outputs, strict=True)}
    return distributions(vector[None], said)[statistic]


def _other(side: str | None) -> str:
    return "red" if side == "blue" else "blue"


def _matches(reader: OnlineReader, names: set[str]) -> dict[str, _Playing]:
    """The state of each match that the online store knows, with what its MATCH_START told of each side."""
    if not names:
        return {}
    wanted = sorted(names)
    found = reader.get(_STATE.name, wanted)
    states = {
        name: (at, row, bool(found.state[n, 0] == State.PRESENT and found.age_ms[n, 0] <= LONGEST_MATCH_MS))
        for n, (name, (at, row)) in enumerate(zip(wanted, rows_of(found, _STATE), strict=True))
        if row is not None
    }
    sides = [
        (name, side, row[f"{side}_team"])
        for name, (_, row, _) in states.items()
        for side in _SIDES
        if row[f"{side}_team"]
    ]
    contexts: dict[str, dict[str, Row]] = {name: {} for name in states}
    if sides:
        keys = {"match_id": [name for name, *_ in sides], "team": [team for *_, team in sides]}
        told = read_all(reader, _CONTEXT, keys)
        for (name, side, _), (_, context) in zip(sides, told, strict=True):
            if context is not None:
                contexts[name][side] = context
    return {
        name: _Playing({**row, "match_id": name}, at, contexts[name], fresh and row["event_type"] not in OVER)
        for name, (at, row, fresh) in states.items()
    }


def _case(
    question: Question, form: Row, event_ms: int, window: Row | None, playing: _Playing | None
) -> _Case:
    """A player in the map that is asked about: what is known of a match, then what the question tells."""
    seat = _seat(question.subject_id, form, playing)
    seen = window if window and playing and window["match_id"] == playing.state["match_id"] else None
    seated = seat is not None or seen is not None
    if seen and seen["match_kills"] is None:
        # A record of before the totals: what is counted is not known, so nothing is said of this map.
        seen = playing = seat = None
        seated = False
    side = (seat.side if seat else None) or (seen["team"] if seen else None) or question.side
    team, opponent = form["team"], None
    if playing is not None and side is not None:
        team = playing.teams[side] or team
        opponent = playing.teams[_other(side)]
    context = playing.contexts.get(side or "", {}) if playing else {}
    told_scope = context.get("patch") or context.get("season")
    return _Case(
        seated=seated,
        form=form,
        event_ms=event_ms,
        playing=playing,
        side=side,
        team=team,
        opponent=opponent or question.opponent,
        role=(seat.role if seat else None) or (seen["role"] if seen else None) or form["role"],
        champion=(seat.champion if seat else None)
        or (seen["champion"] if seen else None)
        or question.champion,
        scope=told_scope or (playing.state["season"] if playing else None),
        map_number=context.get("map_number"),
        counted={name: seen[f"match_{name}"] if seen else 0 for name in COUNTED},
    )


@dataclass(frozen=True)
class _Seat:
    """Where a player sits in a match."""

    side: str
    role: str | None
    champion: str | None


def _seat(player: str, form: Row, playing: _Playing | None) -> _Seat | None:
    """Where a player sits by the rosters of a match, or by the team's name where it told no roster."""
    for side, context in (playing.contexts if playing else {}).items():
        roster, champions = context["players"] or (), context["champions"] or ()
        if player in roster:
            place = roster.index(player)
            champion = champions[place] if place < len(champions) else None
            return _Seat(side, ROLES[place] if place < len(ROLES) else None, champion or None)
    for side, team in (playing.teams if playing else {}).items():
        if team is not None and team == form["team"]:
            return _Seat(side, None, None)
    return None


def _teams(reader: OnlineReader, names: set[str | None]) -> dict[str, Row]:
    """The newest form of each team that has one."""
    wanted = sorted(name for name in names if name)
    if not wanted:
        return {}
    found = read_all(reader, _TEAM, {"team": wanted})
    return {name: row for name, (_, row) in zip(wanted, found, strict=True) if row is not None}


def _chances(
    sources: Sources, cases: Mapping[int, _Case]
) -> tuple[dict[int, float | None], dict[int, float | None]]:
    """Probability that each player's team wins: before the map, and as it is now where it is being played."""
    asked: dict[Question, float | None] = {}
    before: dict[int, list[tuple[Question, str]]] = {}
    now: dict[int, tuple[Question, str]] = {}
    for n, case in cases.items():
        if case.team and case.opponent:
            sides = _SIDES if case.side is None else (case.side,)
            before[n] = [(_to_come(case.team, case.opponent, side), side) for side in sides]
        if case.playing is not None and case.side is not None:
            match = case.playing.state["match_id"]
            now[n] = (Question.model_construct(subject_type=MATCH, subject_id=match), case.side)
    every = [one for sides in before.values() for one in sides] + list(now.values())
    asked = dict.fromkeys(question for question, _ in every)
    asked = dict(zip(asked, sources.chances(list(asked)), strict=True))

    def own(question: Question, side: str) -> float | None:
        blue = asked[question]
        return blue if blue is None or side == "blue" else 1 - blue

    found = {n: [own(*one) for one in sides] for n, sides in before.items()}
    means = {
        n: None if None in values else float(np.mean([value for value in values if value is not None]))
        for n, values in found.items()
    }
    return means, {n: own(*one) for n, one in now.items()}


def _to_come(team: str, opponent: str, side: str) -> Question:
    """The question who wins a map of two teams that has not begun."""
    blue, red = (team, opponent) if side == "blue" else (opponent, team)
    name = f"{blue} v {red}"[:LONGEST_ID]
    # Names come from records, and need not be such as a question may have.
    return Question.model_construct(subject_type=MATCH, subject_id=name, blue_team=blue, red_team=red)


def _told(spread: CountDistribution, question: Question) -> dict[str, Any]:
    """Fields of the ``Prediction`` that a distribution gives."""
    table = spread.tabulated()
    counts = np.arange(int(table.start[0]) + table.table.shape[1])
    record: dict[str, Any] = {
        "statistic": question.statistic,
        "line": question.line,
        "push": None,
        "distribution": spread.pmf(counts).tolist(),
    }
    if question.line is not None:
        record |= {
            "probability": float(spread.over(question.line)[0]),
            "push": float(spread.push(question.line)[0]),
        }
    return record


def _quantiles(distribution: Sequence[float]) -> dict[str, int]:
    """Quantiles by percentage, from the probabilities of 0, 1, 2, ..."""
    up_to = np.cumsum(distribution)
    return {f"{100 * q:g}": int(np.searchsorted(up_to, q)) for q in QUANTILES}


def curve(distribution: Sequence[float], lines: Sequence[float]) -> list[dict[str, float]]:
    """P(over), P(under) and P(push) along lines, from the probabilities of 0, 1, 2, ..."""
    spread = Tabulated.of(distribution)
    wanted = np.asarray(lines, dtype=np.float64)
    columns = (wanted, spread.over(wanted), spread.under(wanted), spread.push(wanted))
    return [
        {"line": float(line), "over": float(over), "under": float(under), "push": float(push)}
        for line, over, under, push in zip(*columns, strict=True)
    ]


def usual_lines(distribution: Sequence[float]) -> list[float]:
    """The half lines from 0.5 up to where almost nothing is over them."""
    highest = int(np.searchsorted(np.cumsum(distribution), 0.995))
    return [count + 0.5 for count in range(highest + 1)]


@lru_cache(maxsize=4096)
def curve_json(distribution: tuple[float, ...], lines: tuple[float, ...]) -> bytes:
    """A curve as JSON, along the usual lines where there are none; the same answer is asked for again."""
    return orjson.dumps(curve(distribution, lines or usual_lines(distribution)))
