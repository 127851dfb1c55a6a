package riftstream;

import java.io.IOException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Stream;
import org.apache.flink.api.common.typeutils.SimpleTypeSerializerSnapshot;
import org.apache.flink.api.common.typeutils.TypeSerializerSnapshot;
import org.apache.flink.core.memory.DataInputView;
import org.apache.flink.core.memory.DataOutputView;
import org.apache.flink.table.api.DataTypes;
import org.apache.flink.table.catalog.DataTypeFactory;
import org.apache.flink.table.data.ArrayData;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.data.StringData;
import org.apache.flink.table.data.binary.BinaryStringData;
import org.apache.flink.table.functions.AggregateFunction;
import org.apache.flink.table.functions.FunctionContext;
import org.apache.flink.table.functions.SpecializedFunction;
import org.apache.flink.table.functions.UserDefinedFunction;
import org.apache.flink.table.types.DataType;
import org.apache.flink.table.types.inference.CallContext;
import org.apache.flink.table.types.inference.InputTypeStrategies;
import org.apache.flink.table.types.inference.ArgumentTypeStrategy;
import org.apache.flink.table.types.inference.TypeInference;
import org.apache.flink.table.types.inference.TypeStrategies;
import org.apache.flink.table.types.logical.LogicalType;
import org.apache.flink.table.types.logical.RowType;
import org.apache.flink.types.Row;

/**
 * {@code MATCH_STATE(columns, event_id, ...)}: what is known of a match after each of its events, as one object that
 * one look-up finds.
 *
 * <p>{@code columns} is {@code CAST(NULL AS ROW<...>)}: the names of its fields ask for what the result shall hold
 * besides {@link MatchRow}'s own columns; its value means nothing. An event counts as up to two kinds of things,
 * {@code kind} and {@code sub_kind}, as the SQL says; this function does not know what they mean. Of a kind, say
 * {@code kills_blue}, can be asked: {@code kills_blue} how often, {@code kills_blue_1m}, {@code _3m}, {@code _5m} how
 * often in the last minutes of match clock ({@link Tally}), {@code kills_blue_clock_ms} the highest match clock of
 * one, {@code kills_blue_first} as which of the match's events the first one came. Kinds are kept by their place in
 * the list: add new ones at its end, and a job goes on with its state.
 *
 * <p>An event whose id has been seen before changes nothing: its result says {@code duplicate}. The result is a view of
 * the state, good until the match's next event.
 */
