"""lol-pro: what becomes of good rows, of dirt, and of the whole real data set."""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from riftstream.errors import SourceError
from streams.avro import Codec
from streams.identity import identify
from streams.rules import faults
from streams.schemas import for_topic
from streams.sources.json_lines import encode
from streams.sources.lol_pro import LolPro, folder_of
from tests.streams.sources.lol_pro_files import (
    COLUMNS,
    Files,
    address,
    ban_row,
    kill_row,
    match_row,
    monster_row,
    put,
    small,
    structure_row,
    text_of,
)

Event = dict[str, Any]


def read(folder: Path, limit: int | None = None) -> tuple[LolPro, list[list[Event]]]:
    source = LolPro(folder, limit)
    return source, list(source.matches())


def of_kind(match: list[Event], kind: str) -> list[Event]:
    return [event for event in match if event["event_type"] == kind]


def test_a_kill_names_players_roles_and_champions_of_the_rosters(tmp_path: Path) -> None:
    _, (first, _) = read(small().write(tmp_path))
    kill = of_kind(first, "CHAMPION_KILL")[1]
    assert kill == {
        "event_id": identify(kill),
        "match_id": "TRLH1/1",
        "event_type": "CHAMPION_KILL",
        "event_time": first[0]["event_time"] + 630_000,
        "game_time_ms": 630_000,
        "ordinal": kill["ordinal"],
        "source": "lol-pro",
        "league": "NALCS",
        "season": "2016 Spring",
        "phase": "Season",
        "team": "blue",
        "player_id": "BlueMiddle",
        "role": "mid",
        "champion": "ChampblueMiddle",
        "victim_id": "RedTop",
        "victim_role": "top",
        "victim_champion": "ChampredTop",
        "assist_ids": ["BlueJungle"],
        "x": 7000,
        "y": 8000,
    }


def test_a_match_begins_with_its_rosters_and_ends_with_its_winner(tmp_path: Path) -> None:
    _, (first, second) = read(small().write(tmp_path))
    assert first[0]["event_type"] == "MATCH_START"
    assert first[0]["game_time_ms"] == 0
    assert first[0]["blue_players"] == ["BlueTop", "BlueJungle", "BlueMiddle", "BlueADC", "BlueSupport"]
    assert first[0]["red_champions"][4] == "ChampredSupport"
    assert first[0]["blue_bans"] == ["Rumble", "Kassadin", "Lissandra"]
    assert first[0]["red_bans"] == ["Zed", "Kassadin", "Lissandra"]
    assert "red_bans" not in second[0]
    assert (first[-1]["winner"], second[-1]["winner"]) == ("blue", "red")
    assert first[-1]["duration_ms"] == first[-1]["game_time_ms"] == 30 * 60_000


def test_the_end_never_comes_before_the_last_event(tmp_path: Path) -> None:
    files = small()
    files.kills.append(kill_row(1, Time="30.7"))
    _, (first, _) = read(files.write(tmp_path))
    assert first[-1]["event_type"] == "MATCH_END"
    assert first[-1]["duration_ms"] == first[-2]["game_time_ms"] == 30 * 60_000 + 42_000


@pytest.mark.parametrize("packed", [False, True])
def test_plain_and_gzipped_files_give_the_same_bytes(tmp_path: Path, packed: bool) -> None:
    _, plain = read(small().write(tmp_path / "plain"))
    _, other = read(small().write(tmp_path / "other", packed=packed))
    assert [encode(e) for match in plain for e in match] == [encode(e) for match in other for e in match]


