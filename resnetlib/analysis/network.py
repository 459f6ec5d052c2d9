"""Look at a network and leave it as it was: its blocks, hooks on them, its state, its norms, and how it scores."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from itertools import accumulate, starmap
from math import isfinite
from threading import RLock

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.utils.hooks import RemovableHandle

from resnetlib.analysis.inputs import Batch, Batches, gather_inputs
from resnetlib.errors import InputError
from resnetlib.modules import Backbone, Block, Stage
from resnetlib.modules.frozen import has_running_stats
from resnetlib.modules.threads import in_use

_LOCK = RLock()
_ENTERED: list[ExitStack] = []
"""Process-wide settings that running analyses have changed, oldest first."""


def unwrapped(net: nn.Module) -> nn.Module:
    """Return the network inside of `torch.compile`, `DataParallel` or `DistributedDataParallel`; raise ValueError for no module."""
    if not isinstance(net, nn.Module):
        raise InputError(f"the network must be a torch.nn.Module, got {type(net).__name__}")
    parallel = isinstance(net, nn.DataParallel | nn.parallel.DistributedDataParallel)
    inner = net._modules.get("module" if parallel else "_orig_mod")
    return net if inner is None else unwrapped(inner)


def as_backbone(net: nn.Module) -> Backbone:
    """Return a network of this library, unwrapped; raise ValueError for any other."""
    net = unwrapped(net)
    if not isinstance(net, Backbone):
        raise InputError(
            f"the network must be one of resnetlib's (resnetlib.Backbone), not inside of another module, got {type(net).__name__}"
        )
    return net


# State


@contextmanager
def preserve_state(net: nn.Module, *, training: bool = False) -> Iterator[None]:
    """Put a network into one mode; on leaving, restore everything that a forward or backward pass may have changed.

    Restored are modes, buffers, gradients, `requires_grad`, checkpointing, and the random state of the CPU and of the network's
    GPUs. Parameters must not be written to inside: use `torch.func.functional_call`. A compiled network runs uncompiled inside,
    since compiled code ignores new hooks. Raise RuntimeError if another thread uses the network.
    """
    with in_use(net, alone=True, training=training), _module_state(net), _process_state(net):
        yield


@contextmanager
def _module_state(net: nn.Module) -> Iterator[None]:
    stages = [(module, module.checkpointing) for module in net.modules() if isinstance(module, Stage)]
    values = [(buffer, buffer.detach().clone()) for buffer in net.buffers()]
    buffers = [(module, dict(module._buffers)) for module in net.modules()]
    parameters = [(parameter, parameter.requires_grad, parameter.grad) for parameter in net.parameters()]
    try:
        for stage, _ in stages:
            stage.checkpointing = False  # hooks would see the second forward pass too
        yield
    finally:
        for stage, enabled in stages:
            stage.checkpointing = enabled
        for parameter, required, gradient in parameters:
            if parameter.requires_grad != required:  # setting it raises for parameters that were made in inference mode
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
    """Preserve the random state and run nothing compiled; the last analysis to end restores what the first one found."""
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
    """Compute gradients also inside of `torch.no_grad` or `torch.inference_mode`; raise ValueError if the network can have none."""
    if net is not None:
        check_no_inference_tensors(net, "can have no gradients")
    with torch.inference_mode(False), torch.enable_grad():
        yield


def check_no_inference_tensors(net: nn.Module, consequence: str) -> None:
    """Raise ValueError, naming the consequence, if tensors of a network were made in inference mode."""
    if made := [name for name, tensor in (*net.named_parameters(), *net.named_buffers()) if tensor.is_inference()]:
        raise InputError(
            f"{made[0]} and perhaps other tensors of the network were made inside of torch.inference_mode(), and {consequence}: "
            "build or load the network outside of it"
        )


# Norms


@contextmanager
def norm_mode(net: nn.Module, *, training: bool) -> Iterator[None]:
    """Let norms use batch statistics (training) or running ones, with the rest in evaluation; preserve the state.

    Dropout and stochastic depth would make a measurement random. Frozen norms use running statistics in either mode.
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
    """Replace the running statistics of batch norms by those of these images; restore them on leaving.

    The running statistics of an untrained network are zeros and ones, with which its norms do nothing in evaluation. Inside this
    context they normalise as in training. The statistics are means over the batches. Frozen norms keep theirs.

    Args:
        net: any network that was not made in inference mode.
        batches: images, with or without labels.

    Yields:
        Nothing.

    Example:
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
    with in_use(net, alone=True):
        estimates = _estimate_statistics(net, inputs)
        before = [(buffer, buffer.clone()) for buffer, _ in estimates]
        try:
            _write(estimates)
            yield
        finally:
            _write(before)


@torch.no_grad()
def _write(values: list[tuple[Tensor, Tensor]]) -> None:
    for buffer, value in values:
        buffer.copy_(value)


def _estimate_statistics(net: nn.Module, inputs: list[Tensor]) -> list[tuple[Tensor, Tensor]]:
    """Return the buffers of batch norms that are not frozen, each with its value for these images."""
    with norm_mode(net, training=True), torch.no_grad():
        norms = [module for module in net.modules() if has_running_stats(module) and module.training]
        momenta = [norm.momentum for norm in norms]
        try:
            for norm in norms:
                norm.reset_running_stats()
                norm.momentum = None  # a cumulative mean over the batches
            for x in inputs:
                run_finite(net, x)
        finally:
            for norm, momentum in zip(norms, momenta, strict=True):
                norm.momentum = momentum
        return [(buffer, buffer.clone()) for norm in norms for buffer in norm.buffers()]


# Hooks


def hook_inputs(blocks: Mapping[str, nn.Module], see: Callable[[str, Tensor], None]) -> AbstractContextManager[None]:
    """Inside the context, call `see(name, x)` with the input of each block before it runs."""

    def register(name: str, block: nn.Module) -> RemovableHandle:
        def hook(_: nn.Module, arguments: tuple[Tensor, ...], named: dict[str, Tensor]) -> None:
            see(name, *(*arguments, *named.values())[:1])

        return block.register_forward_pre_hook(hook, with_kwargs=True)

    return _registered(starmap(register, blocks.items()))


def hook_joins(
    blocks: Mapping[str, Block], see: Callable[[str, Tensor, Tensor], tuple[Tensor, Tensor] | None]
) -> AbstractContextManager[None]:
    """Inside the context, call `see(name, skip, branch)` before each block's join runs; it may return another pair to be joined."""

    def register(name: str, block: Block) -> RemovableHandle:
        return block.join.register_forward_pre_hook(lambda _, arguments: see(name, *arguments))

    return _registered(starmap(register, blocks.items()))


