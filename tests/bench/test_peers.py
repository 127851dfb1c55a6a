"""The bare loop and our job on real servers: what they write is what the recomputation says."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from confluent_kafka import Producer as KafkaProducer

from bench import peers
from bench.peers_check import Checked, Checker, Load
from riftstream.errors import RiftError
from riftstream.settings import Settings
from streams import topics
from streams.client import codec_for
from streams.clock import now_ms
from streams.sources import sample, simulator

EVENTS = "peers-test-events"
COPIES = 3


@pytest.fixture(scope="module")
def load(stack: Settings) -> Load:
    """Three copies of the twenty matches of the sample, in a topic of their own."""
    wanted = topics.specs(stack, [EVENTS])
    topics.apply(stack, topics.plan(stack, wanted), wanted)
    load = Load(sample.matches(), 1_700_000_000_000)
    producer = KafkaProducer({"bootstrap.servers": stack.kafka_bootstrap})
    sent = simulator.preload(
        load.matches,
        COPIES * sum(map(len, load.matches)),
        codec_for("live-matches", stack),
        lambda value, key: producer.produce(EVENTS, value, key),
        concurrent=len(load.matches),
        start_ms=load.start_ms,
    )
    assert sent == COPIES * sum(map(len, load.matches))
    assert producer.flush(30) == 0
    return load


@pytest.fixture
def output(stack: Settings, load: Load) -> Iterator[peers.Output]:
    """The topics that contenders write, empty."""
    output = peers.Output(stack)
    output.empty()
    assert output.states() == 0
    yield output
    output.empty()


def _finished(load: Load, output: peers.Output) -> Checked:
    """What the checker says of a contender that has written all that it can, within a minute."""
    checker = Checker(load, output.codecs[peers.STATES.topic], output.codecs[peers.WINDOWS.topic])
    events = COPIES * sum(map(len, load.matches))
    deadline = time.monotonic() + 60
    while True:
        # Every state that is read counts as written long ago: its windows must be there as well.
        found = checker.check(output.read(peers.STATES), output.read(peers.WINDOWS), now_ms() + 3_600_000)
        if (found.states == events and not found.wrong) or time.monotonic() > deadline:
            return found
        time.sleep(1)


@pytest.mark.stack
@pytest.mark.parametrize("processes", [1, 2])
def test_the_bare_loop_writes_what_the_recomputation_says(
    stack: Settings, load: Load, output: peers.Output, processes: int
) -> None:
    with peers.running_peer("bare", processes, stack, output.codecs, EVENTS):
        found = _finished(load, output)
    assert found.wrong == []
    assert found.states == COPIES * sum(map(len, load.matches))
    assert found.windows > 1000


@pytest.mark.stack
def test_our_job_writes_what_the_recomputation_says(
    stack: Settings, load: Load, output: peers.Output
) -> None:
    with peers.running_ours(2, stack, EVENTS):
        found = _finished(load, output)
    assert found.wrong == []
    assert found.states == COPIES * sum(map(len, load.matches))
    assert found.windows > 1000


@pytest.mark.stack
def test_a_program_that_ends_by_itself_is_told_with_its_last_words(
    stack: Settings, output: peers.Output
) -> None:
    with (
        pytest.raises(RiftError, match="bare ended by itself") as told,
        peers.running_peer("bare", 1, stack, output.codecs, "no-such-topic") as program,
    ):
        for process in program.processes.values():
            process.wait(60)
    assert "no-such-topic" in (told.value.hint or "")
