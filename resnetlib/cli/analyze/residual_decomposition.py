"""`resnetlib analyze residual-decomposition`: x_L = x_l + sum F(x_i)."""

from typing import TYPE_CHECKING

import click

from resnetlib.cli.analyze.common import Findings, analysis, check_exact

if TYPE_CHECKING:
    from torch import Tensor

    from resnetlib.modules import Backbone


@analysis
def residual_decomposition(net: "Backbone", batches: list[tuple["Tensor", "Tensor"]], precision: str) -> Findings:
    """Is a deep feature the shallow one plus what the blocks add? Measures x_L = x_l + sum F(x_i) in each stage of NAME."""
    from resnetlib.analysis import residual_decomposition as measure

    check_exact(precision)
    found = measure(net, batches)
    for i, (first, last) in enumerate(found.chains):
        click.echo(
            f"{found.blocks[first]} to {found.blocks[last - 1]}: deviates by {found.deviation[i]:.1e} of the largest |x_L|, with "
            f"relus as terms by {found.deviation_with_out[i]:.1e}; shares of x_L: x_l {found.share_of_skip[i]:.2f}, blocks "
            f"{found.share[first:last].sum():.2f}, relus {found.share_of_out[i]:.2f}"
        )
    return {"residual_decomposition": found}
