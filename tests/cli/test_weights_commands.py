"""`resnetlib weights`: list, show, fetch, verify, convert, cache."""

from pathlib import Path

import pytest
import safetensors.torch
import timm
import torch
from click.testing import CliRunner
from loopback import Hub

from resnetlib import create_model, resnet18, save_model
from resnetlib.cli import main
from resnetlib.weights import list_pretrained, read_weights

NAME = "resnet18.a1_in1k"


def run(*args: str | Path, code: int = 0) -> str:
    result = CliRunner().invoke(main, ["weights", *map(str, args)])
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result.output


@pytest.fixture
def content(hub: Hub) -> bytes:
    """Weights of the catalog, on the hub."""
    content = safetensors.torch.save(timm.create_model("resnet18").state_dict())
    hub.add(f"timm/{NAME}", {"model.safetensors": content})
    return content


def test_list(hub: Hub) -> None:
    assert [line.split()[0] for line in run("list").splitlines()] == list_pretrained()
    [line] = run("list", "resnet50.tv2*").splitlines()
    assert line.split() == ["resnet50.tv2_in1k", "25.56", "M", "80.86", "%", "224", "BSD-3-Clause"]
    here = [line.split()[0] for line in run("list", "--here").splitlines()]
    assert here == [f"cifar_{name}.resnetlib_c10" for name in ("plain20", "plain56", "resnet20", "resnet56")]
    assert "no weights match 'vgg*'" in run("list", "vgg*", code=1)
    assert {line.split(".")[0] for line in run("list", "resnet50").splitlines()} == {"resnet50"}
    assert hub.seen == []


def test_show() -> None:
    out = run("show", "resnet50.tv2_in1k")
    for words in ("25,557,032", "80.858 %", "BSD-3-Clause", "resize to 232 (bilinear), crop 224 x 224", "1000: tench", "11ad3fa6"):
        assert words in out
    assert "in the package" in run("show", "cifar_resnet20.resnetlib_c10")
    assert "nearest: " in run("show", "resnet50.tv9_in1k", code=1)


def test_fetch_then_verify_then_cache(hub: Hub, content: bytes, tmp_path: Path) -> None:
    assert "not on this computer: download it with `resnetlib weights fetch" in run("verify", NAME, code=1)
    out = run("fetch", NAME, "cifar_resnet20.resnetlib_c10")
    assert f"({len(content):,} bytes, sha256 " in out
    assert "cifar_resnet20.resnetlib_c10: in the package" in out
    asked = len(hub.seen)
    here = run("verify", *(f"cifar_{name}.resnetlib_c10" for name in ("plain20", "plain56", "resnet20", "resnet56")), NAME)
    assert run("verify").splitlines() == [line for line in here.splitlines() if ": ok, " in line]
    assert f"{len(content):14,}  {NAME}  " in run("cache")
    assert str(tmp_path) in run("cache")
    assert "cache" in run("list", NAME)
    assert len(hub.seen) == asked
    [blob] = [path for path in tmp_path.rglob("blobs/*") if path.stat().st_size == len(content)]
    damaged = bytearray(content)
    damaged[-1] ^= 1
    blob.chmod(0o644)
    blob.write_bytes(damaged)
    assert f"{NAME}: FAILED: " in run("verify", NAME, code=1)
    assert blob.read_bytes() == damaged
    assert len(hub.seen) == asked


def test_fetch_goes_on_after_a_failure(hub: Hub, content: bytes, tmp_path: Path) -> None:
    save_model(create_model("cifar_plain20"), tmp_path / "w")
    hub.add("org/name", {path.name: path.read_bytes() for path in (tmp_path / "w").iterdir()})
    out = run("fetch", "hf-hub:org/none", "hf-hub:org/name", NAME, code=1)
    assert "hf-hub:org/none: FAILED: " in out
    assert f"hf-hub:org/name: {len(create_model('cifar_plain20').state_dict())} tensors" in out
    assert f"({len(content):,} bytes" in out
    assert "1 of 3 failed" in out


