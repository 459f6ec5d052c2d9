"""What all analyses share: results on disk, batches of any kind, and networks that are left as they were."""

import json
import math
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from families import FAMILIES
from hand import kept_exactly
from torch import Tensor, nn
from torch import distributed as dist
from torch.utils.data import DataLoader, TensorDataset
from untouched import picture, same, untouched

from resnetlib import PreActBasicBlock, build
from resnetlib.analysis import (
    AnalysisResult,
    branch_ratio,
    chains_of,
    draw,
    effective_rank,
    filter_normalized_direction,
    gradient_autocorrelation,
    gradient_flow,
    input_noise,
    landscape,
    lesion,
    lesion_many,
    load_result,
    reorder,
    residual_decomposition,
    response_std,
    signal_propagation,
    toy_autocorrelation,
    trajectory,
    weight_noise,
)
from resnetlib.analysis.batches import gather, gather_inputs
from resnetlib.analysis.network import preserve_state
from resnetlib.analysis.result import new_axes

NET = build(FAMILIES["resnet"], num_classes=5)
IMAGES = torch.randn(6, 3, 16, 16, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 1, 2, 3, 4, 0])


@dataclass(frozen=True, slots=True, eq=False)
class Anything(AnalysisResult):
    """Of everything a result may hold."""

    numbers: Tensor
    counts: Tensor
    limit: float
    name: str | None
    pairs: tuple[tuple[int, float], ...]
    table: dict[str, tuple[float, ...]]

    def plot(self, ax=None):  # type: ignore[no-untyped-def]
        ax = new_axes(ax)
        ax.plot(self.numbers.flatten().tolist())
        return ax


WHOLE = Anything(
    torch.tensor([[0.1, math.nan], [-math.inf, 1 / 3]], dtype=torch.float64),
    torch.tensor([2**40, 3]),
    math.inf,
    None,
    ((1, 0.5), (2, math.nan)),
    {"a": (0.1, 2.0)},
)


@pytest.mark.parametrize("ending", ["json", "safetensors", "JSON", "SafeTensors"])
def test_a_result_on_disk_is_the_same_to_the_bit(ending: str, tmp_path: Path) -> None:
    WHOLE.save(tmp_path / f"found.{ending}")
    again = Anything.load(tmp_path / f"found.{ending}")
    assert torch.equal(again.numbers.view(torch.int64), WHOLE.numbers.view(torch.int64))
    assert torch.equal(again.counts, WHOLE.counts)
    assert (again.limit, again.name, again.table) == (WHOLE.limit, WHOLE.name, WHOLE.table)
    assert again.pairs[0] == (1, 0.5)
    assert math.isnan(again.pairs[1][1])
    assert [path.name for path in tmp_path.iterdir()] == [f"found.{ending}"]


def test_names_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "dir.json").mkdir()
    with pytest.raises(IsADirectoryError, match=f"^{tmp_path}/dir.json is a folder: give the name of a file$"):
        WHOLE.save(tmp_path / "dir.json")
    long = tmp_path / ("x" * 300 + ".json")
    with pytest.raises(ValueError, match=f"^'{long}' cannot be written: a name has at most 245 bytes of UTF-8, and no null byte$"):
        WHOLE.save(long)


