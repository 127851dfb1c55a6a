"""A person is taken out of lake, online store and dashboards by one command, and another gives them all."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import redis
from typer.testing import CliRunner

from features import forget
from features.layout import KeyMaker
from features.views import find_view
from lakehouse.catalog import connect
from lakehouse.sql import table_names
from lakehouse.tables import ERASURES
from riftstream.cli import gather
from riftstream.errors import RiftError
from riftstream.settings import Settings, get_settings
from tests.features.test_online import record, write

NOON = datetime(2017, 3, 1, 12, tzinfo=UTC)


def rift(*arguments: str, code: int = 0, answer: str | None = None) -> str:
    done = CliRunner().invoke(gather(), [*arguments], input=answer, catch_exceptions=False)
    assert done.exit_code == code, done.output
    return done.stdout


def test_an_empty_id_names_nobody() -> None:
    with pytest.raises(RiftError, match="nobody"):
        rift("lake", "erase", "--player", " ", "--yes")


@pytest.fixture
def settings(stack: Settings, new_lake: Callable[[], Settings]) -> Iterator[Settings]:
    """The platform, but with a lake that no other test counts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RIFT_CATALOG_WAREHOUSE", new_lake().catalog_warehouse)
        get_settings.cache_clear()
        yield get_settings()
    get_settings.cache_clear()


@pytest.mark.stack
def test_a_person_is_exported_and_erased_everywhere(settings: Settings, tmp_path: Path) -> None:
    gone, stays = (f"{name} [*] {uuid.uuid4().hex}" for name in ("gone", "stays"))
    put(settings, gone, stays)
    client: Any = redis.Redis.from_url(settings.redis_url.get_secret_value())
    key = KeyMaker(("player_id",)).key

    found = json.loads(rift("lake", "export", "--player", gone, "--out", str(tmp_path / "all"), "--json"))
    assert found["tables"] == {"features.player_form": 1, "raw.match_events": 1}
    assert pq.read_table(tmp_path / "all" / "features.player_form.parquet")["games"].to_pylist() == [3]
    [online] = json.loads((tmp_path / "all" / "online.json").read_text())["player_form"]
    assert (online["player_id"], online["games"]) == (gone, 3)

    before = table_names(connect(settings))
    rift("lake", "erase", "--player", gone, code=1, answer="n\n")
    assert client.exists(key(gone.encode()))
    done = json.loads(rift("lake", "erase", "--player", gone, "--yes", "--json"))
    assert done["complete"]
    assert {one["table"]: (one["rows_removed"], one["rows_altered"]) for one in touched(done)} == {
        "features.player_form": (1, 0),
        "raw.match_events": (0, 1),
    }
    assert {one["table"] for one in done["tables"]} == set(before)
    assert done["online_keys_deleted"] == 1
    assert not client.exists(key(gone.encode()))
    assert client.exists(key(stays.encode()))
    records = connect(settings).load_table(ERASURES).scan().to_arrow().to_pylist()
    [record] = [one for one in records if one["erasure_id"] == done["erasure_id"]]
    assert record["complete"] and gone not in json.dumps(record, default=str)
    again = json.loads(rift("lake", "erase", "--player", gone, "--yes", "--json"))
    assert (again["complete"], touched(again)) == (True, [])
    forget.forget(settings, stays)


def touched(done: dict[str, Any]) -> list[dict[str, Any]]:
    return [one for one in done["tables"] if one["files_rewritten"] or one["files_deleted"]]


def put(settings: Settings, gone: str, stays: str) -> None:
    """Forms of two players in the lake and online, and a kill of one by the other."""
    catalog = connect(settings)
    forms = catalog.load_table("features.player_form")
    rows = [{"player_id": player, "event_time": NOON, "games": 3} for player in (gone, stays)]
    forms.append(pa.Table.from_pylist(rows, schema=forms.schema().as_arrow()))
    view = find_view("player_form")
    ms = int(NOON.timestamp() * 1000)
    for player in (gone, stays):
        write(settings, (view, record(view, player, ms, games=3)))
    events = catalog.load_table("raw.match_events")
    kill = {"match_id": gone[-8:], "event_time": NOON, "player_id": stays, "victim_id": gone}
    events.append(pa.Table.from_pylist([kill], schema=events.schema().as_arrow()))
