"""Where the platform sends to: a mail server that asks for a password, and a receiver of webhooks."""

from __future__ import annotations

import email
import email.policy
import http.server
import logging
import threading
import warnings
from dataclasses import dataclass
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

from lab import free_ports


@dataclass
class Mail:
    to: list[str]
    text: str


class Mails:
    """Keeps every message; a sender with another password is refused."""

    def __init__(self, name: str, password: str) -> None:
        self.received: list[Mail] = []
        self.logins = 0
        self.credentials = (name.encode(), password.encode())
        self.port = free_ports()
        # The platform is told to send to this machine without TLS.
        warnings.filterwarnings("ignore", message="Requiring AUTH")
        logging.getLogger("mail.log").setLevel(logging.ERROR)
        self.controller = Controller(
            self,
            hostname="127.0.0.1",
            port=self.port,
            authenticator=self.authenticate,
            auth_required=True,
            auth_require_tls=False,
        )

    def __enter__(self) -> Mails:
        self.controller.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.controller.stop()

    def authenticate(self, _server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
        fine = isinstance(data, LoginPassword) and (data.login, data.password) == self.credentials
        self.logins += int(fine)
        return AuthResult(success=fine, handled=False)

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        body = message.get_body()
        text = f"{message.items()}\n{body.get_content() if body else ''}"
        self.received.append(Mail(list(envelope.rcpt_tos), text))
        return "250 kept"


class Webhooks:
    """Keeps what it receives, and answers 200."""

    def __init__(self) -> None:
        self.received: list[str] = []
        received = self.received

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:  # noqa: N802
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                received.append(f"{self.path}\n{self.headers}\n{body.decode(errors='replace')}")
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]

    def __enter__(self) -> Webhooks:
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()
