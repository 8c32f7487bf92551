"""Recorded answers replayed: each sample gets its own, known by what the server sees of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from peakbench.client.base import Endpoint
from peakbench.errors import DataError, DataProblem
from peakbench.records import Completion, Sample
from peakbench.testing.endpoint import ScriptedEndpoint
from peakbench.testing.script import Answer, Reply, key


def replay(samples: Iterable[Sample], answers: Path | str | Mapping[str, Answer]) -> dict[str, Answer]:
    """Return recorded answers as a mapping for `ScriptedEndpoint`, so that each sample gets its own.

    Args:
        samples: what will be asked; images are read once, for their sha256, from wherever the sample says they are.
        answers: sample id -> answer, or a JSONL file of recorded answers (see `recorded`). Answers to other samples
            are left aside.

    Raises:
        DataError: a line that is no such object, a sample without an answer, or two samples that a server cannot tell
            apart (the same images, and neither or the same prompt) with different answers.
        ImageError: an image cannot be read.
    """
    from peakbench import images

    found = answers if isinstance(answers, Mapping) else recorded(answers)
    replies: dict[str, Answer] = {}
    owners: dict[str, str] = {}
    problems: list[DataProblem] = []
    for sample in samples:
        where = sample.where or sample.id
        if sample.id not in found:
            problems.append(DataProblem(where, f"no recorded answer to sample '{sample.id}'"))
            continue
        hashes = [
            str(source.value) if source.kind == "url" else str(images.load(source, allow_outside=True).sha256)
            for source in sample.images
        ]
        place = key(hashes, sample.prompt or "")
        if replies.setdefault(place, found[sample.id]) != found[sample.id]:
            problems.append(DataProblem(where, f"same images and prompt as sample '{owners[place]}', another answer"))
        owners.setdefault(place, sample.id)
    if problems:
        raise DataError(f"{len(problems)} samples cannot be replayed", problems=problems)
    return replies


def recorded(path: Path | str) -> dict[str, Answer]:
    """Read a JSONL file of recorded answers, ``{"id": ..., "response": ...}`` a line, as sample id -> replies.

    The lines of one id are its repeats, in order. A recorded failure is replayed as its HTTP status, or 500.

    Raises:
        DataError: the file cannot be read, or with every line that holds no answer.
    """
    from peakbench.answers import read_answers

    replies: dict[str, list[Reply]] = {}
    problems: list[DataProblem] = []
    for item in read_answers(Path(path)):
        if isinstance(item, DataProblem):
            problems.append(item)
        else:
            replies.setdefault(item.sample_id, []).append(_reply(item))
    if problems:
        raise DataError(
            f"{len(problems)} lines of {path} hold no answer",
            problems=problems,
            expected='{"id": "...", "response": "..."}',
        )
    return dict(replies)


def _reply(completion: Completion) -> Reply:
    if completion.response is None:
        failure = completion.failure
        return Reply(failure.message if failure else None, status=(failure and failure.http_status) or 500)
    response = completion.response
    return Reply(
        response.text,
        finish_reason=response.finish_reason or "stop",
        reasoning=response.reasoning,
        refusal=response.refusal,
    )


@contextmanager
def recorded_endpoint(
    data: Path | str, answers: Path | str, *, model: str = "recorded", latency_s: float = 0.0
) -> Iterator[Endpoint]:
    """Serve the recorded answers to a data set while the context lasts, and yield the endpoint.

    Raises:
        DataError: the data set or the answers cannot be used.
    """
    from peakbench.datasets import open_dataset

    samples: list[Sample] = []
    problems: list[DataProblem] = []
    for item in open_dataset(data):
        (samples if isinstance(item, Sample) else problems).append(item)  # type: ignore[arg-type]
    if problems:
        raise DataError(f"{len(problems)} problem{'' if len(problems) == 1 else 's'} in {data}", problems=problems)
    with ScriptedEndpoint(replay(samples, answers), latency_s=latency_s, model=model) as server:
        yield server.endpoint()
