package riftstream;

import java.io.IOException;
import java.util.HashMap;
import java.util.Map;
import org.apache.flink.core.memory.DataInputView;
import org.apache.flink.core.memory.DataOutputView;
import org.apache.flink.table.data.StringData;

/**
 * Texts that are kept: names come by the million and are few, so equal ones share one copy. The rows that they come
 * in are used again, so what is kept must be a copy in any case.
 */
final class Texts {
    private static final int MOST = 50_000;

    private final Map<StringData, StringData> known = new HashMap<>();

    /** The text to keep for this one; null for null. */
    StringData kept(StringData text) {
        if (text == null) {
            return null;
        }
        StringData copy = known.get(text);
        if (copy == null) {
            if (known.size() >= MOST) {
                known.clear();
            }
            copy = StringData.fromBytes(text.toBytes());
            known.put(copy, copy);
        }
        return copy;
    }

    /** The text to keep: the new one, where there is one and it differs. */
    StringData newest(StringData before, StringData now) {
        return now == null || now.equals(before) ? before : kept(now);
    }

    static void write(StringData text, DataOutputView out) throws IOException {
        byte[] bytes = text == null ? null : text.toBytes();
        out.writeInt(bytes == null ? -1 : bytes.length);
        if (bytes != null) {
            out.write(bytes);
        }
    }

    static StringData read(DataInputView in) throws IOException {
        int length = in.readInt();
        if (length < 0) {
            return null;
        }
        byte[] bytes = new byte[length];
        in.readFully(bytes);
        return StringData.fromBytes(bytes);
    }
}
