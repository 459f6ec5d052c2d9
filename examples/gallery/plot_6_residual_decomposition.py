"""
The output of a stage is a sum
==============================

In a residual network, the map after several blocks is the map before them plus what the branches added (arXiv 1603.05027, eq. 4):
:math:`x_L = x_l + \\sum_i F(x_i)`. Here a relu follows each addition; what it changes is one more term.
"""

from importlib.resources import files
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from PIL import Image

import resnetlib
from resnetlib.analysis import residual_decomposition

net = resnetlib.create_model("cifar_resnet20.resnetlib_c10")
photos = sorted(Path(str(files("resnetlib.data") / "samples")).glob("*.png"))
images = torch.stack([net.preprocess(Image.open(photo)) for photo in photos])
result = residual_decomposition(net, images)
print("largest deviation of the sum, relative to the largest feature")
print("    without the relus:", max(result.deviation))
print("    with the relus as terms:", max(result.deviation_with_out))

# %%
# With all terms, the sum is the feature map up to rounding. The picture shows how large the terms are.

figure, ax = plt.subplots(figsize=(9, 4))
result.plot(ax)
figure.tight_layout()
plt.show()
