"""The images that an analysis looks at."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

Batch = tuple[Tensor, Tensor]
"""Inputs `(N, C, H, W)`, preprocessed, and labels `(N,)`."""

Batches = Tensor | Batch | Iterable[Tensor | Batch]
"""Inputs, or inputs and their labels; or any iterable of such batches, a `DataLoader` for example."""


def gather_inputs(net: nn.Module, batches: Batches) -> list[Tensor]:
    """Read all batches, and lay their inputs where the network computes.

    Args:
        net: the network.
        batches: the images; labels are left out.

    Returns:
        The inputs.

    Raises:
        ValueError: if there are none.
    """
    like = next(net.parameters(), torch.empty(0))
    inputs = [(batch if isinstance(batch, Tensor) else batch[0]) for batch in _listed(batches)]
    inputs = [x.detach().to(like.device, like.dtype) for x in inputs if len(x)]
    if not inputs:
        raise ValueError("there are no images: the batches are empty (an iterator that was used up gives nothing a second time)")
    return inputs


def gather(net: nn.Module, batches: Batches) -> list[Batch]:
    """Read all batches, and lay them where the network computes.

    Args:
        net: the network.
        batches: inputs and labels.

    Returns:
        The batches.

    Raises:
        ValueError: if there are none, or labels are missing or none of the network's.
    """
    listed = list(_listed(batches))
    if any(isinstance(batch, Tensor) or len(batch) != 2 for batch in listed):
        raise ValueError("labels are missing: give pairs of inputs (N, C, H, W) and labels (N,)")
    inputs = gather_inputs(net, listed)
    labels = [y.detach().to(x.device) for x, y in zip(inputs, (batch[1] for batch in listed if len(batch[0])), strict=True)]
    classes = getattr(net, "num_classes", None)
    for x, y in zip(inputs, labels, strict=True):
        if y.shape != x.shape[:1]:
            raise ValueError(f"labels must be of shape {tuple(x.shape[:1])}, one for each image, got {tuple(y.shape)}")
        if int(y.min()) < 0 or (classes is not None and int(y.max()) >= classes):
            accepted = "at least 0" if classes is None else f"0 to {classes - 1}, the network's logits"
            raise ValueError(f"labels must be {accepted}, got {sorted(set(y.tolist()))}")
    return list(zip(inputs, labels, strict=True))


def images_in(batches: list[Batch] | list[Tensor]) -> int:
    """Count images."""
    return sum(len(batch if isinstance(batch, Tensor) else batch[0]) for batch in batches)


def _listed(batches: Batches) -> Iterable[Tensor | Batch]:
    if isinstance(batches, Tensor):
        return [batches]
    if isinstance(batches, tuple) and len(batches) == 2:
        x, y = batches
        if isinstance(x, Tensor) and isinstance(y, Tensor) and y.ndim == 1:
            return [(x, y)]
    return batches
