"""Escape text from files and servers, so that it is safe to print."""


def printable(text: object, limit: int = 200, *, lines: bool = False) -> str:
    r"""Escape control characters, and truncate the text.

    Escape sequences, carriage returns and bidirectional controls could rewrite what a terminal shows, so all text from files and
    servers is escaped before it appears in a message.

    Args:
        text: any text, or another object, which is converted to str.
        limit: the most characters to return.
        lines: whether to keep line breaks.

    Returns:
        The escaped text.

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
