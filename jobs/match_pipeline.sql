-- match_pipeline: from the bytes of live-matches to features, windows, results and history.
--
-- Reads:    live-matches
-- Writes:   match-features, player-performance, match-results, dead-letters, lake.raw.match_events
-- Keeps:    for each match, as one object (MATCH_STATE): the ids of its events, counts, what happened in its last five
--           minutes of match clock, and the windows of each player's last ten minutes. Cleared 24 h after a match's
--           last event.
-- Promises: Every record of live-matches is accepted or is a dead letter with its reason, and stops nothing.
--           Every accepted event is one row of lake.raw.match_events (exactly once) and one match-features record
--           (at least once, equal each time but for flink_time and watermark), in the log's order within a match.
--           An event_id that was seen within 24 h is dropped and counted. Late events are applied and counted.
--           A player's window is told again with each event that falls into it: the newest record is its truth,
--           and nothing waits for a watermark.
--
-- Views from `accepted` on hold no word that only a stream knows, so that they run in batch over history as they
-- stand, with log_order being the offset instead of processing time.

SET 'execution.checkpointing.interval' = '5 s';
SET 'state.backend.type' = 'hashmap';
SET 'table.exec.state.ttl' = '24 h';
SET 'table.exec.source.idle-timeout' = '5 s';
-- A prediction waits for this; other jobs wait half a second for a fetch that is worth it.
SET 'rift.source.fetch-wait' = '5';
SET 'pipeline.object-reuse' = 'true';
SET 'execution.buffer-timeout.interval' = '5 ms';
-- Each view that several INSERTs use is planned once and runs once.
SET 'table.optimizer.reuse-optimize-block-with-digest-enabled' = 'true';
SET 'table.optimizer.reuse-sink-enabled' = 'true';

-- Validate: the first thing that is wrong with a record, as one of a fixed set of words.
CREATE TEMPORARY VIEW checked AS
SELECT
  *,
  CASE
    WHEN decode_error IS NOT NULL THEN decode_error
    WHEN match_id IS NULL OR match_id = '' THEN 'missing_match_id'
    WHEN event_id IS NULL OR event_id = '' THEN 'missing_event_id'
    WHEN event_type IS NULL OR event_type = '' THEN 'missing_event_type'
    WHEN event_type NOT IN (
      'MATCH_START', 'CHAMPION_KILL', 'BUILDING_KILL', 'ELITE_MONSTER_KILL', 'TEAM_GOLD', 'PLAYER_STATS',
      'ITEM_PURCHASED', 'LEVEL_UP', 'WARD_PLACED', 'WARD_KILL', 'PAUSE_START', 'PAUSE_END', 'REMAKE', 'MATCH_END')
      THEN 'unknown_event_type'
    WHEN event_time IS NULL THEN 'missing_event_time'
    WHEN event_time < 1256601600000 THEN 'event_time_too_old'
    WHEN event_time > UNIX_TIMESTAMP() * 1000 + 300000 THEN 'event_time_in_future'
    WHEN game_time_ms IS NULL THEN 'missing_clock'
    WHEN game_time_ms < 0 THEN 'clock_negative'
    WHEN game_time_ms > 7200000 THEN 'clock_too_large'
    WHEN team NOT IN ('blue', 'red') THEN 'unknown_team'
    WHEN winner NOT IN ('blue', 'red') THEN 'unknown_winner'
    WHEN role NOT IN ('top', 'jungle', 'mid', 'adc', 'support') THEN 'unknown_role'
    WHEN victim_role NOT IN ('top', 'jungle', 'mid', 'adc', 'support') THEN 'unknown_role'
    WHEN event_type = 'CHAMPION_KILL' AND team IS NULL AND victim_id IS NULL THEN 'missing_victim'
    WHEN event_type = 'BUILDING_KILL' AND team IS NULL THEN 'missing_team'
    WHEN event_type = 'BUILDING_KILL' AND (building IS NULL OR building NOT IN ('TOWER', 'INHIBITOR'))
      THEN 'unknown_building'
    WHEN event_type = 'ELITE_MONSTER_KILL' AND (
      monster IS NULL OR monster NOT IN ('DRAGON', 'RIFTHERALD', 'BARON_NASHOR', 'HORDE', 'ATAKHAN'))
      THEN 'unknown_monster'
    WHEN event_type = 'TEAM_GOLD' AND (blue_gold IS NULL OR red_gold IS NULL) THEN 'missing_gold'
    WHEN event_type = 'MATCH_END' AND winner IS NULL THEN 'missing_winner'
    WHEN event_type IN ('PLAYER_STATS', 'ITEM_PURCHASED', 'LEVEL_UP', 'WARD_PLACED', 'WARD_KILL')
      AND (player_id IS NULL OR player_id = '') THEN 'missing_player'
    WHEN blue_gold NOT BETWEEN 0 AND 1000000 OR red_gold NOT BETWEEN 0 AND 1000000
      OR gold NOT BETWEEN 0 AND 1000000 THEN 'impossible_gold'
    WHEN kills NOT BETWEEN 0 AND 1000 OR deaths NOT BETWEEN 0 AND 1000 OR assists NOT BETWEEN 0 AND 1000
      OR creep_score NOT BETWEEN 0 AND 10000 OR level NOT BETWEEN 1 AND 30
      OR ordinal < 0 OR map_number < 1 THEN 'impossible_count'
    WHEN x NOT BETWEEN -1000 AND 20000 OR y NOT BETWEEN -1000 AND 20000 THEN 'impossible_position'
    WHEN duration_ms NOT BETWEEN 0 AND 7200000 THEN 'impossible_duration'
  END AS reject_reason
