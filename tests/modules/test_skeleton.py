"""The skeleton: shapes, views, intermediates, heads, errors."""

import copy
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from families import FAMILIES
from torch import Tensor, nn

from resnetlib import Backbone, Spec, build, create_model


@pytest.fixture
def net(spec: Spec) -> Iterator[Backbone]:
    return build(spec, num_classes=7).eval()


def test_forward_is_head_of_features(net: Backbone) -> None:
    x = torch.randn(2, 3, 37, 41)
    features = net.forward_features(x)
    assert features.shape[1] == net.num_features == net.feature_info[-1]["num_chs"]
    pooled = net.forward_head(features, pre_logits=True)
    assert torch.equal(pooled, net.pool(features).flatten(1))
    assert torch.equal(net(x), net.get_classifier()(pooled))
    assert torch.equal(net(x), net.forward_head(features))
    assert net(x).shape == (2, 7)


def test_views_run_as_the_network_does(net: Backbone) -> None:
    x = y = torch.randn(2, 3, 32, 32)
    for part in (*net.stem(), *(part for stage in net.stages() for part in stage), *net.tail()):
        y = part(y)
    assert torch.equal(net.forward_features(x), y)
    registered = set(net.modules())
    assert all(part in registered for part in (*net.stem(), *net.tail(), *(p for stage in net.stages() for p in stage)))
    assert len(net.stages()) == len(net.spec.depths)
    assert len(list(net.blocks())) == sum(net.spec.depths)


