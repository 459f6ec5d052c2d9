"""Load a state dict into a network, and adapt its first convolution to other input channels."""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from math import ceil
from typing import Literal

import torch
from torch import Tensor, nn

from resnetlib.config import PretrainedConfig
from resnetlib.config.integers import check_count
from resnetlib.errors import InputError, InputTypeError, prefix_errors
from resnetlib.modules import Backbone
from resnetlib.modules.backbone import check_network
from resnetlib.weights.dialects.compare import listed, name_of, state_dict_problems
from resnetlib.weights.dialects.infer import nearest_name
from resnetlib.weights.dialects.rename import RecognizedState, check_dialect, recognize_dialect
from resnetlib.weights.files import check_state, is_finite

InputRule = Literal["sum", "repeat", "zeros"] | Callable[[Tensor, int], Tensor]
"""How to adapt a first convolution to another number of input channels; a function takes the weight and this number."""

_ALIGNMENT = 64  # bytes, as PyTorch aligns its own tensors on the CPU


def load_state(
    net: Backbone,
    state: Mapping[str, Tensor],
    *,
    keep_head: bool = False,
    dialect: str | None = None,
    prefix: str | None = None,
    source: str = "the weights",
) -> None:
    """Copy a state dict into a network.

    Floating tensors are converted to the network's dtype. Missing `num_batches_tracked`, as in old files, become 0. The network's
    `pretrained_cfg` becomes empty, and `classes` None unless the classifier is kept: they described the previous weights.

    Args:
        net: the network, which is changed only if everything fits.
        state: names and tensors, in any dialect.
        keep_head: keep the network's classifier.
        dialect: of the names; None to detect it.
        prefix: of the names, such as "encoder_q", if the state dict holds several networks.
        source: name of the weights in error messages.

    Raises:
        ValueError: if names are missing or unexpected, shapes differ, or numbers are not finite; one error lists all problems.
        TypeError: if net is not a `Backbone`, or state not a mapping.
    """
    check_network(net, compiled=False)
    check_state(state)
    if any(tensor.is_meta for tensor in net.parameters()):
        raise InputError("this network is on the meta device, which holds only shapes: build it elsewhere, or use create_model")
    own = net.state_dict()
    with prefix_errors(source):
        if dialect is None and prefix is None and own.keys() == state.keys():  # whatever its classifier is made of
            dense = net.spec.family == "densenet"
            found = RecognizedState(dialects=(), family="densenet" if dense else "resnet", state=dict(state), unknown=())
        else:
            found = recognize_dialect(state, dialect=dialect, prefix=prefix)
            check_dialect(found, net.spec, source=source)
    if keep_head:
        head = net.classifier_name + "."
        body = {key: tensor for key, tensor in found.state.items() if not key.startswith(head)}
        own_head = {key: tensor for key, tensor in own.items() if key.startswith(head)}
        found = replace(found, state=body | own_head, head=())
    given = match_state_dict(net, found, source=source)
    _check_finite({key: tensor.to(own[key].dtype) for key, tensor in given.items()}, source)
    net.load_state_dict(given)
    net.pretrained_cfg = PretrainedConfig(name="", tag="", spec=net.spec)
    if not keep_head:
        net.classes = None


def assign_state(
    net: Backbone, found: RecognizedState, *, dtype: torch.dtype | None = None, source: str, trusted: bool = False
) -> None:
    """Assign weights to a network on the meta device, without a copy where they have the dtype already.

    `trusted` weights are known to be finite in their own dtype. No two of the tensors may share memory.
    """
    dtype = dtype or torch.get_default_dtype()
    fitted = match_state_dict(net, found, source=source)
    given = {key: tensor.to(dtype) if tensor.is_floating_point() else tensor for key, tensor in fitted.items()}
    _check_finite({key: tensor for key, tensor in given.items() if not trusted or tensor is not fitted[key]}, source)
    for prefix, module in net.named_modules():  # several times as fast as load_state_dict(assign=True)
        path = f"{prefix}." if prefix else ""
        for name, parameter in module._parameters.items():
            if parameter is not None:
                module._parameters[name] = nn.Parameter(_aligned(given[path + name].contiguous()))
        for name, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[name] = given[path + name].contiguous()


def _aligned(tensor: Tensor) -> Tensor:
    """Copy a matrix that is not aligned in its file, since a product with it may be rounded differently."""
    return tensor.clone() if tensor.ndim == 2 and tensor.data_ptr() % _ALIGNMENT else tensor


