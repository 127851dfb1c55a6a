-- What the log says of the matches that are audited, in DuckDB's SQL: said a second time, apart from the job, so that
-- the audit reconciles with the source and not with the job's own text. {events} is the rows of raw.match_events.
CREATE SCHEMA source;

CREATE TABLE source.tellers AS
SELECT DISTINCT ON (match_id) match_id, teller, whole
FROM (
  SELECT
    match_id, coalesce(source, '') AS teller, count(DISTINCT event_id) AS told,
    bool_or(event_type = 'MATCH_START') AND bool_or(event_type IN ('MATCH_END', 'REMAKE')) AS whole
  FROM {events}
  GROUP BY ALL)
ORDER BY match_id, whole DESC, told DESC, teller;

CREATE TABLE source.all_events AS
SELECT DISTINCT ON (match_id, event_id) e.*
FROM {events} AS e
JOIN source.tellers AS t USING (match_id)
WHERE NOT t.whole OR t.teller = coalesce(e.source, '')
ORDER BY match_id, event_id, source_offset;

CREATE TABLE source.ended AS
SELECT match_id, end_offset
FROM (
  SELECT match_id, min(source_offset) AS end_offset, arg_min(event_type, source_offset) AS ending
  FROM source.all_events
  WHERE event_type IN ('MATCH_END', 'REMAKE')
  GROUP BY match_id)
WHERE ending = 'MATCH_END';

CREATE TABLE source.events AS
SELECT e.*
FROM source.all_events AS e
JOIN source.ended AS n USING (match_id)
WHERE e.source_offset <= n.end_offset;

CREATE TABLE source.starts AS
SELECT
  match_id,
  arg_max(blue_players, source_offset) FILTER (blue_players IS NOT NULL) AS blue_players,
  arg_max(red_players, source_offset) FILTER (red_players IS NOT NULL) AS red_players,
  arg_max(blue_bans, source_offset) FILTER (blue_bans IS NOT NULL) AS blue_bans,
  arg_max(red_bans, source_offset) FILTER (red_bans IS NOT NULL) AS red_bans
FROM source.events
WHERE event_type = 'MATCH_START'
GROUP BY match_id;

CREATE TABLE source.objectives AS
SELECT match_id, event_id
FROM source.events
WHERE event_type IN ('BUILDING_KILL', 'ELITE_MONSTER_KILL');
