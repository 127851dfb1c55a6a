package riftstream;

import java.io.IOException;
import java.util.Arrays;
import org.apache.flink.core.memory.DataInputView;
import org.apache.flink.core.memory.DataOutputView;

/**
 * Values with their match clock, sorted by clock (of equal clocks in the order that they came), and the highest
 * clock seen by any event: the 'now' of a match. Matches need few entries, so arrays beat any tree.
 */
abstract class ClockSeries<A extends ClockSeries<A>> extends Accumulator<A> {
    static final long MINUTE_MS = 60_000;
    private static final long[] NONE = {};

    long now = Long.MIN_VALUE;
    int size;
    long[] clocks = NONE;
    long[] values = NONE;

    /** Move 'now' on; a clock behind it changes nothing. */
    final void advance(long clock) {
        now = Math.max(now, clock);
    }

    /** Put a value in its place, after those of the same clock. */
    final void insert(long clock, long value) {
        if (size == clocks.length) {
            int capacity = Math.max(4, size * 2);
            clocks = Arrays.copyOf(clocks, capacity);
            values = Arrays.copyOf(values, capacity);
        }
        int place = size;
        while (place > 0 && clocks[place - 1] > clock) {
            place--;
        }
        System.arraycopy(clocks, place, clocks, place + 1, size - place);
        System.arraycopy(values, place, values, place + 1, size - place);
        clocks[place] = clock;
        values[place] = value;
        size++;
    }

    /** Forget the first entries. */
    final void drop(int count) {
        if (count > 0) {
            size -= count;
            System.arraycopy(clocks, count, clocks, 0, size);
            System.arraycopy(values, count, values, 0, size);
        }
    }

    /** Number of entries whose clock is at or before this one. */
    final int upTo(long clock) {
        int count = size;
        while (count > 0 && clocks[count - 1] > clock) {
            count--;
        }
        return count;
    }

    final A copyTo(A other) {
        other.now = now;
        other.size = size;
        other.clocks = size == 0 ? NONE : Arrays.copyOf(clocks, size);
        other.values = size == 0 ? NONE : Arrays.copyOf(values, size);
        return other;
    }

    @Override
    final void write(DataOutputView out) throws IOException {
        out.writeLong(now);
        out.writeInt(size);
        for (int i = 0; i < size; i++) {
            out.writeLong(clocks[i]);
            out.writeLong(values[i]);
        }
    }

    @Override
    final void read(DataInputView in) throws IOException {
        now = in.readLong();
        size = in.readInt();
        clocks = size == 0 ? NONE : new long[size];
        values = size == 0 ? NONE : new long[size];
        for (int i = 0; i < size; i++) {
            clocks[i] = in.readLong();
            values[i] = in.readLong();
        }
    }
}
