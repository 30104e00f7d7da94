"""An entry of models.toml as a Modelfile for Ollama.

What Ollama would put in place of the model's own is said: the chat template, for which it takes
a built-in one, and the sampling, for which it has defaults. So the same weights read the same
text and answer greedily on both sides.

Grammar of values: Ollama's `parser/parser.go`, version 0.33, which drops in silence what Go's
`strconv.IsPrint` does not call printable.
"""

import textwrap
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path

from gateway.backends.ollama.templates.check import own_template, probes
from gateway.backends.ollama.templates.families import Translation, translate
from gateway.core.errors import ConfigError, ModelLoadError, located
from gateway.core.files import write_atomically
from gateway.engine.llama.vocabulary import GgufVocabulary
from gateway.engine.reader import template_of
from gateway.models.gguf_parts import files_of, name_of
from gateway.models.locate import described_digests, locate
from gateway.models.spec import ModelSpec

_WIDTH = 98
_THREE = '"""'
_GREEDY = {"temperature": 0, "top_k": 0, "top_p": 1, "min_p": 0, "repeat_penalty": 1}
"""So that no default of Ollama's applies."""


def write_modelfile(spec: ModelSpec, *, seed: int = 0) -> str:
    """The text of a Modelfile for an entry whose weights are a GGUF.

    Args:
        seed: for Ollama's sampler, which at temperature 0 does not ask it.

    Raises:
        ModelNotPulled: its file is not on this machine.
        ModelLoadError: a file is no readable GGUF, or not the one that the entry describes.
        ConfigError: Ollama cannot be told what the entry is: an adapter's scale, a chat template
            of no known family or none, a text that its parser would change.
    """
    _check_sayable(spec)
    path = locate(spec).absolute()
    _refuse_parts(spec, path)
    sha256 = described_digests(spec, path).file
    vocabulary = GgufVocabulary(path)
    try:
        made = _translated(spec, vocabulary)
        length = _context_length(spec, vocabulary)
    finally:
        vocabulary.close()
    return "\n".join(
        [
            *_comments(spec, sha256, seed, made),
            "",
            f"FROM {_bare(str(path))}",
            *([f"ADAPTER {_bare(str(spec.adapter.absolute()))}"] if spec.adapter else []),
            f"TEMPLATE {quoted(made.source)}",
            *_parameters(length, seed, _stops(made.answer_end, spec.end_of_turn)),
            "",
        ]
    )


def save_modelfile(path: Path, text: str) -> None:
    """Write it so that a reader never meets half of it.

    Raises:
        ConfigError: it cannot be written there.
    """
    try:
        write_atomically(path, text)
    except OSError as exc:
        raise ConfigError(
            f"{path}: cannot be written: {exc.strerror or exc}",
            hint="give --output a file that you may write",
        ) from exc


def quoted(value: str) -> str:
    """A value in the quotes that Ollama's parser takes off again.

    Raises:
        ConfigError: the parser would end it early or drop a character.
    """
    for character in value:
        if not _printable(character):
            raise ConfigError(
                f"a Modelfile cannot hold the character U+{ord(character):04X} in {value[:60]!r}: "
                "Ollama's parser drops it",
                hint="it must not stand in the entry's chat_template, end_of_turn or paths",
            )
    if _THREE in value:
        raise ConfigError(
            f"a Modelfile cannot hold three quotes in a row, as in {value[:60]!r}",
            hint="they must not stand in the entry's chat_template, end_of_turn or paths",
        )
    quote = _THREE if '"' in value or "\n" in value else '"'
    return f"{quote}{value}{quote}"


def _printable(character: str) -> bool:
    return character in " \t\n" or unicodedata.category(character)[0] in "LMNPS"


def _bare(value: str) -> str:
    """A value that needs no quotes, such as a usual path, without them."""
    with_quotes = quoted(value)
    plain = value == value.strip() and '"' not in value and "\n" not in value
    return value if plain else with_quotes


