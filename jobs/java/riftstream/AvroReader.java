package riftstream;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.HashMap;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import org.apache.flink.avro.shaded.org.apache.avro.Schema;
import org.apache.flink.core.memory.MemorySegment;
import org.apache.flink.core.memory.MemorySegmentFactory;
import org.apache.flink.table.data.GenericArrayData;
import org.apache.flink.table.data.GenericRowData;
import org.apache.flink.table.data.StringData;
import org.apache.flink.table.data.binary.BinaryStringData;

/**
 * Reads records of one writer's schema into rows of our columns (Avro 1.12 specification, "Schema Resolution").
 *
 * <p>The schema is turned into a plan once: for each of the writer's fields, in its order, what it is and which
 * column takes it. Fields that no column takes are stepped over; columns that the writer lacks stay null. Strings
 * are views of the record's bytes, nothing is copied.
 *
 * <p>Not safe for threads: a reader holds the position that it reads at.
 */
final class AvroReader {
    private static final VarHandle LONGS = MethodHandles.byteArrayViewVarHandle(long[].class, ByteOrder.LITTLE_ENDIAN);
    private static final int DEEPEST = 64;

    /** What to do with the bytes of one value. */
    private enum Op {
        NULL,
        BOOLEAN,
        INT,
        LONG,
        FLOAT,
        DOUBLE,
        INT_AS_DOUBLE,
        STRING,
        BYTES,
        STRINGS,
        DOUBLES,
        SKIP_NUMBER,
        SKIP_BYTES,
        SKIP_FIXED,
        SKIP_ARRAY,
        SKIP_MAP,
        SKIP_RECORD,
        UNION,
        UNREADABLE
    }

    /** One value of the writer's schema; parts are a union's branches, a record's fields, or the one item type. */
    private static final class Node {
        final Op op;
        Node[] parts = {};
        int size;

        Node(Op op) {
            this.op = op;
        }
    }

    private final Node[] fields;
    private final int[] targets;
    private byte[] bytes;
    private MemorySegment[] segments;
    private int at;

    private AvroReader(Node[] fields, int[] targets) {
        this.fields = fields;
        this.targets = targets;
    }

    /**
     * Plan how to read a writer's record into columns.
     *
     * @param writer the writer's schema, as JSON text
     * @param record name of the record that the table holds; the writer's must be the same
     * @param key field without which a record is no such record
     * @param columns the columns, in the order of the row; null where something else fills that place
     * @throws WrongSchema the writer's schema does not resolve to the columns
     */
    static AvroReader plan(String writer, String record, String key, Column[] columns) throws WrongSchema {
        Schema schema;
        try {
            schema = new Schema.Parser().parse(writer);
        } catch (RuntimeException notAvro) {
            throw new WrongSchema("the writer's schema is not Avro: " + notAvro.getMessage());
        }
        if (schema.getType() != Schema.Type.RECORD || !schema.getName().equals(record)) {
            throw new WrongSchema("the writer's schema is " + schema.getName() + ", not " + record);
        }
        if (schema.getField(key) == null) {
            throw new WrongSchema("the writer's " + record + " has no field " + key);
        }
        Map<String, Integer> places = new HashMap<>();
        for (int place = 0; place < columns.length; place++) {
            if (columns[place] != null) {
                places.put(columns[place].name(), place);
            }
        }
        List<Schema.Field> written = schema.getFields();
        Node[] fields = new Node[written.size()];
        int[] targets = new int[fields.length];
        Map<Schema, Node> seen = new IdentityHashMap<>();
        for (int i = 0; i < fields.length; i++) {
            Schema.Field field = written.get(i);
            targets[i] = places.getOrDefault(field.name(), -1);
            fields[i] = targets[i] < 0
                    ? skip(field.schema(), seen)
                    : read(field.schema(), columns[targets[i]], seen);
        }
        return new AvroReader(fields, targets);
    }

    private static Node read(Schema schema, Column column, Map<Schema, Node> seen) throws WrongSchema {
        if (schema.getType() == Schema.Type.UNION) {
            Node union = new Node(Op.UNION);
            union.parts = new Node[schema.getTypes().size()];
            boolean readable = false;
            for (int branch = 0; branch < union.parts.length; branch++) {
                union.parts[branch] = new Node(op(schema.getTypes().get(branch), column.kind()));
                Op op = union.parts[branch].op;
                readable |= op != Op.UNREADABLE && op != Op.NULL;
            }
            if (!readable) {
                throw new WrongSchema(column.name() + " is written as " + schema + ", not as " + column.kind());
            }
            return union;
        }
        Op op = op(schema, column.kind());
        if (op == Op.UNREADABLE) {
            throw new WrongSchema(column.name() + " is written as " + schema + ", not as " + column.kind());
        }
        return new Node(op);
    }

