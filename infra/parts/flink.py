"""A Flink session cluster: JobManager and TaskManager, a process each."""

from __future__ import annotations

import json
import sys
import uuid
from pathlib import Path

import httpx

from infra import jars
from infra.flink_home import flink_home, flink_version, java_home, stamp
from infra.parts.base import HOST, Context, Launch, Part, http

SLOTS = 4
"""Slots of the one TaskManager: how many parallel tasks the local stack can run."""

_LOG4J = """\
status = warn
monitorInterval = 30
rootLogger.level = INFO
rootLogger.appenderRef.console.ref = ConsoleAppender
appender.console.name = ConsoleAppender
appender.console.type = CONSOLE
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{yyyy-MM-dd HH:mm:ss,SSS} %-5p %-40c{1} [] - %m%n
logger.kafka.name = org.apache.kafka
logger.kafka.level = WARN
logger.checkpoints.name = org.apache.flink.runtime.checkpoint.CheckpointCoordinator
logger.checkpoints.level = WARN
logger.iceberg.name = org.apache.iceberg
logger.iceberg.level = WARN
logger.hadoop.name = org.apache.hadoop
logger.hadoop.level = ERROR
"""

_OPENS = (
    "--add-opens=java.base/java.lang=ALL-UNNAMED --add-opens=java.base/java.net=ALL-UNNAMED "
    "--add-opens=java.base/java.io=ALL-UNNAMED --add-opens=java.base/java.nio=ALL-UNNAMED "
    "--add-opens=java.base/sun.nio.ch=ALL-UNNAMED --add-opens=java.base/java.lang.reflect=ALL-UNNAMED "
    "--add-opens=java.base/java.text=ALL-UNNAMED --add-opens=java.base/java.time=ALL-UNNAMED "
    "--add-opens=java.base/java.util=ALL-UNNAMED --add-opens=java.base/java.util.concurrent=ALL-UNNAMED "
    "--add-opens=java.base/java.util.concurrent.atomic=ALL-UNNAMED "
    "--add-opens=java.base/java.util.concurrent.locks=ALL-UNNAMED"
)


def conf_dir(home: Path) -> Path:
    """Folder of the cluster's configuration below ``RIFT_HOME``; clients may use it as ``FLINK_CONF_DIR``."""
    return home / "flink" / "conf"


def flink_config(context: Context) -> dict[str, object]:
    """Configuration of the cluster and its clients."""
    master = context.ports["jobmanager"]
    state = context.folder("flink")
    return {
        # Clients that read this file submit here.
        "execution.target": "remote",
        "rest.address": HOST,
        "rest.bind-address": HOST,
        "rest.port": master["rest"],
        "rest.bind-port": str(master["rest"]),
        "web.upload.dir": str(state / "uploads"),
        "jobmanager.rpc.address": HOST,
        "jobmanager.rpc.port": master["rpc"],
        "jobmanager.bind-host": HOST,
        "blob.server.port": str(master["blob"]),
        "blob.storage.directory": str(state / "blobs"),
        "jobmanager.memory.process.size": "960m",
        "jobmanager.memory.jvm-metaspace.size": "256m",
        "jobmanager.execution.failover-strategy": "region",
        "taskmanager.host": HOST,
        "taskmanager.bind-host": HOST,
        "taskmanager.numberOfTaskSlots": SLOTS,
        "taskmanager.memory.process.size": "3g",
        "taskmanager.memory.jvm-metaspace.size": "384m",
        "taskmanager.memory.managed.fraction": 0.25,
        "parallelism.default": 2,
        "io.tmp.dirs": str(state / "tmp"),
        "env.java.home": str(java_home()),
        "env.java.opts.all": f"{_OPENS} -XX:+ExitOnOutOfMemoryError",
        "python.executable": sys.executable,
        "python.client.executable": sys.executable,
        # State of live matches is small and fits the heap; a job with large state asks for rocksdb itself.
        "state.backend.type": "hashmap",
        "execution.checkpointing.interval": "5 s",
        "execution.checkpointing.min-pause": "1 s",
        "execution.checkpointing.timeout": "2 min",
        "execution.checkpointing.tolerable-failed-checkpoints": 10,
        "execution.checkpointing.num-retained": 2,
        "execution.checkpointing.externalized-checkpoint-retention": "RETAIN_ON_CANCELLATION",
        "execution.checkpointing.dir": (state / "checkpoints").as_uri(),
        "execution.checkpointing.savepoint-dir": (state / "savepoints").as_uri(),
        "execution.buffer-timeout.interval": "5 ms",
        "pipeline.object-reuse": True,
        "restart-strategy.type": "exponential-delay",
        "restart-strategy.exponential-delay.initial-backoff": "1 s",
        "restart-strategy.exponential-delay.max-backoff": "20 s",
        "restart-strategy.exponential-delay.reset-backoff-threshold": "2 min",
        # A killed TaskManager is missed after some two failed heartbeats, a silent one after ten seconds.
        "heartbeat.interval": "2 s",
        "heartbeat.timeout": "10 s",
        "heartbeat.rpc-failure-threshold": 2,
        "slot.request.timeout": "60 s",
        "cluster.evenly-spread-out-slots": True,
        "rest.flamegraph.enabled": True,
    }