public final class MatchState extends AggregateFunction<RowData, MatchState.State>
        implements SpecializedFunction {
    private static final long serialVersionUID = 1L;
    private static final long LATE_MS = 5_000;
    private static final StringData BLUE = StringData.fromString("blue");
    private static final StringData RED = StringData.fromString("red");
    private static final Map<StringData, Integer> DEEDS = Map.of(
            StringData.fromString("kills"), PlayerWindows.KILLS,
            StringData.fromString("items"), PlayerWindows.ITEMS,
            StringData.fromString("wards_placed"), PlayerWindows.WARDS_PLACED,
            StringData.fromString("wards_killed"), PlayerWindows.WARDS_KILLED);

    private final MatchRow.Question[] questions;
    private transient Map<StringData, Integer> kinds;
    private transient int[] lately;
    private transient Texts texts;

    /** As the planner makes it first, before it knows the kinds. */
    public MatchState() {
        this(new MatchRow.Question[0]);
    }

    private MatchState(MatchRow.Question[] questions) {
        this.questions = questions;
    }

    @Override
    public void open(FunctionContext context) {
        kinds = new HashMap<>();
        for (MatchRow.Question question : questions) {
            kinds.put(StringData.fromString(question.kind()), question.place());
        }
        lately = new int[3 * kinds.size()];
        texts = new Texts();
    }

    /** Everything that is kept of a match. */
    public static final class State extends Accumulator<State> {
        Ids ids = new Ids();
        Tally tally = new Tally();
        Gold gold = new Gold();
        Map<StringData, PlayerWindows> players = new HashMap<>();
        StringData[] about = new StringData[MatchRow.TEXTS];
        int mapNumber;
        int clock;
        long eventTime;
        int events;
        int outOfOrder;
        int late;

        /** Of the newest event only, not kept. */
        boolean duplicate;

        /** Of the newest event only, not kept. */
        Object[] told = {};

        /** Move on to an event, which may lie behind others. */
        void advance(long time, int gameClock) {
            if (events > 0) {
                outOfOrder += gameClock < clock ? 1 : 0;
                late += time < eventTime - LATE_MS ? 1 : 0;
            }
            eventTime = events == 0 ? time : Math.max(eventTime, time);
            clock = events == 0 ? gameClock : Math.max(clock, gameClock);
            events++;
        }

        @Override
        State copy() {
            State other = new State();
            other.ids = ids.copy();
            other.tally = tally.copy();
            other.gold = gold.copy();
            players.forEach((player, windows) -> other.players.put(player, windows.copy()));
            other.about = about.clone();
            other.mapNumber = mapNumber;
            other.clock = clock;
            other.eventTime = eventTime;
            other.events = events;
            other.outOfOrder = outOfOrder;
            other.late = late;
            other.duplicate = duplicate;
            other.told = told;
            return other;
        }

        @Override
        void write(DataOutputView out) throws IOException {
            ids.write(out);
            tally.write(out);
            gold.write(out);
            out.writeInt(players.size());
            for (PlayerWindows windows : players.values()) {
                windows.write(out);
            }
            for (StringData text : about) {
                Texts.write(text, out);
            }
            out.writeInt(mapNumber);
            out.writeInt(clock);
            out.writeLong(eventTime);
            out.writeInt(events);
            out.writeInt(outOfOrder);
            out.writeInt(late);
        }

        @Override
        void read(DataInputView in) throws IOException {
            ids = Ids.read(in);
            tally = Tally.read(in);
            gold = Gold.read(in);
            for (int count = in.readInt(); count > 0; count--) {
                PlayerWindows windows = PlayerWindows.read(in);
                players.put(windows.player(), windows);
            }
            for (int i = 0; i < about.length; i++) {
                about[i] = Texts.read(in);
            }
            mapNumber = in.readInt();
            clock = in.readInt();
            eventTime = in.readLong();
            events = in.readInt();
            outOfOrder = in.readInt();
            late = in.readInt();
        }
    }

    /** Serialises {@link State}. */
    public static final class Serializer extends AccumulatorSerializer<State> {
        private static final long serialVersionUID = 1L;

        @Override
        public State createInstance() {
            return new State();
        }

        @Override
        public TypeSerializerSnapshot<State> snapshotConfiguration() {
            return new Snapshot();
        }

        /** Says in checkpoints which serializer wrote them. */
        public static final class Snapshot extends SimpleTypeSerializerSnapshot<State> {
            public Snapshot() {
                super(Serializer::new);
            }
        }
    }

    @Override
    public State createAccumulator() {
        return new State();
    }

    @Override
    public TypeInference getTypeInference(DataTypeFactory factory) {
        DataType text = DataTypes.STRING().bridgedTo(StringData.class);
        DataType texts = DataTypes.ARRAY(text).bridgedTo(ArrayData.class);
        DataType number = DataTypes.INT();
        DataType time = DataTypes.BIGINT();
        Stream<ArgumentTypeStrategy> arguments = Stream.of(
                        List.of(text, time, time, text, text, number, number),
                        List.of(text, text, text, text, number, text, text),
                        List.of(text, text, text, text, text, number, number, number),
                        List.of(text, text, text, texts))
                .flatMap(List::stream)
                .map(InputTypeStrategies::explicit);
        return TypeInference.newBuilder()
                .inputTypeStrategy(InputTypeStrategies.sequence(
                        Stream.concat(Stream.of(InputTypeStrategies.ANY), arguments)
                                .toArray(ArgumentTypeStrategy[]::new)))
                .accumulatorTypeStrategy(TypeStrategies.explicit(DataTypes.RAW(State.class, new Serializer())))
                .outputTypeStrategy(call -> Optional.of(MatchRow.type(questions(call), call.getDataTypeFactory())))
                .build();
    }

    @Override
    public UserDefinedFunction specialize(SpecializedContext context) {
        return new MatchState(questions(context.getCallContext()));
    }

    private static MatchRow.Question[] questions(CallContext call) {
        LogicalType type = call.getArgumentDataTypes().get(0).getLogicalType();
        if (!(type instanceof RowType row)) {
            throw call.newValidationError("MATCH_STATE's first argument is a ROW whose fields name what to count.");
        }
        return MatchRow.Question.of(row.getFieldNames());
    }

    /**
     * Take in an event.
     *
     * @param columns null; its type names columns
     * @param kind what the event counts as, with subKind what else; null where nothing
     * @param blueGold blue's gold, with redGold red's, where the event tells both
     * @param deed the count of {@link PlayerWindows} that the acting player's part adds to; null where none. For kills
     *     the victim's deaths and the others' assists go with it.
     */
    public void accumulate(
            State state,
            Row columns,
            StringData eventId,
            Long eventTime,
            Long gameTimeMs,
            StringData kind,
            StringData subKind,
            Integer blueGold,
            Integer redGold,
            StringData league,
            StringData season,
            StringData phase,
            StringData patch,
            Integer mapNumber,
            StringData blueTeam,
            StringData redTeam,
            StringData deed,
            StringData team,
            StringData playerId,
            StringData role,
            StringData champion,
            Integer gold,
            Integer creepScore,
            Integer level,
            StringData victimId,
            StringData victimRole,
            StringData victimChampion,
            ArrayData assistIds) {
        state.duplicate = !state.ids.add(Murmur.hash(eventId.toBytes()));
        if (state.duplicate) {
            return;
        }
        int clock = gameTimeMs.intValue();
        state.advance(eventTime, clock);
        count(state, kind, clock);
        count(state, subKind, clock);
        if (blueGold != null && redGold != null) {
            state.gold.insert(clock, blueGold, redGold);
        }
        state.gold.forget(state.clock);
        state.mapNumber = mapNumber == null ? state.mapNumber : mapNumber;
        StringData[] news = {league, season, phase, patch, blueTeam, redTeam};
        for (int i = 0; i < news.length; i++) {
            state.about[i] = texts.newest(state.about[i], news[i]);
        }
        int deeds = deed == null ? PlayerWindows.EVENTS : DEEDS.getOrDefault(deed, PlayerWindows.EVENTS);
        boolean kill = deeds == PlayerWindows.KILLS;
        StringData other = BLUE.equals(team) ? RED : RED.equals(team) ? BLUE : null;
        List<RowData> told = new ArrayList<>(4);
        PlayerWindows player = named(state, playerId);
        if (player != null) {
            player.about(team, role, champion, texts);
            told.add(player.add(eventTime, clock, deeds, gold, creepScore, level));
        }
        PlayerWindows victim = named(state, victimId);
        if (victim != null) {
            victim.about(other, victimRole, victimChampion, texts);
            told.add(victim.add(eventTime, clock, kill ? PlayerWindows.DEATHS : PlayerWindows.EVENTS, null, null, null));
        }
        for (int i = 0; assistIds != null && i < assistIds.size(); i++) {
            PlayerWindows helper = assistIds.isNullAt(i) ? null : named(state, assistIds.getString(i));
            if (helper != null) {
                helper.about(team, null, null, texts);
                told.add(helper.add(eventTime, clock, kill ? PlayerWindows.ASSISTS : PlayerWindows.EVENTS, null, null, null));
            }
        }
        state.told = told.toArray();
    }

    private void count(State state, StringData kind, int clock) {
        Integer place = kind == null ? null : kinds.get(kind);
        if (place != null) {
            state.tally.add(place, kinds.size(), clock, state.events);
        }
    }

    /** The windows of a player, made where the player is new; null where there is no name. */
    private PlayerWindows named(State state, StringData id) {
        if (id == null || ((BinaryStringData) id).getSizeInBytes() == 0) {
            return null;
        }
        PlayerWindows known = state.players.get(id);
        if (known == null) {
            StringData kept = texts.kept(id);
            known = new PlayerWindows(kept);
            state.players.put(kept, known);
        }
        return known;
    }

    @Override
    public RowData getValue(State state) {
        state.tally.countLately(state.clock, lately);
        return new MatchRow(state, questions, lately);
    }
}
