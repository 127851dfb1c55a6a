"""``rift bench``: which benchmark a command line means, and with which options."""

from __future__ import annotations

from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from bench import commands, peers, pipeline
from riftstream.errors import RiftError

DONE = {"question": "?", "columns": ["a"], "rows": [["b"]]}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What was asked to run; the benchmarks themselves take minutes."""
    asked: list[Any] = []

    def note(seconds: float = 60, rounds: int = 3, only: tuple[str, ...] = ()) -> Any:
        asked.append(("peers", seconds, rounds, list(only)))
        return DONE

    def note_pipeline(events: int = 1) -> Any:
        asked.append(("pipeline", events))
        return DONE

    monkeypatch.setattr(peers, "run", note)
    monkeypatch.setattr(pipeline, "run", note_pipeline)
    return asked


def bench(*words: str) -> Any:
    app = typer.Typer()
    commands.register(app)
    return CliRunner().invoke(app, list(words), standalone_mode=False)


def test_pipeline_with_peers_is_the_benchmark_of_peers(asked: list[Any]) -> None:
    bench("pipeline", "--peers")
    bench("peers", "--seconds", "10", "--rounds", "1", "--only", "bare", "--only", "quix")
    bench("pipeline")
    assert asked == [("peers", 60, 3, []), ("peers", 10, 1, ["bare", "quix"]), ("pipeline", 1)]


def test_an_option_that_a_benchmark_lacks_is_refused(asked: list[Any]) -> None:
    assert isinstance(bench("pipeline", "--seconds", "10").exception, RiftError)
    assert isinstance(bench("avro", "--peers").exception, RiftError)
    assert isinstance(bench("nonsense").exception, RiftError)
    assert asked == []


def test_an_unknown_contender_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(RiftError, match="no contender flunk") as told:
        peers.contenders(["flunk"])
    assert "bytewax" in (told.value.hint or "")
