"""
Feature maps of an image
========================

Every network returns the feature maps of its stages, with timm's method: early maps are large and show edges, late ones are small
and respond to whole objects.
"""

from importlib.resources import files

import matplotlib.pyplot as plt
import torch
from PIL import Image

import resnetlib

photo = Image.open(str(files("resnetlib.data") / "samples" / "test_1_ship.png"))
net = resnetlib.create_model("cifar_resnet20.resnetlib_c10").eval()
with torch.no_grad():
    last, maps = net.forward_intermediates(net.preprocess(photo)[None])
for info, fmap in zip(net.feature_info, maps, strict=True):
    print(info["module"], tuple(fmap.shape), "one value for", info["reduction"] ** 2, "pixels")

# %%
# One row for each map, with the six channels that vary most over the image.

figure, axes = plt.subplots(len(maps), 7, figsize=(9, 1.35 * len(maps)))
for row, info, fmap in zip(axes, net.feature_info, maps, strict=True):
    row[0].imshow(photo)
    row[0].set_title(info["module"], fontsize=10)
    for ax, channel in zip(row[1:], fmap[0].flatten(1).std(1).topk(6).indices, strict=True):
        ax.imshow(fmap[0, channel], cmap="viridis")
        ax.set_title(f"channel {channel}", fontsize=8)
for ax in axes.flat:
    ax.axis("off")
figure.tight_layout()
plt.show()
