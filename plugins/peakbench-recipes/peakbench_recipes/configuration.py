"""What a recipe says: stages, data, evaluation; read from YAML, checked, written back in full."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

import yaml
from peakbench.errors import ConfigError, nearest
from pydantic import BaseModel, ConfigDict, Field, SerializeAsAny, ValidationError, field_validator, model_validator

from peakbench_recipes.stages import stage_kind, stage_names

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]*$", max_length=60)]
M = TypeVar("M", bound=BaseModel)
Level = Literal["mixed", "easy", "medium", "hard"]

START = "start"
"""The model before the first stage: its folder in a run, and what a stage can come after."""


METRICS = ("weighted_score", "structured_match", "valued_f1", "quality_lexical", "json_parse_rate")
"""Metrics of an evaluation that need no model of their own: it is made after every stage."""


class Settings(BaseModel):
    """A part of a recipe: unknown keys are refused, nothing changes once it is read."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)


class CurriculumConfig(Settings):
    """From easy to hard: in which order the training samples are shown.

    ``by``: ``level`` (of the synthetic garments) or ``scores`` (of an earlier run: the best answered first).
    ``run``: the run directory that ``scores`` reads, ``metric`` of it. ``parts``: in how many steps the harder samples
    join; ``mix``: the share of each later part that is drawn from the parts before.
    """

    by: Literal["level", "scores"] = "level"
    run: str | None = None
    metric: str = "weighted_score"
    parts: int = Field(3, ge=2, le=100)
    mix: float = Field(0.2, ge=0, le=1)

    @model_validator(mode="after")
    def _has_its_run(self) -> CurriculumConfig:
        if (self.by == "scores") != (self.run is not None):
            raise ValueError("'run' names the run whose scores set the order: needed by 'by: scores', and by it alone")
        return self


class DistilConfig(Settings):
    """A teacher's answers as targets, instead of the references.

    ``teacher``: a run directory, or a JSONL file of answers (``id``, ``response``). Kept are answers that parse, with
    at least ``min_agreement`` of the fields as the reference has them (0: whatever they say; references may be
    missing), and with at most ``max_null`` of the fields null.
    """

    teacher: str
    parsed_only: bool = True
    min_agreement: float = Field(0.0, ge=0, le=1)
    max_null: float = Field(1.0, ge=0, le=1)


class DataConfig(Settings):
    """What a stage trains on.

    ``data``: ``synthetic:garments``, or any data set that PeakBench reads; ``n``, ``seed``, ``split`` and ``level`` are
    of the synthetic garments, and ``n`` of any other means its first ``n`` samples (None: all of it).
    """

    data: str = "synthetic:garments"
    n: int | None = Field(None, ge=1)
    seed: int = Field(7, ge=0)
    split: Name = "train"
    level: Level = "mixed"
    curriculum: CurriculumConfig | None = None
    distil: DistilConfig | None = None

    @property
    def spec(self) -> str:
        """The data set as PeakBench opens it.

        >>> DataConfig(n=500).spec
        'synthetic:garments?n=500&seed=7&split=train&level=mixed'
        >>> DataConfig(data="train.jsonl").spec
        'train.jsonl'
        """
        if self.data != "synthetic:garments":
            return self.data
        n = "" if self.n is None else f"n={self.n}&"
        return f"{self.data}?{n}seed={self.seed}&split={self.split}&level={self.level}"


class StageConfig(Settings):
    """What every stage says; a kind's own configuration adds to it.

    ``name``: its folder, unlike any other of the recipe; by default the kind. ``after``: the stage whose checkpoint it
    starts from, by default the one before; ``start`` is the recipe's own start. ``evaluate``: measure the checkpoint.
    """

    kind: str
    name: Name = ""
    after: str | None = None
    evaluate: bool = True
    data: DataConfig = DataConfig()

    @model_validator(mode="before")
    @classmethod
    def _named(cls, given: Any) -> Any:
        return {**given, "name": given.get("name") or given.get("kind", "")} if isinstance(given, Mapping) else given


