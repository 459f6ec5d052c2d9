"""timm's weights for the networks that are here, but for torchvision's own."""

from collections.abc import Iterator
from dataclasses import replace
from math import floor

from resnetlib.config import HubFile, Preprocessing, PretrainedConfig, Source
from resnetlib.weights.catalog.hashes import named_file
from resnetlib.weights.catalog.imagenet import imagenet_config

_HALF = (0.5, 0.5, 0.5)


def _input(size: int, crop: float) -> Preprocessing:
    """Crop this share of the image's shorter side, and bring it to this size with bicubic interpolation."""
    return replace(Preprocessing.named("imagenet", resize=floor(size / crop), size=size), interpolation="bicubic")


_BICUBIC = _input(224, 0.875)
_BILINEAR = replace(_BICUBIC, interpolation="bilinear")
_A = _input(224, 0.95)
_A160 = _input(160, 0.95)
_A176 = _input(176, 0.9)
_HALF90 = replace(_input(224, 0.9), mean=_HALF, std=_HALF)
_HALF95 = replace(_A, mean=_HALF, std=_HALF)

_RELEASES = "https://github.com/huggingface/pytorch-image-models/releases/download/"
_OLD_RELEASES = "https://github.com/rwightman/pytorch-image-models/releases/download/"
_V01 = _RELEASES + "v0.1-weights/"
_RSB = _RELEASES + "v0.1-rsb-weights/"
_OLD_V01 = _OLD_RELEASES + "v0.1-weights/"
_OLD_RSB = _OLD_RELEASES + "v0.1-rsb-weights/"
_TPU = _OLD_RELEASES + "v0.1-tpu-weights/"
_GLUON = "https://github.com/rwightman/pytorch-pretrained-gluonresnet/releases/download/v0.1/"
_SSL = "https://dl.fbaipublicfiles.com/semiweaksupervision/model_files/semi_supervised_"
_SWSL = "https://dl.fbaipublicfiles.com/semiweaksupervision/model_files/semi_weakly_supervised_"
_WSL = "https://download.pytorch.org/models/"

