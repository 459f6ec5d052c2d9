"""Datasets, as tensors in memory."""

from resnetlib.data.augment import crop_flip, draw_crops, pad_crop_flip
from resnetlib.data.cifar import CIFAR10_CLASSES, LabelledImages, cifar10, is_cifar10

__all__ = ["CIFAR10_CLASSES", "LabelledImages", "cifar10", "crop_flip", "draw_crops", "is_cifar10", "pad_crop_flip"]
