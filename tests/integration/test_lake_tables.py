"""Predictions, their outcomes, quality of models and dead letters on the real platform: in the lake, once."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from pyiceberg.expressions import In

from lakehouse.catalog import connect
from riftstream.settings import Settings
from streams.avro import Record
from streams.sources import sample
from tests.integration.tools import event, new_match, read_all, send, until

pytestmark = pytest.mark.stack


def _in_lake(stack: Settings, table: str, matches: set[str]) -> list[dict[str, Any]]:
    wanted = In("match_id", matches)  # type: ignore[call-arg]
    found: list[dict[str, Any]] = (
        connect(stack).load_table(table).scan(row_filter=wanted).to_arrow().to_pylist()
    )
    return found


def test_when_a_match_ends_every_prediction_of_it_has_its_outcome_in_the_lake(stack: Settings) -> None:
    run = new_match("lake")
    played: dict[str, list[Record]] = {}
    for match in sample.matches()[:3]:
        name = f"{run}/{match[0]['match_id']}"
        played[name] = [one | {"match_id": name, "event_id": f"{run}{one['event_id']}"} for one in match]
    bad = next(iter(played))
    send(stack, *(one for match in played.values() for one in match), event(bad, 9_999, "PENTAKILL"))
    winners = {name: match[-1]["winner"] for name, match in played.items()}

    def said() -> dict[str, Record]:
        rows = (row for row in read_all(stack, "predictions") if row["match_id"] in played)
        return {row["prediction_id"]: row for row in rows}

    sent = sum(map(len, played.values()))
    until(lambda: len(said()) == sent, "a prediction of every event", patience=60)
    wanted = said()

    def outcomes() -> list[dict[str, Any]]:
        return _in_lake(stack, "predictions.prediction_outcomes", set(played))

    until(lambda: len(outcomes()) >= len(wanted), "an outcome of every prediction in the lake", patience=60)
    found = outcomes()
    assert Counter(row["prediction_id"] for row in found) == Counter(dict.fromkeys(wanted, 1))
    for row in found:
        of = wanted[row["prediction_id"]]
        assert (row["probability"], row["game_time_ms"]) == (of["probability"], of["game_time_ms"])
        assert (row["winner"], row["outcome"]) == (
            winners[row["match_id"]],
            int(winners[row["match_id"]] == "blue"),
        )
    kept = Counter(row["prediction_id"] for row in _in_lake(stack, "predictions.predictions", set(played)))
    assert kept == Counter(dict.fromkeys(wanted, 1))

    ends = {(row["source_partition"], row["source_offset"]) for row in found}
    told = [
        row
        for row in read_all(stack, "model-quality")
        if (row["source_partition"], row["source_offset"]) in ends
    ]
    assert {row["minute"] for row in told} >= {-1, *(row["minute"] for row in found)}
    everything = [row for row in told if row["minute"] == -1 and row["league"] is None]
    assert len(everything) >= len(played)
    assert all(0 <= row["brier"] <= 1 and row["predictions"] > 0 for row in everything)

    def letters() -> list[str]:
        return [row["reason"] for row in _in_lake(stack, "raw.dead_letters", {bad})]

    until(lambda: letters() == ["unknown_event_type"], "the dead letter in the lake", patience=60)
