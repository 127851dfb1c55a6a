"""``rift demo``: the main job, start to finish, on real matches, with an account of it at the end.

Each run plays copies of the matches under ids of its own (``TRLH1/1002220186#demo-1124-063341``): an event
that was seen before is dropped as a duplicate, so playing the same ids again would show nothing. The account
counts only the records of its own run, however many runs the stack has seen.
"""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from riftstream.cli import ledger, live
from riftstream.cli.ledger import Ledger
from riftstream.cli.live import Board
from riftstream.cli.report import SPLIT, Lake, Report, show
from riftstream.cli.story import Story, tell
from riftstream.console import JsonFlag, err, print_json
from riftstream.errors import RiftError, SourceError
from riftstream.settings import get_settings
from streams.avro import Record

_PATIENCE_SECONDS = 60.0
_LAKE_PATIENCE_SECONDS = 60.0


class Source(StrEnum):
    """Where the matches come from."""

    SAMPLE = "sample"
    DATA = "data"
    KAGGLE = "kaggle"


@dataclass(frozen=True)
class Chosen:
    """The matches of a run.

    Attributes:
        origin: Where they came from, in words.
        matches: Events of each match, in log order.
        rows: The account of the rows that were read; empty for the sample, which holds events already.
    """

    origin: str
    matches: list[list[Record]]
    rows: dict[str, Any]


def choose(source: Source | None, count: int) -> Chosen:
    """Choose the matches to play, by a rule that looks at no prediction.

    All are of the split that the model was tested on and never trained on.

    Args:
        source: Where from; None for ``RIFT_DATA`` where it is set, else the sample.
        count: How many.

    Raises:
        SourceError: There are not so many, or the source cannot be read.
    """
    if source is None:
        source = Source.DATA if get_settings().data else Source.SAMPLE
    if source is Source.SAMPLE:
        return _from_sample(count)
    if source is Source.DATA:
        return _from_files("lol-pro", count, "RIFT_DATA")
    return _from_files("kaggle:", count, "the Kaggle set chuckephron/leagueoflegends")


def _from_sample(count: int) -> Chosen:
    """The greatest comeback of the split, and others evenly spread over the leagues."""
    from streams.sources import sample

    matches = sample.matches()
    if count > len(matches):
        raise SourceError(
            f"The sample has {len(matches)} matches, not {count}.", "Set RIFT_DATA, or use --source kaggle."
        )
    comeback = next(match for match in matches if match[0]["match_id"] == sample.COMEBACK)
    others = spread([match for match in matches if match is not comeback], count - 1)
    chosen = [match for match in matches if match is comeback or match in others]
    return Chosen("the sample that comes with the project", chosen, {})


def _from_files(what: str, count: int, origin: str) -> Chosen:
    from streams.sources import open_input

    with err.status(f"reading {origin}"):
        source = open_input(what)
        matches = [match for match in source.matches() if match[0].get("season") == SPLIT]
    if count > len(matches):
        raise SourceError(f"There are {len(matches)} matches of {SPLIT} in {origin}, not {count}.")
    return Chosen(origin, spread(matches, count), source.account.as_dict())


