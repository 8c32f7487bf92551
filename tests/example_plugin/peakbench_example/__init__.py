"""An example of a PeakBench plugin: a metric, a comparator, a task and a command."""
