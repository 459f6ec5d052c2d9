"""The model card: the README.md of a saved network."""

import json
import re
from html import escape

from resnetlib.config import PretrainedConfig
from resnetlib.text import printable

_HEADER = """---
library_name: resnetlib
pipeline_tag: image-classification
tags:
- image-classification
- resnetlib
{timm}{license}---

# {title}

"""

_USE = """
## Use

```python
import resnetlib

net = resnetlib.create_model({place}).eval()
{predict}```
"""

_HUB_LICENSES = {
    "apache-2.0", "mit", "bsd-2-clause", "bsd-3-clause", "cc-by-4.0", "cc-by-nc-4.0", "cc-by-sa-4.0", "cc0-1.0", "gpl-3.0"
}  # fmt: skip


def model_card(cfg: PretrainedConfig, place: str, *, num_classes: int, in_timm: bool) -> str:
    """Return the card as Markdown, with the header that the hub reads; `place` is the argument for `create_model`."""
    rows = {
        "spec": f"`{cfg.spec}`",
        "classes": f"{num_classes:,}",
        "parameters": cfg.params is not None and f"{cfg.params:,}",
        "multiply-accumulates": cfg.gmacs is not None and f"{cfg.gmacs:.3f} G",
    }
    if (steps := cfg.preprocess) is not None:
        rows["input"] = f"resize to {steps.resize} ({steps.interpolation}), crop {steps.size} x {steps.size}"
        rows["mean, deviation"] = f"{steps.mean}, {steps.std}"
    rows |= {
        "top-1": cfg.top1 is not None and f"{cfg.top1:g} %",
        "top-5": cfg.top5 is not None and f"{cfg.top5:g} %",
        "evaluated on": cfg.evaluated_on,
        "recipe": cfg.recipe,
        "licence": cfg.license,
        "origin": cfg.origin,
    }
    table = [f"| {what} | {text if what == 'spec' else _cell(text)} |" for what, text in rows.items() if text]
    license_ = cfg.license.lower() if cfg.license.lower() in _HUB_LICENSES else "other"
    header = _HEADER.format(
        timm="- timm\n" if in_timm else "",
        license=f"license: {license_}\n" if cfg.license else "",
        title=_cell(cfg.full_name or "A network of resnetlib"),
    )
    predict = "predictions = resnetlib.classify(net, [image])  # a PIL image\n" if cfg.preprocess is not None else ""
    use = _USE.format(place=json.dumps(printable(place, 1000), ensure_ascii=False), predict=predict)
    return header + "\n".join(["| | |", "|-|-|", *table]) + "\n" + use


def _cell(text: str) -> str:
    """Escape a text, which may come from anybody's file, so that a table's cell shows it as it is."""
    return re.sub(r"([\\|\[\]`])", r"\\\1", escape(printable(" ".join(text.split()), 2000), quote=False))
