from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from riftstream.cli.live import BLUE, RED, Board, bar, percentile, plain, render, sparkline, summary_line
from riftstream.cli.watch import Picture
from tests.cli.records import MATCH, event, features, prediction, result


def text_of(board: Board, width: int = 200, now_ms: int = 0) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(render(board, now_ms, width))
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


@pytest.fixture
def board() -> Board:
    board = Board()
    board.update(
        "live-matches",
        event(
            10, event_type="CHAMPION_KILL", team="blue", player_id="Bjergsen", victim_id="Hai", league="NALCS"
        ),
    )
    board.update(
        "match-features",
        features(
            10,
            kills_blue=9,
            kills_red=5,
            towers_blue=4,
            towers_red=2,
            dragons_blue=1,
            elder_dragons_blue=1,
            barons_red=1,
            gold_diff=3120,
            blue_team="TSM",
            red_team="C9",
        ),
    )
    board.update("predictions", prediction(10, 0.742, interval_low=0.61, interval_high=0.85))
    return board


def test_a_row_shows_score_probability_interval_and_the_newest_event_in_words(board: Board) -> None:
    shown = text_of(board, now_ms=1_700_000_600_120)
    for part in ("NALCS", "TSM v C9", "10:00", "9–5", "4–2", "2–0", "0–1", "+3.1k", "74 %", "61–85 %"):
        assert part in shown
    assert "Bjergsen kills Hai" in shown
    assert "120 ms" in shown


def test_the_same_row_as_a_plain_line(board: Board) -> None:
    assert plain(board.rows[MATCH]) == (
        "10:00 · NALCS TSM v C9 · kills 9–5 · towers 4–2 · dragons 2–0 · barons 0–1 · gold +3.1k · "
        "TSM wins 74 % (61–85 %) · Bjergsen kills Hai"
    )


def test_a_prediction_that_comes_twice_counts_once(board: Board) -> None:
    assert not board.update("predictions", prediction(10, 0.742))
    assert board.rows[MATCH].predictions == 1
    assert list(board.rows[MATCH].history) == [0.742]


def test_an_older_state_does_not_replace_a_newer_one(board: Board) -> None:
    board.update("match-features", features(9, kills_blue=8))
    assert board.rows[MATCH].kills == (9, 5)


@pytest.mark.parametrize(
    "other",
    [{"shadow": True}, {"model_name": "player_props"}, {"subject_type": "player"}],
)
def test_predictions_that_are_not_the_served_win_probability_are_not_shown(
    board: Board, other: dict[str, Any]
) -> None:
    assert not board.update("predictions", prediction(11, 0.1, **other))
    assert board.rows[MATCH].probability == 0.742


def test_a_match_is_over_when_the_prediction_of_its_last_event_is_there(board: Board) -> None:
    board.update("match-results", result(12))
    assert not board.over
    board.update("predictions", prediction(11, 0.9))
    assert not board.over
    board.update("predictions", prediction(12, 0.5))
    assert board.over
    assert "ended" in text_of(board)


def test_what_was_said_when_the_result_was_known_is_not_on_show(board: Board) -> None:
    board.update("predictions", prediction(12, 0.5))
    board.update("match-results", result(12))
    row = board.rows[MATCH]
    assert (row.probability, row.interval, list(row.history)) == (0.742, (0.61, 0.85), [0.742])
    assert row.predictions == 2, "it counts all the same"


def test_an_empty_board_is_not_over_and_says_that_it_waits() -> None:
    assert not Board().over
    assert summary_line(Board()) == "Waiting for the first prediction."


def test_only_the_match_asked_for_is_on_the_board() -> None:
    board = Board(match="other")
    assert not board.update("predictions", prediction(1, 0.5))
    assert not board.rows


def test_only_matches_with_the_suffix_are_on_the_board() -> None:
    board = Board(suffix="#run-2")
    board.update("predictions", prediction(1, 0.5, match_id=f"{MATCH}#run-1"))
    board.update("predictions", prediction(1, 0.5, match_id=f"{MATCH}#run-2"))
    assert list(board.rows) == [f"{MATCH}#run-2"]


def test_changed_rows_are_given_once(board: Board) -> None:
    assert [row.match_id for row in board.changed()] == [MATCH]
    assert board.changed() == []


@pytest.mark.parametrize("width", [60, 80, 100, 120, 160, 220])
def test_the_table_fits_the_terminal_and_keeps_teams_clock_and_probability(board: Board, width: int) -> None:
    shown = text_of(board, width)
    assert max(map(len, shown.splitlines())) <= width
    for part in ("TSM v C9", "10:00", "74 %"):
        assert part in shown


@pytest.mark.parametrize(
    ("probability", "blue"), [(0, 0), (0.25, 4), (0.5, 8), (1, 16), (1.7, 16), (-0.2, 0)]
)
def test_the_bar_has_blue_cells_in_proportion_and_always_its_whole_width(
    probability: float, blue: int
) -> None:
    drawn = bar(probability, 16)
    assert len(drawn.plain) == 16
    cells = {BLUE: 0, RED: 0}
    for span in drawn.spans:
        cells[str(span.style)] += span.end - span.start
    assert cells == {BLUE: blue, RED: 16 - blue}


def test_the_bar_is_drawn_to_an_eighth_of_a_cell() -> None:
    assert bar(0.5 + 1 / 32, 16).plain == "█" * 8 + "▌" + "░" * 7


def test_the_sparkline_shows_the_last_values_on_a_fixed_scale() -> None:
    assert sparkline([0.9, 0.0, 0.5, 1.0], 3) == "▁▅█"


def test_percentile_is_the_nearest_rank() -> None:
    values = list(range(1, 101))
    assert (percentile(values, 50), percentile(values, 99), percentile(values, 100)) == (50, 99, 100)
    assert percentile([7], 99) == 7
    assert percentile([], 50) is None


def lines_of(board: Board, *, last: bool) -> list[str]:
    console = Console(file=io.StringIO(), width=40)
    with Picture(console) as picture:
        picture.show(board, last=last)
        picture.show(board)
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined, no-any-return]


def test_output_that_is_no_terminal_gets_plain_lines_without_escape_codes(board: Board) -> None:
    assert lines_of(board, last=False) == [plain(board.rows[MATCH])]
    assert "\x1b" not in plain(board.rows[MATCH])


def test_the_line_is_about_the_match_that_moved_most(board: Board) -> None:
    board.update("predictions", prediction(1, 0.02, match_id="turned"))
    board.update("predictions", prediction(1, 0.51, match_id="even"))
    assert lines_of(board, last=False) == [plain(board.rows["turned"])]


def test_at_the_end_every_match_gets_its_line(board: Board) -> None:
    board.update("predictions", prediction(1, 0.02, match_id="turned"))
    assert lines_of(board, last=True) == [plain(row) for row in board.rows.values()]


def test_a_terminal_gets_the_table(board: Board) -> None:
    console = Console(file=io.StringIO(), width=160, force_terminal=True)
    with Picture(console, "now playing") as picture:
        picture.show(board, last=True)
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "\x1b" in shown
    assert "now playing" in shown
