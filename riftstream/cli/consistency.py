"""Features as they were served against the same made again in batch: by hash, then by value.

Every prediction names the hash of its feature vector and the place in the log that the vector covers; what
was known before the match, which the hash covers too, is in its record and is taken from there. Here
the events of whole matches are read from one snapshot of ``raw.match_events``, the job's own SQL makes their
features anew in batch, and each vector is compared with the one that was served. Where hashes differ, the
values that were served are read from ``match-features``, and ``feature-mismatches`` gets a record for each
that is another. ``feature-checks`` gets one for each match.

What was read from the online store, as forms are for questions about players, has no place in the log: see
``riftstream.cli.held``.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from riftstream.cli.held import Made, make_again
from riftstream.cli.served import Place, Source, Topics
from riftstream.errors import FeatureError
from riftstream.settings import Settings
from streams.avro import Record
from streams.clock import now_ms

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

JOB, VIEW, FEATURE_VIEW = "match_pipeline", "features", "match_state"
TOPIC = "match-features"
MISMATCHES, CHECKS = "feature-mismatches", "feature-checks"
WHOLE = "*"
"""Feature of a mismatch whose values are not known."""

_LAKE_PATIENCE_S = 30.0
_MOST_NAMED = 500
"""Up to so many matches are named to Flink; of more, all matches of their time are made anew."""
_MARGIN = timedelta(days=1)
"""No match is longer: its events lie within a day of the predictions that are kept."""

_PASSED_ON = (
    *("match_id", "player_id", "prediction_id", "event_id", "game_time_ms", "event_time", "source_partition"),
    *("source_offset", "feature_service", "feature_partition", "feature_offset"),
)
_FIELDS = (
    *(*_PASSED_ON, "features_sha256", "as_of", "subject_type", "subject_id", "model_name"),
    *("model_version", "degraded", "statistic", "maps", "opponent", "side", "champion", "pre_match"),
    *("pre_match_inputs", "win_probability", "win_probability_next"),
)
"""Fields of a prediction that a check reads."""


@dataclass
class Count:
    """What came of one match; see ``FeatureCheck`` for the fields."""

    vectors: int = 0
    wrong: int = 0
    not_recomputed: int = 0
    not_served: int = 0


@dataclass
class Report:
    """What came of a check.

    Attributes:
        matches: What came of each match.
        mismatches: ``FeatureMismatch`` records, one a value that differs.
        unchecked: Predictions that this check knows no way to compare, by why.
        players: What came of each player of whom something was predicted by forms; their ``not_recomputed``
            are vectors of whose forms the lake holds nothing.
        snapshot_id: Iceberg snapshot that was read; None where the table is empty.
        seconds: How long it took.
    """

    matches: dict[str, Count]
    mismatches: list[Record] = field(default_factory=list)
    unchecked: dict[str, int] = field(default_factory=dict)
    players: dict[str, Count] = field(default_factory=dict)
    snapshot_id: int | None = None
    seconds: float = 0.0

    @property
    def by_feature(self) -> dict[str, int]:
        """Values that differ, by feature, most first."""
        return dict(Counter(record["feature"] for record in self.mismatches).most_common())

    @property
    def total(self) -> Count:
        """The counts of all matches and players together."""
        counts = [*self.matches.values(), *self.players.values()]
        return Count(
            sum(one.vectors for one in counts),
            sum(one.wrong for one in counts),
            sum(one.not_recomputed for one in counts),
            sum(one.not_served for one in counts),
        )

    @property
    def equal(self) -> bool:
        """Whether every vector that was served could be made again, and was the same."""
        return not self.total.wrong and not self.total.not_recomputed


class Again:
    """Vectors that were made again.

    Args:
        rows: Rows of the view that made them, with their places.
    """

    def __init__(self, rows: pa.Table) -> None:
        self._rows = rows
        partitions, offsets = (rows[name].to_pylist() for name in ("source_partition", "source_offset"))
        self._row = {place: row for row, place in enumerate(zip(partitions, offsets, strict=True))}
        self._matrices: dict[str, np.ndarray] = {}
        self._hashes: dict[tuple[str, Place, float | None], str] = {}

    @cached_property
    def events(self) -> Counter[str]:
        """How many events each match has."""
        return Counter(self._rows["match_id"].to_pylist())

    def __contains__(self, place: Place) -> bool:
        return place in self._row

    def sha256(self, prediction: Record) -> str:
        """Hash of what a prediction stands on: the vector after its event, and its pre-match log odds."""
        from serving.pre_match import digest

        service, at, before = prediction["feature_service"], place(prediction), prediction["pre_match"]
        key = (service, at, before)
        if key not in self._hashes:
            self._hashes[key] = digest(self._matrix(service)[self._row[at]], before, service)
        return self._hashes[key]

    def value(self, name: str, place: Place) -> Any:
        """One feature after the event at a place."""
        return self._rows[name][self._row[place]].as_py()

    def _matrix(self, service: str) -> np.ndarray:
        from models.vector import from_table

        if service not in self._matrices:
            self._matrices[service] = from_table(self._rows, features_of(service))
        return self._matrices[service]


def features_of(service: str) -> tuple[str, ...]:
    """Names of a service's features where they are all of the view that is made again; empty where not.

    Raises:
        FeatureError: There is no such service.
    """
    from features.views import find_service

    found = find_service(service)
    return found.names if [view.name for view in found.views] == [FEATURE_VIEW] else ()


def ended(source: Source, since: datetime | None = None, until: datetime | None = None) -> list[str]:
    """Matches that ended, by the results that are kept, in the order of their ends.

    Args:
        source: Where they are kept.
        since: Only ends at or after this time; None for no bound.
        until: Only ends before this time; None for no bound.
    """
    low, high = (None if bound is None else bound.timestamp() * 1000 for bound in (since, until))
    ends = {
        end["match_id"]: end["event_time"]
        for end in source.ends()
        if (low is None or end["event_time"] >= low) and (high is None or end["event_time"] < high)
    }
    return sorted(ends, key=lambda match: (ends[match], match))


def behind(settings: Settings) -> int:
    """Records on their way from events to predictions: what the pipeline and the predictor have not read.

    Raises:
        StackError: Kafka does not answer.
    """
    from jobs.ddl import group
    from streams.status import topic_status

    readers = {"live-matches": group(JOB), TOPIC: "predictor-win_probability"}
    topics = {topic.name: topic for topic in topic_status(settings)}
    return sum(topics[name].lag.get(reader, topics[name].records) for name, reader in readers.items())


def check(
    matches: Collection[str],
    settings: Settings,
    *,
    job_file: Path | None = None,
    publish: bool = True,
    players: Collection[str] | None = (),
    source: Source | None = None,
) -> Report:
    """Compare every vector that was served in predictions of some matches with the same made again.

    One Flink job makes the features of all of them. What is compared is what the source keeps.

    Args:
        matches: The matches; they need not have ended.
        settings: Where everything is.
        players: Players whose predictions are compared, too; None for all.
        source: Where it is kept what was served; the topics by default.
        job_file: The SQL that makes features again; that of the job by default.
        publish: Whether ``feature-mismatches`` and ``feature-checks`` are told.

    Raises:
        JobError: Flink could not run the SQL.
        StackError: Kafka or the lake does not answer.
    """
    from jobs import sqlfile

    begun = time.monotonic()
    source = source or Topics(settings)
    served, read = _served(matches, source, players)
    report = Report({match: Count() for match in matches})
    job = sqlfile.load(JOB) if job_file is None else sqlfile.read(job_file)
    digest = hashlib.sha256((job.file or Path()).read_bytes()).hexdigest()
    common: dict[str, Any] = {"snapshot_id": None, "job_sha256": digest, "checked_at": now_ms()}
    if served:
        report.snapshot_id = _snapshot(served, settings)
        again = Again(_made_again(served, report.snapshot_id, job_file, settings))
        _count(report, served, again)
        differing = [one for one in served if differs(one, again)]
        common["snapshot_id"] = report.snapshot_id
        report.mismatches = [one | common for one in mismatches(differing, again, source)]
    for made in make_again(read, settings):
        _count_read(report, made, common)
    if publish:
        _publish(report, common, settings)
    report.seconds = time.monotonic() - begun
    return report


def _served(
    matches: Collection[str], source: Source, players: Collection[str] | None
) -> tuple[list[Record], list[Record]]:
    """Predictions, each vector of each once: those that name a place in the log, and the others."""
    seen: set[tuple[str, str]] = set()
    keys = None if players is None else {*matches, *players}
    wanted = {"match": set(matches), "player": None if players is None else set(players)}
    placed: list[Record] = []
    read: list[Record] = []
    for one in source.predictions(keys, _FIELDS):
        identity = (one["prediction_id"], one["features_sha256"])
        subjects = wanted[one["subject_type"]]
        if identity in seen or not (subjects is None or one["subject_id"] in subjects):
            continue
        seen.add(identity)
        (placed if _has_place(one) else read).append(one)
    return placed, read


def _has_place(prediction: Record) -> bool:
    """Whether the vector of a prediction is that of a match after an event, and of nothing else."""
    try:
        whole = bool(features_of(prediction["feature_service"]))
    except FeatureError:
        return False
    return whole and prediction["match_id"] is not None and prediction["source_offset"] >= 0


def _count_read(report: Report, made: Made, common: dict[str, Any]) -> None:
    """Enter what came of a vector that was read from the online store."""
    one = made.prediction
    if made.why:
        why = f"{one['feature_service']}: {made.why}"
        report.unchecked[why] = report.unchecked.get(why, 0) + 1
        return
    subjects = report.matches if one["subject_type"] == "match" else report.players
    count = subjects.setdefault(one["subject_id"], Count())
    count.vectors += 1
    count.not_recomputed += made.sha256 is None
    if made.differs:
        count.wrong += 1
        report.mismatches.append(_mismatch(one, WHOLE, None, None, made.sha256) | common)


def _snapshot(served: Sequence[Record], settings: Settings) -> int | None:
    """The newest snapshot of the lake's events, once it holds the newest event of each match that was served.

    Where it does not for half a minute, the snapshot is taken as it is. None where nothing was ever written.
    """
    from lakehouse.catalog import connect
    from lakehouse.tables import MATCH_EVENTS, load

    newest: dict[str, Place] = {}
    for one in served:
        newest[one["match_id"]] = max(newest.get(one["match_id"], place(one)), place(one))
    since, until = (moment.isoformat() for moment in _range(served))
    within = f"event_time >= '{since}' AND event_time < '{until}'"
    columns = ("source_partition", "source_offset")
    table = load(connect(settings), MATCH_EVENTS)
    deadline = time.monotonic() + _LAKE_PATIENCE_S
    while True:
        snapshot = table.current_snapshot()
        if snapshot is not None:
            rows = table.scan(within, columns, snapshot_id=snapshot.snapshot_id).to_arrow()
            held = set(zip(*(rows[name].to_pylist() for name in columns), strict=True))
            if held.issuperset(newest.values()):
                return int(snapshot.snapshot_id)
        if time.monotonic() > deadline:
            return None if snapshot is None else int(snapshot.snapshot_id)
        time.sleep(1.0)
        table.refresh()


def _made_again(
    served: Sequence[Record], snapshot_id: int | None, job_file: Path | None, settings: Settings
) -> pa.Table:
    """The features of all events of the matches, made again in batch: the view's rows with their places."""
    from jobs.runner import run_batch

    matches = {one["match_id"] for one in served}
    since, until = (int(moment.timestamp() * 1000) for moment in _range(served))
    return run_batch(
        JOB,
        VIEW,
        matches=matches if len(matches) <= _MOST_NAMED else None,
        since_ms=since,
        until_ms=until,
        snapshot_id=snapshot_id,
        file=job_file,
        settings=settings,
    )


