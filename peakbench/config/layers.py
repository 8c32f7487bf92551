"""Layers of settings over each other, and which one each value came from."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peakbench.config.files import VARIABLE, display_path, find_file, read_file
from peakbench.config.settings import FIELDS, RunSettings, option_name
from peakbench.config.values import convert
from peakbench.errors import ConfigError, nearest

PREFIX = "PEAKBENCH_"
OTHER_VARIABLES = frozenset({"PEAKBENCH_CONFIG", "PEAKBENCH_DEBUG", "PEAKBENCH_DISABLE_PLUGINS"})


@dataclass(frozen=True, slots=True)
class Resolved:
    """Settings in force, where each came from, the file that was read, its profiles, and the one that was chosen."""

    settings: RunSettings
    origins: Mapping[str, str]
    file: Path | None
    profiles: tuple[str, ...]
    profile: str | None = None


def resolve(
    options: Mapping[str, Any] | None = None,
    *,
    file: Path | None = None,
    environment: Mapping[str, str] | None = None,
    start: Path | None = None,
    resume: bool = False,
) -> Resolved:
    """Lay the layers over each other.

    Args:
        options: what the command line gave; a value of None was not given.
        file: the file of ``--config``; None searches from ``start`` (the current folder) upwards.
        environment: ``os.environ`` unless given.
        resume: what the run in ``out`` recorded of itself holds, unless an option says otherwise. An endpoint that
            an option or the environment names is asked in place of the recorded one; where none is named, a profile
            with the recorded URL gives its key and headers, and no other profile does.

    Raises:
        ConfigError: an unknown key, a value of the wrong kind or out of range, a key that must not be in the file.

    >>> from pathlib import Path
    >>> resolve({"workers": 3}, environment={"PEAKBENCH_MODEL": "m"}, start=Path("/nowhere")).origins["model"]
    'PEAKBENCH_MODEL'
    """
    environment = os.environ if environment is None else environment
    if file is None and environment.get("PEAKBENCH_CONFIG"):
        file = Path(environment["PEAKBENCH_CONFIG"])
    path = file or find_file(start or Path.cwd(), Path.home())
    content = read_file(path) if path else {}
    profiles = content.get("endpoints", {})
    shown = display_path(path) if path else ""

    values: dict[str, Any] = {}
    origins = dict.fromkeys(FIELDS, "default")

    def lay(layer: Mapping[str, Any], origin: str | Callable[[str], str]) -> None:
        names = dict.fromkeys(layer, origin) if isinstance(origin, str) else {name: origin(name) for name in layer}
        values.update(layer)
        if "max_tokens" in layer and "max_completion_tokens" not in layer and values.get("max_completion_tokens"):
            # The longer name is the server's wish and stays; how many tokens is for the later layer to say.
            values["max_completion_tokens"] = layer["max_tokens"]
            names["max_completion_tokens"] = names["max_tokens"]
        origins.update(names)

    from_environment = {
        name: convert(environment[PREFIX + name.upper()], name, where=PREFIX + name.upper())
        for name in FIELDS
        if environment.get(PREFIX + name.upper())
    }
    from_options = {
        name: convert(value, name, where=option_name(name))
        for name, value in (options or {}).items()
        if value is not None and value != ()
    }
    run = content.get("run", {})
    lay(_layer(run, path, "run"), f"{shown} [run]")
    lay(_layer(run.get("sampling", {}), path, "run.sampling"), f"{shown} [run.sampling]")
    out = {**values, **from_environment, **from_options}.get("out")
    recorded = _recorded(Path(out)) if resume and out else {}
    named = from_options.get("endpoint", from_environment.get("endpoint"))
    chosen = named if named is not None else values.get("endpoint")
    if recorded and named is None:
        chosen = _profile_of(recorded["endpoint"], profiles, first=chosen)
    if recorded and (named is not None or chosen is not None):
        # Whoever was named is asked, and the key and headers of a profile go to its own URL or nowhere.
        del recorded["endpoint"]
    if chosen in profiles:
        profile = dict(profiles[chosen])
        profile["endpoint"] = profile.pop("url")
        lay(_layer(profile, path, f"endpoints.{chosen}"), f"{shown} [endpoints.{chosen}]")
        # The name was only the way to the profile; its URL is the value in force.
        for layer in (from_environment, from_options):
            layer.pop("endpoint", None)
    lay(from_environment, lambda name: PREFIX + name.upper())
    lay(recorded, str(Path(out or "") / "run.json"))
    lay(from_options, option_name)
    values["headers"] = _headers(values.get("headers", {}), environment, origins["headers"])
    return Resolved(RunSettings(**values), origins, path, tuple(profiles), chosen if chosen in profiles else None)


def unknown_variables(environment: Mapping[str, str]) -> Iterator[str]:
    """``PEAKBENCH_...`` variables that set nothing, each with the nearest that would."""
    known = {PREFIX + name.upper() for name in FIELDS} | OTHER_VARIABLES
    for name in sorted(environment):
        if name.startswith(PREFIX) and name not in known:
            yield f"{name} sets nothing; {nearest(name, known)}"


def _recorded(run: Path) -> dict[str, Any]:
    """What run.json says about itself, as settings; a file that cannot be read is for the store to refuse."""
    try:
        record = json.loads((run / "run.json").read_text(encoding="utf-8"))
        sampling = dict(record["sampling"])
        limit = sampling.pop("token_limit")
        longest = sampling.pop("max_tokens")
        lineage = record.get("lineage") or {}
        stages, base = lineage.get("training"), lineage.get("base_run")
        return {
            **sampling,
            "max_tokens": longest,
            "max_completion_tokens": longest if limit == "max_completion_tokens" else None,
            "stop": tuple(sampling["stop"]),
            "data": record["data"]["source"],
            "limit": record["data"]["limit"],
            "task": str(run / "task.json"),
            "endpoint": record["endpoint"]["provider"] or record["endpoint"]["url"],
            "transport": record["endpoint"]["transport"],
            "model": record["model"],
            **{name: lineage.get(name) for name in ("family", "parameters", "quantization")},
            "training": None if stages is None else "+".join(stages) or "none",
            "model_version": lineage.get("version"),
            "base_run": None if base is None else str(run / base),
            "repeats": record["repeats"],
            "repair": record["repair"],
            "workers": record["workers"],
        }
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {}


def _profile_of(url: str, profiles: Mapping[str, Any], *, first: str | None) -> str | None:
    """Find the profile whose server a run asked, ``first`` before others; None where it asked none of them.

    Raises:
        ConfigError: several have its URL, and keys of their own.
    """
    from peakbench.client.address import display_url
    from peakbench.client.base import Endpoint

    found = []
    for name, profile in profiles.items():
        try:
            # run.json holds a URL without its secrets
            if display_url(Endpoint(profile["url"], "")) == url:
                found.append(name)
        except ConfigError:
            continue  # a URL that cannot be used is refused where it is chosen
    if len(found) > 1 and first not in found:
        raise ConfigError(
            f"the run asked {url}, and several endpoints have this URL: {', '.join(found)}",
            hint=f"name one: --endpoint {found[0]}",
        )
    return first if first in found else found[0] if found else None


def _layer(table: Mapping[str, Any], path: Path | None, section: str) -> dict[str, Any]:
    layer = {}
    for key, value in table.items():
        if key == "sampling":
            continue
        layer[key] = convert(value, key, where=f"{display_path(path)} [{section}] {key}" if path else key)
        if path and FIELDS[key].is_path and isinstance(value, str) and (path.parent / value).exists():
            layer[key] = display_path(path.parent / value)
    return layer


def _headers(headers: Mapping[str, str], environment: Mapping[str, str], origin: str) -> dict[str, str]:
    def put(match: re.Match[str]) -> str:
        if match[1] not in environment:
            raise ConfigError(f"a header needs the environment variable {match[1]}, which is not set", where=origin)
        return environment[match[1]]

    return {name: VARIABLE.sub(put, value) for name, value in headers.items()}
