"""The labelling page, served to this machine alone: watch a clip, press the keys of its labels, go on.

The server listens on the loopback interface. Every address begins with a token that is new in each run, so that nobody
else on the machine, and no page that the browser has open, can read clips or change labels.
"""

import json
import mimetypes
import re
import secrets
from functools import cached_property
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from common.errors import UserError
from pipeline.label_list import LabelList
from pipeline.label_queue import SPLIT
from pipeline.pages.page import page_content

LOOPBACK = "127.0.0.1"
HOSTS = (LOOPBACK, "localhost")
MAX_BODY_BYTES = 100_000
RANGE = re.compile(r"bytes=(\d+)-(\d*)")
CHUNK_BYTES = 1 << 16


class LabelServer(ThreadingHTTPServer):
    """Serves one list of clips.

    Args:
        labels: The list, which is changed.
        split: The split that a labelled clip gets.
        port: Of the loopback interface; 0 selects a free one.

    Raises:
        OSError: If the port is taken.
    """

    daemon_threads = True

    def __init__(self, labels: LabelList, split: str, port: int = 0) -> None:
        self.labels, self.split = labels, split
        self.token = secrets.token_urlsafe(16)
        super().__init__((LOOPBACK, port), _Handler)

    @property
    def url(self) -> str:
        """The page's address."""
        return f"http://{LOOPBACK}:{self.server_address[1]}/{self.token}/"

    @cached_property
    def page(self) -> bytes:
        """The page."""
        data = {
            "split": self.split,
            "todo": SPLIT,
            "labels": [[label.name, label.kind, label.action] for label in self.labels.taxonomy.labels],
        }
        return page_content("label", {"data": data}, connect=True)

    def state(self) -> list[dict[str, Any]]:
        """Return what the page needs to know of each clip."""
        labels = self.labels
        return [
            {
                "file": row["file"],
                "labels": labels.labels(index),
                "split": row["split"],
                "why": row.get("why", ""),
                "plays": labels.clip(index).is_file(),
            }
            for index, row in enumerate(labels.rows)
        ]


class _Handler(BaseHTTPRequestHandler):
    """Answers the requests of the page."""

    server: LabelServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Serve the page, the list, or a clip."""
        path = self._path()
        if path == "":
            self._send(self.server.page, "text/html; charset=utf-8")
        elif path == "list":
            self._send(json.dumps(self.server.state()).encode(), "application/json")
        elif path and (match := re.fullmatch(r"clips/(\d+)", path)) and int(match[1]) < len(self.server.labels.rows):
            self._send_clip(int(match[1]))
        else:
            self.send_error(HTTPStatus.NOT_FOUND)

    def do_POST(self) -> None:
        """Change the labels of a clip."""
        length = self.headers.get("Content-Length", "")
        if self._path() != "label" or not length.isdigit() or int(length) > MAX_BODY_BYTES:
            self.close_connection = True  # what follows is not read
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        labels = self.server.labels
        try:
            match json.loads(self.rfile.read(int(length))):
                case {"row": int(row), "labels": [*names], "split": str(split)} if (
                    0 <= row < len(labels.rows) and split
                ):
                    labels.set(row, [str(name) for name in names], split)
                case _:
                    raise ValueError("a row, its labels and a split were expected")
        except (ValueError, UserError, OSError) as reason:
            self._send(json.dumps({"error": str(reason)}).encode(), "application/json", HTTPStatus.BAD_REQUEST)
            return
        self._send(b"{}", "application/json")

    def _path(self) -> str | None:
        """Return what follows the token in the address; None without it, or for a name that is not this machine's."""
        host = self.headers.get("Host", "").rpartition(":")[0]
        prefix = f"/{self.server.token}/"
        if host not in HOSTS or not secrets.compare_digest(self.path[: len(prefix)].encode(), prefix.encode()):
            return None
        return self.path[len(prefix) :]

    def _send(self, content: bytes, kind: str, status: HTTPStatus = HTTPStatus.OK) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self._end_headers()
        self.wfile.write(content)

    def _end_headers(self) -> None:
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        self.end_headers()

    def _send_clip(self, index: int) -> None:
        """Send a clip, or the part of it that the browser asks for."""
        clip = self.server.labels.clip(index)
        try:
            file = clip.open("rb")
        except OSError:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        with file:
            size = clip.stat().st_size
            wanted = RANGE.fullmatch(self.headers.get("Range", ""))
            start = int(wanted[1]) if wanted else 0
            end = min(int(wanted[2]), size - 1) if wanted and wanted[2] else size - 1
            if wanted and not start <= end:
                self.send_error(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)
                return
            self.send_response(HTTPStatus.PARTIAL_CONTENT if wanted else HTTPStatus.OK)
            self.send_header("Content-Type", mimetypes.guess_type(clip.name)[0] or "video/mp4")
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("Content-Length", str(end - start + 1))
            if wanted:
                self.send_header("Content-Range", f"bytes {start}-{end}/{size}")
            self._end_headers()
            file.seek(start)
            left = end - start + 1
            try:
                while left > 0 and (chunk := file.read(min(CHUNK_BYTES, left))):
                    self.wfile.write(chunk)
                    left -= len(chunk)
            except ConnectionError:  # the browser has seen enough
                self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing: the addresses contain the token."""
