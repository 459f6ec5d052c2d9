"""What the analyses of signals and gradients have in common: networks are as they were, results are saved and drawn."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import fields
from pathlib import Path

import pytest
import torch
from families import FAMILIES
from torch import nn
from untouched import raises_inside, untouched

from resnetlib import Spec, build
from resnetlib.analysis import (
    AnalysisResult,
    branch_ratio,
    effective_rank,
    gradient_autocorrelation,
    gradient_decomposition,
    gradient_flow,
    response_std,
    signal_propagation,
    toy_autocorrelation,
)

IMAGES = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 1, 2, 3])

ANALYSES: dict[str, Callable[[nn.Module], AnalysisResult]] = {
    "branch_ratio": lambda net: branch_ratio(net, IMAGES),
    "effective_rank": lambda net: effective_rank(net, IMAGES, LABELS),
    "gradient_autocorrelation": lambda net: gradient_autocorrelation(net, IMAGES, points=6, lags=2),
    "gradient_decomposition": lambda net: gradient_decomposition(net, IMAGES, LABELS),
    "gradient_flow": lambda net: gradient_flow(net, IMAGES, LABELS),
    "response_std": lambda net: response_std(net, IMAGES),
    "signal_propagation": lambda net: signal_propagation(net, images=4, image_size=16),
    "toy_autocorrelation": lambda net: toy_autocorrelation((1, 2), width=10, inits=2),
}
OF_NETS = [name for name in ANALYSES if name != "toy_autocorrelation"]


def test_the_network_is_as_it_was(spec: Spec) -> None:
    net = build(spec, num_classes=5, memory_efficient=True)
    images = IMAGES.clone()
    for name in OF_NETS:
        no_gradient = spec == FAMILIES["resnet-fixup"] and name in ("effective_rank", "gradient_autocorrelation")
        with untouched(net), pytest.raises(ValueError, match="gradient") if no_gradient else nullcontext():
            ANALYSES[name](net)
    assert torch.equal(IMAGES, images)
    assert not IMAGES.requires_grad


@pytest.mark.parametrize("name", OF_NETS)
def test_the_network_is_as_it_was_after_an_error(name: str) -> None:
    net = build(FAMILIES["resnet"], num_classes=5)
    raises_inside(net, lambda: ANALYSES[name](net))


@pytest.mark.parametrize("name", OF_NETS)
def test_memory_efficient_networks_are_the_same(name: str) -> None:
    net = build(FAMILIES["densenet"], num_classes=5)
    plain = ANALYSES[name](net)
    net.set_grad_checkpointing()
    same(plain, ANALYSES[name](net.train()))


def test_inside_no_grad() -> None:
    net = build(FAMILIES["resnet"], num_classes=5)
    for name in OF_NETS:
        outside = ANALYSES[name](net)
        with torch.no_grad():
            same(outside, ANALYSES[name](net))


@pytest.mark.parametrize("suffix", [".json", ".safetensors"])
@pytest.mark.parametrize("name", ANALYSES)
def test_results_are_saved_and_loaded_exactly(name: str, suffix: str, tmp_path: Path) -> None:
    found = ANALYSES[name](build(FAMILIES["plain"], num_classes=5))
    found.save(tmp_path / f"found{suffix}")
    same(found, type(found).load(tmp_path / f"found{suffix}"))


@pytest.mark.parametrize("name", ANALYSES)
def test_results_are_drawn(name: str, tmp_path: Path) -> None:
    found = ANALYSES[name](build(FAMILIES["plain"], num_classes=5))
    axes = found.plot()
    lines = len(axes.lines)
    assert found.plot(axes) is axes
    assert len(axes.lines) > lines
    axes.figure.savefig(tmp_path / "found.png")


@pytest.mark.parametrize("name", [name for name in OF_NETS if name != "gradient_decomposition"])
def test_networks_share_axes(name: str) -> None:
    found = ANALYSES[name](build(FAMILIES["plain"], num_classes=5))
    axes = found.plot(found.plot(label="before"), label="after")  # type: ignore[call-arg]
    texts = [text.get_text() for text in axes.get_legend().get_texts()]
    assert any("before" in text for text in texts)
    assert any("after" in text for text in texts)


def test_norms_of_parameters_are_drawn_too() -> None:
    found = gradient_flow(build(FAMILIES["plain"], num_classes=5), IMAGES, LABELS)
    assert found.plot(of="parameters").lines[0].get_ydata().tolist() == found.parameter_norm.tolist()
    assert found.plot().lines[0].get_ydata().tolist() == found.feature_norm.tolist()


def same(one: AnalysisResult, other: AnalysisResult) -> None:
    for field in fields(one):  # type: ignore[arg-type]
        left, right = getattr(one, field.name), getattr(other, field.name)
        if isinstance(left, torch.Tensor):
            assert left.dtype == right.dtype
            torch.testing.assert_close(left, right, rtol=0, atol=0, equal_nan=True)
        else:
            assert left == right, field.name
