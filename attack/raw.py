"""Requests written byte by byte."""

from __future__ import annotations

import socket
import urllib.parse

from lab import Answer, Caller

TIMEOUT = 40


def connect(caller: Caller, service: str, timeout: float = TIMEOUT) -> socket.socket:
    parts = urllib.parse.urlsplit(caller.addresses[service])
    return socket.create_connection((parts.hostname or "", parts.port or 0), timeout=timeout)


def exchange(
    caller: Caller, method: str, service: str, path: str, body: bytes, whole: bool = False, timeout: float = TIMEOUT
) -> Answer:
    """Sends a JSON body, or with `whole` the complete request, and reads until the service has answered.

    The status 0 means that the connection was closed without an answer.
    """
    request = body
    if not whole:
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {caller.token}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        request = head.encode() + body
    with connect(caller, service, timeout) as connection:
        try:
            connection.sendall(request)
        except (BrokenPipeError, ConnectionResetError):
            pass
        return parse(read(connection))


def read(connection: socket.socket) -> bytes:
    """Until the connection is closed, or the head and a body of the stated length have come."""
    received = b""
    while True:
        try:
            part = connection.recv(65536)
        except (ConnectionResetError, BrokenPipeError):
            return received
        received += part
        if not part or is_whole(received):
            return received


def is_whole(received: bytes) -> bool:
    head, found, body = received.partition(b"\r\n\r\n")
    if not found:
        return False
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return len(body) >= int(value)
    return b"chunked" in head.lower() and received.endswith(b"0\r\n\r\n")


def parse(received: bytes) -> Answer:
    head, _, body = received.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    words = lines[0].split(" ")
    status = int(words[1]) if len(words) > 1 and words[1].isdigit() else 0
    headers = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    return Answer(status, lines[0] + "\r\n" + head.decode("latin-1") + "\r\n\r\n" + body.decode(errors="replace"), headers)
