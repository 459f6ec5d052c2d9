"""Putting weights into a network: every tensor in its place, or one error that says all that is wrong."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from resnetlib.modules import Backbone
from resnetlib.weights.dialects import Recognised, nearest_name, recognise

ENDS = {
    "resnet": ("conv1.weight", "fc.weight"),
    "preact": ("conv1.weight", "fc.weight"),
    "densenet": ("features.conv0.weight", "classifier.weight"),
}
"""The names of the first convolution and of the classifier in each family."""


def load_state(
    net: Backbone,
    state: Mapping[str, Tensor],
    *,
    keep_head: bool = False,
    dialect: str | None = None,
    source: str = "the weights",
) -> None:
    """Copy weights into a network.

    Counters of batches that are missing, as in old files, become 0. Floating tensors take the network's dtype.

    Args:
        net: the network; changed only if everything fits.
        state: names and tensors, in any known dialect.
        keep_head: leave the network's classifier as it is.
        dialect: whose names they are; None to find it out.
        source: what to call the weights in an error.

    Raises:
        ValueError: if a name is missing or unexpected, a shape differs, or a number is not finite; all of it in one error.
    """
    found = recognise(state, dialect=dialect)
    given, own = dict(found.state), net.state_dict()
    if keep_head:
        head = net.classifier_name + "."
        given = {key: tensor for key, tensor in given.items() if not key.startswith(head)}
        given |= {key: tensor for key, tensor in own.items() if key.startswith(head)}
    net.load_state_dict(_fitting(net, found, given, source))


def adopt_state(
    net: Backbone, found: Recognised, *, dtype: torch.dtype | None = None, source: str, check_finite: bool = True
) -> None:
    """Make weights a network's own, without copying them where they are already as they must be.

    Args:
        net: a network on the meta device.
        found: the weights.
        dtype: of the floating tensors; torch's default dtype by default.
        source: what to call the weights in an error.
        check_finite: whether to look for numbers that are not finite.

    Raises:
        ValueError: if a name is missing or unexpected, a shape differs, or a number is not finite; all of it in one error.
    """
    given = _fitting(net, found, found.state, source, check_finite=check_finite)
    floating, taken = dtype or torch.get_default_dtype(), set[int]()
    for prefix, module in net.named_modules():
        path = f"{prefix}." if prefix else ""
        for name, _ in list(module.named_parameters(recurse=False)):
            tensor = _own(given[path + name].to(floating), taken)
            module.register_parameter(name, nn.Parameter(tensor))
        for name, buffer in list(module.named_buffers(recurse=False)):
            tensor = _own(given[path + name].to(floating if buffer.is_floating_point() else buffer.dtype), taken)
            module.register_buffer(name, tensor)


def classes_in(found: Recognised) -> int:
    """Count the classes that weights were trained for.

    Args:
        found: the weights.

    Returns:
        The number of logits; 0 if there is no classifier.

    Raises:
        ValueError: if the classifier is no matrix.
    """
    weight = found.state.get(ENDS[found.family][1])
    if weight is None:
        return 0
    if weight.ndim != 2 or not len(weight):
        raise ValueError(f"the classifier must be a matrix (classes, features), got {tuple(weight.shape)}")
    return weight.shape[0]


def channels_in(found: Recognised) -> int:
    """Count the channels of the images that weights were trained for.

    Args:
        found: the weights.

    Returns:
        The number of channels; 3 where there is no first convolution.
    """
    weight = found.state.get(ENDS[found.family][0])
    return weight.shape[1] if weight is not None and weight.ndim == 4 else 3


def _fitting(
    net: Backbone, found: Recognised, given: Mapping[str, Tensor], source: str, *, check_finite: bool = True
) -> dict[str, Tensor]:
    """Return a tensor for each of a network's names, or raise the one error."""
    own = net.state_dict()
    given = dict(given)
    for key, tensor in own.items():
        if key.endswith("num_batches_tracked") and key not in given:
            given[key] = torch.zeros(tensor.shape, dtype=tensor.dtype)
    both = [key for key in own if key in given]
    problems = [
        *_listed("missing", [key for key in own if key not in given]),
        *_listed("unexpected", [*found.unknown, *(key for key in given if key not in own)]),
        *_listed(
            "of another shape",
            [f"{key} {tuple(given[key].shape)}, not {tuple(own[key].shape)}" for key in both if given[key].shape != own[key].shape],
        ),
        *_listed(
            "no floating numbers",
            [f"{key} ({given[key].dtype})" for key in both if own[key].is_floating_point() and not given[key].is_floating_point()],
        ),
    ]
    if problems:
        name = nearest_name(found)
        hint = [f"These names and shapes are a {name}'s."] if name else []
        raise ValueError("\n".join([f"{source} do not fit this {type(net).__name__}:", *problems, *hint]))
    if check_finite and (broken := [key for key in both if not _is_finite(given[key])]):
        raise ValueError(f"{source} hold numbers that are not finite:\n" + "\n".join(_listed("with NaN or infinity", broken)))
    return given


def _is_finite(tensor: Tensor) -> bool:
    """Tell whether all numbers are finite; the sum, which is fast, is finite only then."""
    return not tensor.is_floating_point() or bool(tensor.sum().isfinite()) or bool(tensor.isfinite().all())


def _own(tensor: Tensor, taken: set[int]) -> Tensor:
    """Return a tensor that shares its numbers with none that was taken before, and has them in order."""
    tensor = tensor.detach().contiguous()
    if tensor.numel() and tensor.data_ptr() in taken:
        tensor = tensor.clone()
    taken.add(tensor.data_ptr())
    return tensor


def _listed(what: str, names: list[str], shown: int = 8) -> list[str]:
    """Return a line for some names of many, or none."""
    if not names:
        return []
    more = f" ... and {len(names) - shown} more" if len(names) > shown else ""
    return [f"  {len(names)} {what}: {', '.join(names[:shown])}{more}"]
