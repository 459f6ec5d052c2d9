"""Offline no socket is opened, and what is missing is named with the way to get it."""

import hashlib
import os
import random
import socket
import subprocess
import sys

import pytest
from loopback import Hub
from remotes import Remote

from resnetlib.config import HubFile, UrlFile
from resnetlib.weights.fetch import fetch, fetch_first, fetch_repo_file, find_cached
from resnetlib.weights.fetch.errors import DamagedError, NotThereError, UnreachableError


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Forbid the network, and make every socket an error."""

    def no_socket(*args: object, **kwargs: object) -> None:
        raise AssertionError("a socket is opened")

    def go(variable: bool) -> None:
        if variable:
            monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        else:
            monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        for name in ("socket", "create_connection", "getaddrinfo"):
            monkeypatch.setattr(socket, name, no_socket)

    monkeypatch.go = go  # type: ignore[attr-defined]
    return monkeypatch


@pytest.mark.parametrize("variable", [True, False], ids=["variable", "constant"])
def test_what_is_cached_is_there(remote: Remote, offline: pytest.MonkeyPatch, variable: bool) -> None:
    first = fetch(remote.source)
    requests = remote.hub.count()
    offline.go(variable)  # type: ignore[attr-defined]
    assert fetch(remote.source) == first
    assert fetch_first([HubFile(repo="org/other"), remote.source]) == first
    assert remote.hub.count() == requests


@pytest.mark.parametrize("variable", [True, False], ids=["variable", "constant"])
def test_what_is_missing_is_named_with_the_way_to_get_it(remote: Remote, offline: pytest.MonkeyPatch, variable: bool) -> None:
    offline.go(variable)  # type: ignore[attr-defined]
    assert find_cached(remote.source) is None
    for refresh in (False, True):
        with pytest.raises(UnreachableError) as caught:
            fetch(remote.source, refresh=refresh)
        message = str(caught.value)
        assert remote.part in message
        assert str(remote.folder / ("hf/hub" if remote.kind == "hub" else "torch/hub/checkpoints")) in message
        assert "HF_HUB_OFFLINE forbids to download it" in message
        assert "`resnetlib weights fetch NAME`" in message
        assert "give the path of a file" in message
        assert not isinstance(caught.value, FileNotFoundError)
    assert remote.hub.seen == []


def test_what_is_damaged_is_refused(remote: Remote, offline: pytest.MonkeyPatch) -> None:
    path = fetch(remote.source).path
    path.write_bytes(bytes(len(remote.content)))
    offline.go(True)  # type: ignore[attr-defined]
    with pytest.raises(DamagedError, match=r"is damaged in .* HF_HUB_OFFLINE forbids to download it"):
        fetch(remote.source)


def test_a_config_and_what_its_commit_does_not_have_are_known(hub: Hub, offline: pytest.MonkeyPatch) -> None:
    commit = hub.add("org/name", {"config.json": b"{}"})
    assert fetch_repo_file("org/name", "config.json").revision == commit
    with pytest.raises(NotThereError):
        fetch_repo_file("org/name", "model.safetensors")
    offline.go(True)  # type: ignore[attr-defined]
    assert fetch_repo_file("org/name", "config.json").revision == commit
    with pytest.raises(NotThereError):  # the hub said so when it was asked
        fetch_repo_file("org/name", "model.safetensors")
    with pytest.raises(UnreachableError):
        fetch_repo_file("org/name", "pytorch_model.bin")


CHILD = """
import sys
opened = []
sys.addaudithook(lambda event, args: opened.append(event) if event.startswith("socket.") else None)
from resnetlib.weights.fetch.errors import UnreachableError
from resnetlib.weights.fetch import fetch, fetch_repo_file
from resnetlib.config import HubFile, UrlFile
fetch(HubFile(repo="org/name"))
fetch(UrlFile(url=sys.argv[1] + "/files/weights.pth", sha256=sys.argv[2]))
for missing in (HubFile(repo="org/other"), UrlFile(url=sys.argv[1] + "/files/other.pth", sha256=sys.argv[2])):
    try:
        fetch(missing)
    except UnreachableError as error:
        print(error)
try:
    fetch_repo_file("org/name", "other.json")
except UnreachableError as error:
    print(error)
print(opened)
import socket
socket.socket().close()
print(len(opened) > 0)
"""


def test_a_process_with_the_variable_opens_no_socket_at_all(hub: Hub) -> None:
    content = random.Random(0).randbytes(5000)
    hub.add("org/name", {"model.safetensors": content})
    url = UrlFile(url=hub.put("weights.pth", content), sha256=hashlib.sha256(content).hexdigest())
    fetch(url)
    fetch(HubFile(repo="org/name"))
    requests = hub.count()
    out = subprocess.run(  # noqa: S603
        [sys.executable, "-c", CHILD, hub.url, url.sha256],
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    assert [line.split(" is not in the cache")[0] for line in out[:3]] == [
        "hf-hub:org/other (model.safetensors)",
        f"{hub.url}/files/other.pth",
        "hf-hub:org/name (other.json)",
    ]
    assert out[3:] == ["[]", "True"], "the last line shows that the hook sees sockets"
    assert hub.count() == requests