def _write_config(context: Context) -> None:
    folder = conf_dir(context.home)
    folder.mkdir(parents=True, exist_ok=True)
    # JSON strings and numbers are YAML too, so no value needs quoting by hand.
    lines = [f"{name}: {json.dumps(value)}\n" for name, value in flink_config(context).items()]
    (folder / "config.yaml").write_text("".join(lines))
    for name in ("log4j-console.properties", "log4j-cli.properties", "log4j.properties"):
        (folder / name).write_text(_LOG4J)
    for name in ("tmp", "uploads", "blobs", "checkpoints", "savepoints", "pids"):
        (context.folder("flink") / name).mkdir(parents=True, exist_ok=True)


def _environment(context: Context) -> dict[str, str]:
    folder = context.folder("flink")
    return {
        "FLINK_HOME": str(flink_home()),
        "FLINK_CONF_DIR": str(conf_dir(context.home)),
        "FLINK_LOG_DIR": str(folder),
        "FLINK_PID_DIR": str(folder / "pids"),
        "JAVA_HOME": str(java_home()),
    }


def _prepare(context: Context) -> None:
    flink_home(context.progress, "jobmanager", context.cancel)


def _launch_jobmanager(context: Context) -> Launch:
    _write_config(context)
    script = flink_home() / "bin" / "jobmanager.sh"
    return Launch([str(script), "start-foreground"], _environment(context))


def _launch_taskmanager(context: Context) -> Launch:
    _write_config(context)
    own = f"taskmanager-{uuid.uuid4().hex[:8]}"
    (context.folder("flink") / "taskmanager.id").write_text(own)
    script = flink_home() / "bin" / "taskmanager.sh"
    ports = context.ports["taskmanager"]
    options = {
        "taskmanager.resource-id": own,
        "taskmanager.rpc.port": ports["rpc"],
        "taskmanager.data.port": ports["data"],
    }
    dynamic = [word for name, value in options.items() for word in ("-D", f"{name}={value}")]
    return Launch([str(script), "start-foreground", *dynamic], _environment(context))


def _url(context: Context) -> str:
    return f"http://{HOST}:{context.ports['jobmanager']['rest']}"


def _jobmanager_ready(context: Context) -> bool:
    return http().get(f"{_url(context)}/overview").status_code == httpx.codes.OK


def _taskmanager_ready(context: Context) -> bool:
    """True once the JobManager lists the one that was started last; a killed one stays listed a while."""
    answer = http().get(f"{_url(context)}/taskmanagers")
    answer.raise_for_status()
    own = (context.folder("flink") / "taskmanager.id").read_text()
    return any(entry["id"] == own for entry in answer.json()["taskmanagers"])


def _stamp() -> str:
    """Changes with the Flink home and with the configuration that this file writes."""
    return f"{stamp()}-{jars.sha256(Path(__file__))[:8]}"


def _settings(context: Context) -> dict[str, str]:
    return {"flink_url": _url(context)}


JOBMANAGER = Part(
    name="jobmanager",
    ports={"rest": 8082, "rpc": 6123, "blob": 6124},
    version=flink_version,
    prepare=_prepare,
    launch=_launch_jobmanager,
    ready=_jobmanager_ready,
    settings=_settings,
    stamp=_stamp,
)

TASKMANAGER = Part(
    name="taskmanager",
    ports={"data": 6121, "rpc": 6122},
    version=flink_version,
    launch=_launch_taskmanager,
    ready=_taskmanager_ready,
    stamp=_stamp,
    needs=("jobmanager",),
)
