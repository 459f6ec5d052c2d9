"""Batches: every image once, on draws of the seed and the place alone, shared out among processes, from memory and from folders."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from PIL import Image

from resnetlib.data import LabeledImages, cifar10, crop_flip, draw_crops, find_images, pad_crop_flip
from resnetlib.distributed import Processes
from resnetlib.images import evenly_spaced
from resnetlib.train import recipe_of
from resnetlib.train.data import FolderLoader, MemoryLoader, derive_seed, derived_generator, measure_preprocessing

CPU = torch.device("cpu")


def numbered(n: int) -> LabeledImages:
    """Images whose pixels all are their number."""
    numbers = torch.arange(n)
    return LabeledImages(numbers.to(torch.uint8)[:, None, None, None].expand(n, 3, 4, 4).contiguous(), numbers % 3, ("a", "b", "c"))


def memory(n: int = 25, *, seed: int = 0, rank: int = 0, size: int = 1, **changes: object) -> MemoryLoader:
    return MemoryLoader(numbered(n), numbered(9), tiny.recipe(**changes), seed=seed, processes=Processes(rank, size, CPU, CPU))


def numbers_of(loader: MemoryLoader, epoch: int, first: int = 0) -> list[list[int]]:
    """Which images are in each batch, read from their pixels."""
    mean, std = (torch.tensor(values)[:, None, None] for values in (loader.preprocess.mean, loader.preprocess.std))
    return [((x * std + mean) * 255).amax((1, 2, 3)).round().int().tolist() for x, _ in loader.train_batches(epoch, first)]


def test_every_image_comes_once_in_an_epoch_and_the_rest_waits() -> None:
    batches = numbers_of(memory(augmentation="none"), 0)
    assert [len(batch) for batch in batches] == [10, 10]
    seen = [number for batch in batches for number in batch]
    assert len(set(seen)) == 20
    assert seen != sorted(seen)


def test_epochs_and_seeds_have_their_own_orders_and_the_same_ones_again() -> None:
    first = numbers_of(memory(augmentation="none"), 0)
    assert first == numbers_of(memory(augmentation="none"), 0)
    assert first != numbers_of(memory(augmentation="none"), 1)
    assert first != numbers_of(memory(augmentation="none", seed=1), 0)


@pytest.mark.parametrize("augmentation", ["none", "pad_crop_flip"])
def test_an_epoch_can_begin_in_its_middle(augmentation: str) -> None:
    torch.manual_seed(1)
    whole = list(memory(60, augmentation=augmentation).train_batches(2, 0))
    torch.manual_seed(2)
    part = list(memory(60, augmentation=augmentation).train_batches(2, 4))
    assert len(part) == 2
    for (x, labels), (x_again, labels_again) in zip(whole[4:], part, strict=True):
        assert torch.equal(x, x_again)
        assert torch.equal(labels, labels_again)


def test_processes_share_each_batch_and_its_draws() -> None:
    whole = list(memory(60).train_batches(0, 0))
    parts = [list(memory(60, rank=rank, size=2).train_batches(0, 0)) for rank in range(2)]
    for number, (x, labels) in enumerate(whole):
        for rank in range(2):
            assert torch.equal(parts[rank][number][0], x[rank::2])
            assert torch.equal(parts[rank][number][1], labels[rank::2])


def test_labels_stay_with_their_images() -> None:
    loader = memory(60)
    for (_, labels), numbers in zip(loader.train_batches(0, 0), numbers_of(loader, 0), strict=True):
        assert labels.tolist() == [number % 3 for number in numbers]


def test_plain_images_are_spread_over_the_set() -> None:
    loader = memory(60)
    ((x, labels),) = loader.eval_batches("train", 3)
    assert labels.tolist() == [0, 20 % 3, 40 % 3]
    assert torch.equal(x, loader.preprocess(numbered(60).images[[0, 20, 40]]))
    assert sum(len(labels) for _, labels in loader.eval_batches("train", 0)) == 60
    assert sum(len(labels) for _, labels in loader.eval_batches("test", 100)) == 9
    assert evenly_spaced(0, 4) == evenly_spaced(9, 4) == [0, 1, 2, 3]


def test_crops_are_cut_where_they_were_drawn() -> None:
    images = torch.arange(2 * 1 * 3 * 3, dtype=torch.uint8).reshape(2, 1, 3, 3) + 1
    crops = torch.tensor([[0, 1, 0], [2, 2, 1]])
    out = crop_flip(images, crops, pad=1)
    assert out[0, 0].tolist() == [[0, 0, 0], [1, 2, 3], [4, 5, 6]]
    assert out[1, 0].tolist() == [[0, 15, 14], [0, 18, 17], [0, 0, 0]]
    draws = torch.Generator().manual_seed(3)
    again = torch.Generator().manual_seed(3)
    assert torch.equal(
        pad_crop_flip(images, pad=2, generator=draws), crop_flip(images, draw_crops(2, pad=2, generator=again), pad=2)
    )


@pytest.mark.parametrize(
    ("crops", "message"),
    [
        (
            torch.zeros(3, 3, dtype=torch.int64),
            r"crops must be a tensor of integers \(2, 3\), got a tensor of shape \(3, 3\), torch.int64",
        ),
        (
            torch.zeros(2, 2, dtype=torch.int64),
            r"crops must be a tensor of integers \(2, 3\), got a tensor of shape \(2, 2\), torch.int64",
        ),
        (torch.zeros(2, 3), r"crops must be a tensor of integers \(2, 3\), got a tensor of shape \(2, 3\), torch.float32"),
        (torch.zeros(2, 3) > 0, r"crops must be a tensor of integers \(2, 3\), got a tensor of shape \(2, 3\), torch.bool"),
        ([[0, 0, 0]] * 2, r"crops must be a tensor of integers \(2, 3\), got list"),
        *(
            (torch.tensor([[0, 2, 1], wrong]), rf"crops must be .* left from 0 to 2, and flip 0 or 1, got {re.escape(str(wrong))}")
            for wrong in ((99, 0, 0), (0, 3, 0), (-1, 0, 0), (0, -1, 1), (0, 0, 2), (0, 0, -1))
        ),
    ],
)
def test_crops_that_do_not_fit(crops: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        crop_flip(torch.zeros(2, 3, 8, 8), crops, pad=1)


def test_values_of_crops_are_not_read_on_other_devices_or_in_a_graph() -> None:
    images, crops = torch.zeros(2, 3, 8, 8), torch.tensor([[0, 1, 0], [2, 2, 1]])
    assert crop_flip(images.to("meta"), crops.to("meta"), pad=1).shape == images.shape
    compiled = torch.compile(crop_flip, fullgraph=True, backend="eager")
    assert torch.equal(compiled(images, crops, pad=1), crop_flip(images, crops, pad=1))


def test_crops_are_drawn_evenly() -> None:
    crops = draw_crops(9000, pad=1, generator=derived_generator(0))
    for column, sides in ((0, 3), (1, 3), (2, 2)):
        counts = torch.bincount(crops[:, column], minlength=sides)
        assert len(counts) == sides
        assert counts.min() > 0.93 * 9000 / sides


def test_neighboring_seeds_have_nothing_in_common() -> None:
    assert len({derive_seed(a, b) for a in range(40) for b in range(40)}) == 1600
    draws = torch.stack([torch.rand(500, generator=derived_generator(0, i)) for i in range(20)])
    assert (draws.corrcoef() - torch.eye(20)).abs().max() < 0.2


def test_colors_are_those_of_the_published_constants(cifar10_folder: Path) -> None:
    preprocess = measure_preprocessing(cifar10(cifar10_folder, "train").images)
    assert preprocess.mean == (0.4914, 0.4822, 0.4465)
    assert preprocess.std == (0.2470, 0.2435, 0.2616)


def test_statistics_of_constant_and_oblong_images() -> None:
    with pytest.raises(ValueError, match="a channel has the same value in all pixels"):
        measure_preprocessing(torch.zeros(4, 3, 2, 2, dtype=torch.uint8))
    oblong = LabeledImages(torch.zeros(4, 3, 2, 3, dtype=torch.uint8), torch.arange(4) % 2, ("a", "b"))
    with pytest.raises(ValueError, match="images must be square, got 2 x 3 pixels"):
        MemoryLoader(oblong, oblong, tiny.recipe(), seed=0, processes=Processes(0, 1, CPU, CPU))


def test_sets_that_do_not_belong_together() -> None:
    images, classes = tiny.images(), tuple(f"class {i}" for i in range(60))
    one = replace(images, classes=classes)
    for train, test, message in (
        (numbered(20), images, r"be of one size, got \(3, 4, 4\) and \(3, 8, 8\)"),
        (one, replace(one, classes=(*classes[:-1], "other")), "have the same classes; only one of them has class 59, other"),
        (one, replace(one, classes=classes[::-1]), "have the same classes in the same order"),
    ):
        with pytest.raises(ValueError, match=f"^training and test images must {message}$"):
            MemoryLoader(train, test, tiny.recipe(), seed=0, processes=Processes(0, 1, CPU, CPU))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    draws = np.random.default_rng(0)
    for split in ("train", "val"):
        for label in ("a", "b"):
            (tmp_path / split / label).mkdir(parents=True)
            for i in range(5):
                pixels = draws.integers(0, 255, (20 + i, 30, 3), dtype=np.uint8)
                mode, ending = (("RGB", "png"), ("L", "png"), ("RGBA", "png"), ("P", "png"), ("CMYK", "jpg"))[i]
                Image.fromarray(pixels).convert(mode).save(tmp_path / split / label / f"{i}.{ending}")
    return tmp_path


def folders(path: Path, *, workers: int = 0, rank: int = 0, size: int = 1) -> FolderLoader:
    recipe = recipe_of("rsb_a3", batch_size=4, train_size=16, test_size=16, test_resize=18)
    parts = [find_images(path / part) for part in ("train", "val")]
    return FolderLoader(*parts, recipe, seed=5, processes=Processes(rank, size, CPU, CPU), workers=workers)


def test_folders_draw_the_same_whoever_reads_them(folder: Path) -> None:
    before = torch.get_rng_state()
    alone, helped = list(folders(folder).train_batches(1, 0)), list(folders(folder, workers=2).train_batches(1, 0))
    assert torch.equal(before, torch.get_rng_state())
    middle = list(folders(folder).train_batches(1, 1))
    parts = [list(folders(folder, rank=rank, size=2).train_batches(1, 0)) for rank in range(2)]
    assert len(alone) == 2
    assert alone[0][0].shape == (4, 3, 16, 16)
    for number, (x, labels) in enumerate(alone):
        assert torch.equal(x, helped[number][0])
        assert torch.equal(x[0::2], parts[0][number][0])
        assert torch.equal(x[1::2], parts[1][number][0])
        assert torch.equal(labels, helped[number][1])
    assert torch.equal(alone[1][0], middle[0][0])
    assert not torch.equal(alone[0][0], next(iter(folders(folder).train_batches(2, 0)))[0])


def test_folders_measure_in_the_preprocessing_that_they_name(folder: Path) -> None:
    loader = folders(folder)
    batches = list(loader.eval_batches("test", 0))
    assert sum(len(labels) for _, labels in batches) == 10
    first = Image.open(folder / "val" / "a" / "0.png")
    assert torch.equal(batches[0][0][0], loader.preprocess(first))
    assert [label for _, labels in loader.eval_batches("train", 2) for label in labels.tolist()] == [0, 1]


def test_folders_that_do_not_belong_together(folder: Path) -> None:
    (folder / "val" / "b").rename(folder / "val" / "c")
    with pytest.raises(ValueError, match="only one of them has b, c"):
        folders(folder)
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*nowhere"):
        folders(folder / "nowhere")


def test_folders_flip_and_change_images(folder: Path) -> None:
    from torchvision.transforms import v2

    kinds = {type(step) for step in folders(folder).augmentation.transforms}
    assert {v2.RandomResizedCrop, v2.RandomHorizontalFlip, v2.RandAugment} <= kinds
    recipe = recipe_of("he2015_imagenet", batch_size=4, train_size=16)
    parts = [find_images(folder / part) for part in ("train", "val")]
    plain = FolderLoader(*parts, recipe, seed=0, processes=Processes(0, 1, CPU, CPU), workers=0)
    assert v2.RandAugment not in {type(step) for step in plain.augmentation.transforms}


def test_a_broken_image_is_named(folder: Path) -> None:
    path = folder / "train" / "b" / "2.png"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ValueError, match=r"b.2.png cannot be read as an image"):
        list(folders(folder).eval_batches("train", 0))


def test_other_files_are_other_images(folder: Path) -> None:
    before = folders(folder).digest
    assert before == folders(folder).digest
    (folder / "val" / "a" / "0.png").rename(folder / "val" / "a" / "9.png")
    assert folders(folder).digest != before


def test_processes_share_what_is_measured() -> None:
    parts = [
        [label for _, labels in memory(60, rank=rank, size=2).eval_batches("train", 5) for label in labels.tolist()]
        for rank in range(2)
    ]
    whole = [label for _, labels in memory(60).eval_batches("train", 5) for label in labels.tolist()]
    assert parts == [whole[0::2], whole[1::2]]
