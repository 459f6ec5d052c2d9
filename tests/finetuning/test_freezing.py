"""Freezing stops what it names and nothing else, and leaves no trace when it is undone."""

import pickle
from contextlib import nullcontext
from copy import deepcopy
from typing import Any

import pytest
import torch
from families import FAMILIES
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import update_bn

from resnetlib import Backbone, Spec, build, freeze, frozen_batchnorm, save_model, unfreeze
from resnetlib.features import pyramid
from resnetlib.modules import init_he_
from resnetlib.zoo import create_model

IMAGES = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def net(spec: Spec) -> Backbone:
    """A network with statistics that are not those of a new one."""
    net = build(spec, num_classes=5)
    net.reset_classifier(5)  # Fixup's begins at zero
    net(IMAGES)
    return net


def everything(net: nn.Module) -> dict[str, object]:
    """All that freezing could change."""
    found: dict[str, object] = {f"{name}.requires_grad": p.requires_grad for name, p in net.named_parameters()}
    for name, module in net.named_modules():
        found |= {f"{name}.class": type(module), f"{name}.training": module.training}
        found |= {f"{name}.{what}": getattr(module, what, None) for what in ("momentum", "eps", "affine", "track_running_stats")}
        found[f"{name}.attributes"] = sorted(vars(module))
    return found


def step(net: Backbone) -> None:
    """Learn for one iteration, at a rate that changes everything that can change."""
    sgd = torch.optim.SGD(net.parameters(), 0.1, weight_decay=0.1)
    net.train()(IMAGES).square().sum().backward()
    sgd.step()


def state(net: Backbone) -> dict[str, Tensor]:
    return {key: tensor.clone() for key, tensor in net.state_dict().items()}


def changed(net: Backbone, before: dict[str, Tensor]) -> set[str]:
    return {key for key, tensor in net.state_dict().items() if not torch.equal(tensor, before[key])}


def test_freezing_and_unfreezing_leaves_no_trace(net: Backbone) -> None:
    before, tensors = everything(net), state(net)
    freeze(net)
    unfreeze(net)
    assert everything(net) == before
    assert changed(net, tensors) == set()


def test_a_block_of_code_with_a_frozen_body_leaves_no_trace(net: Backbone) -> None:
    first = next(net.parameters()).requires_grad_(False)
    before, tensors = everything(net), state(net)
    with freeze(net):
        net.train()(IMAGES)
    assert everything(net) == before
    assert changed(net, tensors) == set()
    assert not first.requires_grad


def test_a_frozen_body_keeps_every_bit_while_the_classifier_learns(net: Backbone) -> None:
    frozen = freeze(net).names
    before = state(net)
    step(net)
    assert changed(net, before) == {f"{net.classifier_name}.weight", f"{net.classifier_name}.bias"}
    assert len(frozen) == len(set(frozen))
    inside = {key for key in before if any(key.startswith(f"{name}.") for name in frozen)}
    assert set(before) - inside == changed(net, before)
    unfreeze(net)
    before = state(net)
    step(net)
    assert len(changed(net, before)) > len(before) / 2


def test_freezing_up_to_a_stage(net: Backbone) -> None:
    first = net.feature_info[1]["module"]
    frozen = freeze(net, up_to=first.rpartition(".")[2]).names
    assert frozen[-1].startswith(first)
    learning = [name for name, parameter in net.named_parameters() if parameter.requires_grad]
    assert learning
    assert not any(name.startswith(f"{unit}.") for name in learning for unit in frozen)
    assert not any(name.startswith(first) for name in learning)
    second = net.feature_info[2]["module"]
    assert all(p.requires_grad for name, p in net.named_parameters() if name.startswith(second))
    conv = next(name for name, module in net.named_modules() if isinstance(module, nn.Conv2d))
    assert not net.get_parameter(f"{conv}.weight").requires_grad


