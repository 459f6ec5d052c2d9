"""One iteration does to the weights what the papers' formulas say."""

from collections.abc import Callable
from typing import Any

import pytest
import tiny
import torch
from torch import Tensor, nn
from torch.nn import functional

from resnetlib.distributed import Processes
from resnetlib.train import Recipe
from resnetlib.train.trainer import Trainer, dtype_of

CPU = torch.device("cpu")
X = torch.randn(6, 4, generator=torch.Generator().manual_seed(1))
LABELS = torch.tensor([0, 1, 2, 0, 1, 2])


class Small(nn.Module):
    """A linear layer and a norm-like vector."""

    num_classes = 3

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.linear = nn.Linear(4, 3)
        self.scale = nn.Parameter(torch.ones(3))

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x) * self.scale


def trainer_of(net: nn.Module, dtype: torch.dtype = torch.float32, **changes: Any) -> Trainer:
    recipe = Recipe(**{"iterations": 9, "batch_size": 6, "schedule": "one_cycle", "weight_decay": 0.0} | changes)
    return Trainer(net, range(6), recipe, seed=0, processes=Processes(0, 1, CPU, CPU), dtype=dtype)  # type: ignore[arg-type]


def step_of(net: nn.Module, dtype: torch.dtype = torch.float32, **changes: Any) -> Callable[[Tensor, Tensor, float], Tensor]:
    return trainer_of(net, dtype, **changes).step


def smooth(labels: Tensor, smoothing: float) -> Tensor:
    return functional.one_hot(labels, 3) * (1 - smoothing) + smoothing / 3


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    return -(targets * logits.log_softmax(1)).sum(1).mean()


def binary_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    p = logits.sigmoid()
    return -(targets * p.log() + (1 - targets) * (1 - p).log()).mean()


def reference(steps: int, lr: float, recipe: dict[str, Any], loss: Any) -> Small:
    """SGD as its papers write it, parameter by parameter."""
    net = Small()
    momenta = {name: torch.zeros_like(parameter) for name, parameter in net.named_parameters()}
    targets = smooth(LABELS, recipe.get("label_smoothing", 0.0))
    for _ in range(steps):
        gradients = torch.autograd.grad(loss(net(X), targets), list(net.parameters()))
        norm = torch.cat([gradient.flatten() for gradient in gradients]).norm()
        scale = min(1.0, recipe["clip_norm"] / float(norm)) if recipe.get("clip_norm") else 1.0
        with torch.no_grad():
            for (name, parameter), gradient in zip(net.named_parameters(), gradients, strict=True):
                decays = recipe.get("decay_all", True) or parameter.ndim > 1
                gradient = gradient * scale + recipe.get("weight_decay", 0.0) * decays * parameter
                momenta[name] = recipe.get("momentum", 0.9) * momenta[name] + gradient
                nesterov = recipe.get("optimizer") == "nesterov"
                parameter -= lr * (gradient + recipe.get("momentum", 0.9) * momenta[name] if nesterov else momenta[name])
    return net


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"momentum": 0.5},
        {"optimizer": "nesterov"},
        {"weight_decay": 0.3},
        {"weight_decay": 0.3, "decay_all": False},
        {"label_smoothing": 0.2},
        {"clip_norm": 0.1},
        {"loss": "binary_cross_entropy"},
        {"loss": "binary_cross_entropy", "label_smoothing": 0.2},
    ],
    ids=str,
)
def test_three_steps_are_those_of_the_formulas(changes: dict[str, Any]) -> None:
    net = Small()
    step = step_of(net, **changes)
    for _ in range(3):
        step(X, LABELS, 0.1)
    loss = binary_cross_entropy if changes.get("loss") == "binary_cross_entropy" else cross_entropy
    expected = reference(3, 0.1, changes, loss)
    for (name, one), other in zip(net.named_parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6, msg=name)


