import base64
import contextlib
import hashlib
import io
import os
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from peakbench import images
from peakbench.errors import ImageError
from peakbench.records import ImageSource

FORMATS = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp", "GIF": "image/gif", "BMP": "image/bmp"}


def encoded(form="JPEG", size=(40, 50), mode="RGB", **options):
    """An image as Pillow writes it: the outside source of every width, height and type below."""
    picture = Pillow.radial_gradient("L").resize(size).convert(mode)
    out = io.BytesIO()
    picture.save(out, form, **options)
    return out.getvalue()


def from_bytes(data, **options):
    return images.load(ImageSource("bytes", data), **options)


@pytest.fixture
def folder(tmp_path):
    base = tmp_path / "set"
    (base / "images").mkdir(parents=True)
    (base / "images" / "a.jpg").write_bytes(encoded())
    return base


def at(folder, path):
    return ImageSource("path", path, base=str(folder))


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("size", [(1, 1), (33, 200), (300, 41)])
def test_header_says_what_pillow_wrote(form, size):
    header = images.read_header(encoded(form, size))
    assert (header.media_type, header.width, header.height) == (FORMATS[form], *size)


@pytest.mark.parametrize(
    ("form", "mode", "options"),
    [
        ("JPEG", "RGB", {"progressive": True}),
        ("JPEG", "CMYK", {}),
        ("JPEG", "L", {"exif": b"Exif\0\0" + b"x" * 5000}),
        ("JPEG", "RGB", {"icc_profile": b"p" * 100_000}),
        ("PNG", "P", {}),
        ("PNG", "RGBA", {}),
        ("WEBP", "RGB", {"lossless": True}),
        ("WEBP", "RGBA", {"quality": 50}),
        ("WEBP", "RGB", {"icc_profile": b"p" * 100}),
        ("BMP", "L", {}),
        ("BMP", "1", {}),
    ],
)
def test_variants_of_the_formats(form, mode, options):
    header = images.read_header(encoded(form, (61, 47), mode, **options))
    assert (header.media_type, header.width, header.height) == (FORMATS[form], 61, 47)


def test_animations_have_the_size_of_their_canvas():
    frames = [Pillow.new("RGB", (20, 30), color) for color in ("red", "blue")]
    for form in ("GIF", "WEBP", "PNG"):
        out = io.BytesIO()
        frames[0].save(out, form, save_all=True, append_images=frames[1:])
        header = images.read_header(out.getvalue())
        assert (header.width, header.height) == (20, 30)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "BMP"])
@settings(max_examples=60, deadline=None)
@given(share=st.floats(0, 1, exclude_max=True))
def test_every_cut_off_file_is_refused(form, share):
    data = encoded(form)
    with pytest.raises(ImageError):
        images.read_header(data[: int(len(data) * share)])


@pytest.mark.parametrize("form", FORMATS)
def test_a_missing_end_is_named(form):
    data = encoded(form)
    with pytest.raises(ImageError, match="cut off") as caught:
        images.read_header(data[: len(data) - 2])
    assert "get the file again" in str(caught.value)


def test_the_end_marker_of_a_thumbnail_does_not_count():
    thumbnail = encoded(size=(8, 8))
    data = encoded(size=(100, 100), exif=b"Exif\0\0" + thumbnail)
    assert data.count(b"\xff\xd9") == 2
    with pytest.raises(ImageError, match="no JPEG end marker"):
        images.read_header(data[:-2])


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("tail", [b"\0" * 64, b"\0" * 5000])
def test_padding_after_the_end_is_allowed(form, tail):
    assert images.read_header(encoded(form) + tail).width == 40


def test_a_motion_clip_after_a_jpeg_is_allowed():
    assert images.read_header(encoded() + b"\0\0\0\x18ftypmp42" + bytes(range(256)) * 4000).height == 50


@settings(max_examples=300, deadline=None)
@given(
    magic=st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\x10\0\0\0WEBP", b"GIF89a", b"BM"]),
    rest=st.binary(max_size=300),
)
def test_arbitrary_bytes_give_a_header_or_an_image_error(magic, rest):
    with contextlib.suppress(ImageError):
        header = images.read_header(magic + rest)
        assert min(header.width, header.height) > 0


