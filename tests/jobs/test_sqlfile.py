"""A job is a file: its header, its settings, its statements."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from jobs import ddl, sqlfile
from lakehouse.tables import TABLES
from riftstream.errors import JobError

HEADER = "-- Reads: a\n-- Writes: b\n-- Keeps: c\n--   and d\n-- Promises: e\n"


@pytest.mark.parametrize("name", sqlfile.names())
def test_every_job_says_what_it_reads_writes_keeps_and_promises(name: str) -> None:
    assert set(sqlfile.load(name).header) == set(sqlfile.HEADINGS)


@pytest.mark.parametrize("name", sqlfile.names())
def test_the_header_names_every_table_that_is_written_and_no_other(name: str) -> None:
    job = sqlfile.load(name)
    said = {ddl.table_name(word.strip()) for word in job.header["Writes"].split(",")}
    assert said == set(job.targets)


@pytest.mark.parametrize("name", sqlfile.names())
def test_the_header_names_every_topic_that_is_read_and_no_other(name: str) -> None:
    job = sqlfile.load(name)
    said = {ddl.table_name(word.strip()) for word in job.header["Reads"].split(",")}
    assert said == {table for table in ddl.topics() if table in job.words} - set(job.targets)


_INTO = re.compile(r"INSERT INTO ([\w.`]+) (?:/\*\+.*?\*/ )?\(([^)]*)\)", re.DOTALL)


@pytest.mark.parametrize("name", sqlfile.names())
def test_every_column_of_every_sink_is_written(name: str) -> None:
    job = sqlfile.load(name)
    for insert in job.inserts:
        target, columns = _INTO.match(insert).groups()  # type: ignore[union-attr]
        written = [column.strip(" `\n") for column in columns.split(",")]
        if target in ddl.topics():
            wanted = {field.name for field in ddl.topics()[target].fields}
        else:
            table = next(table for table in TABLES if f"lake.{table.name}" == target.replace("`", ""))
            wanted = {field.name for field in table.fields}
        assert len(written) == len(set(written))
        assert set(written) == wanted, target


@pytest.mark.parametrize("name", sqlfile.names())
def test_key_words_are_in_capitals(name: str) -> None:
    job = sqlfile.load(name)
    text = " ".join([*job.views.values(), *job.inserts])
    code = re.sub(r"'[^']*'|`[^`]*`", "", text)
    words = r"select|from|where|case|when|then|else|end|over|partition by|order by|insert into|as|and|or|not"
    assert not re.findall(rf"\b(?:{words})\b", code)


def test_the_lines_of_a_heading_go_on_until_the_next() -> None:
    job = sqlfile.parse("x", HEADER + "INSERT INTO t SELECT 1")
    assert job.header == {"Reads": "a", "Writes": "b", "Keeps": "c and d", "Promises": "e"}


def test_statements_end_at_semicolons_outside_of_quotes_and_comments() -> None:
    text = "SELECT 'a;b''c;' AS `x;y` -- no; end\n, 1 /* nor; here */ ;\nSELECT 2 - 1 / 3; ;"
    assert sqlfile.statements(text) == ["SELECT 'a;b''c;' AS `x;y` \n, 1", "SELECT 2 - 1 / 3"]


def test_a_hint_is_no_comment() -> None:
    text = HEADER + "INSERT INTO t /*+ OPTIONS('a'='b') */ (c) SELECT 1 /* one */;"
    job = sqlfile.parse("x", text)
    assert job.inserts == ("INSERT INTO t /*+ OPTIONS('a'='b') */ (c) SELECT 1",)
    assert job.rows_of("t") == "SELECT * FROM (SELECT 1) AS fed (c)"


def test_a_job_is_taken_apart_into_settings_views_and_inserts() -> None:
    text = HEADER + "SET 'a.b' = 'c d';\nCREATE TEMPORARY VIEW v AS SELECT 1;\nINSERT INTO `s`.t TABLE v;"
    job = sqlfile.parse("x", text)
    assert job.settings == sqlfile.COMMON | {"a.b": "c d"}
    assert list(job.views) == ["v"]
    assert job.targets == ("s.t",)


def test_a_header_without_a_promise_is_refused() -> None:
    with pytest.raises(JobError, match="does not say Promises"):
        sqlfile.parse("x", HEADER.replace("-- Promises: e\n", "") + "INSERT INTO t SELECT 1")


def test_a_statement_that_changes_tables_is_refused() -> None:
    with pytest.raises(JobError, match="DROP TABLE"):
        sqlfile.parse("x", HEADER + "DROP TABLE t; INSERT INTO t SELECT 1")


def test_a_job_that_writes_nothing_is_refused() -> None:
    with pytest.raises(JobError, match="writes nothing"):
        sqlfile.parse("x", HEADER + "CREATE TEMPORARY VIEW v AS SELECT 1")


def test_an_unknown_job_is_told_with_those_that_there_are() -> None:
    with pytest.raises(JobError, match=r"There are: .*match_pipeline"):
        sqlfile.load("no_such_job")


def test_a_file_elsewhere_knows_the_topics_whose_records_lie_beside_it(tmp_path: Path) -> None:
    statement = "INSERT INTO made_up SELECT match_id FROM live_matches;"
    (tmp_path / "other.sql").write_text(HEADER + statement)
    fields = [{"name": "match_id", "type": "string", "unit": "none", "doc": "The match."}]
    schema = {"type": "record", "name": "MadeUp", "doc": "Made up.", "topic": "made-up", "key": "match_id"}
    (tmp_path / "made_up.avsc").write_text(json.dumps(schema | {"fields": fields}))
    job = sqlfile.read(tmp_path / "other.sql")
    assert (job.name, job.file, job.targets) == ("other", tmp_path / "other.sql", ("made_up",))
    assert set(ddl.topics(job.schemas)) - set(ddl.topics()) == {"made_up"}


def test_jobs_of_the_platform_have_no_topics_of_their_own() -> None:
    assert all(sqlfile.load(name).schemas == () for name in sqlfile.names())


def test_a_job_may_begin_with_the_views_of_another_up_to_one() -> None:
    pipeline, job = sqlfile.load("match_pipeline"), sqlfile.load("match_summary")
    assert job.begins_with == "match_pipeline.valid"
    assert list(job.views)[:2] == ["checked", "valid"]
    assert job.views["valid"] == pipeline.views["valid"]
    assert "accepted" not in job.views


def test_rows_of_a_sink_bear_the_names_of_its_columns() -> None:
    text = "INSERT INTO t (a, `b`) SELECT 1, 2 FROM s; INSERT INTO u SELECT 1"
    job = sqlfile.parse("x", HEADER + text)
    assert job.rows_of("t") == "SELECT * FROM (SELECT 1, 2 FROM s) AS fed (a, `b`)"
    with pytest.raises(JobError, match="no one INSERT INTO u"):
        job.rows_of("u")


def test_every_topic_that_is_made_of_others_has_one_writer() -> None:
    assert sqlfile.writer("player_games").name == "match_summary"
    with pytest.raises(JobError, match="0 jobs write live_matches"):
        sqlfile.writer("live_matches")
