"""What the jobs of forms must compute, in plain Python: the oracle for streamed and batch rows.

Written from the field docs of ``schemas/avro`` (match_summary, player_game, player_form, team_form,
head_to_head, champion_meta), and from nothing else. It favours being obvious over being quick: each form is
computed anew from all games.

Events are as ``tests.recompute`` has them: MatchEvent dicts with ``source_partition`` and ``source_offset``,
the accepted events of one match in log order.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from tests.recompute import OTHER, SIDES, Event, Record, by_a_side, count, newest_told

DAY = 86_400_000
ROLES = ("top", "jungle", "mid", "adc", "support")
TELLING = (
    *("MATCH_START", "CHAMPION_KILL", "BUILDING_KILL", "ELITE_MONSTER_KILL", "TEAM_GOLD", "PLAYER_STATS"),
    *("REMAKE", "MATCH_END"),
)


def summary(events: Sequence[Event]) -> tuple[Record, list[Record]] | None:
    """MatchSummary and PlayerGames of one match; None for one that was not completed."""
    telling = [event for event in events if event["event_type"] in TELLING]
    ends = [n for n, event in enumerate(telling) if event["event_type"] in ("MATCH_END", "REMAKE")]
    if not ends or telling[ends[0]]["event_type"] == "REMAKE":
        return None
    history = telling[: ends[0] + 1]
    end = history[-1]
    starts = [event for event in history if event["event_type"] == "MATCH_START"]
    snapshots = [event for event in history if event["event_type"] == "PLAYER_STATS"]
    gold = [event for event in history if event["event_type"] == "TEAM_GOLD"]
    kills = [event for event in history if event["event_type"] == "CHAMPION_KILL"]
    buildings = [event for event in history if event["event_type"] == "BUILDING_KILL"]
    monsters = [event for event in history if event["event_type"] == "ELITE_MONSTER_KILL"]
    record: Record = {
        "started": starts[0]["event_time"] if starts else history[0]["event_time"],
        "duration_ms": end["duration_ms"],
        "winner": end["winner"],
        "source": end["source"],
    }
    for name in ("match_id", "event_id", "event_time", "game_time_ms", "source_partition", "source_offset"):
        record[name] = end[name]
    for name in ("league", "season", "phase", "patch", "map_number"):
        record[name] = newest_told(history, name)
    for name in ("team", "players", "champions", "bans"):
        for side in SIDES:
            record[f"{side}_{name}"] = newest_told(starts, f"{side}_{name}")
    players = _players(record, kills, snapshots)
    for side in SIDES:
        own = sum(player["kills"] for player in players if player["side"] == side)
        record[f"kills_{side}"] = max(count(by_a_side(kills, "CHAMPION_KILL"), side), own)
        towers = [event for event in buildings if event["building"] == "TOWER"]
        inhibitors = [event for event in buildings if event["building"] == "INHIBITOR"]
        barons = [event for event in monsters if event["monster"] == "BARON_NASHOR"]
        dragons = [
            event
            for event in monsters
            if event["monster"] == "DRAGON" and event["monster_sub"] != "ELDER_DRAGON"
        ]
        record[f"towers_{side}"] = count(towers, side) if buildings else None
        record[f"inhibitors_{side}"] = count(inhibitors, side) if buildings else None
        record[f"dragons_{side}"] = count(dragons, side) if monsters else None
        record[f"barons_{side}"] = count(barons, side) if monsters else None
        record[f"gold_{side}"] = gold[-1][f"{side}_gold"] if gold else None
    frame: tuple[str, ...] = (
        "match_id",
        "started",
        "event_time",
        "duration_ms",
        "source",
        "league",
        "season",
        "phase",
        "patch",
    )
    frame += ("map_number", "source_partition", "source_offset")
    for player in players:
        side = player["side"]
        player |= {name: record[name] for name in frame}
        player["team"], player["opponent"] = record[f"{side}_team"], record[f"{OTHER[side]}_team"]
        player["won"] = side == end["winner"]
        player["team_kills"] = record[f"kills_{side}"]
    return record, players


def _players(record: Record, kills: Sequence[Event], snapshots: Sequence[Event]) -> list[Record]:
    found = []
    for side in SIDES:
        names, champions = record[f"{side}_players"] or [], record[f"{side}_champions"] or []
        for place, name in enumerate(names):
            if not name:
                continue
            own = [event for event in snapshots if event["player_id"] == name]

            def highest(field: str, own: list[Event] = own) -> int | None:
                told = [event[field] for event in own if event[field] is not None]
                return max(told) if told else None

            counted = {
                "kills": sum(event["player_id"] == name for event in kills),
                "deaths": sum(event["victim_id"] == name for event in kills),
                "assists": sum((event["assist_ids"] or []).count(name) for event in kills),
            }
            found.append(
                {
                    "player_id": name,
                    "side": side,
                    "role": ROLES[place],
                    "champion": (champions[place] or None) if place < len(champions) else None,
                    **{field: max(value, highest(field) or 0) for field, value in counted.items()},
                    "creep_score": highest("creep_score"),
                    "gold": highest("gold"),
                }
            )
    return found


def _forms(games: Iterable[Record], key: str, days: int) -> list[tuple[Record, list[Record]]]:
    """Each game with the games of its key whose end is in (its end - days, its end], oldest first."""
    by_key: dict[str, list[Record]] = {}
    for game in games:
        by_key.setdefault(game[key], []).append(game)
    found = []
    for of_key in by_key.values():
        of_key.sort(key=lambda game: game["event_time"])
        for game in of_key:
            now = game["event_time"]
            found.append((game, [g for g in of_key if now - days * DAY < g["event_time"] <= now]))
    return found


def _common(game: Record, window: Sequence[Record]) -> Record:
    weighted = total = 0.0
    weight = 1.0
    for one in reversed(window):
        weighted += weight if one["won"] else 0.0
        total += weight
        weight *= 0.8
    return {
        "as_of": game["event_time"],
        "event_time": game["event_time"],
        "match_id": game["match_id"],
        "games": len(window),
        "wins": sum(one["won"] for one in window),
        "form": weighted / total,
        "source_partition": game["source_partition"],
        "source_offset": game["source_offset"],
    }


def _mean(window: Sequence[Record], value: Callable[[Record], int | None]) -> float | None:
    known = [found for found in map(value, window) if found is not None]
    return sum(known) / len(known) if known else None


def _spread(values: Sequence[int]) -> float | None:
    n, total, squares = len(values), sum(values), sum(value * value for value in values)
    return math.sqrt((n * squares - total * total) / (n * (n - 1))) if n > 1 else None


def player_forms(games: Iterable[Record]) -> list[Record]:
    """PlayerForm after each PlayerGame."""
    found = []
    for game, window in _forms(games, "player_id", 30):
        sums = {name: sum(one[name] for one in window) for name in ("kills", "deaths", "assists")}
        team_kills = sum(one["team_kills"] for one in window)
        found.append(
            {
                **_common(game, window),
                **sums,
                **{f"{name}_mean": value / len(window) for name, value in sums.items()},
                "player_id": game["player_id"],
                "role": newest_told(window, "role"),
                "team": newest_told(window, "team"),
                "participation": (sums["kills"] + sums["assists"]) / team_kills if team_kills else None,
                "kills_volatility": _spread([one["kills"] for one in window]),
            }
        )
    return found


def team_games(summaries: Iterable[Record]) -> list[Record]:
    """Each match as either of its teams saw it."""
    found = []
    for match in summaries:
        for side in SIDES:
            game = {name: match[name] for name in ("match_id", "event_time", "league", "duration_ms")}
            game |= {name: match[name] for name in ("source_partition", "source_offset")}
            other = OTHER[side]
            game |= {"team": match[f"{side}_team"], "opponent": match[f"{other}_team"]}
            game["won"] = match["winner"] == side
            for name in ("kills", "towers", "dragons", "barons", "gold"):
                game[name], game[f"{name}_other"] = match[f"{name}_{side}"], match[f"{name}_{other}"]
            found.append(game)
    return found


def _diff(game: Record, name: str) -> int | None:
    own, other = game[name], game[f"{name}_other"]
    return None if own is None or other is None else int(own - other)


def team_forms(summaries: Iterable[Record]) -> list[Record]:
    """TeamForm after each match of each team that has a name."""
    found = []
    for game, window in _forms((g for g in team_games(summaries) if g["team"]), "team", 30):
        record = _common(game, window)
        found.append(
            {
                **record,
                "team": game["team"],
                "league": newest_told(window, "league"),
                "win_rate": record["wins"] / record["games"],
                "kills_mean": _mean(window, lambda g: g["kills"]),
                "deaths_mean": _mean(window, lambda g: g["kills_other"]),
                "kills_volatility": _spread([one["kills"] for one in window]),
                "towers_mean": _mean(window, lambda g: g["towers"]),
                "towers_lost_mean": _mean(window, lambda g: g["towers_other"]),
                "dragons_mean": _mean(window, lambda g: g["dragons"]),
                "barons_mean": _mean(window, lambda g: g["barons"]),
                "gold_diff_mean": _mean(window, lambda g: _diff(g, "gold")),
                "duration_mean_ms": _mean(window, lambda g: g["duration_ms"]),
            }
        )
    return found


def head_to_heads(summaries: Iterable[Record]) -> list[Record]:
    """HeadToHead after each match, from both teams' view."""
    games = [
        game | {"pair": f"{game['team']}|{game['opponent']}"}
        for game in team_games(summaries)
        if game["team"] and game["opponent"]
    ]
    found = []
    for game, window in _forms(games, "pair", 365):
        record = _common(game, window)
        found.append(
            {
                **record,
                **{name: game[name] for name in ("pair", "team", "opponent")},
                "win_rate": record["wins"] / record["games"],
                "kills_diff_mean": _mean(window, lambda g: _diff(g, "kills")),
                "gold_diff_mean": _mean(window, lambda g: _diff(g, "gold")),
            }
        )
    return found


