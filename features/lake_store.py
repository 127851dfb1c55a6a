"""Feast's offline store on our Iceberg tables: what is asked for is read, and no more.

Feast's own reader of Iceberg takes whole tables into memory. This one gives Iceberg the columns and the range
of event times (and the entities, where they are few), and lets DuckDB do the point-in-time join: for each row
of the spine the newest row of its entity that is not newer than the spine's time; nothing where that is older
than the view's time to live. Of rows of the same event time the view's ``order`` decides, as it does online.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Literal

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from feast import FeatureView, OnDemandFeatureView, RepoConfig
from feast.data_source import DataSource
from feast.infra.data_sources.contrib.iceberg_catalog.iceberg_source import IcebergSource
from feast.infra.offline_stores.offline_store import OfflineStore, RetrievalJob, RetrievalMetadata
from feast.infra.offline_stores.offline_utils import infer_event_timestamp_from_entity_df
from feast.infra.registry.base_registry import BaseRegistry
from feast.repo_config import FeastConfigBaseModel
from feast.utils import _get_requested_feature_views_to_features_dict
from pydantic import Field
from pyiceberg.catalog import load_catalog
from pyiceberg.exceptions import NoSuchNamespaceError, NoSuchTableError
from pyiceberg.expressions import And, BooleanExpression, GreaterThanOrEqual, In, LessThanOrEqual
from pyiceberg.table import Table

from features.views import VIEWS
from riftstream.errors import FeatureError

_MOST_KEYS = 1000
"""Most entities that are given to Iceberg to choose files by."""

_TOPIC_ORDER = ("log_offset",)
"""Where a row lay on its topic: after the view's order the last word."""


class LakeOfflineStoreConfig(FeastConfigBaseModel):
    """Configuration of the store.

    Attributes:
        type: Name of the class.
        catalog: The Iceberg catalog, as PyIceberg names its properties.
    """

    type: Literal["features.lake_store.LakeOfflineStore"] = "features.lake_store.LakeOfflineStore"
    catalog: dict[str, str] = Field(default_factory=dict)


class LakeRetrievalJob(RetrievalJob):
    """A query that runs when its result is asked for."""

    def __init__(
        self,
        query: Callable[[], pa.Table],
        full_feature_names: bool = False,
        metadata: RetrievalMetadata | None = None,
    ) -> None:
        self._query = query
        self._full_feature_names = full_feature_names
        self._metadata = metadata

    @property
    def full_feature_names(self) -> bool:
        """Whether columns are named ``view__feature``."""
        return self._full_feature_names

    @property
    def on_demand_feature_views(self) -> list[OnDemandFeatureView]:
        """None: transformations are SQL in the jobs."""
        return []

    @property
    def metadata(self) -> RetrievalMetadata | None:
        """What was asked for."""
        return self._metadata

    def _to_df_internal(self, timeout: int | None = None) -> pd.DataFrame:
        return self._to_arrow_internal(timeout).to_pandas()

    def _to_arrow_internal(self, timeout: int | None = None) -> pa.Table:
        return self._query()


