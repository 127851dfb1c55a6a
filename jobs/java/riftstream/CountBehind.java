package riftstream;

import org.apache.flink.table.functions.AggregateFunction;

/**
 * {@code COUNT_BEHIND(value, tolerance)}: rows so far whose value was more than tolerance below the highest one
 * before them: events out of order, events that came late.
 */
public final class CountBehind extends AggregateFunction<Long, CountBehind.Progress> {
    private static final long serialVersionUID = 1L;

    /** The highest value so far, and the rows that were behind it. */
    public static final class Progress {
        public long highest = Long.MIN_VALUE;
        public long behind = 0;
    }

    @Override
    public Progress createAccumulator() {
        return new Progress();
    }

    public void accumulate(Progress progress, Long value, Long tolerance) {
        if (value == null) {
            return;
        }
        if (progress.highest != Long.MIN_VALUE && value < progress.highest - tolerance) {
            progress.behind++;
        }
        progress.highest = Math.max(progress.highest, value);
    }

    @Override
    public Long getValue(Progress progress) {
        return progress.behind;
    }
}
