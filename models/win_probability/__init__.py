"""``win_probability``: the probability that blue wins a match, from its state after any event."""
