"""Go's own text/template, in a process that answers a line with a line."""

import contextlib
import json
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.core.types import Message


@dataclass(frozen=True)
class Answer:
    text: str
    error: str
    at: str
    """Where the error arose: "parse" or "execute"."""


Go = Callable[[str, Sequence[Message]], Answer]


@contextlib.contextmanager
def running(compiler: str, folder: Path) -> Iterator[Go]:
    """A function that executes a template for a conversation."""
    program = folder / "oracle"
    source = Path(__file__).parent / "main.go"
    subprocess.run([compiler, "build", "-o", program, source], check=True, capture_output=True)
    with subprocess.Popen(
        [program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        asked, answered = process.stdin, process.stdout

        def ask(source: str, messages: Sequence[Message]) -> Answer:
            turns = [{"Role": m.role, "Content": m.content} for m in messages]
            system = "\n\n".join(m.content for m in messages if m.role == "system")
            question = {"template": source, "system": system, "messages": turns}
            asked.write(json.dumps(question) + "\n")
            asked.flush()
            return Answer(**json.loads(answered.readline()))

        yield ask
        asked.close()
