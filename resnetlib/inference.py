"""Classify images with a network, and measure its accuracy."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import replace
from itertools import islice
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import ConcatDataset, Subset

from resnetlib.config import Preprocessing, PretrainedConfig
from resnetlib.config.integers import check_count
from resnetlib.data import (
    ImageDataset,
    ImageFiles,
    LabeledImages,
    cifar10,
    evaluation_folder,
    find_images,
    is_cifar10,
    match_classes,
)
from resnetlib.deploy.fuse import OptimizedNetwork
from resnetlib.deploy.onnx_file import is_onnx
from resnetlib.deploy.onnx_model import OnnxModel
from resnetlib.disk import local_path
from resnetlib.errors import InputError, InputTypeError, prefix_errors, printable
from resnetlib.images import as_tensor, evenly_spaced, in_batches, open_image, read_ahead
from resnetlib.modules import Backbone
from resnetlib.modules.backbone import check_network
from resnetlib.modules.thread_guards import in_use
from resnetlib.predictions import Evaluation, Prediction, rank
from resnetlib.weights.catalog import pretrained_configs

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image
    from torchvision.transforms.v2 import Compose

__all__ = ["Evaluation", "Prediction", "classify", "evaluate", "transform_for"]

Network = Backbone | OptimizedNetwork
AnImage = TypeVar("AnImage", bound="str | Path | Image | Tensor | NDArray[np.uint8]")
Model = Network | OnnxModel | str | Path

_BATCH = 100  # images in a batch of `evaluate`

logger = logging.getLogger("resnetlib")


def transform_for(net: Network, *, exif: bool = True) -> "Compose":
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
    _check(net)
    preprocess = _preprocess_of(net)
    if not isinstance(preprocess, Preprocessing):
        raise InputError(f"net.preprocess must be a resnetlib.weights.Preprocessing, got {preprocess!r:.200}")
    return preprocess.transform(exif=exif)


def _preprocess_of(net: Network) -> Any:
    """Return a network's preprocessing; raise ValueError if there is none."""
    if net.preprocess is None:
        raise InputError("this network has no preprocessing: set net.preprocess to a resnetlib.weights.Preprocessing")
    return net.preprocess


