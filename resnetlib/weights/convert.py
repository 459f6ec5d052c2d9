"""From one dialect to another."""

from pathlib import Path

from resnetlib.models.spec import Spec
from resnetlib.weights.dialects import infer_spec, recognise, to_dialect
from resnetlib.weights.files import read_weights, write_state


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
        ValueError: if the source cannot be understood, or the dialect has no such network.

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
    if found.unknown:
        raise ValueError(f"{source} holds names that {' or '.join(found.dialects)} has not: {', '.join(found.unknown[:8])}")
    if spec is None:
        spec = file.contract.spec if file.contract is not None else infer_spec(found, dialect=dialect).spec
    write_state(to_dialect(found.state, spec, to), target)
    return spec
