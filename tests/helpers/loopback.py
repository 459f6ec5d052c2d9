"""A hub for tests: it speaks enough of the Hugging Face Hub's protocol for its client, on 127.0.0.1, and fails when it is told to.

    with Hub() as hub:
        commit = hub.add("org/name", {"config.json": b"{}", "model.safetensors": content})
        url = hub.put("weights-0123abcd.pth", content)            # a plain file, behind `url`
        hub.fail("503", method="HEAD", times=2)                   # the next two HEADs; see FAULTS for what there is
        hub.fail("flip", path="model.safetensors")                # every answer for such a path
        hub.token, hub.private = "hf_secret", {"org/name"}        # this repository wants this token
        hub.count("GET", "model.safetensors"), hub.seen           # what was asked for

A test asks for the fixture `hub` (tests/weights/conftest.py): huggingface_hub, torch.hub, resnetlib and the processes that the test
starts then use it, with folders of the test's own; `point_at` is what does it. `HfApi.create_repo` and `upload_folder` work, see
loopback_upload; a test that uploads lets pass the client's own warning: `@pytest.mark.filterwarnings("ignore:Use 'content=")`.
"""

import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self
from urllib.parse import unquote, urlsplit

import loopback_upload
import pytest
from loopback_faults import FAULTS, Answer

LFS = (".safetensors", ".bin", ".pth")
"""Files that are named by their SHA-256; others are by git's SHA-1."""


@dataclass(frozen=True)
class Seen:
    """A request that came in."""

    method: str
    path: str
    headers: dict[str, str]


@dataclass
class Fault:
    """What goes wrong, and with which requests."""

    kind: str
    method: str
    path: str
    times: float
    to: str
    after: int

    def hits(self, method: str, path: str) -> bool:
        if self.times <= 0 or self.method not in ("", method) or self.path not in path:
            return False
        if self.after > 0:
            self.after -= 1
            return False
        self.times -= 1
        return True


@dataclass
class Repo:
    """A repository: the files of each commit, and the branches."""

    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)