@pytest.mark.timeout(30)
def test_a_hostile_jpeg_is_bounded_in_time():
    for filler in (b"\xff" * 20_000_000, b"\xff\xe0\x00\x02" * 5_000_000):
        with pytest.raises(ImageError, match="more than 4096 JPEG segments"):
            images.read_header(b"\xff\xd8\xff" + filler)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0", "of type HEIC"),
        (b"\0\0\0\x18ftypavif\0\0\0\0", "of type AVIF"),
        (b"II*\0\x08\0\0\0", "a TIFF image"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a Git LFS pointer"),
        (b"\n<!DOCTYPE html><html>", "an HTML page"),
        (b"<svg xmlns=''/>", "an SVG"),
        (b"%PDF-1.7", "a PDF"),
        (b"RIFF\x04\0\0\0WAVEfmt ", "not WebP"),
        (b"hello", "not an image: it begins with 68 65 6c 6c 6f"),
    ],
)
def test_what_is_no_image_is_named_as_what_it_looks_like(data, words):
    with pytest.raises(ImageError, match=words) as caught:
        from_bytes(data)
    assert "JPEG, PNG, WebP, GIF or BMP" in str(caught.value)


def test_bytes_are_sent_as_found_with_their_hash(folder):
    data = (folder / "images" / "a.jpg").read_bytes()
    image = images.load(replace(at(folder, "images/a.jpg"), label="front"))
    assert image.data == data
    assert image.sha256 == hashlib.sha256(data).hexdigest()
    assert (image.media_type, image.width, image.height, image.label) == ("image/jpeg", 40, 50, "front")
    assert images.data_url(image) == b"data:image/jpeg;base64," + base64.b64encode(data)


def test_type_comes_from_the_bytes_and_not_from_the_name(folder):
    (folder / "b.jpg").write_bytes(encoded("PNG"))
    assert images.load(at(folder, "b.jpg")).media_type == "image/png"


# -- paths -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["../outside.jpg", "images/../../outside.jpg", "{outside}", "link.jpg", "linked/x.jpg"]
)
def test_a_path_must_stay_in_the_folder(folder, path):
    outside = folder.parent / "outside.jpg"
    outside.write_bytes(encoded())
    (folder / "link.jpg").symlink_to(outside)
    elsewhere = folder.parent / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "x.jpg").write_bytes(encoded())
    (folder / "linked").symlink_to(elsewhere)
    source = at(folder, path.format(outside=outside))
    with pytest.raises(ImageError, match="leads out of the folder") as caught:
        images.load(source)
    assert "allow_outside=True" in str(caught.value)
    assert images.load(source, allow_outside=True).width == 40


def test_a_folder_whose_name_begins_alike_is_outside(folder):
    sibling = folder.parent / "settings"
    sibling.mkdir()
    (sibling / "a.jpg").write_bytes(encoded())
    with pytest.raises(ImageError, match="leads out"):
        images.load(at(folder, "../settings/a.jpg"))


def test_links_and_absolute_paths_inside_are_fine(folder):
    (folder / "again.jpg").symlink_to(folder / "images" / "a.jpg")
    (folder.parent / "name").symlink_to(folder)
    assert images.load(at(folder, "again.jpg")).width == 40
    assert images.load(at(folder, str(folder / "images" / "a.jpg"))).width == 40
    assert images.load(at(folder.parent / "name", "images/a.jpg")).width == 40


def test_a_base_is_taken_from_the_present_working_directory(tmp_path, monkeypatch):
    for name, width in (("one", 11), ("two", 22)):
        (tmp_path / name / "set").mkdir(parents=True)
        (tmp_path / name / "set" / "a.png").write_bytes(encoded("PNG", (width, 9)))
        monkeypatch.chdir(tmp_path / name)
        assert images.load(ImageSource("path", "a.png", base="set")).width == width


