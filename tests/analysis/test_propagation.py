"""Signal propagation: by hand, against a direct forward and timm, and that it grows and is reset as the paper says."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from families import FAMILIES
from hand import Times
from torch import nn

from resnetlib import Concat, build, spec_of
from resnetlib.analysis import signal_propagation

IMAGES = torch.randn(6, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def test_by_hand() -> None:
    x = torch.tensor([[1.0, 10.0], [3.0, 30.0]]).view(2, 2, 1, 1)  # means 2 and 20, variances 1 and 100
    found = signal_propagation(nn.Sequential(Times(2.0), Times(-1.0, join=Concat())), iter([x[:1], x[1:]]))
    assert found.squared_mean.tolist() == pytest.approx([9 * 202, 9 * 202])
    assert found.variance.tolist() == pytest.approx([9 * 50.5, 9 * 50.5])
    assert found.branch_variance.tolist() == pytest.approx([4 * 50.5, 9 * 50.5])
    assert (found.images, found.chains) == (2, ((0, 2),))


@pytest.mark.parametrize("training", [False, True])
def test_against_a_direct_forward(training: bool) -> None:
    net = build(FAMILIES["preact"]).train(training)
    found = signal_propagation(net, IMAGES, training=training)
    with torch.no_grad():
        x = net.conv1(IMAGES)
        for i, block in enumerate((*net.layer1, *net.layer2)):
            h = block.pre(x)
            branch = block.branch(h)
            x = branch + (x if block.downsample is None else block.downsample(h))
            flat, other = (t.double().transpose(0, 1).flatten(1) for t in (x, branch))
            torch.testing.assert_close(found.squared_mean[i], flat.mean(1).square().mean(), rtol=1e-4, atol=1e-8)
            torch.testing.assert_close(found.variance[i], flat.var(1, correction=0).mean(), rtol=1e-4, atol=0)
            torch.testing.assert_close(found.branch_variance[i], other.var(1, correction=0).mean(), rtol=1e-4, atol=0)


def test_against_timm() -> None:
    model = pytest.importorskip("timm.utils.model")
    net = build(FAMILIES["resnet"])
    found = signal_propagation(net, IMAGES, training=False)
    net.eval().register_forward_pre_hook(lambda net, args: (IMAGES,))  # timm draws its own
    hooks = (model.avg_sq_ch_mean, model.avg_ch_var, model.avg_ch_var_residual)
    with torch.no_grad():
        stats: dict[str, Any] = model.extract_spp_stats(net, ["layer?.?", "layer?.?", "layer?.?.bn2"], hooks, [6, 3, 16, 16])
    assert found.squared_mean.tolist() == pytest.approx(stats["avg_sq_ch_mean"], rel=1e-4)
    n = 6 * 8 * 8  # its variance is the unbiased one
    assert found.variance.tolist() == pytest.approx(stats["avg_ch_var"], rel=2 / n)
    assert found.branch_variance.tolist() == pytest.approx(stats["avg_ch_var_residual"], rel=2 / n)


@pytest.mark.parametrize("name", ["cifar_preact_resnet20", "cifar_resnet20"])
def test_variance_grows_linearly_and_each_stage_resets_it(name: str) -> None:
    net = build(replace(spec_of(name), depths=(6, 6, 6), shortcut="B"))
    found = signal_propagation(net, images=16, image_size=16)
    steps = torch.stack([found.variance[first:last].diff() for first, last in found.chains])
    assert (steps > 0).all()
    assert (steps.max(1).values < 2 * steps.min(1).values).all()
    firsts = found.variance[[first for first, _ in found.chains]]
    lasts = found.variance[[last - 1 for _, last in found.chains]]
    assert (firsts[1:] < 0.5 * lasts[:-1]).all()
    torch.testing.assert_close(firsts[1:], firsts[:1].expand(2), rtol=0.3, atol=0)
    spread = found.branch_variance.max() / found.branch_variance.min()
    assert spread < 1.4


def test_a_plain_network_keeps_its_variance() -> None:
    found = signal_propagation(build(replace(spec_of("cifar_plain20"), depths=(6, 6, 6))), images=16, image_size=16)
    assert found.variance.max() < 1.2 * found.variance.min()


def test_its_own_images() -> None:
    net = build(FAMILIES["densenet"], in_chans=5)
    found = signal_propagation(net, images=3, image_size=8, seed=4)
    images = torch.randn(3, 5, 8, 8, generator=torch.Generator().manual_seed(4))
    assert torch.equal(found.variance, signal_propagation(net, [images]).variance)
    assert not torch.equal(found.variance, signal_propagation(net, images=3, image_size=8).variance)
    assert found.images == 3


def test_what_is_wrong_is_said() -> None:
    with pytest.raises(ValueError, match="Sequential has no blocks with joins"):
        signal_propagation(nn.Sequential(nn.Conv2d(3, 3, 1)))
    net = build(FAMILIES["resnet"])
    with pytest.raises(ValueError, match="there are no images"):
        signal_propagation(net, [])
    for number in (0, -1, 2.0):
        with pytest.raises(ValueError, match=f"images must be an integer of at least 1, got {number}"):
            signal_propagation(net, images=number)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="image_size must be an integer of at least 1, got 0"):
        signal_propagation(net, image_size=0)
    for options in ({"images": 5}, {"image_size": 8}, {"seed": 1}):
        with pytest.raises(ValueError, match=r"^images, image_size and seed are for noise: leave them out, or the batches$"):
            signal_propagation(net, IMAGES, **options)
    with pytest.raises(ValueError, match=r"seed must be an integer from 0 to 2\^63 - 1, got None"):
        signal_propagation(net, seed=None)  # type: ignore[arg-type]
