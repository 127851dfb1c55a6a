-- history_to_lake: every record of the finished topics, once, as history; outcomes of predictions; models' quality.
--
-- Reads:    match-features, player-performance, player-stats, team-form, head-to-head, champion-meta,
--           match-context, match-results, match-summaries, player-games, predictions, dead-letters
-- Writes:   lake.features.match_state, lake.features.player_window, lake.features.player_form,
--           lake.features.team_form, lake.features.head_to_head, lake.features.champion_meta,
--           lake.features.match_context, lake.raw.match_results, lake.raw.match_summaries, lake.raw.player_games,
--           lake.raw.dead_letters,
--           lake.predictions.predictions, lake.predictions.prediction_outcomes, lake.predictions.model_quality,
--           model-quality
-- Keeps:    the newest place of each match, and of each player in a match; which forms, champion rates and predictions
--           came within 24 h; the predictions of matches that have not ended. Cleared 24 h after the last record of a
--           key. The predictions of each model version's 200 newest matches, in each league and in all.
-- Promises: Every record of these topics is one row (exactly once). What a topic repeats after a crash, since it is
--           written at least once, is left out when it comes within 24 h. log_partition and log_offset are the
--           record's place in its topic. When a match ends, every prediction of it becomes one row of
--           prediction_outcomes, and one that comes later does at once; a remade match has none. model-quality is
--           told anew after each match: at least once, and once in its table.
--
-- One job for all of them: what a job costs at rest, it costs once.

SET 'parallelism.default' = '1';
SET 'state.backend.type' = 'hashmap';
SET 'table.exec.state.ttl' = '24 h';
SET 'pipeline.object-reuse' = 'true';
-- Each view that several INSERTs use is planned once and runs once.
SET 'table.optimizer.reuse-optimize-block-with-digest-enabled' = 'true';
SET 'table.optimizer.reuse-sink-enabled' = 'true';

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
  items, wards_placed, wards_killed, gold, creep_score, level, match_kills, match_deaths, match_assists, game_time_ms,
  event_time, source_partition, source_offset, log_partition, log_offset, log_time)
SELECT
  player_id, match_id, TO_TIMESTAMP_LTZ(window_start, 3), TO_TIMESTAMP_LTZ(window_end, 3), late, team, `role`,
  champion, events, kills, deaths, assists, items, wards_placed, wards_killed, gold, creep_score, level, match_kills,
  match_deaths, match_assists, game_time_ms, TO_TIMESTAMP_LTZ(event_time, 3), source_partition, source_offset, log_partition, log_offset,
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
  match_id, team, opponent, side, league, season, stage, patch, map_number, players, champions, event_time,
  source_partition, source_offset, log_partition, log_offset, log_time)
SELECT
  match_id, team, opponent, side, league, season, stage, patch, map_number, players, champions,
  TO_TIMESTAMP_LTZ(event_time, 3), source_partition, source_offset, log_partition, log_offset, log_time
FROM match_context_rows;

