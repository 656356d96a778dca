"""Checks on the merged configuration of a bundle verb."""
