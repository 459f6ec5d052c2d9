"""The results of `classify` and `evaluate`."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from resnetlib.errors import InputError

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

    The names of the classes are ignored if they are not as many as the logits. Logits of -inf, of classes that are ruled out, have
    probability 0; raise ValueError for images whose largest logit is NaN or infinite.
    """
    largest = logits.max(1, keepdims=True)
    if not np.isfinite(largest).all():
        raise InputError(
            f"the logits are not finite, the largest is {largest[~np.isfinite(largest)][0]}: check the network's weights, and its "
            "dtype, whose range may be too small"
        )
    shares = np.exp(logits - largest)
    shares /= shares.sum(1, keepdims=True)
    if classes is None or len(classes) != logits.shape[1]:
        classes = tuple(map(str, range(logits.shape[1])))
    order = np.argsort(-shares, 1, kind="stable")[:, :top]
    return [[Prediction(int(i), classes[i], float(row[i])) for i in best] for row, best in zip(shares, order, strict=True)]