def test_weights_of_another_network_are_found_out(hub: Hub) -> None:
    hub.add(f"timm/{NAME}", {"model.safetensors": safetensors.torch.save(timm.create_model("resnet34").state_dict())})
    run("fetch", NAME)
    assert "These names and shapes are a resnet34's" in run("verify", NAME, code=1)


@pytest.mark.parametrize("name", ["hf-hub:org/name", "hf_hub:org/name", "hf-hub:org", "https://host.org/a-0123abcd.pth"])
def test_verify_asks_no_server(name: str, hub: Hub) -> None:
    out = run("verify", name, code=1)
    assert f"{name}: FAILED: not on this computer: " in out
    assert "resnetlib weights fetch" in out
    assert hub.seen == []


def test_verify_files(tmp_path: Path) -> None:
    save_model(create_model("cifar_plain20"), tmp_path / "w")
    (tmp_path / "bad.safetensors").write_bytes(b"nothing")
    assert run("verify", tmp_path / "w") == f"{tmp_path / 'w'}: ok, a PlainNet with 269,722 parameters\n"
    out = run("verify", tmp_path / "w" / "model.safetensors", tmp_path / "bad.safetensors", code=1)
    assert "1 of 2 failed" in out
    torch.save(create_model("resnet26", num_classes=2).state_dict(), tmp_path / "26.pth")
    assert "stride_in='1x1'" in run("verify", tmp_path / "26.pth", code=1)
    assert "ok, a ResNet" in run("verify", tmp_path / "26.pth", "--dialect", "torchvision")
    assert "ok, a ResNet" in run("verify", tmp_path / "26.pth", "--network", "resnet26")


def test_the_catalogs_weights_need_no_dialect_and_no_network(tmp_path: Path) -> None:
    save_model(create_model("cifar_plain20"), tmp_path / "w")
    for names in ([], ["cifar_resnet20.resnetlib_c10"], [tmp_path / "w", "cifar_resnet20.resnetlib_c10"]):
        for option in (("--network", "resnet50"), ("--dialect", "timm")):
            said = run("verify", *names, *option, code=1)
            assert "--dialect and --network are for files and folders: the catalog has those of its weights" in said


def test_convert(tmp_path: Path) -> None:
    net = resnet18(num_classes=3)
    torch.save({"state_dict": {f"module.{key}": tensor for key, tensor in net.state_dict().items()}}, tmp_path / "w.pth")
    out = run("convert", tmp_path / "w.pth", tmp_path / "hf.safetensors", "--to", "transformers")
    assert "ResNetSpec(block='basic'" in out
    assert "classifier.1.weight" in read_weights(tmp_path / "hf.safetensors").state
    run("convert", tmp_path / "hf.safetensors", tmp_path / "back.safetensors", "--to", "torchvision")
    back = read_weights(tmp_path / "back.safetensors").state
    assert all(torch.equal(back[key], tensor) for key, tensor in net.state_dict().items())
    assert "exists already" in run("convert", tmp_path / "w.pth", tmp_path / "back.safetensors", "--to", "timm", code=1)
    run("convert", tmp_path / "w.pth", tmp_path / "back.safetensors", "--to", "timm", "--overwrite")
    assert "dialect must be one of" in run("convert", tmp_path / "w.pth", tmp_path / "x.safetensors", "--to", "keras", code=1)
    torch.save(create_model("resnet50", num_classes=2).state_dict(), tmp_path / "50.pth")
    wrong = run("convert", tmp_path / "50.pth", tmp_path / "x.safetensors", "--to", "timm", code=1)
    assert "stride_in='1x1'" in wrong
    run("convert", tmp_path / "50.pth", tmp_path / "x.safetensors", "--to", "timm", "--network", "resnet50")
    assert not list(tmp_path.glob(".*"))