def test_freezing_up_to_a_block() -> None:
    net = build(FAMILIES["resnet"])
    assert freeze(net, up_to="layer1.0").names == ("conv1", "bn1", "layer1.0")
    assert net.layer1[1].conv1.weight.requires_grad
    dense = build(FAMILIES["densenet"])
    assert freeze(dense, "transition1").names == freeze(dense, "features.transition1").names
    assert freeze(dense, "features").names[-1] == "features.norm5"
    for wrong in ("layer9", "fc", "", "layer1.7", "1"):
        parts = "conv1, bn1, layer1, layer2, and blocks such as layer1.0"
        with pytest.raises(ValueError, match=f"no layer '{wrong}'; its layers are {parts}"):
            freeze(net, up_to=wrong)


def test_frozen_batch_norms_survive_training_mode(net: Backbone) -> None:
    norms = [module for module in net.modules() if isinstance(module, _BatchNorm)]
    names, tensors = list(net.state_dict()), state(net)
    expected = net.eval()(IMAGES)
    handle = frozen_batchnorm(net)
    assert [net.get_submodule(name) for name in handle.names] == norms
    torch.testing.assert_close(net.train()(IMAGES), expected)
    assert not any(norm.training for norm in norms)
    assert list(net.state_dict()) == names
    step(net)
    assert not changed(net, tensors) & {key for key in names if "running" in key or "tracked" in key}
    affine = {id(parameter) for norm in norms for parameter in norm.parameters()}
    assert all((parameter.grad is None) == (id(parameter) in affine) for parameter in net.parameters())


@pytest.mark.parametrize("freezing", [freeze, frozen_batchnorm])
def test_new_statistics_are_not_for_frozen_norms(net: Backbone, freezing: Any) -> None:
    before = state(net)
    with freezing(net):
        update_bn([IMAGES + 1], net)
        assert changed(net, before) == set()
    running = [key for key in before if "running" in key]
    with frozen_batchnorm(net.get_submodule(running[0].rpartition(".")[0])) if running else nullcontext():
        update_bn([IMAGES + 1], net)
        assert changed(net, before) & {*running} == {*running[2:]}
    update_bn([IMAGES + 1], net)
    assert changed(net, before) >= {*running}


def test_a_frozen_norm_that_is_initialized_begins_anew() -> None:
    net = build(FAMILIES["resnet"])
    net(IMAGES)
    frozen_batchnorm(net)
    init_he_(net)
    assert torch.equal(net.bn1.running_mean, torch.zeros(8))
    assert torch.equal(net.bn1.running_var, torch.ones(8))
    assert net.bn1.num_batches_tracked == 0


def test_thawing_restores_everything_to_the_bit(net: Backbone) -> None:
    norms = [module for module in net.modules() if isinstance(module, _BatchNorm)]
    for i, norm in enumerate(norms):
        norm.momentum = None if i == 0 else 0.03 * i
        norm.weight.requires_grad_(i % 2 == 0)
    before, tensors = everything(net), state(net)
    with frozen_batchnorm(net):
        net.train()(IMAGES)
        net.eval()
        net.train()
    assert everything(net) == before
    assert changed(net, tensors) == set()


def test_what_was_frozen_before_stays_so() -> None:
    net = build(FAMILIES["resnet"])
    outer = frozen_batchnorm(net.layer1)
    inner = frozen_batchnorm(net)
    inner.remove()
    assert not net.train().layer1[0].bn1.training
    assert net.bn1.training
    outer.remove()
    outer.remove()
    assert net.layer1[0].bn1.training


def test_handles_undo_their_own_calls_and_no_others() -> None:
    net = build(FAMILIES["resnet"], num_classes=5)
    begin = everything(net)
    norms = frozen_batchnorm(net)
    body = freeze(net)
    norms.remove()
    assert not net.train().bn1.training
    assert not net.bn1.weight.requires_grad
    body.remove()
    assert everything(net) == begin
    first, norms = freeze(net, "layer1"), frozen_batchnorm(net)
    first.remove()
    assert not net.train().layer1[0].bn1.training
    assert net.conv1.weight.requires_grad
    norms.remove()
    assert everything(net) == begin
    old = freeze(net)
    unfreeze(net)
    new = freeze(net)
    old.remove()
    assert not net.train().bn1.training
    assert not net.conv1.weight.requires_grad
    new.remove()
    assert everything(net) == begin


