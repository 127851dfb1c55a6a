"""What can stand in the way of an answer, as problems of RFC 9457; the same by HTTP and by topic.

The end of a problem's type is its kind: an HTTP client finds it in ``type``, and a request by topic that
cannot be answered is a dead letter with it as its reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from streams.ingest import Refused as Refused

KINDS = {
    "malformed": (400, "The body cannot be read."),
    "query": (400, "A query parameter is wrong."),
    "not-found": (404, "There is no such resource."),
    "unknown-subject": (404, "The subject is not known."),
    "method": (405, "The method is not allowed."),
    "not-acceptable": (406, "The version or media type is not available."),
    "unknown-model": (404, "There is no such model or version."),
    "stale": (412, "The features are older than allowed."),
    "too-large": (413, "The request is too large."),
    "media-type": (415, "The media type is not supported."),
    "invalid-request": (422, "The request is not valid."),
    "busy": (503, "The service is at its limit."),
    "unavailable": (503, "The answer cannot be given now."),
}
"""Status and title of each kind of problem."""

RETRY_AFTER_S = 1
MOST_FAULTS = 20


def _refused(
    kind: str, detail: str, more: dict[str, Any] | None = None, headers: dict[str, str] | None = None
) -> Refused:
    status, title = KINDS[kind]
    return Refused(status, kind, title, detail, more, headers)


def kind_of(problem: Refused) -> str:
    """The kind of a problem: a key of ``KINDS``."""
    return str(problem.body["type"]).rpartition(":")[2]


def malformed(detail: str) -> Refused:
    """The body is not what its media type says."""
    return _refused("malformed", detail)


def invalid(faults: ValidationError) -> Refused:
    """Fields are missing, unknown or out of their bounds; each is named."""
    errors = [
        {"field": ".".join(map(str, fault["loc"])) or None, "detail": fault["msg"]}
        for fault in faults.errors(include_url=False, include_context=False, include_input=False)
    ][:MOST_FAULTS]
    first = errors[0]
    where = f"{first['field']}: " if first["field"] else ""
    return _refused("invalid-request", f"{where}{first['detail']}.", {"errors": errors})


def wrong_query(name: str, detail: str) -> Refused:
    """A query parameter cannot be used."""
    return _refused("query", f"{name}: {detail}", {"parameter": name})


def not_found(path: str) -> Refused:
    """Nothing is at this path."""
    return _refused("not-found", f"Nothing is at {path[:200]}; /openapi.json lists what there is.")


def not_allowed(method: str, allowed: Sequence[str]) -> Refused:
    """The path knows other methods."""
    names = ", ".join(allowed)
    return _refused("method", f"{method[:20]} is not one of {names}.", headers={"Allow": names})


def not_acceptable(detail: str) -> Refused:
    """No answer can be given in a form that the client takes."""
    return _refused("not-acceptable", detail)


def media_type(found: str, known: str) -> Refused:
    """The body's media type or coding is not understood."""
    return _refused("media-type", f"{found[:100] or 'No media type'} was sent; {known} is understood.")


def too_large(detail: str) -> Refused:
    """The body or the list in it is too long."""
    return _refused("too-large", detail)


def unknown_subject(subject_type: str, subject_id: str) -> Refused:
    """No features are known of the match or player."""
    return _refused("unknown-subject", f"There are no features of the {subject_type} {subject_id}.")


def unfit(detail: str) -> Refused:
    """The fields of the question do not go together."""
    return _refused("invalid-request", detail)


def unknown_model(detail: str) -> Refused:
    """There is no such model or version."""
    return _refused("unknown-model", detail)


def stale(age_ms: int, max_age_ms: int) -> Refused:
    """The newest features are older than the request allows."""
    return _refused(
        "stale",
        f"The newest features are {age_ms} ms old; {max_age_ms} ms are allowed.",
        {"age_ms": age_ms, "max_age_ms": max_age_ms},
    )


def busy(detail: str) -> Refused:
    """The queue is full, or the request waited too long in it; asking again later is right."""
    return _refused("busy", detail, headers={"Retry-After": str(RETRY_AFTER_S)})


def unavailable(detail: str) -> Refused:
    """What the answer needs is away, and no other answer meets the request's terms."""
    return _refused("unavailable", detail, headers={"Retry-After": str(RETRY_AFTER_S)})
