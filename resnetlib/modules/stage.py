"""A stage: blocks one after the other, recomputed in the backward pass where memory is short."""

import torch
from torch import Tensor, nn

from resnetlib.modules.recompute import recompute


class Stage(nn.Sequential):
    """block, block, ...

    Shapes:
        `(N, C_in, H, W)` -> `(N, C_out, ceil(H/s), ceil(W/s))`, C_out those of the last block, s the product of the strides.
    """

    checkpointing: bool = False
    """Whether training keeps only the blocks' inputs, and computes the rest twice."""

    @property
    def recomputes(self) -> bool:
        """Whether the next forward pass keeps only the blocks' inputs; compilers and tracers decide by themselves what to keep."""
        tracing = torch.compiler.is_compiling() or torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
        return self.checkpointing and torch.is_grad_enabled() and not tracing

    def forward(self, x: Tensor) -> Tensor:
        """Run the blocks."""
        for block in self:
            x = recompute(block, x, module=block) if self.recomputes else block(x)
        return x
