package riftstream;

import java.io.IOException;
import java.util.Arrays;
import org.apache.flink.core.memory.DataInputView;
import org.apache.flink.core.memory.DataOutputView;

/**
 * How often each kind of thing has happened in a match: in all, and in the last 1, 3 and 5 minutes of match clock,
 * that is at clocks in (now - h, now], where now is the highest clock so far. What comes out of order counts where
 * its clock belongs.
 */
final class Tally {
    static final int NEVER = -1;
    private static final int MINUTE_MS = 60_000;
    private static final int LONGEST_MS = 5 * MINUTE_MS;

    /** By kind: how often, at what match clock (ms) last, and as which of the match's events first. */
    int[] totals = {};

    int[] lastClocks = {};
    int[] firsts = {};

    /** Kinds and clocks of the last five minutes, in no order, in the first {@code size} places. */
    private int size;

    private int[] kinds = {};
    private int[] clocks = {};

    /** Note that a thing of a kind, a place below {@code count}, happened at a clock as the nth event. */
    void add(int kind, int count, int clock, int nth) {
        if (totals.length < count) {
            extend(count);
        }
        totals[kind]++;
        lastClocks[kind] = Math.max(lastClocks[kind], clock);
        if (firsts[kind] == NEVER) {
            firsts[kind] = nth;
        }
        if (size == kinds.length) {
            kinds = Arrays.copyOf(kinds, Math.max(8, 2 * size));
            clocks = Arrays.copyOf(clocks, Math.max(8, 2 * size));
        }
        kinds[size] = kind;
        clocks[size++] = clock;
    }

    private void extend(int count) {
        int before = totals.length;
        totals = Arrays.copyOf(totals, count);
        lastClocks = Arrays.copyOf(lastClocks, count);
        firsts = Arrays.copyOf(firsts, count);
        Arrays.fill(lastClocks, before, count, NEVER);
        Arrays.fill(firsts, before, count, NEVER);
    }

    /** Forget what is older than five minutes; count what is not into {@code lately}, three places a kind. */
    void countLately(int now, int[] lately) {
        Arrays.fill(lately, 0);
        int kept = 0;
        for (int i = 0; i < size; i++) {
            int age = now - clocks[i];
            if (age < LONGEST_MS) {
                int place = 3 * kinds[i];
                lately[place] += age < MINUTE_MS ? 1 : 0;
                lately[place + 1] += age < 3 * MINUTE_MS ? 1 : 0;
                lately[place + 2]++;
                kinds[kept] = kinds[i];
                clocks[kept++] = clocks[i];
            }
        }
        size = kept;
    }

    Tally copy() {
        Tally other = new Tally();
        other.totals = totals.clone();
        other.lastClocks = lastClocks.clone();
        other.firsts = firsts.clone();
        other.size = size;
        other.kinds = Arrays.copyOf(kinds, size);
        other.clocks = Arrays.copyOf(clocks, size);
        return other;
    }

    void write(DataOutputView out) throws IOException {
        Ints.write(totals, totals.length, out);
        Ints.write(lastClocks, lastClocks.length, out);
        Ints.write(firsts, firsts.length, out);
        Ints.write(kinds, size, out);
        Ints.write(clocks, size, out);
    }

    static Tally read(DataInputView in) throws IOException {
        Tally tally = new Tally();
        tally.totals = Ints.read(in);
        tally.lastClocks = Ints.read(in);
        tally.firsts = Ints.read(in);
        tally.kinds = Ints.read(in);
        tally.clocks = Ints.read(in);
        tally.size = tally.kinds.length;
        return tally;
    }
}
