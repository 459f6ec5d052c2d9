"""Check and convert the arguments of analyses: batches of images and labels, numbers, seeds."""

from collections.abc import Iterable, Sequence
from math import inf, isfinite
from typing import SupportsFloat, SupportsIndex, TypeVar

import torch
from torch import Tensor, nn

from resnetlib.config.integers import as_integer, check_count, check_seed
from resnetlib.errors import InputError
from resnetlib.modules import Backbone
from resnetlib.modules.backbone import unwrapped

T = TypeVar("T")

Batch = tuple[Tensor, Tensor]
"""Preprocessed images `(N, C, H, W)` and labels `(N,)`."""

Batches = Tensor | Batch | Iterable[Tensor | Batch]
"""Images, or a pair of images and labels, or an iterable of such batches, for example a `DataLoader`."""

_INTEGERS = (torch.uint8, torch.int8, torch.uint16, torch.int16, torch.uint32, torch.int32, torch.uint64, torch.int64)
_WANTED = "batches must be tensors of images (N, C, H, W), or pairs of images and labels (N,)"


def gather_inputs(net: nn.Module, batches: Batches) -> list[Tensor]:
    """Return the images of all batches in the network's device and dtype, without labels."""
    like = first_parameter(net)
    return [_images_like(like, x) for x, _ in _read(batches)]


def gather(net: nn.Module, batches: Batches, labels: Tensor | None = None) -> tuple[nn.Module, list[Batch]]:
    """Return the network without wrappers, and the batches on its device."""
    net = unwrapped(net)
    check_classifier(net)
    if labels is not None:
        if not isinstance(batches, Tensor):
            raise InputError("separate labels need batches that are one tensor of images: give pairs of images and labels instead")
        batches = [(batches, labels)]
    classifier = net.get_classifier() if isinstance(net, Backbone) else None  # it may have been replaced
    classes = classifier.out_features if isinstance(classifier, nn.Linear) else None
    like = first_parameter(net)
    return net, [(_images_like(like, x), _labels(batch, len(x), classes).to(like.device)) for x, batch in _read(batches)]


def check_classifier(net: nn.Module) -> None:
    """Raise ValueError if the network has no classifier."""
    if getattr(net, "num_classes", None) == 0:
        raise InputError("the network has no classifier (num_classes=0): it returns features, but labels need logits")


def first_parameter(net: nn.Module) -> Tensor:
    """Return the first parameter, whose device and dtype inputs must have."""
    like = next(net.parameters(), torch.empty(0))
    if like.is_meta:
        raise InputError(f"{type(net).__name__} is on the meta device: its parameters have no values")
    return like


def noise_images(net: nn.Module, images: int, image_size: int, *, seed: int = 0) -> Tensor:
    """Draw images from N(0, 1), the same on every device, with the number of channels of the network's first layer."""
    images, image_size = check_count("images", images, minimum=1), check_count("image_size", image_size, minimum=1)
    channels = next((int(c) for module in net.modules() if (c := getattr(module, "in_channels", None))), None)
    if channels is None:
        raise InputError(f"{type(net).__name__} has no layer with in_channels: give images")
    return standard_normal((images, channels, image_size, image_size), seeded_generator(seed)).to(first_parameter(net))


def count_images(batches: list[Batch] | list[Tensor]) -> int:
    """Return the number of images in all batches."""
    return sum(len(batch if isinstance(batch, Tensor) else batch[0]) for batch in batches)


def _read(batches: Batches) -> list[tuple[Tensor, Tensor | Batch]]:
    """Return the images of each nonempty batch, and the batch; preserve the random state."""
    if isinstance(batches, Tensor) or _is_one_batch(batches):
        batches = [batches]  # type: ignore[list-item] # a DataLoader's batch is a list
    if not isinstance(batches, Iterable):
        raise InputError(f"{_WANTED}, or an iterable of such batches, got {_described(batches)}")
    with torch.random.fork_rng(devices=[]):  # a DataLoader draws
        read = [(x, batch) for batch in batches if len(x := _images(batch))]
    if not read:
        raise InputError("there are no images: the batches are empty (an iterator can be read only once)")
    return read


def _is_one_batch(batches: object) -> bool:
    """Return whether this is a pair of images and labels, valid or not, rather than a sequence of batches."""
    if not (isinstance(batches, tuple | list) and len(batches) > 1 and isinstance(batches[0], Tensor)):
        return False
    x, y = batches[:2]
    is_images = isinstance(y, Tensor) and y.ndim == x.ndim
    is_batch = isinstance(y, tuple | list) and len(y) > 0 and isinstance(y[0], Tensor)
    return not (is_images or is_batch)


