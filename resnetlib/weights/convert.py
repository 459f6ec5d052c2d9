"""Convert a file of weights from one dialect to another."""

from pathlib import Path

from resnetlib.disk import local_path
from resnetlib.errors import ExistingFileError
from resnetlib.models import Spec, build
from resnetlib.weights.dialects.rename import resolve_dialect, to_dialect
from resnetlib.weights.files import read_weights, write_state
from resnetlib.weights.find import Found, recognize
from resnetlib.weights.load import match_state_dict


def convert_file(
    source: str | Path,
    target: str | Path,
    to: str,
    *,
    dialect: str | None = None,
    prefix: str | None = None,
    spec: Spec | None = None,
    overwrite: bool = False,
) -> Spec:
    """Write the weights in a file as safetensors, with the names of another dialect.

    Args:
        source: the file, in any dialect.
        target: the file to write.
        to: the dialect of the new names.
        dialect: of the names in the source; None to detect it.
        prefix: of the network's names in the source, if it holds several networks.
        spec: of the network; None to take it from the file, or to infer it.
        overwrite: replace an existing target.

    Returns:
        The spec of the network.

    Raises:
        FileExistsError: if the target exists, unless `overwrite`.
        ValueError: if the source does not fit the network, or the dialect has no such network.

    Example:
        >>> import tempfile
        >>> import torch
        >>> from resnetlib import create_model
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     torch.save(create_model("resnet18").state_dict(), f"{folder}/w.pth")
        ...     spec = convert_file(f"{folder}/w.pth", f"{folder}/w.safetensors", "transformers")
        ...     sorted(read_weights(f"{folder}/w.safetensors").state)[:2]
        ['classifier.1.bias', 'classifier.1.weight']
    """
    resolve_dialect(to)
    if local_path(target).exists() and not overwrite:
        raise ExistingFileError(f"{target} exists already: give another name, or overwrite=True (--overwrite)")
    file, label = read_weights(source), str(source)
    known = file.pretrained_cfg.spec if file.pretrained_cfg else None
    found, spec = recognize(Found(label=label, spec=known, file=file, dialect=dialect, prefix=prefix), spec)
    net = build(spec, num_classes=found.num_classes, in_chans=found.in_chans, device="meta")
    state = match_state_dict(net, found, source=label)
    write_state(to_dialect({key: state[key] for key in net.state_dict()}, spec, to), target, file.pretrained_cfg)
    return spec