def test_what_it_says_it_saw() -> None:
    net = Small()
    logits = net(X)
    loss, error, norm = step_of(net)(X, LABELS, 0.1)
    torch.testing.assert_close(loss, functional.cross_entropy(logits, LABELS).detach())
    assert error == (logits.argmax(1) != LABELS).float().mean()
    fresh = Small()
    functional.cross_entropy(fresh(X), LABELS).backward()
    expected = torch.cat([parameter.grad.flatten() for parameter in fresh.parameters()]).norm()
    torch.testing.assert_close(norm, expected)


def test_half_precision_scales_and_unscales() -> None:
    net, expected = Small(), Small()
    seen = step_of(net, torch.float16)(X, LABELS, 0.1)
    same = step_of(expected)(X, LABELS, 0.1)
    torch.testing.assert_close(seen[2], same[2], rtol=0.02, atol=0)
    for one, other in zip(net.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0.01, atol=1e-3)


def test_a_step_whose_gradient_overflows_in_half_precision_is_left_out() -> None:
    net = Small()
    trainer = trainer_of(net, torch.float16)
    net.scale.register_hook(lambda gradient: gradient * float("inf"))
    before = [parameter.clone() for parameter in net.parameters()]
    seen = trainer.step(X, LABELS, 0.1)
    assert not seen[2].isfinite()
    assert all(torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))
    assert trainer.scaler.get_scale() == 2**15


@pytest.mark.parametrize(
    ("units", "dtype"),
    [
        ({"amx_bf16": True}, torch.bfloat16),
        ({"avx512_bf16": True}, torch.bfloat16),
        ({"avx512_f": True}, torch.float32),
        ({}, torch.float32),
    ],
)
def test_precision_is_what_the_cpu_multiplies(units: dict[str, bool], dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: units, raising=False)
    assert dtype_of("auto", CPU) is dtype
    assert dtype_of("fp32", CPU) is torch.float32


def test_lamb_is_timms_and_clips_no_more_than_it_is_told() -> None:
    from timm.optim import Lamb

    net, expected = Small(), Small()
    step = step_of(net, optimizer="lamb", weight_decay=0.02, decay_all=False)
    groups = [{"params": [expected.linear.weight]}, {"params": [expected.linear.bias, expected.scale], "weight_decay": 0.0}]
    lamb = Lamb(groups, 0.1, weight_decay=0.02, max_grad_norm=None)
    for _ in range(3):
        step(100 * X, LABELS, 0.1)
        lamb.zero_grad()
        functional.cross_entropy(expected(100 * X), LABELS).backward()
        lamb.step()
    for one, other in zip(net.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize(("mix", "kept"), [({"mixup": 0.4}, False), ({"cutmix": 1.0}, True)])
def test_mixing_changes_images_and_targets_together(mix: dict[str, float], kept: bool) -> None:
    seen = []

    class Spy(nn.Module):
        num_classes = 3

        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(3 * 4 * 4, 3)

        def forward(self, x: Tensor) -> Tensor:
            seen.append(x)
            return self.fc(x.flatten(1))

    images = torch.arange(1.0, 7.0)[:, None, None, None].expand(6, 3, 4, 4).contiguous()
    step_of(Spy(), **mix)(images, LABELS, 0.1)
    pixels = set(seen[0].unique().tolist())
    assert (pixels <= set(range(1, 7))) is kept
    assert seen[0].shape == images.shape


def test_the_average_includes_statistics(tmp_path: Any) -> None:
    from resnetlib.train import fit

    nets = {}
    for name, changes in {"first": {"epochs": 0, "iterations": 1}, "all": {}, "plain": {"ema": 0.0}}.items():
        nets[name] = tiny.network()
        recipe = tiny.recipe(**{"ema": 0.999} | changes)
        fit(nets[name], tiny.images(), tiny.images(30, seed=1), recipe, tmp_path / name, device="cpu")
    first, averaged, plain = (nets[name].bn1.running_var for name in ("first", "all", "plain"))
    assert (averaged - first).abs().max() < 0.05 * (plain - first).abs().max()
    assert not torch.equal(averaged, first)
