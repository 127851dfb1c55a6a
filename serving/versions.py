"""Versions of models, ready to be asked: from deployments to cards and connections."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping

from models import store
from models.artefact import Card
from riftstream.errors import ModelError
from riftstream.settings import Settings, get_settings
from serving.deployments import Artefact, Deployment, Deployments
from serving.engine import Kind, Version
from serving.predictor import Served
from serving.triton import TritonClient


def at_start(models: Iterable[str]) -> dict[str, Deployment]:
    """Deployments before any record of ``model-updates``: the artefacts that come with the code are live.

    Models without such an artefact have no deployment.

    Raises:
        ModelError: An artefact is broken.
    """
    found = {}
    for model in models:
        card = store.committed(model)
        if card is not None:
            artefacts = {card.version: Artefact(None, card.sha256)}
            found[model] = Deployment(model, live=card.version, artefacts=artefacts)
    return found


def card_of(deployment: Deployment, number: str, settings: Settings) -> Card:
    """The card of a version of a deployment.

    Raises:
        ModelError: The version is not known, or its files cannot be had.
    """
    artefact = deployment.artefacts.get(number)
    if artefact is None:
        raise ModelError(f"{deployment.model} has no version {number}.", "See 'rift models status'.")
    if artefact.uri is not None:
        return store.fetch(deployment.model, number, artefact.uri, artefact.sha256, settings)
    card = store.committed(deployment.model)
    if card is None or card.version != number or card.sha256 != artefact.sha256:
        raise ModelError(
            f"{deployment.model} {number} came with other code than this.", "Publish it: rift models publish."
        )
    return card


class Versions:
    """Versions by model and number, each made once. Safe to use from several threads.

    Args:
        kinds: What each model answers about.
        settings: Where Triton and the object store are; the process's settings by default.
    """

    def __init__(self, kinds: Iterable[Kind], settings: Settings | None = None) -> None:
        self._kinds: Mapping[str, Kind] = {kind.model: kind for kind in kinds}
        self._settings = settings or get_settings()
        self._lock = threading.Lock()
        self._made: dict[tuple[str, str], Version] = {}
        self._deployments: dict[str, Deployment] = {}

    def prepare(self, deployment: Deployment) -> None:
        """Make every version that a deployment serves or tries, so that no request waits for it.

        Raises:
            ModelError: The files of one cannot be had.
        """
        if deployment.model not in self._kinds:
            return
        for number in (*deployment.serving, *deployment.shadow):
            self._make(deployment, number)
        self._deployments[deployment.model] = deployment

    def get(self, model: str, number: str) -> Version:
        """A version, made now where it is not yet.

        Raises:
            ModelError: It is not known, or its files cannot be had.
        """
        return self._made.get((model, number)) or self._make(self._deployments[model], number)

    def loaded(self) -> list[Version]:
        """Versions that were made."""
        return list(self._made.values())

    def _make(self, deployment: Deployment, number: str) -> Version:
        with self._lock:
            key = (deployment.model, number)
            if key not in self._made:
                card = card_of(deployment, number, self._settings)
                self._made[key] = Version(card, self._kinds[deployment.model], self._settings)
            return self._made[key]


class Followed:
    """The versions of one model as ``model-updates`` has them, for the prediction loop.

    Args:
        kind: What the model answers about.
        settings: Where Kafka, Triton and the object store are; the process's settings by default.
    """

    def __init__(self, kind: Kind, settings: Settings | None = None) -> None:
        settings = settings or get_settings()
        self._model = kind.model
        self._versions = Versions([kind], settings)
        self._deployments = Deployments(at_start([kind.model]), settings, self._versions.prepare)

    def start(self) -> None:
        """Follow the topic from now on.

        Raises:
            ModelError: There is no such model, or the topic cannot be read.
        """
        self._deployments.start()

    def deployment(self) -> Deployment:
        """Which versions answer now."""
        return self._deployments[self._model]

    def version(self, number: str) -> tuple[Served, TritonClient]:
        """A version and its connection to Triton.

        Raises:
            ModelError: It cannot be had.
        """
        found = self._versions.get(self._model, number)
        return found.served, found.client
