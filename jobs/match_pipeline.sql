-- match_pipeline: from the bytes of live-matches to features, windows, results and history.
--
-- Reads:    live-matches
-- Writes:   match-features, player-performance, match-results, dead-letters, lake.raw.match_events
-- Keeps:    for each match the ids of its events, counts, and what happened in its last five minutes of match
--           clock; for each player of a match the windows of the last ten minutes. Cleared 24 h after a match's
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
SET 'execution.checkpointing.externalized-checkpoint-retention' = 'RETAIN_ON_CANCELLATION';
SET 'state.backend.type' = 'hashmap';
SET 'table.exec.state.ttl' = '24 h';
SET 'table.exec.source.idle-timeout' = '5 s';
SET 'table.local-time-zone' = 'UTC';
SET 'pipeline.object-reuse' = 'true';
SET 'execution.buffer-timeout.interval' = '5 ms';
SET 'restart-strategy.type' = 'exponential-delay';
SET 'restart-strategy.exponential-delay.initial-backoff' = '1 s';
SET 'restart-strategy.exponential-delay.max-backoff' = '30 s';
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

-- Deduplicate within the match: the log's order is kept, and one shuffle carries what all that follows needs.
CREATE TEMPORARY VIEW marked AS
SELECT
  *,
  IS_DUPLICATE(event_id) OVER (
    PARTITION BY match_id ORDER BY log_order ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS duplicate
FROM valid;

CREATE TEMPORARY VIEW accepted AS
SELECT * FROM marked WHERE NOT duplicate;

-- One column for each thing that can be counted: 1 where the event is one, else null.
CREATE TEMPORARY VIEW things AS
SELECT
  match_id, event_id, event_type, event_time, game_time_ms, source, league, season, phase, patch, map_number,
  winner, duration_ms, source_partition, source_offset, kafka_time, log_order, ts,
  CASE WHEN event_type = 'MATCH_START' THEN blue_team END AS start_blue_team,
  CASE WHEN event_type = 'MATCH_START' THEN red_team END AS start_red_team,
  CASE WHEN event_type = 'PAUSE_START' THEN 1 END AS pause,
  CASE WHEN event_type IN ('MATCH_END', 'REMAKE') THEN 1 END AS ending,
  CASE WHEN event_type = 'CHAMPION_KILL' AND team IS NOT NULL THEN game_time_ms END AS kill_clock,
  CASE WHEN event_type = 'CHAMPION_KILL' THEN team END AS kill_team,
  CASE WHEN event_type = 'CHAMPION_KILL' AND team = 'blue' THEN CAST(1 AS BIGINT) END AS kill_blue,
  CASE WHEN event_type = 'CHAMPION_KILL' AND team = 'red' THEN CAST(1 AS BIGINT) END AS kill_red,
  CASE WHEN event_type = 'BUILDING_KILL' AND building = 'TOWER' THEN game_time_ms END AS tower_clock,
  CASE WHEN event_type = 'BUILDING_KILL' AND building = 'TOWER' THEN team END AS tower_team,
  CASE WHEN event_type = 'BUILDING_KILL' AND building = 'TOWER' AND team = 'blue'
    THEN CAST(1 AS BIGINT) END AS tower_blue,
  CASE WHEN event_type = 'BUILDING_KILL' AND building = 'TOWER' AND team = 'red'
    THEN CAST(1 AS BIGINT) END AS tower_red,
  CASE WHEN event_type = 'BUILDING_KILL' AND building = 'INHIBITOR' AND team = 'blue'
    THEN CAST(1 AS BIGINT) END AS inhibitor_blue,
  CASE WHEN event_type = 'BUILDING_KILL' AND building = 'INHIBITOR' AND team = 'red'
    THEN CAST(1 AS BIGINT) END AS inhibitor_red,
  CASE WHEN event_type = 'ELITE_MONSTER_KILL' AND monster = 'DRAGON' AND team IS NOT NULL
    THEN game_time_ms END AS dragon_clock,
  CASE WHEN event_type = 'ELITE_MONSTER_KILL' AND monster = 'DRAGON' AND team = 'blue'
    THEN COALESCE(monster_sub, '') END AS dragon_blue,
  CASE WHEN event_type = 'ELITE_MONSTER_KILL' AND monster = 'DRAGON' AND team = 'red'
    THEN COALESCE(monster_sub, '') END AS dragon_red,
  CASE WHEN event_type = 'ELITE_MONSTER_KILL' AND monster = 'RIFTHERALD' AND team = 'blue' THEN 1 END AS herald_blue,
  CASE WHEN event_type = 'ELITE_MONSTER_KILL' AND monster = 'RIFTHERALD' AND team = 'red' THEN 1 END AS herald_red,
  CASE WHEN event_type = 'ELITE_MONSTER_KILL' AND monster = 'BARON_NASHOR' AND team IS NOT NULL
    THEN game_time_ms END AS baron_clock,
  CASE WHEN event_type = 'ELITE_MONSTER_KILL' AND monster = 'BARON_NASHOR' AND team = 'blue'
    THEN CAST(1 AS BIGINT) END AS baron_blue,
  CASE WHEN event_type = 'ELITE_MONSTER_KILL' AND monster = 'BARON_NASHOR' AND team = 'red'
    THEN CAST(1 AS BIGINT) END AS baron_red,
  CASE WHEN event_type = 'TEAM_GOLD' THEN game_time_ms END AS gold_clock,
  CASE WHEN event_type = 'TEAM_GOLD' THEN CAST(blue_gold AS BIGINT) END AS blue_gold,
  CASE WHEN event_type = 'TEAM_GOLD' THEN CAST(red_gold AS BIGINT) END AS red_gold
FROM accepted;

-- The state of a match after each event.
CREATE TEMPORARY VIEW totals AS
SELECT
  match_id, event_id, event_type, event_time, game_time_ms, source, winner, duration_ms,
  source_partition, source_offset, kafka_time, ts,
  MAX(game_time_ms) OVER w AS clock_ms,
  COUNT(*) OVER w AS events,
  COUNT(pause) OVER w AS pauses,
  COUNT(ending) OVER w AS endings,
  COUNT_BEHIND(game_time_ms, CAST(0 AS BIGINT)) OVER w AS out_of_order_events,
  COUNT_BEHIND(event_time, CAST(5000 AS BIGINT)) OVER w AS late_events,
  LAST_VALUE(league) OVER w AS league,
  LAST_VALUE(season) OVER w AS season,
  LAST_VALUE(phase) OVER w AS phase,
  LAST_VALUE(patch) OVER w AS patch,
  LAST_VALUE(map_number) OVER w AS map_number,
  LAST_VALUE(start_blue_team) OVER w AS blue_team,
  LAST_VALUE(start_red_team) OVER w AS red_team,
  COUNT(kill_blue) OVER w AS kills_blue,
  COUNT(kill_red) OVER w AS kills_red,
  COUNT(tower_blue) OVER w AS towers_blue,
  COUNT(tower_red) OVER w AS towers_red,
  COUNT(inhibitor_blue) OVER w AS inhibitors_blue,
  COUNT(inhibitor_red) OVER w AS inhibitors_red,
  COUNT(dragon_blue) OVER w AS all_dragons_blue,
  COUNT(dragon_red) OVER w AS all_dragons_red,
  COUNT(CASE WHEN dragon_blue = 'AIR_DRAGON' THEN 1 END) OVER w AS air_dragons_blue,
  COUNT(CASE WHEN dragon_red = 'AIR_DRAGON' THEN 1 END) OVER w AS air_dragons_red,
  COUNT(CASE WHEN dragon_blue = 'EARTH_DRAGON' THEN 1 END) OVER w AS earth_dragons_blue,
  COUNT(CASE WHEN dragon_red = 'EARTH_DRAGON' THEN 1 END) OVER w AS earth_dragons_red,
  COUNT(CASE WHEN dragon_blue = 'FIRE_DRAGON' THEN 1 END) OVER w AS fire_dragons_blue,
  COUNT(CASE WHEN dragon_red = 'FIRE_DRAGON' THEN 1 END) OVER w AS fire_dragons_red,
  COUNT(CASE WHEN dragon_blue = 'WATER_DRAGON' THEN 1 END) OVER w AS water_dragons_blue,
  COUNT(CASE WHEN dragon_red = 'WATER_DRAGON' THEN 1 END) OVER w AS water_dragons_red,
  COUNT(CASE WHEN dragon_blue = 'HEXTECH_DRAGON' THEN 1 END) OVER w AS hextech_dragons_blue,
  COUNT(CASE WHEN dragon_red = 'HEXTECH_DRAGON' THEN 1 END) OVER w AS hextech_dragons_red,
  COUNT(CASE WHEN dragon_blue = 'CHEMTECH_DRAGON' THEN 1 END) OVER w AS chemtech_dragons_blue,
  COUNT(CASE WHEN dragon_red = 'CHEMTECH_DRAGON' THEN 1 END) OVER w AS chemtech_dragons_red,
  COUNT(CASE WHEN dragon_blue = 'ELDER_DRAGON' THEN 1 END) OVER w AS elder_dragons_blue,
  COUNT(CASE WHEN dragon_red = 'ELDER_DRAGON' THEN 1 END) OVER w AS elder_dragons_red,
  COUNT(herald_blue) OVER w AS heralds_blue,
  COUNT(herald_red) OVER w AS heralds_red,
  COUNT(baron_blue) OVER w AS barons_blue,
  COUNT(baron_red) OVER w AS barons_red,
  FIRST_VALUE(kill_team) OVER w AS first_blood,
  FIRST_VALUE(tower_team) OVER w AS first_tower,
  MAX(kill_clock) OVER w AS kill_clock,
  MAX(tower_clock) OVER w AS tower_clock,
  MAX(dragon_clock) OVER w AS dragon_clock,
  MAX(baron_clock) OVER w AS baron_clock,
  MAX(gold_clock) OVER w AS gold_clock,
  ROLLING_SUMS(kill_blue, game_time_ms) OVER w AS lately_kills_blue,
  ROLLING_SUMS(kill_red, game_time_ms) OVER w AS lately_kills_red,
  ROLLING_SUMS(tower_blue, game_time_ms) OVER w AS lately_towers_blue,
  ROLLING_SUMS(tower_red, game_time_ms) OVER w AS lately_towers_red,
  ROLLING_SUMS(inhibitor_blue, game_time_ms) OVER w AS lately_inhibitors_blue,
  ROLLING_SUMS(inhibitor_red, game_time_ms) OVER w AS lately_inhibitors_red,
  ROLLING_SUMS(baron_blue, game_time_ms) OVER w AS lately_barons_blue,
  ROLLING_SUMS(baron_red, game_time_ms) OVER w AS lately_barons_red,
  ROLLING_DELTA(blue_gold, game_time_ms) OVER w AS lately_gold_blue,
  ROLLING_DELTA(red_gold, game_time_ms) OVER w AS lately_gold_red
FROM things
WINDOW w AS (PARTITION BY match_id ORDER BY log_order ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW);

-- The season decides when monsters spawn: up to 2018 (old) or later; a season without a year counts as new.
CREATE TEMPORARY VIEW states AS
SELECT
  *,
  CASE WHEN REGEXP(season, '^[0-9]{4}') THEN CAST(SUBSTRING(season FROM 1 FOR 4) AS INT) ELSE 9999 END AS season_year,
  clock_ms - kill_clock AS since_kill_ms,
  clock_ms - tower_clock AS since_tower_ms,
  clock_ms - dragon_clock AS since_dragon_ms,
  clock_ms - baron_clock AS since_baron_ms,
  clock_ms - gold_clock AS gold_age_ms,
  lately_gold_blue.newest AS gold_blue,
  lately_gold_red.newest AS gold_red
FROM totals;

CREATE TEMPORARY VIEW features AS
SELECT
  match_id, event_id, event_type, event_time, game_time_ms, source_partition, source_offset,
  kafka_time, ts,
  source, league, season, blue_team, red_team,
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
  gold_blue, gold_red, gold_blue - gold_red AS gold_diff, gold_age_ms,
  lately_kills_blue.m1 AS kills_blue_1m,
  lately_kills_red.m1 AS kills_red_1m,
  lately_kills_blue.m1 - lately_kills_red.m1 AS kills_diff_1m,
  lately_kills_blue.m3 AS kills_blue_3m,
  lately_kills_red.m3 AS kills_red_3m,
  lately_kills_blue.m3 - lately_kills_red.m3 AS kills_diff_3m,
  lately_kills_blue.m5 AS kills_blue_5m,
  lately_kills_red.m5 AS kills_red_5m,
  lately_kills_blue.m5 - lately_kills_red.m5 AS kills_diff_5m,
  lately_towers_blue.m1 AS towers_blue_1m,
  lately_towers_red.m1 AS towers_red_1m,
  lately_towers_blue.m1 - lately_towers_red.m1 AS towers_diff_1m,
  lately_towers_blue.m3 AS towers_blue_3m,
  lately_towers_red.m3 AS towers_red_3m,
  lately_towers_blue.m3 - lately_towers_red.m3 AS towers_diff_3m,
  lately_towers_blue.m5 AS towers_blue_5m,
  lately_towers_red.m5 AS towers_red_5m,
  lately_towers_blue.m5 - lately_towers_red.m5 AS towers_diff_5m,
  lately_gold_blue.m1 AS gold_blue_1m,
  lately_gold_red.m1 AS gold_red_1m,
  lately_gold_blue.m1 - lately_gold_red.m1 AS gold_diff_1m,
  lately_gold_blue.m3 AS gold_blue_3m,
  lately_gold_red.m3 AS gold_red_3m,
  lately_gold_blue.m3 - lately_gold_red.m3 AS gold_diff_3m,
  lately_gold_blue.m5 AS gold_blue_5m,
  lately_gold_red.m5 AS gold_red_5m,
  lately_gold_blue.m5 - lately_gold_red.m5 AS gold_diff_5m,
  since_kill_ms, since_tower_ms, since_dragon_ms, since_baron_ms,
  CASE WHEN first_blood = 'blue' THEN 1 ELSE 0 END AS first_blood_blue,
  CASE WHEN first_blood = 'red' THEN 1 ELSE 0 END AS first_blood_red,
  CASE WHEN first_tower = 'blue' THEN 1 ELSE 0 END AS first_tower_blue,
  CASE WHEN first_tower = 'red' THEN 1 ELSE 0 END AS first_tower_red,
  CASE WHEN towers_red < 11 THEN 11 - towers_red ELSE 0 END AS towers_alive_blue,
  CASE WHEN towers_blue < 11 THEN 11 - towers_blue ELSE 0 END AS towers_alive_red,
  lately_inhibitors_red.m5 AS inhibitors_down_blue,
  lately_inhibitors_blue.m5 AS inhibitors_down_red,
  CASE WHEN lately_barons_blue.m3 > 0 THEN 1 ELSE 0 END AS baron_power_blue,
  CASE WHEN lately_barons_red.m3 > 0 THEN 1 ELSE 0 END AS baron_power_red,
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
  duration_ms, game_time_ms, event_time, source, league, season, phase, patch, map_number, blue_team, red_team,
  events, kills_blue, kills_red, towers_blue, towers_red, inhibitors_blue, inhibitors_red,
  all_dragons_blue - elder_dragons_blue AS dragons_blue,
  all_dragons_red - elder_dragons_red AS dragons_red,
  barons_blue, barons_red, gold_blue, gold_red, source_partition, source_offset
FROM states
WHERE event_type IN ('MATCH_END', 'REMAKE') AND endings = 1;

-- Every part that a player took in an event: 1 acted, 2 was the victim, from 3 on assisted.
CREATE TEMPORARY VIEW moments AS
SELECT
  p.player_id, e.match_id, e.event_time, e.game_time_ms, e.source_partition, e.source_offset, e.log_order,
  CASE WHEN p.part <> 2 THEN e.team WHEN e.team = 'blue' THEN 'red' WHEN e.team = 'red' THEN 'blue' END AS team,
  CASE p.part WHEN 1 THEN e.`role` WHEN 2 THEN e.victim_role END AS `role`,
  CASE p.part WHEN 1 THEN e.champion WHEN 2 THEN e.victim_champion END AS champion,
  CASE WHEN e.event_type = 'CHAMPION_KILL' AND p.part = 1 THEN 1 END AS killed,
  CASE WHEN e.event_type = 'CHAMPION_KILL' AND p.part = 2 THEN 1 END AS died,
  CASE WHEN e.event_type = 'CHAMPION_KILL' AND p.part > 2 THEN 1 END AS assisted,
  CASE WHEN e.event_type = 'ITEM_PURCHASED' AND p.part = 1 THEN 1 END AS bought,
  CASE WHEN e.event_type = 'WARD_PLACED' AND p.part = 1 THEN 1 END AS placed_ward,
  CASE WHEN e.event_type = 'WARD_KILL' AND p.part = 1 THEN 1 END AS killed_ward,
  CASE WHEN e.event_type = 'PLAYER_STATS' AND p.part = 1 THEN e.gold END AS gold,
  CASE WHEN e.event_type = 'PLAYER_STATS' AND p.part = 1 THEN e.creep_score END AS creep_score,
  CASE WHEN p.part = 1 THEN e.level END AS level
FROM accepted AS e
CROSS JOIN UNNEST(
  CASE
    WHEN assist_ids IS NULL THEN ARRAY[player_id, victim_id]
    ELSE ARRAY_CONCAT(ARRAY[player_id, victim_id], assist_ids)
  END) WITH ORDINALITY AS p (player_id, part)
WHERE p.player_id IS NOT NULL AND p.player_id <> '';

-- The window of each moment as it stands with this moment: at once, and whatever came out of order is in it.
CREATE TEMPORARY VIEW player_windows AS
SELECT
  player_id, match_id, source_partition, source_offset,
  LAST_VALUE(team) OVER w AS team,
  LAST_VALUE(`role`) OVER w AS `role`,
  LAST_VALUE(champion) OVER w AS champion,
  PLAYER_WINDOW(
    event_time, game_time_ms, killed, died, assisted, bought, placed_ward, killed_ward,
    gold, creep_score, level) OVER w AS so_far
FROM moments
WINDOW w AS (
  PARTITION BY player_id, match_id ORDER BY log_order ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW);

INSERT INTO lake.`raw`.match_events (
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
  items, wards_placed, wards_killed, gold, creep_score, level, game_time_ms, event_time,
  source_partition, source_offset)
SELECT
  player_id, match_id, so_far.window_start, so_far.window_start + 5000, so_far.late, team, `role`, champion,
  so_far.events, so_far.kills, so_far.deaths, so_far.assists,
  so_far.items, so_far.wards_placed, so_far.wards_killed, so_far.gold, so_far.creep_score, so_far.level,
  so_far.game_time_ms, so_far.event_time, source_partition, source_offset
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
