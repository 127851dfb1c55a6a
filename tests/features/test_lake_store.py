"""Stock Feast on the lake: features as they were at a time, and history brought into Redis."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from features import repo
from features.online import OnlineReader
from features.views import find_view
from lakehouse.catalog import connect
from riftstream.errors import FeatureError
from riftstream.settings import Settings
from tests.integration.tools import new_match

pytestmark = pytest.mark.stack

FORM = find_view("player_form")
NOON = datetime(2017, 6, 1, 12, tzinfo=UTC)
MS = timedelta(milliseconds=1)
NAMES = ["player_form:games", "player_form:form"]


def row(player: str, time: datetime, games: int, offset: int = 0) -> dict[str, Any]:
    counts = dict.fromkeys(("wins", "kills", "deaths", "assists"), 1)
    return counts | {
        "player_id": player,
        "as_of": time,
        "match_id": "LCK/1",
        "games": games,
        "form": games / 10,
        "event_time": time,
        "source_partition": 0,
        "source_offset": 0,
        "log_partition": 0,
        "log_offset": offset,
    }


@pytest.fixture(scope="module")
def players(stack: Settings) -> tuple[str, str]:
    """Two players with a history in the lake, in no order and with two rows of one moment."""
    one, two = new_match("one"), new_match("two")
    rows = [
        row(one, NOON + timedelta(days=1), 3),
        row(one, NOON, 2, offset=7),
        row(one, NOON, 1),
        row(two, NOON - timedelta(days=90), 9),
        row(two, NOON + timedelta(days=2), 10),
    ]
    table = connect(stack).load_table(FORM.table)
    table.append(pa.Table.from_pylist(rows, schema=table.schema().as_arrow()))
    return one, two


def asked(settings: Settings, *spine: tuple[str, datetime]) -> list[Any]:
    frame = pd.DataFrame(spine, columns=["player_id", "event_timestamp"])
    found = repo.store(settings).get_historical_features(frame, NAMES).to_df()
    assert list(found["player_id"]) == [player for player, _ in spine]
    return [None if pd.isna(value) else int(value) for value in found["games"]]


def test_a_row_counts_from_its_own_millisecond_on_and_not_before(
    stack: Settings, players: tuple[str, str]
) -> None:
    one, _ = players
    day = NOON + timedelta(days=1)
    assert asked(stack, (one, NOON - MS), (one, NOON), (one, day - MS), (one, day)) == [None, 2, 2, 3]


def test_a_row_that_is_older_than_its_time_to_live_does_not_count(
    stack: Settings, players: tuple[str, str]
) -> None:
    _, two = players
    told = NOON - timedelta(days=90)
    assert asked(stack, (two, told + FORM.ttl), (two, told + FORM.ttl + MS), (two, NOON)) == [9, None, None]


def test_the_order_of_the_spine_is_kept_and_a_stranger_has_nothing(
    stack: Settings, players: tuple[str, str]
) -> None:
    one, two = players
    later = NOON + timedelta(days=3)
    assert asked(stack, (two, later), ("nobody", later), (one, later), (two, NOON)) == [10, None, 3, None]


def test_materialize_brings_the_newest_row_of_each_entity_into_redis(
    stack: Settings, players: tuple[str, str]
) -> None:
    store = repo.store(stack)
    store.materialize(NOON - timedelta(hours=1), NOON + timedelta(days=10), feature_views=["player_form"])
    reader = OnlineReader(stack)
    found = reader.get("player_form", list(players))
    assert [values["games"] for values in found.rows] == [3, 10]
    assert [values["form"] for values in found.rows] == [0.3, 1.0]
    assert (found.state == 1).all(), "history is stale"
    told = store.get_online_features(NAMES, [{"player_id": player} for player in players]).to_dict()
    assert told["games"] == [3, 10]
    reader.close()


def test_a_spine_without_a_key_is_refused(stack: Settings) -> None:
    frame = pd.DataFrame({"match_id": ["x"], "event_timestamp": [NOON]})
    store = repo.store(stack)
    with pytest.raises(FeatureError, match="no column player_id"):
        store.get_historical_features(frame, NAMES)
