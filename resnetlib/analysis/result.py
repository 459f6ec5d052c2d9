"""Results of analyses: frozen dataclasses that can be saved, loaded and plotted."""

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Any, Self, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np
import torch
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors
from torch import Tensor

from resnetlib.analysis.style import style_of
from resnetlib.config.integers import check_count, check_seed
from resnetlib.disk import local_path, read_file, write_atomically, write_figure
from resnetlib.errors import InputError, InputTypeError
from resnetlib.modules.arguments import check_number

if TYPE_CHECKING:
    from matplotlib.axes import Axes as Axes
else:  # matplotlib is imported when something is plotted
    Axes = Any

R = TypeVar("R", bound="AnalysisResult")

_KIND = "result"
_MAX_BYTES = 2 * 2**30


class AnalysisResult(ABC):
    """Base class of results: a frozen dataclass of CPU tensors and plain data (numbers, strings, None, tuples and dicts)."""

    def save(self, path: str | Path) -> None:
        """Write the result to a file atomically.

        Args:
            path: a `.safetensors` file keeps tensors in binary and the rest in its header; a `.json` file has exact numbers, and
                NaN and infinities as strings.

        Raises:
            ValueError: if the path ends in anything else.
        """
        path = check_result_path("path", path)
        given = ((field, getattr(self, field.name)) for field in fields(self))  # type: ignore[arg-type]
        values = {field.name: value for field, value in given if value is not field.default}  # loading restores defaults
        binary = path.suffix.lower() == ".safetensors"
        tensors = {name: value.contiguous() for name, value in values.items() if isinstance(value, Tensor) and binary}
        rest = {_KIND: type(self).__name__} | {name: _encoded(value) for name, value in values.items() if name not in tensors}
        text = json.dumps(rest, indent=None if binary else 1, allow_nan=False)
        write_atomically(path, save_safetensors(tensors, metadata={_KIND: text}) if binary else f"{text}\n".encode())

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Load a result of this class from a file that `save` wrote.

        Raise FileNotFoundError if the file does not exist, and ValueError if it is damaged, holds a result of another class, is
        larger than 2 GiB, or is not a regular file.
        """
        return read_result(path, {cls.__name__: cls})

    @abstractmethod
    def plot(self, ax: Axes | None = None) -> Axes:
        """Plot the result on matplotlib axes (None for new ones) and return them; `.figure.savefig(path)` writes them to a file."""


def check_result_path(name: str, path: str | Path) -> Path:
    """Return the path of a result; raise ValueError if it does not end in .json or .safetensors."""
    checked = local_path(path)
    if checked.suffix.lower() not in (".json", ".safetensors"):
        raise InputError(f"{name} must be a file that ends in .json or .safetensors, got {str(path)!r}")
    return checked


def read_result(path: str | Path, kinds: Mapping[str, type[R]]) -> R:
    """Load a result of one of these classes; raise ValueError if the file is damaged or holds another."""
    path = local_path(path)
    content = read_file(path, _MAX_BYTES)
    try:
        if path.suffix.lower() == ".safetensors":
            header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
            values = _decoded(json.loads(header["__metadata__"][_KIND])) | load_safetensors(content)
        else:
            values = _decoded(json.loads(content))
        kind = values.pop(_KIND)
    except Exception as error:
        raise InputError(f"{path} is not a saved result, or is damaged: {error}") from error
    if not isinstance(kind, str):
        raise InputError(f"{path} is not a saved result, or is damaged: its class is {kind!r}")
    if kind not in kinds:
        raise InputError(f"{path} holds a {kind}: load it with {kind}.load")
    hints = get_type_hints(kinds[kind])
    missing = {field.name for field in fields(kinds[kind]) if field.default is MISSING} - values.keys()  # type: ignore[arg-type]
    wrong = {name for name, value in values.items() if name not in hints or not _is_instance(value, hints[name])}
    if missing or wrong:
        names = ", ".join(sorted(missing | wrong))
        raise InputError(f"{path} does not hold a valid {kind}: wrong or missing {names}; it is damaged, or from another version")
    return kinds[kind](**values)


def _is_instance(value: object, hint: Any) -> bool:
    """Return whether a value has a field's type, apart from its items; an int is also a float, and a bool is neither."""
    if get_origin(hint) in (Union, UnionType):
        return any(_is_instance(value, each) for each in get_args(hint))
    if hint in (int, float) and isinstance(value, bool):
        return False
    return isinstance(value, (int, float) if hint is float else get_origin(hint) or hint)