def test_missing_files_name_a_file_with_another_ending(folder):
    with pytest.raises(ImageError, match=r"images/a\.png: no such file") as caught:
        images.load(at(folder, "images/a.png"))
    assert caught.value.hint == "there is a.jpg"
    with pytest.raises(ImageError, match="no such file") as caught:
        images.load(at(folder, "images/z.png"))
    assert caught.value.hint is None
    with pytest.raises(ImageError, match="no such file") as caught:
        images.load(at(folder, "images\\a.jpg"))
    assert caught.value.hint == "write the path with / between folders"


def test_folders_pipes_and_devices_are_refused_at_once(folder):
    os.mkfifo(folder / "pipe.jpg")
    (folder / "zero.jpg").symlink_to("/dev/zero")
    for path, words in (("images", "a folder"), ("pipe.jpg", "not a regular file"), ("zero.jpg", "not a regular file")):
        with pytest.raises(ImageError, match=words):
            images.load(at(folder, path), allow_outside=True)


def test_links_in_a_circle_null_bytes_and_empty_names(folder):
    (folder / "x.jpg").symlink_to(folder / "y.jpg")
    (folder / "y.jpg").symlink_to(folder / "x.jpg")
    for path in ("x.jpg", "a\0b.jpg", "", "x" * 5000):
        with pytest.raises(ImageError):
            images.load(at(folder, path))


def test_empty_and_too_large_files(folder):
    (folder / "empty.jpg").touch()
    with pytest.raises(ImageError, match="empty"):
        images.load(at(folder, "empty.jpg"))
    size = (folder / "images" / "a.jpg").stat().st_size
    assert images.load(at(folder, "images/a.jpg"), max_bytes=size).width == 40
    with pytest.raises(ImageError, match=f"at most {size - 1:,} bytes"):
        images.load(at(folder, "images/a.jpg"), max_bytes=size - 1)


# -- URLs, data URIs, bytes --------------------------------------------------------------------------------------------


def test_urls_are_off_unless_allowed():
    source = ImageSource("url", "https://example.org/a.jpg", label="front")
    with pytest.raises(ImageError, match="images by URL are off"):
        images.load(source)
    image = images.load(source, allow_urls=True)
    assert (image.url, image.data, image.sha256, image.label) == (source.value, None, None, "front")
    assert images.data_url(image) == b"https://example.org/a.jpg"


@pytest.mark.parametrize(
    "url", ["https://example.org/a b.jpg", "https://example.org/\n", "https://e.org/" + "a" * 9000]
)
def test_urls_that_cannot_be_sent(url):
    with pytest.raises(ImageError, match="not a URL"):
        images.load(ImageSource("url", url), allow_urls=True)


@pytest.mark.parametrize(
    "head", ["data:image/png;base64,", "data:image/jpeg;base64,", "data:;base64,", "data:image/png;name=a;base64,"]
)
def test_data_uris_are_read_by_their_bytes(head):
    data = encoded("PNG")
    image = images.load(ImageSource("data_uri", head + base64.b64encode(data).decode()))
    assert (image.media_type, image.data) == ("image/png", data)


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("data:image/png,abc", "not a data URI with base64"),
        ("image/png;base64,abcd", "not a data URI with base64"),
        ("data:image/png;base64,a b c d", "not base64"),
        ("data:image/png;base64,abc", "not base64"),
        ("data:image/png;base64,", "no bytes"),
        ("data:text/plain;base64,aGVsbG8=", "not an image"),
    ],
)
def test_data_uris_that_are_not_images(uri, words):
    with pytest.raises(ImageError, match=words):
        images.load(ImageSource("data_uri", uri))


def test_data_uris_and_bytes_are_bounded():
    data = encoded()
    uri = "data:image/jpeg;base64," + base64.b64encode(data).decode()
    assert images.load(ImageSource("data_uri", uri), max_bytes=len(data)).data == data
    for source in (ImageSource("data_uri", uri), ImageSource("bytes", data)):
        with pytest.raises(ImageError, match="at most"):
            images.load(source, max_bytes=len(data) - 1)
    with pytest.raises(ImageError, match="a data URI of"):
        images.load(ImageSource("data_uri", uri * 3), max_bytes=len(data))


