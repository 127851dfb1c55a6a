-- riftstream: the job that peers can do too, in our way; `rift bench peers` runs it.
--
-- Reads:    live-matches
-- Writes:   peers-match-state, peers-player-windows
-- Keeps:    for each match the ids of its events, counts, and what happened in its last five minutes of match
--           clock; for each player of a match the windows of the last ten minutes. Cleared 24 h after a match's
--           last event.
-- Promises: One state record after every event, in the log's order within a match. A player's window is told again
--           with each event that falls into it: the newest record is its truth, and nothing waits for a watermark.
--           At least once, equal each time; state survives a crash by the checkpoint of every 5 s. An event_id that
--           was seen within 24 h is dropped, and bytes that are no MatchEvent are passed over.

SET 'execution.checkpointing.interval' = '5 s';
SET 'state.backend.type' = 'hashmap';
SET 'table.exec.state.ttl' = '24 h';
SET 'table.local-time-zone' = 'UTC';
SET 'pipeline.object-reuse' = 'true';
-- What both INSERTs use is planned once and runs once.
SET 'table.optimizer.reuse-optimize-block-with-digest-enabled' = 'true';

CREATE TEMPORARY VIEW things AS
SELECT
  match_id, event_id, event_time, game_time_ms, log_order, player_id, victim_id, assist_ids,
  CASE event_type
    WHEN 'CHAMPION_KILL' THEN CASE team WHEN 'blue' THEN 'kills_blue' WHEN 'red' THEN 'kills_red' END
    WHEN 'BUILDING_KILL' THEN
      CASE WHEN building = 'TOWER' THEN CASE team WHEN 'blue' THEN 'towers_blue' WHEN 'red' THEN 'towers_red' END END
    WHEN 'ELITE_MONSTER_KILL' THEN
      CASE
        WHEN monster = 'BARON_NASHOR' THEN CASE team WHEN 'blue' THEN 'barons_blue' WHEN 'red' THEN 'barons_red' END
        WHEN monster = 'DRAGON' AND COALESCE(monster_sub, '') <> 'ELDER_DRAGON'
          THEN CASE team WHEN 'blue' THEN 'dragons_blue' WHEN 'red' THEN 'dragons_red' END
      END
  END AS kind,
  CASE WHEN event_type = 'TEAM_GOLD' THEN blue_gold END AS told_blue_gold,
  CASE WHEN event_type = 'TEAM_GOLD' THEN red_gold END AS told_red_gold,
  CASE event_type WHEN 'CHAMPION_KILL' THEN 'kills' END AS deed
FROM live_matches
WHERE decode_error IS NULL AND event_id IS NOT NULL AND match_id IS NOT NULL
  AND event_time IS NOT NULL AND game_time_ms IS NOT NULL;

CREATE TEMPORARY VIEW followed AS
SELECT
  match_id, game_time_ms,
  MATCH_STATE(
    CAST(NULL AS ROW<
      kills_blue INT, kills_red INT, towers_blue INT, towers_red INT, dragons_blue INT, dragons_red INT,
      barons_blue INT, barons_red INT, kills_blue_3m INT, kills_red_3m INT>),
    event_id, event_time, game_time_ms, kind, CAST(NULL AS STRING), told_blue_gold, told_red_gold,
    CAST(NULL AS STRING), CAST(NULL AS STRING), CAST(NULL AS STRING), CAST(NULL AS STRING), CAST(NULL AS INT),
    CAST(NULL AS STRING), CAST(NULL AS STRING),
    deed, CAST(NULL AS STRING), player_id, CAST(NULL AS STRING), CAST(NULL AS STRING),
    CAST(NULL AS INT), CAST(NULL AS INT), CAST(NULL AS INT),
    victim_id, CAST(NULL AS STRING), CAST(NULL AS STRING), assist_ids) OVER (
    PARTITION BY match_id ORDER BY log_order ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS m
FROM things;

-- The planner copies a ROW in each view that looks into it: this one looks, for all.
CREATE TEMPORARY VIEW states AS
SELECT
  match_id, game_time_ms, m.duplicate, m.clock_ms, m.events,
  m.kills_blue, m.kills_red, m.towers_blue, m.towers_red, m.dragons_blue, m.dragons_red, m.barons_blue, m.barons_red,
  m.gold_blue - m.gold_red AS gold_diff, m.kills_blue_3m, m.kills_red_3m, m.player_windows
FROM followed;

INSERT INTO peers_match_state (
  match_id, game_time_ms, clock_ms, events, kills_blue, kills_red, towers_blue, towers_red,
  dragons_blue, dragons_red, barons_blue, barons_red, gold_diff, kills_blue_3m, kills_red_3m)
SELECT
  match_id, game_time_ms, clock_ms, events, kills_blue, kills_red, towers_blue, towers_red,
  dragons_blue, dragons_red, barons_blue, barons_red, gold_diff, kills_blue_3m, kills_red_3m
FROM states
WHERE NOT duplicate;

INSERT INTO peers_player_windows (player_id, match_id, window_start, events, kills, deaths, assists)
SELECT w.player_id, s.match_id, w.window_start, w.events, w.kills, w.deaths, w.assists
FROM states AS s
CROSS JOIN UNNEST(s.player_windows) AS w (
  player_id, window_start, late, team, `role`, champion, events, kills, deaths, assists, items, wards_placed,
  wards_killed, gold, creep_score, level, game_time_ms, event_time, match_kills, match_deaths, match_assists)
WHERE NOT s.duplicate AND NOT w.late;
