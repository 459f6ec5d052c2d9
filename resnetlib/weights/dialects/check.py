"""Whether tensors can be of the network that they are said to be of, as far as their names tell."""

from dataclasses import replace

from resnetlib.config import ResNetSpec, Spec
from resnetlib.weights.dialects.recognise import Recognised, why_not


def check_size(found: Recognised, spec: Spec, *, source: str) -> None:
    """Raise ValueError for a network with more blocks than there are tensors, before anybody builds it.

    Args:
        found: the tensors.
        spec: the network's.
        source: what to call the weights in an error.

    Raises:
        ValueError: if there are too few.
    """
    if sum(spec.depths) > len(found.state):
        raise ValueError(f"{source} hold {len(found.state)} tensors, too few for the {sum(spec.depths):,} blocks of {spec}")


def check_spec(found: Recognised, spec: Spec, *, source: str, by_name: bool = False) -> None:
    """Raise ValueError unless the dialect of some tensors has the network that they are to be put into.

    Args:
        found: the tensors.
        spec: the network's.
        source: what to call the weights in an error.
        by_name: whether the network is known by its name alone. Where the dialect's networks of that name come with the stride in
            either convolution of a bottleneck, this is not enough.

    Raises:
        ValueError: if the dialect has no such network, or has it in two forms.
    """
    if found.unknown:
        return  # what is wrong with these is said where they are fitted
    reasons = [why_not(spec, dialect) for dialect in found.dialects]
    if None not in reasons:
        raise ValueError(f"{source} have the names of {found.dialects[0]}, and {reasons[0]}")
    if not by_name or "resnetlib" in found.dialects or not isinstance(spec, ResNetSpec) or spec.block == "basic":
        return
    other = replace(spec, stride_in="1x1" if spec.stride_in == "3x3" else "3x3")
    both = [dialect for dialect in found.dialects if why_not(other, dialect) is None]
    if both:
        raise ValueError(
            f"{source} have the names of {both[0]}, whose networks take the stride in the 3x3 or in the 1x1 convolution, and "
            "nothing tells which: say it with load_file(path, spec=...), stride_in='3x3' or stride_in='1x1' in the spec"
        )