def test_monsters_and_structures_have_match_v5_names(tmp_path: Path) -> None:
    files = Files(
        matchinfo=[match_row(1)],
        structures=[structure_row(1), structure_row(1, Team="rInhibs", Type="INHIBITOR", Lane="TOP_LANE")],
        monsters=[
            monster_row(1, Type="DRAGON"),
            monster_row(1, Type="ELDER_DRAGON", Team="bDragons"),
            monster_row(1, Type="RIFT_HERALD", Team="bHeralds"),
            monster_row(1, Type="BARON_NASHOR", Team="rBarons"),
        ],
    )
    _, (match,) = read(files.write(tmp_path))
    things = [(e["team"], e["monster"], e.get("monster_sub")) for e in of_kind(match, "ELITE_MONSTER_KILL")]
    assert things == [
        ("red", "DRAGON", None),
        ("blue", "DRAGON", "ELDER_DRAGON"),
        ("blue", "RIFTHERALD", None),
        ("red", "BARON_NASHOR", None),
    ]
    buildings = [
        (e["team"], e["building"], e["lane"], e.get("tower_type")) for e in of_kind(match, "BUILDING_KILL")
    ]
    assert buildings == [
        ("blue", "TOWER", "MID_LANE", "OUTER_TURRET"),
        ("red", "INHIBITOR", "TOP_LANE", None),
    ]


def test_the_calendar_does_not_depend_on_the_limit(tmp_path: Path) -> None:
    files = Files(
        matchinfo=[
            match_row(1, Year="2017"),
            match_row(2, Season="Summer"),
            match_row(3),
            match_row(4),
        ]
    )
    folder = files.write(tmp_path)
    _, everything = read(folder)
    source, few = read(folder, limit=2)
    assert [match[0]["match_id"] for match in everything] == ["TRLH1/3", "TRLH1/4", "TRLH1/2", "TRLH1/1"]
    assert few == everything[:2]
    assert everything[1][0]["event_time"] - everything[0][0]["event_time"] == 2 * 3_600_000
    assert source.account.files["matchinfo.csv"].left_out == 2
    assert source.account.balanced


def test_matches_never_overlap_on_the_calendar_even_in_a_crowded_split(tmp_path: Path) -> None:
    rows = [match_row(number) for number in range(1_700)]
    rows.append(match_row(9_999, Season="Summer"))
    _, matches = read(Files(matchinfo=rows).write(tmp_path))
    starts = [match[0]["event_time"] for match in matches]
    assert all(later - earlier >= 2 * 3_600_000 for earlier, later in pairwise(starts))


def test_gold_in_columns_equals_gold_in_lists(tmp_path: Path) -> None:
    files = small()
    _, lists = read(files.write(tmp_path / "lists"))
    columns = ["Address", "Type", "min_1", "min_2", "min_3", "min_4"]
    cells = {"goldblue": ("2500", "2500", "2700"), "goldred": ("2500", "2510.0", "2650"), "golddiff": ("0",)}
    files.gold = (
        columns,
        [
            {"Address": address(1), "Type": kind, **dict(zip(columns[2:], values, strict=False))}
            for kind, values in cells.items()
        ],
    )
    source, wide = read(files.write(tmp_path / "wide"))
    assert wide == lists
    assert [e["red_gold"] for e in of_kind(wide[0], "TEAM_GOLD")] == [2500, 2510, 2650]
    assert source.account.files["gold.csv"].left_out == 1
    assert source.account.balanced


KILL_DIRT = [
    ({"Time": "", "Victim": "", "Killer": ""}, "placeholder without a time"),
    ({"Time": "nan"}, "Time is not a number"),
    ({"Time": "inf"}, "Time is not a number"),
    ({"Time": "soon"}, "Time is not a number"),
    ({"Time": "-1"}, "Time is negative"),
    ({"Time": "1e300"}, "Time is after the end of the match"),
    ({"Time": "31.01"}, "Time is after the end of the match"),
    ({"Team": "gKills"}, "unknown Team"),
    ({"Address": address(77)}, "match is not in matchinfo"),
    ({"Address": "nonsense"}, "no match id in Address"),
    ({}, "same kill twice"),
]