def test_the_json_is_strict(tmp_path: Path) -> None:
    WHOLE.save(tmp_path / "found.json")

    def refuse(word: str) -> None:
        raise AssertionError(word)

    data = json.loads((tmp_path / "found.json").read_text(), parse_constant=refuse)
    assert data["numbers"]["data"] == [[0.1, "nan"], ["-inf", 1 / 3]]


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    for name, content in (
        ("text.json", b"hello"),
        ("list.json", b"[1]"),
        ("other.safetensors", b"\x00" * 20),
        ("none.json", b"{}"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match="is not a saved result, or is damaged"):
            Anything.load(tmp_path / name)
    (tmp_path / "kind.json").write_text('{"result": "ResidualDecomposition"}')
    with pytest.raises(ValueError, match=r"holds a ResidualDecomposition: load it with ResidualDecomposition\.load"):
        Anything.load(tmp_path / "kind.json")
    (tmp_path / "listed.json").write_text('{"result": [1]}')
    with pytest.raises(ValueError, match=r"is not a saved result, or is damaged: its class is \(1,\)"):
        load_result(tmp_path / "listed.json")
    (tmp_path / "unknown.json").write_text('{"result": "Nothing"}')
    with pytest.raises(ValueError, match=r"holds a Nothing"):
        load_result(tmp_path / "unknown.json")
    (tmp_path / "less.json").write_text('{"result": "Anything", "limit": 1.0}')
    with pytest.raises(ValueError, match="damaged, or from another version"):
        Anything.load(tmp_path / "less.json")
    with pytest.raises(FileNotFoundError):
        Anything.load(tmp_path / "nothing.json")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("numbers", None),
        ("numbers", [1.0, 2.0]),
        ("limit", "high"),
        ("limit", True),
        ("limit", None),
        ("name", 3),
        ("pairs", {}),
        ("table", [1]),
    ],
)
def test_values_of_another_type_are_refused(field: str, value: object, tmp_path: Path) -> None:
    path = tmp_path / "found.json"
    WHOLE.save(path)
    data = json.loads(path.read_text())
    path.write_text(json.dumps(data | {field: value}))
    with pytest.raises(ValueError, match=f"wrong or missing {field}; it is damaged"):
        Anything.load(path)
    path.write_text(json.dumps(data | {"limit": 3, "name": "x", "pairs": [], "table": {}}))
    assert Anything.load(path).limit == 3


def test_it_is_drawn_into_a_file(tmp_path: Path) -> None:
    draw(WHOLE, tmp_path / "found.png")
    assert (tmp_path / "found.png").read_bytes().startswith(b"\x89PNG")


def test_batches_of_every_kind_are_the_same_images() -> None:
    def generated() -> Iterator[tuple[Tensor, Tensor]]:
        yield from zip(IMAGES.split(4), LABELS.split(4), strict=True)

    for batches in ((IMAGES, LABELS), [(IMAGES, LABELS)], generated(), [(IMAGES[:4], LABELS[:4]), [IMAGES[4:], LABELS[4:]]]):
        _, found = gather(NET, batches)  # type: ignore[arg-type]
        assert torch.equal(torch.cat([x for x, _ in found]), IMAGES)
        assert torch.equal(torch.cat([y for _, y in found]), LABELS)
    for batches in (IMAGES, IMAGES.split(4), (IMAGES[:4], IMAGES[4:]), generated()):
        assert torch.equal(torch.cat(gather_inputs(NET, batches)), IMAGES)
    assert gather_inputs(build(FAMILIES["resnet"], dtype=torch.float64), IMAGES)[0].dtype == torch.float64


def test_batches_that_are_none() -> None:
    for batches in ([], IMAGES[:0], iter(())):
        with pytest.raises(ValueError, match="there are no images"):
            gather_inputs(NET, batches)
    with pytest.raises(ValueError, match=r"labels are missing: .* got a tensor of torch\.float32 of shape \(6, 3, 16, 16\)"):
        gather(NET, IMAGES)
    with pytest.raises(ValueError, match=r"labels must be 0 to 4, the numbers of the network's logits, got 5"):
        gather(NET, (IMAGES, torch.tensor([0, 1, 2, 3, 4, 5])))


def test_labels_are_integers_of_a_classifier() -> None:
    for kind in (torch.int32, torch.uint8):
        assert gather(NET, (IMAGES, LABELS.to(kind)))[1][0][1].dtype == torch.int64
    with pytest.raises(ValueError, match="has no classifier"):
        gather(build(FAMILIES["resnet"], num_classes=0), (IMAGES, LABELS))


