"""``rift demo``: the main job, start to finish, on real matches, with an account of it at the end.

Each run plays copies of the matches under ids of its own (``TRLH1/1002220186#demo-1124-063341``): an event
that was seen before is dropped as a duplicate, so playing the same ids again would show nothing. The account
counts only the records of its own run, however many runs the stack has seen.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from riftstream.cli.live import MODEL
from riftstream.cli.report import SPLIT, Report, show
from riftstream.cli.run import Chosen, Run
from riftstream.cli.story import Story
from riftstream.console import JsonFlag, err, print_json
from riftstream.errors import RiftError, SourceError
from riftstream.settings import get_settings
from streams.avro import Record


class Source(StrEnum):
    """Where the matches come from."""

    SAMPLE = "sample"
    DATA = "data"
    KAGGLE = "kaggle"


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
        run = Run(chosen, suffix, None if fast else speed)
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


def _report(run: Run, chart: Path | None) -> Report:
    from models.artefact import load_card
    from riftstream.cli.chart import save

    card = load_card(MODEL)
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


def _look_next(story: Story | None, run: Run) -> dict[str, str]:
    settings = get_settings()
    match = story.match_id if story else next(iter(run.board.rows), "MATCH")
    return {
        "one prediction": f"./rift predict '{match}'",
        "all matches": "./rift watch --once",
        "topics": "./rift status",
        "tables": './rift sql "SELECT match_id, count(*) FROM raw.match_events GROUP BY 1"',
        "Flink": settings.flink_url,
        "logs": str(settings.home / "logs"),
        "stop": "./rift down",
    }
