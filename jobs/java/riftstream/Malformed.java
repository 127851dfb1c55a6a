package riftstream;

/** Bytes that are not what their schema says. The message says what was found, for people. */
final class Malformed extends Exception {
    private static final long serialVersionUID = 1L;

    Malformed(String message) {
        super(message, null, false, false);
    }
}