def test_batch_norms_of_kinds_that_others_define() -> None:
    timm = pytest.importorskip("timm")
    net = timm.create_model("efficientnet_b0", num_classes=5).eval()
    images = torch.randn(2, 3, 64, 64)
    kinds, expected = [type(module) for module in net.modules()], net(images)
    with frozen_batchnorm(net) as frozen:
        assert len(frozen.names) == 49
        twin = deepcopy(net).train()
        assert not any(module.training for module in twin.modules() if isinstance(module, _BatchNorm))
        unfreeze(twin)
        torch.testing.assert_close(twin.eval()(images), expected)
    assert [type(module) for module in net.modules()] == kinds


def test_wrappers_are_refused_by_name() -> None:
    for wrapper in (nn.Sequential(build(FAMILIES["resnet"])), pyramid(build(FAMILIES["resnet"]))):
        with pytest.raises(TypeError, match=r"^expected a network of this library, got (Sequential|Pyramid)$"):
            freeze(wrapper)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"^expected a network of this library, got DataParallel: unwrap it with net\.module$"):
        freeze(nn.DataParallel(build(FAMILIES["resnet"])))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"got OptimizedModule: pass net\._orig_mod"):
        freeze(torch.compile(build(FAMILIES["resnet"])))  # type: ignore[arg-type]


@pytest.mark.parametrize("copy", [deepcopy, lambda net: pickle.loads(pickle.dumps(net))], ids=["deepcopy", "pickle"])
def test_copies_stay_frozen_and_thaw_by_themselves(copy: object) -> None:
    net = build(FAMILIES["resnet"], num_classes=5)
    frozen_batchnorm(net)
    twin = copy(net)  # type: ignore[operator]
    assert not twin.train().bn1.training
    unfreeze(twin)
    assert type(twin.bn1) is nn.BatchNorm2d
    assert twin.bn1.training
    assert not net.train().bn1.training


def test_hooks_stay(net: Backbone) -> None:
    norm = next((module for module in net.modules() if isinstance(module, _BatchNorm)), None)
    if norm is None:
        assert frozen_batchnorm(net).names == ()
        return
    calls: list[int] = []
    norm.register_forward_hook(lambda module, args, y: calls.append(1))
    with frozen_batchnorm(net):
        net(IMAGES)
    net(IMAGES)
    assert len(calls) == 2


def test_a_frozen_network_is_saved_as_what_it_is(tmp_path: object) -> None:
    net = build(FAMILIES["resnet"], num_classes=5).eval()
    freeze(net)
    save_model(net, f"{tmp_path}/net")
    again = create_model(f"{tmp_path}/net").eval()
    assert type(again.bn1) is nn.BatchNorm2d
    assert torch.equal(again(IMAGES), net(IMAGES))


def test_synchronized_batch_norms_freeze_too() -> None:
    net = nn.SyncBatchNorm.convert_sync_batchnorm(build(FAMILIES["resnet"], num_classes=5))
    expected = net.eval()(IMAGES)
    with frozen_batchnorm(net):
        torch.testing.assert_close(net.train()(IMAGES), expected)
    assert type(net.bn1) is nn.SyncBatchNorm


def test_norms_without_statistics_are_left_alone() -> None:
    net = nn.Sequential(nn.BatchNorm2d(3, track_running_stats=False), nn.GroupNorm(1, 3), nn.BatchNorm1d(3))
    assert frozen_batchnorm(net).names == ("2",)
    assert type(net[0]) is nn.BatchNorm2d
