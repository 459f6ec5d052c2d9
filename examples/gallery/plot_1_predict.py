"""
Classify ten images
===================

A name with a tag loads pretrained weights; :func:`~resnetlib.classify` takes paths, PIL images, arrays or tensors of any size.
"""

from importlib.resources import files
from pathlib import Path

import matplotlib.pyplot as plt
from PIL import Image

import resnetlib

photos = sorted(Path(str(files("resnetlib.data") / "samples")).glob("*.png"))
net = resnetlib.create_model("cifar_resnet20.resnetlib_c10")
predictions = resnetlib.classify(net, photos, top=2)

# %%
# There is a list of predictions for each image, the most probable first. The file names tell what the images show.

for photo, [first, second] in zip(photos, predictions, strict=True):
    print(f"{photo.name:22} {first.name} {first.probability:.1%}, {second.name} {second.probability:.1%}")

# %%
# The images have 32 x 32 pixels, as all of CIFAR-10.

figure, axes = plt.subplots(2, 5, figsize=(9, 4))
for ax, photo, [first, _] in zip(axes.flat, photos, predictions, strict=True):
    ax.imshow(Image.open(photo))
    ax.set_title(f"{first.name} {first.probability:.0%}", fontsize=10)
    ax.axis("off")
figure.tight_layout()
plt.show()
