"""Oracle's Elixir: what becomes of its rows, of dirt, and of a month of real games."""

from __future__ import annotations

import csv
import gzip
import io
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from riftstream.errors import SourceError
from streams.identity import identify
from streams.rules import faults
from streams.schemas import for_topic
from streams.sources import open_source
from streams.sources.oracles_elixir import _COLUMNS, NAME, OraclesElixir

Event = dict[str, Any]
Row = dict[str, str]

START = 1_767_892_107_000
"""2026-01-08 17:08:27 UTC"""
PLACES = ("top", "jng", "mid", "bot", "sup", "team")


def game(number: int = 1, **changes: str) -> list[Row]:
    """The twelve rows of a game of thirty minutes that red wins."""
    rows = []
    for side in ("Blue", "Red"):
        for place in PLACES:
            row = dict.fromkeys(_COLUMNS, "") | {
                "gameid": f"GAME_{number}",
                "league": "LCK",
                "year": "2026",
                "split": "Cup",
                "playoffs": "0",
                "date": "2026-01-08 17:08:27",
                "game": "2",
                "patch": "16.01",
                "side": side,
                "position": place,
                "playername": "" if place == "team" else f"{side}{place}",
                "teamname": f"{side}s",
                "champion": "" if place == "team" else f"C{side}{place}",
                "gamelength": "1800",
                "result": "0" if side == "Blue" else "1",
                "kills": "3",
                "deaths": "2",
                "assists": "5",
                "total cs": "" if place == "team" else "200",
                "totalgold": "60000" if place == "team" else "12000",
                "goldat10": "16000" if place == "team" else "3300",
                "csat10": "350" if place == "team" else "70",
                "killsat10": "1",
                "deathsat10": "0",
                "assistsat10": "1",
            }
            row |= {f"ban{n}": f"Ban{side}{n}" for n in range(1, 6)}
            rows.append(row | changes)
    return rows


def put(folder: Path, rows: list[Row], name: str = "2026.csv") -> Path:
    text = io.StringIO()
    writer = csv.DictWriter(text, _COLUMNS)
    writer.writeheader()
    writer.writerows(rows)
    data = text.getvalue().encode()
    file = folder / name
    file.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return file


def read(path: Path, limit: int | None = None) -> tuple[OraclesElixir, list[list[Event]]]:
    source = OraclesElixir(path, limit)
    return source, list(source.matches())


def of_kind(match: list[Event], kind: str) -> list[Event]:
    return [event for event in match if event["event_type"] == kind]


def test_a_game_begins_with_rosters_champions_and_bans_at_its_real_date(tmp_path: Path) -> None:
    _, (match,) = read(put(tmp_path, game()))
    start = match[0]
    assert start == {
        "event_id": identify(start),
        "match_id": "GAME_1",
        "event_type": "MATCH_START",
        "event_time": START,
        "game_time_ms": 0,
        "ordinal": 0,
        "source": NAME,
        "league": "LCK",
        "season": "2026 Cup",
        "phase": "Season",
        "patch": "16.01",
        "map_number": 2,
        "blue_team": "Blues",
        "red_team": "Reds",
        "blue_players": ["Bluetop", "Bluejng", "Bluemid", "Bluebot", "Bluesup"],
        "red_players": ["Redtop", "Redjng", "Redmid", "Redbot", "Redsup"],
        "blue_champions": ["CBluetop", "CBluejng", "CBluemid", "CBluebot", "CBluesup"],
        "red_champions": ["CRedtop", "CRedjng", "CRedmid", "CRedbot", "CRedsup"],
        "blue_bans": ["BanBlue1", "BanBlue2", "BanBlue3", "BanBlue4", "BanBlue5"],
        "red_bans": ["BanRed1", "BanRed2", "BanRed3", "BanRed4", "BanRed5"],
    }


def test_players_and_gold_are_told_at_ten_minutes_and_at_the_end(tmp_path: Path) -> None:
    _, (match,) = read(put(tmp_path, game()))
    assert Counter(event["event_type"] for event in match) == {
        "MATCH_START": 1,
        "TEAM_GOLD": 2,
        "PLAYER_STATS": 20,
        "MATCH_END": 1,
    }
    early, late = (s for s in of_kind(match, "PLAYER_STATS") if s["player_id"] == "Redbot")
    who = ("team", "role", "champion")
    assert [early[name] for name in who] == ["red", "adc", "CRedbot"]
    stats = ("game_time_ms", "kills", "deaths", "assists", "creep_score", "gold")
    assert [early[name] for name in stats] == [600_000, 1, 0, 1, 70, 3_300]
    assert [late[name] for name in stats] == [1_800_000, 3, 2, 5, 200, 12_000]
    gold = [(e["game_time_ms"], e["blue_gold"], e["red_gold"]) for e in of_kind(match, "TEAM_GOLD")]
    assert gold == [(600_000, 16_000, 16_000), (1_800_000, 60_000, 60_000)]
    end = match[-1]
    assert (end["event_type"], end["winner"], end["duration_ms"]) == ("MATCH_END", "red", 1_800_000)
    assert end["event_time"] == START + 1_800_000


