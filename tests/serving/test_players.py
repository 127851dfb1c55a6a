"""Questions about players: what a distribution says, and the model behind it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import onnxruntime
import pytest
from scipy import stats

from features import online
from models.artefact import ONNX, Card
from models.player_props import adjustments
from models.player_props.contract import OUTPUTS, PlayerContext, distributions, vectors
from models.store import committed
from models.vector import sha256
from riftstream.settings import Settings
from serving.engine import Known
from serving.players import PlayerKind, curve, usual_lines
from serving.questions import Question
from streams.client import Producer
from tests.integration.tools import new_match, now_ms, until

POISSON = stats.poisson.pmf(np.arange(40), 3.2).tolist()


def test_a_curve_says_over_under_and_push_that_add_up() -> None:
    points = curve(POISSON, [0, 2.5, 3, 30])
    for point in points:
        assert point["over"] + point["under"] + point["push"] == pytest.approx(1, abs=1e-9)
    assert points[1]["over"] == pytest.approx(stats.poisson.sf(2, 3.2), abs=1e-9)
    assert points[1]["push"] == 0
    assert points[2]["push"] == pytest.approx(stats.poisson.pmf(3, 3.2), abs=1e-9)


def test_the_usual_lines_are_half_lines_up_to_where_nothing_is_left() -> None:
    lines = usual_lines(POISSON)
    assert lines == [count + 0.5 for count in range(len(lines))]
    last = curve(POISSON, lines)[-1]["over"]
    assert last < 0.005


def test_of_a_player_of_whom_nothing_is_known_nothing_is_said(card: Card) -> None:
    kind = PlayerKind()
    question = Question(subject_type="player", subject_id="nobody", statistic="kills")
    outputs = [np.ones(2, np.float32) for _ in OUTPUTS]
    assert kind.facts(card, question, kind.nothing(card), outputs) is None


def test_while_the_model_is_away_the_players_mean_is_a_fallback(card: Card) -> None:
    kind = PlayerKind()
    question = Question(subject_type="player", subject_id="Faker", statistic="kills", line=3.5)
    nothing = kind.nothing(card)
    known = Known(nothing.vector, nothing.record, now_ms(), False, means={"kills": 3.2})
    facts = kind.facts(card, question, known, None)
    assert facts is not None and facts.more["mean"] == pytest.approx(3.2, abs=1e-6)
    assert facts.record["probability"] == pytest.approx(stats.poisson.sf(3, 3.2), abs=1e-6)


@pytest.fixture(scope="module")
def card() -> Card:
    found = committed(PlayerKind.model)
    if found is None:
        pytest.skip("no model for players is committed")
    return found


@pytest.fixture(scope="module")
def player(stack: Settings, card: Card) -> Iterator[str]:
    """A player with a form in Redis."""
    name = new_match("player")
    form = {
        "player_id": name,
        "as_of": now_ms(),
        "match_id": "TEST/1",
        "role": "mid",
        "team": "SKT",
        "games": 20,
        "wins": 12,
        "kills": 80,
        "deaths": 40,
        "assists": 120,
        "kills_mean": 4.0,
        "deaths_mean": 2.0,
        "assists_mean": 6.0,
        "participation": 0.7,
        "form": 0.6,
        "kills_volatility": 1.5,
        "event_time": now_ms(),
        "source_partition": 0,
        "source_offset": 7,
    }
    with Producer(stack, topic="player-stats") as producer:
        producer.send(form)
    until(lambda: online.get("player_form", [name]).state[0, 0] == 0, "the form is in Redis")
    yield name


def ask(stack: Settings, player: str, **more: Any) -> httpx.Response:
    body = {"subject_type": "player", "subject_id": player, **more}
    return httpx.post(f"{stack.api_url}/v1/predict/single", json=body, trust_env=False)


@pytest.mark.stack
def test_an_answer_is_the_model_scored_offline(stack: Settings, card: Card, player: str) -> None:
    answer = ask(stack, player, statistic="kills", line=3.5).json()
    form = online.get("player_form", [player]).rows[0]
    team = online.get("team_form", ["SKT"])
    context = PlayerContext(
        role="mid",
        player_form=form,
        team_form=None if team.state[0, 0] == online.State.MISSING else team.rows[0],
    )
    matrix = vectors([context], adjustments.load(card.folder))
    session = onnxruntime.InferenceSession(str(card.folder / ONNX), providers=["CPUExecutionProvider"])
    said = dict(zip(OUTPUTS, session.run(OUTPUTS, {"features": matrix}), strict=True))
    spread = distributions(matrix, said)["kills"].overall
    assert answer["features_sha256"] == sha256(matrix[0], card.feature_service)
    assert answer["probability"] == pytest.approx(float(spread.over(3.5)[0]), abs=1e-6)
    table = np.array(answer["distribution"])
    np.testing.assert_allclose(table, spread.pmf(np.arange(len(table))), atol=1e-6)
    assert (answer["statistic"], answer["line"], answer["push"]) == ("kills", 3.5, 0.0)
    assert answer["mean"] == pytest.approx(float(spread.mean[0]), abs=1e-6)


@pytest.mark.stack
def test_a_curve_is_of_the_same_answer(stack: Settings, player: str) -> None:
    url = f"{stack.api_url}/v1/predict/curve/{player}"
    found = httpx.get(url, params={"statistic": "kills", "lines": "1.5,3.5,7"}, trust_env=False).json()
    assert [point["line"] for point in found["curve"]] == [1.5, 3.5, 7]
    assert found["curve"][1]["over"] == pytest.approx(
        ask(stack, player, statistic="kills", line=3.5).json()["probability"], abs=1e-6
    )
    assert httpx.get(url, trust_env=False).status_code == 400


@pytest.mark.stack
def test_reasons_of_a_player_add_up(stack: Settings, player: str) -> None:
    body = {"subject_type": "player", "subject_id": player, "statistic": "deaths"}
    found = httpx.post(f"{stack.api_url}/v1/predict/explain", json=body, trust_env=False).json()
    told = found["explanation"]
    whole = told["base"] + sum(reason["adds"] for reason in told["reasons"]) + told["others"]
    assert np.exp(whole) == pytest.approx(found["prediction"]["mean"], rel=1e-3)


@pytest.mark.stack
def test_a_player_without_a_statistic_or_a_form_is_refused(stack: Settings, player: str) -> None:
    assert ask(stack, player).status_code == 422
    assert ask(stack, new_match("nobody"), statistic="kills").status_code == 404
