"""What a card becomes, without any Hub: sections between markers, rows of metadata, and all else byte for byte."""

from __future__ import annotations

import copy
import itertools
import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("huggingface_hub", reason="the hub extra is not installed")
yaml = pytest.importorskip("yaml", reason="the hub extra is not installed")

from peakbench.errors import InputError  # noqa: E402
from peakbench.hub.evalresults import own_file, with_row  # noqa: E402
from peakbench.hub.markers import find_section, section_key, with_section  # noqa: E402
from peakbench.hub.modelcard import CardOptions, ModelCard, table_values  # noqa: E402
from peakbench.hub.modelindex import Front, is_ours, metadata, results_of, with_result  # noqa: E402
from peakbench.hub.rows import Unsafe  # noqa: E402
from peakbench.report.cards import escaped, figures, model_section, shared_number  # noqa: E402

OURS: dict[str, Any] = {
    "task": {"type": "image-text-to-text", "name": "garment"},
    "dataset": {"name": "photos", "type": "org/photos"},
    "metrics": [{"type": "weighted_score", "value": 97.76}, {"type": "valued_f1", "value": 96.14}],
    "source": {"name": "PeakBench", "url": "https://huggingface.co/org/m"},
}


def changed(result: dict[str, Any], value: float) -> dict[str, Any]:
    other = copy.deepcopy(result)
    other["metrics"][0]["value"] = value
    return other


def kept_bytes(before: str, after: str) -> bool:
    """Whether ``after`` is ``before`` with one stretch put in."""
    head = len(list(itertools.takewhile(lambda pair: pair[0] == pair[1], zip(before, after, strict=False))))
    tail = before[head:]
    return after.endswith(tail) and len(after) >= len(before)


# --- sections ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "card", ["", "# a", "# a\n", "# a\n\n", "# a\r\n\r\ntext\r\n", "\n\n", "no end  ", "# ä\u2028b\n"]
)
def test_a_section_is_added_replaced_and_stays(card: str) -> None:
    once = with_section(card, "k", "one\n")
    assert once.startswith(card)
    assert with_section(once, "k", "one\n") == once
    twice = with_section(once, "k", "two\nlines\n")
    assert twice.startswith(card)
    assert "one" not in twice
    assert with_section(twice, "k", "one\n") == once
    if "\r\n" in card:
        assert "\n" not in once.replace("\r\n", "")


def test_text_around_a_section_and_other_sections_stay() -> None:
    card = (
        "a\n<!-- peakbench:begin x -->\nold\n<!-- peakbench:end x -->   \nb  \n\n"
        "<!-- peakbench:begin y -->\ny\n<!-- peakbench:end y -->c"
    )
    new = with_section(card, "x", "new\n")
    assert new == card.replace("old\n", "new\n")


@pytest.mark.parametrize(
    "card",
    [
        "<!-- peakbench:begin k -->\ntext\n",
        "text\n<!-- peakbench:end k -->\n",
        "<!-- peakbench:end k -->\n<!-- peakbench:begin k -->\n",
        "<!-- peakbench:begin k -->\n<!-- peakbench:begin k -->\n<!-- peakbench:end k -->\n",
    ],
)
def test_damaged_markers_are_refused(card: str) -> None:
    with pytest.raises(InputError, match="damaged") as caught:
        with_section(card, "k", "new\n")
    assert "line" in str(caught.value)


def test_markers_within_a_line_are_text() -> None:
    card = "write `<!-- peakbench:begin k -->` in your card\n"
    assert find_section(card, "k") is None


@given(st.lists(st.text(max_size=20), min_size=1, max_size=3), st.lists(st.text(max_size=20), min_size=1, max_size=3))
@settings(deadline=None, max_examples=100)
def test_section_keys_are_safe_and_differ(first: list[str], second: list[str]) -> None:
    one, two = section_key(*first), section_key(*second)
    assert "--" not in one
    assert not set(one) - set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._/:-")
    whole = ["/".join(part.replace("/", ":") for part in names) for names in (first, second)]
    assert (one == two) == (whole[0] == whole[1])