class EvaluationConfig(Settings):
    """How each checkpoint is measured: a PeakBench run over the held-out split.

    ``data``: as ``peakbench run`` takes it; ``limit``: its first samples only. ``metrics``: ids, or ``default`` or
    ``all`` of PeakBench's; ``reward`` and ``all_correct`` come with them wherever this package is installed.
    ``before``: measure the model before the first stage too, where there is one.
    """

    data: str = "synthetic:garments?n=200&seed=7&split=validation"
    limit: int | None = Field(None, ge=1)
    metrics: Literal["default", "all"] | tuple[str, ...] = METRICS
    temperature: float = Field(0.0, ge=0)
    max_tokens: int = Field(512, ge=1)
    workers: int = Field(16, ge=1)
    resamples: int = Field(2000, ge=1)
    before: bool = True
    allow_outside: bool = False


class RecipeConfig(Settings):
    """A recipe. ``start``: a checkpoint folder that the first stage starts from. ``task``: as PeakBench names it."""

    name: Name
    title: str = ""
    seed: int = Field(0, ge=0)
    task: str = "garment"
    start: str | None = None
    evaluation: EvaluationConfig = EvaluationConfig()
    stages: tuple[SerializeAsAny[StageConfig], ...] = Field(min_length=1)

    @field_validator("stages", mode="before")
    @classmethod
    def _of_their_kinds(cls, given: Any) -> Any:
        if not isinstance(given, Sequence) or isinstance(given, str):
            raise ValueError("a list of stages is expected")
        return tuple(
            stage if isinstance(stage, StageConfig) else _stage(stage, f"stages[{place}]")
            for place, stage in enumerate(given)
        )

    @model_validator(mode="after")
    def _stages_fit(self) -> RecipeConfig:
        known: list[str] = []
        if any(stage.name == START for stage in self.stages):
            raise ValueError("no stage can be named 'start': it is the folder of the model before the first")
        if self.start is not None:
            known.append(START)
        for stage in self.stages:
            if stage.name in known:
                raise ValueError(f"two stages are named '{stage.name}': give one a 'name' of its own")
            if stage.after is not None and stage.after not in known:
                raise ValueError(f"stage '{stage.name}' comes after '{stage.after}', which is no stage before it")
            known.append(stage.name)
        return self


def recipes() -> dict[str, Path]:
    """The recipes that ship: name -> file."""
    folder = Path(str(resources.files("peakbench_recipes") / "recipes"))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def load_recipe(recipe: str | Path, settings: Sequence[str] = (), *, seed: int | None = None) -> RecipeConfig:
    """Read a recipe: a name that ships, or a YAML file.

    Args:
        recipe: see ``recipes()``.
        settings: ``key=value`` that replace what it says: ``stages.sft.steps=10`` (a stage by name or place),
            ``evaluation.limit=50``.
        seed: replaces the recipe's.

    Raises:
        ConfigError: what is wrong, where, and the nearest name.
    """
    path = find_recipe(recipe)
    given = read_yaml(path)
    given.setdefault("name", path.stem)
    for setting in settings:
        _set(given, setting)
    if seed is not None:
        given["seed"] = seed
    return parse_recipe(given, where=str(recipe))


def parse_recipe(given: Mapping[str, Any], *, where: str) -> RecipeConfig:
    """Check what a recipe says.

    >>> parse_recipe({"name": "x", "stages": [], "sed": 1}, where="x.yaml")
    Traceback (most recent call last):
    ...
    peakbench.errors.ConfigError: x.yaml: sed: unknown key
      did you mean 'seed'?
    """
    return _checked(RecipeConfig, given, where)


def find_recipe(recipe: str | Path) -> Path:
    """The file of a recipe.

    Raises:
        ConfigError: there is none.
    """
    shipped = recipes()
    if str(recipe) in shipped:
        return shipped[str(recipe)]
    path = Path(recipe)
    if path.is_file():
        return path
    raise ConfigError(f"no recipe '{recipe}'", expected="a file, or a name", hint=nearest(str(recipe), shipped))


