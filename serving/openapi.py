"""The OpenAPI 3.1 document: shapes from the Avro records and from ``Question``, examples that hold.

Media type and version negotiation are told once, in the description; every operation names the problems that
it can answer with.
"""

from __future__ import annotations

import importlib.metadata
from functools import lru_cache
from typing import Any

import orjson

from serving.front import MEDIA_TYPE, VERSION
from serving.lists import LARGEST, LIMIT, MOST_LIMIT, fields
from serving.problems import KINDS
from serving.questions import (
    LONGEST_ID,
    MOST_IN_BATCH,
    OF_MATCHES,
    OF_PLAYERS,
    PRINTABLE,
    STATISTICS,
    Question,
)
from streams.schemas import Field, for_topic

Json = dict[str, Any]

_TYPES: dict[str, Json] = {
    "string": {"type": "string"},
    "int": {"type": "integer", "format": "int32"},
    "long": {"type": "integer", "format": "int64"},
    "double": {"type": "number", "format": "double"},
    "boolean": {"type": "boolean"},
    "array<double>": {"type": "array", "items": {"type": "number"}},
    "array<string>": {"type": "array", "items": {"type": "string"}},
}
_MATCH = "TRLH1/30030"
_PLAYER = {"subject_type": "player", "subject_id": "SKT T1 Faker", "statistic": "kills"}
_ID: Json = {"type": "string", "minLength": 1, "maxLength": LONGEST_ID, "pattern": PRINTABLE}

_DESCRIPTION = f"""
Predictions of League of Legends esports matches, each with what is needed to make it again.

- **Versions.** By path (`/{VERSION}/...`) or by `Accept: {MEDIA_TYPE}`; a path without a version is
  the newest.
- **Freshness.** `age_ms` is the time since the newest event that an answer stands on. `max_age_ms` of a
  request is the oldest that may answer. `Cache-Control: no-cache` asks the model itself.
- **Degraded answers.** While the model or the feature store is away, an answer that was given before, or a
  fallback, is marked `degraded: true`.
- **Problems.** As RFC 9457 has them; the end of `type` is the kind.
- **Request ids.** `X-Request-Id` is taken over, or made, and comes with every answer.
- **Compression.** zstd or gzip for answers from 2 KiB.
"""


@lru_cache(maxsize=2)
def document_bytes(players: bool = True) -> bytes:
    """The document as JSON; without what is about players where no model answers for them."""
    return orjson.dumps(document(players))