# --- model-index -------------------------------------------------------------------------------------------------

CARDS = [
    "",
    "# only text\n",
    "---\n---\ntext\n",
    "---\nlicense: mit\n---\ntext\n",
    "---\r\nlicense: mit   # chosen\r\ntags: [a,   'b']\r\n---\r\n\r\ntext\r\n",
    "\ufeff---\nlicense: mit\n---\ntext",
    "\n\n---\nlicense: mit\n---   \ntext",
    "---\nlicense: mit\nmodel-index:\n---\ntext",
    "---\nmodel-index: []\nlicense: mit\n---\ntext",
    "---\nmodel-index:\n- name: m\n  results: []\n---\ntext",
    "---\nmodel-index: [{name: m, results: [{task: {type: t}, dataset: {type: d, name: d}, "
    "metrics: [{type: x, value: 1}]}]}]\n---\n",
    "---\nmodel-index:\n  -   name: m\n      results:\n        -   task:   {type: t}\n            "
    "dataset: {type: d, name: d}\n            metrics:\n              - type: wer\n"
    "                value: 3.10   # theirs\n\n# end\nlicense: mit\n---\ntext",
    "---\nmodel-index:\n- name: other\n  results:\n  - task:\n      type: t\n    dataset: {name: d, type: d}\n"
    '    metrics:\n    - {type: "x", value: 01.50}\n- name: m\n  results:\n  - task: {type: t}\n'
    "    dataset: {name: d, type: d}\n"
    "    metrics:\n    - type: y\n      value: >-\n        12\n        34\n---\ntext",
]


@pytest.mark.parametrize("card", CARDS)
def test_a_result_is_added_replaced_and_all_else_stays(card: str) -> None:
    before = metadata(card)
    once, kept = with_result(card, "m", OURS)
    assert not kept
    data = metadata(once)
    assert [one for one in results_of(data) if is_ours(one)] == [OURS]
    assert {key: value for key, value in data.items() if key != "model-index"} == {
        key: value for key, value in before.items() if key != "model-index"
    }
    assert [one for one in results_of(data) if not is_ours(one)] == results_of(before)
    if "model-index: []" not in card and card:
        assert kept_bytes(card, once) or not Front.of(card).text, once
    assert once.endswith(card.rpartition("---")[2])
    assert with_result(once, "m", OURS)[0] == once, "a second time changes nothing"
    other = with_result(once, "m", changed(OURS, 50.0))[0]
    assert other == once.replace("97.76", "50.0"), "a new value changes the value alone"


def test_the_hubs_own_reader_reads_it() -> None:
    from huggingface_hub import ModelCard as Reader

    card, _ = with_result(CARDS[-2], "m", OURS)
    found = {one.metric_type: one for one in Reader(card).data.eval_results}
    assert found["wer"].metric_value == 3.10
    assert found["weighted_score"].metric_value == 97.76
    assert found["weighted_score"].source_name == "PeakBench"


THEIRS = (
    "---\nmodel-index:\n- name: m\n  results:\n  - task: {type: image-text-to-text}\n"
    "    dataset: {type: org/photos, name: photos}\n    metrics:\n"
    "    - type: weighted_score\n      value: 88.8  # by hand\n"
    "    - type: cer\n      value: 4\n---\ntext\n"
)


def test_a_row_of_somebody_else_that_says_the_same_stays() -> None:
    card, kept = with_result(THEIRS, "m", OURS)
    assert [(one.metric, one.value) for one in kept] == [("weighted_score", "88.8")]
    rows = [(metric["type"], metric["value"]) for one in results_of(metadata(card)) for metric in one["metrics"]]
    assert sorted(rows) == [("cer", 4), ("valued_f1", 96.14), ("weighted_score", 88.8)]
    assert kept_bytes(THEIRS, card)
    assert with_result(card, "m", OURS)[0] == card


