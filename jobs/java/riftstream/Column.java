package riftstream;

import java.io.Serializable;
import java.util.List;
import org.apache.flink.table.api.ValidationException;
import org.apache.flink.table.types.logical.ArrayType;
import org.apache.flink.table.types.logical.LogicalType;
import org.apache.flink.table.types.logical.RowType;

/** A column of a table as the format sees it: its name and one of the eight shapes that our records have. */
record Column(String name, Kind kind) implements Serializable {

    /** Shapes of a value. A timestamp-millis is a LONG: milliseconds since the Unix epoch. */
    enum Kind {
        STRING,
        INT,
        LONG,
        DOUBLE,
        BOOLEAN,
        BYTES,
        STRINGS,
        DOUBLES
    }

    /** The columns of a row type, in order. */
    static Column[] of(RowType row) {
        List<RowType.RowField> fields = row.getFields();
        return fields.stream()
                .map(field -> new Column(field.getName(), kind(field.getName(), field.getType())))
                .toArray(Column[]::new);
    }

    private static Kind kind(String name, LogicalType type) {
        return switch (type.getTypeRoot()) {
            case CHAR, VARCHAR -> Kind.STRING;
            case INTEGER -> Kind.INT;
            case BIGINT -> Kind.LONG;
            case DOUBLE -> Kind.DOUBLE;
            case BOOLEAN -> Kind.BOOLEAN;
            case BINARY, VARBINARY -> Kind.BYTES;
            case ARRAY -> switch (kind(name, ((ArrayType) type).getElementType())) {
                case STRING -> Kind.STRINGS;
                case DOUBLE -> Kind.DOUBLES;
                default -> throw unsupported(name, type);
            };
            default -> throw unsupported(name, type);
        };
    }

    private static ValidationException unsupported(String name, LogicalType type) {
        return new ValidationException("rift-avro has no way to write " + type + " (column " + name + ").");
    }
}
