"""Runs for other programs: tables in files, and spans for OpenTelemetry."""