_ROWS: tuple[tuple[str, str, Preprocessing, str | None, float | None, float | None], ...] = (
    # name, tag, input, URL, top-1, top-5
    ("densenet121", "ra_in1k", _BICUBIC, None, 75.574, None),
    ("preact_resnet18", "ra4_e3600_r224_in1k", _HALF90, None, 73.572, None),
    ("preact_resnet34", "ra4_e3600_r224_in1k", _HALF90, None, 77.626, None),
    ("preact_resnet50", "a1h_in1k", _HALF95, None, 80.41, None),
    ("preact_resnet101", "a1h_in1k", _HALF95, None, 82.042, None),
    ("resnet18", "a1_in1k", _A, _RSB + "resnet18_a1_0-d63eafa0.pth", 71.504, 90.086),
    ("resnet18", "a2_in1k", _A, _RSB + "resnet18_a2_0-b61bd467.pth", None, None),
    ("resnet18", "a3_in1k", _A160, _RSB + "resnet18_a3_0-40c531c8.pth", None, None),
    ("resnet18", "fb_ssl_yfcc100m_ft_in1k", _BILINEAR, _SSL + "resnet18-d92f0530.pth", None, None),
    ("resnet18", "fb_swsl_ig1b_ft_in1k", _BILINEAR, _SWSL + "resnet18-118f1556.pth", 73.286, None),
    ("resnet18", "gluon_in1k", _BICUBIC, _GLUON + "gluon_resnet18_v1b-0757602b.pth", None, None),
    ("resnet26", "bt_in1k", _BICUBIC, _OLD_V01 + "resnet26-9aa10e23.pth", None, None),
    ("resnet34", "a1_in1k", _A, _RSB + "resnet34_a1_0-46f8f793.pth", 76.42, None),
    ("resnet34", "a2_in1k", _A, _RSB + "resnet34_a2_0-82d47d71.pth", None, None),
    ("resnet34", "a3_in1k", _A160, _RSB + "resnet34_a3_0-a20cabb6.pth", None, None),
    ("resnet34", "bt_in1k", _BICUBIC, _OLD_V01 + "resnet34-43635321.pth", 75.176, None),
    ("resnet34", "gluon_in1k", _BICUBIC, _GLUON + "gluon_resnet34_v1b-c6d82d59.pth", None, None),
    ("resnet34", "ra4_e3600_r224_in1k", _HALF90, None, 77.492, None),
    ("resnet50", "a1_in1k", _A, _OLD_RSB + "resnet50_a1_0-14fe96d1.pth", 80.382, None),
    ("resnet50", "a1h_in1k", _A176, _RSB + "resnet50_a1h2_176-001a1197.pth", None, None),
    ("resnet50", "a2_in1k", _A, _RSB + "resnet50_a2_0-a2746f79.pth", None, None),
    ("resnet50", "a3_in1k", _A160, _RSB + "resnet50_a3_0-59cae1ef.pth", None, None),
    ("resnet50", "am_in1k", _BICUBIC, _V01 + "resnet50_am-6c502b37.pth", None, None),
    ("resnet50", "b1k_in1k", _A, _RSB + "resnet50_b1k-532a802a.pth", 79.564, None),
    ("resnet50", "b2k_in1k", _A, _RSB + "resnet50_b2k-1ba180c1.pth", None, None),
    ("resnet50", "bt_in1k", _BICUBIC, _V01 + "rw_resnet50-86acaeed.pth", None, None),
    ("resnet50", "c1_in1k", _A, _RSB + "resnet50_c1-5ba5e060.pth", None, None),
    ("resnet50", "c2_in1k", _A, _RSB + "resnet50_c2-d01e05b2.pth", None, None),
    ("resnet50", "d_in1k", _A, _RSB + "resnet50_d-f39db8af.pth", None, None),
    ("resnet50", "fb_ssl_yfcc100m_ft_in1k", _BILINEAR, _SSL + "resnet50-08389792.pth", None, None),
    ("resnet50", "fb_swsl_ig1b_ft_in1k", _BILINEAR, _SWSL + "resnet50-16a12f1b.pth", None, None),
    ("resnet50", "gluon_in1k", _BICUBIC, _GLUON + "gluon_resnet50_v1b-0ebe02e2.pth", None, None),
    ("resnet50", "ra_in1k", _BICUBIC, _V01 + "resnet50_ra-85ebb6e5.pth", None, None),
    ("resnet50", "ram_in1k", _BICUBIC, _V01 + "resnet50_ram-a26f946b.pth", 79.034, None),
    ("resnet101", "a1_in1k", _A, _RSB + "resnet101_a1_0-cdcb52a9.pth", None, None),
    ("resnet101", "a1h_in1k", _A, _OLD_RSB + "resnet101_a1h-36d3f2aa.pth", 81.95, None),
    ("resnet101", "a2_in1k", _A, _RSB + "resnet101_a2_0-6edb36c7.pth", None, None),
    ("resnet101", "a3_in1k", _A160, _RSB + "resnet101_a3_0-1db14157.pth", None, None),
    ("resnet101", "gluon_in1k", _BICUBIC, _GLUON + "gluon_resnet101_v1b-3b017079.pth", None, None),
    ("resnet152", "a1_in1k", _A, _RSB + "resnet152_a1_0-2eee8a7a.pth", None, None),
    ("resnet152", "a1h_in1k", _A, _OLD_RSB + "resnet152_a1h-dc400468.pth", 82.818, None),
    ("resnet152", "a2_in1k", _A, _RSB + "resnet152_a2_0-b4c6978f.pth", None, None),
    ("resnet152", "a3_in1k", _A160, _RSB + "resnet152_a3_0-134d4688.pth", None, None),
    ("resnet152", "gluon_in1k", _BICUBIC, _GLUON + "gluon_resnet152_v1b-c1edb0dd.pth", None, None),
    ("resnext50_32x4d", "a1_in1k", _A, _RSB + "resnext50_32x4d_a1_0-b5a91a1d.pth", None, None),
    ("resnext50_32x4d", "a1h_in1k", _A, _OLD_RSB + "resnext50_32x4d_a1h-0146ab0a.pth", 81.14, None),
    ("resnext50_32x4d", "a2_in1k", _A, _RSB + "resnext50_32x4d_a2_0-efc76add.pth", None, None),
    ("resnext50_32x4d", "a3_in1k", _A160, _RSB + "resnext50_32x4d_a3_0-3e450271.pth", None, None),
    ("resnext50_32x4d", "fb_ssl_yfcc100m_ft_in1k", _BILINEAR, _SSL + "resnext50_32x4-ddb3e555.pth", None, None),
    ("resnext50_32x4d", "fb_swsl_ig1b_ft_in1k", _BILINEAR, _SWSL + "resnext50_32x4-72679e44.pth", None, None),
    ("resnext50_32x4d", "gluon_in1k", _BICUBIC, _GLUON + "gluon_resnext50_32x4d-e6a097c1.pth", None, None),
    ("resnext50_32x4d", "ra_in1k", _BICUBIC, _V01 + "resnext50_32x4d_ra-d733960d.pth", None, None),
    ("resnext101_32x4d", "fb_ssl_yfcc100m_ft_in1k", _BILINEAR, _SSL + "resnext101_32x4-dc43570a.pth", None, None),
    ("resnext101_32x4d", "fb_swsl_ig1b_ft_in1k", _BILINEAR, _SWSL + "resnext101_32x4-3f87e46b.pth", None, None),
    ("resnext101_32x4d", "gluon_in1k", _BICUBIC, _GLUON + "gluon_resnext101_32x4d-b253c8c4.pth", None, None),
    ("resnext101_32x8d", "fb_ssl_yfcc100m_ft_in1k", _BILINEAR, _SSL + "resnext101_32x8-2cfe2f8b.pth", None, None),
    ("resnext101_32x8d", "fb_swsl_ig1b_ft_in1k", _BILINEAR, _SWSL + "resnext101_32x8-b4712904.pth", 84.276, None),
    ("resnext101_32x8d", "fb_wsl_ig1b_ft_in1k", _BILINEAR, _WSL + "ig_resnext101_32x8-c38310e5.pth", None, None),
    ("resnext101_64x4d", "c1_in1k", _A, _TPU + "resnext101_64x4d_c-0d0e0cc0.pth", 82.446, None),
    ("resnext101_64x4d", "gluon_in1k", _BICUBIC, _GLUON + "gluon_resnext101_64x4d-f9a8e184.pth", None, None),
    ("wide_resnet50_2", "racm_in1k", _BICUBIC, _OLD_V01 + "wide_resnet50_racm-8234f177.pth", 81.466, None),
)

