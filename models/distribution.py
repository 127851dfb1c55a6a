"""The distribution of a model's features in training, kept beside its card.

It is over the states after every event of the training matches, as the stream tells them, and not over the
rows that the trees learnt from (one a minute): drift compares like with like.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from features.quality import Distribution, distribution_of
from models.artefact import artefact_folder
from riftstream.errors import ModelError

if TYPE_CHECKING:
    from models.win_probability.data import Corpus

FILE = "distribution.json"


def write(folder: Path, service: str, features: Iterable[str], corpus: Corpus) -> Path:
    """Write the distribution of the training matches' states beside a model's card.

    Args:
        folder: Folder of the artefact.
        service: Feature service of the model.
        features: ``view:feature`` of each column of the corpus.
        corpus: The states.

    Returns:
        The file.
    """
    matrix = corpus.matrix[np.isin(corpus.match, corpus.matches("train"))].astype(float)
    told = {
        "feature_service": service,
        "states": len(matrix),
        "matches": len(corpus.matches("train")),
        "data_sha256": corpus.sha256,
        "features": {
            name: _rounded(distribution_of(matrix[:, column])) for column, name in enumerate(features)
        },
    }
    file = folder / FILE
    file.write_text(json.dumps(told, indent=1) + "\n")
    return file


def load(model: str, folder: Path | None = None) -> dict[str, Distribution]:
    """The training distributions of a model by ``view:feature``; none where the model has no such file.

    Raises:
        ModelError: The file is none.
    """
    file = (folder or artefact_folder(model)) / FILE
    if not file.is_file():
        return {}
    try:
        told = json.loads(file.read_bytes())["features"]
        return {
            name: Distribution(tuple(one["edges"]), tuple(one["shares"]), one["missing"])
            for name, one in told.items()
        }
    except (KeyError, ValueError, TypeError) as cause:
        raise ModelError(
            f"{file} holds no distributions: {cause!r}.", "Train anew: rift models train."
        ) from cause


def _rounded(found: Distribution) -> dict[str, object]:
    """A distribution as JSON holds it: shares to six digits."""
    plain = asdict(found)
    return plain | {"shares": [round(one, 6) for one in found.shares], "missing": round(found.missing, 6)}
