import contextlib
import csv
import datetime as dt
import hashlib
import io
import itertools
import json
import sys
from decimal import Decimal
from pathlib import Path

import numpy as np
import orjson
import pandas as pd
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from peakbench.datasets import Dataset, Fingerprint, Reader, SampleRecord, checked, in_memory, open_dataset
from peakbench.datasets import lines as jsonl
from peakbench.errors import DataError, DataProblem, MissingDependency
from peakbench.records import ImageSource, Sample
from peakbench.tasks import Task

TASK = Task.model_validate(
    {"id": "shirt", "prompt": {"user": "Describe."}, "fields": {"color": {}, "brand": {}, "size": {}}}
)


def picture(color="red", size=(40, 50)):
    out = io.BytesIO()
    Pillow.new("RGB", size, color).save(out, "PNG")
    return out.getvalue()


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "images").mkdir()
    for color in ("red", "blue", "green"):
        (tmp_path / "images" / f"{color}.png").write_bytes(picture(color))
    return tmp_path


def write(path, *rows):
    path.write_text("".join(row if isinstance(row, str) else json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def row(sample_id="a", image="images/red.png", **more):
    return {"id": sample_id, "image": image, "reference": {"color": "red", "brand": None}, **more}


def problems(spec, *, task=TASK, **options):
    """Every problem as 'file:line: words' (the folder left off), through the door that a run uses."""
    with pytest.raises(DataError) as caught:
        list(checked(open_dataset(spec), task=task, **options))
    return [str(problem).removeprefix(f"{Path(spec).parent}/") for problem in caught.value.problems]


def samples(spec):
    found = list(open_dataset(spec))
    assert all(isinstance(item, Sample) for item in found), found
    return found


# -- JSONL -------------------------------------------------------------------------------------------------------------


def test_jsonl_rows_become_samples(folder):
    spec = write(
        folder / "eval.jsonl",
        {"id": 7, "image": "images/red.png", "reference": {"color": "red"}, "prompt": "Look.", "metadata": {"k": [1]}},
        "\n  \n",
        {"id": "b", "images": ["images/red.png", {"path": "images/blue.png", "label": "tag"}], "reference": "text"},
        {"id": "c", "image": "https://example.org/c.jpg"},
        '{"id": "d", "images": [{"data": "aGVsbG8="}, {"url": "https://e.org/x"}, "data:image/png;base64,aGVsbG8="]}',
    )
    base = str(folder)
    assert samples(spec) == [
        Sample(
            "7",
            (ImageSource("path", "images/red.png", None, base),),
            "Look.",
            {"color": "red"},
            {"k": [1]},
            f"{spec}:1",
        ),
        Sample(
            "b",
            (ImageSource("path", "images/red.png", None, base), ImageSource("path", "images/blue.png", "tag", base)),
            None,
            "text",
            {},
            f"{spec}:4",
        ),
        Sample("c", (ImageSource("url", "https://example.org/c.jpg"),), where=f"{spec}:5"),
        Sample(
            "d",
            (
                ImageSource("data_uri", "data:;base64,aGVsbG8="),
                ImageSource("url", "https://e.org/x"),
                ImageSource("data_uri", "data:image/png;base64,aGVsbG8="),
            ),
            where=f"{spec}:6",
        ),
    ]


def test_all_problems_are_named_with_their_lines(folder):
    spec = write(
        folder / "eval.jsonl",
        row(),
        "{not json}\n",
        {"image": "images/red.png"},
        row("c", refrence=1, prompt=" "),
        row("c2", refrence=1),
        row("d", reference=["red"]),
        "[1]\n",
        row("a", image="images/blue.png"),
        row("f", image="images/none.png"),
        row("g", image=None),
        row("h", images=["images/red.png"]),
        row(" i"),
        row(True),
        row("j", image={"path": "x", "url": "https://e.org"}),
        row("k", image={"pth": "x"}),
        row("l", image="s3://bucket/x.png"),
        row("m", metadata=[1]),
    )
    found = problems(spec)
    expected = [
        "eval.jsonl:2: not JSON:",
        "eval.jsonl:3: no 'id'",
        "eval.jsonl:4: unknown key 'refrence' (did you mean 'reference'?); what else belongs to a sample",
        "eval.jsonl:4: 'prompt' is an empty text",
        "eval.jsonl:6: 'reference' is a list",
        "eval.jsonl:7: a sample is a JSON object, this is a list",
        "eval.jsonl:9: image images/none.png: no such file",
        "eval.jsonl:10: sample 'g' has no image",
        "eval.jsonl:11: both 'image' and 'images'",
        "eval.jsonl:12: 'id' ' i' is not usable",
        "eval.jsonl:13: 'id' is true or false",
        "eval.jsonl:14: 'image': expected exactly one of 'path', 'url', 'data', found 2",
        "eval.jsonl:15: 'image': unknown key 'pth' (did you mean 'path'?)",
        "eval.jsonl:16: 'image': 's3://bucket/x.png' cannot be read",
        "eval.jsonl:17: 'metadata' is a list",
    ]
    # line 5 repeats an unknown key that line 4 has named; a duplicate is found at the end, and named at its place
    expected.insert(
        expected.index("eval.jsonl:9: image images/none.png: no such file"),
        f"eval.jsonl:8: id 'a' stands already at {spec}:1",
    )
    assert [words[: len(start)] for words, start in zip(found, expected, strict=True)] == expected


def test_duplicate_ids_name_both_lines_and_may_be_far_apart(folder):
    spec = write(
        folder / "eval.jsonl", row("x"), *(row(f"s{k}") for k in range(50)), row("x"), row(7), row("7"), row("x")
    )
    with pytest.raises(DataError) as caught:
        list(checked(open_dataset(spec), task=TASK))
    assert [str(problem) for problem in caught.value.problems] == [
        f"{spec}:52: id 'x' stands already at {spec}:1",
        f"{spec}:54: id '7' stands already at {spec}:53",
        f"{spec}:55: id 'x' stands already at {spec}:1",
    ]


def test_equal_hashes_of_different_ids_are_no_duplicates(folder, monkeypatch):
    monkeypatch.setattr("peakbench.datasets.checking.hash", lambda _: 1, raising=False)
    spec = write(folder / "eval.jsonl", row("a"), row("b"), row("c"))
    assert len(list(checked(open_dataset(spec), task=TASK))) == 3


@pytest.mark.parametrize(("encoding", "name"), [("utf-16", "UTF-16"), ("utf-16-le", "UTF-16"), ("utf-32", "UTF-32")])
@pytest.mark.parametrize("ending", ["jsonl", "csv"])
def test_other_encodings_are_named(folder, encoding, name, ending):
    path = folder / f"eval.{ending}"
    path.write_text('{"id": "a"}\n', encoding=encoding)
    with pytest.raises(DataError, match=f"the file is {name}") as caught:
        list(open_dataset(path))
    assert f"iconv -f {name} -t UTF-8" in str(caught.value)


def test_a_utf8_byte_order_mark_is_no_problem(folder):
    (folder / "eval.jsonl").write_text(json.dumps(row()) + "\n", encoding="utf-8-sig")
    (folder / "eval.csv").write_text("id,image\na,images/red.png\n", encoding="utf-8-sig")
    assert [sample.id for name in ("eval.jsonl", "eval.csv") for sample in samples(folder / name)] == ["a", "a"]


def test_wrong_bytes_are_named_and_the_rest_is_read(folder):
    (folder / "eval.jsonl").write_bytes(b'{"id": "\xff"}\n' + orjson.dumps(row()))
    first, second = open_dataset(folder / "eval.jsonl")
    assert first.what == "not JSON: byte 9 of the line is not UTF-8"
    assert second.id == "a"


def test_long_lines_are_skipped(folder, monkeypatch):
    monkeypatch.setattr(jsonl, "LINE_BYTES", 2**20)
    spec = write(folder / "eval.jsonl", row(prompt="x" * 3 * 2**20), row("b"), '{"id": "' + "y" * 2**21)
    first, second, third = open_dataset(spec)
    assert str(first) == f"{spec}:1: the line is longer than 1 MiB"
    assert (second.id, second.where) == ("b", f"{spec}:2")
    assert str(third) == f"{spec}:3: the line is longer than 1 MiB"


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.binary(max_size=60),
            st.dictionaries(
                st.sampled_from(["id", "image", "images", "prompt", "reference", "metadata", "x"]),
                st.recursive(
                    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(allow_nan=False) | st.text(max_size=9),
                    lambda inner: (
                        st.lists(inner, max_size=3)
                        | st.dictionaries(st.sampled_from(["path", "url", "data", "label", "k"]), inner, max_size=3)
                    ),
                    max_leaves=6,
                ),
            ).map(orjson.dumps),
        ),
        max_size=6,
    )
)
def test_arbitrary_lines_give_samples_and_problems(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "arbitrary.jsonl"
    path.write_bytes(b"\n".join(content))
    with contextlib.suppress(DataError):  # zero bytes at the start read as UTF-16
        for item in open_dataset(path):
            assert isinstance(item, DataProblem) or item.id


# -- what a run needs of a data set ------------------------------------------------------------------------------------


def test_a_data_set_can_be_read_again_and_limited(folder):
    spec = write(folder / "eval.jsonl", row("a"), "{bad\n", row("b"), row("c"))
    dataset = open_dataset(spec)
    assert [item.id for item in dataset if isinstance(item, Sample)] == ["a", "b", "c"]
    assert len(list(dataset)) == len(list(dataset)) == 4
    limited = open_dataset(spec, limit=2)
    assert [type(item).__name__ for item in limited] == ["Sample", "DataProblem", "Sample"]
    assert list(open_dataset(spec, limit=0)) == []
    assert (dataset.name, dataset.spec, dataset.reader) == ("eval", spec, "jsonl")
    assert [item.id for item in open_dataset(dataset, limit=1)] == ["a"]


def test_names(folder):
    write(folder / "samples.jsonl", row())
    assert open_dataset(folder / "samples.jsonl").name == folder.name
    assert open_dataset(folder).name == folder.name
    assert in_memory([]).name == "in-memory"


def test_checked_yields_records_in_order(folder):
    spec = write(
        folder / "eval.jsonl", row("a"), row("b", "images/blue.png", reference=None, metadata={"k": 1}, prompt="?")
    )
    one, two = checked(open_dataset(spec), task=TASK)
    data = (folder / "images" / "blue.png").read_bytes()
    assert (one.id, two.id, two.reference, two.metadata, two.prompt) == ("a", "b", None, {"k": 1}, "?")
    (image,) = two.images
    assert (image.sha256, image.bytes, image.media_type) == (hashlib.sha256(data).hexdigest(), len(data), "image/png")
    assert image.path == str(folder / "images" / "blue.png")
    assert (image.width, image.height) == (40, 50)
    assert SampleRecord.from_dict(orjson.loads(orjson.dumps(two.as_dict()))) == SampleRecord(
        two.id, two.reference, two.metadata, two.prompt, two.images
    )


def test_images_are_left_alone_where_only_scores_are_wanted(folder):
    spec = write(folder / "eval.jsonl", row(image="images/none.png"), {"id": "b", "reference": {"color": "red"}})
    assert [record.images for record in checked(open_dataset(spec), task=TASK, read_images=False)] == [(), ()]


def test_options_reach_the_images(folder, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside") / "x.png"
    outside.write_bytes(picture())
    spec = write(folder / "eval.jsonl", row("a", str(outside)), row("b", "https://e.org/x.jpg"))
    found = problems(spec)
    assert "leads out of the folder" in found[0]
    assert "images by URL are off" in found[1]
    with pytest.raises(DataError) as caught:
        list(checked(open_dataset(spec), task=TASK))
    assert "--allow-outside" in str(caught.value)
    assert "--allow-image-urls" in str(caught.value)
    assert len(list(checked(open_dataset(spec), task=TASK, allow_outside=True, allow_urls=True))) == 2
    assert "at most 10 bytes" in problems(spec, allow_outside=True, allow_urls=True, max_image_bytes=10)[0]


def test_problems_are_bounded_and_all_counted(folder):
    spec = write(folder / "eval.jsonl", *("{\n" for _ in range(2500)))
    with pytest.raises(DataError) as caught:
        list(checked(open_dataset(spec), task=TASK))
    assert caught.value.what == f"2,500 problems in {spec}; the first 1,000 are kept"
    assert len(caught.value.problems) == 1000
    assert str(caught.value.problems[-1]).startswith(f"{spec}:1000: ")


def test_an_empty_data_set_is_a_problem(folder):
    assert problems(write(folder / "eval.jsonl", "\n")) == ["eval.jsonl: no sample in it"]


# -- references against the task ---------------------------------------------------------------------------------------


def check(*references, task=TASK):
    """The problems of references against a task, images aside."""
    dataset = in_memory([{"id": str(n), "reference": reference} for n, reference in enumerate(references, 1)])
    try:
        list(checked(dataset, task=task, read_images=False))
    except DataError as error:
        return [str(problem).removeprefix("in-memory:").strip() for problem in error.problems]
    return []


def task_of(**field):
    return Task.model_validate({"id": "t", "prompt": {"user": "?"}, "fields": {"f": field}})


def test_unknown_fields_are_named_once_and_counted():
    assert check({"color": "red", "colour": "red"}, {"colour": "x"}, {"brand": None, "bran": 1}) == [
        "1: reference: task 'shirt' has no field 'colour'; did you mean 'color'? (in 2 samples)",
        "3: reference: task 'shirt' has no field 'bran'; did you mean 'brand'?",
    ]


def test_text_and_objects_have_to_fit_the_task():
    text = Task.model_validate({"id": "caption", "answer": "text", "prompt": {"user": "?"}})
    assert check("a red shirt", None, task=text) == []
    assert check({"color": "red"}, "x", task=text) == [
        "1: the reference is an object, and the answer to task 'caption' is text"
    ]
    assert check({"color": "red"}, "a red shirt") == [
        "2: the reference is text, and the answer to task 'shirt' is a JSON object"
    ]


def test_references_may_be_partial_or_missing():
    assert check({"color": "red"}, {"brand": None}, {}, None) == []
    assert check(None, None) == []


def test_references_without_any_field_of_the_task():
    assert check({}, {}) == ["no reference can be scored by task 'shirt' (fields: color, brand, size)"]


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ({}, "red", None),
        ({}, 32, None),
        ({}, None, None),
        ({}, ["red"], "a list, where the task has one value"),
        ({}, {"a": 1}, "an object, where the task has a plain value"),
        ({}, True, "True, where the task has a string"),
        ({"many": True}, ["a", "b"], None),
        ({"many": True}, [], None),
        ({"many": True}, "a", "one value ('a'), where the task has a list"),
        ({"many": True}, [["a"]], "a list, where the task has one value"),
        ({"type": "boolean"}, False, None),
        ({"type": "boolean"}, "false", "'false', where the task has true or false"),
        ({"type": "number"}, 1.5, None),
        ({"type": "number"}, "1.5", None),
        ({"type": "number"}, "much", "'much' is not a number"),
        ({"type": "number"}, "nan", "'nan' is not a number"),
        ({"type": "integer"}, True, "True, where the task has a integer"),
        ({"type": "object", "many": True}, [{"a": 1}], None),
        ({"type": "object", "many": True}, ["a"], "not an object"),
        ({"type": "object"}, {"a": 1}, None),
    ],
)
def test_values_have_to_have_the_shape_of_the_field(field, value, problem):
    expected = [] if problem is None else [f"1: reference, field 'f': {problem}"]
    assert check({"f": value}, task=task_of(**field)) == expected


