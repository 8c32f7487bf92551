"""peakbench.toml: where it is found, which keys it may have, and what must never stand in it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from peakbench.config.settings import PROFILE_KEYS, RUN_KEYS, SAMPLING_KEYS
from peakbench.errors import ConfigError, nearest

FILE_NAME = "peakbench.toml"
SECRET_HEADERS = frozenset({"authorization", "api-key", "x-api-key", "proxy-authorization", "cookie"})
VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
"""``${NAME}`` in a header's value: the environment variable that holds it."""


def find_file(start: Path, home: Path) -> Path | None:
    """Find peakbench.toml in ``start`` or above it, up to the git root or home and never beyond.

    Outside both, only ``start`` itself is searched: a file that a stranger left in ``/tmp`` is not picked up.
    """
    above: list[Path] = []
    for folder in (start, *start.parents):
        above.append(folder)
        if folder == home or (folder / ".git").exists():
            break
    else:
        above = [start]
    return next((folder / FILE_NAME for folder in above if (folder / FILE_NAME).is_file()), None)


def read_file(path: Path) -> dict[str, Any]:
    """Read peakbench.toml and check its keys; values are checked where they are laid over others.

    Raises:
        ConfigError: missing, not TOML, an unknown key (with the nearest), or a key that must not be in a file.
    """
    import tomllib

    where = display_path(path)
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError("no such file", where=where, hint="see: peakbench config --help") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot be read: {error}", where=where) from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"not TOML: {error}", where=where) from None
    _check_keys(content, ("run", "endpoints"), where, "")
    run = _table(content.get("run", {}), where, "run")
    _check_keys(run, (*RUN_KEYS, "sampling"), where, "run", elsewhere=SAMPLING_KEYS)
    _check_keys(_table(run.get("sampling", {}), where, "run.sampling"), SAMPLING_KEYS, where, "run.sampling")
    for name, profile in _table(content.get("endpoints", {}), where, "endpoints").items():
        _check_keys(_table(profile, where, f"endpoints.{name}"), PROFILE_KEYS, where, f"endpoints.{name}")
        if not isinstance(profile.get("url"), str):
            raise ConfigError(
                f"[endpoints.{name}] needs a url", where=where, expected='url = "http://127.0.0.1:8000/v1"'
            )
    return content


def _table(value: Any, where: str, section: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ConfigError(f"'{section}' is not a table", where=where, expected=f"[{section}]")
    return value


def _check_keys(
    table: Mapping[str, Any], known: tuple[str, ...], where: str, section: str, elsewhere: tuple[str, ...] = ()
) -> None:
    place = f"{where} [{section}]" if section else where
    for key, value in table.items():
        if key in known:
            if key == "headers" and isinstance(value, dict):
                _check_headers(value, place)
            continue
        if key in {"api_key", "key", "apikey", "token"}:
            raise ConfigError(
                f"'{key}' is refused: a key in a file ends in a repository",
                where=place,
                hint='put it in an environment variable, and its name here: api_key_env = "OPENAI_API_KEY"',
            )
        if key in elsewhere:
            raise ConfigError(f"'{key}' belongs in [run.sampling]", where=place)
        raise ConfigError(f"unknown key '{key}'", where=place, hint=nearest(key, known))


def _check_headers(headers: Mapping[str, Any], place: str) -> None:
    for name, value in headers.items():
        if name.lower() in SECRET_HEADERS and not (isinstance(value, str) and VARIABLE.search(value)):
            raise ConfigError(
                f"header '{name}' is refused: a key in a file ends in a repository",
                where=place,
                hint=f'name an environment variable instead: "{name}" = "${{MY_KEY}}"',
            )


def display_path(path: Path) -> str:
    """A path for people: relative to the current folder where it lies in it."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)
