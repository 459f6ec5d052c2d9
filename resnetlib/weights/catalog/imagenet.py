"""Pretrained weights for ImageNet-1k from torchvision, timm and transformers, under timm's tags.

Sources: https://pytorch.org/vision/stable/models.html, https://huggingface.co/timm, results-imagenet.csv of timm (at 224 x 224),
https://huggingface.co/microsoft/resnet-50.
"""

import csv
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from importlib.resources import files
from math import floor
from typing import Any, cast

from resnetlib.config import HubFile, Preprocessing, PretrainedConfig, Source
from resnetlib.models.catalog import SPECS
from resnetlib.weights.catalog.hashes import url_file

_SIZES = {
    "densenet121": (7_978_856, 2.834),
    "densenet161": (28_681_000, 7.728),
    "densenet169": (14_149_480, 3.36),
    "densenet201": (20_013_928, 4.291),
    "preact_resnet18": (11_687_720, 1.814),
    "preact_resnet34": (21_795_880, 3.664),
    "preact_resnet50": (25_549_352, 4.089),
    "preact_resnet101": (44_541_480, 7.801),
    "resnet18": (11_689_512, 1.814),
    "resnet26": (15_995_176, 2.342),
    "resnet34": (21_797_672, 3.664),
    "resnet50": (25_557_032, 4.089),
    "resnet101": (44_549_160, 7.801),
    "resnet152": (60_192_808, 11.514),
    "resnext50_32x4d": (25_028_904, 4.23),
    "resnext101_32x4d": (44_177_704, 7.97),
    "resnext101_32x8d": (88_791_336, 16.414),
    "resnext101_64x4d": (83_455_272, 15.46),
    "wide_resnet50_2": (68_883_240, 11.398),
    "wide_resnet101_2": (126_886_696, 22.753),
}
"""Network -> parameters with 1000 classes, and 10^9 multiply-accumulates at 224 x 224: torchvision's figures, or counted."""

# torchvision

_PYTORCH = "https://download.pytorch.org/models/"

_RESNET = "tree/main/references/classification#resnet"
_RESNEXT = "tree/main/references/classification#resnext"
_WIDE = "pull/912#issue-445437439"
_LUA_TORCH = "pull/116"
_NEW = "issues/3995#new-recipe"
_NEW_FIXRES = "issues/3995#new-recipe-with-fixres"
_NEW_RESNET50 = "issues/3995#issuecomment-1013906621"
_NEW_64X4D = "pull/5935"

_TORCHVISION = (
    # name, tag, file, MiB, top-1, top-5, resize, recipe in torchvision's repository
    ("densenet121", "tv_in1k", "densenet121-a639ec97.pth", 30.845, 74.434, 91.972, 256, _LUA_TORCH),
    ("densenet161", "tv_in1k", "densenet161-8d451a50.pth", 110.369, 77.138, 93.56, 256, _LUA_TORCH),
    ("densenet169", "tv_in1k", "densenet169-b2777c0a.pth", 54.708, 75.6, 92.806, 256, _LUA_TORCH),
    ("densenet201", "tv_in1k", "densenet201-c1103571.pth", 77.373, 76.896, 93.37, 256, _LUA_TORCH),
    ("resnet18", "tv_in1k", "resnet18-f37072fd.pth", 44.661, 69.758, 89.078, 256, _RESNET),
    ("resnet34", "tv_in1k", "resnet34-b627a593.pth", 83.275, 73.314, 91.42, 256, _RESNET),
    ("resnet50", "tv_in1k", "resnet50-0676ba61.pth", 97.781, 76.13, 92.862, 256, _RESNET),
    ("resnet50", "tv2_in1k", "resnet50-11ad3fa6.pth", 97.79, 80.858, 95.434, 232, _NEW_RESNET50),
    ("resnet101", "tv_in1k", "resnet101-63fe2227.pth", 170.511, 77.374, 93.546, 256, _RESNET),
    ("resnet101", "tv2_in1k", "resnet101-cd907fc2.pth", 170.53, 81.886, 95.78, 232, _NEW),
    ("resnet152", "tv_in1k", "resnet152-394f9c45.pth", 230.434, 78.312, 94.046, 256, _RESNET),
    ("resnet152", "tv2_in1k", "resnet152-f82ba261.pth", 230.474, 82.284, 96.002, 232, _NEW),
    ("resnext50_32x4d", "tv_in1k", "resnext50_32x4d-7cdf4587.pth", 95.789, 77.618, 93.698, 256, _RESNEXT),
    ("resnext50_32x4d", "tv2_in1k", "resnext50_32x4d-1a0047aa.pth", 95.833, 81.198, 95.34, 232, _NEW),
    ("resnext101_32x8d", "tv_in1k", "resnext101_32x8d-8ba56ff5.pth", 339.586, 79.312, 94.526, 256, _RESNEXT),
    ("resnext101_32x8d", "tv2_in1k", "resnext101_32x8d-110c445d.pth", 339.673, 82.834, 96.228, 232, _NEW_FIXRES),
    ("resnext101_64x4d", "tv_in1k", "resnext101_64x4d-173b62eb.pth", 319.318, 83.246, 96.454, 232, _NEW_64X4D),
    ("wide_resnet50_2", "tv_in1k", "wide_resnet50_2-95faca4d.pth", 131.82, 78.468, 94.086, 256, _WIDE),
    ("wide_resnet50_2", "tv2_in1k", "wide_resnet50_2-9ba9bcbe.pth", 263.124, 81.602, 95.758, 232, _NEW_FIXRES),
    ("wide_resnet101_2", "tv_in1k", "wide_resnet101_2-32ee1156.pth", 242.896, 78.848, 94.284, 256, _WIDE),
    ("wide_resnet101_2", "tv2_in1k", "wide_resnet101_2-d733dc28.pth", 484.747, 82.51, 96.02, 232, _NEW),
)

