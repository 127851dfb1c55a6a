"""Question: does the platform's memory stay what it is under an even load?"""

from __future__ import annotations

import time
from typing import Any

import confluent_kafka as kafka
import numpy as np

from bench import pipeline
from bench.load import live_load, paced
from bench.platform import Usage, running_platform
from bench.plots import Lines
from bench.results import Result, save
from jobs import runner
from riftstream.console import err
from streams.client import Producer
from streams.clock import now_ms

SECONDS = 3_600.0
RATE = 10_000
LOOK_SECONDS = 10.0
SETTLED = 1 / 6
"""Share of the time at the start in which pools fill and code is compiled; growth is told of the rest."""


def run(seconds: float = SECONDS, rate: int = RATE) -> Result:
    """Send at an even pace for so long, look at the memory of each part, and write the result."""
    with running_platform(job=False) as settings:
        runner.submit(pipeline.JOB, options={"table.exec.state.ttl": pipeline.FORGET}, settings=settings)
        usage = Usage()
        looks: list[dict[str, Any]] = []
        with Producer(settings) as producer:
            events = live_load(pipeline.real_matches(settings), f"{now_ms() & 0xFFFFFFFF:08x}")
            sent, start = 0, time.perf_counter()
            for event in paced(events, rate, seconds):
                producer.send(event | {"event_time": now_ms()})
                sent += 1
                passed = time.perf_counter() - start
                if passed >= LOOK_SECONDS * (len(looks) + 1):
                    looks.append({"seconds": passed, "sent": sent, "mb": usage.memory_mb()})
        consumer = kafka.Consumer({"bootstrap.servers": settings.kafka_bootstrap, "group.id": "bench"})
        behind = sent - pipeline.records(consumer, pipeline.OUT)
        consumer.close()
        err.print(f"{sent:,} events sent, {behind:,} of them not worked on at the last moment")
    rows = [[part, *_growth(looks, part)] for part in looks[0]["mb"]]
    return save(
        "soak",
        "rift bench soak",
        "Does the platform's memory stay what it is under an even load?",
        ["part", "MB at the start", "median", "highest", "MB at the end", "MB an hour"],
        rows,
        notes=[
            f"{rate:,} events/s of real matches under new ids for {seconds:,.0f} s through the whole of "
            f"match_pipeline.sql: {sent:,} sent, {behind:,} not worked on at the last moment.",
            "Resident memory; the last column is the slope of a line through all looks after the first sixth "
            "of the time, in which heaps and caches fill.",
            f"The state of a match is let go {pipeline.FORGET} after its last event instead of 24 h: the "
            "events of many days go by in minutes.",
        ],
        raw={"looks": looks},
    )


def _growth(looks: list[dict[str, Any]], part: str) -> list[int]:
    """First, median, highest and last memory of a part (MB), and its slope (MB an hour)."""
    memory = np.array([look["mb"][part] for look in looks])
    times = np.array([look["seconds"] for look in looks])
    late = times >= times[-1] * SETTLED
    slope = np.polyfit(times[late], memory[late], 1)[0] * 3_600 if late.sum() > 1 else 0.0
    return [round(float(value)) for value in (memory[0], np.median(memory), memory.max(), memory[-1], slope)]


def plot(raw: dict[str, Any]) -> Lines:
    """Memory of each part over time."""
    looks = raw["looks"]
    parts = {part: [(look["seconds"], look["mb"][part]) for look in looks] for part in looks[0]["mb"]}
    return Lines("seconds", "MB", parts)
