"""Naming and counting."""

import numpy as np
import pytest
import torch
from families import FAMILIES
from PIL import Image
from torch import Tensor, nn

from resnetlib import Backbone, build, classify, create_model, evaluate, spec_of, transform_for
from resnetlib.weights import load_state


def modes(net: nn.Module) -> list[bool]:
    return [module.training for module in net.modules()]


@pytest.fixture(scope="module")
def net() -> Backbone:
    return create_model("cifar_resnet20", weights="resnetlib_c10")


def test_guesses_are_the_softmax_in_order(net: Backbone) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    images = [Image.fromarray(pixels), torch.from_numpy(pixels).permute(2, 0, 1)]
    net.bn1.eval()  # a mode of its own
    before = modes(net)
    guesses = classify(net, images, top=3)
    assert modes(net) == before
    net.eval()
    assert net.preprocess is not None
    assert net.classes is not None
    for image, ranked in zip(images, guesses, strict=True):
        with torch.no_grad():
            expected = net(net.preprocess(image)[None])[0].softmax(0)
        assert [guess.label for guess in ranked] == expected.argsort(descending=True)[:3].tolist()
        for guess in ranked:
            assert guess.probability == pytest.approx(expected[guess.label].item(), abs=1e-6)
            assert guess.name == net.classes[guess.label]


def test_more_guesses_than_classes_are_all_of_them(net: Backbone) -> None:
    [ranked] = classify(net, [torch.zeros(3, 32, 32, dtype=torch.uint8)], top=99)
    assert len(ranked) == 10
    assert sum(guess.probability for guess in ranked) == pytest.approx(1)


def test_classify_says_what_it_needs(net: Backbone) -> None:
    with pytest.raises(ValueError, match="no preprocessing"):
        classify(build(FAMILIES["resnet"]), [])
    with pytest.raises(ValueError, match="has no classifier"):
        classify(create_model("cifar_resnet20", weights="resnetlib_c10", num_classes=0), [])
    with pytest.raises(ValueError, match="top must be an integer of at least 1, got 0"):
        classify(net, [], top=0)


class Answers(Backbone):
    """A network that gives out what it is told to."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__(spec_of("cifar_resnet20"), in_chans=1, num_classes=logits.shape[1])
        self.logits = nn.Parameter(logits)

    def forward(self, x: Tensor) -> Tensor:
        assert not self.training
        return self.logits[x.long().flatten()]

    stem = stages = tail = group_matcher = lambda self: ()  # type: ignore[assignment]


def test_evaluation_counts() -> None:
    logits = 10 * torch.eye(7) - 0.1 * torch.arange(7)  # no ties: after its own, each row ranks the classes in order
    logits[3] = torch.tensor([7.0, 6, 5, 4, 3, 2, 1])
    net = Answers(logits)
    labels = torch.tensor([0, 1, 2, 4, 6])
    inputs = torch.tensor([0, 1, 5, 3, 3])  # first, first, fourth, fifth, seventh guess
    loss = nn.functional.cross_entropy(logits[inputs], labels).item()
    result = evaluate(net, [(inputs[:2, None], labels[:2]), (inputs[2:, None], labels[2:])])
    assert (result.images, result.top1, result.top5) == (5, 40.0, 80.0)
    assert result.loss == pytest.approx(loss)
    assert net.training


def test_evaluation_refuses_what_it_cannot_count() -> None:
    net = Answers(torch.eye(3))
    with pytest.raises(ValueError, match="there are no images"):
        evaluate(net, [])
    with pytest.raises(ValueError, match="labels must be 0 to 2, the network's logits, got"):
        evaluate(net, [(torch.tensor([[0], [1]]), torch.tensor([0, 3]))])
    assert net.training


def test_confusion_counts_what_is_taken_for_what() -> None:
    net = Answers(torch.eye(3)[[0, 2, 2, 1, 0]])
    labels = torch.tensor([0, 1, 2, 1, 2])
    table = evaluate(net, [(torch.arange(5)[:, None], labels)], confusion=True).confusion
    assert table is not None
    assert table.tolist() == [[1, 0, 0], [0, 1, 1], [1, 0, 1]]
    assert evaluate(net, [(torch.arange(5)[:, None], labels)]).confusion is None


def test_labels_are_integers_of_any_width() -> None:
    net = create_model("cifar_resnet20.resnetlib_c10")
    x, labels = torch.zeros(2, 3, 32, 32), torch.tensor([3, 4])
    expected = evaluate(net, [(x, labels)])
    for dtype in (torch.uint8, torch.int16, torch.int32):
        assert evaluate(net, [(x, labels.to(dtype))]) == expected
    for dtype in (torch.bool, torch.float32, torch.complex64):
        with pytest.raises(ValueError, match="labels"):
            evaluate(net, [(x, labels.to(dtype))])


def test_classify_takes_any_function_that_makes_an_input() -> None:
    net = create_model("cifar_resnet20.resnetlib_c10")
    image = torch.randint(256, (3, 32, 32), dtype=torch.uint8)
    [expected] = classify(net, [image], top=10)
    net.preprocess = transform_for(net)  # type: ignore[assignment]
    [found] = classify(net, [image], top=10)
    assert [each.label for each in found] == [each.label for each in expected]
    assert found[0].probability == pytest.approx(expected[0].probability)


@pytest.mark.parametrize("width", [5, 10, 12])
def test_a_new_classifier_has_no_names(width: int) -> None:
    image = torch.zeros(3, 32, 32, dtype=torch.uint8)
    names = {str(i) for i in range(width)}
    net = create_model("cifar_resnet20.resnetlib_c10")
    net.fc = nn.Linear(net.fc.in_features, width)
    assert {prediction.name for prediction in classify(net, [image], top=99)[0]} == names
    assert evaluate(net, [(torch.randn(8, 3, 32, 32), torch.arange(8) % width)], confusion=True).confusion.shape == (width, width)
    with pytest.raises(ValueError, match=f"labels must be 0 to {width - 1}"):
        evaluate(net, [(torch.randn(1, 3, 32, 32), torch.tensor([width]))])
    net = create_model("cifar_resnet20.resnetlib_c10")
    net.fc = nn.Sequential(nn.Dropout(0.5), net.fc)
    assert classify(net, [image])[0][0].name in net.classes
    net.fc[1] = nn.Linear(64, width + 1)  # the network itself cannot notice
    assert {prediction.name for prediction in classify(net, [image], top=99)[0]} == names | {str(width)}


def test_a_network_never_has_the_names_of_other_weights() -> None:
    trained = create_model("cifar_resnet20.resnetlib_c10")
    other = create_model("cifar_resnet20")
    assert (other.classes, create_model("cifar_resnet20", num_classes=10).classes) == (None, None)
    assert create_model("cifar_resnet20.resnetlib_c10", num_classes=10).classes == trained.classes  # its own classifier
    assert create_model("cifar_resnet20.resnetlib_c10", num_classes=9).classes is None
    load_state(trained, other.state_dict(), keep_head=True)
    assert trained.classes is not None
    assert trained.pretrained_cfg is None
    load_state(trained, other.state_dict())
    assert trained.classes is None
    trained = create_model("cifar_resnet20.resnetlib_c10")
    trained.reset_classifier(10)
    assert trained.classes is None
