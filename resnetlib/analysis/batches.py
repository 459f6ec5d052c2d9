"""The images that an analysis looks at."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from resnetlib.analysis.streams import seeded
from resnetlib.modules import Backbone
from resnetlib.modules.arguments import check_count

Batch = tuple[Tensor, Tensor]
"""Inputs `(N, C, H, W)`, preprocessed, and labels `(N,)`."""

Batches = Tensor | Batch | Iterable[Tensor | Batch]
"""Inputs, or inputs and their labels, as a tuple or list; or any iterable of such batches, a `DataLoader` for example."""

_INTEGERS = (torch.uint8, torch.int8, torch.uint16, torch.int16, torch.uint32, torch.int32, torch.uint64, torch.int64)
_WANTED = "batches must be tensors of images (N, C, H, W), or pairs of such and labels (N,)"


def gather_inputs(net: nn.Module, batches: Batches) -> list[Tensor]:
    """Read all batches, and lay their inputs where the network computes.

    Args:
        net: the network.
        batches: the images; labels are left out.

    Returns:
        The inputs.

    Raises:
        ValueError: if there are none, or they are no tensors of floating point numbers.
    """
    like = like_of(net)
    return [_beside(like, x) for x, _ in _read(batches)]


def gather(net: nn.Module, batches: Batches) -> list[Batch]:
    """Read all batches, and lay them where the network computes.

    Args:
        net: the network.
        batches: inputs and labels.

    Returns:
        The batches.

    Raises:
        ValueError: if there are none, inputs are no tensors of floating point numbers, or labels are missing or none of the
            network's.
    """
    check_classifier(net)
    classes, like = _classes_of(net), like_of(net)
    return [(_beside(like, x), _labels(batch, len(x), classes).to(like.device)) for x, batch in _read(batches)]


def check_classifier(net: nn.Module) -> None:
    """Raise ValueError for a network that says itself that what it gives out are no logits."""
    if getattr(net, "num_classes", None) == 0:
        raise ValueError("the network has no classifier (num_classes=0): it gives out features, to which no labels belong")


def noise_images(net: nn.Module, images: int, image_size: int, *, seed: int = 0) -> Tensor:
    """Draw images of numbers from N(0, 1), the same for every network and device.

    Args:
        net: a network, of which the first layer with `in_channels` says how many channels they have.
        images: how many.
        image_size: their height and width, in pixels.
        seed: of the numbers.

    Returns:
        The images, where the network computes.

    Raises:
        ValueError: for fewer than one image or pixel, a seed that is none, or a network without convolutions.
    """
    images, image_size = check_count("images", images, least=1), check_count("image_size", image_size, least=1)
    channels = next((int(c) for module in net.modules() if (c := getattr(module, "in_channels", None))), None)
    if channels is None:
        raise ValueError(f"{type(net).__name__} has no layer with in_channels: give images")
    return torch.randn(images, channels, image_size, image_size, generator=seeded(seed)).to(like_of(net))


def images_in(batches: list[Batch] | list[Tensor]) -> int:
    """Count images."""
    return sum(len(batch if isinstance(batch, Tensor) else batch[0]) for batch in batches)


def run(net: nn.Module, x: Tensor) -> Tensor:
    """Run a network on a copy of images; raise ValueError if it cannot, or writes into them, which others then would see."""
    copy = x.clone()
    try:
        y: Tensor = net(copy)
    except RuntimeError as error:
        if type(error) is not RuntimeError:  # of memory, for example
            raise
        raise ValueError(f"{type(net).__name__} cannot run images of shape {tuple(x.shape)}: {error}") from error
    if not torch.allclose(copy, x, rtol=0, atol=0, equal_nan=True):
        raise ValueError("the network writes into its input, and nothing can be measured twice: let it begin with a copy")
    return y


def run_finite(net: nn.Module, x: Tensor) -> Tensor:
    """Run a network; raise ValueError if what comes out is not finite, of which nothing could be measured."""
    y = run(net, x)
    if isinstance(y, Tensor) and not bool(y.isfinite().all()):
        raise ValueError("the network's output is not finite (NaN or infinite) on these images")
    return y


def _read(batches: Batches) -> list[tuple[Tensor, Tensor | Batch]]:
    """Go through the batches once; what a `DataLoader` draws is drawn anew by whoever comes next. Empty ones are left out.

    Args:
        batches: the images.

    Returns:
        Each batch, behind its images.

    Raises:
        ValueError: if there are no images.
    """
    with torch.random.fork_rng(devices=[]):
        listed = [(_images(batch), batch) for batch in _listed(batches)]
    if not any(len(x) for x, _ in listed):
        raise ValueError("there are no images: the batches are empty (an iterator that was used up gives nothing a second time)")
    return [(x, batch) for x, batch in listed if len(x)]


def _listed(batches: Batches) -> Iterable[Tensor | Batch]:
    if isinstance(batches, Tensor) or _is_batch(batches):
        return [batches]  # type: ignore[list-item] # a DataLoader's batch is a list
    if not isinstance(batches, Iterable):
        raise ValueError(f"{_WANTED}, or an iterable of such batches, got {_described(batches)}")
    return batches


def _is_batch(batches: object) -> bool:
    """Return whether these are images and labels, which may be wrong ones, rather than several batches."""
    if not (isinstance(batches, tuple | list) and len(batches) > 1 and isinstance(batches[0], Tensor)):
        return False
    x, y = batches[:2]
    images = isinstance(y, Tensor) and y.ndim == x.ndim
    batch = isinstance(y, tuple | list) and len(y) > 0 and isinstance(y[0], Tensor)
    return not (images or batch)


def _images(batch: object) -> Tensor:
    x = batch[0] if isinstance(batch, tuple | list) and batch else batch
    if not isinstance(x, Tensor):
        raise ValueError(f"{_WANTED}, got {_described(batch)}")
    if not x.is_floating_point():
        raise ValueError(f"images must be floating point numbers, preprocessed as the network expects them, got {x.dtype}")
    if x.ndim < 2:
        raise ValueError(f"{_WANTED}, got {_described(x)}")
    return x


def _classes_of(net: nn.Module) -> int | None:
    """Return how many classes a network's classifier has, which may be another than it was built with; None if nobody knows."""
    classifier = net.get_classifier() if isinstance(net, Backbone) else None
    return classifier.out_features if isinstance(classifier, nn.Linear) else None


