"""Token bytes -> text, as it grows: half characters wait, stop texts end it."""

import codecs
from collections.abc import Sequence


class TextAssembler:
    """Joins the byte pieces of tokens into text and watches for stop texts.

    Args:
        stop: the answer ends before the first of these that appears.
    """

    def __init__(self, stop: Sequence[str] = ()) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._stop = tuple(stop)
        self._longest_stop = max((len(s) for s in stop), default=0)
        self.text = ""
        self.stopped = False
        self._released = 0

    def add(self, piece: bytes) -> None:
        """Take the next token's bytes. Does nothing once stopped."""
        self._append(self._decoder.decode(piece))

    def finish(self) -> None:
        """No more bytes follow: an unfinished character becomes U+FFFD."""
        self._append(self._decoder.decode(b"", final=True))

    def release(self, *, final: bool = False) -> str:
        """Text that no later stop can take back and that was not released before."""
        end = len(self.text) if final or self.stopped else len(self.text) - self._held_back()
        fresh = self.text[self._released : end]
        self._released = max(self._released, end)
        return fresh

    def _append(self, more: str) -> None:
        if self.stopped or not more:
            return
        search_from = max(0, len(self.text) - self._longest_stop + 1)
        self.text += more
        found = [at for s in self._stop if (at := self.text.find(s, search_from)) >= 0]
        if found:
            self.text = self.text[: min(found)]
            self.stopped = True

    def _held_back(self) -> int:
        """Length of the longest end of the text that may be the beginning of a stop text."""
        longest = min(len(self.text), max(self._longest_stop - 1, 0))
        for length in range(longest, 0, -1):
            tail = self.text[-length:]
            if any(s.startswith(tail) for s in self._stop):
                return length
        return 0
