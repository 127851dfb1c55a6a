"""Question: how many events a second does the same job do in ours, in the peers, and in a bare loop?"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

import confluent_kafka as kafka
from confluent_kafka.admin import AdminClient

from bench.peer_programs.shared import Job
from bench.peers_check import Checked, Checker, Load, span_ms
from bench.pipeline import real_matches
from bench.platform import Usage, running_platform
from bench.plots import Bars
from bench.results import ROOT, Result, save, spread
from infra import installer, ports
from infra.locks import waiting_lock
from jobs import runner
from riftstream.console import err
from riftstream.errors import RiftError, StackError
from riftstream.settings import Settings
from streams import topics
from streams.avro import Codec
from streams.client import Producer
from streams.clock import now_ms
from streams.offsets import bounds
from streams.registry import Registry
from streams.schemas import RecordSchema, for_topic, load
from streams.sources.simulator import preload

PROGRAMS = Path(__file__).parent / "peer_programs"
STATES = load(PROGRAMS / "match_state.avsc")
WINDOWS = load(PROGRAMS / "player_window.avsc")
EVENTS = "live-matches"

SECONDS = 60.0
ROUNDS = 3
PROCESSES = (1, 2)
WARM_UP_SECONDS = 20.0
FASTEST = 250_000
"""Events a second for which there shall be enough in the topic; who is quicker is measured up to its end."""
FASTEST_PEER = 100_000
"""The same where ours takes no part."""
PATIENCE = 120.0
QUIET_SECONDS = 8.0
FOREVER_MS = 1 << 62
CHECKED_STATES = 2_000_000
CHECKED_SECONDS = 25.0
"""The output is compared up to the moment at which so many states are out and so much time has gone by."""
_FIRST_PORT = 21_000


@dataclass(frozen=True)
class Contender:
    """One way to do the job.

    Attributes:
        name: Name on the command line.
        title: Name in tables.
        guarantees: What it promises, in one sentence each: delivery, state, late data, replay.
    """

    name: str
    title: str
    guarantees: str


OURS = Contender(
    "riftstream",
    "Riftstream (Flink SQL)",
    "Delivery: at least once here, equal records each time (exactly once to the lake in the whole pipeline); "
    "an event that was sent twice counts once. "
    "State: a checkpoint of all state every 5 s, restored with its offsets. "
    "Late data: applied to its window up to ten minutes; nothing waits for a watermark. "
    "Replay: from any checkpoint, savepoint or offset; the same text runs over history in batch.",
)
PEERS = (
    Contender(
        "bytewax",
        "Bytewax 0.21",
        "Delivery: at least once. "
        "State: snapshots in SQLite every 5 s, on the machine's own disk. "
        "Late data: up to 5 s by a clock of each key that goes on with the machine's time, so a stall can "
        "make events late; what is late goes to a stream of its own. "
        "Replay: from the newest snapshot only.",
    ),
    Contender(
        "quix",
        "Quix Streams 3.28",
        "Delivery: at least once here (exactly once with transactions). "
        "State: RocksDB, backed by changelog topics, committed every 5 s. "
        "Late data: up to 5 s behind the newest event of the partition; dropped afterwards and logged. "
        "Replay: a new consumer group begins anew; no savepoints.",
    ),
    Contender(
        "faust",
        "Faust 0.15",
        "Delivery: at least once, offsets committed every 5 s; a table update may be applied twice. "
        "State: tables in memory, backed by changelog topics. "
        "Late data: every window stays open; expiry goes by the machine's time, not by event time. "
        "Replay: a new application id begins anew; no savepoints.",
    ),
    Contender(
        "bare",
        "bare confluent-kafka + fastavro loop",
        "Delivery: at least once into Kafka. "
        "State: dicts, lost with the process, so that after a crash the counts are wrong. "
        "Late data: makes a second, wrong record. "
        "Replay: none.",
    ),
)


@dataclass
class Measured:
    """One run of one contender.

    Attributes:
        name: The contender.
        processes: Processes, or for ours the parallelism.
        cold: Whether its JVM had just started.
        samples: Seconds since the first output, and states written by then.
        seconds: Length of the steady part.
        rate: Events a second in the steady part.
        peak_mb: Highest resident memory of its processes, added up.
        cores: Processor time of its processes by second.
        broker_cores: Processor time of the broker by second.
        checked_until_ms: Until when its output is compared, ms since the Unix epoch.
        checked: How many states and windows were compared, and what was wrong.
    """

    name: str
    processes: int
    cold: bool
    samples: list[tuple[float, int]] = field(default_factory=list)
    seconds: float = 0.0
    rate: float = 0.0
    peak_mb: float = 0.0
    cores: float = 0.0
    broker_cores: float = 0.0
    checked_until_ms: int = 0
    checked: Checked = field(default_factory=Checked)


class Output:
    """The two topics that contenders write, emptied for each run.

    Args:
        settings: Where Kafka and the registry are.
    """

    def __init__(self, settings: Settings) -> None:
        wanted = topics.specs(settings, [STATES.topic, WINDOWS.topic])
        topics.apply(settings, topics.plan(settings, wanted), wanted)
        with Registry(settings.registry_url) as registry:
            self.codecs = {
                schema.topic: Codec(schema, registry.register(schema)) for schema in (STATES, WINDOWS)
            }
        self._settings = settings
        self._consumer = self._new_consumer()

    def _new_consumer(self) -> kafka.Consumer:
        return kafka.Consumer(
            {
                "bootstrap.servers": self._settings.kafka_bootstrap,
                "group.id": "bench",
                "enable.auto.commit": False,
                "log_level": 2,
            }
        )

    def empty(self) -> None:
        """Delete the records of both topics."""
        ends = [
            kafka.TopicPartition(topic, partition, high)
            for topic in self.codecs
            for partition, (low, high) in bounds(self._consumer, topic).items()
            if high > low
        ]
        admin = AdminClient({"bootstrap.servers": self._settings.kafka_bootstrap, "log_level": 2})
        for done in admin.delete_records(ends).values() if ends else ():
            done.result()

    def states(self) -> int:
        """States that the topic holds now."""
        return sum(high - low for low, high in bounds(self._consumer, STATES.topic).values())

    def read(self, schema: RecordSchema, until_ms: int = FOREVER_MS) -> Iterator[kafka.Message]:
        """The records of a topic that were appended until a moment, each partition in order."""
        consumer = self._new_consumer()
        held = bounds(consumer, schema.topic)
        ends = {partition: high for partition, (low, high) in held.items() if high > low}
        consumer.assign(
            [kafka.TopicPartition(schema.topic, partition, held[partition][0]) for partition in ends]
        )
        heard = time.monotonic()
        while ends:
            for message in consumer.consume(10_000, 0.5):
                error = message.error()
                if error is not None:
                    raise StackError(f"{schema.topic} cannot be read: {error.str()}.")
                heard = time.monotonic()
                partition, offset = message.partition() or 0, message.offset() or 0
                if partition not in ends:
                    continue
                wanted = message.timestamp()[1] <= until_ms
                if not wanted or offset + 1 == ends[partition]:
                    del ends[partition]
                if wanted:
                    yield message
            if time.monotonic() - heard > QUIET_SECONDS:
                raise StackError(f"{schema.topic} does not give the records that it holds.")
        consumer.close()


def environment(name: str, settings: Settings) -> Path:
    """The Python of a peer's own environment, made on first use from ``peer_programs/NAME.lock``.

    Raises:
        StackError: There is no uv, or a package could not be installed.
    """
    lock = PROGRAMS / f"{name}.lock"
    made_from = hashlib.sha256(f"{sys.version_info[:2]} {sys.base_prefix}".encode() + lock.read_bytes())
    folder = settings.cache / "peers" / f"{name}-{made_from.hexdigest()[:16]}"
    python = folder / "bin" / "python"
    done = folder / "complete"
    with waiting_lock(settings.cache / "peers" / "install.lock", Event()):
        if done.is_file():
            return python
        uv = installer.uv()
        if uv is None:
            raise StackError("There is no uv, which makes the peers' environments.", "Run ./rift once.")
        err.print(f"installing {name} ...")
        install = [uv, "pip", "install", "--quiet", "--python", str(python), "--require-hashes", "--no-deps"]
        for command in (
            [uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)],
            [*install, "-r", str(lock)],
        ):
            # In another folder, since uv takes the project of the current one into account.
            ran = subprocess.run(command, cwd=settings.cache, capture_output=True, text=True, check=False)
            if ran.returncode:
                raise StackError(f"{name} could not be installed.", f"uv said:\n{ran.stderr.strip()}")
        done.touch()
    return python


def _addresses(count: int) -> list[str]:
    free = (port for port in range(_FIRST_PORT, _FIRST_PORT + 1000) if ports.is_free(port))
    return [f"127.0.0.1:{next(free)}" for _ in range(count)]


@dataclass
class Program:
    """A peer's program that runs.

    Attributes:
        name: The peer.
        log: What it says.
        processes: Its processes by name.
    """

    name: str
    log: Path
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def check(self) -> None:
        """See that it runs.

        Raises:
            RiftError: A process ended by itself; its last words are the hint.
        """
        ended = [process.returncode for process in self.processes.values() if process.poll() is not None]
        if ended:
            raise RiftError(
                f"{self.name} ended by itself (exit code {ended[0]}).", self.log.read_text()[-2000:]
            )

    def stop(self) -> None:
        """End it."""
        for process in self.processes.values():
            process.send_signal(signal.SIGTERM)
        for process in self.processes.values():
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def running_peer(
    name: str, processes: int, settings: Settings, codecs: dict[str, Codec], events: str = EVENTS
) -> Iterator[Program]:
    """A peer's program in so many processes; ended at the end, and what it kept is removed.

    Raises:
        RiftError: It did not run until the end.
    """
    python = environment(name, settings)
    with tempfile.TemporaryDirectory(prefix="rift-peer-", ignore_cleanup_errors=True) as folder:
        state = Path(folder) / "state"
        state.mkdir()
        job = Job(
            bootstrap=settings.kafka_bootstrap,
            events=events,
            states=STATES.topic,
            windows=WINDOWS.topic,
            events_schema=for_topic(EVENTS).text,
            states_schema=STATES.text,
            windows_schema=WINDOWS.text,
            states_id=codecs[STATES.topic].schema_id,
            windows_id=codecs[WINDOWS.topic].schema_id,
            group=f"peers-{name}-{now_ms()}",
            folder=str(state),
            processes=processes,
            addresses=_addresses(processes),
            index=0,
        )
        program = Program(name, Path(folder) / "log")
        try:
            with program.log.open("wb") as output:
                for index in range(processes):
                    file = Path(folder) / f"job-{index}.json"
                    file.write_text(json.dumps(asdict(replace(job, index=index))))
                    program.processes[f"{name}-{index}"] = subprocess.Popen(
                        [str(python), "-m", f"bench.peer_programs.{name}", str(file)],
                        cwd=folder,
                        env={**os.environ, "PYTHONPATH": str(ROOT)},
                        stdout=output,
                        stderr=subprocess.STDOUT,
                    )
            yield program
            program.check()
        finally:
            program.stop()


@contextmanager
def running_ours(parallelism: int, settings: Settings, events: str = EVENTS) -> Iterator[None]:
    """Our job on the platform's Flink; cancelled at the end."""
    runner.submit(
        OURS.name,
        file=PROGRAMS / f"{OURS.name}.sql",
        fresh=True,
        options={"parallelism.default": str(parallelism)},
        source_options={"topic": events},
        settings=settings,
    )
    try:
        yield
    finally:
        runner.stop(OURS.name, savepoint=False, settings=settings)


