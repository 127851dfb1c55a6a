"""Question: what happens to the pipeline's speed as parallelism, live matches and events grow?"""

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
_TOLD = ("team", "players", "champions", "bans")
ROSTERS = tuple(f"{side}_{told}" for side in ("blue", "red") for told in _TOLD)


def _measure(settings: Settings, events: int, parallelism: int) -> tuple[list[float], float]:
    """Events a second in slices, and the size of the newest checkpoint at the end (MB)."""
    options = {"parallelism.default": str(parallelism), "table.exec.state.ttl": pipeline.FORGET}
    found = pipeline.measure(settings, events, options)
    return found.slices(WARM_UP_EVENTS), found.state_mb


def _wide(match: list[Event]) -> list[Event]:
    """The same events, each with the match's rosters and bans, which else only its start tells."""
    told = {name: match[0][name] for name in ROSTERS if match[0].get(name) is not None}
    return [event | told for event in match]


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
    cases: dict[str, tuple[list[float], float]] = {}
    restart = 0.0
    for live in LIVE_MATCHES:
        with running_platform(job=False) as settings:
            sent = pipeline.load(settings, _live(settings, live), events, live)
            for parallelism in PARALLELISM if live == pipeline.LIVE_MATCHES else (pipeline.PARALLELISM,):
                case = f"{live:,} live matches, parallelism {parallelism}"
                err.print(f"{case} ...")
                cases[case] = _measure(settings, sent, parallelism)
            if live == LIVE_MATCHES[-1]:
                restart = _restart_seconds(settings)
    with running_platform(job=False) as settings:
        matches = [_wide(match) for match in pipeline.real_matches(settings)]
        sent = pipeline.load(settings, matches, events, len(matches))
        case = f"{len(matches):,} live matches, parallelism {pipeline.PARALLELISM}, wide events"
        err.print(f"{case} ...")
        cases[case] = _measure(settings, sent, pipeline.PARALLELISM)
    rows = [
        [case, *(round(spread(rates)[key]) for key in ("median", "min", "max")), round(state, 1)]
        for case, (rates, state) in cases.items()
    ]
    return save(
        "scaling",
        "rift bench scaling",
        "What happens to the pipeline's speed as parallelism, live matches and events grow?",
        ["case", "events/s (median)", "lowest", "highest", "state (MB)"],
        rows,
        notes=[
            f"{events:,} events a case, the first {WARM_UP_EVENTS:,} left out; figures are of slices of "
            f"{pipeline.SLICE_SECONDS:.0f} s. Everything runs on the same cores, so more tasks than cores "
            "cannot be quicker.",
            "Wide events: each has the match's rosters and bans, as else only its first has.",
            "State: the newest checkpoint at the end of a case.",
            f"Restart from a checkpoint with {LIVE_MATCHES[-1]:,} live matches, from the order until all "
            f"tasks run, planning included: {restart:.1f} s.",
        ],
        raw={"cases": {case: rates for case, (rates, _) in cases.items()}, "restart_seconds": restart},
    )


def plot(raw: dict[str, Any]) -> Bars:
    """Events a second of each case."""
    return Bars("events/s", list(raw["cases"]), {"the whole job": list(raw["cases"].values())})
