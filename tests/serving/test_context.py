"""What is looked up of matches and players, in a real Redis and without any other server."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import redis

from features.online import OnlineReader
from features.views import find_view
from models.artefact import Card, load_card
from models.player_props import adjustments
from models.player_props.contract import NAMES, PlayerContext, vectors
from models.store import committed
from models.win_probability import pre_match
from models.win_probability.pre_match import INPUTS, MatchContext, Side
from riftstream.settings import Settings
from serving.again import read_again
from serving.circuit import CLOSED
from serving.engine import Facts, Known, Sources, answer_id, prediction
from serving.matches import MatchKind
from serving.players import PlayerKind
from serving.pre_match import SETTLED_AFTER_SECONDS, Before, Match
from serving.questions import Question
from streams.clock import now_ms
from tests.cli.records import record
from tests.features.conftest import RedisServer
from tests.features.test_online import write

TEAM, PLAYER, CONTEXT = (find_view(name) for name in ("team_form", "player_form", "match_context"))
STATE, WINDOW = find_view("match_state"), find_view("player_window")
HOUR_MS = 3_600_000
CHANCE = 0.7


def put(settings: Settings, *rows: tuple[Any, dict[str, Any]]) -> None:
    write(settings, *((view, record(view.topic, **values)) for view, values in rows))


def team(name: str, at: int, **values: Any) -> tuple[Any, dict[str, Any]]:
    told = {
        "games": 10,
        "wins": 6,
        "form": 0.6,
        "win_rate": 0.6,
        "league": "LCK",
        "duration_mean_ms": 1_800_000.0,
    }
    return TEAM, {"team": name, "event_time": at, "match_id": "LCK/0", **told, **values}


def player(name: str, of: str, at: int) -> tuple[Any, dict[str, Any]]:
    means = {"kills_mean": 3.0, "deaths_mean": 2.0, "assists_mean": 5.0, "form": 0.5}
    told = {"team": of, "role": "mid", "games": 10, "wins": 5, "match_id": "LCK/0"}
    return PLAYER, {"player_id": name, "event_time": at, **told, **means}


def started(match: str, at: int, **values: Any) -> list[tuple[Any, dict[str, Any]]]:
    """What a MATCH_START tells of both teams: Faker of SKT on red in the middle."""
    shared = {"match_id": match, "event_time": at, "league": "LCK", "patch": "7.1", "map_number": 1}
    blue = {"team": "KT", "opponent": "SKT", "side": "blue", "players": ["", "", "PawN"]}
    red = {"team": "SKT", "opponent": "KT", "side": "red", "players": ["", "", "Faker"]}
    champions = {"champions": ["", "", "Zed"]}
    return [(CONTEXT, {**shared, **blue, **values}), (CONTEXT, {**shared, **red, **champions, **values})]


def state(match: str, at: int, **values: Any) -> tuple[Any, dict[str, Any]]:
    told = {"clock_ms": 600_000, "game_time_ms": 600_000, "kills_blue": 4, "kills_red": 7, "source_offset": 9}
    teams = {"league": "LCK", "blue_team": "KT", "red_team": "SKT", "event_type": "CHAMPION_KILL"}
    return STATE, {"match_id": match, "event_time": at, **teams, **told, **values}


@pytest.fixture
def settings(redis_server: RedisServer) -> Settings:
    return redis_server.settings


class Chances:
    """Stands in for win_probability: what was asked, and one answer to all."""

    def __init__(self, said: float = CHANCE) -> None:
        self.asked: list[Question] = []
        self._said = said

    def __call__(self, questions: Sequence[Question]) -> list[float | None]:
        self.asked += questions
        return [self._said] * len(questions)


@pytest.fixture
def chances() -> Chances:
    return Chances()


@pytest.fixture
def sources(settings: Settings, chances: Chances) -> Iterator[Sources]:
    reader, before = OnlineReader(settings), Before(settings)
    yield Sources(reader, before, threading.Lock(), chances)
    reader.close()
    before.close()


@pytest.fixture(scope="module")
def card() -> Card:
    found = committed(PlayerKind.model)
    if found is None:
        pytest.skip("no model for players is committed")
    return found


def test_a_match_is_settled_once_what_its_start_tells_is_there(settings: Settings) -> None:
    began = now_ms() - HOUR_MS
    match = Match("LCK/1", ("KT", "SKT"), began + 5_000)
    put(settings, team("KT", began - 1, wins=3), team("SKT", began - 1), player("Faker", "SKT", began - 1))
    first, second = Before(settings), Before(settings)
    (early,) = first.of([match])
    wins = list(INPUTS).index("team_wins")
    players = list(INPUTS).index("players_wins")
    assert early[wins] < 0 and np.isnan(early[players])
    put(settings, *started("LCK/1", began))
    (settled,) = second.of([match])
    assert settled[wins] == early[wins] and settled[players] == 0.0
    put(settings, team("KT", began - 1, wins=10, games=11))
    for held in first._held.values():
        held.again = 0.0
    for other in (first, second, Before(settings)):
        np.testing.assert_array_equal(other.of([match])[0], settled)
        other.close()


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Sets the clock that look-ups go by some seconds forward."""
    real, ahead = time.monotonic, [0.0]

    def forward(seconds: float) -> None:
        ahead[0] += seconds

    monkeypatch.setattr(time, "monotonic", lambda: real() + ahead[0])
    return forward


