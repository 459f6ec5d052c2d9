"""Perturb a trained network and evaluate it: delete, scale or reorder blocks, add noise to inputs, weights or branches."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial, reduce
from itertools import chain, combinations, product
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call
from tqdm import tqdm

from resnetlib.analysis import network, style
from resnetlib.analysis.batches import (
    Batch,
    Batches,
    check_integers,
    check_numbers,
    count_images,
    gather,
    generators,
    normal_like,
    standard_normal,
)
from resnetlib.analysis.result import AnalysisResult, Axes, new_axes
from resnetlib.errors import InputError
from resnetlib.modules import Backbone, Block, Concat, DenseBlock, PadShortcut, Stage, StochasticConcat
from resnetlib.modules.arguments import check_number
from resnetlib.modules.stage import Sequential

_BACKBONE_FORWARD = Backbone.forward, Backbone.forward_features
_IN_SEQUENCE = nn.Sequential.forward, Sequential.forward, Stage.forward, DenseBlock.forward
"""Methods that run a container's children one after the other."""

_WITHOUT_DRAWS = ("lesion", "block_survival")
_NOT_MEASURED = torch.empty(0, dtype=torch.float64)

_LABELS = {
    "lesion": ("block left out (orange: changes the shape)", "Error without one block"),
    "lesion_many": ("blocks left out", "Error without several blocks"),
    "reorder": ("Kendall's tau of the order", "Error with swapped blocks"),
    "block_survival": ("factor of the branch", "Changed predictions with scaled branches"),
    "branch_noise": ("block with noise", "Accuracy with noise on one branch"),
    "input_noise": ("noise on the input", ""),
    "weight_noise": ("noise on the weights", ""),
}
"""The label of the x axis and the title of the figure, for each kind."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Perturbation(AnalysisResult):
    """The error of a network under each of many perturbations of one kind.

    The dimensions of `error`, `loss` and `changed` are

    ============================== ===============================
    `lesion`                       `(blocks,)`
    `lesion_many`, `reorder`       `(values, draws)`
    `block_survival`               `(blocks, values)`
    `input_noise`, `weight_noise`  `(values, draws)`
    `branch_noise`                 `(blocks, values, draws)`
    ============================== ===============================

    Args:
        kind: name of the function that returned it.
        blocks: names of the blocks that may be perturbed.
        values: numbers of deleted blocks or of swaps, factors of branches, or sizes of the noise.
        images: number of images.
        clean_error: error without perturbation, in %.
        clean_loss: mean cross-entropy without perturbation, in nats.
        chance_error: error of guessing, in %.
        error: error under each perturbation, in %.
        loss: mean cross-entropy, in nats.
        changed: predictions that differ from the unchanged network's, in %.
        error_all: error with all branches scaled, `(values,)` (`block_survival`).
        changed_all: changed predictions with all branches scaled, `(values,)` (`block_survival`).
        deleted_output: what each block outputs when it is deleted (`lesion`, `block_survival`).
        changes_shape: whether each block changes the shape of its input (`lesion`).
        groups: names of blocks that can be swapped with each other (`reorder`).
        tau: Kendall's tau of the order of all blocks, `(values, draws)`; 1 for the trained order (`reorder`).
    """

    kind: str
    blocks: tuple[str, ...] = ()
    values: tuple[float, ...] = ()
    images: int
    clean_error: float
    clean_loss: float = math.nan
    chance_error: float
    error: Tensor
    loss: Tensor = _NOT_MEASURED
    changed: Tensor = _NOT_MEASURED
    error_all: Tensor = _NOT_MEASURED
    changed_all: Tensor = _NOT_MEASURED
    deleted_output: tuple[str, ...] = ()
    changes_shape: tuple[bool, ...] = ()
    groups: tuple[tuple[str, ...], ...] = ()
    tau: Tensor = _NOT_MEASURED

    @property
    def clean_accuracy(self) -> float:
        """Accuracy without perturbation, in %."""
        return 100 - self.clean_error

    @property
    def accuracy(self) -> Tensor:
        """Accuracy under each perturbation, in %."""
        return 100 - self.error

    @property
    def mean_accuracy(self) -> Tensor:
        """Mean accuracy over the draws, in %."""
        return self.accuracy if self.kind in _WITHOUT_DRAWS else self.accuracy.mean(-1)

    @property
    def drop(self) -> Tensor:
        """Mean loss of accuracy, in percentage points."""
        return self.clean_accuracy - self.mean_accuracy

    def quantile(self, q: float) -> Tensor:
        """Return a quantile of the error over the draws.

        Args:
            q: the quantile; 0.5 for the median.

        Returns:
            The error, without the dimension of the draws.

        Raises:
            ValueError: if there are no draws, as for `lesion` and `block_survival`, or `q` is not from 0 to 1.
        """
        check_number("q", q)
        if not 0 <= q <= 1:
            raise InputError(f"q must be from 0 to 1, got {q}")
        if self.kind in _WITHOUT_DRAWS:
            raise InputError(f"{self.kind} has no draws, so use error.quantile(q, dim)")
        return self.error.quantile(q, dim=-1)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Plot the error, for noise the accuracy, for `block_survival` the changed predictions."""
        ax = new_axes(ax, width=8 if self.kind in ("lesion", "branch_noise") else 6)
        xlabel, title = _LABELS[self.kind]
        values, order = torch.tensor(self.values, dtype=torch.float64).sort()
        measure, clean, chance = "error (%)", self.clean_error, self.chance_error
        if "noise" in self.kind:
            measure, clean, chance = "accuracy (%)", self.clean_accuracy, 100 - self.chance_error
        color: Any = "black"
        if self.kind == "lesion":
            colors = [style.SECOND if changes else style.FIRST for changes in self.changes_shape]
            ax.bar(range(len(self.blocks)), self.error.tolist(), color=colors)
        elif self.kind == "block_survival":
            measure = "changed predictions (%)"
            labels = ["one block", *[None] * (len(self.blocks) - 1)]
            ax.plot(values, self.changed[:, order].T.tolist(), color=style.FIRST, alpha=0.4, linewidth=0.8, label=labels)
            ax.plot(values, self.changed_all[order], "o-", color=style.SECOND, label="all blocks")
        elif self.kind == "reorder":
            ax.plot(self.tau.flatten(), self.error.flatten(), ".", label="reordered")
        elif self.kind == "branch_noise":
            ax.plot(self.mean_accuracy, ".-", label=[f"noise of {value:g} of the branch" for value in self.values])
        elif self.kind == "lesion_many":
            (line,) = ax.plot(values, self.quantile(0.5)[order], ".-", label="median")
            low, high = self.quantile(0.25)[order], self.quantile(0.75)[order]
            ax.fill_between(values, low, high, color=line.get_color(), alpha=0.2, label="quartiles")
        else:
            (line,) = ax.plot(values, self.mean_accuracy[order], ".-")
            color = line.get_color()
            ax.fill_between(values, self.accuracy.amin(1)[order], self.accuracy.amax(1)[order], color=color, alpha=0.2)
        if self.kind in ("lesion", "branch_noise"):
            step = math.ceil(len(self.blocks) / 30) or 1  # label at most 30 blocks
            ax.set_xticks(range(0, len(self.blocks), step), self.blocks[::step], rotation=90, fontsize=8)
        if self.kind in ("block_survival", "reorder"):
            ax.invert_xaxis()
        if self.kind != "block_survival":
            ax.axhline(clean, color=color, linestyle="-" if title else ":", linewidth=0.8, label="unchanged network")
            ax.axhline(chance, color=style.GRAY, linestyle="--", linewidth=0.8, label="guessing")
        ax.set(xlabel=xlabel, ylabel=measure, ylim=(0, 100))
        if title:
            ax.set_title(f"{title}, on {self.images:,} images", fontsize="medium")
            ax.legend()
        return ax


