"""Where commands send events one by one: to live-matches, or as JSON lines to a file or standard output."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

from rich.console import Console

from riftstream.console import err, out, print_json
from riftstream.errors import SourceError

Event = dict[str, Any]


@contextmanager
def event_target(out_file: str | None, *, append: bool = False) -> Iterator[Callable[[Event], None]]:
    """A function that takes each event, as long as the context lasts.

    Args:
        out_file: File for JSON lines, ``-`` for standard output, None for Kafka. Each line is written when
            its event comes.
        append: Add to the file instead of writing it anew.

    Raises:
        SourceError: The file cannot be opened.
        DeliveryError: At the end, where Kafka did not take all events.
    """
    if out_file is None:
        from streams.client import Producer

        with Producer() as producer:
            yield producer.send
        return
    if out_file == "-":
        yield _writer(sys.stdout.buffer)
        return
    try:
        file = Path(out_file).expanduser().open("ab" if append else "wb")
    except OSError as cause:
        raise SourceError(f"{out_file} cannot be written: {cause.strerror or cause}.") from cause
    with file:
        yield _writer(cast(IO[bytes], file))


def summary_console(summary: Mapping[str, Any], as_json: bool, out_file: str | None) -> Console | None:
    """Print a summary for programs, or tell where it goes for people.

    Events on standard output (``-``) push it to standard error.

    Args:
        summary: The summary, printed where ``as_json`` is set.
        as_json: Whether ``--json`` was given.
        out_file: Where the events went, see ``event_target``.

    Returns:
        Where to print it for people; None where it was printed as JSON.
    """
    to_stderr = out_file == "-"
    if not as_json:
        return err if to_stderr else out
    if to_stderr:
        err.print_json(data=summary)
    else:
        print_json(summary)
    return None


def _writer(file: IO[bytes]) -> Callable[[Event], None]:
    from streams.sources.json_lines import encode

    def write(event: Event) -> None:
        file.write(encode(event))
        file.flush()

    return write