def test_after_ten_seconds_what_is_known_is_settled_but_never_that_nothing_is(
    settings: Settings, later: Callable[[float], None]
) -> None:
    began = now_ms() - HOUR_MS
    match, before, other = Match("LCK/1", ("KT", "SKT"), began), Before(settings), Before(settings)
    assert np.isnan(before.of([match])).all()
    later(SETTLED_AFTER_SECONDS + 1)
    assert np.isnan(before.of([match])).all()
    put(settings, team("KT", began - 1, wins=3), team("SKT", began - 1))
    (known,) = other.of([match])
    assert not np.isnan(known).all()
    later(SETTLED_AFTER_SECONDS - 1)
    put(settings, team("KT", began - 1, wins=9))
    young = Before(settings)
    assert not np.array_equal(young.of([match])[0], known, equal_nan=True), "nobody has settled it yet"
    later(2)
    (settled,) = before.of([match])
    put(settings, team("KT", began - 1, wins=1))
    later(SETTLED_AFTER_SECONDS)
    for one in (before, other, young, Before(settings)):
        np.testing.assert_array_equal(one.of([match])[0], settled)
        one.close()


def test_forms_that_were_told_after_the_start_are_not_known(settings: Settings) -> None:
    began = now_ms() - HOUR_MS
    put(settings, team("KT", began + 1), team("SKT", began), *started("LCK/1", began))
    before = Before(settings)
    found = before.of([Match("LCK/1", ("KT", "SKT"), began + 9_000), Match("LCK/2", (None, None), began)])
    before.close()
    only_red = pre_match.inputs([MatchContext(red=Side(team("SKT", began)[1]))])[0]
    np.testing.assert_array_equal(found[0], only_red)
    assert np.isnan(found[1]).all()


def odd(settings: Settings, key: str) -> None:
    """Put a value that is none of ours into each feature of an entity."""
    client: Any = redis.Redis.from_url(settings.redis_url.get_secret_value())
    (entity,) = [one for one in client.scan_iter() if key.encode() in one and client.type(one) == b"hash"]
    fields = [name for name in client.hkeys(entity) if not name.startswith(b"_ts:")]
    client.hset(entity, mapping=dict.fromkeys(fields, b"\x7fodd"))
    client.close()


