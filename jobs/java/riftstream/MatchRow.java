package riftstream;

import java.io.Serializable;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.apache.flink.table.catalog.DataTypeFactory;
import org.apache.flink.table.data.ArrayData;
import org.apache.flink.table.data.GenericArrayData;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.data.StringData;
import org.apache.flink.table.types.DataType;

/** The result of {@link MatchState}: a view of the state with one column for each thing that it tells. */
final class MatchRow extends ViewRow {
    /** Texts about a match: league, season, phase, patch and the two teams. */
    static final int TEXTS = 6;

    private static final String[] MINUTES = {"1m", "3m", "5m"};

    private static final int DUPLICATE = 0;
    private static final int CLOCK = 1;
    private static final int EVENTS = 2;
    private static final int OUT_OF_ORDER = 3;
    private static final int LATE = 4;
    private static final int ABOUT = 5;
    private static final int MAP_NUMBER = ABOUT + TEXTS;
    private static final int GOLD_BLUE = MAP_NUMBER + 1;
    private static final int GOLD_RED = GOLD_BLUE + 4;
    private static final int GOLD_CLOCK = GOLD_RED + 4;
    private static final int WINDOWS = GOLD_CLOCK + 1;
    private static final int ASKED = WINDOWS + 1;

    private static final int MINUTE_MS = 60_000;

    private final MatchState.State state;
    private final Question[] questions;
    private final int[] lately;

    MatchRow(MatchState.State state, Question[] questions, int[] lately) {
        this.state = state;
        this.questions = questions;
        this.lately = lately;
    }

    /** What can be asked about a kind of thing; the name of the column ends with it. */
    enum About {
        TOTAL(""),
        LAST_1M("_1m"),
        LAST_3M("_3m"),
        LAST_5M("_5m"),
        CLOCK("_clock_ms"),
        FIRST("_first");

        final String suffix;

        About(String suffix) {
            this.suffix = suffix;
        }
    }

    /** A column that was asked for: what about which kind. */
    record Question(String column, String kind, About about, int place) implements Serializable {

        /** The questions in names of columns; kinds get places in the order that they come in. */
        static Question[] of(List<String> columns) {
            Map<String, Integer> places = new HashMap<>();
            return columns.stream()
                    .map(column -> {
                        About about = Stream.of(About.values())
                                .filter(each -> each != About.TOTAL && column.endsWith(each.suffix))
                                .findFirst()
                                .orElse(About.TOTAL);
                        String kind = column.substring(0, column.length() - about.suffix.length());
                        int place = places.computeIfAbsent(kind, name -> places.size());
                        return new Question(column, kind, about, place);
                    })
                    .toArray(Question[]::new);
        }

        boolean canBeNull() {
            return about == About.CLOCK || about == About.FIRST;
        }
    }

    /** The row's type with these questions. */
    static DataType type(Question[] questions, DataTypeFactory factory) {
        StringBuilder type = new StringBuilder("ROW<duplicate BOOLEAN NOT NULL, clock_ms BIGINT NOT NULL, "
                + "events BIGINT NOT NULL, out_of_order_events BIGINT NOT NULL, late_events BIGINT NOT NULL, "
                + "league STRING, season STRING, phase STRING, patch STRING, blue_team STRING, red_team STRING, "
                + "map_number INT");
        for (String side : new String[] {"blue", "red"}) {
            type.append(", gold_").append(side).append(" BIGINT");
            for (String minutes : MINUTES) {
                type.append(", gold_").append(side).append('_').append(minutes).append(" BIGINT");
            }
        }
        type.append(", gold_clock_ms BIGINT, player_windows ARRAY<").append(PlayerWindows.TYPE).append('>');
        for (Question question : questions) {
            type.append(", ").append(question.column).append(question.canBeNull() ? " BIGINT" : " BIGINT NOT NULL");
        }
        return factory.createDataType(type.append('>').toString()).bridgedTo(RowData.class);
    }

    @Override
    public int getArity() {
        return ASKED + questions.length;
    }

    @Override
    public boolean isNullAt(int pos) {
        if (pos >= ASKED) {
            return questions[pos - ASKED].canBeNull() && answer(questions[pos - ASKED]) == Tally.NEVER;
        }
        if (pos >= ABOUT && pos < MAP_NUMBER) {
            return state.about[pos - ABOUT] == null;
        }
        return switch (pos) {
            case MAP_NUMBER -> state.mapNumber == 0;
            case GOLD_CLOCK -> state.gold.size == 0;
            case WINDOWS -> state.duplicate;
            default -> pos >= GOLD_BLUE && goldIndex((pos - GOLD_BLUE) % 4) < 0;
        };
    }

    @Override
    public boolean getBoolean(int pos) {
        return state.duplicate;
    }

    @Override
    public int getInt(int pos) {
        return state.mapNumber;
    }

    @Override
    public StringData getString(int pos) {
        return state.about[pos - ABOUT];
    }

    @Override
    public ArrayData getArray(int pos) {
        return new GenericArrayData(state.told);
    }

    @Override
    public long getLong(int pos) {
        if (pos >= ASKED) {
            return answer(questions[pos - ASKED]);
        }
        return switch (pos) {
            case CLOCK -> state.clock;
            case EVENTS -> state.events;
            case OUT_OF_ORDER -> state.outOfOrder;
            case LATE -> state.late;
            case GOLD_CLOCK -> state.gold.clocks[state.gold.size - 1];
            default -> pos < GOLD_RED ? gold(state.gold.blue, pos - GOLD_BLUE) : gold(state.gold.red, pos - GOLD_RED);
        };
    }

    private int answer(Question question) {
        int place = question.place;
        boolean counted = place < state.tally.totals.length;
        return switch (question.about) {
            case TOTAL -> counted ? state.tally.totals[place] : 0;
            case LAST_1M -> lately[3 * place];
            case LAST_3M -> lately[3 * place + 1];
            case LAST_5M -> lately[3 * place + 2];
            case CLOCK -> counted ? state.tally.lastClocks[place] : Tally.NEVER;
            case FIRST -> counted ? state.tally.firsts[place] : Tally.NEVER;
        };
    }

    /** Gold of the newest snapshot, or by how much it differs from what it was some minutes ago. */
    private long gold(int[] values, int what) {
        int newest = values[state.gold.size - 1];
        return what == 0 ? newest : newest - values[goldIndex(what)];
    }

    /** Place of the snapshot that holds for now (0) or for 1, 3, 5 minutes ago (1, 2, 3); negative for none. */
    private int goldIndex(int what) {
        int ago = what == 0 ? 0 : (2 * what - 1) * MINUTE_MS;
        return state.gold.upTo(state.clock - ago) - 1;
    }
}
