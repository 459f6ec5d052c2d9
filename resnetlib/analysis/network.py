"""Find, hook and run the blocks of a network, and restore its state afterwards."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from itertools import accumulate
from threading import RLock

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.utils.hooks import RemovableHandle

from resnetlib.analysis.batches import Batches, gather_inputs
from resnetlib.errors import InputError
from resnetlib.modules import Backbone, Block, Stage
from resnetlib.modules.backbone import check_network, unwrapped
from resnetlib.modules.frozen import has_running_stats
from resnetlib.modules.thread_guards import in_use

_LOCK = RLock()
_ENTERED: list[ExitStack] = []
"""Process-wide settings that running analyses have changed, oldest first."""


def as_backbone(net: nn.Module) -> Backbone:
    """Return the network without its wrappers."""
    return check_network(unwrapped(net))


# State


@contextmanager
def preserve_state(net: nn.Module, *, training: bool = False) -> Iterator[None]:
    """Set the mode of a network; on exit, restore everything that a forward or backward pass may change, but not parameters.

    Compiled networks run eagerly inside, since compiled code ignores new hooks. Raise RuntimeError if another thread uses the
    network.
    """
    with in_use(net, exclusive=True, training=training), _module_state(net), _process_state(net):
        yield


@contextmanager
def _module_state(net: nn.Module) -> Iterator[None]:
    stages = [(module, module.checkpointing) for module in net.modules() if isinstance(module, Stage)]
    values = [(buffer, buffer.detach().clone()) for buffer in net.buffers()]
    buffers = [(module, dict(module._buffers)) for module in net.modules()]
    parameters = [(parameter, parameter.requires_grad, parameter.grad) for parameter in net.parameters()]
    try:
        for stage, _ in stages:
            stage.checkpointing = False  # hooks would also see the second forward pass
        yield
    finally:
        for stage, enabled in stages:
            stage.checkpointing = enabled
        for parameter, required, gradient in parameters:
            if parameter.requires_grad != required:  # setting it raises for inference tensors
                parameter.requires_grad_(required)
            parameter.grad = gradient
        for module, own in buffers:
            module._buffers.update(own)
        with torch.no_grad():
            for buffer, before in values:
                if not torch.equal(buffer, before):
                    buffer.copy_(before)


@contextmanager
def _process_state(net: nn.Module) -> Iterator[None]:
    """Preserve the random state and run eagerly; both are process-wide, so they are undone in reverse order of entering."""
    devices = {tensor.device for tensor in (*net.parameters(), *net.buffers()) if tensor.device.type == "cuda"}
    with ExitStack() as stack:
        with _LOCK:
            stack.enter_context(torch.random.fork_rng(devices=sorted(device.index for device in devices)))
            stack.enter_context(torch.compiler.set_stance("force_eager"))
            _ENTERED.append(stack.pop_all())
        try:
            yield
        finally:
            with _LOCK:
                _ENTERED.pop().close()


@contextmanager
def enable_gradients(net: nn.Module | None = None) -> Iterator[None]:
    """Enable gradients, even inside `torch.no_grad` or `torch.inference_mode`; raise ValueError if the network cannot have any."""
    if net is not None:
        check_no_inference_tensors(net, "can have no gradients")
    with torch.inference_mode(False), torch.enable_grad():
        yield


def check_no_inference_tensors(net: nn.Module, consequence: str) -> None:
    """Raise ValueError if the network has inference tensors."""
    if made := [name for name, tensor in (*net.named_parameters(), *net.named_buffers()) if tensor.is_inference()]:
        raise InputError(
            f"{made[0]} and perhaps other tensors of the network were created in torch.inference_mode(), and {consequence}: "
            "build or load the network outside of it"
        )


# Norms


@contextmanager
def norm_mode(net: nn.Module, *, training: bool) -> Iterator[None]:
    """Let norms use batch statistics (training) or running ones, keep the rest in evaluation mode, and restore the state on exit.

    Dropout and stochastic depth stay off, since they would add noise. Frozen norms always use running statistics.
    """
    if training and not torch.is_inference_mode_enabled():
        check_no_inference_tensors(net, "cannot be written to outside of it, as norms do")
    with preserve_state(net):
        for module in net.modules():
            if isinstance(module, _NormBase):
                module.train(bool(training))
        yield


@contextmanager
def recalibrated(net: nn.Module, batches: Batches) -> Iterator[None]:
    """Use the statistics of these batches in batch norms, within a `with` block.

    The running statistics of an untrained network are zeros and ones, so its norms do nothing in evaluation mode. Inside this
    context they normalize as in training. Frozen norms keep their statistics.

    >>> from resnetlib import cifar_plain20
    >>> from resnetlib.analysis import branch_ratio
    >>> net, images = cifar_plain20(), torch.randn(4, 3, 32, 32)
    >>> with recalibrated(net, images):
    ...     float(branch_ratio(net, images).ratio[1]) > 1.2
    True
    >>> float(net.bn1.running_var.mean())
    1.0
    """
    net = unwrapped(net)
    inputs = gather_inputs(net, batches)
    with in_use(net, exclusive=True):
        estimates = _estimate_statistics(net, inputs)
        before = {(norm, name): getattr(norm, name).clone() for norm, name in estimates}
        try:
            _write(estimates)
            yield
        finally:
            _write(before)


@torch.no_grad()
def _write(values: dict[tuple[nn.Module, str], Tensor]) -> None:
    for (norm, name), value in values.items():
        getattr(norm, name).copy_(value)


def _estimate_statistics(net: nn.Module, inputs: list[Tensor]) -> dict[tuple[nn.Module, str], Tensor]:
    """Estimate the statistics of all batch norms that are not frozen."""
    with norm_mode(net, training=True), torch.no_grad():
        momenta = {norm: norm.momentum for norm in net.modules() if has_running_stats(norm) and norm.training}
        try:
            for norm in momenta:
                norm.reset_running_stats()
                norm.momentum = None  # a cumulative mean over the batches
            for x in inputs:
                run_finite(net, x)
        finally:
            for norm, momentum in momenta.items():
                norm.momentum = momentum
        return {(norm, name): buffer.clone() for norm in momenta for name, buffer in norm.named_buffers()}


# Hooks


def hook_inputs(blocks: Mapping[str, nn.Module], callback: Callable[[str, Tensor], object]) -> AbstractContextManager[None]:
    """Call `callback(name, x)` before each block runs."""

    def hook(name: str, _: nn.Module, arguments: tuple[Tensor, ...], named: dict[str, Tensor]) -> None:
        callback(name, *(*arguments, *named.values())[:1])

    return _registered(block.register_forward_pre_hook(partial(hook, name), with_kwargs=True) for name, block in blocks.items())


def hook_joins(
    blocks: Mapping[str, Block], callback: Callable[[str, Tensor, Tensor], tuple[Tensor, Tensor] | None]
) -> AbstractContextManager[None]:
    """Call `callback(name, skip, branch)` before each join; it may return a new pair."""

    def hook(name: str, _: nn.Module, pair: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor] | None:
        return callback(name, *pair)

    return _registered(block.join.register_forward_pre_hook(partial(hook, name)) for name, block in blocks.items())


def hook_outputs(
    modules: Mapping[str, nn.Module], callback: Callable[[str, Tensor], Tensor | None]
) -> AbstractContextManager[None]:
    """Call `callback(name, y)` after each module; it may return a new output."""

    def hook(name: str, _: nn.Module, __: object, y: Tensor) -> Tensor | None:
        return callback(name, y)

    return _registered(module.register_forward_hook(partial(hook, name)) for name, module in modules.items())


@contextmanager
def _registered(handles: Iterable[RemovableHandle]) -> Iterator[None]:
    """Register hooks by iterating over a generator; remove them on exit."""
    with ExitStack() as stack:
        for handle in handles:
            stack.callback(handle.remove)
        yield


@contextmanager
def in_order(net: nn.Module, blocks: Mapping[str, Block]) -> Iterator[None]:
    """Raise ValueError unless the forward pass inside runs exactly these blocks, once each and in this order."""
    expected = iter(blocks)

    def check(name: str | None, x: Tensor | None = None) -> None:
        if (wanted := next(expected, None)) != name:
            raise InputError(
                f"block {name or wanted} does not run at the same place for every batch: this needs a fixed order of blocks, "
                f"and in the first batch it was {', '.join(blocks)}"
            )

    with hook_inputs(blocks_of(net), check):
        yield
    check(None)


# Blocks


def blocks_of(net: nn.Module) -> dict[str, Block]:
    """Return the blocks of a network by name, in the order in which they are registered.

    Analyses list blocks in the order in which they run, which is the same in this library's networks, and skip unused blocks.

    >>> from resnetlib import cifar_resnet20
    >>> list(blocks_of(cifar_resnet20()))[:4]
    ['layer1.0', 'layer1.1', 'layer1.2', 'layer2.0']
    """
    net = unwrapped(net)
    blocks = {name: module for name, module in net.named_modules() if isinstance(module, Block)}
    if not blocks:
        raise InputError(f"{type(net).__name__} has no blocks with joins: build it from resnetlib's blocks (resnetlib.Block)")
    joins: dict[nn.Module, str] = {}
    for name, block in blocks.items():
        if (other := joins.setdefault(block.join, name)) != name:
            raise InputError(f"blocks {other} and {name} share a join, so their branches cannot be told apart: give each its own")
    return blocks


def chains_of(net: nn.Module, x: Tensor) -> list[list[str]]:
    """Divide the blocks into chains in which nothing but blocks changes x; return their names, in the order in which they run.

    In the networks of this library a chain is a stage. A chain begins where the parent module changes, where x is not the output
    of the block before or was written to since, and at a block that has a `downsample`, has a stride, or changes the number of
    channels without a skip. Raise ValueError if no block runs, a block runs more than once, or a block is inside another.

    >>> from resnetlib import cifar_resnet20
    >>> [len(chain) for chain in chains_of(cifar_resnet20(), torch.randn(1, 3, 32, 32))]
    [3, 3, 3]
    """
    chains = _run_chains(net, x)
    runs = Counter(name for chain in chains for name in chain)
    (name, count), *_ = runs.most_common(1)
    if count > 1:
        raise InputError(f"block {name} runs {count} times for each image: use a separate block at each place")
    for name in runs:
        if outer := next((other for other in runs if name.startswith(f"{other}.")), None):
            raise InputError(f"block {name} is inside of block {outer}, so their branches overlap")
    return chains


def running_blocks(net: nn.Module, x: Tensor) -> dict[str, Block]:
    """Return the blocks that run, by name, in the order of their first run."""
    return blocks_in(net, _run_chains(net, x))


def blocks_in(net: nn.Module, chains: list[list[str]]) -> dict[str, Block]:
    """Return the blocks of chains, by name."""
    blocks = blocks_of(net)
    return {name: blocks[name] for chain in chains for name in chain}


def spans_of(chains: list[list[str]]) -> tuple[tuple[int, int], ...]:
    """Return the range of block indices of each chain, as (start, stop)."""
    lengths = [len(chain) for chain in chains]
    return tuple((end - length, end) for end, length in zip(accumulate(lengths), lengths, strict=True))


def _run_chains(net: nn.Module, images: Tensor) -> list[list[str]]:
    """Run the network and record which blocks follow each other."""
    net = unwrapped(net)
    blocks = blocks_of(net)
    if not isinstance(images, Tensor):
        raise InputError(f"x must be a tensor of images (N, C, H, W), got {type(images).__name__}")
    chains: list[list[str]] = []
    last = "", images, images

    def on_input(name: str, x: Tensor) -> None:
        before, y, copy = last
        block = blocks[name]
        follows = x is y and torch.equal(x, copy) and _parent(name) == _parent(before)
        keeps = block.stride == 1 and block.downsample is None and (block.join.uses_skip or block.in_channels == block.out_channels)
        if chains and follows and keeps:
            chains[-1].append(name)
        else:
            chains.append([name])

    def on_output(name: str, y: Tensor) -> None:
        nonlocal last
        last = name, y, y.clone()  # to detect later writes to y

    with preserve_state(net), torch.no_grad(), hook_inputs(blocks, on_input), hook_outputs(blocks, on_output):
        run(net, images)
    if not chains:
        raise InputError(f"none of the blocks of {type(net).__name__} runs: {', '.join(blocks)}")
    return chains


def _parent(name: str) -> str:
    """Return the name of a block's parent module, also of a compiled block."""
    return name.removesuffix("._orig_mod").rpartition(".")[0]


