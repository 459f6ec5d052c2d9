"""Networks whose blocks run in another order than that in which they are registered, or not at all, or more than once."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from families import FAMILIES
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel
from torch.utils.checkpoint import checkpoint
from untouched import untouched

import resnetlib.analysis
from resnetlib import BasicBlock, PreActBasicBlock, Replace, build
from resnetlib.analysis import (
    AnalysisResult,
    block_survival,
    blocks_of,
    branch_noise,
    branch_ratio,
    chains_of,
    effective_rank,
    gradient_autocorrelation,
    gradient_decomposition,
    gradient_flow,
    hessian_map,
    input_noise,
    landscape,
    lesion,
    lesion_many,
    path_gradient,
    path_gradients,
    reorder,
    residual_decomposition,
    response_std,
    signal_propagation,
)
from resnetlib.analysis.network import running_blocks

IMAGES = torch.randn(6, 3, 8, 8, generator=torch.Generator().manual_seed(0))
BATCH = IMAGES, torch.arange(6) % 3


class Custom(nn.Module):
    """A network that runs its blocks in an order of its own."""

    def __init__(self, *order: int, blocks: int = 3, block: type[BasicBlock] = BasicBlock) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.blocks = nn.ModuleList(block(8, 8) for _ in range(blocks))
        self.fc = nn.Linear(8, 3)
        self.order = order
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=0.3)

    def run(self, block: nn.Module, x: Tensor) -> Tensor:
        y: Tensor = block(x)
        return y

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for i in self.order:
            x = self.run(self.blocks[i], x)
        logits: Tensor = self.fc(x.mean((2, 3)))
        return logits


def as_it_runs(net: Custom) -> Custom:
    """The same network, its blocks registered in the order in which they run, and no others."""
    other = Custom(*range(len(net.order)), blocks=len(net.order), block=type(net.blocks[0]))  # type: ignore[arg-type]
    other.load_state_dict(net.state_dict(), strict=False)
    for i, number in enumerate(net.order):
        other.blocks[i].load_state_dict(net.blocks[number].state_dict())
    assert torch.equal(net.eval()(IMAGES), other.eval()(IMAGES))
    return other


OF_ONE_ORDER: dict[str, Callable[[nn.Module], AnalysisResult]] = {
    "block_survival": lambda net: block_survival(net, BATCH),
    "branch_noise": lambda net: branch_noise(net, BATCH),
    "branch_ratio": lambda net: branch_ratio(net, IMAGES),
    "gradient_decomposition": lambda net: gradient_decomposition(net, BATCH),
    "gradient_flow": lambda net: gradient_flow(net, BATCH),
    "lesion": lambda net: lesion(net, BATCH),
    "lesion_many": lambda net: lesion_many(net, BATCH, draws=3),
    "path_gradients": lambda net: path_gradients(net, BATCH),
    "reorder": lambda net: reorder(net, BATCH, draws=3),
    "signal_propagation": lambda net: signal_propagation(net, IMAGES),
    "residual_decomposition": lambda net: residual_decomposition(net, IMAGES),
}


def renamed(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, str):
        return names.get(value, value)
    if isinstance(value, tuple):
        return tuple(renamed(item, names) for item in value)
    return value.tolist() if isinstance(value, Tensor) else value


@pytest.mark.parametrize("block", [BasicBlock, PreActBasicBlock])
@pytest.mark.parametrize("order", [(2, 1, 0), (1, 2), (2, 0)], ids=str)
@pytest.mark.parametrize("name", OF_ONE_ORDER)
def test_what_is_found_is_that_of_the_blocks_as_they_run(name: str, order: tuple[int, ...], block: type[BasicBlock]) -> None:
    """In a network that runs its blocks backwards, or leaves one out, it is what it would be were they registered so."""
    net = Custom(*order, block=block)
    names = {f"blocks.{i}": f"blocks.{number}" for i, number in enumerate(order)}
    with untouched(net):
        found = OF_ONE_ORDER[name](net)
    expected = OF_ONE_ORDER[name](as_it_runs(net))
    for field in expected.__dataclass_fields__:
        assert repr(renamed(getattr(found, field), {})) == repr(renamed(getattr(expected, field), names)), field


def test_they_are_found_in_the_order_in_which_they_run() -> None:
    net = Custom(2, 0)
    assert list(blocks_of(net)) == ["blocks.0", "blocks.1", "blocks.2"]
    with untouched(net):
        assert list(running_blocks(net, IMAGES)) == ["blocks.2", "blocks.0"]
        assert chains_of(net, IMAGES) == [["blocks.2", "blocks.0"]]
    assert max(residual_decomposition(Custom(2, 0, block=PreActBasicBlock), IMAGES).deviation) < 1e-6


def test_a_path_may_go_through_blocks_that_run() -> None:
    net = Custom(2, 0)
    every = path_gradient(net, BATCH, ["blocks.0", "blocks.2"])
    assert torch.equal(every, path_gradient(as_it_runs(net), BATCH, ["blocks.0", "blocks.1"]))
    with pytest.raises(ValueError, match=r"some of \['blocks\.2', 'blocks\.0'\], got \['blocks\.1'\]"):
        path_gradient(net, BATCH, ["blocks.1"])


@pytest.mark.parametrize(
    "change",
    [lambda x: functional.max_pool2d(x, 2), lambda x: x.mul_(2), lambda x: 2 * x, lambda x: x.clamp(max=1e9)],
    ids=["pooled", "in place", "scaled", "not clamped"],
)
def test_chains_end_at_whatever_changes_x(change: Callable[[Tensor], Tensor]) -> None:
    """Also if it is no module, and if it does nothing on these images."""
    net = Custom(0, 1, 2, block=PreActBasicBlock)
    net.run = lambda block, x: change(block(x))  # type: ignore[method-assign]
    assert chains_of(net, IMAGES) == [["blocks.0"], ["blocks.1"], ["blocks.2"]]
    assert max(gradient_decomposition(net, BATCH).deviation) < 1e-4


def test_blocks_beside_each_other_are_no_chain() -> None:
    """Also at the beginning, when their branches are zero, so that both give out what they are given."""

    class Beside(Custom):
        def run(self, block: nn.Module, x: Tensor) -> Tensor:
            y: Tensor = self.blocks[0](x) + self.blocks[1](x)
            return y

    net = Beside(0, block=PreActBasicBlock)
    for block in net.blocks:
        block.zero_branch_()  # type: ignore[operator]
    assert chains_of(net, IMAGES) == [["blocks.0"], ["blocks.1"]]


def run_by_name(block: nn.Module, x: Tensor) -> Tensor:
    y: Tensor = block(x=x)
    return y


def run_again(block: nn.Module, x: Tensor) -> Tensor:
    y: Tensor = checkpoint(block, x, use_reentrant=False)
    return y


def run_in_pairs(block: nn.Module, x: Tensor) -> Tensor:
    one, other = x.chunk(2)  # which a single image cannot be divided into
    y: Tensor = block(torch.cat([one, other]))
    return y


@pytest.mark.parametrize("run", [run_by_name, run_again, run_in_pairs])
@pytest.mark.parametrize("name", OF_ONE_ORDER)
def test_how_a_block_is_called_does_not_matter(name: str, run: Callable[[nn.Module, Tensor], Tensor]) -> None:
    net, other = Custom(0, 1, 2), Custom(0, 1, 2)
    if name in ("gradient_decomposition", "signal_propagation", "residual_decomposition") and run is run_in_pairs:
        other.run = lambda block, x: block(x.clone())  # type: ignore[method-assign] # its blocks are chains of one
    net.run = run  # type: ignore[method-assign]
    with untouched(net):
        found = OF_ONE_ORDER[name](net)
    expected = OF_ONE_ORDER[name](other)
    for field in expected.__dataclass_fields__:
        assert repr(renamed(getattr(found, field), {})) == repr(renamed(getattr(expected, field), {})), field


@pytest.mark.parametrize("name", OF_ONE_ORDER)
def test_whether_a_block_s_output_is_written_into_does_not_matter(name: str) -> None:
    net, other = Custom(0, 1, 2, block=PreActBasicBlock), Custom(0, 1, 2, block=PreActBasicBlock)
    net.run, other.run = lambda block, x: block(x).mul_(2), lambda block, x: 2 * block(x)  # type: ignore[method-assign]
    found, expected = OF_ONE_ORDER[name](net), OF_ONE_ORDER[name](other)
    for field in expected.__dataclass_fields__:
        assert repr(renamed(getattr(found, field), {})) == repr(renamed(getattr(expected, field), {})), field


def test_a_network_in_a_wrapper_has_the_names_of_its_blocks() -> None:
    net = Custom(0, 1, 2)
    for wrapped in (nn.DataParallel(net), AveragedModel(net)):
        assert tuple(blocks_of(wrapped)) == lesion(wrapped, BATCH).blocks == tuple(blocks_of(net))
        assert chains_of(wrapped, IMAGES) == chains_of(net, IMAGES)
    for i, block in enumerate(net.blocks):
        net.blocks[i] = torch.compile(block, backend="eager")  # type: ignore[assignment]
    assert [len(chain) for chain in chains_of(net, IMAGES)] == [3]


class Outer(PreActBasicBlock):
    """A block whose branch has a block in it."""

    def __init__(self) -> None:
        super().__init__(8, 8)
        self.inner = PreActBasicBlock(8, 8)

    def branch(self, x: Tensor) -> Tensor:
        y: Tensor = super().branch(self.inner(x))
        return y


def test_blocks_that_cannot_be_told_apart_are_refused() -> None:
    net = Custom(0, 1, 2)
    net.blocks[1] = Outer()
    with pytest.raises(ValueError, match=r"block blocks\.1\.inner is inside of block blocks\.1"):
        residual_decomposition(net, IMAGES)
    assert len(lesion(net, BATCH).blocks) == 4
    net = Custom(0, 1, 2)
    net.blocks[2].join = net.blocks[0].join  # type: ignore[union-attr]
    for analyze in OF_ONE_ORDER.values():
        with pytest.raises(ValueError, match=r"blocks blocks\.0 and blocks\.2 share a join"):
            analyze(net)


def test_chains_of_plain_blocks_keep_the_channels() -> None:
    blocks = [BasicBlock(c, d, join=Replace) for c, d in ((3, 3), (3, 5), (5, 5), (5, 4))]
    net = nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    assert chains_of(net, IMAGES) == [["0"], ["1", "2"], ["3"]]


class WritesIntoItsInput(nn.Sequential):
    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = super().forward(x.sub_(0.5))
        return y


OF_ANY_NETWORK: dict[str, Callable[[nn.Module], AnalysisResult]] = {
    "effective_rank": lambda net: effective_rank(net, BATCH),
    "gradient_autocorrelation": lambda net: gradient_autocorrelation(net, IMAGES),
    "hessian_map": lambda net: hessian_map(net, BATCH, points=1),
    "input_noise": lambda net: input_noise(net, BATCH),
    "landscape": lambda net: landscape(net, BATCH, points=2),
    "response_std": lambda net: response_std(net, IMAGES),
}


@pytest.mark.parametrize("name", OF_ONE_ORDER | OF_ANY_NETWORK)
def test_networks_that_write_into_their_input_are_refused(name: str) -> None:
    before = IMAGES.clone()
    with pytest.raises(ValueError, match="the network writes into its input"):
        (OF_ONE_ORDER | OF_ANY_NETWORK)[name](WritesIntoItsInput(Custom(0, 1, 2)))
    assert torch.equal(IMAGES, before)


def test_a_forward_that_a_network_was_given() -> None:
    """It is neither divided into parts, nor left out."""
    net, other = build(FAMILIES["resnet"], num_classes=5), build(FAMILIES["resnet"], num_classes=5)
    other.load_state_dict(net.state_dict())
    forward = net.forward
    net.forward = lambda x: 3 * forward(x)  # type: ignore[method-assign]
    tripled = nn.Sequential(other, Tripled())
    assert torch.equal(lesion(net, BATCH).loss, lesion(tripled, BATCH).loss)


class Tripled(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return 3 * x


@pytest.mark.parametrize("block", [BasicBlock, PreActBasicBlock])
def test_outputs_written_into_inside_of_a_block(block: type[BasicBlock]) -> None:
    """In double precision nothing is copied by being cast."""

    class InPlace(block):  # type: ignore[misc, valid-type]
        def out(self, y: Tensor) -> Tensor:
            return y.relu_()

    class Apart(block):  # type: ignore[misc, valid-type]
        def out(self, y: Tensor) -> Tensor:
            return y.relu()

    one, other = (nn.Sequential(kind(3, 3, join=Replace), kind(3, 3, join=Replace)).double() for kind in (InPlace, Apart))
    other.load_state_dict(one.state_dict())
    assert torch.equal(residual_decomposition(one, IMAGES).out_energy, residual_decomposition(other, IMAGES).out_energy)
    assert torch.equal(residual_decomposition(one, IMAGES).branch_energy, residual_decomposition(other, IMAGES).branch_energy)


CHANGED_WHEREVER_THEY_RUN = ["block_survival", "branch_noise", "lesion", "lesion_many"]


@pytest.mark.parametrize("name", OF_ONE_ORDER)
def test_blocks_that_run_twice(name: str) -> None:
    """They may be changed, and have no single place."""
    net = Custom(0, 1, 0)
    with untouched(net):
        if name in CHANGED_WHEREVER_THEY_RUN:
            found = OF_ONE_ORDER[name](net)
            assert found.blocks == ("blocks.0", "blocks.1")
        else:
            with pytest.raises(ValueError, match=r"block blocks\.0 runs 2 times for each image"):
                OF_ONE_ORDER[name](net)


class OfItsOwnForSmallBatches(Custom):
    """A network whose blocks run in another order for batches of two images."""

    def __init__(self, *order: int, small: tuple[int, ...]) -> None:
        super().__init__(*order)
        self.orders = {2: small}

    def forward(self, x: Tensor) -> Tensor:
        usual, self.order = self.order, self.orders.get(len(x), self.order)
        try:
            return super().forward(x)
        finally:
            self.order = usual


@pytest.mark.parametrize(("usual", "small", "block"), [((0, 1, 2), (2, 1, 0), 2), ((0, 1, 2), (0, 1), 2), ((0, 1), (0, 1, 2), 2)])
@pytest.mark.parametrize("name", [name for name in OF_ONE_ORDER if name not in (*CHANGED_WHEREVER_THEY_RUN, "reorder")])
def test_blocks_that_run_in_another_order_for_another_batch(
    name: str, usual: tuple[int, ...], small: tuple[int, ...], block: int
) -> None:
    net = OfItsOwnForSmallBatches(*usual, small=small)
    batches = [(IMAGES[i], BATCH[1][i]) for i in (slice(0, 4), slice(4, 6))]
    analyze = getattr(resnetlib.analysis, name)
    with untouched(net), pytest.raises(ValueError, match=rf"block blocks\.{block} does not run at the same place for every batch"):
        analyze(net, batches)
    with untouched(net):
        analyze(net, batches[:1])


@pytest.mark.parametrize("name", OF_ONE_ORDER)
def test_blocks_that_never_run(name: str) -> None:
    with pytest.raises(ValueError, match=r"none of the blocks of Custom runs: blocks\.0, blocks\.1, blocks\.2"):
        OF_ONE_ORDER[name](Custom())
