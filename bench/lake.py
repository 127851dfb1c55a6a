"""Question: how soon is an event a row of the lake, what does an audit cost, and how should tables lie?"""

from __future__ import annotations

import itertools
import statistics
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyiceberg.catalog import Catalog
from pyiceberg.expressions import EqualTo

from bench.load import LIVE_MATCHES, live_load, paced
from bench.platform import running_platform
from bench.plots import Bars
from bench.results import Result, save
from lakehouse import tables
from lakehouse.catalog import connect
from lakehouse.tables import MATCH_EVENTS, TableSpec, load
from riftstream.console import err
from riftstream.errors import RiftError
from riftstream.settings import Settings, get_settings
from streams.avro import Record
from streams.client import Producer
from streams.clock import now_ms
from streams.schemas import for_topic

RATE = 500
WARM_UP_SECONDS = 20
SECONDS = 60
LOOK = 0.1
MATCHES = (100, 1_000)
LAYOUTS = (
    ("day, league", (("day", "event_time"), ("identity", "league"))),
    ("month, league", (("month", "event_time"), ("identity", "league"))),
    ("month", (("month", "event_time"),)),
    ("month, player bucket", (("month", "event_time"), ("bucket[16]", "player_id"))),
    ("player bucket", (("bucket[16]", "player_id"),)),
)
CODECS = ("uncompressed", "snappy", "zstd")
SCANS = 5


