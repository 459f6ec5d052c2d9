"""Make a copy of a network that is faster in inference: norms folded, and ReLUs and additions fused into convolutions."""

import copy
import logging
import operator
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from itertools import chain
from typing import Any, Self

import torch
from torch import Tensor, fx, nn
from torch.nn.utils import parametrize

from resnetlib.deploy.fold import fold_state
from resnetlib.errors import InputError, InputTypeError
from resnetlib.modules import DilatedAvgPool2d, FrozenBatchNorm2d, FrozenSyncBatchNorm, Join, PadShortcut
from resnetlib.modules.arguments import check_images
from resnetlib.modules.backbone import Backbone, check_network, copy_network
from resnetlib.modules.frozen import has_running_stats
from resnetlib.modules.inplace import is_unwatched, returns_new_tensor

__all__ = ["OptimizedNetwork", "optimize"]

logger = logging.getLogger("resnetlib")

_SIZES = 3
"""Sizes of a map for which a convolution keeps its weights in oneDNN's layout; other sizes take the plain convolution."""

_NORMS = (nn.BatchNorm2d, nn.SyncBatchNorm, FrozenBatchNorm2d, FrozenSyncBatchNorm)
_POOLS = (nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, DilatedAvgPool2d)
_IDENTITIES = (nn.Identity, nn.Dropout)
_FINE = (nn.Linear, nn.ReLU, PadShortcut, *_POOLS)
"""Modules that stay as they are because there is nothing to gain."""


class FusedConv2d(nn.Module):
    """relu(conv(x) + other), where relu and addition are optional, with oneDNN's own layout of the weights where that is available.

    Args:
        conv: the convolution.
        norm: a batch norm to fold into it.
        relu: whether a ReLU follows.
    """

    overwrites = False
    """Whether the sum can be written to `other`."""

    def __init__(self, conv: nn.Conv2d, norm: nn.Module | None, *, relu: bool) -> None:
        super().__init__()
        self.stride, self.dilation, self.padding = list(conv.stride), list(conv.dilation), [int(p) for p in conv.padding]
        self.groups, self.relu = conv.groups, relu
        self.packs: dict[tuple[int, ...], Tensor] = {}
        state = {f"conv.{name}": tensor.detach().double() for name, tensor in conv.named_parameters()}
        if norm is not None:
            state |= {f"norm.{name}": tensor.detach().double() for name, tensor in norm.state_dict().items()}
            state = fold_state(state, {("conv", "norm"): float(norm.eps)})  # type: ignore[arg-type]
        self.weight = nn.Parameter(state["conv.weight"], requires_grad=False)
        self.bias = nn.Parameter(state["conv.bias"], requires_grad=False) if "conv.bias" in state else None

    def forward(self, x: Tensor, other: Tensor | None = None) -> Tensor:
        """Convolve, add, and apply the ReLU."""
        options = self.bias, self.padding, self.stride, self.dilation, self.groups
        packed = self._packed(x)
        if packed is None:
            y: Tensor = torch.conv2d(x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)
            y = y if other is None else y.add_(other)
            return y.relu_() if self.relu else y
        operators: Any = torch.ops.mkldnn
        end: tuple[Any, ...] = ("add", 1.0, "relu" if self.relu else None, [], None)
        if other is None:
            y = operators._convolution_pointwise(x, packed, *options, "relu" if self.relu else "none", [], "")
        elif self.overwrites:
            y = operators._convolution_pointwise_.binary(other, x, packed, *options, *end)
        else:
            y = operators._convolution_pointwise.binary(x, other, packed, *options, *end)
        return y

    def _packed(self, x: Tensor) -> Tensor | None:
        """Return the weights in oneDNN's layout for the size of `x`; None for the plain convolution.

        The best layout depends on the size, and each call with another one would convert the weights, slower than the convolution.
        oneDNN's operators know neither compilers nor autocast, which chooses the dtype of plain convolutions.
        """
        captured = torch.compiler.is_compiling() or torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
        if captured or torch.is_autocast_enabled("cpu"):
            return None
        size = tuple(x.shape[2:]) if self.weight.shape[2:].numel() > 1 else ()
        if size not in self.packs and len(self.packs) < _SIZES and self.weight.is_cpu and _operators_work(self.weight.dtype):
            self.packs[size] = self._pack(x)
        return self.packs.get(size)

    def _pack(self, x: Tensor) -> Tensor:
        options = self.padding, self.stride, self.dilation, self.groups, list(x.shape)
        return torch.ops.mkldnn._reorder_convolution_weight(self.weight.detach(), *options)  # type: ignore[no-any-return]

    def __getstate__(self) -> dict[str, Any]:
        """Leave out tensors in oneDNN's layout, which can be neither copied nor saved."""
        return {**vars(self), "packs": {}}

    def extra_repr(self) -> str:
        """Show the shape and what is fused."""
        c_out, c_in, *kernel = self.weight.shape
        relu = ", relu=True" if self.relu else ""
        return (
            f"{c_in * self.groups}, {c_out}, kernel_size={tuple(kernel)}, stride={tuple(self.stride)}, groups={self.groups}{relu}"
        )


