"""The Iceberg catalog (REST) as the settings describe it."""

from __future__ import annotations

import requests
from pyiceberg.catalog import Catalog, load_catalog
from pyiceberg.exceptions import RESTError

from riftstream.errors import StackError
from riftstream.settings import Settings, get_settings

NAME = "lake"


def properties(settings: Settings) -> dict[str, str]:
    """Properties of the catalog and of the object store behind it, as PyIceberg names them. Holds secrets."""
    return settings.iceberg


def connect(settings: Settings | None = None) -> Catalog:
    """Open the catalog.

    Raises:
        StackError: The catalog does not answer, or refuses the key.
    """
    settings = settings or get_settings()
    try:
        return load_catalog(NAME, **properties(settings))
    except (requests.RequestException, RESTError) as cause:
        raise StackError(
            f"The Iceberg catalog at {settings.catalog_uri} does not answer: {cause}.",
            "Start it with `rift up`, or set RIFT_CATALOG_URI.",
        ) from cause
