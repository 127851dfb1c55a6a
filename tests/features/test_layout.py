"""Our bytes are Feast's bytes (Feast itself as witness)."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import pytest
from feast.infra.online_stores.helpers import _mmh3, _redis_key
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import DoubleList, StringList, Value
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from features import layout
from features.views import PROJECT
from riftstream.errors import FeatureError


@given(st.dictionaries(st.text(min_size=1, max_size=12), st.text(max_size=30), min_size=1, max_size=3))
def test_a_key_is_feasts_key(entity: dict[str, str]) -> None:
    feast = EntityKey(
        join_keys=list(entity), entity_values=[Value(string_val=value) for value in entity.values()]
    )
    ours = layout.KeyMaker(list(entity)).key(*(value.encode() for value in entity.values()))
    assert ours == _redis_key(PROJECT, feast)


@given(st.text(max_size=20), st.text(max_size=20))
def test_a_feature_has_feasts_field(view: str, feature: str) -> None:
    assert layout.feature_field(view, feature) == _mmh3(f"{view}:{feature}")


@given(st.integers(0, 4_000_000_000_000))
def test_an_event_time_is_a_protobuf_timestamp(ms: int) -> None:
    moment = Timestamp()
    moment.FromDatetime(datetime.fromtimestamp(ms // 1000, UTC).replace(microsecond=ms % 1000 * 1000))
    encoded = moment.SerializeToString()
    assert layout.timestamp(ms) == encoded
    assert layout.milliseconds(encoded) == ms


# Feast's message, the value in it, and the type in the Avro record.
VALUES = st.one_of(
    st.builds(lambda v: (Value(string_val=v), v, "string"), st.text()),
    st.builds(lambda v: (Value(bytes_val=v), v, "bytes"), st.binary()),
    st.builds(lambda v: (Value(int32_val=v), v, "int"), st.integers(-(2**31), 2**31 - 1)),
    st.builds(lambda v: (Value(int64_val=v), v, "long"), st.integers(-(2**63), 2**63 - 1)),
    st.builds(lambda v: (Value(double_val=v), v, "double"), st.floats(allow_nan=False)),
    st.builds(lambda v: (Value(bool_val=v), v, "boolean"), st.booleans()),
    st.builds(lambda v: (Value(unix_timestamp_val=v), v, "seconds"), st.integers(-(2**40), 2**40)),
    st.builds(lambda v: (Value(string_list_val=StringList(val=v)), v, "array<string>"), st.lists(st.text())),
    st.builds(
        lambda v: (Value(double_list_val=DoubleList(val=v)), v, "array<double>"),
        st.lists(st.floats(allow_nan=False)),
    ),
)


@given(VALUES)
def test_a_value_is_read_and_written_as_feast_writes_it(one: tuple[Any, Any, str]) -> None:
    value, expected, kind = one
    assert layout.value_of(value.SerializeToString()) == expected
    assert layout.encoded(kind, expected) == value.SerializeToString()


def test_null_and_nan_are_told_apart() -> None:
    assert layout.value_of(Value().SerializeToString()) is None
    assert math.isnan(layout.value_of(Value(double_val=math.nan).SerializeToString()))


def test_a_value_of_a_foreign_type_is_refused() -> None:
    with pytest.raises(FeatureError, match="type that features do not have"):
        layout.value_of(Value(json_val="{}").SerializeToString())