@pytest.mark.parametrize(("changes", "reason"), KILL_DIRT)
def test_a_bad_kill_is_rejected_with_its_reason_and_the_good_one_stays(
    tmp_path: Path, changes: dict[str, str], reason: str
) -> None:
    files = Files(matchinfo=[match_row(1)], kills=[kill_row(1), kill_row(1, **changes)])
    source, (match,) = read(files.write(tmp_path))
    assert source.account.files["kills.csv"].rejected == Counter({reason: 1})
    assert len(of_kind(match, "CHAMPION_KILL")) == 1
    assert source.account.balanced


MATCH_DIRT = [
    ({"bResult": "1", "rResult": "1"}, "not one winner and one loser"),
    ({"bResult": ""}, "not one winner and one loser"),
    ({"Season": "Autumn"}, "unknown Year or Season"),
    ({"Year": "16"}, "unknown Year or Season"),
    ({"gamelength": "0"}, "gamelength is not 1 to 120 minutes"),
    ({"gamelength": "NaN"}, "gamelength is not 1 to 120 minutes"),
    ({"gamelength": "1e9"}, "gamelength is not 1 to 120 minutes"),
    ({"Address": ""}, "no match id in Address"),
    ({"Address": address(1)}, "match twice"),
]


@pytest.mark.parametrize(("changes", "reason"), MATCH_DIRT)
def test_a_bad_match_is_rejected_with_all_its_rows(
    tmp_path: Path, changes: dict[str, str], reason: str
) -> None:
    files = small()
    files.matchinfo[1] |= changes
    source, matches = read(files.write(tmp_path))
    assert [match[0]["match_id"] for match in matches] == ["TRLH1/1"]
    assert source.account.files["matchinfo.csv"].rejected == Counter({reason: 1})
    assert source.account.files["kills.csv"].rejected.total() == 1
    assert source.account.balanced


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"Type": "FOUNTAIN_TURRET", "Lane": "BOT_LANE"}, "Azir's Sun Disc (FOUNTAIN_TURRET), no tower"),
        ({"Time": "", "Lane": "", "Type": ""}, "placeholder without a time"),
        ({"Lane": "RIVER"}, "unknown structure"),
        ({"Team": "bInhibs"}, "unknown structure"),
        ({}, "same structure twice"),
    ],
)
def test_a_bad_structure_is_rejected_with_its_reason(
    tmp_path: Path, changes: dict[str, str], reason: str
) -> None:
    files = Files(matchinfo=[match_row(1)], structures=[structure_row(1), structure_row(1, **changes)])
    source, (match,) = read(files.write(tmp_path))
    assert source.account.files["structures.csv"].rejected == Counter({reason: 1})
    assert len(of_kind(match, "BUILDING_KILL")) == 1


def test_two_nexus_turrets_may_fall_in_the_same_moment_and_a_third_may_not(tmp_path: Path) -> None:
    nexus = structure_row(1, Type="NEXUS_TURRET", Time="29.5")
    source, (match,) = read(Files(matchinfo=[match_row(1)], structures=[nexus] * 3).write(tmp_path))
    assert len(of_kind(match, "BUILDING_KILL")) == 2
    assert source.account.files["structures.csv"].rejected == Counter({"same structure twice": 1})


@pytest.mark.parametrize("name", ["TooEarly", "None"])
def test_kills_of_unknown_people_are_kept_without_names_even_where_they_are_equal(
    tmp_path: Path, name: str
) -> None:
    unknown = kill_row(1, Time="0.8", Victim=name, Killer=name, Assist_1=name, x_pos=name, y_pos=name)
    source, (match,) = read(Files(matchinfo=[match_row(1)], kills=[unknown, unknown]).write(tmp_path))
    kills = of_kind(match, "CHAMPION_KILL")
    assert [kill["team"] for kill in kills] == ["blue", "blue"]
    assert all(not {"player_id", "victim_id", "assist_ids", "x", "y"} & kill.keys() for kill in kills)
    assert len({kill["event_id"] for kill in kills}) == 2
    assert source.account.notes == {
        "kills by an unknown killer": 2,
        "kills of an unknown victim": 2,
        "kills at an unknown place": 2,
    }