@overload
def classify(  # type: ignore[overload-overlap]  # a str is a sequence of str too
    net: Model, images: "str | Path | Image", *, top: int = ..., exif: bool = ...
) -> list[Prediction]: ...
@overload
def classify(
    net: Model, images: "Tensor | NDArray[np.uint8]", *, top: int = ..., exif: bool = ...
) -> list[Prediction] | list[list[Prediction]]: ...
@overload
def classify(net: Model, images: Sequence[AnImage], *, top: int = ..., exif: bool = ...) -> list[list[Prediction]]: ...
def classify(
    net: Model,
    images: "str | Path | Image | Tensor | NDArray[np.uint8] | Sequence[AnImage]",
    *,
    top: int = 5,
    exif: bool = True,
) -> list[Prediction] | list[list[Prediction]]:
    """Predict the classes of an image, or of several.

    An image is the path of a file, a PIL image, a uint8 tensor `(C, H, W)` or a uint8 array `(H, W, C)`, of any size.

    Threads may share a network in `classify` and `evaluate`. To train it at the same time, use a copy (`copy.deepcopy`).

    Args:
        net: a network with `preprocess`, or what `optimize` returns for it, used in eval mode and returned to its own mode; an
            `OnnxModel`; or the path of an .onnx file, which is read at every call.
        images: an image, a sequence of images, or a batch: a uint8 tensor `(N, C, H, W)` or array `(N, H, W, C)`.
        top: number of predictions per image.
        exif: whether to turn files and PIL images upright by their EXIF orientation.

    Returns:
        The predictions, the most probable first: a list for an image, and a list of such lists for several.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the network has no classifier or no preprocessing, a file cannot be read, logits are not finite, or `top` is
            below 1.
        TypeError: if `net` is not a network, or `images` is neither an image nor a sequence.
        RuntimeError: if another thread analyzes the network, or puts it into training mode.

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
    if isinstance(net, OnnxModel | str | Path):
        return _exported(net).classify(images, top=top, exif=exif)
    _check_classifier(net)
    preprocess = _preprocess_of(net)
    check_count("top", top, minimum=1)
    options = {"exif": exif} if isinstance(preprocess, Preprocessing) else {}
    batches, single = in_batches(images)
    like, predictions = next(net.parameters()), list[list[Prediction]]()
    with evaluating(net):
        for batch in batches:
            x = torch.stack([preprocess(open_image(image, exif=exif), **options) for image in batch])
            predictions += rank(net(x.to(like.device, like.dtype)).float().cpu().numpy(), net.classes, top)
    return predictions[0] if single else predictions


def _check(net: object) -> None:
    """Raise TypeError for anything but a network, optimized or not."""
    if not isinstance(net, OptimizedNetwork):
        check_network(net)


def _check_classifier(net: Network) -> None:
    """Check that this is a network with a classifier."""
    _check(net)
    if net.num_classes == 0:
        raise InputError("this network has no classifier: give it one with reset_classifier, or load weights that have one")


def evaluate(
    net: Model,
    batches: "str | Path | Iterable[tuple[Tensor | NDArray[Any], Tensor | NDArray[Any]]]",
    *,
    confusion: bool = False,
) -> Evaluation:
    """Measure a network's accuracy.

    The subfolders of a folder are matched to the network's classes by name, as by `resnetlib.data.match_classes`, and some classes
    may be missing. If the network does not name its classes, the numbers of the subfolders or their alphabetical order must be
    those of the logits.

    Threads may share a network in `classify` and `evaluate`. To train it at the same time, use a copy (`copy.deepcopy`).

    Args:
        net: a network, or what `optimize` returns for it, used in eval mode and returned to its own mode; an `OnnxModel`; or the
            path of an .onnx file.
        batches: pairs of preprocessed inputs `(N, C, H, W)` and labels `(N,)`, tensors or arrays; or a folder: CIFAR-10's, or one
            with a subfolder per class, by itself or in val/ or test/.
        confusion: whether to compute the confusion matrix.

    Returns:
        The accuracy and the loss over all images.

    Raises:
        ValueError: if the network has no classifier, there are no images, a label has no logit, logits are NaN or infinite, inputs
            are integers or look like pixels that `net.preprocess` would have normalized, a subfolder is none of the network's
            classes, or a data loader's data set has the network's classes in another order.
        FileNotFoundError: if there is no such folder, or it holds no images.
        TypeError: if `net` is not a network.
        RuntimeError: if another thread analyzes the network, or puts it into training mode.
    """
    if isinstance(net, OnnxModel | str | Path):
        net = _exported(net)
    else:
        _check_classifier(net)
    if isinstance(batches, str | Path):
        _, batches = read_batches(net, local_path(batches), _BATCH)
    else:
        _check_order(net, getattr(batches, "dataset", None))
    if not isinstance(batches, Iterable):
        raise InputTypeError(f"batches must be an iterable of pairs of inputs and labels, got {type(batches).__name__}")
    measured = evaluate_batches(net, batches, confusion=confusion)
    if isnan(measured.loss):
        raise InputError("the logits are not finite: check the network's weights, and its dtype, whose range may be too small")
    return measured


def evaluate_batches(net: Network | OnnxModel, batches: Iterable[Any], *, confusion: bool = False) -> Evaluation:
    """Measure a network's accuracy on batches; the loss is NaN if a logit is."""
    forward, device, steps, using = _prepare_inference(net)
    seen, right1, right5, loss, classes = 0, 0, 0, 0.0, 0
    counts = torch.zeros(0, dtype=torch.int64, device=device)
    with using:
        for x, labels in map(_pair, batches):
            _check_preprocessed(steps, x)
            labels = labels.to(device)
            logits = forward(x)
            classes = logits.shape[1]
            if (outside := labels[(labels < 0) | (labels >= classes)]).numel():
                raise InputError(f"labels must be 0 to {classes - 1}, the network's logits, got {outside[0]}")
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


