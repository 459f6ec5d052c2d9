"""What holds for every public function that takes a network: it is left as it was, and what is wrong is said."""

import inspect
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from families import FAMILIES
from torch import nn
from untouched import raises_inside, untouched

import resnetlib.analysis
from resnetlib import build
from resnetlib.analysis import (
    block_survival,
    blocks_of,
    branch_noise,
    branch_ratio,
    chains_of,
    deepen,
    effective_rank,
    filter_normalized_direction,
    gradient_autocorrelation,
    gradient_decomposition,
    gradient_flow,
    hessian_map,
    input_noise,
    landscape,
    lesion,
    lesion_many,
    measure_cost,
    path_gradient,
    path_gradients,
    project,
    recalibrated,
    reorder,
    residual_decomposition,
    response_std,
    signal_propagation,
    trajectory,
    weight_noise,
    write_directions,
)

IMAGES = torch.randn(6, 3, 8, 8, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 1, 2, 3, 4, 0])
BATCHES = [(IMAGES[:4], LABELS[:4]), (IMAGES[4:], LABELS[4:])]


def recalibrate(net: nn.Module, batches: Any) -> object:
    with recalibrated(net, batches):
        return [buffer.clone() for buffer in net.buffers()]


OF_BATCHES: dict[str, Callable[[Any, Any], object]] = {
    "block_survival": lambda net, batches: block_survival(net, batches, [0.5]),
    "branch_noise": lambda net, batches: branch_noise(net, batches, [0.5]),
    "branch_ratio": branch_ratio,
    "deepen": lambda net, batches: deepen(net, (3, 1), batches=batches),
    "effective_rank": effective_rank,
    "gradient_autocorrelation": lambda net, batches: gradient_autocorrelation(net, batches, points=6, lags=2),
    "gradient_decomposition": gradient_decomposition,
    "gradient_flow": gradient_flow,
    "hessian_map": lambda net, batches: hessian_map(net, batches, points=1, tolerance=0.5),
    "input_noise": lambda net, batches: input_noise(net, batches, [0.5], draws=1),
    "landscape": lambda net, batches: landscape(net, batches, points=2),
    "lesion": lesion,
    "lesion_many": lambda net, batches: lesion_many(net, batches, [2], draws=1),
    "path_gradient": lambda net, batches: path_gradient(net, batches, ["layer1.0"]),
    "path_gradients": lambda net, batches: path_gradients(net, batches, draws=1),
    "recalibrated": recalibrate,
    "reorder": lambda net, batches: reorder(net, batches, [1], draws=1),
    "response_std": response_std,
    "signal_propagation": signal_propagation,
    "residual_decomposition": residual_decomposition,
    "weight_noise": lambda net, batches: weight_noise(net, batches, [0.1], draws=1),
}
"""Calls with a network and its batches. Of those that follow, most read no images at all."""


def path(net: nn.Module) -> list[dict[str, torch.Tensor]]:
    """Checkpoints that end at a network."""
    states = [
        {name: tensor.detach() + 0.1 * torch.randn(tensor.shape) for name, tensor in net.named_parameters()} for _ in range(3)
    ]
    return [*states, dict(net.named_parameters())]


OTHERS: dict[str, Callable[[Any, Path], object]] = {
    "blocks_of": lambda net, folder: blocks_of(net),
    "chains_of": lambda net, folder: chains_of(net, IMAGES),
    "filter_normalized_direction": lambda net, folder: filter_normalized_direction(net),
    "measure_cost": lambda net, folder: measure_cost(net, 8),
    "project": lambda net, folder: project(net, PATH, PATH[:2]),
    "trajectory": lambda net, folder: trajectory(net, PATH),
    "write_directions": lambda net, folder: write_directions(folder / "directions.h5", net, PATH[:2]),
}
NET = build(FAMILIES["resnet"], num_classes=5, memory_efficient=True)
PATH = path(NET)
OF_NO_NETWORK = {
    "bootstrap_interval",
    "draw",
    "kendall_tau",
    "load_result",
    "plot_3d",
    "share_of_paths",
    "toy_autocorrelation",
    "write_h5",
    "write_html",
}
NEED_LABELS = set(OF_BATCHES) - {
    "branch_ratio", "deepen", "gradient_autocorrelation", "recalibrated", "response_std", "signal_propagation",
    "residual_decomposition",
}  # fmt: skip


OF_GRADIENTS = [
    "effective_rank", "gradient_autocorrelation", "gradient_decomposition", "gradient_flow", "path_gradient", "path_gradients",
]  # fmt: skip


def call(name: str, net: nn.Module, batches: Any, folder: Path) -> object:
    if name in OTHERS:
        return OTHERS[name](net, folder)
    return OF_BATCHES[name](net, iter(batches[1:] if name == "path_gradient" else batches))  # which takes one batch alone


@pytest.fixture
def net() -> nn.Module:
    return deepcopy(NET)


