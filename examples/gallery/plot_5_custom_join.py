"""
A join of your own
==================

The families differ in one line: how a block joins its skip and its branch. The join is a module, so another one makes another
network. This one is a convex mix, as in highway networks (arXiv 1505.00387), with one share for all of a block's features.
"""

import matplotlib.pyplot as plt
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from resnetlib import BasicBlock
from resnetlib.modules import Join


class Mix(Join):
    """y = (1 - t) skip + t branch, with t learned."""

    def __init__(self) -> None:
        super().__init__()
        self.logit = nn.Parameter(torch.zeros(()))

    def forward(self, skip: Tensor, branch: Tensor) -> Tensor:
        t = self.logit.sigmoid()
        return (1 - t) * skip + t * branch


# %%
# Eight blocks with it, trained for a moment to tell the orientation of stripes.

torch.manual_seed(0)
blocks = nn.Sequential(*(BasicBlock(8, 8, join=Mix) for _ in range(8)))
net = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2))
wave = torch.sin(torch.arange(16) * 1.2)
optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
shares, losses = [], []
for _ in range(60):
    labels = torch.randint(2, (16,))
    stripes = torch.stack([wave.expand(16, 16).T if label else wave.expand(16, 16) for label in labels])
    loss = cross_entropy(net(stripes[:, None] + 0.5 * torch.randn(16, 1, 16, 16)), labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
    shares.append([block.join.logit.sigmoid().item() for block in blocks])
print(f"loss: {losses[0]:.3f} at the beginning, {losses[-1]:.3f} at the end")

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3))
left.plot(losses, color="black")
left.set(xlabel="iteration", ylabel="loss (nats)")
right.plot(shares, label=[f"block {i}" for i in range(1, 9)])
right.set(xlabel="iteration", ylabel="t, the branch's share")
right.legend(fontsize=7, ncols=2)
figure.tight_layout()
plt.show()
