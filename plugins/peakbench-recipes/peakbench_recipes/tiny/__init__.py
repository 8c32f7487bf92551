"""The small reader: a plain-torch engine that trains, on one CPU core, the reader that ships with PeakBench."""
