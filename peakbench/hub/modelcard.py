"""What a run puts into a model's repository: a section of the card, rows of its metadata, and the proof of both."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from peakbench.errors import InputError
from peakbench.hub.evalresults import is_file, with_row
from peakbench.hub.markers import find_section, section_key, with_section
from peakbench.hub.modelindex import SOURCE, is_ours, metadata, results_of, with_result
from peakbench.hub.pushing import CARD, Check
from peakbench.hub.rows import load
from peakbench.report.cards import Figure, figures, model_section
from peakbench.report.fieldchart import field_chart
from peakbench.report.tables import neutral

TASK_TYPE = "image-text-to-text"


@dataclass(frozen=True, slots=True)
class CardOptions:
    """What goes to a card, and where its numbers are said to come from.

    Attributes:
        metrics: ids in the order of the table; None: the headlines.
        dataset: the data set's name on the Hub, ``org/name``; None: the rows of the card's own metadata name the data
            as the run does, and no ``.eval_results`` row is written, because that needs a data set of the Hub.
        dataset_revision: its commit.
        eval_tasks: metric -> id of the benchmark's task that it is the score of; empty: the first metric, under the
            run's own task id.
        source_url: where the evaluation can be seen; None: the repository itself.
        take_over: rows of others that say the same are replaced.
        model_index: whether rows go to the card's metadata.
        chart: whether a picture of the fields stands in the section; it is a file of the repository.
    """

    metrics: Sequence[str] | None = None
    dataset: str | None = None
    dataset_revision: str | None = None
    eval_tasks: Mapping[str, str] = field(default_factory=dict)
    source_url: str | None = None
    take_over: bool = False
    model_index: bool = True
    chart: bool = False


class ModelCard:
    """A run as it is to stand in a repository; made from summary.json alone, so the same run says the same."""

    def __init__(self, summary: Mapping[str, Any], options: CardOptions | None = None) -> None:
        self.summary = summary
        self.options = options or CardOptions()
        self.figures = figures(summary, self.options.metrics)
        run = summary["run"]
        self.data = str((run.get("data") or {}).get("name") or "data")
        self.task = str((run.get("task") or {}).get("id") or "task")
        self.key = section_key(self.data, self.task)
        self.message = f"PeakBench: {neutral(self.task, limit=60)} on {neutral(self.data, limit=60)}"
        self.chart = field_chart(summary) if self.options.chart else None
        self.chart_file = f"peakbench/{re.sub(r'[^A-Za-z0-9._-]+', '-', self.key)}.svg"
        if self.options.eval_tasks and not self.options.dataset:
            raise InputError("a task of a benchmark without a data set", hint="name it: --dataset org/name")
        for metric in self.options.eval_tasks:
            self._figure(metric)

    def reads(self, path: str) -> bool:
        """The card, the files with rows, the picture."""
        return path == CARD or is_file(path) or (self.chart is not None and path == self.chart_file)

    def changes(self, files: Mapping[str, str], repo: str) -> tuple[dict[str, str], list[str]]:
        """Return the files that change for this run, and what is left as it is."""
        notes: list[str] = []
        name = repo.rpartition("/")[2]
        card = files.get(CARD, f"# {name}\n")
        metadata(card)  # one that cannot be read is refused before anything is planned
        if self.options.model_index:
            card, kept = with_result(card, name, self.result(repo), take_over=self.options.take_over)
            notes += [str(one) for one in kept]
        section = model_section(self.summary, self.figures, picture=self.chart_file if self.chart else None)
        changed = {CARD: with_section(card, self.key, section)}
        if self.chart:
            changed[self.chart_file] = self.chart
        for row in self.rows(repo):
            more, kept = with_row(
                {path: text for path, text in {**files, **changed}.items() if is_file(path)},
                row,
                take_over=self.options.take_over,
            )
            changed.update(more)
            notes += [str(one) for one in kept]
        return changed, notes

    def result(self, repo: str) -> dict[str, Any]:
        """The result for the card's metadata: one row a metric."""
        data = self.summary["run"].get("data") or {}
        dataset: dict[str, Any] = {"name": neutral(self.data), "type": self.options.dataset or neutral(self.data)}
        if self.options.dataset_revision:
            dataset["revision"] = self.options.dataset_revision
        dataset["args"] = {"samples": int(self.summary["samples"].get("total") or 0)}
        if data.get("fingerprint"):
            dataset["args"]["content"] = str(data["fingerprint"])[:16]
        return {
            "task": {"type": TASK_TYPE, "name": neutral(self.task)},
            "dataset": dataset,
            "metrics": [self._metric(one) for one in self.figures],
            "source": {"name": SOURCE, "url": self._source(repo)},
        }

    def rows(self, repo: str) -> list[dict[str, Any]]:
        """The rows for ``.eval_results``; none without a data set of the Hub."""
        if not self.options.dataset:
            return []
        from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml

        run = self.summary["run"]
        chosen = self.options.eval_tasks or {self.figures[0].metric: neutral(self.task, limit=200)}
        entries = []
        for metric, task in chosen.items():
            one = self._figure(metric)
            entries.append(
                EvalResultEntry(
                    dataset_id=self.options.dataset,
                    task_id=task,
                    value=one.number,
                    dataset_revision=self.options.dataset_revision,
                    date=str(run["created_at"]) if run.get("created_at") else None,
                    source_url=self._source(repo),
                    source_name=SOURCE,
                    notes=self._note(one),
                )
            )
        written: list[dict[str, Any]] = eval_result_entries_to_yaml(entries)
        return written

    def checks(self, files: Mapping[str, str], repo: str) -> list[Check]:
        """Hold every number that the files show against the run."""
        card = files.get(CARD, "")
        table = table_values(card, self.key)
        found = [Check(one.metric, f"{CARD}: table", one.shown, table.get(one.metric)) for one in self.figures]
        if self.options.model_index:
            found += self._index_checks(card, repo)
        said = {
            (row["dataset"]["id"], row["dataset"]["task_id"]): row["value"]
            for path, text in files.items()
            if is_file(path)
            for row in _plain_rows(text, path)
        }
        kept = self._kept(files, repo)
        for row in self.rows(repo):
            place = row["dataset"]["id"], row["dataset"]["task_id"]
            if place not in kept:
                found.append(Check(f"{place[0]} {place[1]}", ".eval_results", row["value"], said.get(place)))
        return found

    def shown_checks(self, info: Any, repo: str) -> list[Check]:
        """Hold what the Hub itself has read from the card, as far as it has, against the run."""
        results = getattr(info.card_data, "eval_results", None) or []
        said = {
            one.metric_type: one.metric_value
            for one in results
            if one.source_name == SOURCE
            and (one.dataset_name, one.task_name) == (neutral(self.data), neutral(self.task))
        }
        found = [
            Check(one.metric, "the Hub's reading of the model-index", one.number, said[one.metric])
            for one in self.figures
            if one.metric in said
        ]
        rows = {
            (one.dataset_id, one.task_id): one.value for one in info.eval_results or [] if one.source_name == SOURCE
        }
        for row in self.rows(repo):
            place = row["dataset"]["id"], row["dataset"]["task_id"]
            if place in rows:
                found.append(
                    Check(f"{place[0]} {place[1]}", "the Hub's reading of .eval_results", row["value"], rows[place])
                )
        return found

    def _index_checks(self, card: str, repo: str) -> list[Check]:
        # by the library's own reader, as whoever uses the Hub reads it
        from huggingface_hub import ModelCardData

        data = dict(metadata(card))
        ours = [one for one in results_of(data) if is_ours(one)]
        _, kept = with_result(card, repo.rpartition("/")[2], self.result(repo), take_over=self.options.take_over)
        theirs = {one.metric for one in kept}
        read = ModelCardData(**{"model-index": [{"name": repo, "results": ours}]}).eval_results or [] if ours else []
        said = {
            one.metric_type: one.metric_value
            for one in read
            if (one.dataset_name, one.task_name) == (neutral(self.data), neutral(self.task))
        }
        return [
            Check(one.metric, f"{CARD}: model-index", one.number, said.get(one.metric))
            for one in self.figures
            if one.metric not in theirs
        ]

    def _kept(self, files: Mapping[str, str], repo: str) -> set[tuple[str, str]]:
        rows = {path: text for path, text in files.items() if is_file(path)}
        return {
            (row["dataset"]["id"], row["dataset"]["task_id"])
            for row in self.rows(repo)
            if with_row(rows, row, take_over=self.options.take_over)[1]
        }

    def _figure(self, metric: str) -> Figure:
        known = {one.metric: one for one in self.figures}
        return known.get(metric) or figures(self.summary, [metric])[0]

    def _metric(self, one: Figure) -> dict[str, Any]:
        args: dict[str, Any] = {"n": one.n}
        for key, value in (("low", one.low), ("high", one.high)):
            if value is not None:
                args[key] = round(value * 100, 2) if one.percent else float(f"{value:.6g}")
        if one.floor and one.percent:
            args["floor"] = round(one.floor[1] * 100, 2)
        if one.signature:
            args["signature"] = one.signature
        unit = "%" if one.percent else one.unit
        return {"type": one.metric, "value": one.number, "name": neutral(f"{one.title}, {unit}"), "args": args}

    def _note(self, one: Figure) -> str:
        words = [one.metric, "%" if one.percent else one.unit]
        if one.percent and one.low is not None and one.high is not None:
            words.append(f"95 % interval {one.low * 100:.2f}-{one.high * 100:.2f}")
        words.append(f"n {one.n}")
        profile = self.summary["run"].get("profile")
        if profile:
            words.append(f"profile {profile}")
        return neutral(", ".join(words), limit=300)

    def _source(self, repo: str) -> str:
        return self.options.source_url or f"https://huggingface.co/{repo}"


def table_values(card: str, key: str) -> dict[str, str]:
    """Return what the table of a section shows: metric -> number, read from the text as a reader would.

    >>> card = "<!-- peakbench:begin k -->\\n| A | `a` | 97.8 % | - |\\n<!-- peakbench:end k -->\\n"
    >>> table_values(card, "k")
    {'a': '97.8'}
    """
    span = find_section(card, key)
    section = card[span[0] : span[1]] if span else ""
    found = {}
    for line in section.splitlines():
        cells = line.split(" | ")  # a bar within a cell has a backslash before it
        if line.startswith("| ") and len(cells) > 2 and cells[1].startswith("`"):
            found[cells[1].strip("`")] = cells[2].partition(" ")[0]
    return found


def _plain_rows(text: str, path: str) -> list[dict[str, Any]]:
    rows = load(text, where=path)
    return [
        row
        for row in (rows if isinstance(rows, list) else [])
        if isinstance(row, dict) and isinstance(row.get("dataset"), dict) and {"id", "task_id"} <= row["dataset"].keys()
    ]
