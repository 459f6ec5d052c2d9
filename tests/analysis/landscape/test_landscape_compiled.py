"""Compiled surfaces are those of the same network uncompiled."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from test_landscape_surface import BATCHES, CountedLoss, Interrupted, trained
from torch import nn
from torch._dynamo.utils import counters
from untouched import untouched

from resnetlib.analysis import Landscape, landscape
from resnetlib.models import DenseNetSpec, ResNetSpec, Spec

needs_a_compiler = pytest.mark.skipif(shutil.which("c++") is None, reason="the default compiler needs a C++ compiler")
ignores_jit = pytest.mark.filterwarnings("ignore:.*torch.jit.*deprecated")


RESNET = ResNetSpec(block="basic", depths=(1,), widths=(4,), stem="cifar")
PREACT = replace(RESNET, order="pre")
DENSENET = DenseNetSpec(growth=4, depths=(1,), stem_width=4, stem="cifar", bottleneck=0)


def graphs() -> int:
    return counters["stats"]["unique_graphs"]


@pytest.fixture(autouse=True)
def _nothing_is_compiled() -> None:
    torch._dynamo.reset()


@needs_a_compiler
@ignores_jit
@pytest.mark.parametrize("batch_norm", ["running", "recalibrated", "batch"])
def test_values_are_the_same_and_threads_share_what_is_compiled(batch_norm: Any) -> None:
    net = trained(RESNET)
    expected = landscape(net, BATCHES, 0.5, 3, batch_norm=batch_norm)
    before = graphs()
    with untouched(net):
        found = landscape(net, BATCHES, 0.5, 3, batch_norm=batch_norm, compiled=True, workers=2)
    assert graphs() - before == 2  # batches of six and of four images
    torch.testing.assert_close(found.loss, expected.loss, rtol=1e-5, atol=0)
    assert torch.equal(found.accuracy, expected.accuracy)
    assert found.made_of == expected.made_of


@needs_a_compiler
@ignores_jit
@pytest.mark.slow
@pytest.mark.parametrize("spec", [PREACT, DENSENET], ids=["preact", "densenet"])
def test_norms_that_are_not_folded_and_half_precision(spec: Spec) -> None:
    net, data = trained(spec), BATCHES[:1]
    for precision, tolerance in (("fp32", 1e-5), ("bf16", 0.05)):
        choices: dict[str, Any] = {"precision": precision, "batch_norm": "recalibrated"}
        before = graphs()
        found = landscape(net, data, 0.5, 2, **choices, compiled=True)
        assert graphs() - before == 1
        torch.testing.assert_close(found.loss, landscape(net, data, 0.5, 2, **choices).loss, rtol=tolerance, atol=0)


@needs_a_compiler
@ignores_jit
def test_more_sizes_than_pytorch_keeps_of_one_function() -> None:
    net, before = nn.Sequential(nn.Flatten(), nn.Linear(12, 3)), graphs()
    data = [(torch.randn(size, 3, 2, 2), torch.arange(size) % 3) for size in (1, 2, 3)]
    with torch._dynamo.config.patch(recompile_limit=2):
        found = landscape(net, data, points=3, compiled=True)
    assert graphs() - before == 3
    torch.testing.assert_close(found.loss, landscape(net, data, points=3).loss, rtol=1e-5, atol=0)


@needs_a_compiler
@ignores_jit
def test_what_began_uncompiled_goes_on_compiled_and_losses_may_be_anything(tmp_path: Path) -> None:
    net, out = trained(replace(RESNET, join="replace")), tmp_path / "found.json"
    with pytest.raises(Interrupted):
        landscape(net, BATCHES[:1], points=3, loss=CountedLoss(4), out=out, every=0, workers=1)
    known = Landscape.load(out)
    assert known.computed == 3 / 9
    loss = CountedLoss()
    found = landscape(torch.compile(net), BATCHES[:1], points=3, loss=loss, out=out, compiled=True)
    assert loss.calls == 1 + 1 + 6  # the center, again without the time of compiling, and the others
    torch.testing.assert_close(found.loss, landscape(net, BATCHES[:1], points=3).loss, rtol=1e-5, atol=0)


@needs_a_compiler
@ignores_jit
@pytest.mark.parametrize("workers", [1, 3])
def test_the_network_and_the_compiler_are_as_they_were_after_an_error(workers: int) -> None:
    net = trained(RESNET)
    with untouched(net), pytest.raises(Interrupted):
        landscape(net, BATCHES[:1], points=3, compiled=True, loss=CountedLoss(4), workers=workers)
    before, double = graphs(), torch.compile(lambda x: 2 * x, backend="eager")
    double(torch.ones(1))
    assert graphs() == before + 1


def small() -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 4), nn.ReLU(), nn.Linear(4, 3))


SMALL = torch.randn(7, 3, 2, 2, generator=torch.Generator().manual_seed(0)), torch.arange(7) % 3


@needs_a_compiler
@ignores_jit
def test_hooks_are_compiled_too() -> None:
    landscape(small(), SMALL, points=2, compiled=True)
    net = small()
    net[1].register_forward_hook(lambda module, inputs, output: 3 * output)
    found = landscape(net, SMALL, points=2, compiled=True)
    torch.testing.assert_close(found.loss, landscape(net, SMALL, points=2).loss, rtol=1e-5, atol=0)


@needs_a_compiler
@ignores_jit
def test_in_inference_mode_threads_share_what_is_compiled() -> None:
    before = graphs()
    with torch.inference_mode():
        landscape(small(), SMALL, points=4, compiled=True, workers=12)
    assert graphs() - before == 1


@needs_a_compiler
def test_a_network_that_is_not_one_graph() -> None:
    class Broken(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = small()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            torch._dynamo.graph_break()
            y: torch.Tensor = self.net(x)
            return y

    with pytest.raises(RuntimeError, match=r"compiled=True, which needs .* one graph\. PyTorch says: "):
        landscape(Broken(), SMALL, points=2, compiled=True)


def test_points_that_are_computed_together_are_refused() -> None:
    with pytest.raises(ValueError, match=r"compiled=True computes points one by one: leave chunk at 1, got 2"):
        landscape(trained(RESNET), BATCHES, points=3, compiled=True, chunk=2)


@pytest.mark.cuda
@ignores_jit
@pytest.mark.parametrize("batch_norm", ["running", "recalibrated", "batch"])
def test_on_a_gpu(batch_norm: Any) -> None:
    net = trained(RESNET)
    expected = landscape(net, BATCHES, 0.5, 3, batch_norm=batch_norm)
    found = landscape(net.to("cuda"), BATCHES, 0.5, 3, batch_norm=batch_norm, compiled=True)
    torch.testing.assert_close(found.loss, expected.loss, rtol=1e-2, atol=0)