# -- the second reading ------------------------------------------------------------------------------------------------


def test_a_recorded_image_is_read_again_without_hashing(folder, monkeypatch):
    source = at(folder, "images/a.jpg")
    record = images.identify(source)
    first = images.load(source)
    assert (record.path, record.bytes, record.sha256) == (
        str(folder / "images" / "a.jpg"),
        len(first.data),
        first.sha256,
    )
    monkeypatch.setattr("peakbench.images.sources.hashlib.sha256", None)
    assert images.load_recorded(source, record) == first
    assert images.load_recorded(None, record) == first


def test_a_touched_image_is_hashed_again_and_a_changed_one_refused(folder):
    path = folder / "images" / "a.jpg"
    record = images.identify(at(folder, "images/a.jpg"))
    os.utime(path, ns=(1, 1))
    assert images.load_recorded(None, record).sha256 == record.sha256
    path.write_bytes(encoded("PNG"))
    with pytest.raises(ImageError, match="changed since the run began") as caught:
        images.load_recorded(None, record)
    assert record.sha256 in str(caught.value)
    data = bytearray(encoded())
    data[-20] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(ImageError, match="changed since the run began"):
        images.load_recorded(None, record)
    path.unlink()
    with pytest.raises(ImageError, match="no such file"):
        images.load_recorded(None, record)


def test_recorded_images_that_are_not_files():
    data = encoded()
    source = ImageSource("bytes", data, label="tag")
    record = images.identify(source)
    assert (record.path, record.mtime_ns, record.bytes, record.label) == (None, None, len(data), "tag")
    assert images.load_recorded(source, record) == images.load(source)
    with pytest.raises(ImageError, match="changed"):
        images.load_recorded(ImageSource("bytes", encoded("PNG")), record)
    with pytest.raises(ImageError, match="its source was not given"):
        images.load_recorded(None, record)
    by_url = images.identify(ImageSource("url", "https://example.org/a.jpg"), allow_urls=True)
    assert (by_url.url, by_url.sha256, by_url.bytes) == ("https://example.org/a.jpg", None, 0)
    assert images.load_recorded(None, by_url).url == "https://example.org/a.jpg"


# -- pixels ------------------------------------------------------------------------------------------------------------


def names(data):
    return [finding.split(":")[0] for finding in images.inspect(from_bytes(data))]


def rotated(orientation):
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    return exif


@pytest.mark.parametrize("form", FORMATS)
def test_a_sound_image_has_no_findings(form):
    assert names(encoded(form)) == []


def test_findings_are_named():
    assert names(encoded(mode="CMYK")) == ["cmyk"]
    assert names(encoded(exif=rotated(6))) == ["rotated"]
    assert names(encoded(exif=rotated(1))) == []
    assert names(encoded(size=(400, 20))) == ["small"]
    frames = [Pillow.new("RGB", (40, 40), color) for color in ("red", "blue", "green")]
    for form in ("GIF", "WEBP", "PNG"):
        out = io.BytesIO()
        frames[0].save(out, form, save_all=True, append_images=frames[1:])
        assert images.inspect(from_bytes(out.getvalue())) == [
            "animated: 3 pictures; a model sees the first one, if any"
        ]
    out = io.BytesIO()
    Pillow.new("I;16", (40, 40), 3000).save(out, "PNG")
    assert names(out.getvalue()) == ["16-bit"]
    out = io.BytesIO()
    Pillow.new("RGBA", (40, 40), (255, 0, 0, 10)).save(out, "PNG")
    assert names(out.getvalue()) == ["transparent"]
    out = io.BytesIO()
    Pillow.new("RGBA", (40, 40), (255, 0, 0, 255)).save(out, "PNG")
    assert names(out.getvalue()) == []