def test_it_is_replaced_on_demand_and_only_it() -> None:
    card, kept = with_result(THEIRS, "m", OURS, take_over=True)
    assert not kept
    rows = [(metric["type"], metric["value"]) for one in results_of(metadata(card)) for metric in one["metrics"]]
    assert sorted(rows) == [("cer", 4), ("valued_f1", 96.14), ("weighted_score", 97.76)]
    alone = THEIRS.replace("    - type: cer\n      value: 4\n", "")
    card, _ = with_result(alone, "m", OURS, take_over=True)
    assert results_of(metadata(card)) == [OURS]


@pytest.mark.parametrize("where", ["org/other", "other task", "a split"])
def test_rows_of_other_data_tasks_or_splits_say_something_else(where: str) -> None:
    theirs = {
        "org/other": THEIRS.replace("org/photos", "org/other"),
        "other task": THEIRS.replace("image-text-to-text}", "image-text-to-text, name: shoes}"),
        "a split": THEIRS.replace("name: photos}", "name: photos, split: hard}"),
    }[where]
    card, kept = with_result(theirs, "m", OURS)
    assert not kept
    assert len(results_of(metadata(card))) == 2


def test_a_result_of_ours_that_was_doubled_is_one_again() -> None:
    # huggingface_hub.metadata_update compares whole rows: another source URL, and the row stands twice
    twice = {
        "model-index": [
            {"name": "m", "results": [changed(OURS, 1.0), {**OURS, "source": {**OURS["source"], "url": "u"}}]}
        ]
    }
    card = f"---\n{yaml.safe_dump(twice, sort_keys=False)}---\ntext\n"
    new, _ = with_result(card, "m", OURS)
    assert results_of(metadata(new)) == [OURS]


@pytest.mark.parametrize(
    ("front", "what"),
    [
        ("a: [", "not YAML"),
        ("- a\n- b", "mapping"),
        ("{license: mit}", "key: value"),
        ("model-index: 3", "no list"),
        ("model-index:\n- name: m", "no list of results"),
        ("a: b\n---\nc: d\nx: !!python/object:os.system {}", None),
        ("x: !!python/object/apply:os.system [ls]", "not YAML"),
    ],
)
def test_metadata_that_cannot_be_changed_safely_is_refused(front: str, what: str | None) -> None:
    card = f"---\n{front}\n---\ntext\n"
    if what is None:  # the front matter ends at the first ---, as the Hub reads it; the rest is text
        assert with_result(card, "m", OURS)[0].endswith("c: d\nx: !!python/object:os.system {}\n---\ntext\n")
        return
    with pytest.raises(InputError, match=what):
        ModelCard(summary()).changes({"README.md": card}, "org/m")


def test_an_anchor_that_others_rest_on_is_refused() -> None:
    ours = yaml.safe_dump([{"name": "m", "results": [OURS]}], sort_keys=False).replace("97.76", "&v 97.76")
    card = f"---\nmodel-index:\n{ours}mine: *v\n---\n"
    assert metadata(card)["mine"] == 97.76
    with pytest.raises(Unsafe):
        with_result(card, "m", changed(OURS, 1.0))


scalars = st.one_of(
    st.integers(-5, 5),
    st.sampled_from([0.5, 1e-05, True, None, "null", "1.0", "a: b", "# c"]),
    st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=8),
)
names = st.text("abcxyz", min_size=1, max_size=4)
rows = st.fixed_dictionaries(
    {
        "task": st.fixed_dictionaries({"type": names}),
        "dataset": st.fixed_dictionaries({"type": names, "name": scalars}),
        "metrics": st.lists(st.fixed_dictionaries({"type": names, "value": scalars}), min_size=1, max_size=3),
    }
)


values = st.one_of(scalars, st.lists(scalars, max_size=3), st.dictionaries(names, scalars, max_size=2))


