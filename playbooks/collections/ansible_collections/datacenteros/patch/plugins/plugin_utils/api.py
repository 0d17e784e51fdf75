"""JSON over HTTP to the platform's services; retries while a service restarts."""

from __future__ import annotations

import http.client
import json
import socket
import time
import uuid
from urllib.parse import quote, urlsplit

from ansible_collections.datacenteros.patch.plugins.plugin_utils.errors import HostUnreachable, StepFailed

CALL_TIMEOUT_SECONDS = 10
MAX_ANSWER_BYTES = 32 * 1024 * 1024
# From a proxy in front of the service, or from a service that is temporarily unable to work.
RETRIED = (429, 502, 503, 504)


class Answer:
    def __init__(self, status, body):
        self.status = status
        self.body = body

    @property
    def ok(self):
        return 200 <= self.status < 300

    @property
    def detail(self):
        """The reason from the problem+json body."""
        if isinstance(self.body, dict):
            for key in ("detail", "title"):
                if self.body.get(key):
                    return str(self.body[key])
        return f"HTTP status {self.status}"

    @property
    def is_guest_silent(self):
        """The service works and reports that the guest does not answer."""
        if self.status != 503 or not isinstance(self.body, dict):
            return False
        return any("guest" in str(self.body.get(key, "")) for key in ("type", "title", "detail"))


class Api:
    """One service. The connection stays open, because polling a transaction needs many calls."""

    def __init__(self, name, base_url, token_file, retry_seconds):
        self.name = name
        self.token_file = token_file
        self.retry_seconds = retry_seconds
        parts = urlsplit(base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise StepFailed(f"the address of the {name}, `{base_url}`, is not an http(s) URL")
        self.parts = parts
        self.connection = None

    def call(self, method, path, body=None):
        """Returns the answer, whatever its status; raises when the service is unavailable longer than allowed."""
        deadline = time.monotonic() + self.retry_seconds
        pause = 0.2
        # The same for every try of this call, so that a service whose answer was lost does the work once.
        key = str(uuid.uuid4()) if method == "POST" else None
        while True:
            try:
                answer = self._once(method, path, body, key)
                if answer.status not in RETRIED or answer.is_guest_silent:
                    return answer
                problem = answer.detail
            except (OSError, http.client.HTTPException) as error:
                self.close()
                problem = str(error) or type(error).__name__
            if time.monotonic() + pause > deadline:
                raise StepFailed(f"the {self.name} did not answer for {self.retry_seconds:g} s: {problem}")
            time.sleep(pause)
            pause = min(pause * 2, 2.0)

    def get(self, path):
        return self.call("GET", path)

    def close(self):
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def _once(self, method, path, body, key):
        headers = {"Accept": "application/json", "User-Agent": "datacenteros-playbook"}
        token = self._token()
        if token:
            headers["Authorization"] = "Bearer " + token
        if key:
            headers["Idempotency-Key"] = key
        data = None
        if body is not None:
            data = json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
        if self.connection is None:
            kind = http.client.HTTPSConnection if self.parts.scheme == "https" else http.client.HTTPConnection
            self.connection = kind(self.parts.hostname, self.parts.port, timeout=CALL_TIMEOUT_SECONDS)
            self.connection.connect()
            # Without it, a small request after an answer waits for the delayed acknowledgement.
            self.connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connection.request(method, self.parts.path.rstrip("/") + path, body=data, headers=headers)
        response = self.connection.getresponse()
        raw = response.read(MAX_ANSWER_BYTES + 1)
        if len(raw) > MAX_ANSWER_BYTES:
            raise http.client.HTTPException("the answer is larger than 32 MiB")
        if response.will_close:
            self.close()
        try:
            return Answer(response.status, json.loads(raw) if raw else None)
        except ValueError:
            return Answer(response.status, None)

    def _token(self):
        """Read for each call, because a renewed token replaces the file."""
        if not self.token_file:
            return ""
        try:
            with open(self.token_file, encoding="ascii") as file:
                return file.read().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise StepFailed(f"the token file `{self.token_file}` cannot be read: {type(error).__name__}") from None


def segment(text):
    """One path segment, escaped so that it cannot reach another resource."""
    if text in ("", ".", ".."):
        raise StepFailed(f"`{text}` is not a valid path segment")
    return quote(text, safe="")


def expect(answer, what):
    """The body of a success; raises the matching error otherwise."""
    if answer.ok:
        return answer.body
    if answer.is_guest_silent:
        raise HostUnreachable(answer.detail)
    raise StepFailed(f"{what}: {answer.detail}")
