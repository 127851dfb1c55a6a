package riftstream;

import java.io.IOException;
import java.util.Arrays;
import org.apache.flink.api.common.typeutils.SimpleTypeSerializerSnapshot;
import org.apache.flink.api.common.typeutils.TypeSerializerSnapshot;
import org.apache.flink.core.memory.DataInputView;
import org.apache.flink.core.memory.DataOutputView;
import org.apache.flink.table.annotation.DataTypeHint;
import org.apache.flink.table.annotation.FunctionHint;
import org.apache.flink.table.data.ArrayData;
import org.apache.flink.table.data.GenericArrayData;
import org.apache.flink.table.data.GenericRowData;
import org.apache.flink.table.data.StringData;
import org.apache.flink.table.functions.AggregateFunction;

/**
 * {@code FORM(match_id, event_time, horizon_ms, won, first_label, second_label, values)}: sums over the games whose
 * event time is in (t - horizon, t], for each game t that the current row changes: its own, and where it comes out of
 * order every later one within the horizon. So the newest answer for a game depends on the games alone and not on
 * their order, and nothing waits for a watermark.
 *
 * <p>An answer holds, beside the game's match and time, how many games and wins there are, for each of the values its
 * sum and the number of games that knew it (a null is not known), the exponentially weighted mean of wins, the sample
 * standard deviation of the first value, and the newest label of each kind that is known. A match that comes again
 * replaces itself. The {@value #KEPT} newest games are kept.
 */
@FunctionHint(
        accumulator = @DataTypeHint(value = "RAW", bridgedTo = Form.Games.class, rawSerializer = Form.Serializer.class),
        output =
                @DataTypeHint(
                        value =
                                "ARRAY<ROW<match_id STRING, event_time BIGINT, games BIGINT, wins BIGINT,"
                                        + " sums ARRAY<BIGINT>, known ARRAY<BIGINT>, form DOUBLE, spread DOUBLE,"
                                        + " first_label STRING, second_label STRING>>",
                        bridgedTo = ArrayData.class))
public final class Form extends AggregateFunction<ArrayData, Form.Games> {
    private static final long serialVersionUID = 1L;
    static final int KEPT = 512;
    private static final double DECAY = 0.8;

    /** One game. */
    private static final class Game {
        final String match;
        final long time;
        final boolean won;
        final String firstLabel;
        final String secondLabel;
        final Long[] values;

        Game(String match, long time, boolean won, String firstLabel, String secondLabel, Long[] values) {
            this.match = match;
            this.time = time;
            this.won = won;
            this.firstLabel = firstLabel;
            this.secondLabel = secondLabel;
            this.values = values;
        }

        void write(DataOutputView out) throws IOException {
            Strings.write(match, out);
            out.writeLong(time);
            out.writeBoolean(won);
            Strings.write(firstLabel, out);
            Strings.write(secondLabel, out);
            out.writeInt(values.length);
            for (Long value : values) {
                out.writeBoolean(value != null);
                if (value != null) {
                    out.writeLong(value);
                }
            }
        }

        static Game read(DataInputView in) throws IOException {
            String match = Strings.read(in);
            long time = in.readLong();
            boolean won = in.readBoolean();
            String firstLabel = Strings.read(in);
            String secondLabel = Strings.read(in);
            Long[] values = new Long[in.readInt()];
            for (int i = 0; i < values.length; i++) {
                values[i] = in.readBoolean() ? in.readLong() : null;
            }
            return new Game(match, time, won, firstLabel, secondLabel, values);
        }
    }

    /** The games that are kept, by time; of equal times in the order that they came. */
    public static final class Games extends Accumulator<Games> {
        private static final Game[] NONE = {};

        private int size;
        private Game[] games = NONE;
        // What the newest row asks for; read at once, so no part of the state.
        private long changed;
        private long horizon;

        /** Put a game in its place, instead of an earlier one of the same match. */
        void put(Game game, long span) {
            horizon = span;
            changed = game.time;
            for (int i = 0; i < size; i++) {
                if (games[i].match.equals(game.match)) {
                    changed = Math.min(changed, games[i].time);
                    remove(i);
                    break;
                }
            }
            // Before the new one is put: even one that is older than all others is told once.
            if (size >= KEPT) {
                remove(0);
            }
            if (size == games.length) {
                games = Arrays.copyOf(games, Math.max(4, size * 2));
            }
            int place = size;
            while (place > 0 && games[place - 1].time > game.time) {
                place--;
            }
            System.arraycopy(games, place, games, place + 1, size - place);
            games[place] = game;
            size++;
        }

