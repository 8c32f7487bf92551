"""What the sample browser is given: order, values, texts and pictures, and the limits of each."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import pytest

from peakbench import api
from peakbench.images import identify
from peakbench.records import ImageSource
from peakbench.report.html import samples as samples_module
from peakbench.report.html.composites import composite_terms
from peakbench.report.html.samples import sample_context, sample_payload
from peakbench.report.html.source import ReportSource, open_source
from peakbench.report.html.thumbnails import Thumbnail, thumbnails
from peakbench.store import RunDirectory
from peakbench.testing import Asked, Reply, ScriptedEndpoint

Image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")

TASK = {
    "format": 1,
    "id": "demo",
    "version": 1,
    "title": "Demo",
    "prompt": {"user": "What is it?"},
    "fields": {"color": {"weight": 2.0}, "brand": {}},
}


def scored(folder: Path, asked: list[Any], given: list[Any], **options: Any) -> ReportSource:
    folder.mkdir(parents=True)
    for name, lines in (("samples.jsonl", asked), ("answers.jsonl", given)):
        (folder / name).write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    (folder / "task.json").write_text(json.dumps(TASK), encoding="utf-8")
    made = api.score(
        answers=folder / "answers.jsonl",
        data=folder / "samples.jsonl",
        task=folder / "task.json",
        out=folder / "run",
        metrics=options.pop("metrics", ["weighted_score", "json_parse_rate"]),
        resamples=100,
        images=any("image" in one for one in asked),
        allow_outside=True,
        **options,
    )
    return open_source(RunDirectory.open(made.path))


def asked(n: int, **more: Any) -> list[dict[str, Any]]:
    return [{"id": f"p{at}", "reference": {"color": "red", "brand": None}, **more} for at in range(n)]


def given(at: int, text: str | None = None, **more: Any) -> dict[str, Any]:
    return {"id": f"p{at}", "text": '{"color": "red", "brand": null}' if text is None else text, **more}


def shown(payload: dict[str, Any], code: int) -> Any:
    return payload["values"][code] if code >= 0 else "(absent)"


def test_worst_first_unscored_last_and_values_as_they_were_read(tmp_path: Path) -> None:
    answers = [
        given(0),
        given(1, '{"color": "blue", "brand": null}'),  # 1 of 3 weight
        given(2, '{"color": "red", "brand": "Acme"}'),  # 2 of 3
        {"id": "p3", "error": {"kind": "timeout", "http_status": None, "message": "too slow"}},
        given(4, "no idea"),  # 0
        given(5, '{"color": ["red"], "extra": 1}'),  # a list for a single value, and brand left out
    ]
    payload = sample_payload(scored(tmp_path / "one", asked(6), answers))
    assert payload["ids"] == ["p4", "p1", "p5", "p2", "p0", "p3"]
    assert payload["order"] == [4, 1, 5, 2, 0, 3]
    (side,) = payload["answers"]
    assert side["state"] == ["unparseable", "strict", "strict", "strict", "strict", "failed"]
    assert side["metrics"]["weighted_score"] == [0, 0.333333, 0.333333, 0.666667, 1, None]
    # places in OUTCOMES: correct, correct_null, wrong, invented, omitted, unread
    assert side["outcomes"] == ["55", "21", "21", "03", "01", "--"]
    given_values = [[shown(payload, code) for code in row] for row in side["values"]]
    assert given_values == [
        ["(absent)", "(absent)"],
        ["blue", ["null"]],
        [['["red"]'], "(absent)"],
        ["red", "Acme"],
        ["red", ["null"]],
        ["(absent)", "(absent)"],
    ]
    details = payload["details"]
    assert details[5]["runs"][0][0]["failure"] == ["timeout", None, "too slow"]
    assert details[0]["runs"][0][0]["text"] == "no idea"
    assert details[0]["runs"][0][0]["problem"][0] == "no_object"
    assert details[2]["runs"][0][0]["extra"] == ["extra"]
    assert payload["worst"][1] == {
        "id": "p1",
        "score": pytest.approx(1 / 3),
        "state": "strict",
        "missed": "color wrong",
    }


def test_two_runs_are_ordered_by_what_changed(tmp_path: Path) -> None:
    first = scored(tmp_path / "one", asked(3), [given(0), given(1, "?"), given(2, '{"color": "x", "brand": null}')])
    second = scored(tmp_path / "two", asked(3), [given(0, '{"color": "x", "brand": null}'), given(1), given(2, "?")])
    both = ReportSource(first.directory, first.record, first.task, first.summary, "both", second)
    payload = sample_payload(both)
    assert payload["ids"] == ["p0", "p2", "p1"]  # -2/3, -1/3, +1
    assert [side["metrics"]["weighted_score"] for side in payload["answers"]] == [[1, 0.333333, 0], [0.333333, 0, 1]]
    assert payload["lead_title"] == "change in Weighted score"
    assert [one["score"] for one in payload["worst"]] == pytest.approx([-2 / 3, -1 / 3, 1])
    assert [len(one["runs"]) for one in payload["details"]] == [2, 2, 2]


def test_of_a_large_run_the_worst_are_shown_and_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = scored(tmp_path / "one", asked(5), [given(at, "?" if at in (1, 4) else None) for at in range(5)])
    monkeypatch.setattr(samples_module, "MOST", 2)
    payload = sample_payload(source)
    assert payload["ids"] == ["p1", "p4"]
    assert payload["notes"] == ["The page shows 2 of 5 samples: the worst by Weighted score."]


def test_long_texts_are_cut_and_the_cut_is_marked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = scored(tmp_path / "one", asked(3), [given(at, "x" * 30_000) for at in range(3)])
    texts = [one["runs"][0][0]["text"] for one in sample_payload(source)["details"]]
    assert texts == [["x" * 20_000, 10_000]] * 3
    monkeypatch.setattr("peakbench.report.html.details.TEXTS_SHOWN", 30_000)
    texts = [one["runs"][0][0]["text"] for one in sample_payload(source)["details"]]
    assert [len(text[0]) for text in texts] == [20_000, 20_000, 400]
    assert [text[1] for text in texts] == [10_000, 10_000, 29_600]


def test_details_come_in_chunks_and_nothing_in_them_can_end_a_script(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(samples_module, "CHUNK", 2)
    metadata = {"</script><script>": "<!--", "line": "\u2028"}
    source = scored(
        tmp_path / "one", asked(5, metadata=metadata), [given(at, "</script>&<!--\ud800") for at in range(5)]
    )
    context = sample_context(source)
    assert len(context["samples_details"]) == 3
    for text in (context["samples_json"], *context["samples_details"]):
        assert not set(str(text)) & set("<>&\u2028\u2029\ud800")
    assert json.loads(str(context["samples_details"][0]))[0]["runs"][0][0]["text"] == "</script>&<!--\ud800"


def test_metadata_to_choose_from_are_single_values_that_repeat(tmp_path: Path) -> None:
    data = [
        {**one, "metadata": {"shop": f"s{at % 3}", "serial": f"n{at}", "same": 1, "deep": [at], "some": None}}
        for at, one in enumerate(asked(60))
    ]
    data[0]["metadata"].pop("some")
    payload = sample_payload(scored(tmp_path / "one", data, [given(at) for at in range(60)]))
    columns = {
        key: {shown(payload, code) if code >= 0 else "-" for code in codes}
        for key, codes in payload["metadata"]["columns"]
    }
    assert columns == {"shop": {"s0", "s1", "s2"}}


def test_repeats_latency_and_failures_of_an_endpoint(tmp_path: Path) -> None:
    def answer(asked: Asked) -> Reply:
        if "two" in asked.prompt:
            return Reply(status=400, text="no such picture")
        usage = {"prompt_tokens": 9, "completion_tokens": 4, "odd": "x"}
        return Reply('{"color": "red", "brand": null}', reasoning="It is red.", usage=usage)

    gif = "data:image/gif;base64," + base64.b64encode(b"GIF89a" + bytes([2, 0, 3, 0, 0, 0, 0]) + b";").decode()
    data = [
        {**one, "prompt": f"picture {word}", "image": gif} for one, word in zip(asked(2), ("one", "two"), strict=True)
    ]
    (tmp_path / "samples.jsonl").write_text("".join(json.dumps(one) + "\n" for one in data), encoding="utf-8")
    (tmp_path / "task.json").write_text(json.dumps(TASK), encoding="utf-8")
    with ScriptedEndpoint(answer, latency_s=0.01) as server:
        made = api.run(
            str(tmp_path / "samples.jsonl"),
            endpoint=server.url,
            model="m",
            task=str(tmp_path / "task.json"),
            out=str(tmp_path / "run"),
            repeats=2,
            retries=0,
            metrics=["weighted_score"],
            resamples=100,
        )
    payload = sample_payload(open_source(RunDirectory.open(made.path)))
    (side,) = payload["answers"]
    assert (side["of"], side["repeat"]) == ([0, 0, 1, 1], [0, 1, 0, 1])
    assert side["state"] == ["strict", "strict", "failed", "failed"]
    one, two = payload["details"]
    assert one["prompt"] == "picture one"
    assert one["images"] == [
        {"width": 2, "height": 3, "bytes": 14, "note": "an image inside the data set, which the run does not keep"}
    ]
    for found in one["runs"][0]:
        assert 0.01 <= found["latency"] < 5
        assert found["tokens"] == [["prompt_tokens", 9], ["completion_tokens", 4]]
        assert found["reasoning"] == "It is red."
    assert [found["failure"][:2] for found in two["runs"][0]] == [["bad_request", 400]] * 2
    assert "latency" not in two["runs"][0][0]


def picture(path: Path, size: tuple[int, int] = (400, 300), **options: Any) -> Any:
    Image.new(options.pop("mode", "RGB"), size, options.pop("color", "navy")).save(path, **options)
    return identify(ImageSource("path", str(path)))


def opened(thumbnail: Thumbnail) -> Any:
    assert thumbnail.source is not None
    head, data = thumbnail.source.split(",")
    assert head == "data:image/webp;base64"
    return Image.open(io.BytesIO(base64.b64decode(data)))


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.gif"])
def test_a_picture_that_is_small_already_is_shown_as_it_is(tmp_path: Path, name: str) -> None:
    (made,) = thumbnails([picture(tmp_path / name, (128, 96))], None)
    assert made.note is None
    assert opened(made).size == (128, 96)


def test_a_thumbnail_is_small_upright_and_holds_nothing_but_the_picture(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    exif[0x010E] = "at home, 52.1 N"
    record = picture(tmp_path / "a.jpg", exif=exif.tobytes())
    (made,) = thumbnails([record], None)
    image = opened(made)
    assert image.size == (144, 192)
    assert not image.getexif()
    assert b"at home" not in base64.b64decode(str(made.source).split(",")[1])


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "I;16", "CMYK", "1"])
def test_any_mode_becomes_a_thumbnail(tmp_path: Path, mode: str) -> None:
    name = tmp_path / ("a.jpg" if mode == "CMYK" else "a.png")
    (made,) = thumbnails([picture(name, mode=mode, color=None)], None)
    assert opened(made).size == (192, 144)


def test_images_that_moved_changed_or_cannot_be_decoded_are_said(tmp_path: Path) -> None:
    gone, changed, broken = (picture(tmp_path / f"{name}.png") for name in ("gone", "changed", "broken"))
    (tmp_path / "gone.png").unlink()
    Image.new("RGB", (10, 10)).save(tmp_path / "changed.png")
    data = (tmp_path / "broken.png").read_bytes()
    (tmp_path / "broken.png").write_bytes(data[:60] + bytes(len(data) - 72) + data[-12:])
    broken = identify(ImageSource("path", str(tmp_path / "broken.png")))
    notes = [made.note for made in thumbnails([gone, changed, broken], None)]
    assert notes[:2] == [
        "the image cannot be shown: no such file",
        "the image cannot be shown: the image changed since the run began",
    ]
    assert str(notes[2]).startswith("the image cannot be decoded: ")


def test_beyond_the_room_in_the_page_pictures_lie_beside_it_each_once(tmp_path: Path) -> None:
    records = [picture(tmp_path / f"{at}.png", color=(at * 50, 0, 0)) for at in range(4)]
    folder = tmp_path / "report_files"
    stranger = folder / "mine.webp"
    folder.mkdir()
    stranger.write_bytes(b"mine")
    (folder / f"{'0' * 32}.webp").write_bytes(b"of an earlier page")
    one = next(thumbnails(records[:1], None)).source
    room = len(base64.b64decode(str(one).split(",")[1]))
    made = list(thumbnails([*records, records[2]], folder, inlined_bytes=room))
    assert made[0].source == one
    assert [str(each.source) for each in made[1:4]] == [f"report_files/{each.sha256[:32]}.webp" for each in records[1:]]
    assert made[4] == made[2]
    assert sorted(file.name for file in folder.iterdir()) == sorted(
        ["mine.webp", *(f"{each.sha256[:32]}.webp" for each in records[1:])]
    )
    assert [each.note for each in thumbnails(records, None, inlined_bytes=room)][1:] == [
        "no thumbnail: the page holds as many as it may"
    ] * 3
    assert [each.source is None for each in thumbnails(records, None, most=2)] == [False, False, True, True]


def test_a_picture_that_many_samples_show_is_in_the_page_once(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    source = scored(tmp_path / "one", asked(30, image=str(tmp_path / "a.png")), [given(at) for at in range(30)])
    payload = sample_payload(source)
    assert len(payload["pictures"]) == 1
    assert {one["images"][0]["source"] for one in payload["details"]} == {0}
    assert {one["images"][0]["name"] for one in payload["details"]} == {"a.png"}  # no path of the machine


def test_terms_of_the_composites_that_ship(tmp_path: Path) -> None:
    source = scored(
        tmp_path / "one",
        asked(2),
        [given(0), given(1, '{"color": "dark red", "brand": null}')],
        metrics=["structured_match", "token_set_ratio", "rouge_l", "quality_lexical", "weighted_score"],
    )
    payload = sample_payload(source)
    (metric,) = [one for one in payload["metrics"] if one["terms"]]
    assert metric["id"] == "quality_lexical"
    (side,) = payload["answers"]
    for at in range(2):
        found = sum(weight * side["metrics"][part][at] for part, weight in metric["terms"]["parts"])
        assert found / metric["terms"]["divide_by"] == pytest.approx(side["metrics"]["quality_lexical"][at], abs=1e-5)


def test_quality_and_its_penalty_are_read_from_the_signature() -> None:
    signature = (
        "quality|v1|json:{rouge_l=0.05,sbert=0.25,structured_match=0.6,token_set_ratio=0.1}"
        "|penalty:{above=0.5,metric=hallucination,strength=0.5}"
        "|text:{chrf=0.1,rouge_l=0.2,sbert=0.5,token_set_ratio=0.2}|of:1abc2c13|answer:json|hallucination:on:model@1"
    )
    found = composite_terms(signature, "json")
    assert found is not None
    assert dict(found["parts"]) == {"rouge_l": 0.05, "sbert": 0.25, "structured_match": 0.6, "token_set_ratio": 0.1}
    assert found["penalty"] == {"metric": "hallucination", "above": 0.5, "strength": 0.5, "on": True}
    assert (found["exact"], found["divide_by"]) == (True, 1.0)
    assert composite_terms(signature.replace("on:model@1", "off"), "text")["penalty"]["on"] is False  # type: ignore[index]
    assert composite_terms("", "json") is None
    assert composite_terms("x|json:{a=b}|answer:json", "json") is None
