"""A folder with config.json and weights, on the disk or on the hub: one layout, three schemas."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from resnetlib.config import PretrainedConfig
from resnetlib.disk import unfinished
from resnetlib.text import printable
from resnetlib.weights.configs import OURS, pretrained_config_of, read_json
from resnetlib.weights.files import WeightsFile, read_weights

CONFIG, PREPROCESSOR = "config.json", "preprocessor_config.json"
WEIGHTS_NAMES = ("model.safetensors", "pytorch_model.bin")
"""What the file of weights is called; the first that is there."""

Get = Callable[[str], Path]
"""Gives the path of a repository's file, or raises FileNotFoundError if, and only if, it is known not to be there."""


def read_repository(get: Get, label: str, *, mmap: bool, folder: Path | None = None) -> WeightsFile:
    """Read config and weights.

    Args:
        get: gives the files.
        label: what to call the repository in errors.
        mmap: map the weights into memory, if they are safetensors.
        folder: where it is, if it is on the disk: whoever was killed while replacing it may have left the config of the new weights
            beside the old one.

    Returns:
        The tensors and the pretrained config. What the config says counts; what a header of safetensors adds is checked against it.

    Raises:
        FileNotFoundError: if there is no config, or there are no weights.
        ValueError: if the config cannot be understood, or the file is another network's.
    """
    try:
        config = read_json(get(CONFIG))
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{label} has no {CONFIG}, which says what network it is") from error
    preprocessor = None
    if config.get("model_type") == "resnet":
        try:
            preprocessor = read_json(get(PREPROCESSOR))
        except FileNotFoundError:
            preprocessor = None
    try:
        cfg = pretrained_config_of(config, preprocessor)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{label}: {printable(error, 1000, lines=True)}") from error
    file = read_weights(first_there(get, label), mmap=mmap)
    if (
        file.pretrained_cfg is None
        or file.pretrained_cfg == cfg
        or (folder is not None and _written_with(file.pretrained_cfg, folder))
    ):
        return replace(file, pretrained_cfg=file.pretrained_cfg or cfg)
    if OURS in config:
        ours, theirs = (printable(said, 2000) for said in (cfg, file.pretrained_cfg))
        raise ValueError(f"{label} contradicts itself: {CONFIG} and weights say different things:\n  {ours}\n  {theirs}")
    return replace(file, pretrained_cfg=cfg)


def _written_with(cfg: PretrainedConfig, folder: Path) -> bool:
    """Tell whether the config that was written together with some weights is there, under a name of its own or by now its own."""
    for path in (*unfinished(folder, CONFIG), folder / CONFIG):
        with suppress(OSError, ValueError):
            if pretrained_config_of(read_json(path)) == cfg:
                return True
    return False


def first_there(get: Get, label: str) -> Path:
    """Return the file of weights: a pickle only where it is certain that there are no safetensors."""
    for name in WEIGHTS_NAMES:
        try:
            return get(name)
        except FileNotFoundError:
            continue
    raise FileNotFoundError(f"{label} has no weights: none of {', '.join(WEIGHTS_NAMES)}")


def folder_getter(folder: Path) -> Get:
    """Return what gives a local folder's files."""

    def get(name: str) -> Path:
        if not (folder / name).exists():
            raise FileNotFoundError(f"there is no {name} in {folder}")
        return folder / name

    return get
