"""A column is traced back through a job's views to the events."""

from __future__ import annotations

import pytest

from jobs import columns, sqlfile
from jobs.columns import Step
from jobs.sqlfile import Job
from streams.schemas import for_topic

SQL = """-- tiny: for this test.
--
-- Reads:    live-matches
-- Writes:   match-features
-- Keeps:    nothing
-- Promises: nothing
CREATE TEMPORARY VIEW marks AS
SELECT match_id, CASE WHEN team IN ('blue, AS red', 'FROM') THEN 1 END AS mark, kills FROM live_matches;
CREATE TEMPORARY VIEW sums AS
SELECT m.match_id, SUM(m.mark) OVER w AS marked, kills
FROM marks AS m WINDOW w AS (PARTITION BY match_id ORDER BY log_order);
CREATE TEMPORARY VIEW passed AS
SELECT * FROM sums WHERE marked > 0;
INSERT INTO match_features (match_id, total, `kills`)
SELECT match_id, marked + 1, kills FROM passed;
"""


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> Job:
    job = sqlfile.parse("tiny", SQL)
    monkeypatch.setattr(columns, "_job", lambda name: job)
    monkeypatch.setattr(columns, "_line", lambda name, text: SQL[: SQL.index(text)].count("\n") + 1)
    return job


def test_every_expression_on_the_way_is_a_step_and_what_is_passed_on_is_none(tiny: Job) -> None:
    assert columns.trace("tiny", "match_features", "total") == [
        Step("match_features", "total", "marked + 1", 14),
        Step("sums", "marked", "SUM(m.mark) OVER w", 9),
        Step("marks", "mark", "CASE WHEN team IN ('blue, AS red', 'FROM') THEN 1 END", 7),
    ]
    assert columns.trace("tiny", "match_features", "kills") == []


def test_a_column_that_the_job_does_not_write_has_no_steps(tiny: Job) -> None:
    assert columns.trace("tiny", "match_features", "nonsense") == []


def test_the_writer_of_a_topic_is_found() -> None:
    assert columns.writer("match_features") == "match_pipeline"
    assert columns.writer("live_matches") is None


@pytest.mark.parametrize("topic", ["match-features", "player-performance"])
def test_every_field_that_is_computed_is_traced(topic: str) -> None:
    table = topic.replace("-", "_")
    text = (sqlfile.FOLDER / "match_pipeline.sql").read_text().splitlines()
    for field in for_topic(topic).fields:
        for step in columns.trace("match_pipeline", table, field.name):
            assert step.view in text[step.line - 1]


def test_a_part_of_a_row_leads_to_what_the_row_is_made_of() -> None:
    found = columns.trace("match_pipeline", "match_features", "kills_diff_3m")
    assert [step.column for step in found[:4]] == ["kills_diff_3m", "kills_blue_3m", "m", "kind"]
    assert "MATCH_STATE" in found[2].expression
    assert "CHAMPION_KILL" in found[3].expression


def test_a_column_of_an_unnested_array_leads_to_the_array() -> None:
    found = columns.trace("match_pipeline", "player_performance", "kills")
    assert [step.column for step in found[:3]] == ["kills", "player_windows", "m"]
    assert found[0].expression == "w.kills"