    private static Op op(Schema schema, Column.Kind kind) {
        Schema.Type type = schema.getType();
        if (type == Schema.Type.NULL) {
            return Op.NULL;
        }
        return switch (kind) {
            case STRING -> type == Schema.Type.STRING || type == Schema.Type.BYTES ? Op.STRING : Op.UNREADABLE;
            case BYTES -> type == Schema.Type.STRING || type == Schema.Type.BYTES ? Op.BYTES : Op.UNREADABLE;
            case BOOLEAN -> type == Schema.Type.BOOLEAN ? Op.BOOLEAN : Op.UNREADABLE;
            case INT -> type == Schema.Type.INT ? Op.INT : Op.UNREADABLE;
            case LONG -> type == Schema.Type.INT || type == Schema.Type.LONG ? Op.LONG : Op.UNREADABLE;
            case DOUBLE -> switch (type) {
                case INT, LONG -> Op.INT_AS_DOUBLE;
                case FLOAT -> Op.FLOAT;
                case DOUBLE -> Op.DOUBLE;
                default -> Op.UNREADABLE;
            };
            case STRINGS -> items(schema, Schema.Type.STRING) ? Op.STRINGS : Op.UNREADABLE;
            case DOUBLES -> items(schema, Schema.Type.DOUBLE) ? Op.DOUBLES : Op.UNREADABLE;
        };
    }

    private static boolean items(Schema schema, Schema.Type type) {
        return schema.getType() == Schema.Type.ARRAY && schema.getElementType().getType() == type;
    }

    private static Node skip(Schema schema, Map<Schema, Node> seen) {
        Node known = seen.get(schema);
        if (known != null) {
            return known;
        }
        Node node = new Node(switch (schema.getType()) {
            case NULL -> Op.NULL;
            case BOOLEAN, FLOAT, DOUBLE, FIXED -> Op.SKIP_FIXED;
            case INT, LONG, ENUM -> Op.SKIP_NUMBER;
            case STRING, BYTES -> Op.SKIP_BYTES;
            case ARRAY -> Op.SKIP_ARRAY;
            case MAP -> Op.SKIP_MAP;
            case RECORD -> Op.SKIP_RECORD;
            case UNION -> Op.UNION;
        });
        seen.put(schema, node);
        node.size = switch (schema.getType()) {
            case BOOLEAN -> 1;
            case FLOAT -> Float.BYTES;
            case DOUBLE -> Double.BYTES;
            case FIXED -> schema.getFixedSize();
            default -> 0;
        };
        node.parts = switch (schema.getType()) {
            case ARRAY -> new Node[] {skip(schema.getElementType(), seen)};
            case MAP -> new Node[] {skip(schema.getValueType(), seen)};
            case UNION -> schema.getTypes().stream().map(part -> skip(part, seen)).toArray(Node[]::new);
            case RECORD -> schema.getFields().stream().map(part -> skip(part.schema(), seen)).toArray(Node[]::new);
            default -> new Node[0];
        };
        return node;
    }

    /**
     * Read one record.
     *
     * @param value bytes that hold it
     * @param start where it begins; it must end with the bytes
     * @param row takes the values, each at its column's place; left half filled where this throws
     * @throws Malformed the bytes are not a whole record of this schema
     */
    void read(byte[] value, int start, GenericRowData row) throws Malformed {
        bytes = value;
        segments = new MemorySegment[] {MemorySegmentFactory.wrap(value)};
        at = start;
        try {
            for (int i = 0; i < fields.length; i++) {
                Object field = value(fields[i], 0);
                if (targets[i] >= 0) {
                    row.setField(targets[i], field);
                }
            }
        } catch (ArrayIndexOutOfBoundsException truncated) {
            throw new Malformed("the record ends early, after " + value.length + " bytes");
        }
        if (at != value.length) {
            throw new Malformed((value.length - at) + " bytes are left over after the record");
        }
    }

    private Object value(Node node, int depth) throws Malformed {
        switch (node.op) {
            case UNION:
                int branch = index(node.parts.length);
                if (depth > DEEPEST) {
                    throw new Malformed("values are nested more than " + DEEPEST + " deep");
                }
                return value(node.parts[branch], depth + 1);
            case NULL:
                return null;
            case STRING:
                return string();
            case LONG:
                return number();
            case INT:
                return integer();
            case BOOLEAN:
                return truth();
            case FLOAT:
                return (double) Float.intBitsToFloat((int) little(Float.BYTES));
            case DOUBLE:
                return Double.longBitsToDouble(little(Double.BYTES));
            case INT_AS_DOUBLE:
                return (double) number();
            case BYTES:
                int length = length();
                at += length;
                return Arrays.copyOfRange(bytes, at - length, at);
            case STRINGS:
                return strings();
            case DOUBLES:
                return doubles();
            case UNREADABLE:
                throw new Malformed("a value has a type that its column cannot take");
            default:
                step(node, depth);
                return null;
        }
    }