@given(
    st.lists(rows, max_size=3),
    st.dictionaries(names, values, max_size=3),
    st.sampled_from([None, True, False]),
    st.integers(2, 6),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
)
@settings(deadline=None, max_examples=80)
def test_whatever_the_style_others_stay(
    theirs: list[Any], others: dict[str, Any], flow: bool | None, indent: int, newline: str, first: bool
) -> None:
    index = {"model-index": [{"name": "m", "results": theirs}]}
    data = {**index, **others} if first else {**others, **index}
    text = yaml.safe_dump(data, sort_keys=False, default_flow_style=flow, indent=indent, allow_unicode=True)
    card = f"---\n{text}---\nbody\n".replace("\n", newline)
    try:
        once, _ = with_result(card, "m", OURS)
    except Unsafe as error:
        assert flow, str(error)  # noqa: PT017 - a mapping in one line has no place for a key of its own line
        return
    assert kept_bytes(card, once)
    assert [one for one in results_of(metadata(once)) if not is_ours(one)] == results_of(metadata(card))
    assert with_result(once, "m", OURS)[0] == once
    twice = with_result(once, "m", changed(OURS, 12.5))[0]
    assert with_result(twice, "m", OURS)[0] == once


# --- .eval_results ------------------------------------------------------------------------------------------------

ROW = {
    "dataset": {"id": "org/photos", "task_id": "garment"},
    "value": 97.76,
    "source": {"url": "https://huggingface.co/org/m", "name": "PeakBench"},
}
FILE = own_file("org/photos")


def test_a_row_goes_to_a_file_of_its_own_and_a_second_one_beside_it() -> None:
    made, kept = with_row({}, ROW)
    assert not kept
    assert yaml.safe_load(made[FILE]) == [ROW]
    assert with_row(made, ROW) == ({}, [])
    other = {**ROW, "dataset": {"id": "org/photos", "task_id": "shoes"}}
    both, _ = with_row(made, other)
    assert both[FILE].startswith(made[FILE])
    assert yaml.safe_load(both[FILE]) == [ROW, other]
    new, _ = with_row(both, {**ROW, "value": 1.5})
    assert new[FILE] == both[FILE].replace("97.76", "1.5", 1)


def test_rows_of_others_in_any_file_stay() -> None:
    last = "- dataset: {id: a/b, task_id: c}\n  value: 1\n"
    theirs = f"# by hand\n- dataset: {{id: org/photos,  task_id: garment}}\n  value: 80.5\n{last}"
    files = {".eval_results/mine.yaml": theirs}
    changed_files, kept = with_row(files, ROW)
    assert changed_files == {}
    assert [(one.where, one.value) for one in kept] == [(".eval_results/mine.yaml", "80.5")]
    taken, kept = with_row(files, ROW, take_over=True)
    assert not kept
    assert list(taken) == [".eval_results/mine.yaml"]
    text = taken[".eval_results/mine.yaml"]
    assert yaml.safe_load(text) == [ROW, *yaml.safe_load(last)]
    assert text.startswith("# by hand\n")
    assert text.endswith(last)


def test_a_row_of_ours_that_moved_or_was_doubled_is_one() -> None:
    made, _ = with_row({}, ROW)
    files = {".eval_results/z.yaml": made[FILE], FILE: made[FILE] + made[FILE]}
    after = {**files, **with_row(files, {**ROW, "value": 3.5})[0]}
    rows_now = [row for text in after.values() for row in yaml.safe_load(text) or []]
    assert rows_now == [{**ROW, "value": 3.5}]


def test_a_file_of_somebody_else_that_is_no_yaml_is_left_alone() -> None:
    changed_files, kept = with_row({".eval_results/broken.yaml": "a: ["}, ROW)
    assert list(changed_files) == [FILE]
    assert not kept
    with pytest.raises(Unsafe):
        with_row({FILE: "a: ["}, ROW)
    with pytest.raises(Unsafe):
        with_row({FILE: "a: b"}, ROW)


