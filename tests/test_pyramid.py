"""A pyramid's maps are the network's, and it holds no more than they need."""

from copy import deepcopy
from typing import Any

import pytest
import torch
from families import FAMILIES
from torch import nn

from resnetlib import Backbone, Spec, build
from resnetlib.features import pyramid

IMAGES = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def net(spec: Spec) -> Backbone:
    return build(spec, num_classes=5).eval()


def test_maps_are_the_networks(net: Backbone) -> None:
    maps = pyramid(net, stages=(1, 2, 3))
    expected = net.forward_intermediates(IMAGES, intermediates_only=True)
    got = maps(IMAGES)
    assert list(got) == list(maps.names) == ["c1", "c2", "c3"]
    for y, z, channels, stride in zip(got.values(), expected, maps.channels, maps.strides, strict=True):
        assert torch.equal(y, z)
        assert y.shape == (2, channels, 64 // stride, 64 // stride)
    assert maps.feature_info == net.feature_info


def test_the_last_map_may_be_normed(net: Backbone) -> None:
    (last,) = pyramid(net, stages=(3,), norm=True, output="list")(IMAGES)
    assert torch.equal(last, net.forward_features(IMAGES))


def test_it_holds_no_more_than_it_needs(net: Backbone) -> None:
    maps = pyramid(net, stages=(2,))
    state, whole = maps.state_dict(), net.state_dict()
    second = net.feature_info[2]["module"]
    behind = (second, net.classifier_name, "norm", "features.norm5", "features.transition1")
    assert set(state) == {key for key in whole if not key.startswith(behind)}
    assert list(state) == [key for key in whole if key in state]
    assert all(state[key] is not None and torch.equal(state[key], whole[key]) for key in state)
    net.load_state_dict({**whole, **state})


def test_default_is_every_stage(net: Backbone) -> None:
    assert pyramid(net).names == ("c2", "c3")


@pytest.mark.parametrize("stages", [(2, 4), ("c2", "c4"), ("layer1", "layer3"), ("layer3", "c2", 2)])
def test_stages_by_number_and_name(stages: tuple[int | str, ...]) -> None:
    net = build(FAMILIES["resnet"].__class__(block="basic", depths=(1, 1, 1), widths=(4, 8, 16)))
    assert pyramid(net, stages).names == ("c2", "c4")
    assert pyramid(net, stages).strides == (4, 16)


@pytest.mark.parametrize("stages", [(), (0,), (4,), ("layer7",), "c2", (2.5,)])
def test_stages_that_are_not_there(stages: Any) -> None:
    with pytest.raises(ValueError, match=r"stages must be some of 1 to 3, or of their names, relu, layer1, layer2, got"):
        pyramid(build(FAMILIES["resnet"]), stages)


def test_wrong_arguments() -> None:
    net = build(FAMILIES["resnet"])
    with pytest.raises(ValueError, match="output must be 'dict' or 'list', got 'tuple'"):
        pyramid(net, output="tuple")  # type: ignore[arg-type]
    wanted = r"^norm=True is for the last stage's map, layer2, which is not among the stages, \(1, 2\)$"
    with pytest.raises(ValueError, match=wanted):
        pyramid(net, (1, 2), norm=True)
    with pytest.raises(ValueError, match=r"expected images \(N, 3, H, W\)"):
        pyramid(net)(torch.zeros(1, 1, 32, 32))


def test_it_trains_and_copies_like_a_module(net: Backbone) -> None:
    maps = pyramid(net.train())
    twin = deepcopy(maps)
    sum(y.sum() for y in maps(IMAGES).values()).backward()
    assert all(parameter.grad is not None for parameter in maps.parameters())
    assert all(parameter.grad is None for parameter in twin.parameters())
    assert maps.training
    synced = nn.SyncBatchNorm.convert_sync_batchnorm(maps).eval()
    converted = [module for module in synced.modules() if isinstance(module, nn.SyncBatchNorm)]
    assert bool(converted) is (net.spec.norm == "batch")
    expected = net.eval().forward_intermediates(IMAGES, [1, 2], intermediates_only=True)
    for y, z in zip(synced(IMAGES).values(), expected, strict=True):
        torch.testing.assert_close(y, z)


def test_it_leaves_the_networks_modes_alone(net: Backbone) -> None:
    net.train()
    parts = [part for stage in net.stages() for part in stage]
    parts[0].eval()
    before = [module.training for module in net.modules()]
    maps = pyramid(net)
    assert [module.training for module in net.modules()] == before
    assert maps.training


def test_tracers_take_it(net: Backbone) -> None:
    maps = pyramid(net, output="list")
    traced = torch.fx.symbolic_trace(maps)
    for y, z in zip(traced(IMAGES), maps(IMAGES), strict=True):
        assert torch.equal(y, z)


def test_it_compiles_whole(net: Backbone) -> None:
    torch._dynamo.reset()
    maps = pyramid(net, output="list")
    compiled = torch.compile(maps, fullgraph=True, backend="eager")
    for y, z in zip(compiled(IMAGES), maps(IMAGES), strict=True):
        torch.testing.assert_close(y, z)


def test_of_a_compiled_network_it_has_the_names_of_the_network(net: Backbone) -> None:
    maps, compiled = pyramid(net), pyramid(torch.compile(net, backend="eager"))  # type: ignore[arg-type]
    assert list(compiled.state_dict()) == list(maps.state_dict())
    assert all(torch.equal(y, maps(IMAGES)[name]) for name, y in compiled(IMAGES).items())
