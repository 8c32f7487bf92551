"""A plan is what would change in a repository; a push is a plan that was made one commit."""

from __future__ import annotations

import difflib
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from peakbench.errors import HubError, HubRefused, InputError
from peakbench.hub.remote import Conflict, Head, Hub, RepoType

CARD = "README.md"


@dataclass(frozen=True, slots=True)
class Check:
    """One number read back from the Hub beside the one of the run; ``found`` is None where it is not there."""

    what: str
    where: str
    expected: Any
    found: Any

    @property
    def same(self) -> bool:
        """Whether they are the same number."""
        return bool(self.expected == self.found)


class Content(Protocol):
    """What is to stand in a repository.

    ``reads``: whether a file of the repository has to be read for it. ``changes``: the files that would change, path
    -> new text, and what people should know. ``checks``: what a commit shows of the numbers; ``shown_checks``: what
    the Hub itself has read of them.
    """

    message: str

    def reads(self, path: str) -> bool: ...  # noqa: D102
    def changes(self, files: Mapping[str, str], repo: str) -> tuple[dict[str, str], list[str]]: ...  # noqa: D102
    def checks(self, files: Mapping[str, str], repo: str) -> list[Check]: ...  # noqa: D102
    def shown_checks(self, info: Any, repo: str) -> list[Check]: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class FileChange:
    """One file as it is and as it would be; ``before`` is None where there is none."""

    path: str
    before: str | None
    after: str

    def diff(self) -> list[str]:
        """The change in the unified form, line by line."""
        old = (self.before or "").splitlines()
        name = f"a/{self.path}" if self.before is not None else "/dev/null"
        lines = difflib.unified_diff(old, self.after.splitlines(), name, f"b/{self.path}", lineterm="")
        return list(lines)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a push would change in a repository that stands at ``head``; nothing where ``changes`` is empty."""

    repo: str
    repo_type: RepoType
    head: str
    changes: tuple[FileChange, ...]
    notes: tuple[str, ...]

    def diff(self) -> list[str]:
        """All changes in the unified form."""
        return [line for change in self.changes for line in change.diff()]

    def as_dict(self) -> dict[str, Any]:
        """The plan for a program."""
        return {
            "repo": self.repo,
            "repo_type": self.repo_type,
            "head": self.head,
            "unchanged": not self.changes,
            "files": [
                {"path": change.path, "new": change.before is None, "diff": change.diff()} for change in self.changes
            ],
            "notes": list(self.notes),
        }


@dataclass(frozen=True, slots=True)
class Push:
    """What a push did.

    ``commit`` holds the numbers; ``committed`` is False where the Hub had them already. ``warned``: what the Hub found
    odd in the card.
    """

    plan: Plan
    commit: str
    committed: bool
    attempts: int
    url: str
    checks: tuple[Check, ...] = ()
    warned: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The push for a program."""
        return {
            **self.plan.as_dict(),
            "commit": self.commit,
            "committed": self.committed,
            "attempts": self.attempts,
            "url": self.url,
            "checks": [
                {"what": one.what, "where": one.where, "run": one.expected, "hub": one.found, "same": one.same}
                for one in self.checks
            ],
            "warnings": list(self.warned),
        }


def make_plan(hub: Hub, content: Content, repo: str, repo_type: RepoType = "model") -> Plan:
    """Read a repository and say what would change in it. Nothing is written.

    Raises:
        InputError: the card cannot be changed safely.
        HubRefused, HubError: the repository cannot be read.
    """
    check_repo(repo)
    head = hub.head(repo, repo_type)
    files = _read(hub, content, repo, repo_type, head)
    changed, notes = content.changes(files, repo)
    changes = tuple(
        FileChange(path, files.get(path), text) for path, text in changed.items() if files.get(path) != text
    )
    return Plan(repo, repo_type, head.oid, changes, tuple(notes))


