"""The weights that Hugging Face converted for transformers, under Microsoft's name."""

from collections.abc import Iterator
from dataclasses import replace

from resnetlib.config import HubFile, Preprocessing, PretrainedConfig
from resnetlib.weights.catalog.imagenet import imagenet_config

_INPUT = replace(Preprocessing.named("imagenet", resize=256, size=224), interpolation="bicubic")

_ROWS = (
    # depth, file, license
    (18, "model.safetensors", "Apache-2.0"),
    (26, "model.safetensors", ""),  # its page does not say
    (34, "model.safetensors", "Apache-2.0"),
    (50, "model.safetensors", "Apache-2.0"),
    (101, "pytorch_model.bin", "Apache-2.0"),  # the only one that was not converted
    (152, "model.safetensors", "Apache-2.0"),
)


def transformers_configs() -> Iterator[PretrainedConfig]:
    """Make the pretrained configs of the weights converted for transformers.

    Their input is the one that was published with them: ConvNeXT's, whatever they were evaluated with.

    Yields:
        The pretrained configs.

    Source:
        https://huggingface.co/microsoft/resnet-50, and the script in transformers that converted them.

    Example:
        >>> next(transformers_configs()).sources[0].repo
        'microsoft/resnet-18'
    """
    for depth, file, license_ in _ROWS:
        yield imagenet_config(
            f"resnet{depth}",
            "microsoft_in1k",
            preprocess=_INPUT,
            by="transformers",
            license=license_,
            origin="timm, converted by Hugging Face",
            sources=(HubFile(repo=f"microsoft/resnet-{depth}", file=file, dialect="transformers"),),
        )