def spread(matches: Sequence[list[Record]], count: int) -> list[list[Record]]:
    """``count`` of the matches, evenly spread over them."""
    return [matches[place * len(matches) // count] for place in range(count)]


def turnaround(story: Story) -> float:
    """How low the winner's probability ever was; 1 for a match without a winner or predictions."""
    if story.winner is None:
        return 1.0
    return min(
        (p.probability if story.winner == "blue" else 1 - p.probability for p in story.points), default=1.0
    )


class _Stopped(Exception):
    """The playing was called off."""


class _Player:
    """Plays matches in a thread of its own while the block runs.

    Args:
        matches: Events of each match, in log order.
        label: What is put after ``#`` to their ids.
        speed: Seconds of match clock a second; None for as fast as it goes.
    """

    def __init__(self, matches: list[list[Record]], label: str, speed: float | None) -> None:
        from streams.replay import Replayed

        self._matches = matches
        self._label = label
        self._speed = math.inf if speed is None else speed
        self._progress = Replayed()
        self._off = threading.Event()
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._play, name="player", daemon=True)

    @property
    def running(self) -> bool:
        """Whether there are events to come."""
        return self._thread.is_alive()

    @property
    def sent(self) -> int:
        """Events handed to Kafka so far."""
        return self._progress.events

    def check(self) -> None:
        """Raise what made the playing fail, if anything did."""
        if self._failure is not None:
            raise self._failure

    def _play(self) -> None:
        from streams.client import Producer
        from streams.replay import replay

        try:
            with Producer() as producer:
                replay(
                    self._matches,
                    producer.send,
                    speed=self._speed,
                    concurrent=len(self._matches),
                    label=self._label,
                    clock=_clock(self._off),
                    progress=self._progress,
                )
        except _Stopped:
            return
        except Exception as failure:  # the main thread raises it
            self._failure = failure

    def __enter__(self) -> _Player:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._off.set()
        self._thread.join()


def _clock(off: threading.Event) -> Any:
    """The system's clock, but it stops the playing once ``off`` is set."""
    from streams.replay import SystemClock

    class Clock(SystemClock):
        def now_ms(self) -> float:
            if off.is_set():
                raise _Stopped
            return super().now_ms()

        def sleep(self, seconds: float) -> None:
            off.wait(seconds)

    return Clock()


class _Run:
    """One run: its matches are played, and what comes of them is watched and kept account of."""

    def __init__(self, chosen: Chosen, suffix: str, speed: float | None) -> None:
        self.chosen = chosen
        self.speed = speed
        self.suffix = suffix
        self.ledger = Ledger(suffix, len(chosen.matches))
        self.board = Board(suffix=suffix)
        self.records: list[tuple[str, Record]] = []
        self.seconds = 0.0

    def play(self) -> None:
        """Play the matches until every event has its prediction, or nothing more comes.

        Raises:
            DeliveryError: The events could not be sent.
        """
        from riftstream.cli.reading import Feed
        from riftstream.cli.watch import Picture

        begun = time.monotonic()
        title = f"{len(self.chosen.matches)} matches from {self.chosen.origin}, at {self._pace()}"
        with Feed(ledger.TOPICS) as feed, self._player() as player, Picture(err, title) as picture:
            heard = time.monotonic()
            while player.running or self.ledger.missing():
                player.check()
                self.ledger.sent = player.sent
                for arrival in feed.poll():
                    if self._take(arrival.topic, arrival.received):
                        heard = time.monotonic()
                picture.show(self.board)
                if not player.running and time.monotonic() - heard > _PATIENCE_SECONDS:
                    break
            self.ledger.sent = player.sent
            picture.show(self.board, last=True)
        self.seconds = time.monotonic() - begun

    def _player(self) -> _Player:
        return _Player(self.chosen.matches, self.suffix.lstrip("#"), self.speed)

    def _take(self, topic: str, received: Any) -> bool:
        if not self.ledger.take(topic, received):
            return False
        if topic in live.TOPICS:
            self.board.update(topic, received.record)
            self.records.append((topic, received.record))
        return True

    def _pace(self) -> str:
        return "full speed" if self.speed is None else f"{self.speed:g} times the match clock"

    def stories(self) -> list[Story]:
        """The story of each match."""
        return [tell(match, self.records) for match in self.board.rows]

    def lake(self) -> Lake:
        """Wait until the lakehouse holds every accepted event, or nothing more comes, and count."""
        from lakehouse.tables import MATCH_EVENTS, event_ids

        accepted = self.ledger.summary().accepted
        # Where events are missing already, the pipeline is ill: no use in waiting for its next commit.
        patience = 0.0 if self.ledger.missing() else _LAKE_PATIENCE_SECONDS
        deadline = time.monotonic() + patience
        with err.status(f"waiting for {accepted} rows in {MATCH_EVENTS}"):
            while len(found := event_ids(self.board.rows)) < accepted and time.monotonic() < deadline:
                time.sleep(1.0)
        return Lake(MATCH_EVENTS, len(found), len(set(found)))


def register(app: typer.Typer) -> None:
    """Add ``rift demo``."""
    app.command("demo")(_demo)


def _demo(
    matches: Annotated[int, typer.Option(min=1, help="How many matches to play, all at once.")] = 12,
    speed: Annotated[float, typer.Option(min=0.1, help="Seconds of match clock a second.")] = 60.0,
    fast: Annotated[bool, typer.Option("--max", help="As fast as it goes, whatever --speed says.")] = False,
    source: Annotated[
        Source | None, typer.Option(help="Where from; RIFT_DATA where it is set, else the sample.")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep/--down", help="Leave the platform up at the end.")] = True,
    chart: Annotated[
        Path | None, typer.Option("--chart", help="PNG file for one match; in RIFT_HOME by default.")
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Play real matches through the whole platform, watch the predictions come, and add up.

    Starts what does not run. Ctrl-C leaves the platform either up or down and says which.

    Example: rift demo --matches 20 --speed 120
    """
    chosen = choose(source, matches)
    suffix = f"#demo-{datetime.now(UTC):%m%d-%H%M%S}"
    with _left_clean(keep) as stack_is_up:
        _set_up()
        stack_is_up()
        run = _Run(chosen, suffix, None if fast else speed)
        run.play()
        report = _report(run, chart)
    if json:
        print_json(report)
    else:
        show(report)
    if report.faults:
        raise RiftError(f"The run does not add up: {'; '.join(report.faults)}.", _why())


def _why() -> str:
    """What of the platform is not as it should be, and where to read on."""
    from riftstream.cli import platform

    status = platform.status()
    ill = [f"{part.name} is {part.state}" for part in status.parts if part.state != "ready"]
    ill += [f"the job {name} is {state}" for name, state in status.jobs.items() if state != "RUNNING"]
    return "; ".join([*ill, *status.problems, f"logs are in {get_settings().home / 'logs'}"]) + "."


def _set_up() -> None:
    from infra.progress import live_progress
    from riftstream.cli import platform

    with live_progress() as progress:
        platform.start(progress)


def _is_up() -> bool:
    """Whether the servers and the applications all run already."""
    from infra import stack

    states = {part.name: part.state for part in stack.health()}
    return states.get("predictor") == "ready" and all(state == "ready" for state in states.values())


@contextmanager
def _left_clean(keep: bool) -> Iterator[Any]:
    """Whatever happens in the block, the platform is up or down at its end, as a whole.

    Gives a function to call once the platform is up. Ctrl-C (or SIGTERM) before that takes it down again,
    unless it was up before; later it stays up, unless it is not to be kept. What goes wrong leaves it as it
    is, for the logs to be read and the command to be tried again.
    """
    up = [_is_up()]
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield lambda: up.__setitem__(0, True)
        if not keep:
            _take_down()
    except KeyboardInterrupt:
        if up[0] and keep:
            err.print("Interrupted. The platform is up and stays so; 'rift down' stops it.")
        else:
            _take_down()
            err.print("Interrupted. The platform is down.")
        raise typer.Exit(130) from None
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


def _take_down() -> None:
    from infra import stack
    from infra.progress import live_progress

    with live_progress() as progress:
        stack.down(progress=progress)


def _report(run: _Run, chart: Path | None) -> Report:
    from models.artefact import load_card
    from riftstream.cli.chart import save

    card = load_card(live.MODEL)
    summary = run.ledger.summary(card.base_rate)
    lake = run.lake()
    stories = sorted(run.stories(), key=turnaround)
    story = stories[0] if stories and stories[0].points else None
    if story is not None:
        chart = save(story, chart or get_settings().home / "demo" / f"{run.suffix.lstrip('#')}.png")
    faults = list(summary.faults)
    if lake.rows != summary.accepted or lake.events != summary.accepted:
        there = f"{lake.rows} rows of {lake.events} events in {lake.table}"
        faults.append(f"{there}, {summary.accepted} were accepted")
    return Report(
        run=run.suffix,
        origin=run.chosen.origin,
        matches=len(run.chosen.matches),
        speed=run.speed,
        seconds=round(run.seconds, 1),
        rows=run.chosen.rows,
        summary=summary,
        lake=lake,
        faults=faults,
        model=story.model if story else "",
        chart=chart if story else None,
        chart_match=story.match_id if story else None,
        look_next=_look_next(story, run),
    )


def _look_next(story: Story | None, run: _Run) -> dict[str, str]:
    settings = get_settings()
    match = story.match_id if story else next(iter(run.board.rows), "MATCH")
    return {
        "one prediction": f"rift predict '{match}'",
        "all matches": "rift watch --once",
        "topics": "rift status",
        "tables": f"raw.match_events in the Iceberg catalog at {settings.catalog_uri}",
        "Flink": settings.flink_url,
        "logs": str(settings.home / "logs"),
        "stop": "rift down",
    }