        private void remove(int place) {
            size--;
            System.arraycopy(games, place + 1, games, place, size - place);
            games[size] = null;
        }

        /** First game whose time is after this one. */
        private int after(long time) {
            int place = size;
            while (place > 0 && games[place - 1].time > time) {
                place--;
            }
            return place;
        }

        GenericArrayData answers() {
            int first = after(changed - 1);
            int behind = first;
            while (behind < size && games[behind].time - changed < horizon) {
                behind++;
            }
            Object[] rows = new Object[behind - first];
            for (int i = first; i < behind; i++) {
                rows[i - first] = answer(games[i]);
            }
            return new GenericArrayData(rows);
        }

        private GenericRowData answer(Game of) {
            int from = after(of.time - horizon);
            int until = after(of.time);
            Long[] sums = new Long[of.values.length];
            Long[] known = new Long[of.values.length];
            Arrays.fill(known, 0L);
            long wins = 0;
            long squares = 0;
            double weight = 1;
            double weights = 0;
            double weighted = 0;
            String firstLabel = null;
            String secondLabel = null;
            for (int i = until - 1; i >= from; i--) {
                Game game = games[i];
                wins += game.won ? 1 : 0;
                weighted += game.won ? weight : 0;
                weights += weight;
                weight *= DECAY;
                firstLabel = firstLabel == null ? game.firstLabel : firstLabel;
                secondLabel = secondLabel == null ? game.secondLabel : secondLabel;
                for (int v = 0; v < sums.length; v++) {
                    Long value = game.values[v];
                    if (value != null) {
                        sums[v] = (sums[v] == null ? 0 : sums[v]) + value;
                        known[v]++;
                        squares += v == 0 ? value * value : 0;
                    }
                }
            }
            GenericRowData row = new GenericRowData(10);
            row.setField(0, StringData.fromString(of.match));
            row.setField(1, of.time);
            row.setField(2, (long) (until - from));
            row.setField(3, wins);
            row.setField(4, new GenericArrayData(sums));
            row.setField(5, new GenericArrayData(known));
            row.setField(6, weighted / weights);
            row.setField(7, spread(known[0], sums[0], squares));
            row.setField(8, StringData.fromString(firstLabel));
            row.setField(9, StringData.fromString(secondLabel));
            return row;
        }

        /** Sample standard deviation from whole sums, so that no order of adding can change it. */
        private static Double spread(long count, Long sum, long squares) {
            return count < 2 ? null : Math.sqrt((double) (count * squares - sum * sum) / (count * (count - 1)));
        }

        @Override
        Games copy() {
            Games other = new Games();
            other.size = size;
            other.games = Arrays.copyOf(games, size);
            other.changed = changed;
            other.horizon = horizon;
            return other;
        }

        @Override
        void write(DataOutputView out) throws IOException {
            out.writeInt(size);
            for (int i = 0; i < size; i++) {
                games[i].write(out);
            }
        }

        @Override
        void read(DataInputView in) throws IOException {
            size = in.readInt();
            games = new Game[size];
            for (int i = 0; i < size; i++) {
                games[i] = Game.read(in);
            }
        }
    }

    /** Serialises {@link Games}. */
    public static final class Serializer extends AccumulatorSerializer<Games> {
        private static final long serialVersionUID = 1L;

        @Override
        public Games createInstance() {
            return new Games();
        }

        @Override
        public TypeSerializerSnapshot<Games> snapshotConfiguration() {
            return new Snapshot();
        }

        /** Says in checkpoints which serializer wrote them. */
        public static final class Snapshot extends SimpleTypeSerializerSnapshot<Games> {
            public Snapshot() {
                super(Serializer::new);
            }
        }
    }

    @Override
    public Games createAccumulator() {
        return new Games();
    }

    public void accumulate(
            Games games,
            String match,
            Long time,
            Long horizon,
            Boolean won,
            String firstLabel,
            String secondLabel,
            Long[] values) {
        games.put(new Game(match, time, won, firstLabel, secondLabel, values.clone()), horizon);
    }

    @Override
    public ArrayData getValue(Games games) {
        return games.answers();
    }
}
