"""Photos are upright, and deep pixels keep their shades, whoever reads them."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from resnetlib import classify, create_model, transform_for
from resnetlib.data import ImageDataset, find_images, read_image
from resnetlib.images import ENDINGS
from resnetlib.weights import Preprocessing

PREPROCESS = Preprocessing.named("cifar10", resize=32, size=32)


def photo(orientation: int = 1, size: tuple[int, int] = (40, 48)) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    image = Image.fromarray(pixels)
    image.getexif()[0x0112] = orientation
    return image


def save(path: Path, image: Image.Image) -> Path:
    image.save(path, exif=image.getexif(), **({"quality": 95} if path.suffix == ".jpg" else {}))
    return path


@pytest.mark.parametrize("ending", ["png", "jpg", "webp", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_is_read_upright(orientation: int, ending: str, tmp_path: Path) -> None:
    path = save(tmp_path / f"a.{ending}", photo(orientation))
    with Image.open(path) as opened:
        expected = ImageOps.exif_transpose(opened).convert("RGB")
    image = read_image(path)
    assert np.array_equal(np.asarray(image), np.asarray(expected))
    assert image.getexif().get(0x0112, 1) == 1
    expected.info.clear()
    x = PREPROCESS(expected)
    assert torch.equal(PREPROCESS(image), x)
    with Image.open(path) as opened:
        assert torch.equal(PREPROCESS(opened), x)
        assert torch.equal(PREPROCESS.transform()(opened), PREPROCESS.transform()(expected))
        assert opened.getexif().get(0x0112, 1) == (1 if ending == "tif" else orientation)  # it is the caller's


def test_the_orientation_can_be_ignored(tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    path = save(tmp_path / "cat" / "a.png", photo(6))
    net = create_model("cifar_resnet20.resnetlib_c10")
    lying = photo()
    assert np.array_equal(np.asarray(read_image(path, exif=False)), np.asarray(lying))
    for image in (path, photo(6), read_image(path, exif=False)):
        assert classify(net, image, exif=False) == classify(net, lying)
        assert image == path or torch.equal(transform_for(net, exif=False)(image), transform_for(net)(lying))
    assert classify(net, path) == classify(net, photo(6)) != classify(net, lying)
    files = find_images(tmp_path, exif=False)
    assert torch.equal(ImageDataset(files, PREPROCESS)[0][0], PREPROCESS(lying))
    assert torch.equal(ImageDataset(find_images(tmp_path), PREPROCESS)[0][0], PREPROCESS(photo(6)))


@pytest.mark.parametrize("channels", [1, 3])
def test_deep_pixels_are_what_read_image_gives(channels: int, tmp_path: Path) -> None:
    Image.fromarray(np.arange(0, 65536, 64, dtype=np.uint16).reshape(32, 32)).save(tmp_path / "a.png")
    preprocess = PREPROCESS.for_channels(channels)
    x = preprocess(read_image(tmp_path / "a.png"))
    assert len(x.unique()) > 200  # it was white
    with Image.open(tmp_path / "a.png") as opened:
        assert torch.equal(preprocess(opened), x)
        torch.testing.assert_close(preprocess.transform()(opened), x)
    net = create_model("cifar_resnet20.resnetlib_c10")
    with Image.open(tmp_path / "a.png") as opened:
        assert classify(net, opened) == classify(net, tmp_path / "a.png")
    for mode in ("I", "F"):
        image = Image.new(mode, (32, 32), 7)
        for function in (preprocess, preprocess.transform(), lambda image: classify(net, [image])):
            with pytest.raises(ValueError, match=f"pixels of mode {mode} have no known range: convert the image to 8 or 16 bits"):
                function(image)


@pytest.mark.parametrize("highest", [1023, 65535])
def test_deep_pixels_of_a_pgm_are_those_of_a_png(highest: int, tmp_path: Path) -> None:
    pixels = np.arange(1024, dtype=np.uint16).reshape(32, 32) * np.uint16(highest // 1023)
    (tmp_path / "a.pgm").write_bytes(b"P5 32 32 %d\n" % highest + pixels.astype(">u2").tobytes())
    image = read_image(tmp_path / "a.pgm")
    assert np.abs(np.asarray(image)[..., 0] - pixels.astype(float) / highest * 255).max() < 1
    with Image.open(tmp_path / "a.pgm") as opened:
        assert torch.equal(PREPROCESS(opened), PREPROCESS(image))
        assert torch.equal(PREPROCESS.transform()(opened), PREPROCESS.transform()(image))


def test_usual_images_are_left_alone() -> None:
    from torchvision.transforms import v2

    image = photo()
    mean, std = PREPROCESS.mean, PREPROCESS.std
    theirs = [
        v2.RGB(),
        v2.Resize(32),
        v2.CenterCrop(32),
        v2.ToImage(),
        v2.ToDtype(torch.float32, scale=True),
        v2.Normalize(mean, std),
    ]
    assert torch.equal(PREPROCESS.transform()(image), v2.Compose(theirs)(image))
    label, x = PREPROCESS.transform()((3, image))
    assert label == 3
    torch.testing.assert_close(x, PREPROCESS(image))


@pytest.mark.parametrize("kind", ["GIF", "JPEG", "AVIF"])
def test_formats_of_phones_and_browsers(kind: str, tmp_path: Path) -> None:
    if kind == "AVIF":
        pytest.importorskip("PIL.AvifImagePlugin")
    ending = {"GIF": ".gif", "JPEG": ".jfif", "AVIF": ".avif"}[kind]
    assert ending in ENDINGS
    frames = [Image.new("RGB", (9, 8), color) for color in ("red", "blue")]
    file = io.BytesIO()
    frames[0].save(file, kind, **({"save_all": True, "append_images": frames[1:]} if kind != "JPEG" else {}))
    (tmp_path / "red").mkdir()
    (tmp_path / "red" / f"a{ending}").write_bytes(file.getvalue())
    assert len(find_images(tmp_path)) == 1
    red, green, blue = np.asarray(read_image(tmp_path / "red" / f"a{ending}")).mean((0, 1))
    assert red > 240
    assert max(green, blue) < 20
