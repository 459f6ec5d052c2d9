"""Images: data sets in memory, and folders with a folder for each class."""

from resnetlib.data.augment import crop_flip, draw_crops, pad_crop_flip
from resnetlib.data.cifar import CIFAR10_CLASSES, LabelledImages, cifar10, is_cifar10
from resnetlib.data.folder import ImageFiles, check_same_classes, find_images, hold_out
from resnetlib.data.reading import ImageDataset, read_image, try_images

__all__ = [
    "CIFAR10_CLASSES",
    "ImageDataset",
    "ImageFiles",
    "LabelledImages",
    "check_same_classes",
    "cifar10",
    "crop_flip",
    "draw_crops",
    "find_images",
    "hold_out",
    "is_cifar10",
    "pad_crop_flip",
    "read_image",
    "try_images",
]
