package riftstream;

import org.apache.flink.table.annotation.DataTypeHint;
import org.apache.flink.table.annotation.FunctionHint;
import org.apache.flink.table.functions.AggregateFunction;

/**
 * {@code IS_NEWEST(place)}: whether the current row's place is above every one before it in its partition. A topic
 * that is written at least once repeats a stretch of itself after a crash; of records whose place only grows, this
 * takes each once, and remembers one number.
 */
@FunctionHint(output = @DataTypeHint("BOOLEAN NOT NULL"))
public final class IsNewest extends AggregateFunction<Boolean, IsNewest.Progress> {
    private static final long serialVersionUID = 1L;

    /** The highest place so far, and whether the newest row raised it. */
    public static final class Progress {
        public long highest = Long.MIN_VALUE;
        public boolean raised = false;
    }

    @Override
    public Progress createAccumulator() {
        return new Progress();
    }

    public void accumulate(Progress progress, Long place) {
        progress.raised = place > progress.highest;
        progress.highest = Math.max(progress.highest, place);
    }

    @Override
    public Boolean getValue(Progress progress) {
        return progress.raised;
    }
}