@pytest.mark.parametrize(
    ("labels", "got"),
    [
        (LABELS[:5], r"a tensor of torch\.int64 of shape \(5,\)"),
        (LABELS[:, None], r"a tensor of torch\.int64 of shape \(6, 1\)"),
        (LABELS.float(), r"a tensor of torch\.float32 of shape \(6,\)"),
        (LABELS > 2, r"a tensor of torch\.bool of shape \(6,\)"),
        (nn.functional.one_hot(LABELS).float(), r"a tensor of torch\.float32 of shape \(6, 5\)"),
        (LABELS.tolist(), "a list of int, int, int, int, int, int"),
        (LABELS.numpy(), "ndarray"),
        (None, "NoneType"),
    ],
    ids=["few", "column", "float", "bool", "one-hot", "list", "array", "none"],
)
def test_labels_in_another_form_are_described(labels: object, got: str) -> None:
    for batches in ((IMAGES, labels), [IMAGES, labels], iter([(IMAGES, labels)])):
        with pytest.raises(ValueError, match=f"labels must be a tensor of 6 integers, one for each image, got {got}$"):
            gather(NET, batches)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("batches", "got"),
    [
        (IMAGES.numpy(), "ndarray"),
        ((IMAGES.numpy(), LABELS), "ndarray"),
        ([(IMAGES.numpy(), LABELS)], "a tuple of ndarray, Tensor"),
        ([{"image": IMAGES, "label": LABELS}], "dict"),
        ({"image": IMAGES, "label": LABELS}, "str"),
        ("images", "str"),
        (TensorDataset(IMAGES, LABELS), "TensorDataset"),
        (3, "int"),
        (None, "NoneType"),
        ([()], "a tuple of nothing"),
    ],
    ids=["array", "pair of arrays", "pairs of arrays", "dicts", "dict", "string", "dataset", "number", "none", "empty tuple"],
)
def test_batches_that_are_no_tensors_are_described(batches: object, got: str) -> None:
    for read in (gather, gather_inputs):
        with pytest.raises(ValueError, match=rf"batches must be tensors of images \(N, C, H, W\), .* got {got}$"):
            read(NET, batches)  # type: ignore[operator]


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.bool], ids=str)
def test_images_that_are_not_preprocessed_are_refused(dtype: torch.dtype) -> None:
    images = IMAGES.to(dtype)
    for batches in (images, (images, LABELS), [(images, LABELS)], (images, images)):
        for read in (gather, gather_inputs):
            with pytest.raises(ValueError, match=f"images must be floating point numbers, preprocessed .*, got {dtype}$"):
                read(NET, batches)  # type: ignore[operator]


def test_more_than_labels_beside_the_images() -> None:
    batches = [(IMAGES, LABELS, torch.arange(6))]
    assert torch.equal(gather_inputs(NET, batches)[0], IMAGES)  # type: ignore[arg-type]
    for given in (batches, batches[0]):
        with pytest.raises(ValueError, match=r"batches must be pairs .* and no more, got a tuple of Tensor, Tensor, Tensor$"):
            gather(NET, given)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="labels must be a tensor of 6 integers, .* got a list of Tensor"):  # noqa: RUF043
        gradient_flow(NET, IMAGES, list(LABELS))  # type: ignore[arg-type]


def test_labels_are_those_of_the_classifier_that_is_there() -> None:
    net = deepcopy(NET)
    net.fc = nn.Linear(16, 100)
    assert lesion(net, (IMAGES, LABELS + 90)).clean_loss > 0
    with pytest.raises(ValueError, match="labels must be 0 to 99, .* got 100"):  # noqa: RUF043
        gather(net, (IMAGES, LABELS + 96))


def test_several_tensors_are_several_batches() -> None:
    assert len(gather_inputs(NET, [IMAGES, IMAGES, IMAGES])) == 3
    with pytest.raises(ValueError, match=r"images must be floating point numbers, .* got torch\.uint8"):
        gather_inputs(NET, [IMAGES, IMAGES.to(torch.uint8)])


