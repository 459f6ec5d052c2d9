"""From one dialect to another."""

from pathlib import Path

from resnetlib.models import Spec, build
from resnetlib.weights.dialects import check_size, check_spec, infer_spec, recognise, simplest, to_dialect
from resnetlib.weights.files import read_weights, write_state
from resnetlib.weights.load import channels_in, classes_in, fitting


def convert_file(
    source: str | Path,
    target: str | Path,
    to: str,
    *,
    dialect: str | None = None,
    spec: Spec | None = None,
    overwrite: bool = False,
) -> Spec:
    """Write the weights in a file as safetensors, under the names of another dialect.

    Args:
        source: the file, in any dialect.
        target: the file to write.
        to: the dialect of its names.
        dialect: whose names the source has; None to find it out.
        spec: the architecture, where file and dialect do not tell it.
        overwrite: replace a target that is there.

    Returns:
        The architecture of the network.

    Raises:
        FileExistsError: if the target is there, unless `overwrite`.
        ValueError: if the source cannot be understood or is of another network, or the dialect has no such network.

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
    if Path(target).exists() and not overwrite:
        raise FileExistsError(f"{target} is there already: give another name, or say that it may be replaced")
    file = read_weights(source)
    found = recognise(file.state, dialect=dialect)
    if spec is None:
        spec = file.pretrained_cfg.spec if file.pretrained_cfg is not None else infer_spec(found, dialect=dialect).spec
    elif file.pretrained_cfg is not None and simplest(file.pretrained_cfg.spec) != simplest(spec):
        raise ValueError(f"{source} says that it is of another network:\n  {file.pretrained_cfg.spec}\n  {spec}")
    check_size(found, spec, source=str(source))
    check_spec(found, spec, source=str(source))
    net = build(spec, num_classes=classes_in(found), in_chans=channels_in(found), device="meta")
    state = fitting(net, found, found.state, source=str(source))
    write_state(to_dialect({key: state[key] for key in net.state_dict()}, spec, to), target, file.pretrained_cfg)
    return spec
