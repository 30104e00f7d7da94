"""Files that a loaded model goes on reading: whoever writes into one changes what is computed.

llama.cpp and safetensors map weights into memory, so that a page may be read from the file long
after it was opened. One that is replaced (`mv`, a download that is renamed) is not touched by that:
the old file stays until nobody uses it.
"""

import os
from collections.abc import Iterable
from pathlib import Path

from gateway.core.errors import BackendError, ModelLoadError
from gateway.core.files import stamp


class SeenFiles:
    """What the files of a model were before they were digested and loaded; one that is not there
    is for others to tell."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self._before = {path: stamp(path) for path in paths if path.is_file()}

    def check(self) -> None:
        """Raise ModelLoadError where one is another now, so that the digests may be of others."""
        for path, before in self._before.items():
            if not path.is_file() or stamp(path) != before:
                raise ModelLoadError(
                    f"{path} was changed while its model was loaded", hint="load it again"
                )


class MappedFiles:
    """Files held open, and what they were when they were opened.

    Raises:
        OSError: one cannot be opened.
    """

    def __init__(self, paths: Iterable[Path]) -> None:
        self._held: list[tuple[int, Path, tuple[int, int]]] = []
        for path in paths:
            self.hold(path)

    def hold(self, path: Path) -> None:
        """One more file. Raises OSError where it cannot be opened."""
        handle = os.open(path, os.O_RDONLY)
        self._held.append((handle, path, _state(handle)))

    def check(self) -> None:
        """Raise BackendError where one was written into since."""
        for handle, path, before in self._held:
            if _state(handle) != before:
                raise BackendError(
                    f"{path} was written into while its model was loaded: it answers no more",
                    hint="load it again (restart the server, or unload the model); a file that is "
                    "replaced by mv does not disturb who uses the old one",
                )

    def close(self) -> None:
        """Let go of them."""
        while self._held:
            os.close(self._held.pop()[0])


def _state(handle: int) -> tuple[int, int]:
    found = os.fstat(handle)
    return found.st_size, found.st_mtime_ns
