-- settle: what came of predictions about players, in DuckDB's SQL over the lake.
--
-- Reads:    predictions.predictions, predictions.prediction_outcomes, raw.player_games
-- Gives:    rows of predictions.prediction_outcomes for predictions of one map that name player, statistic and line, and
--           have no outcome yet.
-- Promises: A prediction that names a match is settled by the player's game in it. One that does not is about the next
--           map: it knew the player's form as of its event_time, and the first game that ended after that settles it.
--           One that was asked for again while the form was the same has one identity and one outcome.
--           On a line that the count meets nobody wins: such a row has no outcome. What nothing settled within 90 days
--           is left alone.

WITH asked AS (
  SELECT *
  FROM predictions.predictions
  WHERE subject_type = 'player' AND statistic IN ('kills', 'deaths', 'assists') AND line IS NOT NULL
    AND coalesce(maps, 1) = 1 AND probability IS NOT NULL AND as_of >= now() - INTERVAL 90 DAY
    AND prediction_id NOT IN (
      SELECT prediction_id FROM predictions.prediction_outcomes WHERE subject_type = 'player')
  QUALIFY row_number() OVER (PARTITION BY prediction_id ORDER BY as_of, log_offset) = 1
),

games AS (
  SELECT *
  FROM raw.player_games
  WHERE player_id IN (SELECT subject_id FROM asked)
  QUALIFY row_number() OVER (PARTITION BY player_id, match_id ORDER BY log_time DESC NULLS LAST, log_offset DESC) = 1
),

settled AS (
  SELECT a, g
  FROM asked AS a
  ASOF JOIN games AS g ON a.subject_id = g.player_id AND a.event_time < g.event_time
  WHERE a.match_id IS NULL
  UNION ALL
  SELECT a, g
  FROM asked AS a
  JOIN games AS g ON a.subject_id = g.player_id AND a.match_id = g.match_id
),

counted AS (
  SELECT
    a, g,
    CASE a.statistic WHEN 'kills' THEN g.kills WHEN 'deaths' THEN g.deaths ELSE g.assists END AS came,
    a.probability / nullif(1 - coalesce(a.push, 0), 0) AS fair
  FROM settled
),

judged AS (
  SELECT *, CASE WHEN came > a.line THEN 1 WHEN came < a.line THEN 0 END AS outcome
  FROM counted
)

SELECT
  a.prediction_id, a.model_name, a.model_version, g.match_id, g.league, a.event_time, a.game_time_ms,
  (a.game_time_ms // 60000)::INTEGER AS "minute", a.probability,
  CASE WHEN g.won THEN g.side WHEN g.side = 'blue' THEN 'red' ELSE 'blue' END AS winner,
  outcome,
  power(fair - outcome, 2) AS squared_error,
  CASE WHEN outcome IS NOT NULL AND fair IS NOT NULL THEN
    -ln(least(greatest(if(outcome = 1, fair, 1 - fair), 1e-7), 1 - 1e-7))
  END AS log_loss,
  g.event_time AS ended, g.source_partition, g.source_offset, 'player' AS subject_type, a.subject_id AS player_id,
  a.statistic, a.line, a.push, came AS "value", now() AS settled_at
FROM judged