def hook_outputs(modules: Mapping[str, nn.Module], see: Callable[[str, Tensor], Tensor | None]) -> AbstractContextManager[None]:
    """Inside the context, call `see(name, y)` with the output of each module; it may return another output."""

    def register(name: str, module: nn.Module) -> RemovableHandle:
        return module.register_forward_hook(lambda _, arguments, y: see(name, y))

    return _registered(starmap(register, modules.items()))


@contextmanager
def _registered(handles: Iterable[RemovableHandle]) -> Iterator[None]:
    """Register the hooks of a lazy iterable on entering, and remove them on leaving."""
    with ExitStack() as stack:
        for handle in handles:
            stack.callback(handle.remove)
        yield


# Blocks


def blocks_of(net: nn.Module) -> dict[str, Block]:
    """Return the blocks of a network by name, in the order in which they are registered.

    Analyses list the blocks in the order in which they run, which is the same in this library's networks, and leave out those
    that do not run.

    Args:
        net: a network that contains blocks of this library.

    Returns:
        The blocks.

    Raises:
        ValueError: if there are no blocks, or two blocks share a join.

    Example:
        >>> from resnetlib import cifar_resnet20
        >>> list(blocks_of(cifar_resnet20()))[:4]
        ['layer1.0', 'layer1.1', 'layer1.2', 'layer2.0']
    """
    net = unwrapped(net)
    blocks = {name: module for name, module in net.named_modules() if isinstance(module, Block)}
    if not blocks:
        raise InputError(f"{type(net).__name__} has no blocks with joins: build it of resnetlib's blocks (resnetlib.Block)")
    joins: dict[nn.Module, str] = {}
    for name, block in blocks.items():
        if (other := joins.setdefault(block.join, name)) != name:
            raise InputError(f"blocks {other} and {name} share a join, so their branches cannot be told apart: give each its own")
    return blocks