def test_one_odd_row_leaves_the_other_matches_and_the_circuit(settings: Settings) -> None:
    began = now_ms() - HOUR_MS
    names = ("KT", "SKT", "ROX", "SSG")
    put(settings, *(team(name, began - 1, wins=wins) for wins, name in enumerate(names)))
    matches = [Match("LCK/1", ("KT", "SKT"), began), Match("LCK/2", ("ROX", "SSG"), began)]
    odd(settings, "ROX")
    before = Before(settings)
    found = before.of(matches)
    assert not np.isnan(found[0]).all() and np.isnan(found[1]).all()
    assert before._circuit.state == CLOSED
    known, complete, newest = before.read(matches)
    np.testing.assert_array_equal(known, found)
    assert (complete[1], newest[1]) == (False, -1)
    before.close()


@pytest.mark.parametrize("value", [b"{", b"[1]", b'{"team_wins": "many"}'])
def test_a_settled_value_that_cannot_be_read_is_looked_up_again(settings: Settings, value: bytes) -> None:
    began = now_ms() - HOUR_MS
    put(settings, team("KT", began - 1, wins=3), team("SKT", began - 1), *started("LCK/1", began))
    client = redis.Redis.from_url(settings.redis_url.get_secret_value())
    client.set("rift:before:LCK/1", value)
    before = Before(settings)
    (found,) = before.of([Match("LCK/1", ("KT", "SKT"), began)])
    assert found[list(INPUTS).index("team_wins")] < 0 and before._circuit.state == CLOSED
    assert client.get("rift:before:LCK/1") != value
    before.close()
    client.close()


def test_a_players_form_without_counts_is_left_out(settings: Settings) -> None:
    began = now_ms() - HOUR_MS
    put(settings, *started("LCK/1", began), player("PawN", "KT", began - 1))
    view, form = player("Faker", "SKT", began - 1)
    put(settings, (view, form | {"kills_mean": None}))
    before = Before(settings)
    (found,) = before.of([Match("LCK/1", ("KT", "SKT"), began)])
    before.close()
    only_blue = MatchContext(Side(None, [player("PawN", "KT", began)[1]]), Side())
    np.testing.assert_array_equal(found, pre_match.inputs([only_blue])[0])
    assert not np.isnan(found).all()


def test_a_store_that_is_away_leaves_the_live_state(settings: Settings) -> None:
    away = settings.model_copy(update={"redis_url": type(settings.redis_url)("redis://127.0.0.1:1/0")})
    before = Before(away)
    assert np.isnan(before.of([Match("LCK/1", ("KT", "SKT"), now_ms())])).all()
    before.close()


def test_teams_of_a_match_that_has_begun_are_its_own(settings: Settings, sources: Sources) -> None:
    began = now_ms() - HOUR_MS
    put(settings, team("KT", began - 1, wins=3), team("SKT", began - 1), state("LCK/1", began + 1))
    win, kind = load_card("win_probability"), MatchKind()
    asked = [
        Question(subject_type="match", subject_id="LCK/1", blue_team="SKT", red_team="KT"),
        Question(subject_type="match", subject_id="LCK/2", blue_team="SKT", red_team="KT"),
        Question(subject_type="match", subject_id="LCK/2"),
        Question(subject_type="match", subject_id="LCK/2", blue_team="Nobody", red_team="No one"),
    ]
    begun, to_come, unnamed, unknown = kind.read(sources, win, asked)
    assert (begun.record["blue_team"], begun.record["game_time_ms"]) == ("KT", 600_000)
    assert (to_come.record["blue_team"], to_come.record["game_time_ms"]) == ("SKT", 0)
    assert begun.before is not None and to_come.before is not None
    assert begun.sha256("s") != to_come.sha256("s")
    assert [one.missing for one in (begun, to_come, unnamed, unknown)] == [False, False, True, True]


def read(sources: Sources, card: Card, **question: Any) -> Known:
    asked = Question(**{"subject_type": "player", "subject_id": "Faker", "statistic": "kills", **question})
    (known,) = PlayerKind().read(sources, card, [asked])
    return known


