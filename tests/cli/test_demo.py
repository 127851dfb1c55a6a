from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
import typer

from riftstream.cli import demo
from riftstream.cli.demo import Source, choose, spread, turnaround
from riftstream.cli.report import SPLIT
from riftstream.cli.run import Stopped, stoppable_clock
from riftstream.cli.story import Point, Story
from riftstream.errors import SourceError
from streams.sources import sample


def test_the_sample_is_played_with_the_greatest_comeback_and_many_leagues() -> None:
    chosen = choose(Source.SAMPLE, 12)
    assert len(chosen.matches) == 12
    assert sample.COMEBACK in {match[0]["match_id"] for match in chosen.matches}
    assert len({match[0]["league"] for match in chosen.matches}) >= 5


def test_only_matches_that_the_model_was_not_trained_on_are_played() -> None:
    assert {match[0]["season"] for match in choose(Source.SAMPLE, 20).matches} == {SPLIT}


def test_one_match_may_be_played() -> None:
    assert [match[0]["match_id"] for match in choose(Source.SAMPLE, 1).matches] == [sample.COMEBACK]


def test_more_matches_than_there_are_are_refused_with_a_way_out() -> None:
    with pytest.raises(SourceError, match="20 matches, not 21") as refused:
        choose(Source.SAMPLE, 21)
    assert "RIFT_DATA" in refused.value.hint


def test_spread_takes_each_match_once_and_from_all_over() -> None:
    matches = [[{"n": n}] for n in range(10)]
    assert [match[0]["n"] for match in spread(matches, 4)] == [0, 2, 5, 7]
    assert spread(matches, 10) == matches
    assert spread(matches, 0) == []


def test_the_turnaround_is_the_winners_lowest_probability() -> None:
    points = [Point(0, 0.6, None, None), Point(1, 0.2, None, None), Point(2, 0.9, None, None)]
    assert turnaround(Story("m", winner="blue", points=points)) == 0.2
    assert turnaround(Story("m", winner="red", points=points)) == pytest.approx(0.1)
    assert turnaround(Story("m", points=points)) == 1.0


def test_the_player_can_be_stopped_between_two_events_that_are_far_apart() -> None:
    off = threading.Event()
    clock = stoppable_clock(off)
    threading.Timer(0.05, off.set).start()
    begun = time.monotonic()
    clock.sleep(60)
    assert time.monotonic() - begun < 30
    with pytest.raises(Stopped):
        clock.now_ms()


@pytest.fixture
def taken_down(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Filled when the platform is taken down; none is up before."""
    calls: list[bool] = []
    monkeypatch.setattr(demo, "_is_up", lambda: False)
    monkeypatch.setattr(demo, "_take_down", lambda: calls.append(True))
    return calls


def test_interrupted_while_the_platform_starts_it_is_taken_down(
    taken_down: list[bool], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit) as left, demo._left_clean(keep=True):
        raise KeyboardInterrupt
    assert left.value.exit_code == 130
    assert taken_down
    assert "platform is down" in capsys.readouterr().err


def test_interrupted_while_matches_are_played_the_platform_stays_up(
    taken_down: list[bool], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit), demo._left_clean(keep=True) as stack_is_up:
        stack_is_up()
        raise KeyboardInterrupt
    assert not taken_down
    assert "stays so" in capsys.readouterr().err


def test_a_platform_that_was_up_before_is_not_taken_down(
    taken_down: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "_is_up", lambda: True)
    with pytest.raises(typer.Exit), demo._left_clean(keep=True):
        raise KeyboardInterrupt
    assert not taken_down


@pytest.mark.parametrize("interrupted", [True, False])
def test_a_platform_that_is_not_to_be_kept_is_taken_down(taken_down: list[bool], interrupted: bool) -> None:
    try:
        with demo._left_clean(keep=False) as stack_is_up:
            stack_is_up()
            if interrupted:
                raise KeyboardInterrupt
    except typer.Exit:
        assert interrupted
    assert taken_down


def test_matches_of_the_data_folder_are_of_that_split_too_and_its_rows_are_accounted_for(data: Path) -> None:
    chosen = choose(Source.DATA, 30)
    assert len({match[0]["match_id"] for match in chosen.matches}) == 30
    assert {match[0]["season"] for match in chosen.matches} == {SPLIT}
    rows = chosen.rows
    assert rows["rows_read"] == rows["rows_used"] + rows["rows_left_out"] + rows["rows_rejected"] > 300_000
