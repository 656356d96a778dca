"""Proposals of the models and their correction by clicks, on the grid of the series the viewer asked for."""
