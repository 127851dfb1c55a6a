"""Ports on loopback: the wanted one, or another that is free."""

from __future__ import annotations

import random
import socket
from collections.abc import Mapping

from infra.parts.base import HOST
from riftstream.errors import StackError

_STEP = 100
# Above it, the operating system hands ports to outgoing connections (Linux's default range).
_LAST = 32_767


def is_free(port: int) -> bool:
    """True where a server could listen on the port now."""
    with socket.socket() as probe:
        # As servers do it: a connection that lingers after its server has ended blocks nobody.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def choose(wanted: Mapping[str, int], last: Mapping[str, int], taken: set[int]) -> dict[str, int]:
    """Choose a free port for each name.

    Args:
        wanted: Default ports by name.
        last: Ports of the last start by name; they are kept where they are free.
        taken: Ports that others of this stack have; the chosen ones are added.

    Raises:
        StackError: No port is free.
    """
    chosen: dict[str, int] = {}
    for name, default in wanted.items():
        others = range(default, _LAST, _STEP)
        # At random, so that two stacks that start at once seldom want the same.
        candidates = (last.get(name, default), default, *random.sample(others, len(others)))
        port = next((p for p in candidates if p not in taken and is_free(p)), None)
        if port is None:
            raise StackError(f"No port is free for {name}.", "Stop a program that listens on many ports.")
        chosen[name] = port
        taken.add(port)
    return chosen