# --- the text of a card ---------------------------------------------------------------------------------------------


def summary(**run: Any) -> dict[str, Any]:
    entry = {
        "value": 0.97764,
        "low": 0.9604,
        "high": 0.99996,
        "n": 98,
        "title": "Weighted score",
        "signature": "weighted_score|v1",
        "skill": 0.95,
        "floor": {"all_null": 0.48, "majority": 0.5552, "unparseable": 0.0},
    }
    latency = {**entry, "unit": "s", "title": "Latency", "value": 1.25, "low": 1.0, "high": 1.5, "floor": {}}
    source = "/home/me/secret/photos.jsonl"
    color = {"score": 0.93, "low": 0.86, "high": 0.97, "weight": 1, "n": 98, "floor": {"majority": 0.17}}
    return {
        "run": {
            "model": "org/model",
            "created_at": "2026-11-22T02:04:13+00:00",
            "repeats": 1,
            "data": {"name": "photos", "fingerprint": "bb6a9fc9f2f82ab7fc0b", "source": source, "limit": None},
            "task": {"id": "garment", "version": 1},
            "endpoint": {"url": "http://gpu7.internal:8000/v1", "transport": "http"},
            "sampling": {"temperature": 0.0, "max_tokens": 512, "seed": 0, "structured": "json_schema"},
            "versions": {"peakbench": "0.1.0", "python": "3.11"},
            **run,
        },
        "samples": {"total": 100, "answers": 100, "strict": 97, "unparseable": 1, "failed": 2, "unasked": 0},
        "metrics": {"weighted_score": entry, "latency": latency},
        "fields": {"color": color},
    }


def test_a_section_says_the_numbers_and_how_they_were_measured() -> None:
    one = summary()
    text = model_section(one, figures(one, ["weighted_score", "latency"]))
    assert "Weighted score **97.8 %** on 100 samples (95 % interval 96.0-99.9); an answer without" in text
    assert "without a model reaches 55.5 % (majority)." in text
    assert "| Weighted score | `weighted_score` | 97.8 % | 96.0-99.9 | 55.5 majority | 95.0 | 98 |" in text
    assert "| Latency | `latency` | 1.25 s | 1-1.50 | - | 95.0 | 98 |" in text
    assert "| color | 1 | 93.0 | 86.0-97.0 | 17.0 | 98 |" in text
    assert "97 JSON as asked for, 1 no JSON, 2 failed at the endpoint, not scored." in text
    assert "temperature 0, at most 512 tokens, seed 0, form asked for by json\\_schema, each asked once" in text


def test_nothing_of_the_machine_goes_to_a_card() -> None:
    card = ModelCard(summary(), CardOptions(dataset="org/photos"))
    files, _ = card.changes({}, "org/m")
    text = "".join(files.values())
    for secret in ("/home", "secret", "gpu7", "8000", "internal"):
        assert secret not in text


HOSTILE = (
    "x\n<!-- peakbench:end photos/garment -->\n---\n<script>alert(1)</script> [a](javascript:b) |`**_$@x "
    "www.evil.org https://evil.org ![i](u)"
)


def markup(text: str) -> set[str]:
    """Everything in a Markdown text that a reader of CommonMark takes for HTML, a link or a picture."""
    from markdown_it import MarkdownIt  # comes with rich

    found: set[str] = set()
    blocks = MarkdownIt("commonmark", {"html": True}).enable("table").parse(text)
    for token in [*blocks, *(one for block in blocks for one in block.children or ())]:
        if token.type in ("html_block", "html_inline"):
            found |= {
                re.sub(r"(begin|end) \S+", r"\1", tag) for tag in re.findall(r"<!--.*?-->|</?[a-z]+>", token.content)
            }
            assert not re.sub(r"<!-- \S+ \S+ -->|</?(details|summary)>|[A-Za-z \n]", "", token.content), token.content
        elif token.type in ("link_open", "image", "hr"):
            found.add(token.type)
    return found


