"""Text of others, such as a PatientID, that a configuration would take for its own language."""

MARKS = ("$", "@", "%")


def reads_as_configuration(text: str) -> bool:
    """Whether MONAI's config parser would evaluate a text (`$`) or put something else in its place (`@`, `%`)."""
    return text.startswith(MARKS)
