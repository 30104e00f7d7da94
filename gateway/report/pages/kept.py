"""What is kept so that a later start is faster, a row each kind."""

from gateway.core.kept import BEGINNING, WEIGHTS, KeptFiles
from gateway.core.sizes import readable
from gateway.report.sections import Section, by_rows

_KINDS = {
    "states behind the beginnings of prompts": BEGINNING,
    "weights of a GGUF in another form": WEIGHTS,
}


def section(files: KeptFiles | None) -> Section:
    """How many files of each kind there are, and what they take."""
    if files is None:
        return Section(lines=("nothing is kept: GATEWAY_CACHE=off",))
    sizes = {kind: files.sizes(ending) for kind, ending in _KINDS.items()}
    rows = [(kind, str(len(each)), readable(sum(each))) for kind, each in sizes.items()]
    told = f"at most {readable(files.most_bytes)} in {files.folder} (GATEWAY_CACHE)"
    return Section(tables=(by_rows(("kept", "files", "size"), rows),), lines=(told,))
