"""Question: how fast are features written to the online store and read from it, beside Feast itself?"""

from __future__ import annotations

import itertools
import random
import subprocess
import threading
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import httpx
import numpy as np
import redis
from confluent_kafka import OFFSET_END, TopicPartition
from confluent_kafka.admin import AdminClient

from bench.load import LIVE_MATCHES, live_load, paced
from bench.platform import running_platform
from bench.plots import Bars
from bench.results import Result, save
from features import layout, repo
from features.online import OnlineReader
from features.online_write import OnlineWriteLoop
from features.views import View, find_service, find_view
from infra import stack
from infra.ports import choose
from riftstream.cli import platform
from riftstream.console import err
from riftstream.settings import Settings
from streams.avro import Record
from streams.client import Producer
from streams.clock import now_ms

SERVICE = "win_probability_v1"
STATE, FORM = "match_state", "player_form"
FORTY = 40
CASES = (
    (FORM, None, 200_000, 200_000),
    (STATE, None, 200_000, LIVE_MATCHES),
    (STATE, FORTY, 100_000, 100_000),
    (STATE, None, 60_000, 60_000),
)
"""View, how many of its features (None for all), records, and how many entities they are of."""
FEAST_ROWS = 2_000
ENTITIES = 2_000
CALLS = 1_000
FEAST_CALLS = 200
RATE = 2_000
WARM_UP_SECONDS = 20
SECONDS = 30
LOOK = 0.002
WATCHED = 10


def record(view: View, entity: str, place: int, chance: random.Random) -> Record:
    """A row of a view as the job might tell it: counts, gold, a null here and there."""
    made: Record = {}
    for field in view.schema.fields:
        if field.nullable and chance.random() < 0.1:
            made[field.name] = None
        elif field.type == "string":
            made[field.name] = chance.choice(("LCK", "LEC", "CHAMPION_KILL", "TEAM_GOLD"))
        elif field.type == "double":
            made[field.name] = chance.random()
        elif field.type == "boolean":
            made[field.name] = chance.random() < 0.5
        else:
            made[field.name] = chance.randrange(60_000 if field.unit in ("gold", "ms") else 40)
    return made | {
        view.keys[0]: entity,
        "event_time": 1_750_000_000_000 + place,
        "source_partition": 0,
        "source_offset": place,
    }


def _part_of(view: View, features: int | None) -> View:
    """A view with only its first features."""
    if features is None:
        return view
    return replace(view, left_out=view.left_out | {field.name for field in view.features[features:]})


def records(view: View, number: int, entities: int) -> Iterator[Record]:
    """Rows of ``entities`` entities in turn."""
    chance = random.Random(11)  # noqa: S311
    shapes = [record(view, "", 0, chance) for _ in range(500)]
    for place, shape in zip(range(number), itertools.cycle(shapes), strict=False):
        yield shape | {
            view.keys[0]: f"BENCH/{place % entities}",
            "event_time": 1_750_000_000_000 + place,
            "source_offset": place,
        }


def _empty(settings: Settings, view: View) -> None:
    """Leave nothing in Redis and nothing on the view's topic."""
    redis.Redis.from_url(settings.redis_url.get_secret_value()).flushall()
    admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap})
    partitions = admin.list_topics(view.topic, timeout=10).topics[view.topic].partitions
    ends = [TopicPartition(view.topic, partition, OFFSET_END) for partition in partitions]
    for done in admin.delete_records(ends).values():
        done.result(30)


def _quiet(settings: Settings) -> None:
    """Wait until Redis has rewritten its append-only file, which it does now and then after many writes."""
    client: Any = redis.Redis.from_url(settings.redis_url.get_secret_value())
    while client.info("persistence")["aof_rewrite_in_progress"]:
        time.sleep(0.2)


def _fill(settings: Settings, view: View, number: int, entities: int) -> None:
    with Producer(settings, topic=view.topic, patience=300) as producer:
        producer.send_batch(records(view, number, entities))


