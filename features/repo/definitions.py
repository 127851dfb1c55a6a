"""Feast's objects, made from ``features.views``: entities, sources, feature views, feature services.

Stock Feast imports this file (``feast -c features/repo plan``); nothing is declared here.
"""

from __future__ import annotations

from feast import Entity, FeatureService, FeatureView, Field, Project
from feast.data_source import DataSource
from feast.infra.data_sources.contrib.iceberg_catalog.iceberg_source import IcebergSource
from feast.types import Array, Bool, Bytes, FeastType, Float64, Int32, Int64, String, UnixTimestamp
from feast.value_type import ValueType

from features import views
from streams.schemas import Field as RecordField

_TYPES: dict[str, FeastType] = {
    "string": String,
    "int": Int32,
    "long": Int64,
    "double": Float64,
    "boolean": Bool,
    "bytes": Bytes,
    "timestamp-millis": UnixTimestamp,
    "array<string>": Array(String),
    "array<double>": Array(Float64),
}


def _field(field: RecordField) -> Field:
    return Field(
        name=field.name,
        dtype=_TYPES[field.logical or field.type],
        description=field.doc,
        tags={} if field.unit == "none" or field.logical else {"unit": field.unit},
    )


def entity_of(entity: views.Entity) -> Entity:
    """Feast's entity."""
    return Entity(
        name=entity.name, join_keys=[entity.key], value_type=ValueType.STRING, description=entity.doc
    )


def _source(view: views.View) -> DataSource:
    """The view's Iceberg table; our offline store knows the catalog."""
    namespace, _, table = view.table.partition(".")
    return IcebergSource(
        name=view.table,
        warehouse="",
        namespace=namespace,
        table=table,
        timestamp_field=views.TIMESTAMP,
        description=f"History of {view.name}.",
    )


def view_of(view: views.View) -> FeatureView:
    """Feast's view, with fields, types, units and docs of the Avro record."""
    keys = [Field(name=key, dtype=String, description=_doc(view, key)) for key in view.keys]
    return FeatureView(
        name=view.name,
        entities=[entity_of(views.ENTITIES[name]) for name in view.entities],
        ttl=view.ttl,
        schema=[*keys, *map(_field, view.features)],
        source=_source(view),
        description=view.schema.doc,
        tags={"topic": view.topic, "record": view.schema.name},
    )


def _doc(view: views.View, name: str) -> str:
    return next(field.doc for field in view.schema.fields if field.name == name)


def service_of(service: views.Service, made: dict[str, FeatureView]) -> FeatureService:
    """Feast's service, on the views that were made."""
    chosen = [
        made[view.name][[field.name for held, field in service.parts if held is view]]
        for view in service.views
    ]
    return FeatureService(
        name=service.name, features=chosen, description=service.doc, tags={"model": service.model}
    )


project = Project(name=views.PROJECT, description="Features of League of Legends matches.")
entities = {entity.name: entity_of(entity) for entity in views.ENTITIES.values()}
feature_views = {view.name: view_of(view) for view in views.VIEWS}
services = {service.name: service_of(service, feature_views) for service in views.SERVICES}

# Feast takes what it finds among the names of this module.
globals().update(entities | feature_views | services)
