"""The courier as a process of its own, so that MLflow's work never holds Python's lock while a round is due.

Imported, this module is the training's side: `RemoteCarrier` asks the one courier process of this program, which is
started at the first question and serves all trackers. Run (`python -m gen_dist.tracking.courier_process`), it is that
process: questions come as JSON lines on its standard input, answers leave on its standard output, and it ends when the
input does, however the training ended.
"""

import atexit
import itertools
import json
import os
import queue
import subprocess
import sys
import threading
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from io import TextIOWrapper
from pathlib import Path
from typing import Any

from gen_dist.tracking.carrier import LocalCarrier, describe
from gen_dist.tracking.courier import Store, UnavailableError
from gen_dist.tracking.location import sqlite_file
from gen_dist.tracking.spool import Spool

NICENESS = 5
"""The training comes first where the two compete for a core."""
END_SECONDS = 5.0

Message = dict[str, Any]


class RemoteCarrier:
    """Has one spool delivered by the courier process."""

    def __init__(self, spool: Spool, uri: str) -> None:
        self._spool = spool
        self._uri = uri

    def deliver(self) -> None:
        """Deliver all that waits.

        Raises:
            UnavailableError: that was not possible; the message says why.
        """
        failure = PROCESS.ask({"folder": str(self._spool.folder.absolute()), "uri": self._uri})
        if failure is not None:
            raise UnavailableError(failure)

    def close(self) -> None:
        """Let others deliver the spool."""
        if PROCESS.is_running:
            PROCESS.ask({"folder": str(self._spool.folder.absolute()), "uri": None})


class CourierProcess:
    """The training's end of the two pipes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._waiting: dict[int, Future[str | None]] = {}
        self._numbers = itertools.count()
        self._ended = False

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def ask(self, message: Message) -> str | None:
        """Have something done and wait for it; returns why it failed, or None."""
        answer: Future[str | None] = Future()
        with self._lock:
            if self._ended:
                return "the program is ending"
            number = next(self._numbers)
            self._waiting[number] = answer
            try:
                _write(self._input(), {**message, "number": number})
            except OSError as error:
                del self._waiting[number]
                return f"the courier process does not listen: {error}"
        return answer.result()

    def stop(self) -> None:
        """End it; who still waits is told that it ended."""
        with self._lock:
            process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        process.stdin.close()
        try:
            process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def end(self) -> None:
        """End it for good: the program itself is ending."""
        self._ended = True
        self.stop()

    def _input(self) -> TextIOWrapper:
        if not self.is_running:
            if self._process is not None and self._process.stdin is not None:
                with suppress(OSError):
                    self._process.stdin.close()
            self._process = subprocess.Popen(
                [sys.executable, "-m", "gen_dist.tracking.courier_process"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
                start_new_session=True,  # Ctrl-C is for the training, whose last words are still to be delivered
            )
            threading.Thread(target=self._listen, args=(self._process,), name="gen_dist-courier", daemon=True).start()
        assert self._process is not None
        assert isinstance(self._process.stdin, TextIOWrapper)
        return self._process.stdin

    def _listen(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout is not None
        with process.stdout as answers:
            for line in answers:
                message = json.loads(line)
                with self._lock:
                    waiting = self._waiting.pop(message["number"], None)
                if waiting is not None:
                    waiting.set_result(message["failure"])
        with self._lock:
            abandoned, self._waiting = self._waiting, {}
        for waiting in abandoned.values():
            waiting.set_result("the courier process ended; it is started again at the next attempt")


PROCESS = CourierProcess()
"""One for all trackers of this program: MLflow takes 250 MB."""
atexit.register(PROCESS.end)


def _write(file: TextIOWrapper, message: Message) -> None:
    file.write(json.dumps(message) + "\n")
    file.flush()


class _Worker:
    """Delivers one spool in a thread of its own, so that one slow store holds up nobody else."""

    def __init__(self, folder: Path, uri: str, output: "_Output") -> None:
        self.questions: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._spool = Spool(folder)
        self._uri = uri
        self._output = output
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        carrier = LocalCarrier(self._spool, partial(_connect, self._uri))
        question = self.questions.get()
        while question["uri"] is not None:
            failure = None
            try:
                carrier.deliver()
            except Exception as error:  # noqa: BLE001  the thread's edge: artifact stores raise what they like
                failure = describe(error)
            self._output.answer(question, failure)
            question = self.questions.get()
        carrier.close()
        self._output.answer(question, None)


def _connect(uri: str) -> Store:
    # the training imports this module too, and MLflow takes it over a second and 150 MB
    from gen_dist.tracking.store import MLflowStore

    # where MLflow would put the files of its default experiment; and the training's own folder may be gone by now
    path = sqlite_file(uri)
    folder = Path("/") if path is None else path.parent
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    return MLflowStore(uri)


class _Output:
    def __init__(self, file: TextIOWrapper) -> None:
        self._lock = threading.Lock()
        self._file = file

    def answer(self, question: Message, failure: str | None) -> None:
        with self._lock:
            _write(self._file, {"number": question["number"], "failure": failure})


def main() -> None:
    """The courier process."""
    os.nice(NICENESS)
    output = _Output(os.fdopen(os.dup(sys.stdout.fileno()), "w"))
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever a library prints must not look like an answer
    workers: dict[str, _Worker] = {}
    for line in sys.stdin:
        question = json.loads(line)
        folder, uri = question["folder"], question["uri"]
        if uri is None:
            worker = workers.pop(folder, None)
            if worker is None:
                output.answer(question, None)
                continue
        else:
            worker = workers.get(folder) or _Worker(Path(folder), uri, output)
            workers[folder] = worker
        worker.questions.put(question)
    os._exit(0)  # no waiting for a delivery that hangs in the network


if __name__ == "__main__":
    main()
