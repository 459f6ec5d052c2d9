"""What a trained network is for: naming what is in images, and counting how often it is right."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from resnetlib.config import Preprocessing
from resnetlib.modules import Backbone
from resnetlib.modules.arguments import check_count
from resnetlib.modules.backbone import check_network
from resnetlib.modules.threads import in_use

if TYPE_CHECKING:
    from PIL.Image import Image
    from torchvision.transforms.v2 import Compose

__all__ = ["Evaluation", "Prediction", "classify", "evaluate", "transform_for"]

_AT_ONCE = 32
"""Images that are classified together."""

_UNKNOWN = "this network does not know its preprocessing: set net.preprocess to a resnetlib.weights.Preprocessing"


@dataclass(frozen=True, slots=True)
class Prediction:
    """A class, and how probable the network holds it to be.

    Args:
        label: the number of the logit.
        name: of the class; the number again where names are not known.
        probability: from 0 to 1.
    """

    label: int
    name: str
    probability: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How often a network was right.

    Args:
        images: how many it saw.
        top1: percent whose label was its first guess.
        top5: percent whose label was among its first five guesses (or all, where there are fewer classes).
        loss: mean cross-entropy, in nats.
        confusion: `(classes, classes)`, how many images of each class (row) had each class as first guess (column); None where it
            was not counted.
    """

    images: int
    top1: float
    top5: float
    loss: float
    confusion: Tensor | None = field(default=None, compare=False, repr=False)


def transform_for(net: Backbone) -> "Compose":
    """Return a network's preprocessing as a torchvision v2 transform, for a data set or to be taken apart.

    Args:
        net: a network with `preprocess`.

    Returns:
        The transform by which the weights were evaluated: from a PIL image, or uint8 `(..., C, H, W)`, to float32 `(..., C, size,
        size)`.

    Raises:
        ValueError: if it is not known how to preprocess for the network.
        TypeError: for something that is no network.

    Example:
        >>> from resnetlib import create_model
        >>> transform_for(create_model("cifar_resnet20.resnetlib_c10")).transforms[-2]
        Normalize(mean=[0.4914, 0.4822, 0.4465], std=[0.247, 0.2435, 0.2616], inplace=False)
    """
    check_network(net)
    if not isinstance(net.preprocess, Preprocessing):
        raise ValueError(f"{_UNKNOWN}, got {net.preprocess!r}")
    return net.preprocess.transform()


def classify(net: Backbone, images: Sequence["Image | Tensor"], *, top: int = 5) -> list[list[Prediction]]:
    """Name what is in images.

    Threads may share a network here and in `evaluate`, but not with one that trains it: that one needs a copy (`copy.deepcopy`).

    Args:
        net: a network with `preprocess`; evaluated in eval mode, and given back in its own.
        images: PIL images or uint8 tensors `(3, H, W)`, of any sizes.
        top: guesses for each image.

    Returns:
        For each image its guesses, the most probable first.

    Raises:
        ValueError: if the network has no classifier, or it is not known how to preprocess for it, or `top` is below 1.
        TypeError: for something that is no network.
        RuntimeError: if another thread analyses the network, or puts it into training mode.

    Example:
        >>> import torch
        >>> from resnetlib import create_model
        >>> net = create_model("cifar_resnet20", weights="resnetlib_c10")
        >>> [[guess]] = classify(net, [torch.zeros(3, 32, 32, dtype=torch.uint8)], top=1)
        >>> guess.name in net.classes
        True
    """
    check_network(net)
    if net.preprocess is None:
        raise ValueError(_UNKNOWN)
    if net.num_classes == 0:
        raise ValueError("this network has no classifier: give it one with reset_classifier, or load weights that have one")
    top = check_count("top", top, least=1)
    if isinstance(images, str | bytes | Mapping) or not (hasattr(images, "__len__") and hasattr(images, "__getitem__")):
        raise TypeError(f"images must be a sequence of PIL images or uint8 tensors, got {type(images).__name__}")
    like = next(net.parameters())
    guesses = []
    names = net.classes or [str(i) for i in range(net.num_classes)]
    with evaluating(net):
        for start in range(0, len(images), _AT_ONCE):
            inputs = [net.preprocess(image) for image in images[start : start + _AT_ONCE]]
            alike = len({x.shape for x in inputs}) == 1
            for x in [torch.stack(inputs)] if alike else [x[None] for x in inputs]:
                ranked = net(x.to(like.device, like.dtype)).float().softmax(1).topk(min(top, net.num_classes))
                for shares, labels in zip(ranked.values.tolist(), ranked.indices.tolist(), strict=True):
                    guesses.append([Prediction(i, names[i], share) for i, share in zip(labels, shares, strict=True)])
    return guesses


def evaluate(net: Backbone, batches: Iterable[tuple[Tensor, Tensor]], *, confusion: bool = False) -> Evaluation:
    """Measure a network's accuracy.

    Threads may share a network here and in `classify`, but not with one that trains it: that one needs a copy (`copy.deepcopy`).

    Args:
        net: the network; evaluated in eval mode, and given back in its own.
        batches: pairs of inputs `(N, C, H, W)`, preprocessed, and labels `(N,)`.
        confusion: whether to count which classes are taken for which.

    Returns:
        The figures over all images.

    Raises:
        ValueError: if there are no images, or a label for which there is no logit.
        TypeError: for something that is no network.
        RuntimeError: if another thread analyses the network, or puts it into training mode.
    """
    check_network(net)
    if not isinstance(batches, Iterable):
        raise TypeError(f"batches must be an iterable of pairs of inputs and labels, got {type(batches).__name__}")
    like = next(net.parameters())
    seen, right1, right5, loss, classes = 0, 0, 0, 0.0, net.num_classes
    counts = torch.zeros(classes * classes if confusion else 0, dtype=torch.int64, device=like.device)
    with evaluating(net):
        for x, labels in map(_pair, batches):
            labels = labels.to(like.device)
            if not bool(((labels >= 0) & (labels < net.num_classes)).all()):
                raise ValueError(f"labels must be 0 to {net.num_classes - 1}, the network's logits, got {labels.unique().tolist()}")
            logits = net(x.to(like.device, like.dtype)).float()
            guesses = logits.topk(min(5, classes)).indices
            hits = guesses == labels[:, None]
            if confusion:
                counts += torch.bincount(labels * classes + guesses[:, 0], minlength=classes * classes)
            seen += len(labels)
            right1 += int(hits[:, 0].sum())
            right5 += int(hits.sum())
            loss += float(functional.cross_entropy(logits, labels, reduction="sum"))
    if not seen:
        raise ValueError("there are no images to evaluate on")
    table = counts.view(classes, classes).cpu() if confusion else None
    return Evaluation(seen, 100 * right1 / seen, 100 * right5 / seen, loss / seen, table)


def _pair(batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Raise ValueError unless this is inputs and their labels."""
    if isinstance(batch, tuple | list) and len(batch) == 2 and all(isinstance(each, Tensor) for each in batch):
        x, labels = batch
        integers = not labels.is_floating_point() and not labels.is_complex() and labels.dtype != torch.bool
        if labels.shape == x.shape[:1] and integers:
            return x, labels.long()
    raise ValueError("batches must be pairs of inputs (N, C, H, W) and labels (N,), tensors of as many integers")


@contextmanager
def evaluating(net: torch.nn.Module) -> Iterator[None]:
    """Put a network into eval mode, without gradients; once no thread evaluates it any more, every module is in its own mode."""
    with in_use(net, alone=False, training=False), torch.inference_mode():
        yield
