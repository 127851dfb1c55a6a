"""`rift dlq`: the dead letters at the command line."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from riftstream.console import JsonFlag, err, out, print_json
from riftstream.errors import RiftError, SchemaError
from riftstream.settings import get_settings

if TYPE_CHECKING:
    from streams.deadletters import Listing, Redrive

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}

ReasonOption = Annotated[str | None, typer.Option("--reason", help="Only letters with this reason.")]
StageOption = Annotated[
    str | None, typer.Option("--stage", help="Only letters from decode, validate, deduplicate or serving.")
]
SinceOption = Annotated[
    str | None, typer.Option("--since", help="Only letters since then: 30m, 2h, 7d, or an ISO time (UTC).")
]


def register(app: typer.Typer) -> None:
    """Add ``dlq list``, ``dlq show`` and ``dlq redrive`` to ``rift``."""
    group = typer.Typer(
        no_args_is_help=True, help="Records that were not accepted: list, look into, send again."
    )
    group.command("list")(_list)
    group.command("show")(_show)
    group.command("redrive")(_redrive)
    app.add_typer(group, name="dlq")


def since_ms(text: str | None, now: datetime | None = None) -> int | None:
    """The time that a person means by ``30m``, ``2h``, ``7d`` or an ISO time, in ms since the Unix epoch.

    Raises:
        RiftError: It is neither.
    """
    if text is None:
        return None
    try:
        if text[-1:] in _UNITS:
            ago = timedelta(**{_UNITS[text[-1]]: float(text[:-1])})
            return int(((now or datetime.now(UTC)) - ago).timestamp() * 1000)
        when = datetime.fromisoformat(text)
    except (ValueError, OverflowError) as cause:
        raise RiftError(f"{text} is not a time.", "Write 30m, 2h, 7d, or 2026-11-24T06:00.") from cause
    return int((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() * 1000)


def _list(
    reason: ReasonOption = None,
    stage: StageOption = None,
    since: SinceOption = None,
    limit: Annotated[int, typer.Option("--limit", min=0, help="Number of letters to show.")] = 20,
    as_json: JsonFlag = False,
) -> None:
    """Show the newest dead letters, and how many there are by reason.

    Example: rift dlq list --stage validate --since 2h
    """
    from streams.deadletters import Choice, DeadLetters

    choice = Choice(reason=reason, stage=stage, since_ms=since_ms(since))
    with err.status("reading dead letters"):
        listing = DeadLetters(get_settings()).listing(choice, limit)
    if as_json:
        print_json(
            {
                "total": listing.total,
                "reasons": listing.reasons,
                "unreadable": listing.unreadable,
                "letters": [_plain(letter) for letter in listing.letters],
            }
        )
        return
    _print_listing(listing)


def _show(
    dead_letter_id: Annotated[str, typer.Argument(help="Id of the letter: topic:partition:offset.")],
    as_json: JsonFlag = False,
) -> None:
    """Show one dead letter: why, where it came from, its bytes, and its fields where they can be read.

    Example: rift dlq show live-matches:0:42
    """
    from streams.deadletters import DeadLetters, Source, decoded

    settings = get_settings()
    with err.status("reading dead letters"):
        letter = DeadLetters(settings).letter(dead_letter_id)
        with Source(settings) as source:
            record = source.original(letter)
    fields, error = None, None
    if record.value is not None:
        try:
            fields = decoded(settings, letter, record.value)
        except SchemaError as cause:
            error = cause.message
    found = {
        **_plain(letter),
        "bytes_from": record.at,
        "value_hex": None if record.value is None else record.value.hex(),
        "headers": {name: value.decode(errors="backslashreplace") for name, value in record.headers},
        "decoded": fields and {name: value for name, value in fields.items() if value is not None},
        "decode_error": error,
    }
    if as_json:
        print_json(found)
    else:
        _print_letter(found)


def _redrive(
    ids: Annotated[list[str] | None, typer.Argument(help="Ids of the letters.")] = None,
    reason: ReasonOption = None,
    stage: StageOption = None,
    since: SinceOption = None,
    all_: Annotated[bool, typer.Option("--all", help="All letters but duplicates.")] = False,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="field=value: decode the record, change the field, encode it anew."),
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Also letters that were redriven before.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be sent, and send nothing.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Send what was chosen by a filter or --all.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Send the records behind dead letters to their source topic again; twice sends them once.

    Letters named by id are sent at once; those chosen by a filter or --all only with --yes.

    Example: rift dlq redrive live-matches:0:42 --set event_type=CHAMPION_KILL
    """
    from streams.deadletters import Choice, redrive

    filtered = bool(reason or stage or since or all_)
    if not ids and not filtered:
        raise RiftError("No dead letters are named.", "Give their ids, --reason, --stage, --since, or --all.")
    if ids and all_:
        raise RiftError("Ids and --all exclude each other.", "Give one of them.")
    fixes = dict(_assignment(text) for text in set_ or ())
    hold = not dry_run and not ids and not yes
    choice = Choice(frozenset(ids or ()), reason, stage, since_ms(since))
    with err.status("reading dead letters") as status:
        dealt = 0

        def progress(more: int) -> None:
            nonlocal dealt
            dealt += more
            status.update(f"{dealt} dead letters dealt with")

        report = redrive(
            get_settings(), choice, fixes=fixes, again=again, dry_run=dry_run or hold, progress=progress
        )
    if as_json:
        print_json(report)
    else:
        _print_redrive(report)
    if hold and report.sent:
        raise RiftError(f"{len(report.sent)} records would be sent; none was.", "Add --yes to send them.")
    if report.refused:
        raise RiftError(f"{_counted(len(report.refused))} could not be sent as asked.")


