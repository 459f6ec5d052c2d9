"""Putting weights into a network: every tensor in its place, or one error that says all that is wrong."""

from collections.abc import Mapping

import torch
from torch import Tensor

from resnetlib.models import Spec, build
from resnetlib.modules import Backbone
from resnetlib.weights.dialects import translate


def load_state(net: Backbone, state: Mapping[str, Tensor], *, keep_head: bool = False, source: str = "the weights") -> None:
    """Copy weights into a network.

    Counters of batches that are missing, as in old files, become 0. Floating tensors take the network's dtype.

    Args:
        net: the network; changed only if everything fits.
        state: names and tensors, in any known dialect.
        keep_head: leave the network's classifier as it is.
        source: what to call the weights in an error.

    Raises:
        ValueError: if a name is missing or unexpected, or a shape differs; all of them in one error.
    """
    own = net.state_dict()
    given = translate(state, own)
    if keep_head:
        head = net.classifier_name + "."
        given = {key: tensor for key, tensor in given.items() if not key.startswith(head)}
        given |= {key: tensor for key, tensor in own.items() if key.startswith(head)}
    for key, tensor in own.items():
        if key.endswith("num_batches_tracked"):
            given.setdefault(key, torch.zeros_like(tensor))
    problems = [
        *_listed("missing", [key for key in own if key not in given]),
        *_listed("unexpected", [key for key in given if key not in own]),
        *_listed(
            "of another shape",
            [
                f"{key} {tuple(given[key].shape)}, not {tuple(own[key].shape)}"
                for key in own
                if key in given and given[key].shape != own[key].shape
            ],
        ),
    ]
    if problems:
        raise ValueError(f"{source} do not fit this {type(net).__name__}:\n" + "\n".join(problems))
    net.load_state_dict(given)


def classes_in(state: Mapping[str, Tensor], spec: Spec) -> int:
    """Count the classes that weights were trained for.

    Args:
        state: names and tensors, in any known dialect.
        spec: their architecture.

    Returns:
        The number of logits; 0 if there is no classifier.

    Raises:
        ValueError: if the classifier is no matrix for these features.
    """
    net = build(spec, device="meta")
    weight = translate(state, net.state_dict()).get(f"{net.classifier_name}.weight")
    if weight is None:
        return 0
    if weight.ndim != 2 or weight.shape[1] != net.num_features or weight.untyped_storage().nbytes() < weight.numel():
        raise ValueError(f"the classifier must be (classes, {net.num_features}), got {tuple(weight.shape)}")
    return weight.shape[0]


def _listed(what: str, names: list[str], shown: int = 8) -> list[str]:
    """Return a line for some names of many, or none."""
    if not names:
        return []
    more = f" ... and {len(names) - shown} more" if len(names) > shown else ""
    return [f"  {len(names)} {what}: {', '.join(names[:shown])}{more}"]
