package riftstream;

import java.io.IOException;
import java.util.Arrays;
import org.apache.flink.api.common.typeutils.SimpleTypeSerializerSnapshot;
import org.apache.flink.api.common.typeutils.TypeSerializerSnapshot;
import org.apache.flink.core.memory.DataInputView;
import org.apache.flink.core.memory.DataOutputView;
import org.apache.flink.table.annotation.DataTypeHint;
import org.apache.flink.table.annotation.FunctionHint;
import org.apache.flink.table.data.StringData;
import org.apache.flink.table.functions.AggregateFunction;

/**
 * {@code IS_DUPLICATE(id)}: whether the current row's id has been seen before in its partition. Ids are kept as 128
 * bits of hash (MurmurHash3 x64, Appleby's public-domain algorithm), so that a set of some hundred ids is one
 * array: two different ids of one match are taken for the same once in about 10^33 matches of a thousand events.
 */
@FunctionHint(
        accumulator =
                @DataTypeHint(value = "RAW", bridgedTo = IsDuplicate.Seen.class, rawSerializer = IsDuplicate.Serializer.class),
        output = @DataTypeHint("BOOLEAN NOT NULL"))
public final class IsDuplicate extends AggregateFunction<Boolean, IsDuplicate.Seen> {
    private static final long serialVersionUID = 1L;

    /** A set of hashes (open addressing, two longs an entry, 0/0 is empty), and whether the last add found its own. */
    public static final class Seen extends Accumulator<Seen> {
        private static final int FIRST_CAPACITY = 16;

        private long[] table = {};
        private int size;
        private boolean last;

        /** Add a hash; remembers whether it was there. */
        void add(long low, long high) {
            if (low == 0 && high == 0) {
                high = 1;
            }
            if (size * 4 >= table.length / 2 * 3) {
                grow();
            }
            last = !put(table, low, high);
            size += last ? 0 : 1;
        }

        private void grow() {
            long[] larger = new long[Math.max(2 * FIRST_CAPACITY, table.length * 2)];
            for (int i = 0; i < table.length; i += 2) {
                if (table[i] != 0 || table[i + 1] != 0) {
                    put(larger, table[i], table[i + 1]);
                }
            }
            table = larger;
        }

        private static boolean put(long[] table, long low, long high) {
            int mask = table.length / 2 - 1;
            int slot = (int) low & mask;
            while (table[2 * slot] != 0 || table[2 * slot + 1] != 0) {
                if (table[2 * slot] == low && table[2 * slot + 1] == high) {
                    return false;
                }
                slot = slot + 1 & mask;
            }
            table[2 * slot] = low;
            table[2 * slot + 1] = high;
            return true;
        }

        @Override
        Seen copy() {
            Seen other = new Seen();
            other.table = Arrays.copyOf(table, table.length);
            other.size = size;
            other.last = last;
            return other;
        }

        @Override
        void write(DataOutputView out) throws IOException {
            out.writeInt(size);
            out.writeBoolean(last);
            for (int i = 0; i < table.length; i += 2) {
                if (table[i] != 0 || table[i + 1] != 0) {
                    out.writeLong(table[i]);
                    out.writeLong(table[i + 1]);
                }
            }
        }

        @Override
        void read(DataInputView in) throws IOException {
            int count = in.readInt();
            boolean found = in.readBoolean();
            for (int i = 0; i < count; i++) {
                add(in.readLong(), in.readLong());
            }
            last = found;
        }
    }

    /** Serialises {@link Seen}. */
    public static final class Serializer extends AccumulatorSerializer<Seen> {
        private static final long serialVersionUID = 1L;

        @Override
        public Seen createInstance() {
            return new Seen();
        }

        @Override
        public TypeSerializerSnapshot<Seen> snapshotConfiguration() {
            return new Snapshot();
        }

        /** Says in checkpoints which serializer wrote them. */
        public static final class Snapshot extends SimpleTypeSerializerSnapshot<Seen> {
            public Snapshot() {
                super(Serializer::new);
            }
        }
    }

    @Override
    public Seen createAccumulator() {
        return new Seen();
    }

    public void accumulate(Seen seen, @DataTypeHint(value = "STRING", bridgedTo = StringData.class) StringData id) {
        if (id == null) {
            seen.last = false;
            return;
        }
        Murmur128 hash = Murmur128.of(id.toBytes());
        seen.add(hash.low(), hash.high());
    }

    @Override
    public Boolean getValue(Seen seen) {
        return seen.last;
    }
}
