-- riftstream: the job that peers can do too, in our way; `rift bench peers` runs it.
--
-- Reads:    live-matches
-- Writes:   peers-match-state, peers-player-windows
-- Keeps:    for each match its counts and the kills of its last five minutes of match clock; for each player of a
--           match the windows that the watermark has not passed yet.
-- Promises: One state record after every event, in the log's order within a match; one record for each window of a
--           player in a match once the watermark (5 s behind the newest event of the slowest partition) has passed
--           it. At least once, equal each time; state survives a crash by the checkpoint of every 5 s.

SET 'execution.checkpointing.interval' = '5 s';
SET 'state.backend.type' = 'hashmap';
SET 'table.exec.state.ttl' = '24 h';
SET 'table.exec.source.idle-timeout' = '5 s';
SET 'table.local-time-zone' = 'UTC';
SET 'pipeline.object-reuse' = 'true';
SET 'table.optimizer.reuse-optimize-block-with-digest-enabled' = 'true';

CREATE TEMPORARY VIEW things AS
SELECT
  match_id, game_time_ms, log_order,
  CASE WHEN event_type = 'CHAMPION_KILL' AND team = 'blue' THEN CAST(1 AS BIGINT) END AS kill_blue,
  CASE WHEN event_type = 'CHAMPION_KILL' AND team = 'red' THEN CAST(1 AS BIGINT) END AS kill_red,
  CASE WHEN event_type = 'BUILDING_KILL' AND building = 'TOWER' AND team = 'blue' THEN 1 END AS tower_blue,
  CASE WHEN event_type = 'BUILDING_KILL' AND building = 'TOWER' AND team = 'red' THEN 1 END AS tower_red,
  CASE WHEN event_type = 'ELITE_MONSTER_KILL' AND monster = 'DRAGON' AND team = 'blue'
    AND COALESCE(monster_sub, '') <> 'ELDER_DRAGON' THEN 1 END AS dragon_blue,
  CASE WHEN event_type = 'ELITE_MONSTER_KILL' AND monster = 'DRAGON' AND team = 'red'
    AND COALESCE(monster_sub, '') <> 'ELDER_DRAGON' THEN 1 END AS dragon_red,
  CASE WHEN event_type = 'ELITE_MONSTER_KILL' AND monster = 'BARON_NASHOR' AND team = 'blue' THEN 1 END AS baron_blue,
  CASE WHEN event_type = 'ELITE_MONSTER_KILL' AND monster = 'BARON_NASHOR' AND team = 'red' THEN 1 END AS baron_red,
  CASE WHEN event_type = 'TEAM_GOLD' THEN CAST(blue_gold - red_gold AS BIGINT) END AS gold_diff
FROM live_matches
WHERE decode_error IS NULL;

CREATE TEMPORARY VIEW states AS
SELECT
  match_id, game_time_ms,
  MAX(game_time_ms) OVER w AS clock_ms,
  COUNT(*) OVER w AS events,
  COUNT(kill_blue) OVER w AS kills_blue,
  COUNT(kill_red) OVER w AS kills_red,
  COUNT(tower_blue) OVER w AS towers_blue,
  COUNT(tower_red) OVER w AS towers_red,
  COUNT(dragon_blue) OVER w AS dragons_blue,
  COUNT(dragon_red) OVER w AS dragons_red,
  COUNT(baron_blue) OVER w AS barons_blue,
  COUNT(baron_red) OVER w AS barons_red,
  LAST_VALUE(gold_diff) OVER w AS gold_diff,
  ROLLING_SUMS(kill_blue, game_time_ms) OVER w AS lately_blue,
  ROLLING_SUMS(kill_red, game_time_ms) OVER w AS lately_red
FROM things
WINDOW w AS (PARTITION BY match_id ORDER BY log_order ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW);

-- Every part that a player took in an event: 1 acted, 2 was the victim, from 3 on assisted.
CREATE TEMPORARY VIEW moments AS
SELECT
  p.player_id, e.match_id, e.event_time, e.ts,
  CASE WHEN e.event_type = 'CHAMPION_KILL' AND p.part = 1 THEN 1 END AS killed,
  CASE WHEN e.event_type = 'CHAMPION_KILL' AND p.part = 2 THEN 1 END AS died,
  CASE WHEN e.event_type = 'CHAMPION_KILL' AND p.part > 2 THEN 1 END AS assisted
FROM live_matches AS e
CROSS JOIN UNNEST(
  CASE
    WHEN assist_ids IS NULL THEN ARRAY[player_id, victim_id]
    ELSE ARRAY_CONCAT(ARRAY[player_id, victim_id], assist_ids)
  END) WITH ORDINALITY AS p (player_id, part)
WHERE e.decode_error IS NULL AND p.player_id IS NOT NULL AND p.player_id <> '';

CREATE TEMPORARY VIEW windows AS
SELECT
  player_id, match_id, MIN(event_time) / 5000 * 5000 AS window_start_ms,
  COUNT(*) AS events, COUNT(killed) AS kills, COUNT(died) AS deaths, COUNT(assisted) AS assists
FROM TABLE(TUMBLE(TABLE moments, DESCRIPTOR(ts), INTERVAL '5' SECOND))
GROUP BY player_id, match_id, window_start, window_end;

INSERT INTO peers_match_state (
  match_id, game_time_ms, clock_ms, events, kills_blue, kills_red, towers_blue, towers_red,
  dragons_blue, dragons_red, barons_blue, barons_red, gold_diff, kills_blue_3m, kills_red_3m)
SELECT
  match_id, game_time_ms, clock_ms, events, kills_blue, kills_red, towers_blue, towers_red,
  dragons_blue, dragons_red, barons_blue, barons_red, gold_diff, lately_blue.m3, lately_red.m3
FROM states;

INSERT INTO peers_player_windows (player_id, match_id, window_start, events, kills, deaths, assists)
SELECT player_id, match_id, window_start_ms, events, kills, deaths, assists
FROM windows;
