-- analytics: tables and materialised views for dashboards, in ClickHouse.
--
-- Reads:    predictions.prediction_outcomes, predictions.predictions, processed.player_games, raw.match_events,
--           raw.dead_letters; {source} stands for the table named above it, or for the files that came to it.
-- Writes:   database analytics: accuracy, calibration, player_trends and pipeline_health are what dashboards ask.
-- Promises: Made from the lake alone, by `rift lake analytics`: what came since the last time is added, and where
--           rows were replaced the tables that they feed are made anew; all of them with --full. Sums are kept, never
--           means, so that any grouping of them is right.

CREATE TABLE analytics.progress (
  source String COMMENT 'Table of the lake.',
  snapshot_id Int64 COMMENT 'Its snapshot up to which it was read.',
  complete UInt8 COMMENT '0 while it is being read.',
  at DateTime64(3, 'UTC') DEFAULT now64(3)
) ENGINE = MergeTree ORDER BY (source, at)
COMMENT 'How far the tables of the lake were read.';

CREATE TABLE analytics.outcomes (
  prediction_id String,
  model_name LowCardinality(String),
  model_version LowCardinality(String),
  league LowCardinality(String) COMMENT 'League of the match; empty where it is not told.',
  `minute` UInt16 COMMENT 'Minute of the match clock.',
  match_id String,
  probability Float64 COMMENT 'That blue wins, as said; of a player that the count is over its line, given no push.',
  outcome UInt8 COMMENT '1 where it came true.',
  log_loss Float64 COMMENT 'In nats.'
) ENGINE = MergeTree ORDER BY (model_name, model_version, league, `minute`)
COMMENT 'Predictions with what came of them.';

CREATE TABLE analytics.calibration_sums (
  model_name LowCardinality(String),
  model_version LowCardinality(String),
  league LowCardinality(String),
  `minute` UInt16,
  bin UInt8 COMMENT 'Tenth of the probability, 0 to 9.',
  predictions UInt64,
  probabilities Float64,
  outcomes UInt64,
  squared_errors Float64,
  log_losses Float64
) ENGINE = SummingMergeTree ORDER BY (model_name, model_version, league, `minute`, bin)
COMMENT 'Sums over predictions with an outcome.';

CREATE MATERIALIZED VIEW analytics.feed_calibration TO analytics.calibration_sums AS
SELECT
  model_name, model_version, league, `minute`, toUInt8(least(floor(probability * 10), 9)) AS bin,
  count() AS predictions, sum(probability) AS probabilities, sum(outcome) AS outcomes,
  sum(pow(probability - outcome, 2)) AS squared_errors, sum(log_loss) AS log_losses
FROM analytics.outcomes
GROUP BY ALL;

CREATE VIEW analytics.accuracy AS
SELECT
  model_name, model_version, league, `minute`, sum(predictions) AS said,
  sum(squared_errors) / said AS brier, sum(log_losses) / said AS log_loss
FROM analytics.calibration_sums
GROUP BY model_name, model_version, league, `minute`
COMMENT 'Brier score and log loss (nats) by model version, league and minute of the match clock.';

CREATE VIEW analytics.calibration AS
SELECT
  model_name, model_version, league, `minute`, bin, sum(predictions) AS said,
  sum(probabilities) / said AS predicted, sum(outcomes) / said AS observed
FROM analytics.calibration_sums
GROUP BY model_name, model_version, league, `minute`, bin
COMMENT 'What was said beside how often it came true, by tenths of the probability.';

-- source: predictions.prediction_outcomes
INSERT INTO analytics.outcomes
SELECT
  prediction_id, model_name, model_version, ifNull(league, ''), ifNull(`minute`, 0), match_id,
  probability / (1 - ifNull(push, 0)), outcome, log_loss
FROM {source}
WHERE probability IS NOT NULL AND outcome IS NOT NULL AND ifNull(push, 0) < 1;

