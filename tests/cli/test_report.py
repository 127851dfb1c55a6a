from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from riftstream.cli.ledger import Latency, Score, Summary
from riftstream.cli.report import Lake, Report, lines

SUMMARY = Summary(
    sent=835,
    read=835,
    accepted=833,
    rejected={"duplicate": 2},
    features=833,
    predictions=833,
    repeated=0,
    results=12,
    known_before=[],
    latency=Latency(833, 21, 1900, 2000),
    latency_warm=Latency(700, 19, 45, 60),
    score=Score(12, 821, 0.1437, 0.25, 0.2459, {}),
    faults=[],
)
REPORT = Report(
    run="#demo-1124-063341",
    origin="the sample",
    matches=12,
    speed=60.0,
    seconds=47.8,
    rows={},
    summary=SUMMARY,
    lake=Lake("raw.match_events", 833, 833),
    faults=[],
    model="win_probability 1",
    chart=Path("match.png"),
    chart_match="TRLH1/1002220186#demo-1124-063341",
    look_next={},
)


def test_the_report_in_words() -> None:
    assert lines(REPORT) == [
        ("matches", "12 of 2017 Summer from the sample, played in 48 s"),
        ("events", "835 read = 833 accepted + 2 rejected"),
        ("rejected", "2 duplicate"),
        ("features", "833 for 833 accepted events"),
        ("predictions", "833 by win_probability 1"),
        ("lakehouse", "833 rows of 833 events in raw.match_events"),
        (
            "latency",
            "p50 21 ms, p99 1,900 ms; after the first 10 s p50 19 ms, p99 45 ms "
            "(event happens → prediction readable)",
        ),
        (
            "Brier",
            "0.144 (mean over 12 matches); always 50 %: 0.250; always how often blue wins: 0.246",
        ),
        ("chart", "match.png"),
    ]


def test_rows_of_raw_files_are_accounted_for_where_they_were_read() -> None:
    rows = {"rows_read": 1000, "rows_used": 990, "rows_left_out": 0, "rows_rejected": 10, "events": 1200}
    assert (
        "rows",
        "1,000 read = 990 used + 10 rejected; 1,200 events made of them",
    ) in lines(replace(REPORT, rows=rows))


def test_a_run_too_short_to_be_warm_claims_no_warm_latency() -> None:
    short = replace(SUMMARY, latency_warm=Latency(0, None, None, None))
    latency = dict(lines(replace(REPORT, summary=short)))["latency"]
    assert "after" not in latency


def test_a_score_of_matches_that_were_known_before_says_so() -> None:
    summary = replace(SUMMARY, known_before=["LCK/1", "LCK/2"])
    told = " ".join(text for _, text in lines(replace(REPORT, summary=summary)))
    assert "what was known before entered 2 matches" in told
    assert "what was known before" not in " ".join(text for _, text in lines(REPORT))
