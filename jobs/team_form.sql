-- team_form: each team's form over 30 days of event time, and against each other team over 365.
--
-- Reads:    match-summaries
-- Writes:   team-form, head-to-head
-- Keeps:    for each team, and for each team against each other, the newest 512 games, for good: history may come
--           after the present.
-- Promises: After each match one record for each of its teams and one for each against the other, as of its end,
--           that match included; a match that comes out of order tells the later ones of its horizon again. So the
--           newest record of a team (or pair) and match in the topic depends on the matches alone and not on their
--           order. At least once, equal each time. A match without names of teams tells nothing.

SET 'parallelism.default' = '1';
SET 'state.backend.type' = 'rocksdb';
SET 'execution.checkpointing.incremental' = 'true';

-- Each match twice: as blue (1) and as red (2) saw it.
CREATE TEMPORARY VIEW team_games AS
SELECT
  t.team, m.match_id, m.event_time, m.league, m.duration_ms,
  CASE t.side WHEN 1 THEN m.winner = 'blue' ELSE m.winner = 'red' END AS won,
  CASE t.side WHEN 1 THEN m.red_team ELSE m.blue_team END AS opponent,
  CASE t.side WHEN 1 THEN m.kills_blue ELSE m.kills_red END AS kills,
  CASE t.side WHEN 1 THEN m.kills_red ELSE m.kills_blue END AS deaths,
  CASE t.side WHEN 1 THEN m.towers_blue ELSE m.towers_red END AS towers,
  CASE t.side WHEN 1 THEN m.towers_red ELSE m.towers_blue END AS towers_lost,
  CASE t.side WHEN 1 THEN m.dragons_blue ELSE m.dragons_red END AS dragons,
  CASE t.side WHEN 1 THEN m.barons_blue ELSE m.barons_red END AS barons,
  CASE t.side WHEN 1 THEN m.gold_blue - m.gold_red ELSE m.gold_red - m.gold_blue END AS gold_diff,
  m.source_partition, m.source_offset, m.log_order
FROM match_summaries AS m
CROSS JOIN UNNEST(ARRAY[m.blue_team, m.red_team]) WITH ORDINALITY AS t (team, side)
WHERE m.decode_error IS NULL;

CREATE TEMPORARY VIEW team_forms AS
SELECT
  team, source_partition, source_offset,
  FORM(
    match_id, event_time, CAST(30 AS BIGINT) * 86400000, won, league, CAST(NULL AS STRING),
    ARRAY[kills, deaths, towers, towers_lost, dragons, barons, gold_diff, duration_ms]) OVER (
      PARTITION BY team ORDER BY log_order ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS told
FROM team_games
WHERE team <> '';

CREATE TEMPORARY VIEW pair_forms AS
SELECT
  team, opponent, source_partition, source_offset,
  FORM(
    match_id, event_time, CAST(365 AS BIGINT) * 86400000, won, CAST(NULL AS STRING), CAST(NULL AS STRING),
    ARRAY[kills - deaths, gold_diff]) OVER (
      PARTITION BY team, opponent ORDER BY log_order ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS told
FROM team_games
WHERE team <> '' AND opponent <> '';

INSERT INTO team_form (
  team, as_of, match_id, league, games, wins, win_rate, form, kills_mean, deaths_mean, kills_volatility,
  towers_mean, towers_lost_mean, dragons_mean, barons_mean, gold_diff_mean, duration_mean_ms, event_time,
  source_partition, source_offset)
SELECT
  f.team, t.event_time, t.match_id, t.league, t.games, t.wins, CAST(t.wins AS DOUBLE) / t.games, t.form,
  CAST(t.sums[1] AS DOUBLE) / t.known[1], CAST(t.sums[2] AS DOUBLE) / t.known[2], t.spread,
  CAST(t.sums[3] AS DOUBLE) / t.known[3], CAST(t.sums[4] AS DOUBLE) / t.known[4],
  CAST(t.sums[5] AS DOUBLE) / t.known[5], CAST(t.sums[6] AS DOUBLE) / t.known[6],
  CAST(t.sums[7] AS DOUBLE) / t.known[7], CAST(t.sums[8] AS DOUBLE) / t.known[8],
  t.event_time, f.source_partition, f.source_offset
FROM team_forms AS f
CROSS JOIN UNNEST(f.told) AS t (match_id, event_time, games, wins, sums, known, form, spread, league, nothing);

INSERT INTO head_to_head (
  pair, team, opponent, as_of, match_id, games, wins, win_rate, form, kills_diff_mean, gold_diff_mean, event_time,
  source_partition, source_offset)
SELECT
  CONCAT(f.team, '|', f.opponent), f.team, f.opponent, t.event_time, t.match_id, t.games, t.wins,
  CAST(t.wins AS DOUBLE) / t.games, t.form,
  CAST(t.sums[1] AS DOUBLE) / t.known[1], CAST(t.sums[2] AS DOUBLE) / t.known[2],
  t.event_time, f.source_partition, f.source_offset
FROM pair_forms AS f
CROSS JOIN UNNEST(f.told) AS t (match_id, event_time, games, wins, sums, known, form, spread, nothing, nobody);
