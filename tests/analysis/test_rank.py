"""Ranks of gradient matrices: by hand, and against gradients one by one and singular values of numpy's."""

import numpy as np
import pytest
import torch
from families import FAMILIES
from torch import nn
from torch.nn.functional import cross_entropy

from resnetlib import build
from resnetlib.analysis import effective_rank

IMAGES = torch.randn(6, 3, 16, 16, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 1, 2, 3, 4, 0])


def test_by_hand() -> None:
    net = nn.Sequential(nn.Flatten())  # the logits are the inputs, and the gradients p - onehot
    opposite = effective_rank(net, torch.zeros(2, 2, 1, 1), torch.tensor([0, 1]))
    assert opposite.stable_rank == pytest.approx(1)
    assert opposite.effective_rank == pytest.approx(1)
    assert opposite.singular_values.tolist() == pytest.approx([1, 0], abs=1e-7)
    # all three labels: the identity less its mean, whose singular values are 1, 1, 0
    three = effective_rank(net, torch.zeros(3, 3, 1, 1), torch.arange(3))
    assert three.stable_rank == pytest.approx(2)
    assert three.effective_rank == pytest.approx(2, rel=1e-5)


@pytest.mark.parametrize("unit_rows", [False, True])
def test_against_gradients_one_by_one(unit_rows: bool) -> None:
    net = build(FAMILIES["resnet"], num_classes=5)
    found = effective_rank(net, ((IMAGES[i], LABELS[i]) for i in (slice(0, 2), slice(2, 6))), unit_rows=unit_rows, seed=3)
    net.eval()
    rows = []
    for image, label in zip(IMAGES, LABELS, strict=True):
        x = image.clone().requires_grad_()
        cross_entropy(net(x[None]), label[None]).backward()
        rows.append(x.grad.flatten().double())
    matrix = torch.stack([row / row.norm() if unit_rows else row for row in rows])
    values = np.linalg.svd(matrix.numpy(), compute_uv=False)
    shares = values / values.sum()
    torch.testing.assert_close(found.singular_values, torch.linalg.svdvals(matrix), rtol=1e-4, atol=1e-8)
    assert found.stable_rank == pytest.approx((matrix**2).sum().item() / values[0] ** 2, rel=1e-4)
    assert found.effective_rank == pytest.approx(np.exp(-(shares * np.log(shares)).sum()), rel=1e-4)
    gaussian = np.linalg.svd(
        torch.randn(6, 768, generator=torch.Generator().manual_seed(3), dtype=torch.float64).numpy(), compute_uv=False
    )
    assert found.gaussian_stable_rank == pytest.approx((gaussian**2).sum() / gaussian[0] ** 2)
    assert found.relative_stable_rank == pytest.approx(found.stable_rank / found.gaussian_stable_rank)
    assert found.relative_effective_rank == pytest.approx(found.effective_rank / found.gaussian_effective_rank)
    assert found.shape == (6, 768)


def test_what_is_wrong_is_said() -> None:
    with pytest.raises(ValueError, match="all gradients are zero"):
        effective_rank(build(FAMILIES["resnet-fixup"], num_classes=5), IMAGES, LABELS)
    net = build(FAMILIES["resnet"], num_classes=5)
    with pytest.raises(ValueError, match="labels are missing"):
        effective_rank(net, IMAGES)
    with pytest.raises(ValueError, match="there are no images"):
        effective_rank(net, IMAGES[:0], LABELS[:0])
    with pytest.raises(ValueError, match="loss on these images must be a finite number, got nan"):
        effective_rank(net, IMAGES * torch.nan, LABELS)
