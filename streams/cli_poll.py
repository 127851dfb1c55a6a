"""``rift poll``: follow a live feed."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from typing import Annotated

import typer

from riftstream.console import JsonFlag, err
from riftstream.errors import SourceError
from streams.cli_target import event_target, summary_console


def register(app: typer.Typer) -> None:
    """Add ``rift poll``."""
    app.command(
        "poll",
        epilog="Example: rift poll live-client https://127.0.0.1:2999/liveclientdata/allgamedata "
        "--trust-loopback",
    )(poll_)


def poll_(
    feed_name: Annotated[str, typer.Argument(metavar="FEED", help="live-client or lolesports.")],
    url: Annotated[str, typer.Argument(help="Address to ask.")],
    every: Annotated[float, typer.Option(min=0.05, help="Seconds between two questions.")] = 1.0,
    match_id: Annotated[str | None, typer.Option("--match", help="Match id; else the feed's own.")] = None,
    league: Annotated[str | None, typer.Option(help="League of the match.")] = None,
    header: Annotated[
        list[str] | None, typer.Option(help="A header to send, NAME: VALUE. May be repeated.")
    ] = None,
    trust_loopback: Annotated[
        bool,
        typer.Option("--trust-loopback", help="Accept the game client's own certificate, on this machine."),
    ] = False,
    seconds: Annotated[float | None, typer.Option("--for", help="Stop after so many seconds.")] = None,
    patience: Annotated[
        float, typer.Option(help="Give up after so many seconds without a usable answer.")
    ] = 60.0,
    out_file: Annotated[
        str | None,
        typer.Option("--out", metavar="FILE", help="Append JSON lines to a file (- : standard output)."),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Follow a live feed until its match is over, and send what is new to live-matches.

    Each answer goes to feed-snapshots as it was told, and from there to raw.feed_snapshots.
    """
    from streams.client import Producer
    from streams.sources.poller import Polled, client, poll
    from streams.sources.recorded import feed
    from streams.sources.snapshots import Snapshots
    from streams.topics import FEED_SNAPSHOTS

    reader = feed(feed_name, match_id, league)
    stop = threading.Event()
    timer = threading.Timer(seconds, stop.set) if seconds is not None else None
    polled = Polled()
    with ExitStack() as stack:
        http = stack.enter_context(client(url, trust_loopback=trust_loopback, headers=_headers(header)))
        send = stack.enter_context(event_target(out_file, append=True))
        kept = None
        if out_file is None:
            producer = stack.enter_context(Producer(topic=FEED_SNAPSHOTS))
            kept = Snapshots(feed_name, url, producer.send)
        status = stack.enter_context(err.status(f"waiting for {feed_name}"))
        if timer is not None:
            timer.daemon = True
            timer.start()
            stack.callback(timer.cancel)
        try:
            poll(
                url,
                reader,
                send,
                http,
                every=every,
                stop=stop,
                patience=patience,
                polled=polled,
                snapshots=kept,
                on_poll=lambda p: status.update(
                    f"{feed_name}: {p.polls} polls, {p.events} events, {p.failures} failures"
                ),
            )
        except KeyboardInterrupt:
            err.print(f"stopped after {polled.polls} polls, {polled.events} events")
            raise
    summary = {
        "feed": feed_name,
        "polls": polled.polls,
        "quiet": polled.quiet,
        "failures": polled.failures,
        "reasons": polled.reasons,
        "finished": reader.finished,
        **reader.account.as_dict(),
    }
    console = summary_console(summary, as_json, out_file)
    if console is None:
        return
    kinds = ", ".join(f"{kind} {count:,}" for kind, count in sorted(reader.account.kinds.items()))
    state = "the match is over" if reader.finished else "stopped"
    console.print(
        f"{polled.polls} polls ({polled.failures} failed), {polled.events:,} events, {state}.",
        highlight=False,
    )
    if kinds:
        console.print(kinds, highlight=False)


def _headers(given: list[str] | None) -> dict[str, str]:
    headers = {}
    for text in given or []:
        name, colon, value = text.partition(":")
        if not colon or not name.strip():
            raise SourceError(f"--header {text} is not NAME: VALUE.")
        headers[name.strip()] = value.strip()
    return headers
