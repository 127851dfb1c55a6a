"""What the launcher remembers: ``stack.json`` (addresses, processes) and ``secrets.json`` (keys, 0600)."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

from infra.parts.base import write_private
from infra.processes import Identity

_OURS = ".riftstream"


@dataclass
class Entry:
    """What is known of one part.

    Attributes:
        ports: Its ports by name; kept for the next start.
        pid: Process id, or None where it was stopped.
        created: Creation time of the process in seconds since 1970.
        version: Version that was started.
        stamp: What it was started from; another stamp means that it must be restarted.
        peers: Ports of the parts that it needs, as it was told.
        ready: It has been ready and set up.
        url: HTTP address by which an application is asked for its health.
        app: It is an application, not a server of the stack.
    """

    ports: dict[str, int] = field(default_factory=dict)
    pid: int | None = None
    created: float = 0.0
    version: str = ""
    stamp: str = ""
    peers: dict[str, dict[str, int]] = field(default_factory=dict)
    ready: bool = False
    url: str = ""
    app: bool = False

    @property
    def identity(self) -> Identity | None:
        """The process that was started."""
        return None if self.pid is None else Identity(self.pid, self.created)


class State:
    """``RIFT_HOME`` on disk. Safe to use from several threads of one process."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._lock = Lock()

    def make_home(self, known: Collection[str] = ()) -> None:
        """Make the folder, readable by its owner only.

        Args:
            known: Names of the stack's own files and folders. A folder that holds nothing else is marked
                as all ours.
        """
        if not self.home.is_dir():
            self.home.mkdir(mode=0o700, parents=True)
        if not self.ours and all(entry.name in known for entry in self.home.iterdir()):
            self.home.chmod(0o700)
            (self.home / _OURS).write_text("All in this folder was made by rift and is removed by --wipe.\n")

    def log(self, name: str) -> Path:
        """The log of a part."""
        return self.home / "logs" / f"{name}.log"

    @property
    def ours(self) -> bool:
        """True where nothing but the stack's own files can be in the folder."""
        return (self.home / _OURS).is_file()

    def entries(self) -> dict[str, Entry]:
        """What is known of each part, by name."""
        return {name: Entry(**values) for name, values in self._read("stack.json").get("parts", {}).items()}

    def entry(self, name: str) -> Entry:
        """What is known of one part; an empty entry where it was never started."""
        return self.entries().get(name, Entry())

    def save(self, name: str, entry: Entry, settings: dict[str, str], private: dict[str, str]) -> None:
        """Remember a part and the settings by which others find it."""

        self._change("stack.json", lambda stack: stack.setdefault("parts", {}).update({name: asdict(entry)}))
        self.remember(settings, private)

    def remember(self, settings: dict[str, str], private: dict[str, str]) -> None:
        """Remember settings by which others find a server; the private ones go into ``secrets.json``."""
        if settings:
            self._change("stack.json", lambda kept: kept.setdefault("settings", {}).update(settings))
        if private:
            self._change("secrets.json", lambda kept: kept.setdefault("settings", {}).update(private))

    def remove(self, name: str) -> None:
        """Forget a part."""
        self._change("stack.json", lambda stack: stack.get("parts", {}).pop(name, None))

    def note(self, **values: str) -> None:
        """Keep further facts in ``stack.json``, beside settings and parts."""
        self._change("stack.json", lambda stack: stack.update(values))

    def secrets(self) -> dict[str, str]:
        """Keys and passwords, generated on first use."""
        makers: dict[str, Callable[[], str]] = {
            "redis_password": lambda: secrets.token_urlsafe(32),
            "s3_access_key": lambda: secrets.token_hex(10),
            "s3_secret_key": lambda: secrets.token_urlsafe(32),
        }

        def change(kept: dict[str, Any]) -> None:
            values = kept.setdefault("secrets", {})
            for name, make in makers.items():
                if name not in values:
                    values[name] = make()

        return dict(self._change("secrets.json", change)["secrets"])

    def _read(self, name: str) -> dict[str, Any]:
        file = self.home / name
        values: dict[str, Any] = json.loads(file.read_text()) if file.is_file() else {}
        return values

    def _change(self, name: str, change: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
        with self._lock:
            before = self._read(name)
            after: dict[str, Any] = json.loads(json.dumps(before))
            change(after)
            if after != before:
                write_private(self.home / name, json.dumps(after, indent=2) + "\n")
            return after
