"""Image data: CIFAR-10 and other images in memory, image folders, and augmentation."""

from resnetlib.config import CIFAR10_CLASSES
from resnetlib.data.augment import crop_flip, draw_crops, pad_crop_flip
from resnetlib.data.cifar import LabeledImages, cifar10, is_cifar10, samples
from resnetlib.data.folder import (
    ImageDataset,
    ImageFiles,
    check_same_classes,
    evaluation_folder,
    find_images,
    hold_out,
    match_classes,
    split_folders,
    training_folders,
    verify_images,
)
from resnetlib.images import read_ahead, read_image

__all__ = [
    "CIFAR10_CLASSES",
    "ImageDataset",
    "ImageFiles",
    "LabeledImages",
    "check_same_classes",
    "cifar10",
    "crop_flip",
    "draw_crops",
    "evaluation_folder",
    "find_images",
    "hold_out",
    "is_cifar10",
    "match_classes",
    "pad_crop_flip",
    "read_ahead",
    "read_image",
    "samples",
    "split_folders",
    "training_folders",
    "verify_images",
]