def watch(run: Measured, output: Output, program: Program | None, seconds: float, warm_up: float) -> None:
    """Let a contender run, and note in ``run`` how quickly states come and what that takes.

    Args:
        run: What is noted.
        output: The topics that it writes.
        program: The program; None for ours, which runs on the platform's Flink.
        seconds: How long it is measured.
        warm_up: How long it runs before that, from its first output on.

    Raises:
        RiftError: Nothing came within two minutes, the program ended, or the topic was read too soon.
    """
    deadline = time.monotonic() + PATIENCE
    while not output.states():
        if time.monotonic() > deadline:
            raise RiftError(f"{run.name} wrote nothing within {PATIENCE:.0f} s.")
        if program:
            program.check()
        time.sleep(0.1)
    begun = time.monotonic()
    pids = {name: process.pid for name, process in program.processes.items()} if program else {}
    own = list(pids) or ["taskmanager", "jobmanager"]
    usage, last, grew = Usage(pids), -1, begun
    cpu: list[dict[str, float]] = []
    while time.monotonic() - begun < warm_up + seconds and time.monotonic() - grew < QUIET_SECONDS:
        if program:
            program.check()
        now, count = time.monotonic(), output.states()
        if now - begun >= warm_up or not warm_up:
            run.samples.append((now - begun, count))
            cpu.append(usage.cpu_seconds())
        if count != last:
            last, grew = count, now
        if not run.checked_until_ms and count >= CHECKED_STATES and now - begun >= CHECKED_SECONDS:
            run.checked_until_ms = now_ms()
        usage.sample()
        time.sleep(0.5)
    run.checked_until_ms = run.checked_until_ms or now_ms()
    run.peak_mb = sum(usage.peak_mb[name] for name in own)
    # A topic that is read to its end stops the clock.
    ends = next((n for n, sample in enumerate(run.samples) if sample[1] == last), 0)
    (first_at, first), (last_at, final) = run.samples[0], run.samples[ends]
    run.seconds = last_at - first_at
    if run.seconds <= 0:
        raise RiftError(f"{run.name} had read the topic before the warm-up was over.", "Take more events.")
    run.rate = (final - first) / run.seconds
    used = {name: cpu[ends][name] - cpu[0][name] for name in cpu[0]}
    run.cores = sum(used[name] for name in own) / run.seconds
    run.broker_cores = used["kafka"] / run.seconds


