"""What is shown of the quality of features, for people, for programs and for Prometheus."""

from __future__ import annotations

import re

from riftstream.cli.quality import Checked, exposition, quality_of
from tests.cli.records import record

NOW = 1_764_000_000_000
TOLD = record(
    "feature-quality",
    view="match_state",
    sampled=800,
    entities=40,
    age_p50_ms=21.0,
    age_p99_ms=80.5,
    features=["gold_diff", "kills_diff"],
    null_rates=[0.5, 0.0],
    drifting=["gold_diff"],
    psi=[0.31],
    computed_at=NOW - 500,
)
SAMPLE = re.compile(r'^\w+(\{\w+="[^"]+"(,\w+="[^"]+")*\})? [0-9.e+-]+$')


def test_the_rate_of_a_view_is_the_mean_of_its_features_and_the_worst_drift_is_named() -> None:
    found = quality_of(TOLD, NOW)
    assert (found.null_rate, found.worst, found.computed_age_ms) == (0.25, ("gold_diff", 0.31), 500)


def test_a_record_of_a_small_sample_tells_no_drift() -> None:
    found = quality_of(TOLD | {"drifting": None, "psi": None}, NOW)
    assert (found.psi, found.worst) == ({}, None)


def test_prometheus_gets_each_metric_once_with_its_meaning() -> None:
    lines = list(exposition([quality_of(TOLD, NOW)], Checked(3, 120, 1, 0, 10)))
    samples = [line for line in lines if not line.startswith("#")]
    assert 'rift_feature_age_ms{view="match_state",quantile="0.99"} 80.5' in samples
    assert 'rift_feature_null_rate{view="match_state",feature="gold_diff"} 0.5' in samples
    assert 'rift_feature_psi{view="match_state",feature="gold_diff"} 0.31' in samples
    assert "rift_feature_check_wrong 1" in samples
    assert all(SAMPLE.match(line) for line in samples)
    helped = [line.split()[2] for line in lines if line.startswith("# HELP")]
    assert len(helped) == len(set(helped))
    assert {line.split("{")[0].split()[0] for line in samples} == set(helped)
