-- processed: clean matches and their parts, each match once, from the accepted events of the lake. A batch job.
--
-- From:     match_summary.completed
-- Reads:    live-matches (as lake.raw.match_events holds it), lake.processed.matches
-- Writes:   lake.processed.matches, lake.processed.player_games, lake.processed.team_games, lake.processed.bans,
--           lake.processed.objectives, lake.processed.series
-- Keeps:    nothing: what it gives depends on the events alone, and for series on the matches that are known.
-- Promises: One row of matches for each completed match, however often and by however many sources it came: the same
--           ten champions on the same sides and the same winner within a day are one match, made of the events of the
--           source that tells the most. The other tables hold the parts of these matches and of no others.
--
-- `rift lake etl` gives it the events of the matches that changed, writes what it makes to a branch, audits that and
-- publishes it. Views hold no word that only a stream knows.

SET 'parallelism.default' = '2';
-- What several views read is computed once, written, and read as a table.
SET 'rift.batch.stages' = 'completed taken told, clean';
-- Each view that several INSERTs use is planned once and runs once.
SET 'table.optimizer.reuse-optimize-block-with-digest-enabled' = 'true';

-- What lies in the lake was accepted: this takes the place of match_pipeline's view, which takes long to plan.
CREATE TEMPORARY VIEW checked AS
SELECT *, CAST(NULL AS STRING) AS reject_reason
FROM live_matches;

CREATE TEMPORARY VIEW taken AS
SELECT
  *,
  CASE event_type WHEN 'BUILDING_KILL' THEN building ELSE monster END AS kind,
  ROW_NUMBER() OVER (PARTITION BY match_id, event_id ORDER BY log_order) AS copy
FROM valid
WHERE event_type IN ('BUILDING_KILL', 'ELITE_MONSTER_KILL');

CREATE TEMPORARY VIEW told AS
SELECT match_id, COUNT(DISTINCT event_id) AS events
FROM valid
GROUP BY match_id;

-- Sources spell champions in their own way: K'Sante, KSante; three have another name in match-v5.
CREATE TEMPORARY VIEW spelled AS
SELECT
  c.*, t.events,
  REPLACE(REPLACE(REPLACE(REGEXP_REPLACE(LOWER(ARRAY_JOIN(c.blue_champions, ',')), '[^a-z,]', ''),
    'wukong', 'monkeyking'), 'nunuwillump', 'nunu'), 'renataglasc', 'renata') AS blue_spelled,
  REPLACE(REPLACE(REPLACE(REGEXP_REPLACE(LOWER(ARRAY_JOIN(c.red_champions, ',')), '[^a-z,]', ''),
    'wukong', 'monkeyking'), 'nunuwillump', 'nunu'), 'renataglasc', 'renata') AS red_spelled
FROM completed AS c
JOIN told AS t ON t.match_id = c.match_id;

CREATE TEMPORARY VIEW drafted AS
SELECT
  *,
  CASE
    WHEN REGEXP(blue_spelled, '^([a-z]+,){4}[a-z]+$') AND REGEXP(red_spelled, '^([a-z]+,){4}[a-z]+$')
    THEN CONCAT_WS('|', ARRAY_JOIN(ARRAY_SORT(SPLIT(blue_spelled, ',')), ','),
      ARRAY_JOIN(ARRAY_SORT(SPLIT(red_spelled, ',')), ','), winner)
    ELSE match_id
  END AS draft
FROM spelled;

CREATE TEMPORARY VIEW spaced AS
SELECT
  *,
  CASE
    WHEN event_time - LAG(event_time) OVER (PARTITION BY draft ORDER BY event_time, match_id) <= 86400000 THEN 0
    ELSE 1
  END AS begins
FROM drafted;

