"""Served vectors against the same made again: the hash decides, then each value that differs is named."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from models.vector import from_records, sha256
from riftstream.cli import gather
from riftstream.cli.consistency import WHOLE, Again, Count, Report, compare, differs, features_of
from riftstream.errors import RiftError
from streams.avro import Record
from tests.cli import records

SERVICE = "win_probability_v1"


def told(number: int, **values: Any) -> Record:
    """A state of the match as the topic and the lake have it: counts, and gold where it is given."""
    counts = dict.fromkeys(features_of(SERVICE), 0)
    return records.features(number) | counts | {"gold_blue": None, "gold_diff": None} | values


def again(*states: Record) -> Again:
    return Again(pa.Table.from_pylist(list(states)))


def served(number: int, state: Record) -> Record:
    digest = sha256(from_records([state], features_of(SERVICE))[0], SERVICE)
    return records.prediction(number, 0.5, feature_service=SERVICE, features_sha256=digest)


def test_the_same_vector_does_not_differ_and_a_missing_value_is_no_zero() -> None:
    state = told(3, kills_diff=-2, gold_blue=31_000)
    assert not differs(served(3, state), again(told(2), state))
    assert differs(served(3, state), again(state | {"gold_blue": 0}))
    assert differs(served(3, told(3)), again(told(3, gold_blue=0)))


def test_each_value_that_differs_is_named_with_both() -> None:
    state = told(3, kills_diff=-2, towers_diff=1, gold_blue=None)
    made = again(told(3, kills_diff=-3, towers_diff=1, gold_blue=500))
    assert compare(served(3, state), state, made) == [("kills_diff", -2, -3), ("gold_blue", None, 500)]


def test_values_that_are_not_those_of_the_hash_are_not_told_as_served() -> None:
    state, other = told(3, kills_diff=1), told(3, kills_diff=7)
    made = again(told(3, kills_diff=2))
    assert compare(served(3, state), other, made) == [(WHOLE, None, None)]
    assert compare(served(3, state), None, made) == [(WHOLE, None, None)]


def test_a_vector_whose_event_is_not_there_is_not_equal() -> None:
    assert not differs(served(9, told(9)), again(told(3)))
    assert not Report({"a": Count(vectors=3), "b": Count(vectors=1, not_recomputed=1)}).equal
    assert not Report({"a": Count(vectors=3, wrong=1)}).equal
    assert Report({"a": Count(vectors=3, not_served=1), "b": Count()}).equal


def test_mismatches_are_counted_by_feature_most_first() -> None:
    found = [{"feature": name} for name in ("kills_diff", "gold_diff", "gold_diff")]
    assert list(Report({}, found).by_feature.items()) == [("gold_diff", 2), ("kills_diff", 1)]


def test_following_takes_no_range() -> None:
    error = CliRunner().invoke(gather(), ["features", "check", "--follow", "--from", "2017-06-01"]).exception
    assert isinstance(error, RiftError)
    assert "--follow takes matches as they end" in error.message


def test_a_service_of_several_views_is_left_out_and_one_that_is_unknown_is_refused() -> None:
    assert features_of("player_form") == ()
    with pytest.raises(RiftError, match="no feature service nonsense"):
        features_of("nonsense")
