"""Schemathesis asks the running API what its own document allows, and what it does not."""

from __future__ import annotations

from typing import Any

import hypothesis
import pytest
import schemathesis

from models.store import committed
from riftstream.settings import Settings
from serving import openapi
from serving.players import PlayerKind

pytestmark = pytest.mark.stack

DOCUMENT = openapi.document(players=committed(PlayerKind.model) is not None)

# The feed of events has no end; its own tests are in test_api.
api = schemathesis.openapi.from_dict(DOCUMENT).exclude(path="/predict/live")


@api.parametrize()
@hypothesis.settings(max_examples=15, deadline=None, derandomize=True, database=None)
def test_the_api_keeps_to_its_document(case: Any, stack: Settings) -> None:
    # A cursor is what an answer gave: no schema tells a good one from a bad one.
    if "cursor" not in (case.query or {}):
        case.call_and_validate(base_url=f"{stack.api_url}/v1", timeout=30)
