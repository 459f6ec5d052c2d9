"""Naming and counting."""

import copy
import re
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from families import FAMILIES
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import ConcatDataset, DataLoader, Subset
from torchvision.datasets import ImageFolder

from resnetlib import Backbone, build, classify, create_model, evaluate, optimize, spec_of, transform_for
from resnetlib.data import ImageDataset, find_images, read_image, samples
from resnetlib.errors import MissingFileError
from resnetlib.weights import Preprocessing, load_state


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


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("optimized", [True, False])
def test_logits_that_are_not_finite_predict_nothing(value: float, optimized: bool) -> None:
    net = create_model("cifar_resnet20.resnetlib_c10")
    with torch.no_grad():
        net.fc.bias[3] = value
    with pytest.raises(ValueError, match=f"the logits are not finite, the largest is {value}: check the network's weights"):
        classify(optimize(net) if optimized else net, samples().images)


def test_evaluate_says_what_it_needs() -> None:
    net = create_model("cifar_resnet20.resnetlib_c10", num_classes=0)
    for without in (net, optimize(net)):
        with pytest.raises(ValueError, match=r"^this network has no classifier: give it one with reset_classifier"):
            evaluate(without, samples().batches(net.preprocess))
    net = create_model("cifar_resnet20.resnetlib_c10")
    with torch.no_grad():
        net.fc.bias[3] = torch.nan
    for broken in (net, optimize(net)):
        with pytest.raises(ValueError, match=r"^the logits are not finite: check the network's weights, and its dtype"):
            evaluate(broken, samples().batches(net.preprocess))


def test_arrays_of_any_layout(net: Backbone) -> None:
    x, labels = (each.numpy() for each in samples().batches(net.preprocess)[0])
    expected = evaluate(net, [(np.ascontiguousarray(x[..., ::-1]), labels)])
    flipped = x[..., ::-1]
    swapped = flipped.astype(x.dtype.newbyteorder())
    frozen = flipped.copy()
    frozen.flags.writeable = False
    for same in (flipped, swapped, frozen):
        found = evaluate(net, [(same, labels)])
        assert (found.top1, found.top5, found.loss) == (expected.top1, expected.top5, pytest.approx(expected.loss))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_the_default_dtype_does_not_change_the_input(net: Backbone, dtype: torch.dtype) -> None:
    images = samples().images
    expected = net.preprocess(images)
    torch.set_default_dtype(dtype)
    try:
        found = net.preprocess(images)
    finally:
        torch.set_default_dtype(torch.float32)
    assert found.dtype == torch.float32
    assert torch.equal(found, expected)


def test_a_class_can_be_ruled_out(net: Backbone) -> None:
    masked = copy.deepcopy(net)
    with torch.no_grad():
        masked.fc.bias[3] = -float("inf")
    [ranked] = classify(masked, samples().images[:1], top=10)
    assert (ranked[-1].label, ranked[-1].probability) == (3, 0)
    with torch.no_grad():
        masked.fc.bias[:] = -float("inf")
    with pytest.raises(ValueError, match="the logits are not finite, the largest is -inf"):
        classify(masked, samples().images[:1])


def test_one_batch_is_no_iterable_of_batches(net: Backbone) -> None:
    x, labels = torch.randn(4, 3, 32, 32), torch.arange(4)
    wanted = (
        r"batches must be an iterable of pairs of inputs \(N, C, H, W\) and integer labels \(N,\); for one batch, give \[\(x, y\)\]"
    )
    for batches, got in (
        ((x, labels), r"torch.float32 of shape \(4, 3, 32, 32\)"),
        ([(x, labels.float())], r"torch.float32 of shape \(4, 3, 32, 32\) and torch.float32 of shape \(4,\)"),
        ([(x, labels, labels)], "tuple"),
        ([None], "NoneType"),
    ):
        with pytest.raises(ValueError, match=f"^{wanted}; got {got}$"):
            evaluate(net, batches)  # type: ignore[arg-type]


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
    with pytest.raises(FileNotFoundError, match="there is no folder photos/val"):
        evaluate(create_model("cifar_resnet20.resnetlib_c10"), "photos/val")
    with pytest.raises(ValueError, match=r"^labels must be 0 to 2, the network's logits, got 3$"):
        evaluate(net, [(torch.tensor([[0], [1]]), torch.tensor([0, 3]))])
    with pytest.raises(ValueError, match=r"^labels must be 0 to 2, the network's logits, got -1$"):
        evaluate(net, [(torch.tensor([[0], [1]]), torch.tensor([2, -1]))])
    assert net.training


