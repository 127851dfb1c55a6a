package riftstream;

import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.flink.avro.shaded.org.apache.avro.Schema;
import org.apache.flink.table.api.ValidationException;
import org.apache.flink.table.data.ArrayData;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.data.StringData;
import org.apache.flink.table.data.binary.BinarySegmentUtils;
import org.apache.flink.table.data.binary.BinaryStringData;

/**
 * Writes rows as records of one schema in Confluent wire format: a zero byte, the schema id in four bytes, Avro.
 *
 * <p>Not safe for threads: a writer holds the buffer that it writes into.
 */
final class AvroWriter {
    private static final int LONGEST_NUMBER = 10;

    /** One field of the record and where its value comes from; place is -1 where no column holds it. */
    private record Field(String name, Column.Kind kind, int place, int nullBranch) {}

    private final String record;
    private final Field[] fields;
    private byte[] buffer = new byte[512];
    private int at;

    private AvroWriter(String record, Field[] fields) {
        this.record = record;
        this.fields = fields;
    }

    /**
     * Plan how to write rows of these columns as records of a schema.
     *
     * @throws ValidationException a field has no column and must not be null, or the column's type differs
     */
    static AvroWriter plan(String schema, Column[] columns) {
        Schema record = new Schema.Parser().parse(schema);
        Map<String, Integer> places = new HashMap<>();
        for (int place = 0; place < columns.length; place++) {
            places.put(columns[place].name(), place);
        }
        List<Schema.Field> written = record.getFields();
        Field[] fields = new Field[written.size()];
        for (int i = 0; i < fields.length; i++) {
            fields[i] = field(record.getName(), written.get(i), columns, places);
            places.remove(fields[i].name);
        }
        if (!places.isEmpty()) {
            throw new ValidationException(record.getName() + " has no field for the columns " + places.keySet() + ".");
        }
        return new AvroWriter(record.getName(), fields);
    }

    private static Field field(String record, Schema.Field field, Column[] columns, Map<String, Integer> places) {
        Schema schema = field.schema();
        int nullBranch = -1;
        if (schema.getType() == Schema.Type.UNION) {
            List<Schema> branches = schema.getTypes();
            if (branches.size() != 2 || !schema.isNullable()) {
                throw new ValidationException(record + "." + field.name() + " is a union that is not null and one type.");
            }
            nullBranch = branches.get(0).getType() == Schema.Type.NULL ? 0 : 1;
            schema = branches.get(1 - nullBranch);
        }
        Column.Kind kind = kind(record, field.name(), schema);
        Integer place = places.get(field.name());
        if (place == null && nullBranch < 0) {
            throw new ValidationException(record + "." + field.name() + " must not be null, and no column fills it.");
        }
        if (place != null && columns[place].kind() != kind) {
            throw new ValidationException(
                    record + "." + field.name() + " is " + kind + ", but its column is " + columns[place].kind() + ".");
        }
        return new Field(field.name(), kind, place == null ? -1 : place, nullBranch);
    }

    private static Column.Kind kind(String record, String name, Schema schema) {
        return switch (schema.getType()) {
            case STRING -> Column.Kind.STRING;
            case INT -> Column.Kind.INT;
            case LONG -> Column.Kind.LONG;
            case DOUBLE -> Column.Kind.DOUBLE;
            case BOOLEAN -> Column.Kind.BOOLEAN;
            case BYTES -> Column.Kind.BYTES;
            case ARRAY -> switch (schema.getElementType().getType()) {
                case STRING -> Column.Kind.STRINGS;
                case DOUBLE -> Column.Kind.DOUBLES;
                default -> throw new ValidationException(record + "." + name + " is an array that we do not write.");
            };
            default -> throw new ValidationException(record + "." + name + " is a type that we do not write.");
        };
    }

    /**
     * One row as bytes.
     *
     * @throws IllegalArgumentException a field that must not be null is null; the message names it
     */
    byte[] write(int schemaId, RowData row) {
        at = 1;
        buffer[0] = 0;
        for (int shift = 24; shift >= 0; shift -= 8) {
            buffer[at++] = (byte) (schemaId >>> shift);
        }
        for (Field field : fields) {
            boolean missing = field.place < 0 || row.isNullAt(field.place);
            if (field.nullBranch >= 0) {
                number(missing ? field.nullBranch : 1 - field.nullBranch);
            } else if (missing) {
                throw new IllegalArgumentException(record + "." + field.name + " must not be null.");
            }
            if (!missing) {
                value(field, row);
            }
        }
        return Arrays.copyOf(buffer, at);
    }

    private void value(Field field, RowData row) {
        int place = field.place;
        switch (field.kind) {
            case STRING -> string(row.getString(place));
            case INT -> number(row.getInt(place));
            case LONG -> number(row.getLong(place));
            case DOUBLE -> fixed(row.getDouble(place));
            case BOOLEAN -> {
                reserve(1);
                buffer[at++] = (byte) (row.getBoolean(place) ? 1 : 0);
            }
            case BYTES -> bytes(row.getBinary(place));
            case STRINGS -> {
                ArrayData items = row.getArray(place);
                block(items.size());
                for (int i = 0; i < items.size(); i++) {
                    requireItem(field, items, i);
                    string(items.getString(i));
                }
                number(0);
            }
            case DOUBLES -> {
                ArrayData items = row.getArray(place);
                block(items.size());
                for (int i = 0; i < items.size(); i++) {
                    requireItem(field, items, i);
                    fixed(items.getDouble(i));
                }
                number(0);
            }
        }
    }

    private void requireItem(Field field, ArrayData items, int i) {
        if (items.isNullAt(i)) {
            throw new IllegalArgumentException(record + "." + field.name + " must not hold null.");
        }
    }

    private void block(int size) {
        if (size > 0) {
            number(size);
        }
    }

    private void string(StringData value) {
        BinaryStringData string = (BinaryStringData) value;
        string.ensureMaterialized();
        int size = string.getSizeInBytes();
        number(size);
        reserve(size);
        BinarySegmentUtils.copyToBytes(string.getSegments(), string.getOffset(), buffer, at, size);
        at += size;
    }

    private void bytes(byte[] value) {
        number(value.length);
        reserve(value.length);
        System.arraycopy(value, 0, buffer, at, value.length);
        at += value.length;
    }

    private void fixed(double value) {
        reserve(Double.BYTES);
        long raw = Double.doubleToRawLongBits(value);
        for (int i = 0; i < Double.BYTES; i++) {
            buffer[at++] = (byte) (raw >>> 8 * i);
        }
    }

    private void number(long value) {
        reserve(LONGEST_NUMBER);
        long raw = value << 1 ^ value >> 63;
        while ((raw & ~0x7fL) != 0) {
            buffer[at++] = (byte) (raw | 0x80);
            raw >>>= 7;
        }
        buffer[at++] = (byte) raw;
    }

    private void reserve(int size) {
        if (at + size > buffer.length) {
            buffer = Arrays.copyOf(buffer, Math.max(at + size, buffer.length * 2));
        }
    }
}