# -- fingerprint -------------------------------------------------------------------------------------------------------


def fingerprint(spec, **options):
    result = Fingerprint()
    for record in checked(open_dataset(spec), task=TASK, **options):
        result.add(record)
    return result.hexdigest()


def test_the_fingerprint_is_the_hash_of_the_content_written_out(folder):
    spec = write(
        folder / "eval.jsonl",
        {"id": "a", "image": "images/red.png", "reference": {"size": None, "color": "red"}, "metadata": {"k": 1}},
    )
    sha = hashlib.sha256((folder / "images" / "red.png").read_bytes()).hexdigest()
    content = 'peakbench data set 1\n["a",null,{"color":"red","size":null},[["' + sha + '",null]]]\n'
    assert fingerprint(spec) == hashlib.sha256(content.encode()).hexdigest()


def test_the_fingerprint_knows_content_from_place(folder, tmp_path_factory):
    rows = [row("a"), row("b", "images/blue.png")]
    original = fingerprint(write(folder / "one.jsonl", *rows))
    other = tmp_path_factory.mktemp("other")
    for color in ("red", "blue"):
        (other / f"{color}.x").write_bytes(picture(color))
    moved = [row("a", "red.x", metadata={"new": 1}), row("b", "blue.x")]
    assert fingerprint(write(other / "two.jsonl", *moved)) == original
    changes = [
        [rows[1], rows[0]],
        rows[:1],
        [rows[0], {**rows[1], "id": "c"}],
        [rows[0], {**rows[1], "image": "images/green.png"}],
        [rows[0], {**rows[1], "prompt": "?"}],
        [rows[0], {**rows[1], "reference": {"color": "red"}}],
        [rows[0], {**rows[1], "image": None, "images": [{"path": "images/blue.png", "label": "tag"}]}],
    ]
    prints = [fingerprint(write(folder / "one.jsonl", *change)) for change in changes]
    assert len({original, *prints}) == len(changes) + 1