class LakeOfflineStore(OfflineStore):
    """Reads the history of feature views from Iceberg."""

    def validate_data_source(self, config: RepoConfig, data_source: DataSource) -> None:
        """Make sure that a source's table is there.

        Raises:
            FeatureError: It is not.
        """
        _table(config, data_source)

    def get_table_column_names_and_types_from_data_source(
        self, config: RepoConfig, data_source: DataSource
    ) -> list[tuple[str, str]]:
        """Columns of a source's table, and their Iceberg types."""
        fields = _table(config, data_source).schema().fields
        return [(field.name, str(field.field_type)) for field in fields]

    @staticmethod
    def get_historical_features(
        config: RepoConfig,
        feature_views: list[FeatureView],
        feature_refs: list[str],
        entity_df: pd.DataFrame | str | None,
        registry: BaseRegistry,
        project: str,
        full_feature_names: bool = False,
        **_: Any,
    ) -> RetrievalJob:
        """The features as they were at each row's time; see Feast's ``OfflineStore``.

        Raises:
            FeatureError: The spine is no data frame, or lacks a key.
        """
        if not isinstance(entity_df, pd.DataFrame):
            raise FeatureError("The spine must be a data frame with keys and a time for each row.")
        time_column = infer_event_timestamp_from_entity_df(dict(entity_df.dtypes))
        chosen, _on_demand = _get_requested_feature_views_to_features_dict(feature_refs, feature_views, [])
        keys = sorted({key for view in chosen for key in view.join_keys})
        lacking = [key for key in keys if key not in entity_df.columns]
        if lacking:
            raise FeatureError(f"The spine has no column {lacking[0]}.")
        times = pd.to_datetime(entity_df[time_column], utc=True)
        metadata = RetrievalMetadata(feature_refs, keys, times.min(), times.max())

        def query() -> pa.Table:
            table = pa.Table.from_pandas(entity_df, preserve_index=False)
            for view, names in chosen.items():
                for name, column in _as_of(config, view, names, entity_df, times).items():
                    shown = f"{view.name}__{name}" if full_feature_names else name
                    table = table.append_column(shown, column)
            return table

        return LakeRetrievalJob(query, full_feature_names, metadata)

    @staticmethod
    def pull_latest_from_table_or_query(
        config: RepoConfig,
        data_source: DataSource,
        join_key_columns: list[str],
        feature_name_columns: list[str],
        timestamp_field: str,
        created_timestamp_column: str | None,
        start_date: datetime,
        end_date: datetime,
    ) -> RetrievalJob:
        """The newest row of each entity in a range of event times; see Feast's ``OfflineStore``."""

        def query() -> pa.Table:
            columns = [*join_key_columns, *feature_name_columns, timestamp_field]
            rows = _read(config, data_source, columns, timestamp_field, start_date, end_date)
            order = [timestamp_field, *_order(data_source)]
            return rows.take(_newest(rows, join_key_columns, order)).select(columns)

        return LakeRetrievalJob(query)

    @staticmethod
    def pull_all_from_table_or_query(
        config: RepoConfig,
        data_source: DataSource,
        join_key_columns: list[str],
        feature_name_columns: list[str],
        timestamp_field: str,
        created_timestamp_column: str | None = None,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
    ) -> RetrievalJob:
        """All rows in a range of event times; see Feast's ``OfflineStore``."""

        def query() -> pa.Table:
            columns = [*join_key_columns, *feature_name_columns, timestamp_field]
            rows = _read(config, data_source, columns, timestamp_field, start_date, end_date)
            return rows.select(columns)

        return LakeRetrievalJob(query)


def _as_of(
    config: RepoConfig, view: FeatureView, names: Sequence[str], spine: pd.DataFrame, times: pd.Series
) -> dict[str, pa.ChunkedArray]:
    """A view's features as they were at each row's time, in the order of the spine."""
    source, keys = view.batch_source, list(view.join_keys)
    if source is None:
        raise FeatureError(f"The view {view.name} has no table.")
    time = source.timestamp_field
    earliest = times.min() - view.ttl if view.ttl else None
    rows = _read(config, source, [*keys, *names, time], time, earliest, times.max(), spine[keys])
    rows = rows.take(_newest(rows, [*keys, time], _order(source)))
    given = pa.table(
        {
            "spine_row": pa.array(range(len(spine))),
            "spine_time": _microseconds(pa.array(times)),
            **{key: pa.array(spine[key], pa.string()) for key in keys},
        }
    )
    told = pa.table(
        {
            "told_time": _microseconds(rows.column(time)),
            "told_row": pa.array(range(rows.num_rows), pa.int64()),
            **{key: rows.column(key) for key in keys},
        }
    )
    same = " AND ".join(f'given."{key}" = told."{key}"' for key in keys)
    with duckdb.connect() as connection:
        connection.register("given", given)
        connection.register("told", told)
        found = connection.sql(
            "SELECT spine_row, spine_time - told_time AS age, told_row FROM given ASOF LEFT JOIN told "  # noqa: S608
            f"ON {same} AND spine_time >= told_time ORDER BY spine_row"
        ).to_arrow_table()
    places = found.column("told_row")
    if view.ttl:
        limit = pa.scalar(int(view.ttl.total_seconds() * 1_000_000))
        places = pc.if_else(pc.less_equal(found.column("age"), limit), places, pa.scalar(None, pa.int64()))
    return {name: rows.column(name).take(places) for name in names}


