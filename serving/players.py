"""Questions about players: player_props on what the online store has of a player and the player's team.

A question names a player and nothing of the match, so what is said is about the next map, before it:
opponent, side and champion are not known, and the win probability counts as one half.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from features.online import OnlineReader, State
from models.artefact import Card
from models.player_props import adjustments, explain
from models.player_props.contract import MODEL, OUTPUTS, PlayerContext, distributions, vectors
from models.player_props.distribution import CountDistribution, Tabulated
from models.player_props.model import PlayerProps, load
from serving.engine import Facts, Known, Sources
from serving.explain import MOST_REASONS
from serving.predictor import EVENTS
from serving.questions import PLAYER, Question

FORM, TEAM_FORM = "player_form", "team_form"
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)

_FALLBACK_MOST = 60


@lru_cache(maxsize=16)
def _adjustments(folder: Path) -> adjustments.Tables:
    return adjustments.load(folder)


_models: dict[str, PlayerProps] = {}


def _model(sha256: str, card: Card) -> PlayerProps:
    """The model as XGBoost has it, by the artefact's identity."""
    if sha256 not in _models:
        _models[sha256] = load(card)
    return _models[sha256]


class PlayerKind:
    """How many kills, deaths or assists a player will have in a map."""

    model = MODEL
    subject_type = PLAYER
    outputs = OUTPUTS

    def context(self, question: Question) -> tuple[str, ...]:
        """Nothing."""
        return ()

    def key(self, question: Question) -> tuple[str, ...]:
        """The statistic and the line."""
        return (question.statistic or "", "" if question.line is None else repr(question.line))

    def refusal(self, question: Question) -> str:
        """A player's statistic must be named."""
        return "" if question.statistic else "Say which statistic of the player: kills, deaths or assists."

    def read(self, sources: Sources, card: Card, questions: Sequence[Question]) -> list[Known]:
        """The newest form of each player and of the player's team."""
        subjects = [question.subject_id for question in questions]
        found = sources.reader.get(FORM, subjects)
        forms = [
            row if found.state[place, 0] != State.MISSING else None for place, row in enumerate(found.rows)
        ]
        teams = self._teams(sources.reader, {form["team"] for form in forms if form and form["team"]})
        contexts = [
            PlayerContext(role=form["role"], player_form=form, team_form=teams.get(form["team"]))
            if form
            else PlayerContext()
            for form in forms
        ]
        matrix = vectors(contexts, _adjustments(card.folder))
        return [
            self._known(player, matrix[place], form, int(found.event_time[place, 0]))
            for place, (player, form) in enumerate(zip(subjects, forms, strict=True))
        ]

    def _teams(self, reader: OnlineReader, names: set[str]) -> dict[str, Mapping[str, Any]]:
        if not names:
            return {}
        wanted = sorted(names)
        found = reader.get(TEAM_FORM, wanted)
        return {
            name: row
            for place, (name, row) in enumerate(zip(wanted, found.rows, strict=True))
            if found.state[place, 0] != State.MISSING
        }

    def _known(self, player: str, vector: np.ndarray, form: Mapping[str, Any] | None, time_ms: int) -> Known:
        record: dict[str, Any] = {
            "player_id": player,
            "game_time_ms": 0,
            "event_time": time_ms,
            "source_topic": EVENTS,
            "source_partition": -1 if form is None else form["source_partition"],
            "source_offset": -1 if form is None else form["source_offset"],
        }
        means = (
            {} if form is None else {name: form[f"{name}_mean"] for name in ("kills", "deaths", "assists")}
        )
        return Known(vector, record, None if form is None else time_ms, False, form is None, means)

    def nothing(self, card: Card) -> Known:
        """A player of whom nothing is known."""
        (vector,) = vectors([PlayerContext()], _adjustments(card.folder))
        known = self._known("", vector, None, 0)
        return Known(vector, known.record, None, False)

    def reasons(self, card: Card, question: Question, known: Known) -> dict[str, Any]:
        """What each thing that is known adds to the logarithm of the mean."""
        assert question.statistic is not None
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
        if said is None:
            mean = known.means.get(question.statistic)
            if mean is None:
                return None
            spread: CountDistribution = Tabulated.of(stats.poisson.pmf(np.arange(_FALLBACK_MOST), mean))
        else:
            outputs = {name: values[None] for name, values in zip(OUTPUTS, said, strict=True)}
            spread = distributions(known.vector[None], outputs)[question.statistic].overall
        return Facts(
            known.record | {"player_id": question.subject_id} | _told(spread, question), _more(spread)
        )


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


def _more(spread: CountDistribution) -> dict[str, Any]:
    """What HTTP tells beside the record: mean and quantiles."""
    quantiles = {f"{100 * q:g}": int(spread.quantile(q)[0]) for q in QUANTILES}
    return {"mean": float(spread.mean[0]), "quantiles": quantiles}


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
    highest = int(Tabulated.of(distribution).quantile(0.995)[0])
    return [count + 0.5 for count in range(highest + 1)]
