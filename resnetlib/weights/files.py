"""Weights files: reading any of them safely, writing one whole or not at all."""

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from resnetlib.modules import Backbone
from resnetlib.weights.contract import Contract, contract_from_json
from resnetlib.weights.dialects import unwrap

METADATA_KEY = "resnetlib"


@dataclass(frozen=True, slots=True)
class WeightsFile:
    """What a file holds.

    Args:
        state: names and tensors, in the file's dialect.
        contract: what it says of itself, if it says so.
    """

    state: dict[str, Tensor]
    contract: Contract | None


def read_weights(path: str | Path) -> WeightsFile:
    """Read a file of safetensors or of `torch.save`, without running any code that it holds.

    Args:
        path: the file.

    Returns:
        Its tensors, on the CPU, and its contract.

    Raises:
        FileNotFoundError: if it is not there.
        ValueError: if it is damaged, or holds more than tensors and plain data.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    content = path.read_bytes()
    if content[8:9] == b"{":
        return parse_safetensors(content, str(path))
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle can fail in any way
        raise ValueError(
            f"{path} is damaged, or holds more than tensors: {error}\nNothing in it was run. Save it as safetensors, or as a plain "
            "state dict, where it comes from."
        ) from error
    return WeightsFile(unwrap(checkpoint), None)


def parse_safetensors(content: bytes, source: str) -> WeightsFile:
    """Read the bytes of a safetensors file.

    Args:
        content: the bytes.
        source: where they come from, for errors.

    Returns:
        Its tensors and its contract.

    Raises:
        ValueError: if they are damaged.
    """
    try:
        state = safetensors.torch.load(content)
        header = _metadata(content)
    except (safetensors.SafetensorError, KeyError, ValueError) as error:
        raise ValueError(f"{source} is damaged: {error}") from error
    text = header.get(METADATA_KEY)
    return WeightsFile(unwrap(state), contract_from_json(text) if text is not None else None)


def write_weights(net: Backbone, path: str | Path, contract: Contract, *, dtype: torch.dtype | None = None) -> None:
    """Write a network's weights as safetensors, with their contract in the header.

    The file appears whole or not at all, also where the disk is full or the process is killed.

    Args:
        net: the network.
        path: the file; one that is there is replaced.
        contract: what the file shall say of itself.
        dtype: of the floating tensors in the file; their own by default.

    Raises:
        ValueError: if the contract is another network's, or a number is not finite, as it is or in this dtype.
    """
    if contract.spec != net.spec:
        raise ValueError(f"the contract is another network's:\n  {contract.spec}\n  {net.spec}")
    state = {}
    for key, tensor in net.state_dict().items():
        if tensor.is_floating_point():
            tensor = tensor.to(dtype or tensor.dtype)
            if not tensor.isfinite().all():
                raise ValueError(f"{key} holds numbers that are not finite in {tensor.dtype}")
        state[key] = tensor.contiguous().cpu()
    content = safetensors.torch.save(state, {"format": "pt", METADATA_KEY: contract.to_json()})
    write_atomically(Path(path), content)


def write_atomically(path: Path, content: bytes) -> None:
    """Write to a temporary file beside `path`, flush it to the disk, and give it the name."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _metadata(content: bytes) -> Mapping[str, str]:
    """Return the strings in the header of a safetensors file."""
    end = 8 + int.from_bytes(content[:8], "little")
    metadata: Mapping[str, str] = json.loads(content[8:end]).get("__metadata__", {})
    return metadata