def test_the_list_is_complete() -> None:
    functions = {name for name in resnetlib.analysis.__all__ if not inspect.isclass(getattr(resnetlib.analysis, name))}
    assert functions == OF_BATCHES.keys() | OTHERS.keys() | OF_NO_NETWORK


@pytest.mark.parametrize("name", OF_BATCHES)
def test_the_network_is_as_it_was(name: str, net: nn.Module) -> None:
    with untouched(net):
        call(name, net, BATCHES, Path())


@pytest.mark.parametrize("name", OTHERS)
def test_the_network_is_as_it_was_also_without_batches(name: str, net: nn.Module, tmp_path: Path) -> None:
    pytest.importorskip("h5py")
    with untouched(net):
        OTHERS[name](net, tmp_path)


@pytest.mark.parametrize("after", [0, 1])
@pytest.mark.parametrize("name", OF_BATCHES)
def test_it_is_as_it_was_after_an_interruption(name: str, after: int, net: nn.Module, tmp_path: Path) -> None:
    raises_inside(net, lambda: call(name, net, BATCHES, tmp_path), KeyboardInterrupt, after=after)


@pytest.mark.parametrize("name", OF_BATCHES)
def test_it_is_as_it_was_after_batches_that_fail(name: str, net: nn.Module) -> None:
    class BrokenError(RuntimeError):
        pass

    def batches() -> Iterator[object]:
        yield BATCHES[0]
        raise BrokenError

    with untouched(net), pytest.raises(BrokenError):
        OF_BATCHES[name](net, batches())


@pytest.mark.parametrize("name", OF_GRADIENTS)
def test_it_is_as_it_was_after_a_backward_pass_that_fails(name: str, net: nn.Module) -> None:
    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    net.layer1[0].register_full_backward_hook(fail)  # type: ignore[union-attr, operator, index]
    with untouched(net), pytest.raises(KeyboardInterrupt):
        call(name, net, BATCHES, Path())


@pytest.mark.parametrize("name", OF_BATCHES)
def test_empty_batches(name: str, net: nn.Module) -> None:
    for batches in ([], iter(()), (IMAGES[:0], LABELS[:0])):
        with untouched(net), pytest.raises(ValueError, match="there are no images"):
            OF_BATCHES[name](net, batches)


@pytest.mark.parametrize("name", OF_BATCHES)
def test_images_without_labels(name: str, net: nn.Module) -> None:
    if name in NEED_LABELS:
        with untouched(net), pytest.raises(ValueError, match="labels are missing"):
            OF_BATCHES[name](net, IMAGES)
    else:
        OF_BATCHES[name](net, IMAGES)


NOT_FINITE = r"(output|loss|Hessian) .*(not finite|finite number, got nan)|the loss (of the network itself )?is nan"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", OF_BATCHES)
def test_images_that_are_not_finite(name: str, value: float, net: nn.Module) -> None:
    images = IMAGES.clone()
    images[-1, 0, 3, 3] = value
    with untouched(net), pytest.raises(ValueError, match=NOT_FINITE):
        call(name, net, [BATCHES[0], (images[4:], LABELS[4:])], Path())


@pytest.mark.parametrize("name", OF_BATCHES)
def test_weights_that_are_not_finite(name: str, net: nn.Module) -> None:
    with torch.no_grad():
        net.layer1[1].conv1.weight[0] = float("nan")  # type: ignore[union-attr, index]
    with pytest.raises(ValueError, match=NOT_FINITE):
        call(name, net, BATCHES, Path())


OF_BLOCKS = [
    "block_survival", "blocks_of", "branch_noise", "branch_ratio", "chains_of", "gradient_decomposition", "gradient_flow", "lesion",
    "lesion_many", "path_gradient", "path_gradients", "reorder", "signal_propagation", "residual_decomposition",
]  # fmt: skip
UNSUITABLE = {
    **dict.fromkeys(OF_BLOCKS, "Flatten has no blocks with joins: build it from resnetlib's blocks"),
    "deepen": r"^expected a network of this library, got Flatten$",
    "measure_cost": r"^expected a network of this library, got Flatten$",
    "effective_rank": None,  # Flatten gives logits, whose gradients it can be asked for
    "gradient_autocorrelation": "the gradient is the same at all points",
    "filter_normalized_direction": "Flatten has no parameters",
    "hessian_map": "Flatten has no parameters",
    "input_noise": None,  # any classifier's input can be noisy
    "landscape": "Flatten has no parameters",
    "project": "Flatten has no parameters",
    "recalibrated": None,  # no norm has to be recalibrated
    "response_std": "Flatten runs no 3x3 convolutions",
    "trajectory": "Flatten has no parameters",
    "weight_noise": "Flatten has no parameters",
    "write_directions": "Flatten has no parameters",
}


@pytest.mark.parametrize("name", [*OF_BATCHES, *OTHERS])
def test_networks_that_do_not_fit(name: str, tmp_path: Path) -> None:
    said = UNSUITABLE[name]
    error = TypeError if name in ("deepen", "measure_cost") else ValueError
    with nullcontext() if said is None else pytest.raises(error, match=said):
        call(name, nn.Flatten(), BATCHES, tmp_path)