def _newest(rows: pa.Table, keys: Sequence[str], order: Sequence[str]) -> pa.Array:
    """Numbers of the rows that are the newest of those with the same keys."""
    numbered = rows.select(list(dict.fromkeys((*keys, *order))))
    numbered = numbered.append_column("row", pa.array(range(rows.num_rows), pa.int64()))
    by = ", ".join(f'"{key}"' for key in keys)
    newest = ", ".join(f'"{name}" DESC NULLS LAST' for name in order)
    with duckdb.connect() as connection:
        connection.register("numbered", numbered)
        found = connection.sql(
            "SELECT row FROM numbered "  # noqa: S608
            f"QUALIFY row_number() OVER (PARTITION BY {by} ORDER BY {newest}, row DESC) = 1 ORDER BY row"
        ).to_arrow_table()
    return found.column("row")


def _table(config: RepoConfig, source: DataSource) -> Table:
    """The Iceberg table of a source.

    Raises:
        FeatureError: The source is none, or the catalog has no such table.
    """
    if not isinstance(source, IcebergSource):
        raise FeatureError(f"{source.name} is no Iceberg table.")
    name = f"{source.namespace}.{source.iceberg_table}"
    try:
        return load_catalog("feast", **config.offline_store.catalog).load_table(name)
    except (NoSuchTableError, NoSuchNamespaceError) as cause:
        raise FeatureError(f"The lake has no table {name} yet.", "Make it with 'rift apply'.") from cause


def _read(
    config: RepoConfig,
    source: DataSource,
    columns: Sequence[str],
    time: str,
    start: datetime | None,
    end: datetime | None,
    entities: pd.DataFrame | None = None,
) -> pa.Table:
    """Columns of a source's table, and those of its order, in a range of event times (both ends included)."""
    table = _table(config, source)
    conditions: list[BooleanExpression] = []
    if start is not None:
        conditions.append(GreaterThanOrEqual(time, _iso(start)))  # type: ignore[call-arg, misc]
    if end is not None:
        conditions.append(LessThanOrEqual(time, _iso(end)))  # type: ignore[call-arg, misc]
    for key in () if entities is None else entities.columns:
        values = set(entities[key].dropna().astype(str))  # type: ignore[index]
        if len(values) <= _MOST_KEYS:
            conditions.append(In(key, values))  # type: ignore[call-arg, misc]
    chosen = tuple(dict.fromkeys((*columns, *_order(source))))
    if not conditions:
        return table.scan(selected_fields=chosen).to_arrow()
    condition = conditions[0] if len(conditions) == 1 else And(*conditions)
    return table.scan(row_filter=condition, selected_fields=chosen).to_arrow()


def _order(source: DataSource) -> tuple[str, ...]:
    """Columns that decide between rows of a source with the same event time."""
    declared = next((view.order for view in VIEWS if view.table == source.name), ())
    return (*declared, *_TOPIC_ORDER)


def _iso(moment: datetime) -> str:
    """A moment as Iceberg reads it; one without a zone is UTC."""
    known = pd.Timestamp(moment)
    return str((known.tz_convert("UTC") if known.tzinfo else known.tz_localize("UTC")).isoformat())


def _microseconds(times: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    return times.cast(pa.timestamp("us", "UTC")).cast(pa.int64())
