package riftstream;

import org.apache.flink.table.data.ArrayData;
import org.apache.flink.table.data.DecimalData;
import org.apache.flink.table.data.MapData;
import org.apache.flink.table.data.RawValueData;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.data.StringData;
import org.apache.flink.table.data.TimestampData;
import org.apache.flink.types.RowKind;
import org.apache.flink.types.variant.Variant;

/** A row whose fields are read from somewhere else when they are asked for; a subclass says which it has. */
abstract class ViewRow implements RowData {

    private static UnsupportedOperationException absent() {
        return new UnsupportedOperationException("the row has no field of this type");
    }

    @Override
    public RowKind getRowKind() {
        return RowKind.INSERT;
    }

    @Override
    public void setRowKind(RowKind kind) {
        if (kind != RowKind.INSERT) {
            throw new UnsupportedOperationException("the row can only be inserted");
        }
    }

    @Override
    public boolean getBoolean(int pos) {
        throw absent();
    }

    @Override
    public byte getByte(int pos) {
        throw absent();
    }

    @Override
    public short getShort(int pos) {
        throw absent();
    }

    @Override
    public int getInt(int pos) {
        throw absent();
    }

    @Override
    public long getLong(int pos) {
        throw absent();
    }

    @Override
    public float getFloat(int pos) {
        throw absent();
    }

    @Override
    public double getDouble(int pos) {
        throw absent();
    }

    @Override
    public StringData getString(int pos) {
        throw absent();
    }

    @Override
    public DecimalData getDecimal(int pos, int precision, int scale) {
        throw absent();
    }

    @Override
    public TimestampData getTimestamp(int pos, int precision) {
        throw absent();
    }

    @Override
    public <T> RawValueData<T> getRawValue(int pos) {
        throw absent();
    }

    @Override
    public byte[] getBinary(int pos) {
        throw absent();
    }

    @Override
    public ArrayData getArray(int pos) {
        throw absent();
    }

    @Override
    public MapData getMap(int pos) {
        throw absent();
    }

    @Override
    public RowData getRow(int pos, int numFields) {
        throw absent();
    }

    @Override
    public Variant getVariant(int pos) {
        throw absent();
    }
}
