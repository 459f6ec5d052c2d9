"""Principal components by hand, and what of paths and directions cannot be measured."""

import pytest
import torch
from torch import nn

from resnetlib.analysis import landscape, project, trajectory, write_directions


def point(*weights: float) -> nn.Module:
    net = nn.Linear(len(weights), 1, bias=False)
    net.weight.data = torch.tensor([weights])
    return net


def test_principal_components_by_hand() -> None:
    net = point(1.0, 1.0, 1.0)
    # steps (3, 0, 4), their opposite, (0, 2, 0) and its opposite: the sums of squares along the two axes are 50 and 8
    steps = [(4.0, 1.0, 5.0), (-2.0, 1.0, -3.0), (1.0, 3.0, 1.0), (1.0, -1.0, 1.0)]
    found = trajectory(net, [point(*step) for step in steps])
    assert found.explained.tolist() == pytest.approx([50 / 58, 8 / 58])  # type: ignore[union-attr]
    assert found.axes[0].tolist() == pytest.approx([0.6, 0, 0.8], abs=1e-6)
    assert found.axes[1].abs().tolist() == pytest.approx([0, 1, 0], abs=1e-6)
    assert found.coordinates[:, 0].tolist() == pytest.approx([5, -5, 0, 0], abs=1e-5)
    assert found.coordinates[:, 1].abs().tolist() == pytest.approx([0, 0, 2, 2], abs=1e-5)
    assert found.outside.tolist() == pytest.approx([0] * 4, abs=1e-5)


NOT_FINITE = r"weight of a checkpoint, or its difference from the network's, is not finite in fp32 \(NaN or infinite\)"


def test_a_difference_that_is_not_finite() -> None:
    with pytest.raises(ValueError, match=f"^{NOT_FINITE}$"):
        trajectory(point(3e38, 0.0), [point(-3e38, 0.0), point(0.0, 1.0), point(1.0, 0.0)])


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_is_refused(value: float, tmp_path) -> None:  # type: ignore[no-untyped-def]
    net, path = point(0.0, 0.0), [point(1.0, 0.0), point(0.0, 1.0), point(2.0, value)]
    plane = [{"weight": torch.tensor([[1.0, 0.0]])}, {"weight": torch.tensor([[0.0, 1.0]])}]
    for call in (lambda: trajectory(net, path), lambda: project(net, path, plane), lambda: trajectory(path[-1], path[:2])):
        with pytest.raises(ValueError, match=f"^{NOT_FINITE}$"):
            call()
    plane[1]["weight"][0, 0] = value
    data = torch.ones(1, 2), torch.tensor([0])
    for call in (
        lambda: project(net, path[:2], plane),
        lambda: write_directions(tmp_path / "directions.h5", net, plane),
        lambda: landscape(net, data, points=2, directions=plane),
    ):
        with pytest.raises(ValueError, match="a direction must be finite, but has NaN or infinite numbers for weight"):
            call()
