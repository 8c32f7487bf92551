"""Settings of a run, and where each value came from.

:class:`RunSettings` is the one table of settings: the options of ``peakbench run``, the keys of ``peakbench.toml``,
the ``PEAKBENCH_...`` variables and what ``peakbench config`` prints are all made from its fields. Layers, the later
one wins: default, ``[run]`` in peakbench.toml, ``[endpoints.NAME]`` in it, the environment, run.json of a run that is
resumed, the command line. An endpoint that the environment or the command line names is asked in place of run.json's.
"""

from peakbench.config.files import display_path, find_file
from peakbench.config.layers import Resolved, resolve, unknown_variables
from peakbench.config.settings import FIELDS, KINDS, RunSettings, Setting, kind_of, metric_choice, option_name
from peakbench.config.values import convert

__all__ = [
    "FIELDS",
    "KINDS",
    "Resolved",
    "RunSettings",
    "Setting",
    "convert",
    "display_path",
    "find_file",
    "kind_of",
    "metric_choice",
    "option_name",
    "resolve",
    "unknown_variables",
]
