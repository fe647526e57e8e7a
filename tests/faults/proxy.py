"""A bad road to the S3 server: a proxy on the loopback that refuses requests, cuts uploads short, or loses answers."""

import http.client
import random
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

REFUSAL = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
HOP_BY_HOP = {"connection", "expect", "content-length", "transfer-encoding", "keep-alive"}


class BadRoad(ThreadingHTTPServer):
    """Everything that is set on it holds from the next request on.

    No request suffers more than three times in a row, so whoever makes five attempts gets through, in every test.

    Attributes:
        refused_share: of requests that are answered with an error, half of them after the server has carried them out.
        cut_share: of uploads whose connection breaks after half of the body.
        truncated: uploads whose path contains this text arrive by half, and the server believes that this is all.
        harmed: how many requests suffered.
        handled: how many there were.
    """

    daemon_threads = True

    def __init__(self, port: int, seed: int, *, at: int = 0) -> None:
        super().__init__(("127.0.0.1", at), Traveller)
        self.upstream = port
        self.uri = f"http://127.0.0.1:{self.server_port}"
        self.refused_share, self.cut_share, self.truncated = 0.0, 0.0, ""
        self.harmed = self.handled = 0
        self._dice, self._lock = random.Random(seed), threading.Lock()
        self._in_a_row: Counter[str] = Counter()
        # S3 looks whether there is an object and writes it in one step; moto does so for one request at a time only.
        self.conditional = threading.Lock()

    def fate(self, method: str, path: str) -> str:
        """What becomes of a request; the seed decides, in the order in which requests come."""
        with self._lock:
            self.handled += 1
            luck = self._dice.random() if self._in_a_row[f"{method} {path}"] < 3 else 1.0
            upload = method == "PUT" and path.count("/") > 1
            fate = "well"
            if upload and self.truncated and self.truncated in path:
                fate = "truncated"
            elif upload and luck < self.cut_share:
                fate = "cut"
            elif luck < self.refused_share / 2:
                fate = "refused"
            elif luck < self.refused_share:
                fate = "answer lost"
            self.harmed += fate != "well"
            self._in_a_row[f"{method} {path}"] = self._in_a_row[f"{method} {path}"] + 1 if fate != "well" else 0
            return fate


class Traveller(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server: BadRoad

    def forward(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fate = self.server.fate(self.command, self.path)
        if fate == "refused":
            self.answer(503, {"Content-Type": "application/xml"}, REFUSAL)
            return
        sent = body[: len(body) // 2] if fate in ("cut", "truncated") else body
        announced = len(body) if fate == "cut" else len(sent)
        upstream = http.client.HTTPConnection("127.0.0.1", self.server.upstream, timeout=120)
        try:
            upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in HOP_BY_HOP:
                    upstream.putheader(name, value)
            upstream.putheader("Content-Length", str(announced))
            with self.server.conditional if "If-None-Match" in self.headers else nullcontext():
                upstream.endheaders(sent)
                if fate == "cut":
                    self.close_connection = True
                    return
                response = upstream.getresponse()
                content = response.read()
            if fate == "answer lost":
                self.close_connection = True
                return
            headers = {name: value for name, value in response.getheaders() if name.lower() not in HOP_BY_HOP}
            if self.command == "HEAD":
                headers["Content-Length"] = response.getheader("Content-Length") or "0"
            self.answer(response.status, headers, content)
        finally:
            upstream.close()

    def answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if "Content-Length" not in headers:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = forward  # noqa: N815


@contextmanager
def bad_road(port: int, seed: int, *, at: int = 0) -> Iterator[BadRoad]:
    """The proxy, in a thread, until the block ends; `at` is its own port, 0 for any."""
    with BadRoad(port, seed, at=at) as road:
        thread = threading.Thread(target=road.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield road
        finally:
            road.shutdown()
            thread.join()