@pytest.fixture
def renamed(tmp_path: Path) -> Path:
    """A folder of real images, whose names of classes sort in another order than the network's."""
    images = samples()
    net = create_model("cifar_resnet20.resnetlib_c10")
    assert net.classes is not None
    for name, label in zip(("SHIP", "cat", "Frog"), map(net.classes.index, ("ship", "cat", "frog")), strict=True):
        (tmp_path / name).mkdir()
        Image.fromarray(images.images[images.labels == label][0].permute(1, 2, 0).numpy()).save(tmp_path / name / "a.png")
    return tmp_path


def test_a_folder_is_matched_to_the_classes_by_name(renamed: Path, caplog: pytest.LogCaptureFixture) -> None:
    net = create_model("cifar_resnet20.resnetlib_c10")
    caplog.set_level("INFO", logger="resnetlib")
    batch = torch.stack([net.preprocess(read_image(renamed / name / "a.png")) for name in ("SHIP", "Frog", "cat")])
    expected = evaluate(net, [(batch, torch.tensor([net.classes.index(name) for name in ("ship", "frog", "cat")]))])
    for model in (net, optimize(net)):
        found = evaluate(model, renamed)
        assert (found.images, found.top1, found.top5) == (3, expected.top1, expected.top5)
        assert found.loss == pytest.approx(expected.loss, rel=1e-4)
    assert caplog.messages[0] == f"{renamed} has images of 3 of the network's 10 classes"
    net.classes = None
    count = "has 3 classes, but the network has 10 logits, and the weights have no class names"
    advice = "use weights with class names, such as a tag of `resnetlib weights list`, or name the folders 0 to 9"
    with pytest.raises(ValueError, match=f"^{re.escape(f'{renamed} {count}; {advice}')}$"):
        evaluate(net, renamed)
    net = create_model("cifar_resnet20.resnetlib_c10")
    (renamed / "cat").rename(renamed / "tiger")
    with pytest.raises(ValueError, match="the network has no class tiger: its classes are airplane"):
        evaluate(net, str(renamed))


def test_a_data_loader_with_the_classes_in_another_order_is_refused(renamed: Path) -> None:
    net = create_model("cifar_resnet20.resnetlib_c10")
    loader = DataLoader(ImageFolder(str(renamed), transform_for(net)), batch_size=2)
    with pytest.raises(ValueError, match="label 0 is Frog in the data set, but airplane in the network: give the folder"):
        evaluate(net, loader)
    with pytest.raises(ValueError, match="label 0 is Frog in the data set"):
        evaluate(net, DataLoader(Subset(loader.dataset, [0, 2])))
    labels = [net.classes.index(name) for name in ("frog", "ship", "cat")]
    mapped = ImageFolder(str(renamed), transform_for(net), target_transform=labels.__getitem__)
    of_loader, of_folder = evaluate(net, DataLoader(mapped)), evaluate(net, renamed)
    assert (of_loader.top1, of_loader.loss) == pytest.approx((of_folder.top1, of_folder.loss), rel=1e-4)
    net.classes = ("frog", "ship", "cat", *"abcdefg")
    evaluate(net, loader)
    net.classes = None
    evaluate(net, loader)


