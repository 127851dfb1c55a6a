-- matches_to_lake: results, summaries and player games of matches, once, as history.
--
-- Reads:    match-results, match-summaries, player-games
-- Writes:   lake.processed.match_results, lake.processed.match_summaries, lake.processed.player_games
-- Keeps:    the newest place of each match, and of each player in a match. Cleared 24 h after it.
-- Promises: Every record of these topics is one row (exactly once). What a topic repeats after a crash, since it is
--           written at least once, is left out when it comes within 24 h. log_partition and log_offset are the
--           record's place in its topic.

SET 'execution.checkpointing.interval' = '10 s';
SET 'execution.checkpointing.externalized-checkpoint-retention' = 'RETAIN_ON_CANCELLATION';
SET 'parallelism.default' = '1';
SET 'state.backend.type' = 'hashmap';
SET 'table.exec.state.ttl' = '24 h';
SET 'table.local-time-zone' = 'UTC';
SET 'pipeline.object-reuse' = 'true';
SET 'restart-strategy.type' = 'exponential-delay';
SET 'restart-strategy.exponential-delay.initial-backoff' = '1 s';
SET 'restart-strategy.exponential-delay.max-backoff' = '30 s';

CREATE TEMPORARY VIEW match_results_rows AS
SELECT * FROM (
  SELECT
    *,
    IS_NEWEST(source_offset) OVER (
      PARTITION BY match_id ORDER BY log_order ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS kept
  FROM match_results
  WHERE decode_error IS NULL)
WHERE kept;

INSERT INTO lake.processed.match_results (
  match_id, event_id, status, winner, duration_ms, game_time_ms, event_time, source, league, season, phase, patch,
  map_number, blue_team, red_team, events, kills_blue, kills_red, towers_blue, towers_red, inhibitors_blue,
  inhibitors_red, dragons_blue, dragons_red, barons_blue, barons_red, gold_blue, gold_red, source_partition,
  source_offset, log_partition, log_offset, log_time)
SELECT
  match_id, event_id, status, winner, duration_ms, game_time_ms, TO_TIMESTAMP_LTZ(event_time, 3), source, league,
  season, phase, patch, map_number, blue_team, red_team, events, kills_blue, kills_red, towers_blue, towers_red,
  inhibitors_blue, inhibitors_red, dragons_blue, dragons_red, barons_blue, barons_red, gold_blue, gold_red,
  source_partition, source_offset, log_partition, log_offset, log_time
FROM match_results_rows;

CREATE TEMPORARY VIEW match_summaries_rows AS
SELECT * FROM (
  SELECT
    *,
    IS_NEWEST(source_offset) OVER (
      PARTITION BY match_id ORDER BY log_order ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS kept
  FROM match_summaries
  WHERE decode_error IS NULL)
WHERE kept;

INSERT INTO lake.processed.match_summaries (
  match_id, event_id, started, event_time, game_time_ms, duration_ms, winner, source, league, season, phase, patch,
  map_number, blue_team, red_team, blue_players, red_players, blue_champions, red_champions, blue_bans, red_bans,
  kills_blue, kills_red, towers_blue, towers_red, inhibitors_blue, inhibitors_red, dragons_blue, dragons_red,
  barons_blue, barons_red, gold_blue, gold_red, source_partition, source_offset, log_partition, log_offset,
  log_time)
SELECT
  match_id, event_id, TO_TIMESTAMP_LTZ(started, 3), TO_TIMESTAMP_LTZ(event_time, 3), game_time_ms, duration_ms,
  winner, source, league, season, phase, patch, map_number, blue_team, red_team, blue_players, red_players,
  blue_champions, red_champions, blue_bans, red_bans, kills_blue, kills_red, towers_blue, towers_red,
  inhibitors_blue, inhibitors_red, dragons_blue, dragons_red, barons_blue, barons_red, gold_blue, gold_red,
  source_partition, source_offset, log_partition, log_offset, log_time
FROM match_summaries_rows;

CREATE TEMPORARY VIEW player_games_rows AS
SELECT * FROM (
  SELECT
    *,
    IS_NEWEST(source_offset) OVER (
      PARTITION BY player_id, match_id ORDER BY log_order ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS kept
  FROM player_games
  WHERE decode_error IS NULL)
WHERE kept;

INSERT INTO lake.processed.player_games (
  player_id, match_id, started, event_time, duration_ms, source, league, season, phase, patch, map_number, side,
  team, opponent, `role`, champion, won, kills, deaths, assists, team_kills, creep_score, gold, source_partition,
  source_offset, log_partition, log_offset, log_time)
SELECT
  player_id, match_id, TO_TIMESTAMP_LTZ(started, 3), TO_TIMESTAMP_LTZ(event_time, 3), duration_ms, source, league,
  season, phase, patch, map_number, side, team, opponent, `role`, champion, won, kills, deaths, assists,
  team_kills, creep_score, gold, source_partition, source_offset, log_partition, log_offset, log_time
FROM player_games_rows;
