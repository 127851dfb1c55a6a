-- player_form: each player's form over the 30 days of event time up to each of their matches.
--
-- Reads:    player-games
-- Writes:   player-stats
-- Keeps:    for each player the newest 512 games, for good: history may come after the present.
-- Promises: After each game of a player one record as of its end, that game included; a game that comes out of order
--           tells the later games of its 30 days again. So the newest record of a player and match in the topic
--           depends on the games alone and not on their order. At least once, equal each time.

SET 'parallelism.default' = '1';
SET 'state.backend.type' = 'rocksdb';
SET 'execution.checkpointing.incremental' = 'true';

CREATE TEMPORARY VIEW player_forms AS
SELECT
  player_id, source_partition, source_offset,
  FORM(
    match_id, event_time, CAST(30 AS BIGINT) * 86400000, won, `role`, team,
    ARRAY[kills, deaths, assists, team_kills]) OVER (
      PARTITION BY player_id ORDER BY log_order ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS told
FROM player_games
WHERE decode_error IS NULL;

INSERT INTO player_stats (
  player_id, as_of, match_id, `role`, team, games, wins, kills, deaths, assists,
  kills_mean, deaths_mean, assists_mean, participation, form, kills_volatility, event_time,
  source_partition, source_offset)
SELECT
  p.player_id, t.event_time, t.match_id, t.`role`, t.team, t.games, t.wins, t.sums[1], t.sums[2], t.sums[3],
  CAST(t.sums[1] AS DOUBLE) / t.games, CAST(t.sums[2] AS DOUBLE) / t.games, CAST(t.sums[3] AS DOUBLE) / t.games,
  CASE WHEN t.sums[4] > 0 THEN CAST(t.sums[1] + t.sums[3] AS DOUBLE) / t.sums[4] END,
  t.form, t.spread, t.event_time, p.source_partition, p.source_offset
FROM player_forms AS p
CROSS JOIN UNNEST(p.told) AS t (match_id, event_time, games, wins, sums, known, form, spread, `role`, team);
