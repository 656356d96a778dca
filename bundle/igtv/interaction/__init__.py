"""Correcting a proposed mask by clicks: where they lie, what each changes, and an annotator who is simulated."""