def _range(served: Sequence[Record]) -> tuple[datetime, datetime]:
    """Event times between which all events of the matches lie, since no match is longer than a day."""
    times = [one["event_time"] for one in served]
    first, last = (datetime.fromtimestamp(ms / 1000, UTC) for ms in (min(times), max(times)))
    return first - _MARGIN, last + _MARGIN


def place(record: Record) -> Place:
    """Place of the newest event that a record covers."""
    return record["source_partition"], record["source_offset"]


def _count(report: Report, served: Sequence[Record], again: Again) -> None:
    """Enter what came of each match."""
    told: dict[str, set[Place]] = defaultdict(set)
    for one in served:
        count = report.matches[one["match_id"]]
        told[one["match_id"]].add(place(one))
        count.vectors += 1
        count.not_recomputed += place(one) not in again
        count.wrong += differs(one, again)
    for match, places in told.items():
        held = sum(one in again for one in places)
        report.matches[match].not_served = again.events[match] - held


def differs(prediction: Record, again: Again) -> bool:
    """Whether the vector of a prediction could be made again and is another, by its hash."""
    at = place(prediction)
    made = at in again and again.sha256(prediction)
    return bool(made) and made != prediction["features_sha256"]


def mismatches(served: Sequence[Record], again: Again, source: Source) -> list[Record]:
    """A ``FeatureMismatch`` for each value that differs, without what is common to a check.

    Args:
        served: Predictions whose vectors differ.
        again: The vectors made again.
        source: Where the values are kept.
    """
    wanted: dict[int, set[int]] = defaultdict(set)
    for one in served:
        if one["feature_offset"] is not None:
            wanted[one["feature_partition"]].add(one["feature_offset"])
    names = sorted({name for one in served for name in features_of(one["feature_service"])})
    held = source.vectors(wanted, names)
    found = []
    for one in served:
        vector = held.get((one["feature_partition"], one["feature_offset"]))
        for feature, said, made in compare(one, vector, again):
            digest = again.sha256(one)
            found.append(_mismatch(one, feature, said, made, digest))
    return found