# The engine


Outputs = Iterator[tuple[tuple[int, ...], int, Tensor | None]]
"""For each perturbation and batch: the index in the result's tensors, the number of the batch, and logits (None if unchanged)."""


def evaluate_under(
    net: nn.Module, data: list[Batch], kind: str, shape: tuple[int, ...], perturb: Callable[[list[Tensor]], Outputs], **fields: Any
) -> Perturbation:
    """Evaluate a network unchanged, then under a grid of perturbations; `perturb(inputs)` yields their outputs."""
    images = count_images(data)
    with network.preserve_state(net), torch.inference_mode():
        clean = [network.check_logits(network.run(net, x), y) for x, y in data]
        predicted = [network.predictions(logits) for logits in clean]
        scores = [score(logits, y, before) for logits, (_, y), before in zip(clean, data, predicted, strict=True)]
        clean_wrong, _, clean_loss = torch.stack(scores).sum(0).tolist()
        if not math.isfinite(clean_loss):
            raise InputError(f"the network's loss on these images must be a finite number, got {clean_loss}")
        sums = torch.zeros(*shape, 3, dtype=torch.float64, device=clean[0].device)
        for index, batch, logits in tqdm(perturb([x for x, _ in data]), kind, math.prod(shape) * len(data), disable=None):
            sums[index] += score(clean[batch] if logits is None else logits, data[batch][1], predicted[batch])
    error, changed, loss = sums.cpu().unbind(-1)
    return Perturbation(
        kind=kind,
        images=images,
        clean_error=100 * clean_wrong / images,
        clean_loss=clean_loss / images,
        chance_error=100 * (1 - 1 / clean[0].shape[1]),
        error=100 * error / images,
        loss=loss / images,
        changed=100 * changed / images,
        **fields,
    )


