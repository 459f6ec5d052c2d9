"""Surfaces are those of a plain loop over points, whatever computes them."""

import copy
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from families import FAMILIES
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from untouched import raises_inside, untouched

from resnetlib import Spec, build
from resnetlib.analysis import Landscape, filter_normalized_direction, hessian_map, landscape
from resnetlib.analysis.landscape import surface
from resnetlib.errors import ResourceError
from resnetlib.modules.frozen import freeze_module_

IMAGES = torch.randn(10, 3, 32, 32, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(10) % 5
BATCHES = [(IMAGES[:6], LABELS[:6]), (IMAGES[6:], LABELS[6:])]


def trained(spec: Spec) -> nn.Module:
    """A network whose running statistics are not those that it began with."""
    net = build(spec, num_classes=5)
    with torch.no_grad():
        for _ in range(3):
            net(IMAGES + 0.5)
    return net.eval()


def directions_of(net: nn.Module, seed: int = 0, **choices: Any) -> list[dict[str, Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    return [filter_normalized_direction(net, generator, **choices) for _ in range(2)]


def moved(net: nn.Module, dx: dict[str, Tensor], dy: dict[str, Tensor], x: float, y: float) -> nn.Module:
    net = copy.deepcopy(net)
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            parameter += x * dx[name] + y * dy[name]
    return net


def measured(net: nn.Module, batches: list[tuple[Tensor, Tensor]] = BATCHES) -> tuple[float, float]:
    with torch.no_grad():
        logits = [(net(x), y) for x, y in batches]
    images = sum(len(y) for _, y in logits)
    loss = sum(F.cross_entropy(z, y).item() * len(y) for z, y in logits) / images
    return loss, 100 * sum(int((z.argmax(1) == y).sum()) for z, y in logits) / images


def test_by_hand() -> None:
    net = nn.Linear(1, 2, bias=False)
    with torch.no_grad():
        net.weight.copy_(torch.tensor([[1.0], [0.0]]))
    dx = {"weight": torch.tensor([[1.0], [0.0]])}
    dy = {"weight": torch.tensor([[0.0], [1.0]])}
    found = landscape(net, (torch.tensor([[2.0]]), torch.tensor([0])), ((-1, 2), (0, 1)), points=2, directions=[dx, dy])
    assert (found.x.tolist(), found.y.tolist()) == ([-1, 2], [0, 1])  # type: ignore[union-attr]
    for i, y in enumerate((0, 1)):
        for j, x in enumerate((-1, 2)):
            assert float(found.loss[i, j]) == pytest.approx(math.log1p(math.exp(2 * y - 2 * (1 + x))), rel=1e-4)
    assert found.accuracy.tolist() == [[100, 100], [0, 100]]  # argmax takes the first of two that are equal
    assert found.loss_at_center == pytest.approx(math.log1p(math.exp(-2)))
    assert (found.cosine, found.seed, found.images, found.computed) == (0, None, 1, 1)


def test_against_a_plain_loop(spec: Spec) -> None:
    net = trained(spec)
    with untouched(net):
        found = landscape(net, BATCHES, 0.5, 2, seed=4)
    dx, dy = directions_of(net.eval(), 4)
    for i, y in enumerate((-0.5, 0.5)):
        for j, x in enumerate((-0.5, 0.5)):
            loss, accuracy = measured(moved(net, dx, dy, x, y))
            assert float(found.loss[i, j]) == pytest.approx(loss, rel=1e-5)
            assert float(found.accuracy[i, j]) == pytest.approx(accuracy)
    assert (found.loss_at_center, found.accuracy_at_center) == pytest.approx(measured(net), rel=1e-5)
    assert found.seed == 4


@pytest.mark.parametrize("batch_norm", ["recalibrated", "batch"])
def test_batch_norms_statistics_at_each_point(spec: Spec, batch_norm: Any) -> None:
    net = trained(spec)
    with untouched(net):
        found = landscape(net, BATCHES, 0.5, 2, batch_norm=batch_norm)
    at = moved(net, *directions_of(net), 0.5, -0.5)
    if batch_norm == "batch":
        at.train()
    else:
        torch.optim.swa_utils.update_bn([x for x, _ in BATCHES], at)
        at.eval()
    assert float(found.loss[0, 1]) == pytest.approx(measured(at)[0], rel=1e-5)


def test_frozen_norms_and_norms_without_statistics_stay_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surface, "CACHED_NUMEL", 3 * 32 * 32)  # parts of one image, which have other statistics than their batch
    convs = [nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4, track_running_stats=False)]
    net = nn.Sequential(*convs, nn.Flatten(), nn.Linear(3136, 5)).train()
    with torch.no_grad():
        net(IMAGES + 0.5)
    freeze_module_(net[1], "a test")
    expected = everywhere(net.eval())
    for batch_norm in ("running", "recalibrated", "batch"):
        found = landscape(net, BATCHES, 0.5, 2, batch_norm=batch_norm)  # type: ignore[arg-type]
        torch.testing.assert_close(found.loss, expected, rtol=1e-5, atol=0)


def everywhere(net: nn.Module) -> Tensor:
    dx, dy = directions_of(net)
    return torch.tensor([[measured(moved(net, dx, dy, x, y))[0] for x in (-0.5, 0.5)] for y in (-0.5, 0.5)], dtype=torch.float64)


@pytest.mark.parametrize("size", [1, 3, 10])
def test_parts_of_batches(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    net = trained(FAMILIES["resnet"])
    monkeypatch.setattr(surface, "CACHED_NUMEL", size * 3 * 32 * 32)
    for half, compiled, times in ((False, False, 1), (True, False, 2), (False, True, 2), (True, True, 4)):
        sizes = [len(part) for x, _ in BATCHES for part in surface.split_batch(x, half=half, compiled=compiled)]
        assert sizes == {1: [1] * 10, 2: [2] * 5, 3: [3, 3, 2, 2], 4: [3, 3, 4]}.get(size * times, [6, 4])
    torch.testing.assert_close(landscape(net, BATCHES, 0.5, 2).loss, everywhere(net), rtol=1e-5, atol=0)


def test_compiled_parts_are_of_one_size_where_they_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surface, "CACHED_NUMEL", 32 * 3)
    for images, sizes in ((250, {50}), (128, {64}), (64, {64}), (127, {64, 63}), (10, {10})):
        assert {len(part) for part in surface.split_batch(torch.empty(images, 3), half=False, compiled=True)} == sizes


def test_a_loss_sees_whole_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surface, "CACHED_NUMEL", 3 * 32 * 32)
    net, loss = trained(FAMILIES["resnet"]), nn.CrossEntropyLoss(weight=torch.tensor([1, 5, 0.2, 1, 3]))
    found = landscape(net, (IMAGES, LABELS), points=2, dimensions=1, loss=loss)
    assert found.loss_at_center == pytest.approx(float(loss(net.eval()(IMAGES), LABELS).detach()), rel=1e-5)