def chains_of(net: nn.Module, x: Tensor) -> list[list[str]]:
    """Divide the blocks that run into chains, inside of which only blocks change x.

    In the networks of this library a chain is a stage. A chain begins where the parent module changes, where x is not the output
    of the block before or was written to since, and where a block's skip is not its input (`downsample`), its stride is not 1, or
    it changes the channels without a skip.

    Args:
        net: a network that contains blocks of this library; run in evaluation mode and left as it was.
        x: images, on the network's device.

    Returns:
        The names of each chain's blocks, in the order in which they run.

    Raises:
        ValueError: if there are no blocks, none of them runs, one runs more than once, or one is inside of another.

    Example:
        >>> from resnetlib import cifar_resnet20
        >>> [len(chain) for chain in chains_of(cifar_resnet20(), torch.randn(1, 3, 32, 32))]
        [3, 3, 3]
    """
    chains = _run_chains(net, x)
    runs = Counter(name for chain in chains for name in chain)
    (name, count), *_ = runs.most_common(1)
    if count > 1:
        raise InputError(f"block {name} runs {count} times for each image: give each place in the network a block of its own")
    for name in runs:
        if outer := next((other for other in runs if name.startswith(f"{other}.")), None):
            raise InputError(f"block {name} is inside of block {outer}: what it adds is part of what that one adds")
    return chains


def running_blocks(net: nn.Module, x: Tensor) -> dict[str, Block]:
    """Return the blocks that run, by name, in the order in which they first do."""
    return blocks_in(net, _run_chains(net, x))


def blocks_in(net: nn.Module, chains: list[list[str]]) -> dict[str, Block]:
    """Return the blocks of chains, by name."""
    blocks = blocks_of(net)
    return {name: blocks[name] for chain in chains for name in chain}


def spans_of(chains: list[list[str]]) -> tuple[tuple[int, int], ...]:
    """Return, for each chain, the index of its first block and one past that of its last, as `range` takes them."""
    lengths = [len(chain) for chain in chains]
    return tuple((end - length, end) for end, length in zip(accumulate(lengths), lengths, strict=True))


def _run_chains(net: nn.Module, images: Tensor) -> list[list[str]]:
    """Run images, and see which blocks follow each other."""
    net = unwrapped(net)
    blocks = blocks_of(net)
    if not isinstance(images, Tensor):
        raise InputError(f"x must be a tensor of images (N, C, H, W), got {type(images).__name__}")
    chains: list[list[str]] = []
    last = "", images, images

    def enter(name: str, x: Tensor) -> None:
        before, y, copy = last
        block = blocks[name]
        follows = x is y and torch.equal(x, copy) and _parent(name) == _parent(before)
        keeps = block.stride == 1 and block.downsample is None and (block.join.uses_skip or block.in_channels == block.out_channels)
        if chains and follows and keeps:
            chains[-1].append(name)
        else:
            chains.append([name])

    def leave(name: str, y: Tensor) -> None:
        nonlocal last
        last = name, y, y.clone()  # to see whether y is written to later

    with preserve_state(net), torch.no_grad(), hook_inputs(blocks, enter), hook_outputs(blocks, leave):
        run(net, images)
    if not chains:
        raise InputError(f"none of the blocks of {type(net).__name__} runs: {', '.join(blocks)}")
    return chains


def _parent(name: str) -> str:
    """Return the name of the module that a block is in; the block itself may be compiled."""
    return name.removesuffix("._orig_mod").rpartition(".")[0]


# Outputs


def run(net: nn.Module, x: Tensor) -> Tensor:
    """Run a network on a copy of images; raise ValueError if it cannot run them, or writes to its input."""
    copy = x.clone()
    try:
        y: Tensor = net(copy)
    except RuntimeError as error:
        if type(error) is not RuntimeError:  # out of memory, for example
            raise
        raise InputError(f"{type(net).__name__} cannot run images of shape {tuple(x.shape)}: {error}") from error
    if not torch.allclose(copy, x, rtol=0, atol=0, equal_nan=True):
        raise InputError("the network writes into its input, so nothing can be measured twice: let it begin with a copy")
    return y


