"""What training reads of the lake is what was sent to it, and the card names its snapshot."""

from __future__ import annotations

import pytest

from lakehouse.catalog import connect
from lakehouse.tables import MATCH_EVENTS, events, load
from models.lake import Lake
from riftstream.errors import ModelError
from riftstream.settings import Settings
from streams.sources import open_source


@pytest.mark.stack
def test_matches_of_the_lake_are_those_that_were_sent_event_by_event(stack: Settings) -> None:
    lake = Lake(settings=stack)
    found = {match[0]["match_id"]: match for match in lake.matches()}
    assert len(found) == len(lake) > 0
    for match_id in list(found)[:3]:
        offsets = events(match_id, snapshot_id=lake.snapshot_id, settings=stack)
        assert [event["event_id"] for event in found[match_id]] == offsets["event_id"].to_pylist()
    sent = {match[0]["match_id"]: match for match in open_source("sample").matches()}
    both = sorted(sent.keys() & found)
    assert both
    for match_id in both:
        by_id = {event["event_id"]: event for event in sent[match_id]}
        for event in found[match_id]:
            known = by_id[event["event_id"]]
            assert {name: event.get(name) for name in known if name != "event_time"} == {
                name: value for name, value in known.items() if name != "event_time"
            }
            assert isinstance(event["event_time"], int)


@pytest.mark.stack
def test_an_older_snapshot_is_read_by_its_id_and_one_that_is_not_there_is_refused(stack: Settings) -> None:
    oldest = load(connect(stack), MATCH_EVENTS).snapshots()[0].snapshot_id
    assert len(Lake(oldest, stack)) <= len(Lake(settings=stack))
    with pytest.raises(ModelError, match="no snapshot 1"):
        Lake(1, stack)
