package riftstream;

import java.io.IOException;
import java.util.Arrays;
import org.apache.flink.api.common.typeutils.SimpleTypeSerializerSnapshot;
import org.apache.flink.api.common.typeutils.TypeSerializerSnapshot;
import org.apache.flink.core.memory.DataInputView;
import org.apache.flink.core.memory.DataOutputView;
import org.apache.flink.table.annotation.DataTypeHint;
import org.apache.flink.table.annotation.FunctionHint;
import org.apache.flink.table.data.GenericRowData;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.functions.AggregateFunction;

/**
 * {@code PLAYER_WINDOW(event_time, game_time_ms, killed, died, assisted, bought, placed_ward, killed_ward, gold,
 * creep_score, level)}: the five-second tumbling window of event time that the row belongs to, as it stands with this
 * row. Nothing waits for a watermark, and no row comes too late for its window: those of the last ten minutes are
 * kept, and a row for an older one is a window of its own, marked late.
 */
@FunctionHint(
        accumulator =
                @DataTypeHint(
                        value = "RAW",
                        bridgedTo = PlayerWindows.Windows.class,
                        rawSerializer = PlayerWindows.Serializer.class),
        output =
                @DataTypeHint(
                        value =
                                "ROW<window_start BIGINT, late BOOLEAN, events BIGINT, kills BIGINT, deaths BIGINT,"
                                        + " assists BIGINT, items BIGINT, wards_placed BIGINT, wards_killed BIGINT,"
                                        + " gold INT, creep_score INT, level INT, game_time_ms BIGINT,"
                                        + " event_time BIGINT>",
                        bridgedTo = RowData.class))
public final class PlayerWindows extends AggregateFunction<RowData, PlayerWindows.Windows> {
    private static final long serialVersionUID = 1L;
    static final long LENGTH_MS = 5_000;
    static final long KEPT_MS = 600_000;

    private static final int COUNTS = 7;
    private static final int HIGHEST = 5;
    private static final int FIELDS = COUNTS + HIGHEST;
    private static final long UNKNOWN = Long.MIN_VALUE;

    /** The windows of one player in one match that are kept, by their start, and the one of the newest row. */
    public static final class Windows extends Accumulator<Windows> {
        int size;
        long[] starts = {};
        long[] fields = {};
        long start;
        boolean late;
        long[] current = {};

        @Override
        Windows copy() {
            Windows other = new Windows();
            other.size = size;
            other.starts = Arrays.copyOf(starts, size);
            other.fields = Arrays.copyOf(fields, size * FIELDS);
            other.start = start;
            other.late = late;
            other.current = current.clone();
            return other;
        }

        /** Position of a window, made where it is new. */
        int place(long wanted) {
            int place = size;
            while (place > 0 && starts[place - 1] >= wanted) {
                place--;
            }
            if (place == size || starts[place] != wanted) {
                if (size == starts.length) {
                    int capacity = Math.max(4, size * 2);
                    starts = Arrays.copyOf(starts, capacity);
                    fields = Arrays.copyOf(fields, capacity * FIELDS);
                }
                System.arraycopy(starts, place, starts, place + 1, size - place);
                System.arraycopy(fields, place * FIELDS, fields, (place + 1) * FIELDS, (size - place) * FIELDS);
                starts[place] = wanted;
                clear(fields, place * FIELDS);
                size++;
            }
            return place;
        }

        /** Forget the windows that are too old to be kept. */
        void drop() {
            int count = 0;
            while (starts[count] < starts[size - 1] - KEPT_MS) {
                count++;
            }
            if (count > 0) {
                size -= count;
                System.arraycopy(starts, count, starts, 0, size);
                System.arraycopy(fields, count * FIELDS, fields, 0, size * FIELDS);
            }
        }

        @Override
        void write(DataOutputView out) throws IOException {
            out.writeInt(size);
            for (int i = 0; i < size; i++) {
                out.writeLong(starts[i]);
                for (int f = 0; f < FIELDS; f++) {
                    out.writeLong(fields[i * FIELDS + f]);
                }
            }
        }

        @Override
        void read(DataInputView in) throws IOException {
            size = in.readInt();
            starts = new long[size];
            fields = new long[size * FIELDS];
            for (int i = 0; i < size; i++) {
                starts[i] = in.readLong();
                for (int f = 0; f < FIELDS; f++) {
                    fields[i * FIELDS + f] = in.readLong();
                }
            }
        }
    }

    /** Serialises {@link Windows}. */
    public static final class Serializer extends AccumulatorSerializer<Windows> {
        private static final long serialVersionUID = 1L;

        @Override
        public Windows createInstance() {
            return new Windows();
        }

        @Override
        public TypeSerializerSnapshot<Windows> snapshotConfiguration() {
            return new Snapshot();
        }

        /** Says in checkpoints which serializer wrote them. */
        public static final class Snapshot extends SimpleTypeSerializerSnapshot<Windows> {
            public Snapshot() {
                super(Serializer::new);
            }
        }
    }

    @Override
    public Windows createAccumulator() {
        return new Windows();
    }

    public void accumulate(
            Windows windows,
            Long eventTime,
            Long clock,
            Integer killed,
            Integer died,
            Integer assisted,
            Integer bought,
            Integer placedWard,
            Integer killedWard,
            Integer gold,
            Integer creepScore,
            Integer level) {
        windows.start = Math.floorDiv(eventTime, LENGTH_MS) * LENGTH_MS;
        windows.late = windows.size > 0 && windows.start < windows.starts[windows.size - 1] - KEPT_MS;
        long[] fields;
        int at;
        if (windows.late) {
            fields = new long[FIELDS];
            at = 0;
            clear(fields, 0);
        } else {
            at = windows.place(windows.start) * FIELDS;
            fields = windows.fields;
        }
        fields[at]++;
        add(fields, at + 1, killed);
        add(fields, at + 2, died);
        add(fields, at + 3, assisted);
        add(fields, at + 4, bought);
        add(fields, at + 5, placedWard);
        add(fields, at + 6, killedWard);
        raise(fields, at + COUNTS, gold);
        raise(fields, at + COUNTS + 1, creepScore);
        raise(fields, at + COUNTS + 2, level);
        raise(fields, at + COUNTS + 3, clock);
        raise(fields, at + COUNTS + 4, eventTime);
        windows.current = Arrays.copyOfRange(fields, at, at + FIELDS);
        if (!windows.late) {
            windows.drop();
        }
    }

    private static void clear(long[] fields, int at) {
        Arrays.fill(fields, at, at + COUNTS, 0);
        Arrays.fill(fields, at + COUNTS, at + FIELDS, UNKNOWN);
    }

    private static void add(long[] fields, int at, Integer value) {
        if (value != null) {
            fields[at] += value;
        }
    }

    private static void raise(long[] fields, int at, Number value) {
        if (value != null) {
            fields[at] = Math.max(fields[at], value.longValue());
        }
    }

    @Override
    public RowData getValue(Windows windows) {
        long[] current = windows.current;
        GenericRowData row = new GenericRowData(2 + FIELDS);
        row.setField(0, windows.start);
        row.setField(1, windows.late);
        for (int f = 0; f < FIELDS; f++) {
            boolean small = f >= COUNTS && f < COUNTS + 3;
            Object value = small ? (Object) (int) current[f] : (Object) current[f];
            row.setField(2 + f, current[f] == UNKNOWN ? null : value);
        }
        return row;
    }
}