# Forward passes and scores


def run(net: nn.Module, x: Tensor) -> Tensor:
    """Run a network on a copy of x; raise ValueError if it cannot run x or writes to its input."""
    copy = x.clone()
    try:
        y: Tensor = net(copy)
    except RuntimeError as error:
        if type(error) is not RuntimeError:  # such as out of memory
            raise
        raise InputError(f"{type(net).__name__} cannot run images of shape {tuple(x.shape)}: {error}") from error
    if not torch.allclose(copy, x, rtol=0, atol=0, equal_nan=True):
        raise InputError("the network writes into its input, so it cannot run twice on the same images: let it copy its input")
    return y


def run_finite(net: nn.Module, x: Tensor) -> Tensor:
    """Run a network; raise ValueError if its output is not finite."""
    y = run(net, x)
    if isinstance(y, Tensor) and not bool(y.isfinite().all()):
        raise InputError("the network's output is not finite (NaN or infinite) on these images")
    return y


def check_logits(logits: object, labels: Tensor | None = None) -> Tensor:
    """Return the logits; raise ValueError unless their shape is `(N, classes)` and fits the labels."""
    if not isinstance(logits, Tensor) or logits.ndim != 2:
        got = f"a tensor of shape {tuple(logits.shape)}" if isinstance(logits, Tensor) else type(logits).__name__
        raise InputError(f"the network must return logits (N, classes), got {got}")
    if labels is not None and len(logits) != len(labels):
        raise InputError(f"the network must return logits for each of {len(labels)} images, got {len(logits)}")
    if labels is not None:
        check_labels(labels, logits)
    return logits


def check_labels(labels: Tensor, logits: Tensor) -> None:
    """Raise ValueError if there is no logit for a label."""
    if (largest := int(labels.max())) >= logits.shape[1]:
        raise InputError(f"labels must be 0 to {logits.shape[1] - 1}, the numbers of the network's logits, got {largest}")


def as_float32(logits: Tensor) -> Tensor:
    """Return logits in fp32 or better, as losses need after mixed precision."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def loss_of(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the cross-entropy, summed over images."""
    loss: Tensor = nn.functional.cross_entropy(as_float32(logits), labels, reduction="sum")
    return loss


def summed_loss(net: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Run a network and return the cross-entropy, summed over images; raise ValueError if it is not finite."""
    loss = loss_of(check_logits(run(net, x), y), y)
    if not torch.isfinite(loss):
        raise InputError(f"the network's loss on these images must be a finite number, got {float(loss.detach())}")
    return loss


def predictions(logits: Tensor) -> Tensor:
    """Return the predicted class of each row of logits, -1 if the row has a NaN."""
    return logits.argmax(1).masked_fill(logits.isnan().any(1), -1)
