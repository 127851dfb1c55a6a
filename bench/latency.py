"""Question: how long from sending an event until its prediction can be read, and where does the time go?"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bench.load import LIVE_MATCHES, live_load, paced
from bench.platform import running_platform
from bench.plots import Lines
from bench.results import Result, save
from riftstream.console import err
from riftstream.settings import Settings
from streams.avro import Record
from streams.client import Producer, Subscriber
from streams.clock import now_ms

STACKS: tuple[tuple[str, bool | str, tuple[int, ...]], ...] = (
    ("live path", "match_pipeline", (500, 2_000, 5_000)),
    ("all", True, (500, 2_000)),
)
"""What runs: a label, the job or all of them, and the rates in events/s."""
WARM_UP_SECONDS = 60
SECONDS = 60
HOPS = ("kafka", "flink", "features", "model", "published")


@dataclass
class Measured:
    """What one rate showed.

    Attributes:
        latencies: Milliseconds from sending to reading, one an event.
        ages: Milliseconds from sending to each hop, by hop.
        missing: Events without a prediction at the end.
    """

    latencies: list[float] = field(default_factory=list)
    ages: dict[str, list[int]] = field(default_factory=lambda: {hop: [] for hop in HOPS})
    missing: int = 0


class _Reader(threading.Thread):
    """Reads predictions and notes when each came."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(daemon=True)
        self.seen: dict[str, tuple[int, Record]] = {}
        self.stop = threading.Event()
        self._subscriber = Subscriber("predictions", settings)

    def run(self) -> None:
        while not self.stop.is_set():
            batch = self._subscriber.poll(0.05)
            now = time.perf_counter_ns()
            for received in batch:
                self.seen.setdefault(received.record["event_id"], (now, received.record))
        self._subscriber.close()


def _send(producer: Producer, events: Iterator[Record], rate: int, seconds: float) -> dict[str, int]:
    """Send at an even pace; the moment of each (``perf_counter_ns``) by event id."""
    sent: dict[str, int] = {}
    for event in paced(events, rate, seconds):
        event["event_time"] = now_ms()
        sent[event["event_id"]] = time.perf_counter_ns()
        producer.send(event)
    return sent


def measure(settings: Settings, events: Iterator[Record], rate: int, seconds: float) -> Measured:
    """Latencies at one rate, after a warm-up at the same rate that does not count."""
    reader = _Reader(settings)
    reader.start()
    with Producer(settings) as producer:
        _send(producer, events, rate, WARM_UP_SECONDS)
        sent = _send(producer, events, rate, seconds)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and any(event not in reader.seen for event in sent):
        time.sleep(0.2)
    reader.stop.set()
    reader.join()
    found = Measured(missing=sum(event not in reader.seen for event in sent))
    for event, moment in sent.items():
        if event in reader.seen:
            came, prediction = reader.seen[event]
            found.latencies.append((came - moment) / 1e6)
            for hop in HOPS:
                found.ages[hop].append(prediction[f"age_{hop}_ms"])
    return found


def _row(jobs: str, rate: int, found: Measured) -> list[Any]:
    first = [jobs, rate, len(found.latencies), found.missing]
    if not found.latencies:
        return [*first, *["–"] * (4 + len(HOPS))]
    quantiles = np.percentile(found.latencies, [50, 95, 99, 99.9])
    hops = [f"{np.median(found.ages[hop]):.0f} / {np.percentile(found.ages[hop], 99):.0f}" for hop in HOPS]
    return [*first, *(round(float(q), 1) for q in quantiles), *hops]


def _raw(found: Measured) -> dict[str, Any]:
    if not found.latencies:
        return {"percentiles_ms": {}, "ages_ms": {}}
    return {
        "percentiles_ms": {str(q): float(np.percentile(found.latencies, q)) for q in range(1, 101)},
        "ages_ms": {hop: [float(np.percentile(found.ages[hop], q)) for q in (50, 95, 99)] for hop in HOPS},
    }


def run(seconds: float = SECONDS) -> Result:
    """Measure all rates on stacks of its own, and write the result."""
    from streams.sources.sample import matches

    rows, raw = [], {}
    for label, job, rates in STACKS:
        with running_platform(job=job) as settings:
            for rate in rates:
                err.print(f"latency at {rate} events/s, {label} ...")
                run_id = f"{now_ms() & 0xFFFFFFFF:08x}"
                found = measure(settings, live_load(matches(), run_id), rate, seconds)
                rows.append(_row(label, rate, found))
                raw[f"{rate:,} events/s, {label}"] = _raw(found)
    return save(
        "latency",
        "rift bench latency",
        "How long from sending an event until its prediction can be read from the topic (ms)?",
        [
            "jobs",
            "events/s",
            "events",
            "missing",
            "p50",
            "p95",
            "p99",
            "p99.9",
            *(f"at {hop} p50 / p99" for hop in HOPS),
        ],
        rows,
        notes=[
            f"{LIVE_MATCHES} real matches at once, {seconds:.0f} s a rate, after {WARM_UP_SECONDS} s "
            "of warm-up that do not count; sender, reader and the whole stack share the cores.",
            "*Live path*: every server, match_pipeline, the prediction loop, the online store's writer, the "
            "API. *All*: every other job too. At these rates a match ends within seconds, so that the jobs "
            "that work at its end have some hundred times their share of a real day's work.",
            "The last columns are the event's age at each hop: appended by Kafka, emitted by Flink, appended "
            "to match-features, answered by Triton, handed to the producer.",
        ],
        raw=raw,
    )


def plot(raw: dict[str, Any]) -> Lines:
    """Latency by percentile, a line for each rate and stack."""
    series = {
        name: [(float(q), ms) for q, ms in figures["percentiles_ms"].items()] for name, figures in raw.items()
    }
    return Lines("percentile", "ms", series, log=True)
