"""Question: what happens to the pipeline's speed as parallelism and the number of live matches grow?"""

from __future__ import annotations

import itertools
import time
from typing import Any

from bench import pipeline
from bench.platform import running_platform
from bench.plots import Bars
from bench.results import Result, save, spread
from jobs import runner
from riftstream.console import err
from riftstream.settings import Settings
from streams.sources.sample import Event
from streams.sources.simulator import copied

EVENTS = 3_000_000
WARM_UP_EVENTS = 1_500_000
PARALLELISM = (1, 2, 4)
LIVE_MATCHES = (100, 2_000, 20_000)


def _speed(settings: Settings, events: int, parallelism: int) -> list[float]:
    options = {"parallelism.default": str(parallelism), "table.exec.state.ttl": pipeline.FORGET}
    return pipeline.measure(settings, events, options).slices(WARM_UP_EVENTS)


def _live(settings: Settings, count: int) -> list[list[Event]]:
    """So many matches: real ones, and where they are too few their copies."""
    matches = pipeline.real_matches(settings, count)
    copies = itertools.count(1)
    while len(matches) < count:
        number = next(copies)
        originals = pipeline.real_matches(settings, count - len(matches))
        matches += [[copied(event, number) for event in match] for match in originals]
    return matches


def _restart_seconds(settings: Settings) -> float:
    """Seconds from the order to go on from the newest checkpoint until all tasks run again."""
    runner.submit(pipeline.JOB, fresh=True, settings=settings)
    time.sleep(30)
    runner.stop(pipeline.JOB, savepoint=False, settings=settings)
    start = time.monotonic()
    runner.submit(pipeline.JOB, settings=settings)
    passed = time.monotonic() - start
    runner.stop(pipeline.JOB, savepoint=False, settings=settings)
    return passed


def run(events: int = EVENTS) -> Result:
    """Measure each case on a stack of its own, and write the result."""
    cases: list[tuple[str, list[float]]] = []
    restart = 0.0
    for live in LIVE_MATCHES:
        with running_platform(job=False) as settings:
            sent = pipeline.load(settings, _live(settings, live), events, live)
            for parallelism in PARALLELISM if live == pipeline.LIVE_MATCHES else (pipeline.PARALLELISM,):
                err.print(f"{live:,} live matches, parallelism {parallelism} ...")
                cases.append(
                    (f"{live:,} live matches, parallelism {parallelism}", _speed(settings, sent, parallelism))
                )
            if live == LIVE_MATCHES[-1]:
                restart = _restart_seconds(settings)
    rows = [[name, *(round(spread(rates)[key]) for key in ("median", "min", "max"))] for name, rates in cases]
    return save(
        "scaling",
        "rift bench scaling",
        "What happens to the pipeline's speed as parallelism and the number of live matches grow?",
        ["case", "events/s (median)", "lowest", "highest"],
        rows,
        notes=[
            f"{events:,} events a case, the first {WARM_UP_EVENTS:,} left out; figures are of slices of "
            f"{pipeline.SLICE_SECONDS:.0f} s. Everything runs on the same cores, so more tasks than cores "
            "cannot be quicker.",
            f"Restart from a checkpoint with {LIVE_MATCHES[-1]:,} live matches, from the order until all "
            f"tasks run, planning included: {restart:.1f} s.",
        ],
        raw={"cases": dict(cases), "restart_seconds": restart},
    )


def plot(raw: dict[str, Any]) -> Bars:
    """Events a second of each case."""
    return Bars("events/s", list(raw["cases"]), {"the whole job": list(raw["cases"].values())})