def test_losses_that_are_no_means() -> None:
    with pytest.raises(ValueError, match=r"loss must return the mean over a batch, a scalar, got a tensor of shape \(6,\)"):
        landscape(trained(FAMILIES["resnet"]), BATCHES, points=2, loss=nn.CrossEntropyLoss(reduction="none"))


def test_logits_that_are_not_finite_name_no_class() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 4), nn.ReLU(), nn.Linear(4, 3))
    found = landscape(net, (torch.rand(7, 3, 2, 2), torch.zeros(7, dtype=torch.long)), 1e38, 3, dimensions=1)
    assert found.loss.isfinite().tolist() == [False, True, False]
    assert found.loss[[0, 2]].isnan().any()
    assert found.accuracy[found.loss.isnan()].max() < 100


class Pair(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(3072, 5))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.net(x), x


def test_networks_that_return_no_logits() -> None:
    net = Pair()
    for measure in (landscape, hessian_map):
        with untouched(net), pytest.raises(ValueError, match=r"must return logits \(N, classes\), got tuple"):
            measure(net, BATCHES, points=2)


@pytest.mark.parametrize("choice", [{"points": 2.5}, {"points": (3, 4)}, {"workers": 1.5}, {"chunk": 0}])
def test_numbers_that_are_none(choice: Any) -> None:
    with pytest.raises(ValueError, match=rf"{next(iter(choice))} must be an integer of at least [12], got "):
        landscape(trained(FAMILIES["resnet"]), BATCHES, **choice)


