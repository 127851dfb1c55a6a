package riftstream;

import org.apache.flink.api.common.typeutils.SimpleTypeSerializerSnapshot;
import org.apache.flink.api.common.typeutils.TypeSerializerSnapshot;
import org.apache.flink.table.annotation.DataTypeHint;
import org.apache.flink.table.annotation.FunctionHint;
import org.apache.flink.table.data.GenericRowData;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.functions.AggregateFunction;

/**
 * {@code ROLLING_DELTA(value, game_time_ms)}: the newest value, and by how much it differs from what it was 1, 3 and
 * 5 minutes of match clock ago. Newest is the one with the highest clock (of equal clocks the later in the log);
 * what it was h ago is the newest one at or before now - h, where now is the highest clock of any event so far;
 * null where there is none that old. A null value only moves the clock on.
 */
@FunctionHint(
        accumulator =
                @DataTypeHint(
                        value = "RAW",
                        bridgedTo = RollingDelta.Values.class,
                        rawSerializer = RollingDelta.Serializer.class),
        output =
                @DataTypeHint(value = "ROW<newest BIGINT, m1 BIGINT, m3 BIGINT, m5 BIGINT>", bridgedTo = RowData.class))
public final class RollingDelta extends AggregateFunction<RowData, RollingDelta.Values> {
    private static final long serialVersionUID = 1L;

    /** The values of the last five minutes, and the one before them. */
    public static final class Values extends ClockSeries<Values> {
        @Override
        Values copy() {
            return copyTo(new Values());
        }
    }

    /** Serialises {@link Values}. */
    public static final class Serializer extends AccumulatorSerializer<Values> {
        private static final long serialVersionUID = 1L;

        @Override
        public Values createInstance() {
            return new Values();
        }

        @Override
        public TypeSerializerSnapshot<Values> snapshotConfiguration() {
            return new Snapshot();
        }

        /** Says in checkpoints which serializer wrote them. */
        public static final class Snapshot extends SimpleTypeSerializerSnapshot<Values> {
            public Snapshot() {
                super(Serializer::new);
            }
        }
    }

    @Override
    public Values createAccumulator() {
        return new Values();
    }

    public void accumulate(Values values, Long value, Long clock) {
        if (clock == null) {
            return;
        }
        values.advance(clock);
        if (value != null) {
            values.insert(clock, value);
        }
        values.drop(values.upTo(values.now - 5 * ClockSeries.MINUTE_MS) - 1);
    }

    @Override
    public RowData getValue(Values values) {
        Long newest = values.size == 0 ? null : values.values[values.size - 1];
        return GenericRowData.of(newest, since(values, 1), since(values, 3), since(values, 5));
    }

    private static Long since(Values values, int minutes) {
        int before = values.upTo(values.now - minutes * ClockSeries.MINUTE_MS);
        return before == 0 ? null : values.values[values.size - 1] - values.values[before - 1];
    }
}
