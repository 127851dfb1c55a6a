package riftstream;

/** A writer's schema that does not resolve to the reader's columns. The message names the field. */
final class WrongSchema extends Exception {
    private static final long serialVersionUID = 1L;

    WrongSchema(String message) {
        super(message, null, false, false);
    }
}
