"""Vectors that were read from the online store, made again from the history of features in the lake.

An answer about a player stands on forms that Redis held when the question came. Its record says when that was
(``as_of``), and ``features.*`` keep what was told until then. The code that made the vector makes it again,
of what was the newest at that time.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from riftstream.errors import FeatureError, ModelError
from riftstream.settings import Settings
from streams.avro import Record
from streams.clock import now_ms

if TYPE_CHECKING:
    from features.history import History, HistoryReader
    from models.artefact import Card
    from serving.engine import Kind

_IN_LAKE_MS = 30_000
"""What a topic has is in the lake by then."""

_ON_ITS_WAY_MS = 10_000
"""What the broker had for longer was in the online store."""

_MOST_MOMENTS = 400
"""Most combinations of moments at which the views of one vector are looked at."""


@dataclass(frozen=True)
class Made:
    """A vector that was served, and the same made again.

    Attributes:
        prediction: The prediction that it was served with.
        sha256: Hash of the vector made again; None where it could not be made.
        why: Why there is no way to make it again; empty where there is.
    """

    prediction: Record
    sha256: str | None = None
    why: str = ""

    @property
    def differs(self) -> bool:
        """Whether it could be made again and is another."""
        return self.sha256 is not None and self.sha256 != self.prediction["features_sha256"]


def make_again(predictions: Sequence[Record], settings: Settings) -> list[Made]:
    """Make the vectors of predictions again, by what the online store held at their time.

    Rows that reached the broker less than ten seconds before a prediction may not have been in Redis yet, so
    a vector counts as the same if it is that of one moment in this time for each of its views.

    Args:
        predictions: The predictions.
        settings: Where the lake and the models are.

    Returns:
        What came of each, in order.

    Raises:
        StackError: The lake does not answer.
    """
    if not predictions:
        return []
    known_by = max(one["as_of"] for one in predictions) + _IN_LAKE_MS
    while True:
        maker = _Maker(settings)
        made = [maker.make(one) for one in predictions]
        missing = any(one.differs or (one.sha256 is None and not one.why) for one in made)
        if not missing or now_ms() > known_by:
            return made
        time.sleep(2.0)


class _Maker:
    """Makes vectors from one reading of the lake."""

    def __init__(self, settings: Settings) -> None:
        from riftstream.cli.training import lake_scan
        from serving.service import every_kind

        self._settings = settings
        self._kinds: dict[str, Kind] = {kind.model: kind for kind in every_kind()}
        self._cards: dict[tuple[str, str], Card] = {}
        self._scan = lake_scan(settings)
        self._histories: dict[str, History] = {}

    def make(self, prediction: Record) -> Made:
        if prediction["degraded"]:
            return Made(prediction, why="it is a fallback answer")
        if prediction["model_name"] not in self._kinds:
            return Made(prediction, why=f"nothing is known of the model {prediction['model_name']}")
        try:
            card = self._card(prediction["model_name"], prediction["model_version"])
            return Made(prediction, self._sha256(prediction, card))
        except ModelError:
            return Made(prediction, why="its model version is not known any more")
        except FeatureError:
            return Made(prediction, why="the history of its features was made anew since")

    def _card(self, model: str, version: str) -> Card:
        from riftstream.cli.deploy import deployment_of
        from serving.versions import card_of

        key = (model, version)
        if key not in self._cards:
            self._cards[key] = card_of(deployment_of(model, self._settings), version, self._settings)
        return self._cards[key]

    def _sha256(self, prediction: Record, card: Card) -> str | None:
        """Hash of the vector as it was served, if it was that at any moment that counts; else as of then."""
        first: str | None = None
        for digest in self._candidates(prediction, card):
            if digest == prediction["features_sha256"]:
                return digest
            first = first or digest
        return first

    def _candidates(self, prediction: Record, card: Card) -> Iterator[str]:
        """Hashes of the vector at the moment of the prediction, and at those before that count."""
        from features.history import HistoryReader

        kind, now = self._kinds[card.name], prediction["as_of"]

        def at(earlier: Mapping[str, int]) -> tuple[str | None, HistoryReader]:
            reader = HistoryReader(self._histories, self._scan, now, earlier)
            return _sha256(kind, reader, card, prediction), reader

        digest, reader = at({})
        if digest is not None:
            yield digest
        moments = {
            view: [now, *(told - 1 for told in reader.told(view, now - _ON_ITS_WAY_MS))]
            for view in reader.read
        }
        combined = itertools.product(*moments.values())
        for chosen in itertools.islice(combined, 1, _MOST_MOMENTS):
            digest, _ = at(dict(zip(moments, chosen, strict=True)))
            if digest is not None:
                yield digest


def _sha256(kind: Kind, reader: HistoryReader, card: Card, prediction: Record) -> str | None:
    """Hash of the vector that the serving code makes of what a reader gives; None where that is nothing."""
    from serving.again import read_again

    known = read_again(kind, reader, card, prediction)
    return None if known.missing or known.refusal else known.sha256(card.feature_service)
