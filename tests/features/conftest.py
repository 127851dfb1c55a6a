"""A Redis of the tests' own, configured as the platform's."""

from __future__ import annotations

import secrets
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from infra.parts import Context
from infra.parts.base import HOST
from infra.parts.redis import redis_conf, server
from infra.ports import choose
from riftstream.settings import Settings

PASSWORD = secrets.token_hex(16)


class RedisServer:
    """A Redis that a test may stop and start again; what it held is kept."""

    def __init__(self, home: Path) -> None:
        context = Context(home, {"redis": choose({"redis": 7379}, {}, set())}, {"redis_password": PASSWORD})
        self.port = context.ports["redis"]["redis"]
        self._conf = home / "redis.conf"
        self._conf.write_text(redis_conf(context))
        self._process: subprocess.Popen[bytes] | None = None
        self.settings = Settings(home=home, redis_url=f"redis://:{PASSWORD}@{HOST}:{self.port}/0")
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen([str(server()), str(self._conf)], stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            try:
                self.client().ping()
                return
            except redis.exceptions.ConnectionError:
                time.sleep(0.02)
        raise TimeoutError("Redis did not start")

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def client(self) -> Any:
        """A plain client; untyped, since redis-py mixes its answers with those of its asynchronous one."""
        return redis.Redis(host=HOST, port=self.port, password=PASSWORD)


@pytest.fixture(scope="session")
def online_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One Redis for all tests of this room; each begins with an empty one."""
    server = RedisServer(tmp_path_factory.mktemp("online"))
    yield server
    server.kill()


@pytest.fixture
def redis_server(online_store: RedisServer) -> RedisServer:
    """The Redis of this room, emptied."""
    online_store.client().flushall()
    return online_store
