"""Save a network as a folder with a model card, from which this library and timm can rebuild it, and push it to the hub."""

import json
import re
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from html import escape
from pathlib import Path

import torch
from torch import nn

from resnetlib.config import PretrainedConfig
from resnetlib.config.names import check_names
from resnetlib.disk import check_writable, local_path, write_together
from resnetlib.errors import ExistingFileError, InputError, InputTypeError, printable
from resnetlib.models import build
from resnetlib.modules import Backbone, Join
from resnetlib.modules.backbone import check_network, unwrapped
from resnetlib.modules.thread_guards import in_use
from resnetlib.weights.config_files import config_of, timm_name
from resnetlib.weights.dialects.compare import name_of
from resnetlib.weights.dialects.rename import to_dialect
from resnetlib.weights.errors import DownloadError
from resnetlib.weights.files import check_pretrained_config, encode_state
from resnetlib.weights.find import CONFIG, WEIGHTS_NAMES
from resnetlib.weights.hub_guard import LIBRARY, guarded

CARD = "README.md"

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

_MARK = b"<!-- Written by resnetlib. Remove this line to keep your changes. -->"
"""The last line of a generated card; a README.md without it is the user's."""

_HUB_LICENSES = {
    "apache-2.0", "mit", "bsd-2-clause", "bsd-3-clause", "cc-by-4.0", "cc-by-nc-4.0", "cc-by-sa-4.0", "cc0-1.0", "gpl-3.0"
}  # fmt: skip

_FORMS = {
    "PeftModel": "merge the adapters, save_model(model.merge_and_unload(), folder), or keep them alone with model.save_pretrained",
    "FullyShardedDataParallel": "call save_model(fsdp.module, folder) on all processes within FSDP.summon_full_params(fsdp)",
    "GraphModule": "it is traced, and perhaps quantized: save it with torch.export.save(torch.export.export(net, inputs), path)",
}
"""Name of a class -> how to save a network in it."""


def save_model(
    net: Backbone,
    folder: str | Path,
    *,
    classes: Sequence[str] | None = None,
    pretrained_cfg: PretrainedConfig | None = None,
    overwrite: bool = False,
) -> None:
    """Save a network as a folder with config.json, model.safetensors and a model card, README.md.

    A README.md without the card's last line is yours, and is kept.

    `create_model("./folder")` rebuilds it, and so does `timm.create_model("local-dir:folder", pretrained=True)`, after `import
    resnetlib.timm_models` if timm lacks the network. The tensors have timm's names, which are torchvision's for all but
    pre-activation networks.

    Args:
        net: the network, also within `torch.compile`, `DataParallel`, `DistributedDataParallel` or `AveragedModel`. Its classifier
            may be a linear layer of your own, or a `Sequential` of dropout and such a layer, which is saved without the dropout.
        folder: the folder, which is created if it does not exist.
        classes: the names of the logits; by default `net.classes`.
        pretrained_cfg: the config of the weights; by default it has the spec, the classes, the preprocessing, and the license and
            origin of the weights that the network was created with.
        overwrite: replace a network in the folder. If the process is killed, the folder still holds the old or the new one.

    Raises:
        FileExistsError: if the folder already holds a network, unless `overwrite`.
        ValueError: if the config does not describe the network, a module of the network was replaced, the number of classes is not
            that of the logits, or a number is not finite.
        RuntimeError: if another thread analyzes the network.

    Example:
        >>> import tempfile
        >>> from resnetlib import create_model
        >>> net = create_model("resnet18", num_classes=2)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_model(net, folder, classes=["cat", "dog"])
        ...     create_model(f"{folder}/").classes
        ('cat', 'dog')
    """
    if not str(folder):
        raise InputError("folder must be a path, got ''; the current folder is '.'")
    folder = local_path(folder)
    check_writable(folder)
    existing = [name for name in (CONFIG, *WEIGHTS_NAMES) if (folder / name).exists()]
    if existing and not overwrite:
        raise ExistingFileError(f"{folder} holds {', '.join(existing)} already: give another folder, or overwrite=True")
    net = _network_in(net)
    cfg, files = _encode(net, classes, pretrained_cfg)
    folder.mkdir(parents=True, exist_ok=True)
    readme = folder / CARD
    if not readme.is_file() or _MARK in readme.read_bytes():
        files[CARD] = model_card(cfg, f"./{folder.name}", num_classes=net.num_classes)
    write_together(folder, files)


