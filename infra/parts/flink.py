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

SLOTS = 12
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
    *("java.lang", "java.net", "java.io", "java.nio", "java.lang.reflect", "java.text", "java.time"),
    *("java.util", "java.util.concurrent", "java.util.concurrent.atomic", "java.util.concurrent.locks"),
    "sun.nio.ch",
)
"""Packages of Java's own that Flink's serialisers look into."""

_MASTER_HEAP_MB = 384
_MASTER_METASPACE_MB = 256

# Memory of the TaskManager, in MB: about 3 GB with the JVM's own. RocksDB, batch sorts and Python take from
# the managed part, state on the heap and all else from the task heap.
_WORKER_MB = {
    "framework.heap": 128,
    "task.heap": 1312,
    "framework.off-heap": 128,
    "task.off-heap": 0,
    "network": 240,
    "managed": 600,
    "jvm-metaspace": 384,
    "jvm-overhead": 280,
}


_COMPILER_NICE = 10


def conf_dir(home: Path) -> Path:
    """Folder of the cluster's configuration below ``RIFT_HOME``; clients may use it as ``FLINK_CONF_DIR``."""
    return home / "flink" / "conf"


def _worker_memory() -> dict[str, str]:
    sizes = {f"taskmanager.memory.{name}.size": f"{size}m" for name, size in _WORKER_MB.items()}
    for name in ("network", "jvm-overhead"):
        size = sizes.pop(f"taskmanager.memory.{name}.size")
        sizes |= {f"taskmanager.memory.{name}.{bound}": size for bound in ("min", "max")}
    return sizes


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
        "jobmanager.memory.heap.size": f"{_MASTER_HEAP_MB}m",
        "jobmanager.memory.jvm-metaspace.size": f"{_MASTER_METASPACE_MB}m",
        "jobmanager.execution.failover-strategy": "region",
        "taskmanager.host": HOST,
        "taskmanager.bind-host": HOST,
        "taskmanager.numberOfTaskSlots": SLOTS,
        "taskmanager.cpu.cores": float(SLOTS),
        **_worker_memory(),
        "parallelism.default": 2,
        "io.tmp.dirs": str(state / "tmp"),
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
        "restart-strategy.exponential-delay.max-backoff": "5 s",
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
    for name in ("tmp", "uploads", "blobs", "checkpoints", "savepoints"):
        (context.folder("flink") / name).mkdir(parents=True, exist_ok=True)


def _java(context: Context, part: str, *options: str) -> Launch:
    """The start of a JVM of the cluster.

    Flink's own scripts start a JVM each to reckon the memory before the one that does the work; here the
    configuration states it, so they are not needed.
    """
    home, conf = flink_home(), conf_dir(context.home)
    jars = sorted((home / "lib").glob("*.jar"), key=lambda jar: (jar.name.startswith("flink-dist"), jar.name))
    argv = [
        str(java_home() / "bin" / "java"),
        *options,
        "-XX:+ExitOnOutOfMemoryError",
        *(f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in _OPENS),
        # Where the web dashboard finds the log that the launcher writes.
        f"-Dlog.file={context.home / 'logs' / f'{part}.log'}",
        f"-Dlog4j.configurationFile={(conf / 'log4j-console.properties').as_uri()}",
    ]
    # A job with Python functions needs Flink's Python runtime on the servers too.
    jars = [*jars, *(home / "opt").glob("flink-python*.jar")]
    env = {
        "CLASSPATH": ":".join(str(jar) for jar in jars),
        "FLINK_CONF_DIR": str(conf),
        "FLINK_LIB_DIR": str(home / "lib"),
        "FLINK_OPT_DIR": str(home / "opt"),
        "FLINK_PLUGINS_DIR": str(home / "plugins"),
        "JAVA_HOME": str(java_home()),
    }
    return Launch(argv, env)


def _prepare(context: Context) -> None:
    flink_home(context.progress, "jobmanager", context.cancel)


def _launch_jobmanager(context: Context) -> Launch:
    _write_config(context)
    # It plans and watches; nothing in it runs long enough to be worth the optimising compiler.
    modest = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
    memory = (f"-Xmx{_MASTER_HEAP_MB}m", f"-XX:MaxMetaspaceSize={_MASTER_METASPACE_MB}m")
    java = _java(context, "jobmanager", *memory, *modest)
    entry = "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint"
    return Launch([*java.argv, entry, "--configDir", str(conf_dir(context.home))], java.env)


def _launch_taskmanager(context: Context) -> Launch:
    _write_config(context)
    own = f"taskmanager-{uuid.uuid4().hex[:8]}"
    (context.folder("flink") / "taskmanager.id").write_text(own)
    heap = _WORKER_MB["framework.heap"] + _WORKER_MB["task.heap"]
    direct = _WORKER_MB["framework.off-heap"] + _WORKER_MB["task.off-heap"] + _WORKER_MB["network"]
    java = _java(
        context,
        "taskmanager",
        f"-Xms{heap}m",
        f"-Xmx{heap}m",
        f"-XX:MaxDirectMemorySize={direct}m",
        f"-XX:MaxMetaspaceSize={_WORKER_MB['jvm-metaspace']}m",
        "-XX:+UseParallelGC",
        f"-XX:NewSize={heap * 5 // 8}m",
        # Events come before the compiler that makes their code quicker, where both want the same core.
        "-XX:ThreadPriorityPolicy=1",
        f"-XX:CompilerThreadPriority={_COMPILER_NICE}",
    )
    ports = context.ports["taskmanager"]
    options = {
        "taskmanager.resource-id": own,
        "taskmanager.rpc.port": ports["rpc"],
        "taskmanager.data.port": ports["data"],
    }
    dynamic = [word for name, value in options.items() for word in ("-D", f"{name}={value}")]
    entry = "org.apache.flink.runtime.taskexecutor.TaskManagerRunner"
    argv = [*java.argv, entry, "--configDir", str(conf_dir(context.home)), *dynamic]
    return Launch(argv, java.env)


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