def _exported(model: OnnxModel | str | Path) -> OnnxModel:
    """Return an exported network; open it if it is a path."""
    if isinstance(model, OnnxModel):
        return model
    if not is_onnx(model):
        what = f"expected a network of this library, got {type(model).__name__}"
        raise InputTypeError(f"{what}: a path must be that of an .onnx file, got {printable(model)}")
    return OnnxModel(model)


def _prepare_inference(
    net: Network | OnnxModel,
) -> tuple[Callable[[Tensor], Tensor], torch.device, object, AbstractContextManager[None]]:
    """Return a function from inputs to logits, its device, the preprocessing, and a context to use it in."""
    if isinstance(net, OnnxModel):
        model = net
        run = lambda x: torch.from_numpy(model(x.float().cpu().numpy()))  # noqa: E731
        return run, torch.device("cpu"), model.preprocessing, nullcontext()
    like = next(net.parameters())
    return lambda x: net(x.to(like.device, like.dtype)).float(), like.device, net.preprocess, evaluating(net)


def _find_labeled(data: Path, split: Literal["train", "test"], exif: bool) -> LabeledImages | ImageFiles:
    """Find the images to measure on: CIFAR-10's, or those in a folder with a subfolder per class or with val/ or test/."""
    if is_cifar10(data):
        return cifar10(data, split)
    folder, note = evaluation_folder(data, split)
    if note:
        logger.info(note)
    return find_images(folder, exif=exif)


def _label_for(net: Network | OnnxModel, found: LabeledImages | ImageFiles, data: Path) -> LabeledImages | ImageFiles:
    """Change the labels of images to those of the network; raise ValueError if the network has no such class."""
    names, count = found.classes, net.num_classes
    if net.classes is not None:
        with prefix_errors(data):
            labels = match_classes(names, net.classes, _class_ids(net))
    elif len(names) == count and not all(name.isdecimal() for name in names):
        labels = list(range(count))
    elif all(name.isdecimal() for name in names) and {int(name) for name in names} <= set(range(count)):
        labels = [int(name) for name in names]  # which is not their alphabetical order
    elif len(names) == count:
        raise InputError(
            f"{data} has numbered folders, {names[0]} to {names[-1]}, expected 0 to {count - 1}, the numbers of the logits"
        )
    else:
        raise InputError(
            f"{data} has {len(names)} classes, but the network has {count} logits, and the weights have no class names; use "
            f"weights with class names, such as a tag of `resnetlib weights list`, or name the folders 0 to {count - 1}"
        )
    if len(names) < count:
        logger.info("%s has images of %s of the network's %s classes", printable(data), len(names), count)
    classes = net.classes or tuple(map(str, range(count)))
    if isinstance(found, LabeledImages):
        return LabeledImages(found.images, torch.tensor(labels)[found.labels], classes)
    return replace(found, classes=classes, samples=tuple((path, labels[label]) for path, label in found.samples))


def read_batches(
    net: Network | OnnxModel,
    data: Path,
    batch: int,
    *,
    split: Literal["train", "test"] = "test",
    images: int = 0,
    workers: int | None = None,
    exif: bool = True,
) -> tuple[int, Iterable[tuple[Tensor, Tensor]]]:
    """Return the number of images in a folder with a subfolder per class, or of CIFAR-10, and preprocessed batches.

    With `images`, these are the first ones of CIFAR-10, or evenly spaced ones of a folder.
    """
    preprocess = net.check_preprocessing() if isinstance(net, OnnxModel) else _preprocess_of(net)
    found = _label_for(net, _find_labeled(data, split, exif), data)
    count = min(images or len(found), len(found))
    if isinstance(found, LabeledImages):
        pairs = zip(found.images[:count].split(batch), found.labels[:count].split(batch), strict=True)
        return count, ((preprocess(pixels), labels) for pixels, labels in pairs)
    dataset, chosen = ImageDataset(found, preprocess), evenly_spaced(count, len(found))

    def read() -> Iterator[tuple[Tensor, Tensor]]:
        samples = read_ahead(dataset.__getitem__, chosen, workers)
        while pairs := list(islice(samples, batch)):
            yield torch.stack([x for x, _ in pairs]), torch.tensor([label for _, label in pairs])

    return count, read()


