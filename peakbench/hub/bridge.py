"""The bridge: finished runs in a folder, and the repository whose card each belongs to."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from peakbench.errors import HubError, HubRefused, InputError, PeakBenchError, StoreError
from peakbench.hub.modelcard import CardOptions, ModelCard
from peakbench.hub.pushing import Plan, Push, check_repo, make_plan, push
from peakbench.hub.remote import Hub
from peakbench.store import RunDirectory

State = Literal["pushed", "planned", "unchanged", "skipped", "failed"]


@dataclass(frozen=True, slots=True)
class Synced:
    """What came of one run. ``why``: of a run that was skipped or failed; ``plan`` and ``push`` as far as it came."""

    run: Path
    repo: str | None
    state: State
    why: str = ""
    plan: Plan | None = None
    push: Push | None = None
    error: PeakBenchError | None = None

    def as_dict(self) -> dict[str, Any]:
        """The same for a program."""
        return {
            "run": str(self.run),
            "repo": self.repo,
            "state": self.state,
            "why": self.why or None,
            "commit": self.push.commit if self.push else None,
            "url": self.push.url if self.push else None,
            "notes": list(self.plan.notes) if self.plan else [],
        }


@dataclass(frozen=True, slots=True)
class Addresses:
    """Which repository a model's card is in.

    Attributes:
        repos: model, as its runs name it -> repository; these come first.
        organisation: where the other models are, ``organisation/name``. A model whose name is a repository of somebody
            else is then left alone: nobody asked to write there.
    """

    repos: Mapping[str, str]
    organisation: str | None = None

    def of(self, model: str) -> str | None:
        """Return the repository of a model, None where nobody said which.

        >>> Addresses({"a": "org/b"}).of("a"), Addresses({}).of("org/c"), Addresses({}).of("c")
        ('org/b', 'org/c', None)
        >>> Addresses({}, "org").of("my model:v2"), Addresses({}, "org").of("else/c")
        ('org/my-model-v2', None)
        """
        if model in self.repos:
            return self.repos[model]
        if re.fullmatch(r"[\w.-]+/[\w.-]+", model, re.ASCII):
            mine = self.organisation is None or model.partition("/")[0] == self.organisation
            return model if mine else None
        if self.organisation is None:
            return None
        name = re.sub(r"-{2,}", "-", re.sub(r"[^A-Za-z0-9._-]+", "-", model.rpartition("/")[2])).strip("-.")
        return f"{self.organisation}/{name[:96]}" if name else None


def read_addresses(path: str | Path | None, organisation: str | None) -> Addresses:
    """Read which repository belongs to which model from a JSON file: ``{"model": "org/name"}``.

    Raises:
        InputError: no such file, not JSON, or a name that is no repository.
    """
    if path is None:
        return Addresses({}, organisation)
    try:
        value = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be read: {error}", where=str(path)) from None
    if not isinstance(value, dict) or not all(isinstance(one, str) for one in value.values()):
        raise InputError("not a map of models", where=str(path), expected='{"model": "org/name", ...}')
    for repo in value.values():
        check_repo(repo)
    return Addresses(value, organisation)


def sync(
    hub: Hub,
    folder: str | Path,
    addresses: Addresses,
    options: CardOptions,
    *,
    write: bool,
    seen: dict[Path, tuple[int, int]] | None = None,
    on_retry: Callable[[str], object] = lambda why: None,
) -> Iterator[Synced]:
    """Bring every finished run of a folder to its card, each once; what the cards say already is left alone.

    Of several runs of one model over the same data and task the newest counts. The Hub is the memory: nothing is
    written into the folder, and a bridge that was killed starts again.

    Args:
        write: False: say what would be written.
        seen: summaries that were brought, by their time and size; they are not looked at again until they change.
    """
    known = {} if seen is None else seen
    for path, summary, why in _newest(finished(folder), addresses):
        stamp = _stamp(path)
        if known.get(path) == stamp:
            continue
        repo = addresses.of(str((summary or {}).get("run", {}).get("model") or "")) if summary else None
        if summary is None or repo is None or why:
            known[path] = stamp
            reason = why or "nobody said which repository its model is in: name it with --repos, or --organisation"
            yield Synced(path, repo, "skipped", reason)
            continue
        try:
            one = _bring(hub, path, summary, repo, options, write=write, on_retry=on_retry)
        except PeakBenchError as error:
            if not isinstance(error, HubError) or isinstance(error, HubRefused):
                known[path] = stamp  # asking again would end the same way
            yield Synced(path, repo, "failed", str(error), error=error)
            continue
        known[path] = stamp
        yield one


def watch(
    look: Callable[[], Iterable[Synced]], *, every_s: float, sleep: Callable[[float], object] = time.sleep
) -> Iterator[Synced]:
    """Look again and again until somebody ends it; while the Hub does not answer, less and less often."""
    pause = every_s
    while True:
        gone = False
        for one in look():
            gone |= isinstance(one.error, HubError) and not isinstance(one.error, HubRefused)
            yield one
        pause = min(pause * 2, max(300.0, every_s)) if gone else every_s
        sleep(pause)


def finished(folder: str | Path) -> list[Path]:
    """Return the runs of a folder that are finished, or the folder itself where it is one.

    Raises:
        InputError: there is no such folder.
    """
    place = Path(folder)
    if not place.is_dir():
        raise InputError("no such folder", where=str(folder), expected="a folder with runs in it")
    if (place / "run.json").is_file():
        return [place]
    return sorted(path.parent for path in place.glob("*/summary.json") if (path.parent / "run.json").is_file())


def read_summary(directory: RunDirectory) -> dict[str, Any]:
    """Return the numbers of a run that may go to a card.

    Raises:
        StoreError: it is unfinished, or some samples were never asked.
    """
    summary = directory.summary()
    where = str(directory.path)
    if summary is None:
        raise StoreError(
            "the run is unfinished: it has no summary",
            where=where,
            hint=f"finish it: peakbench run --resume --out {where}",
        )
    unasked = int(summary["samples"].get("unasked") or 0)
    if unasked:
        raise StoreError(
            f"{unasked:,} samples were never asked", where=where, hint=f"ask them: peakbench run --resume --out {where}"
        )
    # run.json may have been tagged since; what stands in the summary is how it was when it was scored
    return summary


def _newest(paths: Iterable[Path], addresses: Addresses) -> Iterator[tuple[Path, dict[str, Any] | None, str]]:
    found: list[tuple[Path, dict[str, Any] | None, str]] = []
    best: dict[tuple[str | None, str, str], tuple[str, Path]] = {}
    for path in paths:
        try:
            summary = read_summary(RunDirectory.open(path))
            run = summary["run"]
            key = addresses.of(run["model"]), run["data"]["name"], run["task"]["id"]
        except (InputError, KeyError, TypeError) as error:
            found.append((path, None, f"{type(error).__name__}: {error}".splitlines()[0]))
            continue
        best[key] = max(best.get(key, ("", path)), (str(run.get("created_at") or ""), path))
        found.append((path, summary, ""))
    for path, read, reason in found:
        why = reason
        if read is not None:
            run = read["run"]
            newest = best[addresses.of(run["model"]), run["data"]["name"], run["task"]["id"]][1]
            if newest != path:
                why = f"{newest.name} is a newer run of the same model, data and task"
        yield path, read, why


def _bring(
    hub: Hub,
    path: Path,
    summary: Mapping[str, Any],
    repo: str,
    options: CardOptions,
    *,
    write: bool,
    on_retry: Callable[[str], object],
) -> Synced:
    card = ModelCard(summary, options)
    if not write:
        plan = make_plan(hub, card, repo)
        return Synced(path, repo, "planned" if plan.changes else "unchanged", plan=plan)
    done = push(hub, card, repo, on_retry=on_retry)
    assert done is not None
    return Synced(path, repo, "pushed" if done.committed else "unchanged", plan=done.plan, push=done)


def _stamp(path: Path) -> tuple[int, int]:
    try:
        status = (path / "summary.json").stat()
    except OSError:
        return (0, 0)
    return (status.st_mtime_ns, status.st_size)
