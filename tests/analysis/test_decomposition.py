"""dE/dx_l = dE/dx_L + (...): by hand, against detached branches, and in every family."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from math import sqrt

import pytest
import torch
from families import FAMILIES
from hand import Times
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from resnetlib import Add, Concat, Replace, ScaledAdd, Spec, build
from resnetlib.analysis import chains_of, gradient_decomposition
from resnetlib.modules import Block, Join

IMAGES = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 1, 2, 3])


@pytest.mark.parametrize(
    ("join", "skip", "branch"), [(Add(), 1.0, -3.0), (ScaledAdd(0.5), 1.0, -1.5), (Replace(), 0.0, -3.0)], ids=lambda v: str(v)
)
def test_by_hand(join: Join, skip: float, branch: float) -> None:
    net = nn.Sequential(Times(-3.0, join=join), Times(0.5), nn.Flatten())
    found = gradient_decomposition(net, torch.zeros(2, 2, 1, 1), torch.tensor([0, 1]))
    g = sqrt(0.5)  # at the logits (0, 0)
    # before the second block: 1 by the skip, and 0.5; before the first: skip, and the rest of (skip + branch) 1.5
    whole = (skip + branch) * 1.5
    assert found.last_norm.tolist() == pytest.approx([g])
    assert found.skip_norm.tolist() == pytest.approx([skip * g, g])
    assert found.branch_norm.tolist() == pytest.approx([abs(whole - skip) * g, 0.5 * g])
    assert found.norm.tolist() == pytest.approx([abs(whole) * g, 1.5 * g])
    assert found.survival.tolist() == pytest.approx([skip, 1])
    assert found.cosine.tolist() == pytest.approx([-1 if skip else torch.nan, 1], nan_ok=True)
    assert found.deviation == (0.0,)


def test_a_relu_behind_the_sum_lets_through_what_it_lets_through() -> None:
    net = nn.Sequential(Times(1.0, relu=True), nn.Flatten())
    found = gradient_decomposition(net, torch.tensor([1.0, -1.0]).view(1, 2, 1, 1), torch.tensor([0]))
    assert found.survival.tolist() == pytest.approx([sqrt(0.5)])  # one of two equal parts
    torch.testing.assert_close(found.branch_norm, found.skip_norm)


def test_concatenation_hands_back_the_old_channels() -> None:
    net = nn.Sequential(Times(1.0, join=Concat()), nn.Flatten())
    found = gradient_decomposition(net, torch.zeros(1, 2, 1, 1), torch.tensor([0]))
    # at the four logits: -3/4, 1/4 on the old channels, 1/4, 1/4 on the new
    assert found.skip_norm.tolist() == pytest.approx([sqrt(10) / 4])
    assert found.branch_norm.tolist() == pytest.approx([sqrt(2) / 4])
    assert found.cosine.tolist() == pytest.approx([-2 / sqrt(20)])
    assert found.survival.tolist() == pytest.approx([sqrt(10 / 12)])


@contextmanager
def detached(blocks: list[Block]) -> Iterator[None]:
    with ExitStack() as stack:
        for block in blocks:
            stack.callback(block.join.register_forward_pre_hook(lambda join, args: (args[0], args[1].detach())).remove)
        yield


def gradient_at(net: nn.Module, block: Block) -> Tensor:
    """autograd's gradient of the summed loss with respect to a block's input."""
    seen: list[Tensor] = []
    with ExitStack() as stack:
        stack.callback(block.register_forward_pre_hook(lambda block, args: seen.append(args[0])).remove)
        loss = cross_entropy(net(IMAGES.clone().requires_grad_()), LABELS, reduction="sum")
    (gradient,) = torch.autograd.grad(loss, seen, materialize_grads=True)
    return gradient.double()


@pytest.mark.parametrize("training", [False, True])
def test_against_detached_branches(spec: Spec, training: bool) -> None:
    net = build(spec, num_classes=5).train(training)
    found = gradient_decomposition(net, IMAGES, LABELS, training=training)
    for chain in chains_of(net, IMAGES):
        for i, name in enumerate(chain):
            blocks = [net.get_submodule(other) for other in chain[i:]]
            whole = gradient_at(net, blocks[0])
            with detached(blocks):
                first = gradient_at(net, blocks[0])
            k = found.blocks.index(name)
            expected = torch.stack([first.norm(), (whole - first).norm(), whole.norm()]) / 2  # a root mean square over 4 images
            torch.testing.assert_close(
                torch.stack([found.skip_norm[k], found.branch_norm[k], found.norm[k]]), expected, rtol=1e-4, atol=1e-7
            )
            cosine = (first * (whole - first)).sum() / first.norm() / (whole - first).norm()
            torch.testing.assert_close(found.cosine[k], cosine, rtol=1e-3, atol=1e-4, equal_nan=True)
    assert max(found.deviation) < 1e-5


@pytest.mark.parametrize("name", ["preact", "preact-bottleneck", "preact-stem-norm"])
def test_what_skips_is_undamped_where_nothing_follows_the_join(name: str) -> None:
    net = build(FAMILIES[name], num_classes=5)
    found = gradient_decomposition(net, IMAGES, LABELS)
    free = [i for i, block in enumerate(net.blocks()) if block.downsample is None]
    assert len(free) > 0
    torch.testing.assert_close(found.survival[free], torch.ones(len(free), dtype=torch.float64), rtol=1e-6, atol=0)


def test_nothing_skips_in_plain_networks() -> None:
    found = gradient_decomposition(build(FAMILIES["plain"], num_classes=5), IMAGES, LABELS)
    assert found.skip_norm.tolist() == [0, 0, 0]
    assert torch.equal(found.branch_norm, found.norm)


def test_batches_do_not_matter_where_images_do_not_see_one_another() -> None:
    net = build(FAMILIES["preact"], num_classes=5)
    whole = gradient_decomposition(net, IMAGES, LABELS, training=False)
    parts = gradient_decomposition(net, ((IMAGES[i], LABELS[i]) for i in (slice(0, 1), slice(1, 4))), training=False)
    for field in ("last_norm", "skip_norm", "branch_norm", "norm"):
        torch.testing.assert_close(getattr(parts, field), getattr(whole, field), rtol=1e-5, atol=0)
    torch.testing.assert_close(parts.cosine, whole.cosine, rtol=1e-3, atol=1e-5)


def test_what_stands_between_blocks_ends_a_chain() -> None:
    net = nn.Sequential(Times(1.0), nn.Hardtanh(-1, 1), Times(1.0), nn.Flatten())
    found = gradient_decomposition(net, torch.tensor([3.0, 0.0]).view(1, 2, 1, 1), torch.tensor([0]))
    assert found.chains == ((0, 1), (1, 2))
    assert found.deviation == (0, 0)


def test_what_is_wrong_is_said() -> None:
    net = build(FAMILIES["resnet"], num_classes=5)
    with pytest.raises(ValueError, match="Sequential has no blocks with joins"):
        gradient_decomposition(nn.Sequential(nn.Flatten()), IMAGES, LABELS)
    with pytest.raises(ValueError, match="there are no images"):
        gradient_decomposition(net, iter(()))
    with pytest.raises(ValueError, match="labels are missing"):
        gradient_decomposition(net, [IMAGES])
    with pytest.raises(ValueError, match="loss on these images must be a finite number, got nan"):
        gradient_decomposition(net, IMAGES * torch.inf, LABELS)
