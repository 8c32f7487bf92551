"""A Hub on loopback: repositories with commits, and faults on request. It speaks what huggingface_hub 2.4 asks.

Answers follow the Hub's: 401 with ``RepoNotFound`` for what does not exist or is not seen, 412 for a commit on a parent
that is not the newest, an oid per file in preupload, card and ``.eval_results`` rows as the Hub reads them.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import yaml

TOKEN = "hf_" + "t" * 34
READ_TOKEN = "hf_" + "r" * 34


@dataclass
class Repo:
    """One repository: its commits from the first to the newest, each a whole tree."""

    commits: list[tuple[str, dict[str, bytes], str]] = field(default_factory=list)

    def commit(self, files: dict[str, bytes], message: str) -> str:
        tree = {**(self.commits[-1][1] if self.commits else {}), **files}
        oid = hashlib.sha1(f"{len(self.commits)}{message}{sorted(tree.items())}".encode()).hexdigest()
        self.commits.append((oid, tree, message))
        return oid

    @property
    def head(self) -> str:
        return self.commits[-1][0]

    @property
    def files(self) -> dict[str, bytes]:
        return self.commits[-1][1]

    def tree(self, revision: str) -> dict[str, bytes] | None:
        if revision == "main":
            return self.files
        return next((tree for oid, tree, _ in self.commits if oid == revision), None)

    def text(self, path: str = "README.md") -> str:
        return self.files[path].decode("utf-8")


@dataclass
class Fault:
    """What happens to requests whose "METHOD path" holds ``part``: the next ``times`` of them.

    ``status``: answered with. ``before``: called first, for somebody else who writes in between. ``hang``: "before" or
    "after" the request did its work: no answer until the server ends. ``drop``: the work is done, the answer is lost.
    """

    part: str
    times: int = 1
    status: int | None = None
    body: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    before: Callable[[], object] | None = None
    hang: str | None = None
    drop: bool = False


class HubServer:
    """``with HubServer() as hub:`` then ``HF_ENDPOINT=hub.url``."""

    def __init__(self) -> None:
        self.repos: dict[str, Repo] = {}
        self.faults: list[Fault] = []
        self.requests: list[str] = []
        self.tokens: dict[str, str] = {TOKEN: "write", READ_TOKEN: "read"}
        self.lock = threading.RLock()
        self.ended = threading.Event()
        self.arrived = threading.Event()

    def __enter__(self) -> HubServer:
        handler = type("Handler", (_Handler,), {"hub": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True
        threading.Thread(target=lambda: self.server.serve_forever(poll_interval=0.02), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self.server.shutdown()
        self.server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def create(self, name: str, files: dict[str, str | bytes] | None = None, kind: str = "model") -> Repo:
        repo = self.repos[f"{kind}s/{name}"] = Repo()
        given = {".gitattributes": "*.bin filter=lfs\n", **(files or {})}
        repo.commit({path: data.encode() if isinstance(data, str) else data for path, data in given.items()}, "first")
        return repo

    def count(self, part: str) -> int:
        return sum(part in line for line in self.requests)


class _Handler(BaseHTTPRequestHandler):
    hub: HubServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self._handle()

    do_HEAD = do_GET  # noqa: N815
    do_POST = do_GET  # noqa: N815

    def _handle(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        path = unquote(urlsplit(self.path).path)
        line = f"{self.command} {path}"
        with self.hub.lock:
            self.hub.requests.append(line)
            fault = next((one for one in self.hub.faults if one.part in line and one.times), None)
            if fault:
                fault.times -= 1
        if fault and fault.before:
            fault.before()
        if fault and fault.hang == "before":
            return self._hang()
        if fault and fault.status is not None:
            return self._send(fault.status, fault.body.encode(), {"Content-Type": "application/json", **fault.headers})
        with self.hub.lock:
            status, answer, headers = self._answer(path, body)
        if fault and fault.hang == "after":
            return self._hang()
        if fault and fault.drop:
            self.close_connection = True
            self.connection.close()
            return None
        return self._send(status, answer, headers)

    def _hang(self) -> None:
        self.hub.arrived.set()
        self.hub.ended.wait(60)
        self.close_connection = True

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        try:
            self.send_response(status)
            for key, value in headers.items():
                self.send_header(key, value)
            if "Content-Length" not in headers:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)
        except OSError:
            self.close_connection = True

    def _may(self) -> str | None:
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        return self.hub.tokens.get(token)

    def _answer(self, path: str, body: bytes) -> tuple[int, bytes, dict[str, str]]:
        parts = path.strip("/").split("/")
        if path == "/api/validate-yaml":
            return self._validate(json.loads(body))
        if parts[0] == "api":
            repo = self.hub.repos.get("/".join(parts[1:4]))
            if repo is None:
                return _json({"error": "Repository not found"}, 401, {"X-Error-Code": "RepoNotFound"})
            return self._api(repo, parts[1], "/".join(parts[2:4]), parts[4:], body)
        if parts[0] not in ("datasets", "spaces"):
            parts = ["models", *parts]
        repo = self.hub.repos.get("/".join(parts[:3]))
        if repo is None or parts[3] != "resolve":
            return _json({"error": "Repository not found"}, 401, {"X-Error-Code": "RepoNotFound"})
        return self._file(repo, parts[4], "/".join(parts[5:]))

    def _file(self, repo: Repo, revision: str, path: str) -> tuple[int, bytes, dict[str, str]]:
        tree = repo.tree(revision)
        if tree is None:
            return _json({}, 404, {"X-Error-Code": "RevisionNotFound"})
        if path not in tree:
            return _json({}, 404, {"X-Error-Code": "EntryNotFound"})
        data = tree[path]
        oid = repo.head if revision == "main" else revision
        return 200, data, {"ETag": f'"{_blob(data)}"', "X-Repo-Commit": oid, "Content-Length": str(len(data))}

    def _api(self, repo: Repo, kind: str, name: str, rest: list[str], body: bytes) -> tuple[int, bytes, dict[str, str]]:
        if rest[:1] == ["commit"]:
            return self._commit(repo, name, body)
        if rest[:1] == ["preupload"]:
            files = json.loads(body)["files"]
            return _json(
                {
                    "files": [
                        {
                            "path": one["path"],
                            "uploadMode": "regular",
                            "shouldIgnore": False,
                            "oid": _blob(repo.files[one["path"]]) if one["path"] in repo.files else None,
                        }
                        for one in files
                    ]
                }
            )
        expand = parse_qs(urlsplit(self.path).query).get("expand", [])
        info: dict[str, Any] = {"id": name, "modelId": name, "sha": repo.head, "private": False, "tags": []}
        if kind == "spaces":
            info["sdk"] = "static"
        if not expand:
            info["siblings"] = [{"rfilename": path} for path in repo.files]
        if "cardData" in expand or not expand:
            info["cardData"] = _front(repo.files.get("README.md", b"").decode("utf-8", "replace")) or {}
        if "evalResults" in expand:
            rows = []
            for path, data in repo.files.items():
                if path.startswith(".eval_results/"):
                    rows += [{"filename": path, "data": row} for row in yaml.safe_load(data) or []]
            info["evalResults"] = rows
        return _json(info)

    def _commit(self, repo: Repo, name: str, body: bytes) -> tuple[int, bytes, dict[str, str]]:
        may = self._may()
        if may is None:
            return _json(
                {"error": "Invalid username or password."},
                401,
                {"X-Error-Message": "Invalid credentials in Authorization header"},
            )
        if may != "write":
            return _json({"error": f"Forbidden for {self.headers['Authorization']}"}, 403)
        lines = [json.loads(line) for line in body.splitlines() if line.strip()]
        header = next(line["value"] for line in lines if line["key"] == "header")
        if header.get("parentCommit") not in (None, repo.head):
            return _json({"error": "A commit has happened since. Please refresh and try again."}, 412)
        files = {
            line["value"]["path"]: base64.b64decode(line["value"]["content"]) for line in lines if line["key"] == "file"
        }
        time.sleep(0.005)
        oid = repo.commit(files, header["summary"])
        return _json({"success": True, "commitUrl": f"{self.hub.url}/{name}/commit/{oid}", "commitOid": oid})

    def _validate(self, given: dict[str, Any]) -> tuple[int, bytes, dict[str, str]]:
        try:
            data = _front(given["content"], strict=True)
            if data is not None and not isinstance(data, dict):
                raise ValueError("metadata should be an object")
            for entry in (data or {}).get("model-index") or []:
                for result in entry["results"]:
                    for metric in result["metrics"]:
                        _ = result["task"]["type"], result["dataset"]["type"], result["dataset"]["name"]
                        _ = metric["type"], metric["value"]
        except (yaml.YAMLError, ValueError, KeyError, TypeError) as error:
            return _json({"errors": [{"message": f"{type(error).__name__}: {error}"}], "warnings": []}, 400)
        warned = [] if data else [{"message": "empty or missing yaml metadata in repo card"}]
        return _json({"errors": [], "warnings": warned})


def _front(card: str, *, strict: bool = False) -> Any:
    lines = card.lstrip("\ufeff").replace("\r\n", "\n")
    if not lines.startswith("---\n"):
        return None
    try:
        return yaml.safe_load(lines[4:].partition("\n---")[0])
    except yaml.YAMLError:
        if strict:
            raise
        return None  # the Hub shows such a card without its metadata


def _blob(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def _json(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> tuple[int, bytes, dict[str, str]]:
    return status, json.dumps(value, default=str).encode(), {"Content-Type": "application/json", **(headers or {})}
