"""Filters, numbers and cursors of lists."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.lists import Filter, cursor_of, filters, place_of, whole
from serving.problems import Refused, kind_of

KNOWN = ("cursor", "limit")


def test_filters_compare_by_the_type_of_their_field() -> None:
    found = filters(
        [("limit", "5"), ("filter[game_time_ms][gte]", "60000"), ("filter[degraded][eq]", "false")], KNOWN
    )
    assert found == [Filter("game_time_ms", "gte", 60_000), Filter("degraded", "eq", False)]
    assert [f.takes({"game_time_ms": 60_000, "degraded": False}) for f in found] == [True, True]
    assert not found[0].takes({"game_time_ms": 59_999})


def test_null_is_nothing_but_unequal() -> None:
    record = {"league": None}
    assert not Filter("league", "eq", "LCK").takes(record)
    assert Filter("league", "ne", "LCK").takes(record)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("filter[nothing][eq]", "1"),
        ("filter[game_time_ms][like]", "1"),
        ("filter[game_time_ms][eq]", "soon"),
        ("filter[probability][gt]", "nan"),
        ("filter[league][gt]", "A"),
        ("filter[degraded][eq]", "perhaps"),
        ("filter[distribution][eq]", "1"),
        ("page", "2"),
    ],
)
def test_what_has_no_use_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(Refused) as caught:
        filters([(name, value)], KNOWN)
    assert (caught.value.status, kind_of(caught.value)) == (400, "query")
    assert caught.value.body["parameter"] == name


@given(st.tuples(st.integers(-(2**53), 2**53), st.integers(0, 2**53), st.text(max_size=50)))
def test_a_cursor_leads_back_to_its_place(place: tuple[int, int, str]) -> None:
    assert place_of(cursor_of(place), int, int, str) == place


@given(st.text(max_size=80))
def test_any_text_is_a_cursor_or_a_problem(text: str) -> None:
    try:
        found = place_of(text, int, int, str)
    except Refused as refused:
        assert refused.status == 400
    else:
        assert found is not None and len(found) == 3


@pytest.mark.parametrize("text", ["", "1.5", "x", "0", "501", "-1", "1" * 5000, "１"])
def test_numbers_out_of_their_bounds_are_refused(text: str) -> None:
    with pytest.raises(Refused):
        whole({"limit": text}, "limit", 100, 1, 500)