class _Watcher(threading.Thread):
    """Notes when each event could first be read from the table."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(daemon=True)
        self.seen: dict[str, float] = {}
        self.commits = 0
        self.stop = threading.Event()
        self._table = load(connect(settings), MATCH_EVENTS)

    def run(self) -> None:
        head = self._table.current_snapshot()
        last = head.snapshot_id if head else None
        while not self.stop.wait(LOOK):
            head = self._table.refresh().current_snapshot()
            if head is None or head.snapshot_id == last:
                continue
            rows = self._table.incremental_append_scan(
                selected_fields=("event_id",),
                from_snapshot_id_exclusive=last,
                to_snapshot_id_inclusive=head.snapshot_id,
            ).to_arrow()
            now = time.perf_counter()
            self.commits += 1
            self.seen |= dict.fromkeys(rows["event_id"].to_pylist(), now)
            last = head.snapshot_id


def freshness(settings: Settings, seconds: float) -> dict[str, Any]:
    """Seconds from sending an event until a reader has its row, at ``RATE`` events/s."""
    from streams.sources.sample import matches

    events = live_load(matches(), f"{now_ms() & 0xFFFFFFFF:08x}", LIVE_MATCHES)
    watcher = _Watcher(settings)
    watcher.start()
    sent: dict[str, float] = {}
    with Producer(settings) as producer:
        begin = time.perf_counter()
        for event in paced(events, RATE, WARM_UP_SECONDS + seconds):
            event["event_time"] = now_ms()
            sent[event["event_id"]] = time.perf_counter()
            producer.send(event)
    measured = {one: at for one, at in sent.items() if at - begin >= WARM_UP_SECONDS}
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not measured.keys() <= watcher.seen.keys():
        time.sleep(0.5)
    watcher.stop.set()
    watcher.join()
    ages = [watcher.seen[one] - at for one, at in measured.items() if one in watcher.seen]
    p50, p99 = np.percentile(ages, [50, 99])
    return {"events": len(measured), "missing": len(measured) - len(ages), "p50_s": p50, "p99_s": p99}


def _real_matches(count: int) -> list[list[Record]]:
    """Matches of lol-pro, evenly spread over its four years.

    Raises:
        RiftError: There are none here.
    """
    from streams.sources.lol_pro import LolPro

    folder = get_settings().data
    if folder is None:
        raise RiftError("This benchmark needs real matches.", "Set RIFT_DATA.")
    found = [list(match) for match in LolPro(folder).matches()]
    return _spread(found, min(count, len(found)))


def _fill(catalog: Catalog, matches: list[list[Record]]) -> int:
    """Put events into raw.match_events as the pipeline would; gives how many."""
    empty: Record = dict.fromkeys(field.name for field in for_topic("live-matches").fields)
    place = itertools.count()
    rows = [
        empty | event | {"source_topic": "live-matches", "source_partition": 0, "source_offset": next(place)}
        for match in matches
        for event in match
    ]
    table = load(catalog, MATCH_EVENTS)
    schema = table.schema().as_arrow()
    columns = {field.name: [row.get(field.name) for row in rows] for field in schema}
    table.append(tables.fitted(pa.table(columns), schema))
    return len(rows)


@contextmanager
def _own_lake(settings: Settings) -> Iterator[Settings]:
    """A warehouse of its own in the same object store."""
    import boto3

    name = f"bench{uuid.uuid4().hex[:12]}"
    client = boto3.client(
        "s3tables",
        endpoint_url=settings.s3_endpoint,
        region_name=settings.s3_region,
        aws_access_key_id=settings.s3_access_key,
        aws_secret_access_key=settings.s3_secret_key.get_secret_value(),
    )
    client.create_table_bucket(name=name)
    with tempfile.TemporaryDirectory(prefix="rift-bench-lake-") as folder:
        own = settings.model_copy(update={"catalog_warehouse": f"s3://{name}", "home": Path(folder)})
        tables.apply(own, tables.plan(own))
        yield own


def audit_cost(settings: Settings, matches: list[list[Record]]) -> dict[str, Any]:
    """Seconds of each stage of one run of ``rift lake etl`` over these matches, on a lake of its own."""
    from riftstream.cli.etl import etl

    stages: dict[str, float] = {}
    told: list[tuple[str, float]] = []

    def tell(text: str) -> None:
        told.append((text.split()[0], time.perf_counter()))

    with _own_lake(settings) as own:
        events = _fill(connect(own), matches)
        begin = time.perf_counter()
        ran = etl(own, tell=tell)
        tell("end")
        seconds = time.perf_counter() - begin
    for (stage, at), (_, until) in itertools.pairwise(told):
        stages[stage] = stages.get(stage, 0.0) + until - at
    return {
        "matches": len(matches),
        "events": events,
        "rows": sum(ran.rows.values()),
        "seconds": seconds,
        "making": stages["making"],
        "writing": stages["writing"],
        "auditing": stages["auditing"],
        "publishing": stages["publishing"],
        "suites": sum(audit.seconds for audit in ran.audits),
        "expectations": sum(audit.expectations for audit in ran.audits),
    }


def layouts(settings: Settings, matches: list[list[Record]]) -> list[dict[str, Any]]:
    """Files, bytes, seconds to write, to read all and one player, of player rows that lie in several ways."""
    rows = pa.Table.from_pylist(list(_player_rows(matches)))
    found = []
    with _own_lake(settings) as own:
        catalog = connect(own)
        base = tables.spec("processed.player_games")
        for name, partition in LAYOUTS:
            for codec in CODECS if name == "month, league" else ("zstd",):
                spec = replace(base, partition=partition)
                found.append({"layout": name, "codec": codec, **_lay(catalog, spec, codec, rows)})
    return found


def _lay(catalog: Catalog, spec: TableSpec, codec: str, rows: pa.Table) -> dict[str, Any]:
    name = f"processed.bench_{uuid.uuid4().hex[:8]}"
    table = catalog.create_table(
        name,
        spec.schema,
        partition_spec=spec.partition_spec,
        properties={
            "write.parquet.compression-codec": "uncompressed" if codec == "none" else codec,
            "format-version": "2",
        },
    )
    fitted = tables.fitted(rows, table.schema().as_arrow()).sort_by([(one, "ascending") for one in spec.sort])
    begin = time.perf_counter()
    table.append(fitted)
    written = time.perf_counter() - begin
    tasks = list(table.scan().plan_files())
    counts = Counter(rows["player_id"].to_pylist())
    player, games = counts.most_common(1)[0]
    scan_s = _timed(lambda: table.scan().to_arrow().num_rows, rows.num_rows)
    one = EqualTo("player_id", player)  # type: ignore[call-arg]
    player_s = _timed(lambda: table.scan(row_filter=one).to_arrow().num_rows, games)
    return {
        "rows": rows.num_rows,
        "files": len(tasks),
        "bytes": sum(task.file.file_size_in_bytes for task in tasks),
        "write_s": written,
        "scan_s": scan_s,
        "player_s": player_s,
    }


def _timed(read: Callable[[], int], expected: int) -> float:
    """The median seconds of some reads.

    Raises:
        RiftError: Another number of rows came back.
    """
    times = []
    for _ in range(SCANS):
        begin = time.perf_counter()
        count = read()
        times.append(time.perf_counter() - begin)
        if count != expected:
            raise RiftError(f"{count} of {expected} rows came back.")
    return statistics.median(times)


def _player_rows(matches: list[list[Record]]) -> Iterator[Record]:
    """Rows of the shape of processed.player_games, from what starts and ends of matches tell."""
    empty: Record = dict.fromkeys(field.name for field in for_topic("live-matches").fields)
    for match in matches:
        start, end = empty | match[0], empty | match[-1]
        for side, other in (("blue", "red"), ("red", "blue")):
            players = zip(start[f"{side}_players"] or (), start[f"{side}_champions"] or (), strict=False)
            for player, champion in players:
                yield {
                    **{name: start[name] for name in ("match_id", "source", "league", "season", "phase")},
                    "player_id": player,
                    "champion": champion,
                    "side": side,
                    "team": start[f"{side}_team"],
                    "opponent": start[f"{other}_team"],
                    "won": end["winner"] == side,
                    "started": start["event_time"],
                    "event_time": end["event_time"],
                    "duration_ms": end["duration_ms"],
                    "kills": sum(event.get("player_id") == player for event in match),
                    "deaths": sum(event.get("victim_id") == player for event in match),
                }


def run(seconds: float = SECONDS) -> Result:
    """Measure all three on a platform of its own, and write the result."""
    everything = _real_matches(10_000)
    costs = []
    with running_platform() as settings:
        err.print("freshness ...")
        fresh = freshness(settings, seconds)
        for count in MATCHES:
            err.print(f"audit of {count} matches ...")
            costs.append(audit_cost(settings, _spread(everything, count)))
        err.print("layouts ...")
        laid = layouts(settings, everything)
    rows: list[list[Any]] = [
        [
            "event sent → row visible, p50",
            f"{fresh['p50_s']:.1f} s",
            f"{RATE} events/s, {fresh['events']:,} events",
        ],
        ["event sent → row visible, p99", f"{fresh['p99_s']:.1f} s", f"{fresh['missing']} never seen"],
    ]
    for cost in costs:
        share = f"{cost['auditing'] / cost['seconds']:.0%}"
        rows += [
            [
                f"`rift lake etl`, {cost['matches']:,} matches",
                f"{cost['seconds']:.1f} s",
                f"{cost['rows']:,} rows",
            ],
            ["— making the rows (Flink)", f"{cost['making']:.1f} s", f"of {cost['events']:,} events"],
            ["— writing to branches", f"{cost['writing']:.1f} s", "6 tables"],
            [
                "— auditing",
                f"{cost['auditing']:.1f} s",
                f"{cost['expectations']} expectations, {share} of the run",
            ],
            ["— publishing", f"{cost['publishing']:.1f} s", "6 fast-forwards"],
        ]
    for one in laid:
        what = f"{one['files']:,} files, {one['bytes'] / 1e6:.1f} MB, written in {one['write_s']:.1f} s"
        rows.append([f"scan by {one['layout']}, {one['codec']}", f"{one['scan_s']:.2f} s", what])
        rows.append(["— one player of it", f"{one['player_s']:.2f} s", "the one with the most maps"])
    return save(
        "lake",
        "rift bench lake",
        "How soon is an event a row of the lake, what does an audit cost, and how should tables lie?",
        ["what", "time", "of"],
        rows,
        notes=[
            "Visible means that a reader in another process has the row: Iceberg commits with checkpoints, "
            "every 5 s.",
            "`rift lake etl` runs on a lake of its own, filled with lol-pro; making the rows includes the "
            "start of Flink.",
            f"Layouts: {laid[0]['rows']:,} rows of the shape of processed.player_games; scans are the median "
            f"of {SCANS}.",
        ],
        raw={"freshness": fresh, "audit": costs, "layouts": laid},
    )


def _spread(matches: list[list[Record]], count: int) -> list[list[Record]]:
    return [matches[place * len(matches) // count] for place in range(count)]


def plot(raw: dict[str, Any]) -> Bars:
    """Seconds of each stage of a run."""
    stages = ("making", "writing", "auditing", "publishing")
    series = {f"{cost['matches']:,} matches": [[float(cost[one])] for one in stages] for cost in raw["audit"]}
    return Bars("seconds", list(stages), series)
