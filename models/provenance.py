"""What decides about the bytes of a model beside its data and its seed: code, and versions of libraries."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import scipy
import sklearn
import xgboost as xgb

_ROOT = Path(__file__).parent.parent
_SHARED = (
    "models/*.py",
    "jobs/*.sql",
    "jobs/*.py",
    "jobs/java/**/*.java",
    "features/*.py",
    "schemas/avro/*.avsc",
)


def code_sha256(rooms: Sequence[str]) -> str:
    """SHA-256 over the code that makes a model: names and contents of files, in the order of their names.

    Args:
        rooms: Folders of ``models`` that take part, beside what all models share.
    """
    patterns = (*_SHARED, *(f"models/{room}/*.py" for room in rooms))
    files = sorted({file for pattern in patterns for file in _ROOT.glob(pattern)})
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.relative_to(_ROOT).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()


def versions() -> dict[str, str]:
    """Versions of the libraries that decide about the bytes of a model."""
    return {
        "python": ".".join(map(str, sys.version_info[:2])),
        **{of.__name__: of.__version__ for of in (xgb, np, scipy, sklearn, onnx)},
    }