CREATE TABLE analytics.player_games (
  player_id String,
  match_id String,
  ended DateTime64(3, 'UTC'),
  league LowCardinality(String),
  `role` LowCardinality(String),
  champion LowCardinality(String),
  won UInt8,
  kills UInt32,
  deaths UInt32,
  assists UInt32
) ENGINE = MergeTree ORDER BY (player_id, ended)
COMMENT 'One player in one completed match.';

CREATE TABLE analytics.player_month_sums (
  player_id String,
  `month` Date,
  games UInt64,
  wins UInt64,
  kills UInt64,
  deaths UInt64,
  assists UInt64
) ENGINE = SummingMergeTree ORDER BY (player_id, `month`)
COMMENT 'Sums over the games of a player in a month.';

CREATE MATERIALIZED VIEW analytics.feed_player_months TO analytics.player_month_sums AS
SELECT
  player_id, toStartOfMonth(ended) AS `month`, count() AS games, sum(won) AS wins, sum(kills) AS kills,
  sum(deaths) AS deaths, sum(assists) AS assists
FROM analytics.player_games
GROUP BY player_id, `month`;

CREATE VIEW analytics.player_trends AS
SELECT
  player_id, `month`, sum(games) AS played, sum(wins) / played AS win_rate, sum(kills) / played AS kills_mean,
  sum(deaths) / played AS deaths_mean, sum(assists) / played AS assists_mean
FROM analytics.player_month_sums
GROUP BY player_id, `month`
COMMENT 'How a player fares, month by month.';

-- source: processed.player_games
INSERT INTO analytics.player_games
SELECT
  player_id, match_id, event_time, ifNull(league, ''), ifNull(`role`, ''), ifNull(champion, ''), won, kills, deaths,
  assists
FROM {source}
WHERE player_id IS NOT NULL;

CREATE TABLE analytics.pipeline_sums (
  `hour` DateTime('UTC'),
  part LowCardinality(String) COMMENT 'events, predictions or dead letters.',
  kind LowCardinality(String) COMMENT 'Source of events, model of predictions, reason of dead letters.',
  records SimpleAggregateFunction(sum, UInt64),
  degraded SimpleAggregateFunction(sum, UInt64) COMMENT 'Predictions of a cache or fallback.',
  age AggregateFunction(quantilesTDigest(0.5, 0.99), Int64)
) ENGINE = AggregatingMergeTree ORDER BY (part, kind, `hour`)
COMMENT 'What the platform took in and gave out, by the hour.';

CREATE VIEW analytics.pipeline_health AS
SELECT
  `hour`, part, kind, sum(records) AS counted, sum(degraded) AS fallbacks,
  quantilesTDigestMerge(0.5, 0.99)(age)[1] AS age_p50_ms, quantilesTDigestMerge(0.5, 0.99)(age)[2] AS age_p99_ms
FROM analytics.pipeline_sums
GROUP BY `hour`, part, kind
COMMENT 'Records by the hour, and how old they were: events at the broker, predictions when they were published.';

-- source: raw.match_events
INSERT INTO analytics.pipeline_sums
SELECT
  toStartOfHour(kafka_time) AS `hour`, 'events', ifNull(source, ''), count(), 0,
  quantilesTDigestState(0.5, 0.99)(assumeNotNull(dateDiff('millisecond', event_time, kafka_time)))
FROM {source}
WHERE kafka_time IS NOT NULL AND event_time IS NOT NULL
GROUP BY ALL;

-- source: predictions.predictions
INSERT INTO analytics.pipeline_sums
SELECT
  toStartOfHour(as_of) AS `hour`, 'predictions', concat(model_name, ' ', model_version), count(),
  countIf(degraded), quantilesTDigestState(0.5, 0.99)(ifNull(age_published_ms, 0))
FROM {source}
WHERE as_of IS NOT NULL
GROUP BY ALL;

-- source: raw.dead_letters
INSERT INTO analytics.pipeline_sums
SELECT
  toStartOfHour(first_seen) AS `hour`, 'dead letters', reason, count(), 0,
  quantilesTDigestState(0.5, 0.99)(assumeNotNull(dateDiff('millisecond', ifNull(source_time, first_seen), first_seen)))
FROM {source}
WHERE first_seen IS NOT NULL
GROUP BY ALL;
