"""What ``/metrics`` of the API tells (Prometheus)."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

REGISTRY = CollectorRegistry()

_QUICK = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)

REQUESTS = Counter(
    "rift_http_requests", "Requests by route and status.", ("route", "status"), registry=REGISTRY
)
LATENCY = Histogram(
    "rift_http_seconds",
    "Seconds from a request's head to the end of its answer.",
    ("route",),
    buckets=_QUICK,
    registry=REGISTRY,
)
ANSWERS = Counter(
    "rift_answers",
    "Answers by origin: model, memory, redis, topic, fallback; those of the hot path's memory cache not "
    "included, see rift_cache_lookups.",
    ("origin",),
    registry=REGISTRY,
)
DEGRADED = Counter("rift_answers_degraded", "Answers that were marked as degraded.", registry=REGISTRY)
CACHE = Counter(
    "rift_cache_lookups",
    "Look-ups of the caches (memory: L1, redis: L2) by result: hit or miss.",
    ("layer", "result"),
    registry=REGISTRY,
)
BATCH = Histogram(
    "rift_batch_questions",
    "Questions that are answered together.",
    buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000),
    registry=REGISTRY,
)
SECONDS = Histogram(
    "rift_model_seconds",
    "Seconds that features and model take for the questions of a batch.",
    buckets=_QUICK,
    registry=REGISTRY,
)
WAITING = Gauge("rift_questions_waiting", "Questions that wait for a batch.", registry=REGISTRY)
REFUSED = Counter("rift_questions_refused", "Questions refused as there are too many.", registry=REGISTRY)
FEEDS = Gauge("rift_feed_clients", "Clients of the live feeds.", ("kind",), registry=REGISTRY)
FEED_DROPPED = Counter(
    "rift_feed_clients_dropped", "Clients of the live feeds that were too slow.", registry=REGISTRY
)
CIRCUIT = Gauge(
    "rift_circuit_open",
    "Whether the circuit of a model version is open (1), half-open (0.5) or closed (0).",
    ("model", "version"),
    registry=REGISTRY,
)