FROM live_matches;

-- What follows needs no bytes, so they must not be carried through the shuffle. An OVER takes along every column
-- below it, and the planner merges a projection without a computed column away: kafka_time in ms prevents it.
CREATE TEMPORARY VIEW valid AS
SELECT
  event_id, match_id, event_type, event_time, game_time_ms, ordinal, source, league, season, phase, patch, map_number,
  team, player_id, `role`, champion, victim_id, victim_role, victim_champion, assist_ids,
  building, lane, tower_type, monster, monster_sub, x, y, item_id,
  blue_gold, red_gold, kills, deaths, assists, creep_score, level, gold,
  blue_team, red_team, blue_players, red_players, blue_champions, red_champions, blue_bans, red_bans,
  winner, duration_ms,
  source_topic, source_partition, source_offset, EPOCH_MILLIS(kafka_time) AS kafka_time, schema_id, record_key, log_order, ts
FROM checked
WHERE reject_reason IS NULL;

-- What each event counts as: a kind of thing, by the side that brought it about, and for dragons which one.
CREATE TEMPORARY VIEW things AS
SELECT
  *,
  CASE event_type
    WHEN 'CHAMPION_KILL' THEN CASE team WHEN 'blue' THEN 'kills_blue' WHEN 'red' THEN 'kills_red' END
    WHEN 'BUILDING_KILL' THEN
      CASE building
        WHEN 'TOWER' THEN CASE team WHEN 'blue' THEN 'towers_blue' ELSE 'towers_red' END
        ELSE CASE team WHEN 'blue' THEN 'inhibitors_blue' ELSE 'inhibitors_red' END
      END
    WHEN 'ELITE_MONSTER_KILL' THEN
      CASE monster
        WHEN 'DRAGON' THEN CASE team WHEN 'blue' THEN 'all_dragons_blue' WHEN 'red' THEN 'all_dragons_red' END
        WHEN 'RIFTHERALD' THEN CASE team WHEN 'blue' THEN 'heralds_blue' WHEN 'red' THEN 'heralds_red' END
        WHEN 'BARON_NASHOR' THEN CASE team WHEN 'blue' THEN 'barons_blue' WHEN 'red' THEN 'barons_red' END
      END
    WHEN 'PAUSE_START' THEN 'pauses'
    WHEN 'MATCH_END' THEN 'endings'
    WHEN 'REMAKE' THEN 'endings'
  END AS kind,
  CASE WHEN event_type = 'ELITE_MONSTER_KILL' AND monster = 'DRAGON' THEN
    CASE team
      WHEN 'blue' THEN
        CASE monster_sub
          WHEN 'AIR_DRAGON' THEN 'air_dragons_blue'
          WHEN 'EARTH_DRAGON' THEN 'earth_dragons_blue'
          WHEN 'FIRE_DRAGON' THEN 'fire_dragons_blue'
          WHEN 'WATER_DRAGON' THEN 'water_dragons_blue'
          WHEN 'HEXTECH_DRAGON' THEN 'hextech_dragons_blue'
          WHEN 'CHEMTECH_DRAGON' THEN 'chemtech_dragons_blue'
          WHEN 'ELDER_DRAGON' THEN 'elder_dragons_blue'
        END
      WHEN 'red' THEN
        CASE monster_sub
          WHEN 'AIR_DRAGON' THEN 'air_dragons_red'
          WHEN 'EARTH_DRAGON' THEN 'earth_dragons_red'
          WHEN 'FIRE_DRAGON' THEN 'fire_dragons_red'
          WHEN 'WATER_DRAGON' THEN 'water_dragons_red'
          WHEN 'HEXTECH_DRAGON' THEN 'hextech_dragons_red'
          WHEN 'CHEMTECH_DRAGON' THEN 'chemtech_dragons_red'
          WHEN 'ELDER_DRAGON' THEN 'elder_dragons_red'
        END
    END
  END AS sub_kind,
  CASE WHEN event_type = 'TEAM_GOLD' THEN blue_gold END AS told_blue_gold,
  CASE WHEN event_type = 'TEAM_GOLD' THEN red_gold END AS told_red_gold,
  CASE WHEN event_type = 'MATCH_START' THEN blue_team END AS started_blue_team,
  CASE WHEN event_type = 'MATCH_START' THEN red_team END AS started_red_team,
  CASE event_type
    WHEN 'CHAMPION_KILL' THEN 'kills'
    WHEN 'ITEM_PURCHASED' THEN 'items'
    WHEN 'WARD_PLACED' THEN 'wards_placed'
    WHEN 'WARD_KILL' THEN 'wards_killed'
  END AS deed,
  CASE WHEN event_type = 'PLAYER_STATS' THEN gold END AS told_gold,
  CASE WHEN event_type = 'PLAYER_STATS' THEN creep_score END AS told_creep_score