# -- CSV ---------------------------------------------------------------------------------------------------------------


def test_csv_columns_become_samples(folder):
    spec = write(
        folder / "eval.csv",
        "id,image_front,image_tag,prompt,reference.color,reference.brand,metadata.source\r\n"
        'a,images/red.png,images/blue.png,,"red, dark",,web\r\n'
        'b,images/red.png,,"Two\nlines",red,"said ""Nord""",\r\n'
        ",,,,,,\r\n"
        "c,,images/blue.png,,,,x\r\n",
    )
    base = str(folder)
    assert samples(spec) == [
        Sample(
            "a",
            (ImageSource("path", "images/red.png", "front", base), ImageSource("path", "images/blue.png", "tag", base)),
            None,
            {"color": "red, dark", "brand": None},
            {"source": "web"},
            f"{spec}:2",
        ),
        Sample(
            "b",
            (ImageSource("path", "images/red.png", "front", base),),
            "Two\nlines",
            {"color": "red", "brand": 'said "Nord"'},
            {"source": None},
            f"{spec}:3",
        ),
        Sample(
            "c",
            (ImageSource("path", "images/blue.png", "tag", base),),
            None,
            {"color": None, "brand": None},
            {"source": "x"},
            f"{spec}:6",
        ),
    ]


def test_csv_with_json_columns_and_several_images(folder):
    spec = write(
        folder / "eval.csv",
        "id,images,reference,metadata\n"
        'a,images/red.png; images/blue.png,"{""color"": ""red"", ""size"": [1]}","{""k"": 1}"\n'
        "b,images/red.png,,\n"
        "c,images/red.png,plain text,\n"
        "d,images/red.png,null,\n"
        'e,images/red.png,"{""color"": }",\n'
        "f,data:image/png;base64,,\n",
    )
    found = list(open_dataset(spec))
    assert [len(found[0].images), found[0].reference, found[0].metadata] == [2, {"color": "red", "size": [1]}, {"k": 1}]
    assert [found[k].reference for k in (1, 2, 3)] == [None, "plain text", None]
    assert str(found[4]).startswith(f"{spec}:6: column 'reference' is not JSON: ")
    assert "at character 11" in str(found[4])
    assert str(found[5]) == f"{spec}:7: a data URI holds ';' and cannot stand in 'images'; use 'image' or 'image_NAME'"


