"""Weights files: read safely whatever they hold, written whole or not at all."""

import io
import os
import pickle
import random
import tarfile
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import torch
from families import FAMILIES
from torch import Tensor

from resnetlib import Backbone, build, create_model, load_file, spec_of
from resnetlib.config import pretrained_config_from_json
from resnetlib.weights import Preprocessing, PretrainedConfig, read_embedded, read_weights, write_state, write_weights

CONFIG = PretrainedConfig(
    name="small",
    tag="random",
    spec=FAMILIES["resnet"],
    classes=("cat", "dog"),
    preprocess=Preprocessing.named("imagenet", resize=36, size=32),
    top1=50.0,
    evaluated_on="nothing",
    recipe="none",
    license="Apache-2.0",
    origin="a test",
)


@pytest.fixture
def net() -> Backbone:
    return build(FAMILIES["resnet"], num_classes=2)


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return list(a) == list(b) and all(torch.equal(x, y) for x, y in zip(a.values(), b.values(), strict=True))


def test_what_is_written_is_read(net: Backbone, tmp_path: Path) -> None:
    write_weights(net, tmp_path / "w.safetensors", CONFIG)
    file = read_weights(tmp_path / "w.safetensors")
    assert file.pretrained_cfg == CONFIG
    assert file.state.keys() == net.state_dict().keys()
    assert all(torch.equal(file.state[key], tensor) for key, tensor in net.state_dict().items())
    assert pretrained_config_from_json(CONFIG.to_json()) == CONFIG


def test_half_precision_keeps_counters(net: Backbone, tmp_path: Path) -> None:
    write_weights(net, tmp_path / "w.safetensors", CONFIG, dtype=torch.float16)
    state = read_weights(tmp_path / "w.safetensors").state
    assert {tensor.dtype for tensor in state.values()} == {torch.float16, torch.int64}
    assert torch.equal(state["conv1.weight"], net.conv1.weight.half())


def test_numbers_that_are_not_finite_are_not_written(net: Backbone, tmp_path: Path) -> None:
    net.fc.bias.data[0] = 1e6
    with pytest.raises(ValueError, match=r"fc.bias holds numbers that are not finite in torch.float16"):
        write_weights(net, tmp_path / "w.safetensors", CONFIG, dtype=torch.float16)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_the_old_file(net: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_weights(net, path, CONFIG)
    assert [file.name for file in tmp_path.iterdir()] == ["w.safetensors"]
    assert path.read_bytes() == b"old"


@pytest.mark.parametrize("wrapper", ["state_dict", "model", "net", "model_state_dict", None])
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "_orig_mod.module.", "module._orig_mod."])
def test_wrappers_and_prefixes_come_off(net: Backbone, tmp_path: Path, wrapper: str | None, prefix: str) -> None:
    state = {prefix + key: tensor for key, tensor in net.state_dict().items()}
    torch.save({wrapper: state, "epoch": 3} if wrapper else state, tmp_path / "w.pth")
    assert same(read_weights(tmp_path / "w.pth").state, net.state_dict())


