"""Random weights are distributed as torchvision's and timm's are, layer by layer."""

import copy
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import timm
import tiny
import torch
import torchvision
from families import FAMILIES
from torch import nn

from resnetlib import Add, Backbone, ScaledAdd, build, create_model, init_fixup_, init_he_, init_zero_residual_, spec_of
from resnetlib.models import resnet

SEEDS = 2


def deviations(make: Callable[[], nn.Module]) -> dict[str, float]:
    """Return the root mean square of each parameter over several networks."""
    squares: dict[str, list[float]] = {}
    for seed in range(SEEDS):
        torch.manual_seed(seed)
        for name, parameter in make().named_parameters():
            squares.setdefault(name, []).append(parameter.square().mean().item())
    return {name: (sum(values) / SEEDS) ** 0.5 for name, values in squares.items()}


def assert_alike(ours: dict[str, float], theirs: dict[str, float], sizes: dict[str, int]) -> None:
    assert ours.keys() == theirs.keys()
    for name, size in sizes.items():
        tolerance = 6 / (2 * size * SEEDS) ** 0.5 + 1e-6  # of the estimate of a standard deviation, six times over
        assert ours[name] == pytest.approx(theirs[name], rel=tolerance, abs=1e-9), name


@pytest.mark.parametrize("library", ["torchvision", "timm"])
@pytest.mark.parametrize(
    "name",
    ["resnet18", "densenet121"]
    + [pytest.param(name, marks=pytest.mark.slow) for name in ("resnet50", "resnext50_32x4d", "wide_resnet50_2", "densenet169")],
)
def test_every_layer_begins_as_the_peers_does(name: str, library: str) -> None:
    if library == "torchvision":
        theirs = deviations(getattr(torchvision.models, name))
    else:
        options = {} if name.startswith("densenet") else {"zero_init_last": False}
        theirs = deviations(lambda: timm.create_model(name, **options))
    sizes = {key: parameter.numel() for key, parameter in create_model(name, device="meta").named_parameters()}
    assert_alike(deviations(lambda: create_model(name)), theirs, sizes)


@pytest.mark.parametrize("name", ["resnet18", pytest.param("resnet50", marks=pytest.mark.slow)])
def test_zero_init_residual_is_torchvisions(name: str) -> None:
    theirs = deviations(lambda: getattr(torchvision.models, name)(zero_init_residual=True))
    spec = replace(spec_of(name), init="zero_init_residual")
    sizes = {key: parameter.numel() for key, parameter in build(spec, device="meta").named_parameters()}
    assert_alike(deviations(lambda: build(spec)), theirs, sizes)


def test_preactivation_convolutions_are_timms() -> None:
    """Classifiers differ: timm draws those of ResNetV2 from N(0, 0.01^2), and we keep PyTorch's, as in all other families."""
    theirs = deviations(lambda: timm.create_model("resnetv2_18", zero_init_last=False))
    net = create_model("preact_resnet18", device="meta")
    ours = deviations(lambda: create_model("preact_resnet18"))
    for i, stage in enumerate(net.stages()):
        for j, block in enumerate(stage[-1]):
            here, there = f"layer{i + 1}.{j}.", f"stages.{i}.blocks.{j}."
            for name, parameter in block.named_parameters():
                value = theirs[there + name.replace("downsample.0", "downsample.conv")]
                tolerance = 6 / (2 * parameter.numel() * SEEDS) ** 0.5 + 1e-6
                assert ours[here + name] == pytest.approx(value, rel=tolerance, abs=1e-9), name


@pytest.mark.parametrize("name", ["densenet121", "densenet201"])
def test_an_untrained_densenet_fits_in_half_precision(name: str) -> None:
    torch.manual_seed(0)
    net, images = create_model(name).eval(), torch.randn(2, 3, 64, 64)
    largest = [0.0]
    for module in net.modules():
        module.register_forward_hook(lambda module, x, y: largest.append(y.abs().max().item()))
    with torch.no_grad():
        assert 0.1 < net(images).abs().max() < 30
    assert max(largest) < 1000  # fp16 overflows at 65504


def test_the_mode_is_checked() -> None:
    layer = nn.Conv2d(4, 400, 3)
    torch.manual_seed(0)
    init_he_(layer, mode="fan_in")
    assert layer.weight.std().item() == pytest.approx((2 / 36) ** 0.5, rel=0.05)
    init_he_(layer)
    assert layer.weight.std().item() == pytest.approx((2 / 3600) ** 0.5, rel=0.05)
    with pytest.raises(ValueError, match="mode must be 'fan_out' or 'fan_in', got 'fan_avg'"):
        init_he_(layer, mode="fan_avg")  # type: ignore[arg-type]


def test_fixup_is_for_networks_without_norms() -> None:
    message = "init_fixup_ requires a network without norms, got one with bn1: build a spec with norm='none'"
    plain = build(replace(tiny.SPEC, norm="none"))
    init_fixup_(plain)
    plain.bn1 = nn.GroupNorm(2, 8)
    for net in (build(tiny.SPEC), build(replace(tiny.SPEC, norm="group")), plain):
        before = net.fc.weight.clone()
        with pytest.raises(ValueError, match=f"^{message}$"):
            init_fixup_(net)
        assert torch.equal(net.fc.weight, before)
    net = build(tiny.SPEC)
    for name in [name for name, module in net.named_modules() if isinstance(module, nn.BatchNorm2d)]:
        net.set_submodule(name, nn.Identity())
    init_fixup_(net)


@pytest.mark.parametrize("function", [init_zero_residual_, init_fixup_])
@pytest.mark.parametrize(("family", "join"), [("plain", "Replace"), ("resnet-scaled", "ScaledAdd"), ("densenet", "Concat")])
def test_branches_that_could_not_be_learned_are_not_zeroed(function: Any, family: str, join: str) -> None:
    net = build(replace(FAMILIES[family], norm="none"))
    before = copy.deepcopy(net.state_dict())
    with pytest.raises(
        ValueError, match=f"^{function.__name__} is for blocks that add: a zero branch behind {join} could not be learned$"
    ):
        function(net)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_joins_of_your_own_that_add(monkeypatch: pytest.MonkeyPatch) -> None:
    class Mine(Add):
        pass

    for make in (Mine, partial(ScaledAdd, 0.5)):
        monkeypatch.setitem(resnet.JOINS, "add", make)  # type: ignore[index]
        net = build(tiny.SPEC, num_classes=3)
        init_zero_residual_(net)
        net.train()(torch.randn(4, 3, 8, 8)).sum().backward()
        assert all(block.bn2.weight.grad.abs().sum() > 0 for block in net.blocks())


@pytest.mark.parametrize("wrap", [torch.compile, nn.DataParallel, nn.Sequential])
def test_weights_are_drawn_anew_within_what_wraps_a_network(wrap: Callable[[nn.Module], nn.Module]) -> None:
    net = create_model("cifar_resnet20.resnetlib_c10")
    init_he_(wrap(net))
    assert (net.classes, net.pretrained_cfg.tag) == (None, "")


@pytest.mark.parametrize("function", [init_he_, init_zero_residual_, lambda net: net.init_weights()])
def test_weights_that_are_drawn_anew_are_nobodys(function: Callable[[Backbone], None]) -> None:
    net = create_model("cifar_resnet20.resnetlib_c10")
    function(net)
    assert (net.classes, net.pretrained_cfg.tag, net.pretrained_cfg.top1) == (None, "", None)
    assert net.preprocess is not None
