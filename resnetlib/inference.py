"""Classify images with a network, and measure its accuracy."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, overload

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from resnetlib.config import MEAN_STD, Preprocessing
from resnetlib.data import read_image
from resnetlib.errors import InputError, InputTypeError
from resnetlib.modules import Backbone
from resnetlib.modules.arguments import check_count
from resnetlib.modules.backbone import check_network
from resnetlib.modules.threads import in_use

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image
    from torchvision.transforms.v2 import Compose

__all__ = ["Evaluation", "Prediction", "classify", "evaluate", "transform_for"]

AnImage = TypeVar("AnImage", bound="str | Path | Image | Tensor | NDArray[np.uint8]")

_BATCH = 32
"""Images in a batch of `classify`."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """A predicted class.

    Args:
        label: index of the logit.
        name: name of the class; the index if `net.classes` is None.
        probability: softmax, from 0 to 1.
    """

    label: int
    name: str
    probability: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A network's accuracy.

    Args:
        images: number of images.
        top1: accuracy, in percent.
        top5: percentage of images with the label among the five largest logits.
        loss: mean cross-entropy, in nats.
        confusion: `(classes, classes)`, number of images of each class (row) predicted as each class (column), or None.
    """

    images: int
    top1: float
    top5: float
    loss: float
    confusion: Tensor | None = field(default=None, compare=False, repr=False)


def transform_for(net: Backbone, *, exif: bool = True) -> "Compose":
    """Return a network's preprocessing as a torchvision v2 transform, for a data set.

    Args:
        net: a network with `preprocess`.
        exif: whether to turn PIL images upright by their EXIF orientation.

    Returns:
        The transform from a PIL image, or uint8 `(..., C, H, W)`, to float32 `(..., C, size, size)`.

    Example:
        >>> from resnetlib import create_model
        >>> transform_for(create_model("cifar_resnet20.resnetlib_c10")).transforms[-2]
        Normalize(mean=[0.4914, 0.4822, 0.4465], std=[0.247, 0.2435, 0.2616], inplace=False)
    """
    check_network(net)
    if not isinstance(net.preprocess, Preprocessing):
        what = "this network does not know its preprocessing: set net.preprocess to a resnetlib.weights.Preprocessing"
        raise InputError(f"{what}, got {net.preprocess!r}")
    return net.preprocess.transform(exif=exif)


@overload
def classify(  # type: ignore[overload-overlap]  # a str is a sequence of str too
    net: Backbone, images: "str | Path | Image", *, top: int = ..., exif: bool = ...
) -> list[Prediction]: ...
@overload
def classify(
    net: Backbone, images: "Tensor | NDArray[np.uint8]", *, top: int = ..., exif: bool = ...
) -> list[Prediction] | list[list[Prediction]]: ...
@overload
def classify(net: Backbone, images: Sequence[AnImage], *, top: int = ..., exif: bool = ...) -> list[list[Prediction]]: ...
def classify(
    net: Backbone,
    images: "str | Path | Image | Tensor | NDArray[np.uint8] | Sequence[AnImage]",
    *,
    top: int = 5,
    exif: bool = True,
) -> list[Prediction] | list[list[Prediction]]:
    """Predict the classes of an image, or of several.

    An image is the path of a file, a PIL image, a uint8 tensor `(C, H, W)` or a uint8 array `(H, W, C)`, of any size.

    Threads may share a network in `classify` and `evaluate`. To train it at the same time, use a copy (`copy.deepcopy`).

    Args:
        net: a network with `preprocess`; used in eval mode, and returned to its own mode.
        images: an image, a sequence of images, or a batch: a uint8 tensor `(N, C, H, W)` or array `(N, H, W, C)`.
        top: number of predictions per image.
        exif: whether to turn files and PIL images upright by their EXIF orientation.

    Returns:
        The predictions, the most probable first: a list for an image, and a list of such lists for several.

    Raises:
        ValueError: if the network has no classifier or no preprocessing, a file cannot be read, or `top` is below 1.
        TypeError: if `net` is not a network, or `images` is neither an image nor a sequence.
        RuntimeError: if another thread analyses the network, or puts it into training mode.

    Example:
        >>> import torch
        >>> from resnetlib import create_model
        >>> net = create_model("cifar_resnet20", weights="resnetlib_c10")
        >>> [prediction] = classify(net, torch.zeros(3, 32, 32, dtype=torch.uint8), top=1)
        >>> prediction.name in net.classes
        True
        >>> len(classify(net, [torch.zeros(3, 40, 30, dtype=torch.uint8), torch.zeros(3, 32, 32, dtype=torch.uint8)]))
        2
    """
    check_network(net)
    preprocess = net.preprocess
    if preprocess is None:
        raise InputError("this network has no preprocessing: set net.preprocess to a resnetlib.weights.Preprocessing")
    if net.num_classes == 0:
        raise InputError("this network has no classifier: give it one with reset_classifier, or load weights that have one")
    check_count("top", top, least=1)
    if isinstance(images, str | Path) or hasattr(images, "convert") or getattr(images, "ndim", 4) < 4:
        return classify(net, [images], top=top, exif=exif)[0]  # type: ignore[type-var]
    if isinstance(images, bytes | Mapping) or not (hasattr(images, "__len__") and hasattr(images, "__getitem__")):
        raise InputTypeError(f"images must be an image or a sequence of images, got {type(images).__name__}")
    like, predictions = next(net.parameters()), []
    with evaluating(net):
        for start in range(0, len(images), _BATCH):
            x = torch.stack([_as_input(preprocess, image, exif) for image in images[start : start + _BATCH]])
            logits = net(x.to(like.device, like.dtype)).float()
            names = net.classes or ()
            if len(names) != logits.shape[1]:
                names = tuple(map(str, range(logits.shape[1])))
            ranked = logits.softmax(1).topk(min(top, logits.shape[1]))
            for shares, labels in zip(ranked.values.tolist(), ranked.indices.tolist(), strict=True):
                predictions.append([Prediction(i, names[i], share) for i, share in zip(labels, shares, strict=True)])
    return predictions


