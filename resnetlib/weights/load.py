"""Putting weights into a network: every tensor in its place, or one error that says all that is wrong."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from resnetlib.modules import Backbone
from resnetlib.weights.dialects import ENDS, Recognised, check_spec, nearest_name, recognise
from resnetlib.weights.dialects.wrappers import check_plain

_LINE = 64
"""Bytes to which PyTorch aligns its own tensors on the CPU."""


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
    if not isinstance(net, Backbone):
        raise TypeError(f"net must be a network of this library, got {type(net).__name__}; of a wrapper, give net.module")
    if not isinstance(state, Mapping):
        raise TypeError(f"state must be a dict of names and tensors, got {type(state).__name__}")
    for key, tensor in state.items():
        check_plain(key, tensor)
    if any(tensor.is_meta for tensor in net.parameters()):
        raise ValueError("this network is on the meta device, which holds shapes alone: build it on another, or use create_model")
    found = recognise(state, dialect=dialect)
    check_spec(found, net.spec, source=source)
    given, own = dict(found.state), net.state_dict()
    if keep_head:
        head = net.classifier_name + "."
        given = {key: tensor for key, tensor in given.items() if not key.startswith(head)}
        given |= {key: tensor for key, tensor in own.items() if key.startswith(head)}
    given = fitting(net, found, given, source=source)
    check_finite(given, source)
    net.load_state_dict(given)


def adopt_state(net: Backbone, found: Recognised, *, dtype: torch.dtype | None = None, source: str, trusted: bool = False) -> None:
    """Make weights a network's own, without copying them where they are already as they must be.

    Args:
        net: a network on the meta device.
        found: the weights; no two of them share memory.
        dtype: of the floating tensors; torch's default dtype by default.
        source: what to call the weights in an error.
        trusted: whether the numbers are known to be finite.

    Raises:
        ValueError: if a name is missing or unexpected, a shape differs, or a number is not finite; all of it in one error.
    """
    given = fitting(net, found, found.state, source=source)
    floating = dtype or torch.get_default_dtype()
    given = {key: tensor.to(floating) if tensor.is_floating_point() else tensor for key, tensor in given.items()}
    if not trusted:
        check_finite(given, source)
    for prefix, module in net.named_modules():
        path = f"{prefix}." if prefix else ""
        for name, parameter in module._parameters.items():  # register_parameter is slow, and networks have many
            if parameter is not None:
                module._parameters[name] = nn.Parameter(_aligned(given[path + name].contiguous()))
        for name, buffer in module._buffers.items():
            if buffer is not None:
                tensor = given[path + name].contiguous()
                module._buffers[name] = tensor if buffer.is_floating_point() else tensor.to(buffer.dtype)


def _aligned(tensor: Tensor) -> Tensor:
    """Copy a matrix that lies askew in its file: products with it may be rounded in another way, and would not be a peer's."""
    return tensor.clone() if tensor.ndim == 2 and tensor.data_ptr() % _LINE else tensor


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


def fitting(net: Backbone, found: Recognised, given: Mapping[str, Tensor], *, source: str) -> dict[str, Tensor]:
    """Return a tensor for each of a network's names.

    Args:
        net: the network.
        found: the weights as they were recognised.
        given: those of them that the network shall have.
        source: what to call the weights in an error.

    Returns:
        Names and tensors, with counters of batches that begin at 0 where there are none.

    Raises:
        ValueError: if a name is missing or unexpected, or a shape differs; all of it in one error.
    """
    own = net.state_dict()
    given = dict(given)
    for key, tensor in own.items():
        if key.endswith("num_batches_tracked") and key not in given:
            given[key] = torch.zeros(tensor.shape, dtype=tensor.dtype, device="cpu")
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
    return given


def check_finite(state: Mapping[str, Tensor], source: str) -> None:
    """Raise ValueError for numbers that are not finite.

    Args:
        state: names and tensors.
        source: what to call the weights in an error.

    Raises:
        ValueError: with the names of the tensors that hold them.
    """
    broken = [key for key, tensor in state.items() if not _is_finite(tensor)]
    if broken:
        raise ValueError(f"{source} hold numbers that are not finite:\n" + "\n".join(_listed("with NaN or infinity", broken)))


def _is_finite(tensor: Tensor) -> bool:
    """Tell whether all numbers are finite; the sum, which is fast, is finite only then."""
    if tensor.is_floating_point() and tensor.itemsize == 1:
        tensor = tensor.float()  # the smallest floats cannot be added up
    return not tensor.is_floating_point() or bool(tensor.sum().isfinite()) or bool(tensor.isfinite().all())


def _listed(what: str, names: list[str], shown: int = 8) -> list[str]:
    """Return a line for some names of many, or none."""
    if not names:
        return []
    more = f" ... and {len(names) - shown} more" if len(names) > shown else ""
    return [f"  {len(names)} {what}: {', '.join(names[:shown])}{more}"]