@pytest.mark.parametrize("batch_norm", ["running", "recalibrated", "batch"])
def test_workers_and_chunks_change_nothing(batch_norm: Any) -> None:
    net, threads = trained(FAMILIES["resnet"]), torch.get_num_threads()
    expected = landscape(net, BATCHES, points=3, batch_norm=batch_norm, workers=1)
    for choice in ({"workers": 3}, {"chunk": 4}, {"chunk": 2, "workers": 2}):
        found = landscape(net, BATCHES, points=3, batch_norm=batch_norm, **choice)  # type: ignore[arg-type]
        torch.testing.assert_close(found.loss, expected.loss, rtol=1e-5, atol=0)
        assert torch.equal(found.accuracy, expected.accuracy)
    assert torch.get_num_threads() == threads


def test_norms_are_folded_unless_they_use_the_statistics_of_batches() -> None:
    net = trained(FAMILIES["resnet"])
    still = {name: torch.zeros_like(parameter) for name, parameter in net.named_parameters()}
    choices = {"loss": F.cross_entropy, "precision": "bf16"}
    for batch_norm, count in (("running", 8), ("recalibrated", 8), ("batch", 0)):
        assert len(surface.PointEvaluator(net, [still], BATCHES, batch_norm=batch_norm, **choices).pairs) == count  # type: ignore[arg-type]


def test_lines_directions_and_batches_of_any_kind() -> None:
    net = trained(FAMILIES["plain"])
    plane = landscape(net, BATCHES, points=3)
    line = landscape(net, iter(BATCHES), points=3, dimensions=1)
    assert (line.y, line.cosine) == (None, None)
    torch.testing.assert_close(line.loss, plane.loss[1])
    given = landscape(net, (IMAGES, LABELS), points=3, directions=directions_of(net)[:1])
    torch.testing.assert_close(given.loss, plane.loss[1])


def test_norms_and_biases_move_only_if_told() -> None:
    net = trained(FAMILIES["resnet"])
    found = landscape(net, BATCHES, 0.5, 2, ignore_norms_and_biases=False)
    loss, _ = measured(moved(net, *directions_of(net, ignore_norms_and_biases=False), 0.5, 0.5))
    assert float(found.loss[1, 1]) == pytest.approx(loss, rel=1e-5)
    assert float(found.loss[1, 1]) != pytest.approx(float(landscape(net, BATCHES, 0.5, 2).loss[1, 1]), rel=1e-3)


def test_precision_and_loss() -> None:
    net = trained(FAMILIES["resnet"])
    exact, found = landscape(net, BATCHES, points=3), landscape(net, BATCHES, points=3, precision="bf16")
    torch.testing.assert_close(found.loss, exact.loss, rtol=0.1, atol=0)
    assert not torch.equal(found.loss, exact.loss)
    twice = landscape(net, BATCHES, points=3, loss=lambda logits, labels: 2 * F.cross_entropy(logits, labels))
    torch.testing.assert_close(twice.loss, 2 * exact.loss, rtol=1e-6, atol=0)
    torch.testing.assert_close(landscape(net.double(), BATCHES, points=3).loss, exact.loss, rtol=1e-5, atol=0)


