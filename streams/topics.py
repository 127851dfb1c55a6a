"""The Kafka topics: one a record schema, made and kept as DESIGN's table says.

Partitions are given only when a topic is made: the events of a match stay in one partition for good, so the
number is never changed afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from riftstream.changes import Change
from riftstream.errors import StackError
from riftstream.settings import Settings
from streams.schemas import all_schemas

KIND = "topic"
DEAD_LETTERS = "dead-letters"
FEED_SNAPSHOTS = "feed-snapshots"
MODEL_UPDATES = "model-updates"
PREDICTION_REQUESTS = "prediction-requests"

_TIMEOUT = 10.0
_HOUR_MS = 3_600_000
# A dead letter carries a whole record (up to Kafka's 1 MiB) and what is said about it; a snapshot an answer.
_LARGE_BYTES = 2 * 1024 * 1024

_T = TypeVar("_T")


@dataclass(frozen=True)
class TopicSpec:
    """A topic as it shall be.

    Attributes:
        name: Topic.
        partitions: Number of partitions when it is made.
        config: Broker-side settings of the topic.
    """

    name: str
    partitions: int
    config: dict[str, str]


def specs(settings: Settings, topics: Iterable[str] | None = None) -> list[TopicSpec]:
    """How our topics shall be: those of all record schemas, or the ones that are named.

    Broker time stamps (LogAppendTime) keep replayed history from being older than the retention and thus
    deleted at once; when something happened stands in the record.
    """
    common = {
        "cleanup.policy": "delete",
        "retention.ms": str(settings.retention_hours * _HOUR_MS),
        "message.timestamp.type": "LogAppendTime",
    }
    own = {
        DEAD_LETTERS: {"max.message.bytes": str(_LARGE_BYTES)},
        FEED_SNAPSHOTS: {"max.message.bytes": str(_LARGE_BYTES)},
        # The only memory of which model version answers.
        MODEL_UPDATES: {"retention.ms": "-1"},
        # The broker packs anew what came otherwise: Faust's consumer reads gzip wherever it runs.
        PREDICTION_REQUESTS: {"compression.type": "gzip"},
    }
    names = all_schemas() if topics is None else topics
    return [TopicSpec(topic, settings.partitions, common | own.get(topic, {})) for topic in names]


def plan(settings: Settings, topics: Iterable[TopicSpec] | None = None) -> list[Change]:
    """What has to be done so that the broker has these topics (all of ours by default).

    Raises:
        StackError: Kafka does not answer.
    """
    wanted = specs(settings) if topics is None else list(topics)
    admin = _admin(settings)
    existing = _existing(admin, settings)
    current = _configs(admin, [spec.name for spec in wanted if spec.name in existing], settings)
    changes = []
    for spec in wanted:
        if spec.name not in existing:
            changes.append(
                Change(KIND, spec.name, "create", f"{spec.partitions} partitions, {_said(spec.config)}")
            )
        elif different := _different(spec, current[spec.name]):
            was = ", ".join(
                f"{name} {current[spec.name].get(name)} becomes {different[name]}" for name in different
            )
            changes.append(Change(KIND, spec.name, "update", was))
    return changes


def apply(settings: Settings, changes: list[Change], topics: Iterable[TopicSpec] | None = None) -> None:
    """Make and alter the topics that ``changes`` (from ``plan``) name.

    Raises:
        StackError: Kafka does not answer, or refuses.
    """
    wanted = {spec.name: spec for spec in (specs(settings) if topics is None else topics)}
    admin = _admin(settings)
    mine = [change for change in changes if change.kind == KIND]
    create = [wanted[change.name] for change in mine if change.action == "create"]
    update = [wanted[change.name] for change in mine if change.action == "update"]
    if create:
        news = [
            NewTopic(s.name, num_partitions=s.partitions, replication_factor=-1, config=s.config)
            for s in create
        ]
        for name, made in admin.create_topics(news, operation_timeout=_TIMEOUT).items():
            try:
                _result(made, settings)
            except KafkaException as cause:
                if cause.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise _refused(f"make the topic {name}", cause) from cause
    if update:
        for resource, done in admin.incremental_alter_configs([_alteration(spec) for spec in update]).items():
            try:
                _result(done, settings)
            except KafkaException as cause:
                raise _refused(f"change the topic {resource.name}", cause) from cause


def _admin(settings: Settings) -> AdminClient:
    return AdminClient({"bootstrap.servers": settings.kafka_bootstrap, "log_level": 0})


def _existing(admin: AdminClient, settings: Settings) -> set[str]:
    try:
        return set(admin.list_topics(timeout=_TIMEOUT).topics)
    except KafkaException as cause:
        raise _away(settings, cause) from cause


def _configs(admin: AdminClient, names: list[str], settings: Settings) -> dict[str, dict[str, str]]:
    if not names:
        return {}
    answers = admin.describe_configs([ConfigResource(ResourceType.TOPIC, name) for name in names])
    found = {}
    for resource, answer in answers.items():
        try:
            entries = _result(answer, settings)
        except KafkaException as cause:
            raise _refused(f"describe the topic {resource.name}", cause) from cause
        found[resource.name] = {name: entry.value for name, entry in entries.items()}
    return found


def _different(spec: TopicSpec, current: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in spec.config.items() if current.get(name) != value}


def _alteration(spec: TopicSpec) -> ConfigResource:
    entries = [
        ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
        for name, value in spec.config.items()
    ]
    return ConfigResource(ResourceType.TOPIC, spec.name, incremental_configs=entries)


def _said(config: dict[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in config.items())


def _result(future: Future[_T], settings: Settings) -> Any:
    try:
        return future.result(timeout=2 * _TIMEOUT)
    except TimeoutError as cause:
        raise _away(settings, cause) from cause


def _away(settings: Settings, cause: Exception) -> StackError:
    why = cause.args[0].str() if isinstance(cause, KafkaException) else "no answer in time"
    return StackError(
        f"Kafka at {settings.kafka_bootstrap} does not answer: {why}.",
        "Start it with `rift up`, or set RIFT_KAFKA_BOOTSTRAP.",
    )


def _refused(what: str, cause: KafkaException) -> StackError:
    return StackError(f"Kafka refuses to {what}: {cause.args[0].str()}.")
