"""Reading CIFAR-10: both of its forms, and what is wrong with them."""

import hashlib
import os
import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from resnetlib.data import LabeledImages, cifar10, is_cifar10, pad_crop_flip, samples
from resnetlib.data.cifar import CHECKSUMS

BATCHES = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]


def write_binary(folder: Path, images: int = 3) -> Path:
    folder.mkdir()
    for seed, name in enumerate(BATCHES):
        rng = np.random.default_rng(seed)
        records = rng.integers(0, 256, (images, 3073), np.uint8)
        records[:, 0] %= 10
        (folder / f"{name}.bin").write_bytes(records.tobytes())
    return folder


def write_python(folder: Path, images: int = 3) -> Path:
    folder.mkdir()
    for seed, name in enumerate(BATCHES):
        rng = np.random.default_rng(seed)
        records = rng.integers(0, 256, (images, 3073), np.uint8)
        batch = {b"data": records[:, 1:], b"labels": (records[:, 0] % 10).tolist(), b"batch_label": b"batch", b"filenames": [b"x"]}
        (folder / name).write_bytes(pickle.dumps(batch, protocol=2))
    return folder


def publish(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Take a folder's pickled files for the published ones."""
    for path in folder.iterdir():
        if not path.suffix:
            monkeypatch.setitem(CHECKSUMS, path.name, hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest())
    return folder


@pytest.fixture(params=[write_binary, write_python], ids=["bin", "py"])
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return publish(request.param(tmp_path / "cifar-10-batches-x"), monkeypatch)


def test_images_and_labels(folder: Path) -> None:
    train, test = cifar10(folder, "train", verify=False), cifar10(folder, "test", verify=False)
    assert len(train) == 15
    assert len(test) == 3
    assert train.images.shape == (15, 3, 32, 32)
    assert train.images.dtype == torch.uint8
    assert train.labels.dtype == torch.int64
    records = np.random.default_rng(5).integers(0, 256, (3, 3073), np.uint8)
    assert test.labels.tolist() == (records[:, 0] % 10).tolist()
    assert test.images[2, 1, 0, 5].item() == records[2, 1 + 1024 + 5]
    assert test.classes[0] == "airplane"
    test.images.zero_()  # the tensors are the caller's own


def test_the_first_images_in_batches(folder: Path) -> None:
    train = cifar10(folder, "train", verify=False)
    few = train.first(5)
    assert torch.equal(few.images, train.images[:5])
    assert torch.equal(few.labels, train.labels[:5])
    assert few.classes == train.classes
    assert len(train.first(99)) == 15
    batches = few.batches(lambda images: images / 255, size=2)
    assert [len(labels) for _, labels in batches] == [2, 2, 1]
    assert torch.equal(torch.cat([x for x, _ in batches]), train.images[:5] / 255)
    assert torch.equal(torch.cat([labels for _, labels in batches]), train.labels[:5])
    with pytest.raises(ValueError, match=r"count must be an integer of at least 1, got 0"):
        train.first(0)
    with pytest.raises(ValueError, match=r"size must be an integer of at least 1, got -1"):
        train.batches(torch.Tensor.float, -1)


def test_the_two_forms_are_read_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a = cifar10(write_binary(tmp_path / "a"), "train", verify=False)
    b = cifar10(publish(write_python(tmp_path / "b"), monkeypatch), "train")
    assert torch.equal(a.images, b.images)
    assert torch.equal(a.labels, b.labels)


def test_the_folder_around_is_enough(tmp_path: Path) -> None:
    write_binary(tmp_path / "cifar-10-batches-bin")
    assert is_cifar10(tmp_path)
    assert is_cifar10(tmp_path / "cifar-10-batches-bin")
    assert not is_cifar10(tmp_path / "elsewhere")
    assert len(cifar10(tmp_path, "test", verify=False)) == 3


@pytest.mark.parametrize("write", [write_binary, write_python])
def test_what_is_not_the_published_file_is_refused(write: Any, tmp_path: Path) -> None:
    folder = write(tmp_path / "x")
    with pytest.raises(ValueError, match=r"test_batch.* is damaged or not the published file: its checksum is [0-9a-f]+, not"):
        cifar10(folder, "test")


def test_missing_files(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere is not a folder: give the folder cifar-10-batches-bin or"):
        cifar10(tmp_path / "nowhere", "test")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"empty has no test_batch or test_batch.bin"):
        cifar10(tmp_path / "empty", "test")
    next(folder.glob("data_batch_3*")).unlink()
    assert len(cifar10(folder, "test", verify=False)) == 3
    with pytest.raises(FileNotFoundError, match=r"data_batch_3.* is missing, though other files"):
        cifar10(folder, "train", verify=False)
    with pytest.raises(ValueError, match="split must be 'train' or 'test', got 'val'"):
        cifar10(folder, "val")  # type: ignore[arg-type]


@pytest.mark.parametrize("damage", [lambda b: b[:-1], lambda b: b"", lambda b: b[: len(b) // 2]], ids=["short", "empty", "half"])
def test_short_files(folder: Path, damage: Any) -> None:
    file = next(folder.glob("test_batch*"))
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(ValueError, match=r"test_batch.* is (truncated|damaged)"):
        cifar10(folder, "test", verify=False)


def test_labels_out_of_range(tmp_path: Path) -> None:
    folder = write_binary(tmp_path / "a")
    content = bytearray((folder / "test_batch.bin").read_bytes())
    content[0] = 10
    (folder / "test_batch.bin").write_bytes(content)
    with pytest.raises(ValueError, match=r"is damaged: it holds the label 10, but CIFAR-10's are 0 to 9"):
        cifar10(folder, "test", verify=False)


class Bomb:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.path,)


def pickled(name: bytes, arguments: bytes) -> bytes:
    """Call a function in a pickle by its name."""
    return b"\x80\x02c" + name + arguments + b"R."


FORGED_STATE = b"(K\x03X\x01\x00\x00\x00|NNNJ\xff\xff\xff\x7fK\x01K\x3ftb."
HOSTILE = {
    "a module of NumPy's that runs a command": pickled(b"numpy.f2py\nrun_main\n", b"](X\x02\x00\x00\x00-ve\x85"),
    "a forged state of a dtype": b"\x80\x02cnumpy\ndtype\nX\x02\x00\x00\x00V8\x89\x88\x87R" + FORGED_STATE,
    "plain data": pickle.dumps({b"labels": [], b"data": b""}),
}


@pytest.mark.parametrize("verify", [True, False])
@pytest.mark.parametrize("what", HOSTILE)
def test_another_pickle_is_not_even_parsed(what: str, verify: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_python(tmp_path / "a")
    (folder / "test_batch").write_bytes(HOSTILE[what])
    monkeypatch.setattr(pickle, "loads", None)
    monkeypatch.setattr(pickle, "load", None)
    monkeypatch.setattr(pickle, "Unpickler", None)
    with pytest.raises(ValueError, match=r"test_batch is damaged or not the published file: .* use the binary form"):
        cifar10(folder, "test", verify=verify)


@pytest.mark.parametrize("verify", [True, False])
def test_a_pickle_runs_nothing(verify: bool, tmp_path: Path) -> None:
    folder = write_python(tmp_path / "a")
    (folder / "test_batch").write_bytes(pickle.dumps({b"data": Bomb(tmp_path / "exploded"), b"labels": []}))
    with pytest.raises(ValueError, match="another pickle is never read, since it could run code"):
        cifar10(folder, "test", verify=verify)
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("ending", ["", ".bin"])
def test_pipes_and_endless_files_are_refused(ending: str, tmp_path: Path) -> None:
    folder = write_binary(tmp_path / "a") if ending else write_python(tmp_path / "a")
    (folder / f"data_batch_1{ending}").unlink()
    os.mkfifo(folder / f"data_batch_1{ending}")
    with pytest.raises(ValueError, match="expected a regular file"):
        cifar10(folder, "train", verify=False)
    os.truncate(folder / f"test_batch{ending}", 2**40)
    with pytest.raises(ValueError, match=r"test_batch.* is larger than the limit of [\d,]+ bytes$"):
        cifar10(folder, "test", verify=False)
    (folder / f"test_batch{ending}").unlink()
    os.mkfifo(folder / f"test_batch{ending}")
    with pytest.raises(FileNotFoundError, match="has no test_batch"):
        cifar10(folder, "test")


@st.composite
def damaged(draw: st.DrawFn, content: bytes) -> bytes:
    """Cut a file, and change or insert some of its bytes."""
    changed = bytearray(content[: draw(st.integers(0, len(content)) | st.just(len(content)))])
    for place, insert in draw(st.lists(st.tuples(st.integers(0, len(content)), st.binary(max_size=4)), max_size=8)):
        changed[place : place + draw(st.integers(0, 4))] = insert
    return bytes(changed)


PICKLE = pickle.dumps({b"data": np.zeros((2, 3072), np.uint8), b"labels": [0, 1]}, protocol=2)


@pytest.mark.parametrize(("name", "content"), [("test_batch.bin", bytes(2 * 3073)), ("test_batch", PICKLE)])
def test_any_bytes_are_read_or_refused(name: str, content: bytes, tmp_path: Path) -> None:
    @given(damaged(content) | st.binary(max_size=100))
    def check(mutated: bytes) -> None:
        (tmp_path / name).write_bytes(mutated)
        with warnings.catch_warnings(action="error"):
            try:
                read = cifar10(tmp_path, "test", verify=False)
            except ValueError:
                return
        assert name == "test_batch.bin"
        assert len(read) * 3073 == len(mutated)
        assert int(read.labels.max()) < 10

    check()


def test_labeled_images_of_other_kinds_are_refused() -> None:
    images, labels, classes = torch.zeros(2, 3, 4, 4, dtype=torch.uint8), torch.zeros(2, dtype=torch.int64), ("a", "b")
    assert len(LabeledImages(images[:, :1], labels, classes)) == 2
    narrow = LabeledImages(images, labels.byte(), list(classes))  # type: ignore[arg-type]
    assert narrow.labels.dtype == torch.int64
    assert narrow.classes == classes
    ramp = torch.linspace(0, 1, 96).view(2, 3, 4, 4)
    for error, message, bad in (
        (TypeError, "images must be a tensor or an array, got NoneType", {"images": None}),
        (TypeError, "images must be numbers, got an array of <U1", {"images": np.array(["a"])}),
        (TypeError, "labels must be a tensor or an array, got list", {"labels": [0, 1]}),
        (
            ValueError,
            r"float32 with values from 0 to 1: convert them with \(x \* 255\).round\(\).to\(torch.uint8\)",
            {"images": ramp},
        ),
        (ValueError, r"float64 with values from 0 to 1: convert them with \(x \* 255\)", {"images": ramp.double().numpy()}),
        (ValueError, r"values from 0 to 255: convert them with x.round\(\).to\(torch.uint8\)", {"images": ramp * 255}),
        (ValueError, "values from -0.5 to 0.5: give pixels from 0 to 255, before any normalization", {"images": ramp - 0.5}),
        (ValueError, "values from 0 to 1000: give pixels from 0 to 255", {"images": (ramp * 1000).int()}),
        (ValueError, "images must be torch.uint8, got torch.bool", {"images": images.bool()}),
        (ValueError, "values from nan to nan", {"images": ramp / 0}),
        (ValueError, "labels must be integers, got torch.float32", {"labels": labels.float()}),
        (ValueError, "labels must be integers, got torch.bool", {"labels": labels.bool()}),
        (ValueError, "labels must be 0 to 1, the classes' indices, got 0 to 2", {"labels": torch.tensor([0, 2])}),
        (ValueError, "labels must be 0 to 1, the classes' indices, got -1 to 0", {"labels": torch.tensor([0, -1])}),
        (ValueError, r"images must be .*, got \(3, 4, 4\) and \(2,\)", {"images": images[0]}),
        (ValueError, r"labels \(N,\), got .* and \(1,\)", {"labels": labels[:1]}),
        (ValueError, r"labels \(N,\), got .* and \(2, 1\)", {"labels": labels[:, None]}),
        (ValueError, r"got \(2, 8, 8, 3\): move the channels to the second", {"images": np.zeros((2, 8, 8, 3), np.uint8)}),
        (TypeError, "classes must be a sequence of names, got 'ab'", {"classes": "ab"}),
        (TypeError, r"classes must be a sequence of names, got \(1, 2\)", {"classes": (1, 2)}),
        (TypeError, "classes must be a sequence of names, got None", {"classes": None}),
        (ValueError, "classes must be unique, got a several times", {"classes": ["a", "b", "a"]}),
    ):
        with pytest.raises(error, match=message):
            LabeledImages(**{"images": images, "labels": labels, "classes": classes} | bad)  # type: ignore[arg-type]


def test_arrays_that_pytorch_cannot_share_are_copied() -> None:
    pixels, labels = np.arange(96, dtype=np.uint8).reshape(2, 4, 4, 3), torch.tensor([0, 1])
    flipped = pixels[..., ::-1].transpose(0, 3, 1, 2)  # from BGR to RGB
    frozen = flipped.copy()
    frozen.flags.writeable = False
    for images in (flipped, flipped.astype(">i2"), frozen):
        assert LabeledImages(images, labels, ("a", "b")).images.tolist() == flipped.tolist()  # type: ignore[arg-type]


def test_labeled_images_are_converted() -> None:
    images, labels = torch.arange(96).view(2, 3, 4, 4), torch.tensor([1, 0])
    expected = LabeledImages(images.to(torch.uint8), labels, ("a", "b"))
    for kind in (torch.int8, torch.int16, torch.uint16, torch.int32, torch.uint32, torch.int64, torch.uint64):
        for pixels in (images.to(kind), images.to(kind).numpy()):
            data = LabeledImages(pixels, labels.to(kind), np.array(["a", "b"]))  # type: ignore[arg-type]
            assert data.images.dtype == torch.uint8
            assert torch.equal(data.images, expected.images)
            assert torch.equal(data.labels, expected.labels)
            assert data.classes == ("a", "b")
            assert type(data.classes[0]) is str


def test_labeled_images_can_be_compared() -> None:
    some = samples()
    assert some == some
    assert some != samples()
    assert len({some, some}) == 1


def test_the_real_images(cifar10_folder: Path) -> None:
    test = cifar10(cifar10_folder, "test")
    assert len(test) == 10_000
    assert test.labels.bincount().tolist() == [1000] * 10
    assert test.labels[:5].tolist() == [3, 8, 8, 0, 6]


def test_crops_and_flips_are_of_the_padded_image() -> None:
    images = torch.arange(1, 2 * 3 * 6 * 5 + 1).reshape(2, 3, 6, 5)
    padded = torch.nn.functional.pad(images, (2, 2, 2, 2))
    windows = {}
    for i in range(2):
        for top in range(5):
            for left in range(5):
                window = padded[i, :, top : top + 6, left : left + 5]
                windows[window.numpy().tobytes()] = windows[window.flip(2).contiguous().numpy().tobytes()] = i
    seen = set()
    for _ in range(40):
        out = pad_crop_flip(images, pad=2)
        assert out.shape == images.shape
        for i in range(2):
            key = out[i].contiguous().numpy().tobytes()
            assert windows[key] == i
            seen.add(key)
    assert len(seen) > 30


@pytest.mark.parametrize("images", [torch.zeros(3, 8, 8), torch.zeros(1, 2, 3, 8, 8), torch.zeros(3), np.zeros((2, 3, 8, 8))])
def test_crops_are_of_batches(images: Any) -> None:
    with pytest.raises(ValueError, match=r"images must be a tensor \(N, C, H, W\), got (a tensor of shape|ndarray)"):
        pad_crop_flip(images)


def test_crops_follow_their_generator() -> None:
    images = torch.randint(256, (8, 3, 32, 32), dtype=torch.uint8)
    a, b = (pad_crop_flip(images, generator=torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(a, b)
    assert a.dtype == torch.uint8
    assert a.is_contiguous(memory_format=torch.channels_last)
    assert not torch.equal(a, pad_crop_flip(images, generator=torch.Generator().manual_seed(4)))
