"""Topics are made as they shall be, brought back when they differ, and left alone otherwise."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator

import pytest
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from riftstream.errors import StackError
from riftstream.settings import Settings, get_settings
from streams import topics
from streams.schemas import all_schemas
from streams.topics import TopicSpec


def test_every_record_has_its_topic_with_broker_times_and_seven_days() -> None:
    specs = topics.specs(Settings(retention_hours=168, partitions=4))
    assert {spec.name for spec in specs} == set(all_schemas())
    for spec in specs:
        # What model-updates adds up to is which model answers: none of it may be lost.
        kept = "-1" if spec.name == "model-updates" else "604800000"
        assert spec.config["retention.ms"] == kept, spec.name
        assert spec.config["message.timestamp.type"] == "LogAppendTime"
        assert spec.config["cleanup.policy"] == "delete"


def test_a_dead_letter_has_room_for_the_largest_record() -> None:
    specs = {spec.name: spec for spec in topics.specs(Settings())}
    assert int(specs["dead-letters"].config["max.message.bytes"]) > 1024 * 1024
    assert "max.message.bytes" not in specs["live-matches"].config


def test_a_broker_that_is_away_is_said_so() -> None:
    with pytest.raises(StackError, match="does not answer"):
        topics.plan(Settings(kafka_bootstrap="127.0.0.1:9"))


@pytest.fixture
def settings(stack: object) -> Settings:
    return get_settings()


@pytest.fixture
def spec(settings: Settings) -> Iterator[TopicSpec]:
    """A topic of our kind under a name that no other test uses."""
    spec = TopicSpec(f"topics-test-{uuid.uuid4().hex}", 3, topics.specs(settings)[0].config)
    yield spec
    admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap})
    for deleted in admin.delete_topics([spec.name]).values():
        deleted.exception(30)


def alter(settings: Settings, topic: str, name: str, value: str) -> None:
    entry = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap})
    for done in admin.incremental_alter_configs([resource]).values():
        done.result(30)
    # A broker in KRaft mode answers from its copy of the metadata, which follows a moment later.
    deadline = time.monotonic() + 30
    while value_of(admin, topic, name) != value:
        assert time.monotonic() < deadline, f"{name} of {topic} is not {value}"
        time.sleep(0.05)


def value_of(admin: AdminClient, topic: str, name: str) -> str | None:
    (answer,) = admin.describe_configs([ConfigResource(ResourceType.TOPIC, topic)]).values()
    value: str | None = answer.result(30)[name].value
    return value


@pytest.mark.stack
def test_a_topic_is_made_once_and_a_second_apply_changes_nothing(settings: Settings, spec: TopicSpec) -> None:
    changes = topics.plan(settings, [spec])
    assert [(change.name, change.action) for change in changes] == [(spec.name, "create")]
    topics.apply(settings, changes, [spec])
    assert topics.plan(settings, [spec]) == []
    topics.apply(settings, changes, [spec])
    assert topics.plan(settings, [spec]) == []
    made = (
        AdminClient({"bootstrap.servers": settings.kafka_bootstrap}).list_topics(timeout=10).topics[spec.name]
    )
    assert len(made.partitions) == 3


@pytest.mark.stack
def test_a_setting_that_somebody_changed_is_named_and_brought_back(
    settings: Settings, spec: TopicSpec
) -> None:
    topics.apply(settings, topics.plan(settings, [spec]), [spec])
    alter(settings, spec.name, "retention.ms", "60000")
    changes = topics.plan(settings, [spec])
    assert [change.detail for change in changes] == [
        f"retention.ms 60000 becomes {spec.config['retention.ms']}"
    ]
    topics.apply(settings, changes, [spec])
    assert topics.plan(settings, [spec]) == []


@pytest.mark.stack
def test_settings_that_are_not_ours_are_kept(settings: Settings, spec: TopicSpec) -> None:
    topics.apply(settings, topics.plan(settings, [spec]), [spec])
    alter(settings, spec.name, "segment.bytes", "1048576")
    alter(settings, spec.name, "retention.ms", "60000")
    topics.apply(settings, topics.plan(settings, [spec]), [spec])
    admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap})
    answers = admin.describe_configs([ConfigResource(ResourceType.TOPIC, spec.name)])
    for answer in answers.values():
        assert answer.result(30)["segment.bytes"].value == "1048576"


@pytest.mark.stack
def test_more_partitions_in_the_settings_leave_a_topic_alone(settings: Settings, spec: TopicSpec) -> None:
    topics.apply(settings, topics.plan(settings, [spec]), [spec])
    assert topics.plan(settings, [TopicSpec(spec.name, 12, spec.config)]) == []