def _class_ids(net: Network | OnnxModel) -> Sequence[str] | None:
    """Return the WordNet ids of a network's classes, or None."""
    config: PretrainedConfig | None
    if isinstance(net, OnnxModel):
        config = pretrained_configs().get(net.metadata["weights"] or "") if net.metadata else None
    else:
        config = net.pretrained_cfg
    return config.class_ids if config is not None and config.classes == net.classes else None


def _check_order(net: Network | OnnxModel, dataset: object) -> None:
    """Check that a data set and the network have their classes in the same order."""
    if isinstance(dataset, Subset | ConcatDataset):
        for part in dataset.datasets if isinstance(dataset, ConcatDataset) else [dataset.dataset]:
            _check_order(net, part)
    names = getattr(dataset, "classes", None)
    if getattr(dataset, "target_transform", None) is not None:  # it may change the labels to the network's
        return
    if not isinstance(names, list | tuple) or net.classes is None or not all(isinstance(name, str) for name in names):
        return
    labels: list[int] = []
    with suppress(InputError):  # other names
        labels = match_classes(names, net.classes, _class_ids(net))
    if labels != list(range(len(labels))):
        moved = next(i for i, label in enumerate(labels) if i != label)
        raise InputError(
            f"label {moved} is {names[moved]} in the data set, but {net.classes[moved]} in the network: give the folder of images "
            "instead of a data loader, evaluate(net, folder), to have them matched by name"
        )


def _pair(batch: object) -> tuple[Tensor, Tensor]:
    """Return inputs and int64 labels; raise ValueError if the batch is not such a pair."""
    got = f"{batch.dtype} of shape {tuple(batch.shape)}" if isinstance(batch, Tensor | np.ndarray) else type(batch).__name__
    if isinstance(batch, tuple | list) and len(batch) == 2 and all(isinstance(each, Tensor | np.ndarray) for each in batch):
        x, labels = map(as_tensor, batch)
        integers = not labels.is_floating_point() and not labels.is_complex() and labels.dtype != torch.bool
        if labels.shape == x.shape[:1] and integers:
            return x, labels.long()
        got = f"{x.dtype} of shape {tuple(x.shape)} and {labels.dtype} of shape {tuple(labels.shape)}"
    wanted = "batches must be an iterable of pairs of inputs (N, C, H, W) and integer labels (N,)"
    raise InputError(f"{wanted}; for one batch, give [(x, y)]; got {got}")


def _check_preprocessed(steps: object, x: Tensor) -> None:
    """Raise ValueError for integers, and for inputs in [0, 255] or [0, 1] if the network's preprocessing normalizes images."""
    if x.ndim != 4 or not x.numel():
        return
    what = "" if x.is_floating_point() else str(x.dtype)
    if not what and isinstance(steps, Preprocessing):
        pairs = list(zip(steps.mean, steps.std, strict=True))
        largest = 5 * max(abs(1 - m) / s for m, s in pairs)
        low, high = float(x.min()), float(x.max())
        scaled = min(-m / s for m, s in pairs) < -0.5 and 0 <= low < 0.1 and 0.9 < high <= 1  # as by ToTensor
        if (low >= 0 and largest < high <= 255) or scaled:
            what = f"{x.dtype}, from {low:g} to {high:g}"
    if what:
        advice = "floating-point inputs, as in training" if steps is None else "net.preprocess(images) of uint8 images"
        raise InputError(f"inputs are pixels that were not preprocessed ({what}): give {advice}")


@contextmanager
def evaluating(net: torch.nn.Module) -> Iterator[None]:
    """Use a network in eval mode, without gradients. Its modules return to their modes when no thread uses it any more."""
    with in_use(net, exclusive=False, training=False), torch.inference_mode():
        yield