def score(logits: Tensor, labels: Tensor, clean: Tensor) -> Tensor:
    """Count errors and changed predictions, and sum the loss: `(3,)` in float64."""
    predicted = network.predictions(logits)
    counts = (predicted != labels).sum(), (predicted != clean).sum(), network.loss_of(logits, labels)
    return torch.stack([count.double() for count in counts])


def from_each_block(net: nn.Module, blocks: dict[str, Block], x: Tensor) -> Iterator[tuple[int, str, Callable[[], Tensor]]]:
    """Yield each block's number and name, and a function that computes the logits; layers before the block run once."""
    parts = _parts_of(net)
    names = {block: (number, name) for number, (name, block) in enumerate(blocks.items())}
    for i, part in enumerate(parts):
        inside = [names.pop(module) for module in (part.modules() if isinstance(part, nn.Module) else ()) if module in names]
        for number, name in inside:
            yield number, name, partial(reduce, lambda x, part: part(x), parts[i:], x)
        if names:
            x = part(x)


def _parts_of(net: nn.Module) -> list[Callable[[Tensor], Tensor]]:
    """Divide a network into parts that run in sequence; a module with hooks or a forward of its own is one part."""
    if not (net._forward_hooks or net._forward_pre_hooks or "forward" in vars(net)):
        if isinstance(net, nn.Sequential) and type(net).forward in _IN_SEQUENCE:
            return [part for child in net for part in _parts_of(child)]
        if isinstance(net, Backbone) and (type(net).forward, type(net).forward_features) == _BACKBONE_FORWARD:
            return [*(part for module in net.path() for part in _parts_of(module)), net.forward_head]
    return [net]


# Deleted and scaled blocks


def lesion(net: nn.Module, batches: Batches) -> Perturbation:
    """Delete one block at a time, y = skip instead of y = skip + F(x), and measure error and loss, `(blocks,)`.

    Deleting a block sets its branch to zero and keeps its skip, also one that changes the shape; a dense layer adds channels of
    zeros. A plain block's output becomes its input, or shortcut A of it where the shape changes (every stride-th pixel, and
    channels of zeros). The ReLU after the join stays.

    >>> from resnetlib import cifar_resnet20
    >>> result = lesion(cifar_resnet20(), (torch.randn(4, 3, 32, 32), torch.arange(4)))
    >>> result.deleted_output[2:4]
    ('its input', 'its shortcut')

    Args:
        net: a classifier with blocks of this library.
        batches: images `(N, C, H, W)`, preprocessed and not augmented, and labels `(N,)`: one pair, or several.

    Returns:
        Error, loss and changed predictions for each deleted block, `(blocks,)`.

    Raises:
        ValueError: if the network has no such blocks, or a label is not the index of a logit.

    Source:
        arXiv 1605.06431, sec. 4.1: deleting one block hardly hurts a residual network, and brings VGG to chance.
    """
    net, data = gather(net, batches)
    blocks = network.running_blocks(net, data[0][0])

    def perturb(inputs: list[Tensor]) -> Outputs:
        for batch, x in enumerate(inputs):
            for number, name, rest in from_each_block(net, blocks, x):
                with scale_branches(blocks, [name], 0):
                    logits = rest()
                yield (number,), batch, logits

    changes, outputs = tuple(map(_changes_shape, blocks.values())), tuple(map(_deleted_output, blocks.values()))
    fields = {"blocks": tuple(blocks), "deleted_output": outputs, "changes_shape": changes}
    return evaluate_under(net, data, "lesion", (len(blocks),), perturb, **fields)


