"""``rift features write`` and ``rift features quality``: features on their way into the online store, and how
good they are.

The writer shows what it reads to a ``Monitor``, and tells ``feature-quality`` every half minute what it saw.
"""

from __future__ import annotations

import signal
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog
import typer

from riftstream.console import JsonFlag, err, out, print_json
from riftstream.errors import RiftError
from riftstream.settings import Settings, get_settings
from streams.avro import Record
from streams.clock import now_ms

if TYPE_CHECKING:
    from confluent_kafka import Message

    from features.quality import Distribution

EVERY_MS = 30_000
DRIFT = 0.25
"""From here on a population stability index is commonly called drift (Siddiqi 2006)."""

_NEWEST = 5000
"""So many records of each partition are looked at for the newest of each key."""
_DAY_MS = 86_400_000
_DAYS_MS = 2 * _DAY_MS

log = structlog.get_logger()


@dataclass(frozen=True)
class Quality:
    """How good the newest records of a feature view are; see ``FeatureQuality``.

    Attributes:
        view: The view.
        sampled: Records behind the figures.
        entities: Different entities among them.
        age_p50_ms: Time from an event to the write of its features, median.
        age_p99_ms: The same, 99th percentile.
        null_rate: Share of values that are null, over all features.
        null_rates: The same by feature.
        psi: Population stability index by feature; empty where nothing is known of training, or the sample is
            too small.
        computed_age_ms: Time since it was reckoned.
    """

    view: str
    sampled: int
    entities: int
    age_p50_ms: float | None
    age_p99_ms: float | None
    null_rate: float | None
    null_rates: dict[str, float]
    psi: dict[str, float]
    computed_age_ms: int

    @property
    def worst(self) -> tuple[str, float] | None:
        """The feature that drifts most, with its index; None where none is known."""
        return max(self.psi.items(), key=lambda item: item[1], default=None)


@dataclass(frozen=True)
class Checked:
    """What the newest checks of matches said; see ``FeatureCheck``.

    Attributes:
        matches: Matches that were checked.
        vectors: Vectors that were compared.
        wrong: Vectors that differ.
        not_recomputed: Vectors whose event the lake did not hold.
        newest_age_ms: Time since the newest check.
    """

    matches: int
    vectors: int
    wrong: int
    not_recomputed: int
    newest_age_ms: int


def quality_of(record: Record, now: int) -> Quality:
    """A ``FeatureQuality`` record as it is shown."""
    rates = dict(zip(record["features"] or (), record["null_rates"] or (), strict=True))
    return Quality(
        view=record["view"],
        sampled=record["sampled"],
        entities=record["entities"],
        age_p50_ms=record["age_p50_ms"],
        age_p99_ms=record["age_p99_ms"],
        null_rate=sum(rates.values()) / len(rates) if rates else None,
        null_rates=rates,
        psi=dict(zip(record["drifting"] or (), record["psi"] or (), strict=True)),
        computed_age_ms=max(0, now - record["computed_at"]),
    )


def qualities(settings: Settings) -> list[Quality]:
    """How good the records of each view are, as the writer told last; views without any are left out.

    Raises:
        StackError: Kafka does not answer.
    """
    now = now_ms()
    newest = _newest("feature-quality", "view", settings)
    return [quality_of(newest[view], now) for view in sorted(newest)]


def checked(settings: Settings) -> Checked | None:
    """What the newest checks said; None where no match was checked.

    Raises:
        StackError: Kafka does not answer.
    """
    found = _newest("feature-checks", "match_id", settings).values()
    if not found:
        return None
    total = {name: sum(record[name] for record in found) for name in ("vectors", "wrong", "not_recomputed")}
    newest = max(record["checked_at"] for record in found)
    return Checked(len(found), **total, newest_age_ms=max(0, now_ms() - newest))


def _newest(topic: str, key: str, settings: Settings) -> dict[str, Record]:
    """The newest record of each key, of the newest of each partition."""
    from streams.client import Subscriber

    with Subscriber(topic, settings, start=_NEWEST, stop_at_end=True, skip_broken=True) as subscriber:
        return {received.record[key]: received.record for received in subscriber}


