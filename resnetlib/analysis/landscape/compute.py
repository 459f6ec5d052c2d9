"""Computing the loss over a line or plane through a network's parameters."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from resnetlib.analysis.inputs import Batches, check_seed, count_images, gather
from resnetlib.analysis.landscape.compiled import Compiled
from resnetlib.analysis.landscape.directions import Direction, check_directions, cosine, draw_directions
from resnetlib.analysis.landscape.grid import Span, check_grid
from resnetlib.analysis.landscape.keeping import begun, check_centre, check_path, kept, made_of
from resnetlib.analysis.landscape.points import BatchNorm, Loss, Points, Precision, channels_last, check_choices
from resnetlib.analysis.landscape.surface import Landscape
from resnetlib.analysis.landscape.survey import UNKNOWN, Pace, default_workers, one_core_each, survey, timed
from resnetlib.analysis.landscape.team import join_team
from resnetlib.analysis.network import preserve_state, run, unwrapped
from resnetlib.modules.arguments import check_count

_MOST_WORKERS = 1024


def landscape(
    net: nn.Module,
    batches: Batches,
    span: Span = 1.0,
    points: int = 51,
    *,
    dimensions: int = 2,
    directions: Sequence[Direction] | None = None,
    seed: int = 0,
    ignore_norms_and_biases: bool = True,
    batch_norm: BatchNorm = "running",
    precision: Precision = "fp32",
    loss: Loss = F.cross_entropy,
    out: str | Path | None = None,
    every: float = 30.0,
    workers: int | None = None,
    chunk: int = 1,
    compile: bool = False,  # noqa: A002 - PyTorch's word
) -> Landscape:
    """loss(theta + x dx + y dy) on a grid, along filter-normalised random directions.

    Under torchrun, all processes must call this, each with the network on its own device; they share the points, and all return the
    whole surface. A call that was killed goes on where it was, if `out` is given and the call is the same; the numbers of workers
    and of processes may change.

    Args:
        net: a classifier, any module; in any mode, measured in evaluation, and left as it was.
        batches: images and labels, preprocessed and not augmented.
        span: x and y go from -span to span; or the two ends of each, ((x0, x1), (y0, y1)).
        points: of them, along x, and along y.
        dimensions: 2 for a plane, 1 for a line; where directions are given, it is their number.
        directions: dx, or dx and dy; None for filter-normalised random ones.
        seed: of the random directions, which are drawn one after the other, independently.
        ignore_norms_and_biases: of the random directions, as in `filter_normalized_direction`.
        batch_norm: "running": norms use their running statistics, those of the network itself, as published. "recalibrated": at
            each point, running statistics are first estimated anew over the batches. "batch": each batch's own statistics. Frozen
            norms use their running statistics in any case.
        precision: "fp32": the network's own type. "bf16", "fp16": under autocast.
        loss: the mean loss over a batch, of logits and labels, a scalar; batches count by their numbers of images.
        out: a file, .json or .safetensors, that is kept up to date.
        every: so many seconds pass between updates of the file.
        workers: so many points are computed at a time, by a thread each; None for one for each core on a CPU, one on a GPU.
        chunk: so many points each worker computes together, by `torch.func.vmap`. It saves calls of small kernels on a GPU; on a
            CPU it is slower.
        compile: run the network by `torch.compile`, with its norms folded: faster for many points and images, after ten seconds or
            more of compiling for each size of batch, in each call. Values are the same but for the order of roundings, so a file
            goes on whether it is given or not. Statistics are recalibrated uncompiled. It needs what `torch.compile` does: on a
            CPU, a C++ compiler; and a network that is one graph.

    Returns:
        The surface.

    Raises:
        RuntimeError: with `compile`, if there is no C++ compiler, or the network cannot be compiled whole.
        TypeError: if `every` is no number, or `loss` no function.
        ValueError: if the loss of the network itself is not finite, there are no images or labels, an argument is out of range, or
            `out` is of another call.

    Source:
        arXiv 1712.09913, sec. 4 and 5; its authors' grid is span 1, 51 points, over all training images.

    Example:
        >>> net = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
        >>> images, labels = torch.randn(8, 3, 2, 2), torch.arange(8) % 3
        >>> found = landscape(net, (images, labels), points=3)
        >>> found.loss.shape
        torch.Size([3, 3])
        >>> torch.allclose(found.loss[1, 1].float(), F.cross_entropy(net(images), labels))
        True
    """
    points, seed = check_count("points", points, least=1), check_seed(seed)
    net = unwrapped(net)
    data = [(channels_last(x) if chunk == 1 else x, y) for x, y in gather(net, batches)]
    device = data[0][0].device
    check_choices(batch_norm, precision)
    path = check_path(out)
    drawn = directions is None
    along = check_directions(
        net, draw_directions(net, dimensions, seed, ignore_norms_and_biases) if directions is None else directions
    )
    grid = check_grid(span, points, len(along))
    if check_count("workers", 1 if workers is None else workers, least=1) > _MOST_WORKERS:
        raise ValueError(f"workers must be at most {_MOST_WORKERS}, got {workers}")
    if not isinstance(every, int | float) or not callable(loss):
        raise TypeError(f"every must be a number of seconds, and loss a function, got {every!r} and {loss!r}")
    chunk = check_count("chunk", chunk, least=1)
    if compile and chunk > 1:
        raise ValueError(f"compile=True computes points one by one: leave chunk at 1, got {chunk}")
    called = repr(loss) if isinstance(loss, nn.Module) else getattr(loss, "__qualname__", type(loss).__qualname__)
    loss_name = f"{getattr(loss, '__module__', '')}.{called}"
    grid_choices = {"span": grid.span, "points": points}
    made = made_of(net, data, along, batch_norm=batch_norm, precision=precision, loss=loss_name, **grid_choices)

    def found(values: Tensor) -> Landscape:
        return Landscape(
            x=grid.x,
            y=grid.y,
            loss=values[:, 0].view(grid.shape).clone(),
            accuracy=values[:, 1].view(grid.shape).clone(),
            loss_at_centre=float(centre[0, 0]),
            accuracy_at_centre=float(centre[0, 1]),
            cosine=cosine(*along) if len(along) == 2 else None,
            images=count_images(data),
            batch_norm=batch_norm,
            precision=precision,
            seed=seed if drawn else None,
            made_of=made,
        )

    count = workers or default_workers(device)
    with join_team(device) as team, preserve_state(net), one_core_each(count):
        before = begun(path, Landscape, made, team)
        with torch.no_grad():
            run(net, data[0][0])  # or refuse it
        compiled = Compiled() if compile else None
        measures = [
            Points(net, along, data, batch_norm=batch_norm, precision=precision, loss=loss, compiled=compiled) for _ in range(count)
        ]
        with torch.compiler.set_stance("default" if compile else "force_eager"):  # `intact` forces all to be eager
            try:
                centre, seconds = timed(measures[0], torch.zeros(1, len(along)))
            except RuntimeError as error:
                if not compile:
                    raise
                raise RuntimeError(
                    "the network cannot be run with compile=True, which needs a C++ compiler where it computes on a CPU, and a "
                    f"network that is one graph. PyTorch says: {error}"
                ) from error
            if compile and (path is not None or team.size > 1):
                centre, seconds = timed(measures[0], torch.zeros(1, len(along)))  # without the time of compiling
            if not centre.isfinite().all():
                raise ValueError(
                    f"the loss of the network itself is {float(centre[0, 0])} on these images: there is no surface to draw"
                )
            values = torch.full((len(grid.points), 2), UNKNOWN, dtype=torch.float64)
            values[(grid.points == 0).all(1)] = centre
            if before is not None:
                check_centre(path, before.loss_at_centre, float(centre[0, 0]))
                values = kept(path, grid.shape, before.loss, before.accuracy)

            def keep(values: Tensor) -> None:
                if path is not None:
                    found(values).save(path)

            pace = Pace(chunk, seconds, every)
            return found(survey(grid.points, values, measures, team, pace, keep=keep, what="loss landscape"))
