"""
Fine-tune on forty images
=========================

Which way up is the photo? Ten photos, each turned in four ways, are forty images with labels that cost nothing (arXiv 1803.07728).
The pretrained network knows animals and vehicles, but has never been asked this. It is tried on the same photos in a mirror, so
that this shows what fine-tuning does, not how well it generalizes.
"""

import tempfile
from importlib.resources import files
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from PIL import Image

import resnetlib
from resnetlib.data import LabeledImages
from resnetlib.train import recipe_of

paths = sorted(Path(str(files("resnetlib.data") / "samples")).glob("*.png"))
photos = torch.stack([torch.from_numpy(np.array(Image.open(path).convert("RGB"))).permute(2, 0, 1) for path in paths])
WAYS = ("upright", "turned left", "upside down", "turned right")


def turned(images: torch.Tensor) -> LabeledImages:
    """Return the images in all four ways, with labels."""
    pixels = torch.cat([images.rot90(i, (2, 3)) for i in range(4)])
    return LabeledImages(pixels, torch.arange(4).repeat_interleave(len(images)), WAYS)


# %%
# A flip would turn "left" into "right", so the recipe goes without augmentation.

train, mirrored = turned(photos), turned(photos.flip(3))
recipe = recipe_of("finetune_cifar", epochs=15, batch_size=4, augmentation="none")
with tempfile.TemporaryDirectory() as out:
    result = resnetlib.finetune("cifar_resnet20.resnetlib_c10", (train, mirrored), out, recipe=recipe)
    net = resnetlib.create_model(f"{out}/")
print(f"wrong: {result.train_error:.0f} % of {len(train)} images, {result.val_error:.0f} % of their mirror images; by chance 75 %")

# %%
# The saved network names its classes.

figure, axes = plt.subplots(2, 4, figsize=(9, 4.8))
shown = [*mirrored.images[[1, 11, 21, 31, 4, 14, 24, 34]]]
for ax, image, [best] in zip(axes.flat, shown, resnetlib.classify(net, shown, top=1), strict=True):
    ax.imshow(image.permute(1, 2, 0))
    ax.set_title(f"{best.name} {best.probability:.0%}", fontsize=9)
    ax.axis("off")
figure.tight_layout()
plt.show()
