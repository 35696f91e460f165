"""HTTP servers on this machine, for what calls others."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Asked:
    """A request, by GET or POST."""

    path: str
    headers: Message
    body: bytes


@contextmanager
def serving(answer: Callable[[Asked], tuple[int, bytes]], moved: str = "/") -> Iterator[str]:
    """A real server on a free port while this lasts; its address. Redirects among its answers lead to `moved`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            sent = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, body = answer(Asked(self.path, self.headers, sent))
            self.send_response(status)
            if 300 <= status < 400:
                self.send_header("Location", moved)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
