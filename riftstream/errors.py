"""Errors that a person meets: one clear sentence, and what to do about it."""

from __future__ import annotations


class RiftError(Exception):
    """Base of the errors that the command line prints as one line.

    Args:
        message: What went wrong, in one sentence.
        hint: What to do about it, in one sentence; empty where nothing can be said.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class StackError(RiftError):
    """A part of the local stack did not start, died, or does not answer."""


class SchemaError(RiftError):
    """A schema is unknown, broken, or changed in a way that readers could not survive."""


class SourceError(RiftError):
    """An input file or feed cannot be read at all (single bad rows are counted instead)."""


class JobError(RiftError):
    """A Flink job could not be prepared, submitted or stopped."""


class FeatureError(RiftError):
    """A feature, feature view or feature service is unknown, or is asked for what it cannot give."""


class ModelError(RiftError):
    """A model is missing, broken, or gave an answer that cannot be right."""


class DeliveryError(RiftError):
    """Records could not be delivered to Kafka."""