    private void step(Node node, int depth) throws Malformed {
        if (depth > DEEPEST) {
            throw new Malformed("values are nested more than " + DEEPEST + " deep");
        }
        switch (node.op) {
            case NULL:
                break;
            case SKIP_NUMBER:
                number();
                break;
            case SKIP_BYTES:
                advance(length());
                break;
            case SKIP_FIXED:
                advance(node.size);
                break;
            case SKIP_RECORD:
                for (Node part : node.parts) {
                    step(part, depth + 1);
                }
                break;
            case UNION:
                step(node.parts[index(node.parts.length)], depth + 1);
                break;
            case SKIP_ARRAY:
            case SKIP_MAP:
                for (int count = block(); count > 0; count = block()) {
                    for (int i = 0; i < count; i++) {
                        if (node.op == Op.SKIP_MAP) {
                            advance(length());
                        }
                        step(node.parts[0], depth + 1);
                    }
                }
                break;
            default:
                throw new IllegalStateException(node.op.name());
        }
    }

    private long number() throws Malformed {
        int b = bytes[at++];
        long raw = b & 0x7f;
        for (int shift = 7; b < 0; shift += 7) {
            if (shift > 63) {
                throw new Malformed("a number is longer than ten bytes");
            }
            b = bytes[at++];
            raw |= (long) (b & 0x7f) << shift;
        }
        return (raw >>> 1) ^ -(raw & 1);
    }

    private int integer() throws Malformed {
        long number = number();
        if ((int) number != number) {
            throw new Malformed("an int holds " + number);
        }
        return (int) number;
    }

    private int index(int branches) throws Malformed {
        long branch = number();
        if (branch < 0 || branch >= branches) {
            throw new Malformed("a union of " + branches + " has no branch " + branch);
        }
        return (int) branch;
    }

    private boolean truth() throws Malformed {
        byte b = bytes[at++];
        if (b != 0 && b != 1) {
            throw new Malformed("a boolean holds " + b);
        }
        return b == 1;
    }

    private long little(int size) throws Malformed {
        int from = at;
        advance(size);
        long raw = 0;
        for (int i = size - 1; i >= 0; i--) {
            raw = raw << 8 | bytes[from + i] & 0xff;
        }
        return raw;
    }

    private void advance(int size) throws Malformed {
        if (size > bytes.length - at) {
            throw new Malformed("the record ends early, after " + bytes.length + " bytes");
        }
        at += size;
    }

    private int length() throws Malformed {
        long length = number();
        if (length < 0 || length > bytes.length - at) {
            throw new Malformed("a value claims " + length + " bytes where " + (bytes.length - at) + " are left");
        }
        return (int) length;
    }

    /** Items in the next block of an array or map; 0 at its end. */
    private int block() throws Malformed {
        long count = number();
        if (count < 0) {
            count = -count;
            number();
        }
        if (count < 0 || count > bytes.length - at) {
            throw new Malformed("an array claims " + count + " items where " + (bytes.length - at) + " bytes are left");
        }
        return (int) count;
    }

    private StringData string() throws Malformed {
        int length = length();
        int from = at;
        at += length;
        if (!ascii(from, length)) {
            requireUtf8(from, length);
        }
        return new BinaryStringData(segments, from, length);
    }

    private boolean ascii(int from, int length) {
        int i = from;
        int end = from + length;
        long high = 0;
        for (; i <= end - Long.BYTES; i += Long.BYTES) {
            high |= (long) LONGS.get(bytes, i);
        }
        for (; i < end; i++) {
            high |= bytes[i];
        }
        return (high & 0x8080808080808080L) == 0;
    }

    private void requireUtf8(int from, int length) throws Malformed {
        try {
            StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(bytes, from, length));
        } catch (CharacterCodingException broken) {
            throw new Malformed("a string is not UTF-8");
        }
    }

    private GenericArrayData strings() throws Malformed {
        Object[] items = {};
        for (int count = block(); count > 0; count = block()) {
            int before = items.length;
            items = Arrays.copyOf(items, before + count);
            for (int i = before; i < items.length; i++) {
                items[i] = string();
            }
        }
        return new GenericArrayData(items);
    }

    private GenericArrayData doubles() throws Malformed {
        double[] items = {};
        for (int count = block(); count > 0; count = block()) {
            int before = items.length;
            items = Arrays.copyOf(items, before + count);
            for (int i = before; i < items.length; i++) {
                items[i] = Double.longBitsToDouble(little(Double.BYTES));
            }
        }
        return new GenericArrayData(items);
    }
}