@pytest.mark.parametrize("kind", [Subset, ConcatDataset, DataLoader])
def test_a_data_set_of_ours_with_the_classes_in_another_order_is_refused(renamed: Path, kind: type) -> None:
    net = create_model("cifar_resnet20.resnetlib_c10")
    ours = ImageDataset(find_images(renamed), transform_for(net))
    data = {Subset: lambda: Subset(ours, [0, 2]), ConcatDataset: lambda: ConcatDataset([ours, ours]), DataLoader: lambda: ours}
    with pytest.raises(ValueError, match="label 0 is Frog in the data set, but airplane in the network: give the folder"):
        evaluate(net, DataLoader(data[kind]()))
    net.classes = ("frog", "ship", "cat", *"abcdefg")
    assert evaluate(net, DataLoader(data[kind]())).images == {Subset: 2, ConcatDataset: 6, DataLoader: 3}[kind]


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
    with pytest.raises(ValueError, match=f"^labels must be 0 to {width - 1}, the network's logits, got {width}$"):
        evaluate(net, [(torch.randn(1, 3, 32, 32), torch.tensor([width]))])
    net = create_model("cifar_resnet20.resnetlib_c10")
    net.fc = nn.Sequential(nn.Dropout(0.5), net.fc)
    assert classify(net, [image])[0][0].name in net.classes
    net.fc[1] = nn.Linear(64, width + 1)  # the network itself cannot notice
    assert {prediction.name for prediction in classify(net, [image], top=99)[0]} == names | {str(width)}
    assert evaluate(net, [(torch.randn(1, 3, 32, 32), torch.tensor([width]))]).images == 1


def test_images_that_are_only_scaled_are_refused() -> None:
    net = create_model("cifar_resnet20.resnetlib_c10")
    pixels = torch.randint(256, (4, 3, 32, 32), dtype=torch.uint8)
    assert evaluate(net, [(net.preprocess(pixels), torch.arange(4))]).images == 4
    with pytest.raises(ValueError, match="inputs are pixels that were not preprocessed"):
        evaluate(net, [(pixels / 255, torch.arange(4))])


def test_a_network_never_has_the_names_of_other_weights() -> None:
    trained = create_model("cifar_resnet20.resnetlib_c10")
    other = create_model("cifar_resnet20")
    assert (other.classes, create_model("cifar_resnet20", num_classes=10).classes) == (None, None)
    assert create_model("cifar_resnet20.resnetlib_c10", num_classes=10).classes == trained.classes  # its own classifier
    assert create_model("cifar_resnet20.resnetlib_c10", num_classes=9).classes is None
    load_state(trained, other.state_dict(), keep_head=True)
    assert trained.classes is not None
    assert trained.pretrained_cfg.full_name == ""
    load_state(trained, other.state_dict())
    assert trained.classes is None
    trained = create_model("cifar_resnet20.resnetlib_c10")
    trained.reset_classifier(10)
    assert trained.classes is None


def test_an_image_of_any_kind_and_several_of_them(net: Backbone, tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (40, 60, 3), np.uint8)
    image, tensor = Image.fromarray(pixels), torch.from_numpy(pixels).permute(2, 0, 1)
    image.save(tmp_path / "photo.png")
    path = tmp_path / "photo.png"
    expected, of_tensor = classify(net, image), classify(net, tensor)
    for one in (path, str(path), pixels):
        assert classify(net, one) == expected
    for several, each in (
        ([path], [expected]),
        ([image, tensor, str(path), pixels], [expected, of_tensor, expected, expected]),
        ((path, image), [expected, expected]),
        (torch.stack([tensor, tensor]), [of_tensor, of_tensor]),
        (np.stack([pixels] * 33), [expected] * 33),
        (deque([image] * 33), [expected] * 33),
        ([], []),
    ):
        found = classify(net, several)
        assert [[guess.label for guess in ranked] for ranked in found] == [[guess.label for guess in ranked] for ranked in each]
        for ranked, known in zip(found, each, strict=True):
            assert ranked[0].probability == pytest.approx(known[0].probability, abs=1e-5)


