"""What is said about history from the command line, and that all of it can be made anew."""

from __future__ import annotations

from typing import Any

import pytest
from typer.testing import CliRunner

from jobs import sqlfile
from lakehouse.tables import LOG, TABLES
from riftstream.cli import gather
from riftstream.cli.training import HISTORIES
from riftstream.errors import RiftError


def rift(*arguments: str) -> Any:
    return CliRunner().invoke(gather(), [*arguments])


def test_every_table_that_is_made_of_events_can_be_made_anew() -> None:
    of_topics = {spec.name for spec in TABLES if spec.extra == LOG}
    told_once = {"raw.dead_letters", "raw.feed_snapshots", "models.updates", "predictions.predictions"}
    assert {one.table for one in HISTORIES} == of_topics - told_once


@pytest.mark.parametrize("history", HISTORIES, ids=lambda history: history.table)
def test_history_is_made_by_a_view_or_topic_of_its_job(history: Any) -> None:
    job = sqlfile.load(history.job)
    assert history.view in (*job.views, *job.targets)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--from", "yesterday", "--to", "2017-06-02"), "yesterday is no day"),
        (("--from", "2017-06-02", "--to", "2017-06-01"), "2017-06-01 is before 2017-06-02"),
        (
            ("--from", "2017-06-01", "--to", "2017-06-02", "--table", "raw.match_events"),
            "cannot be backfilled",
        ),
    ],
)
def test_a_wrong_range_or_table_is_told_in_one_sentence(arguments: tuple[str, ...], sentence: str) -> None:
    error = rift("features", "backfill", *arguments).exception
    assert isinstance(error, RiftError)
    assert sentence in error.message
