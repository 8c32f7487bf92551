"""hub_plan(), hub_push(), hub_sync(): a run's scores on its model's card on the Hugging Face Hub."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from peakbench.runs import Run

if TYPE_CHECKING:
    from peakbench.analysis.leaderboard.standings import Leaderboard
    from peakbench.hub.boardcard import BoardCard
    from peakbench.hub.bridge import Synced
    from peakbench.hub.modelcard import CardOptions, ModelCard
    from peakbench.hub.pushing import Plan, Push
    from peakbench.hub.remote import Hub, RepoType


def hub_plan(
    run: Run | Leaderboard | str | Path,
    repo: str,
    *,
    options: CardOptions | None = None,
    repo_type: RepoType | None = None,
    hub: Hub | None = None,
) -> Plan:
    """Say what a push would change; nothing is written.

    Args:
        run: a run or its directory; or a leaderboard, for the card of an organisation.
        repo: ``org/name`` on the Hub.
        options: of a run's card: metrics, the data set's name on the Hub, whose rows may be replaced.
        repo_type: None: ``model`` for a run, ``space`` for a leaderboard.
        hub: how the Hub is reached; None: the Hub that ``HF_ENDPOINT`` names, or the public one.

    Raises:
        MissingDependency: huggingface_hub is not installed.
        InputError: a run that may not go to a card, or a card that cannot be changed safely.
        HubRefused: 401, 403, 404: the token or the repository is wrong.
        HubError: the Hub does not answer.
    """
    from peakbench.hub.pushing import make_plan

    reached, content, kind = _opened(run, options, repo_type, hub)
    return make_plan(reached, content, repo, kind)


def hub_push(
    run: Run | Leaderboard | str | Path,
    repo: str,
    *,
    options: CardOptions | None = None,
    repo_type: RepoType | None = None,
    hub: Hub | None = None,
    on_plan: Callable[[Plan], bool] = lambda plan: True,
    on_retry: Callable[[str], object] = lambda why: None,
) -> Push | None:
    """Bring a run's scores to a card in one commit, and read them back.

    A second push of the same run changes nothing. What stands outside the section and is no row of PeakBench's stays
    as it is. Where somebody else writes in between, the card is read again and the commit made anew.

    Args:
        on_plan: gets the plan before anything is written; False ends it there, and None is returned.
        on_retry: hears why the card is read again.

    The other arguments, and what else is raised: as :func:`hub_plan`.

    Raises:
        HubError: others write all the time, or what the Hub shows is not what the run says.
    """
    from peakbench.hub.pushing import push

    reached, content, kind = _opened(run, options, repo_type, hub)
    return push(reached, content, repo, kind, on_plan=on_plan, on_retry=on_retry)


def hub_sync(
    folder: str | Path,
    *,
    repos: Mapping[str, str] | str | Path | None = None,
    organisation: str | None = None,
    options: CardOptions | None = None,
    write: bool = False,
    watch_s: float | None = None,
    hub: Hub | None = None,
    on_retry: Callable[[str], object] = lambda why: None,
) -> Iterator[Synced]:
    """Bring every finished run of a folder to its card, and say of each what came of it.

    Args:
        folder: holds run directories.
        repos: model, as its runs name it -> ``org/name``; or a JSON file of that.
        organisation: where the other models' repositories are; None: a model that is not in ``repos`` and whose name
            is no repository is skipped.
        options: what goes to the cards.
        write: False: say what would be written.
        watch_s: look again after so many seconds, for ever; None: look once.

    Raises:
        InputError: no such folder, or repositories that are none.
        MissingDependency: huggingface_hub is not installed.
    """
    from peakbench.hub.remote import Hub, check_installed

    check_installed()
    from peakbench.hub.bridge import Addresses, finished, read_addresses, sync, watch
    from peakbench.hub.modelcard import CardOptions

    reached = hub or Hub()
    if isinstance(repos, Mapping):
        addresses = Addresses(dict(repos), organisation)
    else:
        addresses = read_addresses(repos, organisation)
    finished(folder)  # a folder that is not there is said at once
    chosen = options or CardOptions()
    seen: dict[Path, tuple[int, int]] = {}

    def look() -> Iterator[Synced]:
        return sync(reached, folder, addresses, chosen, write=write, seen=seen, on_retry=on_retry)

    return look() if watch_s is None else watch(look, every_s=watch_s)


def _opened(
    run: Run | Leaderboard | str | Path, options: CardOptions | None, repo_type: RepoType | None, hub: Hub | None
) -> tuple[Hub, ModelCard | BoardCard, RepoType]:
    from peakbench.hub.remote import Hub, check_installed

    check_installed()
    from peakbench.hub.boardcard import BoardCard
    from peakbench.hub.bridge import read_summary
    from peakbench.hub.modelcard import ModelCard

    if not isinstance(run, Run | str | Path):
        return hub or Hub(), BoardCard(run), repo_type or "space"
    directory = (run if isinstance(run, Run) else Run(run)).directory
    content = ModelCard(read_summary(directory), options)
    return hub or Hub(), content, repo_type or "model"