def lesion_many(
    net: nn.Module,
    batches: Batches,
    counts: Sequence[int] | None = None,
    *,
    draws: int = 10,
    which: Literal["all", "same shape"] = "all",
    seed: int = 0,
) -> Perturbation:
    """Delete k random blocks at once, as `lesion` deletes one. In an ensemble the error would rise smoothly with k.

    Each draw is a random order of the blocks, of which the first k are deleted.

    Args:
        net: network with blocks.
        batches: images and labels.
        counts: values of k; None for 1 to 20 (the paper's), or to the number of blocks.
        draws: number of random orders.
        which: "all" blocks, as in the paper, or only those that keep the "same shape".
        seed: of the draws.

    Returns:
        Errors, `(counts, draws)`; `blocks` are those that may be deleted.

    Source:
        arXiv 1605.06431, sec. 4.2, fig. 5a.
    """
    if which not in ("all", "same shape"):
        raise InputError(f"which must be 'all' or 'same shape', got {which!r}")
    net, data = gather(net, batches)
    blocks = network.running_blocks(net, data[0][0])
    names = [name for name, block in blocks.items() if which == "all" or not _changes_shape(block)]
    if not names:
        raise InputError(f"no block keeps the shape of its input, so which='same shape' selects none of {', '.join(blocks)}")
    counts = check_integers("counts", range(1, min(20, len(names)) + 1) if counts is None else counts, 0, len(names))
    orders = [torch.randperm(len(names), generator=generator).tolist() for generator in generators(seed, draws)]

    def perturb(inputs: list[Tensor]) -> Outputs:
        for (i, count), (j, order), (batch, x) in product(enumerate(counts), enumerate(orders), enumerate(inputs)):
            with scale_branches(blocks, [names[number] for number in order[:count]], 0):
                logits = net(x)
            yield (i, j), batch, logits

    return evaluate_under(net, data, "lesion_many", (len(counts), len(orders)), perturb, blocks=tuple(names), values=counts)


def block_survival(net: nn.Module, batches: Batches, factors: Sequence[float] = (1.0, 0.75, 0.5, 0.25, 0.0)) -> Perturbation:
    """Compute y = skip + factor * F(x) in one block at a time, then in all at once, and count the predictions that change.

    A network that can mimic a shallower one changes little on the way from 1 to 0, where the block is deleted (see `lesion`). In a
    plain block, which has no skip, the factor scales the difference between its branch and its output when deleted.

    Args:
        net: a classifier with blocks of this library.
        batches: images `(N, C, H, W)`, preprocessed and not augmented, and labels `(N,)`: one pair, or several.
        factors: the numbers to scale branches by.

    Returns:
        Error, loss and changed predictions, `(blocks, factors)`, and `(factors,)` for all blocks at once.

    Raises:
        ValueError: if the network has no such blocks, or a label is not the index of a logit.

    Source:
        Not from a paper; tests the claim of arXiv 1512.03385, sec. 1, that a deeper network contains the shallower one.
    """
    factors = check_numbers("factors", factors)
    net, data = gather(net, batches)
    blocks = network.running_blocks(net, data[0][0])

    def perturb(inputs: list[Tensor]) -> Outputs:
        for batch, x in enumerate(inputs):
            one_block = ((number, [name], rest) for number, name, rest in from_each_block(net, blocks, x))
            all_blocks: tuple[int, list[str], Callable[[], Tensor]] = len(blocks), list(blocks), partial(net, x)
            for row, names, rest in chain(one_block, [all_blocks]):
                for i, factor in enumerate(factors):
                    with scale_branches(blocks, names, factor):
                        logits = None if factor == 1 else rest()
                    yield (row, i), batch, logits

    fields = {"blocks": tuple(blocks), "values": factors, "deleted_output": tuple(map(_deleted_output, blocks.values()))}
    found = evaluate_under(net, data, "block_survival", (len(blocks) + 1, len(factors)), perturb, **fields)
    one = {name: getattr(found, name)[:-1] for name in ("error", "loss", "changed")}
    return replace(found, **one, error_all=found.error[-1], changed_all=found.changed[-1])


