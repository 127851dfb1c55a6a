"""Micro-batching: questions that come while others are being answered are answered together, next.

Nothing waits for company. The queue is bounded, and a question that waited too long is told so: more load
than the machine can carry makes refusals, and neither memory nor waiting times grow.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

from serving import problems
from serving.engine import Outcome
from serving.metrics import REFUSED, WAITING
from serving.questions import Question

MOST_TOGETHER = 128
MOST_WAITING = 1_024
WORKERS = 2
PATIENCE_SECONDS = 2.0


@dataclass(slots=True)
class _Waiting:
    question: Question
    outcome: asyncio.Future[Outcome]
    deadline: float


class Batcher:
    """Answers questions of many requests together, in threads. To be used in one event loop.

    Args:
        answer: Answers questions, in their order; runs in a thread.
        pool: Where it runs.
        most_together: Most questions that are answered at once.
        most_waiting: Most questions that wait; further ones are refused.
        workers: Batches that are answered at the same time.
        patience: Seconds that a question may wait before it is begun.
    """

    def __init__(
        self,
        answer: Callable[[Sequence[Question]], list[Outcome]],
        pool: Executor,
        *,
        most_together: int = MOST_TOGETHER,
        most_waiting: int = MOST_WAITING,
        workers: int = WORKERS,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        self._answer = answer
        self._pool = pool
        self._most_together = most_together
        self._most_waiting = most_waiting
        self._workers = workers
        self._patience = patience
        self._waiting: deque[_Waiting] = deque()
        self._working: set[asyncio.Task[None]] = set()

    async def ask(self, question: Question) -> Outcome:
        """The answer to one question, or a refusal where too many wait."""
        if len(self._waiting) >= self._most_waiting:
            REFUSED.inc()
            return problems.busy(f"{self._most_waiting} questions wait already.")
        loop = asyncio.get_running_loop()
        entry = _Waiting(question, loop.create_future(), time.monotonic() + self._patience)
        self._waiting.append(entry)
        if len(self._working) < self._workers:
            task = loop.create_task(self._work())
            self._working.add(task)
            task.add_done_callback(self._working.discard)
        return await entry.outcome

    async def _work(self) -> None:
        """Answer until nobody waits."""
        loop = asyncio.get_running_loop()
        while batch := self._next():
            try:
                outcomes = await loop.run_in_executor(self._pool, self._answer, [e.question for e in batch])
            except Exception as broken:  # every one that waits must be told
                for entry in batch:
                    if not entry.outcome.done():
                        entry.outcome.set_exception(broken)
                continue
            for entry, outcome in zip(batch, outcomes, strict=True):
                if not entry.outcome.done():
                    entry.outcome.set_result(outcome)

    def _next(self) -> list[_Waiting]:
        """The next batch: those whose client is still there and whose time is not up."""
        batch: list[_Waiting] = []
        now = time.monotonic()
        while self._waiting and len(batch) < self._most_together:
            entry = self._waiting.popleft()
            if entry.outcome.done():
                continue
            if now > entry.deadline:
                REFUSED.inc()
                entry.outcome.set_result(problems.busy(f"The question waited for {self._patience:g} s."))
                continue
            batch.append(entry)
        WAITING.set(len(self._waiting))
        return batch