@pytest.mark.parametrize("name", ["effective_rank", "gradient_autocorrelation", "gradient_flow", "lesion", "path_gradients"])
def test_networks_that_return_no_logits(name: str) -> None:
    body = nn.Sequential(build(FAMILIES["resnet"]).layer1)  # type: ignore[arg-type]
    images = torch.randn(2, 8, 4, 4)
    with pytest.raises(ValueError, match=r"logits \(N, classes\), got .*of shape \(\d, 8, 4, 4\)"):
        OF_BATCHES[name](body, (images, LABELS[:2]))


def made_in_inference_mode(batches: Any) -> Any:
    with torch.inference_mode():
        return [(x.clone(), y.clone()) for x, y in batches]


def same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one.nan_to_num(), other.nan_to_num())
    if isinstance(one, nn.Module):
        return same(one.state_dict(), other.state_dict())
    if is_dataclass(one):
        return all(same(getattr(one, field.name), getattr(other, field.name)) for field in fields(one))
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    return bool(one == other)


def is_same_inside(mode: Any, name: str, net: nn.Module, folder: Path) -> bool:
    with untouched(net):
        expected = call(name, net, BATCHES, folder)
        with mode():
            return same(call(name, net, made_in_inference_mode(BATCHES), folder), expected)


@pytest.mark.parametrize("name", [*OF_BATCHES, *OTHERS])
def test_inside_no_grad(name: str, net: nn.Module, tmp_path: Path) -> None:
    assert is_same_inside(torch.no_grad, name, net, tmp_path)


@pytest.mark.parametrize("name", [*OF_BATCHES, *OTHERS])
def test_inside_inference_mode(name: str, net: nn.Module, tmp_path: Path) -> None:
    assert is_same_inside(torch.inference_mode, name, net, tmp_path)


@pytest.mark.parametrize("name", [*OF_BATCHES, "measure_cost"])
def test_a_network_in_dataparallel(name: str, net: nn.Module, tmp_path: Path) -> None:
    wrapped = nn.DataParallel(net)
    with untouched(wrapped):
        assert same(call(name, wrapped, BATCHES, tmp_path), call(name, net, BATCHES, tmp_path))


@pytest.mark.parametrize("name", ["branch_ratio", "lesion", "response_std", "residual_decomposition"])
def test_a_network_made_in_inference_mode(name: str, tmp_path: Path) -> None:
    with torch.inference_mode():
        net = build(FAMILIES["resnet"], num_classes=5)
    call(name, net, BATCHES, tmp_path)


@pytest.mark.parametrize("name", ["recalibrated", "signal_propagation"])
def test_norms_that_cannot_learn_since_they_were_made_in_inference_mode(name: str, tmp_path: Path) -> None:
    with torch.inference_mode():
        net = build(FAMILIES["resnet"], num_classes=5)
        call(name, net, BATCHES, tmp_path)
    with pytest.raises(ValueError, match=r"created in torch.inference_mode\(\), and cannot be written to"):
        call(name, net, BATCHES, tmp_path)


def test_a_deeper_network_can_be_trained_wherever_it_was_made(net: nn.Module) -> None:
    with torch.inference_mode():
        deeper = deepen(net, (3, 1))  # type: ignore[arg-type]
    deeper(IMAGES).sum().backward()
    assert all(parameter.requires_grad and not parameter.is_inference() for parameter in deeper.parameters())


@pytest.mark.parametrize("name", sorted(NEED_LABELS))
def test_labels_beyond_the_logits(name: str, net: nn.Module, tmp_path: Path) -> None:
    net.fc = nn.Sequential(nn.Dropout(), nn.Linear(net.num_features, 5))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"labels must be 0 to 4, the numbers of the network's logits, got 5"):
        call(name, net, [(x, y + 2) for x, y in BATCHES[:1]] * 2, tmp_path)


@pytest.mark.parametrize("name", OF_GRADIENTS)
def test_a_network_that_can_have_no_gradients(name: str, tmp_path: Path) -> None:
    with torch.inference_mode():
        net = build(FAMILIES["resnet"], num_classes=5)
        with pytest.raises(ValueError, match=r"conv1.weight .*created in torch.inference_mode\(\).* build or load the network"):
            call(name, net, BATCHES, tmp_path)
    with pytest.raises(ValueError, match=r"created in torch.inference_mode"):
        call(name, net, BATCHES, tmp_path)


@pytest.mark.parametrize("name", sorted({*OF_BATCHES, *OTHERS} - {"deepen"}))  # whose new layers are drawn by torch's generator
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_the_default_dtype_changes_nothing(name: str, dtype: torch.dtype, net: nn.Module, tmp_path: Path) -> None:
    expected = call(name, net, BATCHES, tmp_path)
    torch.set_default_dtype(dtype)
    try:
        found = call(name, net, BATCHES, tmp_path)
    finally:
        torch.set_default_dtype(torch.float32)
    assert same(expected, found)