def scale_branches(blocks: dict[str, Block], names: Iterable[str], factor: float) -> AbstractContextManager[None]:
    """Scale the branches of some blocks; 0 deletes the block."""

    def scale(name: str, skip: Tensor, branch: Tensor) -> tuple[Tensor, Tensor]:
        block = blocks[name]
        if factor == 1:
            return skip, branch
        if block.join.uses_skip:
            return skip, torch.zeros_like(branch) if factor == 0 else factor * branch
        rest = skip
        if skip.shape != branch.shape and block.in_channels <= block.out_channels:
            rest = PadShortcut(skip.shape[1], branch.shape[1], stride=block.stride)(skip)
        if rest.shape != branch.shape:
            shapes = f"{tuple(skip.shape[1:])} to {tuple(branch.shape[1:])}"
            raise InputError(f"block {name} has no skip, and shortcut A cannot replace it from {shapes}")
        return skip, rest if factor == 0 else rest + factor * (branch - rest)

    return network.hook_joins({name: blocks[name] for name in names}, scale)


def _changes_shape(block: Block) -> bool:
    """Return whether a block changes the shape of its input, apart from concatenated channels."""
    same_channels = block.in_channels == block.out_channels or isinstance(block.join, Concat | StochasticConcat)
    return block.stride != 1 or not same_channels


def _deleted_output(block: Block) -> str:
    """Describe what a block outputs when it is deleted."""
    if isinstance(block.join, Concat | StochasticConcat):
        return "its input and channels of zeros"
    if block.join.uses_skip:
        return "its input" if block.downsample is None else "its shortcut"
    return "shortcut A of its input" if _changes_shape(block) else "its input"


# Noise


def input_noise(
    net: nn.Module, batches: Batches, sigmas: Sequence[float] = (0.1, 0.2, 0.4, 0.8), *, draws: int = 3, seed: int = 0
) -> Perturbation:
    """Classify x + sigma * N(0, 1).

    Networks with the same seed and images get the same noise, and so do all sigmas, up to the factor. Compare drops of accuracy, of
    networks with equally many parameters, not accuracies.

    Args:
        net: any classifier.
        batches: images and labels.
        sigmas: standard deviations in units of the normalized input; a sigma is sigma * std * 255 in pixel values, where std is the
            normalization's. With CIFAR-10's of about 0.25, a sigma of 0.1 is 6.4.
        draws: number of draws of the noise for each image.
        seed: of the draws.

    Returns:
        Errors, `(sigmas, draws)`.
    """
    (net, data), sigmas = gather(net, batches), check_numbers("sigmas", sigmas, minimum=0)
    sources = generators(seed, draws)

    def perturb(inputs: list[Tensor]) -> Outputs:
        for (j, source), (batch, x) in product(enumerate(sources), enumerate(inputs)):
            noise = normal_like(x, source)
            for i, sigma in enumerate(sigmas):
                yield (i, j), batch, net(x + sigma * noise)

    return evaluate_under(net, data, "input_noise", (len(sigmas), len(sources)), perturb, values=sigmas)


