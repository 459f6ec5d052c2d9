"""PyTorch's own tools work on every family: compilers, tracers, mixed precision, copies, hooks."""

import pickle
import shutil
import warnings
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from families import FAMILIES
from huggingface_hub import PyTorchModelHubMixin
from torch import Tensor, fx, nn
from torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names

from resnetlib import Backbone, Join, ResNet, Spec, build

IMAGES = (2, 3, 32, 32)


@pytest.fixture
def net(spec: Spec) -> Backbone:
    return build(spec, num_classes=5)


@pytest.mark.parametrize("training", [False, True])
def test_compile_takes_the_whole_graph(spec: Spec, training: bool) -> None:
    torch._dynamo.reset()
    net = build(replace(spec, depths=(1, 1)), num_classes=5).train(training)
    twin = deepcopy(net)
    compiled = torch.compile(net, fullgraph=True, backend="aot_eager")
    images = torch.randn(IMAGES)
    got, expected = compiled(images), twin(images)
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)
    got.square().sum().backward()
    expected.square().sum().backward()
    for (name, parameter), other in zip(net.named_parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(parameter.grad, other.grad, rtol=1e-3, atol=1e-3, msg=lambda m, name=name: f"{name}: {m}")
    torch.testing.assert_close(net.state_dict(), twin.state_dict(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["resnet", "densenet"])
@pytest.mark.filterwarnings("ignore:.*torch.jit.*deprecated")
def test_compilers_and_tracers_take_the_memory_efficient_mode_as_the_plain_one(name: str) -> None:
    torch._dynamo.reset()
    net, images = build(FAMILIES[name], memory_efficient=True), torch.randn(IMAGES)
    twin = deepcopy(net)
    got, expected = torch.compile(net, fullgraph=True, backend="aot_eager")(images), twin(images)
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)
    got.sum().backward()
    torch.testing.assert_close(net.state_dict(), twin.state_dict(), rtol=1e-4, atol=1e-4)
    net.eval()
    torch.testing.assert_close(torch.jit.trace(net, images)(images), net(images), rtol=1e-4, atol=1e-4)
    assert torch.equal(fx.symbolic_trace(net)(images), net(images))


def test_symbolic_trace(net: Backbone) -> None:
    net.eval()
    graph = fx.symbolic_trace(net)
    images = torch.randn(IMAGES)
    assert torch.equal(graph(images), net(images))
    with pytest.raises(ValueError, match="expected images"):
        graph(torch.randn(2, 4, 32, 32))


def test_feature_extractor(net: Backbone) -> None:
    net.eval()
    names, _ = get_graph_node_names(net)
    assert any(".join." in name for name in names) or type(net).__name__ == "PlainNet"
    wanted = [info["module"] for info in net.feature_info]
    modules = dict(net.named_modules())
    nodes = {name: f"map{i}" for i, name in enumerate(wanted) if name in names or isinstance(modules[name], nn.Sequential)}
    maps = create_feature_extractor(net, nodes)(torch.ones(IMAGES))
    _, expected = net.forward_intermediates(torch.ones(IMAGES))
    for i, name in enumerate(wanted):
        if name in nodes:
            assert torch.equal(maps[f"map{i}"], expected[i])


def test_export(net: Backbone) -> None:
    net.eval()
    images = torch.randn(IMAGES)
    batch = torch.export.Dim("batch", min=1, max=64)
    exported = torch.export.export(net, (images,), dynamic_shapes=({0: batch},))
    more = torch.randn(5, 3, 32, 32)
    torch.testing.assert_close(exported.module()(more), net(more), rtol=1e-4, atol=1e-4)


@pytest.mark.filterwarnings("ignore:.*torch.jit.*deprecated")
def test_jit_trace(net: Backbone) -> None:
    net.eval()
    with warnings.catch_warnings():
        if net.spec.norm == "group":  # torch's own check of its input
            warnings.simplefilter("ignore", torch.jit.TracerWarning)
        traced = torch.jit.trace(net, torch.randn(IMAGES))
    other = torch.randn(3, 3, 48, 40)
    torch.testing.assert_close(traced(other), net(other), rtol=1e-4, atol=1e-4)


def test_autocast_and_channels_last(net: Backbone) -> None:
    net = net.to(memory_format=torch.channels_last)
    images = torch.randn(IMAGES).to(memory_format=torch.channels_last)
    features = net.eval().forward_features(images)
    assert features.is_contiguous(memory_format=torch.channels_last)
    exact = net(images)
    with torch.autocast("cpu", torch.bfloat16):
        rough = net(images)
    torch.testing.assert_close(rough.float(), exact, rtol=0.1, atol=0.1)
    net.train()
    with torch.autocast("cpu", torch.bfloat16):
        loss = net(images).float().square().sum()
    loss.backward()
    assert all(parameter.grad is not None and parameter.grad.dtype == torch.float32 for parameter in net.parameters())


def test_meta_shapes(spec: Spec) -> None:
    net = build(spec, device="meta", num_classes=5)
    assert net(torch.empty(IMAGES, device="meta")).shape == (2, 5)


@pytest.mark.parametrize("copy", [deepcopy, lambda net: pickle.loads(pickle.dumps(net))], ids=["deepcopy", "pickle"])
def test_copies_are_equal_and_apart(net: Backbone, copy: Callable[[Any], Any]) -> None:
    twin, images = copy(net), torch.randn(IMAGES)
    assert twin.spec == net.spec
    net.eval()
    twin.eval()
    assert torch.equal(twin(images), net(images))
    with torch.no_grad():
        next(twin.parameters()).zero_()
    assert next(net.parameters()).any()


@pytest.mark.parametrize("memory_efficient", [False, True])
def test_forward_and_full_backward_hooks_on_every_module(spec: Spec, memory_efficient: bool) -> None:
    net, twin = (build(spec, num_classes=5, memory_efficient=memory_efficient) for _ in range(2))
    twin.load_state_dict(net.state_dict())
    forward, backward, modules = set(), set(), {}
    for name, module in net.named_modules():
        modules[name] = module
        module.register_forward_hook(lambda module, args, y, name=name: forward.add(name))
        module.register_full_backward_hook(lambda module, into, out, name=name: backward.add(name))
    images = torch.randn(IMAGES, requires_grad=True)
    net(images).sum().backward()
    assert forward == set(modules)
    assert backward == set(modules)
    plain = images.detach().requires_grad_()
    twin(plain).sum().backward()
    assert torch.equal(plain.grad, images.grad)  # type: ignore[arg-type]


def test_a_full_backward_hook_on_a_join_sees_both_gradients() -> None:
    for name in ("resnet", "preact", "densenet", "resnet-scaled"):
        net = build(FAMILIES[name])
        seen: list[tuple[Tensor, ...]] = []
        for block in net.blocks():
            block.join.register_full_backward_hook(lambda join, into, out, seen=seen: seen.append((*into, *out)))
        net(torch.randn(IMAGES)).sum().backward()
        assert len(seen) == sum(net.spec.depths)
        for skip, branch, out in seen:
            if name in ("resnet", "preact"):
                assert torch.equal(skip, out)
                assert torch.equal(branch, out)
            elif name == "densenet":
                assert torch.equal(torch.cat((skip, branch), 1), out)


def test_hooks_may_change_what_a_join_gives_out(net: Backbone) -> None:
    net.reset_classifier(5)  # Fixup's begins at zero
    images = torch.randn(IMAGES)
    before = net.eval()(images)
    for module in net.modules():
        if isinstance(module, Join):
            module.register_forward_hook(lambda join, args, y: y * 1.5)
    assert not torch.allclose(net(images), before)


def test_vmap_over_several_networks() -> None:
    nets = [build(FAMILIES["resnet-groupnorm"], num_classes=5) for _ in range(3)]
    parameters, buffers = torch.func.stack_module_state(nets)
    images = torch.randn(IMAGES)
    one = nets[0]
    together = torch.func.vmap(lambda p, b: torch.func.functional_call(one, (p, b), images))(parameters, buffers)
    torch.testing.assert_close(together, torch.stack([net(images) for net in nets]), rtol=1e-4, atol=1e-4)


@pytest.mark.filterwarnings("ignore:.*torch.jit.*deprecated")
def test_scripting_says_what_to_use_instead(net: Backbone) -> None:
    for module in (net, nn.Sequential(net), net.stages()[0][-1]):
        with pytest.raises(TypeError, match=r"use torch.export.export\(net.eval\(\), .*\), torch.compile or torch.jit.trace"):
            torch.jit.script(module)


class Pushed(ResNet, PyTorchModelHubMixin):
    """A network of the hub's mixin."""


def test_the_hubs_mixin_pulls_what_it_pushed(tmp_path: Path) -> None:
    net = Pushed(FAMILIES["resnet"], num_classes=3).eval()
    net.save_pretrained(tmp_path)
    again = Pushed.from_pretrained(tmp_path).eval()
    assert again.spec == net.spec
    assert torch.equal(again(torch.ones(IMAGES)), net(torch.ones(IMAGES)))


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("c++") is None, reason="the default compiler needs a C++ compiler")
@pytest.mark.filterwarnings("ignore:.*torch.jit.*deprecated")
def test_the_default_compiler() -> None:
    torch._dynamo.reset()
    net = build(FAMILIES["densenet"]).eval()
    images = torch.randn(IMAGES)
    torch.testing.assert_close(torch.compile(net, fullgraph=True)(images), net(images), rtol=1e-4, atol=1e-4)
