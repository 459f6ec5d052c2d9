"""Memory-efficient training computes the same: outputs, gradients, statistics, random draws."""

from collections import Counter
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
import torch
from families import FAMILIES
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.checkpoint import checkpoint

from resnetlib import Backbone, Concat, Spec, build, create_model, freeze, recompute
from resnetlib.modules.stage import Checkpointing

MODES: tuple[Checkpointing, ...] = (False, True, "max")


def train_step(net: Backbone, images: Tensor) -> tuple[Tensor, Tensor, list[Tensor | None], dict[str, Tensor]]:
    """Return outputs, gradients of the input and the parameters, and the state afterwards."""
    torch.manual_seed(1)
    images = images.clone().requires_grad_()
    outputs = net(images)
    outputs.square().sum().backward()
    assert images.grad is not None
    return outputs, images.grad, [parameter.grad for parameter in net.parameters()], net.state_dict()


def assert_same(plain: Backbone, images: Tensor, *modes: Checkpointing) -> None:
    """Compare two steps in the plain mode and in others: outputs and state bit for bit, gradients but for their last bits."""
    for mode in modes or (True, "max"):
        net, efficient = deepcopy(plain), deepcopy(plain)
        efficient.set_grad_checkpointing(mode)
        for _ in range(2):  # the second step normalizes with, and adds to, what the first one left
            outputs, on_images, on_parameters, state = train_step(net, images)
            got, got_on_images, got_on_parameters, got_state = train_step(efficient, images)
            torch.testing.assert_close((got, got_state), (outputs, state), rtol=0, atol=0)
            assert_close([got_on_images, *got_on_parameters], [on_images, *on_parameters])


def assert_close(gradients: Sequence[Tensor | None], expected: Sequence[Tensor | None], most: float = 1e-4) -> None:
    """Compare the distances of gradients, relative to their norms; but some are zero but for rounding."""
    assert [g is None for g in gradients] == [g is None for g in expected]
    pairs = [(a.double(), b.double()) for a, b in zip(gradients, expected, strict=True) if a is not None and b is not None]
    largest = max(gradient.norm() for _, gradient in pairs)
    for got, gradient in pairs:
        distance, scale = (got - gradient).norm(), max(gradient.norm(), 1e-3 * largest)
        assert distance <= most * scale, f"{distance:.2g} of {scale:.2g}"


@pytest.mark.parametrize("training", [True, False])
def test_outputs_and_statistics_are_the_plain_modes_bit_for_bit(spec: Spec, training: bool) -> None:
    assert_same(build(spec).train(training), torch.randn(3, 3, 32, 32))


@pytest.mark.parametrize("mode", [True, "max"])
@pytest.mark.parametrize("name", ["densenet", "densenet-plain-layers", "densenet-large-stem"])
def test_gradients_of_dense_networks_differ_in_the_last_bits(name: str, mode: Checkpointing) -> None:
    net, images = build(FAMILIES[name], dtype=torch.float64), torch.randn(3, 3, 32, 32, dtype=torch.float64)
    efficient = deepcopy(net)
    efficient.set_grad_checkpointing(mode)
    assert_close(train_step(efficient, images)[2], train_step(net, images)[2], most=1e-9)


@pytest.mark.parametrize("name", ["plain", "resnet", "preact"])
def test_gradients_of_residual_networks_are_too(name: str) -> None:
    net = build(FAMILIES[name])
    efficient = deepcopy(net)
    efficient.set_grad_checkpointing()
    images = torch.randn(3, 3, 32, 32)
    torch.testing.assert_close(train_step(efficient, images), train_step(net, images), rtol=0, atol=0)


@pytest.mark.parametrize("name", ["resnet", "preact", "densenet"])
def test_random_draws_are_the_plain_modes(name: str) -> None:
    net = build(FAMILIES[name], drop_path_rate=0.6, drop_rate=0.3, proj_drop_rate=0.4 if name == "densenet" else 0.0)
    assert_same(net, torch.randn(6, 3, 32, 32))


def test_cumulative_averages_are_the_plain_modes() -> None:
    net = build(FAMILIES["densenet"])
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None
    assert_same(net, torch.randn(3, 3, 32, 32))


@pytest.mark.parametrize("mode", MODES)
def test_shapes_of_gradients_on_the_meta_device(spec: Spec, mode: Checkpointing) -> None:
    net = build(spec, num_classes=3, memory_efficient=mode, device="meta")
    images = torch.empty(2, 3, 32, 32, device="meta", requires_grad=True)
    net(images).sum().backward()
    for tensor in (images, *net.parameters()):
        assert tensor.grad is not None
        assert (tensor.grad.device.type, tensor.grad.shape) == ("meta", tensor.shape)