_ORIGINS = {
    "fb_wsl": ("Facebook, https://github.com/facebookresearch/WSL-Images", "CC-BY-NC-4.0"),
    "fb_": ("Facebook, https://github.com/facebookresearch/semi-supervised-ImageNet1K-models", "CC-BY-NC-4.0"),
    "gluon_": ("GluonCV, https://cv.gluon.ai/model_zoo/classification.html", "Apache-2.0"),
    "": ("timm, https://github.com/huggingface/pytorch-image-models", "Apache-2.0"),
}
"""How a tag begins -> who made the weights, and their licence; the first that fits."""

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
"""Tag -> how the weights were trained, where that is known."""


def timm_configs() -> Iterator[PretrainedConfig]:
    """Make the pretrained configs of timm's weights.

    Their input is that of timm's `input_size`. Where timm also has a larger `test_input_size`, they do better at that.

    Yields:
        The pretrained configs.

    Source:
        https://huggingface.co/timm; accuracies: results-imagenet.csv of timm, at 224 x 224.

    Example:
        >>> next(timm_configs()).full_name
        'densenet121.ra_in1k'
    """
    for name, tag, preprocess, url, top1, top5 in _ROWS:
        dialect = "timm-resnetv2" if name.startswith("preact_") else "timm"
        their_name = name.replace("preact_resnet", "resnetv2_")
        sources: list[Source] = [HubFile(repo=f"timm/{their_name}.{tag}", dialect=dialect)]
        if url is not None:
            sources.append(named_file(url, dialect=dialect))
        origin, license_ = next(_ORIGINS[start] for start in _ORIGINS if tag.startswith(start))
        yield imagenet_config(
            name,
            tag,
            preprocess=preprocess,
            by="timm",
            license=license_,
            origin=origin,
            sources=tuple(sources),
            top1=top1,
            top5=top5,
            recipe=_RECIPES.get(tag, ""),
        )
