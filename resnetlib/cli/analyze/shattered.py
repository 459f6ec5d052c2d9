"""`resnetlib analyze shattered`: whether gradients look like noise."""

from typing import TYPE_CHECKING

import click

from resnetlib.cli.analyze.common import Findings, analysis

if TYPE_CHECKING:
    from torch import Tensor

    from resnetlib.modules import Backbone


@analysis
def shattered(net: "Backbone", batches: list[tuple["Tensor", "Tensor"]], seed: int) -> Findings:
    """Do the gradients of NAME look like white noise? Their autocorrelation from image to image, and the rank of their matrix."""
    import torch

    from resnetlib.analysis import effective_rank, gradient_autocorrelation

    images = torch.cat([x for x, _ in batches])[:8]
    if len(images) < 2:
        raise ValueError("lines go from one image to the next: give two --images at least")
    lines = gradient_autocorrelation(net, images[: len(images) // 2 * 2], seed=seed)  # a line for each pair
    rank = effective_rank(net, batches, unit_rows=True, seed=seed)
    mean = lines.by_line.mean(0)
    click.echo(f"autocorrelation at lag 1: {mean[1]:.3f}; white noise {lines.white[1]:.3f}, brown {lines.brown[1]:.3f}")
    click.echo(
        f"stable rank {rank.stable_rank:.1f}, effective rank {rank.effective_rank:.1f} of {rank.shape[0]} images; "
        f"of a Gaussian matrix {rank.gaussian_stable_rank:.1f} and {rank.gaussian_effective_rank:.1f}"
    )
    return {"autocorrelation": lines, "effective_rank": rank}