class FusedNorm2d(nn.Module):
    """relu(scale * x + shift), where the relu is optional: a batch norm that cannot be folded into a convolution."""

    def __init__(self, norm: nn.BatchNorm2d, *, relu: bool) -> None:
        super().__init__()
        self.relu = relu
        state = {f"norm.{name}": tensor.detach().double() for name, tensor in norm.state_dict().items()}
        one = torch.ones(norm.num_features, 1, 1, dtype=torch.float64, device=state["norm.running_var"].device)
        state = fold_state({**state, "conv.weight": one}, {("conv", "norm"): float(norm.eps)})
        self.scale = nn.Parameter(state["conv.weight"], requires_grad=False)
        self.shift = nn.Parameter(state["conv.bias"].view(-1, 1, 1), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """Scale, shift, and apply the ReLU."""
        y = torch.addcmul(self.shift, x, self.scale)
        return y.relu_() if self.relu else y

    def extra_repr(self) -> str:
        """Show the channels and what is fused."""
        return f"{len(self.scale)}{', relu=True' if self.relu else ''}"


class OptimizedNetwork(nn.Module):
    """A network for inference alone, made by `optimize`.

    Shapes:
        `(N, in_chans, H, W)` -> `(N, num_classes)`. Images of any dtype and layout are converted.

    Args:
        network: the graph, with its modules.
        original: the network that it was made from.
        dtype: dtype of the weights and the output.
        unfused: names of the modules that run as in the original, and why.

    Attributes:
        unfused, dtype: the arguments.
        classes, preprocess, num_classes, pretrained_cfg, spec, in_chans, num_features, smallest_input: the original's.
    """

    spec: Any
    in_chans: int
    num_classes: int
    num_features: int
    smallest_input: int
    classes: tuple[str, ...] | None
    preprocess: Any
    pretrained_cfg: Any

    def __init__(self, network: fx.GraphModule, original: Backbone, dtype: torch.dtype, unfused: dict[str, str]) -> None:
        super().__init__()
        self.network, self.dtype, self.unfused = network, dtype, unfused
        for name in OptimizedNetwork.__annotations__:
            setattr(self, name, getattr(original, name))
        for name in (name for name in vars(original) if "_hooks" in name):  # those on the network itself
            setattr(self, name, copy.copy(getattr(original, name)))
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        """Compute logits, or pooled features if `num_classes` is 0."""
        check_images(x, self.in_chans, self.smallest_input)
        if torch.is_grad_enabled() and x.requires_grad:
            raise InputError("an optimized network computes no gradients: use the original network")
        with torch.no_grad():
            y: Tensor = self.network(x.to(dtype=self.dtype, memory_format=torch.channels_last))
        return y

    def train(self, mode: bool = True) -> Self:
        """Raise ValueError unless the mode is evaluation."""
        if mode:
            raise InputError("an optimized network cannot be trained: train the original network, then call optimize again")
        return super().train(False)

    def load_state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """Raise ValueError."""
        raise InputError("an optimized network loads no weights: load them into the original network, then call optimize again")

    def _apply(self, fn: Any, recurse: bool = True) -> Self:
        like = next(self.parameters())
        sample = torch.empty(0, dtype=self.dtype, device=like.device)
        moved = fn(sample)
        if (moved.dtype, moved.device) != (sample.dtype, sample.device):
            raise InputError(
                f"an optimized network stays {self.dtype} on {sample.device}: move the original network, then "
                "call optimize again, with dtype= for another dtype"
            )
        return self

    def extra_repr(self) -> str:
        """Show the dtype, and how many modules are left as they were."""
        return f"dtype={self.dtype}" + (f", {len(self.unfused)} modules unfused" if self.unfused else "")


def optimize(net: Backbone, *, dtype: torch.dtype | None = None) -> OptimizedNetwork:
    """Return a copy of a network that is faster in inference.

    It folds each batch norm that follows a convolution into it, turns the others into a multiply-add, applies ReLUs in place, and
    works channels-last. On a CPU, convolutions also apply the ReLU and the addition that follow, by PyTorch's oneDNN operators if
    they are available. Outputs are those of the network in evaluation mode, up to rounding.

    Modules with hooks stay as they are, and so do group norms, parametrized and quantized layers, and modules of other libraries;
    `unfused` lists them. Add hooks before: later modules may overwrite what a hook on a module of the copy keeps.

    Args:
        net: a network, in any mode; left unchanged. The copy stays on its device.
        dtype: floating-point dtype of the copy; None for that of the network.

    Returns:
        A module for `classify` and `evaluate`, and for calls without gradients.

    Raises:
        TypeError: if `net` is not a network, or `dtype` is not a floating-point dtype.
        ValueError: if the network has no weights, as on the meta device, or if hooks compute them, as in pruning.

    Example:
        >>> import torch
        >>> from resnetlib import create_model
        >>> net = create_model("cifar_resnet20.resnetlib_c10").eval()
        >>> fast = optimize(net)
        >>> images = torch.rand(2, 3, 32, 32)
        >>> torch.allclose(fast(images), net(images), rtol=1e-5, atol=1e-4), fast.unfused
        (True, {})
    """
    net = check_network(net)
    like = next(net.parameters())
    dtype = like.dtype if dtype is None else dtype
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point or dtype.itemsize < 2:
        raise InputTypeError(f"dtype must be a floating-point torch.dtype, such as torch.bfloat16, got {dtype!r}")
    if any(tensor.is_meta for tensor in (*net.parameters(), *net.buffers())):
        raise InputError("a network on the meta device has no weights to optimize: create it without device='meta'")
    copied = copy_network(net).eval()
    with torch.no_grad():
        graph = _Tracer().trace(copied)
        unfused = _fuse(graph, copied)
        network = fx.GraphModule(copied, graph, "Optimized")
        network.to(dtype).to(memory_format=torch.channels_last)
    for name, why in unfused.items():
        logger.debug("optimize leaves %s as it is: %s", name, why)
    return OptimizedNetwork(network, net, dtype, unfused)


class _Tracer(fx.Tracer):
    """Traces into this library's containers; all other modules are leaves."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Return whether a module stays a call in the graph."""
        ours = type(m).__module__.startswith("resnetlib.") and (isinstance(m, Join) or any(True for _ in m.children()))
        return not is_unwatched(m) or not (ours or type(m) is nn.Sequential)


def _fuse(graph: fx.Graph, net: nn.Module) -> dict[str, str]:
    """Fuse a traced network in place; return what is left unfused, and why."""
    modules = dict(net.named_modules())
    calls = Counter(node.target for node in graph.nodes if node.op == "call_module")

    def called(node: fx.Node, *kinds: type[nn.Module]) -> Any:
        """Return the module that a node calls, if it is of one of these types, runs once and has no hooks."""
        module: Any = modules[str(node.target)] if node.op == "call_module" and calls[node.target] == 1 else None
        wanted = type(module) in kinds and is_unwatched(module)
        return module if wanted and (type(module) not in _NORMS or has_running_stats(module)) else None

    def only_user(node: fx.Node) -> fx.Node | None:
        return next(iter(node.users)) if len(node.users) == 1 else None

    def follows(nodes: list[fx.Node], *kinds: type[nn.Module]) -> Any:
        """Return the module that alone reads the last node's output, if it is of these types, and append its node."""
        user = only_user(nodes[-1])
        module = None if user is None else called(user, *kinds)
        if module is not None and user is not None:
            nodes.append(user)
        return module

    for node in list(graph.nodes):
        if called(node, *_IDENTITIES) is not None:
            node.replace_all_uses_with(node.args[0])
            graph.erase_node(node)
        elif node.target is check_images:  # which `OptimizedNetwork` calls
            graph.erase_node(node)

    def replace(nodes: list[fx.Node], fused: nn.Module, *inputs: Any) -> None:
        """Replace nodes, first to last, by a call of a fused module under the name of the first."""
        name, last = str(nodes[0].target), nodes[-1]
        net.set_submodule(name, fused)
        modules[name] = fused
        with graph.inserting_before(last):
            last.replace_all_uses_with(graph.call_module(name, inputs))
        for node in reversed(nodes):
            graph.erase_node(node)

    for node in reversed(list(graph.nodes)):  # of two convolutions before an addition, the later one absorbs it
        conv, nodes, inputs = called(node, nn.Conv2d), [node], [node.args[:1]]
        if conv is None or conv.padding_mode != "zeros" or isinstance(conv.padding, str):
            continue
        norm = follows(nodes, *_NORMS)
        added = only_user(nodes[-1])
        if added is not None and added.target is operator.add:
            others = [arg for arg in added.args if arg is not nodes[-1] and isinstance(arg, fx.Node)]
            if len(others) == 1:
                nodes.append(added)
                inputs.append(others)
        relu = follows(nodes, nn.ReLU) is not None
        replace(nodes, FusedConv2d(conv, norm, relu=relu), *chain(*inputs))
    for node in list(graph.nodes):
        norm, nodes = called(node, *_NORMS), [node]
        if norm is not None:
            relu = follows(nodes, nn.ReLU) is not None
            replace(nodes, FusedNorm2d(norm, relu=relu), *node.args)
    return _finish(graph, modules, calls)


def _finish(graph: fx.Graph, modules: dict[str, nn.Module], calls: "Counter[Any]") -> dict[str, str]:
    """Make additions and ReLUs work in place where possible; return the modules that were not optimized, and why."""
    order = {node: i for i, node in enumerate(graph.nodes)}
    unfused: dict[str, str] = {}

    def can_overwrite(node: fx.Node, reader: fx.Node) -> bool:
        """Return whether a node's output is a tensor of its own, and `reader` the last to read it."""
        if node.op == "call_module":
            module = modules[str(node.target)]
            new = returns_new_tensor(module) or isinstance(module, FusedConv2d | FusedNorm2d)
            new |= type(module) in (*_POOLS, PadShortcut, nn.ReLU) and is_unwatched(module) and not getattr(module, "inplace", 0)
        else:
            new = node.target in (operator.add, torch.cat)
        return new and all(order[user] <= order[reader] for user in node.users)

    for node in [node for node in graph.nodes if node.op == "call_module"]:
        module, name = modules[str(node.target)], str(node.target)
        if isinstance(module, FusedConv2d) and len(node.args) == 2:
            x, other = node.args
            module.overwrites = x is not other and can_overwrite(other, node)
        elif isinstance(module, FusedConv2d | FusedNorm2d):
            pass
        elif not is_unwatched(module):
            unfused[name] = "it has hooks"
        elif parametrize.is_parametrized(module):
            unfused[name] = "it is parametrized"
        elif calls[node.target] > 1:
            unfused[name] = "it runs more than once"
        elif type(module) not in _FINE:
            unfused[name] = type(module).__name__
        elif type(module) is nn.ReLU and can_overwrite(node.args[0], node):
            module.inplace = True
    return unfused


@contextmanager
def on_cpu_without_autocast() -> Iterator[None]:
    """Create tensors on the CPU, and compute without autocast."""
    with torch.device("cpu"), torch.autocast("cpu", enabled=False):
        yield


@cache
@on_cpu_without_autocast()
def _operators_work(dtype: torch.dtype) -> bool:
    """Return whether PyTorch's private oneDNN operators exist, and are right, for a dtype on this processor."""
    if dtype not in (torch.float32, torch.bfloat16) or not torch.backends.mkldnn.is_available():
        return False
    generator = torch.Generator().manual_seed(0)
    conv = nn.Conv2d(4, 8, 3, padding=1)
    for parameter in conv.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator, dtype=torch.float32) / 6
    x, other = (torch.randn(1, channels, 5, 5, generator=generator, dtype=torch.float32).to(dtype) for channels in (4, 8))
    fused = FusedConv2d(conv, None, relu=True).to(dtype)
    plain = torch.conv2d(x, fused.weight, fused.bias, padding=1)
    wanted = [plain.relu(), (plain + other).relu()]
    try:
        fused.packs[5, 5] = fused._pack(x)
        found = [fused(x), fused(x, other)]
        fused.overwrites = True
        found.append(fused(x, other))
    except (AttributeError, RuntimeError, TypeError):  # missing, with other arguments, or not for this processor
        return False
    close = 1e-5 if dtype == torch.float32 else 5e-2
    return all(torch.allclose(a, b, rtol=close, atol=close) for a, b in zip(found, [*wanted, wanted[1]], strict=True))