def weight_noise(
    net: nn.Module, batches: Batches, ratios: Sequence[float] = (0.05, 0.1, 0.2, 0.4), *, draws: int = 3, seed: int = 0
) -> Perturbation:
    """Classify with w + ratio * rms(w) * N(0, 1) in place of every parameter w.

    The root mean square is that of each filter (a slice along the first dimension), or of the whole parameter if it has fewer than
    two dimensions, so a filter of zeros stays zero. Running statistics are not perturbed.

    Args:
        net: any classifier with parameters.
        batches: images and labels.
        ratios: sizes of the noise, relative to the weights.
        draws: number of draws of the noise.
        seed: of the draws, which are the same for networks with the same parameter shapes.

    Returns:
        Errors, `(ratios, draws)`.

    Source:
        arXiv 1712.09913, sec. 3, scales noise by filter, but leaves out biases and norms.
    """
    (net, data), ratios = gather(net, batches), check_numbers("ratios", ratios, minimum=0)
    parameters = dict(net.named_parameters())
    if not parameters:
        raise InputError(f"{type(net).__name__} has no parameters to add noise to")
    sources = generators(seed, draws)

    def perturb(inputs: list[Tensor]) -> Outputs:
        for j, source in enumerate(sources):
            noise = {name: _relative_noise(weight, source) for name, weight in parameters.items()}
            for i, ratio in enumerate(ratios):
                noisy = {name: weight + ratio * noise[name] for name, weight in parameters.items()}
                for batch, x in enumerate(inputs):
                    yield (i, j), batch, functional_call(net, noisy, (x,))

    return evaluate_under(net, data, "weight_noise", (len(ratios), len(sources)), perturb, values=ratios)


def _relative_noise(weight: Tensor, source: torch.Generator) -> Tensor:
    dims = tuple(range(1 if weight.ndim > 1 else 0, weight.ndim))
    square = weight.detach().double().square()
    rms = (square.mean(dims, keepdim=True) if dims else square).sqrt()
    return (rms * standard_normal(weight.shape, source).to(rms)).to(weight)


def branch_noise(
    net: nn.Module, batches: Batches, ratios: Sequence[float] = (0.5, 1.0), *, draws: int = 1, seed: int = 0
) -> Perturbation:
    """Compute F(x) + ratio * rms(F(x)) * N(0, 1) in the branch of one block at a time.

    The root mean square is that of the branch's output for each image. Since a residual block adds its skip to the branch, the same
    ratio is less noise on the next block's input than in a plain block.

    Args:
        net: network with blocks.
        batches: images and labels.
        ratios: sizes of the noise, relative to the branch.
        draws: number of draws of the noise for each image.
        seed: of the draws, which are the same for blocks and networks whose branches have the same shapes.

    Returns:
        Errors, `(blocks, ratios, draws)`.
    """
    (net, data), ratios = gather(net, batches), check_numbers("ratios", ratios, minimum=0)
    blocks = network.running_blocks(net, data[0][0])
    sources = {name: generators(seed, draws) for name in blocks}

    def perturb(inputs: list[Tensor]) -> Outputs:
        for batch, x in enumerate(inputs):
            for number, name, rest in from_each_block(net, blocks, x):
                for j, source in enumerate(sources[name]):
                    state = source.get_state()
                    for i, ratio in enumerate(ratios):
                        source.set_state(state)  # the same noise for every ratio
                        with network.hook_joins({name: blocks[name]}, partial(_add_noise, ratio=ratio, source=source)):
                            logits = rest()
                        yield (number, i, j), batch, logits

    shape = len(blocks), len(ratios), int(draws)
    return evaluate_under(net, data, "branch_noise", shape, perturb, blocks=tuple(blocks), values=ratios)


def _add_noise(name: str, skip: Tensor, branch: Tensor, *, ratio: float, source: torch.Generator) -> tuple[Tensor, Tensor]:
    rms = branch.square().mean((1, 2, 3), keepdim=True).sqrt()
    return skip, branch + ratio * rms * normal_like(branch, source)


# Order


def kendall_tau(order: Sequence[int]) -> float:
    """Return Kendall's tau = (ascending pairs - descending pairs) / pairs of two or more different numbers, from -1 to 1.

    >>> kendall_tau([0, 1, 2]), kendall_tau([2, 1, 0])
    (1.0, -1.0)
    """
    numbers = check_numbers("order", order, fewest=2)
    if len(set(numbers)) < len(numbers):
        raise InputError(f"order must be different numbers, got {numbers}")
    signs = [1 if first < second else -1 for first, second in combinations(numbers, 2)]
    return sum(signs) / len(signs)