def test_what_is_no_image(net: Backbone, tmp_path: Path) -> None:
    for bad, error, message in (
        (b"photo.png", TypeError, "images must be an image or a sequence of images, got bytes"),
        (7, TypeError, "images must be an image or a sequence of images, got int"),
        ({"a": 1}, TypeError, "got dict"),
        (tmp_path / "none.png", MissingFileError, rf"^there is no file {tmp_path}/none\.png$"),
        (tmp_path, ValueError, rf"^{tmp_path} cannot be read as an image: {tmp_path} is a folder, expected a file$"),
        ("", ValueError, "^'' cannot be read as an image: '' is not the path of a file$"),
        (torch.rand(3, 32, 32), ValueError, r"float32 .*: convert values in \[0, 1\] with \(x \* 255\).round"),
        (torch.zeros(32, 32, dtype=torch.uint8), ValueError, "expected a PIL image or a uint8 tensor"),
        (np.zeros((3, 32, 32), np.uint8), ValueError, r"an array must be a uint8 image .*, got uint8 of shape \(3, 32, 32\)"),
        (np.zeros((0, 5, 3), np.uint8), ValueError, "an image must have pixels, got one of 5 x 0"),
        (np.zeros((2, 5, 0, 3), np.uint8), ValueError, "an image must have pixels, got one of 0 x 5"),
        (torch.zeros(3, 0, 0, dtype=torch.uint8), ValueError, "an image must have pixels, got one of 0 x 0"),
        (Image.new("L", (0, 0)), ValueError, "an image must have pixels, got one of 0 x 0"),
        ([None], ValueError, "expected a PIL image or a uint8 tensor .* got NoneType"),
    ):
        with pytest.raises(error, match=message):
            classify(net, bad)


def test_pixels_that_were_not_preprocessed_are_refused(net: Backbone) -> None:
    assert net.preprocess is not None
    pixels, labels = torch.randint(256, (4, 3, 32, 32), dtype=torch.uint8), torch.arange(4)
    for x in (pixels, pixels.long(), pixels.float(), pixels.double()):
        with pytest.raises(ValueError, match=r"inputs are pixels that were not preprocessed .* give net.preprocess\(images\)"):
            evaluate(net, [(x, labels)])
    assert evaluate(net, [(net.preprocess(pixels), labels)]).images == 4
    assert evaluate(net, [(torch.zeros(4, 3, 32, 32), labels)]).images == 4
    caffe = create_model("cifar_resnet20.resnetlib_c10")
    caffe.preprocess = Preprocessing(resize=32, size=32, mean=(0.0,) * 3, std=(1 / 255,) * 3)
    assert evaluate(caffe, [(caffe.preprocess(pixels), labels)]).images == 4


@pytest.mark.parametrize("preprocess", [None, lambda images: images.float() / 255])
def test_pixels_may_be_the_inputs_of_a_network_with_a_preprocessing_of_its_own(preprocess: Any) -> None:
    net = create_model("cifar_resnet20.resnetlib_c10")
    net.preprocess = preprocess
    pixels, labels = torch.randint(256, (4, 3, 32, 32), dtype=torch.uint8), torch.arange(4)
    for x in (pixels / 255, pixels.float()):
        assert evaluate(net, [(x, labels)]).images == 4
    for x in (pixels, pixels.long(), pixels > 127):
        advice = r"floating-point inputs" if preprocess is None else r"net.preprocess\(images\)"
        with pytest.raises(ValueError, match=rf"inputs are pixels that were not preprocessed \({x.dtype}\): give {advice}"):
            evaluate(net, [(x, labels)])


def test_a_network_without_preprocessing_says_so_in_one_way(tmp_path: Path, renamed: Path) -> None:
    net, image = create_model("cifar_resnet20"), torch.zeros(3, 32, 32, dtype=torch.uint8)
    for use in (lambda: transform_for(net), lambda: classify(net, image), lambda: evaluate(net, renamed)):
        with pytest.raises(ValueError, match=r"^this network has no preprocessing: set net.preprocess to a resnetlib"):
            use()
    net.preprocess = lambda image: image / 255  # type: ignore[assignment]
    with pytest.raises(ValueError, match=r"net\.preprocess must be a resnetlib.weights.Preprocessing, got <function"):
        transform_for(net)