def push_to_hub(
    net: Backbone,
    repo: str,
    *,
    classes: Sequence[str] | None = None,
    pretrained_cfg: PretrainedConfig | None = None,
    revision: str = "main",
    private: bool | None = None,
    message: str = "Upload a network of resnetlib",
) -> str:
    """Save a network and upload it to the Hugging Face Hub.

    Log in with `hf auth login` or `HF_TOKEN`; `HF_ENDPOINT` selects a mirror, as everywhere in huggingface_hub.
    A README.md of your own in the repository is kept, as in `save_model`.

    Args:
        net: the network.
        repo: `org/name`, which is created if it does not exist.
        classes: as in `save_model`.
        pretrained_cfg: as in `save_model`.
        revision: the branch.
        private: whether a new repository is private; None for the organization's default.
        message: the commit message.

    Returns:
        The commit's hash, which identifies these weights permanently.

    Raises:
        ValueError: as in `save_model`, or if `repo` is not a valid name.
        OSError: if the hub refuses the upload, or cannot be reached.
    """
    from httpx2 import HTTPError
    from huggingface_hub import HfApi, constants
    from huggingface_hub.errors import EntryNotFoundError, HFValidationError, LocalEntryNotFoundError

    net = _network_in(net)
    cfg, files = _encode(net, classes, pretrained_cfg)  # fails before anything is created on the hub
    api = HfApi(endpoint=constants.ENDPOINT, library_name=LIBRARY)
    try:
        with tempfile.TemporaryDirectory() as folder, guarded():
            repo = api.create_repo(repo, private=private, exist_ok=True).repo_id
            place = f"hf-hub:{repo}{f'@{revision}' if revision != 'main' else ''}"
            if revision != "main":
                api.create_branch(repo, branch=revision, exist_ok=True)
            try:
                generated = _MARK in Path(api.hf_hub_download(repo, CARD, revision=revision, local_dir=folder)).read_bytes()
            except EntryNotFoundError as error:
                if isinstance(error, LocalEntryNotFoundError):  # the hub did not answer
                    raise DownloadError(f"the README.md of {repo} cannot be read: {printable(error)}") from error
                generated = True
            if generated:
                files[CARD] = model_card(cfg, place, num_classes=net.num_classes)
            write_together(Path(folder), files)
            commit = api.upload_folder(repo_id=repo, folder_path=folder, revision=revision, commit_message=message)
    except HFValidationError as error:
        raise InputError(printable(error)) from error
    except HTTPError as error:
        if isinstance(error, OSError):  # the hub answered
            raise
        raise DownloadError(
            f"{constants.ENDPOINT} cannot be reached: {printable(error)}. Check the network, its proxy and HF_ENDPOINT."
        ) from error
    return str(commit.oid)


