"""What the tests share: real data and third-party weights where they are at hand, a hub on this computer, and a seed."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from families import FAMILIES
from hypothesis import settings
from loopback import Hub, point_at

from resnetlib.data import is_cifar10
from resnetlib.models import Spec
from resnetlib.weights import download

if workers := os.environ.get("PYTEST_XDIST_WORKER_COUNT"):  # the tests of several workers share the cores
    os.environ["OMP_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // int(workers)))
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))

settings.register_profile("resnetlib", deadline=None, derandomize=True, max_examples=30, print_blob=True)
settings.load_profile("resnetlib")


if not (Path(__file__).parents[1] / "docs" / "results").is_dir():  # a source distribution has no results
    collect_ignore = ["test_results.py", "test_evidence.py"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that need real data, and skip those that need a GPU where there is none."""
    for item in items:
        if {"cifar10_folder", "akamaster_folder"} & set(getattr(item, "fixturenames", ())):
            item.add_marker("real_data")
        if item.get_closest_marker("cuda") and not torch.cuda.is_available():
            item.add_marker(pytest.mark.skip(reason="there is no CUDA device"))


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture
def no_curves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw no curves of trainings, which takes longer than a tiny training."""
    monkeypatch.setattr("resnetlib.train.metrics.draw_curves", lambda records, path, split: path.write_bytes(b""))


@pytest.fixture(params=FAMILIES)
def spec(request: pytest.FixtureRequest) -> Spec:
    """Each of the small networks' specs."""
    return FAMILIES[request.param]


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A running hub, which huggingface_hub, torch.hub and resnetlib use, with caches in `tmp_path`."""
    with Hub() as hub:
        point_at(hub.url, tmp_path, monkeypatch)
        monkeypatch.setattr(download, "CLOCK_TICK", 0.02)  # enough for the clocks of the file systems that tests run on
        make_impatient(monkeypatch)
        yield hub


def make_impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let huggingface_hub wait half a second for an answer, and not at all between its retries."""
    from huggingface_hub import constants, file_download
    from huggingface_hub.utils import _http

    for module in (file_download, _http):
        monkeypatch.setattr(module, "time", SimpleNamespace(**{**vars(time), "sleep": lambda seconds: None}))
    monkeypatch.setattr(file_download, "_ETAG_RETRY_TIMEOUT", 0.5)
    for name in ("HF_HUB_ETAG_TIMEOUT", "HF_HUB_DOWNLOAD_TIMEOUT"):
        monkeypatch.setattr(constants, name, 0.5)


def _or_skip(path: Path, there: bool, variable: str) -> Path:
    """Return what a test needs; without it, skip the test, or fail it where all tests must run."""
    if there:
        return path
    message = f"{path} is not there: {variable} says where it is"
    if os.environ.get("RESNETLIB_TEST_EVERYTHING"):
        pytest.fail(message)
    pytest.skip(message)


@pytest.fixture(scope="session")
def cifar10_folder() -> Path:
    """The real CIFAR-10."""
    cache = os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")
    folder = Path(os.environ.get("RESNETLIB_TEST_CIFAR10", Path(cache) / "cifar10"))
    return _or_skip(folder, is_cifar10(folder), "RESNETLIB_TEST_CIFAR10")


@pytest.fixture(scope="session")
def akamaster_folder() -> Path:
    """Third-party checkpoints, trained on CIFAR-10."""
    default = Path(__file__).parents[2] / "shared" / "weights" / "cifar10-akamaster"
    folder = Path(os.environ.get("RESNETLIB_TEST_AKAMASTER", default))
    return _or_skip(folder, folder.is_dir(), "RESNETLIB_TEST_AKAMASTER")
