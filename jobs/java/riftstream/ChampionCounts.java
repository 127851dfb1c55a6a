package riftstream;

import java.io.IOException;
import java.util.Arrays;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
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
 * {@code CHAMPION_COUNTS(match_id, event_time, winner, blue_champions, red_champions, blue_bans, red_bans)}: after each
 * match the newest event time so far, the number of matches, and of each champion seen so far the matches in which it
 * was picked, banned, and picked by the winner. A match that was counted before adds nothing and tells no champions.
 */
@FunctionHint(
        accumulator =
                @DataTypeHint(
                        value = "RAW",
                        bridgedTo = ChampionCounts.Counts.class,
                        rawSerializer = ChampionCounts.Serializer.class),
        output =
                @DataTypeHint(
                        value =
                                "ROW<as_of BIGINT, games BIGINT, champions ARRAY<ROW<"
                                        + "champion STRING, picks BIGINT, bans BIGINT, wins BIGINT>>>",
                        bridgedTo = RowData.class))
public final class ChampionCounts extends AggregateFunction<RowData, ChampionCounts.Counts> {
    private static final long serialVersionUID = 1L;
    private static final int PICKS = 0;
    private static final int BANS = 1;
    private static final int WINS = 2;
    private static final int FIELDS = 3;

    /** Counts by champion, and the matches that are in them. */
    public static final class Counts extends Accumulator<Counts> {
        private long newest = Long.MIN_VALUE;
        private final Set<String> matches = new HashSet<>();
        private final Map<String, long[]> champions = new TreeMap<>();
        // Whether the newest row added anything; read at once, so no part of the state.
        private boolean told;

        private void add(Set<String> of, int field) {
            for (String champion : of) {
                champions.computeIfAbsent(champion, name -> new long[FIELDS])[field]++;
            }
        }

        @Override
        Counts copy() {
            Counts other = new Counts();
            other.newest = newest;
            other.matches.addAll(matches);
            champions.forEach((champion, counts) -> other.champions.put(champion, counts.clone()));
            other.told = told;
            return other;
        }

        @Override
        void write(DataOutputView out) throws IOException {
            out.writeLong(newest);
            out.writeInt(matches.size());
            for (String match : matches) {
                out.writeUTF(match);
            }
            out.writeInt(champions.size());
            for (Map.Entry<String, long[]> entry : champions.entrySet()) {
                out.writeUTF(entry.getKey());
                for (long count : entry.getValue()) {
                    out.writeLong(count);
                }
            }
        }

        @Override
        void read(DataInputView in) throws IOException {
            newest = in.readLong();
            for (int left = in.readInt(); left > 0; left--) {
                matches.add(in.readUTF());
            }
            for (int left = in.readInt(); left > 0; left--) {
                String champion = in.readUTF();
                long[] counts = new long[FIELDS];
                for (int field = 0; field < FIELDS; field++) {
                    counts[field] = in.readLong();
                }
                champions.put(champion, counts);
            }
        }
    }

    /** Serialises {@link Counts}. */
    public static final class Serializer extends AccumulatorSerializer<Counts> {
        private static final long serialVersionUID = 1L;

        @Override
        public Counts createInstance() {
            return new Counts();
        }

        @Override
        public TypeSerializerSnapshot<Counts> snapshotConfiguration() {
            return new Snapshot();
        }

        /** Says in checkpoints which serializer wrote them. */
        public static final class Snapshot extends SimpleTypeSerializerSnapshot<Counts> {
            public Snapshot() {
                super(Serializer::new);
            }
        }
    }

    @Override
    public Counts createAccumulator() {
        return new Counts();
    }

    public void accumulate(
            Counts counts,
            String match,
            Long time,
            String winner,
            String[] blue,
            String[] red,
            String[] blueBans,
            String[] redBans) {
        counts.told = counts.matches.add(match);
        if (!counts.told) {
            return;
        }
        counts.newest = Math.max(counts.newest, time);
        counts.add(known(blue, red), PICKS);
        counts.add(known(blueBans, redBans), BANS);
        counts.add(known("blue".equals(winner) ? blue : red), WINS);
    }

    /** The champions that lists name, each once. */
    private static Set<String> known(String[]... lists) {
        Set<String> found = new HashSet<>();
        for (String[] list : lists) {
            if (list != null) {
                found.addAll(Arrays.asList(list));
            }
        }
        found.remove(null);
        found.remove("");
        return found;
    }

    @Override
    public RowData getValue(Counts counts) {
        Object[] rows = new Object[counts.told ? counts.champions.size() : 0];
        if (counts.told) {
            int row = 0;
            for (Map.Entry<String, long[]> entry : counts.champions.entrySet()) {
                long[] of = entry.getValue();
                rows[row++] = GenericRowData.of(StringData.fromString(entry.getKey()), of[PICKS], of[BANS], of[WINS]);
            }
        }
        return GenericRowData.of(counts.newest, (long) counts.matches.size(), new GenericArrayData(rows));
    }
}
