"""What joins do, and that hooks on them see what meets there, in every family."""

from collections.abc import Callable

import pytest
import torch
from families import FAMILIES
from torch import Tensor, nn

from resnetlib import Add, Concat, Join, Replace, ScaledAdd, Spec, StochasticAdd, StochasticConcat, build


def test_replace_ignores_the_skip() -> None:
    branch = torch.randn(2, 3, 4, 4)
    assert torch.equal(Replace()(torch.full((2, 5, 8, 8), torch.nan), branch), branch)


def test_add_adds() -> None:
    skip, branch = torch.randn(2, 2, 3, 4, 4)
    assert torch.equal(Add()(skip, branch), skip + branch)


def test_concat_keeps_its_first_channels() -> None:
    skip, branch = torch.randn(2, 3, 4, 4), torch.randn(2, 2, 4, 4)
    y = Concat()(skip, branch)
    assert torch.equal(y[:, :3], skip)
    assert torch.equal(y[:, 3:], branch)


def test_scaled_add_begins_as_the_identity_and_learns() -> None:
    skip, branch = torch.randn(2, 2, 3, 4, 4)
    join = ScaledAdd()
    y = join(skip, branch)
    assert torch.equal(y, skip)
    y.sum().backward()
    torch.testing.assert_close(join.alpha.grad, branch.sum())
    assert torch.equal(ScaledAdd(0.5)(skip, branch), skip + 0.5 * branch)


@pytest.mark.parametrize(("make", "plain"), [(StochasticAdd, Add), (StochasticConcat, Concat)])
def test_a_stochastic_join_is_its_deterministic_self_in_evaluation(make: Callable[[float], Join], plain: type[Join]) -> None:
    skip, branch = torch.randn(2, 2, 3, 4, 4)
    assert torch.equal(make(0.7).eval()(skip, branch), plain()(skip, branch))
    assert torch.equal(make(0.0)(skip, branch), plain()(skip, branch))


def test_stochastic_add_drops_rows_and_keeps_the_expectation() -> None:
    skip, branch = torch.zeros(20_000, 1, 1, 1), torch.ones(20_000, 1, 1, 1)
    y = StochasticAdd(0.25)(skip, branch)
    assert set(y.flatten().tolist()) == {0.0, torch.tensor(1 / 0.75).item()}
    assert y.mean().item() == pytest.approx(1, abs=0.02)


def test_stochastic_add_in_batch_mode_drops_all_or_nothing() -> None:
    skip, branch = torch.zeros(8, 1, 1, 1), torch.ones(8, 1, 1, 1)
    join = StochasticAdd(0.5, mode="batch")
    sums = {join(skip, branch).sum().item() for _ in range(50)}
    assert sums == {0.0, 16.0}


def test_stochastic_concat_keeps_the_skip() -> None:
    skip, branch = torch.randn(64, 2, 1, 1), torch.ones(64, 1, 1, 1)
    y = StochasticConcat(0.5)(skip, branch)
    assert torch.equal(y[:, :2], skip)
    assert set(y[:, 2].flatten().tolist()) == {0.0, 2.0}


@pytest.mark.parametrize("make", [StochasticAdd, StochasticConcat])
def test_a_stochastic_join_names_what_it_cannot_take(make: Callable[..., Join]) -> None:
    with pytest.raises(ValueError, match="p must be at least 0 and below 1, got 1"):
        make(1)
    with pytest.raises(ValueError, match="mode must be 'row' or 'batch', got 'rows'"):
        make(0.5, mode="rows")


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("memory_efficient", [False, True])
def test_a_hook_on_any_join_sees_the_skip_and_the_branch(name: str, memory_efficient: bool) -> None:
    net = build(FAMILIES[name], memory_efficient=memory_efficient)
    seen: dict[str, tuple[Tensor, Tensor, Tensor]] = {}
    blocks = {id(block.join): block for block in net.blocks()}

    def look(label: str) -> Callable[[nn.Module, tuple[Tensor, Tensor], Tensor], None]:
        return lambda join, args, y: seen.update({label: (*args, y)})

    joins = {label: module for label, module in net.named_modules() if isinstance(module, Join)}
    for label, join in joins.items():
        join.register_forward_hook(look(label))
    net(torch.randn(2, 3, 32, 32)).sum().backward()
    assert list(seen) == list(joins)
    assert len(joins) == len(blocks) == sum(net.spec.depths)
    for label, (skip, branch, y) in seen.items():
        join, block = joins[label], blocks[id(joins[label])]
        assert y.shape[1] == block.out_channels
        if isinstance(join, Add):
            assert torch.equal(y, skip + branch)
        elif isinstance(join, Concat):
            assert torch.equal(y, torch.cat((skip, branch), 1))
            assert branch.shape[1] == net.spec.growth
        elif isinstance(join, Replace):
            assert torch.equal(y, branch)
            assert skip.shape[1] == block.in_channels


def test_joins_are_printed_and_add_no_keys(spec: Spec) -> None:
    net = build(spec)
    assert type(next(net.blocks()).join).__name__ in repr(net)
    assert not [key for key in net.state_dict() if ".join." in key and not key.endswith(".join.alpha")]
