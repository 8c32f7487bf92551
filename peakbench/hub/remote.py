"""The Hub through huggingface_hub: what a repository holds, one commit, and what can go wrong, in words.

The token is the library's affair (``hf auth login``, ``HF_TOKEN``): it is never read here but to make sure that no
message holds it.
"""

from __future__ import annotations

import os
import re
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from peakbench.errors import HubError, HubRefused, InputError, MissingDependency
from peakbench.report.tables import neutral

T = TypeVar("T")
RepoType = Literal["model", "dataset", "space"]
MAX_BYTES = 5_000_000
"""A card larger than this is not read."""


_LISTENING = threading.Lock()  # what listens to warnings listens for the whole process


class Conflict(HubError):  # noqa: N818 - ends in a fresh read, not with the user
    """The repository changed since it was read."""


@dataclass(frozen=True, slots=True)
class Head:
    """A repository at one commit."""

    oid: str
    files: tuple[str, ...]


def check_installed() -> None:
    """Make sure that the extra is there.

    Raises:
        MissingDependency: it is not.
    """
    try:
        import huggingface_hub  # noqa: F401
    except ImportError:
        raise MissingDependency("the Hub", package="huggingface_hub", extra="hub") from None


def quiet() -> None:
    """Keep the library's progress bars off the terminal, for the whole process."""
    from huggingface_hub.utils import disable_progress_bars

    disable_progress_bars()


class Hub:
    """Repositories on the Hub that ``HF_ENDPOINT`` names, by default the public one.

    Args:
        timeout_s: seconds that one call may take; the library itself would wait for ever.
        attempts: how often a read is tried where the Hub does not answer or answers 429 or 5xx.
        pause_s: seconds before the second try, doubled before each further one.

    ``warned`` holds what the Hub found odd in a card that it took all the same.
    """

    def __init__(self, *, timeout_s: float = 60.0, attempts: int = 4, pause_s: float = 1.0) -> None:
        check_installed()
        from huggingface_hub import HfApi

        # The library reads HF_ENDPOINT once, when it is imported; whoever sets it later is heard too.
        self._api = HfApi(endpoint=os.environ.get("HF_ENDPOINT") or None)
        self.timeout_s = timeout_s
        self.attempts = attempts
        self.pause_s = pause_s
        self.warned: list[str] = []

    @property
    def endpoint(self) -> str:
        """The Hub's address."""
        return str(self._api.endpoint).rstrip("/")

    def head(self, repo: str, repo_type: RepoType) -> Head:
        """Return the newest commit of the main branch and the files in it."""
        info = self._reading(
            lambda: self._api.repo_info(repo, repo_type=repo_type, revision="main"), f"{repo}: cannot be read"
        )
        return Head(str(info.sha), tuple(one.rfilename for one in info.siblings or ()))

    def read(self, repo: str, repo_type: RepoType, path: str, oid: str) -> bytes | None:
        """Return a file of a commit, None where it has none of that name."""

        def download() -> bytes | None:
            from huggingface_hub.errors import EntryNotFoundError

            with tempfile.TemporaryDirectory(prefix="peakbench-hub-") as folder:
                try:
                    file = self._api.hf_hub_download(repo, path, repo_type=repo_type, revision=oid, local_dir=folder)
                except EntryNotFoundError:
                    return None
                if Path(file).stat().st_size > MAX_BYTES:
                    raise InputError(f"{path} is larger than {MAX_BYTES:,} bytes", where=repo)
                return Path(file).read_bytes()

        return self._reading(download, f"{repo}: {path} cannot be read")

    def commit(self, repo: str, repo_type: RepoType, files: Mapping[str, bytes], *, message: str, parent: str) -> str:
        """Write files in one commit on ``parent`` and return its id.

        Raises:
            Conflict: the repository is not at ``parent`` any more.
            HubRefused, HubError: as ever; after a HubError that is no Conflict the commit may have been made or not.
        """
        from huggingface_hub import CommitOperationAdd

        def send() -> str:
            info = self._api.create_commit(
                repo,
                [CommitOperationAdd(path_in_repo=path, path_or_fileobj=data) for path, data in files.items()],
                commit_message=message,
                repo_type=repo_type,
                parent_commit=parent,
            )
            return str(info.oid)

        with _LISTENING, warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            oid = self._call(send, f"{repo}: cannot be written")
        self.warned += [_clean(str(one.message), 500) for one in caught if one.category is UserWarning]
        return oid

    def shown(self, repo: str) -> Any:
        """Return what the Hub itself reads in a model's card: ``sha``, ``card_data``, ``eval_results``."""
        return self._reading(
            lambda: self._api.model_info(repo, expand=["sha", "cardData", "evalResults"]), f"{repo}: cannot be read"
        )

    def _reading(self, call: Callable[[], T], what: str) -> T:
        pause = self.pause_s
        for left in reversed(range(self.attempts)):
            try:
                return self._call(call, what)
            except HubRefused:
                raise
            except HubError:
                if not left:
                    raise
            time.sleep(pause)
            pause *= 2
        raise AssertionError("the last attempt returns or raises")

    def _call(self, call: Callable[[], T], what: str) -> T:
        try:
            return within(self.timeout_s, call)
        except (InputError, HubError):
            raise
        except Exception as error:  # of several HTTP libraries, as its version has it
            raise translated(error, what) from None


