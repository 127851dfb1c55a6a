package riftstream;

import java.io.IOException;
import org.apache.flink.core.memory.DataInputView;
import org.apache.flink.core.memory.DataOutputView;

/**
 * State of an aggregate function that is kept as one Java object: changed in place on the heap backend, written out
 * whole on checkpoints and on RocksDB.
 */
abstract class Accumulator<A extends Accumulator<A>> {

    /** A copy that shares nothing that changes. */
    abstract A copy();

    /** Write everything that {@link #read} needs. */
    abstract void write(DataOutputView out) throws IOException;

    /** Take over what {@link #write} wrote. */
    abstract void read(DataInputView in) throws IOException;
}
