"""One version of one package, as a source names it: NAME==VERSION, and hashes of its files.

What a models.toml says here is handed to pip, which would build, and so run, whatever a URL or a
path points to. So nothing but a name, a version and hashes gets through, each in its own form.
"""

import re
from dataclasses import dataclass

from gateway.core.errors import ConfigError

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?", re.ASCII)
_SHA256 = re.compile(r"sha256:[0-9a-f]{64}", re.ASCII)
_HASH = " --hash="
_FORM = "NAME==VERSION, or NAME==VERSION --hash=sha256:... with a hash of each of its files"


@dataclass(frozen=True, slots=True)
class Pinned:
    """One version of one package.

    Raises:
        ConfigError: a part has not its form, so that every one that there is may be given to pip.
    """

    name: str
    version: str
    hashes: tuple[str, ...] = ()
    """sha256:... of its files on the index; one of them has to match. Empty: not checked."""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise _refused(self.name, "its name is none of a package")
        if not _is_public(self.version):
            raise _refused(f"{self.name}=={self.version}", "its version is no whole, public one")
        for each in self.hashes:
            if not _SHA256.fullmatch(each):
                raise _refused(f"{self.name}=={self.version}", f"{each!r} is no SHA-256")

    def __str__(self) -> str:
        return f"{self.name}=={self.version}"

    @property
    def line(self) -> str:
        """As a file of requirements has it."""
        return str(self) + "".join(f"{_HASH}{each}" for each in self.hashes)


def parse_pinned(text: str) -> Pinned:
    """The package that a line of a models.toml names.

    Raises:
        ConfigError: it is anything else than NAME==VERSION with hashes behind it: a URL, a path, an
            option, an extra, a marker, a range, a local version.
    """
    from packaging.requirements import InvalidRequirement, Requirement

    written, *hashes = text.split(_HASH)
    try:
        read = Requirement(written)
    except InvalidRequirement as exc:
        raise _refused(text, str(exc).splitlines()[0]) from exc
    if read.url is not None:
        raise _refused(text, "a URL is not fetched from")
    if read.extras or read.marker is not None:
        raise _refused(text, "extras and markers have no meaning here")
    versions = [each.version for each in read.specifier if each.operator == "=="]
    # Compared with what was written: a second look at what the parser took for a version.
    if not versions or written.replace(" ", "") != f"{read.name}=={versions[0]}":
        raise _refused(text, "it is not pinned to one version")
    return Pinned(read.name, versions[0], tuple(hashes))


def _is_public(version: str) -> bool:
    """Whether it is a version of an index: local ones (1.0+cpu) are none, nor is 1.*."""
    from packaging.version import InvalidVersion, Version

    try:
        return version == version.strip() and Version(version).local is None
    except InvalidVersion:
        return False


def _refused(text: str, reason: str) -> ConfigError:
    return ConfigError(f"{text!r} cannot be fetched: {reason}", hint=f"write {_FORM}")
