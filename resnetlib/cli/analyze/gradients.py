"""`resnetlib analyze gradients`: their two terms, and their norms."""

from typing import TYPE_CHECKING

import click

from resnetlib.cli.analyze.common import Findings, analysis, check_exact

if TYPE_CHECKING:
    from torch import Tensor

    from resnetlib.modules import Backbone


@analysis
def gradients(net: "Backbone", batches: list[tuple["Tensor", "Tensor"]], precision: str) -> Findings:
    """Do gradients reach the first blocks of NAME? Their norms by block, and dE/dx_l = dE/dx_L + the term through branches."""
    from resnetlib.analysis import gradient_decomposition, gradient_flow

    check_exact(precision)
    flow = gradient_flow(net, batches)
    terms = gradient_decomposition(net, batches)
    click.echo(
        f"norm of the gradient at the first block's input {flow.feature_norm[0]:.3g}, at the last block's output "
        f"{flow.feature_norm[-1]:.3g}: {flow.first_to_last:.3g} times"
    )
    for i, (first, last) in enumerate(terms.chains):
        click.echo(
            f"{terms.blocks[first]} to {terms.blocks[last - 1]}: {terms.survival[first]:.2f} of ||dE/dx_L|| arrives through skips "
            f"alone; both terms are autograd's gradient but for {terms.deviation[i]:.1e}"
        )
    return {"gradient_flow": flow, "gradient_decomposition": terms}
