"""Text from files and servers, made safe to print."""

from hypothesis import given
from hypothesis import strategies as st

from resnetlib.errors import printable

ANY = st.text(st.characters(codec=None) | st.characters(categories=["Cs"]))


@given(ANY, st.integers(40, 300))
def test_what_is_shown_is_printable_and_short(text: str, limit: int) -> None:
    shown = printable(text, limit)
    assert shown.isprintable()
    assert len(shown) <= limit
    shown.encode()  # surrogates are escaped too


@given(ANY)
def test_lines_stay_lines(text: str) -> None:
    assert all(line.isprintable() for line in printable(text, 10**6, lines=True).split("\n"))


@given(st.text(st.characters(categories=["L", "N", "P", "S"]), max_size=200))
def test_plain_text_stays_as_it_is(text: str) -> None:
    assert printable(text) == text
