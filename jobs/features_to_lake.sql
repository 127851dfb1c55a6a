-- features_to_lake: every record of the feature topics, once, as history for training sets.
--
-- Reads:    match-features, player-performance, player-stats, team-form, head-to-head, champion-meta,
--           match-context
-- Writes:   lake.features.match_state, lake.features.player_window, lake.features.player_form,
--           lake.features.team_form, lake.features.head_to_head, lake.features.champion_meta, lake.features.match_context
-- Keeps:    the newest place of each match, and of each player in a match; which forms, champion rates and contexts
--           came within 24 h. Cleared 24 h after the last record of a key.
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

-- A match's places only grow, so one number tells what was there before.
CREATE TEMPORARY VIEW match_state_rows AS
SELECT * FROM (
  SELECT
    *,
    IS_NEWEST(source_offset) OVER (
      PARTITION BY match_id ORDER BY log_order ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS kept
  FROM match_features
  WHERE decode_error IS NULL)
WHERE kept;

INSERT INTO lake.features.match_state (
  match_id, event_id, event_type, event_time, game_time_ms, source_partition, source_offset, kafka_time,
  flink_time, `watermark`, source, league, season, blue_team, red_team, clock_ms, events, out_of_order_events,
  late_events, pauses, kills_blue, kills_red, kills_diff, towers_blue, towers_red, towers_diff, inhibitors_blue,
  inhibitors_red, inhibitors_diff, dragons_blue, dragons_red, dragons_diff, air_dragons_blue, air_dragons_red,
  air_dragons_diff, earth_dragons_blue, earth_dragons_red, earth_dragons_diff, fire_dragons_blue, fire_dragons_red,
  fire_dragons_diff, water_dragons_blue, water_dragons_red, water_dragons_diff, hextech_dragons_blue,
  hextech_dragons_red, hextech_dragons_diff, chemtech_dragons_blue, chemtech_dragons_red, chemtech_dragons_diff,
  elder_dragons_blue, elder_dragons_red, elder_dragons_diff, heralds_blue, heralds_red, heralds_diff, barons_blue,
  barons_red, barons_diff, gold_blue, gold_red, gold_diff, gold_age_ms, kills_blue_1m, kills_red_1m, kills_diff_1m,
  kills_blue_3m, kills_red_3m, kills_diff_3m, kills_blue_5m, kills_red_5m, kills_diff_5m, towers_blue_1m,
  towers_red_1m, towers_diff_1m, towers_blue_3m, towers_red_3m, towers_diff_3m, towers_blue_5m, towers_red_5m,
  towers_diff_5m, gold_blue_1m, gold_red_1m, gold_diff_1m, gold_blue_3m, gold_red_3m, gold_diff_3m, gold_blue_5m,
  gold_red_5m, gold_diff_5m, since_kill_ms, since_tower_ms, since_dragon_ms, since_baron_ms, first_blood_blue,
  first_blood_red, first_tower_blue, first_tower_red, towers_alive_blue, towers_alive_red, inhibitors_down_blue,
  inhibitors_down_red, baron_power_blue, baron_power_red, dragon_alive, herald_alive, baron_alive, log_partition,
  log_offset, log_time)
SELECT
  match_id, event_id, event_type, TO_TIMESTAMP_LTZ(event_time, 3), game_time_ms, source_partition, source_offset,
  TO_TIMESTAMP_LTZ(kafka_time, 3), TO_TIMESTAMP_LTZ(flink_time, 3), TO_TIMESTAMP_LTZ(`watermark`, 3), source,
  league, season, blue_team, red_team, clock_ms, events, out_of_order_events, late_events, pauses, kills_blue,
  kills_red, kills_diff, towers_blue, towers_red, towers_diff, inhibitors_blue, inhibitors_red, inhibitors_diff,
  dragons_blue, dragons_red, dragons_diff, air_dragons_blue, air_dragons_red, air_dragons_diff, earth_dragons_blue,
  earth_dragons_red, earth_dragons_diff, fire_dragons_blue, fire_dragons_red, fire_dragons_diff,
  water_dragons_blue, water_dragons_red, water_dragons_diff, hextech_dragons_blue, hextech_dragons_red,
  hextech_dragons_diff, chemtech_dragons_blue, chemtech_dragons_red, chemtech_dragons_diff, elder_dragons_blue,
  elder_dragons_red, elder_dragons_diff, heralds_blue, heralds_red, heralds_diff, barons_blue, barons_red,
  barons_diff, gold_blue, gold_red, gold_diff, gold_age_ms, kills_blue_1m, kills_red_1m, kills_diff_1m,
  kills_blue_3m, kills_red_3m, kills_diff_3m, kills_blue_5m, kills_red_5m, kills_diff_5m, towers_blue_1m,
  towers_red_1m, towers_diff_1m, towers_blue_3m, towers_red_3m, towers_diff_3m, towers_blue_5m, towers_red_5m,
  towers_diff_5m, gold_blue_1m, gold_red_1m, gold_diff_1m, gold_blue_3m, gold_red_3m, gold_diff_3m, gold_blue_5m,
  gold_red_5m, gold_diff_5m, since_kill_ms, since_tower_ms, since_dragon_ms, since_baron_ms, first_blood_blue,
  first_blood_red, first_tower_blue, first_tower_red, towers_alive_blue, towers_alive_red, inhibitors_down_blue,
  inhibitors_down_red, baron_power_blue, baron_power_red, dragon_alive, herald_alive, baron_alive, log_partition,
  log_offset, log_time
FROM match_state_rows;

-- One event may tell a player's window twice; the window's events tell these apart.
CREATE TEMPORARY VIEW player_window_rows AS
SELECT * FROM (
  SELECT
    *,
    IS_NEWEST(source_offset * 1000 + LEAST(events, CAST(999 AS BIGINT))) OVER (
      PARTITION BY player_id, match_id ORDER BY log_order ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS kept
  FROM player_performance
  WHERE decode_error IS NULL)
WHERE kept;

INSERT INTO lake.features.player_window (
  player_id, match_id, window_start, window_end, late, team, `role`, champion, events, kills, deaths, assists,
  items, wards_placed, wards_killed, gold, creep_score, level, game_time_ms, event_time, source_partition,
  source_offset, log_partition, log_offset, log_time)
SELECT
  player_id, match_id, TO_TIMESTAMP_LTZ(window_start, 3), TO_TIMESTAMP_LTZ(window_end, 3), late, team, `role`,
  champion, events, kills, deaths, assists, items, wards_placed, wards_killed, gold, creep_score, level,
  game_time_ms, TO_TIMESTAMP_LTZ(event_time, 3), source_partition, source_offset, log_partition, log_offset,
  log_time
FROM player_window_rows;

CREATE TEMPORARY VIEW player_form_rows AS
SELECT * FROM (
  SELECT
    *,
    IS_DUPLICATE(
      CONCAT_WS(' ', match_id, CAST(source_partition AS STRING), CAST(source_offset AS STRING))) OVER (
      PARTITION BY player_id ORDER BY log_order ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS doubled
  FROM player_stats
  WHERE decode_error IS NULL)
WHERE NOT doubled;

INSERT INTO lake.features.player_form (
  player_id, as_of, match_id, `role`, team, games, wins, kills, deaths, assists, kills_mean, deaths_mean,
  assists_mean, participation, form, kills_volatility, event_time, source_partition, source_offset, log_partition,
  log_offset, log_time)
SELECT
  player_id, TO_TIMESTAMP_LTZ(as_of, 3), match_id, `role`, team, games, wins, kills, deaths, assists, kills_mean,
  deaths_mean, assists_mean, participation, form, kills_volatility, TO_TIMESTAMP_LTZ(event_time, 3),
  source_partition, source_offset, log_partition, log_offset, log_time
FROM player_form_rows;

CREATE TEMPORARY VIEW team_form_rows AS
SELECT * FROM (
  SELECT
    *,
    IS_DUPLICATE(
      CONCAT_WS(' ', match_id, CAST(source_partition AS STRING), CAST(source_offset AS STRING))) OVER (
      PARTITION BY team ORDER BY log_order ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS doubled
  FROM team_form
  WHERE decode_error IS NULL)
WHERE NOT doubled;

INSERT INTO lake.features.team_form (
  team, as_of, match_id, league, games, wins, win_rate, form, kills_mean, deaths_mean, kills_volatility,
  towers_mean, towers_lost_mean, dragons_mean, barons_mean, gold_diff_mean, duration_mean_ms, event_time,
  source_partition, source_offset, log_partition, log_offset, log_time)
SELECT
  team, TO_TIMESTAMP_LTZ(as_of, 3), match_id, league, games, wins, win_rate, form, kills_mean, deaths_mean,
  kills_volatility, towers_mean, towers_lost_mean, dragons_mean, barons_mean, gold_diff_mean, duration_mean_ms,
  TO_TIMESTAMP_LTZ(event_time, 3), source_partition, source_offset, log_partition, log_offset, log_time
FROM team_form_rows;

CREATE TEMPORARY VIEW head_to_head_rows AS
SELECT * FROM (
  SELECT
    *,
    IS_DUPLICATE(
      CONCAT_WS(' ', match_id, CAST(source_partition AS STRING), CAST(source_offset AS STRING))) OVER (
      PARTITION BY pair ORDER BY log_order ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS doubled
  FROM head_to_head
  WHERE decode_error IS NULL)
WHERE NOT doubled;

INSERT INTO lake.features.head_to_head (
  pair, team, opponent, as_of, match_id, games, wins, win_rate, form, kills_diff_mean, gold_diff_mean, event_time,
  source_partition, source_offset, log_partition, log_offset, log_time)
SELECT
  pair, team, opponent, TO_TIMESTAMP_LTZ(as_of, 3), match_id, games, wins, win_rate, form, kills_diff_mean,
  gold_diff_mean, TO_TIMESTAMP_LTZ(event_time, 3), source_partition, source_offset, log_partition, log_offset,
  log_time
FROM head_to_head_rows;

CREATE TEMPORARY VIEW champion_meta_rows AS
SELECT * FROM (
  SELECT
    *,
    IS_DUPLICATE(
      CONCAT_WS(
        ' ', scope_kind, `scope`, match_id, CAST(source_partition AS STRING), CAST(source_offset AS STRING))) OVER (
      PARTITION BY champion ORDER BY log_order ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS doubled
  FROM champion_meta
  WHERE decode_error IS NULL)
WHERE NOT doubled;

INSERT INTO lake.features.champion_meta (
  champion, `scope`, scope_kind, as_of, match_id, games, picks, bans, wins, pick_rate, ban_rate, win_rate,
  event_time, source_partition, source_offset, log_partition, log_offset, log_time)
SELECT
  champion, `scope`, scope_kind, TO_TIMESTAMP_LTZ(as_of, 3), match_id, games, picks, bans, wins, pick_rate,
  ban_rate, win_rate, TO_TIMESTAMP_LTZ(event_time, 3), source_partition, source_offset, log_partition, log_offset,
  log_time
FROM champion_meta_rows;

CREATE TEMPORARY VIEW match_context_rows AS
SELECT * FROM (
  SELECT
    *,
    IS_DUPLICATE(CONCAT_WS(' ', team, CAST(source_partition AS STRING), CAST(source_offset AS STRING))) OVER (
      PARTITION BY match_id ORDER BY log_order ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS doubled
  FROM match_context
  WHERE decode_error IS NULL)
WHERE NOT doubled;

INSERT INTO lake.features.match_context (
  match_id, team, opponent, side, league, season, stage, patch, map_number, event_time, source_partition,
  source_offset, log_partition, log_offset, log_time)
SELECT
  match_id, team, opponent, side, league, season, stage, patch, map_number, TO_TIMESTAMP_LTZ(event_time, 3),
  source_partition, source_offset, log_partition, log_offset, log_time
FROM match_context_rows;
