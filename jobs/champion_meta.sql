-- champion_meta: how often each champion is picked, banned and wins, by patch, or by season where there is no patch.
--
-- Reads:    match-summaries
-- Writes:   champion-meta
-- Keeps:    for each patch or season the ids of its matches and three counts for each champion, for good.
-- Promises: After each match one record for every champion that its patch or season has seen, over the matches heard
--           so far, as of the newest of them. A match that comes out of order counts from then on; records that were
--           told before stay as they were, and backfill in the order of time makes them exact. A match that was
--           counted tells nothing again. At least once.

SET 'parallelism.default' = '1';
SET 'state.backend.type' = 'rocksdb';
SET 'execution.checkpointing.incremental' = 'true';

CREATE TEMPORARY VIEW champion_counts AS
SELECT
  `scope`, scope_kind, match_id, source_partition, source_offset,
  CHAMPION_COUNTS(match_id, event_time, winner, blue_champions, red_champions, blue_bans, red_bans) OVER (
    PARTITION BY `scope`, scope_kind ORDER BY log_order ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS so_far
FROM (
  SELECT
    *,
    CASE WHEN patch <> '' THEN patch ELSE season END AS `scope`,
    CASE WHEN patch <> '' THEN 'patch' ELSE 'season' END AS scope_kind
  FROM match_summaries
  WHERE decode_error IS NULL)
WHERE `scope` <> '';

INSERT INTO champion_meta (
  champion, `scope`, scope_kind, as_of, match_id, games, picks, bans, wins, pick_rate, ban_rate, win_rate, event_time,
  source_partition, source_offset)
SELECT
  c.champion, s.`scope`, s.scope_kind, s.so_far.as_of, s.match_id, s.so_far.games, c.picks, c.bans, c.wins,
  CAST(c.picks AS DOUBLE) / s.so_far.games, CAST(c.bans AS DOUBLE) / s.so_far.games,
  CASE WHEN c.picks > 0 THEN CAST(c.wins AS DOUBLE) / c.picks END,
  s.so_far.as_of, s.source_partition, s.source_offset
FROM champion_counts AS s
CROSS JOIN UNNEST(s.so_far.champions) AS c (champion, picks, bans, wins);
