"""Quality of features: ages, null rates and drift of a sample, and what a sample is too small to tell."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from features.quality import LEAST_ENTITIES, LEAST_RECORDS, Distribution, Monitor, distribution_of
from features.views import find_view
from streams.avro import Codec, Record
from streams.schemas import for_topic

FORM = find_view("player_form")
CODEC = Codec(for_topic(FORM.topic), 1)
CODEC_OF_QUALITY = Codec(for_topic("feature-quality"), 1)
NOW = 1_764_000_000_000
EVEN = Distribution((1.0, 2.0, 3.0), (0.25, 0.25, 0.25, 0.25), 0.0)


@dataclass
class Told:
    """A record as Kafka gives it."""

    frame: bytes | None

    def topic(self) -> str:
        return FORM.topic

    def value(self) -> bytes | None:
        return self.frame


def form(player: int, age_ms: int, **values: Any) -> Record:
    counts = dict.fromkeys(("games", "wins", "kills", "deaths", "assists"), 1)
    base = {"player_id": f"p{player}", "as_of": NOW, "match_id": "LCK/1", "event_time": NOW - age_ms}
    return base | counts | {"source_partition": 0, "source_offset": 0} | values


def monitor(**distributions: Distribution) -> Monitor:
    known = {f"player_form:{name}": one for name, one in distributions.items()}
    return Monitor(lambda topic: CODEC, known, [FORM])


def told(records: list[Record], **distributions: Distribution) -> Record:
    """What a monitor tells that looked at all of them, a few a second."""
    made = monitor(**distributions)
    for second, start in enumerate(range(0, len(records), 100)):
        batch = [Told(CODEC.encode(record)) for record in records[start : start + 100]]
        made.look(batch, NOW + second * 1000)  # type: ignore[arg-type]
    (found,) = made.records(NOW)
    CODEC_OF_QUALITY.encode(found)
    return found


def test_ages_and_null_rates_are_those_of_the_records() -> None:
    records = [form(n, age_ms=n, role=None if n % 4 else "mid") for n in range(100)]
    found = told(records)
    assert (found["records"], found["sampled"], found["entities"]) == (100, 100, 100)
    assert (found["age_p50_ms"], found["age_p99_ms"]) == pytest.approx((49.5, 98.01))
    rates = dict(zip(found["features"], found["null_rates"], strict=True))
    assert (rates["role"], rates["games"], rates["form"]) == (0.75, 0.0, 1.0)


def test_only_views_of_which_records_came_are_told() -> None:
    made = monitor()
    assert made.records(NOW) == []
    made.look([Told(CODEC.encode(form(1, 5))), Told(None), Told(b"nonsense")], NOW)  # type: ignore[list-item]
    assert [found["view"] for found in made.records(NOW)] == ["player_form"]
    assert made.records(NOW) == []


def test_a_flood_is_sampled_and_what_is_an_hour_old_is_forgotten() -> None:
    made = monitor()
    flood = [Told(CODEC.encode(form(n, 5))) for n in range(5000)]
    made.look(flood, NOW)  # type: ignore[arg-type]
    (found,) = made.records(NOW)
    assert (found["records"], found["sampled"]) == (5000, 200)
    made.look(flood[:1], NOW + int(timedelta(hours=2).total_seconds() * 1000))  # type: ignore[arg-type]
    (later,) = made.records(NOW + int(timedelta(hours=2).total_seconds() * 1000))
    assert later["sampled"] == 1


def test_the_same_shares_do_not_drift_and_others_do() -> None:
    same = [form(n, 5, kills_mean=1.0 + n % 4) for n in range(800)]
    other = [form(n, 5, kills_mean=1.0 + (n % 4 == 0)) for n in range(800)]
    assert told(same, kills_mean=EVEN)["psi"] == [pytest.approx(0.0)]
    assert told(other, kills_mean=EVEN)["psi"][0] > 1
    assert told(other, kills_mean=EVEN)["drifting"] == ["kills_mean"]


def test_values_that_begin_to_lack_are_drift() -> None:
    lacking = [form(n, 5, kills_mean=None if n % 2 else 1.0 + n // 2 % 4) for n in range(800)]
    assert told(lacking, kills_mean=EVEN)["psi"][0] > 1


@pytest.mark.parametrize(("records", "players"), [(LEAST_RECORDS - 1, 100), (800, LEAST_ENTITIES - 1)])
def test_a_sample_that_is_too_small_tells_no_drift(records: int, players: int) -> None:
    few = [form(n % players, 5, kills_mean=9.0) for n in range(records)]
    assert "psi" not in told(few, kills_mean=EVEN)


def test_the_index_is_the_sum_of_the_bins() -> None:
    # Shares 0.5, 0.5, 0, 0 against a quarter each; an empty bin counts as 0.0001.
    found = EVEN.psi(np.array([1.0, 2.0] * 50))
    expected = 2 * 0.25 * math.log(2) + 2 * (0.0001 - 0.25) * math.log(0.0001 / 0.25)
    assert found == pytest.approx(expected)


def test_a_distribution_has_bins_of_a_tenth_each_and_a_flag_has_two() -> None:
    wide = distribution_of(np.arange(1000.0))
    assert wide.shares == pytest.approx([0.1] * 10)
    flag = distribution_of(np.array([0.0] * 30 + [1.0] * 70 + [math.nan] * 100))
    assert (flag.edges, flag.missing) == ((0.0, 1.0), 0.5)
    assert flag.shares == pytest.approx((0.15, 0.35, 0.0))
    assert distribution_of(np.array([math.nan])) == Distribution((), (0.0,), 1.0)
    for one in (wide, flag):
        assert sum(one.shares) + one.missing == pytest.approx(1)
