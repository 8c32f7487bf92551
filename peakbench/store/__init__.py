"""The run directory: an append-only journal in, records out; the formats are versioned and their JSON Schemas ship."""

from peakbench.store.directory import RunDirectory, task_sha256
from peakbench.store.formats import dump_completion, load_completion
from peakbench.store.journal import Journal, JournalIndex
from peakbench.store.record import DataRecord, EndpointRecord, LineageRecord, RunRecord, Session, TaskRecord

__all__ = [
    "DataRecord",
    "EndpointRecord",
    "Journal",
    "JournalIndex",
    "LineageRecord",
    "RunDirectory",
    "RunRecord",
    "Session",
    "TaskRecord",
    "dump_completion",
    "load_completion",
    "task_sha256",
]
