package riftstream;

import java.io.IOException;
import java.util.Arrays;
import org.apache.flink.core.memory.DataInputView;
import org.apache.flink.core.memory.DataOutputView;

/**
 * A set of ids, kept as 64 bits of hash each (open addressing; 0 is an empty slot): two different ids of one match
 * are taken for the same once in about 10^13 matches of a thousand events.
 */
final class Ids {
    private static final int FIRST_CAPACITY = 16;

    private long[] table = {};
    private int size;

    /** Add the hash of an id; whether it was new. */
    boolean add(long hash) {
        if (4 * size >= 3 * table.length) {
            grow(Math.max(FIRST_CAPACITY, 2 * table.length));
        }
        boolean isNew = put(table, hash == 0 ? 1 : hash);
        size += isNew ? 1 : 0;
        return isNew;
    }

    private void grow(int capacity) {
        long[] larger = new long[capacity];
        for (long hash : table) {
            if (hash != 0) {
                put(larger, hash);
            }
        }
        table = larger;
    }

    private static boolean put(long[] table, long hash) {
        int mask = table.length - 1;
        int slot = (int) hash & mask;
        while (table[slot] != 0) {
            if (table[slot] == hash) {
                return false;
            }
            slot = slot + 1 & mask;
        }
        table[slot] = hash;
        return true;
    }

    Ids copy() {
        Ids other = new Ids();
        other.table = Arrays.copyOf(table, table.length);
        other.size = size;
        return other;
    }

    void write(DataOutputView out) throws IOException {
        out.writeInt(size);
        for (long hash : table) {
            if (hash != 0) {
                out.writeLong(hash);
            }
        }
    }

    static Ids read(DataInputView in) throws IOException {
        Ids ids = new Ids();
        for (int count = in.readInt(); count > 0; count--) {
            ids.add(in.readLong());
        }
        return ids;
    }
}
