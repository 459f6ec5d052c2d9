"""Make text from files and servers safe to print."""


def printable(text: object, limit: int = 200, *, lines: bool = False) -> str:
    """Escape control characters, except line breaks if `lines` is True, and truncate the text to `limit` characters.

    Escape sequences, carriage returns and bidirectional controls can change what a terminal shows, so all text from files and
    servers is escaped before it is part of a message.
    """
    whole = str(text)
    if whole.isprintable() and len(whole) <= limit:
        return whole
    shown = "".join(
        char if char.isprintable() or (lines and char == "\n") else char.encode("unicode_escape", "surrogatepass").decode()
        for char in whole[:limit]
    )
    if len(whole) <= limit and len(shown) <= limit:
        return shown
    more = f"... ({len(whole):,} characters)"
    return shown[: max(0, limit - len(more))] + more