def test_frozen_norms_stay_frozen() -> None:
    net = build(FAMILIES["resnet"])
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    assert_same(net, torch.randn(3, 3, 32, 32))
    assert net.bn1.num_batches_tracked == 0


@pytest.mark.parametrize("name", ["resnet", "densenet"])
def test_a_second_backward_pass(name: str) -> None:
    gradients = []
    for memory_efficient in MODES:
        torch.manual_seed(0)
        net = build(FAMILIES[name], memory_efficient=memory_efficient)
        loss = net(torch.randn(2, 3, 32, 32)).square().sum()
        loss.backward(retain_graph=True)
        loss.backward()
        gradients.append([parameter.grad for parameter in net.parameters()])
        assert all(buffer == 1 for key, buffer in net.named_buffers() if key.endswith("num_batches_tracked"))
    for got in gradients[1:]:
        assert_close(got, gradients[0])


@pytest.mark.parametrize("name", ["resnet", "densenet"])
def test_a_gradient_penalty(name: str) -> None:
    gradients = []
    for memory_efficient in MODES:
        torch.manual_seed(0)
        net = build(FAMILIES[name], memory_efficient=memory_efficient, dtype=torch.float64)
        images = torch.randn(2, 3, 32, 32, dtype=torch.float64, requires_grad=True)
        (slope,) = torch.autograd.grad(net(images).square().sum(), images, create_graph=True)
        slope.square().sum().backward()
        gradients.append([parameter.grad for parameter in net.parameters()])
    for got in gradients[1:]:
        torch.testing.assert_close(got, gradients[0], rtol=1e-9, atol=1e-9)


def test_the_buffers_stay_the_same_objects() -> None:
    net = build(FAMILIES["resnet"], memory_efficient=True)
    before = {name: buffer.data_ptr() for name, buffer in net.named_buffers()}
    net(torch.randn(2, 3, 32, 32)).sum().backward()
    assert {name: buffer.data_ptr() for name, buffer in net.named_buffers()} == before


