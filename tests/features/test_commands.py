"""``rift features get`` on a Redis of its own."""

from __future__ import annotations

import json
from io import StringIO

import pytest
from rich.console import Console
from typer.testing import CliRunner

from features import commands, compare
from features.commands import duration
from features.online import OnlineReader
from riftstream.cli import gather
from streams.clock import now_ms
from tests.features.conftest import RedisServer
from tests.features.test_online import STATE, record, write


@pytest.fixture
def settings(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> RedisServer:
    from features import online

    reader = OnlineReader(redis_server.settings)
    monkeypatch.setattr(online, "get", reader.get)
    return redis_server


def test_get_tells_values_state_and_age(settings: RedisServer) -> None:
    write(settings.settings, (STATE, record(STATE, "LCK/1", now_ms() - 5_000, kills_diff=3)))
    result = CliRunner().invoke(
        gather(), ["features", "get", "win_probability_v1", "LCK/1", "LCK/2", "--json"]
    )
    assert result.exit_code == 0, result.output
    here, missing = json.loads(result.stdout)["vectors"]
    assert here["entity"] == {"match_id": "LCK/1"}
    assert here["features"]["kills_diff"] == 3
    assert here["views"]["match_state"]["state"] == "present"
    assert 5_000 <= here["views"]["match_state"]["age_ms"] < 60_000
    assert missing["views"]["match_state"] == {"state": "missing", "age_ms": None}
    assert set(missing["features"].values()) == {None}


def test_get_tells_people_how_old_a_value_is(settings: RedisServer) -> None:
    write(settings.settings, (STATE, record(STATE, "LCK/1", now_ms() - 7_200_000, kills_diff=3)))
    result = CliRunner().invoke(gather(), ["features", "get", "match_state", "LCK/1"])
    assert result.exit_code == 0, result.output
    assert "match_state: present, 2 h old" in result.stdout


@pytest.mark.parametrize(
    ("seconds", "text"), [(5, "5 s"), (90, "90 s"), (180, "3 min"), (5_400, "90 min"), (86_400, "1 d")]
)
def test_a_length_of_time_is_short_and_exact(seconds: int, text: str) -> None:
    from datetime import timedelta

    assert duration(timedelta(seconds=seconds)) == text


def test_a_comparison_tells_people_its_counts_and_the_first_values_that_differ(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = StringIO()
    monkeypatch.setattr(commands, "out", Console(file=text, width=200))
    wrong = compare.Difference(("Faker",), "games", 3, 2, 2)
    whole = compare.Agreement("player_window", entities=1200, values=24_000)
    commands._show_agreements([whole, compare.Agreement("player_form", 2, 34, 1, 1, first=[wrong])])
    lines = [" ".join(line.split()) for line in text.getvalue().splitlines()]
    assert lines[1:] == [
        "player_window 1,200 24,000 0 0 0",
        "player_form 2 34 1 1 0",
        "player_form:games of Faker: topic 3, our reader 2, Feast 2",
    ]
    assert whole.equal
