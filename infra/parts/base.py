"""What the launcher knows of a part."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from threading import Event

import httpx

from infra.progress import Progress, silent

HOST = "127.0.0.1"


@dataclass(frozen=True)
class Context:
    """Where a part lives and what it was given.

    Attributes:
        home: ``RIFT_HOME``: all state of the stack.
        ports: Chosen ports: part → name of the port → number.
        secrets: Generated keys and passwords by name.
        progress: Told what the part does.
        cancel: Set when the start is called off.
    """

    home: Path
    ports: Mapping[str, Mapping[str, int]]
    secrets: Mapping[str, str]
    progress: Progress = silent
    cancel: Event = field(default_factory=Event)

    def folder(self, part: str) -> Path:
        """The part's own folder, made where it is not there; only its owner can read it."""
        folder = self.home / part
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder


@dataclass(frozen=True)
class Launch:
    """How to start a process.

    Attributes:
        argv: Command line.
        env: Environment beside that of the launcher.
        nice: How far it stands back where others want the same core, 0 to 19 (see nice(1)).
    """

    argv: list[str]
    env: dict[str, str] = field(default_factory=dict)
    nice: int = 0


def _nothing(context: Context) -> None:
    """Do nothing."""


def _no_settings(context: Context) -> dict[str, str]:
    return {}


def _no_stamp() -> str:
    return ""


def _no_url(context: Context) -> str:
    return ""


@dataclass(frozen=True)
class Part:
    """A part of the stack.

    Attributes:
        name: Its name in logs, status and files.
        ports: Default ports by name; the first is the one that people use.
        version: Gives the version that would be started.
        launch: Writes the configuration files and gives the command line.
        ready: True as soon as the part does its work; it may raise OSError or httpx errors until then.
        prepare: Downloads and builds what the part needs; runs before its ports are chosen.
        after: Sets the part up once it is ready (first rules, buckets).
        clean: Removes what a killed process leaves outside its folder; runs before a start and after a stop.
        settings: Addresses that go into ``stack.json``, by name of the setting.
        private: Settings that hold a password; they go into ``secrets.json``.
        stamp: Changes when a running process is no longer the one that would be started.
        url: HTTP address by which an application is asked for its health; empty for a server, which is asked
            by ``ready``.
        needs: Parts that must be ready before this one starts.
        store: It keeps what other parts write, so it stops after them.
        timeout: Seconds until a start counts as failed.
        stop_timeout: Seconds that it has to end by itself.
    """

    name: str
    ports: dict[str, int]
    version: Callable[[], str]
    launch: Callable[[Context], Launch]
    ready: Callable[[Context], bool]
    prepare: Callable[[Context], None] = _nothing
    after: Callable[[Context], None] = _nothing
    clean: Callable[[Context], None] = _nothing
    settings: Callable[[Context], dict[str, str]] = _no_settings
    private: Callable[[Context], dict[str, str]] = _no_settings
    stamp: Callable[[], str] = _no_stamp
    url: Callable[[Context], str] = _no_url
    needs: tuple[str, ...] = ()
    store: bool = False
    timeout: float = 90.0
    stop_timeout: float = 20.0


@lru_cache(maxsize=1)
def http() -> httpx.Client:
    """HTTP client for parts on this machine: never through a proxy, never patient."""
    return httpx.Client(timeout=5.0, trust_env=False, verify=False)  # noqa: S501 - loopback, no TLS


def write_private(file: Path, text: str) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    new = file.with_name(file.name + ".new")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
        out.write(text)
    new.replace(file)
