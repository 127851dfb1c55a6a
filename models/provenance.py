"""What decides about the bytes of a model beside data and seed: code, SQL, and versions of libraries."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import onnx
import scipy
import sklearn
import xgboost as xgb

from features.views import find_view
from models.history import FORMS, VIEWS

_ROOT = Path(__file__).parent.parent
_ROOMS = {
    "win_probability": ("win_probability",),
    # Props are judged with the win probability.
    "player_props": ("player_props", "win_probability"),
}
_SHARED = ("card", "history", "markdown", "metrics", "onnx_graph", "provenance", "vector")
_OTHERS = ("features/training_set.py",)
_SQL = (
    *(f"jobs/{job}.sql" for job in sorted(set(VIEWS.values()))),
    "jobs/java/**/*.java",
    "schemas/avro/*.avsc",
)


def code(model: str) -> dict[str, str]:
    """What the card of a model says of the code that makes it.

    Returns:
        ``code_sha256``: SHA-256 over the Python that trains, judges and writes it, and over what joins rows
        of forms (keys, order and time to live of their views). ``sql_sha256``: the same over the SQL, Java
        and records that make its rows from events.
    """
    rooms = (f"models/{room}/*.py" for room in _ROOMS[model])
    views = [find_view(name) for name in FORMS.values()]
    joins = repr([(view.name, view.keys, view.order, view.ttl) for view in views])
    return {
        "code_sha256": _sha256((*(f"models/{name}.py" for name in _SHARED), *rooms, *_OTHERS), joins),
        "sql_sha256": _sha256(_SQL),
    }


def _sha256(patterns: Iterable[str], more: str = "") -> str:
    """SHA-256 over names and contents of files, in the order of their names, and some text."""
    files = sorted({file for pattern in patterns for file in _ROOT.glob(pattern)})
    digest = hashlib.sha256(more.encode())
    for file in files:
        digest.update(file.relative_to(_ROOT).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()


def versions() -> dict[str, str]:
    """Versions of the libraries that decide about the bytes of a model."""
    return {
        "python": ".".join(map(str, sys.version_info[:2])),
        **{of.__name__: of.__version__ for of in (xgb, np, scipy, sklearn, onnx)},
    }
