"""The model card: what a repository's README.md says of its weights."""

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


def model_card(cfg: PretrainedConfig, place: str, *, num_classes: int, in_timm: bool) -> str:
    """Write a model card.

    Args:
        cfg: what is known of the weights.
        place: what `create_model` finds them by.
        num_classes: logits.
        in_timm: whether timm can load the repository.

    Returns:
        Markdown, with the header that the hub reads.

    Example:
        >>> from resnetlib.weights import describe
        >>> card = model_card(describe("resnet50.a1_in1k"), "hf-hub:me/mine", num_classes=1000, in_timm=True)
        >>> [line for line in card.splitlines() if line.startswith("| licence")]
        ['| licence | Apache-2.0 |']
    """
    title = cfg.full_name or "A network of resnetlib"
    rows = [("spec", f"`{cfg.spec}`"), ("classes", f"{num_classes:,}")]
    if cfg.params is not None:
        rows.append(("parameters", f"{cfg.params:,}"))
    if cfg.gmacs is not None:
        rows.append(("multiply-accumulates", f"{cfg.gmacs:.3f} G"))
    if (steps := cfg.preprocess) is not None:
        rows += [
            ("input", f"resize to {steps.resize} ({steps.interpolation}), crop {steps.size} x {steps.size}"),
            ("mean, deviation", f"{steps.mean}, {steps.std}"),
        ]
    for what, share in (("top-1", cfg.top1), ("top-5", cfg.top5)):
        if share is not None:
            rows.append((what, f"{share:g} %"))
    for what in ("evaluated_on", "recipe", "license", "origin"):
        if text := getattr(cfg, what):
            rows.append(({"evaluated_on": "evaluated on", "license": "licence"}.get(what, what), text))
    table = "\n".join(["| | |", "|-|-|", *(f"| {what} | {text if what == 'spec' else _cell(text)} |" for what, text in rows)])
    predict = "guesses = resnetlib.classify(net, [image])  # a PIL image\n" if cfg.preprocess is not None else ""
    header = _HEADER.format(
        timm="- timm\n" if in_timm else "",
        license=f"license: {_hub_license(cfg.license)}\n" if cfg.license else "",
        title=_cell(title),
    )
    return header + table + "\n" + _USE.format(place=json.dumps(printable(place, 1000), ensure_ascii=False), predict=predict)


def _cell(text: str) -> str:
    """Put a text on one line of a table, so that it is shown as it is: it may come from a file that somebody else made."""
    return re.sub(r"([\\|\[\]`])", r"\\\1", escape(printable(" ".join(text.split()), 2000), quote=False))


def _hub_license(license: str) -> str:  # noqa: A002 - what it is
    """Return the hub's word for a licence; "other" for one that has none."""
    known = {"apache-2.0", "mit", "bsd-2-clause", "bsd-3-clause", "cc-by-4.0", "cc-by-nc-4.0", "cc-by-sa-4.0", "cc0-1.0", "gpl-3.0"}
    return license.lower() if license.lower() in known else "other"