def test_what_is_not_finite_far_out_is_kept_and_at_the_center_is_an_error() -> None:
    net = nn.Linear(1, 2, bias=False)
    data = (torch.tensor([[1.0]]), torch.tensor([1]))
    far = {"weight": torch.tensor([[3e38], [-3e38]])}
    found = landscape(net, data, points=3, directions=[far])
    assert found.loss[2] == math.inf
    assert found.computed == 1
    with torch.no_grad():
        net.weight.fill_(math.nan)
    with pytest.raises(ValueError, match="the loss of the network itself is nan on these images: check its weights"):
        landscape(net, data, points=3)


def test_the_network_is_as_it_was_after_an_error() -> None:
    net, threads = build(FAMILIES["resnet"], num_classes=5, memory_efficient=True), torch.get_num_threads()
    raises_inside(net, lambda: landscape(net, BATCHES, points=3, batch_norm="batch"))
    assert torch.get_num_threads() == threads


class Interrupted(Exception):  # noqa: N818
    pass


class CountedLoss:
    """Cross-entropy that is counted, and at some time fails."""

    def __init__(self, last: int | None = None) -> None:
        self.calls, self.last = 0, last

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        self.calls += 1
        if self.calls == self.last:
            raise Interrupted
        return F.cross_entropy(logits, labels)


@pytest.mark.parametrize("name", ["new/found.json", "found.safetensors"])
def test_it_goes_on_where_it_was(name: str, tmp_path: Path) -> None:
    net, out = trained(FAMILIES["resnet"]), tmp_path / name
    data = (IMAGES, LABELS)
    with pytest.raises(Interrupted):
        landscape(net, data, points=4, loss=CountedLoss(8), out=out, every=0, workers=1)
    before = Landscape.load(out)
    assert before.computed == 6 / 16  # one call went to the center, and the eighth failed
    assert (before.loss == -1).sum() == 10
    loss = CountedLoss()
    found = landscape(net, data, points=4, loss=loss, out=out, workers=2)
    assert loss.calls == 11
    whole = landscape(net, data, points=4)
    torch.testing.assert_close(found.loss, whole.loss, rtol=1e-5, atol=0)
    assert torch.equal(Landscape.load(out).loss, found.loss)
    again = landscape(net, data, points=4, loss=loss, out=out)
    assert loss.calls == 12
    assert torch.equal(again.loss, found.loss)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seed": 1}, "differs in directions"),
        ({"ignore_norms_and_biases": False}, "differs in directions"),
        ({"span": 2.0}, "differs in span"),
        ({"points": 3}, "differs in points"),
        ({"batch_norm": "batch"}, "differs in batch_norm"),
        ({"precision": "bf16"}, "differs in precision"),
        ({"loss": F.nll_loss}, "differs in loss"),
        ({"batches": [(IMAGES, LABELS.flip(0))]}, "differs in images"),
        ({"net": trained(FAMILIES["plain"])}, "differs in directions, modules, network"),
    ],
)
def test_a_file_of_another_call_is_refused(change: dict[str, Any], said: str, tmp_path: Path) -> None:
    call: dict[str, Any] = {"net": trained(FAMILIES["resnet"]), "batches": BATCHES, "points": 2, "out": tmp_path / "found.json"}
    landscape(**call)
    content = call["out"].read_bytes()
    with pytest.raises(ValueError, match=said):
        landscape(**(call | change))
    assert call["out"].read_bytes() == content


