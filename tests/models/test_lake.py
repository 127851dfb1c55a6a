"""What training reads of the lake is what lies in it, snapshot by snapshot."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from lakehouse.catalog import connect
from lakehouse.tables import MATCH_EVENTS, load
from models.lake import Lake
from riftstream.errors import ModelError, StackError
from riftstream.settings import Settings
from streams.sources.sample import matches
from tests.lakehouse import lake

NUMBER = 6


@dataclass(frozen=True)
class Filled:
    """A lake to which matches came in two commits, the later ones first."""

    settings: Settings
    first: int


@pytest.fixture(scope="module")
def filled(new_lake: Callable[[], Settings]) -> Filled:
    settings = new_lake()
    catalog = connect(settings)
    logs = [lake.log(match, place % 2) for place, match in enumerate(list(matches())[:NUMBER])]
    with pytest.raises(ModelError, match="nothing in it"):
        Lake(settings=settings)
    lake.put(catalog, MATCH_EVENTS, [event for log in logs[3:] for event in reversed(log)])
    first = load(catalog, MATCH_EVENTS).current_snapshot()
    assert first is not None
    lake.put(catalog, MATCH_EVENTS, [event for log in logs[:3] for event in log])
    return Filled(settings, first.snapshot_id)


@pytest.mark.stack
def test_matches_of_the_lake_are_those_of_the_source_event_by_event(filled: Filled) -> None:
    found = Lake(settings=filled.settings)
    given = sorted(list(matches())[:NUMBER], key=lambda match: (match[0]["event_time"], match[0]["match_id"]))
    assert len(found) == NUMBER
    assert list(found.matches()) == given


@pytest.mark.stack
def test_an_older_snapshot_is_read_by_its_id(filled: Filled) -> None:
    older = Lake(filled.first, filled.settings)
    assert older.snapshot_id == filled.first != Lake(settings=filled.settings).snapshot_id
    assert {match[0]["match_id"] for match in older.matches()} == {
        match[0]["match_id"] for match in list(matches())[3:NUMBER]
    }
    assert str(filled.first) in older.account.source


@pytest.mark.stack
def test_a_snapshot_that_is_not_there_is_refused(filled: Filled) -> None:
    with pytest.raises(ModelError, match="no snapshot 1"):
        Lake(1, filled.settings)


def test_a_lake_that_does_not_answer_is_one_clear_error() -> None:
    with pytest.raises(StackError, match="does not answer"):
        Lake(settings=Settings(catalog_uri="http://127.0.0.1:9"))
