"""Questions about players: what a distribution says, and the model behind it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import httpx
import numpy as np
import onnxruntime
import pytest
from scipy import stats

from features import online
from models.artefact import ONNX, Card, load_card
from models.player_props import adjustments
from models.player_props.contract import MODEL, OUTPUTS, PlayerContext, Prop, distributions, vectors
from models.player_props.distribution import CountDistribution
from models.player_props.series import over_series
from models.store import committed
from models.vector import sha256
from models.win_probability import pre_match
from models.win_probability.model import PRE_MATCH_INPUT, start
from models.win_probability.pre_match import MatchContext, Side
from riftstream.settings import Settings
from serving.engine import Known
from serving.players import PlayerKind, curve, usual_lines
from serving.questions import Question
from streams.avro import Record
from streams.client import Producer
from tests.cli.records import record
from tests.integration.tools import event, new_match, now_ms, of_match, send, until, wait_for

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


def form_of(player: str, team: str) -> Record:
    return record(
        "player-stats",
        **{"player_id": player, "team": team, "as_of": now_ms(), "match_id": "TEST/1", "role": "mid"},
        **{"games": 20, "wins": 12, "kills": 80, "deaths": 40, "assists": 120},
        **{"kills_mean": 4.0, "deaths_mean": 2.0, "assists_mean": 6.0, "participation": 0.7, "form": 0.6},
        **{"kills_volatility": 1.5, "event_time": now_ms(), "source_partition": 0, "source_offset": 7},
    )


def team_form_of(team: str, wins: int) -> Record:
    return record(
        "team-form",
        **{"team": team, "as_of": now_ms(), "event_time": now_ms(), "match_id": "TEST/1", "league": "LCK"},
        **{"games": 20, "wins": wins, "win_rate": wins / 20, "form": wins / 20},
        **{"kills_mean": 12.0, "deaths_mean": 9.0, "duration_mean_ms": 1_900_000.0},
    )


@pytest.fixture(scope="module")
def forms(stack: Settings) -> dict[str, Record]:
    """A player's form, and those of two teams, in Redis; the player is of the first team."""
    teams = [new_match("team"), new_match("other")]
    found = {name: team_form_of(name, wins) for name, wins in zip(teams, (13, 9), strict=True)}
    player = new_match("player")
    with Producer(stack, topic="team-form") as producer:
        producer.send_batch(found.values())
    with Producer(stack, topic="player-stats") as producer:
        producer.send(form_of(player, teams[0]))
    until(lambda: online.get("player_form", [player]).state[0, 0] == 0, "the form is in Redis")
    until(lambda: not online.get("team_form", teams).state.any(), "the teams' forms too")
    return {"player": form_of(player, teams[0]), "team": found[teams[0]], "opponent": found[teams[1]]}


@pytest.fixture(scope="module")
def player(forms: dict[str, Record]) -> str:
    """A player with a form in Redis."""
    name: str = forms["player"]["player_id"]
    return name


def ask(stack: Settings, subject_id: str, **more: Any) -> httpx.Response:
    body = {"subject_type": "player", "subject_id": subject_id, **more}
    return httpx.post(f"{stack.api_url}/v1/predict/single", json=body, trust_env=False)


def props(card: Card, context: PlayerContext, statistic: str = "kills") -> Prop:
    """What the model says of a player in a map, by ONNX Runtime in this process."""
    matrix = vectors([context], adjustments.load(card.folder))
    session = onnxruntime.InferenceSession(str(card.folder / ONNX), providers=["CPUExecutionProvider"])
    said = dict(zip(OUTPUTS, session.run(OUTPUTS, {"features": matrix}), strict=True))
    return distributions(matrix, said)[statistic]


def chance(blue: Record, red: Record) -> float:
    """Probability that blue wins a match that has not begun, by the forms of the teams."""
    win = load_card("win_probability")
    sides = MatchContext(Side(blue), Side(red))
    before = pre_match.load(win.folder).log_odds(pre_match.inputs([sides])).astype(np.float32)
    session = onnxruntime.InferenceSession(str(win.folder / ONNX), providers=["CPUExecutionProvider"])
    given = {"features": start(), PRE_MATCH_INPUT: before.reshape(1, 1)}
    return float(session.run(["probability"], given)[0][0, 0])


def says(answer: dict[str, Any], spread: CountDistribution) -> None:
    """An answer tells a distribution, to 1e-6."""
    table = np.array(answer["distribution"])
    np.testing.assert_allclose(table, spread.pmf(np.arange(len(table))), atol=1e-6)
    assert answer["probability"] == pytest.approx(float(spread.over(answer["line"])[0]), abs=1e-6)
    assert answer["mean"] == pytest.approx(float(spread.mean[0]), abs=1e-6)


@pytest.mark.stack
def test_an_answer_is_the_model_scored_offline(
    stack: Settings, card: Card, player: str, forms: dict[str, Record]
) -> None:
    answer = ask(stack, player, statistic="kills", line=3.5).json()
    context = PlayerContext(role="mid", player_form=forms["player"], team_form=forms["team"], league="LCK")
    says(answer, props(card, context).overall)
    matrix = vectors([context], adjustments.load(card.folder))
    assert answer["features_sha256"] == sha256(matrix[0], card.feature_service)
    assert (answer["statistic"], answer["line"], answer["push"]) == ("kills", 3.5, 0.0)
    assert answer["context"]["opponent"] is None and answer["maps"] is None