def match_state_dict(net: Backbone, found: RecognizedState, *, source: str) -> dict[str, Tensor]:
    """Return a tensor for each name of a network; raise ValueError with all problems if they do not fit."""
    own, given = net.state_dict(), dict(found.state)
    problems = state_dict_problems(own, given, found.unknown)
    if found.head:
        names = f"{', '.join(found.head):.200}"
        problems.append(
            f"  its classifier is not one linear layer ({names}): num_classes= (create_model) gives the network a new one, and "
            "keep_head=True (load_state) keeps the network's own"
        )
    if problems:
        name = nearest_name(found)
        hint = [f"These names and shapes are a {name}'s."] if name and name != name_of(net.spec) else []
        raise InputError("\n".join([f"cannot load {source} into this {type(net).__name__}:", *problems, *hint]))
    if found.ignored:
        text = "\n".join([f"{source}: the names outside the network's prefix are ignored:", *listed("ignored", found.ignored)])
        warnings.warn(text, stacklevel=3)
    for key, tensor in own.items():
        if key not in given:  # num_batches_tracked
            given[key] = torch.zeros(tensor.shape, dtype=tensor.dtype, device="cpu")
        elif not tensor.is_floating_point():
            given[key] = given[key].to(tensor.dtype)
    return given


def _check_finite(state: Mapping[str, Tensor], source: str) -> None:
    """Raise ValueError with the names of tensors that hold NaN or infinity."""
    if broken := [key for key, tensor in state.items() if not is_finite(tensor)]:
        raise InputError(
            "\n".join([f"cannot load {source}, whose values are not all finite:", *listed("with NaN or infinity", broken)])
        )


def adapt_input(weight: Tensor, channels: int, rule: InputRule | None = None) -> Tensor:
    """Adapt the weight of a first convolution to another number of input channels.

    "sum"
        one channel: the sum over the old ones. A gray image gives the same output as its copy in RGB.
    "repeat"
        the old channels in turn (R, G, B, R, G ...), scaled by old / new, so that the outputs keep their scale.
    "zeros"
        the old channels, then zeros for additional ones such as depth or infrared. The additional channels do not change the
        outputs until the network is trained further.

    Args:
        weight: `(C_out, C_in, k, k)`.
        channels: number of input channels.
        rule: one of the above, or a function of `(weight, channels)`; None is "sum" for one channel, else "repeat", as in timm.

    Returns:
        The new weight, `(C_out, channels, k, k)`; the same tensor if it has this number of channels.

    Raises:
        ValueError: for an unknown rule, a number that is not positive or that the rule cannot make, or a function that returns
            another shape.
        TypeError: if weight is not a tensor of four dimensions.

    Example:
        >>> import torch
        >>> adapt_input(torch.ones(8, 3, 7, 7), 1)[0, 0, 0, 0]
        tensor(3.)
        >>> adapt_input(torch.ones(8, 3, 7, 7), 4)[0, :, 0, 0]
        tensor([0.7500, 0.7500, 0.7500, 0.7500])
        >>> adapt_input(torch.ones(8, 3, 7, 7), 4, "zeros")[0, :, 0, 0]
        tensor([1., 1., 1., 0.])
    """
    check_rule(rule)
    if not isinstance(weight, Tensor) or weight.ndim != 4:
        got = tuple(weight.shape) if isinstance(weight, Tensor) else type(weight).__name__
        raise InputTypeError(f"weight must be the tensor of a convolution, of four dimensions, got {got}")
    channels, old = check_count("channels", channels, minimum=1), weight.shape[1]
    if channels == old:
        return weight
    rule = rule or ("sum" if channels == 1 else "repeat")
    if callable(rule):
        adapted = rule(weight, channels)
        shape = (weight.shape[0], channels, *weight.shape[2:])
        if not isinstance(adapted, Tensor) or adapted.shape != shape:
            got = tuple(adapted.shape) if isinstance(adapted, Tensor) else type(adapted).__name__
            raise InputError(f"the rule for the input must return a weight of shape {shape}, got {got}")
        return adapted
    if rule == "sum":
        if channels != 1:
            raise InputError(f"the rule 'sum' makes one channel of {old}, not {channels}: use 'repeat' or 'zeros'")
        return weight.sum(1, keepdim=True)
    if rule == "zeros":
        if channels < old:
            raise InputError(f"the rule 'zeros' adds channels to {old}, and cannot make {channels}: use 'sum' or 'repeat'")
        return torch.cat((weight, weight.new_zeros(len(weight), channels - old, *weight.shape[2:])), 1)
    return weight.repeat(1, ceil(channels / old), 1, 1)[:, :channels] * (old / channels)


def check_rule(rule: InputRule | None) -> None:
    """Raise ValueError for an unknown rule."""
    if rule is not None and rule not in ("sum", "repeat", "zeros") and not callable(rule):
        raise InputError(f"the rule for the input must be 'sum', 'repeat', 'zeros' or a function, got {rule!r}")


def adapt_channels(found: RecognizedState, channels: int, rule: InputRule | None = None) -> tuple[RecognizedState, str]:
    """Adapt the first convolution of a state dict, in float32 or better; also return a description, "" if nothing changed."""
    weight = found.state.get(found.first_conv)
    if weight is None or weight.ndim != 4 or channels < 1 or channels == weight.shape[1]:
        return found, ""
    adapted = adapt_input(weight.to(torch.promote_types(weight.dtype, torch.float32)), channels, rule)
    how = getattr(rule, "__name__", "a function") if callable(rule) else rule or ("sum" if channels == 1 else "repeat")
    done = f"the input's {weight.shape[1]} channels made {channels} ({how})"
    return replace(found, state={**found.state, found.first_conv: adapted}), done
