"""What the parts are started with: loopback only, secrets for their owner only."""

from __future__ import annotations

import json
import re
import stat
from pathlib import Path

import pytest

from infra import jars
from infra.parts import Context, all_parts, flink, kafka, objectstore, redis, registry, triton
from infra.parts.base import Launch, write_private

SECRETS = {
    "redis_password": "pass-in-test",
    "s3_access_key": "key-in-test",
    "s3_secret_key": "secret-in-test",
}


@pytest.fixture
def context(tmp_path: Path) -> Context:
    ports = {
        name: {port: 20_000 + 100 * number + index for index, port in enumerate(part.ports)}
        for number, (name, part) in enumerate(all_parts().items())
    }
    return Context(tmp_path, ports, SECRETS)


def launches(context: Context) -> list[Launch]:
    """The parts whose launch needs no download."""
    return [part.launch(context) for part in (objectstore.PART, redis.PART, registry.PART, triton.PART)]


def texts(context: Context) -> str:
    """Everything by which an address could be given to a part."""
    words = [word for launch in launches(context) for word in (*launch.argv, *launch.env.values())]
    return "\n".join(
        (
            *words,
            kafka.server_properties(context),
            redis.redis_conf(context),
            json.dumps(flink.flink_config(context)),
        )
    )


def test_every_address_in_the_configuration_is_loopback(context: Context) -> None:
    found = re.findall(r"(?<![\d.])\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}(?![\d.])", texts(context))
    assert found
    assert set(found) == {"127.0.0.1"}
    assert "localhost" not in texts(context)


@pytest.mark.parametrize(
    "option",
    [
        "listeners=PLAINTEXT://127.0.0.1:",
        "bind 127.0.0.1",
        "-ip.bind=127.0.0.1",
        "-Dquarkus.http.host=127.0.0.1",
        "-Dquarkus.management.host=127.0.0.1",
        '"rest.bind-address": "127.0.0.1"',
        '"jobmanager.bind-host": "127.0.0.1"',
        '"taskmanager.bind-host": "127.0.0.1"',
        "--http-address=127.0.0.1",
        "--grpc-address=127.0.0.1",
        "--metrics-address=127.0.0.1",
    ],
)
def test_part_is_told_where_to_listen(context: Context, option: str) -> None:
    assert option in texts(context)


def test_no_secret_stands_in_a_command_line_environment_or_readable_file(context: Context) -> None:
    for launch in launches(context):
        for text in (*launch.argv, *launch.env.values()):
            assert not any(secret in text for secret in SECRETS.values())
    holders = [
        file
        for file in context.home.rglob("*")
        if file.is_file() and any(secret in file.read_text() for secret in SECRETS.values())
    ]
    assert {file.name for file in holders} == {"redis.conf", "s3.json"}
    for file in holders:
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_secrets_are_not_among_the_settings_that_all_may_read(context: Context) -> None:
    for part in all_parts().values():
        assert not any(
            secret in value for value in part.settings(context).values() for secret in SECRETS.values()
        )


def test_addresses_carry_the_chosen_ports(context: Context) -> None:
    values = {k: v for part in all_parts().values() for k, v in part.settings(context).items()}
    assert values["kafka_bootstrap"] == f"127.0.0.1:{context.ports['kafka']['kafka']}"
    assert values["triton_url"] == f"127.0.0.1:{context.ports['triton']['grpc']}"
    assert values["catalog_uri"] == f"http://127.0.0.1:{context.ports['objectstore']['iceberg']}"
    assert values["flink_url"] == f"http://127.0.0.1:{context.ports['jobmanager']['rest']}"


def test_default_ports_of_all_parts_differ() -> None:
    defaults = [port for part in all_parts().values() for port in part.ports.values()]
    assert len(set(defaults)) == len(defaults)


def test_a_newly_written_private_file_replaces_the_old_one_whole(tmp_path: Path) -> None:
    file = tmp_path / "secrets.json"
    file.write_text("old and readable")
    file.chmod(0o644)
    write_private(file, "new")
    assert file.read_text() == "new"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_triton_lock_pins_by_hash_and_names_no_address() -> None:
    text = triton.LOCK.read_text()
    pins = re.findall(r"^[a-z].*==", text, re.MULTILINE)
    assert len(pins) >= 6
    assert "://" not in text
    assert all("--hash=sha256:" in block for block in re.split(r"\n(?=[a-z])", text.strip()))
    assert re.search(r"^numpy==1\.", text, re.MULTILINE)


def test_version_is_that_of_the_lock() -> None:
    assert kafka.version() == jars.version("kafka", "kafka_2.13")
    assert registry.version() == "3.3.3"
