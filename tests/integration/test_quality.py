"""What the platform tells of its own features and feeds: quality by view, and alerts."""

from __future__ import annotations

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from features.views import find_service
from riftstream.cli import gather
from riftstream.settings import Settings
from streams.sources import sample
from tests.integration.tools import event, new_match, send, wait_for

pytestmark = pytest.mark.stack


def rift(*arguments: str) -> Any:
    return CliRunner().invoke(gather(), [*arguments], catch_exceptions=False)


def test_the_writer_tells_how_fresh_whole_and_near_to_training_the_features_are(stack: Settings) -> None:
    run = new_match("quality")
    for number, match in enumerate(sample.matches()):
        names = {"match_id": f"{run}/{number}", "league": "TEST"}
        send(stack, *(one | names | {"event_id": f"{run}/{one['event_id']}"} for one in match))
    wait_for(
        stack, "feature-quality", lambda row: row["view"] == "match_state" and row["drifting"] is not None
    )
    found = {view["view"]: view for view in json.loads(rift("status", "--json").stdout)["features"]}
    states = found["match_state"]
    assert states["age_p50_ms"] <= states["age_p99_ms"]
    assert (states["null_rates"]["kills_diff"], 0 < states["null_rates"]["gold_diff"] < 1) == (0.0, True)
    read = {name.partition(":")[2] for name in find_service("win_probability_v1").features}
    assert states["psi"].keys() == read
    lines = rift("features", "quality", "match_state", "--prometheus").stdout.splitlines()
    assert f'rift_feature_null_rate{{view="match_state",feature="kills_diff"}} {0.0!r}' in lines


def test_a_clock_that_goes_back_raises_an_alert_with_its_place_in_the_log(stack: Settings) -> None:
    match = new_match("alert")
    send(stack, event(match, 10), back := event(match, 11, game_time_ms=540_000), event(match, 12))
    (alert,) = wait_for(stack, "alerts", lambda row: row["match_id"] == match)
    assert (alert["kind"], alert["event_id"], alert["value"]) == ("clock_backwards", back["event_id"], 60_000)
    (state,) = wait_for(stack, "match-features", lambda row: row["event_id"] == back["event_id"])
    place = ("source_partition", "source_offset")
    assert [alert[name] for name in place] == [state[name] for name in place]