def _images(batch: object) -> Tensor:
    x = batch[0] if isinstance(batch, tuple | list) and batch else batch
    if not isinstance(x, Tensor):
        raise InputError(f"{_WANTED}, got {_described(batch)}")
    if not x.is_floating_point():
        raise InputError(f"images must be floating point numbers, preprocessed as the network expects them, got {x.dtype}")
    if x.ndim < 2:
        raise InputError(f"{_WANTED}, got {_described(x)}")
    return x


def _images_like(like: Tensor, x: Tensor) -> Tensor:
    with torch.inference_mode(False):  # gradients may be computed with respect to the images
        return (x.clone() if x.is_inference() else x.detach()).to(like.device, like.dtype)


def _labels(batch: object, images: int, classes: int | None) -> Tensor:
    if isinstance(batch, tuple | list) and len(batch) > 2:
        raise InputError(f"batches must be pairs of images (N, C, H, W) and labels (N,), and no more, got {_described(batch)}")
    if not isinstance(batch, tuple | list) or len(batch) < 2:
        raise InputError(f"labels are missing: give pairs of images (N, C, H, W) and labels (N,), got {_described(batch)}")
    y = batch[1]
    if not isinstance(y, Tensor) or y.dtype not in _INTEGERS or y.shape != (images,):
        raise InputError(f"labels must be a tensor of {images} integers, one for each image, got {_described(y)}")
    with torch.inference_mode(False):  # the backward pass of a loss needs the labels
        y = (y.clone() if y.is_inference() else y.detach()).long()
    least, largest = int(y.min()), int(y.max())
    if least < 0 or (classes is not None and largest >= classes):
        accepted = "at least 0" if classes is None else f"0 to {classes - 1}, the numbers of the network's logits"
        raise InputError(f"labels must be {accepted}, got {least if least < 0 else largest}")
    return y


def _described(value: object) -> str:
    if isinstance(value, Tensor):
        return f"a tensor of {value.dtype} of shape {tuple(value.shape)}"
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {', '.join(type(item).__name__ for item in value) or 'nothing'}"
    return type(value).__name__


def check_numbers(name: str, numbers: Iterable[SupportsFloat], *, minimum: float = -inf, fewest: int = 1) -> tuple[float, ...]:
    """Return numbers as floats; raise ValueError if there are too few, or if one is not finite or below `minimum`."""
    given = as_tuple(numbers)
    try:
        floats = tuple(float(number) for number in given or () if not isinstance(number, bool | str))
    except (TypeError, ValueError, OverflowError, RuntimeError):
        floats = ()
    valid = all(minimum <= number and isfinite(number) for number in floats)
    if given is None or len(floats) < max(fewest, len(given)) or not valid:
        accepted = "finite numbers" if minimum == -inf else f"finite numbers of at least {minimum:g}"
        raise InputError(f"{name} must be a sequence of {accepted}, {fewest} or more, got {numbers if given is None else given!r}")
    return floats


def check_integers(
    name: str, numbers: Iterable[SupportsIndex], minimum: int, largest: float = inf, *, different: bool = True
) -> tuple[int, ...]:
    """Return integers as a tuple; raise ValueError unless there is at least one, all from `minimum` to `largest`."""
    given = as_tuple(numbers)
    found = [i for number in given or () if (i := as_integer(number)) is not None and minimum <= i <= largest]
    if not given or len(found) < len(given) or (different and len(set(found)) < len(found)):
        accepted = f"of at least {minimum}" if largest == inf else f"from {minimum} to {largest}"
        kind = "different integers" if different else "integers"
        raise InputError(f"{name} must be a sequence of {kind} {accepted}, 1 or more, got {numbers if given is None else given!r}")
    return tuple(found)


def as_tuple(values: Iterable[T]) -> tuple[T, ...] | None:
    """Return the items of an iterable, None for text and anything else."""
    try:
        return None if isinstance(values, str | bytes) else tuple(values)
    except TypeError:
        return None


def seeded_generator(seed: int) -> torch.Generator:
    """Return a generator on the CPU, so that its numbers do not depend on the device."""
    return torch.Generator().manual_seed(check_seed(seed))


def generators(seed: int, draws: int) -> list[torch.Generator]:
    """Return a generator for each draw; the first ones do not depend on the number of draws."""
    check_count("draws", draws, minimum=1)
    first = seeded_generator(seed)
    return [torch.Generator().manual_seed(int(torch.randint(2**62, (), generator=first))) for _ in range(draws)]


def standard_normal(shape: Sequence[int], generator: torch.Generator) -> Tensor:
    """Draw from N(0, 1) in fp32, whatever PyTorch's default dtype is."""
    return torch.randn(shape, generator=generator, dtype=torch.float32)


def normal_like(x: Tensor, generator: torch.Generator) -> Tensor:
    """Draw a tensor like x from N(0, 1), image by image, so that the batch size does not matter."""
    return torch.stack([standard_normal(x.shape[1:], generator) for _ in x]).to(x)