def filled(settings: Settings, match: str = "LCK/1", **values: Any) -> int:
    """Forms, and a match that Faker is seen to play; gives its start."""
    began = now_ms() - HOUR_MS // 4
    window = {"player_id": "Faker", "match_id": match, "team": "red", "event_time": began + 600_000}
    counted = {"match_kills": 2, "match_deaths": 1, "match_assists": 3, "kills": 1}
    put(settings, team("KT", began - 1, wins=3), team("SKT", began - 1), player("Faker", "SKT", began - 1))
    put(
        settings,
        *started(match, began),
        state(match, began + 600_000, **values),
        (WINDOW, {**window, **counted}),
    )
    return began


def test_of_a_player_who_plays_everything_of_the_match_is_known(
    settings: Settings, sources: Sources, card: Card, chances: Chances
) -> None:
    began = filled(settings)
    known = read(sources, card, maps=2)
    blue = team("KT", began - 1, wins=3)[1]
    red = team("SKT", began - 1)[1]
    later = PlayerContext(
        role="mid",
        player_form=player("Faker", "SKT", began - 1)[1],
        team_form=red,
        opponent_form=blue,
        champion="Zed",
        league="LCK",
        scope="7.1",
        side="red",
        win_probability=1 - CHANCE,
    )
    live = {"clock_ms": 600_000, "kills": 2, "deaths": 1, "assists": 3, "team_kills": 7, "opponent_kills": 4}
    wanted = vectors([PlayerContext(**{**vars(later), **live}), later], adjustments.load(card.folder))
    np.testing.assert_array_equal(np.stack(known.rows), wanted)
    named = [(one.subject_id, one.blue_team, one.red_team) for one in chances.asked]
    assert named == [("KT v SKT", "KT", "SKT"), ("LCK/1", None, None)]
    assert (known.record["match_id"], known.record["source_offset"], known.live) == ("LCK/1", 9, True)


def test_a_question_that_tells_the_opponent_is_about_the_next_map(
    settings: Settings, sources: Sources, card: Card
) -> None:
    filled(settings)
    known = read(sources, card, opponent="KT", champion="Ahri")
    told = {
        name: known.context[name] for name in ("match_id", "opponent", "side", "champion", "kills", "team")
    }
    assert told == {
        **{"match_id": None, "opponent": "KT", "side": None, "champion": "Ahri", "kills": 0, "team": "SKT"}
    }
    assert known.vector[NAMES.index("win_probability")] == pytest.approx(0.5), "the mean of both sides"
    assert known.then is None


@pytest.mark.parametrize("why", [{"event_type": "MATCH_END"}, {"event_time": now_ms() - 5 * HOUR_MS}])
def test_a_match_that_is_over_or_silent_is_not_played(
    settings: Settings, sources: Sources, card: Card, why: dict[str, Any]
) -> None:
    filled(settings, **why)
    assert read(sources, card).context["match_id"] is None
    assert read(sources, card, match_id="LCK/1").refusal == "The match LCK/1 is over."
    assert read(sources, card, match_id="LCK/9").refusal == "The match LCK/9 is not known."


def test_what_a_window_does_not_count_is_not_taken_for_nothing(
    settings: Settings, sources: Sources, card: Card
) -> None:
    began = filled(settings)
    window = {"player_id": "Faker", "match_id": "LCK/1", "event_time": began + 700_000}
    put(settings, (WINDOW, {**window, "match_kills": None}))
    assert read(sources, card).context["match_id"] is None
    assert read(sources, card, match_id="LCK/1").refusal == "Faker is not known to play in LCK/1."


@pytest.mark.parametrize("told", [{}, {"side": "blue", "champion": "Ahri", "opponent": "KT"}])
def test_of_a_match_that_a_player_does_not_play_nothing_is_said(
    settings: Settings, sources: Sources, card: Card, told: dict[str, Any]
) -> None:
    began = filled(settings)
    others = {"blue_team": "ROX", "red_team": "SSG"}
    put(settings, state("LCK/2", began + 500_000, **others))
    assert read(sources, card, match_id="LCK/2", **told).refusal == "Faker is not known to play in LCK/2."
    put(settings, state("LCK/2", began + 600_000, **others | {"blue_team": "SKT"}))
    seated = read(sources, card, match_id="LCK/2", **told)
    assert not seated.refusal and (seated.context["match_id"], seated.context["side"]) == ("LCK/2", "blue")