def write(settings: Settings, view: View, number: int, entities: int) -> dict[str, float]:
    """Records of a topic to Redis by our loop: a second, and rows that were sent for them."""
    loop = OnlineWriteLoop(settings, views=[view], group=f"bench-{view.name}-{len(view.features)}-{entities}")
    started: list[float] = []

    def until() -> bool:
        if loop.written.records and not started:
            started.append(time.perf_counter())
            before.update(records=loop.written.records, rows=loop.written.rows)
        return loop.written.records >= number

    before = {"records": 0, "rows": 0}
    loop.run(until)
    seconds = time.perf_counter() - started[0]
    return {
        "records/s": (loop.written.records - before["records"]) / seconds,
        "rows/s": (loop.written.rows - before["rows"]) / seconds,
    }


def write_by_feast(settings: Settings, view: View) -> float:
    """Rows a second by Feast's own ``write_to_online_store``, in one data frame."""
    import pandas as pd

    store = repo.store(settings)
    rows = list(records(view, FEAST_ROWS, FEAST_ROWS))
    frame = pd.DataFrame([{name: row[name] for name in _columns(view)} for row in rows])
    for field in view.features:
        if field.logical:
            frame[field.name] = pd.to_datetime(frame[field.name], unit="ms", utc=True)
        elif field.type in ("long", "int"):
            frame[field.name] = frame[field.name].astype("Int64")
    frame["event_time"] = pd.to_datetime(frame["event_time"], unit="ms", utc=True)
    start = time.perf_counter()
    store.write_to_online_store(view.name, frame)
    return FEAST_ROWS / (time.perf_counter() - start)


def _columns(view: View) -> list[str]:
    return [*view.keys, "event_time", *(field.name for field in view.features)]


