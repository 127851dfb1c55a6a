"""The page of benchmarks and its plots: made of the result files alone, always the same."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from bench import plots, results

FILES = sorted(results.FOLDER.glob("*.json"))
BARS = plots.Bars("events/s", ["one", "two"], {"cold": [[10.0], []], "warm": [[200.0, 220.0, 190.0], [3.5]]})
LINES = plots.Lines("percentile", "ms", {"slow": [(50.0, 1.0), (99.0, 20.0)]}, log=True)


def test_the_page_is_what_the_result_files_make() -> None:
    assert results.PAGE.read_text() == results.page()


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_question_has_its_plot_and_it_is_what_the_raw_figures_make(file: Path) -> None:
    drawn = plots.svg(results._plot(orjson.loads(file.read_bytes())))
    assert file.with_suffix(".svg").read_bytes() == drawn
    assert f"(benchmarks/{file.stem}.svg)" in results.PAGE.read_text()


@pytest.mark.parametrize(
    ("plot", "other"),
    [
        (BARS, replace(BARS, series={"cold": [[10.0], []], "warm": [[200.0, 221.0, 190.0], [3.5]]})),
        (LINES, replace(LINES, series={"slow": [(50.0, 1.0), (99.0, 21.0)]})),
    ],
    ids=["bars", "lines"],
)
def test_equal_figures_make_equal_bytes_and_others_do_not(plot: plots.Plot, other: plots.Plot) -> None:
    first = plots.svg(plot)
    assert plots.svg(plot) == first
    assert len(first) < 100_000
    assert plots.svg(other) != first


def test_a_plot_shows_medians_and_leaves_out_what_has_no_figure() -> None:
    text = plots.svg(BARS).decode()
    shown = re.findall(r">\s*([\d.,]+)\s*</text>", text)
    assert {"10.0", "200", "3.5"} <= set(shown)


def test_a_benchmark_that_draws_nothing_itself_gets_the_first_figure_of_its_table() -> None:
    result = {"name": "results", "columns": ["what", "µs", "note"], "rows": [["a", 3, ""], ["b", "-", ""]]}
    assert results._plot(result) == plots.Bars("µs", ["a"], {"µs": [[3.0]]})


def test_the_page_names_machine_versions_commit_and_command_of_every_question() -> None:
    page = results.PAGE.read_text()
    for file in FILES:
        result = orjson.loads(file.read_bytes())
        where = result["machine"]
        for word in (result["command"], result["commit"], where["processor"], where["python"]):
            assert word in page
        assert all(f"{name} {found}" in page for name, found in where["packages"].items())
