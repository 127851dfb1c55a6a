"""The alert rules speak of metrics that there are."""

from __future__ import annotations

import re
from pathlib import Path

import yaml
from prometheus_client import generate_latest

from serving.metrics import (
    ANSWERS,
    BATCH,
    CACHE,
    CIRCUIT,
    DEGRADED,
    LATENCY,
    REFUSED,
    REGISTRY,
    REQUESTS,
)

RULES = Path(__file__).parents[2] / "infra" / "prometheus" / "serving.rules.yml"


def test_every_rule_is_about_metrics_and_labels_that_the_api_tells() -> None:
    REQUESTS.labels("/predict/single", "200").inc()
    LATENCY.labels("/predict/single").observe(0.01)
    CACHE.labels("memory", "miss").inc()
    CIRCUIT.labels("win_probability", "1").set(0)
    ANSWERS.labels("model").inc()
    BATCH.observe(1)
    REFUSED.inc()
    DEGRADED.inc()
    told = generate_latest(REGISTRY).decode()
    rules = [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
    assert len(rules) >= 5
    for rule in rules:
        for metric in re.findall(r"\brift_\w+", rule["expr"]):
            assert f"\n{metric}" in told, metric
        for label in re.findall(r"(\w+)=~?\"", rule["expr"]):
            assert f"{label}=" in told, label
        assert rule["labels"]["severity"] in ("critical", "warning", "info")
        assert rule["annotations"]["summary"].endswith(".")