def _encoded(value: Any) -> Any:
    """Return plain data as JSON data; tensors, NaN and infinities become dicts with a dtype."""
    if isinstance(value, Tensor):
        numbers = json.loads(json.dumps(value.tolist()), parse_constant=lambda name: str(float(name)))  # "nan", "inf", "-inf"
        return {"dtype": str(value.dtype).removeprefix("torch."), "data": numbers}
    if isinstance(value, float) and not math.isfinite(value):
        return {"dtype": "float", "data": str(value)}
    if isinstance(value, dict):
        return {key: _encoded(item) for key, item in value.items()}
    return [_encoded(item) for item in value] if isinstance(value, list | tuple) else value


def _decoded(value: Any) -> Any:
    if isinstance(value, dict) and value.keys() == {"dtype", "data"}:
        if value["dtype"] == "float":
            return float(value["data"])
        dtype: torch.dtype = getattr(torch, value["dtype"])
        return torch.tensor(np.array(value["data"], float) if dtype.is_floating_point else value["data"], dtype=dtype)
    if isinstance(value, dict):
        return {key: _decoded(item) for key, item in value.items()}
    return tuple(map(_decoded, value)) if isinstance(value, list) else value


def draw(result: AnalysisResult, path: str | Path) -> None:
    """Plot a result to a PNG file."""
    if not isinstance(result, AnalysisResult):
        raise InputTypeError(f"result must be a resnetlib.analysis.AnalysisResult, got {type(result).__name__}")
    write_figure(path, result.plot().get_figure(root=True))


def new_axes(ax: Axes | None, *, width: float = 6.0, height: float = 4.0) -> Axes:
    """Return the given axes, or new ones (sizes in inches) that need no display."""
    if ax is not None:
        return ax
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained").subplots()


def plot_curve(
    ax: Axes | None, values: Tensor, *, label: str | None, name: str, of: str, descending: bool = False, style: str = "-"
) -> Axes:
    """Plot a number for each layer against its index, or sorted without NaN; labels tell apart networks on the same axes."""
    ax = new_axes(ax)
    if descending:
        values = values[~values.isnan()].sort(descending=True).values
    look = {"linestyle": style, "marker": "."} | (style_of(label or "") if style == "-" else {})
    ax.plot(range(len(values)), values.tolist(), label=label, **look)
    ax.set(xlabel=f"{of}, sorted" if descending else of, ylabel=name)
    if label is not None:
        ax.legend()
    return ax


def bootstrap_interval(
    rows: Tensor,
    statistic: Callable[[Tensor], Tensor | float] = lambda rows: rows.mean(0),
    *,
    level: float = 0.95,
    draws: int = 1000,
    seed: int = 0,
) -> Tensor:
    """Compute the percentile bootstrap interval of a statistic of independent rows, such as images.

    Args:
        rows: measurements, `(n, ...)`, one row for each image or group of images; rows stay whole, so comparisons are paired.
        statistic: function of the rows, `(n, ...)` to `(...)`; the mean by default.
        level: share of the draws inside of the interval.
        draws: number of samples of n rows, with replacement.
        seed: of the draws.

    Returns:
        The lower and the upper end, `(2, ...)`.

    Raises:
        TypeError: if the rows are not a tensor, or the level is not a number.
        ValueError: if there are fewer than two rows, the level is not between 0 and 1, or there is no draw.

    Source:
        Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, sec. 13.3.

    Example:
        >>> low, high = bootstrap_interval(torch.tensor([0.0, 1.0] * 200))  # 400 images, half of them wrong
        >>> round(float(low), 2), round(float(high), 2)
        (0.46, 0.55)
    """
    if not isinstance(rows, Tensor):
        raise InputTypeError(f"rows must be a tensor (n, ...), got {type(rows).__name__}: give torch.tensor(rows)")
    if rows.ndim < 1 or len(rows) < 2:
        raise InputError(f"rows must be at least two measurements, (n, ...), got shape {tuple(rows.shape)}")
    check_number("level", level)
    draws, seed = check_count("draws", draws, minimum=1), check_seed(seed)
    if not 0 < level < 1:
        raise InputError(f"level must be between 0 and 1, got {level}")
    generator = torch.Generator().manual_seed(seed)
    rows = rows.detach().cpu().double()
    choices = (torch.randint(len(rows), (len(rows),), generator=generator) for _ in range(draws))
    found = torch.stack([torch.as_tensor(statistic(rows[chosen]), dtype=torch.float64) for chosen in choices])
    return found.quantile(torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=torch.float64), dim=0)
