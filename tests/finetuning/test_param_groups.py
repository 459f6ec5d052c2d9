"""Groups hold every parameter once, decay what they should, and learn more slowly the deeper they lie."""

from copy import deepcopy

import pytest
import torch
from families import FAMILIES

from resnetlib import Backbone, Spec, build, create_model, freeze, parameter_groups, table_of
from resnetlib.train import recipe_of
from resnetlib.train.trainer import make_optimizer

IMAGES = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def net(spec: Spec) -> Backbone:
    return build(spec, num_classes=5)


@pytest.mark.parametrize("layer_decay", [1.0, 0.5])
def test_every_parameter_is_in_one_group(net: Backbone, layer_decay: float) -> None:
    groups = parameter_groups(net, lr=0.1, weight_decay=0.01, layer_decay=layer_decay)
    grouped = [pair for group in groups for pair in group["params"]]
    assert sorted(name for name, _ in grouped) == sorted(name for name, _ in net.named_parameters())
    assert all(parameter is net.get_parameter(name) for name, parameter in grouped)
    for group in groups:
        assert {parameter.ndim > 1 for _, parameter in group["params"]} == {group["weight_decay"] == 0.01}
        assert group["label"].endswith(", no decay") is (group["weight_decay"] == 0)


def test_rates_fall_from_the_head_to_the_stem(net: Backbone) -> None:
    groups = parameter_groups(net, lr=1.0, layer_decay=0.5)
    rates = {name: group["lr"] for group in groups for name, _ in group["params"]}
    blocks = list(net.blocks())
    names = {module: name for name, module in net.named_modules()}
    of = {block: {rate for name, rate in rates.items() if name.startswith(f"{names[block]}.")} for block in blocks}
    assert all(len(found) == 1 for found in of.values())
    order = [found.pop() for found in of.values()]
    assert order == sorted(order)
    assert len(set(order)) == len(order)
    stem = {rate for name, rate in rates.items() if any(name.startswith(f"{names[part]}.") for part in net.stem())}
    assert len(stem) == 1
    assert stem.pop() < order[0]
    assert {rate for name, rate in rates.items() if name.startswith(f"{net.classifier_name}.")} == {1.0}
    assert order[-1] < 1


def test_resnets_rates_are_powers_of_the_decay() -> None:
    groups = parameter_groups(build(FAMILIES["resnet"]), lr=0.1, weight_decay=0.01, layer_decay=0.8)
    rates = {group["label"]: group["lr"] for group in groups}
    expected = {"head": 0.1, "layer2.0": 0.08, "layer1.1": 0.064, "layer1.0": 0.0512, "stem": 0.04096}
    assert {label: rates[label] for label in expected} == pytest.approx(expected)
    assert rates.keys() == {*expected, *(f"{label}, no decay" for label in expected)}
    assert [group["lr_scale"] for group in groups][-1] == 1


@pytest.mark.parametrize("kind", ["SGD", "AdamW", "RMSprop", "Adagrad", "NAdam"])
def test_optimizers_take_them(kind: str) -> None:
    net = build(FAMILIES["densenet"], num_classes=5)
    optimizer = getattr(torch.optim, kind)(parameter_groups(net, lr=0.01, weight_decay=0.1, layer_decay=0.9))
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: 0.5**epoch)
    before = [group["lr"] for group in optimizer.param_groups]
    net(IMAGES).sum().backward()
    optimizer.step()
    scheduler.step()
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([rate / 2 for rate in before])
    assert [group["lr"] * 2 for group in optimizer.param_groups] == pytest.approx(before)


def test_without_gradients_norms_rest_and_weights_decay_by_their_own_rate() -> None:
    net = build(FAMILIES["resnet"], num_classes=5)
    twin = deepcopy(net)
    sgd = torch.optim.SGD(parameter_groups(net, lr=0.5, weight_decay=0.1, layer_decay=0.5))
    for parameter in net.parameters():
        parameter.grad = torch.zeros_like(parameter)
    sgd.step()
    assert torch.equal(net.bn1.weight, twin.bn1.weight)
    torch.testing.assert_close(net.fc.weight, twin.fc.weight * (1 - 0.5 * 0.1))
    torch.testing.assert_close(net.conv1.weight, twin.conv1.weight * (1 - 0.5 * 0.5**4 * 0.1))


def test_everything_decays_where_it_is_asked_for() -> None:
    (group,) = parameter_groups(build(FAMILIES["resnet"]), lr=0.1, weight_decay=0.01, decay_all=True)
    assert group["weight_decay"] == 0.01


def test_frozen_parameters_rest() -> None:
    net = build(FAMILIES["resnet"], num_classes=5)
    freeze(net, "layer1")
    before = {name: parameter.clone() for name, parameter in net.named_parameters()}
    sgd = torch.optim.SGD(parameter_groups(net, lr=0.1, weight_decay=0.1))
    net(IMAGES).square().sum().backward()
    sgd.step()
    for name, parameter in net.named_parameters():
        assert torch.equal(parameter, before[name]) is not parameter.requires_grad


def test_the_table_adds_up(net: Backbone) -> None:
    groups = parameter_groups(net, lr=0.1, weight_decay=0.01, layer_decay=0.75)
    lines = table_of(groups).splitlines()[1:]
    assert len(lines) == len(groups)
    assert sum(int(line.split()[-1].replace(",", "")) for line in lines) == sum(p.numel() for p in net.parameters())
    assert table_of(torch.optim.SGD(groups).param_groups) == table_of(groups)


def test_recipes_name_the_stems_share_and_deep_networks_decay_more_gently() -> None:
    for name in ("cifar_resnet20", "cifar_resnet110", "densenet121"):
        net = create_model(name, device="meta")
        optimizer = make_optimizer(recipe_of("finetune", stem_lr_scale=0.25, lr=0.4), net)
        rates = {group["label"]: group["lr"] for group in optimizer.param_groups}
        assert rates["stem"] == pytest.approx(0.1)
        assert rates["head"] == pytest.approx(0.4)


def test_the_table_of_no_groups_is_a_heading() -> None:
    assert table_of([]) == table_of(parameter_groups(create_model("cifar_resnet20"), lr=0.1)).splitlines()[0]


def test_the_table_of_other_optimizers_numbers_their_groups() -> None:
    net = build(FAMILIES["resnet"])
    groups = torch.optim.SGD([{"params": net.conv1.parameters()}, {"params": net.fc.parameters()}], 0.1).param_groups
    assert [line.split()[:2] for line in table_of(groups).splitlines()[1:]] == [["group", "0"], ["group", "1"]]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"lr": 0.0}, "lr must be above 0"),
        ({"lr": 0.1, "weight_decay": -1.0}, "weight_decay 0 or more, got 0.1 and -1"),
        ({"lr": 0.1, "layer_decay": 0.0}, "layer_decay must be above 0, and 1 at most, got 0"),
        ({"lr": 0.1, "layer_decay": 1.5}, "got 1.5"),
    ],
)
def test_numbers_out_of_range(wrong: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parameter_groups(build(FAMILIES["resnet"]), **wrong)
