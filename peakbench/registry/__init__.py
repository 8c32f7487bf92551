"""The registry: definition files and plugins in; metrics, comparators, tasks, readers and endpoints out.

``peakbench_metrics.json`` says which metrics there are and with which parameters; kinds, from built-ins and plugins,
say how they are computed.
"""

from peakbench.registry.assembly import load_registry
from peakbench.registry.catalogue import BuiltMetrics, Registry
from peakbench.registry.definitions import DefinitionFile, MetricDefinition, definitions_schema

__all__ = ["BuiltMetrics", "DefinitionFile", "MetricDefinition", "Registry", "definitions_schema", "load_registry"]