def exposition(found: Iterable[Quality], check: Checked | None) -> Iterator[str]:
    """Lines of Prometheus' text format (version 0.0.4)."""
    found = list(found)
    samples: dict[str, tuple[str, list[tuple[dict[str, str], float | None]]]] = {
        "rift_feature_age_ms": (
            "Time from an event to the write of its features to the online store.",
            [
                ({"view": one.view, "quantile": quantile}, age)
                for one in found
                for quantile, age in (("0.5", one.age_p50_ms), ("0.99", one.age_p99_ms))
            ],
        ),
        "rift_feature_null_rate": (
            "Share of records in which a feature has no value.",
            [
                ({"view": one.view, "feature": name}, rate)
                for one in found
                for name, rate in one.null_rates.items()
            ],
        ),
        "rift_feature_psi": (
            "Population stability index of a feature against training.",
            [({"view": one.view, "feature": name}, psi) for one in found for name, psi in one.psi.items()],
        ),
    }
    if check is not None:
        samples |= {
            "rift_feature_check_vectors": ("Served vectors that were compared.", [({}, check.vectors)]),
            "rift_feature_check_wrong": (
                "Served vectors that differ from their recomputation.",
                [({}, check.wrong)],
            ),
        }
    for name, (meaning, values) in samples.items():
        yield f"# HELP {name} {meaning}"
        yield f"# TYPE {name} gauge"
        for labels, value in values:
            if value is not None:
                inside = ",".join(f'{label}="{said}"' for label, said in labels.items())
                yield f"{name}{{{inside}}} {value!r}" if inside else f"{name} {value!r}"


class Watch:
    """Shows what the writer reads to a monitor, and tells ``feature-quality`` what it saw.

    Args:
        settings: Where Kafka and the registry are.
        every_ms: How often it is told.
    """

    def __init__(self, settings: Settings, every_ms: int = EVERY_MS) -> None:
        from features.quality import TOPIC, Monitor
        from features.views import SERVICES
        from models.distribution import load
        from streams.client import Producer, codec_for

        known: dict[str, Distribution] = {}
        for model in dict.fromkeys(service.model for service in SERVICES):
            known |= load(model)
        self._monitor = Monitor(lambda topic: codec_for(topic, settings), known)
        self._producer = Producer(settings, topic=TOPIC)
        self._every_ms = every_ms
        self._told_at = now_ms()

    def __call__(self, messages: Sequence[Message]) -> None:
        """Look at a batch. What goes wrong with telling is logged: features go on."""
        now = now_ms()
        self._monitor.look(messages, now)
        if now - self._told_at < self._every_ms:
            return
        self._told_at = now
        try:
            self._producer.send_batch(self._monitor.records(now))
        except RiftError as away:
            log.warning("feature_quality.not_told", error=str(away))


def register(features: typer.Typer) -> None:
    """Add these commands to ``rift features``."""
    features.command("write")(_write)
    features.command("quality")(_quality)


def _write() -> None:
    """Keep the online store up to date from the topics, until stopped ('rift up' runs it).

    Example: rift features write
    """
    from features.online_write import OnlineWriteLoop

    settings = get_settings()
    loop = OnlineWriteLoop(settings, watch=Watch(settings))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: loop.stop())
    loop.run()


def _quality(
    view: str | None = typer.Argument(None, help="A view, for each of its features."),
    prometheus: bool = typer.Option(False, "--prometheus", help="Print Prometheus' text format."),
    json: JsonFlag = False,
) -> None:
    """Show how fresh the features are, what is missing in them, and how far they are from training.

    Example: rift features quality match_state
    """
    from features.views import find_view

    settings = get_settings()
    wanted = None if view is None else find_view(view).name
    with err.status("reading feature-quality"):
        found = [one for one in qualities(settings) if wanted in (None, one.view)]
    if prometheus:
        for line in exposition(found, checked(settings)):
            out.print(line, highlight=False, markup=False, soft_wrap=True)
    elif json:
        print_json(found)
    elif wanted is None:
        show(found)
    else:
        _show_features(found)


def show(found: Sequence[Quality]) -> None:
    """Print a line for each view."""
    from rich.table import Table

    if not found:
        out.print("Nothing came to the online store within the last days.")
        return
    table = Table("view", "records", "entities", "age p50", "age p99", "null", "drifts most", box=None)
    for one in found:
        worst = "-" if one.worst is None else f"{one.worst[0]} {_index(one.worst[1])}"
        rate = "-" if one.null_rate is None else f"{one.null_rate:.1%}"
        ages = (duration_ms(one.age_p50_ms), duration_ms(one.age_p99_ms))
        table.add_row(one.view, f"{one.sampled:,}", f"{one.entities:,}", *ages, rate, worst)
    out.print(table)


def _show_features(found: Sequence[Quality]) -> None:
    from rich.table import Table

    for one in found:
        show([one])
        table = Table("feature", "null", "drift (PSI)", box=None)
        for name, rate in sorted(one.null_rates.items(), key=lambda item: -one.psi.get(item[0], 0.0)):
            table.add_row(name, f"{rate:.1%}", _index(one.psi[name]) if name in one.psi else "-")
        out.print(table)


def _index(psi: float) -> str:
    return f"[red]{psi:.2f}[/red]" if psi > DRIFT else f"{psi:.2f}"


def duration_ms(length: float | None) -> str:
    """A length of time in ms for people; ``-`` where there is none."""
    from features.commands import duration

    if length is None:
        return "-"
    if length < 10_000:
        return f"{length:,.0f} ms"
    return (
        duration(timedelta(seconds=round(length / 1000)))
        if length < _DAYS_MS
        else f"{length / _DAY_MS:,.0f} d"
    )
