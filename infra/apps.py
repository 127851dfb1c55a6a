"""Applications of ours as parts of the stack: the prediction loop, the HTTP API."""

from __future__ import annotations

import hashlib
import importlib.metadata
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx

from infra.parts import Context, Launch, Part, all_parts
from infra.parts.base import http
from infra.state import State
from riftstream.errors import StackError
from riftstream.settings import get_settings

_SETTLES_S = 1.0


def app_part(
    state: State,
    name: str,
    argv: Sequence[str],
    port: int | None,
    url: str,
    settings: Mapping[str, str],
    env: Mapping[str, str],
    timeout: float,
    nice: int,
) -> Part:
    """The part that runs a command line; see ``infra.stack.up_app`` for the arguments.

    Raises:
        StackError: The name is that of a server.
    """
    if name in all_parts():
        raise StackError(
            f"{name} is the name of a server of the stack.", "Give the application another name."
        )

    def filled(context: Context, text: str) -> str:
        return text.replace("{port}", str(context.ports[name].get("http", "")))

    def launch(context: Context) -> Launch:
        own = {"RIFT_HOME": str(state.home), "RIFT_CACHE": str(get_settings().cache), **env}
        return Launch([_program(argv[0]), *(filled(context, word) for word in argv[1:])], own, nice)

    def ready(context: Context) -> bool:
        if url:
            return responds(filled(context, url))
        return time.time() - state.entry(name).created > _SETTLES_S

    spec = repr((list(argv), port, url, sorted(settings.items()), sorted(env.items()), nice))
    return Part(
        name=name,
        ports={} if port is None else {"http": port},
        version=_version,
        launch=launch,
        ready=ready,
        settings=lambda context: {key: filled(context, value) for key, value in settings.items()},
        stamp=lambda: hashlib.sha256(spec.encode()).hexdigest()[:16],
        url=lambda context: filled(context, url),
        timeout=timeout,
    )


def responds(url: str) -> bool:
    """True where an address answers without a server error; an application without one is believed."""
    try:
        return not url or http().get(url).status_code < httpx.codes.INTERNAL_SERVER_ERROR
    except httpx.HTTPError:
        return False


def _version() -> str:
    return importlib.metadata.version("riftstream")


def _program(word: str) -> str:
    """The program of a word; ``python`` and ``rift`` are those of this environment."""
    if word == "python":
        return sys.executable
    return str(Path(sys.executable).with_name("rift")) if word == "rift" else word
