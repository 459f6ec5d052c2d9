"""Directions in the space of a network's parameters: filter-normalised random ones, and what is measured along any."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from resnetlib.analysis.inputs import seeded_generator
from resnetlib.analysis.network import unwrapped
from resnetlib.modules.threads import in_use

Direction = Mapping[str, Tensor]
"""What is added to each parameter, by the parameter's name."""


def filter_normalized_direction(
    net: nn.Module, seed: int | torch.Generator = 0, *, ignore_norms_and_biases: bool = True
) -> dict[str, Tensor]:
    """`d_j <- d_j |theta_j| / (|d_j| + 1e-10)` for every filter j of a direction drawn from N(0, 1).

    A filter is a slice of a parameter along its first dimension: what makes one channel of a convolution, one output of a linear
    layer. Parameters of at most one dimension (biases, and the scales and shifts of norms) have no filters.

    Args:
        net: the network, which the direction is as long as.
        seed: of the draw, which is made on the CPU and is the same on all devices; or a generator, to go on drawing from.
        ignore_norms_and_biases: leave parameters of at most one dimension where they are, d = 0. If not, their direction is
            theta itself, as published, so that they are scaled.

    Returns:
        The direction, on the CPU.

    Raises:
        ValueError: if the network has no parameters.

    Source:
        arXiv 1712.09913, sec. 4, and the authors' code, from which 1e-10 and the case of one dimension are.

    Example:
        >>> layer = nn.Linear(4, 2)
        >>> direction = filter_normalized_direction(layer)
        >>> torch.allclose(direction["weight"].norm(dim=1), layer.weight.norm(dim=1))
        True
        >>> direction["bias"]
        tensor([0., 0.])
    """
    generator = seed if isinstance(seed, torch.Generator) else seeded_generator(seed)
    direction = {}
    for name, theta in parameters_of(net).items():
        at_least_fp32 = theta.cpu().to(torch.promote_types(theta.dtype, torch.float32))
        d = torch.randn(theta.shape, generator=generator).to(at_least_fp32.dtype)
        if theta.ndim > 1:
            d *= _norms(at_least_fp32) / (_norms(d) + 1e-10)
        else:
            d = torch.zeros_like(d) if ignore_norms_and_biases else at_least_fp32.clone()
        direction[name] = d.to(theta.dtype)
    return direction


def draw_directions(net: nn.Module, dimensions: int, seed: int, ignore_norms_and_biases: bool) -> list[dict[str, Tensor]]:
    """Draw filter-normalised directions one after the other, independently.

    Args:
        net: the network.
        dimensions: how many.
        seed: of the draws.
        ignore_norms_and_biases: leave parameters of at most one dimension where they are.

    Returns:
        The directions.

    Raises:
        ValueError: for another number than one or two.
    """
    if dimensions not in (1, 2):
        raise ValueError(f"dimensions must be 1 or 2, got {dimensions}")
    generator = seeded_generator(seed)
    return [filter_normalized_direction(net, generator, ignore_norms_and_biases=ignore_norms_and_biases) for _ in range(dimensions)]


def parameters_of(net: nn.Module) -> dict[str, Tensor]:
    """Return the parameters, detached, each once.

    Args:
        net: the network.

    Returns:
        They, by their names.

    Raises:
        ValueError: if there are none.
    """
    net = unwrapped(net)
    with in_use(net, alone=False):  # an analysis in another thread may have put others in their place
        parameters = {name: parameter.detach() for name, parameter in net.named_parameters()}
    if not parameters:
        raise ValueError(f"{type(net).__name__} has no parameters: there is nothing to move")
    return parameters


def check_directions(net: nn.Module, directions: Sequence[Direction]) -> tuple[dict[str, Tensor], ...]:
    """Lay directions where the network is.

    Args:
        net: the network.
        directions: one or two.

    Returns:
        They, in the order of the network's parameters.

    Raises:
        ValueError: if they are not one or two, not finite, or not of the network's names and shapes.
    """
    parameters = parameters_of(net)
    if isinstance(directions, str | Mapping) or not isinstance(directions, Sequence) or len(directions) not in (1, 2):
        got = len(directions) if isinstance(directions, Sequence) else type(directions).__name__
        raise ValueError(f"directions must be a sequence of one or two, got {got}")
    for direction in directions:
        if not isinstance(direction, Mapping) or not all(isinstance(tensor, Tensor) for tensor in direction.values()):
            raise ValueError(f"a direction must be a mapping of parameters' names to tensors, got {type(direction).__name__}")
        if direction.keys() != parameters.keys():
            odd = sorted(direction.keys() ^ parameters.keys())
            raise ValueError(f"a direction must have a tensor for each of the network's parameters, which differs in {odd[:5]}")
        for name, theta in parameters.items():
            if direction[name].shape != theta.shape:
                was, wanted = tuple(direction[name].shape), tuple(theta.shape)
                raise ValueError(f"a direction must be of its parameters' shapes: {name} is {wanted}, got {was}")
            if theta.isfinite().all() and not direction[name].isfinite().all():  # else it is the network that is not
                raise ValueError(f"a direction must be finite, and has NaN or infinite numbers for {name}")
    return tuple({name: d[name].detach().to(theta.device, theta.dtype) for name, theta in parameters.items()} for d in directions)


def dot(one: Direction, other: Direction) -> float:
    """Return the inner product of two directions, summed in float64.

    Args:
        one: a direction.
        other: one of the same names.

    Returns:
        The product.
    """
    return sum(float(one[name].double().flatten() @ other[name].double().flatten()) for name in one)


def cosine(one: Direction, other: Direction) -> float:
    """Return the cosine of the angle between two directions.

    Args:
        one: a direction.
        other: one of the same names.

    Returns:
        It, NaN where one of them is zero.
    """
    lengths = (dot(one, one) * dot(other, other)) ** 0.5
    return dot(one, other) / lengths if lengths else float("nan")


def _norms(parameter: Tensor) -> Tensor:
    """Return the norm of each filter, in the parameter's number of dimensions."""
    norms: Tensor = torch.linalg.vector_norm(parameter, dim=tuple(range(1, parameter.ndim)), keepdim=True)
    return norms
