-- match_summary: who plays in which match, who played what in each completed match, and what each did.
--
-- From:     match_pipeline.valid
-- Reads:    live-matches
-- Writes:   match-summaries, player-games, match-context
-- Keeps:    for each match the ids of its events, its rosters and bans, and counts of each player and side. Cleared
--           24 h after a match's last event.
-- Promises: One match-summaries record and one player-games record for each known player of the rosters, when the
--           first ending of a match in the log's order is a MATCH_END; none for a remade match. At least once, equal
--           each time. One match-context record for each named team of a MATCH_START, at once.
--           What match_pipeline rejects or drops as a duplicate counts for nothing here.
--
-- Forms and champion rates are made of the first two topics, so that live-matches is read once for all of them. Views
-- hold no word that only a stream knows.

SET 'parallelism.default' = '1';
SET 'state.backend.type' = 'hashmap';
SET 'table.exec.state.ttl' = '24 h';
SET 'pipeline.object-reuse' = 'true';
-- Each view that several INSERTs use is planned once and runs once.
SET 'table.optimizer.reuse-optimize-block-with-digest-enabled' = 'true';
SET 'table.optimizer.reuse-sink-enabled' = 'true';

-- The events that tell who played and what came of it. The computed column keeps the planner from merging this
-- projection away and carrying whole records through the shuffle.
CREATE TEMPORARY VIEW telling AS
SELECT
  event_id, match_id, CONCAT(event_type, '') AS event_type, event_time, game_time_ms,
  source, league, season, phase, patch, map_number, team, player_id, victim_id, assist_ids,
  building, monster, monster_sub, blue_gold, red_gold, kills, deaths, assists, creep_score, gold,
  blue_team, red_team, blue_players, red_players, blue_champions, red_champions, blue_bans, red_bans,
  winner, duration_ms, source_partition, source_offset, log_order
FROM valid
WHERE event_type IN (
  'MATCH_START', 'CHAMPION_KILL', 'BUILDING_KILL', 'ELITE_MONSTER_KILL', 'TEAM_GOLD', 'PLAYER_STATS',
  'REMAKE', 'MATCH_END');