def test_a_name_in_no_roster_is_kept_as_it_is_and_counted(tmp_path: Path) -> None:
    files = Files(matchinfo=[match_row(1)], kills=[kill_row(1, Killer=" TSM Stranger ")])
    source, (match,) = read(files.write(tmp_path))
    kill = of_kind(match, "CHAMPION_KILL")[0]
    assert kill["player_id"] == "TSM Stranger"
    assert "role" not in kill
    assert source.account.notes["names in kills that are in no roster"] == 1


@pytest.mark.parametrize(
    ("roster", "named"),
    [
        ("Lat", "LGS  Lat "),
        ("Hans Sama", "MSF hanssama"),
        ("Karsa", "Karsa"),
        ("M17Dee", "M17Dee"),
        ("KaKAO", "IM kakao"),
    ],
)
def test_names_resolve_whatever_their_spaces_case_and_tag(tmp_path: Path, roster: str, named: str) -> None:
    files = Files(matchinfo=[match_row(1, blueMiddle=roster)], kills=[kill_row(1, Killer=named)])
    source, (match,) = read(files.write(tmp_path))
    kill = of_kind(match, "CHAMPION_KILL")[0]
    assert (kill["player_id"], kill["role"]) == (roster, "mid")
    assert not source.account.notes


def test_a_blank_roster_and_missing_tags_leave_empty_places(tmp_path: Path) -> None:
    blank = {f"blue{role}": "" for role in ("Top", "Middle", "ADC", "Support")}
    row = match_row(1, blueTeamTag="", blueJungle="=", **blank)
    _, (match,) = read(Files(matchinfo=[row]).write(tmp_path))
    assert match[0]["blue_players"] == ["", "", "", "", ""]
    assert match[0]["blue_champions"][1] == "ChampblueJungle"
    assert "blue_team" not in match[0]


@pytest.mark.parametrize(
    ("gold", "reason"),
    [
        ("[1, 2", "gold is not a list of whole numbers"),
        ('["a"]', "gold is not a list of whole numbers"),
        ("[1.5]", "gold is not a list of whole numbers"),
        ("[-1]", "gold is not a list of whole numbers"),
        ("[NaN]", "gold is not a list of whole numbers"),
        ("{}", "gold is not a list of whole numbers"),
        ("[1]", "gold of the two sides is not equally long"),
        (json.dumps([1] * 40), "gold goes on after the end of the match"),
    ],
)
def test_bad_gold_is_rejected_and_its_match_stays(tmp_path: Path, gold: str, reason: str) -> None:
    files = small()
    files.gold = (
        ["Address", "goldblue", "goldred"],
        [{"Address": address(1), "goldblue": gold, "goldred": "[2500, 2500]"}],
    )
    source, (first, _) = read(files.write(tmp_path))
    assert source.account.files["gold.csv"].rejected == Counter({reason: 1})
    assert not of_kind(first, "TEAM_GOLD")
    assert source.account.balanced


@pytest.mark.parametrize("name", list(COLUMNS))
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    folder = small().write(tmp_path)
    (folder / f"{name}.csv").unlink()
    with pytest.raises(SourceError, match=f"{name}.csv"):
        LolPro(folder)


@pytest.mark.parametrize("name", list(COLUMNS))
def test_a_missing_column_is_named_with_its_file(tmp_path: Path, name: str) -> None:
    folder = small().write(tmp_path)
    without = [column for column in COLUMNS[name] if column != "Address"]
    put(folder, name, text_of(without, getattr(small(), name)).encode())
    with pytest.raises(SourceError, match=rf"{name}\.csv has no column Address"):
        LolPro(folder)


def test_columns_may_come_in_any_order_and_be_more(tmp_path: Path) -> None:
    folder = small().write(tmp_path)
    columns = ["comment", *reversed(COLUMNS["kills"])]
    rows = [{"comment": "x", **row} for row in small().kills]
    put(folder, "kills", text_of(columns, rows).encode())
    _, moved = read(folder)
    _, plain = read(small().write(tmp_path / "plain"))
    assert moved == plain


