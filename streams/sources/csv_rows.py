"""Rows of a CSV file, plain or gzipped, that may be dirty: a bad row is told, a bad file is an error."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, cast

from riftstream.errors import SourceError

_GZIP_MAGIC = b"\x1f\x8b"
_SURROGATES = str.maketrans("", "", "".join(map(chr, range(0xDC80, 0xDD00))))


class BadRow(str):
    """In place of a row: why it cannot be read."""


def find(folder: Path, name: str) -> Path | None:
    """The file ``name``, plain or with ``.gz``, in a folder; None where there is neither."""
    for candidate in (folder / name, folder / f"{name}.gz"):
        if candidate.is_file():
            return candidate
    return None


def _open(path: Path) -> io.TextIOWrapper:
    plain = path.open("rb")
    is_gzip = plain.peek(2)[:2] == _GZIP_MAGIC
    data = cast(BinaryIO, gzip.GzipFile(fileobj=plain)) if is_gzip else plain
    return io.TextIOWrapper(data, encoding="utf-8-sig", errors="surrogateescape", newline="")


def header(path: Path) -> list[str]:
    """The column names of a CSV file.

    Raises:
        SourceError: The file is empty or cannot be read.
    """
    return next(_records(path))


def _records(path: Path) -> Iterator[list[str]]:
    """The header and the rows as they are; a row that the CSV reader cannot read is an empty list."""
    number = 0
    try:
        with _open(path) as text:
            reader = csv.reader(text)
            while True:
                try:
                    record = next(reader)
                except csv.Error:
                    record = []
                except StopIteration:
                    break
                else:
                    if not record:
                        continue
                number += 1
                yield record
    except (OSError, EOFError, zlib.error) as cause:
        raise SourceError(
            f"{path.name} cannot be read beyond row {number}: {cause}.",
            "Is the file whole? Get it anew; nothing of it was imported.",
        ) from cause
    if number == 0:
        raise SourceError(f"{path.name} is empty.", "It needs a header and rows.")


def rows(path: Path, columns: Sequence[str]) -> Iterator[list[str] | BadRow]:
    """The values of ``columns`` for each row, in file order, or why the row cannot be read.

    Args:
        path: CSV file, plain or gzipped (told by its first bytes), in UTF-8.
        columns: Names of the columns wanted.

    Raises:
        SourceError: The file cannot be read to its end, is empty, or lacks a column.
    """
    records = _records(path)
    names = [name.strip() for name in next(records)]
    for column in columns:
        if column not in names:
            raise SourceError(
                f"{path.name} has no column {column}.",
                f"It has: {', '.join(names)[:200].encode(errors='replace').decode()}.",
            )
    wanted = [names.index(column) for column in columns]
    width = len(names)
    for record in records:
        if not record:
            yield BadRow("not readable as CSV")
        elif len(record) != width:
            yield BadRow("wrong number of columns")
        else:
            values = [record[index] for index in wanted]
            joined = "".join(values)
            if not joined.isascii() and joined.translate(_SURROGATES) != joined:
                yield BadRow("not in UTF-8")
            else:
                yield values
