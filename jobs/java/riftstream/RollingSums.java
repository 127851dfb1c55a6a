package riftstream;

import org.apache.flink.api.common.typeutils.SimpleTypeSerializerSnapshot;
import org.apache.flink.api.common.typeutils.TypeSerializerSnapshot;
import org.apache.flink.table.annotation.DataTypeHint;
import org.apache.flink.table.annotation.FunctionHint;
import org.apache.flink.table.data.GenericRowData;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.functions.AggregateFunction;

/**
 * {@code ROLLING_SUMS(value, game_time_ms)}: sums of value over the last 1, 3 and 5 minutes of match clock, that is
 * over clocks in (now - h, now], where now is the highest clock so far. At once, not at the watermark: an event that
 * comes out of order counts where its clock belongs, if that is still within the five minutes.
 */
@FunctionHint(
        accumulator =
                @DataTypeHint(value = "RAW", bridgedTo = RollingSums.Sums.class, rawSerializer = RollingSums.Serializer.class),
        output = @DataTypeHint(value = "ROW<m1 BIGINT, m3 BIGINT, m5 BIGINT>", bridgedTo = RowData.class))
public final class RollingSums extends AggregateFunction<RowData, RollingSums.Sums> {
    private static final long serialVersionUID = 1L;
    private static final long LONGEST_MS = 5 * ClockSeries.MINUTE_MS;

    /** The values of the last five minutes. */
    public static final class Sums extends ClockSeries<Sums> {
        @Override
        Sums copy() {
            return copyTo(new Sums());
        }
    }

    /** Serialises {@link Sums}. */
    public static final class Serializer extends AccumulatorSerializer<Sums> {
        private static final long serialVersionUID = 1L;

        @Override
        public Sums createInstance() {
            return new Sums();
        }

        @Override
        public TypeSerializerSnapshot<Sums> snapshotConfiguration() {
            return new Snapshot();
        }

        /** Says in checkpoints which serializer wrote them. */
        public static final class Snapshot extends SimpleTypeSerializerSnapshot<Sums> {
            public Snapshot() {
                super(Serializer::new);
            }
        }
    }

    @Override
    public Sums createAccumulator() {
        return new Sums();
    }

    public void accumulate(Sums sums, Long value, Long clock) {
        if (clock == null) {
            return;
        }
        sums.advance(clock);
        if (value != null && value != 0 && clock > sums.now - LONGEST_MS) {
            sums.insert(clock, value);
        }
        sums.drop(sums.upTo(sums.now - LONGEST_MS));
    }

    @Override
    public RowData getValue(Sums sums) {
        long one = 0;
        long three = 0;
        long five = 0;
        for (int i = sums.size - 1; i >= 0; i--) {
            long age = sums.now - sums.clocks[i];
            long value = sums.values[i];
            one += age < ClockSeries.MINUTE_MS ? value : 0;
            three += age < 3 * ClockSeries.MINUTE_MS ? value : 0;
            five += value;
        }
        return GenericRowData.of(one, three, five);
    }
}
