"""The local stack: real servers as processes of this user, started, healed, watched and stopped."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

from infra import processes
from infra.apps import app_part, responds
from infra.flink_home import flink_home, java_home
from infra.locks import file_lock
from infra.parts import Context, Part, all_parts
from infra.parts.base import HOST
from infra.parts.flink import conf_dir
from infra.progress import Progress, silent
from infra.starter import Starter, answers, mark, stop, stop_all, uninterrupted
from infra.state import Entry, State
from riftstream.errors import StackError
from riftstream.settings import get_settings

_GROUPS = {"flink": ("jobmanager", "taskmanager")}


@dataclass(frozen=True)
class PartStatus:
    """Health of one part.

    Attributes:
        name: Name of the part.
        state: ``ready``, ``starting``, ``silent`` (it runs and does not answer), ``dead`` or ``stopped``.
        version: Version that runs, or that would be started.
        ports: Its ports by name, the one that people use first; empty where it never ran.
        pid: Process id where it runs.
        memory_mb: Resident memory of it and its children in MB.
        uptime_s: Seconds since it was started.
        detail: What is wrong; for a dead part the last lines of its log.
    """

    name: str
    state: str
    version: str
    ports: dict[str, int] = field(default_factory=dict)
    pid: int | None = None
    memory_mb: float | None = None
    uptime_s: float | None = None
    detail: str = ""


def up(parts: Sequence[str] | None = None, progress: Progress | None = None) -> list[PartStatus]:
    """Start the stack, or what of it does not run. Nothing changes for a part that is ready.

    Args:
        parts: Names of the parts wanted; ``flink`` stands for its two processes. None means all.
        progress: Told what each part does.

    Returns:
        The health of the whole stack.

    Raises:
        StackError: A part did not start (its log's last lines are in the hint); the others run. Or another
            ``rift`` command is at work on the stack.
        KeyboardInterrupt: As raised; what this call started has been stopped.
    """
    wanted = _select(parts)
    with _work() as state:
        Starter(state, progress or silent).run(wanted)
        if any(part.name == "jobmanager" for part in wanted):
            homes = {"flink_home": str(flink_home()), "flink_conf_dir": str(conf_dir(state.home))}
            state.note(**homes, java_home=str(java_home()))
    get_settings.cache_clear()
    return health()


def up_app(
    name: str,
    argv: Sequence[str],
    port: int | None = None,
    url: str = "",
    settings: Mapping[str, str] | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float = 60.0,
    nice: int = 0,
    progress: Progress | None = None,
) -> PartStatus:
    """Run an application of ours as a part of the stack: log, health, restart; ``down`` stops it first.

    ``{port}`` in the command line, the address and the settings stands for the port that was chosen.
    Nothing changes where it runs with the same command line already.

    Args:
        name: Name of the part.
        argv: Command line; ``python`` and ``rift`` stand for those of this environment.
        port: Wanted port; another one is chosen where it is taken. None where it listens on none.
        url: HTTP address that answers once the application is ready. Empty: it is ready when it still runs
            a second after its start.
        settings: Settings by which others find it, such as ``{"api_url": "http://127.0.0.1:{port}"}``.
        env: Environment beside that of this process.
        timeout: Seconds until a start counts as failed.
        nice: How far it stands back where others want the same core, 0 to 19.
        progress: Told what it does.

    Raises:
        StackError: It did not start; the hint holds its log's last lines.
    """
    with _work() as state:
        part = app_part(state, name, argv, port, url, settings or {}, env or {}, timeout, nice)
        Starter(state, progress or silent).run([part])
    get_settings.cache_clear()
    return next(status for status in health() if status.name == name)


def down_app(name: str) -> None:
    """Stop an application that ``up_app`` started; nothing happens where it does not run."""
    with _work() as state:
        stop(state, name, silent)


def down(wipe: bool = False, progress: Progress | None = None) -> None:
    """Stop the whole stack, applications first and stores last; no process of it stays.

    Args:
        wipe: Remove all data, keys and logs too. Downloads stay in the cache.
        progress: Told what each part does.

    Raises:
        StackError: Another ``rift`` command is at work on the stack.
    """
    if not get_settings().home.is_dir():
        return
    with _work() as state, uninterrupted():
        known = all_parts()
        names = list(state.entries())
        stores = [name for name in names if name in known and known[name].store]
        servers = [name for name in names if name in known and name not in stores]
        applications = [name for name in names if name not in known]
        for group in (applications, servers, stores):
            stop_all(state, group, progress or silent)
        processes.stop(mark(state.home), None, 0)
        if wipe:
            _wipe(state)
    get_settings.cache_clear()


def health() -> list[PartStatus]:
    """Health of every part and application, asked of the parts themselves."""
    state = State(get_settings().home)
    entries = state.entries()
    known = all_parts()
    names = [*known, *(name for name in entries if name not in known)]
    secrets = state.secrets() if entries else {}
    context = Context(state.home, {name: entry.ports for name, entry in entries.items()}, secrets)
    with ThreadPoolExecutor(len(names)) as pool:
        asked = [
            pool.submit(_status, state, name, known.get(name), entries.get(name, Entry()), context)
            for name in names
        ]
        return [answer.result() for answer in asked]


def _select(names: Sequence[str] | None) -> list[Part]:
    """The parts of these names and those that they need.

    Raises:
        StackError: There is no part of a name.
    """
    known = all_parts()
    if names is None:
        return list(known.values())
    wanted = [member for name in names for member in _GROUPS.get(name, (name,))]
    for name in wanted:
        if name not in known:
            raise StackError(f"There is no part called {name}.", f"The parts are {', '.join(known)}.")
        wanted += [need for need in known[name].needs if need not in wanted]
    return [part for part in known.values() if part.name in wanted]


@contextmanager
def _work() -> Iterator[State]:
    """The state of the stack, changed by no other command while the block runs."""
    state = State(get_settings().home)
    state.make_home({*all_parts(), *_SHARED})
    with file_lock(state.home / "up.lock"):
        yield state


def _status(state: State, name: str, part: Part | None, entry: Entry, context: Context) -> PartStatus:
    version = entry.version or (part.version() if part else "")
    identity = entry.identity
    if identity is None:
        return PartStatus(name, "stopped", version, entry.ports)
    if processes.find(identity) is None:
        detail = processes.last_lines(state.log(name))
        return PartStatus(name, "dead", version, entry.ports, detail=detail)
    answering = answers(part, context) if part is not None else responds(entry.url)
    return PartStatus(
        name,
        "ready" if answering else "silent" if entry.ready else "starting",
        version,
        entry.ports,
        identity.pid,
        round(processes.memory_mb(mark(state.home, name)), 1),
        round(time.time() - identity.created, 1),
        "" if answering else f"It runs and does not answer on {HOST}.",
    )


_SHARED = ("jobs", "demo", "feast", "flink", "logs", "models", "stack.json", "secrets.json", "up.lock")
"""What the stack keeps in ``RIFT_HOME`` beside a folder for each part."""


def _wipe(state: State) -> None:
    """Remove all data. Where the folder held foreign files at the first start, only our own go."""
    ours = {*all_parts(), *_SHARED}
    for entry in state.home.iterdir():
        if state.ours or entry.name in ours:
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
    if not any(state.home.iterdir()):
        state.home.rmdir()
