"""Register the networks that timm does not have (plain, CIFAR, `preact_` names) in timm's registry.

After `import resnetlib.timm_models`, `timm.create_model` and transformers' `TimmWrapper` models load the folders of `save_model`,
and timm those of its own `save_for_hf`. Names that timm has stay timm's.

    import resnetlib.timm_models
    timm.create_model("local-dir:path/of/the/folder", pretrained=True)
"""

import inspect
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from timm.models import is_model, load_pretrained, register_model

from resnetlib.config import Spec
from resnetlib.config.pretrained import classes_of_timm, preprocessing_of_timm
from resnetlib.errors import InputError
from resnetlib.models import build
from resnetlib.models.catalog import SPECS
from resnetlib.models.foreign_options import check_keywords
from resnetlib.modules import Backbone

_RUNTIME = ("pretrained_model_args", "scriptable", "exportable", "no_jit")
"""Arguments of timm's factory that change nothing here."""


def _create(
    name: str,
    spec: Spec,
    *,
    pretrained: bool = False,
    pretrained_cfg: Any = None,
    pretrained_cfg_overlay: Mapping[str, Any] | None = None,
    cache_dir: Any = None,
    **options: Any,
) -> Backbone:
    """Build a network as timm's factory asks for it."""
    if options.pop("features_only", False):
        raise InputError("features_only is not for these networks: use resnetlib.features.pyramid(net, output='list')")
    cfg = pretrained_cfg.to_dict() if hasattr(pretrained_cfg, "to_dict") else pretrained_cfg
    if isinstance(cfg, Mapping):
        cfg = {**cfg, **(pretrained_cfg_overlay or {})}
        options = {"num_classes": cfg.get("num_classes"), "in_chans": cfg.get("input_size", (3,))[0]} | options
    elif pretrained or isinstance(cfg, str) or pretrained_cfg_overlay:
        raise InputError("timm has no weights of this name: use resnetlib.create_model, or a folder ('local-dir:...')")
    options = {name: value for name, value in options.items() if name not in _RUNTIME}
    known = [name for name in inspect.signature(build).parameters if name != "spec"]
    check_keywords("timm.create_model", name, options, known)
    net = build(spec, **{name: value for name, value in options.items() if name in known})
    if isinstance(cfg, Mapping):
        with suppress(ValueError, TypeError, LookupError, AttributeError, ArithmeticError):  # unknown, or not this library's
            preprocess = preprocessing_of_timm(cfg)
            net.preprocess = preprocess and preprocess.for_channels(net.in_chans)
        with suppress(ValueError, TypeError, LookupError, AttributeError):
            classes = classes_of_timm(cfg)
            net.classes = classes if classes and len(classes) == net.num_classes else None
    if pretrained:
        load_pretrained(net, {**net.pretrained_cfg, **cfg}, num_classes=net.num_classes, in_chans=net.in_chans, cache_dir=cache_dir)
    return net


for _name, _spec in SPECS.items():
    if not is_model(_name):
        _function: Any = partial(_create, _name, _spec)
        _function.__name__, _function.__module__ = _name, __name__
        register_model(_function)