def _as_input(preprocess: Callable[..., Tensor], image: object, exif: bool) -> Tensor:
    """Return a network's input for an image of any kind."""
    if isinstance(image, str | Path):
        image = read_image(image, exif=exif)
    elif isinstance(image, np.ndarray):
        from PIL import Image

        what = f"{image.dtype} of shape {image.shape}"
        try:
            image = Image.fromarray(image)
        except TypeError as error:
            raise InputError(f"an array must be a uint8 image (H, W) or (H, W, 3), got {what}") from error
    if isinstance(preprocess, Preprocessing):
        return preprocess(image, exif=exif)  # type: ignore[arg-type]
    return preprocess(image)


def evaluate(net: Backbone, batches: Iterable[tuple[Tensor, Tensor]], *, confusion: bool = False) -> Evaluation:
    """Measure a network's accuracy.

    Threads may share a network in `classify` and `evaluate`. To train it at the same time, use a copy (`copy.deepcopy`).

    Args:
        net: the network; used in eval mode, and returned to its own mode.
        batches: pairs of preprocessed inputs `(N, C, H, W)` and labels `(N,)`.
        confusion: whether to compute the confusion matrix.

    Returns:
        The accuracy and the loss over all images.

    Raises:
        ValueError: if there are no images, a label has no logit, or inputs are plainly pixels that were not preprocessed.
        TypeError: if `net` is not a network.
        RuntimeError: if another thread analyses the network, or puts it into training mode.
    """
    check_network(net)
    if not isinstance(batches, Iterable):
        raise InputTypeError(f"batches must be an iterable of pairs of inputs and labels, got {type(batches).__name__}")
    like, classes = next(net.parameters()), 0
    seen, right1, right5, loss = 0, 0, 0, 0.0
    counts = torch.zeros(0, dtype=torch.int64, device=like.device)
    with evaluating(net):
        for x, labels in map(_pair, batches):
            _check_preprocessed(net, x)
            labels = labels.to(like.device)
            logits = net(x.to(like.device, like.dtype)).float()
            classes = logits.shape[1]
            if not bool(((labels >= 0) & (labels < classes)).all()):
                raise InputError(f"labels must be 0 to {classes - 1}, the network's logits, got {labels.unique().tolist()}")
            ranked = logits.topk(min(5, classes)).indices
            hits = ranked == labels[:, None]
            if confusion:
                found = torch.bincount(labels * classes + ranked[:, 0], minlength=classes * classes)
                counts = counts + found if seen else found
            seen += len(labels)
            right1 += int(hits[:, 0].sum())
            right5 += int(hits.sum())
            loss += float(functional.cross_entropy(logits, labels, reduction="sum"))
    if not seen:
        raise InputError("there are no images to evaluate on")
    table = counts.view(classes, classes).cpu() if confusion else None
    return Evaluation(seen, 100 * right1 / seen, 100 * right5 / seen, loss / seen, table)


def _pair(batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Return inputs and int64 labels; raise ValueError if the batch is not such a pair."""
    if isinstance(batch, tuple | list) and len(batch) == 2 and all(isinstance(each, Tensor) for each in batch):
        x, labels = batch
        integers = not labels.is_floating_point() and not labels.is_complex() and labels.dtype != torch.bool
        if labels.shape == x.shape[:1] and integers:
            return x, labels.long()
    raise InputError("batches must be pairs of inputs (N, C, H, W) and labels (N,), tensors of as many integers")


def _check_preprocessed(net: Backbone, x: Tensor) -> None:
    """Raise ValueError for images whose values are those of pixels, from 0 to 255, instead of those of normalized ones."""
    if x.ndim != 4 or not x.numel():
        return
    like = net.preprocess if isinstance(net.preprocess, Preprocessing) else None
    mean, std = (like.mean, like.std) if like else MEAN_STD["imagenet"]
    largest = 5 * max(abs(1 - m) / s for m, s in zip(mean, std, strict=True))
    if not x.is_floating_point() or (bool((x >= 0).all()) and largest < float(x.max()) <= 255):
        what = f"{x.dtype}, from {float(x.min()):g} to {float(x.max()):g}"
        raise InputError(f"inputs are pixels that were not preprocessed ({what}): give net.preprocess(images) of uint8 images")


@contextmanager
def evaluating(net: torch.nn.Module) -> Iterator[None]:
    """Use a network in eval mode, without gradients. Its modules return to their own modes once no thread uses it."""
    with in_use(net, alone=False, training=False), torch.inference_mode():
        yield