@pytest.mark.parametrize("content", [b"", b"\x1f\x8b", gzip.compress(b"")])
def test_an_empty_or_broken_file_is_an_error_that_names_it(tmp_path: Path, content: bytes) -> None:
    folder = small().write(tmp_path)
    (folder / "kills.csv").write_bytes(content)
    with pytest.raises(SourceError, match=r"kills\.csv"):
        LolPro(folder)


@given(cut=st.integers(1, 200), data=st.data())
@settings(max_examples=30, deadline=None)
def test_a_gzip_file_that_ends_early_or_is_damaged_is_an_error_and_never_half_an_import(
    tmp_path_factory: pytest.TempPathFactory, cut: int, data: st.DataObject
) -> None:
    folder = small().write(tmp_path_factory.mktemp("gz"), packed=True)
    file = folder / "kills.csv.gz"
    whole = file.read_bytes()
    if data.draw(st.booleans()):
        file.write_bytes(whole[: max(1, len(whole) - cut)])
    else:
        at = data.draw(st.integers(len(whole) - 8, len(whole) - 1))
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
    with pytest.raises(SourceError, match=r"kills\.csv\.gz"):
        LolPro(folder)


def test_rows_that_are_not_in_utf_8_are_rejected_one_by_one(tmp_path: Path) -> None:
    folder = small().write(tmp_path)
    latin = [*small().kills, kill_row(1, Time="20", Killer="TSM Jérôme")]
    put(folder, "kills", text_of(COLUMNS["kills"], latin).encode("latin-1"))
    source, _ = read(folder)
    assert source.account.files["kills.csv"].rejected == Counter({"not in UTF-8": 1})
    assert source.account.files["kills.csv"].used == 3


def test_a_byte_order_mark_does_not_hide_the_first_column(tmp_path: Path) -> None:
    folder = small().write(tmp_path)
    put(folder, "kills", text_of(COLUMNS["kills"], small().kills).encode("utf-8-sig"))
    source, _ = read(folder)
    assert source.account.files["kills.csv"].used == 3


def test_utf_16_is_an_error_that_names_file_and_column(tmp_path: Path) -> None:
    folder = small().write(tmp_path)
    put(folder, "kills", text_of(COLUMNS["kills"], small().kills).encode("utf-16"))
    with pytest.raises(SourceError, match=r"kills\.csv has no column Address"):
        LolPro(folder)


def test_rows_with_too_few_columns_or_a_broken_quote_are_counted(tmp_path: Path) -> None:
    folder = small().write(tmp_path)
    text = text_of(COLUMNS["kills"], small().kills) + "short,row\n" + '"never closed,1,2\nmore\n'
    put(folder, "kills", text.encode())
    source, _ = read(folder)
    assert source.account.files["kills.csv"].rejected == Counter({"wrong number of columns": 2})
    assert source.account.balanced


def test_a_folder_without_matches_is_an_error_and_one_above_is_found(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"matchinfo\.csv"):
        folder_of(tmp_path)
    with pytest.raises(SourceError, match="not a folder"):
        folder_of(tmp_path / "nowhere")
    inner = small().write(tmp_path / "lol-pro-2014-2017")
    assert folder_of(tmp_path) == inner


ANY_TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=12)
NASTY = st.one_of(
    ANY_TEXT,
    st.sampled_from(["", "nan", "inf", "-0", "1e400", "12.5", "TooEarly", "None", "=", "٣", "1_0", "0x10"]),
    st.floats().map(str),
    st.integers().map(str),
)


def mixed(good: dict[str, str]) -> st.SearchStrategy[dict[str, str]]:
    """A good row with some values replaced by anything."""
    changes = st.dictionaries(st.sampled_from(sorted(good)), NASTY, max_size=3)
    return changes.map(lambda changed: good | changed)


