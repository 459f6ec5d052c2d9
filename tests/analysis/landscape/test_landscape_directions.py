"""Filter-normalized directions are the published ones."""

import pytest
import torch
from families import FAMILIES
from torch import nn
from untouched import untouched

from resnetlib import Spec, build
from resnetlib.analysis import filter_normalized_direction
from resnetlib.analysis.landscape.directions import cosine, draw_directions


def published(net: nn.Module, seed: int, *, ignore: bool) -> list[torch.Tensor]:
    """The published loop, filter by filter."""
    generator = torch.Generator().manual_seed(seed)
    directions = [torch.randn(parameter.size(), generator=generator) for parameter in net.parameters()]
    for direction, parameter in zip(directions, net.parameters(), strict=True):
        if direction.dim() <= 1:
            direction.copy_(parameter.detach() * (0 if ignore else 1))
        else:
            for d, w in zip(direction, parameter.detach(), strict=True):
                d.mul_(w.norm() / (d.norm() + 1e-10))
    return directions


def test_by_hand() -> None:
    layer = nn.Linear(2, 3)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[3.0, 4.0], [0.0, 0.0], [1.0, 0.0]]))
    drawn = torch.randn(3, 2, generator=torch.Generator().manual_seed(7))
    found = filter_normalized_direction(layer, 7)
    torch.testing.assert_close(found["weight"], drawn / drawn.norm(dim=1, keepdim=True) * torch.tensor([[5.0], [0.0], [1.0]]))
    assert found["bias"].tolist() == [0, 0, 0]
    assert torch.equal(filter_normalized_direction(layer, 7, ignore_norms_and_biases=False)["bias"], layer.bias)


@pytest.mark.parametrize("ignore", [True, False])
def test_against_the_published_loop(spec: Spec, ignore: bool) -> None:
    net = build(spec, num_classes=5)
    with untouched(net):
        found = filter_normalized_direction(net, 3, ignore_norms_and_biases=ignore)
    assert list(found) == [name for name, _ in net.named_parameters()]
    for one, other in zip(found.values(), published(net, 3, ignore=ignore), strict=True):
        torch.testing.assert_close(one, other)


def test_x_and_y_are_drawn_one_after_the_other() -> None:
    net = build(FAMILIES["resnet"], num_classes=5)
    generator = torch.Generator().manual_seed(5)
    x, y = filter_normalized_direction(net, generator), filter_normalized_direction(net, generator)
    again = draw_directions(net, 2, 5, True)
    assert all(torch.equal(x[name], again[0][name]) and torch.equal(y[name], again[1][name]) for name in x)
    assert torch.equal(draw_directions(net, 1, 5, True)[0]["conv1.weight"], x["conv1.weight"])
    assert 0 < abs(cosine(x, y)) < 0.1
    assert cosine(x, x) == pytest.approx(1)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_types_draw_the_same_numbers(dtype: torch.dtype) -> None:
    layer = nn.Linear(8, 4)
    expected = filter_normalized_direction(layer)["weight"]
    found = filter_normalized_direction(layer.to(dtype))["weight"]
    assert found.dtype == dtype
    torch.testing.assert_close(found.float(), expected, rtol=1e-2, atol=1e-2)


def test_what_is_wrong_is_said() -> None:
    with pytest.raises(ValueError, match="ReLU has no parameters"):
        filter_normalized_direction(nn.ReLU())
    with pytest.raises(ValueError, match=r"^dimensions must be 1 or 2, got 3$"):
        draw_directions(nn.Linear(2, 2), 3, 0, True)
    with pytest.raises(ValueError, match=r"^dimensions must be 1 or 2, got '1'$"):
        draw_directions(nn.Linear(2, 2), "1", 0, True)  # type: ignore[arg-type]
