"""The OpenAPI document against the schemas, the routes and the code."""

from __future__ import annotations

import re

from pydantic import TypeAdapter

from serving import openapi
from serving.api import _routes
from serving.questions import Question
from streams.schemas import for_topic

PLAIN = {"string": "string", "int": "integer", "long": "integer", "double": "number"}


def test_a_question_is_the_record_of_the_topic() -> None:
    """Every field of PredictionRequest but its time, with the same meaning; HTTP may leave some out."""
    fields = {field.name: field for field in for_topic("prediction-requests").fields}
    assert set(fields) - set(Question.model_fields) == {"requested_at"}
    shapes = TypeAdapter(Question).json_schema()["properties"]
    for name, field in fields.items():
        if name != "requested_at":
            assert PLAIN[field.type] in str(shapes[name]), name


def test_an_answer_is_a_prediction_and_what_http_adds() -> None:
    schemas = openapi.document()["components"]["schemas"]
    names = {field.name for field in for_topic("predictions").fields}
    assert set(schemas["Prediction"]["properties"]) == names
    own = {"answered_from", "age_ms", "mean", "quantiles", "context"}
    assert set(schemas["Answer"]["properties"]) - names == own


def test_every_reference_leads_somewhere() -> None:
    document = openapi.document()
    text = openapi.document_bytes().decode()
    names = set(re.findall(r"#/components/schemas/(\w+)", text))
    assert names <= set(document["components"]["schemas"])


def test_what_is_served_is_documented_and_nothing_else() -> None:
    hot = {"/predict/single", "/predict/batch", "/predict/live"}
    routed = {re.sub(r":path}", "}", route.path) for route in _routes(_Endpoints())}  # type: ignore[arg-type,attr-defined]
    assert set(openapi.document()["paths"]) == routed - {"/openapi.json"} | hot


class _Endpoints:
    def __getattr__(self, name: str) -> object:
        return name