FILES = st.builds(
    Files,
    matchinfo=st.lists(st.one_of(mixed(match_row(1)), mixed(match_row(2))), max_size=4),
    bans=st.lists(mixed(ban_row(1)), max_size=3),
    kills=st.lists(st.one_of(mixed(kill_row(1)), mixed(kill_row(2)), mixed(kill_row(3))), max_size=8),
    structures=st.lists(mixed(structure_row(1)), max_size=6),
    monsters=st.lists(mixed(monster_row(2)), max_size=6),
    gold=st.one_of(
        st.none(),
        st.lists(mixed({"Address": address(1), "goldblue": "[1, 2]", "goldred": "[3, 4]"}), max_size=3).map(
            lambda rows: (["Address", "goldblue", "goldred"], rows)
        ),
        st.lists(
            st.one_of(
                mixed({"Address": address(1), "Type": "goldblue", "min_1": "1", "min_2": "2"}),
                mixed({"Address": address(1), "Type": "goldred", "min_1": "1", "min_2": "2"}),
            ),
            max_size=4,
        ).map(lambda rows: (["Address", "Type", "min_1", "min_2"], rows)),
    ),
)


@given(files=FILES, limit=st.one_of(st.none(), st.integers(0, 3)), packed=st.booleans())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_dirt_of_any_kind_never_crashes_and_the_account_always_balances(
    tmp_path_factory: pytest.TempPathFactory, files: Files, limit: int | None, packed: bool
) -> None:
    folder = files.write(tmp_path_factory.mktemp("dirt"), packed=packed)
    source, matches = read(folder, limit)
    account = source.account
    assert account.balanced
    for name in COLUMNS:
        file = account.files[f"{name}.csv"]
        # A csv record, not a line: values may hold line feeds.
        assert file.read == len(getattr(files, name))
    assert account.kinds.total() == sum(len(match) for match in matches)
    schema = for_topic("live-matches")
    codec = Codec(schema, 1)
    for match in matches:
        check_order(match)
        for event in match:
            assert None not in event.values()
            assert not faults(event, schema, now_ms=4_200_000_000_000)
            decoded = codec.decode(codec.encode(event))
            assert {key: value for key, value in decoded.items() if value is not None} == event
    _, again = read(folder, limit)
    assert again == matches


def check_order(match: list[Event]) -> None:
    """Start first, end last, clocks never back, ordinals without a gap, ids of their own."""
    assert match[0]["event_type"] == "MATCH_START"
    assert match[-1]["event_type"] == "MATCH_END"
    clocks = [event["game_time_ms"] for event in match]
    assert clocks == sorted(clocks)
    assert [event["ordinal"] for event in match] == list(range(len(match)))
    assert len({event["event_id"] for event in match}) == len(match)
    assert all(event["event_id"] == identify(event) for event in match)
    assert all(event["event_time"] - match[0]["event_time"] == event["game_time_ms"] for event in match)


def raw_rows(data: Path, name: str) -> list[dict[str, str]]:
    """Rows of a real file, read in another way than the source reads them."""
    packed = (folder_of(data) / f"{name}.csv.gz").read_bytes()
    return list(csv.DictReader(io.StringIO(gzip.decompress(packed).decode())))


def match_id_of(url: str) -> str:
    """Platform and game number; some addresses have an account number behind."""
    platform, game, *_ = url.partition("match-details/")[2].partition("?")[0].split("/")
    return f"{platform}/{game}"


@pytest.fixture(scope="module")
def real(request: pytest.FixtureRequest) -> tuple[Path, LolPro, list[list[Event]]]:
    data: Path = request.getfixturevalue("data")
    source = LolPro(data)
    return data, source, list(source.matches())


def test_the_real_data_set_balances_to_the_row(real: tuple[Path, LolPro, list[list[Event]]]) -> None:
    data, source, matches = real
    account = source.account
    assert account.balanced
    for name in (*COLUMNS, "gold"):
        assert account.files[f"{name}.csv"].read == len(raw_rows(data, name))
    assert len(matches) == 6_861
    assert account.files["kills.csv"].rejected == {"placeholder without a time": 92}
    assert account.files["structures.csv"].rejected == {
        "placeholder without a time": 6_846,
        "Azir's Sun Disc (FOUNTAIN_TURRET), no tower": 78,
    }
    assert not account.files["monsters.csv"].rejected
    assert "names in kills that are in no roster" not in account.notes


