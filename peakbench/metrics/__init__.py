"""Metrics: protocols in ``base``, one room a family. A metric never loads a model; it receives one."""
