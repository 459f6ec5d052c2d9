"""How well a network does, and one that was changed."""

from collections.abc import Iterable
from math import isfinite

import torch
from torch import Tensor, nn

from resnetlib.analysis.batches import Batch, run


class Score:
    """Errors and losses, added up batch by batch where the network computes.

    Logits that are not numbers name no class, and count as errors.
    """

    def __init__(self) -> None:
        self.images = 0
        self._wrong: Tensor | float = 0.0
        self._loss: Tensor | float = 0.0

    def add(self, logits: Tensor, labels: Tensor) -> None:
        """Add a batch: logits `(N, classes)`, labels `(N,)`."""
        self.images += len(labels)
        self._wrong = self._wrong + (decided(logits) != labels).sum()
        self._loss = self._loss + loss_of(logits, labels).double()

    @property
    def error(self) -> float:
        """Share of images that are classified wrongly, in %."""
        return 100 * float(self._wrong) / self.images

    @property
    def loss(self) -> float:
        """Mean cross-entropy, in nats."""
        return float(self._loss) / self.images


def check_logits(logits: object, labels: Tensor | None = None) -> Tensor:
    """Return what a network gave out; raise ValueError unless it is logits `(N, classes)`, one for each label's class."""
    if not isinstance(logits, Tensor) or logits.ndim != 2:
        got = f"a tensor of shape {tuple(logits.shape)}" if isinstance(logits, Tensor) else type(logits).__name__
        raise ValueError(f"the network must return logits (N, classes), got {got}")
    if labels is not None and len(logits) != len(labels):
        raise ValueError(f"the network must return logits for each of {len(labels)} images, got {len(logits)}")
    if labels is not None and int(labels.max()) >= logits.shape[1]:
        raise ValueError(f"labels must be 0 to {logits.shape[1] - 1}, the numbers of the network's logits, got {int(labels.max())}")
    return logits


def as_precise(logits: Tensor) -> Tensor:
    """Return logits as numbers of 32 bits at least, as losses need them after mixed precision."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def loss_of(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the sum of the images' cross-entropies."""
    loss: Tensor = nn.functional.cross_entropy(as_precise(logits), labels, reduction="sum")
    return loss


def decided(logits: Tensor) -> Tensor:
    """Return the class that each row of logits names; -1 where one of them is not a number."""
    return logits.argmax(1).masked_fill(logits.isnan().any(1), -1)


def chance_error(classes: int) -> float:
    """Return the error of guessing, each class as often as the others, in %."""
    return 100 * (1 - 1 / classes)


def score_intact(net: nn.Module, batches: list[Batch]) -> tuple[Score, list[Tensor]]:
    """Score a network as it is, before the long work of changing it begins.

    Args:
        net: the network, in the mode that it is measured in.
        batches: images and labels, where the network computes.

    Returns:
        The score, and the logits of each batch.

    Raises:
        ValueError: if its outputs are no logits for these labels, or not finite.
    """
    score, outputs = Score(), []
    for x, y in batches:
        logits = check_logits(run(net, x), y)
        score.add(logits, y)
        outputs.append(logits)
    if not isfinite(score.loss):
        raise ValueError(f"the network's loss on these images must be a finite number, got {score.loss}")
    return score, outputs


def evaluated(net: nn.Module, batches: Iterable[Batch], tensors: dict[str, Tensor] | None = None) -> Score:
    """Score a network, perhaps with other tensors in the places of its own.

    Args:
        net: the network, in the mode that it is measured in.
        batches: images and labels, where the network computes.
        tensors: by the names of parameters and buffers.

    Returns:
        The score.
    """
    score = Score()
    for x, y in batches:
        score.add(torch.func.functional_call(net, tensors, (x,)) if tensors else net(x), y)
    return score
