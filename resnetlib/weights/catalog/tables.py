"""Tables of published weights (*.tsv), and functions that build a pretrained config from each row.

Sources: https://pytorch.org/vision/stable/models.html, the model cards at https://huggingface.co/timm (at the size in the table),
https://huggingface.co/microsoft/resnet-50, and the README, logs and training scripts of akamaster and chenyaofo.
"""

import csv
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from importlib.resources import files
from math import floor
from typing import Any, cast

from resnetlib.config import CIFAR10_CLASSES, MEAN_STD, HubFile, Preprocessing, PretrainedConfig, Source, UrlFile
from resnetlib.models.catalog import SPECS

Row = dict[str, str]

_CIFAR_PREPROCESSING = {
    "akamaster_c10": Preprocessing.named("imagenet", resize=32, size=32),  # ImageNet's mean and std, as it was trained
    "chenyaofo_c10": Preprocessing(resize=32, size=32, mean=(0.4914, 0.4822, 0.4465), std=(0.2023, 0.1994, 0.201)),
    "chenyaofo_c100": Preprocessing(resize=32, size=32, mean=(0.507, 0.4865, 0.4409), std=(0.2673, 0.2564, 0.2761)),
}

_TIMM_ORIGINS = {
    "fb_wsl": ("Facebook, https://github.com/facebookresearch/WSL-Images", "CC-BY-NC-4.0"),
    "fb_": ("Facebook, https://github.com/facebookresearch/semi-supervised-ImageNet1K-models", "CC-BY-NC-4.0"),
    "gluon_": ("GluonCV, https://cv.gluon.ai/model_zoo/classification.html", "Apache-2.0"),
    "": ("timm, https://github.com/huggingface/pytorch-image-models", "Apache-2.0"),
}
"""Prefix of the tag -> origin and license; the first matching prefix is used."""


def builders() -> dict[str, Callable[[], PretrainedConfig]]:
    """Map the full names of all published weights to functions that build their pretrained configs."""
    tables = {"cifar": _cifar, "torchvision": _torchvision, "timm": _timm, "transformers": _transformers}
    return {f"{row['name']}.{row['tag']}": partial(build, row) for table, build in tables.items() for row in _rows(f"{table}.tsv")}


def timm_default_tag(name: str) -> str:
    """Return timm's default tag for a network with an ImageNet name; "" for others."""
    return _row("networks.tsv", name).get("default", "")


@cache
def imagenet_classes() -> tuple[str, ...]:
    """Return the 1000 class names in the order of the logits, in torchvision's wording."""
    return tuple(line.split("\t")[1] for line in _lines("imagenet_classes.tsv"))


@cache
def imagenet_ids() -> tuple[str, ...]:
    """Return the 1000 WordNet identifiers in the order of the logits; they are also the names of the data set's folders."""
    return tuple(line.split("\t")[0] for line in _lines("imagenet_classes.tsv"))


@cache
def sha256_sums() -> dict[str, str]:
    """Return the known full hashes: file name -> SHA-256."""
    return {name: sha256 for sha256, name in map(str.split, _lines("sha256sums.txt"))}


def url_file(url: str, *, dialect: str, mib: float | None = None) -> UrlFile:
    """Return the source for a URL `.../name-xxxxxxxx.ext`, with its full SHA-256 if known, or else the digits in its name."""
    file = url.rpartition("/")[2]
    return UrlFile(url=url, sha256=sha256_sums().get(file) or file.rpartition("-")[2].partition(".")[0], mib=mib, dialect=dialect)


def _cifar(row: Row) -> PretrainedConfig:
    name, tag = row["name"], row["tag"]
    by, classes = tag.split("_c")
    publisher = _row("cifar_publishers.tsv", by)
    return PretrainedConfig(
        name=name,
        tag=tag,
        spec=SPECS[name],
        classes=CIFAR10_CLASSES if classes == "10" else tuple(_lines("cifar100_classes.txt")),
        preprocess=_CIFAR_PREPROCESSING[tag],
        params=int(row["params"]),
        gmacs=_float(row["gmacs"]),
        top1=_float(row["top1"]),
        top5=_float(row["top5"]),
        evaluated_on=f"the 10,000 test images of CIFAR-{classes}",
        recipe=publisher["recipe"],
        license=publisher["license"],
        origin=publisher["origin"],
        sources=(url_file(publisher["url"] + row["file"], dialect=by),),
    )


