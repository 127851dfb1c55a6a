"""How good the features are that come: their age, what is missing in them, how far they are from training.

``Monitor`` looks at some of the records that the online store's writer reads anyway, so that this costs no
second reader of the topics: at most 200 records a second and view are decoded, and the newest 2,000 of the
last hour are kept.

Drift is the population stability index: over bins of the training distribution, and one bin for missing
values, the sum of (share now - share then) × ln(share now / share then). It is symmetric Kullback-Leibler
divergence in nats (Jeffreys 1946; as PSI in Siddiqi, "Credit Risk Scorecards", 2006).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import confluent_kafka as kafka
import numpy as np

from features.views import TIMESTAMP, VIEWS, View
from riftstream.errors import SchemaError
from streams.avro import Record

TOPIC = "feature-quality"
BINS = 10
LEAST_RECORDS, LEAST_ENTITIES = 500, 20
"""A sample that is smaller tells no drift: a few matches at once are no sample of all."""

_FLOOR = 1e-4
"""Share that an empty bin counts as, so that one missing value does not make the index infinite."""
_KEPT = 2000
_KEPT_MS = 3_600_000
_PER_SECOND = 200


@dataclass(frozen=True)
class Distribution:
    """How the values of a feature were distributed.

    Attributes:
        edges: Upper ends of all bins but the last, ascending; a bin holds its upper end.
        shares: Share of all rows in each bin.
        missing: Share of rows without a value.
    """

    edges: tuple[float, ...]
    shares: tuple[float, ...]
    missing: float

    def psi(self, values: np.ndarray) -> float:
        """Population stability index of other values (float, NaN where missing) against these."""
        then = np.array([*self.shares, self.missing])
        now = _shares(values, self.edges)
        then, now = np.maximum(then, _FLOOR), np.maximum(now, _FLOOR)
        return float(np.sum((now - then) * np.log(now / then)))


def distribution_of(values: np.ndarray) -> Distribution:
    """The distribution of values (float, NaN where missing), in bins of about a tenth of them each.

    Values that repeat share a bin, so a flag has two.
    """
    known = values[~np.isnan(values)]
    steps = np.arange(1, BINS) / BINS
    edges = np.unique(np.quantile(known, steps, method="lower")) if len(known) else np.array([])
    shares = _shares(values, edges)
    return Distribution(tuple(map(float, edges)), tuple(map(float, shares[:-1])), float(shares[-1]))


def _shares(values: np.ndarray, edges: Sequence[float] | np.ndarray) -> np.ndarray:
    """Share of values in each bin, and last that of missing ones."""
    missing = np.isnan(values)
    counts = np.bincount(np.searchsorted(edges, values[~missing]), minlength=len(edges) + 1)
    return np.append(counts, missing.sum()) / max(1, len(values))


@dataclass(frozen=True)
class _Seen:
    """One record of the sample: when it was looked at (ms), its age then (ms), its entity, its features."""

    at: int
    age: int
    entity: tuple[Any, ...]
    row: tuple[Any, ...]


class _ViewSample:
    """The newest records of a view that were looked at."""

    def __init__(self, view: View, read: Callable[[bytes], tuple[Any, ...]]) -> None:
        self.view = view
        self.records = 0
        self.allowance = float(_PER_SECOND)
        self._read = read
        self._keys = len(view.keys)
        self._seen: deque[_Seen] = deque(maxlen=_KEPT)

    def take(self, values: Sequence[bytes], now: int, passed_s: float) -> None:
        """Look at some of the records that came; those that cannot be read are left out."""
        self.records += len(values)
        self.allowance = min(_PER_SECOND, self.allowance + passed_s * _PER_SECOND)
        wanted = min(len(values), int(self.allowance))
        if wanted == 0:
            return
        self.allowance -= wanted
        for number in range(wanted):
            try:
                time, *rest = self._read(values[number * len(values) // wanted])
            except SchemaError:
                continue
            entity, row = tuple(rest[: self._keys]), tuple(rest[self._keys :])
            self._seen.append(_Seen(now, now - time, entity, row))

    def record(self, now: int, distributions: Mapping[str, Distribution]) -> Record:
        """The view's ``FeatureQuality`` as of now."""
        while self._seen and self._seen[0].at < now - _KEPT_MS:
            self._seen.popleft()
        names = [field.name for field in self.view.features]
        columns = dict(zip(names, zip(*(one.row for one in self._seen), strict=True), strict=False))
        ages = [one.age for one in self._seen]
        entities = len({one.entity for one in self._seen})
        psi = {}
        if len(ages) >= LEAST_RECORDS and entities >= LEAST_ENTITIES:
            known = {name: distributions.get(f"{self.view.name}:{name}") for name in names}
            psi = {name: one.psi(_floats(columns[name])) for name, one in known.items() if one is not None}
        told: Record = {
            "view": self.view.name,
            "records": self.records,
            "sampled": len(ages),
            "entities": entities,
            "features": list(columns),
            "null_rates": [sum(value is None for value in column) / len(ages) for column in columns.values()],
            "computed_at": now,
        }
        if ages:
            p50, p99 = np.percentile(ages, (50, 99))
            told |= {"age_p50_ms": float(p50), "age_p99_ms": float(p99)}
        if psi:
            told |= {"drifting": list(psi), "psi": list(psi.values())}
        self.records = 0
        return told


def _floats(column: Iterable[Any]) -> np.ndarray:
    return np.array([math.nan if value is None else value for value in column], float)


class Monitor:
    """Keeps a sample of each view's newest records.

    Args:
        codec_for: Gives the codec of a topic.
        distributions: Training distributions by ``view:feature``.
        views: The views to look at.
    """

    def __init__(
        self,
        codec_for: Callable[[str], Any],
        distributions: Mapping[str, Distribution],
        views: Sequence[View] = VIEWS,
    ) -> None:
        self._distributions = distributions
        self._samples: dict[str, list[_ViewSample]] = {}
        self._looked_at = 0
        for view in views:
            columns = (TIMESTAMP, *view.keys, *(field.name for field in view.features))
            sample = _ViewSample(view, codec_for(view.topic).projection(columns))
            self._samples.setdefault(view.topic, []).append(sample)

    def look(self, messages: Iterable[kafka.Message], now: int) -> None:
        """Look at some of the records that were read.

        Args:
            messages: Records of the views' topics.
            now: The time, ms since the Unix epoch.
        """
        values: dict[str, list[bytes]] = {}
        for message in messages:
            value = message.value()
            if value is not None:
                values.setdefault(message.topic() or "", []).append(value)
        passed_s = (now - self._looked_at) / 1000
        self._looked_at = now
        for topic, samples in self._samples.items():
            for sample in samples:
                sample.take(values.get(topic, ()), now, passed_s)

    def records(self, now: int) -> list[Record]:
        """A ``FeatureQuality`` for each view of which records came since the last call."""
        samples = (sample for samples in self._samples.values() for sample in samples)
        return [sample.record(now, self._distributions) for sample in samples if sample.records]
