-- anomalies: what cannot be true in the events of a match, or is far from how its league is.
--
-- From:     match_pipeline.valid
-- Reads:    live-matches
-- Writes:   alerts
-- Keeps:    for each match the ids of its events, counts, and the last snapshots of gold and of each player; for each
--           league and source the rates of its last 50 matches. Cleared 24 h after the last event of a key.
-- Promises: One alert for each thing that is found (at least once, under the same alert_id). What match_pipeline rejects
--           or drops as a duplicate raises none. Nothing is held back or changed: alerts are for people.
--
--           clock_backwards   the match clock of an event is more than 5 s behind the highest before it
--           gold_fell         total gold of a side or player is less than in the snapshot before
--           gold_jump         it grew by more than a fight, a Baron and an income of that time could give
--           score_fell        kills, deaths, assists, creep score or level of a player went down
--           score_jump        a player's kills or deaths grew by more than respawning allows
--           died_twice        a player died again within 5 s: nobody is back so soon
--           kill_burst        a side killed six within 5 s: it has five enemies
--           tower_fell_twice  the same tower fell again; towers of the nexus do come back, so they are left out
--           rate_high, _low   a match told more than 4 times, or less than a quarter of, the events a minute that the
--                             last 50 matches of its league from this source told (at least ten)
--           feed_silent       a match that has not ended and is not paused tells nothing: no snapshot for 3 minutes
--                             where it told snapshots, else no event for 30. These are minutes of the clock on the
--                             wall, so only a stream can know them; all others are the same in batch.
--
-- The limits were set by real matches: see docs/explanation/data-quality.md.

SET 'parallelism.default' = '1';
SET 'state.backend.type' = 'hashmap';
SET 'table.exec.state.ttl' = '24 h';
SET 'pipeline.object-reuse' = 'true';
-- What several kinds of alert stand on is planned once and runs once.
SET 'table.optimizer.reuse-optimize-block-with-digest-enabled' = 'true';
SET 'table.optimizer.reuse-sink-enabled' = 'true';

-- The computed column keeps the planner from merging this projection away and carrying whole records along.
CREATE TEMPORARY VIEW said AS
SELECT
  event_id, match_id, CONCAT(event_type, '') AS event_type, event_time, game_time_ms, source, league,
  team, player_id, victim_id, building, lane, tower_type, blue_gold, red_gold,
  kills, deaths, assists, creep_score, level, gold, source_partition, source_offset, log_order
FROM valid;

