"""What may be shown of an address: not what may be a password or a key."""

import re
from urllib.parse import urlsplit

from resnetlib.text import printable


def without_secrets(url: str) -> str:
    """Return a URL without what may be a password or a key: the user's name, and what follows a question mark.

    Args:
        url: any.

    Returns:
        What may be shown.

    Example:
        >>> without_secrets("https://me:password@example.org/w.pth?key=1")
        'https://example.org/w.pth'
    """
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def showable(text: str) -> str:
    """Return a sentence of somebody else, escaped and cut, without the secrets of the URLs in it.

    Args:
        text: any.

    Returns:
        What may be shown.

    Example:
        >>> showable("no answer from 'https://me:password@example.org/w.pth?key=1': timed out")
        "no answer from 'https://example.org/w.pth': timed out"
    """
    text = re.sub(r"(\w://)[^\s/?#'\"]*@", r"\1", text[:5000].strip())
    text = re.sub(r"(\w://[^\s?#'\"]*)[?#][^\s'\"]*?(?=:?(?:[\s'\"]|$))", r"\1", text)
    return printable(text, 300)
