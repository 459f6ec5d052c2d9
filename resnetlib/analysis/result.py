"""What an analysis found, as something that can be kept: saved, loaded and drawn."""

import io
import json
import math
from abc import ABC, abstractmethod
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor

from resnetlib.analysis.typed import misfits
from resnetlib.disk import read_file, write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_KIND = "result"
_LARGEST = 2 * 2**30
"""Bytes of a saved finding."""


class AnalysisResult(ABC):
    """The result of an analysis: a frozen dataclass of tensors on the CPU and plain data.

    Plain data are numbers, strings, None, and tuples and dicts (by strings) of them.
    """

    def save(self, path: str | Path) -> None:
        """Write it, whole or not at all.

        Args:
            path: the file. One that ends in `.safetensors` holds the tensors as they are, and the rest in its header; any other is
                JSON, which holds every number exactly, and for NaN and the infinities their names.
        """
        path = Path(path)
        if path.suffix == ".safetensors":
            from safetensors.torch import save

            tensors = {field.name: value for field in fields(self) if isinstance(value := getattr(self, field.name), Tensor)}  # type: ignore[arg-type]
            rest = {key: value for key, value in self._plain().items() if key not in tensors}
            contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
            write_atomically(path, save(contiguous, metadata={_KIND: json.dumps(rest, allow_nan=False)}))
        else:
            write_atomically(path, (json.dumps(self._plain(), indent=1, allow_nan=False) + "\n").encode())

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what `save` wrote; `AnalysisResult.load` itself reads any kind of finding whose class is imported.

        Args:
            path: the file.

        Returns:
            The finding.

        Raises:
            FileNotFoundError: if it is not there.
            ValueError: if it is damaged, another kind of finding, larger than 2 GiB, or no regular file.
        """
        path = Path(path)
        content = read_file(path, _LARGEST)
        try:
            data = _from_safetensors(content) if path.suffix == ".safetensors" else json.loads(content)
            kind = data.pop(_KIND)
            values = {name: value if isinstance(value, Tensor) else _decoded(value) for name, value in data.items()}
        except Exception as error:
            raise ValueError(f"{path} is no saved finding, or damaged: {error}") from error
        if not isinstance(kind, str):
            raise ValueError(f"{path} is no saved finding, or damaged: its kind is {kind!r}")
        kinds = {each.__name__: each for each in ([cls] if cls is not AnalysisResult else cls.__subclasses__())}
        if kind not in kinds:
            raise ValueError(f"{path} holds a {kind}: load it with {kind}.load, not {cls.__name__}.load")
        names = {field.name for field in fields(kinds[kind])}  # type: ignore[arg-type]
        if values.keys() != names:
            raise ValueError(f"{path} has {sorted(values)}, and a {kind} {sorted(names)}: it is damaged, or of another version")
        if wrong := misfits(kinds[kind], values):
            raise ValueError(f"{path} has {wrong[0]} of another type than its class has: it is damaged, or of another version")
        return kinds[kind](**values)

    @abstractmethod
    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draw it.

        Args:
            ax: matplotlib axes to draw on; None for new ones (`.figure.savefig(path)` writes them).

        Returns:
            The axes.
        """

    def _plain(self) -> dict[str, Any]:
        return {_KIND: type(self).__name__} | {field.name: _encoded(getattr(self, field.name)) for field in fields(self)}  # type: ignore[arg-type]


def new_axes(ax: "Axes | None", *, width: float = 6.0, height: float = 4.0) -> "Axes":
    """Return the axes that a caller gave, or new ones, which need no display.

    Args:
        ax: the caller's.
        width: of new ones, in inches.
        height: of new ones, in inches.

    Returns:
        The axes.
    """
    if ax is not None:
        return ax
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained").subplots()


def draw(finding: AnalysisResult, path: str | Path) -> None:
    """Draw a finding into a PNG.

    Args:
        finding: what to draw.
        path: the file to write.

    Raises:
        TypeError: for something that is no finding.
    """
    if not isinstance(finding, AnalysisResult):
        raise TypeError(f"finding must be a resnetlib.analysis.AnalysisResult, got {type(finding).__name__}")
    content = io.BytesIO()
    finding.plot().get_figure(root=True).savefig(content, format="png", dpi=110)  # type: ignore[union-attr]
    write_atomically(Path(path), content.getvalue())


def _encoded(value: Any) -> Any:
    """Return plain data as JSON's; a tensor, and a number that JSON lacks, as a dict that says what it is."""
    if isinstance(value, Tensor):
        return {"dtype": str(value.dtype).removeprefix("torch."), "data": _named(value.tolist())}
    if isinstance(value, float) and not math.isfinite(value):
        return {"dtype": "float", "data": str(value)}
    if isinstance(value, dict):
        return {key: _encoded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_encoded(item) for item in value]
    return value


def _decoded(value: Any) -> Any:
    if isinstance(value, dict) and value.keys() == {"dtype", "data"}:
        if value["dtype"] == "float":
            return float(value["data"])
        return torch.tensor(_numbers(value["data"]), dtype=getattr(torch, value["dtype"]))
    if isinstance(value, dict):
        return {key: _decoded(item) for key, item in value.items()}
    return tuple(_decoded(item) for item in value) if isinstance(value, list) else value


def _named(data: Any) -> Any:
    """Replace NaN and the infinities, in lists of lists of numbers, by their names."""
    if isinstance(data, list):
        return [_named(item) for item in data]
    return str(data) if isinstance(data, float) and not math.isfinite(data) else data


def _numbers(data: Any) -> Any:
    if isinstance(data, list):
        return [_numbers(item) for item in data]
    return float(data) if isinstance(data, str) else data


def _from_safetensors(content: bytes) -> dict[str, Any]:
    from safetensors.torch import load

    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    rest: dict[str, Any] = json.loads(header["__metadata__"][_KIND])
    return rest | load(content)