# timm: the table of weights is timm.tsv

_ORIGINS = {
    "fb_wsl": ("Facebook, https://github.com/facebookresearch/WSL-Images", "CC-BY-NC-4.0"),
    "fb_": ("Facebook, https://github.com/facebookresearch/semi-supervised-ImageNet1K-models", "CC-BY-NC-4.0"),
    "gluon_": ("GluonCV, https://cv.gluon.ai/model_zoo/classification.html", "Apache-2.0"),
    "": ("timm, https://github.com/huggingface/pytorch-image-models", "Apache-2.0"),
}
"""Prefix of the tag -> origin and licence; the first prefix that matches counts."""

_STRIKES_BACK = "ResNet strikes back, arXiv 2110.00476"

_RECIPES = {
    "a1_in1k": f"A1 of {_STRIKES_BACK}",
    "a1h_in1k": f"after A1 of {_STRIKES_BACK}",
    "a2_in1k": f"A2 of {_STRIKES_BACK}",
    "a3_in1k": f"A3 of {_STRIKES_BACK}",
    "am_in1k": "AugMix, arXiv 1912.02781",
    "b1k_in1k": f"after B of {_STRIKES_BACK}",
    "b2k_in1k": f"after B of {_STRIKES_BACK}",
    "bt_in1k": "a bag of tricks",
    "c1_in1k": f"after C of {_STRIKES_BACK}",
    "c2_in1k": f"after C of {_STRIKES_BACK}",
    "d_in1k": f"after D of {_STRIKES_BACK}",
    "fb_ssl_yfcc100m_ft_in1k": "semi-supervised on YFCC100M, then fine-tuned, arXiv 1905.00546",
    "fb_swsl_ig1b_ft_in1k": "semi-weakly supervised on 940 million images of Instagram, then fine-tuned, arXiv 1905.00546",
    "fb_wsl_ig1b_ft_in1k": "weakly supervised on 940 million images of Instagram, then fine-tuned, arXiv 1805.00932",
    "ra_in1k": f"RandAugment, published as B of {_STRIKES_BACK}",
    "ra4_e3600_r224_in1k": "3,600 epochs at 224 x 224, after MobileNetV4, arXiv 2404.10518",
}
"""Tag -> training recipe, where it is known."""

# transformers: microsoft's weights, which Hugging Face converted from timm's

_CONVNEXT = replace(Preprocessing.named("imagenet", resize=256, size=224), interpolation="bicubic")
"""What the preprocessor_config.json of these repositories says: ConvNeXT's."""

_TRANSFORMERS = (
    # name, repository, file, licence
    ("resnet18", "microsoft/resnet-18", "model.safetensors", "Apache-2.0"),
    ("resnet26", "microsoft/resnet-26", "model.safetensors", ""),  # its page gives no licence
    ("resnet34", "microsoft/resnet-34", "model.safetensors", "Apache-2.0"),
    ("resnet50", "microsoft/resnet-50", "model.safetensors", "Apache-2.0"),
    ("resnet101", "microsoft/resnet-101", "pytorch_model.bin", "Apache-2.0"),  # the only one without safetensors
    ("resnet152", "microsoft/resnet-152", "model.safetensors", "Apache-2.0"),
)