def test_what_is_wrong_is_said(tmp_path: Path) -> None:
    net = trained(FAMILIES["resnet"])
    dx, dy = directions_of(net)

    def wrong(**change: Any) -> None:
        landscape(**({"net": net, "batches": BATCHES, "points": 2} | change))

    with pytest.raises(ValueError, match="labels are missing"):
        wrong(batches=IMAGES)
    with pytest.raises(ValueError, match="there are no images"):
        wrong(batches=[])
    with pytest.raises(ValueError, match="dimensions must be 1 or 2, got 3"):
        wrong(dimensions=3)
    with pytest.raises(ValueError, match=r"dimensions must be 1 or 2, got 2.0"):
        wrong(dimensions=2.0)
    with pytest.raises(ValueError, match=r"^precision='bf16' is for networks in fp32 or less: autocast would leave torch.float64"):
        landscape(copy.deepcopy(net).double(), (IMAGES, LABELS), precision="bf16")
    with pytest.raises(ValueError, match="points must be an integer of at least 2, got 1"):
        wrong(points=1)
    for span in (0.0, -1.0, math.inf, ((1.0, 0.0), (0.0, 1.0)), ((0.0, 1.0),), "a", "1", True, None, torch.ones(2), [1, 2, 3]):
        with pytest.raises(ValueError, match="span must be a positive number, or the two ends"):
            wrong(span=span)
    with pytest.raises(ValueError, match=r"batch_norm must be one of .*'recalibrated'.*, got 'train'"):
        wrong(batch_norm="train")
    with pytest.raises(ValueError, match=r"precision must be one of .*, got 'int8'"):
        wrong(precision="int8")
    with pytest.raises(ValueError, match="workers must be an integer of at least 1, got 0"):
        wrong(workers=0)
    with pytest.raises(ValueError, match="chunk must be an integer of at least 1, got 0"):
        wrong(chunk=0)
    with pytest.raises(ValueError, match=r"directions must be a sequence of one or two, got 3"):
        wrong(directions=[dx, dy, dx])
    with pytest.raises(ValueError, match="directions must be a sequence of one or two"):
        wrong(directions=dx)
    with pytest.raises(ValueError, match=r"these names differ: \['conv1.weight'\]"):
        wrong(directions=[{name: d for name, d in dx.items() if name != "conv1.weight"}])
    with pytest.raises(ValueError, match=r"fc.bias is \(5,\), got \(1,\)"):
        wrong(directions=[dx | {"fc.bias": torch.zeros(1)}])
    for out in ("found.txt", "found"):
        with pytest.raises(ValueError, match=r"out must be a file that ends in .json or .safetensors"):
            wrong(out=tmp_path / out)
    long = tmp_path / ("x" * 300 + ".json")
    with pytest.raises(ResourceError, match=f"^{long} cannot be written: File name too long$"):
        wrong(out=long)
    (tmp_path / "found.json").write_text("{}")
    with pytest.raises(ValueError, match="is not a saved result, or is damaged"):
        wrong(out=tmp_path / "found.json")
    with pytest.raises(ValueError, match=r"has no parameters"):
        wrong(net=nn.Flatten(), batches=(torch.randn(2, 3), torch.tensor([0, 1])))


@pytest.mark.parametrize("name", ["found.json", "found.safetensors"])
@pytest.mark.parametrize("dimensions", [1, 2])
def test_it_is_saved_and_loaded_exactly(name: str, dimensions: int, tmp_path: Path) -> None:
    found = landscape(trained(FAMILIES["resnet"]), BATCHES, points=3, dimensions=dimensions)
    found.save(tmp_path / name)
    again = Landscape.load(tmp_path / name)
    for field in Landscape.__dataclass_fields__:
        one, other = getattr(found, field), getattr(again, field)
        assert torch.equal(one, other) if isinstance(one, Tensor) else one == other, field


def test_batches_are_read_once() -> None:
    def once() -> Iterator[tuple[Tensor, Tensor]]:
        yield from BATCHES

    net = trained(FAMILIES["resnet"])
    assert torch.equal(landscape(net, once(), points=2).loss, landscape(net, BATCHES, points=2).loss)


@pytest.mark.cuda
@pytest.mark.parametrize("batch_norm", ["running", "recalibrated", "batch"])
@pytest.mark.parametrize("chunk", [1, 3])
def test_on_a_gpu(batch_norm: Any, chunk: int) -> None:
    net = trained(FAMILIES["resnet"])
    expected = landscape(net, BATCHES, 0.5, 3, batch_norm=batch_norm)
    found = landscape(net.to("cuda"), BATCHES, 0.5, 3, batch_norm=batch_norm, chunk=chunk)
    torch.testing.assert_close(found.loss, expected.loss, rtol=1e-2, atol=0)
