"""The parts of the local stack, one file each: what it needs, how it starts, how one knows that it is up."""

from __future__ import annotations

from infra.parts.base import Context, Launch, Part

__all__ = ["Context", "Launch", "Part", "all_parts"]


def all_parts() -> dict[str, Part]:
    """Every part by name, in the order in which people read them."""
    from infra.parts import flink, kafka, objectstore, redis, registry, triton

    parts = (
        kafka.PART,
        registry.PART,
        objectstore.PART,
        redis.PART,
        flink.JOBMANAGER,
        flink.TASKMANAGER,
        triton.PART,
    )
    return {part.name: part for part in parts}
