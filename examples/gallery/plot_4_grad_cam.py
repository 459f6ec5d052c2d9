"""
Where does the network look? Grad-CAM by hooks
==============================================

No module of the library works in place, so forward and backward hooks can be put on any of them. Grad-CAM (arXiv 1610.02391) needs
two, on the last stage: it weights each channel of the last map by its mean gradient.
"""

from importlib.resources import files

import matplotlib.pyplot as plt
import torch
from PIL import Image
from torch.nn.functional import interpolate

import resnetlib

net = resnetlib.create_model("cifar_resnet20.resnetlib_c10").eval()
seen: dict[str, torch.Tensor] = {}
stage = net.stages()[-1][-1]
stage.register_forward_hook(lambda module, args, fmap: seen.update(fmap=fmap))
stage.register_full_backward_hook(lambda module, grad_in, grad_out: seen.update(grad=grad_out[0]))

# %%
# Red is where the map speaks for the class with the largest logit. The map has 8 x 8 values, and is enlarged to the image.

names = ["test_0_cat", "test_1_ship", "test_4_frog", "test_6_automobile"]
figure, axes = plt.subplots(2, len(names), figsize=(9, 4.6))
for (above, below), name in zip(axes.T, names, strict=True):
    photo = Image.open(str(files("resnetlib.data") / "samples" / f"{name}.png"))
    logits = net(net.preprocess(photo)[None].requires_grad_())
    best = int(logits.argmax())
    logits[0, best].backward()
    weights = seen["grad"].mean((2, 3), keepdim=True)
    heat = (weights * seen["fmap"]).sum(1, keepdim=True).relu()
    heat = interpolate(heat.detach(), (32, 32), mode="bilinear")[0, 0]
    above.imshow(photo)
    below.imshow(photo)
    below.imshow(heat, cmap="jet", alpha=0.45)
    above.set_title(net.classes[best] if net.classes else best)
for ax in axes.flat:
    ax.axis("off")
figure.tight_layout()
plt.show()
