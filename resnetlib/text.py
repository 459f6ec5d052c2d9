"""Text from files and servers, made safe to print."""


def printable(text: object, limit: int = 200, *, lines: bool = False) -> str:
    r"""Escape control characters, and cut the text to a length.

    Escape sequences, carriage returns and characters that change the direction of writing could rewrite what a terminal shows, so
    everything from a file or a server passes through here before it stands in a message.

    Args:
        text: any text, or an object that is shown by its `str`.
        limit: the most characters to return; what is cut is counted.
        lines: keep line breaks.

    Returns:
        The text on one line, unless `lines`.

    Example:
        >>> printable("cat\x1b[2J\r\n")
        'cat\\x1b[2J\\r\\n'
        >>> printable("a" * 1000, limit=30)
        'aaaaa... (1,000 characters)'
    """
    whole = str(text)
    shown = "".join(
        char if char.isprintable() or (lines and char == "\n") else char.encode("unicode_escape", "surrogatepass").decode()
        for char in whole[:limit]
    )
    if len(whole) <= limit and len(shown) <= limit:
        return shown
    more = f"... ({len(whole):,} characters)"
    return shown[: max(0, limit - len(more))] + more