CREATE TEMPORARY VIEW match_results_rows AS
SELECT * FROM (
  SELECT
    *,
    IS_NEWEST(source_offset) OVER (
      PARTITION BY match_id ORDER BY log_order ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS kept
  FROM match_results
  WHERE decode_error IS NULL)
WHERE kept;

INSERT INTO lake.`raw`.match_results (
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

INSERT INTO lake.`raw`.match_summaries (
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

INSERT INTO lake.`raw`.player_games (
  player_id, match_id, started, event_time, duration_ms, source, league, season, phase, patch, map_number, side,
  team, opponent, `role`, champion, won, kills, deaths, assists, team_kills, creep_score, gold, source_partition,
  source_offset, log_partition, log_offset, log_time)
SELECT
  player_id, match_id, TO_TIMESTAMP_LTZ(started, 3), TO_TIMESTAMP_LTZ(event_time, 3), duration_ms, source, league,
  season, phase, patch, map_number, side, team, opponent, `role`, champion, won, kills, deaths, assists,
  team_kills, creep_score, gold, source_partition, source_offset, log_partition, log_offset, log_time
FROM player_games_rows;

-- The serving side writes its letters as it meets records, each stage and match in the order of its topic.
CREATE TEMPORARY VIEW dead_letters_rows AS
SELECT * FROM (
  SELECT
    *,
    IS_NEWEST(source_offset) OVER (
      PARTITION BY source_topic, source_partition, stage, match_id ORDER BY log_order
      ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS kept
  FROM dead_letters
  WHERE decode_error IS NULL)
WHERE kept;

INSERT INTO lake.`raw`.dead_letters (
  dead_letter_id, source_topic, source_partition, source_offset, source_time, stage, reason, detail, schema_id,
  match_id, event_id, record_key, record_value, first_seen, log_partition, log_offset, log_time)
SELECT
  dead_letter_id, source_topic, source_partition, source_offset, TO_TIMESTAMP_LTZ(source_time, 3), stage, reason,
  detail, schema_id, match_id, event_id, record_key, record_value, TO_TIMESTAMP_LTZ(first_seen, 3), log_partition,
  log_offset, log_time
FROM dead_letters_rows;

CREATE TEMPORARY VIEW predictions_rows AS
SELECT * FROM (
  SELECT
    *,
    IS_DUPLICATE(prediction_id) OVER (
      PARTITION BY subject_id ORDER BY log_order ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS doubled
  FROM predictions
  WHERE decode_error IS NULL)
WHERE NOT doubled;

INSERT INTO lake.predictions.predictions (
  prediction_id, model_name, model_version, subject_type, subject_id, match_id, player_id, request_id, event_id,
  game_time_ms, event_time, probability, statistic, line, push, `distribution`, interval_low, interval_high,
  interval_level, feature_service, features_sha256, source_topic, source_partition, source_offset, feature_partition,
  feature_offset, `watermark`, as_of, age_kafka_ms, age_flink_ms, age_features_ms, age_model_ms, age_published_ms, degraded, shadow, league,
  blue_team, red_team, maps, opponent, side, champion, win_probability, win_probability_next, pre_match,
  pre_match_inputs, log_partition, log_offset, log_time)
SELECT
  prediction_id, model_name, model_version, subject_type, subject_id, match_id, player_id, request_id, event_id,
  game_time_ms, TO_TIMESTAMP_LTZ(event_time, 3), probability, statistic, line, push, `distribution`, interval_low,
  interval_high, interval_level, feature_service, features_sha256, source_topic, source_partition, source_offset,
  feature_partition, feature_offset, TO_TIMESTAMP_LTZ(`watermark`, 3), TO_TIMESTAMP_LTZ(as_of, 3), age_kafka_ms, age_flink_ms,
  age_features_ms, age_model_ms, age_published_ms, degraded, shadow, league, blue_team, red_team, maps, opponent,
  side, champion, win_probability, win_probability_next, pre_match, pre_match_inputs, log_partition, log_offset, log_time
FROM predictions_rows;

-- Predictions of matches and how matches ended, as one stream, so that one state joins them.
CREATE TEMPORARY VIEW said_and_done AS
SELECT
  match_id, prediction_id, model_name, model_version, event_time, game_time_ms, probability,
  CAST(NULL AS STRING) AS status, CAST(NULL AS STRING) AS winner, CAST(NULL AS STRING) AS league,
  CAST(NULL AS BIGINT) AS ended, CAST(NULL AS BIGINT) AS clock_ms, CAST(NULL AS INT) AS ended_partition,
  CAST(NULL AS BIGINT) AS ended_offset, log_order
FROM predictions_rows
WHERE subject_type = 'match' AND match_id IS NOT NULL AND probability IS NOT NULL
UNION ALL
SELECT
  match_id, CAST(NULL AS STRING), CAST(NULL AS STRING), CAST(NULL AS STRING), CAST(NULL AS BIGINT),
  CAST(NULL AS BIGINT), CAST(NULL AS DOUBLE),
  status, winner, league, event_time, game_time_ms, source_partition, source_offset, log_order
FROM match_results_rows;

CREATE TEMPORARY VIEW settled AS
SELECT
  match_id, log_order,
  SETTLE(
    prediction_id, model_name, model_version, event_time, game_time_ms, probability, status, winner, league, ended,
    clock_ms, ended_partition, ended_offset) OVER (
    PARTITION BY match_id ORDER BY log_order ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS s
FROM said_and_done;

CREATE TEMPORARY VIEW outcomes AS
SELECT
  match_id, log_order, s.winner AS winner, s.league AS league, s.ended AS ended, s.clock_ms AS clock_ms,
  s.source_partition AS source_partition, s.source_offset AS source_offset, s.predictions AS predictions,
  s.versions AS versions
FROM settled
WHERE CARDINALITY(s.predictions) > 0;

CREATE TEMPORARY VIEW prediction_outcomes_rows AS
SELECT
  p.prediction_id, p.model_name, p.model_version, o.match_id, o.league, p.event_time, p.game_time_ms,
  CAST(p.game_time_ms / 60000 AS INT) AS `minute`, p.probability, o.winner,
  CASE o.winner WHEN 'blue' THEN 1 ELSE 0 END AS outcome,
  CASE o.winner WHEN 'blue' THEN (1 - p.probability) * (1 - p.probability) ELSE p.probability * p.probability END
    AS squared_error,
  -LN(LEAST(GREATEST(CASE o.winner WHEN 'blue' THEN p.probability ELSE 1 - p.probability END, 1E-7), 1 - 1E-7))
    AS log_loss,
  o.ended, o.source_partition, o.source_offset
FROM outcomes AS o
CROSS JOIN UNNEST(o.predictions) AS p (
  prediction_id, model_name, model_version, event_time, game_time_ms, probability);

INSERT INTO lake.predictions.prediction_outcomes (
  prediction_id, model_name, model_version, match_id, league, event_time, game_time_ms, `minute`, probability, winner,
  outcome, squared_error, log_loss, ended, source_partition, source_offset)
SELECT
  prediction_id, model_name, model_version, match_id, league, TO_TIMESTAMP_LTZ(event_time, 3), game_time_ms, `minute`,
  probability, winner, outcome, squared_error, log_loss, TO_TIMESTAMP_LTZ(ended, 3), source_partition, source_offset
FROM prediction_outcomes_rows;

-- A match counts once for its league and once for all.
CREATE TEMPORARY VIEW settled_models AS
SELECT
  m.model_name, m.model_version, o.league, o.match_id, o.winner, m.minutes, m.probabilities, o.ended, o.clock_ms,
  o.source_partition, o.source_offset, o.log_order
FROM outcomes AS o
CROSS JOIN UNNEST(o.versions) AS m (model_name, model_version, minutes, probabilities);

CREATE TEMPORARY VIEW scoped_models AS
SELECT
  model_name, model_version, league AS `scope`, match_id, winner, minutes, probabilities, ended, clock_ms,
  source_partition, source_offset, log_order
FROM settled_models
WHERE league IS NOT NULL
UNION ALL
SELECT
  model_name, model_version, CAST(NULL AS STRING), match_id, winner, minutes, probabilities, ended, clock_ms,
  source_partition, source_offset, log_order
FROM settled_models;

CREATE TEMPORARY VIEW rolling AS
SELECT
  model_name, model_version, `scope`, ended, clock_ms, source_partition, source_offset,
  QUALITY(200, match_id, winner, minutes, probabilities) OVER (
    PARTITION BY model_name, model_version, `scope` ORDER BY log_order
    ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS minutes_told
FROM scoped_models;

CREATE TEMPORARY VIEW model_quality_rows AS
SELECT
  r.model_name, r.model_version, r.`scope` AS league, q.`minute`, q.`matches`, q.predictions, q.brier, q.log_loss,
  q.ece, r.ended AS event_time, r.clock_ms AS game_time_ms, r.source_partition, r.source_offset
FROM rolling AS r
CROSS JOIN UNNEST(r.minutes_told) AS q (`minute`, `matches`, predictions, brier, log_loss, ece);

INSERT INTO model_quality (
  model_name, model_version, league, `minute`, `matches`, predictions, brier, log_loss, ece, event_time, game_time_ms,
  source_partition, source_offset)
SELECT
  model_name, model_version, league, `minute`, `matches`, predictions, brier, log_loss, ece, event_time, game_time_ms,
  source_partition, source_offset
FROM model_quality_rows;

INSERT INTO lake.predictions.model_quality (
  model_name, model_version, league, `minute`, `matches`, predictions, brier, log_loss, ece, event_time, game_time_ms,
  source_partition, source_offset)
SELECT
  model_name, model_version, league, `minute`, `matches`, predictions, brier, log_loss, ece,
  TO_TIMESTAMP_LTZ(event_time, 3), game_time_ms, source_partition, source_offset
FROM model_quality_rows;
