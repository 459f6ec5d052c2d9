"""
The loss around a network
=========================

The loss on a plane through the weights, along two random directions with filters as large as the network's (arXiv 1712.09913). Nine
by nine points and ten images take seconds, and show how it is called. They do not say which surface is flatter: see
:doc:`/lecture/loss-surface`.
"""

from importlib.resources import files
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from PIL import Image

import resnetlib
from resnetlib.analysis import landscape

photos = sorted(Path(str(files("resnetlib.data") / "samples")).glob("*.png"))
figure, axes = plt.subplots(1, 2, figsize=(9, 4), sharey=True)
for ax, name, title in zip(axes, ("cifar_plain20", "cifar_resnet20"), ("plain, 20 layers", "residual, 20 layers"), strict=True):
    net = resnetlib.create_model(name, pretrained=True)
    images = torch.stack([net.preprocess(Image.open(photo)) for photo in photos])
    labels = torch.tensor([net.classes.index(photo.stem.split("_")[-1]) for photo in photos])
    surface = landscape(net, (images, labels), span=0.6, points=9, seed=1)
    print(f"{title}: loss {surface.loss_at_center:.3f} in the middle, {surface.loss.max():.1f} at most")
    shown = ax.contourf(surface.x, surface.y, surface.loss.clamp(max=8), levels=[0, 0.25, 0.5, 1, 2, 3, 4, 6, 8])
    ax.set(title=title, xlabel="along the first direction", aspect="equal")
axes[0].set_ylabel("along the second direction")
figure.colorbar(shown, ax=axes, label="loss (nats), cut at 8")
plt.show()