class Allocations(TorchDispatchMode):
    """Remembers every storage that an operator gives out, without keeping it alive."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: dict[StorageWeakRef, int] = {}
        self.calls: Counter[Any] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.calls[func] += 1
        output = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(output):
            if isinstance(tensor, Tensor):
                storage = tensor.untyped_storage()
                self.sizes[StorageWeakRef(storage)] = storage.nbytes()
        return output

    def alive(self) -> int:
        """Return the bytes of those that are still there."""
        return sum(size for storage, size in self.sizes.items() if not storage.expired())


def kept_bytes(net: Backbone, images: Tensor) -> int:
    """Return how much memory a forward pass keeps for the backward pass."""
    with Allocations() as allocations:
        outputs = net(images)
        kept = allocations.alive()
    outputs.sum().backward()
    return kept


def test_it_keeps_less(spec: Spec) -> None:
    deeper = replace(spec, depths=tuple(2 * depth for depth in spec.depths))
    images = torch.randn(4, 3, 32, 32)
    assert kept_bytes(build(deeper, memory_efficient=True), images) < 0.65 * kept_bytes(build(deeper), images)


@pytest.mark.parametrize("mode", [True, "max"])
def test_what_a_dense_block_keeps_grows_with_its_channels_and_not_with_their_sum(mode: Checkpointing) -> None:
    spec, images = FAMILIES["densenet"], torch.randn(4, 3, 16, 16)
    kept = [kept_bytes(build(replace(spec, depths=(depth,)), memory_efficient=mode), images) for depth in (10, 20, 30)]
    assert kept[2] - kept[1] == pytest.approx(kept[1] - kept[0], rel=0.01)  # the statistics of all channels, of no pixels


def test_without_gradients_nothing_is_recomputed() -> None:
    net = build(FAMILIES["densenet"], memory_efficient=True)
    calls: list[nn.Module] = []
    for block in net.blocks():
        block.register_forward_hook(lambda module, args, y: calls.append(module))
    with torch.no_grad():
        net(torch.randn(2, 3, 32, 32))
    assert calls == list(net.blocks())


def test_checkpointing_can_be_switched_off_again(spec: Spec) -> None:
    net = build(spec, memory_efficient=True)
    net.set_grad_checkpointing(False)
    images = torch.randn(2, 3, 32, 32)
    assert kept_bytes(net, images) == kept_bytes(build(spec), images)


def test_recompute_alone() -> None:
    norm, x = nn.BatchNorm2d(3), torch.randn(4, 3, 5, 5, requires_grad=True)
    y = recompute(norm, x, module=norm)
    y.square().sum().backward()
    assert norm.num_batches_tracked == 1
    torch.testing.assert_close(norm.running_mean, 0.1 * x.detach().mean((0, 2, 3)))


def test_a_join_that_changes_the_branch_is_seen_by_all_later_layers() -> None:
    class Zeros(Concat):
        def forward(self, skip: Tensor, branch: Tensor) -> Tensor:
            return super().forward(skip, torch.zeros_like(branch))

    net = build(FAMILIES["densenet"])
    next(net.blocks()).join = Zeros()
    assert_same(net, torch.randn(3, 3, 32, 32))


def test_each_mode_keeps_less_than_the_one_before() -> None:
    """What remains is known to the byte: the pieces of a block once, and the outputs of the 1x1 convolutions."""
    spec, images = replace(FAMILIES["densenet"], depths=(8,), bottleneck=4), torch.randn(4, 3, 16, 16)
    plain, efficient, most = (kept_bytes(build(spec, memory_efficient=mode), images) for mode in MODES)
    of_convs = 8 * 4 * spec.growth * images[:, 0].numel() * 4  # bytes of 8 outputs, each of 4 growth channels
    statistics = 8 * 2 * 4 * spec.growth * 4
    assert efficient - most == pytest.approx(of_convs, abs=4 * statistics)
    assert efficient < 0.6 * plain


@pytest.mark.parametrize("mode", [True, "max"])
def test_no_convolution_of_a_dense_layer_is_repeated_unless_asked(mode: Checkpointing) -> None:
    net = build(replace(FAMILIES["densenet"], depths=(3, 3), bottleneck=4), memory_efficient=mode)
    loss = net(torch.randn(2, 3, 32, 32)).sum()
    with Allocations() as allocations:
        loss.backward()
    assert allocations.calls[torch.ops.aten.convolution.default] == (0 if mode is True else 6)
    assert allocations.calls[torch.ops.aten.native_batch_norm_backward.default] == 14


@pytest.mark.parametrize("mode", [True, "max"])
def test_dense_networks_in_mixed_precision_and_channels_last(mode: Checkpointing) -> None:
    torch.manual_seed(0)
    net = build(FAMILIES["densenet"]).to(memory_format=torch.channels_last)
    images = torch.randn(4, 3, 32, 32).contiguous(memory_format=torch.channels_last)
    assert_same(net, images, mode)
    steps = []
    for each in (False, mode):
        copy = deepcopy(net)
        copy.set_grad_checkpointing(each)
        with torch.autocast("cpu", torch.bfloat16):
            outputs = copy(images)
        outputs.float().square().sum().backward()
        steps.append((outputs, [parameter.grad for parameter in copy.parameters()], copy.state_dict()))
    (outputs, gradients, state), (got, got_gradients, got_state) = steps
    assert outputs.dtype == torch.bfloat16
    torch.testing.assert_close((got, got_state), (outputs, state), rtol=0, atol=0)
    assert_close(got_gradients, gradients, most=0.03)


@pytest.mark.parametrize("mode", [True, "max"])
def test_autocast_around_the_backward_pass_alone_changes_nothing(mode: Checkpointing) -> None:
    net, images = build(FAMILIES["densenet"]), torch.randn(2, 3, 32, 32)
    efficient = deepcopy(net)
    efficient.set_grad_checkpointing(mode)
    for each in (net, efficient):
        loss = each(images).square().sum()
        with torch.autocast("cpu", torch.bfloat16):
            loss.backward()
    assert_close([p.grad for p in efficient.parameters()], [p.grad for p in net.parameters()])


@pytest.mark.parametrize("mode", [True, "max"])
def test_partly_frozen_dense_networks(mode: Checkpointing) -> None:
    net = build(FAMILIES["densenet"])
    for i, parameter in enumerate(net.parameters()):
        parameter.requires_grad_(i % 3 == 1)
    assert_same(net, torch.randn(3, 3, 32, 32), mode)
    freeze(net, "denseblock1")
    assert_same(net, torch.randn(3, 3, 32, 32), mode)


@pytest.mark.parametrize("mode", [True, "max"])
def test_gradients_of_gradients_are_right(mode: Checkpointing) -> None:
    """Against finite differences, where they are smooth, and against the plain mode in evaluation."""
    torch.manual_seed(0)
    block = build(replace(FAMILIES["densenet"], depths=(2,)), dtype=torch.float64).features.denseblock1
    block.checkpointing = mode
    x = torch.randn(2, block[0].in_channels, 3, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(block, x, fast_mode=True)
    assert torch.autograd.gradgradcheck(block, x, fast_mode=True)
    block.eval()
    assert torch.autograd.gradgradcheck(block, x, fast_mode=True)


@pytest.mark.parametrize("mode", [True, "max"])
def test_gradients_accumulate(mode: Checkpointing) -> None:
    images = torch.randn(2, 3, 3, 32, 32)
    net = build(FAMILIES["densenet"])
    efficient = deepcopy(net)
    efficient.set_grad_checkpointing(mode)
    for each in (net, efficient):
        for batch in images:
            each(batch).square().sum().backward()
    assert_close([p.grad for p in efficient.parameters()], [p.grad for p in net.parameters()])


@pytest.mark.parametrize("child", ["norm1", "relu1", "conv1", "norm2", "relu2", "conv2", "drop", "join", ""])
def test_a_hook_inside_a_dense_layer_is_called(child: str) -> None:
    net, calls = build(replace(FAMILIES["densenet"], bottleneck=4), memory_efficient=True), []
    module = next(net.blocks()).get_submodule(child)
    module.register_forward_hook(lambda module, args, y: calls.append(module))
    assert_same(net, torch.randn(3, 3, 32, 32))
    assert calls


def test_a_layer_of_another_kind_is_recomputed_as_a_whole() -> None:
    class Doubled(nn.Conv2d):
        def forward(self, x: Tensor) -> Tensor:
            return 2 * super().forward(x)

    net = build(FAMILIES["densenet"])
    layer = next(net.blocks())
    doubled = Doubled(layer.conv1.in_channels, layer.conv1.out_channels, layer.conv1.kernel_size, bias=False)
    doubled.padding = layer.conv1.padding
    layer.conv1 = doubled
    nn.utils.parametrizations.weight_norm(next(reversed(list(net.blocks()))).conv1)
    assert_same(net, torch.randn(3, 3, 32, 32))


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")
def test_tangents_pass_through() -> None:
    images = torch.randn(2, 3, 32, 32)
    tangents = []
    for mode in MODES:
        torch.manual_seed(0)
        net = build(FAMILIES["densenet"], memory_efficient=mode)
        with torch.autograd.forward_ad.dual_level():
            outputs = net(torch.autograd.forward_ad.make_dual(images, torch.ones_like(images)))
            tangents.append(torch.autograd.forward_ad.unpack_dual(outputs).tangent)
    torch.testing.assert_close(tangents[1:], [tangents[0], tangents[0]])


@pytest.mark.parametrize("value", ["min", 2, "True", None])
def test_another_value_of_memory_efficient_raises_an_error(value: Any) -> None:
    with pytest.raises(ValueError, match=r"memory_efficient .* must be True, False or 'max'"):
        build(FAMILIES["densenet"], memory_efficient=value)


@pytest.mark.parametrize("name", ["cifar_densenet40_k12", "cifar_resnet20"])
def test_create_model_takes_max(name: str) -> None:
    net = create_model(name, memory_efficient="max", device="meta")
    assert {module.checkpointing for module in net.modules() if hasattr(module, "checkpointing")} == {"max"}


@pytest.mark.parametrize("mode", [True, "max"])
def test_a_wrong_number_of_channels_raises_an_error(mode: Checkpointing) -> None:
    """PyTorch's native_batch_norm would read beyond the end of its statistics."""
    block = build(FAMILIES["densenet"], memory_efficient=mode).features.denseblock1
    with pytest.raises(RuntimeError, match="running_mean should contain"):
        block(torch.randn(2, block[0].in_channels + 1, 8, 8))


