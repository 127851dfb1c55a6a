"""Plan says what differs, apply makes it so in order, and what is refused anywhere changes nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from riftstream.changes import Action, Change
from riftstream.cli import gather
from riftstream.cli.plan import Piece, apply, job_piece, plan
from riftstream.errors import SchemaError


class Room:
    """A room that has things to make, and keeps what it made."""

    def __init__(self, kind: str, *names: str, action: Action = "create") -> None:
        self.made: list[str] = []
        self._wanted = [Change(kind, name, action, "as the file says") for name in names]
        self.piece = Piece(f"{kind}s", self._plan, self._apply)

    def _plan(self) -> list[Change]:
        return [change for change in self._wanted if change.name not in self.made]

    def _apply(self, changes: list[Change]) -> None:
        self.made += [change.name for change in changes]


def test_applying_twice_changes_nothing() -> None:
    topics, tables = Room("topic", "a", "b"), Room("table", "c")
    parts = [topics.piece, tables.piece]
    assert [change.name for change in plan(parts)] == ["a", "b", "c"]
    assert [change.name for change in apply(parts)] == ["a", "b", "c"]
    assert apply(parts) == plan(parts) == []
    assert (topics.made, tables.made) == (["a", "b"], ["c"])


def test_rooms_are_applied_in_their_order_and_only_where_something_differs() -> None:
    said: list[str] = []
    apply([Room("topic", "a").piece, Room("schema").piece, Room("table", "c").piece], said.append)
    assert said == ["topics", "tables"]


def test_what_is_refused_in_one_room_changes_nothing_in_any() -> None:
    topics, schemas = Room("topic", "a"), Room("schema", "b-value", action="refuse")
    with pytest.raises(SchemaError, match="b-value: as the file says") as caught:
        apply([topics.piece, schemas.piece])
    assert "Nothing was applied" in caught.value.hint
    assert topics.made == []


def test_jobs_that_do_not_run_are_submitted_and_the_others_left_alone() -> None:
    running = {"match_pipeline": "RUNNING"}
    piece = job_piece(
        ["match_pipeline", "player_form"],
        lambda: running,
        lambda names: running.update(dict.fromkeys(names, "CREATED")),
    )
    assert [(change.kind, change.name) for change in plan([piece])] == [("job", "player_form")]
    apply([piece])
    assert running == {"match_pipeline": "RUNNING", "player_form": "CREATED"}
    assert plan([piece]) == []


def rift(*arguments: str) -> Any:
    return CliRunner().invoke(gather(), [*arguments])


@pytest.mark.stack
def test_a_platform_that_is_up_is_as_the_files_say(stack: object) -> None:
    found = rift("plan", "--check", "--json")
    assert (found.exit_code, json.loads(found.stdout)) == (0, {"changes": []})
    assert "as the files say" in rift("apply").stdout


@pytest.mark.stack
def test_what_somebody_deleted_is_planned_and_made_again(stack: Any) -> None:
    from confluent_kafka.admin import AdminClient

    admin = AdminClient({"bootstrap.servers": stack.kafka_bootstrap})
    admin.delete_topics(["feature-mismatches"])["feature-mismatches"].result(30)
    found = rift("plan", "--check", "--json")
    assert found.exit_code == 2
    assert [(c["kind"], c["name"], c["action"]) for c in json.loads(found.stdout)["changes"]] == [
        ("topic", "feature-mismatches", "create")
    ]
    made = json.loads(rift("apply", "--json").stdout)["changes"]
    assert [change["name"] for change in made] == ["feature-mismatches"]
    assert rift("plan", "--check").exit_code == 0
