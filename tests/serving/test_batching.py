"""Micro-batching, with an answerer that the test holds in its hand."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from serving.batching import Batcher
from serving.engine import Outcome
from serving.problems import Refused, kind_of, unknown_subject
from serving.questions import Question


def question(number: int) -> Question:
    return Question(subject_type="match", subject_id=f"LCK/{number}")


class Held:
    """Answers only when it is let go; the answer names the question."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.sizes: list[int] = []

    def __call__(self, questions: Sequence[Question]) -> list[Outcome]:
        self.sizes.append(len(questions))
        assert self.go.wait(10)
        return [unknown_subject("match", one.subject_id) for one in questions]


def run(held: Callable[[Sequence[Question]], list[Outcome]], work: Any, **limits: Any) -> Any:
    async def main() -> Any:
        with ThreadPoolExecutor(2) as pool:
            return await work(Batcher(held, pool, **limits))

    return asyncio.run(main())


def test_what_waits_is_answered_together_and_each_gets_its_own() -> None:
    held = Held()

    async def work(batcher: Batcher) -> list[Outcome]:
        asked = [asyncio.create_task(batcher.ask(question(n))) for n in range(20)]
        await asyncio.sleep(0.05)
        held.go.set()
        return await asyncio.gather(*asked)

    outcomes = run(held, work, workers=1, most_together=8)
    assert [str(one).split()[-1] for one in outcomes] == [f"LCK/{n}." for n in range(20)]
    assert held.sizes == [8, 8, 4]


def test_a_full_queue_refuses_at_once_and_says_when_to_come_back() -> None:
    held = Held()

    async def work(batcher: Batcher) -> list[Outcome]:
        asked = [asyncio.create_task(batcher.ask(question(0)))]
        await asyncio.sleep(0.05)
        asked += [asyncio.create_task(batcher.ask(question(n))) for n in range(1, 10)]
        await asyncio.sleep(0.05)
        refused = await batcher.ask(question(99))
        held.go.set()
        await asyncio.gather(*asked)
        return [refused]

    (refused,) = run(held, work, workers=1, most_together=1, most_waiting=9)
    assert isinstance(refused, Refused)
    assert (refused.status, kind_of(refused)) == (503, "busy")
    assert "Retry-After" in refused.headers


def test_who_waited_too_long_is_told_so() -> None:
    held = Held()

    async def work(batcher: Batcher) -> list[Outcome]:
        first = asyncio.create_task(batcher.ask(question(0)))
        await asyncio.sleep(0.02)
        late = asyncio.create_task(batcher.ask(question(1)))
        await asyncio.sleep(0.2)
        held.go.set()
        return [await first, await late]

    first, late = run(held, work, workers=1, most_together=1, patience=0.1)
    assert isinstance(first, Refused) and isinstance(late, Refused)
    assert (kind_of(first), kind_of(late)) == ("unknown-subject", "busy")
    assert held.sizes == [1]


def test_a_client_that_went_away_is_not_answered_and_holds_up_nobody() -> None:
    held = Held()

    async def work(batcher: Batcher) -> Outcome:
        first = asyncio.create_task(batcher.ask(question(0)))
        await asyncio.sleep(0.02)
        gone = asyncio.create_task(batcher.ask(question(1)))
        await asyncio.sleep(0.02)
        gone.cancel()
        last = asyncio.create_task(batcher.ask(question(2)))
        held.go.set()
        await first
        return await last

    assert str(run(held, work, workers=1, most_together=8)).endswith("LCK/2.")
    assert held.sizes == [1, 1]


def test_an_error_is_told_to_everyone_in_the_batch() -> None:
    def broken(questions: Sequence[Question]) -> list[Outcome]:
        raise RuntimeError("a defect")

    async def work(batcher: Batcher) -> list[Any]:
        return await asyncio.gather(*(batcher.ask(question(n)) for n in range(3)), return_exceptions=True)

    found = run(broken, work)
    assert [type(one) for one in found] == [RuntimeError] * 3


@pytest.mark.parametrize("most", [1, 4])
def test_no_batch_is_larger_than_allowed(most: int) -> None:
    held = Held()
    held.go.set()

    async def work(batcher: Batcher) -> Any:
        return await asyncio.gather(*(batcher.ask(question(n)) for n in range(30)))

    assert len(run(held, work, most_together=most)) == 30
    assert max(held.sizes) <= most and sum(held.sizes) == 30