class Bomb:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("protocol", ["zip", "legacy"])
def test_a_pickle_that_runs_code_is_refused_unrun(
    net: Backbone, tmp_path: Path, protocol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    bomb = {**net.state_dict(), "bomb": Bomb(tmp_path / "exploded")}
    torch.save(bomb, tmp_path / "w.pth", _use_new_zipfile_serialization=protocol == "zip")
    with pytest.raises(ValueError, match="Nothing in it was run"):
        read_weights(tmp_path / "w.pth")
    assert not (tmp_path / "exploded").exists()


def test_a_whole_pickled_module_is_refused(net: Backbone, tmp_path: Path) -> None:
    torch.save(net, tmp_path / "w.pth")
    with pytest.raises(ValueError, match="Ask its author for a safetensors file or a plain state dict"):
        read_weights(tmp_path / "w.pth")


def test_damaged_files_are_refused(net: Backbone, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    write_weights(net, path, CONFIG)
    whole = path.read_bytes()
    for damaged in (whole[:-10], whole[:100], whole + b"more", b"", b"not a file of weights at all"):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"w.safetensors is damaged"):
            read_weights(path)
    with pytest.raises(FileNotFoundError, match="there is no file"):
        read_weights(tmp_path / "nothing")


def test_what_holds_no_tensors_is_refused(tmp_path: Path) -> None:
    for content in ({"epoch": 3}, {}, [1, 2], {"state_dict": {"a": 1}}):
        torch.save(content, tmp_path / "w.pth")
        with pytest.raises(ValueError, match=r"expected a state dict"):
            read_weights(tmp_path / "w.pth")
    pickle_path = tmp_path / "plain.pickle"
    pickle_path.write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(ValueError, match="damaged, or holds more than tensors"):
        read_weights(pickle_path)


def test_damaged_pickles_fail_as_one_error(net: Backbone, tmp_path: Path) -> None:
    torch.save(net.state_dict(), tmp_path / "w.pth", _use_new_zipfile_serialization=False)
    whole = (tmp_path / "w.pth").read_bytes()
    rng = random.Random(0)
    refused = 0
    for _ in range(150):
        damaged = bytearray(whole[: rng.randrange(1, 2000)] if rng.random() < 0.5 else whole)
        for _ in range(rng.randrange(1, 6)):
            damaged[rng.randrange(min(2000, len(damaged)))] = rng.randrange(256)
        (tmp_path / "d.pth").write_bytes(damaged)
        try:
            read_weights(tmp_path / "d.pth")
        except ValueError:
            refused += 1
    assert refused > 75


@pytest.mark.parametrize(
    "tensor",
    [torch.eye(3).to_sparse(), torch.zeros(3, dtype=torch.complex64), torch.empty(3, device="meta")],
    ids=["sparse", "complex", "meta"],
)
def test_tensors_that_are_no_plain_numbers_are_refused(tensor: Tensor, tmp_path: Path) -> None:
    torch.save({"fc.bias": tensor}, tmp_path / "w.pth")
    with pytest.raises(ValueError, match=r"fc.bias is not a plain tensor of numbers|damaged, or holds more than tensors"):
        read_weights(tmp_path / "w.pth")


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (torch.tensor(1.0), r"the classifier must be a matrix \(classes, features\), got \(\)"),
        (torch.zeros(0, 16), "the classifier must be a matrix"),
        (torch.zeros(3, 5), r"fc.weight \(3, 5\), not \(3, 16\)"),
        (torch.zeros(1).expand(10**9, 16), "holds fewer numbers|fc.weight"),
    ],
    ids=["0-d", "none", "5", "huge"],
)
def test_a_classifier_that_is_none_is_refused(weight: Tensor, message: str, tmp_path: Path) -> None:
    torch.save({**build(FAMILIES["resnet"]).state_dict(), "fc.weight": weight}, tmp_path / "w.pth")
    with pytest.raises(ValueError, match=message):
        load_file(tmp_path / "w.pth", spec=FAMILIES["resnet"])


@pytest.mark.parametrize("mmap", [False, True])
def test_reading_and_mapping_give_the_same(net: Backbone, tmp_path: Path, mmap: bool) -> None:
    write_weights(net, tmp_path / "w.safetensors", CONFIG)
    file = read_weights(tmp_path / "w.safetensors", mmap=mmap)
    assert file.pretrained_cfg == CONFIG
    assert all(torch.equal(file.state[key], tensor) for key, tensor in net.state_dict().items())


def test_training_does_not_reach_a_mapped_file(net: Backbone, tmp_path: Path) -> None:
    write_weights(net, tmp_path / "w.safetensors", CONFIG)
    before = (tmp_path / "w.safetensors").read_bytes()
    mapped = load_file(tmp_path / "w.safetensors", mmap=True)
    with torch.no_grad():
        for parameter in mapped.parameters():
            parameter.add_(1)
    assert (tmp_path / "w.safetensors").read_bytes() == before
    assert torch.equal(mapped.fc.bias, net.fc.bias + 1)