def test_damage_inside_that_a_header_check_cannot_see():
    png = encoded("PNG", (400, 400))
    bad = bytearray(png)
    bad[len(png) // 2] ^= 0xFF
    for data in (bytes(bad), png[: len(png) // 2] + png[-12:]):
        assert images.read_header(data).width == 400
        assert names(data) in (["truncated"], ["undecodable"])
        with pytest.raises(ImageError, match="cannot be decoded"):
            images.resize(from_bytes(data), 100)


@pytest.mark.timeout(10)
def test_a_decompression_bomb_is_named_and_not_decoded():
    png = bytearray(encoded("PNG"))
    png[16:24] = (40_000).to_bytes(4, "big") * 2  # what its header says: 1.6 gigapixels
    image = from_bytes(bytes(png))
    assert images.inspect(image) == ["huge: 40,000 x 40,000 pixels are not decoded; more than 89,478,485 pixels"]
    with pytest.raises(ImageError, match="huge"):
        images.resize(image, 100)


def test_a_url_has_no_findings():
    assert images.inspect(images.load(ImageSource("url", "https://example.org/a.jpg"), allow_urls=True)) == []


def opened(image):
    return Pillow.open(io.BytesIO(image.data))


@pytest.mark.parametrize(
    ("form", "mode", "media_type"),
    [
        ("JPEG", "RGB", "image/jpeg"),
        ("JPEG", "L", "image/jpeg"),
        ("JPEG", "CMYK", "image/jpeg"),
        ("PNG", "RGBA", "image/png"),
        ("PNG", "P", "image/png"),
        ("PNG", "I;16", "image/png"),
        ("WEBP", "RGB", "image/png"),
        ("GIF", "P", "image/png"),
        ("BMP", "RGB", "image/png"),
    ],
)
def test_resize_shrinks_and_hashes(form, mode, media_type):
    out = io.BytesIO()
    Pillow.new("RGB", (400, 200), (200, 40, 40)).convert("L" if mode == "I;16" else mode).convert(mode).save(out, form)
    image = from_bytes(out.getvalue())
    small = images.resize(image, 100)
    assert (small.media_type, small.width, small.height) == (media_type, 100, 50)
    assert opened(small).size == (100, 50)
    assert small.sha256 == hashlib.sha256(small.data).hexdigest() != image.sha256
    assert images.resize(image, 100) == small
    assert images.read_header(small.data).media_type == media_type


def test_resize_keeps_what_is_small_enough():
    image = from_bytes(encoded(size=(100, 60), exif=rotated(6)))
    assert images.resize(image, 100) is image


def test_resize_turns_as_exif_says():
    picture = Pillow.new("RGB", (200, 100), "red")
    picture.paste("blue", (0, 0, 100, 100))
    out = io.BytesIO()
    picture.save(out, "JPEG", exif=rotated(6), quality=95)
    small = images.resize(from_bytes(out.getvalue()), 100)
    # Orientation 6: the left side of what is stored is the top of what is seen (EXIF 2.32, tag 274).
    top, bottom = opened(small).getpixel((25, 20)), opened(small).getpixel((25, 80))
    assert (small.width, small.height) == (50, 100)
    assert top[2] > 200 > top[0]
    assert bottom[0] > 200 > bottom[2]
    assert opened(small).getexif().get(0x0112) is None


def test_resize_refuses_what_it_cannot_do():
    with pytest.raises(ImageError, match="URL cannot be resized"):
        images.resize(images.load(ImageSource("url", "https://example.org/a.jpg"), allow_urls=True), 100)
    with pytest.raises(ValueError, match="max_side"):
        images.resize(from_bytes(encoded()), 0)


def test_a_recorded_image_that_has_not_changed_is_not_hashed_again(tmp_path, monkeypatch):
    (tmp_path / "a.jpg").write_bytes(encoded())
    record = images.identify(at(tmp_path, "a.jpg"))
    monkeypatch.setattr("peakbench.images.sources.hashlib.sha256", None)
    assert images.load_recorded(None, record).sha256 == record.sha256
    os.utime(tmp_path / "a.jpg", ns=(0, 0))
    with pytest.raises(TypeError):
        images.load_recorded(None, record)
