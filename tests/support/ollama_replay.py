"""A server that answers with what a real Ollama server said: status, type, and lines or JSON.

The recorded exchanges are read from the shared folder. What they lack, a fault of the network for
example, is made of them by `Answer`'s fields.
"""

import json
import threading
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

from gateway.core.types import Constraint, GenerationRequest, Message, Sampling
from tests.conftest import recorded_exchange

Fault = Literal["none", "drop", "silence"]

_BLOBS = "/api/blobs/"
_UNEXPECTED = 599
_PATIENCE_S = 30.0
"""How long a silent answer waits for its end at most."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What is said to one question."""

    question: str
    """As `question` writes it."""
    status: int = 200
    kind: str = "application/json; charset=utf-8"
    lines: tuple[str, ...] = ()
    fault: Fault = "none"
    """"drop": the connection breaks behind the lines; "silence": nothing comes at all."""

    def saying(self, old: str, new: str) -> "Answer":
        """With another text in place of one that must be there."""
        assert any(old in line for line in self.lines), old
        return replace(self, lines=tuple(line.replace(old, new) for line in self.lines))

    @property
    def data(self) -> bytes:
        """The whole body."""
        ends = "\n" if "ndjson" in self.kind else ""
        return "".join(line + ends for line in self.lines).encode()


@dataclass(frozen=True, slots=True)
class Received:
    """What was asked."""

    method: str
    path: str
    data: bytes

    @property
    def body(self) -> dict[str, Any]:
        """Its JSON; empty where there is none."""
        found = json.loads(self.data) if self.data and _BLOBS not in self.path else {}
        assert isinstance(found, dict)
        return found

    @property
    def question(self) -> str:
        return question(self.method, self.path, self.body)


def question(method: str, path: str, body: Mapping[str, Any]) -> str:
    """Method and path, and which of the things it is that Ollama does under one path."""
    asked = f"{method} {_BLOBS if path.startswith(_BLOBS) else path}"
    if path == "/api/generate" and method == "POST" and "prompt" not in body:
        return f"{asked} {'unload' if body.get('keep_alive') == 0 else 'load'}"
    return f"{asked} verbose" if body.get("verbose") else asked


class Exchange:
    """One recorded exchange.

    Args:
        name: of its file, without the ending.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        found = json.loads(recorded_exchange(name))
        self.asked: dict[str, Any] = found["request"]
        self._response: dict[str, Any] = found["response"]
        self.method, self.path = str(self.asked["method"]), str(self.asked["path"])
        self.status = int(self._response["status"])

    @property
    def body(self) -> dict[str, Any]:
        """The JSON that was sent."""
        return dict(self.asked.get("json", {}))

    @property
    def json(self) -> dict[str, Any]:
        """The JSON that came."""
        return dict(self._response["json"])

    @cached_property
    def said(self) -> list[dict[str, Any]]:
        """Every line that came."""
        return [json.loads(line) for line in self.answer().lines if line]

    @property
    def text(self) -> str:
        """Of a generation."""
        return "".join(
            str(line["message"]["content"] if "message" in line else line["response"])
            for line in self.said
        )

    @property
    def entries(self) -> list[dict[str, Any]]:
        """Log-probabilities of a generation's tokens."""
        return [entry for line in self.said for entry in line.get("logprobs", ())]

    def answer(self, asked: str = "") -> Answer:
        """What came, as an answer to the same question, or to another one."""
        response = self._response
        if "json" in response:
            lines = [json.dumps(response["json"], ensure_ascii=False, separators=(",", ":"))]
        else:
            lines = response.get("lines", [response.get("text", "")])
        return Answer(
            asked or question(self.method, self.path, self.body),
            self.status,
            response["headers"].get("content-type", ""),
            tuple(lines),
        )

    def request(self, **sampling: Any) -> GenerationRequest:
        """The same question as a request of the gateway's.

        Args:
            sampling: fields to be other than they were sent.
        """
        body = self.body
        options = body["options"]
        fields = {
            "max_tokens": options["num_predict"],
            "seed": options["seed"],
            "stop": tuple(options.get("stop", ())),
        }
        return GenerationRequest(
            body["model"],
            tuple(Message(m["role"], m["content"]) for m in body.get("messages", ())),
            body.get("prompt"),
            sampling=Sampling(**{**fields, **sampling}),
            constraint=_constraint(body.get("format")),
            logprobs=body.get("top_logprobs"),
        )