def _watched(run: Measured, settings: Settings, output: Output, seconds: float, warm_up: float) -> None:
    """Start, watch and stop a contender."""
    if run.name == OURS.name:
        with running_ours(run.processes, settings):
            watch(run, output, None, seconds, warm_up)
        return
    with running_peer(run.name, run.processes, settings, output.codecs) as program:
        watch(run, output, program, seconds, warm_up)


def measure(
    name: str,
    processes: int,
    *,
    settings: Settings,
    output: Output,
    checker: Checker,
    seconds: float,
    warm_up: float = WARM_UP_SECONDS,
    cold: bool = False,
) -> Measured:
    """One run of one contender, its output compared with the recomputation; who fails is noted as wrong."""
    run = Measured(name, processes, cold)
    output.empty()
    try:
        _watched(run, settings, output, seconds, warm_up)
        until = run.checked_until_ms
        run.checked = checker.check(output.read(STATES, until), output.read(WINDOWS, until), until)
    except RiftError as error:
        run.checked.blame(" ".join([error.message, *error.hint.strip().splitlines()[-1:]]))
    how = "right" if not run.checked.wrong else f"WRONG: {run.checked.wrong[0]}"
    err.print(
        f"{name}, {processes} {'cold' if cold else 'process' if processes == 1 else 'processes'}: "
        f"{run.rate:,.0f} events/s over {run.seconds:.0f} s, {run.peak_mb:,.0f} MB, {run.cores:.2f} cores; "
        f"{run.checked.states:,} states and {run.checked.windows:,} windows {how}"
    )
    return run