def push(
    hub: Hub,
    content: Content,
    repo: str,
    repo_type: RepoType = "model",
    *,
    attempts: int = 6,
    on_plan: Callable[[Plan], bool] = lambda plan: True,
    on_retry: Callable[[str], object] = lambda why: None,
) -> Push | None:
    """Make the plan one commit on the commit that was read, then read it back.

    Where somebody else writes in between, or the Hub does not say whether it took the commit, the repository is read
    again and the plan made anew: a commit that did arrive leaves nothing to change.

    Args:
        on_plan: gets the first plan; False ends it there, and None is returned.
        on_retry: hears why the repository is read again.

    Raises:
        InputError: the card cannot be changed safely.
        HubRefused: the Hub said no.
        HubError: it did not answer, others wrote all the time, or it does not show the numbers of the run.
    """
    hub.warned.clear()
    last: HubError | None = None
    unsure = False  # a commit was sent and nobody said what came of it
    for attempt in range(1, attempts + 1):
        plan = make_plan(hub, content, repo, repo_type)
        if attempt == 1 and not on_plan(plan):
            return None
        if not plan.changes:
            return _proved(hub, content, plan, plan.head, committed=unsure, attempt=attempt)
        try:
            oid = hub.commit(
                repo,
                repo_type,
                {change.path: change.after.encode("utf-8") for change in plan.changes},
                message=content.message,
                parent=plan.head,
            )
        except HubRefused:
            raise
        except HubError as error:
            last = error
            unsure |= not isinstance(error, Conflict)
            on_retry(error.what)
            if attempt < attempts:
                time.sleep(hub.pause_s * 2 ** min(attempt - 1, 4) * random.uniform(0.5, 1.0))  # noqa: S311 - no secret
            continue
        return _proved(hub, content, plan, oid, committed=True, attempt=attempt)
    assert last is not None
    raise HubError(
        f"nothing was written in {attempts} attempts; the last time: {last.what}", hint="try again: a push is safe"
    ) from None


def check_repo(repo: str) -> None:
    """Make sure that a name is one of a repository on the Hub.

    Raises:
        InputError: it is not.

    >>> check_repo("https://huggingface.co/org/name")
    Traceback (most recent call last):
    ...
    peakbench.errors.InputError: 'https://huggingface.co/org/name' is no repository
      expected: organisation/name
    """
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(repo)
        right = repo.count("/") == 1
    except HFValidationError:
        right = False
    if not right:
        raise InputError(f"'{repo}' is no repository", expected="organisation/name")


def _read(hub: Hub, content: Content, repo: str, repo_type: RepoType, head: Head) -> dict[str, str]:
    files = {}
    for path in head.files:
        if content.reads(path):
            data = hub.read(repo, repo_type, path, head.oid)
            if data is None:
                continue
            try:
                files[path] = data.decode("utf-8")
            except UnicodeDecodeError as error:
                raise InputError(
                    f"not UTF-8: byte {error.start}", where=f"{repo}: {path}", hint="mend the file on the Hub"
                ) from None
    return files


def _proved(hub: Hub, content: Content, plan: Plan, oid: str, *, committed: bool, attempt: int) -> Push:
    """Read the commit back and hold what stands there against the run."""
    head = Head(oid, tuple({*hub.head(plan.repo, plan.repo_type).files, *(one.path for one in plan.changes)}))
    checks = content.checks(_read(hub, content, plan.repo, plan.repo_type, head), plan.repo)
    if plan.repo_type == "model":
        info = hub.shown(plan.repo)
        if info.sha == oid:  # else somebody wrote after us, and what stands there now is theirs to answer for
            checks += content.shown_checks(info, plan.repo)
    wrong = [one for one in checks if not one.same]
    if wrong:
        one = wrong[0]
        raise HubError(
            f"{len(wrong)} of {len(checks)} numbers on the Hub are not those of the run: {one.what} in {one.where} is "
            f"{one.found}, expected {one.expected}",
            where=f"{plan.repo} at {oid[:12]}",
            hint="push again",
        )
    prefix = "" if plan.repo_type == "model" else f"{plan.repo_type}s/"
    url = f"{hub.endpoint}/{prefix}{plan.repo}/commit/{oid}"
    return Push(plan, oid, committed, attempt, url, tuple(checks), tuple(hub.warned))
