"""Weights files: reading any of them safely, writing one whole or not at all."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from resnetlib.disk import write_atomically
from resnetlib.modules import Backbone
from resnetlib.weights.collection import no_collection
from resnetlib.weights.contract import Contract, check_contract, contract_from_json
from resnetlib.weights.dialects import unwrap

METADATA_KEY = "resnetlib"
"""Under which a safetensors header keeps the contract."""


@dataclass(frozen=True, slots=True)
class WeightsFile:
    """What a file holds.

    Args:
        state: names and tensors, in the file's dialect.
        contract: what it says of itself, if it says so.
    """

    state: dict[str, Tensor]
    contract: Contract | None


def read_weights(path: str | Path, *, mmap: bool = False) -> WeightsFile:
    """Read a file of safetensors or of `torch.save`, without running any code that it holds.

    Args:
        path: the file.
        mmap: map a file of safetensors into memory, instead of reading it. That is faster, and safe only while nobody shortens the
            file: a process whose mapped file is cut off dies.

    Returns:
        Its tensors, on the CPU, and its contract.

    Raises:
        FileNotFoundError: if it is not there.
        ValueError: if it is damaged, or holds more than tensors and plain data.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    if _begins(path)[8:9] == b"{":
        return _read_safetensors(path, mmap)
    return WeightsFile(_read_pickle(path), None)


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
        end = 8 + int.from_bytes(content[:8], "little")
        header: Mapping[str, str] = json.loads(content[8:end]).get("__metadata__", {})
    except (safetensors.SafetensorError, KeyError, ValueError) as error:
        raise ValueError(f"{source} is damaged: {error}") from error
    return WeightsFile(unwrap(state), contract_from_json(header[METADATA_KEY]) if METADATA_KEY in header else None)


def read_contract(path: str | Path) -> Contract | None:
    """Read what a file of safetensors says of itself, and nothing more of it.

    Args:
        path: the file.

    Returns:
        The contract, or None if it has none.

    Raises:
        ValueError: if the file is damaged.
    """
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            header: Mapping[str, str] = file.metadata() or {}
    except safetensors.SafetensorError as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    return contract_from_json(header[METADATA_KEY]) if METADATA_KEY in header else None


def write_weights(net: Backbone, path: str | Path, contract: Contract, *, dtype: torch.dtype | None = None) -> None:
    """Write a network's weights as safetensors, with their contract in the header.

    The file appears whole or not at all, also where the disk is full or the process is killed.

    Args:
        net: the network.
        path: the file; one that is there is replaced.
        contract: what the file shall say of itself.
        dtype: of the floating tensors in the file; their own by default.

    Raises:
        ValueError: if the contract is not true of the network, or a number is not finite, as it is or in this dtype.
    """
    check_contract(contract, net)
    write_state(net.state_dict(), path, contract, dtype=dtype)


def write_state(
    state: Mapping[str, Tensor], path: str | Path, contract: Contract | None = None, *, dtype: torch.dtype | None = None
) -> None:
    """Write tensors as safetensors.

    Args:
        state: names and tensors.
        path: the file; one that is there is replaced.
        contract: what the file shall say of itself.
        dtype: of the floating tensors in the file; their own by default.

    Raises:
        ValueError: if a tensor is on the meta device, or a number is not finite, as it is or in this dtype.
    """
    plain = {}
    for key, tensor in state.items():
        if tensor.is_meta:
            raise ValueError(f"{key} is on the meta device, which holds shapes alone: there is nothing to write")
        if tensor.is_floating_point():
            tensor = tensor.to(dtype or tensor.dtype)
            if not tensor.isfinite().all():
                raise ValueError(f"{key} holds numbers that are not finite in {tensor.dtype}")
        plain[key] = tensor.detach().contiguous().cpu()
    metadata = {"format": "pt"} | ({} if contract is None else {METADATA_KEY: contract.to_json()})
    write_atomically(Path(path), safetensors.torch.save(separate(plain), metadata))


def _begins(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(512)


@no_collection()
def _read_safetensors(path: Path, mmap: bool) -> WeightsFile:
    try:
        with safetensors.safe_open(path, framework="pt", backend="mmap" if mmap else "pread") as file:
            header: Mapping[str, str] = file.metadata() or {}
            state = file.get_tensors()
    except (safetensors.SafetensorError, OSError) as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    return WeightsFile(unwrap(state), contract_from_json(header[METADATA_KEY]) if METADATA_KEY in header else None)


def _read_pickle(path: Path) -> dict[str, Tensor]:
    if _begins(path)[257:262] == b"ustar":
        raise ValueError(
            f"{path} is a tar file, as PyTorch wrote them before 0.4: reading it would run code. Where you trust it, read it with "
            "torch.load(path, weights_only=False), and save its state dict as safetensors."
        )
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle can fail in any way
        raise ValueError(
            f"{path} is damaged, or holds more than tensors: {error}\nNothing in it was run. Save it as safetensors, or as a plain "
            "state dict, where it comes from."
        ) from error
    return separate(unwrap(checkpoint))


def separate(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copy tensors that share memory with one before them.

    Args:
        state: names and tensors.

    Returns:
        The same numbers under the same names; no two tensors share memory.

    Example:
        >>> one = torch.zeros(3)
        >>> separate({"a": one, "b": one})["b"].data_ptr() == one.data_ptr()
        False
    """
    taken, own = set[int](), {}
    for key, tensor in state.items():
        place = tensor.untyped_storage().data_ptr()
        own[key] = tensor.clone() if place in taken else tensor
        taken.add(place)
    return own
