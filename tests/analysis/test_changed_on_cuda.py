"""Networks that are changed while they run, on a GPU where there is one: the CPU's draws, and nearly its figures."""

import pytest
import torch
from families import FAMILIES
from untouched import untouched

from resnetlib import Spec, build
from resnetlib.analysis import (
    block_survival,
    branch_noise,
    input_noise,
    lesion,
    lesion_many,
    path_gradients,
    reorder,
    weight_noise,
)

pytestmark = pytest.mark.cuda

DATA = torch.randn(8, 3, 32, 32), torch.arange(8) % 5


def test_figures_are_the_cpus(spec: Spec) -> None:
    net = build(spec, num_classes=5, dtype=torch.float64)
    expected = lesion(net, DATA).loss, path_gradients(net, DATA, draws=2).norm, input_noise(net, DATA, [1.0]).accuracy
    net.to("cuda")
    with untouched(net):
        got = lesion(net, DATA).loss, path_gradients(net, DATA, draws=2).norm, input_noise(net, DATA, [1.0]).accuracy
    for one, other in zip(got, expected, strict=True):
        torch.testing.assert_close(one, other)


def test_the_others_run_too() -> None:
    net = build(FAMILIES["resnet"], num_classes=5, device="cuda")
    with untouched(net), torch.autocast("cuda", torch.bfloat16):
        for analysis in (block_survival, branch_noise, lesion_many, reorder, weight_noise):
            analysis(net, DATA)
