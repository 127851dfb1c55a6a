"""Which versions of a model answer: the state that the records of ``model-updates`` add up to.

The topic is the only memory: who reads it from its beginning knows what is live, what is tried in shadow, and
how subjects are split. Every process of the serving layer follows it, so a change reaches all of them within
a moment, and none has to be restarted.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import structlog

from riftstream.errors import ModelError, RiftError
from riftstream.settings import Settings, get_settings
from streams.avro import Record
from streams.client import Subscriber

log = structlog.get_logger()

TOPIC = "model-updates"
PUBLISH, SHADOW, PROMOTE, ROLLBACK, RETIRE = "publish", "shadow", "promote", "rollback", "retire"

_PATIENCE_SECONDS = 30.0
_PAUSE_SECONDS = 1.0


@dataclass(frozen=True)
class Artefact:
    """Where a version's files are.

    Attributes:
        uri: Address of its folder; None for the artefact that comes with the code.
        sha256: Identity of the artefact.
    """

    uri: str | None
    sha256: str | None


@dataclass(frozen=True)
class Deployment:
    """Which versions of one model answer.

    Attributes:
        model: The model.
        live: Version that answers; empty before the first promotion.
        previous: Version that was live before: a rollback makes it live again.
        shadow: Versions that are tried on the same subjects without being served.
        split: Versions that answer a share of the subjects in the live one's place.
        artefacts: Every published version that is not retired.
    """

    model: str
    live: str = ""
    previous: str = ""
    shadow: tuple[str, ...] = ()
    split: Mapping[str, float] = field(default_factory=dict)
    artefacts: Mapping[str, Artefact] = field(default_factory=dict)

    def version_for(self, subject_id: str) -> str:
        """The version that answers for a subject: always the same one while the split is the same."""
        if not self.split:
            return self.live
        place = place_of(self.model, subject_id)
        for version, share in self.split.items():
            if place < share:
                return version
            place -= share
        return self.live

    @property
    def serving(self) -> tuple[str, ...]:
        """Versions whose predictions are served: the live one first."""
        return (self.live, *self.split) if self.live else tuple(self.split)

    def after(self, update: Record) -> Deployment:
        """The deployment after one more ``ModelUpdate`` of this model; an unknown action changes nothing."""
        version, action = update["model_version"], update["action"]
        if action in (PUBLISH, SHADOW, PROMOTE, ROLLBACK) and update["artefact_sha256"]:
            known = Artefact(update["artefact_uri"], update["artefact_sha256"])
            base = replace(self, artefacts={**self.artefacts, version: known})
        else:
            base = self
        if action == SHADOW:
            kept = tuple(name for name in self.shadow if name != version)
            return replace(base, shadow=(*kept, version), split=_without(self.split, version))
        if action == PROMOTE and update["traffic"] is not None and update["traffic"] < 1:
            split = {**_without(self.split, version), version: update["traffic"]}
            return replace(base, split=split, shadow=_others(self.shadow, version))
        if action in (PROMOTE, ROLLBACK):
            previous = self.live if self.live != version else self.previous
            shadow = _others(self.shadow, version)
            return replace(base, live=version, previous=previous, shadow=shadow, split={})
        if action == RETIRE:
            return replace(
                base,
                shadow=_others(self.shadow, version),
                split=_without(self.split, version),
                previous="" if self.previous == version else self.previous,
                artefacts=_without(self.artefacts, version),
            )
        return base


def _without(given: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in given.items() if key != name}


def _others(names: Iterable[str], name: str) -> tuple[str, ...]:
    return tuple(other for other in names if other != name)


def place_of(model: str, subject_id: str) -> float:
    """Where a subject lies in [0, 1) for a model's split; evenly spread, and the same on every machine."""
    digest = hashlib.blake2b(f"{model}|{subject_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2.0**64


def add_up(updates: Iterable[Record], start: Mapping[str, Deployment]) -> dict[str, Deployment]:
    """Deployments by model after the updates, in their order."""
    found = dict(start)
    for update in updates:
        model = update["model_name"]
        found[model] = found.get(model, Deployment(model)).after(update)
    return found


class Deployments:
    """Follows ``model-updates``.

    Args:
        start: Deployments as they are without any record: what comes with the code is live.
        settings: Where Kafka and the registry are; the process's settings by default.
        prepare: Called in the following thread for each changed deployment before it counts: it loads what
            the new versions need. A deployment that cannot be prepared is tried again.
    """

    def __init__(
        self,
        start: Mapping[str, Deployment],
        settings: Settings | None = None,
        prepare: Callable[[Deployment], None] = lambda deployment: None,
    ) -> None:
        self._start = dict(start)
        self._settings = settings or get_settings()
        self._prepare = prepare
        self._current = dict(start)
        self.generation = 0
        self._caught_up = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="model-updates", daemon=True)

    def __getitem__(self, model: str) -> Deployment:
        """The deployment of a model.

        Raises:
            KeyError: There is no such model.
        """
        return self._current[model]

    def __iter__(self) -> Any:
        return iter(tuple(self._current))

    def start(self) -> None:
        """Follow the topic; gives back control when its records of now are known.

        Raises:
            ModelError: They could not be read within 30 s.
        """
        for deployment in self._current.values():
            self._prepare(deployment)
        self._thread.start()
        if not self._caught_up.wait(_PATIENCE_SECONDS):
            raise ModelError(f"{TOPIC} cannot be read, or a live model cannot be loaded.", "See the log.")

    def stop(self) -> None:
        """Follow no longer."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(5)

    def _follow(self) -> None:
        while not self._stopping.is_set():
            try:
                self._read()
            except RiftError as error:
                log.warning("model_updates.away", error=str(error))
                self._stopping.wait(_PAUSE_SECONDS)

    def _read(self) -> None:
        """Read the topic from its beginning until told to stop: adding up again gives the same."""
        with Subscriber(TOPIC, self._settings, start="earliest", skip_broken=True) as subscriber:
            seen: list[Record] = []
            open_news = True
            while not self._stopping.is_set():
                found = [received.record for received in subscriber.poll(0.2)]
                seen += found
                if subscriber.at_end and (found or open_news):
                    open_news = not self._take(add_up(_in_order(seen), self._start))
                    if open_news:
                        self._stopping.wait(_PAUSE_SECONDS)
                    else:
                        self._caught_up.set()

    def _take(self, found: Mapping[str, Deployment]) -> bool:
        """Let deployments count that can be prepared; whether all could."""
        whole = True
        for model, deployment in found.items():
            if self._current.get(model) == deployment:
                continue
            try:
                self._prepare(deployment)
            except RiftError as error:
                log.warning("model_update.not_taken", model=model, error=str(error))
                whole = False
                continue
            self._current[model] = deployment
            self.generation += 1
            log.info(
                "model_update.taken",
                model=model,
                live=deployment.live,
                shadow=list(deployment.shadow),
                split=dict(deployment.split),
            )
        return whole


def _in_order(records: list[Record]) -> list[Record]:
    """Updates as they were made; those of one model share a partition, others do not meet."""
    return sorted(records, key=lambda record: record["created_at"])


def current(start: Mapping[str, Deployment], settings: Settings | None = None) -> dict[str, Deployment]:
    """Deployments as the topic has them now.

    Raises:
        StackError: Kafka does not answer.
    """
    with Subscriber(TOPIC, settings, start="earliest", stop_at_end=True, skip_broken=True) as subscriber:
        return add_up(_in_order([received.record for received in subscriber]), start)
