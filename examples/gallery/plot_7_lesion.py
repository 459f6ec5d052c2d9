"""
Delete one block
================

What does a network lose without one of its blocks? A residual block that is deleted leaves its skip; without a plain block,
the next one gets features that it was not trained on (arXiv 1605.06431, sec. 4.1).
"""

from importlib.resources import files
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from PIL import Image

import resnetlib
from resnetlib.analysis import lesion
from resnetlib.analysis.style import style_of

photos = sorted(Path(str(files("resnetlib.data") / "samples")).glob("*.png"))

figure, ax = plt.subplots(figsize=(9, 3.2))
for kind, name in (("plain", "cifar_plain20"), ("residual", "cifar_resnet20")):
    color = style_of(name)["color"]
    net = resnetlib.create_model(name, pretrained=True)
    images = torch.stack([net.preprocess(Image.open(photo)) for photo in photos])
    labels = torch.tensor([net.classes.index(photo.stem.split("_")[-1]) for photo in photos])
    result = lesion(net, (images, labels))  # one block at a time; the network itself is left as it was
    print(f"{kind}: {result.clean_error:.0f} % of {result.images} images wrong, without one block {result.error.mean():.0f} %")
    ax.plot(result.blocks, result.error, "o-", label=f"{kind}, 20 layers", color=color)
    ax.axhline(result.clean_error, color=color, linestyle=":", label="the same, no block deleted")
ax.set(ylabel="error (%)", ylim=(-3, 103), xlabel="deleted block")
ax.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.01, 1))
figure.tight_layout()
plt.show()

# %%
# Ten images give steps of ten points, and say little about a network. :doc:`/lecture/ensemble` has the measurement on all test
# images, and on deeper networks.
