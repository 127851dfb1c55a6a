"""The reference pages are what the code says now."""

from __future__ import annotations

import pytest

from riftstream import cli
from riftstream.cli import reference

PAGES = reference.pages(cli.gather())


@pytest.mark.parametrize("name", sorted(PAGES))
def test_page_is_up_to_date(name: str) -> None:
    assert (reference.FOLDER / name).read_text() == PAGES[name], "run 'rift reference' and commit"


def test_every_command_has_an_example() -> None:
    sections = PAGES["commands.md"].split("\n## ")[1:]
    without = [name for name, _, body in (s.partition("\n") for s in sections) if name not in body]
    assert not without