def champion_metas(summaries: Sequence[Record]) -> list[Record]:
    """ChampionMeta after each match, the matches being heard in this order."""
    found: list[Record] = []
    for number, match in enumerate(summaries):
        scope, kind = _scope(match)
        if not scope:
            continue
        heard = [one for one in summaries[: number + 1] if _scope(one) == (scope, kind)]
        as_of = max(one["event_time"] for one in heard)
        picked = [_champions(one, "champions") for one in heard]
        banned = [_champions(one, "bans") for one in heard]
        won = [{c for c in one[f"{one['winner']}_champions"] or [] if c} for one in heard]
        for champion in sorted(set().union(*picked, *banned)):
            picks, bans, wins = (sum(champion in of for of in lists) for lists in (picked, banned, won))
            found.append(
                {
                    "champion": champion,
                    "scope": scope,
                    "scope_kind": kind,
                    "as_of": as_of,
                    "event_time": as_of,
                    "match_id": match["match_id"],
                    "games": len(heard),
                    "picks": picks,
                    "bans": bans,
                    "wins": wins,
                    "pick_rate": picks / len(heard),
                    "ban_rate": bans / len(heard),
                    "win_rate": wins / picks if picks else None,
                    "source_partition": match["source_partition"],
                    "source_offset": match["source_offset"],
                }
            )
    return found


def _scope(match: Record) -> tuple[str | None, str]:
    return (match["patch"], "patch") if match["patch"] else (match["season"], "season")


def _champions(match: Record, of: str) -> set[Any]:
    return {name for side in SIDES for name in match[f"{side}_{of}"] or [] if name}