def compare(prediction: Record, vector: Record | None, again: Again) -> list[tuple[str, Any, Any]]:
    """Features that differ, each with the value that was served and the one that was made again.

    Args:
        prediction: The prediction.
        vector: The record of ``match-features`` that it was made of; None where it is not kept.
        again: The vectors made again.
    """
    from models.vector import from_records
    from serving.pre_match import digest

    service, before = prediction["feature_service"], prediction["pre_match"]
    names = features_of(service)
    if vector is None:
        return [(WHOLE, None, None)]
    if digest(from_records([vector], names)[0], before, service) != prediction["features_sha256"]:
        return [(WHOLE, None, None)]
    values = ((name, vector[name], again.value(name, place(prediction))) for name in names)
    return [(name, said, made) for name, said, made in values if said != made]


def _mismatch(
    prediction: Record, feature: str, said: Any, made: Any, recomputed_sha256: str | None
) -> Record:
    return {name: prediction[name] for name in _PASSED_ON} | {
        "feature": feature,
        "served": None if said is None else str(said),
        "recomputed": None if made is None else str(made),
        "served_sha256": prediction["features_sha256"],
        "recomputed_sha256": recomputed_sha256,
        "served_at": prediction["as_of"],
    }


def _publish(report: Report, common: Mapping[str, Any], settings: Settings) -> None:
    """Tell ``feature-mismatches`` and ``feature-checks``.

    Raises:
        DeliveryError: Kafka did not take them.
    """
    from streams.client import Producer

    if report.mismatches:
        with Producer(settings, topic=MISMATCHES) as producer:
            producer.send_batch(report.mismatches)
    with Producer(settings, topic=CHECKS) as producer:
        for match, count in report.matches.items():
            if count.vectors:
                producer.send({"match_id": match, **vars(count), **common})
