"""How others name the same tensors: ordered rename rules, as data. The canonical names are torchvision's."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

Rule = tuple[str, str]
"""A regular expression, and what takes its place (`re.sub`)."""

WRAPPERS = ("state_dict_ema", "model_ema", "state_dict", "model", "model_state_dict", "net", "network")
"""Under which of these keys a checkpoint keeps its tensors; the first one that is there."""

PREFIXES = ("_orig_mod.", "module.", "_orig_mod.")
"""What `torch.compile` and data parallelism put before every name, in the order in which it comes off."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """A way to name tensors.

    Args:
        name: of the dialect.
        rules: from its names to the canonical ones, applied one after the other.
    """

    name: str
    rules: tuple[Rule, ...]

    def canonical(self, key: str) -> str:
        """Translate one name."""
        for pattern, replacement in self.rules:
            key = re.sub(pattern, replacement, key)
        return key


DIALECTS = (
    Dialect("torchvision", ()),
    Dialect("torchvision-0.2", ((r"(denselayer\d+\.(?:norm|conv))\.([12]\.)", r"\1\2"),)),
    Dialect("akamaster", ((r"^linear\.", "fc."),)),
    Dialect(
        "timm-resnetv2",
        (
            (r"^stem\.conv\.", "conv1."),
            (r"^stages\.0\.blocks\.", "layer1."),
            (r"^stages\.1\.blocks\.", "layer2."),
            (r"^stages\.2\.blocks\.", "layer3."),
            (r"^stages\.3\.blocks\.", "layer4."),
            (r"\.downsample\.conv\.", ".downsample.0."),
            (r"^head\.fc\.", "fc."),
        ),
    ),
)


def unwrap(checkpoint: object) -> dict[str, Tensor]:
    """Find the tensors in what a file holds, and take wrappers' prefixes off their names.

    Args:
        checkpoint: a state dict, or a dict that holds one.

    Returns:
        Names and tensors.

    Raises:
        ValueError: if there are none, or one of them is sparse, complex, quantized or without contents.
    """
    for wrapper in WRAPPERS:
        if isinstance(checkpoint, Mapping) and isinstance(checkpoint.get(wrapper), Mapping):
            checkpoint = checkpoint[wrapper]
            break
    if not isinstance(checkpoint, Mapping):
        raise ValueError(f"expected a state dict or a dict that holds one, got {type(checkpoint).__name__}")
    state = {str(key): value for key, value in checkpoint.items() if isinstance(value, Tensor)}
    if not state or len(state) < len(checkpoint):
        other = [str(key) for key, value in checkpoint.items() if not isinstance(value, Tensor)]
        raise ValueError(f"expected a state dict of tensors alone, got {len(state)} tensors and the keys {other[:5]}")
    for key, tensor in state.items():
        if tensor.layout != torch.strided or tensor.is_complex() or tensor.is_quantized or tensor.is_meta:
            raise ValueError(f"{key} is no plain tensor of numbers: {tensor.dtype}, {tensor.layout}, on {tensor.device}")
    for prefix in PREFIXES:
        if all(key.startswith(prefix) for key in state):
            state = {key.removeprefix(prefix): value for key, value in state.items()}
    return state


def translate(state: Mapping[str, Tensor], keys: Iterable[str]) -> dict[str, Tensor]:
    """Rename tensors to a network's keys, from the dialect that comes nearest to them.

    Args:
        state: names and tensors, in any dialect.
        keys: the network's, which are canonical.

    Returns:
        The tensors under canonical names; a classifier that is stored as a 1x1 convolution as the matrix that it is.
    """
    wanted = set(keys)
    translations = [{dialect.canonical(key): tensor for key, tensor in state.items()} for dialect in DIALECTS]
    whole = [names for names in translations if len(names) == len(state)]  # not those in which two names become one
    renamed = max(whole, key=lambda names: len(wanted & set(names)))
    weight = renamed.get("fc.weight")
    if weight is not None and weight.ndim == 4 and weight.shape[2:] == (1, 1):
        renamed["fc.weight"] = weight.flatten(1)
    return renamed
