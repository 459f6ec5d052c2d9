"""Inside, batch norms have the statistics of given images; outside, nothing has happened."""

from copy import deepcopy

import pytest
import torch
from families import FAMILIES
from torch import nn
from untouched import raises_inside, untouched

from resnetlib import Spec, build
from resnetlib.analysis import recalibrated
from resnetlib.modules.frozen import freeze_module_

IMAGES = torch.randn(64, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def test_by_hand() -> None:
    net = nn.Sequential(nn.BatchNorm2d(1, momentum=0.3))
    x = torch.tensor([1.0, 3.0, 10.0, 20.0]).view(4, 1, 1, 1)
    with recalibrated(net, iter([x[:2], x[2:]])):
        # means 2 and 15, unbiased variances 2 and 50
        assert net[0].running_mean.tolist() == pytest.approx([8.5])
        assert net[0].running_var.tolist() == pytest.approx([26.0])
        assert net[0].momentum == 0.3
    assert (net[0].running_mean.tolist(), net[0].running_var.tolist(), int(net[0].num_batches_tracked)) == ([0.0], [1.0], 0)


def test_against_torchs_own(spec: Spec) -> None:
    net = build(spec, num_classes=5)
    other, batches = deepcopy(net), IMAGES.split([30, 34])
    torch.optim.swa_utils.update_bn(batches, other)
    with recalibrated(net, batches):
        for (name, buffer), expected in zip(net.named_buffers(), other.buffers(), strict=True):
            torch.testing.assert_close(buffer, expected, msg=name)


@pytest.mark.parametrize("name", ["plain", "resnet", "preact", "densenet"])
def test_evaluation_is_then_as_training(name: str) -> None:
    net = build(FAMILIES[name], num_classes=5)
    with torch.no_grad():
        with recalibrated(net, IMAGES):
            inside = net.eval()(IMAGES)
        before = net.eval()(IMAGES)
        training = net.train()(IMAGES)
    scale = training.abs().max()
    assert (inside - training).abs().max() < 0.01 * scale  # only the running variances are unbiased
    assert (before - training).abs().max() > 0.1 * scale


def test_the_network_is_as_it_was() -> None:
    net = build(FAMILIES["resnet"], num_classes=5)
    with untouched(net), recalibrated(net, IMAGES):
        pass
    raises_inside(net, lambda: recalibrated(net, IMAGES).__enter__())
    assert {norm.momentum for norm in net.modules() if isinstance(norm, nn.BatchNorm2d)} == {0.1}
    with untouched(net), pytest.raises(KeyError), recalibrated(net, IMAGES):
        raise KeyError


def test_statistics_come_back_though_the_network_is_converted() -> None:
    net = build(FAMILIES["resnet"], num_classes=5)
    with recalibrated(net, IMAGES):
        net.double()
    norms = [norm for norm in net.modules() if isinstance(norm, nn.BatchNorm2d)]
    assert all(torch.equal(norm.running_var, torch.ones_like(norm.running_var)) for norm in norms)
    assert all(norm.num_batches_tracked == 0 for norm in norms)


def test_frozen_norms_keep_their_statistics() -> None:
    net = build(FAMILIES["resnet"], num_classes=5)
    freeze_module_(net.bn1, "test")
    with recalibrated(net, IMAGES):
        assert float(net.bn1.running_var.mean()) == 1
        assert float(net.layer1[0].bn1.running_var.mean()) != 1


def test_what_is_wrong_is_said() -> None:
    with pytest.raises(ValueError, match="there are no images"), recalibrated(build(FAMILIES["resnet"]), []):
        pass
    with pytest.raises(ValueError, match="not finite"), recalibrated(build(FAMILIES["resnet"]), IMAGES * torch.nan):
        pass
