"""What is known of a set of weights: enough to rebuild the network, to feed it, and to check what is claimed of it."""

import json
from dataclasses import asdict, dataclass
from typing import Any

from resnetlib.models.spec import Spec, spec_from_dict
from resnetlib.weights.preprocess import Preprocessing


@dataclass(frozen=True, kw_only=True, slots=True)
class Contract:
    """What a weights file says of itself.

    Args:
        name: of the network.
        tag: of the weights, among those of this network.
        spec: the architecture.
        classes: what the logits stand for.
        preprocess: the network's input, as it was evaluated.
        top1: measured share of images classified right, in percent.
        evaluated_on: the images of that measurement.
        recipe: how the weights were trained.
        license: under which the weights are given.
        origin: who made them.

    Raises:
        ValueError: for a value of another type.
    """

    name: str
    tag: str
    spec: Spec
    classes: tuple[str, ...]
    preprocess: Preprocessing
    top1: float
    evaluated_on: str
    recipe: str
    license: str
    origin: str

    def __post_init__(self) -> None:
        for field in ("name", "tag", "evaluated_on", "recipe", "license", "origin"):
            if not isinstance(getattr(self, field), str):
                raise ValueError(f"a contract's {field} must be a str, got {getattr(self, field)!r}")
        if not isinstance(self.classes, tuple) or not all(isinstance(name, str) for name in self.classes):
            raise ValueError(f"a contract's classes must be a tuple of strs, got {self.classes!r}")
        if not isinstance(self.top1, float) or not 0 <= self.top1 <= 100:
            raise ValueError(f"a contract's top1 must be a float, in percent, got {self.top1!r}")

    def to_json(self) -> str:
        """Return the contract as JSON, on one line."""
        return json.dumps({**asdict(self), "spec": json.loads(self.spec.to_json())})


def contract_from_json(text: str) -> Contract:
    """Read a contract that `to_json` wrote.

    Args:
        text: the JSON.

    Returns:
        The contract.

    Raises:
        ValueError: for anything else.
    """
    try:
        values: dict[str, Any] = json.loads(text)
        spec, preprocess = spec_from_dict(values["spec"]), Preprocessing(**_tuples(values["preprocess"]))
        return Contract(**{**_tuples(values), "spec": spec, "preprocess": preprocess})
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError(f"the file's contract cannot be read: {error!r}") from error


def _tuples(values: dict[str, Any]) -> dict[str, Any]:
    """Give an object of JSON the tuples that it was made from."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
