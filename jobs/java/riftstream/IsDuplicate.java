package riftstream;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import org.apache.flink.api.common.typeutils.SimpleTypeSerializerSnapshot;
import org.apache.flink.api.common.typeutils.TypeSerializerSnapshot;
import org.apache.flink.core.memory.DataInputView;
import org.apache.flink.core.memory.DataOutputView;
import org.apache.flink.table.annotation.DataTypeHint;
import org.apache.flink.table.annotation.FunctionHint;
import org.apache.flink.table.functions.AggregateFunction;

/** {@code IS_DUPLICATE(id)}: whether the current row's id has been seen before in its partition; see {@link Ids}. */
@FunctionHint(
        accumulator =
                @DataTypeHint(value = "RAW", bridgedTo = IsDuplicate.Seen.class, rawSerializer = IsDuplicate.Serializer.class),
        output = @DataTypeHint("BOOLEAN NOT NULL"))
public final class IsDuplicate extends AggregateFunction<Boolean, IsDuplicate.Seen> {
    private static final long serialVersionUID = 1L;

    /** The ids so far, and whether the newest one was among them. */
    public static final class Seen extends Accumulator<Seen> {
        private Ids ids = new Ids();
        // Of the newest row; read at once, so no part of the state.
        private boolean last;

        @Override
        Seen copy() {
            Seen other = new Seen();
            other.ids = ids.copy();
            other.last = last;
            return other;
        }

        @Override
        void write(DataOutputView out) throws IOException {
            ids.write(out);
        }

        @Override
        void read(DataInputView in) throws IOException {
            ids = Ids.read(in);
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

    public void accumulate(Seen seen, String id) {
        seen.last = !seen.ids.add(Murmur.hash(id.getBytes(StandardCharsets.UTF_8)));
    }

    @Override
    public Boolean getValue(Seen seen) {
        return seen.last;
    }
}
