"""What is in a Markdown page: prose, blocks of code, links."""

import re
from collections.abc import Iterator

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_CODE = re.compile(r"`[^`]+`")
_LINK = re.compile(r"!?\[([^]]*)\]\(([^)]+)\)")
_ITEM = re.compile(r"^ *(?:[-*]|[0-9]+\.) ", re.MULTILINE)
_END = re.compile(r"(?<=[.!?])[)*\"]*\s+(?=[(*\"]*[A-Z0-9`])")


def blocks(page: str, *languages: str) -> Iterator[str]:
    """The fenced blocks of these languages."""
    return (text for language, text in _BLOCK.findall(page) if language in languages)


def links(page: str) -> Iterator[str]:
    """Where the links and pictures of a page lead, but for those to the web."""
    for _, target in _LINK.findall(_BLOCK.sub("", page)):
        if "://" not in target:
            yield target.partition("#")[0]


def sentences(page: str) -> Iterator[str]:
    """The sentences of a page's prose, each piece of code in them as one word.

    What stands in tables, headings and blocks is none of it.
    """
    text = _LINK.sub(r"\1", _CODE.sub("`code`", _BLOCK.sub("", page)))
    kept = [line for line in text.splitlines() if not re.match(r"\||#|    |<!--", line)]
    for paragraph in re.split(r"\n\s*\n", _ITEM.sub("\n\n", "\n".join(kept))):
        yield from (each for each in _END.split(" ".join(paragraph.split())) if each)


def words(sentence: str) -> list[str]:
    return [word for word in sentence.split() if re.search(r"\w", word)]


def figures(sentence: str) -> list[str]:
    """The numbers of a sentence, but for names such as Q4_1 and SmolLM2."""
    return [word for word in words(sentence) if re.match(r"[-+±(\[]*[0-9]", word)]