def test_intermediates_are_what_feature_info_says(net: Backbone) -> None:
    x = torch.randn(2, 3, 64, 64)
    caught: dict[str, Tensor] = {}
    modules = dict(net.named_modules())
    for info in net.feature_info:
        name = info["module"]
        modules[name].register_forward_hook(lambda module, args, y, name=name: caught.update({name: y}))
    last, maps = net.forward_intermediates(x)
    assert torch.equal(last, net.forward_features(x))
    for info, got in zip(net.feature_info, maps, strict=True):
        assert torch.equal(got, caught[info["module"]])
        assert got.shape == (2, info["num_chs"], 64 // info["reduction"], 64 // info["reduction"])


def test_intermediates_can_be_chosen(net: Backbone) -> None:
    x = torch.randn(1, 3, 32, 32)
    _, every = net.forward_intermediates(x)
    assert torch.equal(net.forward_intermediates(x, 1, intermediates_only=True)[0], every[-1])
    assert torch.equal(net.forward_intermediates(x, [-1], norm=True, intermediates_only=True)[0], net.forward_features(x))
    calls: list[nn.Module] = []
    for stage in net.stages():
        stage[-1].register_forward_hook(lambda module, args, y: calls.append(module))
    early, maps = net.forward_intermediates(x, [0, 1], stop_early=True)
    assert len(calls) == 1
    assert torch.equal(early, maps[-1])
    assert [torch.equal(a, b) for a, b in zip(maps, every, strict=False)] == [True, True]
    for indices, wrong in ((9, "1 to 3, got 9"), (0, "1 to 3, got 0"), ([3], "-3 to 2"), ([], "got \\[\\]"), ([1.5], "got")):
        with pytest.raises(ValueError, match=wrong):
            net.forward_intermediates(x, indices)
    with pytest.raises(ValueError, match="output_fmt must be 'NCHW', got 'NHWC'"):
        net.forward_intermediates(x, output_fmt="NHWC")  # type: ignore[call-overload]


def test_reset_classifier_keeps_dtype_and_mode(net: Backbone) -> None:
    net = net.to(torch.float64)
    net.reset_classifier(3)
    head = net.get_classifier()
    assert isinstance(head, nn.Linear)
    assert head.weight.dtype == torch.float64
    assert not head.training
    assert net.num_classes == 3
    assert net(torch.randn(2, 3, 32, 32, dtype=torch.float64)).shape == (2, 3)
    net.reset_classifier(0)
    assert net(torch.randn(2, 3, 32, 32, dtype=torch.float64)).shape == (2, net.num_features)
    assert list(net.state_dict())[-1].rpartition(".")[0] != net.classifier_name
    for wrong in (-1, 2.5, True, None):
        with pytest.raises(ValueError, match=f"num_classes must be an integer of at least 0, got {wrong}"):
            net.reset_classifier(wrong)  # type: ignore[arg-type]


def test_reset_classifier_forgets_what_the_logits_stood_for() -> None:
    net = build(FAMILIES["resnet"], num_classes=2)
    net.classes = ("cat", "dog")
    net.fc.half()
    net.reset_classifier(2)
    assert net.classes is None
    assert net.fc.weight.dtype == torch.float16


def test_the_tutorials_way_to_replace_the_classifier(net: Backbone) -> None:
    name = net.classifier_name
    heads = {
        5: nn.Linear(net.num_features, 5),
        4: nn.Sequential(nn.Dropout(0.5), nn.Linear(net.num_features, 4)),
        7: nn.Linear(net.num_features, 7),
        3: nn.LazyLinear(3),
        0: nn.Identity(),
    }
    for width, head in heads.items():
        net.classes = tuple(map(str, range(net.num_classes)))
        setattr(net, name, head)
        assert (net.num_classes, net.classes) == (width, None)
    net.reset_classifier(2)
    net.classes = ("cat", "dog")
    setattr(net, name, net.get_classifier())
    setattr(net, name, nn.Sequential(net.get_classifier()))
    assert (net.num_classes, net.classes) == (2, ("cat", "dog"))
    assert copy.deepcopy(net).classes == ("cat", "dog")
    setattr(net, name, nn.Sequential(net.get_classifier(), nn.ReLU(), nn.Linear(2, 3)))
    assert (net.num_classes, net.classes) == (3, None)


def test_a_layer_inside_the_classifier_is_replaced(net: Backbone) -> None:
    name, width = net.classifier_name, net.num_features
    setattr(net, name, nn.Sequential(nn.Dropout(0.5), nn.Linear(width, 2)))
    net.classes = ("cat", "dog")
    net.get_classifier()[1] = nn.Linear(width, 2)
    assert (net.num_classes, net.classes) == (2, None)
    net.get_classifier()[1] = nn.Linear(width, 4)
    net.classes = tuple("abcd")
    assert (net.num_classes, net.classes) == (4, tuple("abcd"))
    delattr(net, name)
    setattr(net, name, nn.Linear(width, 4))
    assert net.classes is None


def test_weights_of_others_have_no_names() -> None:
    net, other = create_model("cifar_resnet20", pretrained=True), create_model("cifar_resnet20")
    net.load_state_dict(net.state_dict())
    assert net.classes == net.pretrained_cfg.classes != None  # noqa: E711
    net.load_state_dict(other.state_dict())
    assert (net.classes, net.pretrained_cfg.full_name) == (None, "")
    net.classes = tuple("abcdefghij")  # the user's own names stay
    net.load_state_dict(create_model("cifar_resnet20").state_dict())
    assert net.classes == tuple("abcdefghij")


def test_weights_that_a_module_around_the_network_loads_have_no_names() -> None:
    net = create_model("cifar_resnet20", pretrained=True)
    around = nn.ModuleDict({"net": net})
    around.load_state_dict(around.state_dict())
    assert net.classes is not None
    around.load_state_dict(nn.ModuleDict({"net": create_model("cifar_resnet20")}).state_dict())
    assert (net.classes, net.pretrained_cfg.full_name) == (None, "")


def test_what_is_no_tensor_is_pytorchs_error() -> None:
    net = create_model("cifar_resnet20", pretrained=True)
    with pytest.raises(RuntimeError, match=r'While copying the parameter named "fc\.weight"'):
        net.load_state_dict(net.state_dict() | {"fc.weight": "text"})


@pytest.mark.parametrize("names", [("cat", "dog"), ()])
def test_as_many_classes_as_logits(net: Backbone, names: Any) -> None:
    with pytest.raises(ValueError, match=f"^classes must be 7 names, one for each logit, got {re.escape(repr(names))}$"):
        net.classes = names


@pytest.mark.parametrize("names", ["abcdefg", 5, (*"abcdef", 7), set("abcdefg"), frozenset("abcdefg"), b"abcdefg", np.array("a")])
def test_classes_are_names_in_order(net: Backbone, names: Any) -> None:
    with pytest.raises(TypeError, match=f"^classes must be a sequence of names, got {re.escape(repr(names))}$"):
        net.classes = names
    ordered = dict.fromkeys("abcdefg")
    for names in (list("abcdefg"), ordered, ordered.keys(), np.array([*"abcdefg"])):
        net.classes = names
        assert net.classes == tuple("abcdefg")
        assert {*map(type, net.classes)} == {str}


@pytest.mark.parametrize("prune_norm", [True, False])
@pytest.mark.parametrize("prune_head", [True, False])
def test_a_network_of_fewer_stages_has_their_features(net: Backbone, prune_head: bool, prune_norm: bool) -> None:
    x = torch.randn(2, 3, 64, 64)
    expected = net.forward_intermediates(x, indices=[1], intermediates_only=True)[0]
    assert net.prune_intermediate_layers([1], prune_norm=prune_norm, prune_head=prune_head) == [1]
    assert net.num_features == expected.shape[1]
    assert torch.equal(net(x), expected)
    assert all(torch.equal(found, expected) for found in (net.forward_intermediates(x)[0], net.forward_intermediates(x, [1])[1][0]))
    net.reset_classifier(4, "avg")
    assert net.eval()(x).shape == (2, 4)


def test_all_stages_keep_their_tail_unless_it_is_pruned(net: Backbone) -> None:
    x = torch.randn(2, 3, 64, 64)
    for prune_norm, expected in ((False, net.forward_features(x)), (True, net.forward_intermediates(x, 1)[1][0])):
        net.prune_intermediate_layers(1, prune_norm=prune_norm)
        assert torch.equal(net(x), expected)


def test_indices_may_be_numpys(net: Backbone) -> None:
    x, indices = torch.randn(2, 3, 64, 64), np.array([0, 1])
    maps = net.forward_intermediates(x, indices=indices, intermediates_only=True)  # type: ignore[arg-type]
    assert [each.shape[1] for each in maps] == net.feature_info.channels(indices) == net.feature_info.channels([0, 1])
    assert net.feature_info.reduction(np.int64(1)) == net.feature_info.reduction(1)
    for one in (torch.tensor([1]), np.array([1])):  # a list of one index, not a number of maps
        [only] = net.forward_intermediates(x, indices=one, intermediates_only=True)  # type: ignore[arg-type]
        assert torch.equal(only, maps[1])


def test_weights_that_come_or_go_have_no_names() -> None:
    def pretrained() -> Backbone:
        return create_model("cifar_resnet20", pretrained=True)

    net, state = pretrained().to("meta"), pretrained().state_dict()
    net.load_state_dict(net.state_dict(), assign=True)
    assert net.classes is not None
    net.load_state_dict(state, assign=True)  # which may be anyone's
    assert (net.classes, net.pretrained_cfg.full_name) == (None, "")
    net = pretrained()
    net.load_state_dict(create_model("cifar_resnet20", device="meta").state_dict(), assign=True)
    assert (net.classes, net.pretrained_cfg.full_name) == (None, "")


def test_a_first_convolution_of_other_channels(net: Backbone) -> None:
    root = net.features if hasattr(net, "features") else net
    name = "conv0" if root is not net else "conv1"
    old = root.get_submodule(name)
    setattr(root, name, nn.Conv2d(1, old.out_channels, old.kernel_size, old.stride, old.padding, bias=False))
    assert net.in_chans == 1
    assert net.eval()(torch.zeros(2, 1, 64, 64)).shape == (2, net.num_classes)
    with pytest.raises(ValueError, match=r"expected images \(N, 1, H, W\)"):
        net(torch.zeros(2, 3, 64, 64))


def test_preprocess_may_be_a_module() -> None:
    net = build(FAMILIES["resnet"])
    assert net.preprocess is None
    net.preprocess = nn.Flatten()
    assert isinstance(net.preprocess, nn.Flatten)


@pytest.mark.parametrize("shape", [(3, 32, 32), (2, 4, 32, 32), (2, 32, 32, 3), (2, 3, 0, 32), (2, 3, 32)])
def test_a_wrong_shape_is_named_with_what_is_expected(net: Backbone, shape: tuple[int, ...]) -> None:
    smallest = net.smallest_input
    with pytest.raises(ValueError, match=rf"\(N, 3, H, W\) with H and W at least {smallest}, got a tensor of shape") as caught:
        net(torch.zeros(shape))
    assert str(shape) in str(caught.value)
    with pytest.raises(ValueError, match=r"expected images"):
        net.forward_intermediates(torch.zeros(shape))


def test_the_smallest_input_is_the_smallest(net: Backbone) -> None:
    size = net.smallest_input
    assert net(torch.randn(1, 3, size, size)).shape == (1, 7)
    if size > 1:
        for height, width in ((size - 1, size), (size, size - 1)):
            with pytest.raises(ValueError, match=f"at least {size}"):
                net(torch.randn(1, 3, height, width))


def test_the_smallest_input_is_no_larger_than_it_must_be() -> None:
    net = build(FAMILIES["densenet-large-stem"]).eval()
    unchecked = nn.Sequential(*net.path())
    with pytest.raises(RuntimeError):
        unchecked(torch.randn(1, 3, net.smallest_input - 1, net.smallest_input - 1))


def test_channels_and_classes(spec: Spec) -> None:
    net = build(spec, in_chans=5, num_classes=0)
    assert net(torch.randn(2, 5, 32, 32)).shape == (2, net.num_features)
    for wrong in ({"in_chans": 0}, {"num_classes": -1}):
        with pytest.raises(ValueError, match="must be an integer of at least"):
            build(spec, **wrong)  # type: ignore[arg-type]


def test_head_dropout(spec: Spec) -> None:
    net = build(spec, drop_rate=0.5, num_classes=0).train()
    features = torch.ones(4, net.num_features, 2, 2)
    assert set(net.forward_head(features).flatten().tolist()) == {0.0, 2.0}
    assert set(net.eval().forward_head(features).flatten().tolist()) == {1.0}
