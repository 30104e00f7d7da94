"""A Hugging Face hub of one repository on this machine: what its client asks, from a folder."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

_SHA = "0123456789abcdef0123456789abcdef01234567"


@contextmanager
def hub(repo: str, folder: Path) -> Iterator[tuple[str, list[str]]]:
    """The hub's URL, and the paths of files that were fetched, in order."""
    fetched: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._answer(body=False)

        def do_GET(self) -> None:
            self._answer(body=True)

        def _answer(self, *, body: bool) -> None:
            path = self.path.split("?")[0]
            if path.startswith(f"/api/models/{repo}/tree/"):
                listed = [
                    {"type": "file", "path": p.name, "size": p.stat().st_size, "oid": "0" * 40}
                    for p in sorted(folder.iterdir())
                ]
                self._send(json.dumps(listed).encode(), {"Content-Type": "application/json"})
                return
            if path.startswith(f"/api/models/{repo}"):
                siblings = [{"rfilename": p.name} for p in sorted(folder.iterdir())]
                told = {"id": repo, "sha": _SHA, "siblings": siblings}
                self._send(json.dumps(told).encode(), {"Content-Type": "application/json"})
                return
            file = folder / path.rpartition("/")[2]
            if not path.startswith(f"/{repo}/resolve/") or not file.is_file():
                self.send_error(404)
                return
            content = file.read_bytes()
            if body:
                fetched.append(file.name)
            more = {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "X-Repo-Commit": _SHA}
            self._send(content, more, body=body)

        def _send(self, content: bytes, headers: dict[str, str], *, body: bool = True) -> None:
            self.send_response(200)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if body:
                self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", fetched
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
