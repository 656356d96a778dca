"""What can be wrong with a label."""


class LabelRefused(ValueError):
    """A label that cannot be accepted; the text says what is wrong with it and what to do, for the annotator."""
