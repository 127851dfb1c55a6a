package riftstream;

import java.io.IOException;
import org.apache.flink.api.common.typeutils.base.TypeSerializerSingleton;
import org.apache.flink.core.memory.DataInputView;
import org.apache.flink.core.memory.DataOutputView;

/** Serialises one kind of {@link Accumulator}; each kind has a subclass with a constructor without arguments. */
abstract class AccumulatorSerializer<A extends Accumulator<A>> extends TypeSerializerSingleton<A> {
    private static final long serialVersionUID = 1L;

    @Override
    public boolean isImmutableType() {
        return false;
    }

    @Override
    public A copy(A from) {
        return from.copy();
    }

    @Override
    public A copy(A from, A reuse) {
        return from.copy();
    }

    @Override
    public int getLength() {
        return -1;
    }

    @Override
    public void serialize(A accumulator, DataOutputView target) throws IOException {
        accumulator.write(target);
    }

    @Override
    public A deserialize(DataInputView source) throws IOException {
        A accumulator = createInstance();
        accumulator.read(source);
        return accumulator;
    }

    @Override
    public A deserialize(A reuse, DataInputView source) throws IOException {
        return deserialize(source);
    }

    @Override
    public void copy(DataInputView source, DataOutputView target) throws IOException {
        serialize(deserialize(source), target);
    }
}