class Hub(ThreadingHTTPServer):
    """The server; `url` is its address."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.repos: dict[str, Repo] = {}
        self.files: dict[str, bytes] = {}
        self.blobs: dict[str, bytes] = {}
        self.seen: list[Seen] = []
        self.faults: list[Fault] = []
        self.token = ""
        self.private: set[str] = set()
        self.closed = threading.Event()

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.closed.set()
        self.shutdown()
        self.server_close()

    def add(self, repo: str, files: dict[str, bytes], branch: str = "main") -> str:
        """Commit files, beside those that the branch has, and return the commit."""
        there = self.repos.setdefault(repo, Repo())
        parent = there.branches.get(branch, "")
        files = {**there.commits.get(parent, {}), **files}
        commit = hashlib.sha1((parent + repr(files)).encode(), usedforsecurity=False).hexdigest()
        there.commits[commit] = files
        there.branches[branch] = commit
        return commit

    def put(self, name: str, content: bytes) -> str:
        """Serve a plain file, and return its URL."""
        self.files[f"/files/{name}"] = content
        return f"{self.url}/files/{name}"

    def fail(
        self, kind: str, *, method: str = "", path: str = "", times: float = float("inf"), to: str = "", after: int = 0
    ) -> None:
        """Let requests fail, those of a method and a path that contains `path`, but for the first `after`."""
        assert kind in FAULTS, kind
        self.faults.append(Fault(kind, method, path, times, to, after))

    def count(self, method: str = "", path: str = "") -> int:
        """Count the requests of a method and a path that contains `path`."""
        return sum(method in ("", seen.method) and path in seen.path for seen in self.seen)

    def handle_error(self, *args: object) -> None:
        """Say nothing of clients that go away."""


class Handler(BaseHTTPRequestHandler):
    """Find the answer, spoil it, send it."""

    server: Hub
    protocol_version = "HTTP/1.1"
    timeout = 20

    def handle_any(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.server.seen.append(Seen(self.command, path, {key.lower(): value for key, value in self.headers.items()}))
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))) if self.command in ("POST", "PUT") else b""
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = self._chunks()
        answer, send = self._answer(path, body), None
        faults = [fault for fault in self.server.faults if fault.hits(self.command, path)]
        for fault in faults:
            send = FAULTS[fault.kind](self, answer, fault) or send
        if send is None:
            self.send_answer(answer)
        else:
            answer.headers["Connection"] = "close"  # or a client could send its next request before it sees the end
            send(self, answer, faults[-1])
            self.close_connection = True

    do_GET = do_HEAD = do_POST = do_PUT = handle_any  # noqa: N815 - http.server's names

    def send_answer(self, answer: Answer) -> None:
        """Send an answer whole."""
        self.send_head(answer)
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def send_head(self, answer: Answer) -> None:
        """Send the status and the headers."""
        self.send_response(answer.status, answer.reason)
        for key, value in {"Content-Length": str(len(answer.body)), **answer.headers}.items():
            self.send_header(key, value)
        self.end_headers()

    def log_message(self, *args: object) -> None:
        """Say nothing."""

    def _chunks(self) -> bytes:
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        return body + self.rfile.readline().strip()

    def _answer(self, path: str, body: bytes) -> Answer:
        hub = self.server
        if path in hub.files:
            return self._with_range(Answer(200, {"ETag": f'"{hashlib.sha256(hub.files[path]).hexdigest()}"'}, hub.files[path]))
        resolve = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+(?:/pr/\d+)?)/(.+)", path)
        model = re.fullmatch(r"/api/models/([^/]+/[^/]+?)(?:/revision/([^/]+))?", path)
        named = resolve or model
        if named and named[1] in hub.private and self.headers.get("Authorization") != f"Bearer {hub.token}":
            return Answer(401, {}, b'{"error": "Invalid username or password."}')
        if named and self.command in ("GET", "HEAD"):
            return self._file(*resolve.groups()) if resolve else self._model(named[1], named[2] or "main")
        return loopback_upload.answer(hub, self.command, path, body, self.headers) or Answer(
            404, {"X-Error-Code": "RepoNotFound"}, b""
        )

    def _file(self, name: str, revision: str, file: str) -> Answer:
        repo = self.server.repos.get(name)
        if repo is None:
            return Answer(404, {"X-Error-Code": "RepoNotFound"}, b"")
        commit = repo.branches.get(revision, revision)
        if commit not in repo.commits:
            return Answer(404, {"X-Error-Code": "RevisionNotFound"}, b"")
        if file not in repo.commits[commit]:
            return Answer(404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit}, b"")
        content = repo.commits[commit][file]
        headers = {"X-Repo-Commit": commit, "ETag": f'"{blob_name(file, content)}"', "Accept-Ranges": "bytes"}
        if file.endswith(LFS):
            headers |= {"X-Linked-Etag": headers["ETag"], "X-Linked-Size": str(len(content))}
        return self._with_range(Answer(200, headers, content))

    def _model(self, name: str, revision: str) -> Answer:
        repo = self.server.repos.get(name)
        if repo is None:
            return Answer(404, {"X-Error-Code": "RepoNotFound"}, b"")
        commit = repo.branches.get(revision, revision)
        if commit not in repo.commits:
            return Answer(404, {"X-Error-Code": "RevisionNotFound"}, b"")
        info = {"id": name, "sha": commit, "siblings": [{"rfilename": file} for file in repo.commits[commit]]}
        return Answer(200, {}, json.dumps(info).encode())

    def _with_range(self, answer: Answer) -> Answer:
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if not wanted or self.headers.get("If-Range", answer.headers["ETag"]) != answer.headers["ETag"]:
            return answer
        start, size = int(wanted[1]), len(answer.body)
        if start >= size:
            return Answer(416, {"Content-Range": f"bytes */{size}"}, b"")
        return Answer(206, {**answer.headers, "Content-Range": f"bytes {start}-{size - 1}/{size}"}, answer.body[start:])


def blob_name(file: str, content: bytes) -> str:
    """Return the name that the hub gives to contents."""
    return (
        hashlib.sha256(content).hexdigest()
        if file.endswith(LFS)
        else hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
    )


def point_at(url: str, folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Let huggingface_hub, torch.hub and resnetlib use a hub, and folders in `folder`; so do processes that start then."""
    import torch
    from huggingface_hub import constants, hf_hub_download  # noqa: F401 - its import would count in tests with short deadlines

    for name in ("HF_TOKEN", "HF_TOKEN_PATH", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        patch.delenv(name, raising=False)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        patch.delenv(name, raising=False)
        patch.delenv(name.lower(), raising=False)
    folders = {"HF_HOME": folder / "hf", "TORCH_HOME": folder / "torch", "RESNETLIB_CACHE": folder / "own"}
    settings = {"HF_ENDPOINT": url, "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    for name, value in {**folders, **settings}.items():
        patch.setenv(name, str(value))
    patch.setattr(torch.hub, "_hub_dir", None)
    patch.setattr(constants, "ENDPOINT", url)
    patch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}")
    for name, place in {"HF_HUB_CACHE": "hub", "HF_TOKEN_PATH": "token", "HF_STORED_TOKENS_PATH": "stored_tokens"}.items():
        patch.setattr(constants, name, str(folder / "hf" / place))
    for name in ("HF_HUB_DISABLE_XET", "HF_HUB_DISABLE_TELEMETRY"):
        patch.setattr(constants, name, True)
    patch.setattr(constants, "HF_HUB_OFFLINE", False)