def test_what_a_league_does_not_tell_during_the_game_is_left_out(tmp_path: Path) -> None:
    unknown = {f"{name}10": "" for name in ("goldat", "csat", "killsat", "deathsat", "assistsat")}
    _, (match,) = read(put(tmp_path, game(1, **unknown)))
    assert {event["game_time_ms"] for event in of_kind(match, "PLAYER_STATS")} == {1_800_000}


def test_games_come_in_the_order_of_their_dates_and_those_beyond_the_limit_are_left_out(
    tmp_path: Path,
) -> None:
    later = game(1) + game(2, date="2026-01-08 12:00:00") + game(3, date="2026-01-09 12:00:00")
    source, matches = read(put(tmp_path, later), limit=2)
    assert [match[0]["match_id"] for match in matches] == ["GAME_2", "GAME_1"]
    account = source.account.files["2026.csv"]
    assert (account.read, account.used, account.left_out) == (36, 24, 12)
    assert source.account.balanced


def _drop(rows: list[Row]) -> None:
    del rows[3]


def _set(place: int, **changes: str) -> Callable[[list[Row]], None]:
    return lambda rows: rows[place].update(changes)


@pytest.mark.parametrize(
    ("damage", "reasons"),
    [
        (_drop, {"game does not have its twelve rows": 11}),
        (_set(2, side="Green"), {"unknown side": 1, "another row of the game cannot be used": 11}),
        (_set(2, position="coach"), {"unknown position": 1, "another row of the game cannot be used": 11}),
        (_set(2, date="yesterday"), {"date is no date": 1, "another row of the game cannot be used": 11}),
        (
            _set(2, kills="-1"),
            {"kills is not a whole number": 1, "another row of the game cannot be used": 11},
        ),
        (_set(2, playername=""), {"no playername": 1, "another row of the game cannot be used": 11}),
        (_set(2, gameid=""), {"no gameid": 1, "game does not have its twelve rows": 11}),
        (_set(2, position="top"), {"row twice": 1, "another row of the game comes twice": 11}),
        (_set(2, patch="16.02"), {"rows of the game disagree": 12}),
        (_set(2, result="1"), {"not one winner and one loser": 12}),
        (_set(2, gamelength="0"), None),
    ],
)
def test_a_game_with_a_bad_row_is_left_out_whole_and_every_row_is_accounted_for(
    damage: Callable[[list[Row]], None], reasons: dict[str, int] | None, tmp_path: Path
) -> None:
    bad = game(1)
    damage(bad)
    source, matches = read(put(tmp_path, bad + game(2)))
    assert [match[0]["match_id"] for match in matches] == ["GAME_2"]
    account = source.account.files["2026.csv"]
    assert account.used == 12
    assert account.rejected.total() == len(bad)
    assert reasons is None or account.rejected == reasons
    assert source.account.balanced


def test_a_folder_is_read_whole_and_a_game_of_two_files_counts_once(tmp_path: Path) -> None:
    put(tmp_path, game(1), "2025.csv.gz")
    put(tmp_path, game(1) + game(2), "2026.csv")
    source, matches = read(tmp_path)
    assert [match[0]["match_id"] for match in matches] == ["GAME_1", "GAME_2"]
    assert source.account.files["2026.csv"].rejected == {"game is in another file too": 12}
    assert source.account.balanced


def test_a_folder_without_its_files_is_told(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="holds no CSV file of Oracle's Elixir"):
        OraclesElixir(tmp_path)


def test_a_file_without_a_column_is_told(tmp_path: Path) -> None:
    file = tmp_path / "x.csv"
    file.write_text("gameid,league\n1,LCK\n")
    with pytest.raises(SourceError, match="has no column year"):
        OraclesElixir(file)


def test_a_month_of_real_games_is_accepted_and_adds_up(data: Path) -> None:
    source = open_source(NAME)
    matches = list(source.matches())
    account = source.account.as_dict()
    assert (account["matches"], account["rows_read"], account["rows_used"]) == (326, 3_912, 3_912)
    assert account["balanced"]
    schema = for_topic("live-matches")
    events = [event for match in matches for event in match]
    assert [fault for event in events for fault in faults(event, schema, now_ms=START * 2)] == []
    assert len({event["event_id"] for event in events}) == len(events)
    assert [match[0]["event_time"] for match in matches] == sorted(m[0]["event_time"] for m in matches)
    again = [event for match in open_source(NAME).matches() for event in match]
    assert again == events
