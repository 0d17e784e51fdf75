"""Asks the process that started the playbook for what the platform's own rules decide."""

from __future__ import annotations

import json
import os
import socket

from ansible_collections.datacenteros.patch.plugins.plugin_utils.errors import StepFailed

TIMEOUT_SECONDS = 60


def ask(path, question):
    """The answer to a question; each is one line of JSON."""
    if not path:
        raise StepFailed("pm_judge_socket is not set: only a playbook that the platform starts can judge the facts of a host")
    folder, name = os.path.split(path)
    try:
        opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            # The address of a socket has at most 107 bytes; the folder's path may be longer.
            line = _exchange(f"/proc/self/fd/{opened}/{name}", json.dumps(question).encode() + b"\n")
        finally:
            os.close(opened)
        answer = json.loads(line)
    except (OSError, ValueError) as error:
        raise StepFailed(f"the platform does not answer the question of a plugin: {error}") from None
    if "error" in answer:
        raise StepFailed(f"the platform refuses the question of a plugin: {answer['error']}")
    return answer


def _exchange(address, question):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stream:
        stream.settimeout(TIMEOUT_SECONDS)
        stream.connect(address)
        stream.sendall(question)
        with stream.makefile("rb") as answer:
            return answer.readline()
