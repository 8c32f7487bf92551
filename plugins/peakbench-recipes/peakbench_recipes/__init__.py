"""Training recipes for models that look at an image and answer with JSON, measured by PeakBench before and after.

``peakbench recipe list | show | run | export | compare`` on the command line; from Python::

    from peakbench_recipes import load_recipe, run_recipe

    run_recipe(load_recipe("reader"), "runs/reader")
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from peakbench_recipes.comparison import compare_folders
    from peakbench_recipes.configuration import DataConfig, RecipeConfig, StageConfig, load_recipe, recipes
    from peakbench_recipes.evaluation import evaluate
    from peakbench_recipes.export import export
    from peakbench_recipes.folder import RunFolder
    from peakbench_recipes.running import run_recipe
    from peakbench_recipes.stages import STAGES, Needs, StageContext, StageKind, stage_kind

__version__ = "0.1.0"

_ROOM_OF = {
    "DataConfig": "configuration",
    "Needs": "stages",
    "RecipeConfig": "configuration",
    "RunFolder": "folder",
    "STAGES": "stages",
    "StageConfig": "configuration",
    "StageContext": "stages",
    "StageKind": "stages",
    "compare_folders": "comparison",
    "evaluate": "evaluation",
    "export": "export",
    "load_recipe": "configuration",
    "recipes": "configuration",
    "run_recipe": "running",
    "stage_kind": "stages",
}

__all__ = [
    "STAGES",
    "DataConfig",
    "Needs",
    "RecipeConfig",
    "RunFolder",
    "StageConfig",
    "StageContext",
    "StageKind",
    "compare_folders",
    "evaluate",
    "export",
    "load_recipe",
    "recipes",
    "run_recipe",
    "stage_kind",
]


def __getattr__(name: str) -> Any:
    if name not in _ROOM_OF:
        raise AttributeError(f"module 'peakbench_recipes' has no attribute '{name}'")
    value = getattr(import_module(f"peakbench_recipes.{_ROOM_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
