"""Alerts: each planted anomaly raises its own and nothing else, and clean real matches raise none."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from jobs import history, session, sqlfile
from riftstream.settings import Settings, get_settings
from streams.avro import Record
from streams.schemas import for_topic
from streams.sources import open_source, sample
from streams.sources.lol_pro import LolPro
from tests.jobs.tables import topic_of
from tests.recordings import recordings

JOB = sqlfile.load("anomalies")
EVENTS = for_topic("live-matches")
CLEAN = 310
"""Matches of 2014 and 2015: four leagues, one of them with gold. Those of other sources come beside them."""

Match = list[Record]


def _real_matches() -> list[Match]:
    data = get_settings().data
    if data is None:
        return sample.matches()
    oracles = open_source("oracles-elixir", str(data)).matches()
    return [*itertools.islice(LolPro(data).matches(), CLEAN), *oracles, *recordings(data)]


def _copy(match: Match, name: str) -> Match:
    """The match under another id."""
    return [
        event | {"match_id": f"PLANTED/{name}", "event_id": f"{name}/{event['event_id']}"} for event in match
    ]


def _insert(match: Match, *events: Record) -> None:
    """Put events where the match clock wants them, before the end of the match."""
    for number, event in enumerate(events):
        event["event_id"] += f"/{number}"
        later = (n for n, one in enumerate(match) if one["game_time_ms"] > event["game_time_ms"])
        match.insert(next(later, len(match) - 1), event)


def _of(match: Match, event_type: str, number: int = 0) -> Record:
    found = [event for event in match if event["event_type"] == event_type]
    return found[number]


def _clock(match: Match) -> None:
    match[20]["game_time_ms"] = match[19]["game_time_ms"] - 60_000


def _gold_fell(match: Match) -> None:
    _of(match, "TEAM_GOLD", 15)["blue_gold"] = _of(match, "TEAM_GOLD", 14)["blue_gold"] - 1


def _gold_jump(match: Match) -> None:
    for number in range(15, sum(event["event_type"] == "TEAM_GOLD" for event in match)):
        _of(match, "TEAM_GOLD", number)["red_gold"] += 20_000


def _died_twice(match: Match) -> None:
    kill = _of(match, "CHAMPION_KILL", 5)
    _insert(match, kill | {"game_time_ms": kill["game_time_ms"] + 1000})


def _kill_burst(match: Match) -> None:
    kill = next(event for event in match if event["event_type"] == "CHAMPION_KILL" and event.get("team"))
    _insert(match, *(kill | {"victim_id": f"victim {number}"} for number in range(5)))


def _tower(match: Match) -> None:
    tower = next(
        event
        for event in match
        if event["event_type"] == "BUILDING_KILL" and event.get("tower_type") == "OUTER_TURRET"
    )
    _insert(match, tower | {"game_time_ms": match[-1]["game_time_ms"] - 1})


def _snapshots(*seen: Record) -> Callable[[Match], None]:
    """Puts snapshots of one player into a match, a minute apart from minute 10 on."""

    def put(match: Match) -> None:
        first = match[0] | {"event_type": "PLAYER_STATS", "player_id": "Faker"}
        plain = {"kills": 1, "deaths": 1, "assists": 1, "creep_score": 90, "level": 8, "gold": 4000}
        _insert(
            match,
            *(first | plain | {"game_time_ms": (10 + n) * 60_000} | one for n, one in enumerate(seen)),
        )

    return put


def _flood(match: Match) -> None:
    kill = _of(match, "CHAMPION_KILL")
    _insert(
        match, *(kill | {"event_type": "WARD_PLACED", "player_id": "Mata"} for _ in range(9 * len(match)))
    )


def _drought(match: Match) -> None:
    match[:] = [match[0], _of(match, "CHAMPION_KILL"), match[-1]]


PLANTED: dict[str, tuple[Callable[[Match], None], str]] = {
    "clock": (_clock, "clock_backwards"),
    "gold fell": (_gold_fell, "gold_fell"),
    "gold jump": (_gold_jump, "gold_jump"),
    "died twice": (_died_twice, "died_twice"),
    "kill burst": (_kill_burst, "kill_burst"),
    "tower": (_tower, "tower_fell_twice"),
    "quiet player": (_snapshots({}, {"kills": 3, "gold": 5500, "level": 9, "creep_score": 99}), ""),
    "score fell": (_snapshots({"assists": 9}, {"assists": 8}), "score_fell"),
    "kills jump": (_snapshots({}, {"kills": 60}), "score_jump"),
    "deaths jump": (_snapshots({}, {"deaths": 60}), "score_jump"),
    "player's gold fell": (_snapshots({}, {"gold": 3999}), "gold_fell"),
    "player's gold jump": (_snapshots({}, {"gold": 14_000}), "gold_jump"),
    "flood": (_flood, "rate_high"),
    "drought": (_drought, "rate_low"),
}


def _told(match: Match) -> bool:
    """Whether a match tells enough to plant something in."""
    return sum(event["event_type"] == "TEAM_GOLD" for event in match) > 20 and len(match) > 60


@pytest.fixture(scope="module")
def matches() -> list[Match]:
    return _real_matches()


@pytest.fixture(scope="module")
def log(matches: list[Match]) -> list[Record]:
    """Clean matches, then copies of some, each with one anomaly, and one match that was sent twice."""
    chosen = itertools.cycle(match for match in matches if _told(match))
    played = [*matches, matches[0]]
    for (name, (plant, _)), match in zip(PLANTED.items(), chosen, strict=False):
        planted = _copy(match, name)
        plant(planted)
        played.append(planted)
    return _logged(played)


def _logged(played: list[Match]) -> list[Record]:
    """The events of matches, one after the other, with their places in the log."""
    empty = dict.fromkeys(field.name for field in EVENTS.fields)
    return [
        empty | event | {"source_partition": 0, "source_offset": offset, "kafka_ms": event["event_time"]}
        for offset, event in enumerate(itertools.chain.from_iterable(played))
    ]


def _kinds(rows: list[Record]) -> Counter[tuple[str, str]]:
    return Counter((row["match_id"], row["kind"]) for row in rows)


def _streaming(job: sqlfile.Job) -> Any:
    return session.environment(session.LOCAL, options=job.settings | {"parallelism.default": "1"})


@pytest.fixture(scope="module")
def streamed(log: list[Record], tmp_path_factory: pytest.TempPathFactory) -> list[Record]:
    """What is found in the log on a stream that comes to an end."""
    folder = tmp_path_factory.mktemp("stream")
    environment = _streaming(JOB)
    topic_of(environment, EVENTS, log, folder)
    for statement in JOB.views.values():
        environment.execute_sql(statement)
    rows: list[Record] = session.written(environment, "found", folder / "found").to_pylist()
    return rows


def test_every_planted_anomaly_raises_its_own_alert_and_clean_matches_raise_none(
    matches: list[Match], streamed: list[Record]
) -> None:
    expected = {(f"PLANTED/{name}", kind) for name, (_, kind) in PLANTED.items() if kind}
    assert _kinds(streamed) == dict.fromkeys(expected, 1)
    assert len(matches) >= (600 if get_settings().data else 20)


def test_batch_finds_the_same(log: list[Record], streamed: list[Record], tmp_path: Path) -> None:
    file = tmp_path / "log.jsonl"
    wanted = {row["match_id"] for row in streamed}
    leagues = {event["league"] for event in log if event["match_id"] in wanted}
    # Rates stand on the matches of the same league before.
    file.write_bytes(b"".join(orjson.dumps(event) + b"\n" for event in log if event["league"] in leagues))
    rows = history.from_file(EVENTS, file, history.ALL, tmp_path)
    own = session.environment(session.LOCAL, batch=True, options={"parallelism.default": "2"})
    found = session.batch(JOB, "found", EVENTS, rows, environment=own, folder=tmp_path / "out").to_pylist()
    key = ("kind", "match_id", "source_offset")
    assert sorted(found, key=lambda row: [row[name] for name in key]) == sorted(
        streamed, key=lambda row: [row[name] for name in key]
    )


def _silent(log: list[Record], folder: Path, count: int) -> Iterator[str]:
    """Matches that are told to be silent, on a stream that goes on, with seconds for minutes."""
    text = (sqlfile.FOLDER / "anomalies.sql").read_text()
    for minutes, seconds in ((3, 3), (30, 6)):
        assert text.count(f"INTERVAL '{minutes}' MINUTES") == 1
        text = text.replace(f"INTERVAL '{minutes}' MINUTES", f"INTERVAL '{seconds}' SECONDS")
    file = folder / "anomalies.sql"
    file.write_text(text)
    job = sqlfile.read(file)
    environment = _streaming(job)
    topic_of(environment, EVENTS, log, folder, watch_s=1)
    for statement in job.views.values():
        environment.execute_sql(statement)
    with environment.execute_sql("SELECT match_id, seen FROM silent").collect() as rows:
        for row in itertools.islice(rows, count):
            yield f"{row[0]} {row[1]:.0f}"


def test_only_a_match_that_has_neither_ended_nor_paused_is_silent(
    matches: list[Match], tmp_path: Path
) -> None:
    told = next(match for match in matches if _told(match))
    paused = _copy(told[:40], "paused")
    paused[-1] |= {"event_type": "PAUSE_START"}
    without = [event for event in _copy(told[:40], "kills only") if event["event_type"] != "TEAM_GOLD"]
    log = _logged([_copy(told, "ended"), paused, _copy(told[:40], "broken off"), without])
    assert list(_silent(log, tmp_path, 2)) == ["PLANTED/broken off 3", "PLANTED/kills only 30"]


def test_alerts_are_read_once_for_all_kinds_and_no_bytes_go_through_the_shuffle() -> None:
    environment = _streaming(JOB)
    session.declare(environment, JOB, Settings())
    plan = session.explain(environment, JOB).split("== Optimized Execution Plan ==")[1]
    assert plan.count("TableSourceScan(") == 1
    assert plan.count("IS_DUPLICATE(") == 1
    lines = plan.splitlines()
    carried = [lines[number + 1] for number, line in enumerate(lines) if "Exchange(" in line]
    assert carried
    assert not [line for line in carried if "raw_value" in line]
