"""Files with a URL that ends in the first eight digits of their SHA-256."""

import re
from functools import cache
from importlib.resources import files

from resnetlib.config import UrlFile
from resnetlib.errors import InputError

_PREFIX = re.compile(r"-([0-9a-f]{8})\.\w+$")


@cache
def sha256_sums() -> dict[str, str]:
    """Read the hashes that are known in full: file name -> SHA-256."""
    lines = files("resnetlib.weights.catalog").joinpath("sha256sums.txt").read_text(encoding="utf-8").splitlines()
    return {name: sha256 for sha256, name in map(str.split, lines)}


def url_file(url: str, *, dialect: str, mib: float | None = None) -> UrlFile:
    """Return the source behind a URL, with its full SHA-256 where that is known, otherwise the eight digits in its name."""
    prefix = _PREFIX.search(url)
    if prefix is None:
        raise InputError(f"a file's name must end in -, eight hexadecimal digits, and an extension, got {url!r}")
    return UrlFile(url=url, sha256=sha256_sums().get(url.rpartition("/")[2], prefix[1]), mib=mib, dialect=dialect)