def test_sums_over_a_series_are_asked_from_its_first_map_on(
    settings: Settings, sources: Sources, card: Card
) -> None:
    began = filled(settings)
    put(settings, *started("LCK/1", began + 1, map_number=2))
    assert "map 2" in read(sources, card, maps=3).refusal
    assert not read(sources, card, maps=1).refusal


def test_a_thousand_players_of_a_thousand_teams_are_read(
    settings: Settings, sources: Sources, card: Card
) -> None:
    at = now_ms()
    put(settings, *(player(f"P{n}", f"T{n}", at) for n in range(1_000)))
    asked = [
        Question(subject_type="player", subject_id=f"P{n}", statistic="kills", opponent=f"O{n}")
        for n in range(1_000)
    ]
    known = PlayerKind().read(sources, card, asked)
    assert [one.context["team"] for one in known] == [f"T{n}" for n in range(1_000)]


def test_a_players_answers_on_other_features_at_one_place_have_other_ids(
    settings: Settings, sources: Sources, card: Card
) -> None:
    filled(settings)
    answers = []
    for chance in (CHANCE, CHANCE, 0.4):
        known = read(replace(sources, chances=Chances(chance)), card, opponent="KT", side="red")
        answers.append(prediction(card, "player", "Faker", known, Facts({}, {}), now_ms()))
    assert len({(one["source_partition"], one["source_offset"]) for one in answers}) == 1
    first, again, other = (answer_id(one, ("KT", "red")) for one in answers)
    assert first == again != other
    assert answer_id(answers[0], ("KT", "blue")) != first


@pytest.mark.parametrize(
    ("asked", "told_at_start"),
    [
        ({}, {}),
        ({"maps": 2}, {}),
        ({"opponent": "KT"}, {}),
        ({"opponent": "KT", "side": "red", "champion": "Ahri", "maps": 3}, {}),
        ({"match_id": "LCK/1", "side": "red", "champion": "Ahri"}, {"players": None, "champions": None}),
    ],
)
def test_what_a_players_answer_stood_on_can_be_read_again_from_its_record(
    settings: Settings,
    sources: Sources,
    card: Card,
    asked: dict[str, Any],
    told_at_start: dict[str, Any],
) -> None:
    began = filled(settings)
    put(settings, *started("LCK/1", began + 1, **told_at_start))
    known, kind = read(sources, card, **asked), PlayerKind()
    facts = Facts({"statistic": "kills", "maps": asked.get("maps"), "player_id": "Faker"}, {})
    told = prediction(card, "player", "Faker", known, facts, now_ms())
    again = read_again(kind, sources.reader, card, told)
    assert again.sha256(card.feature_service) == told["features_sha256"]
    assert again.context == {**known.context, "win_probability": pytest.approx(told["win_probability"])}
    other = read_again(kind, sources.reader, card, told | {"win_probability": 0.9})
    assert other.sha256(card.feature_service) != told["features_sha256"]


def test_what_an_answer_before_a_match_stood_on_can_be_read_again(
    settings: Settings, sources: Sources
) -> None:
    put(settings, team("KT", now_ms() - HOUR_MS, wins=3), team("SKT", now_ms() - HOUR_MS))
    win, kind = load_card("win_probability"), MatchKind()
    question = Question(subject_type="match", subject_id="LCK/2", blue_team="SKT", red_team="KT")
    (known,) = kind.read(sources, win, [question])
    told = prediction(win, "match", "LCK/2", known, Facts({}, {}), now_ms())
    put(settings, team("KT", now_ms(), wins=9))
    again = read_again(kind, sources.reader, win, told)
    assert again.sha256(win.feature_service) == told["features_sha256"]
