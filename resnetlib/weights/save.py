"""Saving a network so that it can be rebuilt from the folder alone, here and elsewhere; and pushing that folder to the hub."""

import json
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from resnetlib.config import Preprocessing, PretrainedConfig
from resnetlib.disk import write_together
from resnetlib.modules import Backbone
from resnetlib.weights.card import model_card
from resnetlib.weights.configs import config_of, timm_name
from resnetlib.weights.dialects.compare import name_of
from resnetlib.weights.dialects.rename import to_dialect
from resnetlib.weights.files import check_pretrained_config, encode_state
from resnetlib.weights.find import CONFIG, WEIGHTS_NAMES
from resnetlib.weights.unchanged import check_unchanged

CARD = "README.md"


def save_model(
    net: Backbone,
    folder: str | Path,
    *,
    classes: Sequence[str] | None = None,
    pretrained_cfg: PretrainedConfig | None = None,
    overwrite: bool = False,
) -> None:
    """Write a network into a folder: config.json, model.safetensors and a model card, README.md.

    `create_model("./folder")` rebuilds it, and so does `timm.create_model("local-dir:folder", pretrained=True)` where timm has the
    network; names of tensors are then timm's, which are torchvision's for all but pre-activation networks.

    Args:
        net: the network; any that `build` can build.
        folder: where; it is made if it is not there.
        classes: what the logits stand for; the network's own `classes` by default.
        pretrained_cfg: what the files say of the weights. By default the spec, the classes, the preprocessing, and
            the licence and the name of the weights that the network began with.
        overwrite: replace what the folder holds of an earlier network. That one stays, whole, until the new one is on the disk.

    Raises:
        FileExistsError: if the folder holds weights, unless `overwrite`.
        ValueError: if the pretrained config is another network's, the network was changed since it was built, there are more or
            fewer classes than logits, or a number is not finite.

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
        raise ValueError("folder must be a path, got ''; the current folder is '.'")
    pretrained_cfg = _described(net, classes, pretrained_cfg)
    folder = Path(folder)
    there = [name for name in (CONFIG, *WEIGHTS_NAMES) if (folder / name).exists()]
    if there and not overwrite:
        raise FileExistsError(f"{folder} holds {', '.join(there)} already: give another folder, or overwrite=True")
    files = {**_encoded(net, pretrained_cfg), **_card(net, pretrained_cfg, f"./{folder.name}")}
    folder.mkdir(parents=True, exist_ok=True)
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
    """Save a network, and upload it to the Hugging Face Hub.

    The token, and a mirror's address, are huggingface_hub's own: `hf auth login` or `HF_TOKEN`, and `HF_ENDPOINT`.

    Args:
        net: the network.
        repo: `org/name`; it is made if it is not there.
        classes: as in `save_model`.
        pretrained_cfg: as in `save_model`.
        revision: the branch.
        private: whether a new repository is; the organisation's default if None.
        message: of the commit.

    Returns:
        The commit, by which these very weights are found for ever.

    Raises:
        ValueError: as in `save_model`, and for a name that no repository can have.
        OSError: if the hub refuses it, or cannot be reached.
    """
    from huggingface_hub import HfApi, constants

    from resnetlib.weights.fetch.guard import LIBRARY, guarded

    pretrained_cfg = _described(net, classes, pretrained_cfg)
    files = _encoded(net, pretrained_cfg)  # before anything is made on the hub
    with tempfile.TemporaryDirectory() as folder, guarded():
        api = HfApi(endpoint=constants.ENDPOINT, library_name=LIBRARY)
        repo = api.create_repo(repo, private=private, exist_ok=True).repo_id
        card = _card(net, pretrained_cfg, f"hf-hub:{repo}{f'@{revision}' if revision != 'main' else ''}")
        write_together(Path(folder), {**files, **card})
        if revision != "main":
            api.create_branch(repo, branch=revision, exist_ok=True)
        commit = api.upload_folder(repo_id=repo, folder_path=folder, revision=revision, commit_message=message)
    return str(commit.oid)


def _encoded(net: Backbone, pretrained_cfg: PretrainedConfig) -> dict[str, bytes]:
    """Return the contents of the weights and of the config, in the order in which they must be given their names."""
    state = net.state_dict()
    if timm_name(net.spec) is not None:
        state = to_dialect(state, net.spec, "timm")
    config = config_of(pretrained_cfg, num_classes=net.num_classes, in_chans=net.in_chans, num_features=net.num_features)
    return {WEIGHTS_NAMES[0]: encode_state(state, pretrained_cfg), CONFIG: (json.dumps(config, indent=2) + "\n").encode()}


def _card(net: Backbone, pretrained_cfg: PretrainedConfig, place: str) -> dict[str, bytes]:
    in_timm = timm_name(net.spec) is not None
    return {CARD: model_card(pretrained_cfg, place, num_classes=net.num_classes, in_timm=in_timm).encode(errors="backslashreplace")}


def _described(net: Backbone, classes: Sequence[str] | None, pretrained_cfg: PretrainedConfig | None) -> PretrainedConfig:
    """Return what is said of a network, once it is seen to be true of it."""
    if not isinstance(net, Backbone):
        raise TypeError(f"net must be a network of this library, got {type(net).__name__}; of a wrapper, give net.module")
    if isinstance(classes, str):
        raise ValueError(f"classes must be a sequence of names, got the one str {classes!r}")
    if net.preprocess is not None and not isinstance(net.preprocess, Preprocessing):
        kind = type(net.preprocess).__name__
        raise ValueError(f"net.preprocess is a {kind}, and only a Preprocessing can be written: set it to one, or to None")
    check_unchanged(net)
    base = pretrained_cfg or _certain(net)
    names = tuple(classes) if classes is not None else base.classes
    pretrained_cfg = replace(
        base,
        classes=names,
        class_ids=base.class_ids if names == base.classes else None,
        params=base.params or sum(parameter.numel() for parameter in net.parameters()),
    )
    check_pretrained_config(pretrained_cfg, net)
    return pretrained_cfg


def _certain(net: Backbone) -> PretrainedConfig:
    """Return what is certain of a network's weights: what it is, and what those were with which it began."""
    base: PretrainedConfig | None = net.pretrained_cfg
    began = f"began as {base.full_name}; {base.origin}".rstrip("; ") if base is not None and base.tag else ""
    return PretrainedConfig(
        name=name_of(net.spec),
        tag="",
        spec=net.spec,
        classes=net.classes,
        class_ids=base.class_ids if base is not None and base.classes == net.classes else None,
        preprocess=net.preprocess,
        license=base.license if base is not None else "",
        origin=began or (base.origin if base is not None else ""),
    )