CREATE TEMPORARY VIEW telling_once AS
SELECT * FROM (
  SELECT
    *,
    IS_DUPLICATE(event_id) OVER (
      PARTITION BY match_id ORDER BY log_order ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS duplicate
  FROM telling)
WHERE NOT duplicate;

CREATE TEMPORARY VIEW match_totals AS
SELECT
  match_id, event_id, event_type, event_time, game_time_ms, winner, duration_ms, source,
  source_partition, source_offset, log_order,
  COUNT(CASE WHEN event_type IN ('MATCH_END', 'REMAKE') THEN 1 END) OVER w AS endings,
  FIRST_VALUE(event_time) OVER w AS first_time,
  FIRST_VALUE(CASE WHEN event_type = 'MATCH_START' THEN event_time END) OVER w AS start_time,
  LAST_VALUE(league) OVER w AS league,
  LAST_VALUE(season) OVER w AS season,
  LAST_VALUE(phase) OVER w AS phase,
  LAST_VALUE(patch) OVER w AS patch,
  LAST_VALUE(map_number) OVER w AS map_number,
  LAST_VALUE(CASE WHEN event_type = 'MATCH_START' THEN blue_team END) OVER w AS blue_team,
  LAST_VALUE(CASE WHEN event_type = 'MATCH_START' THEN red_team END) OVER w AS red_team,
  COUNT(CASE WHEN event_type = 'CHAMPION_KILL' AND team = 'blue' THEN 1 END) OVER w AS kills_blue,
  COUNT(CASE WHEN event_type = 'CHAMPION_KILL' AND team = 'red' THEN 1 END) OVER w AS kills_red,
  COUNT(CASE WHEN event_type = 'BUILDING_KILL' THEN 1 END) OVER w AS buildings,
  COUNT(CASE WHEN event_type = 'BUILDING_KILL' AND building = 'TOWER' AND team = 'blue' THEN 1 END) OVER w
    AS towers_blue,
  COUNT(CASE WHEN event_type = 'BUILDING_KILL' AND building = 'TOWER' AND team = 'red' THEN 1 END) OVER w
    AS towers_red,
  COUNT(CASE WHEN event_type = 'BUILDING_KILL' AND building = 'INHIBITOR' AND team = 'blue' THEN 1 END) OVER w
    AS inhibitors_blue,
  COUNT(CASE WHEN event_type = 'BUILDING_KILL' AND building = 'INHIBITOR' AND team = 'red' THEN 1 END) OVER w
    AS inhibitors_red,
  COUNT(CASE WHEN event_type = 'ELITE_MONSTER_KILL' THEN 1 END) OVER w AS monsters,
  COUNT(CASE WHEN event_type = 'ELITE_MONSTER_KILL' AND monster = 'DRAGON' AND team = 'blue'
    AND COALESCE(monster_sub, '') <> 'ELDER_DRAGON' THEN 1 END) OVER w AS dragons_blue,
  COUNT(CASE WHEN event_type = 'ELITE_MONSTER_KILL' AND monster = 'DRAGON' AND team = 'red'
    AND COALESCE(monster_sub, '') <> 'ELDER_DRAGON' THEN 1 END) OVER w AS dragons_red,
  COUNT(CASE WHEN event_type = 'ELITE_MONSTER_KILL' AND monster = 'BARON_NASHOR' AND team = 'blue' THEN 1 END) OVER w
    AS barons_blue,
  COUNT(CASE WHEN event_type = 'ELITE_MONSTER_KILL' AND monster = 'BARON_NASHOR' AND team = 'red' THEN 1 END) OVER w
    AS barons_red,
  LAST_VALUE(CASE WHEN event_type = 'TEAM_GOLD' THEN CAST(blue_gold AS BIGINT) END) OVER w AS gold_blue,
  LAST_VALUE(CASE WHEN event_type = 'TEAM_GOLD' THEN CAST(red_gold AS BIGINT) END) OVER w AS gold_red,
  LINE_UP(
    event_type, player_id, victim_id, assist_ids, kills, deaths, assists, creep_score, gold,
    blue_players, red_players, blue_champions, red_champions, blue_bans, red_bans) OVER w AS line_up
FROM telling_once
WINDOW w AS (PARTITION BY match_id ORDER BY log_order ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW);

CREATE TEMPORARY VIEW completed AS
SELECT
  match_id, event_id, COALESCE(start_time, first_time) AS started, event_time, game_time_ms, duration_ms, winner,
  source, league, season, phase, patch, map_number, blue_team, red_team,
  line_up.blue_players AS blue_players, line_up.red_players AS red_players,
  line_up.blue_champions AS blue_champions, line_up.red_champions AS red_champions,
  line_up.blue_bans AS blue_bans, line_up.red_bans AS red_bans, line_up.players AS players,
  CASE WHEN line_up.kills_blue > kills_blue THEN line_up.kills_blue ELSE kills_blue END AS kills_blue,
  CASE WHEN line_up.kills_red > kills_red THEN line_up.kills_red ELSE kills_red END AS kills_red,
  CASE WHEN buildings > 0 THEN towers_blue END AS towers_blue,
  CASE WHEN buildings > 0 THEN towers_red END AS towers_red,
  CASE WHEN buildings > 0 THEN inhibitors_blue END AS inhibitors_blue,
  CASE WHEN buildings > 0 THEN inhibitors_red END AS inhibitors_red,
  CASE WHEN monsters > 0 THEN dragons_blue END AS dragons_blue,
  CASE WHEN monsters > 0 THEN dragons_red END AS dragons_red,
  CASE WHEN monsters > 0 THEN barons_blue END AS barons_blue,
  CASE WHEN monsters > 0 THEN barons_red END AS barons_red,
  gold_blue, gold_red, source_partition, source_offset
FROM match_totals
WHERE event_type = 'MATCH_END' AND endings = 1;

-- What is known of a match before it begins, as each team sees it.
CREATE TEMPORARY VIEW contexts AS
SELECT
  match_id, blue_team AS team, red_team AS opponent, 'blue' AS side, league, season, phase AS stage, patch, map_number,
  blue_players AS players, blue_champions AS champions, event_time, source_partition, source_offset
FROM telling_once
WHERE event_type = 'MATCH_START' AND blue_team <> ''
UNION ALL
SELECT
  match_id, red_team AS team, blue_team AS opponent, 'red' AS side, league, season, phase AS stage, patch, map_number,
  red_players AS players, red_champions AS champions, event_time, source_partition, source_offset
FROM telling_once
WHERE event_type = 'MATCH_START' AND red_team <> '';

INSERT INTO match_summaries (
  match_id, event_id, started, event_time, game_time_ms, duration_ms, winner, source, league, season, phase, patch,
  map_number, blue_team, red_team, blue_players, red_players, blue_champions, red_champions, blue_bans, red_bans,
  kills_blue, kills_red, towers_blue, towers_red, inhibitors_blue, inhibitors_red, dragons_blue, dragons_red,
  barons_blue, barons_red, gold_blue, gold_red, source_partition, source_offset)
SELECT
  match_id, event_id, started, event_time, game_time_ms, duration_ms, winner, source, league, season, phase, patch,
  map_number, blue_team, red_team, blue_players, red_players, blue_champions, red_champions, blue_bans, red_bans,
  kills_blue, kills_red, towers_blue, towers_red, inhibitors_blue, inhibitors_red, dragons_blue, dragons_red,
  barons_blue, barons_red, gold_blue, gold_red, source_partition, source_offset
FROM completed;

INSERT INTO player_games (
  player_id, match_id, started, event_time, duration_ms, source, league, season, phase, patch, map_number,
  side, team, opponent, `role`, champion, won, kills, deaths, assists, team_kills, creep_score, gold,
  source_partition, source_offset)
SELECT
  p.player_id, m.match_id, m.started, m.event_time, m.duration_ms, m.source, m.league, m.season, m.phase, m.patch,
  m.map_number, p.side,
  CASE p.side WHEN 'blue' THEN m.blue_team ELSE m.red_team END,
  CASE p.side WHEN 'blue' THEN m.red_team ELSE m.blue_team END,
  p.`role`, p.champion, p.side = m.winner, p.kills, p.deaths, p.assists,
  CASE p.side WHEN 'blue' THEN m.kills_blue ELSE m.kills_red END,
  p.creep_score, p.gold, m.source_partition, m.source_offset
FROM completed AS m
CROSS JOIN UNNEST(m.players) AS p (
  player_id, side, `role`, champion, kills, deaths, assists, creep_score, gold);

INSERT INTO match_context (
  match_id, team, opponent, side, league, season, stage, patch, map_number, players, champions, event_time,
  source_partition, source_offset)
SELECT
  match_id, team, opponent, side, league, season, stage, patch, map_number, players, champions, event_time,
  source_partition, source_offset
FROM contexts;
