package riftstream;

import java.io.IOException;
import java.util.HashMap;
import java.util.Map;
import java.util.Set;
import org.apache.flink.api.common.serialization.DeserializationSchema;
import org.apache.flink.api.common.serialization.SerializationSchema;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.avro.shaded.org.apache.avro.Schema;
import org.apache.flink.configuration.ConfigOption;
import org.apache.flink.configuration.ConfigOptions;
import org.apache.flink.configuration.ReadableConfig;
import org.apache.flink.table.api.ValidationException;
import org.apache.flink.table.connector.ChangelogMode;
import org.apache.flink.table.connector.Projection;
import org.apache.flink.table.connector.format.DecodingFormat;
import org.apache.flink.table.connector.format.EncodingFormat;
import org.apache.flink.table.connector.format.ProjectableDecodingFormat;
import org.apache.flink.table.connector.sink.DynamicTableSink;
import org.apache.flink.table.connector.source.DynamicTableSource;
import org.apache.flink.table.data.GenericRowData;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.data.StringData;
import org.apache.flink.table.factories.DeserializationFormatFactory;
import org.apache.flink.table.factories.DynamicTableFactory;
import org.apache.flink.table.factories.FactoryUtil;
import org.apache.flink.table.factories.SerializationFormatFactory;
import org.apache.flink.table.types.DataType;
import org.apache.flink.table.types.logical.RowType;

/**
 * The table format {@code rift-avro}: our flat Avro records in Confluent wire format.
 *
 * <p>Reading survives any bytes. A record that is not ours becomes a row in which only reserved columns are filled:
 *
 * <ul>
 *   <li>{@code decode_error STRING}: why, one of {@code tombstone} (null value), {@code empty}, {@code not_framed},
 *       {@code unknown_schema_id}, {@code wrong_schema}, {@code oversized}, {@code undecodable}
 *   <li>{@code decode_detail STRING}: what exactly, for people
 *   <li>{@code schema_id INT}: the id in the frame, also of good records
 *   <li>{@code raw_value BYTES}: the value as it came, also of good records, by reference
 * </ul>
 *
 * <p>A registry that is away or fails makes reading throw: the job restarts, and no good record is put aside
 * because its schema could not be asked for.
 *
 * <p>Writing asks the registry for the schema's id once. Null in a field that must not be null is an error that
 * names the field.
 */
public final class RiftAvroFormat implements DeserializationFormatFactory, SerializationFormatFactory {
    private static final ConfigOption<String> URL = ConfigOptions.key("url")
            .stringType()
            .noDefaultValue()
            .withDescription("Address of the Schema Registry (Confluent API v7).");
    private static final ConfigOption<String> SCHEMA = ConfigOptions.key("schema")
            .stringType()
            .noDefaultValue()
            .withDescription("The record's schema, as the text of its .avsc file.");
    private static final ConfigOption<String> SUBJECT = ConfigOptions.key("subject")
            .stringType()
            .noDefaultValue()
            .withDescription("Registry subject under which a writer finds or registers the schema.");
    private static final ConfigOption<Integer> MAX_BYTES = ConfigOptions.key("max-bytes")
            .intType()
            .defaultValue(65_536)
            .withDescription("Longest value that is decoded, in bytes; a longer one is oversized.");

    @Override
    public String factoryIdentifier() {
        return "rift-avro";
    }

    @Override
    public Set<ConfigOption<?>> requiredOptions() {
        return Set.of(URL, SCHEMA);
    }

    @Override
    public Set<ConfigOption<?>> optionalOptions() {
        return Set.of(SUBJECT, MAX_BYTES);
    }

    @Override
    public DecodingFormat<DeserializationSchema<RowData>> createDecodingFormat(
            DynamicTableFactory.Context context, ReadableConfig options) {
        FactoryUtil.validateFactoryOptions(this, options);
        return new ProjectableDecodingFormat<>() {
            @Override
            public DeserializationSchema<RowData> createRuntimeDecoder(
                    DynamicTableSource.Context source, DataType physical, int[][] projections) {
                DataType produced = Projection.of(projections).project(physical);
                TypeInformation<RowData> type = source.createTypeInformation(produced);
                Column[] columns = Column.of((RowType) produced.getLogicalType());
                return new Decoder(options.get(URL), options.get(SCHEMA), options.get(MAX_BYTES), columns, type);
            }

            @Override
            public ChangelogMode getChangelogMode() {
                return ChangelogMode.insertOnly();
            }
        };
    }

    @Override
    public EncodingFormat<SerializationSchema<RowData>> createEncodingFormat(
            DynamicTableFactory.Context context, ReadableConfig options) {
        FactoryUtil.validateFactoryOptions(this, options);
        String subject = options.getOptional(SUBJECT)
                .orElseThrow(() -> new ValidationException("rift-avro needs the option subject to write."));
        return new EncodingFormat<>() {
            @Override
            public SerializationSchema<RowData> createRuntimeEncoder(DynamicTableSink.Context sink, DataType physical) {
                Column[] columns = Column.of((RowType) physical.getLogicalType());
                AvroWriter.plan(options.get(SCHEMA), columns);
                return new Encoder(options.get(URL), options.get(SCHEMA), subject, columns);
            }

            @Override
            public ChangelogMode getChangelogMode() {
                return ChangelogMode.insertOnly();
            }
        };
    }

    /** Bytes to rows. */
    private static final class Decoder implements DeserializationSchema<RowData> {
        private static final long serialVersionUID = 1L;
        private static final int FRAME = 5;
        private static final long UNKNOWN_ID_MS = 10_000;