def document(players: bool = True) -> Json:
    """The document; without what is about players where no model answers for them."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Riftstream",
            "version": importlib.metadata.version("riftstream"),
            "summary": "Streaming predictions for League of Legends esports.",
            "description": _DESCRIPTION.strip(),
        },
        "servers": [{"url": f"/{VERSION}"}],
        "paths": _paths() | (_player_paths() if players else {}),
        "components": {"schemas": _schemas(players)},
    }


def _shape(field: Field) -> Json:
    shape = dict(_TYPES[field.type])
    if field.nullable:
        shape["type"] = [shape["type"], "null"]
    unit = "" if field.unit == "none" else f" Unit: {field.unit}."
    return shape | {"description": f"{field.doc}{unit}"}


def _schemas(players: bool) -> Json:
    prediction = {field.name: _shape(field) for field in for_topic("predictions").fields}
    own: Json = {
        "answered_from": {
            "type": "string",
            "enum": ["model", "memory", "redis", "fallback"],
            "description": "Where the answer comes from: the model, a cache, or a fallback.",
        },
        "age_ms": {
            "type": ["integer", "null"],
            "description": "Time since the newest event that the answer stands on. Unit: ms.",
        },
    }
    said: Json = {
        "mean": {"type": "number", "description": "For a player: mean of the distribution. Unit: count."},
        "quantiles": {
            "type": "object",
            "description": "For a player: quantiles by per cent. Unit: count.",
            "additionalProperties": {"type": "integer"},
        },
        "context": {
            "type": "object",
            "description": "For a player: what was taken into account; null where it was not known.",
        },
    }
    answer = _object({**own, **prediction})
    if players:
        answer["properties"] |= said
    kinds = ["MatchQuestion", *(["PlayerQuestion"] if players else [])]
    return {
        "Question": {"oneOf": [{"$ref": f"#/components/schemas/{kind}"} for kind in kinds]},
        **_questions(players),
        "Curve": _curve(),
        "Prediction": _object(prediction),
        "Answer": answer,
        "Batch": _object({"requests": _batch_items()}, closed=True),
        "BatchAnswer": _batch_answer(answer),
        "Page": _object({"items": _list("Prediction"), "next_cursor": {"type": ["string", "null"]}}),
        "Explanation": _explanation(),
        "ModelsStatus": _models_status(),
        "Readiness": _object(
            {
                "ready": {"type": "boolean"},
                "degraded": {"type": "boolean"},
                "parts": {"type": "object", "additionalProperties": {"type": "boolean"}},
            }
        ),
        "Problem": {
            **_object({name: {"type": "string"} for name in ("type", "title", "detail")}),
            "description": "A problem as RFC 9457 has it; further members differ by kind.",
        },
    }


def _object(properties: Json, closed: bool = False) -> Json:
    shape = {"type": "object", "properties": properties, "required": list(properties)}
    return shape | ({"additionalProperties": False} if closed else {})


def _list(name: str) -> Json:
    return {"type": "array", "items": {"$ref": f"#/components/schemas/{name}"}}


def _questions(players: bool) -> Json:
    """Questions by what they are about: what one may hold depends on it."""
    properties: Json = Question.model_json_schema()["properties"]
    for shape in properties.values():
        shape.pop("title", None)

    def about(
        subject: str, model: str, without: tuple[str, ...], required: tuple[str, ...], **own: Any
    ) -> Json:
        held = {name: shape for name, shape in properties.items() if name not in without}
        told = {name: properties[name]["description"] for name in ("subject_type", "model_name")}
        held["subject_type"] = {"const": subject, "description": told["subject_type"]}
        held["model_name"] = {"enum": [model, None], "description": told["model_name"]}
        return {
            "type": "object",
            "description": f"A question about one {subject}.",
            "properties": held | own,
            "required": ["subject_type", "subject_id", *required],
            "additionalProperties": False,
        }

    match = about("match", "win_probability", OF_PLAYERS, ())
    match["examples"] = [{"subject_type": "match", "subject_id": _MATCH, "max_age_ms": 60_000}]
    found = {"MatchQuestion": match}
    if players:
        statistic = {"enum": list(STATISTICS), "description": properties["statistic"]["description"]}
        player = about("player", "player_props", OF_MATCHES, ("statistic",), statistic=statistic)
        player["examples"] = [{**_PLAYER, "line": 3.5}]
        found["PlayerQuestion"] = player
    return found


def _batch_items() -> Json:
    """The questions of a batch: what is none is named in the answer, and refuses nothing else."""
    told = "Questions, see Question; what is none is named by its index in the answer's errors."
    return {"type": "array", "items": {}, "minItems": 1, "maxItems": MOST_IN_BATCH, "description": told}


def _curve() -> Json:
    point = _object(
        {
            "line": {"type": "number", "description": "The line. Unit: count."},
            "over": {"type": "number", "description": "Probability of more."},
            "under": {"type": "number", "description": "Probability of less."},
            "push": {"type": "number", "description": "Probability of exactly that."},
        }
    )
    prediction = {"$ref": "#/components/schemas/Answer"}
    return _object({"prediction": prediction, "curve": {"type": "array", "items": point}})


def _batch_answer(answer: Json) -> Json:
    index: Json = {"index": {"type": "integer", "description": "Place of the request in the batch, from 0."}}
    return _object(
        {
            "received": {"type": "integer"},
            "answered": {"type": "integer"},
            "predictions": {"type": "array", "items": _object({**index, **answer["properties"]})},
            "errors": {
                "type": "array",
                "items": {"allOf": [{"$ref": "#/components/schemas/Problem"}, _object(index)]},
            },
        }
    )


def _explanation() -> Json:
    reason = _object(
        {
            "feature": {"type": "string", "description": "Name of the feature."},
            "meaning": {"type": "string", "description": "What the feature means."},
            "value": {"type": ["number", "null"], "description": "Its value; null where it is not known."},
            "adds": {"type": "number", "description": "What it adds, in the unit of the explanation."},
        }
    )
    told = _object(
        {
            "unit": {"type": "string", "description": "Unit of all that is added up."},
            "base": {"type": "number", "description": "What holds without any feature."},
            "reasons": {"type": "array", "items": reason, "description": "The strongest first."},
            "others": {"type": "number", "description": "What all other features add."},
        }
    )
    return _object({"prediction": {"$ref": "#/components/schemas/Answer"}, "explanation": told})


def _models_status() -> Json:
    text_or_null: Json = {"type": ["string", "null"]}
    version = _object(
        {
            "version": {"type": "string"},
            "role": {"enum": ["live", "split", "shadow", "previous", "published"]},
            "sha256": text_or_null,
            "ready": {"type": "boolean", "description": "Whether Triton can answer with it now."},
            "circuit": {"enum": ["closed", "open", "half-open", None]},
            "feature_service": text_or_null,
        }
    )
    model = _object(
        {
            "name": {"type": "string"},
            "subject_type": {"type": "string"},
            "live": {"type": "string"},
            "previous": text_or_null,
            "split": {"type": "object", "additionalProperties": {"type": "number"}},
            "versions": {"type": "array", "items": version},
        }
    )
    return _object({"models": {"type": "array", "items": model}, "caches": {"type": "object"}})


def _problems(*kinds: str) -> Json:
    """Answers of an operation that are problems, by status."""
    found: dict[str, list[str]] = {}
    for kind in kinds:
        found.setdefault(str(KINDS[kind][0]), []).append(kind)
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {
        status: {
            "description": " ".join(f"{KINDS[kind][1]} (`{kind}`)" for kind in names),
            "content": content,
            **({"headers": _RETRY} if status == "503" else {}),
        }
        for status, names in found.items()
    }


_RETRY: Json = {
    "Retry-After": {"description": "Seconds after which to ask again.", "schema": {"type": "string"}}
}


def _answer(description: str, schema: str, *media_types: str) -> Json:
    shape = {"schema": {"$ref": f"#/components/schemas/{schema}"}}
    names = media_types or ("application/json", MEDIA_TYPE)
    return {"200": {"description": description, "content": dict.fromkeys(names, shape)}}


def _body(schema: str, example: Json) -> Json:
    shape = {"schema": {"$ref": f"#/components/schemas/{schema}"}, "example": example}
    return {"required": True, "content": {"application/json": shape}}


def _parameter(name: str, place: str, schema: Json, description: str, example: Any = None) -> Json:
    found = {"name": name, "in": place, "required": place == "path", "schema": schema}
    found["description"] = description
    return found if example is None else found | {"example": example}


def _match_parameter() -> Json:
    return _parameter("match_id", "path", _ID, "The match; its slashes may stand as they are.", _MATCH)


def _list_parameters(*filtered: tuple[str, str]) -> list[Json]:
    limit = {"type": "integer", "minimum": 1, "maximum": MOST_LIMIT, "default": LIMIT}
    found = [
        _parameter("limit", "query", limit, "Most items of a page."),
        _parameter("cursor", "query", {"type": "string"}, "`next_cursor` of the page before."),
    ]
    for name, op in filtered:
        field = fields()[name]
        schema = dict(_TYPES[field.type])
        if schema["type"] == "integer":
            schema |= {"minimum": -LARGEST, "maximum": LARGEST}
        text = f"{field.doc} Any field of a Prediction that is no list can be compared so."
        found.append(_parameter(f"filter[{name}][{op}]", "query", schema, text))
    return found


def _paths() -> Json:
    max_age = {"type": "integer", "minimum": 0, "maximum": LARGEST}
    asked = (
        *("malformed", "unknown-subject", "unknown-model", "not-acceptable", "stale", "too-large"),
        *("media-type", "invalid-request", "busy", "unavailable"),
    )
    one = {"subject_type": "match", "subject_id": _MATCH}
    return {
        "/predict/single": {
            "post": {
                "operationId": "predictSingle",
                "summary": "Answer one question.",
                "requestBody": _body("Question", one),
                "responses": _answer("The answer.", "Answer") | _problems(*asked),
            }
        },
        "/predict/batch": {
            "post": {
                "operationId": "predictBatch",
                "summary": f"Answer up to {MOST_IN_BATCH:,} questions; faults are named by index.",
                "requestBody": _body("Batch", {"requests": [one]}),
                "responses": _answer("Answers, and what stood in the way of the others.", "BatchAnswer")
                | _problems(
                    *("malformed", "not-acceptable", "too-large", "media-type"), *("invalid-request", "busy")
                ),
            }
        },
        "/predict/explain": {
            "post": {
                "operationId": "predictExplain",
                "summary": "Answer one question, and say what each feature added to the answer.",
                "requestBody": _body("Question", one),
                "responses": _answer("The answer and its reasons.", "Explanation") | _problems(*asked),
            }
        },
        "/predict/matches": {
            "get": {
                "operationId": "listMatches",
                "summary": "The newest prediction of each match, by match id.",
                "parameters": _list_parameters(
                    ("league", "eq"), ("blue_team", "eq"), ("red_team", "eq"), ("game_time_ms", "gte")
                ),
                "responses": _answer("A page of predictions.", "Page") | _problems("query", "not-acceptable"),
            }
        },
        "/predict/match/{match_id}": {
            "get": {
                "operationId": "predictMatch",
                "summary": "Who wins this match, by its state now.",
                "parameters": [
                    _match_parameter(),
                    _parameter("max_age_ms", "query", max_age, "Oldest features that may answer. Unit: ms."),
                    _parameter(
                        "model_version",
                        "query",
                        _ID,
                        "Version that shall answer; the live one by default.",
                    ),
                    *(_parameter(name, "query", _ID, _told(name)) for name in OF_MATCHES),
                ],
                "responses": _answer("The answer.", "Answer")
                | _problems(
                    *("query", "not-found", "unknown-subject", "unknown-model", "not-acceptable"),
                    *("stale", "invalid-request", "busy", "unavailable"),
                ),
            }
        },
        "/predict/match/{match_id}/history": {
            "get": {
                "operationId": "matchHistory",
                "summary": "What was predicted of a match, by match clock.",
                "parameters": [
                    _match_parameter(),
                    *_list_parameters(
                        ("game_time_ms", "gte"),
                        ("game_time_ms", "lt"),
                        ("probability", "gte"),
                        ("model_version", "eq"),
                    ),
                ],
                "responses": _answer("A page of predictions.", "Page")
                | _problems("query", "not-found", "unknown-subject", "not-acceptable"),
            }
        },
        "/predict/live": {
            "get": {
                "operationId": "liveEvents",
                "summary": "Predictions as they are made, as server-sent events.",
                "description": "The same comes by WebSocket from `/predict/live/ws`, one JSON text each.",
                "parameters": [
                    _parameter("match", "query", {"type": "string"}, "Only this match.", _MATCH),
                    _parameter("shadow", "query", {"type": "boolean"}, "Shadow versions' predictions too."),
                    _parameter("max_age_ms", "query", max_age, "None that was older when it was published."),
                ],
                "responses": _answer("Events named `prediction`.", "Prediction", "text/event-stream")
                | _problems("query", "not-acceptable", "busy"),
            }
        },
        "/models/status": {
            "get": {
                "operationId": "modelsStatus",
                "summary": "Versions of each model, what each does, and the caches' hit rates.",
                "responses": _answer("Models.", "ModelsStatus")
                | _problems("query", "not-acceptable", "busy"),
            }
        },
    } | _plain_paths()


def _player_paths() -> Json:
    age = {"type": "integer", "minimum": 0, "maximum": LARGEST}
    pattern = r"^[0-9]{1,3}(\.[0-9]{1,3})?(,[0-9]{1,3}(\.[0-9]{1,3})?){0,99}$"
    lines = {"type": "string", "pattern": pattern}
    return {
        "/predict/curve/{player_id}": {
            "get": {
                "operationId": "predictCurve",
                "summary": "P(over), P(under) and P(push) of a player's statistic, along lines.",
                "parameters": [
                    _parameter("player_id", "path", _ID, "The player.", _PLAYER["subject_id"]),
                    _parameter("statistic", "query", {"enum": list(STATISTICS)}, "What is counted.", "kills")
                    | {"required": True},
                    _parameter("lines", "query", lines, "Lines between commas; the usual ones by default."),
                    _parameter(
                        "maps", "query", {"type": "integer", "minimum": 1, "maximum": 3}, _told("maps")
                    ),
                    _parameter("side", "query", {"enum": ["blue", "red"]}, _told("side")),
                    *(
                        _parameter(name, "query", _ID, _told(name))
                        for name in ("match_id", "opponent", "champion")
                    ),
                    _parameter("max_age_ms", "query", age, "Oldest features that may answer. Unit: ms."),
                    _parameter("model_version", "query", _ID, "Version; the live one by default."),
                ],
                "responses": _answer("The answer and its curve.", "Curve")
                | _problems(
                    *("query", "not-found", "unknown-subject", "unknown-model", "not-acceptable"),
                    *("stale", "invalid-request", "busy", "unavailable"),
                ),
            }
        }
    }


def _told(name: str) -> str:
    """What a field of a question is."""
    return str(Question.model_fields[name].description)


def _plain_paths() -> Json:
    plain = {"200": {"description": "Metrics.", "content": {"text/plain": {"schema": {"type": "string"}}}}}
    live = {
        "description": "The process answers.",
        "content": {"application/json": {"schema": {"type": "object"}}},
    }
    ready = _answer("Requests can be answered.", "Readiness", "application/json")
    return {
        "/health/live": {
            "get": {
                "operationId": "live",
                "summary": "Whether the process answers.",
                "responses": {"200": live},
            }
        },
        "/health/ready": {
            "get": {
                "operationId": "ready",
                "summary": "Whether requests can be answered, and what of the platform is there.",
                "responses": ready
                | {"503": ready["200"] | {"description": "Not yet, or no more.", "headers": _RETRY}},
            }
        },
        "/metrics": {
            "get": {"operationId": "metrics", "summary": "Metrics for Prometheus.", "responses": plain}
        },
    }
