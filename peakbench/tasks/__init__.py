"""Tasks as data: what is asked, how an answer is read, and first drafts from a schema or from references."""

from peakbench.tasks.drafting import task_from_references, task_from_schema
from peakbench.tasks.task import (
    ComparatorSpec,
    FieldCost,
    Prompt,
    Task,
    TaskField,
    load_task_file,
    parse_task,
    task_file,
    task_schema,
    unique_keys,
)
from peakbench.tasks.verbalisation import Verbaliser

__all__ = [
    "ComparatorSpec",
    "FieldCost",
    "Prompt",
    "Task",
    "TaskField",
    "Verbaliser",
    "load_task_file",
    "parse_task",
    "task_file",
    "task_from_references",
    "task_from_schema",
    "task_schema",
    "unique_keys",
]
