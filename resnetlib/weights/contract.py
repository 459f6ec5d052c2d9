"""What is known of a set of weights: enough to find them, to rebuild the network, to feed it, and to check what is claimed."""

import json
from dataclasses import asdict, dataclass, fields
from typing import Any

from resnetlib.models.catalog import SPECS
from resnetlib.models.spec import Spec, spec_from_dict
from resnetlib.modules import Backbone
from resnetlib.text import printable
from resnetlib.weights.dialects import simplest
from resnetlib.weights.dialects.structure import MOST_STAGES
from resnetlib.weights.preprocess import Preprocessing
from resnetlib.weights.sources import Source

LONGEST_NAME = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class Contract:
    """What a set of weights says of itself.

    Args:
        name: of the network; "" for one that has none.
        tag: of the weights, among those of this network; "" for weights that are in no catalogue.
        spec: the architecture.
        classes: what the logits stand for; None where that is not known.
        class_ids: the classes' identifiers, where they have some: WordNet's for ImageNet.
        preprocess: the network's input, as it was evaluated; None where that is not known.
        params: numbers that the network learned.
        gmacs: multiply-accumulate operations of the network for one image of 224 x 224 (ImageNet) or 32 x 32 (CIFAR), in 10^9.
        top1: share of images classified right, in percent, published or measured; None where there is no figure.
        top5: share of images whose class is among the first five guesses, in percent.
        train_top1: share of the training images classified right, in percent, evaluated like the others.
        evaluated_on: the images and the pipeline of those figures.
        recipe: how the weights were trained.
        license: under which the weights are given.
        origin: who made them.
        sources: where they lie, in the order in which they are tried.

    Raises:
        ValueError: for a value of another type.
    """

    name: str
    tag: str
    spec: Spec
    classes: tuple[str, ...] | None = None
    class_ids: tuple[str, ...] | None = None
    preprocess: Preprocessing | None = None
    params: int | None = None
    gmacs: float | None = None
    top1: float | None = None
    top5: float | None = None
    train_top1: float | None = None
    evaluated_on: str = ""
    recipe: str = ""
    license: str = ""
    origin: str = ""
    sources: tuple[Source, ...] = ()

    def __post_init__(self) -> None:
        for field in ("name", "tag", "evaluated_on", "recipe", "license", "origin"):
            if not isinstance(getattr(self, field), str):
                raise ValueError(f"a contract's {field} must be a str, got {getattr(self, field)!r}")
        for field in ("name", "tag"):  # which errors show
            if not getattr(self, field).isprintable() or len(getattr(self, field)) > LONGEST_NAME:
                shown = printable(getattr(self, field), 80)
                raise ValueError(f"a contract's {field} must be at most {LONGEST_NAME} printable characters, got '{shown}'")
        if len(self.spec.depths) > MOST_STAGES:
            raise ValueError(f"a network has at most {MOST_STAGES} stages, got {len(self.spec.depths):,}")
        for field in ("classes", "class_ids"):
            names = getattr(self, field)
            if names is not None and (not isinstance(names, tuple) or not all(isinstance(name, str) for name in names)):
                raise ValueError(f"a contract's {field} must be a tuple of strs, got {names!r}")
        for field in ("top1", "top5", "train_top1"):
            share = getattr(self, field)
            if share is not None and (not isinstance(share, float) or not 0 <= share <= 100):
                raise ValueError(f"a contract's {field} must be a float, in percent, got {share!r}")
        if self.params is not None and (not isinstance(self.params, int) or self.params < 1):
            raise ValueError(f"a contract's params must be an int above 0, got {self.params!r}")
        if self.gmacs is not None and (not isinstance(self.gmacs, float) or not self.gmacs > 0):
            raise ValueError(f"a contract's gmacs must be a float above 0, got {self.gmacs!r}")
        if not isinstance(self.sources, tuple) or not all(isinstance(source, Source) for source in self.sources):
            raise ValueError(f"a contract's sources must be a tuple of sources, got {self.sources!r}")
        if self.class_ids is not None and len(self.class_ids) != len(self.classes or ()):
            raise ValueError(f"a contract names {len(self.classes or ())} classes and {len(self.class_ids)} class_ids")

    @property
    def full_name(self) -> str:
        """Name and tag, as `create_model` takes them: `resnet50.tv2_in1k`."""
        return f"{self.name}.{self.tag}" if self.tag else self.name

    def to_json(self) -> str:
        """Return the contract as JSON, on one line; without the sources, which are where it was found, not what it is."""
        values = asdict(self)
        del values["sources"]
        return json.dumps({**values, "spec": json.loads(self.spec.to_json())})


def check_contract(contract: Contract, net: Backbone) -> None:
    """Raise ValueError for a contract that is not true of a network.

    Args:
        contract: what is said.
        net: of this network.

    Raises:
        ValueError: if the spec, the name, the number of classes, of channels or of parameters is another network's.
    """
    if not isinstance(net, Backbone):
        raise TypeError(f"net must be a network of this library, got {type(net).__name__}; of a wrapper, give net.module")
    if contract.spec != net.spec:
        raise ValueError(f"the contract is another network's:\n  {contract.spec}\n  {net.spec}")
    if contract.name in SPECS and simplest(SPECS[contract.name]) != simplest(net.spec):
        raise ValueError(f"the contract calls this network {contract.name}, which is another one: {SPECS[contract.name]}")
    if contract.classes is not None and len(contract.classes) != net.num_classes:
        raise ValueError(f"there are {len(contract.classes)} classes, and the network has {net.num_classes} logits")
    if contract.preprocess is not None and contract.preprocess.channels != net.in_channels:
        raise ValueError(
            f"the preprocessing makes {contract.preprocess.channels} channels, and the network takes {net.in_channels}: set "
            "net.preprocess to another one, or to None"
        )
    params = sum(parameter.numel() for parameter in net.parameters())
    if contract.params not in (None, params):
        raise ValueError(f"the contract says {contract.params:,} parameters, and the network has {params:,}")


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
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"the contract cannot be read: {printable(repr(error))}") from error
    return contract_from_dict(values)


def contract_from_dict(values: dict[str, Any]) -> Contract:
    """Make a contract from the object that its JSON holds.

    Args:
        values: the fields.

    Returns:
        The contract.

    Raises:
        ValueError: for an unknown or missing field, or a value outside what is accepted.
    """
    try:
        unknown = sorted(set(values) - ({field.name for field in fields(Contract)} - {"sources"}))
        if unknown:
            raise ValueError(f"unknown fields: {', '.join(unknown)}")
        preprocess = values.get("preprocess")
        return Contract(
            **{
                **_tuples(values),
                "spec": spec_from_dict(values["spec"]),
                "preprocess": None if preprocess is None else Preprocessing(**_tuples(preprocess)),
            }
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError(f"the contract cannot be read: {printable(repr(error), 1000)}") from error


def _tuples(values: dict[str, Any]) -> dict[str, Any]:
    """Give an object of JSON the tuples that it was made from."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
