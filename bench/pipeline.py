"""Question: how many events a second go through the whole of match_pipeline.sql?"""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass
from typing import Any

import confluent_kafka as kafka

from bench.platform import Usage, running_platform
from bench.plots import Bars
from bench.results import Result, save, spread
from jobs import runner
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
EVENTS = 3_000_000
WARM_ROUNDS = 3
LIVE_MATCHES = 2_000
PARALLELISM = 2
PATIENCE = 900.0


@dataclass(frozen=True)
class Round:
    """One run over the preloaded topic.

    Attributes:
        events: Events that came out.
        seconds: From the first feature record's append time to the last one's.
        cpu: Processor seconds by part.
        peak_mb: Highest resident memory by part.
    """

    events: int
    seconds: float
    cpu: dict[str, float]
    peak_mb: dict[str, float]

    @property
    def rate(self) -> float:
        """Events a second."""
        return self.events / self.seconds


class _Output:
    """Where the output topic ends, and when its records were appended."""

    def __init__(self, settings: Settings) -> None:
        self._consumer = kafka.Consumer(
            {
                "bootstrap.servers": settings.kafka_bootstrap,
                "group.id": "bench",
                "enable.auto.commit": False,
                "log_level": 2,
            }
        )

    def ends(self) -> dict[int, int]:
        return {partition: high for partition, (_, high) in bounds(self._consumer, OUT).items()}

    def appended(self, offsets: dict[int, int]) -> list[int]:
        """Append times (ms) of the records at these offsets."""
        self._consumer.assign([kafka.TopicPartition(OUT, part, at) for part, at in offsets.items()])
        times: dict[int, int] = {}
        while len(times) < len(offsets):
            for message in self._consumer.consume(1000, 1.0):
                if message.error() is None and (message.partition() or 0) not in times:
                    times[message.partition() or 0] = message.timestamp()[1]
        return list(times.values())


def real_matches(settings: Settings) -> list[list[Event]]:
    """The matches that play at once: from RIFT_DATA where it is set, else the twenty of the sample."""
    if settings.data is None:
        return sample.matches()
    return list(itertools.islice(LolPro(settings.data).matches(), LIVE_MATCHES))


def _one_round(settings: Settings, output: _Output, events: int) -> Round:
    before = output.ends()
    usage = Usage()
    options = {"parallelism.default": str(PARALLELISM)}
    runner.submit(JOB, fresh=True, options=options, settings=settings)
    deadline = time.monotonic() + PATIENCE
    while sum(output.ends().values()) - sum(before.values()) < events:
        if time.monotonic() > deadline:
            raise RiftError(f"The job did not finish {events} events within {PATIENCE:.0f} s.")
        usage.sample()
        time.sleep(0.5)
    after = output.ends()
    cpu = usage.cpu_seconds()
    runner.stop(JOB, savepoint=False, settings=settings)
    used = [part for part in before if after[part] > before[part]]
    first = min(output.appended({part: before[part] for part in used}))
    last = max(output.appended({part: after[part] - 1 for part in used}))
    return Round(events, (last - first) / 1000, cpu, usage.peak_mb)


def run(events: int = EVENTS) -> Result:
    """Measure on a stack of its own, and write the result."""
    with running_platform(job=False) as settings:
        err.print(f"preloading {events:,} events ...")
        with Producer(settings) as producer:
            matches = real_matches(settings)
            sent = preload(matches, events, producer.codec, producer.send_bytes, concurrent=len(matches))
        output = _Output(settings)
        rounds = []
        for number in range(1 + WARM_ROUNDS):
            rounds.append(_one_round(settings, output, sent))
            err.print(f"round {number}: {rounds[-1].rate:,.0f} events/s")
    cold, *warm = rounds
    rates = spread([round.rate for round in warm])
    rows = [
        ["cold JVM (first run)", round(cold.rate), "", ""],
        ["warm", round(rates["median"]), round(rates["min"]), round(rates["max"])],
    ]
    names = sorted(cold.cpu, key=lambda name: -warm[-1].cpu[name])
    notes = [
        f"{sent:,} events made by replaying {len(matches):,} real matches again and again under new ids, all "
        f"at once, lie in the topic before the job starts; parallelism {PARALLELISM}; all on the same cores.",
        "The whole job: poison-proof decode, validation, duplicates dropped, player windows, state after "
        "every event, dead letters, Kafka out, Iceberg through REST and S3, 5 s checkpoints.",
        "Start-up is left out: time runs from the first feature record that the broker appended to the last.",
        *(
            f"{name}: {warm[-1].cpu[name]:.0f} s of processor time in the last warm round, "
            f"{max(r.peak_mb[name] for r in rounds):,.0f} MB at most."
            for name in itertools.islice(names, 6)
        ),
    ]
    return save(
        "pipeline",
        "rift bench pipeline",
        "How many events a second go through the whole of match_pipeline.sql?",
        ["run", "events/s (median)", "lowest", "highest"],
        rows,
        notes=notes,
        raw=[{"rate": r.rate, "seconds": r.seconds, "cpu": r.cpu, "peak_mb": r.peak_mb} for r in rounds],
    )


def plot(raw: list[dict[str, Any]]) -> Bars:
    """Events a second of the cold run and of the warm ones."""
    cold, *warm = [round["rate"] for round in raw]
    return Bars("events/s", ["cold JVM (first run)", "warm"], {"the whole job": [[cold], warm]})