CREATE TEMPORARY VIEW said_once AS
SELECT * FROM (
  SELECT
    *,
    IS_DUPLICATE(event_id) OVER (
      PARTITION BY match_id ORDER BY log_order ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS doubled
  FROM said)
WHERE NOT doubled;

CREATE TEMPORARY VIEW course AS
SELECT
  event_id, match_id, event_type, event_time, game_time_ms, source, league, source_partition, source_offset, log_order,
  MAX(game_time_ms) OVER w AS clock_ms,
  COUNT(*) OVER w AS events,
  COUNT(CASE WHEN event_type IN ('TEAM_GOLD', 'PLAYER_STATS') THEN 1 END) OVER w AS snapshots,
  COUNT(CASE WHEN event_type IN ('MATCH_END', 'REMAKE') THEN 1 END) OVER w AS endings,
  SUM(CASE event_type WHEN 'PAUSE_START' THEN 1 WHEN 'PAUSE_END' THEN -1 ELSE 0 END) OVER w AS paused
FROM said_once
WINDOW w AS (PARTITION BY match_id ORDER BY log_order ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW);

CREATE TEMPORARY VIEW clock_alerts AS
SELECT
  'clock_backwards' AS kind, match_id, league, source, CAST(NULL AS STRING) AS subject,
  CAST(clock_ms - game_time_ms AS DOUBLE) AS seen, CAST(5000 AS DOUBLE) AS limit_value,
  'ms of match clock behind the highest before' AS detail,
  event_id, game_time_ms, event_time, source_partition, source_offset
FROM course
WHERE clock_ms - game_time_ms > 5000;

-- A snapshot of gold beside the one before it. One that is behind on the match clock is compared with nothing.
CREATE TEMPORARY VIEW golds AS
SELECT
  *,
  LAG(blue_gold) OVER w AS blue_before,
  LAG(red_gold) OVER w AS red_before,
  game_time_ms - LAG(game_time_ms) OVER w AS passed_ms
FROM said_once
WHERE event_type = 'TEAM_GOLD'
WINDOW w AS (PARTITION BY match_id ORDER BY log_order);

CREATE TEMPORARY VIEW side_golds AS
SELECT
  match_id, league, source, 'blue' AS side, blue_gold - blue_before AS gained, passed_ms,
  event_id, game_time_ms, event_time, source_partition, source_offset
FROM golds
WHERE passed_ms >= 0
UNION ALL
SELECT
  match_id, league, source, 'red' AS side, red_gold - red_before AS gained, passed_ms,
  event_id, game_time_ms, event_time, source_partition, source_offset
FROM golds
WHERE passed_ms >= 0;

CREATE TEMPORARY VIEW gold_alerts AS
SELECT
  CASE WHEN gained < 0 THEN 'gold_fell' ELSE 'gold_jump' END AS kind, match_id, league, source, side AS subject,
  CAST(gained AS DOUBLE) AS seen,
  CASE WHEN gained < 0 THEN CAST(0 AS DOUBLE) ELSE 5000 + passed_ms / 7.5E0 END AS limit_value,
  CONCAT('gold earned in ', CAST(passed_ms AS STRING), ' ms') AS detail,
  event_id, game_time_ms, event_time, source_partition, source_offset
FROM side_golds
WHERE gained < 0 OR gained > 5000 + passed_ms / 7.5E0;

CREATE TEMPORARY VIEW players AS
SELECT
  *,
  kills - LAG(kills) OVER w AS kills_more,
  deaths - LAG(deaths) OVER w AS deaths_more,
  assists - LAG(assists) OVER w AS assists_more,
  creep_score - LAG(creep_score) OVER w AS creeps_more,
  level - LAG(level) OVER w AS levels_more,
  gold - LAG(gold) OVER w AS gained,
  game_time_ms - LAG(game_time_ms) OVER w AS passed_ms
FROM said_once
WHERE event_type = 'PLAYER_STATS'
WINDOW w AS (PARTITION BY match_id, player_id ORDER BY log_order);

CREATE TEMPORARY VIEW player_gold_alerts AS
SELECT
  CASE WHEN gained < 0 THEN 'gold_fell' ELSE 'gold_jump' END AS kind, match_id, league, source, player_id AS subject,
  CAST(gained AS DOUBLE) AS seen,
  CASE WHEN gained < 0 THEN CAST(0 AS DOUBLE) ELSE 4000 + passed_ms / 15E0 END AS limit_value,
  CONCAT('gold earned in ', CAST(passed_ms AS STRING), ' ms') AS detail,
  event_id, game_time_ms, event_time, source_partition, source_offset
FROM players
WHERE passed_ms >= 0 AND (gained < 0 OR gained > 4000 + passed_ms / 15E0);

CREATE TEMPORARY VIEW score_alerts AS
SELECT
  'score_fell' AS kind, match_id, league, source, player_id AS subject,
  CAST(LEAST(COALESCE(kills_more, 0), COALESCE(deaths_more, 0), COALESCE(assists_more, 0), COALESCE(creeps_more, 0),
    COALESCE(levels_more, 0)) AS DOUBLE) AS seen,
  CAST(0 AS DOUBLE) AS limit_value,
  'least gain of kills, deaths, assists, creep score and level since the snapshot before' AS detail,
  event_id, game_time_ms, event_time, source_partition, source_offset
FROM players
WHERE passed_ms >= 0
  AND (kills_more < 0 OR deaths_more < 0 OR assists_more < 0 OR creeps_more < 0 OR levels_more < 0)
UNION ALL
SELECT
  'score_jump' AS kind, match_id, league, source, player_id AS subject,
  CAST(GREATEST(COALESCE(kills_more, 0), COALESCE(deaths_more, 0)) AS DOUBLE) AS seen,
  CASE WHEN kills_more > 5 + passed_ms / 5000 THEN 5E0 ELSE 1E0 END + passed_ms / 5000 AS limit_value,
  CONCAT('kills or deaths in ', CAST(passed_ms AS STRING), ' ms') AS detail,
  event_id, game_time_ms, event_time, source_partition, source_offset
FROM players
WHERE passed_ms >= 0 AND (kills_more > 5 + passed_ms / 5000 OR deaths_more > 1 + passed_ms / 5000);

CREATE TEMPORARY VIEW deaths_again AS
SELECT
  *,
  game_time_ms - LAG(game_time_ms) OVER (PARTITION BY match_id, victim_id ORDER BY log_order) AS passed_ms
FROM said_once
WHERE event_type = 'CHAMPION_KILL' AND victim_id <> '';

CREATE TEMPORARY VIEW sixth_kills AS
SELECT
  *,
  game_time_ms - LAG(game_time_ms, 5) OVER (PARTITION BY match_id, team ORDER BY log_order) AS passed_ms
FROM said_once
WHERE event_type = 'CHAMPION_KILL' AND team IS NOT NULL;

CREATE TEMPORARY VIEW towers_again AS
SELECT
  *,
  COUNT(*) OVER (
    PARTITION BY match_id, team, lane, tower_type ORDER BY log_order
    ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS falls
FROM said_once
WHERE event_type = 'BUILDING_KILL' AND building = 'TOWER' AND lane IS NOT NULL AND tower_type <> 'NEXUS_TURRET';

CREATE TEMPORARY VIEW fight_alerts AS
SELECT
  'died_twice' AS kind, match_id, league, source, victim_id AS subject,
  CAST(passed_ms AS DOUBLE) AS seen, CAST(5000 AS DOUBLE) AS limit_value,
  'ms of match clock since the same player died before' AS detail,
  event_id, game_time_ms, event_time, source_partition, source_offset
FROM deaths_again
WHERE passed_ms BETWEEN 0 AND 4999
UNION ALL
SELECT
  'kill_burst' AS kind, match_id, league, source, team AS subject,
  CAST(passed_ms AS DOUBLE) AS seen, CAST(5000 AS DOUBLE) AS limit_value,
  'ms of match clock in which one side killed six' AS detail,
  event_id, game_time_ms, event_time, source_partition, source_offset
FROM sixth_kills
WHERE passed_ms BETWEEN 0 AND 4999
UNION ALL
SELECT
  'tower_fell_twice' AS kind, match_id, league, source, team AS subject,
  CAST(falls AS DOUBLE) AS seen, CAST(1 AS DOUBLE) AS limit_value,
  CONCAT('times that the same tower fell to this side: ', lane, ' ', tower_type) AS detail,
  event_id, game_time_ms, event_time, source_partition, source_offset
FROM towers_again
WHERE falls > 1;

-- In events a thousand minutes: whole numbers add up to the same in any order. Matches of less than five minutes tell
-- no rate.
CREATE TEMPORARY VIEW rates AS
SELECT *, events * 60000000 / clock_ms AS rate
FROM course
WHERE event_type = 'MATCH_END' AND endings = 1 AND clock_ms >= 300000;

CREATE TEMPORARY VIEW league_rates AS
SELECT
  *,
  COUNT(*) OVER w - 1 AS matches_before,
  CAST(SUM(rate) OVER w - rate AS DOUBLE) / NULLIF(COUNT(*) OVER w - 1, 0) AS rate_before
FROM rates
WINDOW w AS (PARTITION BY league, source ORDER BY log_order ROWS BETWEEN 50 PRECEDING AND CURRENT ROW);

CREATE TEMPORARY VIEW rate_alerts AS
SELECT
  CASE WHEN rate > rate_before THEN 'rate_high' ELSE 'rate_low' END AS kind, match_id, league, source,
  CAST(NULL AS STRING) AS subject, rate / 1E3 AS seen,
  CASE WHEN rate > rate_before THEN rate_before * 4 ELSE rate_before / 4 END / 1E3 AS limit_value,
  'events a minute of match clock' AS detail,
  event_id, game_time_ms, event_time, source_partition, source_offset
FROM league_rates
WHERE matches_before >= 10 AND (rate > rate_before * 4 OR rate < rate_before / 4);

CREATE TEMPORARY VIEW found AS
SELECT * FROM clock_alerts
UNION ALL
SELECT * FROM gold_alerts
UNION ALL
SELECT * FROM player_gold_alerts
UNION ALL
SELECT * FROM score_alerts
UNION ALL
SELECT * FROM fight_alerts
UNION ALL
SELECT * FROM rate_alerts;

-- The highest offset of a session is its newest event; whether the match is paused after it is told by the last digit.
CREATE TEMPORARY VIEW silences AS
SELECT
  match_id, MAX(league) AS league, MAX(source) AS source, 3 AS minutes, MAX(clock_ms) AS clock_ms,
  MAX(event_time) AS event_time, MAX(source_partition) AS source_partition, MAX(source_offset) AS source_offset,
  MAX(endings) AS endings, MOD(MAX(source_offset * 2 + CASE WHEN paused > 0 THEN 1 ELSE 0 END), 2) AS paused,
  MAX(snapshots) AS snapshots
FROM TABLE(SESSION(TABLE course PARTITION BY match_id, DESCRIPTOR(log_order), INTERVAL '3' MINUTES))
GROUP BY match_id, window_start, window_end
UNION ALL
SELECT
  match_id, MAX(league) AS league, MAX(source) AS source, 30 AS minutes, MAX(clock_ms) AS clock_ms,
  MAX(event_time) AS event_time, MAX(source_partition) AS source_partition, MAX(source_offset) AS source_offset,
  MAX(endings) AS endings, MOD(MAX(source_offset * 2 + CASE WHEN paused > 0 THEN 1 ELSE 0 END), 2) AS paused,
  MAX(snapshots) AS snapshots
FROM TABLE(SESSION(TABLE course PARTITION BY match_id, DESCRIPTOR(log_order), INTERVAL '30' MINUTES))
GROUP BY match_id, window_start, window_end;

CREATE TEMPORARY VIEW silent AS
SELECT
  'feed_silent' AS kind, match_id, league, source, CAST(NULL AS STRING) AS subject,
  CAST(minutes AS DOUBLE) AS seen, CAST(minutes AS DOUBLE) AS limit_value,
  'minutes without an event of a match that has not ended' AS detail,
  CAST(NULL AS STRING) AS event_id, clock_ms AS game_time_ms, event_time, source_partition, source_offset
FROM silences
WHERE endings = 0 AND paused = 0 AND ((minutes = 3 AND snapshots > 1) OR (minutes = 30 AND snapshots <= 1));

INSERT INTO alerts (
  alert_id, kind, match_id, league, source, subject, `value`, limit_value, detail, event_id, game_time_ms, event_time,
  source_partition, source_offset, raised_at)
SELECT
  CONCAT_WS(':', kind, COALESCE(subject, ''), CAST(source_partition AS STRING), CAST(source_offset AS STRING)),
  kind, match_id, league, source, subject, seen, limit_value, detail, event_id, game_time_ms, event_time,
  source_partition, source_offset, EPOCH_MILLIS(CURRENT_TIMESTAMP)
FROM found;

INSERT INTO alerts (
  alert_id, kind, match_id, league, source, subject, `value`, limit_value, detail, event_id, game_time_ms, event_time,
  source_partition, source_offset, raised_at)
SELECT
  CONCAT_WS(':', kind, COALESCE(subject, ''), CAST(source_partition AS STRING), CAST(source_offset AS STRING)),
  kind, match_id, league, source, subject, seen, limit_value, detail, event_id, game_time_ms, event_time,
  source_partition, source_offset, EPOCH_MILLIS(CURRENT_TIMESTAMP)
FROM silent;