def test_csv_problems_have_the_line_where_their_row_begins(folder):
    spec = write(
        folder / "eval.csv",
        "id,image,prompt\n"
        'a,images/red.png,"one\ntwo\nthree"\n'
        "b,images/red.png\n"
        'c,images/red.png,"x"y\n'
        "d,images/red.png,x\n"
        'e,images/red.png,"never closed\nf,g,h\n',
    )
    assert problems(spec) == [
        "eval.csv:5: 2 cells, where the header has 3",
        "eval.csv:6: not CSV: ',' expected after '\"'",
        "eval.csv:8: not CSV: a quote that opens in this row is never closed",
    ]


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("image,prompt", "no column 'id'"),
        (
            "id,image,refrence.color",
            "unknown column 'refrence.color' (did you mean 'reference.color'?), or name it metadata.refrence.color",
        ),
        ("id,image,image", "two columns have the name 'image'"),
        ("id,image,", "column 3 has no name"),
        ("id,reference,reference.color", "both a column 'reference' and columns 'reference.NAME'"),
        ("id,metadata,metadata.color", "both a column 'metadata' and columns 'metadata.NAME'"),
        ("id,images,image_tag", "both a column 'images' and columns for single images"),
        ("id;image;prompt", "the header is separated by ';'"),
        ("id,reference.", "unknown column 'reference.'"),
    ],
)
def test_csv_headers_that_cannot_be_used(folder, header, words):
    found = problems(write(folder / "eval.csv", header + "\n" + "a,b,c\n" * 3))
    assert len(found) == 1
    assert found[0].startswith("eval.csv:1: " + words)


