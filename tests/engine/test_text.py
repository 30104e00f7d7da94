"""Text that grows token by token is the text that all bytes together would give."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.engine.text import TextAssembler

texts = st.text(alphabet="abé😀\n", max_size=30)
stops = st.lists(st.text(alphabet="abé", min_size=1, max_size=3), max_size=3)


def assemble(data: bytes, sizes: list[int], stop: list[str]) -> tuple[str, str, bool]:
    """The final text, the released pieces joined, and whether a stop text was met."""
    assembler = TextAssembler(stop)
    released = ""
    start = 0
    for size in [*sizes, len(data)]:
        assembler.add(data[start : start + size])
        start += size
        released += assembler.release()
    assembler.finish()
    released += assembler.release(final=True)
    return assembler.text, released, assembler.stopped


@given(texts, st.lists(st.integers(1, 4)))
def test_pieces_join_whatever_their_size(text: str, sizes: list[int]) -> None:
    assert assemble(text.encode(), sizes, []) == (text, text, False)


@given(texts, st.lists(st.integers(1, 4)), stops)
def test_it_ends_before_the_first_stop_and_takes_nothing_back(
    text: str, sizes: list[int], stop: list[str]
) -> None:
    found, released, stopped = assemble(text.encode(), sizes, stop)
    assert released == found
    assert stopped == any(s in text for s in stop)
    assert text.startswith(found)
    assert not any(s in found for s in stop)


@given(st.binary(max_size=20), st.lists(st.integers(1, 3)))
def test_broken_bytes_become_replacement_characters(data: bytes, sizes: list[int]) -> None:
    assert assemble(data, sizes, [])[0] == data.decode("utf-8", errors="replace")
