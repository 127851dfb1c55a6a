package riftstream;

import java.io.IOException;
import java.util.HashMap;
import java.util.Map;
import org.apache.flink.api.common.typeutils.SimpleTypeSerializerSnapshot;
import org.apache.flink.api.common.typeutils.TypeSerializerSnapshot;
import org.apache.flink.core.memory.DataInputView;
import org.apache.flink.core.memory.DataOutputView;
import org.apache.flink.table.annotation.DataTypeHint;
import org.apache.flink.table.annotation.FunctionHint;
import org.apache.flink.table.data.GenericArrayData;
import org.apache.flink.table.data.GenericRowData;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.data.StringData;
import org.apache.flink.table.functions.AggregateFunction;

/**
 * {@code LINE_UP(event_type, player_id, victim_id, assist_ids, kills, deaths, assists, creep_score, gold, blue_players,
 * red_players, blue_champions, red_champions, blue_bans, red_bans)}: at a MATCH_END who played and what each player
 * of the rosters did; null at every other event. Of kills, deaths and assists the higher of what kill events count
 * and what snapshots tell, since sources tell one or the other; of all else the highest snapshot. Rosters and bans
 * are those of the newest MATCH_START that told them.
 */
@FunctionHint(
        accumulator =
                @DataTypeHint(value = "RAW", bridgedTo = LineUp.Match.class, rawSerializer = LineUp.Serializer.class),
        output =
                @DataTypeHint(
                        value =
                                "ROW<blue_players ARRAY<STRING>, red_players ARRAY<STRING>,"
                                        + " blue_champions ARRAY<STRING>, red_champions ARRAY<STRING>,"
                                        + " blue_bans ARRAY<STRING>, red_bans ARRAY<STRING>,"
                                        + " kills_blue BIGINT, kills_red BIGINT,"
                                        + " players ARRAY<ROW<player_id STRING, side STRING, `role` STRING,"
                                        + " champion STRING, kills BIGINT, deaths BIGINT, assists BIGINT,"
                                        + " creep_score INT, gold INT>>>",
                        bridgedTo = RowData.class))
public final class LineUp extends AggregateFunction<RowData, LineUp.Match> {
    private static final long serialVersionUID = 1L;
    private static final String[] ROLES = {"top", "jungle", "mid", "adc", "support"};
    private static final String[] SIDES = {"blue", "red"};
    private static final int KILLS = 0;
    private static final int DEATHS = 1;
    private static final int ASSISTS = 2;
    private static final int COUNTED = 3;
    private static final int TOLD = 5;
    private static final int UNKNOWN = -1;

    /** What is known of a match: three lists a side, and each player's counts and highest snapshots. */
    public static final class Match extends Accumulator<Match> {
        private final String[][] lists = new String[6][];
        private final Map<String, int[]> players = new HashMap<>();
        // Whether the newest row ends the match; read at once, so no part of the state.
        private boolean ended;

        private int[] player(String name) {
            return players.computeIfAbsent(
                    name, key -> new int[] {0, 0, 0, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN});
        }

        private void count(String name, int what) {
            if (!Strings.isEmpty(name)) {
                player(name)[what]++;
            }
        }

        @Override
        Match copy() {
            Match other = new Match();
            System.arraycopy(lists, 0, other.lists, 0, lists.length);
            players.forEach((name, values) -> other.players.put(name, values.clone()));
            other.ended = ended;
            return other;
        }

        @Override
        void write(DataOutputView out) throws IOException {
            for (String[] list : lists) {
                Strings.writeAll(list, out);
            }
            out.writeInt(players.size());
            for (Map.Entry<String, int[]> entry : players.entrySet()) {
                out.writeUTF(entry.getKey());
                for (int value : entry.getValue()) {
                    out.writeInt(value);
                }
            }
        }

        @Override
        void read(DataInputView in) throws IOException {
            for (int i = 0; i < lists.length; i++) {
                lists[i] = Strings.readAll(in);
            }
            for (int left = in.readInt(); left > 0; left--) {
                int[] values = player(in.readUTF());
                for (int i = 0; i < values.length; i++) {
                    values[i] = in.readInt();
                }
            }
        }
    }

