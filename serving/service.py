"""What the API works with: the engine, the versions, the board, and the threads in which they work."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from riftstream.settings import Settings
from serving.batching import Batcher
from serving.board import Board
from serving.deployments import Deployments
from serving.engine import Engine, Kind, Outcome
from serving.matches import MatchKind
from serving.metrics import CIRCUIT
from serving.players import PlayerKind
from serving.questions import Question
from serving.versions import Versions, at_start

_CIRCUITS = {"closed": 0.0, "half-open": 0.5, "open": 1.0}


def every_kind() -> list[Kind]:
    """What can be asked about."""
    return [MatchKind(), PlayerKind()]


class Service:
    """The engine with all around it, for one process.

    Args:
        settings: Where Kafka, Redis and Triton are.
    """

    def __init__(self, settings: Settings) -> None:
        known = at_start(kind.model for kind in every_kind())
        kinds = [kind for kind in every_kind() if kind.model in known]
        self.versions = Versions(kinds, settings)
        self.deployments = Deployments(known, settings, self.versions.prepare)
        self.engine = Engine(kinds, self.deployments, self.versions.get, settings)
        self.board = Board(settings, self.engine.heard)
        self.pool = ThreadPoolExecutor(4, thread_name_prefix="answers")
        self.others = ThreadPoolExecutor(4, thread_name_prefix="others")
        self.batcher = Batcher(self.engine.answer, self.pool)
        self.batcher_anew = Batcher(partial(self.engine.answer, anew=True), self.pool)

    async def start(self) -> None:
        """Learn which versions answer, and what the predictions topic holds.

        Raises:
            ModelError: The deployments cannot be read.
        """
        await asyncio.to_thread(self.deployments.start)
        await self.board.start()

    async def stop(self) -> None:
        """Stop all threads and close the connections."""
        await self.board.stop()
        await asyncio.to_thread(self.deployments.stop)
        self.pool.shutdown(cancel_futures=True)
        self.others.shutdown(cancel_futures=True)
        self.engine.close()

    def answer(self, questions: Sequence[Question], anew: bool = False) -> list[Outcome]:
        """Answers to questions, in the calling thread."""
        return self.engine.answer(questions, anew=anew)

    def note_circuits(self) -> None:
        """Bring the circuits' metrics up to date."""
        for version in self.versions.loaded():
            value = _CIRCUITS[version.circuit.state]
            CIRCUIT.labels(version.card.name, version.card.version).set(value)
