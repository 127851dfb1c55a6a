"""Feature vectors: from records to the model's matrix, and their identity.

A vector's identity is the SHA-256 over its canonical encoding:

1. the name of the feature service (UTF-8), which fixes the features and their order, and a zero byte;
2. every value as little-endian IEEE 754 single precision (4 bytes), where a missing value is the one quiet
   NaN ``0x7fc00000`` and zero has no sign.

So equal vectors have equal hashes on every machine, and an unknown value differs from any that is known.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa

Matrix = np.ndarray[tuple[int, int], np.dtype[np.float32]]

_MISSING = np.frombuffer(b"\x00\x00\xc0\x7f", dtype="<f4")[0]


def to_matrix(rows: Sequence[Sequence[float | None]]) -> Matrix:
    """Rows of values in the model's order as float32, shape [n, f]; null becomes NaN."""
    return np.asarray(rows, dtype=np.float32).reshape(len(rows), -1 if rows else 0)


def from_records(records: Sequence[Mapping[str, Any]], features: Sequence[str]) -> Matrix:
    """The named features of MatchFeatures records as float32, shape [n, f]; null becomes NaN.

    Raises:
        KeyError: A record lacks a feature.
    """
    return to_matrix([[record[name] for name in features] for record in records])


def from_table(table: pa.Table, features: Sequence[str]) -> Matrix:
    """The named columns of a table as float32, shape [n, f]; null becomes NaN.

    Raises:
        KeyError: The table lacks a feature.
    """
    matrix = np.empty((table.num_rows, len(features)), np.float32)
    for column, name in enumerate(features):
        matrix[:, column] = table[name].to_numpy()
    return matrix


def sha256(vector: np.ndarray, service: str) -> str:
    """Identity of one vector (shape [f]) of a feature service, as 64 hexadecimal digits."""
    canonical = np.where(np.isnan(vector), _MISSING, vector.astype("<f4") + np.float32(0))
    return hashlib.sha256(service.encode() + b"\0" + canonical.astype("<f4").tobytes()).hexdigest()