def _assignment(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise RiftError(f"{text} is not field=value.", "For example --set team=blue.")
    return name, value


def _plain(letter: dict[str, Any]) -> dict[str, Any]:
    """A letter for JSON: key as hex, value as its size, times readable."""
    value, key = letter["record_value"], letter["record_key"]
    return {
        **{name: found for name, found in letter.items() if name not in ("record_value", "record_key")},
        "source_time": _time(letter["source_time"]),
        "first_seen": _time(letter["first_seen"]),
        "record_key_hex": None if key is None else key.hex(),
        "record_bytes": None if value is None else len(value),
    }


def _time(ms: int | None) -> str | None:
    if ms is None:
        return None
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _print_listing(listing: Listing) -> None:
    for reason, count in listing.reasons.items():
        _line(f"{count:>8}  {reason}")
    rows = [
        (_time(letter["first_seen"]) or "", letter["dead_letter_id"], letter["stage"], letter["reason"])
        for letter in listing.letters
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row, letter in zip(rows, listing.letters, strict=True):
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        _line("  ".join((*cells, letter["detail"] or "")).rstrip())
    _line(f"{_counted(listing.total)}, {len(listing.letters)} shown.")
    if listing.unreadable:
        _line(f"{listing.unreadable} records of the topic are no dead letters.")


def _counted(count: int) -> str:
    return f"{count} dead letter{'' if count == 1 else 's'}"


def _line(text: str) -> None:
    """Print one line as it is: whole, so that ids can be copied and lines searched."""
    out.print(text, markup=False, highlight=False, soft_wrap=True)


def _print_letter(found: dict[str, Any]) -> None:
    rows = {name: value for name, value in found.items() if name not in ("decoded", "value_hex", "headers")}
    rows |= {f"header {name}": value for name, value in found["headers"].items()}
    rows |= {"value (hex)": found["value_hex"]} | (found["decoded"] or {})
    for name, value in rows.items():
        if value is not None:
            _line(f"{name:>17}  {value}")


def _print_redrive(report: Redrive) -> None:
    verb = "would be sent" if report.dry_run else "sent"
    counts = (
        (len(report.sent), verb),
        (len(report.already), "redriven before, skipped"),
        (len(report.duplicates), "duplicates, skipped"),
        (len(report.gone), "without bytes, skipped"),
        (len(report.refused), "refused"),
    )
    _line(
        f"{_counted(report.chosen)}: " + ", ".join(f"{n} {what}" for n, what in counts if n or what == verb)
    )
    for name, why in report.refused.items():
        err.print(f"{name}: {why}", markup=False, highlight=False)
