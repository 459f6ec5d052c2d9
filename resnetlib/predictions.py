"""The results of `classify` and `evaluate`."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Prediction:
    """A predicted class.

    Args:
        label: index of the logit.
        name: name of the class; the index if the names are unknown.
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
    confusion: "Tensor | None" = field(default=None, compare=False, repr=False)


def rank(logits: "NDArray[Any]", classes: Sequence[str] | None, top: int) -> list[list[Prediction]]:
    """Return the `top` most probable classes of each image, the most probable first, from logits `(N, classes)`.

    The names of the classes are ignored if they are not as many as the logits.
    """
    shares = np.exp(logits - logits.max(1, keepdims=True))
    shares /= shares.sum(1, keepdims=True)
    if classes is None or len(classes) != logits.shape[1]:
        classes = tuple(map(str, range(logits.shape[1])))
    order = np.argsort(-shares, 1, kind="stable")[:, :top]
    return [[Prediction(int(i), classes[i], float(row[i])) for i in best] for row, best in zip(shares, order, strict=True)]
