"""Lambda's side of its Runtime API, on loopback, for AWS's own runtime client in a process of its own.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html. As in Lambda, the process is frozen (SIGSTOP) from the
answer to one invocation until the next, so that nothing is delivered by threads meanwhile.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from time import time
from typing import Any

from typing_extensions import Self

_WAIT = 60.0  # seconds for what takes one


@dataclass
class Answer:
    """What the function answered, and what there was to see at that moment.

    Attributes:
        kind: ``response`` or ``error``.
        body: The JSON it sent.
        seen: What ``look`` gave when the answer came.
    """

    kind: str
    body: Any
    seen: Any


class LambdaService:
    """One execution environment.

    Args:
        directory: Where ``app.py`` is, whose ``lambda_handler`` is invoked.
        look: Called when the function answers, before anything else can happen.
        **variables: Environment variables of the function.
    """

    def __init__(self, directory: Path, look: Callable[[], Any], **variables: str) -> None:
        self._look = look
        self._invocations: queue.Queue[tuple[str, dict[str, str], bytes]] = queue.Queue()
        self._answers: queue.Queue[Answer] = queue.Queue()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self._log = (directory / "log.txt").open("wb")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "awslambdaric", "app.lambda_handler"],
            cwd=directory,
            env={
                **{name: value for name, value in os.environ.items() if not name.startswith(("GENOPS_", "POSTHOG_"))},
                "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{self._server.server_port}",
                "LAMBDA_TASK_ROOT": str(directory),
                "AWS_LAMBDA_FUNCTION_NAME": "analytics",
                **variables,
            },
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        self._number = 0

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        service = self

        class RuntimeApi(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                request_id, headers, body = service._invocations.get()
                self._answer(200, body, {"Lambda-Runtime-Aws-Request-Id": request_id, **headers})

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])) or b"null")
                kind = self.path.rpartition("/")[2]
                service._freeze()
                service._answers.put(Answer(kind, body, service._look()))
                self._answer(202, b'{"status": "OK"}', {})

            def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        return RuntimeApi

    def _freeze(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def invoke(self, event: Any, *, seconds: float = 30.0) -> Answer:
        """Thaws the environment, invokes the function and freezes it again with its answer.

        Args:
            event: The event.
            seconds: Its timeout.
        """
        self._number += 1
        deadline = int((time() + seconds) * 1000)
        headers = {
            "Lambda-Runtime-Deadline-Ms": str(deadline),
            "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:us-east-1:1:function:analytics",
            "Lambda-Runtime-Trace-Id": "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=1",
            "Content-Type": "application/json",
        }
        self._process.send_signal(signal.SIGCONT)
        self._invocations.put((f"invocation-{self._number}", headers, json.dumps(event).encode()))
        try:
            return self._answers.get(timeout=_WAIT)
        except queue.Empty:
            raise AssertionError(f"the function did not answer; it wrote:\n{self.log}") from None

    @property
    def log(self) -> str:
        """What the function has written."""
        return Path(self._log.name).read_text(encoding="utf-8", errors="replace")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Reclaims the environment, as Lambda does: it is not thawed for it."""
        self._process.kill()
        self._process.wait()
        self._server.shutdown()
        self._server.server_close()
        self._log.close()
