"""The images that an analysis looks at."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

Batch = tuple[Tensor, Tensor]
"""Inputs `(N, C, H, W)`, preprocessed, and labels `(N,)`."""

Batches = Tensor | Batch | Iterable[Tensor | Batch]
"""Inputs, or inputs and their labels, as a tuple or list; or any iterable of such batches, a `DataLoader` for example."""


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
    with torch.inference_mode(False):
        inputs = [(batch if isinstance(batch, Tensor) else batch[0]) for batch in _read(batches)]
        inputs = [(x.clone() if x.is_inference() else x.detach()).to(like.device, like.dtype) for x in inputs if len(x)]
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
    if getattr(net, "num_classes", None) == 0:
        raise ValueError("the network has no classifier (num_classes=0), and labels mean nothing to it")
    listed = _read(batches)
    if any(isinstance(batch, Tensor) or len(batch) != 2 for batch in listed):
        raise ValueError("labels are missing: give pairs of inputs (N, C, H, W) and labels (N,)")
    inputs = gather_inputs(net, listed)
    labels = [y.detach().to(x.device) for x, y in zip(inputs, (batch[1] for batch in listed if len(batch[0])), strict=True)]
    if any(y.is_floating_point() or y.is_complex() or y.dtype == torch.bool for y in labels):
        raise ValueError(f"labels must be integers, got {labels[0].dtype}")
    labels = [y.long() for y in labels]
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


def run_finite(net: nn.Module, x: Tensor) -> Tensor:
    """Run a network; raise ValueError if what comes out is not finite, of which nothing could be measured."""
    y: Tensor = net(x)
    if isinstance(y, Tensor) and not bool(y.isfinite().all()):
        raise ValueError("the network's output is not finite (NaN or infinite) on these images")
    return y


def _read(batches: Batches) -> list[Tensor | Batch]:
    """Go through the batches once; what a `DataLoader` draws is drawn anew by whoever comes next."""
    with torch.random.fork_rng(devices=[]):
        return list(_listed(batches))


def _listed(batches: Batches) -> Iterable[Tensor | Batch]:
    if isinstance(batches, Tensor):
        return [batches]
    if isinstance(batches, tuple | list) and len(batches) == 2:  # a DataLoader's batch is a list
        x, y = batches
        if isinstance(x, Tensor) and isinstance(y, Tensor) and y.ndim == 1:
            return [(x, y)]
    return batches
