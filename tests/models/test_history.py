from __future__ import annotations

import copy

import numpy as np
import pyarrow as pa
import pytest

from models import history
from models.history import Source
from models.player_props.data import games_of
from models.win_probability import pre_match
from models.win_probability.data import VIEWS
from tests import recompute_forms
from tests.models import oracle
from tests.models.rows import placed

KNOWN = ("player_games", "player_kills_mean", "team_form", "team_kills_mean", "opponent_form")


def forms_of(matches: list[list[oracle.Event]]) -> Source:
    """What the jobs of forms make of matches."""
    told = [recompute_forms.summary(placed(match)) for match in matches]
    summaries = [one[0] for one in told if one]
    games = [game for one in told if one for game in one[1]]
    tables = {
        "match_summaries": summaries,
        "player_games": games,
        "player_stats": recompute_forms.player_forms(games),
        "team_form": recompute_forms.team_forms(summaries),
        "head_to_head": recompute_forms.head_to_heads(summaries),
        "champion_meta": recompute_forms.champion_metas(summaries),
    }
    return Source({name: pa.Table.from_pylist(rows) for name, rows in tables.items()}, "", 0)


def altered(match: list[oracle.Event]) -> list[oracle.Event]:
    """The same match with the other winner and without its kills."""
    kept = [copy.copy(event) for event in match if event["event_type"] != "CHAMPION_KILL"]
    kept[-1]["winner"] = "red" if kept[-1]["winner"] == "blue" else "blue"
    return kept


def test_what_is_known_before_a_match_does_not_change_with_what_happens_in_it_or_later() -> None:
    """The match and all that follow are played otherwise: its inputs stay, those of later ones do not."""
    matches = oracle.played()[40:80]
    place = 25
    otherwise = [*matches[:place], *map(altered, matches[place:])]
    rows: list[dict[str, list[float]]] = []
    before: list[dict[str, np.ndarray]] = []
    for one in (matches, otherwise):
        source = forms_of(one)
        games = games_of(source, {}).rows
        rows.append({f"{g['match_id']}/{g['player_id']}": [g[name] for name in KNOWN] for g in games})
        contexts = pre_match.contexts_of(source)
        before.append({match_id: pre_match.inputs([found])[0] for match_id, found in contexts.items()})
    until = {match[0]["match_id"] for match in matches[: place + 1]}
    same = [key for key in rows[0] if key.rpartition("/")[0] in until]
    assert {key: rows[0][key] for key in same} == {key: rows[1][key] for key in same}
    for match_id in until:
        np.testing.assert_array_equal(before[0][match_id], before[1][match_id])
    assert any(rows[0][key] != rows[1][key] for key in rows[0] if key not in same)
    later = [key for key in before[0] if key not in until]
    assert any(not np.array_equal(before[0][key], before[1][key], equal_nan=True) for key in later)


def test_first_match_of_all_knows_nothing() -> None:
    first = oracle.material().games.rows[0]
    assert [first[name] for name in KNOWN] == [None] * len(KNOWN)
    assert np.isnan(oracle.material().corpus.before[0]).all()


@pytest.mark.timeout(600)
def test_training_reads_what_the_jobs_make_of_the_events() -> None:
    """The SQL over real matches gives the rows that plain Python gives, joined alike."""
    matches = oracle.played()[60:80]
    made = history.run(matches, tuple(dict.fromkeys((*VIEWS, "player_games"))))
    expected = forms_of(matches)
    for name, table in expected.tables.items():
        assert made.tables[name].num_rows == table.num_rows, name
    ours, theirs = (pre_match.contexts_of(source) for source in (made, expected))
    for match_id, context in theirs.items():
        np.testing.assert_allclose(
            pre_match.inputs([ours[match_id]]), pre_match.inputs([context]), err_msg=match_id
        )
    names = ("match_id", "player_id", "kills", "won", *KNOWN)
    assert [[row[name] for name in names] for row in games_of(made, {}).rows] == [
        [pytest.approx(row[name]) if isinstance(row[name], float) else row[name] for name in names]
        for row in games_of(expected, {}).rows
    ]