CREATE TEMPORARY VIEW played AS
SELECT
  *,
  SUM(begins) OVER (
    PARTITION BY draft ORDER BY event_time, match_id ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS playing
FROM spaced;

CREATE TEMPORARY VIEW paths AS
SELECT
  draft, playing, ARRAY_SORT(ARRAY_AGG(match_id)) AS match_ids,
  ARRAY_SORT(ARRAY_DISTINCT(ARRAY_AGG(COALESCE(source, 'unknown')))) AS sources
FROM played
GROUP BY draft, playing;

CREATE TEMPORARY VIEW clean AS
SELECT
  m.match_id, p.match_ids, p.sources, m.started, m.event_time, m.game_time_ms, m.duration_ms, m.source, m.league,
  m.season, m.phase, m.patch, m.map_number, m.blue_team, m.red_team, m.winner, m.blue_players, m.red_players,
  m.blue_champions, m.red_champions, m.blue_bans, m.red_bans, m.players, m.kills_blue, m.kills_red, m.towers_blue,
  m.towers_red, m.inhibitors_blue, m.inhibitors_red, m.dragons_blue, m.dragons_red, m.barons_blue, m.barons_red,
  m.gold_blue, m.gold_red, m.events, m.draft, m.source_offset
FROM (
  SELECT
    *, ROW_NUMBER() OVER (PARTITION BY draft, playing ORDER BY events DESC, match_id) AS place
  FROM played) AS m
JOIN paths AS p ON p.draft = m.draft AND p.playing = m.playing
WHERE m.place = 1;

INSERT INTO lake.processed.`matches` (
  match_id, match_ids, sources, started, event_time, game_time_ms, duration_ms, source, league, season, phase, patch,
  map_number, blue_team, red_team, winner, winning_team, blue_players, red_players, blue_champions, red_champions,
  blue_bans, red_bans, kills_blue, kills_red, towers_blue, towers_red, inhibitors_blue, inhibitors_red, dragons_blue,
  dragons_red, barons_blue, barons_red, gold_blue, gold_red, events, draft)
SELECT
  match_id, match_ids, sources, TO_TIMESTAMP_LTZ(started, 3), TO_TIMESTAMP_LTZ(event_time, 3), game_time_ms,
  duration_ms, source, league, season, phase, patch, map_number, blue_team, red_team, winner,
  CASE winner WHEN 'blue' THEN blue_team ELSE red_team END, blue_players, red_players, blue_champions, red_champions,
  blue_bans, red_bans, kills_blue, kills_red, towers_blue, towers_red, inhibitors_blue, inhibitors_red, dragons_blue,
  dragons_red, barons_blue, barons_red, gold_blue, gold_red, events, draft
FROM clean;

INSERT INTO lake.processed.player_games (
  player_id, match_id, started, event_time, duration_ms, source, league, season, phase, patch, map_number, side, team,
  opponent, `role`, champion, won, kills, deaths, assists, team_kills, creep_score, gold)
SELECT
  p.player_id, m.match_id, TO_TIMESTAMP_LTZ(m.started, 3), TO_TIMESTAMP_LTZ(m.event_time, 3), m.duration_ms, m.source,
  m.league, m.season, m.phase, m.patch, m.map_number, p.side,
  CASE p.side WHEN 'blue' THEN m.blue_team ELSE m.red_team END,
  CASE p.side WHEN 'blue' THEN m.red_team ELSE m.blue_team END,
  p.`role`, p.champion, p.side = m.winner, p.kills, p.deaths, p.assists,
  CASE p.side WHEN 'blue' THEN m.kills_blue ELSE m.kills_red END, p.creep_score, p.gold
FROM clean AS m
CROSS JOIN UNNEST(m.players) AS p (
  player_id, side, `role`, champion, kills, deaths, assists, creep_score, gold);

INSERT INTO lake.processed.team_games (
  match_id, side, team, opponent, started, event_time, duration_ms, league, season, phase, patch, map_number, won,
  kills, deaths, towers, towers_lost, inhibitors, inhibitors_lost, dragons, dragons_lost, barons, barons_lost, gold,
  gold_diff)
SELECT
  match_id, 'blue', blue_team, red_team, TO_TIMESTAMP_LTZ(started, 3), TO_TIMESTAMP_LTZ(event_time, 3), duration_ms,
  league, season, phase, patch, map_number, winner = 'blue', kills_blue, kills_red, towers_blue, towers_red,
  inhibitors_blue, inhibitors_red, dragons_blue, dragons_red, barons_blue, barons_red, gold_blue, gold_blue - gold_red
FROM clean
UNION ALL
SELECT
  match_id, 'red', red_team, blue_team, TO_TIMESTAMP_LTZ(started, 3), TO_TIMESTAMP_LTZ(event_time, 3), duration_ms,
  league, season, phase, patch, map_number, winner = 'red', kills_red, kills_blue, towers_red, towers_blue,
  inhibitors_red, inhibitors_blue, dragons_red, dragons_blue, barons_red, barons_blue, gold_red, gold_red - gold_blue
FROM clean;

CREATE TEMPORARY VIEW banned AS
SELECT m.*, 'blue' AS side, b.champion, b.place, m.blue_team AS team
FROM clean AS m
CROSS JOIN UNNEST(m.blue_bans) WITH ORDINALITY AS b (champion, place)
UNION ALL
SELECT m.*, 'red' AS side, b.champion, b.place, m.red_team AS team
FROM clean AS m
CROSS JOIN UNNEST(m.red_bans) WITH ORDINALITY AS b (champion, place);

INSERT INTO lake.processed.bans (
  match_id, side, number, champion, team, started, event_time, league, season, phase, patch, map_number, won)
SELECT
  match_id, side, place, champion, team, TO_TIMESTAMP_LTZ(started, 3), TO_TIMESTAMP_LTZ(event_time, 3), league, season,
  phase, patch, map_number, side = winner
FROM banned
WHERE champion <> '';

INSERT INTO lake.processed.objectives (
  event_id, match_id, event_time, game_time_ms, kind, sub_kind, lane, side, team, player_id, x, y, number, league,
  season, phase, patch, map_number, won)
SELECT
  o.event_id, o.match_id, TO_TIMESTAMP_LTZ(o.event_time, 3), o.game_time_ms, o.kind,
  CASE o.event_type WHEN 'BUILDING_KILL' THEN o.tower_type ELSE o.monster_sub END,
  o.lane, o.team, CASE o.team WHEN 'blue' THEN m.blue_team WHEN 'red' THEN m.red_team END, o.player_id, o.x, o.y,
  CAST(ROW_NUMBER() OVER (PARTITION BY o.match_id, o.kind ORDER BY o.log_order) AS INT),
  m.league, m.season, m.phase, m.patch, m.map_number, o.team = m.winner
FROM taken AS o
JOIN clean AS m ON m.match_id = o.match_id
WHERE o.copy = 1 AND o.source_offset <= m.source_offset;

-- A series may have matches that are known already: those of the same teams, without what is made anew here.
CREATE TEMPORARY VIEW paired AS
SELECT
  CONCAT_WS('|', LEAST(blue_team, red_team), GREATEST(blue_team, red_team), COALESCE(league, '')) AS pair,
  match_id, started, event_time, league, season, phase, map_number, LEAST(blue_team, red_team) AS team_a,
  GREATEST(blue_team, red_team) AS team_b, CASE winner WHEN 'blue' THEN blue_team ELSE red_team END AS winning_team
FROM clean
WHERE blue_team <> '' AND red_team <> '' AND blue_team <> red_team;

CREATE TEMPORARY VIEW neighbours AS
SELECT * FROM (
  SELECT
    CONCAT_WS('|', LEAST(blue_team, red_team), GREATEST(blue_team, red_team), COALESCE(league, '')) AS pair,
    match_id, EPOCH_MILLIS(started) AS started, EPOCH_MILLIS(event_time) AS event_time, league, season, phase,
    map_number, LEAST(blue_team, red_team) AS team_a, GREATEST(blue_team, red_team) AS team_b, winning_team
  FROM lake.processed.`matches`
  WHERE blue_team <> '' AND red_team <> '' AND blue_team <> red_team)
WHERE pair IN (SELECT pair FROM paired) AND match_id NOT IN (SELECT match_id FROM drafted);

CREATE TEMPORARY VIEW met AS
SELECT
  *,
  CASE
    WHEN started - LAG(event_time) OVER (PARTITION BY pair ORDER BY started, match_id) <= 43200000
      AND COALESCE(map_number > LAG(map_number) OVER (PARTITION BY pair ORDER BY started, match_id), TRUE) THEN 0
    ELSE 1
  END AS begins
FROM (SELECT * FROM paired UNION ALL SELECT * FROM neighbours);

CREATE TEMPORARY VIEW sat AS
SELECT
  *,
  SUM(begins) OVER (
    PARTITION BY pair ORDER BY started, match_id ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS sitting
FROM met;

CREATE TEMPORARY VIEW sittings AS
SELECT
  pair, team_a, team_b, league,
  MAX(CASE WHEN begins = 1 THEN match_id END) AS first_match,
  MAX(CASE WHEN begins = 1 THEN season END) AS season,
  MAX(CASE WHEN begins = 1 THEN phase END) AS phase,
  MIN(started) AS started, MAX(event_time) AS event_time,
  CAST(COUNT(*) AS INT) AS games,
  CAST(COUNT(CASE WHEN winning_team = team_a THEN 1 END) AS INT) AS wins_a,
  CAST(COUNT(CASE WHEN winning_team = team_b THEN 1 END) AS INT) AS wins_b,
  ARRAY_SORT(ARRAY_AGG(match_id)) AS match_ids
FROM sat
GROUP BY pair, team_a, team_b, league, sitting;

INSERT INTO lake.processed.series (
  series_id, pair, team_a, team_b, league, season, phase, started, event_time, games, wins_a, wins_b, winner, match_ids)
SELECT
  CONCAT('S:', first_match), pair, team_a, team_b, league, season, phase, TO_TIMESTAMP_LTZ(started, 3),
  TO_TIMESTAMP_LTZ(event_time, 3), games, wins_a, wins_b,
  CASE WHEN wins_a > wins_b THEN team_a WHEN wins_b > wins_a THEN team_b END, match_ids
FROM sittings;
