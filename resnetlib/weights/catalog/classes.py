"""The 1000 classes of ImageNet-1k, in the order of the logits."""

from functools import cache
from importlib.resources import files


def imagenet_classes() -> tuple[str, ...]:
    """Name the classes, with torchvision's words.

    Returns:
        1000 names, all different.

    Source:
        arXiv 1409.0575, the classification task of 2012; torchvision's names.

    Example:
        >>> imagenet_classes()[:3]
        ('tench', 'goldfish', 'great white shark')
    """
    return _columns()[1]


def imagenet_ids() -> tuple[str, ...]:
    """Identify the classes by WordNet's numbers, which are also the names of the data set's folders.

    Returns:
        1000 identifiers, in alphabetical order, which is that of the logits.

    Source:
        arXiv 1409.0575; WordNet 3.0.

    Example:
        >>> imagenet_ids()[:3]
        ('n01440764', 'n01443537', 'n01484850')
    """
    return _columns()[0]


@cache
def _columns() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Read the identifiers and the names."""
    lines = files("resnetlib.weights.catalog").joinpath("imagenet_classes.tsv").read_text(encoding="utf-8").splitlines()
    ids, names = zip(*(line.split("\t") for line in lines), strict=True)
    return ids, names
