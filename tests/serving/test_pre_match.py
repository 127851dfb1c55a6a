"""What was known before a match reaches every answer: live, by HTTP, and before the first event."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np
import onnxruntime
import pytest

from features.online import OnlineReader, State
from features.views import find_view
from jobs.runner import run_batch
from lakehouse.catalog import connect
from lakehouse.tables import MATCH_EVENTS, load
from models.artefact import ONNX, load_card
from models.win_probability import pre_match
from models.win_probability.model import PRE_MATCH_INPUT, start
from models.win_probability.pre_match import INPUTS, MatchContext, Side
from riftstream.cli import consistency, replay_prediction
from riftstream.settings import Settings
from serving.pre_match import AGAIN_SECONDS, Before, Match, digest, estimates, known_at, told
from serving.triton import OUTPUTS
from streams.avro import Record
from streams.client import Producer
from tests.cli.records import record
from tests.integration.tools import event, new_match, now_ms, of_match, send, until, wait_for

HOUR_MS = 3_600_000
CARD = load_card("win_probability")
MEANS = ("kills_mean", "deaths_mean", "assists_mean")
CHAMPIONS = [["Gnar", "Elise", "Ahri", "Jhin", "Thresh"], ["Shen", "Gragas", "Orianna", "Ashe", "Braum"]]


def test_a_form_counts_that_was_told_before_the_match_and_is_neither_old_nor_its_own() -> None:
    view, at = find_view("team_form"), 1_500_000_000_000
    form = {"match_id": "A/1", "games": 3}
    assert known_at((at - 1, form), view, at, "A/2") == known_at((at, form), view, at, "A/2") == form
    assert known_at((at + 1, form), view, at, "A/2") is None
    assert known_at((at - 1, form), view, at, "A/1") is None
    assert known_at((at - round(view.ttl.total_seconds() * 1000) - 1, form), view, at, "A/2") is None
    assert known_at((-1, None), view, at, "A/2") is None


def test_an_estimate_can_be_made_again_from_what_is_written_of_it() -> None:
    inputs = np.full((2, len(INPUTS)), np.nan)
    inputs[0, [0, 9]] = (0.4, -1.25)
    said = estimates(CARD, inputs)
    first, nothing = told(said, inputs)
    assert nothing == {"pre_match": None, "pre_match_inputs": None}
    again = estimates(CARD, np.array([first["pre_match_inputs"]]))
    assert float(again[0]) == first["pre_match"]


@dataclass(frozen=True)
class Played:
    """A match with forms: its id, its teams, what must be known of it, and its predictions in log order."""

    match_id: str
    teams: tuple[str, str]
    whole: MatchContext
    by_teams: MatchContext
    predictions: list[Record]


def form_of(topic: str, **values: Any) -> Record:
    moment = now_ms() - HOUR_MS
    return record(topic, match_id="TEST/before", as_of=moment, event_time=moment, **values)


def forms_of(teams: tuple[str, str]) -> tuple[dict[str, list[Record]], list[list[str]]]:
    """Records of the form topics about two teams, and the two rosters."""
    rosters = [[f"{team}/{n}" for n in range(5)] for team in teams]
    both = list(zip(teams, (12, 5), strict=True))
    found = {
        "team-form": [
            form_of(
                "team-form",
                **{"team": team, "games": 15, "wins": wins, "win_rate": wins / 15, "form": wins / 15},
                **{
                    "kills_mean": 11.0 + wins,
                    "deaths_mean": 10.0,
                    "towers_mean": 6.0,
                    "towers_lost_mean": 4.5,
                },
                **{"dragons_mean": 2.0, "barons_mean": 1.0, "gold_diff_mean": None},
            )
            for team, wins in both
        ],
        "head-to-head": [
            form_of("head-to-head", team=one, opponent=other, pair="|".join(teams), games=6, wins=wins)
            for (one, other), wins in ((teams, 4), (teams[::-1], 2))
        ],
        "player-stats": [
            form_of("player-stats", player_id=player, games=14, wins=wins, **dict.fromkeys(MEANS, 3.0 + n))
            for (_, wins), roster in zip(both, rosters, strict=True)
            for n, player in enumerate(roster)
        ],
        "champion-meta": [
            form_of("champion-meta", champion=name, scope=teams[0], games=50, picks=20, wins=8 + n)
            for n, name in enumerate(CHAMPIONS[0])
        ],
    }
    return found, rosters


@pytest.fixture(scope="module")
def match(stack: Settings) -> Played:
    """A match whose teams, players and champions have forms in Redis; its patch is a name of its own."""
    name, teams = new_match("known"), (new_match("blue"), new_match("red"))
    forms, rosters = forms_of(teams)
    for topic, records in forms.items():
        with Producer(stack, topic=topic) as producer:
            producer.send_batch(records)
    reader = OnlineReader(stack)
    until(lambda: _there(reader, "team_form", team=teams), "the teams' forms are in Redis")
    pairs = {"team": teams, "opponent": teams[::-1]}
    until(lambda: _there(reader, "head_to_head", **pairs), "their games against each other")
    until(lambda: _there(reader, "player_form", player_id=rosters[0] + rosters[1]), "the players' forms too")
    until(lambda: _there(reader, "champion_meta", champion=CHAMPIONS[0], scope=[teams[0]] * 5), "and rates")
    lists = {
        f"{side}_{what}": values[n]
        for what, values in (("players", rosters), ("champions", CHAMPIONS))
        for n, side in enumerate(("blue", "red"))
    }
    named = {"blue_team": teams[0], "red_team": teams[1], "patch": teams[0]}
    send(stack, event(name, 0, "MATCH_START", **named, **lists))
    until(lambda: _there(reader, "match_context", match_id=[name] * 2, team=teams), "its context is in Redis")
    reader.close()
    wait_for(stack, "predictions", of_match(name))
    time.sleep(AGAIN_SECONDS)
    for number in range(1, 4):
        send(stack, event(name, number, team="red"))
        wait_for(stack, "predictions", of_match(name), number + 1, identity="event_id")
    blue, red = (
        Side(
            forms["team-form"][n],
            forms["player-stats"][5 * n : 5 * n + 5],
            forms["champion-meta"] if not n else (),
        )
        for n in range(2)
    )
    pair = forms["head-to-head"][0]
    return Played(
        *(name, teams, MatchContext(blue, red, pair)),
        MatchContext(Side(blue.team_form), Side(red.team_form), pair),
        _predictions(stack, name),
    )


def _there(reader: OnlineReader, view: str, **keys: Any) -> bool:
    return bool(
        (reader.get(view, {key: list(values) for key, values in keys.items()}).state == State.PRESENT).all()
    )


def _predictions(stack: Settings, match: str) -> list[Record]:
    found = wait_for(
        stack, "predictions", lambda one: one["match_id"] == match and one["request_id"] is None, 4
    )
    return sorted(found, key=lambda one: one["source_offset"])


def offline(matrix: np.ndarray, context: MatchContext) -> tuple[float, list[float]]:
    """What the regression and the model say, by NumPy and ONNX Runtime in this process."""
    before = pre_match.load(CARD.folder).log_odds(pre_match.inputs([context])).astype(np.float32)
    session = onnxruntime.InferenceSession(str(CARD.folder / ONNX), providers=["CPUExecutionProvider"])
    given = {"features": matrix, PRE_MATCH_INPUT: before.reshape(1, 1)}
    return float(before[0]), [float(values[0, 0]) for values in session.run(OUTPUTS, given)]


@pytest.mark.stack
def test_the_live_path_says_what_the_model_says_of_state_and_forms(stack: Settings, match: Played) -> None:
    first, last = match.predictions[0], match.predictions[-1]
    by_teams, _ = offline(start(), match.by_teams)
    vector = OnlineReader(stack).get(CARD.feature_service, [match.match_id]).matrix
    before, said = offline(vector, match.whole)
    assert last["pre_match"] == pytest.approx(before, abs=1e-6) and abs(before - by_teams) > 0.01
    # Rosters come a moment after the first event; whether before its prediction is a race.
    assert min(abs(first["pre_match"] - one) for one in (by_teams, before)) < 1e-6
    np.testing.assert_allclose(
        [last[name] for name in ("probability", "interval_low", "interval_high")], said, atol=1e-6
    )
    assert last["features_sha256"] == digest(vector[0], last["pre_match"], last["feature_service"])


@pytest.mark.stack
def test_http_says_the_same_fact_and_its_reasons_add_up(stack: Settings, match: Played) -> None:
    body = {"subject_type": "match", "subject_id": match.match_id}
    with httpx.Client(base_url=stack.api_url, trust_env=False) as api:
        answer = api.post("/v1/predict/single", json=body, headers={"Cache-Control": "no-cache"}).json()
        explained = api.post("/v1/predict/explain", json=body).json()["explanation"]
    same = ("prediction_id", "features_sha256", "pre_match", "pre_match_inputs", "source_offset")
    assert {name: answer[name] for name in same} == {name: match.predictions[-1][name] for name in same}
    log_odds = explained["base"] + sum(one["adds"] for one in explained["reasons"]) + explained["others"]
    assert 1 / (1 + np.exp(-log_odds)) == pytest.approx(answer["probability"], abs=1e-5)
    assert {one["feature"] for one in explained["reasons"]} & set(INPUTS)


@pytest.mark.stack
def test_what_was_known_before_stays_as_it_was(stack: Settings, match: Played) -> None:
    forms, _ = forms_of(match.teams)
    newer = {"match_id": match.match_id, "event_time": now_ms(), "wins": 15, "games": 16}
    with Producer(stack, topic="team-form") as producer:
        producer.send_batch([one | newer for one in forms["team-form"]])
    reader = OnlineReader(stack)
    until(
        lambda: [row["games"] for row in reader.get("team_form", match.teams).rows] == [16, 16], "new forms"
    )
    reader.close()
    before = Before(stack)
    (found,) = before.of([Match(match.match_id, match.teams, now_ms())])
    (looked_up,), *_ = before.read([Match(match.match_id, match.teams, now_ms())])
    before.close()
    np.testing.assert_array_equal(np.nan_to_num(found), match.predictions[-1]["pre_match_inputs"])
    assert np.isnan(looked_up[list(INPUTS).index("team_wins")]), "its own forms are no forms before it"


@pytest.mark.stack
def test_predictions_with_forms_are_made_again_to_the_bit(stack: Settings, match: Played) -> None:
    """As 'rift replay-prediction' and 'rift features check' do; here with the rows of one batch run."""
    places = [consistency.place(one) for one in match.predictions]

    until(lambda: in_lake(stack, match.match_id) == len(places), "the lake holds the match's events")
    table = run_batch(consistency.JOB, consistency.VIEW, matches=[match.match_id])
    rows = {consistency.place(row): row for row in table.to_pylist()}
    again = consistency.Again(table)
    for prediction, place in zip(match.predictions, places, strict=True):
        made_again = replay_prediction.score(prediction, rows[place])
        assert all(one.equal for one in replay_prediction.compare(prediction, made_again))
        assert not consistency.differs(prediction, again)
    assert consistency.differs(match.predictions[-1] | {"pre_match": 0.125}, again)


def in_lake(stack: Settings, match: str) -> int:
    """How many events of a match the lake holds."""
    table = load(connect(stack), MATCH_EVENTS)
    return int(table.scan(f"match_id = '{match}'", ("match_id",)).to_arrow().num_rows)


@pytest.mark.stack
def test_a_match_that_has_not_begun_is_answered_by_its_teams(stack: Settings) -> None:
    teams = (new_match("home"), new_match("guest"))
    forms, _ = forms_of(teams)
    with Producer(stack, topic="team-form") as producer:
        producer.send_batch(forms["team-form"])
    reader = OnlineReader(stack)
    until(lambda: _there(reader, "team_form", team=teams), "the teams' forms are in Redis")
    reader.close()
    asked = {"subject_type": "match", "subject_id": new_match("to-come")}
    named = {"blue_team": teams[0], "red_team": teams[1]}
    with httpx.Client(base_url=stack.api_url, trust_env=False) as api:
        answer = api.post("/v1/predict/single", json=asked | named).json()
        by_path = api.get(f"/v1/predict/match/{asked['subject_id']}", params=named).json()
        unnamed = api.post("/v1/predict/single", json=asked)
        unknown = api.post("/v1/predict/single", json=asked | {"blue_team": "Nobody", "red_team": "No one"})
    blue, red = forms["team-form"]
    before, said = offline(start(), MatchContext(Side(blue), Side(red)))
    assert answer["pre_match"] == pytest.approx(before, abs=1e-6)
    found = [answer[name] for name in ("probability", "interval_low", "interval_high")]
    np.testing.assert_allclose(found, said, atol=1e-6)
    assert (answer["game_time_ms"], answer["source_offset"], answer["blue_team"]) == (0, -1, teams[0])
    assert by_path["prediction_id"] == answer["prediction_id"]
    again = replay_prediction.rebuild(answer)
    assert all(one.equal for one in replay_prediction.compare(answer, again))
    assert unnamed.status_code == unknown.status_code == 404
