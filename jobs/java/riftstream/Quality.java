package riftstream;

import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.apache.flink.api.common.typeutils.SimpleTypeSerializerSnapshot;
import org.apache.flink.api.common.typeutils.TypeSerializerSnapshot;
import org.apache.flink.core.memory.DataInputView;
import org.apache.flink.core.memory.DataOutputView;
import org.apache.flink.table.annotation.DataTypeHint;
import org.apache.flink.table.annotation.FunctionHint;
import org.apache.flink.table.data.ArrayData;
import org.apache.flink.table.data.GenericArrayData;
import org.apache.flink.table.data.GenericRowData;
import org.apache.flink.table.functions.AggregateFunction;

/**
 * {@code QUALITY(kept, match_id, winner, minutes, probabilities)}: how probabilities of blue fared in the {@code kept}
 * newest matches of a partition. Each row tells a match, or more predictions of one that is known; the answer holds, for
 * each of its minutes and for all minutes together ({@value #ALL}), the matches and predictions counted, the Brier
 * score, the log loss in nats, and the expected calibration error over ten equal-width bins.
 */
@FunctionHint(
        accumulator =
                @DataTypeHint(
                        value = "RAW",
                        bridgedTo = Quality.Matches.class,
                        rawSerializer = Quality.Serializer.class),
        output =
                @DataTypeHint(
                        value =
                                "ARRAY<ROW<`minute` INT, `matches` BIGINT, predictions BIGINT, brier DOUBLE,"
                                        + " log_loss DOUBLE, ece DOUBLE>>",
                        bridgedTo = ArrayData.class))
public final class Quality extends AggregateFunction<ArrayData, Quality.Matches> {
    private static final long serialVersionUID = 1L;
    private static final int BINS = 10;
    private static final double LEAST = 1e-7;
    static final int ALL = -1;

    /** The predictions of one match: a minute of the match clock and the probability of blue each. */
    private record Match(String id, boolean won, int[] minutes, double[] probabilities) {

        Match with(Match more) {
            int[] both = new int[minutes.length + more.minutes.length];
            System.arraycopy(minutes, 0, both, 0, minutes.length);
            System.arraycopy(more.minutes, 0, both, minutes.length, more.minutes.length);
            double[] all = new double[both.length];
            System.arraycopy(probabilities, 0, all, 0, minutes.length);
            System.arraycopy(more.probabilities, 0, all, minutes.length, more.minutes.length);
            return new Match(id, won, both, all);
        }
    }

    /** Sums of one minute. */
    private static final class Sums {
        long matches;
        long predictions;
        double squares;
        double loss;
        final double[] apart = new double[BINS];
        // Newest match that was counted, by its place.
        int last = -1;

        void add(int match, double probability, boolean won) {
            matches += match == last ? 0 : 1;
            last = match;
            predictions++;
            double error = probability - (won ? 1 : 0);
            squares += error * error;
            double right = Math.min(Math.max(won ? probability : 1 - probability, LEAST), 1 - LEAST);
            loss -= Math.log(right);
            apart[Math.min((int) (probability * BINS), BINS - 1)] += error;
        }

        GenericRowData row(int minute) {
            double sum = 0;
            for (double of : apart) {
                sum += Math.abs(of);
            }
            return GenericRowData.of(
                    minute, matches, predictions, squares / predictions, loss / predictions, sum / predictions);
        }
    }

    /** The newest matches, oldest first. */
    public static final class Matches extends Accumulator<Matches> {
        private List<Match> matches = new ArrayList<>();
        // What the newest row told; read at once, so no part of the state.
        private int[] told = {};

        private void add(Match match, int kept) {
            told = match.minutes;
            for (int i = 0; i < matches.size(); i++) {
                if (matches.get(i).id.equals(match.id)) {
                    matches.set(i, matches.get(i).with(match));
                    return;
                }
            }
            matches.add(match);
            if (matches.size() > kept) {
                matches.remove(0);
            }
        }

        GenericArrayData answers() {
            Map<Integer, Sums> minutes = new TreeMap<>();
            minutes.put(ALL, new Sums());
            for (int minute : told) {
                minutes.putIfAbsent(minute, new Sums());
            }
            for (int place = 0; place < matches.size(); place++) {
                Match match = matches.get(place);
                for (int i = 0; i < match.minutes.length; i++) {
                    minutes.get(ALL).add(place, match.probabilities[i], match.won);
                    Sums of = minutes.get(match.minutes[i]);
                    if (of != null) {
                        of.add(place, match.probabilities[i], match.won);
                    }
                }
            }
            return new GenericArrayData(
                    minutes.entrySet().stream().map(of -> of.getValue().row(of.getKey())).toArray(Object[]::new));
        }

        @Override
        Matches copy() {
            Matches other = new Matches();
            other.matches = new ArrayList<>(matches);
            other.told = told;
            return other;
        }

        @Override
        void write(DataOutputView out) throws IOException {
            out.writeInt(matches.size());
            for (Match match : matches) {
                Strings.write(match.id, out);
                out.writeBoolean(match.won);
                out.writeInt(match.minutes.length);
                for (int i = 0; i < match.minutes.length; i++) {
                    out.writeInt(match.minutes[i]);
                    out.writeDouble(match.probabilities[i]);
                }
            }
        }

        @Override
        void read(DataInputView in) throws IOException {
            for (int left = in.readInt(); left > 0; left--) {
                String id = Strings.read(in);
                boolean won = in.readBoolean();
                int[] minutes = new int[in.readInt()];
                double[] probabilities = new double[minutes.length];
                for (int i = 0; i < minutes.length; i++) {
                    minutes[i] = in.readInt();
                    probabilities[i] = in.readDouble();
                }
                matches.add(new Match(id, won, minutes, probabilities));
            }
        }
    }

    /** Serialises {@link Matches}. */
    public static final class Serializer extends AccumulatorSerializer<Matches> {
        private static final long serialVersionUID = 1L;

        @Override
        public Matches createInstance() {
            return new Matches();
        }

        @Override
        public TypeSerializerSnapshot<Matches> snapshotConfiguration() {
            return new Snapshot();
        }

        /** Says in checkpoints which serializer wrote them. */
        public static final class Snapshot extends SimpleTypeSerializerSnapshot<Matches> {
            public Snapshot() {
                super(Serializer::new);
            }
        }
    }

    @Override
    public Matches createAccumulator() {
        return new Matches();
    }

    public void accumulate(
            Matches matches, Integer kept, String id, String winner, Integer[] minutes, Double[] probabilities) {
        int[] clock = new int[minutes.length];
        double[] said = new double[minutes.length];
        for (int i = 0; i < minutes.length; i++) {
            clock[i] = minutes[i];
            said[i] = probabilities[i];
        }
        matches.add(new Match(id, "blue".equals(winner), clock, said), kept);
    }

    @Override
    public ArrayData getValue(Matches matches) {
        return matches.answers();
    }
}
