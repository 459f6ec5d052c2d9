"""Eigenvalues at points of a plane are those of the whole Hessian."""

import copy
import math
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from families import FAMILIES
from torch import Tensor, nn
from torch.func import functional_call
from untouched import raises_inside, untouched

from resnetlib import build
from resnetlib.analysis import HessianMap, filter_normalized_direction, hessian_map
from resnetlib.analysis.landscape.hessian import extreme_eigenvalues

pytest.importorskip("scipy")

INPUTS = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 1, 1, 0, 1, 0])


def small() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 2, bias=False))


def eigenvalues(net: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Those of the Hessian of the parameters of two dimensions, from the whole matrix."""
    net = copy.deepcopy(net).eval()
    learned = {name: parameter.detach() for name, parameter in net.named_parameters() if parameter.ndim > 1}
    vector = torch.cat([parameter.flatten() for parameter in learned.values()])

    def loss(vector: Tensor) -> Tensor:
        parts = vector.split([parameter.numel() for parameter in learned.values()])
        state = {name: part.view_as(parameter) for (name, parameter), part in zip(learned.items(), parts, strict=True)}
        return nn.functional.cross_entropy(functional_call(net, state, (x,)), y)

    return torch.linalg.eigvalsh(torch.autograd.functional.hessian(loss, vector).double())


def test_by_hand() -> None:
    net = nn.Linear(2, 2, bias=False).double()
    with torch.no_grad():
        net.weight.zero_()
    data = (torch.tensor([[2.0, 0.0]]), torch.tensor([0]))
    # H = (diag(p) - p p^T) x x^T with p = (1/2, 1/2) and |x|^2 = 4: 1/2 * 4 once, and zeros
    still = {"weight": torch.zeros(2, 2)}
    found = hessian_map(net, data, points=1, directions=[still, still], tolerance=1e-8)
    assert found.largest.item() == pytest.approx(2)
    assert found.smallest.item() == pytest.approx(0, abs=1e-6)
    assert found.ratio.item() == pytest.approx(0, abs=1e-6)


def test_against_the_whole_hessian() -> None:
    net = small()
    with torch.no_grad():
        net(INPUTS + 1)
    batches = [(INPUTS[:4], LABELS[:4]), (INPUTS[4:], LABELS[4:])]  # of two sizes, which an average of averages would show
    with untouched(net):
        found = hessian_map(net, batches, 0.7, 2, seed=2, tolerance=1e-6)
    generator = torch.Generator().manual_seed(2)
    dx, dy = (filter_normalized_direction(net, generator) for _ in range(2))
    for i, y in enumerate((-0.7, 0.7)):
        for j, x in enumerate((-0.7, 0.7)):
            at = copy.deepcopy(net)
            with torch.no_grad():
                for name, parameter in at.named_parameters():
                    parameter += x * dx[name] + y * dy[name]
            expected = eigenvalues(at, INPUTS, LABELS)
            assert float(found.largest[i, j]) == pytest.approx(float(expected[-1]), rel=1e-4)
            assert float(found.smallest[i, j]) == pytest.approx(float(expected[0]), rel=1e-3, abs=1e-4)
    assert bool((found.smallest < 0).any())
    assert torch.equal(found.ratio, (found.smallest / found.largest).abs())
    assert (found.images, found.seed) == (6, 2)


def test_the_end_of_largest_magnitude_may_be_the_negative_one() -> None:
    for ends in ((-3.0, 1.0), (-1.0, 3.0), (2.0, 3.0), (-3.0, -2.0)):
        diagonal = torch.linspace(*ends, 20, dtype=torch.float64).numpy()
        found = extreme_eigenvalues(lambda v: diagonal * v.reshape(-1), np.ones(20), tolerance=1e-8)  # noqa: B023
        assert found == pytest.approx((ends[1], ends[0]), rel=1e-5)


def test_an_infinite_loss_has_no_eigenvalues() -> None:
    net = nn.Linear(3, 2, bias=False)
    far = {"weight": torch.full((2, 3), 3e38)}
    found = hessian_map(net, (INPUTS, LABELS), points=2, directions=[far, {"weight": torch.ones(2, 3)}])
    assert bool(found.largest.isnan().all())
    assert bool(found.ratio.isnan().all())


def test_the_network_is_as_it_was_after_an_error() -> None:
    net = build(FAMILIES["resnet"], num_classes=5, memory_efficient=True)
    data = (torch.randn(4, 3, 16, 16), torch.arange(4))
    raises_inside(net, lambda: hessian_map(net, data, points=1))


def test_it_is_kept_goes_on_and_is_drawn(tmp_path: Path) -> None:
    net, out = small(), tmp_path / "found.safetensors"
    whole = hessian_map(net, (INPUTS, LABELS), points=2, out=out)
    partial = torch.tensor([[5.0, -1.0], [-1.0, -1.0]], dtype=torch.float64)
    values = [getattr(whole, name) for name in HessianMap.__dataclass_fields__]
    HessianMap(*values[:2], partial, partial.clone(), *values[4:]).save(out)
    found = HessianMap.load(out)
    assert found.ratio.isnan().tolist() == [[False, True], [True, True]]
    found = hessian_map(net, (INPUTS, LABELS), points=2, out=out)
    assert found.largest[0, 0] == 5  # taken from the file
    assert torch.equal(found.largest.flatten()[1:], whole.largest.flatten()[1:])
    axes = found.plot()
    mesh = axes.collections[0]
    assert mesh.get_array().flatten().tolist() == found.ratio.flatten().tolist()  # type: ignore[union-attr]
    assert mesh.get_clim() == (0, 0.5)
    with pytest.raises(ValueError, match="differs in tolerance"):
        hessian_map(net, (INPUTS, LABELS), points=2, out=out, tolerance=0.1)


def test_what_is_wrong_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="labels are missing"):
        hessian_map(small(), INPUTS)
    with pytest.raises(ValueError, match=r"^a map needs two directions, got 1$"):
        hessian_map(small(), (INPUTS, LABELS), directions=[filter_normalized_direction(small())])
    with pytest.raises(ValueError, match="the network has no parameters of more than one dimension"):
        hessian_map(nn.BatchNorm1d(3), (INPUTS, LABELS))
    broken = small()
    torch.nn.init.constant_(next(broken.parameters()), math.nan)
    with pytest.raises(ValueError, match="the network's own Hessian is not finite on these images: check its weights"):
        hessian_map(broken, (INPUTS, LABELS), points=1)
    monkeypatch.setitem(sys.modules, "scipy.sparse.linalg", None)
    with pytest.raises(ImportError, match=r"pip install 'resnetlib\[landscape\]'"):
        hessian_map(small(), (INPUTS, LABELS), points=1)
