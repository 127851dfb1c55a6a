"""The Schema Registry: registering schemas, and saying precisely which change readers could not survive.

Speaks the Confluent REST API (v7), which Apicurio Registry serves too. All calls can be repeated safely, so
a registry that is starting or restarting is waited for.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, urlsplit

import httpx

from riftstream.changes import Change
from riftstream.errors import SchemaError, StackError
from riftstream.settings import Settings
from streams.schemas import RecordSchema, all_schemas

COMPATIBILITY = "BACKWARD"
KIND = "schema"

_STARTING = (502, 503, 504)
_LOOPBACK = ("127.0.0.1", "localhost", "::1")

# Avro 1.12 specification, "Schema Resolution": what a reader's type may be for a writer's type.
_PROMOTIONS = {
    "int": ("long", "float", "double"),
    "long": ("float", "double"),
    "float": ("double",),
    "string": ("bytes",),
    "bytes": ("string",),
}


@dataclass(frozen=True)
class Break:
    """One reason why a new schema cannot read what the old one wrote.

    Attributes:
        field: Field that breaks; the record's name where it is not about a field.
        why: What is wrong with it and what to do, as a sentence without its subject.
    """

    field: str
    why: str

    def __str__(self) -> str:
        return f"{self.field} {self.why}."


def breaks(new: str, old: str) -> list[Break]:
    """Why readers with the schema ``new`` could not read records written with ``old``; empty if they can.

    Follows Avro's schema resolution, and is stricter in two things that Avro would let pass and that change
    what the data means: a field's logical type, and the field that is the record's key.

    Args:
        new: Text of the schema that shall be registered.
        old: Text of the schema that it follows.
    """
    reader, writer = json.loads(new), json.loads(old)
    return list(_record_breaks(reader, writer))


def _record_breaks(reader: dict[str, Any], writer: dict[str, Any]) -> Iterator[Break]:
    names = (_bare_name(writer["name"]), _bare_name(reader["name"]))
    if names[0] != names[1] and names[0] not in map(_bare_name, reader.get("aliases", [])):
        yield Break(names[1], f"was named {names[0]} before, and Avro knows a record by its name")
    keys = writer.get("key"), reader.get("key")
    if keys[0] is not None and keys[0] != keys[1]:
        yield Break(
            names[1], f"had the key {keys[0]} and has {keys[1]} now: old records lie in other partitions"
        )
    written = {field["name"]: field for field in writer["fields"]}
    for field in reader["fields"]:
        known = [name for name in (field["name"], *field.get("aliases", [])) if name in written]
        if known:
            yield from _type_breaks(field["name"], field["type"], written[known[0]]["type"])
        elif "default" not in field:
            yield Break(
                field["name"], "is new and has no default, so older records cannot be read; give it one"
            )


def _type_breaks(name: str, reader: Any, writer: Any) -> Iterator[Break]:
    before, after = _logical(writer), _logical(reader)
    if before != after and _shape(reader) == _shape(writer):
        yield Break(
            name, f"changed its meaning from {before or 'a plain value'} to {after or 'a plain value'}"
        )
    readers = reader if isinstance(reader, list) else [reader]
    for branch in writer if isinstance(writer, list) else [writer]:
        if any(_readable(candidate, branch) for candidate in readers):
            continue
        if branch == "null":
            yield Break(
                name, "was nullable and no longer is, so older nulls cannot be read; leave null in its type"
            )
        else:
            yield Break(
                name, f"was {_shown(branch)} and is {_shown(reader)} now; leave its type, or add a new field"
            )


def _readable(reader: Any, writer: Any) -> bool:
    """Whether one branch of the reader's type reads one branch of the writer's."""
    kinds = _kind(reader), _kind(writer)
    if kinds[0] == kinds[1]:
        if kinds[0] in ("array", "map"):
            part = "items" if kinds[0] == "array" else "values"
            return not list(_type_breaks("", reader[part], writer[part]))
        if kinds[0] == "record":
            return not list(_record_breaks(reader, writer))
        if kinds[0] == "fixed":
            return bool(reader["size"] == writer["size"] and reader["name"] == writer["name"])
        if kinds[0] == "enum":
            return "default" in reader or set(writer["symbols"]) <= set(reader["symbols"])
        return True
    return kinds[0] in _PROMOTIONS.get(kinds[1], ())


def _kind(schema: Any) -> str:
    return str(schema["type"] if isinstance(schema, dict) else schema)


def _logical(schema: Any) -> str:
    """Logical type of a field's type, null branches left aside."""
    if isinstance(schema, list):
        return next((logical for logical in map(_logical, schema) if logical), "")
    return str(schema.get("logicalType", "")) if isinstance(schema, dict) else ""


