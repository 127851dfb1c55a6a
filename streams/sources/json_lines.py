"""Our own events as JSON lines: one event a line, null fields left out, plain or gzipped."""

from __future__ import annotations

import gzip
import os
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

import orjson

from riftstream.errors import SourceError
from streams.schemas import for_topic
from streams.sources.account import Account

NAME = "events"
GZIP_MAGIC = b"\x1f\x8b"

Event = dict[str, Any]


def encode(event: Event) -> bytes:
    """One event as a line, with the line feed."""
    return orjson.dumps(event, option=orjson.OPT_APPEND_NEWLINE)


@contextmanager
def _whole_file(path: Path) -> Iterator[IO[bytes]]:
    """A file that appears under its name only when all of it is written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as raw:
            if path.suffix == ".gz":
                with gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as packed:
                    yield cast(IO[bytes], packed)
            else:
                yield raw
            raw.flush()
            os.fsync(raw.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def write(events: Iterable[Event], path: Path | None, on_event: Callable[[Event], None] | None = None) -> int:
    """Write events, one a line.

    Args:
        events: The events, in log order.
        path: File to write, gzipped where its name ends with ``.gz``; None for standard output. The file
            appears whole or not at all; the same events give the same bytes.
        on_event: Called after each event.

    Returns:
        How many events were written.

    Raises:
        SourceError: The file cannot be written.
    """
    if path is None:
        count = _write(events, sys.stdout.buffer, on_event)
        sys.stdout.buffer.flush()
        return count
    try:
        with _whole_file(path) as file:
            return _write(events, file, on_event)
    except OSError as cause:
        raise SourceError(f"{path} cannot be written: {cause.strerror or cause}.") from cause


def _write(events: Iterable[Event], file: IO[bytes], on_event: Callable[[Event], None] | None) -> int:
    count = 0
    for event in events:
        file.write(encode(event))
        count += 1
        if on_event is not None:
            on_event(event)
    return count


def read_bytes(path: Path) -> bytes:
    """The content of a file, unpacked where it is gzipped (told by its first bytes).

    Raises:
        SourceError: The file cannot be read to its end.
    """
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if content.startswith(GZIP_MAGIC) else content
    except (OSError, EOFError, zlib.error) as cause:
        raise SourceError(f"{path} cannot be read: {cause}.") from cause


class JsonLines:
    """The events of a JSON-lines file, grouped by match in the order in which the matches begin.

    A line that is no event of ours is rejected and counted: not a JSON object, a field that the schema does
    not have, or no ``match_id``, ``event_type``, ``event_time`` or ``game_time_ms``.

    Args:
        path: The file.
        limit: Only the first matches; all by default.

    Raises:
        SourceError: The file cannot be read to its end.
    """

    def __init__(self, path: Path, limit: int | None = None) -> None:
        self.account = Account(NAME)
        account = self.account.file(path.name)
        known = {field.name for field in for_topic("live-matches").fields}
        matches: dict[str, list[Event]] = {}
        for line in read_bytes(path).splitlines():
            if not line.strip():
                continue
            account.read += 1
            event = _event(line, known)
            if isinstance(event, str):
                account.reject(event)
            elif limit is not None and event["match_id"] not in matches and len(matches) >= limit:
                account.left_out += 1
            else:
                matches.setdefault(event["match_id"], []).append(event)
                account.use(events=1)
        self._matches = list(matches.values())

    def __len__(self) -> int:
        """Matches that ``matches`` will give."""
        return len(self._matches)

    def matches(self) -> Iterator[list[Event]]:
        """The events of each match."""
        for events in self._matches:
            self.account.hand_out(events)
            yield events


def _event(line: bytes, known: set[str]) -> Event | str:
    """The event of a line, or why there is none."""
    try:
        event = orjson.loads(line)
    except orjson.JSONDecodeError:
        return "not JSON"
    if not isinstance(event, dict):
        return "not a JSON object"
    for key, kind in (("match_id", str), ("event_type", str), ("event_time", int), ("game_time_ms", int)):
        if not isinstance(event.get(key), kind):
            return f"no {key}"
    unknown = sorted(event.keys() - known)
    return f"unknown field {unknown[0]}" if unknown else event