def test_csv_wrong_bytes_have_their_line(folder):
    (folder / "eval.csv").write_bytes(b"id,image,prompt\na,images/red.png,\xe9t\xe9\nb,images/red.png,x\n")
    found = list(open_dataset(folder / "eval.csv"))
    assert str(found[0]) == f"{folder}/eval.csv:2: byte 18 of the line is not UTF-8"
    assert found[1].id == "b"


@pytest.mark.parametrize("header", [b"id,im\xe9ge\n", b'id,"image"x\n'])
def test_csv_headers_that_cannot_be_read_end_the_file(folder, header):
    (folder / "eval.csv").write_bytes(header + b"a,b\nc,d\n")
    (problem,) = open_dataset(folder / "eval.csv")
    assert problem.where == f"{folder}/eval.csv:1"


def test_csv_cells_may_be_large(folder):
    uri = "data:image/png;base64," + "A" * 400_000
    (sample,) = samples(write(folder / "eval.csv", f'id,image\na,"{uri}"\n'))
    assert sample.images == (ImageSource("data_uri", uri),)


def test_tsv(folder):
    (sample,) = samples(write(folder / "eval.tsv", "id\timage\treference.color\na\timages/red.png\tred, dark\n"))
    assert sample.reference == {"color": "red, dark"}


@settings(max_examples=100, deadline=None)
@given(rows=st.lists(st.lists(st.text(max_size=8), min_size=2, max_size=2), max_size=5))
def test_what_the_csv_module_writes_is_read_back(tmp_path_factory, rows):
    path = tmp_path_factory.getbasetemp() / "round.csv"
    with path.open("w", newline="", encoding="utf-8", errors="surrogatepass") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL)
        writer.writerow(["id", "reference.a", "reference.b"])
        writer.writerows([f"r{n}", *cells] for n, cells in enumerate(rows))
    try:
        content = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return
    found = list(open_dataset(path))
    assert [item.reference for item in found] == [{"a": a or None, "b": b or None} for a, b in rows], content


# -- Parquet -----------------------------------------------------------------------------------------------------------

ROWS = [
    {"id": "a", "image": "images/red.png", "reference": {"color": "red", "brand": None, "size": "32"}},
    {"id": "b", "image": "images/blue.png", "reference": {"color": "navy blue", "brand": "Nordvik", "size": None}},
    {"id": "c", "image": "images/green.png", "reference": {"color": None, "brand": None, "size": None}},
]


def flat(rows):
    return [
        {"id": r["id"], "image": r["image"], **{f"reference.{k}": v for k, v in r["reference"].items()}} for r in rows
    ]


