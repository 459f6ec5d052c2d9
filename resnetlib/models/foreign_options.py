"""Keywords of timm, torchvision and fastai that have another name here, or no counterpart."""

import dataclasses
import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from types import MappingProxyType

from resnetlib.errors import InputTypeError
from resnetlib.models.catalog import SPECS

_NO_SUCH_NETWORK = "leave it out: these networks have the papers' stems, blocks and shortcuts alone; timm has the variants"
_NO_TRANSFORMATION = "leave it out: every network can be traced and exported as it is"

_ROWS: tuple[tuple[str, str], ...] = (
    ("model_name", "`name=`"),
    ("in_channels input_channels n_in", "`in_chans=`"),
    ("n_classes nb_classes num_labels n_out c_out", "`num_classes=`"),
    ("pretrained_cfg", '`weights="TAG"`; `get_model_weights("NAME")` has the tags and configs'),
    ("pretrained_cfg_overlay", "set `net.preprocess` and `net.classes` of the network"),
    ("ckpt_path pretrained_path weights_path", "`checkpoint_path=`, or `weights=`"),
    ("pretrained_strict strict", "leave it out: weights must fit, except for `num_classes` and `in_chans`"),
    ("cache_dir model_dir", "the environment variables HF_HOME (the hub) and TORCH_HOME (URLs)"),
    ("progress check_hash", "leave it out: downloads show their progress, and are always checked"),
    ("drop dropout dropout_rate", "`drop_rate=`, before the classifier"),
    ("drop_path drop_connect_rate stochastic_depth_prob", "`drop_path_rate=`"),
    ("drop_block_rate", "`drop_path_rate=`; there is no DropBlock"),
    ("pool pool_type", '`global_pool="avg"` or `""`'),
    ("replace_stride_with_dilation", "`output_stride=16` for [False, False, True], `output_stride=8` for [False, True, True]"),
    ("out_features return_layers return_nodes", "`features_only=True, out_indices=`"),
    ("grad_checkpointing use_checkpoint", "`memory_efficient=True`, or `net.set_grad_checkpointing()`"),
    ("img_size input_size", "leave it out: the networks take images of any size"),
    ("norm_layer", '`build(replace(spec_of("NAME"), norm="group"))`; norms are "batch", "group" and "none"'),
    ("act_layer act_cls", "replace the `nn.ReLU` modules of the network"),
    ("groups cardinality", '`build(replace(spec_of("NAME"), groups=32))`, for bottlenecks'),
    ("width_per_group base_width", '`build(replace(spec_of("NAME"), base_width=4))`, for bottlenecks'),
    ("block", '`build(replace(spec_of("NAME"), block="basic"))` or `"bottleneck"`'),
    ("layers block_config", '`build(replace(spec_of("NAME"), depths=(3, 4, 6, 3)))`'),
    ("channels", '`build(replace(spec_of("NAME"), widths=(64, 128, 256, 512)))`'),
    ("growth_rate", '`build(replace(spec_of("NAME"), growth=32))`, for DenseNets'),
    ("num_init_features stem_width", '`build(replace(spec_of("NAME"), stem_width=64))`, for DenseNets'),
    ("bn_size", '`build(replace(spec_of("NAME"), bottleneck=4))`, for DenseNets'),
    ("zero_init_residual zero_init_last", '`build(replace(spec_of("NAME"), init="zero_init_residual"))`'),
    ("scriptable exportable no_jit", _NO_TRANSFORMATION),
    ("stem_type deep_stem replace_stem_pool avg_down down_kernel_size block_reduce_first", _NO_SUCH_NETWORK),
    ("aa_layer aa_stem_only attn_layer block_args se sa", _NO_SUCH_NETWORK),
    ("quantize", "quantize the network with torchao, or export it with `resnetlib.export(net, path, int8=True)`"),
)

FOREIGN: Mapping[str, str] = MappingProxyType({word: advice for words, advice in _ROWS for word in words.split()})
"""Keyword -> what to write instead; NAME stands for the network's name."""


def _advice_for(advice: str, name: str) -> str:
    """Complete a piece of advice for a network; where its spec has no such field, say which fields it has."""
    network = name if name in SPECS else name.partition(".")[0]
    spec = SPECS.get(network)
    change = re.search(r'replace\(spec_of\("NAME"\), (\w+)=([^`]+)\)\)', advice)
    if change is None or spec is None:
        return advice.replace('spec_of("NAME")', f'create_model("{name}").spec').replace("NAME", name)
    fields = [field.name for field in dataclasses.fields(spec)]
    if change[1] not in fields:
        return f"leave it out: a {type(spec).__name__} has {', '.join(fields)}"
    if change[1] in ("groups", "base_width") and getattr(spec, "block", "") == "basic":
        return f"leave it out: it is an option of bottlenecks, but {network} has basic blocks"
    if change[1] == "init" and getattr(spec, "join", "") == "replace":
        return f"leave it out: {network} has no residual branches"
    if change[1] in ("depths", "widths"):
        advice = advice.replace(change[2], repr(getattr(spec, change[1])))
    return advice.replace("NAME", network)


def check_keywords(called: str, name: str, given: Mapping[str, object], known: Iterable[str]) -> None:
    """Raise TypeError for keywords that are not known, under the name of the function that was called.

    As in timm, None stands for the default of a keyword.
    """
    known = [*known]
    problems = []
    for word, value in given.items():
        if word not in known and not (word in FOREIGN and value is None):
            near = get_close_matches(word, known, n=1)
            advice = FOREIGN.get(word, f"did you mean {near[0]}=?" if near else "see help(resnetlib.create_model)")
            advice = _advice_for(advice, name)
            advice = f"write {advice}" if advice.startswith("`") else advice
            problems.append(f"{called}() has no {word}: {advice}".replace("`", ""))
    if problems:
        raise InputTypeError("\n".join(problems))