        private final String url;
        private final String record;
        private final String key;
        private final int maxBytes;
        private final Column[] columns;
        private final int arity;
        private final int errorPlace;
        private final int detailPlace;
        private final int idPlace;
        private final int valuePlace;
        private final TypeInformation<RowData> type;

        private transient Registry registry;
        private transient Map<Integer, Reader> readers;
        private transient Reader newest;

        /** What is known of a schema id: a reader, or why there is none, and until when that is believed. */
        private record Reader(int id, AvroReader avro, String error, String detail, long untilMs) {}

        Decoder(String url, String schema, int maxBytes, Column[] columns, TypeInformation<RowData> type) {
            Schema ours = new Schema.Parser().parse(schema);
            this.url = url;
            this.record = ours.getName();
            this.key = ours.getProp("key");
            this.maxBytes = maxBytes;
            this.arity = columns.length;
            this.errorPlace = take(ours, columns, "decode_error", Column.Kind.STRING);
            this.detailPlace = take(ours, columns, "decode_detail", Column.Kind.STRING);
            this.idPlace = take(ours, columns, "schema_id", Column.Kind.INT);
            this.valuePlace = take(ours, columns, "raw_value", Column.Kind.BYTES);
            this.columns = columns;
            this.type = type;
        }

        /**
         * Place of a reserved column, which the reader then leaves alone; -1 where the table has none, or where the
         * record has a field of this name: then it is the record's.
         */
        private static int take(Schema record, Column[] columns, String name, Column.Kind kind) {
            for (int place = 0; place < columns.length && record.getField(name) == null; place++) {
                if (columns[place] != null && columns[place].equals(new Column(name, kind))) {
                    columns[place] = null;
                    return place;
                }
            }
            return -1;
        }

        @Override
        public void open(InitializationContext context) {
            registry = new Registry(url);
            readers = new HashMap<>();
        }

        @Override
        public RowData deserialize(byte[] value) throws IOException {
            if (value == null) {
                return rejected(null, null, "tombstone", "the value is null");
            }
            if (value.length == 0) {
                return rejected(value, null, "empty", "the value has no bytes");
            }
            if (value[0] != 0 || value.length < FRAME) {
                return rejected(value, null, "not_framed", "the value does not begin with a zero byte and a schema id");
            }
            int id = (value[1] & 0xff) << 24 | (value[2] & 0xff) << 16 | (value[3] & 0xff) << 8 | value[4] & 0xff;
            if (value.length > maxBytes) {
                return rejected(value, id, "oversized", value.length + " bytes, more than " + maxBytes);
            }
            Reader reader = newest != null && newest.id == id ? newest : reader(id);
            if (reader.error != null) {
                return rejected(value, id, reader.error, reader.detail);
            }
            GenericRowData row = new GenericRowData(arity);
            try {
                reader.avro.read(value, FRAME, row);
            } catch (Malformed malformed) {
                return rejected(value, id, "undecodable", malformed.getMessage());
            }
            fill(row, value, id);
            return row;
        }

        private Reader reader(int id) throws IOException {
            Reader known = readers.get(id);
            if (known != null && (known.untilMs == Long.MAX_VALUE || known.untilMs > System.currentTimeMillis())) {
                if (known.error == null) {
                    newest = known;
                }
                return known;
            }
            Reader asked = ask(id);
            readers.put(id, asked);
            return asked;
        }

        private Reader ask(int id) throws IOException {
            try {
                String schema = id < 0 ? null : registry.schema(id);
                if (schema == null) {
                    long until = System.currentTimeMillis() + UNKNOWN_ID_MS;
                    return new Reader(id, null, "unknown_schema_id", "the registry has no schema id " + id, until);
                }
                AvroReader avro = AvroReader.plan(schema, record, key, columns);
                return new Reader(id, avro, null, null, Long.MAX_VALUE);
            } catch (WrongSchema wrong) {
                return new Reader(id, null, "wrong_schema", wrong.getMessage(), Long.MAX_VALUE);
            }
        }

        private RowData rejected(byte[] value, Integer id, String error, String detail) {
            GenericRowData row = new GenericRowData(arity);
            fill(row, value, id);
            if (errorPlace >= 0) {
                row.setField(errorPlace, StringData.fromString(error));
            }
            if (detailPlace >= 0) {
                row.setField(detailPlace, StringData.fromString(detail));
            }
            return row;
        }

        private void fill(GenericRowData row, byte[] value, Integer id) {
            if (idPlace >= 0) {
                row.setField(idPlace, id);
            }
            if (valuePlace >= 0) {
                row.setField(valuePlace, value);
            }
        }

        @Override
        public boolean isEndOfStream(RowData row) {
            return false;
        }

        @Override
        public TypeInformation<RowData> getProducedType() {
            return type;
        }
    }

    /** Rows to bytes. */
    private static final class Encoder implements SerializationSchema<RowData> {
        private static final long serialVersionUID = 1L;

        private final String url;
        private final String schema;
        private final String subject;
        private final Column[] columns;

        private transient AvroWriter writer;
        private transient int id;

        Encoder(String url, String schema, String subject, Column[] columns) {
            this.url = url;
            this.schema = schema;
            this.subject = subject;
            this.columns = columns;
        }

        @Override
        public void open(InitializationContext context) throws IOException {
            id = new Registry(url).id(subject, schema);
            writer = AvroWriter.plan(schema, columns);
        }

        @Override
        public byte[] serialize(RowData row) {
            return writer.write(id, row);
        }
    }
}
