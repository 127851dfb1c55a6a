-- quality: how predictions about players fared over the 200 newest matches, in DuckDB's SQL over the lake.
--
-- Reads:    predictions.prediction_outcomes, predictions.model_quality
-- Gives:    rows of predictions.model_quality, for each model version in each league and in all, by minute and in all,
--           that the table does not have yet.
-- Promises: A row is known by its scope, minute, newest place and number of predictions: what is known is not given.
--           The same measures as history_to_lake.sql tells of matches: Brier score, log loss in nats, and the expected
--           calibration error over ten equal-width bins. Pushes do not count.

WITH scored AS (
  SELECT
    *, probability / (1 - coalesce(push, 0)) AS fair,
    row(ended, match_id, source_partition, source_offset) AS place
  FROM predictions.prediction_outcomes
  WHERE subject_type = 'player' AND outcome IS NOT NULL AND squared_error IS NOT NULL
),

scoped AS (
  SELECT *, league AS scope FROM scored WHERE league IS NOT NULL
  UNION ALL
  SELECT *, NULL AS scope FROM scored
),

newest AS (
  SELECT *
  FROM scoped
  QUALIFY dense_rank() OVER (PARTITION BY model_name, model_version, scope ORDER BY ended DESC, match_id) <= 200
),

timed AS (
  SELECT *, "minute" AS told FROM newest
  UNION ALL
  SELECT *, -1 AS told FROM newest
),

bins AS (
  SELECT
    model_name, model_version, scope, told, sum(fair - outcome) AS apart
  FROM timed
  GROUP BY model_name, model_version, scope, told, least(floor(fair * 10), 9)
),

measured AS (
  SELECT
    t.model_name, t.model_version, t.scope AS league, t.told::INTEGER AS "minute",
    count(DISTINCT t.match_id) AS "matches", count(*) AS predictions, avg(t.squared_error) AS brier, avg(t.log_loss) AS log_loss,
    (SELECT sum(abs(b.apart)) FROM bins AS b WHERE b.model_name = t.model_name AND b.model_version = t.model_version
      AND b.scope IS NOT DISTINCT FROM t.scope AND b.told = t.told) / count(*) AS ece,
    max(t.ended) AS event_time, arg_max(t.game_time_ms, t.place) AS game_time_ms,
    arg_max(t.source_partition, t.place) AS source_partition,
    arg_max(t.source_offset, t.place) AS source_offset
  FROM timed AS t
  GROUP BY t.model_name, t.model_version, t.scope, t.told
)

SELECT m.*
FROM measured AS m
ANTI JOIN predictions.model_quality AS q
  ON q.model_name = m.model_name AND q.model_version = m.model_version AND q.league IS NOT DISTINCT FROM m.league
  AND q."minute" = m."minute" AND q.source_partition = m.source_partition AND q.source_offset = m.source_offset
  AND q.predictions = m.predictions
ORDER BY m.model_name, m.model_version, m.league, m."minute"
