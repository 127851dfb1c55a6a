"""Model artefacts: the files of a model and its card, checked when they are read.

A model's artefact is the folder ``models/NAME/artefact``. ``card.json`` says what the model is, and holds the
SHA-256 of every other file. No file is code or a pickle: they are UBJSON, ONNX (protobuf) and JSON.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from riftstream.errors import ModelError

ROOM = Path(__file__).parent
BOOSTER, ONNX, INTERVAL_ONNX, INTERVAL = "model.ubj", "model.onnx", "interval.onnx", "interval.json"
_MODEL_KINDS = (".ubj", ".onnx", ".json")


@dataclass(frozen=True)
class Card:
    """What a model is.

    Attributes:
        name: Name of the model.
        version: Its version, a number as text, as Triton wants it.
        feature_service: Name of the list of features.
        features: The features, in the model's order.
        interval_level: Stated coverage of the interval; 0 where the model says none.
        base_rate: Share of the training matches that blue won; NaN where the model is about something else.
        seed: Seed of the training.
        data_sha256: SHA-256 of the canonical events that it was made from.
        made_by: What made it, see ``provenance.code``.
        files: SHA-256 of each file, by name.
        metrics: Its evaluation on the test split, see ``win_probability.evaluate``.
        folder: Where its files are.
    """

    name: str
    version: str
    feature_service: str
    features: tuple[str, ...]
    interval_level: float
    base_rate: float
    seed: int
    data_sha256: str
    made_by: dict[str, str]
    files: dict[str, str]
    metrics: dict[str, Any]
    folder: Path

    @property
    def model_files(self) -> tuple[str, ...]:
        """Names of the files that predictions are made with, in order."""
        return tuple(sorted(name for name in self.files if Path(name).suffix in _MODEL_KINDS))

    @property
    def sha256(self) -> str:
        """Identity of the artefact: SHA-256 over the names and sums of its model files."""
        text = "".join(f"{name} {self.files[name]}\n" for name in self.model_files)
        return hashlib.sha256(text.encode()).hexdigest()


def artefact_folder(name: str) -> Path:
    """Where the committed artefact of a model is."""
    return ROOM / name / "artefact"


def digest(file: Path) -> str:
    """SHA-256 of a file (hex)."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def load_card(name: str, folder: Path | None = None) -> Card:
    """Read a model's card and check that its files are the ones that it describes.

    Args:
        name: Name of the model.
        folder: Folder of the artefact; the committed one by default.

    Raises:
        ModelError: There is no such model, or a file is missing or differs from the card.
    """
    folder = folder or artefact_folder(name)
    try:
        raw = json.loads((folder / "card.json").read_bytes())
        card = Card(
            name=raw["name"],
            version=raw["version"],
            feature_service=raw["feature_service"],
            features=tuple(raw["features"]),
            interval_level=raw.get("interval_level", 0.0),
            base_rate=raw.get("base_rate", float("nan")),
            seed=raw["seed"],
            data_sha256=raw["data"]["sha256"],
            made_by={name: value for name, value in raw.items() if name in ("code_sha256", "sql_sha256")},
            files=raw["files"],
            metrics=raw["metrics"]["test"],
            folder=folder,
        )
    except OSError as cause:
        raise ModelError(
            f"There is no model {name} in {folder}.", f"Train it: rift models train {name}."
        ) from cause
    except (KeyError, ValueError, TypeError) as cause:
        raise ModelError(f"{folder / 'card.json'} is no model card: {cause!r}.") from cause
    for file in card.files:
        if not (folder / file).is_file():
            raise ModelError(
                f"The model {name} lacks its file {file}.", f"Train it: rift models train {name}."
            )
        if digest(folder / file) != card.files[file]:
            raise ModelError(
                f"{folder / file} is not the file that the model's card describes: its checksum differs.",
                f"Restore it from version control, or train anew: rift models train {name}.",
            )
    return card


def load_booster(card: Card, file: str = BOOSTER) -> Any:
    """Trees of a model whose card was loaded, as an ``xgboost.Booster``."""
    import xgboost as xgb

    booster = xgb.Booster()
    booster.load_model(card.folder / file)
    return booster