def run_finite(net: nn.Module, x: Tensor) -> Tensor:
    """Run a network; raise ValueError if its output is not finite."""
    y = run(net, x)
    if isinstance(y, Tensor) and not bool(y.isfinite().all()):
        raise InputError("the network's output is not finite (NaN or infinite) on these images")
    return y


def check_logits(logits: object, labels: Tensor | None = None) -> Tensor:
    """Return a network's output; raise ValueError unless it is logits `(N, classes)` that fit the labels."""
    if not isinstance(logits, Tensor) or logits.ndim != 2:
        got = f"a tensor of shape {tuple(logits.shape)}" if isinstance(logits, Tensor) else type(logits).__name__
        raise InputError(f"the network must return logits (N, classes), got {got}")
    if labels is not None and len(logits) != len(labels):
        raise InputError(f"the network must return logits for each of {len(labels)} images, got {len(logits)}")
    if labels is not None and int(labels.max()) >= logits.shape[1]:
        raise InputError(f"labels must be 0 to {logits.shape[1] - 1}, the numbers of the network's logits, got {int(labels.max())}")
    return logits


def as_float32(logits: Tensor) -> Tensor:
    """Return logits in fp32 or better: losses after mixed precision need it."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def loss_of(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the sum of the images' cross-entropies."""
    loss: Tensor = nn.functional.cross_entropy(as_float32(logits), labels, reduction="sum")
    return loss


def summed_loss(net: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Run a network and return the sum of the images' cross-entropies; raise ValueError if it is not finite.

    Unlike the mean's, the gradient of the sum with respect to an image's features does not depend on the batch size.
    """
    loss = loss_of(check_logits(run(net, x), y), y)
    if not torch.isfinite(loss):
        raise InputError(f"the loss is {float(loss.detach())}: the network's logits, or the images, are not finite")
    return loss


def predictions(logits: Tensor) -> Tensor:
    """Return the predicted class of each row of logits; -1 where one of them is NaN."""
    return logits.argmax(1).masked_fill(logits.isnan().any(1), -1)


def chance_error(classes: int) -> float:
    """Return the error of guessing among equally frequent classes, in %."""
    return 100 * (1 - 1 / classes)


class Score:
    """Error, loss and changed predictions, summed over batches on the network's device. NaN logits count as errors."""

    def __init__(self) -> None:
        self.images = 0
        self._wrong: Tensor | int = 0
        self._changed: Tensor | int = 0
        self._loss: Tensor | float = 0.0

    def add(self, logits: Tensor, labels: Tensor, clean: Tensor | None = None) -> None:
        """Add a batch: logits `(N, classes)`, labels `(N,)`, and the unperturbed network's predictions `(N,)`."""
        predicted = predictions(logits)
        self.images += len(labels)
        self._wrong = self._wrong + (predicted != labels).sum()
        self._loss = self._loss + loss_of(logits, labels).double()
        if clean is not None:
            self._changed = self._changed + (predicted != clean).sum()

    @property
    def error(self) -> float:
        """Images that are classified wrongly, in %."""
        return 100 * float(self._wrong) / self.images

    @property
    def loss(self) -> float:
        """Mean cross-entropy, in nats."""
        return float(self._loss) / self.images

    @property
    def changed(self) -> float:
        """Images whose prediction differs from the unperturbed network's, in %."""
        return 100 * float(self._changed) / self.images


def score_clean(net: nn.Module, batches: list[Batch]) -> tuple[Score, list[Tensor]]:
    """Return the score and logits of an unchanged network; raise ValueError unless it returns finite logits for these labels."""
    score, outputs = Score(), []
    for x, y in batches:
        logits = check_logits(run(net, x), y)
        score.add(logits, y)
        outputs.append(logits)
    if not isfinite(score.loss):
        raise InputError(f"the network's loss on these images must be a finite number, got {score.loss}")
    return score, outputs