def test_the_same_content_has_the_same_fingerprint_in_every_form(folder):
    original = fingerprint(write(folder / "eval.jsonl", *ROWS))
    with (folder / "eval.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, flat(ROWS)[0])
        writer.writeheader()
        writer.writerows(flat(ROWS))
    pq.write_table(pa.Table.from_pylist(ROWS), folder / "nested.parquet")
    pq.write_table(pa.Table.from_pylist(flat(ROWS)), folder / "flat.parquet", row_group_size=2)
    pd.DataFrame(flat(ROWS)).to_parquet(folder / "pandas.parquet")
    inside = [{**r, "image": {"bytes": (folder / r["image"]).read_bytes(), "path": "x.png"}} for r in ROWS]
    pq.write_table(pa.Table.from_pylist(inside), folder / "inside.parquet")
    text = [{**r, "reference": json.dumps(r["reference"])} for r in ROWS]
    pq.write_table(pa.Table.from_pylist(text), folder / "text.parquet")
    write_huggingface(folder / "saved", inside)
    forms = ["eval.csv", "nested.parquet", "flat.parquet", "pandas.parquet", "inside.parquet", "text.parquet", "saved"]
    assert {name: fingerprint(folder / name) for name in forms} == dict.fromkeys(forms, original)
    absolute = [{**r, "image": folder / r["image"]} for r in ROWS]
    assert fingerprint(absolute) == original
    frame = pd.DataFrame(flat(ROWS)).assign(image=[str(r["image"]) for r in absolute])
    assert fingerprint(frame) == original


def test_parquet_rows_are_named_and_numbers_come_as_json(folder):
    rows = [
        {"id": 1, "image": "images/red.png", "reference.size": 32.0, "metadata.day": pd.Timestamp("2026-01-02").date()},
        {"id": 2, "image": "images/red.png", "reference.size": float("nan"), "metadata.day": None},
        {"id": 3, "image": "images/red.png", "reference.size": float("inf"), "metadata.day": None},
    ]
    pq.write_table(pa.Table.from_pylist(rows), folder / "eval.parquet")
    one, two, three = open_dataset(folder / "eval.parquet")
    assert (one.id, one.reference, one.metadata) == ("1", {"size": 32.0}, {"day": "2026-01-02"})
    assert one.where == f"{folder}/eval.parquet:row 1"
    assert two.reference == {"size": None}
    assert str(three) == f"{folder}/eval.parquet:row 3: an infinite number, which JSON does not have"


def test_parquet_is_read_by_batches(folder):
    table = pa.table({"id": pa.array(range(1000)), "image": pa.array(["images/red.png"] * 1000)})
    pq.write_table(table, folder / "eval.parquet", row_group_size=300)
    found = samples(folder / "eval.parquet")
    assert [sample.id for sample in found] == [str(k) for k in range(1000)]
    assert found[-1].where.endswith(":row 1000")


def test_parquet_lists_of_images(folder):
    rows = [{"id": "a", "images": [{"bytes": picture(), "path": None}, {"bytes": None, "path": "images/red.png"}]}]
    pq.write_table(pa.Table.from_pylist(rows), folder / "eval.parquet")
    (sample,) = samples(folder / "eval.parquet")
    assert sample.images == (ImageSource("bytes", picture()), ImageSource("path", "images/red.png", None, str(folder)))


def test_files_that_are_not_parquet_or_cut_off(folder):
    (folder / "a.parquet").write_bytes(b"hello, this is no parquet")
    assert "a.parquet: cannot be read: " in problems(folder / "a.parquet")[0]
    pq.write_table(pa.Table.from_pylist([{"idd": "a"}]), folder / "b.parquet")
    assert problems(folder / "b.parquet")[:2] == [
        "b.parquet: unknown column 'idd' (did you mean 'id'?), or name it metadata.idd",
        "b.parquet: no column 'id'",
    ]


def test_without_pyarrow_the_message_is_the_install_command(folder, monkeypatch):
    pq.write_table(pa.Table.from_pylist([{"id": "a"}]), folder / "a.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingDependency, match=r"pip install 'peakbench\[data\]'"):
        list(open_dataset(folder / "a.parquet"))


# -- Hugging Face folders ----------------------------------------------------------------------------------------------


def write_huggingface(folder, rows, *, features=None, files=1):
    """Lay out a folder as ``Dataset.save_to_disk`` of datasets 5.2.0 does: state.json beside Arrow IPC streams."""
    folder.mkdir(parents=True)
    table = pa.Table.from_pylist(rows)
    if features:
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    names = []
    size = -(-len(rows) // files)
    for n in range(files):
        names.append(f"data-{n:05}-of-{files:05}.arrow")
        part = table.slice(n * size, size)
        with pa.OSFile(str(folder / names[-1]), "wb") as file, pa.ipc.new_stream(file, part.schema) as writer:
            writer.write_table(part)
    (folder / "dataset_info.json").write_text("{}")
    (folder / "state.json").write_text(
        json.dumps({"_data_files": [{"filename": name} for name in names], "_split": None})
    )
    return folder


def test_saved_data_sets_are_read_in_the_order_of_state_json(folder):
    saved = write_huggingface(folder / "saved", [{"id": str(n)} for n in range(200)], files=3)
    assert [sample.id for sample in samples(saved)] == [str(n) for n in range(200)]
    assert samples(saved)[-1].where == f"{saved}/data-00002-of-00003.arrow:row 66"
    assert open_dataset(saved).reader == "hf"
    assert [s.id for s in samples(f"hf:{saved}")] == [s.id for s in samples(saved)]


def test_class_labels_are_read_as_their_names(folder):
    label = {"names": ["red", "blue"], "_type": "ClassLabel"}
    rows = [
        {"id": str(n), "reference": {"color": n - 1, "tags": [0, n - 1]}, "metadata": {"c": n - 1}} for n in range(3)
    ]
    features = {
        "id": {"dtype": "string", "_type": "Value"},
        "reference": {"color": label, "tags": {"feature": label, "_type": "List"}},
        "metadata": {"c": {"dtype": "int64", "_type": "Value"}},
    }
    saved = write_huggingface(folder / "saved", rows, features=features)
    assert [s.reference for s in samples(saved)] == [
        {"color": None, "tags": ["red", None]},
        {"color": "red", "tags": ["red", "red"]},
        {"color": "blue", "tags": ["red", "blue"]},
    ]
    assert samples(saved)[2].metadata == {"c": 1}


def test_splits_have_to_be_picked_where_there_are_several(folder):
    saved = folder / "dict"
    for split in ("train", "test"):
        write_huggingface(saved / split, [{"id": split}])
    (saved / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    with pytest.raises(DataError, match="several splits") as caught:
        list(open_dataset(saved))
    assert caught.value.hint == f"pick one: {saved}#test, {saved}#train"
    assert samples(f"{saved}#test")[0].id == "test"
    with pytest.raises(DataError, match="no split 'tset'") as caught:
        list(open_dataset(f"{saved}#tset"))
    assert caught.value.hint == "did you mean 'test'?"


@pytest.mark.parametrize(
    ("names", "splits"),
    [
        (["data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet"], {"": ["0", "1"]}),
        (["train-00000-of-00001.parquet", "test-00000-of-00001-0a1b2c.parquet"], {"#train": ["0"], "#test": ["1"]}),
        (["train/0000.parquet", "test/0000.parquet"], {"#train": ["0"], "#test": ["1"]}),
    ],
)
def test_parquet_shards_as_from_the_hub(folder, names, splits):
    for n, name in enumerate(names):
        (folder / "hub" / name).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist([{"id": str(n)}]), folder / "hub" / name)
    assert {split: [s.id for s in samples(f"{folder}/hub{split}")] for split in splits} == splits


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("{", "cannot be read"),
        ("[]", "not a JSON object"),
        ("{}", "no usable list of files"),
        ('{"_data_files": [{"filename": "../../x.arrow"}]}', "no usable list of files"),
        ('{"_data_files": 3}', "no usable list of files"),
        ('{"_data_files": [{"filename": "a.arrow"}], "_indices_data_files": [{"filename": "i"}]}', "an index file"),
    ],
)
def test_folders_that_cannot_be_read(folder, state, words):
    (folder / "state.json").write_text(state)
    with pytest.raises(DataError, match=words):
        list(open_dataset(folder))


def test_splits_stay_in_the_folder(folder):
    write_huggingface(folder / "elsewhere", [{"id": "a"}])
    (folder / "dict").mkdir()
    (folder / "dict" / "dataset_dict.json").write_text('{"splits": ["../elsewhere"]}')
    with pytest.raises(DataError, match="no usable list 'splits'"):
        list(open_dataset(folder / "dict"))


def test_missing_or_torn_arrow_files_are_problems(folder):
    saved = write_huggingface(folder / "saved", [{"id": str(n)} for n in range(3)], files=3)
    (saved / "data-00001-of-00003.arrow").unlink()
    (saved / "data-00002-of-00003.arrow").write_bytes(b"torn")
    one, two, three = open_dataset(saved)
    assert one.id == "0"
    assert str(two).startswith(f"{saved}/data-00001-of-00003.arrow: cannot be read: ")
    assert str(three).startswith(f"{saved}/data-00002-of-00003.arrow: cannot be read: ")


# -- folders of images, objects in memory, choosing --------------------------------------------------------------------


def test_a_folder_of_images_is_a_data_set_without_references(folder):
    (folder / "more").mkdir()
    (folder / "more" / "a.PNG").write_bytes(picture())
    (folder / "notes.txt").write_text("no image")
    found = list(checked(open_dataset(folder), task=TASK))
    assert [(record.id, record.reference) for record in found] == [
        ("images/blue", None),
        ("images/green", None),
        ("images/red", None),
        ("more/a", None),
    ]
    assert open_dataset(folder).reader == "images"


def test_objects_in_memory(folder):
    rows = ({"id": n, "image": picture(), "reference": {"color": "red"}} for n in range(3))
    dataset = open_dataset(rows)
    assert [record.id for record in checked(dataset, task=TASK)] == ["0", "1", "2"]
    assert len(list(dataset)) == 3
    assert list(open_dataset([Sample("x")])) == [Sample("x")]
    (problem,) = open_dataset([{"id": "a", "image": Pillow.new("RGB", (1, 1))}])
    assert str(problem) == "in-memory:1: 'image' is a Image, expected a path, a URL or a data URI"
    for wrong in (3, {"id": "a"}, b"x", None):
        with pytest.raises(DataError, match="is no data set"):
            open_dataset(wrong)


def test_values_of_a_program_become_json():
    given = {
        "day": dt.date(2026, 1, 2), "many": np.array([1, 2]), "one": np.float64(1.5), "none": float("nan"),
        "large": 10**30, "exact": Decimal("1.25"), "pair": (1, True),
    }  # fmt: skip
    (sample,) = open_dataset([{"id": np.int64(4), "metadata": given}])
    assert sample.id == "4"
    assert sample.metadata == {
        "day": "2026-01-02", "many": [1, 2], "one": 1.5, "none": None, "large": 1e30, "exact": 1.25, "pair": [1, True],
    }  # fmt: skip
    assert orjson.loads(orjson.dumps(sample.metadata)) == sample.metadata
    wrong = [{1}, float("inf"), "\ud800", b"x"]
    found = list(open_dataset([{"id": "a", "reference": {"x": value}} for value in wrong]))
    assert [problem.what for problem in found] == [
        "'reference': a set, which JSON does not have",
        "'reference': an infinite number, which JSON does not have",
        "'reference': half a surrogate pair, which is no character",
        "'reference': a bytes, which JSON does not have",
    ]


def test_deep_values_are_a_problem_in_every_form(folder):
    def nested(levels):
        return '{"a":' * levels + "1" + "}" * levels

    spec = write(
        folder / "eval.jsonl",
        *(
            f'{{"id": "{n}", "image": "images/red.png", "reference": {{"size": {nested(n)}}}}}\n'
            for n in (2, 63, 64, 900)
        ),
    )
    one, two, three, four = open_dataset(spec)
    assert (one.id, two.id) == ("2", "63")
    assert three.what == four.what == "'reference' has more than 64 levels of objects and lists"
    (memory,) = open_dataset([{"id": "a", "reference": json.loads(nested(900))}])
    assert memory.what == "'reference': more than 64 levels of objects and lists"
    pq.write_table(pa.Table.from_pylist([{"id": "a", "reference": nested(900)}]), folder / "deep.parquet")
    (table,) = open_dataset(folder / "deep.parquet")
    assert table.what == "'reference' has more than 64 levels of objects and lists"


def test_a_reader_that_fails_is_a_data_error(folder):
    def failing():
        yield Sample("a")
        raise OSError("the disk is gone")

    with pytest.raises(DataError, match="the disk is gone"):
        list(checked(Dataset("d", "d", "memory", failing), task=TASK, read_images=False))


def test_nulls_of_pandas(folder):
    frame = pd.DataFrame(
        {
            "id": ["a", "b"],
            "image": [str(folder / "images" / "red.png")] * 2,
            "reference.size": pd.array([1, None], dtype="Int64"),
            "reference.color": ["red", None],
            "metadata.day": pd.to_datetime(["2026-01-02", None]),
        }
    )
    one, two = checked(open_dataset(frame), task=TASK)
    assert (one.reference, one.metadata) == ({"size": 1, "color": "red"}, {"day": "2026-01-02T00:00:00"})
    assert (two.reference, two.metadata) == ({"size": None, "color": None}, {"day": None})


def test_a_plugin_reader_is_chosen_by_ending_and_by_scheme(tmp_path):
    seen = []

    def read(spec):
        seen.append(spec)
        return [Sample("x")]

    readers = (Reader("lines", (".jsonl",), jsonl.read_jsonl), Reader("special", (".special.jsonl",), read))
    (tmp_path / "a.special.jsonl").touch()
    assert open_dataset(tmp_path / "a.special.jsonl", readers=readers).reader == "special"
    assert list(open_dataset("special:any where", readers=readers)) == [Sample("x")]
    assert seen == ["any where"]


def test_what_cannot_be_opened(folder):
    write(folder / "eval.jsonl", row())
    with pytest.raises(DataError, match="no such file or folder") as caught:
        open_dataset(folder / "evl.jsonl")
    assert caught.value.hint == "did you mean 'eval.jsonl'?"
    with pytest.raises(DataError, match="no such file or folder") as caught:
        open_dataset(folder / "x" / "evl.jsonl")
    assert caught.value.hint == f"there is no folder {folder / 'x'} either"
    (folder / "eval.xlsx").touch()
    with pytest.raises(DataError, match="no reader knows this form") as caught:
        open_dataset(folder / "eval.xlsx")
    assert ".jsonl, .ndjson, .csv, .tsv, .parquet" in str(caught.value)
    (folder / "empty").mkdir()
    with pytest.raises(DataError, match="no data set in this folder"):
        open_dataset(folder / "empty")
    for scheme in ("hf", "images", "parquet", "jsonl", "csv"):
        with pytest.raises(DataError):
            list(open_dataset(f"{scheme}:{folder}/nowhere"))
    with pytest.raises(DataError, match="a folder, where a file belongs"):
        list(open_dataset(f"jsonl:{folder}"))


def test_ids_need_eight_bytes_each(tmp_path):
    import tracemalloc

    def many(n):
        return Dataset("many", "many", "memory", lambda: (Sample(f"s{k}", where="x") for k in range(n)))

    peaks = []
    for n in (1_000, 50_000):
        tracemalloc.start()
        sum(1 for _ in checked(many(n), task=TASK, read_images=False))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # 8 bytes an id, twice that while the array grows and is sorted; a set of strings would take 100 and more.
    assert (peaks[1] - peaks[0]) / 49_000 < 40


def test_samples_stream(folder):
    def endless():
        for n in itertools.count():
            yield Sample(str(n), where=f"x:{n}")

    records = checked(Dataset("e", "e", "memory", endless), task=TASK, read_images=False)
    assert [record.id for record in itertools.islice(records, 3)] == ["0", "1", "2"]
