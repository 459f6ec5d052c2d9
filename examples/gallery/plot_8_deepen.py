"""
A deeper network that starts as a copy
======================================

A deeper network cannot be worse than a shallower one if its new blocks compute the identity (arXiv 1512.03385, sec. 1).
:func:`~resnetlib.analysis.deepen` builds that network: the new residual blocks have branches of zeros.
"""

from importlib.resources import files
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from PIL import Image

import resnetlib
from resnetlib.analysis import deepen
from resnetlib.analysis.style import FIRST

photos = sorted(Path(str(files("resnetlib.data") / "samples")).glob("*.png"))
shallow = resnetlib.create_model("cifar_resnet20.resnetlib_c10").eval()
deep = deepen(shallow, (9, 9, 9)).eval()  # 3 stages of 9 blocks, 56 layers
images = torch.stack([shallow.preprocess(Image.open(photo)) for photo in photos])
with torch.no_grad():
    print("the same logits, bit for bit:", torch.equal(shallow(images), deep(images)))

# %%
# The hooks on the joins see what each branch adds: the copied blocks something, the new ones nothing, until they are trained.

added = []
for block in deep.blocks():
    block.join.register_forward_hook(lambda join, args, y: added.append(float(args[1].norm() / args[0].norm())))
with torch.no_grad():
    deep(images)
figure, ax = plt.subplots(figsize=(8, 3))
ax.bar(range(1, len(added) + 1), added, color=FIRST)
ax.set(xlabel="block", ylabel="size of the branch / size of the skip", title="20 layers, copied into 56")
figure.tight_layout()
plt.show()
