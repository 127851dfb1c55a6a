"""Submitting, stopping, going on, and running over history."""

from __future__ import annotations

import gzip
import itertools
from collections import Counter
from pathlib import Path

import orjson
import pytest

from jobs import runner
from jobs.cluster import Snapshot, innermost
from riftstream.errors import JobError, StackError
from riftstream.settings import Settings
from streams.client import Producer
from streams.sources import sample
from tests import recompute
from tests.integration.tools import event, new_match, of_match, send, until, wait_for


def test_the_innermost_cause_of_a_stack_trace_is_what_people_are_told() -> None:
    trace = "x.Outer: failed\n\tat a.B(C.java:1)\nCaused by: x.Mid: so\n\tat d\nCaused by: x.In: why\n\tat e"
    assert innermost(trace) == "x.In: why"
    assert innermost("x.Alone: why\n\tat e") == "x.Alone: why"
    assert innermost("") == ""


class _Snapshots:
    """A cluster that knows of these snapshots."""

    def __init__(self, known: dict[str, list[Snapshot]]) -> None:
        self.known = known

    def snapshots(self, job_id: str) -> list[Snapshot]:
        return self.known.get(job_id, [])


def test_a_job_goes_on_from_the_newest_of_all_checkpoints_and_savepoints() -> None:
    memory = runner._Memory(["old", "new"], [{"path": "savepoint", "taken_ms": 20}])
    checkpoints = {"old": [Snapshot("old/chk-9", 10)], "new": [Snapshot("new/chk-1", 30)]}
    cluster = _Snapshots(checkpoints)
    assert runner._restore_path(cluster, memory, runner.LATEST) == "new/chk-1"  # type: ignore[arg-type]
    checkpoints["new"].clear()
    assert runner._restore_path(cluster, memory, runner.LATEST) == "savepoint"  # type: ignore[arg-type]
    assert runner._restore_path(cluster, memory, "mine") == "mine"  # type: ignore[arg-type]


def test_a_job_without_any_checkpoint_begins_anew() -> None:
    cluster = _Snapshots({})
    assert runner._restore_path(cluster, runner._Memory(["gone"]), runner.LATEST) is None  # type: ignore[arg-type]


def test_what_is_remembered_of_a_job_survives_the_process(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    assert runner._recall(settings, "x") == runner._Memory()
    memory = runner._Memory(["a"], [{"path": "p", "taken_ms": 1}])
    runner._remember(settings, "x", memory)
    assert runner._recall(settings, "x") == memory


def test_secrets_reach_the_child_process_readable_and_every_setting_comes_back(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, s3_secret_key="hidden")  # noqa: S106
    opened = runner._open(settings)
    assert opened["s3_secret_key"] == "hidden"  # noqa: S105
    assert Settings(**orjson.loads(orjson.dumps(opened))) == settings


def test_an_unknown_job_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    with pytest.raises(JobError, match="There is no job nonsense"):
        runner.submit("nonsense", settings=Settings(home=tmp_path))


def test_a_cluster_that_is_away_is_told_in_one_sentence(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, flink_url="http://127.0.0.1:9")
    with pytest.raises(StackError, match="Flink does not answer at"):
        runner.running(settings)


def test_history_of_a_file_needs_no_stack(tmp_path: Path) -> None:
    first, second = sample.matches()[:2]
    file = tmp_path / "events.jsonl.gz"
    log = list(itertools.chain.from_iterable(zip(first, second, strict=False)))
    file.write_bytes(gzip.compress(b"".join(orjson.dumps(event) + b"\n" for event in log)))
    chosen = first[0]["match_id"]
    settings = Settings(home=tmp_path / "home")
    out = tmp_path / "results.parquet"
    rows = runner.run_batch(
        "match_pipeline", "features", source=file, matches=[chosen], out=out, settings=settings
    ).to_pylist()
    kept = [event for event in log if event["match_id"] == chosen]
    assert out.is_file()
    assert [row["event_id"] for row in rows] == [event["event_id"] for event in kept]
    assert [row["source_offset"] for row in rows] == list(range(0, 2 * len(kept), 2))
    assert rows[-1]["events"] == len(kept)


def test_a_file_that_holds_no_events_is_told_in_one_sentence(tmp_path: Path) -> None:
    file = tmp_path / "broken.jsonl"
    file.write_text("{not json\n")
    with pytest.raises(JobError, match="holds no events that can be read"):
        runner.run_batch("match_pipeline", "features", source=file, settings=Settings(home=tmp_path))


def _in_lake(stack: Settings, match: str) -> Counter[str]:
    """How often each event of a match lies in the lake."""
    from lakehouse.tables import events

    return Counter(events(match, settings=stack)["event_id"].to_pylist())


@pytest.mark.stack
def test_a_savepoint_is_one_that_the_job_can_go_on_from(stack: Settings) -> None:
    taken = runner.savepoint("match_pipeline", settings=stack)
    assert taken.path.startswith("file:")
    assert Path(taken.path.removeprefix("file:"), "_metadata").is_file()


@pytest.mark.stack
def test_a_job_that_runs_is_left_alone(stack: Settings) -> None:
    first = runner.submit("match_pipeline", settings=stack)
    again = runner.submit("match_pipeline", settings=stack)
    assert (again.job_id, again.new) == (first.job_id, False)


@pytest.mark.stack
def test_an_upgrade_in_the_middle_of_a_match_loses_and_doubles_nothing(stack: Settings) -> None:
    match = new_match("upgrade")
    log = [event(match, n) for n in range(1, 41)]
    send(stack, *log[:20])
    wait_for(stack, "match-features", of_match(match), 20, identity="event_id")
    before = runner.submit("match_pipeline", settings=stack).job_id
    upgraded = runner.upgrade("match_pipeline", settings=stack)
    assert upgraded.job_id != before
    assert upgraded.restored_from
    send(stack, *log[20:], log[3])
    rows = wait_for(stack, "match-features", of_match(match), 40, identity="event_id")
    by_event = {row["event_id"]: row for row in rows}
    assert [by_event[e["event_id"]]["kills_blue"] for e in log] == list(range(1, 41))
    wait_for(stack, "dead-letters", lambda letter: letter["match_id"] == match, 1, identity="dead_letter_id")
    until(lambda: _in_lake(stack, match).total() >= 40, "40 events in the lake")
    assert _in_lake(stack, match) == Counter(e["event_id"] for e in log)


@pytest.mark.stack
def test_features_of_a_match_are_rebuilt_from_the_lake_alone(stack: Settings) -> None:
    match = new_match("rebuild")
    names = [f"{match}/{n}" for n in range(2)]
    with Producer(stack) as producer:
        for name, real in zip(names, sample.matches()[:2], strict=True):
            for one in real:
                producer.send(one | {"match_id": name, "event_id": f"{name}/{one['ordinal']}"})
    count = sum(map(len, sample.matches()[:2]))
    streamed = wait_for(
        stack, "match-features", lambda row: row["match_id"] in names, count, identity="event_id"
    )
    until(lambda: sum(_in_lake(stack, name).total() for name in names) == count, "all events in the lake")
    rebuilt = runner.run_batch("match_pipeline", "features", matches=names, settings=stack).to_pylist()
    assert len(rebuilt) == count
    by_event = {row["event_id"]: row for row in streamed}
    for row in rebuilt:
        live = by_event[row["event_id"]]
        fields = live.keys() - set(recompute.NOT_RECOMPUTED) | {"kafka_time"}
        assert {f: row[f] for f in fields} == {f: live[f] for f in fields}
