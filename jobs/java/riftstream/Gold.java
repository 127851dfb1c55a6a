package riftstream;

import java.io.IOException;
import java.util.Arrays;
import org.apache.flink.core.memory.DataInputView;
import org.apache.flink.core.memory.DataOutputView;

/**
 * Both sides' gold by match clock: snapshots of the last five minutes and the one before them, sorted by clock (of
 * equal clocks in the order that they came).
 */
final class Gold {
    private static final int LONGEST_MS = 5 * 60_000;

    int size;
    int[] clocks = {};
    int[] blue = {};
    int[] red = {};

    /** Put a snapshot in its place. */
    void insert(int clock, int blueGold, int redGold) {
        int place = upTo(clock);
        clocks = inserted(clocks, place, clock);
        blue = inserted(blue, place, blueGold);
        red = inserted(red, place, redGold);
        size++;
    }

    private int[] inserted(int[] values, int place, int value) {
        int[] room = size < values.length ? values : Arrays.copyOf(values, Math.max(8, 2 * size));
        System.arraycopy(values, place, room, place + 1, size - place);
        room[place] = value;
        return room;
    }

    /** Number of snapshots whose clock is at or before this one. */
    int upTo(int clock) {
        int count = size;
        while (count > 0 && clocks[count - 1] > clock) {
            count--;
        }
        return count;
    }

    /** Forget what no question up to five minutes before now can ask for. */
    void forget(int now) {
        int count = upTo(now - LONGEST_MS) - 1;
        if (count > 0) {
            size -= count;
            for (int[] values : new int[][] {clocks, blue, red}) {
                System.arraycopy(values, count, values, 0, size);
            }
        }
    }

    Gold copy() {
        Gold other = new Gold();
        other.size = size;
        other.clocks = Arrays.copyOf(clocks, size);
        other.blue = Arrays.copyOf(blue, size);
        other.red = Arrays.copyOf(red, size);
        return other;
    }

    void write(DataOutputView out) throws IOException {
        Ints.write(clocks, size, out);
        Ints.write(blue, size, out);
        Ints.write(red, size, out);
    }

    static Gold read(DataInputView in) throws IOException {
        Gold gold = new Gold();
        gold.clocks = Ints.read(in);
        gold.blue = Ints.read(in);
        gold.red = Ints.read(in);
        gold.size = gold.clocks.length;
        return gold;
    }
}
