package riftstream;

import java.io.IOException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.apache.flink.api.common.typeutils.SimpleTypeSerializerSnapshot;
import org.apache.flink.api.common.typeutils.TypeSerializerSnapshot;
import org.apache.flink.core.memory.DataInputView;
import org.apache.flink.core.memory.DataOutputView;
import org.apache.flink.table.annotation.DataTypeHint;
import org.apache.flink.table.annotation.FunctionHint;
import org.apache.flink.table.data.GenericArrayData;
import org.apache.flink.table.data.GenericRowData;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.data.StringData;
import org.apache.flink.table.functions.AggregateFunction;

/**
 * {@code SETTLE(prediction_id, model_name, model_version, event_time, game_time_ms, probability, status, winner, league,
 * ended, clock_ms, source_partition, source_offset)}: joins the predictions of a match with how it ended. A row is
 * either a prediction (its first six arguments) or the end (the others). Predictions wait; the end tells them all and
 * forgets them, so that state is held for live matches only. A prediction that comes after the end is told at once. A
 * match without a winner settles nothing, and its predictions are forgotten.
 *
 * <p>An answer holds the end, the predictions that the row settled, and the same by model version as lists of minutes
 * and probabilities; the lists are empty where nothing was settled.
 */
@FunctionHint(
        accumulator =
                @DataTypeHint(value = "RAW", bridgedTo = Settle.Match.class, rawSerializer = Settle.Serializer.class),
        output =
                @DataTypeHint(
                        value =
                                "ROW<winner STRING, league STRING, ended BIGINT, clock_ms BIGINT, source_partition INT,"
                                        + " source_offset BIGINT, predictions ARRAY<ROW<prediction_id STRING,"
                                        + " model_name STRING, model_version STRING, event_time BIGINT,"
                                        + " game_time_ms BIGINT, probability DOUBLE>>, versions ARRAY<ROW<"
                                        + "model_name STRING, model_version STRING, minutes ARRAY<INT>,"
                                        + " probabilities ARRAY<DOUBLE>>>>",
                        bridgedTo = RowData.class))
public final class Settle extends AggregateFunction<RowData, Settle.Match> {
    private static final long serialVersionUID = 1L;
    private static final long MINUTE_MS = 60_000;

    /** One prediction, as far as its outcome needs it. */
    private record Prediction(String id, String model, String version, long time, long clock, double probability) {

        void write(DataOutputView out) throws IOException {
            Strings.write(id, out);
            Strings.write(model, out);
            Strings.write(version, out);
            out.writeLong(time);
            out.writeLong(clock);
            out.writeDouble(probability);
        }

        static Prediction read(DataInputView in) throws IOException {
            return new Prediction(
                    Strings.read(in),
                    Strings.read(in),
                    Strings.read(in),
                    in.readLong(),
                    in.readLong(),
                    in.readDouble());
        }

        int minute() {
            return (int) (clock / MINUTE_MS);
        }
    }

    /** How a match ended. */
    private record End(String winner, String league, long ended, long clock, int partition, long offset) {

        void write(DataOutputView out) throws IOException {
            Strings.write(winner, out);
            Strings.write(league, out);
            out.writeLong(ended);
            out.writeLong(clock);
            out.writeInt(partition);
            out.writeLong(offset);
        }

        static End read(DataInputView in) throws IOException {
            return new End(
                    Strings.read(in), Strings.read(in), in.readLong(), in.readLong(), in.readInt(), in.readLong());
        }
    }

    /** The predictions that wait, and the end where it was told. */
    public static final class Match extends Accumulator<Match> {
        private List<Prediction> waiting = new ArrayList<>();
        private End end;
        // What the newest row settled; read at once, so no part of the state.
        private List<Prediction> settled = List.of();

        /** Strings of models are the same in every prediction: one object each will do. */
        private void add(Prediction prediction) {
            if (!waiting.isEmpty()) {
                Prediction last = waiting.get(waiting.size() - 1);
                prediction =
                        new Prediction(
                                prediction.id,
                                last.model.equals(prediction.model) ? last.model : prediction.model,
                                last.version.equals(prediction.version) ? last.version : prediction.version,
                                prediction.time,
                                prediction.clock,
                                prediction.probability);
            }
            waiting.add(prediction);
        }

        private void settle() {
            settled = end == null || end.winner == null ? List.of() : waiting;
            if (end != null) {
                waiting = new ArrayList<>();
            }
        }

        @Override
        Match copy() {
            Match other = new Match();
            other.waiting = new ArrayList<>(waiting);
            other.end = end;
            other.settled = settled;
            return other;
        }

        @Override
        void write(DataOutputView out) throws IOException {
            out.writeInt(waiting.size());
            for (Prediction prediction : waiting) {
                prediction.write(out);
            }
            out.writeBoolean(end != null);
            if (end != null) {
                end.write(out);
            }
        }

        @Override
        void read(DataInputView in) throws IOException {
            for (int left = in.readInt(); left > 0; left--) {
                waiting.add(Prediction.read(in));
            }
            end = in.readBoolean() ? End.read(in) : null;
        }
    }

    /** Serialises {@link Match}. */
    public static final class Serializer extends AccumulatorSerializer<Match> {
        private static final long serialVersionUID = 1L;

        @Override
        public Match createInstance() {
            return new Match();
        }

        @Override
        public TypeSerializerSnapshot<Match> snapshotConfiguration() {
            return new Snapshot();
        }

        /** Says in checkpoints which serializer wrote them. */
        public static final class Snapshot extends SimpleTypeSerializerSnapshot<Match> {
            public Snapshot() {
                super(Serializer::new);
            }
        }
    }

    @Override
    public Match createAccumulator() {
        return new Match();
    }

    public void accumulate(
            Match match,
            String id,
            String model,
            String version,
            Long time,
            Long clock,
            Double probability,
            String status,
            String winner,
            String league,
            Long ended,
            Long endClock,
            Integer partition,
            Long offset) {
        if (status == null) {
            match.add(new Prediction(id, model, version, time, clock, probability));
        } else if (match.end == null) {
            match.end = new End(winner, league, ended, endClock, partition, offset);
        }
        match.settle();
    }

    @Override
    public RowData getValue(Match match) {
        End end = match.end == null ? new End(null, null, 0, 0, 0, 0) : match.end;
        Object[] predictions = new Object[match.settled.size()];
        Map<List<String>, List<Prediction>> models = new LinkedHashMap<>();
        int place = 0;
        for (Prediction of : match.settled) {
            predictions[place++] =
                    GenericRowData.of(
                            StringData.fromString(of.id),
                            StringData.fromString(of.model),
                            StringData.fromString(of.version),
                            of.time,
                            of.clock,
                            of.probability);
            models.computeIfAbsent(List.of(of.model, of.version), key -> new ArrayList<>()).add(of);
        }
        Object[] versions = new Object[models.size()];
        place = 0;
        for (Map.Entry<List<String>, List<Prediction>> of : models.entrySet()) {
            versions[place++] =
                    GenericRowData.of(
                            StringData.fromString(of.getKey().get(0)),
                            StringData.fromString(of.getKey().get(1)),
                            new GenericArrayData(
                                    of.getValue().stream().map(Prediction::minute).toArray(Object[]::new)),
                            new GenericArrayData(
                                    of.getValue().stream().map(Prediction::probability).toArray(Object[]::new)));
        }
        return GenericRowData.of(
                StringData.fromString(end.winner),
                StringData.fromString(end.league),
                end.ended,
                end.clock,
                end.partition,
                end.offset,
                new GenericArrayData(predictions),
                new GenericArrayData(versions));
    }
}
