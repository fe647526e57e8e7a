"""A real S3 server (moto) in a process of its own, which tests may suspend."""

import os
import signal
import subprocess
import sys

# It ends when its standard input closes, so it never outlives the tests, however they end.
PROGRAM = """
import sys
from moto.server import ThreadedMotoServer

server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
server.stop()
"""


class S3Server:
    """It keeps everything in memory, so it may be paused and must not be killed."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            # Short pages, so that whoever lists more than a few objects has to follow them.
            env={**os.environ, "MOTO_S3_DEFAULT_MAX_KEYS": "5"},
        )
        assert self._process.stdout is not None
        port = self._process.stdout.readline().strip()
        assert port, "the S3 server did not start"
        self.port = int(port)
        self.uri = f"http://127.0.0.1:{port}"

    def pause(self) -> None:
        """From now on it accepts connections and answers nothing."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """It carries out what has piled up."""
        self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        self.resume()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(timeout=30)
        self._process.stdout.close()
