"""Whether a file holds the beginning of just this survey."""

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from resnetlib.analysis.inputs import Batch
from resnetlib.analysis.landscape.directions import Direction
from resnetlib.analysis.landscape.team import Team
from resnetlib.analysis.result import AnalysisResult

F = TypeVar("F", bound=AnalysisResult)


def made_of(net: nn.Module, batches: list[Batch], directions: tuple[dict[str, Tensor], ...], **choices: Any) -> dict[str, str]:
    """Return fingerprints of all that a surface depends on.

    Args:
        net: the network: its parameters and buffers.
        batches: the images and labels.
        directions: the directions.
        **choices: what else was chosen, plain data.

    Returns:
        A SHA-256 for each, the choices as they are.
    """
    return {
        "network": _fingerprint(dict(net.state_dict())),
        "modules": hashlib.sha256(repr(net).encode()).hexdigest(),
        "images": _fingerprint({f"{i} {part}": tensor for i, pair in enumerate(batches) for part, tensor in enumerate(pair)}),
        "directions": _fingerprint({f"{i} {name}": d for i, direction in enumerate(directions) for name, d in direction.items()}),
        **{name: json.dumps(value) for name, value in choices.items()},
    }


def begun(path: Path | None, kind: type[F], made: Mapping[str, str], team: Team) -> F | None:
    """Read what another run of the same survey kept.

    Args:
        path: the file; None for none.
        kind: the kind of finding, with a field `made_of`.
        made: what this one is made of.
        team: the processes, of which the first reads.

    Returns:
        It; None if there is no file.

    Raises:
        ValueError: in all processes, if they differ among themselves, or from the file.
    """
    if any(other != made for other in team.gather(dict(made))):
        raise ValueError(
            "the processes differ in their networks, images or arguments: a surface that they share has but one of each"
        )
    found: F | str | None = None
    if team.rank == 0 and path is not None:
        try:
            found = _read(path, kind, made)
        except ValueError as error:
            found = str(error)
    found = team.gather(found)[0]
    if isinstance(found, str):
        raise ValueError(found)
    return found


def check_centre(path: Path | None, before: float, now: float) -> None:
    """Raise ValueError if a surface began with another loss at its centre: losses without names of their own look alike."""
    if not math.isclose(before, now, rel_tol=1e-3):
        raise ValueError(f"{path} is of another call: there the loss at the centre is {before}, here {now}. Give another file.")


def kept(path: Path | None, shape: tuple[int, ...], *values: Tensor) -> Tensor:
    """Return a kept survey's values, a row for each point; raise ValueError if they are not of the grid's shape."""
    if any(each.shape != shape or each.dtype != torch.float64 for each in values):
        raise ValueError(f"{path} is damaged: its values are not of the shape {shape}, in float64. Give another file.")
    return torch.stack([each.flatten() for each in values], 1)


def check_path(out: str | Path | None) -> Path | None:
    """Make the folder of a file before hours are spent on what it shall hold.

    Args:
        out: the file; None for none.

    Returns:
        Its path.

    Raises:
        ValueError: if it is of none of the kinds that a finding is saved in, or a folder.
    """
    if out is None:
        return None
    path = Path(out)
    if path.suffix not in (".json", ".safetensors") or path.is_dir():
        raise ValueError(f"out must be a file that ends in .json or .safetensors, got {str(out)!r}")
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _read(path: Path, kind: type[F], made: Mapping[str, str]) -> F | None:
    if not path.exists():
        return None
    found = kind.load(path)
    was: dict[str, str] = found.made_of  # type: ignore[attr-defined]
    other = sorted(name for name in made.keys() | was.keys() if made.get(name) != was.get(name))
    if other:
        raise ValueError(f"{path} is of another call, which differs in {', '.join(other)}: name another file, or remove it")
    return found


def _fingerprint(tensors: Direction) -> str:
    digest = hashlib.sha256()
    for name, tensor in tensors.items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
