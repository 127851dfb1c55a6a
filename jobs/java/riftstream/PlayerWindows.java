package riftstream;

import java.io.IOException;
import java.util.Arrays;
import org.apache.flink.core.memory.DataInputView;
import org.apache.flink.core.memory.DataOutputView;
import org.apache.flink.table.data.StringData;

/**
 * Five-second tumbling windows of event time of one player in one match, each as it stands with the row that came
 * last, and with what the player has in the match so far. Nothing waits for a watermark, and no row comes too late
 * for its window: those of the last ten minutes are kept, and a row for an older one is a window of its own, marked
 * late.
 */
final class PlayerWindows {
    static final String TYPE = "ROW<player_id STRING, window_start BIGINT NOT NULL, late BOOLEAN NOT NULL,"
            + " team STRING, `role` STRING, champion STRING,"
            + " events BIGINT NOT NULL, kills BIGINT NOT NULL, deaths BIGINT NOT NULL, assists BIGINT NOT NULL,"
            + " items BIGINT NOT NULL, wards_placed BIGINT NOT NULL, wards_killed BIGINT NOT NULL,"
            + " gold INT, creep_score INT, level INT, game_time_ms BIGINT NOT NULL, event_time BIGINT NOT NULL,"
            + " match_kills BIGINT NOT NULL, match_deaths BIGINT NOT NULL, match_assists BIGINT NOT NULL>";

    static final int EVENTS = 0;
    static final int KILLS = 1;
    static final int DEATHS = 2;
    static final int ASSISTS = 3;
    static final int ITEMS = 4;
    static final int WARDS_PLACED = 5;
    static final int WARDS_KILLED = 6;
    private static final int COUNTS = 7;
    private static final int GOLD = 7;
    private static final int CREEP_SCORE = 8;
    private static final int LEVEL = 9;
    private static final int CLOCK = 10;
    private static final int SINCE_START = 11;
    private static final int FIELDS = 12;
    private static final int TOTALS = 3;

    private static final long LENGTH_MS = 5_000;
    private static final long KEPT_MS = 600_000;
    private static final int UNKNOWN = Integer.MIN_VALUE;

    private StringData player;
    private StringData team;
    private StringData role;
    private StringData champion;
    private int size;
    private long[] starts = {};
    private int[] fields = {};

    /** Kills, deaths and assists in the match so far. */
    private int[] totals = new int[TOTALS];

    PlayerWindows(StringData player) {
        this.player = player;
    }

    /** What is newly known of the player; null changes nothing. */
    void about(StringData side, StringData position, StringData character, Texts texts) {
        team = texts.newest(team, side);
        role = texts.newest(role, position);
        champion = texts.newest(champion, character);
    }

    /**
     * Add an event to its window.
     *
     * @param eventTime when it happened, ms since the Unix epoch
     * @param clock match clock in ms
     * @param count the field that it adds one to besides the events, or {@link #EVENTS} for none
     * @param gold gold, with creepScore and level as they stand with the event; null where it does not say
     * @return the window as it stands now
     */
    Told add(long eventTime, int clock, int count, Integer gold, Integer creepScore, Integer level) {
        long start = Math.floorDiv(eventTime, LENGTH_MS) * LENGTH_MS;
        boolean late = size > 0 && start < starts[size - 1] - KEPT_MS;
        int[] into = late ? new int[FIELDS] : fields;
        int at = 0;
        if (late) {
            clear(into, 0);
        } else {
            at = place(start) * FIELDS;
            into = fields;
        }
        into[at]++;
        if (count != EVENTS) {
            into[at + count]++;
        }
        if (count >= KILLS && count <= ASSISTS) {
            totals[count - KILLS]++;
        }
        raise(into, at + GOLD, gold);
        raise(into, at + CREEP_SCORE, creepScore);
        raise(into, at + LEVEL, level);
        into[at + CLOCK] = Math.max(into[at + CLOCK], clock);
        into[at + SINCE_START] = Math.max(into[at + SINCE_START], (int) (eventTime - start));
        int[] fieldsTold = Arrays.copyOfRange(into, at, at + FIELDS + TOTALS);
        System.arraycopy(totals, 0, fieldsTold, FIELDS, TOTALS);
        Told told = new Told(this, start, late, fieldsTold);
        forget();
        return told;
    }

