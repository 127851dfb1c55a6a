package riftstream;

import java.io.IOException;
import org.apache.flink.core.memory.DataInputView;
import org.apache.flink.core.memory.DataOutputView;
import org.apache.flink.table.data.GenericArrayData;
import org.apache.flink.table.data.StringData;

/** Text that may be null, in state and in rows. */
final class Strings {
    private Strings() {}

    static void write(String text, DataOutputView out) throws IOException {
        out.writeBoolean(text != null);
        if (text != null) {
            out.writeUTF(text);
        }
    }

    static String read(DataInputView in) throws IOException {
        return in.readBoolean() ? in.readUTF() : null;
    }

    static void writeAll(String[] texts, DataOutputView out) throws IOException {
        out.writeInt(texts == null ? -1 : texts.length);
        if (texts != null) {
            for (String text : texts) {
                write(text, out);
            }
        }
    }

    static String[] readAll(DataInputView in) throws IOException {
        int count = in.readInt();
        String[] texts = count < 0 ? null : new String[count];
        for (int i = 0; i < count; i++) {
            texts[i] = read(in);
        }
        return texts;
    }

    /** A list as a row holds it. */
    static GenericArrayData array(String[] texts) {
        if (texts == null) {
            return null;
        }
        Object[] values = new Object[texts.length];
        for (int i = 0; i < texts.length; i++) {
            values[i] = StringData.fromString(texts[i]);
        }
        return new GenericArrayData(values);
    }

    static boolean isEmpty(String text) {
        return text == null || text.isEmpty();
    }
}