def _shape(schema: Any) -> set[str]:
    """Kinds of a type's branches, null left aside."""
    return {_kind(branch) for branch in (schema if isinstance(schema, list) else [schema])} - {"null"}


def _shown(schema: Any) -> str:
    if isinstance(schema, list):
        return " or ".join(map(_shown, schema))
    if _kind(schema) == "array":
        return f"array of {_shown(schema['items'])}"
    return _kind(schema)


def _bare_name(name: str) -> str:
    return name.rpartition(".")[2]


class Registry:
    """A client of the Schema Registry.

    Args:
        url: Base address of its Confluent API, for example ``http://127.0.0.1:8081/apis/ccompat/v7``.
        patience: Seconds for which a registry that does not answer is tried again.
    """

    def __init__(self, url: str, patience: float = 10.0) -> None:
        self.url = url.rstrip("/")
        self.patience = patience
        # A proxy from the environment has no way to a registry on this machine.
        trust_env = urlsplit(url).hostname not in _LOOPBACK
        self._http = httpx.Client(timeout=10.0, trust_env=trust_env)
        self._texts: dict[int, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def register(self, schema: RecordSchema) -> int:
        """Register a schema under its topic's subject and return its id; the same schema keeps its id.

        Raises:
            SchemaError: Readers could not survive the change; the sentence names the field.
            StackError: The registry does not answer.
        """
        known = self.registered(schema)
        if known is not None:
            return known
        self._refuse_breaks(schema)
        path = f"/subjects/{_quoted(schema.subject)}/versions"
        answer = self._call("POST", path, {"schema": schema.text, "schemaType": "AVRO"})
        if answer.status_code in (409, 422):
            raise SchemaError(
                f"The registry refuses {schema.name} for {schema.subject}: {_message(answer)}.",
                "Change schemas/avro so that records written before can still be read.",
            )
        self._expect(answer)
        if self.compatibility(schema.subject) != COMPATIBILITY:
            self.set_compatibility(schema.subject, COMPATIBILITY)
        return int(answer.json()["id"])

    def latest(self, subject: str) -> tuple[int, int, str] | None:
        """Id, version and text of a subject's newest schema; None where the subject is unknown."""
        answer = self._call("GET", f"/subjects/{_quoted(subject)}/versions/latest")
        if answer.status_code == 404:
            return None
        found = self._expect(answer).json()
        return int(found["id"]), int(found["version"]), str(found["schema"])

    def schema_by_id(self, schema_id: int) -> str:
        """Text of the schema with this id.

        Raises:
            SchemaError: No schema has it.
        """
        if schema_id not in self._texts:
            answer = self._call("GET", f"/schemas/ids/{schema_id}")
            if answer.status_code == 404:
                raise SchemaError(f"The registry knows no schema with id {schema_id}.")
            self._texts[schema_id] = str(self._expect(answer).json()["schema"])
        return self._texts[schema_id]

    def compatible(self, schema: RecordSchema) -> list[str]:
        """What would break if this schema followed its subject's newest one, as sentences; empty if nothing.

        Our own comparison names the fields; the registry has the last word, and its message is given where it
        refuses what we would let pass.
        """
        latest = self.latest(schema.subject)
        if latest is None or _same(latest[2], schema.text):
            return []
        found = [str(reason) for reason in breaks(schema.text, latest[2])]
        return found or self.refusal(schema)

    def compatibility(self, subject: str) -> str:
        """Compatibility level that holds for a subject, for example BACKWARD."""
        answer = self._call("GET", f"/config/{_quoted(subject)}?defaultToGlobal=true")
        if answer.status_code == 404:
            return "NONE"
        found = self._expect(answer).json()
        return str(found.get("compatibilityLevel") or found.get("compatibility") or "NONE")

    def set_compatibility(self, subject: str, level: str) -> None:
        """Set the compatibility level of one subject."""
        self._expect(self._call("PUT", f"/config/{_quoted(subject)}", {"compatibility": level}))

    def registered(self, schema: RecordSchema) -> int | None:
        """Id of exactly this schema, in whichever version of its subject; None where it is not there."""
        latest = self.latest(schema.subject)
        if latest is None or _same(latest[2], schema.text):
            return latest and latest[0]
        path = f"/subjects/{_quoted(schema.subject)}"
        answer = self._call("POST", path, {"schema": schema.text, "schemaType": "AVRO"})
        # 422: text that is no schema cannot be registered either.
        return None if answer.status_code in (404, 422) else int(self._expect(answer).json()["id"])

    def _refuse_breaks(self, schema: RecordSchema) -> None:
        latest = self.latest(schema.subject)
        found = breaks(schema.text, latest[2]) if latest is not None else []
        if found:
            raise SchemaError(
                f"{schema.name} cannot be registered for {schema.subject}: {' '.join(map(str, found))}",
                "Records written before must stay readable (BACKWARD compatibility).",
            )

    def refusal(self, schema: RecordSchema) -> list[str]:
        """What the registry itself says against this schema as its subject's next one; empty if nothing."""
        path = f"/compatibility/subjects/{_quoted(schema.subject)}/versions/latest?verbose=true"
        answer = self._call("POST", path, {"schema": schema.text, "schemaType": "AVRO"})
        if answer.status_code == 422:
            return [f"{schema.name} is refused by the registry: {_message(answer)}."]
        found = self._expect(answer).json()
        if found.get("is_compatible", True):
            return []
        why = "; ".join(map(str, found.get("messages") or ["no reason given"]))
        return [f"{schema.name} is refused by the registry: {why}."]

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> httpx.Response:
        """One request, repeated while the registry is away or says that it is starting."""
        deadline = time.monotonic() + self.patience
        wait = 0.1
        while True:
            try:
                answer = self._http.request(method, self.url + path, json=body)
                if answer.status_code not in _STARTING:
                    return answer
                cause: Exception | None = None
                why = f"it answers {answer.status_code}"
            except httpx.HTTPError as error:
                cause, why = error, str(error) or type(error).__name__
            if time.monotonic() + wait > deadline:
                raise StackError(
                    f"The Schema Registry at {self.url} does not answer: {why}.",
                    "Start it with `rift up`, or set RIFT_REGISTRY_URL.",
                ) from cause
            time.sleep(wait)
            wait = min(wait * 2, 2.0)

    def _expect(self, answer: httpx.Response) -> httpx.Response:
        if answer.is_success:
            return answer
        request = answer.request
        raise StackError(
            f"The Schema Registry answered {answer.status_code} to {request.method} {request.url.path}: "
            f"{_message(answer)}."
        )


def plan(settings: Settings, schemas: Iterable[RecordSchema] | None = None) -> list[Change]:
    """What has to be done so that the registry holds these schemas (all of ours by default)."""
    changes = []
    with Registry(settings.registry_url) as registry:
        for schema in all_schemas().values() if schemas is None else schemas:
            changes += _plan_one(registry, schema)
    return changes


def apply(settings: Settings, changes: list[Change]) -> None:
    """Register the schemas that ``changes`` (from ``plan``) name.

    Raises:
        SchemaError: One of them is refused.
    """
    wanted = {change.name for change in changes if change.kind == KIND}
    with Registry(settings.registry_url) as registry:
        for schema in all_schemas().values():
            if schema.subject in wanted:
                registry.register(schema)
                registry.set_compatibility(schema.subject, COMPATIBILITY)


def _plan_one(registry: Registry, schema: RecordSchema) -> list[Change]:
    latest = registry.latest(schema.subject)
    if latest is None:
        return [Change(KIND, schema.subject, "create", f"register {schema.name}, {COMPATIBILITY}")]
    if registry.registered(schema) is None:
        refused = registry.compatible(schema)
        if refused:
            return [Change(KIND, schema.subject, "refuse", " ".join(refused))]
        detail = f"register version {latest[1] + 1}: {_difference(schema.text, latest[2])}"
        return [Change(KIND, schema.subject, "update", detail)]
    level = registry.compatibility(schema.subject)
    if level != COMPATIBILITY:
        return [Change(KIND, schema.subject, "update", f"compatibility {level} becomes {COMPATIBILITY}")]
    return []


def _difference(new: str, old: str) -> str:
    """The fields by which two schemas differ, for people."""
    now = {field["name"]: field for field in json.loads(new)["fields"]}
    before = {field["name"]: field for field in json.loads(old)["fields"]}
    parts = (
        ("adds", [name for name in now if name not in before]),
        ("drops", [name for name in before if name not in now]),
        ("changes", [name for name in now if name in before and now[name] != before[name]]),
    )
    said = [f"{verb} {', '.join(names)}" for verb, names in parts if names]
    return "; ".join(said) or "changes the record's docs"


def _same(one: str, other: str) -> bool:
    return bool(json.loads(one) == json.loads(other))


def _quoted(subject: str) -> str:
    return quote(subject, safe="")


def _message(answer: httpx.Response) -> str:
    try:
        return str(answer.json().get("message", answer.text)).rstrip(".")
    except (ValueError, AttributeError):
        return answer.text[:200].rstrip(".")
