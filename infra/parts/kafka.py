"""Apache Kafka, one KRaft node."""

from __future__ import annotations

import socket
import subprocess
import uuid
from base64 import urlsafe_b64encode
from pathlib import Path

from infra import jars
from infra.flink_home import java_home
from infra.parts.base import HOST, Context, Launch, Part
from riftstream.errors import StackError

_HEAP = "-Xmx512m"

_LOG4J = """\
status = warn
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{ISO8601} %-5p %c{1} %m%n
rootLogger.level = info
rootLogger.appenderRef.console.ref = console
logger.quiet.name = org.apache.kafka.common.config.AbstractConfig
logger.quiet.level = warn
logger.coordinator.name = org.apache.kafka.coordinator.group
logger.coordinator.level = warn
"""


def version() -> str:
    """Version of the broker."""
    return jars.version("kafka", "kafka_2.13")


def server_properties(context: Context) -> str:
    """The broker's configuration."""
    ports = context.ports["kafka"]
    values = {
        "process.roles": "broker,controller",
        "node.id": 1,
        "controller.quorum.voters": f"1@{HOST}:{ports['controller']}",
        "listeners": f"PLAINTEXT://{HOST}:{ports['kafka']},CONTROLLER://{HOST}:{ports['controller']}",
        "advertised.listeners": f"PLAINTEXT://{HOST}:{ports['kafka']}",
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "PLAINTEXT",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": context.folder("kafka") / "data",
        "auto.create.topics.enable": "false",
        "message.max.bytes": 1 << 20,
        "offsets.topic.replication.factor": 1,
        "offsets.topic.num.partitions": 8,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "transaction.state.log.num.partitions": 8,
        "share.coordinator.state.topic.replication.factor": 1,
        "share.coordinator.state.topic.min.isr": 1,
        # Consumers of a fresh stack should not wait three seconds for company.
        "group.initial.rebalance.delay.ms": 0,
        # Flink's exactly-once sinks may keep a transaction open as long as a restart takes.
        "transaction.max.timeout.ms": 900_000,
        "log.segment.bytes": 256 << 20,
        "log.retention.check.interval.ms": 60_000,
        "num.network.threads": 3,
        "num.io.threads": 4,
    }
    return "".join(f"{name}={value}\n" for name, value in values.items())


def _environment(context: Context) -> dict[str, str]:
    return {"CLASSPATH": ":".join(str(jar) for jar in jars.fetch("kafka", context.progress, "kafka"))}


def _java(context: Context, *options: str) -> list[str]:
    return [
        str(java_home() / "bin" / "java"),
        *options,
        f"-Dlog4j2.configurationFile={context.folder('kafka') / 'log4j2.properties'}",
    ]


def _cluster_id() -> str:
    """A random id in Kafka's notation; one that begins with a dash would look like an option."""
    text = "-"
    while text.startswith("-"):
        text = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    return text


def _format(context: Context, properties: Path) -> None:
    """Give the data folder a cluster id; without one the broker does not start."""
    if (context.folder("kafka") / "data" / "meta.properties").is_file():
        return
    command = _java(context, "-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
    command += [
        "kafka.tools.StorageTool",
        "format",
        "--config",
        str(properties),
        "--cluster-id",
        _cluster_id(),
    ]
    command += ["--ignore-formatted"]
    env = _environment(context)
    result = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if result.returncode:
        raise StackError(
            "Kafka's data folder could not be formatted.", (result.stderr or result.stdout).strip()
        )


def _prepare(context: Context) -> None:
    jars.fetch("kafka", context.progress, "kafka", context.cancel)


def _launch(context: Context) -> Launch:
    folder = context.folder("kafka")
    properties = folder / "server.properties"
    properties.write_text(server_properties(context))
    (folder / "log4j2.properties").write_text(_LOG4J)
    _format(context, properties)
    options = (_HEAP, "-Xms128m", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20", "-XX:+ExitOnOutOfMemoryError")
    return Launch([*_java(context, *options), "kafka.Kafka", str(properties)], _environment(context))


def _ready(context: Context) -> bool:
    """True once the broker answers a metadata request with itself as a broker."""
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    # Without a listener the client library would write its complaints to standard error.
    socket.create_connection((HOST, context.ports["kafka"]["kafka"]), timeout=1).close()
    try:
        admin = AdminClient({"bootstrap.servers": _bootstrap(context), "log_level": 0})
        return bool(admin.list_topics(timeout=5).brokers)
    except KafkaException:
        return False


def _bootstrap(context: Context) -> str:
    return f"{HOST}:{context.ports['kafka']['kafka']}"


def _settings(context: Context) -> dict[str, str]:
    return {"kafka_bootstrap": _bootstrap(context)}


PART = Part(
    name="kafka",
    ports={"kafka": 9092, "controller": 9093},
    version=version,
    prepare=_prepare,
    launch=_launch,
    store=True,
    ready=_ready,
    settings=_settings,
)