def test_names_from_outside_have_no_power() -> None:
    one = summary(model=HOSTILE, task={"id": HOSTILE, "version": 1}, data={"name": HOSTILE, "fingerprint": HOSTILE})
    one["fields"] = {HOSTILE: one["fields"]["color"]}
    one["metrics"]["weighted_score"]["title"] = HOSTILE
    one["metrics"]["weighted_score"]["signature"] = HOSTILE
    card = ModelCard(one, CardOptions(dataset="org/photos", chart=True))
    files, _ = card.changes({"README.md": "---\nlicense: mit\n---\n# Mine\n"}, "org/m")
    text = files["README.md"]
    body = text[text.index("# Mine") :]
    assert body.count("<!-- peakbench:") == 2
    assert "\n---\n" not in body
    assert metadata(text)["license"] == "mit"
    assert markup(body) - {"image"} == {
        "<!-- peakbench:begin -->", "<!-- peakbench:end -->", "<details>", "</details>", "<summary>", "</summary>"
    }  # fmt: skip
    (picture,) = [path for path in files if path.endswith(".svg")]
    assert re.fullmatch(r"peakbench/[A-Za-z0-9._-]+\.svg", picture)
    tags = {one.tag.rpartition("}")[2] for one in ElementTree.fromstring(files[picture]).iter()}
    assert tags == {"svg", "title", "rect", "text", "tspan", "path"}
    assert card.changes(files, "org/m")[0] == {"README.md": text, picture: files[picture]}
    assert all(check.same for check in card.checks(files, "org/m"))


@given(st.text(max_size=60))
@settings(deadline=None, max_examples=150)
def test_escaped_text_is_one_line_without_markup(text: str) -> None:
    shown = escaped(text)
    assert "\n" not in shown
    bare = shown.replace("\\\\", "")
    for letter in "<>|`*[]":
        assert bare.count(letter) == bare.count(f"\\{letter}")


def test_shared_numbers_neither_round_up_to_all_nor_down_to_nothing() -> None:
    # two decimals of a per cent; 1 and 0 are kept for what is exactly that
    shares = (1, 0, 0.99999, 1e-9, -1e-9, 0.12345)
    assert [shared_number(value) for value in shares] == [100.0, 0.0, 99.99, 0.01, -0.01, 12.35]


def test_metrics_that_are_not_there_are_refused() -> None:
    one = summary()
    with pytest.raises(InputError, match="no metric 'weighted'") as caught:
        figures(one, ["weighted"])
    assert "weighted_score" in str(caught.value)
    one["metrics"]["weighted_score"] |= {"value": None, "reason": "no encoder"}
    with pytest.raises(InputError, match="no encoder"):
        figures(one, ["weighted_score"])
    one["metrics"].pop("latency")
    with pytest.raises(InputError, match="nothing in this run is scored"):
        figures(one)
    with pytest.raises(InputError, match="--dataset"):
        ModelCard(summary(), CardOptions(eval_tasks={"weighted_score": "t"}))


def test_a_table_is_read_back_from_its_own_section_only() -> None:
    one = summary()
    card = with_section("| A | `weighted_score` | 1.0 % |\n", "a/b", model_section(one, figures(one)))
    assert table_values(card, "a/b") == {"weighted_score": "97.8"}
    assert table_values(card, "c") == {}


def test_the_same_run_writes_the_same_bytes() -> None:
    first = ModelCard(summary()).changes({}, "org/m")
    again = ModelCard(json.loads(json.dumps(summary()))).changes({}, "org/m")
    assert first == again


def test_no_file_of_the_room_reads_a_token() -> None:
    import peakbench.hub

    folder = Path(peakbench.hub.__file__).parent
    users = [path.name for path in folder.glob("*.py") if "get_token" in path.read_text(encoding="utf-8")]
    assert users == ["remote.py"]
