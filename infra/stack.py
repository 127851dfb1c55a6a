"""The local stack: real servers as processes of this user, started, healed, watched and stopped."""

from __future__ import annotations

import hashlib
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event, Lock

import httpx

from infra import processes
from infra.flink_home import flink_home, java_home
from infra.locks import file_lock
from infra.parts import Context, Launch, Part, all_parts
from infra.parts.base import HOST, http
from infra.parts.flink import conf_dir
from infra.ports import choose, is_free
from infra.progress import Progress, silent
from infra.state import Entry, State
from riftstream.errors import RiftError, StackError
from riftstream.settings import get_settings

_POLL_S = 0.1
_PATIENCE_S = 15.0
_APP_SETTLES_S = 1.0
_GROUPS = {"flink": ("jobmanager", "taskmanager")}


@dataclass(frozen=True)
class PartStatus:
    """Health of one part.

    Attributes:
        name: Name of the part.
        state: ``ready``, ``starting``, ``silent`` (it runs and does not answer), ``dead`` or ``stopped``.
        version: Version that runs, or that would be started.
        ports: Its ports by name; empty where it never ran.
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
        StackError: A part did not start; the others run. Or another ``rift`` command is at work on it.
        KeyboardInterrupt: As raised; what this call started has been stopped.
    """
    wanted = _select(parts)
    with _work() as state:
        starter = _Starter(state, progress or silent)
        starter.run(wanted)
        if any(part.name == "jobmanager" for part in wanted):
            home = {"flink_home": str(flink_home()), "flink_conf_dir": str(conf_dir(state.home))}
            state.note(**home, java_home=str(java_home()))
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
        progress: Told what it does.

    Raises:
        StackError: It did not start; the message holds its log's last lines.
    """
    with _work() as state:
        part = _app_part(name, argv, port, url, settings or {}, env or {}, timeout, state)
        _Starter(state, progress or silent).run([part])
    get_settings.cache_clear()
    return next(status for status in health() if status.name == name)


def down_app(name: str) -> None:
    """Stop an application that ``up_app`` started; nothing happens where it does not run."""
    with _work() as state:
        _stop(state, name, silent)


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
    with _work() as state, _uninterrupted():
        tell = progress or silent
        known = all_parts()
        names = state.entries()
        stores = [name for name in names if name in known and known[name].store]
        servers = [name for name in names if name in known and name not in stores]
        applications = [name for name in names if name not in known]
        for group in (applications, servers, stores):
            _stop_all(state, group, tell)
        processes.stop(_mark(state.home, ""), None, 0)
        if wipe:
            _wipe(state)
    get_settings.cache_clear()


def health() -> list[PartStatus]:
    """Health of every part and application, asked of the parts themselves."""
    state = State(get_settings().home)
    entries = state.entries()
    known = all_parts()
    names = [*known, *(name for name in entries if name not in known)]
    context = _context(state, entries)
    with ThreadPoolExecutor(len(names)) as pool:
        asked = (
            pool.submit(_status, state, name, known.get(name), entries.get(name, Entry()), context)
            for name in names
        )
        return [answer.result() for answer in list(asked)]


def log_file(name: str) -> Path:
    """The log of a part."""
    return get_settings().home / "logs" / f"{name}.log"


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
    state.make_home()
    with file_lock(state.home / "up.lock"):
        yield state


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Let the block finish whatever the terminal says: half a clean-up helps nobody."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _mark(home: Path, name: str) -> str:
    return f"{home.resolve()}|{name}"


def _context(state: State, entries: Mapping[str, Entry]) -> Context:
    """What parts need to ask each other; without secrets where there are none yet."""
    secrets = state.secrets() if (state.home / "secrets.json").is_file() else {}
    return Context(state.home, {name: entry.ports for name, entry in entries.items()}, secrets)


def _answers(part: Part, context: Context) -> bool:
    """True where the part does its work; every way of not answering means no."""
    try:
        return part.ready(context)
    except (OSError, httpx.HTTPError, KeyError, ValueError):
        return False


class _Starter:
    """Starts parts in parallel, as far as they do not need each other."""

    def __init__(self, state: State, progress: Progress) -> None:
        self._state = state
        self._tell = progress
        self._cancel = Event()
        self._secrets = state.secrets()
        self._ports = {name: entry.ports for name, entry in state.entries().items()}
        self._ports_lock = Lock()
        self._started: list[str] = []

    def run(self, parts: Sequence[Part]) -> None:
        """Start the parts; when it is interrupted, stop what it started."""
        with ThreadPoolExecutor(len(parts)) as pool:
            tasks: dict[str, Future[None]] = {}
            for part in sorted(parts, key=lambda p: len(p.needs)):
                needs = [tasks[name] for name in part.needs if name in tasks]
                tasks[part.name] = pool.submit(self._start, part, needs)
            try:
                self._wait(tasks)
            except BaseException:
                self._cancel.set()
                with _uninterrupted():
                    wait(tasks.values())
                    _stop_all(self._state, self._started, self._tell)
                raise
        failures = [error for task in tasks.values() if (error := task.exception()) is not None]
        # A part that could not start for want of another is not the cause.
        failures.sort(key=lambda error: isinstance(error, _NeedFailed))
        if failures:
            raise failures[0]

    @staticmethod
    def _wait(tasks: Mapping[str, Future[None]]) -> None:
        """Wait for all; in short steps, so that the main thread hears signals."""
        waiting = set(tasks.values())
        while waiting:
            waiting = wait(waiting, timeout=0.2, return_when=FIRST_EXCEPTION).not_done

    def _start(self, part: Part, needs: Sequence[Future[None]]) -> None:
        """Bring one part to ready, from whatever state it is in."""
        try:
            if self._runs(part):
                self._tell(part.name, "running")
                return
            part.prepare(self._here())
            for need in needs:
                if need.exception() is not None:
                    raise _NeedFailed(f"{part.name} was not started: {', '.join(part.needs)} failed.")
            if self._runs(part):
                self._tell(part.name, "running")
                return
            self._launch(part)
        except RiftError:
            self._tell(part.name, "stopped" if self._cancel.is_set() else "failed")
            raise
        except Exception as error:
            self._tell(part.name, "failed")
            raise StackError(f"{part.name} could not be started: {error}.") from error

    def _here(self) -> Context:
        with self._ports_lock:
            ports = {name: dict(numbers) for name, numbers in self._ports.items()}
        return Context(self._state.home, ports, self._secrets, self._tell, self._cancel)

    def _runs(self, part: Part) -> bool:
        """True where the part is ready as it should be. One that is out of date or hangs is stopped."""
        entry = self._state.entry(part.name)
        identity = entry.identity
        if identity is None or processes.find(identity) is None:
            return False
        current = (entry.version, entry.stamp, entry.peers) == (
            part.version(),
            part.stamp(),
            self._peers(part),
        )
        if current and self._comes(part, identity, _PATIENCE_S):
            if not entry.ready:
                self._finish(part, entry)
            return True
        _stop(self._state, part.name, self._tell)
        return False

    def _peers(self, part: Part) -> dict[str, dict[str, int]]:
        return {name: dict(self._ports.get(name, {})) for name in part.needs}

    def _launch(self, part: Part) -> None:
        """Start a part; once more where another program took one of its ports in the meantime."""
        for last_try in (False, True):
            processes.stop(_mark(self._state.home, part.name), None, 0)
            part.clean(self._here())
            with self._ports_lock:
                others = {
                    p for name, ports in self._ports.items() if name != part.name for p in ports.values()
                }
                self._ports[part.name] = choose(part.ports, self._ports.get(part.name, {}), others)
            self._tell(part.name, "starting")
            entry = self._spawn(part)
            identity = entry.identity
            assert identity is not None
            if self._comes(part, identity, part.timeout):
                self._finish(part, entry)
                return
            if self._cancel.is_set():
                raise StackError(f"The start of {part.name} was called off.")
            died = processes.find(identity) is None
            _stop(self._state, part.name, silent)
            log = self._state.home / "logs" / f"{part.name}.log"
            if last_try or not died or all(is_free(p) for p in self._ports[part.name].values()):
                what = "died while it started" if died else f"was not ready after {part.timeout:.0f} seconds"
                raise StackError(f"{part.name} {what}.", f"Its log {log} ends:\n{processes.last_lines(log)}")

    def _spawn(self, part: Part) -> Entry:
        context = self._here()
        launch = part.launch(context)
        identity = processes.spawn(
            _mark(self._state.home, part.name),
            launch.argv,
            launch.env,
            self._state.home / "logs" / f"{part.name}.log",
            context.folder(part.name),
        )
        self._started.append(part.name)
        entry = replace(
            part.entry if isinstance(part, _App) else Entry(),
            ports=self._ports[part.name],
            pid=identity.pid,
            created=identity.created,
            version=part.version(),
            stamp=part.stamp(),
            peers=self._peers(part),
        )
        self._state.save(part.name, entry, part.settings(context), part.private(context))
        return entry

    def _comes(self, part: Part, identity: processes.Identity, patience: float) -> bool:
        """Wait until the part is ready; False where it dies, takes too long, or the start is called off."""
        deadline = time.monotonic() + patience
        context = self._here()
        while time.monotonic() < deadline and not self._cancel.is_set():
            if processes.find(identity) is None:
                return False
            if _answers(part, context):
                return True
            self._cancel.wait(_POLL_S)
        return False

    def _finish(self, part: Part, entry: Entry) -> None:
        context = self._here()
        part.after(context)
        self._state.save(part.name, replace(entry, ready=True), part.settings(context), part.private(context))
        self._tell(part.name, "ready")


class _NeedFailed(StackError):
    """A part was not started because another one failed."""


@dataclass(frozen=True)
class _App(Part):
    """An application: a part whose launch the caller gave."""

    entry: Entry = field(default_factory=Entry)


def _app_part(
    name: str,
    argv: Sequence[str],
    port: int | None,
    url: str,
    settings: Mapping[str, str],
    env: Mapping[str, str],
    timeout: float,
    state: State,
) -> _App:
    if name in all_parts():
        raise StackError(
            f"{name} is the name of a server of the stack.", "Give the application another name."
        )

    def filled(context: Context, text: str) -> str:
        return text.replace("{port}", str(context.ports[name].get("http", "")))

    def launch(context: Context) -> Launch:
        own = {"RIFT_HOME": str(state.home), "RIFT_CACHE": str(get_settings().cache), **env}
        return Launch([*_program(argv[0]), *(filled(context, word) for word in argv[1:])], own)

    def ready(context: Context) -> bool:
        if url:
            return http().get(filled(context, url)).status_code < httpx.codes.INTERNAL_SERVER_ERROR
        return time.time() - state.entry(name).created > _APP_SETTLES_S

    spec = repr((list(argv), port, url, sorted(settings.items()), sorted(env.items())))
    return _App(
        name=name,
        ports={} if port is None else {"http": port},
        version=_own_version,
        launch=launch,
        ready=ready,
        settings=lambda context: {key: filled(context, value) for key, value in settings.items()},
        stamp=lambda: hashlib.sha256(spec.encode()).hexdigest()[:16],
        timeout=timeout,
        entry=Entry(url=url, app=True),
    )


def _own_version() -> str:
    from importlib.metadata import version

    return version("riftstream")


def _program(word: str) -> list[str]:
    if word == "python":
        return [sys.executable]
    if word == "rift":
        return [str(Path(sys.executable).with_name("rift"))]
    return [word]


def _stop_all(state: State, names: Sequence[str], tell: Progress) -> None:
    if names:
        with ThreadPoolExecutor(len(names)) as pool:
            for task in [pool.submit(_stop, state, name, tell) for name in names]:
                task.result()


def _stop(state: State, name: str, tell: Progress) -> None:
    """Stop a part and its children; its ports stay remembered, an application is forgotten."""
    entry = state.entry(name)
    part = all_parts().get(name)
    tell(name, "stopping")
    grace = part.stop_timeout if part else Part.stop_timeout
    processes.stop(_mark(state.home, name), entry.identity, grace)
    if part:
        part.clean(Context(state.home, {}, {}))
    if entry.app:
        state.remove(name)
    elif entry.pid is not None:
        state.save(name, Entry(ports=entry.ports), {}, {})
    tell(name, "stopped")


def _status(state: State, name: str, part: Part | None, entry: Entry, context: Context) -> PartStatus:
    version = entry.version or (part.version() if part else "")
    identity = entry.identity
    if identity is None:
        return PartStatus(name, "stopped", version, entry.ports)
    if processes.find(identity) is None:
        log = state.home / "logs" / f"{name}.log"
        return PartStatus(name, "dead", version, entry.ports, detail=processes.last_lines(log))
    if part is not None:
        answers = _answers(part, context)
    else:
        answers = _app_answers(entry)
    status = "ready" if answers else "silent" if entry.ready else "starting"
    return PartStatus(
        name,
        status,
        version,
        entry.ports,
        identity.pid,
        round(processes.memory_mb(_mark(state.home, name)), 1),
        round(time.time() - identity.created, 1),
        "" if answers else f"It runs and does not answer on {HOST}.",
    )


def _app_answers(entry: Entry) -> bool:
    if not entry.url:
        return True
    try:
        address = entry.url.replace("{port}", str(entry.ports.get("http", "")))
        return http().get(address).status_code < httpx.codes.INTERNAL_SERVER_ERROR
    except httpx.HTTPError:
        return False


def _wipe(state: State) -> None:
    """Remove all data. Where the folder held foreign files at the first start, only our own go."""
    ours = {*all_parts(), "flink", "logs", "stack.json", "secrets.json", "up.lock"}
    for entry in state.home.iterdir():
        if state.ours or entry.name in ours:
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
    if not any(state.home.iterdir()):
        state.home.rmdir()