@pytest.mark.parametrize("mode", [True, "max"])
def test_a_dense_network_inside_a_checkpoint(mode: Checkpointing) -> None:
    net, images = build(FAMILIES["densenet"], num_classes=5), torch.randn(2, 3, 32, 32)
    net(images).sum().backward()
    expected = [parameter.grad for parameter in net.parameters()]
    net.zero_grad()
    net.set_grad_checkpointing(mode)
    checkpoint(net, images, use_reentrant=False).sum().backward()
    assert_close([parameter.grad for parameter in net.parameters()], expected, 1e-3)


@pytest.mark.parametrize("mode", MODES)
def test_statistics_that_are_not_tracked_stay(mode: Checkpointing) -> None:
    net = build(FAMILIES["densenet"], num_classes=5)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.track_running_stats = False
    before = deepcopy(net.state_dict())
    net.set_grad_checkpointing(mode)
    net(torch.randn(2, 3, 32, 32)).sum().backward()
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


def test_a_changed_layer_or_transition_runs_as_it_is() -> None:
    net, calls = build(FAMILIES["densenet"], num_classes=5), Counter[str]()
    layer: Any = next(net.blocks())
    branch, transition = layer.branch, net.get_submodule("features.transition1")
    layer.branch = lambda h: (calls.update(["branch"]), branch(h))[1]
    transition.add_module("extra", nn.Identity())
    for mode in MODES:
        net.set_grad_checkpointing(mode)
        calls.clear()
        net(torch.randn(2, 3, 32, 32)).sum().backward()
        assert calls["branch"] >= 1
