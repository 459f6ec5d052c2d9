"""Paths: principal components, and projections that are right on axes of any lengths and angle."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from families import FAMILIES
from torch import Tensor, nn
from untouched import untouched

from resnetlib import Spec, build
from resnetlib.analysis import Trajectory, filter_normalized_direction, landscape, project, trajectory, write_h5


def layer(*rows: list[float]) -> nn.Module:
    net = nn.Linear(len(rows[0]), len(rows), bias=False)
    with torch.no_grad():
        net.weight.copy_(torch.tensor(rows))
    return net


def walk(net: nn.Module, steps: int = 6) -> list[dict[str, Tensor]]:
    """Checkpoints of a random walk that ends at a network."""
    generator = torch.Generator().manual_seed(1)
    states = [{name: tensor.detach().clone() for name, tensor in net.state_dict().items()}]
    for _ in range(steps):
        draws = {n: 0.1 * torch.randn(t.shape, generator=generator) if t.is_floating_point() else t for n, t in states[0].items()}
        states.insert(0, {name: tensor + draws[name] for name, tensor in states[0].items()})
    return states[:-1]


def test_a_projection_by_hand() -> None:
    net = layer([1.0, 1.0, 1.0])
    dx, dy = {"weight": torch.tensor([[2.0, 0.0, 0.0]])}, {"weight": torch.tensor([[3.0, 3.0, 0.0]])}
    checkpoints = [layer([1.0 + 2 * 4 - 3, 1.0 - 3, 1.0 + 9]), layer([1.0, 1.0, 1.0])]
    torch.testing.assert_close(project(net, checkpoints, [dx, dy]), torch.tensor([[4.0, -1.0], [0.0, 0.0]], dtype=torch.float64))
    torch.testing.assert_close(project(net, checkpoints, [dx]), torch.tensor([[5 / 2], [0.0]], dtype=torch.float64))
    found = trajectory(net, checkpoints, directions=[dx, dy])
    assert found.outside.tolist() == pytest.approx([9 / (5**2 + 3**2 + 9**2) ** 0.5, 0])
    assert found.explained is None


def test_projections_on_filter_normalized_axes_against_numpy(spec: Spec) -> None:
    net = build(spec, num_classes=5)
    directions = [filter_normalized_direction(net, seed) for seed in (0, 1)]
    checkpoints = walk(net)
    with untouched(net):
        found = project(net, checkpoints, directions)
    axes = np.stack([np.concatenate([d.double().flatten() for d in direction.values()]) for direction in directions], 1)
    theta = {name: parameter.detach() for name, parameter in net.named_parameters()}
    for state, coordinates in zip(checkpoints, found, strict=True):
        step = np.concatenate([(state[name].double() - t.double()).flatten() for name, t in theta.items()])
        np.testing.assert_allclose(coordinates.numpy(), np.linalg.lstsq(axes, step, rcond=None)[0], rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("ignore", [True, False])
def test_principal_components_against_an_svd(ignore: bool) -> None:
    net = build(FAMILIES["resnet"], num_classes=5)
    checkpoints = walk(net)
    with untouched(net):
        found = trajectory(net, checkpoints, ignore_norms_and_biases=ignore)
    theta = {name: parameter.detach() for name, parameter in net.named_parameters()}
    steps = np.stack(
        [np.concatenate([(state[n].double() - t.double()).flatten() for n, t in theta.items()]) for state in checkpoints]
    )
    counted = np.concatenate([np.full(t.numel(), t.ndim > 1 or not ignore) for t in theta.values()])
    rows = steps * counted
    _, lengths, components = np.linalg.svd(rows - rows.mean(0), full_matrices=False)
    np.testing.assert_allclose(found.explained, lengths[:2] ** 2 / (lengths**2).sum(), rtol=1e-6)  # type: ignore[arg-type]
    signs = np.sign(components[:2] @ steps[0])
    np.testing.assert_allclose(found.axes, components[:2] * signs[:, None], atol=1e-6)
    np.testing.assert_allclose(found.coordinates, steps @ components[:2].T * signs, rtol=1e-5, atol=1e-7)
    rest = np.linalg.norm(steps - steps @ components[:2].T @ components[:2], axis=1) / np.linalg.norm(steps, axis=1)
    np.testing.assert_allclose(found.outside, rest, rtol=1e-5)
    dx, dy = found.directions
    assert {name: d.shape for name, d in dx.items()} == {name: t.shape for name, t in theta.items()}
    assert bool(dy["fc.bias"].any()) is not ignore


def test_a_path_in_a_plane_is_on_the_surface() -> None:
    net = layer([1.0, -1.0], [0.5, 2.0])
    data = (torch.tensor([[1.0, 2.0], [0.3, -1.0]]), torch.tensor([0, 1]))
    ends = [copy.deepcopy(net) for _ in range(3)]
    for end, (a, b) in zip(ends, ((2.0, 1.0), (1.0, -1.0), (0.5, 0.25)), strict=True):
        with torch.no_grad():
            end.weight += torch.tensor([[a, b], [0.0, a]])  # type: ignore[operator]
    found = trajectory(net, ends)
    assert found.outside.max() < 1e-6
    assert float(found.explained.sum()) == pytest.approx(1)  # type: ignore[union-attr]
    for end, (x, y) in zip(ends, found.coordinates.tolist(), strict=True):
        surface = landscape(net, data, ((x, x + 1), (y, y + 1)), 2, directions=found.directions)
        loss = float(nn.functional.cross_entropy(end(data[0]), data[1]).detach())
        assert float(surface.loss[0, 0]) == pytest.approx(loss, rel=1e-5)


def test_the_span_holds_the_path_and_the_network() -> None:
    found = Trajectory(torch.tensor([[5.0, 2.0], [-1.0, 2.0]]).double(), torch.zeros(2), None, torch.zeros(2, 1), {"w": (1,)})
    assert found.span == ((pytest.approx(-1 - 1.2), pytest.approx(5 + 1.2)), (pytest.approx(-0.4), pytest.approx(2.4)))
    flat = Trajectory(torch.tensor([[5.0, 0.0]]).double(), torch.zeros(1), None, torch.zeros(2, 1), {"w": (1,)})
    assert flat.span[1] == (-1, 1)


@pytest.mark.parametrize("name", ["found.json", "found.safetensors"])
def test_it_is_saved_drawn_and_exported(name: str, tmp_path: Path) -> None:
    net = layer([1.0, -1.0], [0.5, 2.0])
    found = trajectory(net, [{"weight": state["weight"]} for state in walk(net, 4)])
    found.save(tmp_path / name)
    again = Trajectory.load(tmp_path / name)
    for field in Trajectory.__dataclass_fields__:
        one, other = getattr(found, field), getattr(again, field)
        assert torch.equal(one, other) if isinstance(one, Tensor) else one == other, field
    axes = landscape(net, (torch.eye(2), torch.tensor([0, 1])), found.span, 5, directions=found.directions).plot()
    assert found.plot(axes) is axes
    assert axes.lines[-1].get_xydata().tolist() == [*found.coordinates.tolist(), [0, 0]]  # type: ignore[union-attr]
    assert "of the variance" in axes.get_xlabel()
    h5py = pytest.importorskip("h5py")
    write_h5(tmp_path / "path.h5", found)
    with h5py.File(tmp_path / "path.h5") as file:
        assert file["proj_xcoord"][:].tolist() == found.coordinates[:, 0].tolist()
        assert file["proj_ycoord"][:].tolist() == found.coordinates[:, 1].tolist()


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod."])
@pytest.mark.parametrize("own", ["0", "module"])  # names may begin so by themselves
def test_state_dicts_of_what_wraps_a_network(prefix: str, own: str) -> None:
    net = nn.Sequential()
    net.add_module(own, layer([1.0, 1.0]))
    states = walk(net)
    wrapped = [{prefix + name: tensor for name, tensor in state.items()} for state in states]
    along = [{f"{own}.weight": row[None]} for row in torch.eye(2)]
    assert torch.equal(project(net, wrapped, along), project(net, states, along))


def test_checkpoints_may_come_from_a_generator() -> None:
    net = layer([1.0, 1.0])
    states = walk(net)
    found, expected = trajectory(net, (state for state in states)), trajectory(net, states)
    assert torch.equal(found.coordinates, expected.coordinates)
    along = list(expected.directions)
    assert torch.equal(project(net, iter(states), along), project(net, states, along))
    arrays = [{name: tensor.detach().numpy() for name, tensor in state.items()} for state in states]
    assert torch.equal(project(net, arrays, along), project(net, states, along))  # type: ignore[arg-type]


def test_what_is_wrong_is_said() -> None:
    net = layer([1.0, 1.0])
    states = [{"weight": torch.tensor([[1.0 + i, 1.0]])} for i in range(4)]
    with pytest.raises(ValueError, match="the 4 checkpoints span no plane"):
        trajectory(net, states)
    with pytest.raises(ValueError, match="the 2 checkpoints span no plane"):
        trajectory(net, states[:2])
    with pytest.raises(ValueError, match="there are no checkpoints"):
        trajectory(net, [])
    with pytest.raises(ValueError, match="there are no checkpoints"):
        trajectory(net, iter([]))
    with pytest.raises(ValueError, match="weight is a list, expected shape"):
        trajectory(net, [{"weight": [[1.0, 1.0]]}])  # type: ignore[dict-item]
    with pytest.raises(ValueError, match="it has no weight, expected shape \\(1, 2\\)"):
        trajectory(net, [{"bias": torch.zeros(1)}])
    with pytest.raises(ValueError, match="weight has shape \\(2, 2\\), expected shape \\(1, 2\\)"):
        trajectory(net, [nn.Linear(2, 2)])
    along = {"weight": torch.tensor([[1.0, 1.0]])}
    for directions in ([along, along], [along, {"weight": torch.zeros(1, 2)}]):
        with pytest.raises(ValueError, match="the directions are zero or parallel"):
            project(net, states, directions)
    with pytest.raises(ValueError, match="a trajectory needs two directions, got 1"):
        trajectory(net, states, directions=[along])
