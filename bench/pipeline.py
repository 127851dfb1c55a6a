"""Question: how many events a second go through the whole of match_pipeline.sql?"""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass, field
from typing import Any

import confluent_kafka as kafka
import httpx

from bench.platform import Usage, running_platform
from bench.plots import Lines
from bench.results import Result, save, spread
from jobs import runner
from jobs.cluster import Cluster
from riftstream.console import err
from riftstream.errors import RiftError
from riftstream.settings import Settings
from streams.client import Producer
from streams.offsets import bounds
from streams.sources import sample
from streams.sources.lol_pro import LolPro
from streams.sources.sample import Event
from streams.sources.simulator import preload

JOB = "match_pipeline"
OUT = "match-features"
EVENTS = 10_000_000
COLD_EVENTS = 1_000_000
WARM_UP_EVENTS = 3_000_000
SLICE_SECONDS = 10.0
LIVE_MATCHES = 2_000
PARALLELISM = 2
PATIENCE = 900.0
FORGET = "60 s"
"""After how long the state of a match is let go: here a day of esports goes by in a second."""


@dataclass
class Run:
    """One run of the job over the preloaded topic.

    Attributes:
        seconds: Seconds since the first output, at each look.
        events: Events that had come out by then.
        cpu: Processor seconds that each part had used by then.
        peak_mb: Highest resident memory by part.
        state_mb: Size of the newest checkpoint at the end, MB.
    """

    seconds: list[float] = field(default_factory=list)
    events: list[int] = field(default_factory=list)
    cpu: list[dict[str, float]] = field(default_factory=list)
    peak_mb: dict[str, float] = field(default_factory=dict)
    state_mb: float = 0.0

    def _at(self, events: int) -> int:
        """The first look by which so many events had come out; the last but one where there is none."""
        found = next((look for look, count in enumerate(self.events) if count >= events), len(self.events))
        return min(found, len(self.events) - 2)

    def rate(self, first: int, last: int) -> float:
        """Events a second between two looks."""
        return (self.events[last] - self.events[first]) / (self.seconds[last] - self.seconds[first])

    def cold(self) -> float:
        """Events a second of the first ``COLD_EVENTS``."""
        return self.rate(0, self._at(COLD_EVENTS))

    def slices(self, warm_up: int) -> list[float]:
        """Events a second of each ten seconds after a warm-up of so many events."""
        start = self._at(warm_up)
        found: list[float] = []
        for look in range(start + 1, len(self.seconds)):
            if self.seconds[look] - self.seconds[start] >= SLICE_SECONDS or (
                not found and look == len(self.seconds) - 1
            ):
                found.append(self.rate(start, look))
                start = look
        return found

    def cpu_per_event(self, warm_up: int) -> dict[str, float]:
        """Microseconds of processor time that each part used for an event after the warm-up."""
        start = self._at(warm_up)
        events = self.events[-1] - self.events[start]
        return {name: (self.cpu[-1][name] - self.cpu[start][name]) / events * 1e6 for name in self.cpu[start]}


def real_matches(settings: Settings, count: int = LIVE_MATCHES) -> list[list[Event]]:
    """Matches that play at once: from RIFT_DATA where it is set, else the twenty of the sample."""
    if settings.data is None:
        return sample.matches()
    return list(itertools.islice(LolPro(settings.data).matches(), count))


def load(settings: Settings, matches: list[list[Event]], events: int, live: int) -> int:
    """Put events into the topic: ``live`` of the matches at a time, again and again under new ids."""
    err.print(f"preloading {events:,} events ...")
    with Producer(settings) as producer:
        return preload(matches, events, producer.codec, producer.send_bytes, concurrent=live)


def records(consumer: kafka.Consumer, topic: str) -> int:
    """Records that a topic has taken so far."""
    return sum(high for _, high in bounds(consumer, topic).values())


