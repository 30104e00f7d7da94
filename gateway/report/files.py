"""The files of a report, written so that a reader never meets half of one."""

from collections.abc import Mapping
from pathlib import Path

from gateway.core.errors import StoreError
from gateway.core.files import write_atomically


def write_files(files: Mapping[str, str], out_dir: Path, option: str = "--out") -> None:
    """Write texts by file name, each atomically.

    Args:
        option: what names the folder, for the hint.

    Raises:
        StoreError: the folder or a file in it can not be written.
    """
    try:
        for name, text in files.items():
            write_atomically(out_dir / name, text)
    except OSError as exc:
        raise StoreError(
            f"{out_dir}: the report can not be written: {exc.strerror or exc}",
            hint=f"give {option} a folder that you may write to",
        ) from exc
