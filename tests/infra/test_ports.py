"""Ports: the wanted one where it is free, another one where it is not."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from infra.ports import choose, is_free


@pytest.fixture
def taken_port() -> Iterator[int]:
    """A port on which a server listens."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(1)
        yield server.getsockname()[1]


@pytest.fixture
def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])


def test_wanted_port_is_chosen_where_it_is_free(free_port: int) -> None:
    assert choose({"http": free_port}, {}, set()) == {"http": free_port}


def test_taken_port_is_replaced_by_one_that_is_free() -> None:
    # Only ports below the range of outgoing connections are offered, so want one there.
    wanted = next(port for port in range(20_000, 30_000) if is_free(port))
    with socket.socket() as server:
        server.bind(("127.0.0.1", wanted))
        server.listen(1)
        chosen = choose({"http": wanted}, {}, set())["http"]
        assert chosen != wanted
        assert is_free(chosen)


def test_port_on_which_a_server_of_all_addresses_listens_is_not_free() -> None:
    with socket.socket() as server:
        server.bind(("0.0.0.0", 0))  # noqa: S104 - the case under test
        server.listen(1)
        assert not is_free(server.getsockname()[1])


def test_taken_port_is_not_free_and_a_closed_one_is(taken_port: int, free_port: int) -> None:
    assert not is_free(taken_port)
    assert is_free(free_port)


def test_port_of_the_last_start_is_preferred_to_the_default(free_port: int) -> None:
    assert choose({"http": 1}, {"http": free_port}, set()) == {"http": free_port}


def test_two_names_never_get_the_same_port() -> None:
    wanted = next(port for port in range(20_000, 30_000) if is_free(port))
    taken: set[int] = set()
    first = choose({"a": wanted, "b": wanted}, {}, taken)
    second = choose({"c": wanted}, {}, taken)
    assert len({*first.values(), *second.values()}) == 3