def _encode(
    net: Backbone, classes: Sequence[str] | None, cfg: PretrainedConfig | None
) -> tuple[PretrainedConfig, dict[str, bytes]]:
    """Return the pretrained config, and the contents of weights and config.json in the order in which to replace the files."""
    if not isinstance(cfg, PretrainedConfig | None):
        raise InputTypeError(f"pretrained_cfg must be a PretrainedConfig, got {type(cfg).__name__}")
    with in_use(net, exclusive=False):
        _check_tensors(net)
        linear = _linear(net.get_classifier())
        _check_unchanged(net, linear)
        base = cfg or _default_config(net)
        names = base.classes if classes is None else check_names("classes", classes)
        cfg = replace(
            base,
            classes=names,
            class_ids=base.class_ids if names == base.classes else None,
            params=base.params or sum(parameter.numel() for parameter in net.parameters()),
        )
        check_pretrained_config(cfg, net)
        head = net.classifier_name + "."
        state = {key: tensor for key, tensor in net.state_dict().items() if not key.startswith(head)}
        state |= {head + key: tensor for key, tensor in linear.state_dict().items()}
        if timm_name(net.spec) is not None:
            state = to_dialect(state, net.spec, "timm")
        weights = encode_state(state, cfg)
    config = config_of(cfg, num_classes=net.num_classes, in_chans=net.in_chans, num_features=net.num_features)
    return cfg, {WEIGHTS_NAMES[0]: weights, CONFIG: (json.dumps(config, indent=2) + "\n").encode()}


def model_card(cfg: PretrainedConfig, place: str, *, num_classes: int) -> bytes:
    """Return the card, Markdown with the hub's header; `place` is the argument of `create_model`."""
    rows = {
        "spec": f"`{cfg.spec}`",
        "classes": f"{num_classes:,}",
        "parameters": cfg.params is not None and f"{cfg.params:,}",
        "multiply-accumulates": cfg.gmacs is not None and f"{cfg.gmacs:.3f} G",
    }
    if (steps := cfg.preprocess) is not None:
        rows["input"] = f"resize to {steps.resize} ({steps.interpolation}), crop {steps.size} x {steps.size}"
        rows["mean, deviation"] = f"{steps.mean}, {steps.std}"
    rows |= {
        "top-1": cfg.top1 is not None and f"{cfg.top1:g} %",
        "top-5": cfg.top5 is not None and f"{cfg.top5:g} %",
        "evaluated on": cfg.evaluated_on,
        "recipe": cfg.recipe,
        "license": cfg.license,
        "origin": cfg.origin,
    }
    table = [f"| {what} | {text if what == 'spec' else _cell(text)} |" for what, text in rows.items() if text]
    license_ = cfg.license.lower() if cfg.license.lower() in _HUB_LICENSES else "other"
    header = _HEADER.format(
        timm="" if timm_name(cfg.spec) is None else "- timm\n",
        license=f"license: {license_}\n" if cfg.license else "",
        title=_cell(cfg.full_name or "A network of resnetlib"),
    )
    predict = "predictions = resnetlib.classify(net, [image])  # a PIL image\n" if cfg.preprocess is not None else ""
    use = _USE.format(place=json.dumps(printable(place, 1000), ensure_ascii=False), predict=predict)
    card = header + "\n".join(["| | |", "|-|-|", *table]) + "\n" + use
    return card.encode(errors="backslashreplace") + b"\n" + _MARK + b"\n"


def _cell(text: str) -> str:
    """Escape an untrusted text, so that the cell of a table shows it literally."""
    return re.sub(r"([\\|\[\]`])", r"\\\1", escape(printable(" ".join(text.split()), 2000), quote=False))


def _default_config(net: Backbone) -> PretrainedConfig:
    """Return the config of weights that may have been trained further: without tag, accuracy and recipe."""
    began = net.pretrained_cfg
    return PretrainedConfig(
        name=name_of(net.spec),
        tag="",
        spec=net.spec,
        classes=net.classes,
        class_ids=began.class_ids if began.classes == net.classes else None,
        preprocess=net.preprocess,
        license=began.license,
        origin=f"began as {began.full_name}; {began.origin}".rstrip("; ") if began.tag else began.origin,
    )


def _network_in(net: nn.Module) -> Backbone:
    """Return the network in a wrapper; raise InputTypeError for a wrapper that holds it in another form, and for other modules."""
    net = unwrapped(net) if isinstance(net, nn.Module) else net
    for base in type(net).__mro__:
        if base.__name__ in _FORMS:
            raise InputTypeError(f"a {type(net).__name__} cannot be saved as it is: {_FORMS[base.__name__]}")
    return check_network(net, compiled=False)


