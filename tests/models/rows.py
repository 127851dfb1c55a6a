"""Real feature vectors for tests: the sample's matches, recomputed in plain Python."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from models.vector import from_records
from models.win_probability.features import FEATURES
from streams.schemas import for_topic
from streams.sources.sample import matches
from tests import recompute

_NOTHING: dict[str, Any] = {field.name: None for field in for_topic("live-matches").fields}


def placed(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Whole events with a place in the log."""
    return [_NOTHING | event | {"source_partition": 0, "source_offset": n} for n, event in enumerate(events)]


@lru_cache(maxsize=1)
def real_rows() -> np.ndarray:
    """Every state of the sample's twenty matches, each also with gold hidden, shape [n, f]."""
    records = [state for match in matches() for state in recompute.match_features(placed(match))]
    rows = from_records(records, FEATURES)
    hidden = rows.copy()
    hidden[:, [n for n, name in enumerate(FEATURES) if name.startswith("gold")]] = np.nan
    return np.concatenate((rows, hidden))
