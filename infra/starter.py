"""Brings parts to ready, in parallel as far as they do not need each other, and stops them again."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Event, Lock

import httpx

from infra import processes
from infra.parts import Context, Part, all_parts
from infra.ports import choose, is_free
from infra.progress import Progress, silent
from infra.state import Entry, State
from riftstream.errors import RiftError, StackError

_POLL_S = 0.1
_PATIENCE_S = 15.0
_ATTEMPTS = 3


def mark(home: Path, name: str | None = None) -> str:
    """The mark of the processes of a part, or the beginning of all marks of this stack."""
    return f"{home.resolve()}|" if name is None else f"{home.resolve()}|{name}|"


def answers(part: Part, context: Context) -> bool:
    """True where the part does its work; every way of not answering means no."""
    try:
        return part.ready(context)
    except (OSError, httpx.HTTPError, KeyError, ValueError):
        return False


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Let the block finish whatever the terminal says: half a clean-up helps nobody."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def stop(state: State, name: str, tell: Progress) -> None:
    """Stop a part and its children; its ports stay remembered, an application is forgotten."""
    entry = state.entry(name)
    part = all_parts().get(name)
    tell(name, "stopping")
    grace = part.stop_timeout if part else Part.stop_timeout
    processes.stop(mark(state.home, name), entry.identity, grace)
    if part:
        part.clean(Context(state.home, {}, {}))
    if entry.app:
        state.remove(name)
    elif entry.pid is not None:
        state.save(name, Entry(ports=entry.ports), {}, {})
    tell(name, "stopped")


def stop_all(state: State, names: Sequence[str], tell: Progress) -> None:
    """Stop several parts at once."""
    if names:
        with ThreadPoolExecutor(len(names)) as pool:
            for task in [pool.submit(stop, state, name, tell) for name in names]:
                task.result()


class NeedFailed(StackError):
    """A part was not started because another one failed."""


class Starter:
    """Starts parts of one stack.

    Args:
        state: The stack's memory; the caller holds its lock.
        progress: Told what each part does.
    """

    def __init__(self, state: State, progress: Progress) -> None:
        self._state = state
        self._tell = progress
        self._cancel = Event()
        self._secrets = state.secrets()
        self._ports = {name: entry.ports for name, entry in state.entries().items()}
        self._ports_lock = Lock()
        self._started: list[str] = []

    def run(self, parts: Sequence[Part]) -> None:
        """Start the parts that do not run as they should. When it is interrupted, stop what it started.

        Raises:
            StackError: A part did not start; the others run.
        """
        with ThreadPoolExecutor(len(parts)) as pool:
            tasks: dict[str, Future[None]] = {}
            for part in sorted(parts, key=lambda p: len(p.needs)):
                needs = [tasks[name] for name in part.needs if name in tasks]
                tasks[part.name] = pool.submit(self._start, part, needs)
            try:
                self._wait(tasks)
            except BaseException:
                self._cancel.set()
                with uninterrupted():
                    wait(tasks.values())
                    stop_all(self._state, self._started, self._tell)
                raise
        failures = [error for task in tasks.values() if (error := task.exception()) is not None]
        # A part that could not start for want of another is not the cause.
        failures.sort(key=lambda error: isinstance(error, NeedFailed))
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
            if not needs and self._runs(part):
                return
            part.prepare(self._here())
            for need in needs:
                if need.exception() is not None:
                    raise NeedFailed(f"{part.name} was not started: {', '.join(part.needs)} failed.")
            if not needs or not self._runs(part):
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
        started_as = (entry.version, entry.stamp, entry.peers)
        current = started_as == (part.version(), part.stamp(), self._peers(part))
        if current and self._comes(part, identity, _PATIENCE_S):
            if not entry.ready:
                self._finish(part, entry)
            self._tell(part.name, "running")
            return True
        stop(self._state, part.name, self._tell)
        return False

    def _peers(self, part: Part) -> dict[str, dict[str, int]]:
        return {name: dict(self._ports.get(name, {})) for name in part.needs}

    def _launch(self, part: Part) -> None:
        """Start a part; again where another program took one of its ports in the meantime."""
        for attempt in range(1, _ATTEMPTS + 1):
            processes.stop(mark(self._state.home, part.name), None, 0)
            part.clean(self._here())
            with self._ports_lock:
                others = {p for name, own in self._ports.items() if name != part.name for p in own.values()}
                self._ports[part.name] = choose(part.ports, self._ports.get(part.name, {}), others)
            self._tell(part.name, "starting")
            entry, identity = self._spawn(part)
            if self._comes(part, identity, part.timeout):
                self._finish(part, entry)
                return
            if self._cancel.is_set():
                raise StackError(f"The start of {part.name} was called off.")
            died = processes.find(identity) is None
            stop(self._state, part.name, silent)
            robbed = not all(is_free(port) for port in self._ports[part.name].values())
            if not (died and robbed) or attempt == _ATTEMPTS:
                what = "died while it started" if died else f"was not ready after {part.timeout:.0f} seconds"
                log = self._state.log(part.name)
                raise StackError(f"{part.name} {what}.", f"Its log {log} ends:\n{processes.last_lines(log)}")

    def _spawn(self, part: Part) -> tuple[Entry, processes.Identity]:
        """Start the part's process and remember it at once, so that it is found whatever happens next."""
        context = self._here()
        launch = part.launch(context)
        self._started.append(part.name)
        identity = processes.spawn(
            mark(self._state.home, part.name),
            launch.argv,
            launch.env,
            self._state.log(part.name),
            context.folder(part.name),
            launch.nice,
        )
        entry = Entry(
            ports=self._ports[part.name],
            pid=identity.pid,
            created=identity.created,
            version=part.version(),
            stamp=part.stamp(),
            peers=self._peers(part),
            url=part.url(context),
            app=part.name not in all_parts(),
        )
        self._state.save(part.name, entry, part.settings(context), part.private(context))
        return entry, identity

    def _comes(self, part: Part, identity: processes.Identity, patience: float) -> bool:
        """Wait until the part is ready; False where it dies, takes too long, or the start is called off."""
        deadline = time.monotonic() + patience
        context = self._here()
        while time.monotonic() < deadline and not self._cancel.is_set():
            if processes.find(identity) is None:
                return False
            if answers(part, context) and self._listens(part, context):
                return True
            self._cancel.wait(_POLL_S)
        return False

    def _listens(self, part: Part, context: Context) -> bool:
        """True where it is the part itself that answers, and not another program that took its port."""
        port = next(iter(context.ports[part.name].values()), None)
        return port is None or processes.listens(mark(self._state.home, part.name), port)

    def _finish(self, part: Part, entry: Entry) -> None:
        """Set a part up that has just become ready."""
        context = self._here()
        part.after(context)
        self._state.save(part.name, replace(entry, ready=True), part.settings(context), part.private(context))
        self._tell(part.name, "ready")
