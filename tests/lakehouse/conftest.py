"""The platform's settings, and tables in its real catalog that no other test uses."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import replace

import pytest

from lakehouse.catalog import connect
from lakehouse.tables import TABLES, TableSpec
from riftstream.settings import Settings, get_settings


@pytest.fixture
def settings(stack: object) -> Settings:
    return get_settings()


@pytest.fixture
def spec(settings: Settings) -> Iterator[TableSpec]:
    """A table of our kind under a name that no other test uses."""
    spec = replace(TABLES[0], name=f"raw.test_{uuid.uuid4().hex}")
    yield spec
    connect(settings).drop_table(spec.name)
