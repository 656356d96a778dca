"""Which case an annotator gets next, and the scores behind the choice."""
