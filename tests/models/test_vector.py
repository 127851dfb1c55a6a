from __future__ import annotations

import hashlib
import math
import struct

import numpy as np
import pytest

from models.vector import from_records, sha256, to_matrix


def test_null_becomes_nan_and_integers_single_precision() -> None:
    matrix = to_matrix([(1, None, 2.5), (0, -3, True)])
    assert matrix.dtype == np.float32 and matrix.shape == (2, 3)
    np.testing.assert_array_equal(matrix, np.array([[1, np.nan, 2.5], [0, -3, 1]], dtype=np.float32))


def test_no_rows_make_an_empty_matrix() -> None:
    assert to_matrix([]).shape == (0, 0)


def test_records_give_the_named_features_in_their_order_and_a_missing_one_is_an_error() -> None:
    assert from_records([{"a": 1, "b": 2, "c": None}], ("c", "a")).tolist()[0][1] == 1
    with pytest.raises(KeyError):
        from_records([{"a": 1}], ("a", "b"))


def test_hash_is_over_the_documented_bytes() -> None:
    encoded = b"service_v1\0" + struct.pack("<ff", 1.5, -2.0) + bytes.fromhex("0000c07f")
    vector = np.array([1.5, -2, math.nan], dtype=np.float32)
    assert sha256(vector, "service_v1") == hashlib.sha256(encoded).hexdigest()


def test_hash_knows_one_nan_and_one_zero() -> None:
    odd = np.frombuffer(struct.pack("<III", 0xFFC00001, 0x80000000, 0x3F800000), dtype="<f4")
    assert sha256(odd, "s") == sha256(np.array([np.nan, 0, 1], dtype=np.float32), "s")


def test_hash_tells_unknown_from_zero_and_services_apart() -> None:
    zero, unknown = np.zeros(1, np.float32), np.full(1, np.nan, np.float32)
    assert sha256(zero, "s") != sha256(unknown, "s")
    assert sha256(zero, "s") != sha256(zero, "t")