def command_of(path: Path) -> str:
    """The comment on top of a recipe: its command and what it does, the ``#`` taken off."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        lines.append(line[1:].strip())
    return "\n".join(lines)


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file that holds one mapping; a key given twice is refused.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        found = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506 - a SafeLoader, see below
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"cannot be read: {' '.join(str(error).split())}", where=str(path)) from error
    if not isinstance(found, dict):
        raise ConfigError("not a recipe", where=str(path), expected="a mapping with 'stages'")
    return found


def write_yaml(recipe: RecipeConfig) -> str:
    """The recipe with every default filled in; ``parse_recipe`` reads it back to the same."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=110)


class _Loader(yaml.SafeLoader):
    """A SafeLoader that refuses a key given twice and reads 1e-4 as the number that it is."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+0123456789.")
)


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    keys = [loader.construct_object(key) for key, _ in node.value]
    for place, key in enumerate(keys):
        if key in keys[:place]:
            raise yaml.constructor.ConstructorError(None, None, f"the key '{key}' twice", node.start_mark)
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def _stage(given: Any, where: str) -> StageConfig:
    if not isinstance(given, Mapping) or not isinstance(given.get("kind"), str):
        raise ConfigError("a stage without a kind", where=where, expected="kind: " + ", ".join(stage_names()))
    try:
        kind = stage_kind(given["kind"])
    except ConfigError as error:
        raise ConfigError(error.what, where=f"{where}: kind", hint=error.hint) from error
    return _checked(kind.config, given, f"{where} ({given.get('name') or given['kind']})")


def _checked(model: type[M], given: Mapping[str, Any], where: str) -> M:
    try:
        return model.model_validate(given)
    except ConfigError as error:  # of a stage: it knows its own place
        inner = f"{where}: {error.where}" if error.where else where
        raise ConfigError(error.what, where=inner, expected=error.expected, hint=error.hint) from error
    except ValidationError as error:
        # an unknown key is told first: it is often why another is missing
        first = min(error.errors(), key=lambda one: one["type"] != "extra_forbidden")
        place = ".".join(str(part) for part in first["loc"])
        at = f"{where}: {place}" if place else where
        if first["type"] == "extra_forbidden":
            hint = nearest(str(first["loc"][-1]), _fields(model, first["loc"][:-1]))
            raise ConfigError("unknown key", where=at, hint=hint) from error
        what = first["msg"].removeprefix("Value error, ")
        shown = "" if first["type"] in {"missing", "value_error"} else f" (found: {first['input']!r:.80})"
        raise ConfigError(f"{what[:1].lower()}{what[1:]}{shown}", where=at) from error


def _fields(model: type[BaseModel], loc: Sequence[int | str]) -> list[str]:
    """The keys known at a place inside a model."""
    for part in loc:
        field = model.model_fields.get(str(part))
        inner = [] if field is None else [field.annotation, *get_args(field.annotation)]
        found = [one for one in inner if isinstance(one, type) and issubclass(one, BaseModel)]
        if found:
            model = found[0]
    return list(model.model_fields)


def _set(given: dict[str, Any], setting: str) -> None:
    key, equals, text = setting.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"'{setting}' sets nothing", where="--set", expected="key=value, as evaluation.limit=50")
    try:
        value = yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        raise ConfigError(f"'{text}' is no value", where=f"--set {key}") from error
    at, last = _place(given, key.strip(), f"--set {key}")
    at[last] = value


def _place(at: Any, key: str, where: str) -> tuple[dict[str, Any], str]:
    """Find the mapping that a dotted key stands in; what is not there yet is made."""
    if isinstance(at, list):
        named = {str(place): item for place, item in enumerate(at)}
        named |= {str(item.get("name") or item.get("kind")): item for item in at if isinstance(item, dict)}
        # the longest first, as names have dots in them
        for name in sorted(named, key=len, reverse=True):
            if key.startswith(f"{name}."):
                return _place(named[name], key.removeprefix(f"{name}."), where)
        raise ConfigError(f"'{key}' is in none of the stages", where=where, expected=" or ".join(sorted(named)))
    if not isinstance(at, dict):
        raise ConfigError(f"'{key}' stands inside a value", where=where)
    part, dot, rest = key.partition(".")
    if not dot:
        return at, part
    if at.get(part) is None:
        at[part] = {}
    return _place(at[part], rest, where)