def _labels(batch: object, images: int, classes: int | None) -> Tensor:
    if isinstance(batch, tuple | list) and len(batch) > 2:
        raise ValueError(f"batches must be pairs of images (N, C, H, W) and labels (N,), and no more, got {_described(batch)}")
    if not isinstance(batch, tuple | list) or len(batch) < 2:
        raise ValueError(f"labels are missing: give pairs of images (N, C, H, W) and labels (N,), got {_described(batch)}")
    y = batch[1]
    if not isinstance(y, Tensor) or y.dtype not in _INTEGERS or y.shape != (images,):
        raise ValueError(f"labels must be a tensor of {images} integers, one for each image, got {_described(y)}")
    y = y.detach().long()
    least, largest = int(y.min()), int(y.max())
    if least < 0 or (classes is not None and largest >= classes):
        accepted = "at least 0" if classes is None else f"0 to {classes - 1}, the numbers of the network's logits"
        raise ValueError(f"labels must be {accepted}, got {least if least < 0 else largest}")
    return y


def like_of(net: nn.Module) -> Tensor:
    """Return a tensor of the device and dtype of a network.

    Args:
        net: the network.

    Returns:
        Its first parameter, if it has any.

    Raises:
        ValueError: if it is on the device meta.
    """
    like = next(net.parameters(), torch.empty(0))
    if like.is_meta:
        raise ValueError(f"{type(net).__name__} is on the device meta: it has no numbers, and nothing can be measured")
    return like


def _beside(like: Tensor, x: Tensor) -> Tensor:
    """Return images of the device and dtype of a network, and such as gradients can be asked for."""
    with torch.inference_mode(False):
        return (x.clone() if x.is_inference() else x.detach()).to(like.device, like.dtype)


def _described(value: object) -> str:
    if isinstance(value, Tensor):
        return f"a tensor of {value.dtype} of shape {tuple(value.shape)}"
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {', '.join(type(item).__name__ for item in value) or 'nothing'}"
    return type(value).__name__