FROM valid;

-- The state of a match after each event, in the log's order: one shuffle and one look-up serve duplicates, features,
-- results, windows and the lake.
CREATE TEMPORARY VIEW followed AS
SELECT
  *,
  MATCH_STATE(
    CAST(NULL AS ROW<
      kills_blue INT, kills_red INT, towers_blue INT, towers_red INT, inhibitors_blue INT, inhibitors_red INT,
      all_dragons_blue INT, all_dragons_red INT, air_dragons_blue INT, air_dragons_red INT, earth_dragons_blue INT,
      earth_dragons_red INT, fire_dragons_blue INT, fire_dragons_red INT, water_dragons_blue INT,
      water_dragons_red INT, hextech_dragons_blue INT, hextech_dragons_red INT, chemtech_dragons_blue INT,
      chemtech_dragons_red INT, elder_dragons_blue INT, elder_dragons_red INT, heralds_blue INT, heralds_red INT,
      barons_blue INT, barons_red INT, pauses INT, endings INT, kills_blue_1m INT, kills_blue_3m INT,
      kills_blue_5m INT, kills_red_1m INT, kills_red_3m INT, kills_red_5m INT, towers_blue_1m INT, towers_blue_3m INT,
      towers_blue_5m INT, towers_red_1m INT, towers_red_3m INT, towers_red_5m INT, inhibitors_blue_5m INT,
      inhibitors_red_5m INT, barons_blue_3m INT, barons_red_3m INT, kills_blue_clock_ms INT, kills_red_clock_ms INT,
      towers_blue_clock_ms INT, towers_red_clock_ms INT, all_dragons_blue_clock_ms INT, all_dragons_red_clock_ms INT,
      barons_blue_clock_ms INT, barons_red_clock_ms INT, kills_blue_first INT, kills_red_first INT,
      towers_blue_first INT, towers_red_first INT>),
    event_id, event_time, game_time_ms, kind, sub_kind, told_blue_gold, told_red_gold,
    league, season, phase, patch, map_number, started_blue_team, started_red_team,
    deed, team, player_id, `role`, champion, told_gold, told_creep_score, level,
    victim_id, victim_role, victim_champion, assist_ids) OVER (
    PARTITION BY match_id ORDER BY log_order ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS m
FROM things;

-- The planner copies a ROW in each view that looks into it: this one looks, for all.
CREATE TEMPORARY VIEW marked AS
SELECT
  event_id, match_id, event_type, event_time, game_time_ms, ordinal, source, league, season, phase, patch, map_number,
  team, player_id, `role`, champion, victim_id, victim_role, victim_champion, assist_ids, building, lane, tower_type,
  monster, monster_sub, x, y, item_id, blue_gold, red_gold, kills, deaths, assists, creep_score, level, gold,
  blue_team, red_team, blue_players, red_players, blue_champions, red_champions, blue_bans, red_bans, winner,
  duration_ms, source_topic, source_partition, source_offset, kafka_time, schema_id, record_key, ts,
  m.league AS match_league, m.season AS match_season, m.phase AS match_phase, m.patch AS match_patch,
  m.map_number AS match_map_number, m.blue_team AS match_blue_team, m.red_team AS match_red_team, m.duplicate,
  m.clock_ms, m.events, m.out_of_order_events, m.late_events, m.gold_blue, m.gold_blue_1m, m.gold_blue_3m,
  m.gold_blue_5m, m.gold_red, m.gold_red_1m, m.gold_red_3m, m.gold_red_5m, m.gold_clock_ms, m.player_windows,
  m.kills_blue, m.kills_red, m.towers_blue, m.towers_red, m.inhibitors_blue, m.inhibitors_red, m.all_dragons_blue,
  m.all_dragons_red, m.air_dragons_blue, m.air_dragons_red, m.earth_dragons_blue, m.earth_dragons_red,
  m.fire_dragons_blue, m.fire_dragons_red, m.water_dragons_blue, m.water_dragons_red, m.hextech_dragons_blue,
  m.hextech_dragons_red, m.chemtech_dragons_blue, m.chemtech_dragons_red, m.elder_dragons_blue, m.elder_dragons_red,
  m.heralds_blue, m.heralds_red, m.barons_blue, m.barons_red, m.pauses, m.endings, m.kills_blue_1m, m.kills_blue_3m,
  m.kills_blue_5m, m.kills_red_1m, m.kills_red_3m, m.kills_red_5m, m.towers_blue_1m, m.towers_blue_3m,
  m.towers_blue_5m, m.towers_red_1m, m.towers_red_3m, m.towers_red_5m, m.inhibitors_blue_5m, m.inhibitors_red_5m,
  m.barons_blue_3m, m.barons_red_3m, m.kills_blue_clock_ms, m.kills_red_clock_ms, m.towers_blue_clock_ms,
  m.towers_red_clock_ms, m.all_dragons_blue_clock_ms, m.all_dragons_red_clock_ms, m.barons_blue_clock_ms,
  m.barons_red_clock_ms, m.kills_blue_first, m.kills_red_first, m.towers_blue_first, m.towers_red_first
FROM followed;

CREATE TEMPORARY VIEW accepted AS
SELECT * FROM marked WHERE NOT duplicate;

-- The season decides when monsters spawn: up to 2018 (old) or later; a season without a year counts as new.
CREATE TEMPORARY VIEW states AS
SELECT
  match_id, event_id, event_type, event_time, game_time_ms, source, winner, duration_ms,
  source_partition, source_offset, kafka_time, ts,
  match_league, match_season, match_phase, match_patch, match_map_number, match_blue_team, match_red_team,
  clock_ms, events, out_of_order_events, late_events, gold_blue, gold_blue_1m, gold_blue_3m, gold_blue_5m, gold_red,
  gold_red_1m, gold_red_3m, gold_red_5m, gold_clock_ms, kills_blue, kills_red, towers_blue, towers_red,
  inhibitors_blue, inhibitors_red, all_dragons_blue, all_dragons_red, air_dragons_blue, air_dragons_red,
  earth_dragons_blue, earth_dragons_red, fire_dragons_blue, fire_dragons_red, water_dragons_blue, water_dragons_red,
  hextech_dragons_blue, hextech_dragons_red, chemtech_dragons_blue, chemtech_dragons_red, elder_dragons_blue,
  elder_dragons_red, heralds_blue, heralds_red, barons_blue, barons_red, pauses, endings, kills_blue_1m,
  kills_blue_3m, kills_blue_5m, kills_red_1m, kills_red_3m, kills_red_5m, towers_blue_1m, towers_blue_3m,
  towers_blue_5m, towers_red_1m, towers_red_3m, towers_red_5m, inhibitors_blue_5m, inhibitors_red_5m, barons_blue_3m,
  barons_red_3m, kills_blue_clock_ms, kills_red_clock_ms, towers_blue_clock_ms, towers_red_clock_ms,
  all_dragons_blue_clock_ms, all_dragons_red_clock_ms, barons_blue_clock_ms, barons_red_clock_ms, kills_blue_first,
  kills_red_first, towers_blue_first, towers_red_first,
  CASE WHEN REGEXP(match_season, '^[0-9]{4}') THEN CAST(SUBSTRING(match_season FROM 1 FOR 4) AS INT) ELSE 9999 END
    AS season_year,
  clock_ms - GREATEST(COALESCE(kills_blue_clock_ms, kills_red_clock_ms),
    COALESCE(kills_red_clock_ms, kills_blue_clock_ms)) AS since_kill_ms,
  clock_ms - GREATEST(COALESCE(towers_blue_clock_ms, towers_red_clock_ms),
    COALESCE(towers_red_clock_ms, towers_blue_clock_ms)) AS since_tower_ms,
  clock_ms - GREATEST(COALESCE(all_dragons_blue_clock_ms, all_dragons_red_clock_ms),
    COALESCE(all_dragons_red_clock_ms, all_dragons_blue_clock_ms)) AS since_dragon_ms,
  clock_ms - GREATEST(COALESCE(barons_blue_clock_ms, barons_red_clock_ms),
    COALESCE(barons_red_clock_ms, barons_blue_clock_ms)) AS since_baron_ms
FROM accepted;

CREATE TEMPORARY VIEW features AS
SELECT
  match_id, event_id, event_type, event_time, game_time_ms, source_partition, source_offset,
  kafka_time, ts,
  source, match_league AS league, match_season AS season, match_blue_team AS blue_team, match_red_team AS red_team,
  clock_ms, events, out_of_order_events, late_events, pauses,
  kills_blue, kills_red, kills_blue - kills_red AS kills_diff,
  towers_blue, towers_red, towers_blue - towers_red AS towers_diff,
  inhibitors_blue, inhibitors_red, inhibitors_blue - inhibitors_red AS inhibitors_diff,
  all_dragons_blue - elder_dragons_blue AS dragons_blue,
  all_dragons_red - elder_dragons_red AS dragons_red,
  all_dragons_blue - elder_dragons_blue - (all_dragons_red - elder_dragons_red) AS dragons_diff,
  air_dragons_blue, air_dragons_red, air_dragons_blue - air_dragons_red AS air_dragons_diff,
  earth_dragons_blue, earth_dragons_red, earth_dragons_blue - earth_dragons_red AS earth_dragons_diff,
  fire_dragons_blue, fire_dragons_red, fire_dragons_blue - fire_dragons_red AS fire_dragons_diff,
  water_dragons_blue, water_dragons_red, water_dragons_blue - water_dragons_red AS water_dragons_diff,
  hextech_dragons_blue, hextech_dragons_red, hextech_dragons_blue - hextech_dragons_red AS hextech_dragons_diff,
  chemtech_dragons_blue, chemtech_dragons_red, chemtech_dragons_blue - chemtech_dragons_red AS chemtech_dragons_diff,
  elder_dragons_blue, elder_dragons_red, elder_dragons_blue - elder_dragons_red AS elder_dragons_diff,
  heralds_blue, heralds_red, heralds_blue - heralds_red AS heralds_diff,
  barons_blue, barons_red, barons_blue - barons_red AS barons_diff,
  gold_blue, gold_red, gold_blue - gold_red AS gold_diff, clock_ms - gold_clock_ms AS gold_age_ms,
  kills_blue_1m,
  kills_red_1m,
  kills_blue_1m - kills_red_1m AS kills_diff_1m,
  kills_blue_3m,
  kills_red_3m,
  kills_blue_3m - kills_red_3m AS kills_diff_3m,
  kills_blue_5m,
  kills_red_5m,
  kills_blue_5m - kills_red_5m AS kills_diff_5m,
  towers_blue_1m,
  towers_red_1m,
  towers_blue_1m - towers_red_1m AS towers_diff_1m,
  towers_blue_3m,
  towers_red_3m,
  towers_blue_3m - towers_red_3m AS towers_diff_3m,
  towers_blue_5m,
  towers_red_5m,
  towers_blue_5m - towers_red_5m AS towers_diff_5m,
  gold_blue_1m,
  gold_red_1m,
  gold_blue_1m - gold_red_1m AS gold_diff_1m,
  gold_blue_3m,
  gold_red_3m,
  gold_blue_3m - gold_red_3m AS gold_diff_3m,
  gold_blue_5m,
  gold_red_5m,
  gold_blue_5m - gold_red_5m AS gold_diff_5m,
  since_kill_ms, since_tower_ms, since_dragon_ms, since_baron_ms,
  CASE WHEN kills_blue_first < COALESCE(kills_red_first, events + 1) THEN 1 ELSE 0 END AS first_blood_blue,
  CASE WHEN kills_red_first < COALESCE(kills_blue_first, events + 1) THEN 1 ELSE 0 END AS first_blood_red,
  CASE WHEN towers_blue_first < COALESCE(towers_red_first, events + 1) THEN 1 ELSE 0 END AS first_tower_blue,
  CASE WHEN towers_red_first < COALESCE(towers_blue_first, events + 1) THEN 1 ELSE 0 END AS first_tower_red,
  CASE WHEN towers_red < 11 THEN 11 - towers_red ELSE 0 END AS towers_alive_blue,
  CASE WHEN towers_blue < 11 THEN 11 - towers_blue ELSE 0 END AS towers_alive_red,
  inhibitors_red_5m AS inhibitors_down_blue,
  inhibitors_blue_5m AS inhibitors_down_red,
  CASE WHEN barons_blue_3m > 0 THEN 1 ELSE 0 END AS baron_power_blue,
  CASE WHEN barons_red_3m > 0 THEN 1 ELSE 0 END AS baron_power_red,
  CASE
    WHEN since_dragon_ms IS NULL THEN
      CASE WHEN clock_ms >= CASE WHEN season_year <= 2018 THEN 150000 ELSE 300000 END THEN 1 ELSE 0 END
    WHEN since_dragon_ms >= CASE WHEN season_year <= 2018 THEN 360000 ELSE 300000 END THEN 1
    ELSE 0
  END AS dragon_alive,
  CASE
    WHEN season_year >= 2016 AND heralds_blue = 0 AND heralds_red = 0 AND clock_ms < 1185000
      AND clock_ms >= CASE WHEN season_year <= 2018 THEN 360000 ELSE 480000 END THEN 1
    ELSE 0
  END AS herald_alive,
  CASE
    WHEN since_baron_ms IS NULL THEN CASE WHEN clock_ms >= 1200000 THEN 1 ELSE 0 END
    WHEN since_baron_ms >= CASE WHEN season_year <= 2018 THEN 420000 ELSE 360000 END THEN 1
    ELSE 0
  END AS baron_alive
FROM states;

CREATE TEMPORARY VIEW results AS
SELECT
  match_id, event_id,
  CASE event_type WHEN 'MATCH_END' THEN 'completed' ELSE 'remade' END AS status,
  CASE event_type WHEN 'MATCH_END' THEN winner END AS winner,
  duration_ms, game_time_ms, event_time, source,
  match_league AS league, match_season AS season, match_phase AS phase, match_patch AS patch,
  match_map_number AS map_number, match_blue_team AS blue_team, match_red_team AS red_team,
  events, kills_blue, kills_red, towers_blue, towers_red, inhibitors_blue, inhibitors_red,
  all_dragons_blue - elder_dragons_blue AS dragons_blue,
  all_dragons_red - elder_dragons_red AS dragons_red,
  barons_blue, barons_red, gold_blue, gold_red, source_partition, source_offset
FROM states
WHERE event_type IN ('MATCH_END', 'REMAKE') AND endings = 1;

-- The window of every player who took part in an event, as it stands with this event: at once, and whatever came out
-- of order is in it.
CREATE TEMPORARY VIEW player_windows AS
SELECT
  w.player_id, e.match_id, w.window_start, w.window_start + 5000 AS window_end, w.late, w.team, w.`role`, w.champion,
  w.events, w.kills, w.deaths, w.assists, w.items, w.wards_placed, w.wards_killed,
  w.gold, w.creep_score, w.level, w.match_kills, w.match_deaths, w.match_assists, w.game_time_ms, w.event_time,
  e.source_partition, e.source_offset
FROM accepted AS e
CROSS JOIN UNNEST(e.player_windows) AS w (
  player_id, window_start, late, team, `role`, champion, events, kills, deaths, assists, items, wards_placed,
  wards_killed, gold, creep_score, level, game_time_ms, event_time, match_kills, match_deaths, match_assists);

-- A task of its own writes files, so that no prediction waits while they are closed at a checkpoint.
INSERT INTO lake.`raw`.match_events /*+ OPTIONS('write-parallelism'='1') */ (
  event_id, match_id, event_type, event_time, game_time_ms, ordinal, source, league, season, phase, patch, map_number,
  team, player_id, `role`, champion, victim_id, victim_role, victim_champion, assist_ids,
  building, lane, tower_type, monster, monster_sub, x, y, item_id,
  blue_gold, red_gold, kills, deaths, assists, creep_score, level, gold,
  blue_team, red_team, blue_players, red_players, blue_champions, red_champions, blue_bans, red_bans,
  winner, duration_ms, source_topic, source_partition, source_offset, kafka_time)
SELECT
  event_id, match_id, event_type, TO_TIMESTAMP_LTZ(event_time, 3), game_time_ms, ordinal,
  source, league, season, phase, patch, map_number,
  team, player_id, `role`, champion, victim_id, victim_role, victim_champion, assist_ids,
  building, lane, tower_type, monster, monster_sub, x, y, item_id,
  blue_gold, red_gold, kills, deaths, assists, creep_score, level, gold,
  blue_team, red_team, blue_players, red_players, blue_champions, red_champions, blue_bans, red_bans,
  winner, duration_ms, source_topic, source_partition, source_offset, TO_TIMESTAMP_LTZ(kafka_time, 3)
FROM accepted;

INSERT INTO match_features (
  match_id, event_id, event_type, event_time, game_time_ms, source_partition, source_offset,
  kafka_time, flink_time, `watermark`,
  source, league, season, blue_team, red_team,
  clock_ms, events, out_of_order_events, late_events, pauses,
  kills_blue, kills_red, kills_diff, towers_blue, towers_red, towers_diff,
  inhibitors_blue, inhibitors_red, inhibitors_diff, dragons_blue, dragons_red, dragons_diff,
  air_dragons_blue, air_dragons_red, air_dragons_diff, earth_dragons_blue, earth_dragons_red, earth_dragons_diff,
  fire_dragons_blue, fire_dragons_red, fire_dragons_diff, water_dragons_blue, water_dragons_red, water_dragons_diff,
  hextech_dragons_blue, hextech_dragons_red, hextech_dragons_diff,
  chemtech_dragons_blue, chemtech_dragons_red, chemtech_dragons_diff,
  elder_dragons_blue, elder_dragons_red, elder_dragons_diff,
  heralds_blue, heralds_red, heralds_diff, barons_blue, barons_red, barons_diff,
  gold_blue, gold_red, gold_diff, gold_age_ms,
  kills_blue_1m, kills_red_1m, kills_diff_1m, kills_blue_3m, kills_red_3m, kills_diff_3m,
  kills_blue_5m, kills_red_5m, kills_diff_5m, towers_blue_1m, towers_red_1m, towers_diff_1m,
  towers_blue_3m, towers_red_3m, towers_diff_3m, towers_blue_5m, towers_red_5m, towers_diff_5m,
  gold_blue_1m, gold_red_1m, gold_diff_1m, gold_blue_3m, gold_red_3m, gold_diff_3m,
  gold_blue_5m, gold_red_5m, gold_diff_5m,
  since_kill_ms, since_tower_ms, since_dragon_ms, since_baron_ms,
  first_blood_blue, first_blood_red, first_tower_blue, first_tower_red,
  towers_alive_blue, towers_alive_red, inhibitors_down_blue, inhibitors_down_red,
  baron_power_blue, baron_power_red, dragon_alive, herald_alive, baron_alive)
SELECT
  match_id, event_id, event_type, event_time, game_time_ms, source_partition, source_offset,
  kafka_time, EPOCH_MILLIS(CURRENT_TIMESTAMP), EPOCH_MILLIS(CURRENT_WATERMARK(ts)),
  source, league, season, blue_team, red_team,
  clock_ms, events, out_of_order_events, late_events, pauses,
  kills_blue, kills_red, kills_diff, towers_blue, towers_red, towers_diff,
  inhibitors_blue, inhibitors_red, inhibitors_diff, dragons_blue, dragons_red, dragons_diff,
  air_dragons_blue, air_dragons_red, air_dragons_diff, earth_dragons_blue, earth_dragons_red, earth_dragons_diff,
  fire_dragons_blue, fire_dragons_red, fire_dragons_diff, water_dragons_blue, water_dragons_red, water_dragons_diff,
  hextech_dragons_blue, hextech_dragons_red, hextech_dragons_diff,
  chemtech_dragons_blue, chemtech_dragons_red, chemtech_dragons_diff,
  elder_dragons_blue, elder_dragons_red, elder_dragons_diff,
  heralds_blue, heralds_red, heralds_diff, barons_blue, barons_red, barons_diff,
  gold_blue, gold_red, gold_diff, gold_age_ms,
  kills_blue_1m, kills_red_1m, kills_diff_1m, kills_blue_3m, kills_red_3m, kills_diff_3m,
  kills_blue_5m, kills_red_5m, kills_diff_5m, towers_blue_1m, towers_red_1m, towers_diff_1m,
  towers_blue_3m, towers_red_3m, towers_diff_3m, towers_blue_5m, towers_red_5m, towers_diff_5m,
  gold_blue_1m, gold_red_1m, gold_diff_1m, gold_blue_3m, gold_red_3m, gold_diff_3m,
  gold_blue_5m, gold_red_5m, gold_diff_5m,
  since_kill_ms, since_tower_ms, since_dragon_ms, since_baron_ms,
  first_blood_blue, first_blood_red, first_tower_blue, first_tower_red,
  towers_alive_blue, towers_alive_red, inhibitors_down_blue, inhibitors_down_red,
  baron_power_blue, baron_power_red, dragon_alive, herald_alive, baron_alive
FROM features;

INSERT INTO match_results (
  match_id, event_id, status, winner, duration_ms, game_time_ms, event_time, source, league, season, phase, patch,
  map_number, blue_team, red_team, events, kills_blue, kills_red, towers_blue, towers_red,
  inhibitors_blue, inhibitors_red, dragons_blue, dragons_red, barons_blue, barons_red, gold_blue, gold_red,
  source_partition, source_offset)
SELECT
  match_id, event_id, status, winner, duration_ms, game_time_ms, event_time, source, league, season, phase, patch,
  map_number, blue_team, red_team, events, kills_blue, kills_red, towers_blue, towers_red,
  inhibitors_blue, inhibitors_red, dragons_blue, dragons_red, barons_blue, barons_red, gold_blue, gold_red,
  source_partition, source_offset
FROM results;

INSERT INTO player_performance (
  player_id, match_id, window_start, window_end, late, team, `role`, champion, events, kills, deaths, assists,
  items, wards_placed, wards_killed, gold, creep_score, level, match_kills, match_deaths, match_assists,
  game_time_ms, event_time, source_partition, source_offset)
SELECT
  player_id, match_id, window_start, window_end, late, team, `role`, champion, events, kills, deaths, assists,
  items, wards_placed, wards_killed, gold, creep_score, level, match_kills, match_deaths, match_assists,
  game_time_ms, event_time, source_partition, source_offset
FROM player_windows;

INSERT INTO dead_letters (
  dead_letter_id, source_topic, source_partition, source_offset, source_time, stage, reason, detail, schema_id,
  match_id, event_id, record_key, record_value, first_seen)
SELECT
  CONCAT_WS(':', source_topic, CAST(source_partition AS STRING), CAST(source_offset AS STRING)),
  source_topic, source_partition, source_offset, EPOCH_MILLIS(kafka_time),
  CASE WHEN decode_error IS NULL THEN 'validate' ELSE 'decode' END,
  reject_reason,
  CASE
    WHEN decode_error IS NOT NULL THEN decode_detail
    WHEN reject_reason = 'unknown_event_type' THEN CONCAT('event_type is ', event_type)
    WHEN reject_reason LIKE 'event_time_%' THEN CONCAT('event_time is ', CAST(event_time AS STRING), ' ms')
    WHEN reject_reason LIKE 'clock_%' THEN CONCAT('game_time_ms is ', CAST(game_time_ms AS STRING))
    WHEN reject_reason = 'unknown_team' THEN CONCAT('team is ', team)
    WHEN reject_reason = 'unknown_winner' THEN CONCAT('winner is ', winner)
    WHEN reject_reason = 'unknown_role' THEN CONCAT_WS(' ', 'role is', `role`, 'and victim_role is', victim_role)
    WHEN reject_reason = 'unknown_building' THEN CONCAT('building is ', COALESCE(building, 'null'))
    WHEN reject_reason = 'unknown_monster' THEN CONCAT('monster is ', COALESCE(monster, 'null'))
    ELSE CONCAT('an event of type ', COALESCE(event_type, 'null'))
  END,
  schema_id, match_id, event_id, record_key, raw_value, EPOCH_MILLIS(CURRENT_TIMESTAMP)
FROM checked
WHERE reject_reason IS NOT NULL;

-- A duplicate's bytes stay at its offset: nothing is lost by not carrying them here.
INSERT INTO dead_letters (
  dead_letter_id, source_topic, source_partition, source_offset, source_time, stage, reason, detail, schema_id,
  match_id, event_id, record_key, record_value, first_seen)
SELECT
  CONCAT_WS(':', source_topic, CAST(source_partition AS STRING), CAST(source_offset AS STRING)),
  source_topic, source_partition, source_offset, kafka_time,
  'deduplicate', 'duplicate', 'an event of this id was accepted before',
  schema_id, match_id, event_id, record_key, CAST(NULL AS BYTES), EPOCH_MILLIS(CURRENT_TIMESTAMP)
FROM marked
WHERE duplicate;
