"""Clients that send or read slowly must not delay others, and their connections must end."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import lab
from lab import Platform, Tools
from raw import connect, exchange, read
from report import Report

#: Short, so that the attack is; the defaults are of the same code.
LIMITS = {
    "HEADER_TIMEOUT_SECONDS": "3",
    "IDLE_TIMEOUT_SECONDS": "6",
    "BODY_TIMEOUT_SECONDS": "3",
    "MAX_CONNECTIONS_PER_ADDRESS": "200",
}
SLOW_CLIENTS = 400
#: A client that waits longer than this is delayed, even on a busy machine with two cores.
PATIENCE = 10.0
#: After the last timeout; a connection that is open then never ends.
GRACE = 20


def attack(tools: Tools, report: Report) -> None:
    platform = lab.start(tools, "slow", LIMITS)
    try:
        platform.furnish()
        before = open_files(platform)
        for what, begin in (("half a head", half_head), ("half a body", half_body), ("no request", nothing)):
            crowd(platform, report, what, begin)
        slow_body_gets_408(platform, report)
        slow_readers(platform, report)
        check_files(platform, report, before)
    finally:
        platform.stop()


def half_head(token: str) -> bytes:
    return f"GET /healthz HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nX-".encode()


def half_body(token: str) -> bytes:
    head = f"POST /access/tokens HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n"
    return f"{head}Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{{".encode()


def nothing(_token: str) -> bytes:
    return b""


def crowd(platform: Platform, report: Report, what: str, begin: Callable[[str], bytes]) -> None:
    """Many connections that never finish, on every service at once, and meanwhile a client that does."""
    caller = platform.person("olivia")
    connections: list[socket.socket] = []
    try:
        for number in range(SLOW_CLIENTS):
            service = lab.SERVICES[number % len(lab.SERVICES)]
            connection = connect(caller, service)
            connections.append(connection)
            try:
                connection.sendall(begin(caller.token or ""))
            except OSError:
                pass
        report.count(f"slow clients: {what}", len(connections))
        for service in lab.SERVICES:
            for path in ("/healthz", "/access/approvers"):
                started = time.monotonic()
                answer = platform.person("vera").get(service, path)
                waited = time.monotonic() - started
                report.count("requests beside slow clients")
                if answer.status != 200 or waited > PATIENCE:
                    report.fail(f"slow clients: {what}", f"{service}{path}: {answer.status} after {waited:.1f} s")
        deadline = time.monotonic() + GRACE
        still_open = [connection for connection in connections if not is_closed(connection, deadline)]
        if still_open:
            report.fail(f"slow clients: {what}", f"{len(still_open)} connections are still open after {GRACE} s")
    finally:
        for connection in connections:
            connection.close()


def is_closed(connection: socket.socket, deadline: float) -> bool:
    """Whether the service closes it, with or without an answer."""
    while True:
        connection.settimeout(max(0.05, deadline - time.monotonic()))
        try:
            if not connection.recv(65536):
                return True
        except TimeoutError:
            return False
        except OSError:
            return True


def slow_body_gets_408(platform: Platform, report: Report) -> None:
    for service in lab.SERVICES:
        caller = platform.person("mallory")
        with connect(caller, service, 30) as connection:
            connection.sendall(half_body(caller.token or ""))
            for _ in range(12):
                time.sleep(0.5)
                try:
                    connection.sendall(b" ")
                except OSError:
                    break
            answer = read(connection)
        report.count("slow bodies")
        if not answer.startswith(b"HTTP/1.1 408 "):
            report.fail("slow bodies", f"{service}: a body of two bytes a second got {answer[:200]!r}")


def slow_readers(platform: Platform, report: Report) -> None:
    """Clients that ask for large answers and take nothing of them."""
    caller = platform.person("olivia")
    connections: list[socket.socket] = []
    request = (
        "GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 4
    ).encode()
    try:
        for number in range(40):
            connection = socket.socket()
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            connection.settimeout(10)
            address = caller.addresses[lab.SERVICES[number % 4]].rpartition(":")[2]
            connection.connect(("127.0.0.1", int(address)))
            connection.sendall(request)
            connections.append(connection)
        report.count("slow readers", len(connections))
        for service in lab.SERVICES:
            started = time.monotonic()
            answer = exchange(caller, "GET", service, "/healthz", b"", timeout=PATIENCE * 2)
            waited = time.monotonic() - started
            if answer.status != 200 or waited > PATIENCE:
                report.fail("slow readers", f"{service}: {answer.status} after {waited:.1f} s")
    finally:
        for connection in connections:
            connection.close()


def open_files(platform: Platform) -> int:
    return len(list((Path("/proc") / str(platform.process.pid) / "fd").iterdir()))


def check_files(platform: Platform, report: Report, before: int) -> None:
    """All connections are gone, so the files must be closed, too."""
    report.count("open files")
    deadline = time.monotonic() + GRACE
    # Connections to the database and between services may have been added.
    while open_files(platform) > before + 100:
        if time.monotonic() > deadline:
            report.fail("open files", f"{open_files(platform)} are open, {before} before the attack")
            return
        threading.Event().wait(0.5)
