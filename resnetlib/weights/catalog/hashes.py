"""Files whose names end in the first digits of their SHA-256, and all 64 digits where they are known."""

import re
from collections.abc import Mapping
from types import MappingProxyType

from resnetlib.config import UrlFile

_PREFIX = re.compile(r"-([0-9a-f]{8})\.\w+$")

SHA256: Mapping[str, str] = MappingProxyType(
    {
        "densenet121-a639ec97.pth": "a639ec97d7c33b07ae66f0b5fb7d0192f95a3b11b7576c66c0126c2a727c4395",
        "resnet18-f37072fd.pth": "f37072fd47e89c5e827621c5baffa7500819f7896bbacec160b1a16c560e07ec",
        "resnet34-b627a593.pth": "b627a593bcbe140c234610266fe4f8ae95ea42fc881d091c9b6052e6b1d0590f",
        "resnet50-0676ba61.pth": "0676ba61b6795bbe1773cffd859882e5e297624d384b6993f7c9e683e722fb8a",
        "resnet50-11ad3fa6.pth": "11ad3fa62ca79e40addfd354a8ec4b7c75143b3038b8d2a807fbc68deab379ca",
        "resnet101-63fe2227.pth": "63fe2227b86e8f1f2063f43a75c84d195911b6a0eace650907dd3dc62dd49a0a",
        "resnet101-cd907fc2.pth": "cd907fc2a0de2292b2ba2b27d2216bc672d84632d1cf20058d01c0c03b5e020e",
        "resnet152-394f9c45.pth": "394f9c45966e3651a89bbb78a48410a6755854ce4a5ab64927cf1c7247f85e58",
        "wide_resnet50_2-95faca4d.pth": "95faca4d11227dddf8633dbb5ff6c8a9003c1aa5b8945c73834b8007b10950b8",
        "wide_resnet101_2-32ee1156.pth": "32ee11565f95f2f07223b243ada444a6457c4b90a88e6e293922813faf6dfd06",
        "resnet18_a1_0-d63eafa0.pth": "d63eafa07a6e32a39d328e364f8c9f89d671444ecc7f02aa0f7eb8882af3dd29",
        "resnet18_a2_0-b61bd467.pth": "b61bd467647a03d3f7db590a1158552d2e66bf5ba62c2158ca9594c03de49923",
        "resnet18_a3_0-40c531c8.pth": "40c531c8324d963735b0c7ab9a9b2d7715c573a04d0b95776d29cc816a2ef93e",
        "resnet26-9aa10e23.pth": "9aa10e237cec57dcaa067ee38d19ffc38a6323d185ef8a9903434291fd4187cb",
        "resnet34_a1_0-46f8f793.pth": "46f8f7930534e471b9a139b278896db5d11d17b8ea3fcc90ad43deed9e5e27d7",
        "resnet34_a2_0-82d47d71.pth": "82d47d71dafac5343b070e5883c41321b45e4759bfe6aa25d375300c38b386a0",
        "resnet34_a3_0-a20cabb6.pth": "a20cabb63e1baf7963ede853c5a38046aede79a7e675d3576714b59cb4ab7519",
        "resnet34-43635321.pth": "436353219a11d07c7c74cf1a686ed3b02f6c954d4c7863e2046822e047c6f246",
        "resnet101_a1_0-cdcb52a9.pth": "cdcb52a9df09a641606696e5520e4fbbe8256ee4983d8b4dd1a1ef87a9b8846f",
        "resnet20-12fca82f.th": "12fca82f0bebc4135bf1f32f6e3710e61d5108578464b84fd6d7f5c1b04036c8",
        "resnet32-d509ac18.th": "d509ac1820d7f25398913559d7e81a13229b1e7adc5648e3bfa5e22dc137f850",
        "resnet44-014dd654.th": "014dd6541728a1c700b1642ab640e211dc6eb8ed507d70697458dc8f8a0ae2e4",
        "resnet56-4bfd9763.th": "4bfd97631478d6b638d2764fd2baff3edb1d7d82252d54439343b6596b9b5367",
        "resnet110-1d1ed7c2.th": "1d1ed7c27571399c1fef66969bc4df68d6a92c8e6c41170f444e120e5354e3bc",
        "resnet1202-f3b1deed.th": "f3b1deed382cd4c986ff8aa090c805d99a646e99d1f9227d7178183648844f62",
    }
)
"""File name -> SHA-256 of the contents, as those who downloaded the file have published it."""


def named_file(url: str, *, dialect: str, mib: float | None = None) -> UrlFile:
    """Describe a file by its URL, and by the hash that its name promises.

    Args:
        url: where it is; its name ends in `-`, eight hexadecimal digits, and an extension.
        dialect: the names of its tensors.
        mib: its published size, in MiB.

    Returns:
        The source.

    Raises:
        ValueError: for a name without these digits.

    Example:
        >>> named_file("https://download.pytorch.org/models/densenet169-b2777c0a.pth", dialect="torchvision-legacy").sha256
        'b2777c0a'
    """
    prefix = _PREFIX.search(url)
    if prefix is None:
        raise ValueError(f"a file's name must end in -, eight hexadecimal digits, and an extension, got {url!r}")
    return UrlFile(url=url, sha256=SHA256.get(url.rpartition("/")[2], prefix[1]), mib=mib, dialect=dialect)
