"""A service in a slot, as small as can be: it tells who it is and what reached it. Runs inside a container.

Its arguments are its slot, its service and its port.
"""

from __future__ import annotations

import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SLOT, SERVICE, PORT = sys.argv[1], sys.argv[2], int(sys.argv[3])
STATUSES = {"/missing": 404, "/broken": 500, "/readiness": 503}
CHUNKS = 4


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    seen: dict[str, int] = {}  # noqa: RUF012 (shared on purpose: it counts over all requests)
    connections = 0

    def setup(self) -> None:
        super().setup()
        Handler.connections += 1

    def finish(self) -> None:
        Handler.connections -= 1
        super().finish()

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        key = f"{self.command} {self.path}"
        Handler.seen[key] = Handler.seen.get(key, 0) + 1
        if self.path == "/dies":
            self.close_connection = True
        elif self.path == "/stream":
            self._stream()
        else:
            self._tell()

    def do_POST(self) -> None:
        self.do_GET()

    def _tell(self) -> None:
        told = {"slot": SLOT, "service": SERVICE, "path": self.path, "seen": self.seen, "connections": self.connections}
        strange = self.path.startswith("/_next/static/") and SLOT not in self.path
        body = json.dumps(told).encode()
        self.send_response(404 if strange else STATUSES.get(self.path, 200))
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Erni-Slot", "forged")
        self.end_headers()
        self.wfile.write(body)

    def _stream(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for number in range(CHUNKS):
            line = f"data: {number}\n\n".encode()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
            time.sleep(0.3)
        self.wfile.write(b"0\r\n\r\n")


ThreadingHTTPServer(("", PORT), Handler).serve_forever()