def timed(work: Callable[[list[str]], Any], number: int, calls: int) -> list[float]:
    """Milliseconds of each call for ``number`` entities, others each time."""
    names = [f"BENCH/{place}" for place in range(ENTITIES)]
    chance = random.Random(3)  # noqa: S311
    found = []
    for call in range(calls + calls // 10):
        chosen = chance.sample(names, number)
        start = time.perf_counter()
        work(chosen)
        if call >= calls // 10:
            found.append((time.perf_counter() - start) * 1000)
    return found


@contextmanager
def feast_server(settings: Settings) -> Iterator[str]:
    """Feast's own HTTP server; gives its address."""
    port = choose({"feast": 6566}, {}, set())["feast"]
    argv, env = repo.command(
        ["serve", "--host", "127.0.0.1", "--port", str(port), "--no-access-log"], settings
    )
    process = subprocess.Popen(argv, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                if httpx.get(f"{url}/health", trust_env=False).is_success:
                    break
            except httpx.HTTPError:
                if time.monotonic() > deadline or process.poll() is not None:
                    raise
            time.sleep(0.2)
        yield url
    finally:
        process.terminate()
        process.wait(30)


def reads(settings: Settings) -> dict[tuple[int, str], list[float]]:
    """Milliseconds a read, by number of entities and by whom."""
    reader, store = OnlineReader(settings), repo.store(settings)
    service = store.get_feature_service(SERVICE)
    found: dict[tuple[int, str], list[float]] = {}

    def ours(names: list[str]) -> Any:
        return reader.get(SERVICE, names).matrix

    def by_sdk(names: list[str]) -> Any:
        return store.get_online_features(service, [{"match_id": name} for name in names]).to_dict()

    for number in (1, 100):
        _same(ours, by_sdk, number)
    with feast_server(settings) as url, httpx.Client(base_url=url, trust_env=False, timeout=60) as client:

        def by_server(names: list[str]) -> Any:
            question = {"feature_service": SERVICE, "entities": {"match_id": names}}
            answer = client.post("/get-online-features", json=question)
            answer.raise_for_status()
            return answer.json()

        for number in (1, 100):
            err.print(f"reads of {number} entities ...")
            found[number, "Feast server"] = timed(by_server, number, FEAST_CALLS)
            found[number, "Feast SDK"] = timed(by_sdk, number, FEAST_CALLS)
            found[number, "ours"] = timed(ours, number, CALLS)
    found[1000, "ours"] = timed(ours, 1000, CALLS // 5)
    reader.close()
    return found


def _same(ours: Callable[[list[str]], Any], feast: Callable[[list[str]], Any], number: int) -> None:
    """Make sure that both read the same before they are timed."""
    names = [f"BENCH/{place}" for place in range(number)]
    told = feast(names)
    expected = [told[name] for name in find_service(SERVICE).names]
    np.testing.assert_array_equal(ours(names), np.array(expected, dtype=np.float32).T)


class Poller(threading.Thread):
    """Looks at some matches in Redis again and again, and notes when each of their events could be read.

    A state holds all events before it: where a match's count of events is n, the first n can be read.
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__(daemon=True)
        self.latencies: list[float] = []
        self.stop = threading.Event()
        self._client = redis.Redis.from_url(settings.redis_url.get_secret_value())
        self._waiting: dict[str, deque[tuple[int, float]]] = {}
        self._key = layout.KeyMaker(("match_id",)).key
        self._field = layout.feature_field(STATE, "events")
        self._lock = threading.Lock()

    def sent(self, match: str, count: int) -> None:
        """The event that makes ``count`` events of a match is sent now; one match in ten is watched."""
        if zlib.crc32(match.encode()) % WATCHED:
            return
        with self._lock:
            self._waiting.setdefault(match, deque()).append((count, time.perf_counter()))

    @property
    def missing(self) -> int:
        """Events that cannot be read yet."""
        with self._lock:
            return sum(map(len, self._waiting.values()))

    def run(self) -> None:
        while not self.stop.is_set():
            with self._lock:
                matches = [match for match, waiting in self._waiting.items() if waiting]
            time.sleep(LOOK)
            if not matches:
                continue
            pipe = self._client.pipeline(transaction=False)
            for match in matches:
                pipe.hget(self._key(match.encode()), self._field)  # type: ignore[arg-type]
            answers, now = pipe.execute(), time.perf_counter()
            with self._lock:
                for match, answer in zip(matches, answers, strict=True):
                    held = 0 if answer is None else layout.value_of(answer)
                    waiting = self._waiting[match]
                    while waiting and waiting[0][0] <= held:
                        self.latencies.append((now - waiting.popleft()[1]) * 1000)


def readable(settings: Settings, topic: str, load: Iterator[tuple[str, int, Record]]) -> Poller:
    """Send records at ``RATE`` and see when Redis has them; a warm-up at the same rate does not count."""
    poller = Poller(settings)
    poller.start()
    with Producer(settings, topic=topic) as producer:
        for seconds, counts in ((WARM_UP_SECONDS, False), (SECONDS, True)):
            for match, count, one in paced(load, RATE, seconds):
                one["event_time"] = now_ms()
                if counts:
                    poller.sent(match, count)
                producer.send(one)
    deadline = time.monotonic() + 30
    while poller.missing and time.monotonic() < deadline:
        time.sleep(0.1)
    poller.stop.set()
    poller.join()
    return poller


def states(run: str) -> Iterator[tuple[str, int, Record]]:
    """States of live matches, one of each in turn, without end."""
    view, chance = find_view(STATE), random.Random(7)  # noqa: S311
    shapes = [record(view, "", 0, chance) for _ in range(200)]
    for place in itertools.count():
        match, count = f"{run}/{place % LIVE_MATCHES}", place // LIVE_MATCHES + 1
        yield (
            match,
            count,
            shapes[place % 200]
            | {
                "match_id": match,
                "events": count,
                "source_offset": place,
            },
        )


def events(run: str) -> Iterator[tuple[str, int, Record]]:
    """Events of live matches, with how many of its match there are by then."""
    from streams.sources.sample import matches

    counts: dict[str, int] = {}
    for event in live_load(matches(), run):
        match = event["match_id"]
        counts[match] = counts.get(match, 0) + 1
        yield match, counts[match], event


def _latency_row(what: str, by: str, found: list[float]) -> list[Any]:
    p50, p99 = (round(float(value), 2) for value in np.percentile(found, [50, 99]))
    return [what, by, "", p50, p99]


def plot(raw: dict[str, Any]) -> Bars:
    """Milliseconds of a read, ours beside Feast's: from the median to the 99th percentile."""
    reads = raw["reads"]
    what = list(dict.fromkeys(one["what"] for one in reads))
    series = {
        by: [
            [value for one in reads if (one["what"], one["by"]) == (name, by) for value in one["ms"]]
            for name in what
        ]
        for by in ("ours", "Feast SDK", "Feast server")
    }
    return Bars("ms (median to 99th percentile)", what, series)


def run() -> Result:
    """Measure on a platform of its own, and write the result."""
    rows: list[list[Any]] = []
    raw: dict[str, Any] = {"reads": []}
    size = len(find_service(SERVICE).features)
    with running_platform(job=False) as settings:
        for name, features, number, entities in CASES:
            view = _part_of(find_view(name), features)
            err.print(f"writing {name} of {entities} entities ...")
            what = f"write {name} ({len(view.features)} features), {entities:,} entities"
            if entities == number and features is None:
                _empty(settings, view)
                rows.append([what, "Feast SDK", round(write_by_feast(settings, view)), "", ""])
            _empty(settings, view)
            _fill(settings, view, number, entities)
            found = write(settings, view, number, entities)
            raw[what] = found
            rows.append([what, "ours", round(found["records/s"]), "", ""])
        _quiet(settings)
        for (number, by), times in reads(settings).items():
            row = _latency_row(f"read {number:,} × {size} features", by, times)
            rows.append(row)
            raw["reads"].append({"what": row[0], "by": by, "ms": row[3:]})
        stack.up_app("online-store", ["rift", "features", "write"])
        err.print(f"feature records at {RATE}/s ...")
        _empty(settings, find_view(STATE))
        poller = readable(settings, "match-features", states("BENCH-STATE"))
        rows.append(_latency_row(f"feature record sent → readable, {RATE:,}/s", "ours", poller.latencies))
        raw["record to readable"] = {"missing": poller.missing, "records": len(poller.latencies)}
    with running_platform() as settings:
        platform.status()
        err.print(f"events through the pipeline at {RATE}/s ...")
        poller = readable(settings, "live-matches", events(f"{now_ms() & 0xFFFFFFFF:08x}"))
        rows.append(_latency_row(f"event sent → readable, {RATE:,}/s", "whole pipeline", poller.latencies))
        raw["event to readable"] = {"missing": poller.missing, "events": len(poller.latencies)}
    return save(
        "online",
        "rift bench online",
        "How fast are features written to the online store and read from it, beside Feast on the same Redis?",
        ["what", "by", "records/s", "p50 ms", "p99 ms"],
        rows,
        notes=[
            "Writer or reader, Redis (append-only file on) and, where it takes part, Kafka share the cores.",
            "Writing: records of a topic in Kafka to Redis; of a batch only the newest row of each entity is "
            f"sent. Feast writes {FEAST_ROWS:,} rows of a data frame that is in memory already.",
            f"Reading: other entities of {ENTITIES:,} each time, values compared before; ours gives the "
            "model's float32 matrix with ages, Feast a dictionary, its server JSON.",
            f"Readable: {LIVE_MATCHES} live matches, {SECONDS} s after {WARM_UP_SECONDS} s of warm-up; one "
            f"in {WATCHED} is looked at in Redis every {LOOK * 1000:.0f} ms, which is in the figures. The "
            "whole pipeline includes Kafka, Flink, and the prediction loop beside it.",
        ],
        raw=raw,
    )
