"""A run in, its scores and its summary out: floors, columns, intervals, entries."""
