"""`create_model`: the one call that most users make."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from loopback import Hub
from torch import nn

import resnetlib
from resnetlib import build, create_model, load_file, save_model, spec_of
from resnetlib.config import PretrainedConfig
from resnetlib.errors import InputError
from resnetlib.models import Spec
from resnetlib.weights import adapt_input, convert_file, describe, load_state, to_dialect


def test_embedded_weights() -> None:
    net = create_model("cifar_resnet20", weights="resnetlib_c10")
    assert net.training
    assert net.num_classes == 10
    assert net.classes is not None
    assert net.classes[3] == "cat"
    assert net.preprocess is not None
    assert {parameter.dtype for parameter in net.parameters()} == {torch.float32}
    again = resnetlib.cifar_resnet20(weights="resnetlib_c10")
    assert all(torch.equal(a, b) for a, b in zip(net.state_dict().values(), again.state_dict().values(), strict=True))


def test_without_weights_nothing_is_claimed() -> None:
    net = create_model("cifar_resnet20")
    assert net.preprocess is None
    assert net.classes is None


@pytest.mark.parametrize("num_classes", [3, 0])
def test_other_classes_get_a_new_head_on_the_same_body(num_classes: int) -> None:
    full = create_model("cifar_resnet20", weights="resnetlib_c10").eval()
    net = create_model("cifar_resnet20", weights="resnetlib_c10", num_classes=num_classes).eval()
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(net.forward_features(images), full.forward_features(images))
    assert net(images).shape == (2, num_classes or 64)
    assert net.classes is None
    assert net.preprocess == full.preprocess


def test_the_weights_own_classes_are_the_default(tmp_path: Path) -> None:
    torch.save(create_model("cifar_plain20", num_classes=7).state_dict(), tmp_path / "seven.pth")
    net = create_model("cifar_plain20", weights=str(tmp_path / "seven.pth"))
    assert net.num_classes == 7
    torch.save(create_model("cifar_plain20", num_classes=0).state_dict(), tmp_path / "headless.pth")
    assert create_model("cifar_plain20", weights=tmp_path / "headless.pth").num_classes == 0
    assert create_model("cifar_plain20", weights=tmp_path / "headless.pth", num_classes=4).num_classes == 4


def test_options_reach_the_network() -> None:
    net = create_model("resnet50", num_classes=10, in_chans=1, device="meta", dtype=torch.bfloat16)
    assert net.conv1.weight.shape == (64, 1, 7, 7)
    assert net.conv1.weight.dtype == torch.bfloat16
    assert net.fc.weight.shape == (10, 2048)
    dense = create_model(
        "cifar_densenet40_k12", drop_path_rate=0.1, drop_rate=0.2, proj_drop_rate=0.3, memory_efficient=True, device="meta"
    )
    assert dense.drop_rate == 0.2
    assert list(dense.blocks())[-1].join.p == 0.1
    assert next(dense.blocks()).drop.p == 0.3


def test_errors_say_what_there_is() -> None:
    with pytest.raises(ValueError, match=r"cifar_resnet20 has no weights 'imagenet', .* its tags are resnetlib_c10, aka"):
        create_model("cifar_resnet20", weights="imagenet")
    with pytest.raises(ValueError, match="plain18 has no weights 'resnetlib_c10', and there is no file resnetlib_c10: give a file"):
        create_model("plain18", weights="resnetlib_c10")
    with pytest.raises(ValueError, match="no network named 'resnet20'"):
        create_model("resnet20")


def test_weights_have_no_place_on_meta() -> None:
    with pytest.raises(ValueError, match="weights cannot be loaded on device='meta'"):
        create_model("cifar_resnet20", weights="resnetlib_c10", device="meta")


def test_one_channel_sees_gray_images_as_three_did() -> None:
    full = create_model("cifar_resnet20.resnetlib_c10", dtype=torch.float64).eval()
    net = create_model("cifar_resnet20.resnetlib_c10", in_chans=1, dtype=torch.float64).eval()
    assert net.classes == full.classes
    gray = torch.rand(2, 1, 32, 32, dtype=torch.float64)
    torch.testing.assert_close(net(gray), full(gray.expand(2, 3, 32, 32)), rtol=1e-9, atol=1e-9)
    assert net.preprocess(torch.zeros(1, 32, 32, dtype=torch.uint8)).shape == (1, 32, 32)


@pytest.mark.parametrize("channels", [1, 2, 4, 7])
def test_the_first_convolution_is_adapted_by_timms_rule(channels: int) -> None:
    weight = torch.randn(8, 3, 7, 7)
    torch.testing.assert_close(adapt_input(weight, channels), timm.models.adapt_input_conv(channels, weight), rtol=0, atol=1e-6)
    assert adapt_input(weight, 3) is weight


def test_rules_for_the_input(tmp_path: Path) -> None:
    name = "cifar_resnet20.resnetlib_c10"
    color = create_model(name).eval()
    images = torch.rand(2, 3, 32, 32)
    with_depth = create_model(name, in_chans=4, input_rule="zeros").eval()
    torch.testing.assert_close(with_depth(torch.cat((images, torch.rand(2, 1, 32, 32)), 1)), color(images))
    repeated = create_model(name, in_chans=6, input_rule="repeat").eval()
    torch.testing.assert_close(repeated(torch.cat((images, images), 1)), color(images), rtol=1e-4, atol=1e-4)
    assert create_model(name, in_chans=2).preprocess.mean == (0.4914, 0.4822)
    gray = torch.rand(2, 1, 32, 32)
    alone = create_model(name, in_chans=1, input_rule="sum").eval()
    torch.testing.assert_close(alone(gray), color(gray.expand(-1, 3, -1, -1)), rtol=1e-4, atol=1e-4)

    def green(weight: torch.Tensor, channels: int) -> torch.Tensor:
        return weight[:, 1:2].expand(-1, channels, -1, -1)

    net = create_model(name, in_chans=5, input_rule=green)
    assert torch.equal(net.conv1.weight, color.conv1.weight[:, [1] * 5])
    resnetlib.save_model(net, tmp_path / "green")
    assert "input's 3 channels made 5 (green)" in resnetlib.create_model(tmp_path / "green").pretrained_cfg.origin
    assert resnetlib.create_model(tmp_path / "green").in_chans == 5


def test_the_colors_follow_the_rule_and_what_was_done_is_kept(tmp_path: Path) -> None:
    name = "cifar_resnet20.resnetlib_c10"
    assert create_model(name, in_chans=1, input_rule="repeat").preprocess.mean == (0.4914,)
    assert create_model(name, in_chans=1).preprocess.mean == pytest.approx((0.4734,), abs=1e-4)
    torch.save(create_model("cifar_plain20").state_dict(), tmp_path / "w.pth")
    net = create_model("cifar_plain20", weights=tmp_path / "w.pth", in_chans=1)
    save_model(net, tmp_path / "gray")
    assert create_model(tmp_path / "gray").pretrained_cfg.origin == "the input's 3 channels made 1 (sum)"
    with pytest.raises(ValueError, match=r"^mmap=True maps a weights file, but cifar_plain20 has none$"):
        create_model("cifar_plain20", mmap=True)
    with pytest.raises(ValueError, match="input_rule='sum' adapts weights, but cifar_plain20 has none"):
        create_model("cifar_plain20", in_chans=1, input_rule="sum")


@pytest.mark.parametrize(
    ("channels", "rule", "message"),
    [
        (4, "sum", "'sum' makes one channel of 3, not 4"),
        (2, "zeros", "'zeros' adds channels to 3, and cannot make 2"),
        (3, "mean", "must be 'sum', 'repeat', 'zeros' or a function, got 'mean'"),
        (2, lambda weight, channels: weight, r"must return a weight of shape \(16, 2, 3, 3\), got \(16, 3, 3, 3\)"),
        (2, lambda weight, channels: None, "got NoneType"),
    ],
)
def test_rules_that_do_not_go(channels: int, rule: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        create_model("cifar_resnet20.resnetlib_c10", in_chans=channels, input_rule=rule)  # type: ignore[arg-type]


def test_the_first_convolution_of_every_family_is_adapted(spec: Spec, tmp_path: Path) -> None:
    net = build(spec, num_classes=3)
    torch.save(net.state_dict(), tmp_path / "w.pth")
    adapted = load_file(tmp_path / "w.pth", spec=spec, in_chans=2)
    assert adapted.in_chans == 2
    conv = next(module for module in adapted.modules() if isinstance(module, nn.Conv2d))
    old = next(module for module in net.modules() if isinstance(module, nn.Conv2d))
    assert torch.equal(conv.weight, adapt_input(old.weight, 2))
    with pytest.raises(ValueError, match="in_chans must be"):
        load_file(tmp_path / "w.pth", spec=spec, in_chans=0)


def test_the_file_s_own_channels_are_the_default(tmp_path: Path) -> None:
    torch.save(create_model("cifar_plain20", in_chans=4).state_dict(), tmp_path / "w.pth")
    assert create_model("cifar_plain20", weights=tmp_path / "w.pth").in_chans == 4


def test_a_name_with_a_tag_is_its_weights() -> None:
    a, b = create_model("cifar_resnet20.resnetlib_c10"), create_model("cifar_resnet20", weights="resnetlib_c10")
    assert all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))
    assert a.pretrained_cfg == describe("cifar_resnet20.resnetlib_c10")
    untrained = create_model("cifar_resnet20")
    assert untrained.pretrained_cfg == PretrainedConfig(name="cifar_resnet20", tag="", spec=untrained.spec)


def test_nothing_is_on_meta_and_nothing_is_shared(spec: Spec, tmp_path: Path) -> None:
    one = build(spec, num_classes=4)
    state = one.state_dict()
    save_state = {key: (tensor.t().contiguous().t() if tensor.ndim == 2 else tensor) for key, tensor in state.items()}
    torch.save(save_state, tmp_path / "w.pth")
    net = load_file(tmp_path / "w.pth", spec=spec)
    tensors = [*net.parameters(), *net.buffers()]
    assert not any(tensor.is_meta for tensor in tensors)
    assert all(parameter.requires_grad and parameter.is_leaf and parameter.is_contiguous() for parameter in net.parameters())
    assert len({tensor.data_ptr() for tensor in tensors}) == len(tensors)
    assert net.training
    images = torch.randn(4, 3, 32, 32)
    assert torch.equal(net.eval()(images), one.eval()(images))
    net.train()(images).sum().backward()
    assert all(parameter.grad is not None for parameter in net.parameters())


def test_one_tensor_under_two_names_becomes_two(tmp_path: Path) -> None:
    state = create_model("cifar_resnet20").state_dict()
    state["bn1.bias"] = state["bn1.running_mean"]
    torch.save(state, tmp_path / "w.pth")
    net = create_model("cifar_resnet20", weights=tmp_path / "w.pth")
    net.bn1.bias.data += 1
    assert net.bn1.running_mean.abs().max() == 0


def test_memory_format_and_dtype_are_asked_for() -> None:
    for name in ("cifar_resnet20", "cifar_resnet20.resnetlib_c10"):
        net = create_model(name, channels_last=True, dtype=torch.bfloat16)
        weight = net.layer1[0].conv1.weight
        assert weight.is_contiguous(memory_format=torch.channels_last)
        assert not weight.is_contiguous()
        assert weight.dtype == torch.bfloat16
        assert net.bn1.num_batches_tracked.dtype == torch.int64
        assert net.layer1[0].bn1.running_mean.dtype == torch.bfloat16


def test_regularization_reaches_a_network_with_weights() -> None:
    net = create_model("cifar_resnet20.resnetlib_c10", drop_path_rate=0.1, drop_rate=0.2, memory_efficient=True)
    assert net.drop_rate == 0.2
    assert list(net.blocks())[-1].join.p == 0.1
    assert net.layer1.checkpointing


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("resnet50.tv3_in1k", ValueError, "no weights named 'resnet50.tv3_in1k'; nearest: .*resnet50.tv2_in1k"),
        ("./nothing", FileNotFoundError, "no file and no folder nothing"),
        ("local-dir:nothing", FileNotFoundError, "no file and no folder nothing"),
        ("hf-hub:resnet50", ValueError, "a repository of the hub is called org/name, without .git at the end, got 'resnet50'"),
        ("hf-hub:../etc/passwd", ValueError, "org/name"),
        (
            "hf-hub:org/name.git",
            InputError,
            "^a repository of the hub is called org/name, without .git at the end, got 'org/name.git'$",
        ),
        ("hf-hub:a/b@../../x", ValueError, "a revision is a branch, a tag or a commit"),
        ("", ValueError, "no network named ''"),
        ("resnet\0", ValueError, "no network named"),
    ],
)
def test_a_name_that_means_nothing_is_an_error(name: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        create_model(name)


def test_a_folder_is_named_with_or_without_a_separator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save_model(create_model("cifar_plain20", num_classes=2), "mine")
    assert create_model("mine").num_classes == create_model("./mine").num_classes == create_model(Path("mine")).num_classes == 2
    assert create_model("local-dir:mine").num_classes == create_model("cifar_plain20", weights="mine").num_classes == 2
    with pytest.raises(ValueError, match="mine holds a cifar_plain20, not a cifar_resnet20"):
        create_model("cifar_resnet20", weights="mine")
    with pytest.raises(ValueError, match="already names its weights"):
        create_model("./mine", weights="mine")


def test_numbers_that_are_not_finite_are_reported(tmp_path: Path) -> None:
    state = create_model("cifar_resnet20").state_dict()
    state["bn1.running_var"][3] = torch.inf
    state["fc.bias"][0] = torch.nan
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(ValueError, match=r"2 with NaN or infinity: bn1.running_var, fc.bias"):
        create_model("cifar_resnet20", weights=tmp_path / "w.pth")


def test_numbers_that_the_dtype_cannot_hold_are_reported(tmp_path: Path) -> None:
    state = create_model("cifar_resnet20").state_dict()
    state["bn1.running_var"] *= 1e6
    torch.save(state, tmp_path / "w.pth")
    create_model("cifar_resnet20", weights=tmp_path / "w.pth")
    with pytest.raises(ValueError, match=r"1 with NaN or infinity: bn1.running_var"):
        create_model("cifar_resnet20", weights=tmp_path / "w.pth", dtype=torch.float16)


def test_the_smallest_floats_are_read(tmp_path: Path) -> None:
    state = create_model("cifar_resnet20").state_dict()
    state["fc.weight"] = state["fc.weight"].to(torch.float8_e4m3fn)
    torch.save(state, tmp_path / "w.pth")
    net = create_model("cifar_resnet20", weights=tmp_path / "w.pth")
    assert torch.equal(net.fc.weight, state["fc.weight"].float())


def test_tensors_that_overlap_are_separated(tmp_path: Path) -> None:
    state, flat = create_model("cifar_resnet20").state_dict(), torch.rand(32)
    state["bn1.bias"], state["bn1.running_mean"] = flat[:16], flat[8:24]
    torch.save(state, tmp_path / "w.pth")
    net = create_model("cifar_resnet20", weights=tmp_path / "w.pth")
    net.bn1.bias.data.fill_(5)
    assert torch.equal(net.bn1.running_mean, flat[8:24])
    save_model(net, tmp_path / "w")


def test_the_ambient_device_does_not_matter(tmp_path: Path) -> None:
    state = {key: tensor for key, tensor in create_model("cifar_resnet20").state_dict().items() if "num_batches" not in key}
    torch.save(state, tmp_path / "w.pth")
    with torch.device("meta"):
        net = create_model("cifar_resnet20", weights=tmp_path / "w.pth", num_classes=3)
    assert not any(tensor.is_meta for tensor in (*net.parameters(), *net.buffers()))
    with torch.inference_mode():
        create_model("cifar_resnet20", weights=tmp_path / "w.pth")
    for make in (
        lambda: load_file(tmp_path / "w.pth", device="meta"),
        lambda: create_model("./w.pth", device="meta"),
        lambda: load_state(create_model("cifar_resnet20", device="meta"), state),
    ):
        with pytest.raises(ValueError, match="meta"):
            make()


def test_a_dialect_that_has_no_such_network_is_an_error(tmp_path: Path) -> None:
    state = create_model("cifar_resnet20").state_dict()
    torch.save({key.replace("fc.", "linear."): tensor for key, tensor in state.items()}, tmp_path / "aka.th")
    assert create_model("cifar_resnet20", weights=tmp_path / "aka.th").spec.shortcut == "A"
    for make in (
        lambda: create_model("cifar_plain20", weights=tmp_path / "aka.th"),
        lambda: load_file(tmp_path / "aka.th", spec=replace(spec_of("cifar_resnet20"), shortcut="A_end")),
        lambda: load_state(create_model("cifar_plain20"), torch.load(tmp_path / "aka.th")),
        lambda: convert_file(tmp_path / "aka.th", tmp_path / "x.safetensors", "resnetlib", spec=spec_of("cifar_plain20")),
    ):
        with pytest.raises(ValueError, match="akamaster has no such network"):
            make()
    torch.save(create_model("resnet50").state_dict(), tmp_path / "50.pth")
    with pytest.raises(ValueError, match="torchvision has no such network: stride_in must be '3x3'"):
        load_file(tmp_path / "50.pth", spec=replace(spec_of("resnet50"), stride_in="1x1"), dialect="torchvision")
    with pytest.raises(ValueError, match="dialect must be one of"):
        create_model("resnet50", weights=tmp_path / "50.pth", dialect="bogus")
    for name, weights in (("cifar_resnet20", None), ("cifar_resnet20.resnetlib_c10", None), ("cifar_resnet20", "resnetlib_c10")):
        with pytest.raises(
            ValueError, match=r"^dialect='timm' requires a weights file, but '.*' is (not one|a tag, whose dialect is known)$"
        ):
            create_model(name, weights=weights, dialect="timm")


@pytest.mark.parametrize("dialect", ["pytorchcv", "transformers"])
def test_a_name_does_not_tell_the_stride_where_the_dialect_has_both(dialect: str, tmp_path: Path) -> None:
    net = create_model("resnet26", num_classes=2)
    torch.save(to_dialect(net.state_dict(), net.spec, dialect), tmp_path / "w.pth")
    with pytest.raises(ValueError, match=f"names of {dialect}, which do not tell whether the stride is in the 3x3 or in the 1x1"):
        create_model("resnet26", weights=tmp_path / "w.pth")
    for stride_in in ("3x3", "1x1"):
        spec = replace(spec_of("resnet26"), stride_in=stride_in)
        assert load_file(tmp_path / "w.pth", spec=spec).spec == spec


def test_files_that_are_not_the_network_s_are_not_converted(tmp_path: Path) -> None:
    torch.save(create_model("resnet34").state_dict(), tmp_path / "w.pth")
    with pytest.raises(ValueError, match=r"cannot load .* into this ResNet"):
        convert_file(tmp_path / "w.pth", tmp_path / "x.safetensors", "timm", spec=spec_of("resnet18"))
    assert not (tmp_path / "x.safetensors").exists()
    save_model(create_model("cifar_resnet20.resnetlib_c10"), tmp_path / "m")
    convert_file(tmp_path / "m" / "model.safetensors", tmp_path / "k.safetensors", "akamaster")
    again = load_file(tmp_path / "k.safetensors")
    assert again.classes is not None
    assert again.pretrained_cfg.name == "cifar_resnet20"


def test_timm_s_names_are_understood() -> None:
    assert create_model("resnetv2_50", device="meta").spec == spec_of("preact_resnet50")
    with pytest.raises(ValueError, match=r"no weights named 'preact_resnet50.a9_in1k'; nearest: preact_resnet50.a1h_in1k"):
        create_model("resnetv2_50.a9_in1k")


def test_a_folder_does_not_hide_the_catalog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("cifar_resnet20.resnetlib_c10").mkdir()
    assert create_model("cifar_resnet20.resnetlib_c10").num_classes == 10
    with pytest.raises(ValueError, match="no network named"):
        create_model("x" * 5000)
    for name, message in ((50, "name must be a str or a Path"), (None, "create_model needs a name, such as 'resnet50'")):
        with pytest.raises(TypeError, match=message):
            create_model(name, device="meta")  # type: ignore[arg-type]


def test_finite_numbers_of_any_size_are_taken(tmp_path: Path) -> None:
    state = create_model("cifar_resnet20").state_dict()
    state["bn1.weight"].fill_(3e38)
    torch.save(state, tmp_path / "w.pth")
    assert create_model("cifar_resnet20", weights=tmp_path / "w.pth").bn1.weight[0] == 3e38


def test_integers_are_no_weights(tmp_path: Path) -> None:
    state = create_model("cifar_resnet20").state_dict()
    torch.save({**state, "fc.bias": torch.zeros(10, dtype=torch.int8)}, tmp_path / "w.pth")
    with pytest.raises(ValueError, match=r"1 not floating: fc.bias \(torch.int8\)"):
        create_model("cifar_resnet20", weights=tmp_path / "w.pth")


def test_the_nearest_network_is_named(tmp_path: Path) -> None:
    torch.save(create_model("resnet34").state_dict(), tmp_path / "w.pth")
    with pytest.raises(ValueError, match=r"into this ResNet:\n(.*\n)*These names and shapes are a resnet34's."):
        create_model("resnet18", weights=tmp_path / "w.pth")


PLACES: dict[str, Callable[[Path], object]] = {
    "load_file": load_file,
    "create_model": create_model,
    "weights": lambda path: create_model("cifar_plain20", weights=path),
    "checkpoint_path": lambda path: create_model("cifar_plain20", checkpoint_path=path),
}


@pytest.mark.parametrize("text", ["hf-hub:org/name", "hf_hub:org/name", "local-dir:w", "https://host.org/a-0123abcd.pth"])
@pytest.mark.parametrize("name", PLACES)
def test_a_path_object_is_a_local_path(name: str, text: str, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises((FileNotFoundError, ValueError), match="there is no file"):
        PLACES[name](Path(text))
    save_model(create_model("cifar_plain20", num_classes=2), Path(text))
    assert PLACES[name](Path(text)).num_classes == 2  # type: ignore[attr-defined]
    assert hub.seen == []


@pytest.mark.parametrize("dtype", ["float16", torch.int32, torch.complex64])
@pytest.mark.parametrize("name", ["cifar_resnet20", "cifar_resnet20.resnetlib_c10"])
def test_the_dtype_is_a_floating_one(name: str, dtype: Any, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=re.escape(f"dtype must be a floating-point torch.dtype, got {dtype!r}")):
        create_model(name, dtype=dtype)
    save_model(create_model("cifar_resnet20"), tmp_path)
    with pytest.raises(TypeError, match="dtype must be a floating-point"):
        load_file(tmp_path, dtype=dtype)


def test_a_spec_is_not_a_name(tmp_path: Path) -> None:
    torch.save(create_model("resnet26").state_dict(), tmp_path / "w.pth")
    name: Any = "resnet26"
    said = re.escape("spec must be a ResNetSpec or a DenseNetSpec, got str: write spec_of('resnet26')")
    with pytest.raises(TypeError, match=said):
        load_file(tmp_path / "w.pth", spec=name)
    with pytest.raises(TypeError, match=said):
        convert_file(tmp_path / "w.pth", tmp_path / "w.safetensors", "timm", spec=name)
    with pytest.raises(ValueError, match=r"dialect must be one of .*, got 'foo'"):
        convert_file(tmp_path / "w.pth", tmp_path / "w.safetensors", "foo")


@pytest.mark.parametrize("name", ["cifar_resnet20", "cifar_resnet20.resnetlib_c10"])
def test_numpy_s_integers_are_integers(name: str, tmp_path: Path) -> None:
    net = create_model(name, in_chans=np.int64(1), num_classes=np.int64(3))  # type: ignore[call-overload]
    assert type(net.in_chans) is int
    save_model(net, tmp_path)
    again = load_file(tmp_path, in_chans=np.int64(2))  # type: ignore[arg-type]
    assert (again.in_chans, again.num_classes) == (2, 3)
    with pytest.raises(ValueError, match="in_chans must be an integer of at least 1, got 0"):
        create_model(name, in_chans=0)


def test_a_rule_of_one_s_own_is_preprocessed_as_the_sum() -> None:
    name = "cifar_resnet20.resnetlib_c10"
    summed, own = (
        create_model(name, in_chans=1, input_rule=rule) for rule in (None, lambda weight, _: weight.sum(1, keepdim=True))
    )
    assert torch.equal(summed.conv1.weight, own.conv1.weight)
    assert summed.preprocess == own.preprocess


def test_the_wrong_dialect_is_named(tmp_path: Path) -> None:
    torch.save(create_model("resnet18").state_dict(), tmp_path / "w.pth")
    said = r"it holds no tensors with the names of dialect='transformers': its tensors are \('conv1.weight', 'bn1.weight'"
    with pytest.raises(ValueError, match=said):
        create_model("resnet18", weights=tmp_path / "w.pth", dialect="transformers")