def fill(settings: Settings, events: int) -> tuple[Load, int]:
    """Put at least so many events into the topic; what they are, and how many.

    Event time ends about now: no framework may take what it reads for older than it keeps.
    """
    matches = real_matches(settings)
    copies = -(-events // sum(len(match) for match in matches))
    load = Load(matches, now_ms() - copies * span_ms(matches))
    err.print(f"preloading {events:,} events ...")
    with Producer(settings, linger_ms=20) as producer:
        sent = preload(
            matches,
            events,
            producer.codec,
            producer.send_bytes,
            concurrent=len(matches),
            start_ms=load.start_ms,
        )
    return load, sent


def contenders(only: Sequence[str]) -> list[Contender]:
    """Who takes part: those that are named, or all.

    Raises:
        RiftError: There is none of a name.
    """
    known = {contender.name: contender for contender in (OURS, *PEERS)}
    unknown = [name for name in only if name not in known]
    if unknown:
        raise RiftError(f"There is no contender {unknown[0]}.", f"Choose of: {', '.join(known)}.")
    return [contender for name, contender in known.items() if not only or name in only]


def run(
    seconds: float = SECONDS, rounds: int = ROUNDS, only: Sequence[str] = (), events: int | None = None
) -> Result:
    """Measure all in rotation on a platform of the benchmark's own, and write the result.

    Args:
        seconds: Steady state that is measured in each run, after 20 s that do not count.
        rounds: How often each runs.
        only: Contenders by name; all by default.
        events: Events in the topic; by default enough for the quickest.
    """
    taking_part = contenders(only)
    fastest = FASTEST if OURS in taking_part else FASTEST_PEER
    pairs = [(contender.name, count) for count in PROCESSES for contender in taking_part]
    runs: list[Measured] = []
    with running_platform(job=False) as settings:
        for contender in taking_part:
            if contender is not OURS:
                environment(contender.name, settings)
        filled, sent = fill(settings, events or int(fastest * (seconds + WARM_UP_SECONDS)))
        output = Output(settings)
        checker = Checker(filled, output.codecs[STATES.topic], output.codecs[WINDOWS.topic])
        bench = partial(measure, settings=settings, output=output, checker=checker, seconds=seconds)
        done = 0
        try:
            if OURS in taking_part:
                whole = seconds + WARM_UP_SECONDS
                runs.append(bench(OURS.name, max(PROCESSES), seconds=whole, warm_up=0.0, cold=True))
            for number in range(rounds):
                turn = number * len(pairs) // rounds
                runs += [bench(name, count) for name, count in pairs[turn:] + pairs[:turn]]
                done = number + 1
        finally:
            # An hour of work is not lost to an interrupt: whole rounds are kept.
            if done:
                result = _save(taking_part, runs, filled, sent, seconds, done, only)
    return result


def _save(
    taking_part: list[Contender],
    runs: list[Measured],
    filled: Load,
    sent: int,
    seconds: float,
    rounds: int,
    only: Sequence[str],
) -> Result:
    titles = {contender.name: contender.title for contender in taking_part}
    rows = []
    for key in dict.fromkeys((run.name, run.processes, run.cold) for run in runs):
        same = [run for run in runs if (run.name, run.processes, run.cold) == key]
        rows.append(_row(titles[key[0]], same))
    options = "".join(f" --only {name}" for name in only)
    if (seconds, rounds) != (SECONDS, ROUNDS):
        options += f" --seconds {seconds:g} --rounds {rounds}"
    return save(
        "peers",
        f"rift bench peers{options}",
        "How many events a second does the same job do in ours, in the peers, and in a bare loop?",
        [
            "program",
            "processes",
            "events/s (median)",
            "lowest",
            "highest",
            "MB at most",
            "its cores",
            "broker's cores",
            "output",
        ],
        rows,
        notes=[
            f"The job: read MatchEvents from Kafka (Avro, {len(for_topic(EVENTS).fields)} fields), "
            "write the state of the match after every event and 5-second event-time windows of its "
            "players, both as Avro to Kafka. Some frameworks write a window when it closes, some with"
            " each event: both count as right.",
            f"{sent:,} events of {len(filled.matches):,} real matches played again and again, all at "
            f"once, lie in the topic before anybody starts. {rounds} rounds in rotation, {seconds:g} s"
            f" each after {WARM_UP_SECONDS:g} s that do not count; snapshots or commits every 5 s; "
            "broker and program share the cores. The rate is that of the states as the broker has "
            "them.",
            f"Every one of a run's first states (all of {CHECKED_SECONDS:g} s, and at least "
            f"{CHECKED_STATES:,} where there are so many) is compared with a plain recomputation, byte by "
            "byte, and the windows of a sample of the matches one by one; who writes something else is "
            "called wrong and has no figure.",
            "Ours at 1 and 2 is the job's parallelism in one TaskManager; its memory is that of both "
            "JVMs with the heap that they are given. The cold run is the first after the cluster's "
            "start, warm-up included.",
            *(f"{contender.title}. {contender.guarantees}" for contender in taking_part),
        ],
        raw=[asdict(run) | {"title": titles[run.name]} for run in runs],
    )


def _row(title: str, same: list[Measured]) -> list[Any]:
    wrong = [sentence for run in same for sentence in run.checked.wrong]
    name = f"{title}, cold" if same[0].cold else title
    if wrong:
        return [name, same[0].processes, "-", "-", "-", "-", "-", "-", f"wrong: {wrong[0]}"]
    rates = spread([run.rate for run in same])
    return [
        name,
        same[0].processes,
        *(round(rates[figure]) for figure in ("median", "min", "max")),
        round(max(run.peak_mb for run in same)),
        round(spread([run.cores for run in same])["median"], 2),
        round(spread([run.broker_cores for run in same])["median"], 2),
        f"right ({sum(run.checked.states for run in same):,} states, "
        f"{sum(run.checked.windows for run in same):,} windows)",
    ]


def plot(raw: list[dict[str, Any]]) -> Bars:
    """Events a second by program, one and two processes beside each other, with lowest and highest."""
    warm = [run for run in raw if not run["cold"]]
    wrong = {(run["title"], run["processes"]) for run in warm if run["checked"]["wrong"]}
    right = [run for run in warm if (run["title"], run["processes"]) not in wrong]
    programs = list(dict.fromkeys(run["title"] for run in right))
    counts = sorted({run["processes"] for run in right})
    series = {
        "1 process" if count == 1 else f"{count} processes": [
            [run["rate"] for run in right if (run["title"], run["processes"]) == (program, count)]
            for program in programs
        ]
        for count in counts
    }
    return Bars("events/s", programs, series)
