"""The exception tree.

::

    PeakBenchError                    exit code 1
    ├── InputError                    2   something the user can mend
    │   ├── ConfigError                   peakbench.toml, an option, an environment variable
    │   ├── DataError                     a data set: every problem found, with file and line
    │   ├── ImageError                    one image that cannot be used
    │   ├── TaskError                     a task file
    │   ├── RegistryError                 a metric definition file
    │   ├── PluginError                   a plugin that cannot be used
    │   ├── StoreError                    a run directory: exists, locked, unfinished, not the same run
    │   ├── NotComparable             6   two runs that cannot be held against each other
    │   └── MissingDependency             an extra that is not installed, with the install command
    ├── EndpointError                     the endpoint ended the run
    │   ├── EndpointRefused           2   401, 403, 404: the key, the model or the URL is wrong
    │   └── EndpointGone              3   the server stopped answering (circuit breaker)
    └── HubError                      3   the Hub did not do what was asked; asking again is safe
        └── HubRefused                2   401, 403, 404: the token or the repository is wrong
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass


class PeakBenchError(Exception):
    """Root of every error that PeakBench raises on purpose; ``exit_code`` is what the command line returns."""

    exit_code = 1


class InputError(PeakBenchError):
    """Something the user can mend: what is wrong, where, what was expected, and the next step.

    >>> print(InputError("unknown field 'colour'", where="task.json: fields", hint="did you mean 'color'?"))
    task.json: fields: unknown field 'colour'
      did you mean 'color'?
    """

    exit_code = 2

    def __init__(
        self, what: str, *, where: str | None = None, expected: str | None = None, hint: str | None = None
    ) -> None:
        self.what = what
        self.where = where
        self.expected = expected
        self.hint = hint
        super().__init__(what)

    def __str__(self) -> str:
        lines = [f"{self.where}: {self.what}" if self.where else self.what]
        if self.expected:
            lines.append(f"  expected: {self.expected}")
        if self.hint:
            lines.append(f"  {self.hint}")
        return "\n".join(lines)


class ConfigError(InputError):
    """A setting from peakbench.toml, an option or an environment variable cannot be used."""


@dataclass(frozen=True, slots=True)
class DataProblem:
    """One thing wrong with a data set, at one place (``where`` is ``file:line`` or ``file: sample id``)."""

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


class DataError(InputError):
    """A data set that cannot be used. ``problems`` holds every problem found, not the first.

    >>> print(DataError("2 problems in eval.jsonl", problems=[DataProblem("eval.jsonl:3", "not JSON")]))
    2 problems in eval.jsonl
      eval.jsonl:3: not JSON
    """

    SHOWN = 20

    def __init__(
        self,
        what: str,
        *,
        problems: Iterable[DataProblem] = (),
        where: str | None = None,
        expected: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(what, where=where, expected=expected, hint=hint)
        self.problems = tuple(problems)

    def __str__(self) -> str:
        head, *rest = super().__str__().split("\n")
        lines = [head, *(f"  {problem}" for problem in self.problems[: self.SHOWN])]
        if len(self.problems) > self.SHOWN:
            lines.append(f"  ... and {len(self.problems) - self.SHOWN} more")
        return "\n".join(lines + rest)


class ImageError(InputError):
    """One image cannot be used: missing, outside its folder, too large, cut off, of an unknown kind."""


class TaskError(InputError):
    """A task that cannot be used."""


class RegistryError(InputError):
    """A metric definition that cannot be used."""


class PluginError(InputError):
    """A plugin that cannot be used; the run goes on without it unless it was asked for by name."""


class StoreError(InputError):
    """A run directory that cannot be used as asked."""


class NotComparable(InputError):  # noqa: N818 - said of two runs, as in the tree above
    """Two runs, or a run and a baseline, that cannot be held against each other, and why."""

    exit_code = 6


class MissingDependency(InputError):  # noqa: N818
    """An optional dependency is not installed; the message is the command that mends it."""

    def __init__(self, purpose: str, *, package: str, extra: str) -> None:
        super().__init__(
            f"{purpose} needs the package '{package}'", hint=f"install it: pip install 'peakbench[{extra}]'"
        )
        self.package = package
        self.extra = extra


class EndpointError(PeakBenchError):
    """The endpoint ended the run. What was answered before is on disk."""

    def __init__(self, what: str, *, hint: str | None = None) -> None:
        self.what = what
        self.hint = hint
        super().__init__(what)

    def __str__(self) -> str:
        return f"{self.what}\n  {self.hint}" if self.hint else self.what


class EndpointRefused(EndpointError):  # noqa: N818 - said of an endpoint, as in the tree above
    """The endpoint said 401, 403 or 404: the key, the model name or the URL is wrong."""

    exit_code = 2


class EndpointGone(EndpointError):  # noqa: N818
    """The endpoint stopped answering and the circuit breaker opened; ``--resume`` asks what is left."""

    exit_code = 3


class HubError(PeakBenchError):
    """The Hub did not do what was asked: no answer, 5xx, a card that others write to without pause, other numbers."""

    exit_code = 3

    def __init__(self, what: str, *, where: str | None = None, hint: str | None = None) -> None:
        self.what = what
        self.where = where
        self.hint = hint
        super().__init__(what)

    def __str__(self) -> str:
        first = f"{self.where}: {self.what}" if self.where else self.what
        return f"{first}\n  {self.hint}" if self.hint else first


class HubRefused(HubError):  # noqa: N818 - said of the Hub, as in the tree above
    """The Hub said no: the token, what it may do, or the repository is wrong."""

    exit_code = 2


def nearest(name: str, names: Iterable[str]) -> str:
    """Say which known name comes nearest, as a hint; list the known names where none is near.

    >>> nearest("ruge_l", ["rouge_l", "bleu"])
    "did you mean 'rouge_l'?"
    >>> nearest("x", ["b", "a"])
    'known: a, b'
    """
    known = sorted(names)
    match = difflib.get_close_matches(name, known, n=1)
    if match:
        return f"did you mean '{match[0]}'?"
    return "known: " + ", ".join(known) if known else "none is known"
