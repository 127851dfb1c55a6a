"""The one settings object.

Values come, first found wins, from: arguments, environment variables (prefix ``RIFT_``), the files that
``rift up`` wrote into ``RIFT_HOME`` (``stack.json`` for addresses, ``secrets.json`` for keys), defaults.
"""

from __future__ import annotations

import json
import os
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict


def default_home() -> Path:
    """Folder for state where ``RIFT_HOME`` is not set: ``riftstream`` in the user's data folder (XDG)."""
    base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(base) / "riftstream"


def default_cache() -> Path:
    """Folder for downloads where ``RIFT_CACHE`` is not set: in the user's cache folder (XDG)."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "riftstream"


class StackFiles(PydanticBaseSettingsSource):
    """Addresses and keys of the running local stack."""

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        home = self.current_state.get("home") or os.environ.get("RIFT_HOME") or default_home()
        values: dict[str, Any] = {}
        for name in ("stack.json", "secrets.json"):
            file = Path(home) / name
            if file.is_file():
                values |= json.loads(file.read_text()).get("settings", {})
        return values


class Settings(BaseSettings):
    """Everything that can be configured. ``docs/reference/settings.md`` lists it."""

    model_config = SettingsConfigDict(env_prefix="RIFT_", extra="ignore")

    home: Path = Field(
        default_factory=default_home, description="Folder that holds all state of the local stack."
    )
    cache: Path = Field(
        default_factory=default_cache,
        description="Folder for downloads and what is built from them; safe to delete.",
    )
    data: Path | None = Field(
        None, description="Folder with real matches (the layout of the public data sets)."
    )

    kafka_bootstrap: str = Field("127.0.0.1:9092", description="Kafka bootstrap servers.")
    registry_url: str = Field(
        "http://127.0.0.1:8081/apis/ccompat/v7", description="Schema Registry (Confluent API)."
    )
    flink_url: str = Field("http://127.0.0.1:8082", description="REST address of the Flink session cluster.")
    s3_endpoint: str = Field("http://127.0.0.1:8333", description="Object store (S3 API).")
    s3_region: str = Field("us-east-1", description="Region of the object store.")
    s3_access_key: str = Field("", description="Access key of the object store.")
    s3_secret_key: SecretStr = Field(SecretStr(""), description="Secret key of the object store.")
    catalog_uri: str = Field("http://127.0.0.1:8181", description="Iceberg REST catalog.")
    catalog_warehouse: str = Field("s3://lake", description="Warehouse in that catalog.")
    clickhouse_url: SecretStr = Field(
        SecretStr(""),
        description="ClickHouse server (`http://user:password@host:8123/`); empty for the embedded one.",
    )
    redis_url: SecretStr = Field(SecretStr("redis://127.0.0.1:6379/0"), description="Online store (Redis).")
    triton_url: str = Field("127.0.0.1:8001", description="Triton, gRPC address.")
    api_url: str = Field("http://127.0.0.1:8090", description="The HTTP API of this platform.")

    live_cache_ms: int = Field(
        1_000, ge=0, description="How long an answer about a match that is being played may be cached, ms."
    )
    openlineage_url: str = Field(
        "", description="Server that OpenLineage events are sent to, beside their file; none where empty."
    )

    partitions: int = Field(4, ge=1, description="Partitions of a topic that is created.")
    check_features: bool = Field(
        False,
        description="Whether `rift up` also starts the application that checks the features of matches that "
        "ended. Each batch takes some fifteen seconds of two cores.",
    )
    retention_hours: int = Field(168, ge=1, description="Retention of the topics.")

    @property
    def iceberg(self) -> dict[str, str]:
        """The Iceberg catalog and the object store behind it, as PyIceberg names their properties. Holds
        secrets."""
        key, secret = self.s3_access_key, self.s3_secret_key.get_secret_value()
        return {
            "type": "rest",
            "uri": self.catalog_uri,
            "warehouse": self.catalog_warehouse,
            "credential": f"{key}:{secret}",
            "oauth2-server-uri": f"{self.catalog_uri.rstrip('/')}/v1/oauth/tokens",
            "s3.endpoint": self.s3_endpoint,
            "s3.region": self.s3_region,
            "s3.access-key-id": key,
            "s3.secret-access-key": secret,
            "s3.force-virtual-addressing": "false",
        }

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then the environment, then what ``rift up`` wrote."""
        return init_settings, env_settings, StackFiles(settings_cls)


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """The settings of this process. ``get_settings.cache_clear()`` reads them anew."""
    return Settings()
