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
    key, secret = settings.s3_access_key, settings.s3_secret_key.get_secret_value()
    return {
        "type": "rest",
        "uri": settings.catalog_uri,
        "warehouse": settings.catalog_warehouse,
        "credential": f"{key}:{secret}",
        "oauth2-server-uri": f"{settings.catalog_uri.rstrip('/')}/v1/oauth/tokens",
        "s3.endpoint": settings.s3_endpoint,
        "s3.region": settings.s3_region,
        "s3.access-key-id": key,
        "s3.secret-access-key": secret,
        "s3.force-virtual-addressing": "false",
    }


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