    private static void raise(int[] fields, int at, Integer value) {
        if (value != null) {
            fields[at] = Math.max(fields[at], value);
        }
    }

    private static void clear(int[] fields, int at) {
        Arrays.fill(fields, at, at + COUNTS, 0);
        Arrays.fill(fields, at + COUNTS, at + FIELDS, UNKNOWN);
    }

    /** Position of a window, made where it is new. */
    private int place(long wanted) {
        int place = size;
        while (place > 0 && starts[place - 1] >= wanted) {
            place--;
        }
        if (place == size || starts[place] != wanted) {
            if (size == starts.length) {
                int capacity = Math.max(2, size + size / 2);
                starts = Arrays.copyOf(starts, capacity);
                fields = Arrays.copyOf(fields, capacity * FIELDS);
            }
            System.arraycopy(starts, place, starts, place + 1, size - place);
            System.arraycopy(fields, place * FIELDS, fields, (place + 1) * FIELDS, (size - place) * FIELDS);
            starts[place] = wanted;
            clear(fields, place * FIELDS);
            size++;
        }
        return place;
    }

    private void forget() {
        int count = 0;
        while (starts[count] < starts[size - 1] - KEPT_MS) {
            count++;
        }
        if (count > 0) {
            size -= count;
            System.arraycopy(starts, count, starts, 0, size);
            System.arraycopy(fields, count * FIELDS, fields, 0, size * FIELDS);
        }
    }

    PlayerWindows copy() {
        PlayerWindows other = new PlayerWindows(player);
        other.team = team;
        other.role = role;
        other.champion = champion;
        other.size = size;
        other.starts = Arrays.copyOf(starts, size);
        other.fields = Arrays.copyOf(fields, size * FIELDS);
        other.totals = totals.clone();
        return other;
    }

    void write(DataOutputView out) throws IOException {
        Texts.write(player, out);
        Texts.write(team, out);
        Texts.write(role, out);
        Texts.write(champion, out);
        Ints.write(fields, size * FIELDS, out);
        for (int i = 0; i < size; i++) {
            out.writeLong(starts[i]);
        }
        Ints.write(totals, TOTALS, out);
    }

    static PlayerWindows read(DataInputView in) throws IOException {
        PlayerWindows windows = new PlayerWindows(Texts.read(in));
        windows.team = Texts.read(in);
        windows.role = Texts.read(in);
        windows.champion = Texts.read(in);
        windows.fields = Ints.read(in);
        windows.size = windows.fields.length / FIELDS;
        windows.starts = new long[windows.size];
        for (int i = 0; i < windows.size; i++) {
            windows.starts[i] = in.readLong();
        }
        windows.totals = Ints.read(in);
        return windows;
    }

    StringData player() {
        return player;
    }

    /** A window as it stood with one event; a row of {@link #TYPE}. */
    static final class Told extends ViewRow {
        private static final int FIRST = 6;

        private final StringData[] texts;
        private final long start;
        private final boolean late;
        private final int[] fields;

        private Told(PlayerWindows of, long start, boolean late, int[] fields) {
            this.texts = new StringData[] {of.player, of.team, of.role, of.champion};
            this.start = start;
            this.late = late;
            this.fields = fields;
        }

        @Override
        public int getArity() {
            return FIRST + FIELDS + TOTALS;
        }

        @Override
        public boolean isNullAt(int pos) {
            if (pos >= FIRST) {
                return fields[pos - FIRST] == UNKNOWN;
            }
            return pos != 1 && pos != 2 && getString(pos) == null;
        }

        @Override
        public StringData getString(int pos) {
            return texts[pos == 0 ? 0 : pos - 2];
        }

        @Override
        public boolean getBoolean(int pos) {
            return late;
        }

        @Override
        public int getInt(int pos) {
            return fields[pos - FIRST];
        }

        @Override
        public long getLong(int pos) {
            if (pos == 1) {
                return start;
            }
            int field = pos - FIRST;
            return field == SINCE_START ? start + fields[field] : fields[field];
        }
    }
}