def _constraint(sent: Any) -> Constraint | None:
    if sent is None:
        return None
    if sent == "json":
        return Constraint("json_schema", '{"type": "object"}')
    if sent["type"] == "string":
        return Constraint("choices", tuple(sent["enum"]))
    return Constraint("json_schema", json.dumps(sent))


class Replay:
    """The server; `url` is where it listens.

    A question that it has no answer for gets status 599 and fails the test that asked it.
    """

    def __init__(self) -> None:
        self._always: dict[str, Answer] = {}
        self._next: defaultdict[str, deque[Answer]] = defaultdict(deque)
        self._received: list[Received] = []
        self._unexpected: list[Received] = []
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._server = _Listening(self)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), daemon=True
        )
        self._thread.start()

    def always(self, *answers: Answer) -> None:
        """Answer these questions so, whenever they are asked."""
        self._always |= {answer.question: answer for answer in answers}

    @contextmanager
    def answering(self, *answers: Answer) -> Iterator[list[Received]]:
        """Answer each question with these, in order, before what is always answered.

        Yields:
            What is asked meanwhile. At the end every answer must have been asked for, and nothing
            else.
        """
        self._received, self._unexpected = [], []
        for answer in answers:
            self._next[answer.question].append(answer)
        try:
            yield self._received
            left = [question for question, queue in self._next.items() if queue]
            assert not self._unexpected, f"asked, and not recorded: {self._unexpected}"
            assert not left, f"never asked: {left}"
        finally:
            self._next.clear()

    def close(self) -> None:
        """Stop listening; may be done twice."""
        self._over.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def answer_to(self, received: Received) -> Answer:
        """What to say; called by the thread of a connection."""
        with self._lock:
            self._received.append(received)
            asked = received.question
            if self._next[asked]:
                return self._next[asked].popleft()
            if asked in self._always:
                return self._always[asked]
            self._unexpected.append(received)
        return Answer(asked, _UNEXPECTED, lines=(json.dumps({"error": f"no answer: {asked}"}),))

    def wait(self) -> None:
        """Until the server is closed."""
        self._over.wait(_PATIENCE_S)


class _Listening(ThreadingHTTPServer):
    def __init__(self, replay: Replay) -> None:
        self.replay = replay
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Listening

    def _answer(self) -> None:
        self.close_connection = True
        received = Received(self.command, self.path, self._body())
        answer = self.server.replay.answer_to(received)
        if answer.fault == "silence":
            self.server.replay.wait()
            return
        self.send_response(answer.status)
        if answer.kind:
            self.send_header("content-type", answer.kind)
        self.send_header("connection", "close")
        if "ndjson" in answer.kind or answer.fault == "drop":
            self._stream(answer)
        else:
            self.send_header("content-length", str(len(answer.data)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer.data)

    def _stream(self, answer: Answer) -> None:
        """A line a chunk, as the real server does; a connection that drops has no last chunk."""
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for line in answer.lines:
            self._chunk(line.encode() + b"\n")
        if answer.fault != "drop":
            self._chunk(b"")

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("transfer-encoding", ""):
            return self.rfile.read(int(self.headers.get("content-length", 0)))
        found = bytearray()
        while size := int(self.rfile.readline(), 16):
            found += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return bytes(found)

    do_GET = do_HEAD = do_POST = do_DELETE = _answer  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: what was asked is kept."""
