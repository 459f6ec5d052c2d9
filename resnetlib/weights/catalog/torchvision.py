"""torchvision's weights, all of V1 and V2, under the tags that timm gives them."""

from collections.abc import Iterator

from resnetlib.config import HubFile, Preprocessing, PretrainedConfig
from resnetlib.weights.catalog.hashes import named_file
from resnetlib.weights.catalog.imagenet import imagenet_config

_URL = "https://download.pytorch.org/models/"

_RESNET = "tree/main/references/classification#resnet"
_RESNEXT = "tree/main/references/classification#resnext"
_WIDE = "pull/912#issue-445437439"
_LUA_TORCH = "pull/116"
_NEW = "issues/3995#new-recipe"
_NEW_FIXRES = "issues/3995#new-recipe-with-fixres"
_NEW_RESNET50 = "issues/3995#issuecomment-1013906621"
_NEW_64X4D = "pull/5935"

_ROWS = (
    # name, tag, file, MiB, top-1, top-5, resize, recipe
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


def torchvision_configs() -> Iterator[PretrainedConfig]:
    """Make the pretrained configs of torchvision's weights.

    The Hugging Face Hub holds the same tensors as the URLs, as safetensors.

    Yields:
        The pretrained configs.

    Source:
        https://pytorch.org/vision/stable/models.html

    Example:
        >>> next(torchvision_configs()).full_name
        'densenet121.tv_in1k'
    """
    for name, tag, file, mib, top1, top5, resize, recipe in _ROWS:
        ported = recipe == _LUA_TORCH
        dialect = "torchvision-legacy" if ported else "torchvision"
        yield imagenet_config(
            name,
            tag,
            preprocess=Preprocessing.named("imagenet", resize=resize, size=224),
            by="torchvision",
            license="BSD-3-Clause",
            origin="torchvision, ported from LuaTorch" if ported else "torchvision",
            sources=(HubFile(repo=f"timm/{name}.{tag}", dialect="timm"), named_file(_URL + file, dialect=dialect, mib=mib)),
            top1=top1,
            top5=top5,
            recipe=f"https://github.com/pytorch/vision/{recipe}",
        )
