"""Question: what does the job that raises alerts cost beside match_pipeline?"""

from __future__ import annotations

import math
import statistics
import time
from typing import Any

import confluent_kafka as kafka

from bench.pipeline import JOB, OUT, real_matches, records
from bench.platform import Usage, running_platform
from bench.plots import Bars
from bench.results import Result, save
from jobs import ddl, runner
from riftstream.cli import plan
from riftstream.console import err
from riftstream.errors import RiftError
from riftstream.settings import Settings
from streams.client import Producer
from streams.replay import replay
from streams.status import topic_status

ALERTS = "anomalies"
EVENTS = "live-matches"
MATCHES = 1_500
LIVE = 50
WARM_UPS = 2
WINDOW_SECONDS = 50.0
PAIRS = 3
PATIENCE = 120.0


def _play(settings: Settings, matches: list[list[dict[str, Any]]], label: str) -> int:
    """Play all matches once, as fast as Kafka takes them; gives the number of events."""
    with Producer(settings) as producer:
        return replay(matches, producer.send, speed=math.inf, concurrent=LIVE, label=label).events


def _written(settings: Settings) -> int:
    consumer = kafka.Consumer({"bootstrap.servers": settings.kafka_bootstrap, "group.id": "bench"})
    try:
        return records(consumer, OUT)
    finally:
        consumer.close()


def _behind(settings: Settings) -> int:
    """Events that the job of alerts has not read, by its last checkpoint."""
    return next(
        topic.lag.get(ddl.group(ALERTS), topic.records)
        for topic in topic_status(settings)
        if topic.name == EVENTS
    )


def _wait(settings: Settings, written: int, alerts: bool) -> None:
    """Wait until so many features came out, and the job of alerts has read all where it runs.

    Raises:
        RiftError: They did not in time.
    """
    deadline = time.monotonic() + PATIENCE
    while _written(settings) < written or (alerts and _behind(settings)):
        if time.monotonic() > deadline:
            raise RiftError(f"The jobs were not done within {PATIENCE:.0f} s.")
        time.sleep(0.5)


def _alerts(settings: Settings, wanted: bool) -> None:
    """Start the job of alerts at the end of the log, or stop it."""
    if wanted:
        options = {"scan.startup.mode": "latest-offset"}
        runner.submit(ALERTS, fresh=True, source_options=options, settings=settings)
    else:
        runner.stop(ALERTS, savepoint=False, settings=settings)


def _measure(
    settings: Settings, matches: list[list[dict[str, Any]]], label: str, alerts: bool
) -> dict[str, float]:
    """Microseconds of processor time an event by part, over a window of the same length in every run.

    Raises:
        RiftError: The jobs were not done when the window ended.
    """
    # A job that was started anew has its code compiled anew.
    warm = _written(settings) + _play(settings, matches[: len(matches) // 5], f"{label}-warm")
    _wait(settings, warm, alerts)
    usage, begun = Usage(), time.monotonic()
    events = _play(settings, matches, label)
    _wait(settings, warm + events, alerts)
    left = WINDOW_SECONDS - (time.monotonic() - begun)
    if left < 0:
        raise RiftError(f"The jobs were not done within {WINDOW_SECONDS:.0f} s.", "The machine is too busy.")
    time.sleep(left)
    return {name: seconds / events * 1e6 for name, seconds in usage.cpu_seconds().items()}


def run(rounds: int = PAIRS) -> Result:
    """Measure on a stack of its own, in pairs with and without the job, and write the result."""
    found: dict[bool, list[dict[str, float]]] = {True: [], False: []}
    with running_platform(only=("kafka", "registry", "objectstore", "flink")) as settings:
        plan.apply(piece for piece in plan.pieces(settings) if piece.name in ("topics", "schemas", "tables"))
        runner.submit_all([JOB, ALERTS], settings=settings)
        matches = real_matches(settings, MATCHES)
        events = 0
        for number in range(WARM_UPS):
            events += _play(settings, matches, f"warm-{number}")
        _wait(settings, events, alerts=True)
        running = True
        for number in range(rounds):
            for wanted in (running, not running):
                if wanted != running:
                    _alerts(settings, wanted)
                    running = wanted
                err.print(f"round {number + 1} {'with' if wanted else 'without'} alerts ...")
                found[wanted].append(_measure(settings, matches, f"{number}-{wanted}", wanted))
    differences = {
        name: [
            with_it[name] - without[name] for with_it, without in zip(found[True], found[False], strict=True)
        ]
        for name in ("taskmanager", "kafka")
    }
    rows = [
        _row("TaskManager without alerts", [one["taskmanager"] for one in found[False]]),
        _row("TaskManager with alerts", [one["taskmanager"] for one in found[True]]),
        _row("TaskManager, difference of a pair", differences["taskmanager"]),
        _row("Kafka, difference of a pair", differences["kafka"]),
    ]
    notes = [
        f"{events // WARM_UPS:,} events of {len(matches):,} real matches a run, {LIVE} at once under new "
        f"ids, through match_pipeline; {rounds} pairs in turn, with and without anomalies beside it, after "
        f"{WARM_UPS} such runs to warm up, and a fifth of one before each run.",
        f"Each run is a window of {WINDOW_SECONDS:.0f} s that begins with its first event, so that what runs "
        "without events, such as checkpoints, counts alike.",
    ]
    return save(
        "anomalies",
        "rift bench anomalies",
        "What does the job that raises alerts cost beside match_pipeline?",
        ["processor time an event", "µs (median)", "lowest", "highest"],
        rows,
        notes=notes,
        raw={"with": found[True], "without": found[False]},
    )


def _row(name: str, values: list[float]) -> list[Any]:
    return [name, statistics.median(values), min(values), max(values)]


def plot(raw: dict[str, Any]) -> Bars:
    """Microseconds of the TaskManager an event, run by run."""
    series = {
        f"{which} alerts": [[one["taskmanager"] for one in raw[which]]] for which in ("without", "with")
    }
    return Bars("µs of the TaskManager an event", ["an event"], series)
