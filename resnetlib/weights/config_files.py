"""Read untrusted config.json files of resnetlib, timm and transformers, and write our own."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from resnetlib.config import Preprocessing, PretrainedConfig, ResNetSpec, Spec, pretrained_config_from_dict
from resnetlib.config.pretrained import classes_of_timm, preprocessing_of_timm
from resnetlib.config.spec import parse_object
from resnetlib.disk import read_file
from resnetlib.errors import InputError
from resnetlib.models.catalog import SPECS, TIMM_NAMES
from resnetlib.weights.dialects.compare import name_of, same_network

OURS = "resnetlib"
"""The key of our pretrained config in a config.json; timm and transformers ignore it."""

_MAX_BYTES = 2**24  # of a config.json

_HARMLESS_ARGS = {"num_classes", "in_chans", "global_pool", "drop_rate", "drop_path_rate"}
"""timm's model_args that do not change the architecture (global_pool only as "avg")."""


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object from a file; raise ValueError if the file is too large or not a JSON object."""
    return parse_object(read_file(path, _MAX_BYTES), str(path))


def pretrained_config_of(config: Mapping[str, Any], preprocessor: Mapping[str, Any] | None = None) -> PretrainedConfig:
    """Return the pretrained config in a config.json; raise ValueError if its schema or its network is unknown.

    `preprocessor` is the content of transformers' preprocessor_config.json.
    """
    if OURS in config:
        if not isinstance(config[OURS], dict):
            raise InputError(f"config.json must hold an object under {OURS!r}, got {config[OURS]!r}")
        return pretrained_config_from_dict(config[OURS])
    try:
        if config.get("model_type") == "resnet":
            return _of_transformers(config, preprocessor or {})
        if "architecture" in config:
            return _of_timm(config)
    except (TypeError, LookupError, AttributeError, ArithmeticError) as error:
        raise InputError(f"config.json is invalid: {error!r}") from error
    raise InputError(
        f"config.json is of an unknown format: expected the key {OURS!r}, timm's 'architecture', or transformers' model_type "
        f"'resnet', got the keys {sorted(map(str, config))[:8]}"
    )


def config_of(cfg: PretrainedConfig, *, num_classes: int, in_chans: int, num_features: int) -> dict[str, Any]:
    """Return the content of a config.json: our pretrained config, and the keys from which timm builds the network."""
    architecture = timm_name(cfg.spec)
    known = ["tag", "first_conv", "classifier", *(["license"] if cfg.license else [])]
    if cfg.preprocess is not None:
        known += ["input_size", "interpolation", "crop_pct", "crop_mode", "mean", "std"]
    timm = cfg.to_timm()
    timm |= {"num_classes": num_classes, "input_size": (in_chans, *timm["input_size"][1:])}
    pretrained = {key: timm[key] for key in ("num_classes", *known)}
    if architecture is not None and architecture.startswith("resnetv2"):
        pretrained |= {"first_conv": "stem.conv", "classifier": "head.fc"}
    config: dict[str, Any] = {
        "architecture": architecture or cfg.name or cfg.spec.family,
        "num_classes": num_classes,
        "num_features": num_features,
        "global_pool": "avg",
        "model_args": {"in_chans": in_chans} if in_chans != 3 else {},
        "pretrained_cfg": pretrained,
        OURS: json.loads(cfg.to_json()),
    }
    if cfg.classes is not None:
        config["label_names"] = list(cfg.classes)
    return config


def timm_name(spec: Spec) -> str | None:
    """Return timm's name of a network, or None if timm does not have the network."""
    return next((theirs for theirs, ours in TIMM_NAMES.items() if same_network(SPECS[ours], spec)), None)


def _of_timm(config: Mapping[str, Any]) -> PretrainedConfig:
    architecture = config["architecture"]
    name, pretrained = TIMM_NAMES.get(architecture, architecture), config.get("pretrained_cfg", config)
    if name not in SPECS:
        raise InputError(f"timm's {architecture!r} is not supported; supported: {', '.join(TIMM_NAMES)}")
    arguments = config.get("model_args") or {}
    odd = {key: value for key, value in arguments.items() if key not in _HARMLESS_ARGS or (key == "global_pool" and value != "avg")}
    if odd:
        raise InputError(
            f"{architecture} with the model_args {odd} is not supported; supported: "
            f"{', '.join(sorted(_HARMLESS_ARGS))}, and only global_pool='avg'"
        )
    return PretrainedConfig(
        name=name,
        tag=str(pretrained.get("tag") or ""),
        spec=SPECS[name],
        classes=classes_of_timm(pretrained | {key: value for key, value in config.items() if value}),
        preprocess=preprocessing_of_timm(pretrained),
        license=str(pretrained.get("license") or ""),
        origin=str(pretrained.get("origin_url") or ""),
    )


def _of_transformers(config: Mapping[str, Any], preprocessor: Mapping[str, Any]) -> PretrainedConfig:
    """Read transformers' config.json, with its defaults for missing keys, and preprocessor_config.json."""
    block = config.get("layer_type", "bottleneck")
    hidden = config.get("hidden_sizes", [256, 512, 1024, 2048])
    depths = config.get("depths", [3, 4, 6, 3])
    if not isinstance(hidden, list) or not all(isinstance(size, int) and size % 4 == 0 for size in hidden):
        raise InputError(f"hidden_sizes must be a list of multiples of 4, got {hidden!r}")
    widths = tuple(size if block == "basic" else size // 4 for size in hidden)
    fixed = (("hidden_act", "relu", "relu"), ("downsample_in_first_stage", False, False), ("embedding_size", 64, widths[0]))
    for key, default, needed in fixed:
        if config.get(key, default) != needed:
            raise InputError(f"a ResNet with {key}={config.get(key, default)!r} is not supported; supported: {needed!r}")
    v1 = block == "bottleneck" and config.get("downsample_in_bottleneck", False)
    spec = ResNetSpec(block=block, depths=tuple(depths), widths=widths, stride_in="1x1" if v1 else "3x3")
    labels = config.get("id2label")
    return PretrainedConfig(
        name=name_of(spec),
        tag="",
        spec=spec,
        classes=tuple(str(labels[key]) for key in sorted(labels, key=int)) if labels else None,
        preprocess=_preprocess_of_transformers(preprocessor) if preprocessor else None,
    )


def _preprocess_of_transformers(config: Mapping[str, Any]) -> Preprocessing | None:
    """Read ConvNeXT's preprocessor_config.json for less than 384 pixels (resize to size / crop_pct, crop); None for others."""
    interpolations: dict[object, Literal["bilinear", "bicubic"]] = {2: "bilinear", 3: "bicubic"}
    interpolation = interpolations.get(config.get("resample", 3))
    size = config.get("size")
    if isinstance(size, dict):
        size = size.get("shortest_edge")
    whole = all(config.get(f"do_{step}", True) is True for step in ("resize", "normalize"))
    if interpolation is None or not isinstance(size, int) or size >= 384 or not whole or "crop_pct" not in config:
        return None
    return Preprocessing(
        resize=int(size / config["crop_pct"]),
        size=size,
        mean=tuple(map(float, config["image_mean"])),
        std=tuple(map(float, config["image_std"])),
        interpolation=interpolation,
    )