def test_a_file_that_is_cut_off_later_does_not_matter(net: Backbone, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    write_weights(net, path, CONFIG)
    loaded = load_file(path)
    with path.open("r+b") as file:
        file.truncate(100)
    assert all(torch.equal(a, b) for a, b in zip(loaded.state_dict().values(), net.state_dict().values(), strict=True))


def test_a_tar_of_old_times_is_refused_with_the_way_out(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "w.pth", "w") as archive:
        archive.addfile(tarfile.TarInfo("storages"), io.BytesIO())
    with pytest.raises(ValueError, match=r"tar file, as PyTorch wrote them before 0.4.*save its state dict as safetensors"):
        read_weights(tmp_path / "w.pth")


@pytest.mark.parametrize("size", [2**63, 2**40, 10**9])
def test_an_absurd_header_is_refused_at_once(tmp_path: Path, size: int) -> None:
    (tmp_path / "w.safetensors").write_bytes(size.to_bytes(8, "little") + b"{" + b" " * 1000)
    tracemalloc.start()
    with pytest.raises(ValueError, match="is damaged"):
        read_weights(tmp_path / "w.safetensors")
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


def test_a_pretrained_config_of_another_network_is_not_written(net: Backbone, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="the pretrained config describes another network"):
        write_weights(net, tmp_path / "w.safetensors", replace(CONFIG, spec=FAMILIES["plain"]))


@pytest.mark.parametrize("change", [{"name": 5}, {"classes": "abc"}, {"classes": (1, 2)}, {"top1": "x"}, {"top1": 101.0}])
def test_a_pretrained_config_has_types(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="must be a"):
        replace(CONFIG, **change)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("cfg", "message"),
    [
        ("", "a pretrained config must be JSON"),
        ("[]", "a pretrained config must be a JSON object, got list"),
        ("null", "a pretrained config must be a JSON object, got NoneType"),
        ("{}", "pretrained config cannot be read"),
        ('{"spec": {"family": "vgg"}, "preprocess": {}, "classes": []}', "pretrained config cannot be read"),
    ],
)
def test_a_pretrained_config_that_cannot_be_read_is_an_error(net: Backbone, tmp_path: Path, cfg: str, message: str) -> None:
    safetensors.torch.save_file(net.state_dict(), tmp_path / "w.safetensors", {"resnetlib": cfg})
    with pytest.raises(ValueError, match=message):
        read_weights(tmp_path / "w.safetensors")


def test_safetensors_of_others_have_no_pretrained_config(net: Backbone, tmp_path: Path) -> None:
    safetensors.torch.save_file(net.state_dict(), tmp_path / "w.safetensors")
    assert read_weights(tmp_path / "w.safetensors").pretrained_cfg is None


def test_the_embedded_weights_say_what_they_are() -> None:
    cfg = read_embedded("cifar_resnet20", "resnetlib_c10").pretrained_cfg
    assert cfg is not None
    assert cfg.spec == spec_of("cifar_resnet20")
    assert (cfg.name, cfg.tag) == ("cifar_resnet20", "resnetlib_c10")
    assert cfg.preprocess == Preprocessing.named("cifar10", resize=32, size=32)
    assert len(cfg.classes) == 10
    assert cfg.top1 >= 88
    assert cfg.train_top1 > cfg.top1
    assert cfg.recipe == "one_cycle_cifar, epochs=40, lr=0.1; 50,000 images, seed 0; weights of iteration 15,600 of 15,600"


def test_a_pretrained_config_that_miscounts_its_classes_is_refused(tmp_path: Path) -> None:
    cfg = replace(CONFIG, spec=spec_of("cifar_plain20"), name="cifar_plain20")
    net = create_model("cifar_plain20", num_classes=7)
    write_state(net.state_dict(), tmp_path / "w.safetensors", cfg)
    with pytest.raises(ValueError, match="names 2 classes, but has 7 logits"):
        create_model("cifar_plain20", weights=tmp_path / "w.safetensors")


def test_a_file_of_another_network_is_refused_by_its_pretrained_config(net: Backbone, tmp_path: Path) -> None:
    other = replace(CONFIG, spec=spec_of("cifar_plain20"), name="cifar_plain20")
    write_weights(create_model("cifar_plain20", num_classes=2), tmp_path / "w.safetensors", other)
    with pytest.raises(ValueError, match="holds a cifar_plain20, not a cifar_resnet20"):
        create_model("cifar_resnet20", weights=tmp_path / "w.safetensors")