def _torchvision(row: Row) -> PretrainedConfig:
    ported = row["recipe"] == "pull/116"  # from LuaTorch
    dialect = "torchvision-legacy" if ported else "torchvision"
    url = url_file(f"https://download.pytorch.org/models/{row['file']}", dialect=dialect, mib=float(row["mib"]))
    return _imagenet(
        row,
        Preprocessing.named("imagenet", resize=int(row["resize"]), size=224),
        "torchvision",
        recipe=f"https://github.com/pytorch/vision/{row['recipe']}",
        license="BSD-3-Clause",
        origin="torchvision, ported from LuaTorch" if ported else "torchvision",
        sources=(HubFile(repo=f"timm/{row['name']}.{row['tag']}", dialect="timm"), url),  # the same tensors
    )


def _timm(row: Row) -> PretrainedConfig:
    name, tag, size = row["name"], row["tag"], int(row["size"])  # timm's input_size; some have a larger test_input_size too
    mean, std = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)) if row["mean_std"] == "half" else MEAN_STD["imagenet"]
    interpolation = cast("Any", row["interpolation"])
    resize = floor(size / float(row["crop_pct"]))
    preprocess = Preprocessing(resize=resize, size=size, mean=mean, std=std, interpolation=interpolation)
    dialect = "timm-resnetv2" if name.startswith("preact_") else "timm"
    sources: list[Source] = [HubFile(repo=f"timm/{name.replace('preact_resnet', 'resnetv2_')}.{tag}", dialect=dialect)]
    if row["url"]:
        sources.append(url_file(row["url"], dialect=dialect))
    origin, license_ = next(_TIMM_ORIGINS[prefix] for prefix in _TIMM_ORIGINS if tag.startswith(prefix))
    recipe = _row("timm_recipes.tsv", tag).get("recipe", "")  # unknown for some
    return _imagenet(row, preprocess, "timm", recipe=recipe, license=license_, origin=origin, sources=tuple(sources))


def _transformers(row: Row) -> PretrainedConfig:
    preprocess = replace(Preprocessing.named("imagenet", resize=256, size=224), interpolation="bicubic")  # as for ConvNeXT
    source = HubFile(repo=row["repo"], file=row["file"], dialect="transformers")
    origin = "timm, converted by Hugging Face"
    return _imagenet(row, preprocess, "transformers", license=row["license"], origin=origin, sources=(source,))


def _imagenet(row: Row, preprocess: Preprocessing, by: str, **described: Any) -> PretrainedConfig:
    """Build the config of weights for ImageNet-1k, whose accuracy was measured by `by`."""
    top1, size = _float(row.get("top1")), preprocess.size
    network = _row("networks.tsv", row["name"])
    return PretrainedConfig(
        name=row["name"],
        tag=row["tag"],
        spec=SPECS[row["name"]],
        classes=imagenet_classes(),
        class_ids=imagenet_ids(),
        preprocess=preprocess,
        params=int(network["params"]),
        gmacs=_float(network["gmacs"]),
        top1=top1,
        top5=_float(row.get("top5")),
        evaluated_on="" if top1 is None else f"the 50,000 validation images of ImageNet-1k, {size} x {size}, by {by}",
        **described,
    )


def _float(text: str | None) -> float | None:
    return float(text) if text else None


@cache
def _rows(table: str) -> list[Row]:
    return list(csv.DictReader(_lines(table), delimiter="\t"))


def _row(table: str, key: str) -> Row:
    """Return the row whose first column is `key`, or an empty one."""
    return next((row for row in _rows(table) if next(iter(row.values())) == key), {})


def _lines(file: str) -> list[str]:
    return files("resnetlib.weights.catalog").joinpath(file).read_text(encoding="utf-8").splitlines()
