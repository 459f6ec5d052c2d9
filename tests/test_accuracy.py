"""On the real test images: third-party checkpoints to the image, and the embedded weights as they say."""

from itertools import pairwise
from pathlib import Path

import pytest
from click.testing import CliRunner

from resnetlib import Evaluation, create_model, evaluate
from resnetlib.cli import main
from resnetlib.data import cifar10
from resnetlib.weights import Preprocessing, describe
from resnetlib.weights.catalog import EMBEDDED

pytestmark = pytest.mark.slow


def accuracy(name: str, weights: str | Path, normalization: str, folder: Path) -> Evaluation:
    test = cifar10(folder, "test")
    preprocess = Preprocessing.named(normalization, resize=32, size=32)  # type: ignore[arg-type]
    batches = zip(map(preprocess, test.images.split(500)), test.labels.split(500), strict=True)
    return evaluate(create_model(name, weights=weights), batches)


@pytest.mark.parametrize(
    ("name", "file", "top1"),
    [("cifar_resnet20", "resnet20-12fca82f.th", 91.73), ("cifar_resnet56", "resnet56-4bfd9763.th", 93.39)],
)
def test_third_party_checkpoints(name: str, file: str, top1: float, cifar10_folder: Path, akamaster_folder: Path) -> None:
    result = accuracy(name, akamaster_folder / file, "imagenet", cifar10_folder)
    assert result.images == 10_000
    assert result.top1 == top1


@pytest.mark.parametrize("name", [".".join(key) for key in EMBEDDED])
def test_the_embedded_weights_are_as_good_as_they_say(name: str, cifar10_folder: Path) -> None:
    said = CliRunner().invoke(main, ["verify", name, "--data", str(cifar10_folder)])
    assert said.exit_code == 0, said.output
    top1 = f"{describe(name).top1:.2f} %"
    assert f"confirmed: top-1 {top1} on 10,000 images; published: {top1}\n" in said.output
    assert describe(name).top1 > 80


def test_the_samples_are_the_first_test_images(cifar10_folder: Path) -> None:
    from importlib.resources import files

    import numpy as np
    from PIL import Image

    test = cifar10(cifar10_folder, "test")
    samples = sorted(Path(str(files("resnetlib.data").joinpath("samples"))).glob("*.png"))
    assert len(samples) == 10
    assert all(a.name < b.name for a, b in pairwise(samples))
    for i, sample in enumerate(samples):
        assert sample.name == f"test_{i}_{test.classes[int(test.labels[i])]}.png"
        assert (np.asarray(Image.open(sample)) == test.images[i].permute(1, 2, 0).numpy()).all()