def test_real_counts_by_match_and_side_equal_the_raw_rows(
    real: tuple[Path, LolPro, list[list[Event]]],
) -> None:
    data, _, matches = real
    wanted: dict[str, Counter[str]] = defaultdict(Counter)
    for row in raw_rows(data, "kills"):
        if row["Killer"]:
            wanted[row["Address"]][f"{row['Team'][0]} kill"] += 1
    for row in raw_rows(data, "structures"):
        if row["Type"] not in ("", "FOUNTAIN_TURRET"):
            wanted[row["Address"]][f"{row['Team'][0]} {row['Type']} {row['Lane']}"] += 1
    for row in raw_rows(data, "monsters"):
        wanted[row["Address"]][f"{row['Team'][0]} {row['Type']}"] += 1
    by_id = {match_id_of(key): value for key, value in wanted.items()}
    names = {"RIFTHERALD": "RIFT_HERALD"}
    for match in matches:
        got: Counter[str] = Counter()
        for event in match:
            side = event.get("team", " ")[0]
            if event["event_type"] == "CHAMPION_KILL":
                got[f"{side} kill"] += 1
            elif event["event_type"] == "BUILDING_KILL":
                got[f"{side} {event.get('tower_type', 'INHIBITOR')} {event['lane']}"] += 1
            elif event["event_type"] == "ELITE_MONSTER_KILL":
                kind = str(event.get("monster_sub", event["monster"]))
                got[f"{side} {names.get(kind, kind)}"] += 1
        assert got == by_id[match[0]["match_id"]], match[0]["match_id"]


def test_real_winners_and_gold_equal_the_raw_rows(real: tuple[Path, LolPro, list[list[Event]]]) -> None:
    data, _, matches = real
    by_id = {match[0]["match_id"]: match for match in matches}
    for row in raw_rows(data, "matchinfo"):
        match = by_id[match_id_of(row["Address"])]
        assert match[-1]["winner"] == ("blue" if row["bResult"] == "1" else "red")
        assert math.ceil(match[-1]["duration_ms"] / 60_000) == int(row["gamelength"])
    for row in raw_rows(data, "gold"):
        match = by_id[match_id_of(row["Address"])]
        gold = of_kind(match, "TEAM_GOLD")
        assert [e["blue_gold"] for e in gold] == json.loads(row["goldblue"])
        assert [e["red_gold"] for e in gold] == json.loads(row["goldred"])
        assert [e["game_time_ms"] for e in gold] == [60_000 * minute for minute in range(len(gold))]


def test_every_real_event_is_in_order_valid_and_of_its_own(
    real: tuple[Path, LolPro, list[list[Event]]],
) -> None:
    _, _, matches = real
    ids: set[str] = set()
    last = 0
    schema = for_topic("live-matches")
    for match in matches:
        check_order(match)
        assert match[0]["event_time"] > last
        last = match[-1]["event_time"]
        ids.update(event["event_id"] for event in match)
        assert not any(faults(event, schema) for event in match)
    assert len(ids) == sum(len(match) for match in matches)


def test_the_winner_of_a_real_match_destroyed_the_nexus_turrets(
    real: tuple[Path, LolPro, list[list[Event]]],
) -> None:
    """``Team`` says who destroyed: else most nexus turrets would stand under the loser."""
    _, _, matches = real
    by_winner: Counter[bool] = Counter()
    for match in matches:
        for event in of_kind(match, "BUILDING_KILL"):
            if event.get("tower_type") == "NEXUS_TURRET":
                by_winner[event["team"] == match[-1]["winner"]] += 1
    assert by_winner == {True: 13_607, False: 292}
