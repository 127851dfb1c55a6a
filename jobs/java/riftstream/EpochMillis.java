package riftstream;

import org.apache.flink.table.annotation.DataTypeHint;
import org.apache.flink.table.data.TimestampData;
import org.apache.flink.table.functions.ScalarFunction;

/** {@code EPOCH_MILLIS(timestamp)}: milliseconds since the Unix epoch, as our records hold time. */
public final class EpochMillis extends ScalarFunction {
    private static final long serialVersionUID = 1L;

    public Long eval(@DataTypeHint(value = "TIMESTAMP_LTZ(6)", bridgedTo = TimestampData.class) TimestampData time) {
        return time == null ? null : time.getMillisecond();
    }
}
