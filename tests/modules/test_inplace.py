"""Inference works in place where nobody can see it, and nowhere else."""

import copy
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
import torch
from families import FAMILIES
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from resnetlib import Add, BasicBlock, DenseLayer, PreActBasicBlock, ResNet, Spec, build
from resnetlib.features import pyramid
from resnetlib.modules.stage import Stage

IMAGES = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def network(spec: Spec) -> Any:
    torch.manual_seed(0)
    net = build(spec, num_classes=5)
    with torch.no_grad():
        net(IMAGES + 0.5)  # statistics other than the initial ones
    return net.eval()


class Operations(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **(kwargs or {}))


def in_place(run: Callable[[], object]) -> set[str]:
    """Return the operations in place of a call."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        run()
    return {event.key for event in profile.key_averages()} & {"aten::relu_", "aten::add_"}


def without_gradients(net: Any, x: Tensor = IMAGES) -> Callable[[], Tensor]:
    def run() -> Tensor:
        with torch.no_grad():
            return net(x)  # type: ignore[no-any-return]

    return run


def expected(net: Any, x: Tensor = IMAGES) -> Tensor:
    """Return the output of a forward pass that works in place nowhere, as gradients are recorded."""
    with torch.enable_grad():
        return net(x).detach()  # type: ignore[no-any-return]


def test_outputs_are_equal_to_the_last_bit(spec: Spec) -> None:
    for dtype in (torch.float32, torch.bfloat16):
        for layout in (torch.contiguous_format, torch.channels_last):
            net = network(spec).to(dtype=dtype, memory_format=layout)
            for x in (IMAGES.to(dtype), IMAGES[:1].to(dtype, memory_format=torch.channels_last)):
                before, want = x.clone(), expected(net, x)
                with torch.inference_mode():
                    assert torch.equal(net(x), want)
                assert torch.equal(without_gradients(net, x)(), want)
                assert torch.equal(x, before)


@pytest.mark.parametrize("name", ["plain", "resnet", "resnet-bottleneck", "preact", "preact-bottleneck", "densenet-large-stem"])
def test_no_relu_and_no_addition_allocates(name: str) -> None:
    net = network(FAMILIES[name])
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        without_gradients(net)()
    found = {event.key: event.count for event in profile.key_averages()}
    relus = sum(isinstance(module, nn.ReLU) for module in net.modules())
    skipped = sum(1 for _ in net.blocks()) if name == "plain" else 0  # the relu after a `Replace`, whose output is the branch
    assert found["aten::relu_"] == relus - skipped
    assert "aten::add" not in found
    assert found.get("aten::add_", 0) == sum(type(module) is Add for module in net.modules())


def test_training_and_gradients_work_in_place_nowhere() -> None:
    net = network(FAMILIES["resnet"])
    assert in_place(lambda: net(IMAGES)) == set()
    assert in_place(without_gradients(net)) == {"aten::relu_", "aten::add_"}


@pytest.mark.parametrize("family", ["resnet", "preact", "densenet-large-stem", "resnet-large-stem", "plain"])
def test_hooks_keep_what_they_saw(family: str) -> None:
    """Each module at a time, with each kind of hook; the tensors are looked at after the forward pass."""
    net = network(FAMILIES[family])
    want: dict[str, list[Tensor]] = {}
    names = [name for name, _ in net.named_modules()]

    def hook(kept: list[Tensor], *, before: bool) -> Callable[..., None]:
        def keep(module: nn.Module, args: tuple[Tensor, ...], y: Tensor | None = None) -> None:
            kept.extend(args if before else (*args, y))  # type: ignore[arg-type]

        return keep

    for grad in (True, False):
        for name in names:
            for before in (True, False):
                kept: list[Tensor] = []
                module = net.get_submodule(name)
                register = module.register_forward_pre_hook if before else module.register_forward_hook
                handle = register(hook(kept, before=before))
                with torch.set_grad_enabled(grad):
                    net(IMAGES)
                handle.remove()
                key = f"{name} {before}"
                if grad:
                    want[key] = [tensor.detach().clone() for tensor in kept]
                assert all(torch.equal(a, b) for a, b in zip(kept, want[key], strict=True)), key


def test_hooks_on_all_modules_keep_what_they_saw(spec: Spec) -> None:
    net, kept = network(spec), []
    for module in net.modules():
        module.register_forward_hook(lambda module, args, y: kept.extend([*args, y]))
    net(IMAGES)
    want, kept[:] = [tensor.detach().clone() for tensor in kept], []
    without_gradients(net)()
    assert all(torch.equal(a, b) for a, b in zip(kept, want, strict=True))


class Functions(TorchFunctionMode):
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("mode", [Operations, Functions, torch.autograd.forward_ad.dual_level, torch.enable_grad])
def test_modes_see_the_operations_of_training(mode: Callable[[], AbstractContextManager[object]]) -> None:
    net = network(FAMILIES["resnet"])

    def run() -> None:
        with torch.no_grad(), mode():
            net(IMAGES)

    assert in_place(run) == set()


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_global_hooks_transforms_and_tracers() -> None:
    net = network(FAMILIES["resnet"])
    handle = nn.modules.module.register_module_forward_hook(lambda *_: None)
    assert in_place(without_gradients(net)) == set()
    handle.remove()
    with torch.no_grad():
        assert in_place(lambda: torch.vmap(net)(IMAGES[None])) == set()
        assert torch.allclose(torch.vmap(net)(IMAGES[None])[0], net(IMAGES))
        traced = torch.jit.trace(net, IMAGES, check_trace=False)
        assert "relu_" not in str(traced.inlined_graph)
        graph = torch.fx.symbolic_trace(net).graph
        assert sum(node.op == "call_module" and "relu" in str(node.target) for node in graph.nodes) == 7
        exported = torch.export.export(net, (IMAGES,))
        assert "relu_." not in str(exported.graph)
        tangent = torch.func.jvp(net, (IMAGES,), (torch.ones_like(IMAGES),))[1]
    assert torch.equal(tangent, torch.func.jvp(net, (IMAGES,), (torch.ones_like(IMAGES),))[1])


class Kept(nn.Module):
    """A user's module that returns a tensor it keeps."""

    def forward(self, x: Tensor) -> Tensor:
        self.kept = x
        return x