def _config(name: str, tag: str, preprocess: Preprocessing, by: str, *, top1: float | None = None, **said: Any) -> PretrainedConfig:
    """Build a config from what all weights for ImageNet-1k share; `by` is who measured the accuracy."""
    params, gmacs = _SIZES[name]
    images = f"the 50,000 validation images of ImageNet-1k, {preprocess.size} x {preprocess.size}, by {by}"
    return PretrainedConfig(
        name=name,
        tag=tag,
        spec=SPECS[name],
        classes=imagenet_classes(),
        class_ids=imagenet_ids(),
        preprocess=preprocess,
        params=params,
        gmacs=gmacs,
        top1=top1,
        evaluated_on="" if top1 is None else images,
        **said,
    )


def _torchvision(
    name: str, tag: str, file: str, mib: float, top1: float, top5: float, resize: int, recipe: str
) -> PretrainedConfig:
    ported = recipe == _LUA_TORCH
    url = url_file(_PYTORCH + file, dialect="torchvision-legacy" if ported else "torchvision", mib=mib)
    return _config(
        name,
        tag,
        Preprocessing.named("imagenet", resize=resize, size=224),
        "torchvision",
        top1=top1,
        top5=top5,
        recipe=f"https://github.com/pytorch/vision/{recipe}",
        license="BSD-3-Clause",
        origin="torchvision, ported from LuaTorch" if ported else "torchvision",
        sources=(HubFile(repo=f"timm/{name}.{tag}", dialect="timm"), url),  # the same tensors
    )


def _timm(row: dict[str, str]) -> PretrainedConfig:
    """Build the config of a row of timm.tsv. `size` is timm's `input_size`; some weights have a larger `test_input_size` too."""
    name, tag, size = row["name"], row["tag"], int(row["size"])
    resize = floor(size / float(row["crop_pct"]))
    preprocess = replace(Preprocessing.named("imagenet", resize=resize, size=size), interpolation=cast("Any", row["interpolation"]))
    if row["mean_std"] == "half":
        preprocess = replace(preprocess, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    dialect = "timm-resnetv2" if name.startswith("preact_") else "timm"
    sources: list[Source] = [HubFile(repo=f"timm/{name.replace('preact_resnet', 'resnetv2_')}.{tag}", dialect=dialect)]
    if row["url"]:
        sources.append(url_file(row["url"], dialect=dialect))
    origin, license_ = next(_ORIGINS[prefix] for prefix in _ORIGINS if tag.startswith(prefix))
    return _config(
        name,
        tag,
        preprocess,
        "timm",
        top1=float(row["top1"]) if row["top1"] else None,
        top5=float(row["top5"]) if row["top5"] else None,
        recipe=_RECIPES.get(tag, ""),
        license=license_,
        origin=origin,
        sources=tuple(sources),
    )


def _transformers(name: str, repo: str, file: str, license_: str) -> PretrainedConfig:
    source = HubFile(repo=repo, file=file, dialect="transformers")
    origin = "timm, converted by Hugging Face"
    return _config(name, "microsoft_in1k", _CONVNEXT, "transformers", license=license_, origin=origin, sources=(source,))


def imagenet_builders() -> dict[str, Callable[[], PretrainedConfig]]:
    """Map the weights' full names to functions that build their pretrained configs."""
    return {
        **{f"{row[0]}.{row[1]}": partial(_torchvision, *row) for row in _TORCHVISION},
        **{f"{row['name']}.{row['tag']}": partial(_timm, row) for row in csv.DictReader(_table("timm.tsv"), delimiter="\t")},
        **{f"{row[0]}.microsoft_in1k": partial(_transformers, *row) for row in _TRANSFORMERS},
    }


def imagenet_classes() -> tuple[str, ...]:
    """Return the 1000 class names in the order of the logits, with torchvision's words."""
    return _columns()[1]


def imagenet_ids() -> tuple[str, ...]:
    """Return the 1000 WordNet identifiers in the order of the logits; they are also the names of the data set's folders."""
    return _columns()[0]


@cache
def _columns() -> tuple[tuple[str, ...], tuple[str, ...]]:
    ids, names = zip(*(line.split("\t") for line in _table("imagenet_classes.tsv")), strict=True)
    return ids, names


def _table(file: str) -> list[str]:
    return files("resnetlib.weights.catalog").joinpath(file).read_text(encoding="utf-8").splitlines()
