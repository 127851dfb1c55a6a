"""What is made of the runs: rows, page and plot, without running anything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from bench import peers, plots, results
from bench.peers_check import Checked, Load
from streams.sources import sample

RIGHT = Checked(states=1_000, windows=50)
WRONG = Checked(states=10, windows=0, wrong=["state 8 of a match is not what it must be"])


def measured(name: str, processes: int, rate: float, checked: Checked = RIGHT, **more: Any) -> peers.Measured:
    return peers.Measured(
        name, processes, rate=rate, peak_mb=100.4, checked=checked, **{"cold": False, **more}
    )


RUNS = [
    measured("riftstream", 2, 90_000.0, cold=True),
    *(measured("riftstream", 2, rate) for rate in (200_000.0, 190_000.0, 230_000.0)),
    *(measured("bare", 1, rate) for rate in (27_000.0, 26_000.0)),
    measured("faust", 2, 1_900.0),
    measured("faust", 2, 2_000.0, WRONG),
]


@pytest.fixture
def result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A result of these runs, written into a folder of its own."""
    monkeypatch.setattr(results, "FOLDER", tmp_path / "benchmarks")
    monkeypatch.setattr(results, "PAGE", tmp_path / "benchmarks.md")
    taking_part = peers.contenders(["riftstream", "bare", "faust"])
    load = Load(sample.matches()[:1], 1_700_000_000_000)
    return peers._save(taking_part, RUNS, load, 12_345, 60.0, 3, [])


def test_rows_hold_median_and_spread_and_who_is_wrong_has_no_figure(result: Any) -> None:
    rows = {(row[0], row[1]): row[2:] for row in result["rows"]}
    assert rows["Riftstream (Flink SQL), cold", 2][0] == 90_000
    assert rows["Riftstream (Flink SQL)", 2][:4] == [200_000, 190_000, 230_000, 100]
    assert rows["bare confluent-kafka + fastavro loop", 1][:3] == [26_500, 26_000, 27_000]
    wrong = rows["Faust 0.15", 2]
    assert set(wrong[:-1]) == {"-"} and wrong[-1].startswith("wrong: state 8 of a match")


def test_every_contender_says_what_it_guarantees(result: Any) -> None:
    for contender in (peers.OURS, *peers.PEERS):
        promises = [f"{word}:" for word in ("Delivery", "State", "Late data", "Replay")]
        assert all(word in contender.guarantees for word in promises), contender.name
    said = [note for note in result["notes"] if "Delivery:" in note]
    assert len(said) == 3


def test_the_page_and_the_plot_are_made_of_the_file(result: Any, tmp_path: Path) -> None:
    written = orjson.loads((tmp_path / "benchmarks" / "peers.json").read_bytes())
    assert "`rift bench peers`" in (tmp_path / "benchmarks.md").read_text()
    plot = peers.plot(written["raw"])
    assert plot.labels == ["Riftstream (Flink SQL)", "bare confluent-kafka + fastavro loop"]
    assert plot.series == {
        "1 process": [[], [27_000.0, 26_000.0]],
        "2 processes": [[200_000.0, 190_000.0, 230_000.0], []],
    }
    assert (tmp_path / "benchmarks" / "peers.svg").read_bytes() == plots.svg(plot)
