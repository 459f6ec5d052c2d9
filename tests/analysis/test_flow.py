"""Norms of gradients: by hand, against autograd, and however the images come in batches."""

from dataclasses import replace
from math import log, sqrt

import pytest
import torch
from families import FAMILIES
from hand import Times
from torch import nn
from torch.nn.functional import cross_entropy

from resnetlib import Spec, build, spec_of
from resnetlib.analysis import gradient_flow
from resnetlib.modules.frozen import freeze_module_

IMAGES = torch.randn(6, 3, 16, 16, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 1, 2, 3, 4, 0])


def test_by_hand() -> None:
    net = nn.Sequential(Times(1.0), Times(0.5), nn.Flatten())
    # logits are 0 and 0, the gradient at them is (-1/2, 1/2) or (1/2, -1/2), and every block before multiplies it by 1 + factor
    found = gradient_flow(net, torch.zeros(3, 2, 1, 1), torch.tensor([0, 1, 1]))
    assert found.blocks == ("0", "1")
    assert found.feature_norm.tolist() == pytest.approx([3 * sqrt(0.5), 1.5 * sqrt(0.5), sqrt(0.5)])
    assert found.parameter_norm.tolist() == [0, 0]
    assert found.loss == pytest.approx(log(2))
    assert found.first_to_last == pytest.approx(3)


@pytest.mark.parametrize("training", [False, True])
def test_against_autograd(spec: Spec, training: bool) -> None:
    net = build(spec, num_classes=5)
    found = gradient_flow(net, IMAGES, LABELS, training=training)
    net.train(training)
    outputs = []
    for block in net.blocks():
        block.register_forward_hook(lambda block, args, y: outputs.append(y))
    loss = cross_entropy(net(IMAGES), LABELS)
    gradients = torch.autograd.grad(loss, outputs, retain_graph=True)
    expected = torch.stack([gradient.norm() for gradient in gradients]).double() * sqrt(6)  # of the sum, and its root mean square
    if "dense" not in type(net).__name__.lower():  # between whose stages lies a transition
        firsts = [i for i, block in enumerate(net.blocks()) if i]
        torch.testing.assert_close(found.feature_norm[firsts], expected[[i - 1 for i in firsts]], rtol=1e-4, atol=1e-7)
    torch.testing.assert_close(found.feature_norm[-1], expected[-1], rtol=1e-4, atol=1e-7)
    loss.backward()
    for block, norm in zip(net.blocks(), found.parameter_norm, strict=True):
        own = torch.cat([p.grad.flatten() for p in block.parameters() if p.grad is not None]).double().norm()
        torch.testing.assert_close(norm, own, rtol=1e-4, atol=1e-7)
    assert found.loss == pytest.approx(float(loss.detach()), rel=1e-5)


def test_batches_do_not_matter_where_images_do_not_see_one_another() -> None:
    net = build(FAMILIES["resnet"], num_classes=5)
    whole = gradient_flow(net, IMAGES, LABELS, training=False)
    parts = gradient_flow(net, ((IMAGES[i], LABELS[i]) for i in (slice(0, 1), slice(1, 6))), training=False)
    torch.testing.assert_close(parts.feature_norm, whole.feature_norm, rtol=1e-5, atol=0)
    torch.testing.assert_close(parts.parameter_norm, whole.parameter_norm, rtol=1e-5, atol=0)
    assert parts.images == whole.images == 6


def test_frozen_parameters_have_norms_and_frozen_norms_stay_frozen() -> None:
    net = build(FAMILIES["resnet"], num_classes=5)
    free = gradient_flow(net, IMAGES, LABELS, training=False)
    for module in net.modules():
        freeze_module_(module, "test")
    frozen = gradient_flow(net, IMAGES, LABELS, training=True)
    assert torch.equal(frozen.feature_norm, free.feature_norm)
    assert torch.equal(frozen.parameter_norm, free.parameter_norm)
    assert not any(parameter.requires_grad for parameter in net.parameters())


def test_dropout_does_not_make_it_a_matter_of_chance() -> None:
    net = build(FAMILIES["densenet"], num_classes=5, proj_drop_rate=0.5, drop_path_rate=0.5)
    one, other = (gradient_flow(net, IMAGES, LABELS) for _ in range(2))
    assert torch.equal(one.feature_norm, other.feature_norm)


def test_without_norms_gradients_vanish_and_with_them_they_do_not() -> None:
    plain = replace(spec_of("cifar_plain20"), depths=(9, 9, 9))
    x, y = torch.randn(8, 3, 16, 16), torch.arange(8)
    without = gradient_flow(build(replace(plain, norm="none")), x, y)
    assert without.feature_norm[0] < 0.1 * gradient_flow(build(plain), x, y).feature_norm[0]


def test_what_is_wrong_is_said() -> None:
    net = build(FAMILIES["resnet"], num_classes=5)
    with pytest.raises(ValueError, match="Sequential has no blocks with joins"):
        gradient_flow(nn.Sequential(nn.Flatten()), IMAGES, LABELS)
    with pytest.raises(ValueError, match="there are no images"):
        gradient_flow(net, [])
    with pytest.raises(ValueError, match="labels are missing"):
        gradient_flow(net, IMAGES)
    with pytest.raises(ValueError, match="separate labels need batches that are one tensor of images"):
        gradient_flow(net, [(IMAGES, LABELS)], LABELS)
    with pytest.raises(ValueError, match=r"labels must be 0 to 4.*got 9"):
        gradient_flow(net, IMAGES, torch.full((6,), 9))
    with pytest.raises(ValueError, match="loss on these images must be a finite number, got nan"):
        gradient_flow(net, IMAGES * torch.nan, LABELS)
    with pytest.raises(ValueError, match=r"must return logits \(N, classes\).*\(1, 2, 1, 1\)"):
        gradient_flow(nn.Sequential(Times(1.0)), torch.zeros(1, 2, 1, 1), torch.tensor([0]))
    with pytest.raises(ValueError, match="of must be one of features, parameters, got 'weights'"):
        gradient_flow(net, IMAGES, LABELS).plot(of="weights")  # type: ignore[arg-type]


def test_a_batch_of_a_data_loader_is_a_batch() -> None:
    net, x, y = build(spec_of("cifar_resnet20")), torch.randn(4, 3, 32, 32), torch.arange(4)
    assert gradient_flow(net, [x, y]).loss == gradient_flow(net, (x, y)).loss


def test_the_loss_of_a_bf16_network_is_not_rounded_to_bf16() -> None:
    net = build(spec_of("cifar_resnet20")).bfloat16().eval()
    x, y = torch.randn(4, 3, 32, 32), torch.arange(4)
    with torch.no_grad():
        expected = nn.functional.cross_entropy(net(x.bfloat16()).float(), y)
    assert gradient_flow(net, (x, y), training=False).loss == pytest.approx(float(expected), rel=1e-6)