@pytest.mark.stack
@pytest.mark.parametrize("maps", [1, 2, 3])
@pytest.mark.parametrize("side", ["red", None])
def test_opponent_side_champion_and_series_are_taken_into_account(
    stack: Settings, card: Card, player: str, forms: dict[str, Record], maps: int, side: str | None
) -> None:
    own, other = forms["team"], forms["opponent"]
    asked = {"opponent": other["team"], "champion": "Zed", "side": side, "maps": maps, "line": 6.5}
    answer = ask(stack, player, statistic="assists", **asked).json()
    on_red = 1 - chance(other, own)
    context = PlayerContext(
        role="mid",
        player_form=forms["player"],
        team_form=own,
        opponent_form=other,
        champion="Zed",
        league="LCK",
        side=side,
        win_probability=on_red if side else (on_red + chance(own, other)) / 2,
    )
    says(answer, over_series(props(card, context, "assists")).maps[maps - 1])
    told = answer["context"]
    assert (told["opponent"], told["side"], told["champion"]) == (other["team"], side, "Zed")
    assert (answer["opponent"], answer["side"], answer["champion"]) == (other["team"], side, "Zed")
    assert told["win_probability"] == pytest.approx(context.win_probability, abs=1e-6)
    url = f"{stack.api_url}/v1/predict/curve/{player}"
    query = {name: value for name, value in asked.items() if name != "line" and value is not None}
    curve_of = httpx.get(url, params={**query, "statistic": "assists", "lines": "6.5"}, trust_env=False)
    assert curve_of.json()["curve"][0]["over"] == pytest.approx(answer["probability"], abs=1e-9)


@pytest.mark.stack
def test_by_topic_the_same_question_has_the_same_answer(
    stack: Settings, player: str, forms: dict[str, Record]
) -> None:
    told = {"opponent": forms["opponent"]["team"], "side": "blue", "champion": "Ahri", "maps": 3}
    asked = {"subject_type": "player", "subject_id": player, "statistic": "deaths", "line": 5.5, **told}
    name = new_match("question")
    with Producer(stack, topic="prediction-requests") as producer:
        producer.send(
            record("prediction-requests", **asked, request_id=name, model_name=MODEL, requested_at=now_ms())
        )
    (answer,) = wait_for(stack, "predictions", lambda one: one["request_id"] == name)
    by_http = ask(stack, player, **{name: asked[name] for name in ("statistic", "line", *told)}).json()
    same = ("prediction_id", "features_sha256", *told, "probability", "distribution", "push")
    assert {one: answer[one] for one in same} == {one: by_http[one] for one in same}


@pytest.mark.stack
def test_a_question_about_a_player_follows_the_map_that_is_played(
    stack: Settings, card: Card, player: str, forms: dict[str, Record]
) -> None:
    own, other = forms["team"]["team"], forms["opponent"]["team"]
    name, enemy = new_match("played"), new_match("enemy")
    rosters = {"blue_players": ["", "", enemy], "red_players": ["", "", player]}
    picks = {"blue_champions": ["", "", "Ahri"], "red_champions": ["", "", "Zed"]}
    named = {"blue_team": other, "red_team": own, "league": "LCK", "map_number": 1}
    at_start: dict[str, Any] = {**named, **rosters, **picks}
    send(stack, event(name, 0, "MATCH_START", **at_start))
    won = {"team": "red", "player_id": player, "victim_id": enemy, "assist_ids": []}
    lost = {"team": "blue", "player_id": enemy, "victim_id": player, "assist_ids": []}
    helped = {"team": "red", "player_id": "Hai", "victim_id": enemy, "assist_ids": [player]}
    fights: list[dict[str, Any]] = [won, lost, won, helped]
    for number, fight in enumerate(fights, start=1):
        send(stack, event(name, number, league="LCK", **fight))
    wait_for(stack, "predictions", of_match(name), 5, identity="event_id")

    def seen() -> dict[str, Any]:
        found: dict[str, Any] = ask(stack, player, statistic="kills", line=2.5, maps=2).json()
        return found

    def up_to_date() -> bool:
        found = seen()["context"]
        return (found["assists"], found["game_time_ms"]) == (1, 4 * 60_000)

    until(up_to_date, "what the player has is in Redis")
    answer = seen()
    told = answer["context"]
    assert {one: told[one] for one in ("match_id", "side", "champion", "opponent", "role")} == {
        **{"match_id": name, "side": "red", "champion": "Zed", "opponent": other, "role": "mid"}
    }
    assert (told["kills"], told["deaths"], told["game_time_ms"]) == (2, 1, 4 * 60_000)
    url = f"{stack.api_url}/v1/predict/match/{name}"
    match = httpx.get(url, headers={"Cache-Control": "no-cache"}, trust_env=False).json()
    assert told["win_probability"] == pytest.approx(1 - match["probability"], abs=1e-6)
    later = PlayerContext(
        role="mid",
        player_form=forms["player"],
        team_form=forms["team"],
        opponent_form=forms["opponent"],
        champion="Zed",
        league="LCK",
        scope="2017 Summer",
        side="red",
        win_probability=1 - chance(forms["opponent"], forms["team"]),
    )
    live = replace(
        later,
        win_probability=told["win_probability"],
        clock_ms=4 * 60_000,
        kills=2,
        deaths=1,
        assists=1,
        team_kills=3,
        opponent_kills=1,
    )
    first, second = props(card, live), props(card, later)
    says(answer, over_series(first, second).maps[1])
    alone = ask(stack, player, statistic="kills", line=2.5, match_id=name).json()
    says(alone, first.overall)
    assert alone["distribution"][:2] == [0.0, 0.0] and alone["match_id"] == name
    send(stack, event(name, 5, "MATCH_END", winner="red", duration_ms=300_000))
    until(lambda: seen()["context"]["match_id"] is None, "the next map is asked about")
    over = ask(stack, player, statistic="kills", match_id=name)
    assert over.status_code == 422 and "over" in over.json()["detail"]


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