def within(seconds: float, call: Callable[[], T]) -> T:
    """Run a call and return what it returns.

    Raises:
        TimeoutError: it took longer; its thread is left behind, and does not keep the process.
    """
    found: list[T] = []
    failed: list[BaseException] = []

    def work() -> None:
        try:
            found.append(call())
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=work, daemon=True, name="peakbench-hub")
    thread.start()
    thread.join(seconds)
    if failed:
        raise failed[0]
    if not found:
        raise TimeoutError(f"no answer within {seconds:g} s")
    return found[0]


def translated(error: Exception, what: str) -> Exception:
    """Say what an error of the library means and what to do next."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    name = type(error).__name__
    said = _clean(getattr(error, "server_message", None) or "", 300)
    end = f": {said}" if said else ""
    if status in (409, 412):
        return Conflict(f"{what}: somebody else wrote to it in between")
    if status == 401:
        return HubRefused(
            f"{what}: the Hub answers 401: there is no such repository, or the token is missing or wrong",
            hint="log in with a token that may write: hf auth login; see who you are: hf auth whoami",
        )
    if status == 403:
        return HubRefused(
            f"{what}: the Hub answers 403: the token may not do this{end}",
            hint="make a token with write access to this repository, then: hf auth login",
        )
    if status == 404:
        return HubRefused(
            f"{what}: the Hub answers 404: there is no such repository, or the token does not see it",
            hint="check the name (organisation/name) and --repo-type; make it: hf repos create NAME",
        )
    if isinstance(status, int) and (status == 429 or status >= 500):
        return HubError(f"{what}: the Hub answers {status}{end}", hint="try again later: a second push is safe")
    if isinstance(status, int):
        return HubRefused(f"{what}: the Hub answers {status}{end or ': ' + _clean(str(error), 300)}")
    if name == "OfflineModeIsEnabled":
        return HubRefused(f"{what}: HF_HUB_OFFLINE is set", hint="unset it")
    if name == "LocalTokenNotFoundError":
        return HubRefused(f"{what}: there is no token", hint="log in: hf auth login")
    if isinstance(error, TimeoutError):
        return HubError(f"{what}: {error}", hint="try again later: a second push is safe")
    if isinstance(error, ValueError):  # a card or a name that the Hub or the library refuses
        return HubRefused(f"{what}: {_clean(str(error), 500)}")
    return HubError(f"{what}: {name}: {_clean(str(error), 300)}", hint="check the network and HF_ENDPOINT, then again")


def _clean(text: str, limit: int) -> str:
    """Take every token out of a message, ours by its value and others by their look."""
    from huggingface_hub import get_token

    token = get_token()
    if token:
        text = text.replace(token, "***")
    text = re.sub(r"\bhf_[A-Za-z0-9_]{6,}|(?i:bearer)\s+\S+", "***", text)
    return neutral(" ".join(text.split()), limit=limit)
