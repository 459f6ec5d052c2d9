"""Random directions through a network's parameters, scaled filter by filter."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from resnetlib.analysis.batches import seeded_generator, standard_normal
from resnetlib.config.integers import as_integer
from resnetlib.errors import InputError
from resnetlib.modules.backbone import unwrapped
from resnetlib.modules.thread_guards import in_use

Direction = Mapping[str, Tensor]
"""The change of each parameter, by name."""


def filter_normalized_direction(
    net: nn.Module, seed: int | torch.Generator = 0, *, ignore_norms_and_biases: bool = True
) -> dict[str, Tensor]:
    """Draw a direction from N(0, 1), and scale each filter j: `d_j <- d_j |theta_j| / (|d_j| + 1e-10)`.

    A filter is a slice of a parameter along its first dimension: one output channel of a convolution, one output of a linear
    layer. Parameters of at most one dimension (biases, scales and shifts of norms) have no filters.

    Args:
        net: any module with parameters.
        seed: of the draw, which is made on the CPU and is the same on all devices; or a generator to continue.
        ignore_norms_and_biases: let d = 0 for parameters of at most one dimension. Otherwise d is the parameter itself, as
            published, which scales it.

    Returns:
        The direction, on the CPU.

    Source:
        arXiv 1712.09913, sec. 4. The 1e-10 and the treatment of one-dimensional parameters are from the authors' code.

    Example:
        >>> layer = nn.Linear(4, 2)
        >>> direction = filter_normalized_direction(layer)
        >>> torch.allclose(direction["weight"].norm(dim=1), layer.weight.norm(dim=1))
        True
    """
    generator = seed if isinstance(seed, torch.Generator) else seeded_generator(seed)
    direction = {}
    for name, theta in parameters_of(net).items():
        at_least_fp32 = theta.cpu().to(torch.promote_types(theta.dtype, torch.float32))
        d = standard_normal(theta.shape, generator).to(at_least_fp32.dtype)
        if theta.ndim > 1:
            d *= _filter_norms(at_least_fp32) / (_filter_norms(d) + 1e-10)
        else:
            d = torch.zeros_like(d) if ignore_norms_and_biases else at_least_fp32.clone()
        direction[name] = d.to(theta.dtype)
    return direction


def draw_directions(net: nn.Module, dimensions: int, seed: int, ignore_norms_and_biases: bool) -> list[dict[str, Tensor]]:
    """Draw one or two independent, filter-normalized directions."""
    if as_integer(dimensions) not in (1, 2):
        raise InputError(f"dimensions must be 1 or 2, got {dimensions!r}")
    generator = seeded_generator(seed)
    return [filter_normalized_direction(net, generator, ignore_norms_and_biases=ignore_norms_and_biases) for _ in range(dimensions)]


def parameters_of(net: nn.Module) -> dict[str, Tensor]:
    """Return the parameters by name, detached; raise ValueError if there are none."""
    net = unwrapped(net)
    with in_use(net, exclusive=False):  # another thread may have replaced them for an analysis
        parameters = {name: parameter.detach() for name, parameter in net.named_parameters()}
    if not parameters:
        raise InputError(f"{type(net).__name__} has no parameters to move")
    return parameters


def check_directions(net: nn.Module, directions: Sequence[Direction]) -> tuple[dict[str, Tensor], ...]:
    """Return directions on the network's device, in the order of its parameters; raise ValueError unless they fit it."""
    parameters = parameters_of(net)
    if isinstance(directions, str | Mapping) or not isinstance(directions, Sequence) or len(directions) not in (1, 2):
        got = len(directions) if isinstance(directions, Sequence) else type(directions).__name__
        raise InputError(f"directions must be a sequence of one or two, got {got}")
    for direction in directions:
        if not isinstance(direction, Mapping) or not all(isinstance(tensor, Tensor) for tensor in direction.values()):
            raise InputError(f"a direction must be a mapping of parameter names to tensors, got {type(direction).__name__}")
        if direction.keys() != parameters.keys():
            odd = sorted(direction.keys() ^ parameters.keys())
            raise InputError(f"a direction must have a tensor for each of the network's parameters; these names differ: {odd[:5]}")
        for name, theta in parameters.items():
            if direction[name].shape != theta.shape:
                was, wanted = tuple(direction[name].shape), tuple(theta.shape)
                raise InputError(f"a direction must have its parameters' shapes: {name} is {wanted}, got {was}")
            # a parameter that itself is not finite is reported later
            if theta.isfinite().all() and not direction[name].isfinite().all():
                raise InputError(f"a direction must be finite, but has NaN or infinite numbers for {name}")
    return tuple({name: d[name].detach().to(theta.device, theta.dtype) for name, theta in parameters.items()} for d in directions)


def cosine(one: Direction, other: Direction) -> float:
    """Return the cosine of the angle between two directions, summed in float64; NaN if one of them is zero."""
    a, b = (torch.cat([direction[name].double().flatten() for name in one]) for direction in (one, other))
    return float(a @ b / (a.norm() * b.norm()))


def _filter_norms(parameter: Tensor) -> Tensor:
    norms: Tensor = torch.linalg.vector_norm(parameter, dim=tuple(range(1, parameter.ndim)), keepdim=True)
    return norms