def test_networks_that_cannot_be_measured() -> None:
    for net in (None, "resnet50", [NET]):
        with pytest.raises(TypeError, match=r"^expected a torch\.nn\.Module, got (NoneType|str|list)$"):
            residual_decomposition(net, IMAGES)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="ResNet is on the meta device: its parameters have no values"):
        residual_decomposition(build(FAMILIES["resnet"], device="meta"), IMAGES)
    with pytest.raises(ValueError, match=r"batches must be tensors of images .* of shape \(\)$"):
        residual_decomposition(NET, torch.tensor(1.0))
    pooled = nn.Sequential(PreActBasicBlock(3, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(0), nn.Unflatten(0, (1, -1)))
    with pytest.raises(ValueError, match="must return logits for each of 6 images, got 1"):
        lesion(pooled, (IMAGES, LABELS))


def test_numbers_of_other_kinds_are_numbers(tmp_path: Path) -> None:
    """Findings hold Python's, so that they can be kept; what is none is refused by its name."""
    for kind in (np.int64, torch.tensor):
        found = gradient_autocorrelation(NET, IMAGES, points=kind(8), lags=kind(2), logit=kind(1), batch_size=kind(3), seed=kind(1))
        kept_exactly(found, tmp_path)
        kept_exactly(landscape(NET, (IMAGES, LABELS), points=kind(2), seed=kind(1)), tmp_path)
        kept_exactly(toy_autocorrelation(kind([2]), width=kind(5), points=kind(9), lags=kind(2), inits=kind(1)), tmp_path)
    kept_exactly(effective_rank(NET, (IMAGES, LABELS), unit_rows=1), tmp_path)  # type: ignore[arg-type]
    kept_exactly(gradient_flow(NET, (IMAGES, LABELS), training=np.True_), tmp_path)  # type: ignore[arg-type]
    assert input_noise(NET, (IMAGES, LABELS), torch.tensor([0.5, 1.0])).values == (0.5, 1.0)  # type: ignore[arg-type]
    for wrong in (torch.tensor([1.0, 2.0]), [torch.tensor(1.0)], np.ones((2, 2)), [True, 2], iter([1.5])):
        with pytest.raises(ValueError, match="counts must be a sequence of different integers"):
            lesion_many(NET, (IMAGES, LABELS), wrong)  # type: ignore[arg-type]
    for wrong in (torch.ones(2, 2), [torch.ones(2)], np.ones((2, 2)), [1j], [10**400], [True], b"ab"):
        with pytest.raises(ValueError, match="sigmas must be a sequence of finite numbers of at least 0"):
            input_noise(NET, (IMAGES, LABELS), wrong)  # type: ignore[arg-type]
    for seed in (2**63, -1, 1.0, torch.tensor(1.0), True):
        with pytest.raises(ValueError, match=r"seed must be an integer from 0 to 2\^63 - 1, got"):
            lesion_many(NET, (IMAGES, LABELS), seed=seed)  # type: ignore[arg-type]
    for logit in (1.5, "a", True, 5):
        with pytest.raises(ValueError, match="logit must be 0 to 4"):
            gradient_autocorrelation(NET, IMAGES, logit=logit)  # type: ignore[arg-type]


def test_what_a_loader_draws_is_not_missed() -> None:
    loader = DataLoader(TensorDataset(IMAGES, LABELS), 4, shuffle=True)
    with untouched(NET):
        assert len(gather(NET, loader)[1]) == 2


def test_images_made_in_inference_mode() -> None:
    with torch.inference_mode():
        images = IMAGES + 0
    expected = gradient_flow(NET, IMAGES, LABELS)
    assert torch.equal(gradient_flow(NET, images, LABELS).feature_norm, expected.feature_norm)


def test_compiled_networks_are_measured_as_others() -> None:
    """Compiled code does not see hooks: it must not be run."""
    net = deepcopy(NET).eval()
    expected = residual_decomposition(net, IMAGES), lesion(net, (IMAGES, LABELS))
    whole, inside = torch.compile(deepcopy(net), backend="eager"), deepcopy(net)
    inside.compile(backend="eager")
    for compiled in (whole, inside):
        compiled(IMAGES)  # which compiles it
        assert residual_decomposition(compiled, IMAGES).deviation == expected[0].deviation
        assert torch.equal(lesion(compiled, (IMAGES, LABELS)).loss, expected[1].loss)


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[None]:
    """A process group of one."""
    dist.init_process_group("gloo", init_method=f"file://{tmp_path / 'group'}", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


WRAPPERS = (nn.DataParallel, nn.parallel.DistributedDataParallel, lambda net: torch.compile(nn.DataParallel(net)))


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("wrap", WRAPPERS, ids=["DataParallel", "DistributedDataParallel", "compiled"])
def test_networks_on_several_devices_are_measured_as_others(wrap: Callable[[nn.Module], nn.Module]) -> None:
    net, batch = deepcopy(NET).eval(), (IMAGES, LABELS)
    wrapped = wrap(deepcopy(net))
    steps = [{name: t.detach() + torch.randn_like(t) for name, t in net.named_parameters()} for _ in range(3)]
    with untouched(wrapped):
        assert residual_decomposition(wrapped, IMAGES).blocks == residual_decomposition(net, IMAGES).blocks
        assert torch.equal(gradient_flow(wrapped, IMAGES, LABELS).feature_norm, gradient_flow(net, IMAGES, LABELS).feature_norm)
        assert torch.equal(reorder(wrapped, batch, [1], draws=1).error, reorder(net, batch, [1], draws=1).error)
        assert torch.equal(weight_noise(wrapped, batch, draws=1).accuracy, weight_noise(net, batch, draws=1).accuracy)
        assert torch.equal(landscape(wrapped, batch, points=2).loss, landscape(net, batch, points=2).loss)
        along = [filter_normalized_direction(wrapped)]
        assert torch.equal(
            landscape(wrapped, batch, points=2, directions=along).loss, landscape(net, batch, points=2, dimensions=1).loss
        )
        assert torch.equal(trajectory(wrapped, [*steps, wrapped]).axes, trajectory(net, [*steps, net]).axes)


def test_networks_that_give_nothing_finite_are_refused() -> None:
    net = deepcopy(NET)
    with torch.no_grad():
        net.conv1.weight.fill_(math.nan)
    for analyze in (residual_decomposition, branch_ratio, response_std, signal_propagation, gradient_autocorrelation):
        with pytest.raises(ValueError, match="not finite"):
            analyze(net, IMAGES)


def test_chains_end_at_anything_else_than_a_block() -> None:
    net = nn.Sequential(PreActBasicBlock(3, 3), nn.MaxPool2d(2), PreActBasicBlock(3, 3), nn.Conv2d(3, 3, 1), PreActBasicBlock(3, 3))
    assert chains_of(net, IMAGES) == [["0"], ["2"], ["4"]]
    assert max(residual_decomposition(net, IMAGES).deviation) < 1e-6


def test_chains_begin_where_something_else_than_a_block_changes_x() -> None:
    assert [len(chain) for chain in chains_of(NET, IMAGES)] == [2, 1]
    assert [len(chain) for chain in chains_of(build(FAMILIES["densenet"]), IMAGES)] == [2, 3]
    assert [len(chain) for chain in chains_of(build(FAMILIES["resnet-c"]), IMAGES)] == [1, 1, 1]  # it projects everywhere


def test_preserve_state_restores_what_is_changed_inside() -> None:
    net = build(FAMILIES["resnet"], num_classes=5, memory_efficient=True)

    def change() -> None:
        assert all(module.training for module in net.modules())
        net(IMAGES)
        net.fc.weight.grad = torch.ones_like(net.fc.weight)
        net.requires_grad_(False)
        torch.randn(1)

    with untouched(net), preserve_state(net, training=True):
        before = picture(net)
        change()
        assert not same(picture(net), before)
    with untouched(net):
        try:
            with preserve_state(net, training=True):
                change()
                raise KeyError
        except KeyError:
            pass


def test_preserve_state_restores_buffers_that_a_network_replaces() -> None:
    class Counts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("runs", torch.tensor(0))
            self.register_buffer("first", None)

        def forward(self, x: Tensor) -> Tensor:
            self.runs = self.runs + 1
            self.first = x if self.first is None else self.first
            return x

    net = nn.Sequential(Counts(), deepcopy(NET))
    with untouched(net):
        residual_decomposition(net, IMAGES)
        gradient_flow(net, IMAGES, LABELS)
    assert (int(net[0].runs), net[0].first) == (0, None)  # type: ignore[arg-type]


def test_preserve_state_works_without_buffers_and_parameters() -> None:
    net = nn.Sequential(nn.ReLU()).train()
    with preserve_state(net):
        assert not net.training
    assert net.training