def _check_sayable(spec: ModelSpec) -> None:
    if not spec.can.runs_quantized:
        raise ConfigError(
            f"model {spec.name}: its backend is {spec.backend}; a Modelfile is made of a GGUF file",
            hint="name an entry whose backend runs a GGUF as it is",
        )
    if spec.system == "merge":
        raise ConfigError(
            f'model {spec.name}: Ollama cannot be told its system = "merge"',
            hint="give its entry a chat_template that puts system messages into the user's turn",
        )
    if spec.adapter is None:
        return
    if not spec.adapter.is_file():
        raise ModelLoadError(f"{spec.adapter}: no such file", hint=f"the adapter of {spec.name}")
    if spec.adapter_scale != 1.0:
        raise ConfigError(
            f"model {spec.name}: Ollama cannot be told its adapter_scale = {spec.adapter_scale}",
            hint="scale the adapter's weights in its file, or leave adapter_scale at 1.0",
        )


def _refuse_parts(spec: ModelSpec, path: Path) -> None:
    """Ollama takes a model from one file (https://github.com/ollama/ollama/issues/5245, open)."""
    if (count := len(files_of(path))) > 1:
        raise ConfigError(
            f"model {spec.name}: its GGUF is in {count} parts, and Ollama reads one file",
            hint=f"join them, and make an entry of the whole: llama-gguf-split --merge {path.name} "
            f"{name_of(path)}.gguf",
        )


def _translated(spec: ModelSpec, vocabulary: GgufVocabulary) -> Translation:
    """The Jinja template that the gateway uses for this entry, in Go's language."""
    source = template_of(spec, vocabulary)
    if not source:
        raise ConfigError(
            f"model {spec.name} has no chat template: {vocabulary.path.name} is a base model, or "
            "its conversion lost the template",
            hint='give its entry chat_template = "plain" or the path of a Jinja file',
        )
    with located(f"model {spec.name}"):
        own = own_template(source, vocabulary)
        return translate(source, own.special, own.added)


def _context_length(spec: ModelSpec, vocabulary: GgufVocabulary) -> int:
    """Tokens, at most those that the model was trained for, where its file says."""
    architecture = vocabulary.metadata("general.architecture")
    trained = vocabulary.metadata(f"{architecture}.context_length")
    return min(spec.context_length, int(trained)) if trained else spec.context_length


def _parameters(length: int, seed: int, stops: Sequence[str]) -> Iterator[str]:
    for name, value in {"num_ctx": length, **_GREEDY, "seed": seed}.items():
        yield f"PARAMETER {name} {value}"
    for text in stops:
        yield f"PARAMETER stop {quoted(text)}"


def _stops(answer_end: str, end_of_turn: str) -> list[str]:
    """Texts that end an answer, without one that holds another and so comes too late."""
    given = {text for text in (answer_end.strip() or answer_end, end_of_turn) if text}
    return sorted(
        text for text in given if not any(other in text for other in given if other != text)
    )


def _comments(spec: ModelSpec, sha256: str, seed: int, made: Translation) -> Iterator[str]:
    option = f" --seed {seed}" if seed else ""
    yield f"# gateway models modelfile {spec.name}{option}"
    yield "#"
    yield f"# The entry {spec.name} of models.toml, whose weights have the sha256"
    yield f"# {sha256}."
    yield "#"
    for sentence in _evidence(made):
        yield from textwrap.wrap(sentence, _WIDTH, initial_indent="# ", subsequent_indent="#   ")


def _evidence(made: Translation) -> Iterator[str]:
    """How the template was checked, a sentence each."""
    yield "TEMPLATE is the model's own chat template in Go's language. Both were given"
    yield f"{len(probes())} conversations, and of {made.alike} they make the same text."
    if made.refused:
        yield f"Both refuse: {'; '.join(made.refused)}."
    if made.rendered_only_here:
        yield f"Only the model's own refuses: {'; '.join(made.rendered_only_here)}."
    if made.loses_system:
        yield "Both leave out the text of a system message."
    if made.strips:
        yield (
            "Only the model's own strips white space around a message's text: send texts "
            "without it."
        )
    if made.otherwise:
        yield f"Ollama makes another text of: {'; '.join(made.otherwise)}."