def measure(settings: Settings, events: int, options: dict[str, str], out: str = OUT) -> Run:
    """Run the job afresh over what lies in the topic, until so many events have come out.

    Raises:
        RiftError: They did not within fifteen minutes.
    """
    consumer = kafka.Consumer({"bootstrap.servers": settings.kafka_bootstrap, "group.id": "bench"})

    def written() -> int:
        return records(consumer, out)

    before = written()
    usage = Usage()
    runner.submit(JOB, fresh=True, options=options, settings=settings)
    run = Run()
    start = time.monotonic()
    while not run.events or run.events[-1] < events:
        count, now = written() - before, time.monotonic()
        if now - start > PATIENCE:
            raise RiftError(f"The job did not finish {events:,} events within {PATIENCE:.0f} s.")
        if count:
            start = start if run.events else now
            run.seconds.append(now - start)
            run.events.append(count)
            run.cpu.append(usage.cpu_seconds())
            usage.sample()
        time.sleep(0.5)
    run.state_mb = _state_mb(settings)
    runner.stop(JOB, savepoint=False, settings=settings)
    consumer.close()
    run.peak_mb = usage.peak_mb
    return run


def _state_mb(settings: Settings) -> float:
    """Size of the running job's newest checkpoint, MB."""
    job = Cluster(settings.flink_url).find(JOB)
    if job is None:
        return 0.0
    told = httpx.get(f"{settings.flink_url}/jobs/{job.job_id}/checkpoints").json()
    newest = (told.get("latest") or {}).get("completed") or {"state_size": 0}
    return float(newest["state_size"]) / 2**20


def run(events: int = EVENTS) -> Result:
    """Measure on a stack of its own, and write the result."""
    with running_platform(job=False) as settings:
        matches = real_matches(settings)
        sent = load(settings, matches, events, len(matches))
        found = measure(
            settings, sent, {"parallelism.default": str(PARALLELISM), "table.exec.state.ttl": FORGET}
        )
    rates = spread(found.slices(WARM_UP_EVENTS))
    rows = [
        [f"cold (the first {COLD_EVENTS:,} events of a new JVM)", round(found.cold()), "", ""],
        [
            f"warm ({SLICE_SECONDS:.0f} s slices after {WARM_UP_EVENTS:,} events)",
            *(round(rates[key]) for key in ("median", "min", "max")),
        ],
    ]
    used = sorted(found.cpu_per_event(WARM_UP_EVENTS).items(), key=lambda item: -item[1])
    notes = [
        f"{sent:,} events made by replaying {len(matches):,} real matches again and again under new ids, all "
        f"at once, lie in the topic before the job starts; one run over all of them, parallelism "
        f"{PARALLELISM}; broker and store on the same cores.",
        "The whole job: poison-proof decode, validation, duplicates dropped, player windows, state after "
        "every event, dead letters, Kafka out, Iceberg through REST and S3, 5 s checkpoints.",
        "Time runs from the first feature record that the broker has; the start of the job is left out.",
        f"The state of a match is let go {FORGET} after its last event instead of 24 h: the events of many "
        "days go by in minutes.",
        "Processor time an event, warm: "
        + ", ".join(f"{name} {micros:.1f} µs" for name, micros in used if micros >= 0.05)
        + ".",
        "Memory at most: " + ", ".join(f"{name} {found.peak_mb[name]:,.0f} MB" for name, _ in used) + ".",
    ]
    return save(
        "pipeline",
        "rift bench pipeline",
        "How many events a second go through the whole of match_pipeline.sql?",
        ["run", "events/s (median)", "lowest", "highest"],
        rows,
        notes=notes,
        raw={
            "seconds": found.seconds,
            "events": found.events,
            "peak_mb": found.peak_mb,
            "cpu_us": dict(used),
        },
    )


def plot(raw: dict[str, Any]) -> Lines:
    """Events a second over the run, in slices of ten seconds."""
    run = Run(raw["seconds"], raw["events"])
    points = [((n + 0.5) * SLICE_SECONDS, rate) for n, rate in enumerate(run.slices(0))]
    return Lines("seconds since the first output", "events/s", {"the whole job": points})
