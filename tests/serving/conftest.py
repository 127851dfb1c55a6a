"""What tests of serving need without the whole platform: a Redis, as the room of features has it."""

from tests.features.conftest import online_store, redis_server

__all__ = ["online_store", "redis_server"]