class KeepingBlock(BasicBlock):
    def branch(self, h: Tensor) -> Tensor:
        self.kept = super().branch(h)
        return self.kept

    def out(self, y: Tensor) -> Tensor:
        self.sum = y
        return super().out(y)


class KeepingResNet(ResNet):
    block_types = {**ResNet.block_types, ("post", "basic"): KeepingBlock}  # noqa: RUF012


def test_what_users_put_in_keeps_its_tensors() -> None:
    torch.manual_seed(0)
    net: Any = KeepingResNet(FAMILIES["resnet"], num_classes=5).eval()  # type: ignore[arg-type]
    net.bn1 = Kept()
    net.layer1[0].bn1 = Kept()
    net.layer1[1].relu1 = nn.LeakyReLU()
    seen = []
    for grad in (True, False):
        with torch.set_grad_enabled(grad):
            y = net(IMAGES)
        first = net.layer1[0]
        seen.append([t.detach().clone() for t in (y, net.bn1.kept, first.bn1.kept, first.kept, first.sum)])
    assert all(torch.equal(a, b) for a, b in zip(*seen, strict=True))


def test_a_forward_of_an_instance_keeps_its_tensors() -> None:
    net = network(FAMILIES["resnet"])
    kept, forward = [], net.bn1.forward

    def keep(x: Tensor) -> Tensor:
        kept.append(forward(x))
        return kept[-1]

    net.bn1.forward = keep
    without_gradients(net)()
    assert bool((kept[0] < 0).any())


@pytest.mark.parametrize("make", [BasicBlock, PreActBasicBlock])
def test_an_addition_in_place_writes_to_the_branch_alone(make: Callable[..., Any]) -> None:
    block = make(4, 4).eval()
    x = torch.randn(2, 4, 5, 5)
    before = x.clone()
    with torch.no_grad():
        block(x)
        assert torch.equal(x, before)
        block(x.to(memory_format=torch.channels_last))  # skip and branch may differ in layout
        assert torch.equal(block(x.to(memory_format=torch.channels_last)), block(x))


def test_maps_that_are_returned_stay(spec: Spec) -> None:
    net = network(spec)
    for get in (net.forward_intermediates, pyramid(copy.deepcopy(net), range(1, len(net.feature_info) + 1), output="list")):
        want = get(IMAGES)
        want = want[1] if isinstance(want, tuple) else want
        with torch.no_grad():
            got = get(IMAGES)
            got = got[1] if isinstance(got, tuple) else got
        assert all(torch.equal(a, b) for a, b in zip(got, want, strict=True))


def test_the_input_of_a_stage_and_of_a_layer_stays() -> None:
    x = torch.randn(2, 4, 6, 6)
    for module in (Stage(BasicBlock(4, 4), BasicBlock(4, 4)), DenseLayer(4, 2), PreActBasicBlock(4, 8)):
        before = x.clone()
        with torch.no_grad():
            module.eval()(x)
        assert torch.equal(x, before)
    with torch.inference_mode():
        y = torch.randn(2, 4, 6, 6)
    with torch.no_grad():
        DenseLayer(4, 2).eval()(y)  # an inference tensor, which cannot be written outside that mode
        BasicBlock(4, 4).eval()(y)


@pytest.mark.parametrize("name", ["bn1", "layer1.0.bn1", "layer1.0.bn2", "layer1.0.join"])
def test_a_hook_that_removes_itself_keeps_its_tensor(name: str) -> None:
    net = network(FAMILIES["resnet"])
    kept: list[Tensor] = []

    def once(module: nn.Module, args: object, output: Tensor) -> None:
        handle.remove()
        kept.extend((output, output.clone()))

    handle = net.get_submodule(name).register_forward_hook(once)
    with torch.no_grad():
        net(IMAGES)
    assert torch.equal(*kept)


def test_a_relu_that_somebody_replaced_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    net = network(FAMILIES["resnet"])
    monkeypatch.setattr(nn.ReLU, "forward", lambda self, x: nn.functional.leaky_relu(x, 0.3))
    expected = net(IMAGES)
    with torch.no_grad():
        torch.testing.assert_close(net(IMAGES), expected)
