"""Question: what does one record cost to encode and decode, ours beside fastavro?"""

from __future__ import annotations

import io
from typing import Any

import fastavro

from bench.plots import Bars
from bench.results import Result, save, spread, time_per_call
from streams.avro import Codec, Record, plain_schema
from streams.schemas import RecordSchema, for_topic

KILL: Record = {
    "event_id": "0f" * 16,
    "match_id": "TRLH1/30030",
    "event_type": "CHAMPION_KILL",
    "event_time": 1_700_000_000_000,
    "game_time_ms": 649_200,
    "ordinal": 17,
    "source": "lol-pro",
    "league": "NALCS",
    "season": "2015 Spring",
    "phase": "Season",
    "team": "blue",
    "player_id": "Bjergsen",
    "role": "mid",
    "champion": "Ahri",
    "victim_id": "Hai",
    "victim_role": "mid",
    "victim_champion": "Fizz",
    "assist_ids": [],
    "x": 9229,
    "y": 8469,
}


def _example(schema: RecordSchema) -> Record:
    values: dict[str, Any] = {"string": "TRLH1/30030", "long": 40, "int": 3, "double": 0.5, "boolean": False}
    return {
        field.name: 1_700_000_000_000 if field.logical else values[field.type]
        for field in schema.fields
        if field.type in values
    }


def run() -> Result:
    """Measure, and write the result."""
    rows, raw = [], {}
    records = {"live-matches": KILL}
    for topic in ("live-matches", "match-features", "predictions"):
        schema = for_topic(topic)
        record = records.get(topic) or _example(schema)
        figures = _measure(schema, record)
        raw[schema.name] = {name: spread(values) for name, values in figures.items()}
        medians = {name: raw[schema.name][name]["median"] * 1e6 for name in figures}
        rows.append([schema.name, *(round(medians[name], 2) for name in figures)])
    return save(
        "avro",
        "rift bench avro",
        "What does one record cost to encode and decode, ours beside fastavro (µs, median of 5 rounds)?",
        [
            "record",
            "encode: fastavro",
            "encode: ours",
            "decode: fastavro",
            "decode: ours",
            "decode 3 fields: ours",
        ],
        rows,
        raw=raw,
    )


def _measure(schema: RecordSchema, record: Record) -> dict[str, list[float]]:
    codec = Codec(schema, 1)
    peer = plain_schema(schema.text)
    frame = codec.encode(record)
    three = codec.projection([field.name for field in schema.fields[:3]])

    def peer_encode() -> bytes:
        out = io.BytesIO()
        fastavro.schemaless_writer(out, peer, record)
        return codec.header + out.getvalue()

    if peer_encode() != frame:
        raise AssertionError(f"the two encoders differ for {schema.name}")
    return {
        "encode_fastavro": time_per_call(peer_encode),
        "encode": time_per_call(lambda: codec.encode(record)),
        "decode_fastavro": time_per_call(
            lambda: fastavro.schemaless_reader(io.BytesIO(frame[5:]), peer, None)
        ),
        "decode": time_per_call(lambda: codec.decode(frame)),
        "decode_three": time_per_call(lambda: three(frame)),
    }


def plot(raw: dict[str, Any]) -> Bars:
    """Microseconds by record, ours beside fastavro's."""
    names = {
        "encode: fastavro": "encode_fastavro",
        "encode: ours": "encode",
        "decode: fastavro": "decode_fastavro",
        "decode: ours": "decode",
        "decode 3 fields: ours": "decode_three",
    }
    series = {
        title: [[seconds * 1e6 for seconds in figures[name].values()] for figures in raw.values()]
        for title, name in names.items()
    }
    return Bars("µs", list(raw), series)
