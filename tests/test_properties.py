"""What holds for every network that a spec can describe."""

from dataclasses import replace

import torch
from hypothesis import given
from strategies import densenet_specs, resnet_specs

from resnetlib import Backbone, Spec, build

SPECS = resnet_specs(most=12) | densenet_specs()


def make(spec: Spec) -> tuple[Backbone, torch.Tensor]:
    """Return a network, and images that are large enough for it to train on."""
    torch.manual_seed(0)
    net = build(spec, num_classes=5, in_chans=2)
    size = max(net.smallest_input, 2 * net.feature_info[-1]["reduction"])
    return net, torch.randn(3, 2, size, size + 1)


@given(spec=SPECS)
def test_shapes_and_strides(spec: Spec) -> None:
    net, images = make(spec)
    last, maps = net.eval().forward_intermediates(images)
    assert net(images).shape == (3, 5)
    assert last.shape[1] == net.num_features
    for info, got in zip(net.feature_info, maps, strict=True):
        assert got.shape[1] == info["num_chs"]
        assert got.shape[2] == images.shape[2] // info["reduction"]


@given(spec=SPECS)
def test_every_parameter_gets_a_gradient(spec: Spec) -> None:
    net, images = make(spec)
    net(images).square().sum().backward()
    assert [name for name, parameter in net.named_parameters() if parameter.grad is None] == []


@given(spec=SPECS)
def test_a_network_can_learn_in_all_its_blocks(spec: Spec) -> None:
    net, images = make(spec)
    before = [[conv.weight.detach().clone() for conv in block.convs] for block in net.blocks()]
    sgd = torch.optim.SGD(net.parameters(), 0.05)
    for _ in range(6):  # what begins at zero wakes layer by layer, from the classifier back
        net.zero_grad()
        torch.nn.functional.cross_entropy(net(images), torch.tensor([0, 1, 2])).backward()
        sgd.step()
    for block, weights in zip(net.blocks(), before, strict=True):
        assert any(not torch.equal(conv.weight, weight) for conv, weight in zip(block.convs, weights, strict=True))


@given(spec=SPECS)
def test_images_of_a_batch_do_not_see_each_other_in_evaluation(spec: Spec) -> None:
    net, images = make(spec)
    net.eval()
    together = net(images)
    apart = torch.cat([net(image[None]) for image in images])
    torch.testing.assert_close(together, apart, rtol=1e-4, atol=1e-4)


@given(spec=SPECS)
def test_a_state_dict_makes_the_same_network(spec: Spec) -> None:
    net, images = make(spec)
    net(images)  # so that the statistics are not what they begin as
    twin = build(spec, num_classes=5, in_chans=2)
    twin.load_state_dict(net.state_dict())
    assert torch.equal(twin.eval()(images), net.eval()(images))


@given(spec=SPECS)
def test_the_smallest_input_leaves_a_map(spec: Spec) -> None:
    net, _ = make(replace(spec, norm="batch") if spec.norm == "group" else spec)  # group norm has no single numbers
    smallest = net.smallest_input
    features = net.eval().forward_features(torch.randn(1, 2, smallest, smallest))
    assert min(features.shape[2:]) >= 1