    /** Serialises {@link Match}. */
    public static final class Serializer extends AccumulatorSerializer<Match> {
        private static final long serialVersionUID = 1L;

        @Override
        public Match createInstance() {
            return new Match();
        }

        @Override
        public TypeSerializerSnapshot<Match> snapshotConfiguration() {
            return new Snapshot();
        }

        /** Says in checkpoints which serializer wrote them. */
        public static final class Snapshot extends SimpleTypeSerializerSnapshot<Match> {
            public Snapshot() {
                super(Serializer::new);
            }
        }
    }

    @Override
    public Match createAccumulator() {
        return new Match();
    }

    public void accumulate(
            Match match,
            String type,
            String player,
            String victim,
            String[] assistants,
            Integer kills,
            Integer deaths,
            Integer assists,
            Integer creepScore,
            Integer gold,
            String[] bluePlayers,
            String[] redPlayers,
            String[] blueChampions,
            String[] redChampions,
            String[] blueBans,
            String[] redBans) {
        match.ended = "MATCH_END".equals(type);
        if ("CHAMPION_KILL".equals(type)) {
            match.count(player, KILLS);
            match.count(victim, DEATHS);
            if (assistants != null) {
                for (String assistant : assistants) {
                    match.count(assistant, ASSISTS);
                }
            }
        } else if ("PLAYER_STATS".equals(type)) {
            int[] values = match.player(player);
            Integer[] told = {kills, deaths, assists, creepScore, gold};
            for (int i = 0; i < TOLD; i++) {
                values[COUNTED + i] = Math.max(values[COUNTED + i], told[i] == null ? UNKNOWN : told[i]);
            }
        } else if ("MATCH_START".equals(type)) {
            String[][] lists = {bluePlayers, redPlayers, blueChampions, redChampions, blueBans, redBans};
            for (int i = 0; i < lists.length; i++) {
                match.lists[i] = lists[i] == null ? match.lists[i] : lists[i].clone();
            }
        }
    }

    @Override
    public RowData getValue(Match match) {
        if (!match.ended) {
            return null;
        }
        int known = 0;
        Object[] rows = new Object[length(match.lists[0]) + length(match.lists[1])];
        long[] kills = new long[2];
        for (int side = 0; side < 2; side++) {
            String[] champions = match.lists[2 + side];
            for (int place = 0; place < length(match.lists[side]); place++) {
                String name = match.lists[side][place];
                if (Strings.isEmpty(name)) {
                    continue;
                }
                int[] values = match.player(name);
                String champion = place < length(champions) ? champions[place] : null;
                GenericRowData row = new GenericRowData(9);
                row.setField(0, StringData.fromString(name));
                row.setField(1, StringData.fromString(SIDES[side]));
                row.setField(2, StringData.fromString(place < ROLES.length ? ROLES[place] : null));
                row.setField(3, StringData.fromString(Strings.isEmpty(champion) ? null : champion));
                for (int i = 0; i < COUNTED; i++) {
                    row.setField(4 + i, (long) Math.max(values[i], values[COUNTED + i]));
                }
                row.setField(7, orNull(values[COUNTED + 3]));
                row.setField(8, orNull(values[COUNTED + 4]));
                kills[side] += Math.max(values[KILLS], values[COUNTED + KILLS]);
                rows[known++] = row;
            }
        }
        GenericRowData row = new GenericRowData(9);
        for (int i = 0; i < match.lists.length; i++) {
            row.setField(i, Strings.array(match.lists[i]));
        }
        row.setField(6, kills[0]);
        row.setField(7, kills[1]);
        row.setField(8, new GenericArrayData(java.util.Arrays.copyOf(rows, known)));
        return row;
    }

    private static int length(String[] list) {
        return list == null ? 0 : list.length;
    }

    private static Integer orNull(int value) {
        return value == UNKNOWN ? null : value;
    }
}
