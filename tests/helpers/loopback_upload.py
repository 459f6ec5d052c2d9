"""The hub's other half: what `HfApi.create_repo`, `upload_file` and `upload_folder` ask of it; see loopback.py.

Large files come as the LFS protocol's batch, PUT and verify; the commit is then lines of JSON. All of it wants the token, if the
hub has one, but for the PUT, whose address is the permission.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from typing import TYPE_CHECKING, Any

from loopback_faults import Answer

if TYPE_CHECKING:
    from email.message import Message

    from loopback import Hub

LFS_SIZE = 1000
"""Bytes: of the files that are no text, larger ones go the LFS way."""


def answer(hub: Hub, method: str, path: str, body: bytes, headers: Message) -> Answer | None:
    """Answer a request of the client's uploading side; None for one that it does not send."""
    if method == "PUT" and path.startswith("/lfs/"):
        return _put(hub, path.removeprefix("/lfs/"), body)
    if hub.token and headers.get("Authorization") != f"Bearer {hub.token}":
        return Answer(401, {}, b'{"error": "Invalid username or password."}')
    if path == "/api/whoami-v2":
        return _json({"type": "user", "name": "org", "orgs": [], "auth": {"accessToken": {"role": "write", "displayName": "test"}}})
    if path == "/api/validate-yaml":
        return _json({"errors": [], "warnings": []})
    if path == "/api/repos/create":
        return _create(hub, json.loads(body))
    if named := re.fullmatch(r"/api/models/([^/]+/[^/]+)/preupload/([^/]+)", path):
        return _preupload(hub, named[1], named[2], json.loads(body))
    if named := re.fullmatch(r"/api/models/([^/]+/[^/]+)/branch/([^/]+)", path):
        return _branch(hub, named[1], named[2])
    if named := re.fullmatch(r"/([^/]+/[^/]+)\.git/info/lfs/objects/batch", path):
        return _batch(hub, json.loads(body))
    if path == "/lfs-verify":
        wanted = json.loads(body)
        return _json({}) if len(hub.blobs.get(wanted["oid"], b"")) == wanted["size"] else Answer(422, {}, b"")
    if named := re.fullmatch(r"/api/models/([^/]+/[^/]+)/commit/([^/]+)", path):
        return _commit(hub, named[1], named[2], body)
    return None


def _json(value: Any) -> Answer:
    return Answer(200, {"Content-Type": "application/json"}, json.dumps(value).encode())


def _create(hub: Hub, wanted: dict[str, Any]) -> Answer:
    name = f"{wanted['organization'] or 'org'}/{wanted['name']}"
    there = name in hub.repos
    if not there:
        hub.add(name, {})
    if wanted.get("visibility") == "private" or wanted.get("private"):
        hub.private.add(name)
    done = _json({"url": f"{hub.url}/{name}", "name": name})
    done.status = 409 if there else 200
    return done


def _branch(hub: Hub, name: str, branch: str) -> Answer:
    branches = hub.repos[name].branches
    there = branch in branches
    branches.setdefault(branch, branches["main"])
    return Answer(409 if there else 200, {}, b"{}")


def _preupload(hub: Hub, name: str, branch: str, wanted: dict[str, Any]) -> Answer:
    if name not in hub.repos:
        return Answer(404, {"X-Error-Code": "RepoNotFound"}, b"")
    return _json({"files": [{"path": file["path"], "shouldIgnore": False, "uploadMode": _mode(file)} for file in wanted["files"]]})


def _mode(file: dict[str, Any]) -> str:
    return "lfs" if file["size"] > LFS_SIZE and not file["path"].endswith((".json", ".md", ".txt")) else "regular"


def _batch(hub: Hub, wanted: dict[str, Any]) -> Answer:
    objects = []
    for one in wanted["objects"]:
        actions = {"upload": {"href": f"{hub.url}/lfs/{one['oid']}"}, "verify": {"href": f"{hub.url}/lfs-verify"}}
        objects.append({**one, **({} if one["oid"] in hub.blobs else {"actions": actions})})
    return _json({"transfer": "basic", "objects": objects})


def _put(hub: Hub, name: str, body: bytes) -> Answer:
    if hashlib.sha256(body).hexdigest() != name:
        return Answer(400, {}, b"the contents have another SHA-256")
    hub.blobs[name] = body
    return Answer(200, {}, b"")


def _commit(hub: Hub, name: str, branch: str, body: bytes) -> Answer:
    files: dict[str, bytes] = {}
    for line in map(json.loads, body.splitlines()):
        value = line["value"]
        if line["key"] == "file":
            files[value["path"]] = base64.b64decode(value["content"])
        elif line["key"] == "lfsFile":
            if value["oid"] not in hub.blobs:
                return Answer(400, {}, b"a file of this commit was not uploaded")
            files[value["path"]] = hub.blobs[value["oid"]]
        elif line["key"] != "header":
            return Answer(400, {}, b"this hub knows no such change")
    commit = hub.add(name, files, branch)
    return _json({"commitUrl": f"{hub.url}/{name}/commit/{commit}", "commitOid": commit, "success": True})