def _check_tensors(net: Backbone) -> None:
    """Raise ValueError for sharded and for quantized parameters."""
    for name, parameter in net.named_parameters():
        kind = type(parameter.data)
        if hasattr(parameter, "full_tensor"):
            raise InputError(
                f"{name} is sharded over processes, as by FSDP2. On all of them, gather the weights: "
                "state = get_model_state_dict(net, options=StateDictOptions(full_state_dict=True)), from "
                "torch.distributed.checkpoint.state_dict; then, on one, create the same network again, and call "
                "load_state(plain, state) and save_model(plain, folder)"
            )
        if kind is not torch.Tensor:
            raise InputError(
                f"{name} is a {kind.__name__}, as in a quantized network: save it with torch.save(net.state_dict(), path), and "
                "load it with build(spec, device='meta') and load_state_dict(state, assign=True)"
            )


def _linear(classifier: nn.Module) -> nn.Module:
    """Return the linear layer of a classifier that has only this layer and dropout; else the classifier itself."""
    layers = [module for module in classifier.modules() if not isinstance(module, nn.Sequential | nn.Dropout | nn.Identity)]
    return layers[0] if len(layers) == 1 and type(layers[0]) is nn.Linear else classifier


def _check_unchanged(net: Backbone, linear: nn.Module) -> None:
    """Raise ValueError if the network has other modules than its spec, from which it is rebuilt.

    Stochastic depth, dropout, the momentum of batch norms, frozen batch norms and dilation may differ; `linear` is the classifier.
    """
    built = build(net.spec, num_classes=net.num_classes, in_chans=net.in_chans, output_stride=net.output_stride, device="meta")
    if type(built) is not type(net):
        raise InputError(f"the spec is a {type(built).__name__}'s, but the network is a {type(net).__name__}: it cannot be rebuilt")
    head = net.classifier_name
    ours, theirs = dict(net.named_modules()), dict(built.named_modules())
    if linear is not ours[head]:
        ours = {name: module for name, module in ours.items() if not name.startswith(head)} | {head: linear}
    for name in filter(None, theirs | ours):  # without the network itself, whose type was compared
        a, b = _described(ours.get(name)), _described(theirs.get(name))
        if a != b:
            raise InputError(
                f"the network was changed: {name} is {a}, but {b} in its spec. To keep the change, {_how_to_save(net)}"
            )


def _how_to_save(net: Backbone) -> str:
    """Return advice on saving a modified network."""
    names = [name for name, _ in net.named_parameters()]
    if any(name.endswith("_orig") for name in names):
        return "make the pruning permanent with torch.nn.utils.prune.remove(module, 'weight'), and save the network again"
    if any(".parametrizations." in name for name in names):
        return "make it plain with torch.nn.utils.parametrize.remove_parametrizations(module, 'weight'), and save it again"
    origins = {type(module).__module__ for module in net.modules()}
    if any(origin.startswith("peft.") for origin in origins):
        return "merge the adapters with merge_and_unload() of the PeftModel, and save the network that it returns"
    if any(origin.startswith(("torch.ao.", "torchao.")) for origin in origins):
        return "save the state_dict of the quantized network, and quantize another one in the same way to load it"
    return "save all of it with torch.save(net, path), which torch.load(path, weights_only=False) reads, or save its state_dict"


def _described(module: nn.Module | None) -> str:
    """Describe a module's type, its options in evaluation, and the shapes of its parameters."""
    if module is None:
        return "missing"
    kind = type(module).__name__.removeprefix("Stochastic").removeprefix("Frozen")
    options = "" if isinstance(module, Join | nn.Dropout) else re.sub("momentum=[^,]*", "", module.extra_repr())
    shapes = "".join(f" {name} {tuple(tensor.shape)}" for name, tensor in module.named_parameters(recurse=False))
    return f"{kind}({options}){shapes}"