def reorder(
    net: nn.Module, batches: Batches, swaps: Sequence[int] | None = None, *, draws: int = 10, seed: int = 0
) -> Perturbation:
    """Swap k random pairs of blocks, one after the other, and compare the error with Kendall's tau of the resulting order.

    Blocks can be swapped if they have the same class, structure and shapes, keep the shape of their input, and have no
    `downsample`; so layers of a DenseNet never can. Swapped blocks exchange parameters and buffers, but no other state. Each draw
    is a sequence of swaps, of which the first k are made.

    Args:
        net: network with blocks.
        batches: images and labels.
        swaps: values of k; None for 1 to 20.
        draws: number of random sequences.
        seed: of the draws.

    Returns:
        Error and Kendall's tau of each order, `(swaps, draws)`.

    Source:
        arXiv 1605.06431, sec. 4.2, fig. 5b.

    Example:
        >>> from resnetlib import cifar_resnet20
        >>> result = reorder(cifar_resnet20(), (torch.randn(4, 3, 32, 32), torch.arange(4)), [1], draws=2)
        >>> result.groups[:2]
        (('layer1.0', 'layer1.1', 'layer1.2'), ('layer2.1', 'layer2.2'))
    """
    net, data = gather(net, batches)
    blocks = network.blocks_in(net, network.chains_of(net, data[0][0]))
    swaps = check_integers("swaps", range(1, 21) if swaps is None else swaps, 0, 10**6)
    names, sources = list(blocks), generators(seed, draws)
    groups = _exchangeable(net, blocks, data[0][0])
    pairs = [pair for group in groups for pair in combinations(map(names.index, group), 2)]
    if not pairs:
        raise InputError(f"no two of the {len(names)} blocks can be swapped: none have the same structure and keep the shape")
    orders: dict[tuple[int, int], list[int]] = {}
    tau = torch.zeros(len(swaps), len(sources), dtype=torch.float64)
    for j, source in enumerate(sources):
        chosen = [pairs[i] for i in torch.randint(len(pairs), (max(swaps),), generator=source).tolist()]
        for i, count in enumerate(swaps):
            orders[i, j] = list(range(len(names)))
            for one, other in chosen[:count]:
                orders[i, j][one], orders[i, j][other] = orders[i, j][other], orders[i, j][one]
            tau[i, j] = kendall_tau(orders[i, j])

    def perturb(inputs: list[Tensor]) -> Outputs:
        for index, order in orders.items():
            tensors = _reordered_tensors(blocks, order)
            for batch, x in enumerate(inputs):
                yield index, batch, functional_call(net, tensors, (x,)) if tensors else None

    fields = {"blocks": tuple(names), "values": swaps, "groups": groups, "tau": tau}
    return evaluate_under(net, data, "reorder", tuple(tau.shape), perturb, **fields)


def _exchangeable(net: nn.Module, blocks: dict[str, Block], x: Tensor) -> tuple[tuple[str, ...], ...]:
    """Return the groups of blocks that can be swapped."""
    shapes: dict[str, torch.Size] = {}
    with (
        network.preserve_state(net),
        torch.inference_mode(),
        network.hook_outputs(blocks, lambda name, y: shapes.update({name: y.shape})),
    ):
        net(x)
    alike: dict[Any, list[str]] = {}
    for name, block in blocks.items():
        if block.downsample is None and block.stride == 1 and block.in_channels == block.out_channels:
            # The repr of a stochastic join has the block's own drop rate, which does not matter in evaluation mode.
            children = tuple((key, type(child) if child is block.join else repr(child)) for key, child in block.named_children())
            tensors = tuple((key, tensor.shape) for key, tensor in _tensors(block).items())
            alike.setdefault((type(block), shapes[name], children, tensors), []).append(name)
    return tuple(tuple(group) for group in alike.values() if len(group) > 1)


def _tensors(block: Block) -> dict[str, Tensor]:
    return dict(block.named_parameters()) | dict(block.named_buffers())


def _reordered_tensors(blocks: dict[str, Block], order: list[int]) -> dict[str, Tensor]:
    """Return the tensors of moved blocks, by their names in the network."""
    names = list(blocks)
    moved = [(names[place], blocks[names[number]]) for place, number in enumerate(order) if place != number]
    return {f"{name}.{key}": tensor for name, block in moved for key, tensor in _tensors(block).items()}
