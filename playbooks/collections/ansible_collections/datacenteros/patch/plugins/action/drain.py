"""Waits until the host has no work left, as a command on the host or a URL reports."""

from __future__ import annotations

import http.client
import socket
import time
from urllib.parse import urlsplit

from ansible_collections.datacenteros.patch.plugins.plugin_utils.errors import StepFailed
from ansible_collections.datacenteros.patch.plugins.plugin_utils.host_action import HostAction
from ansible_collections.datacenteros.patch.plugins.action.commands import check_command

PAUSE_SECONDS = 2
CALL_TIMEOUT_SECONDS = 10


class ActionModule(HostAction):
    def perform(self):
        drain = self.settings.drain
        if not drain:
            return {"skipped": True, "msg": "no drain check is set"}
        check = self._check_url if "url" in drain else self._check_command
        if check == self._check_command and self.settings.driver == "model":
            return {"skipped": True, "msg": "a model guest runs no commands"}
        limit = (self.rule.timeout_seconds if self.rule else None) or self.settings.drain_timeout_seconds
        began = time.monotonic()
        while (problem := check(drain)) is not None:
            if time.monotonic() - began + PAUSE_SECONDS > limit:
                raise StepFailed(f"the host is not drained after {limit:g} s: {problem}")
            self.pause(PAUSE_SECONDS)
        return {"msg": f"drained after {time.monotonic() - began:.0f} s"}

    def _check_command(self, drain):
        check_command(drain.get("command"))
        try:
            self.host.run_command(drain["command"], CALL_TIMEOUT_SECONDS)
        except StepFailed as error:
            return str(error)
        return None

    @staticmethod
    def _check_url(drain):
        parts = urlsplit(str(drain["url"]))
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise StepFailed("the drain check is not an http(s) URL")
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        connection = kind(parts.hostname, parts.port, timeout=CALL_TIMEOUT_SECONDS)
        if drain.get("addresses"):
            # The platform has checked these. Its name may lead elsewhere by now.
            connection._create_connection = _connect_to(drain["addresses"])
        try:
            query = f"?{parts.query}" if parts.query else ""
            connection.request("GET", (parts.path or "/") + query, headers={"User-Agent": "datacenteros-playbook"})
            status = connection.getresponse().status
        except (OSError, http.client.HTTPException) as error:
            return str(error) or type(error).__name__
        finally:
            connection.close()
        return None if 200 <= status < 300 else f"it answers {status}"


def _connect_to(addresses):
    """What `http.client` calls to connect; TLS still checks the name."""

    def connect(address, timeout, source_address=None):
        failure = None
        for one in addresses:
            try:
                return socket.create_connection((str(one), address[1]), timeout, source_address)
            except OSError as error:
                failure = error
        raise failure

    return connect
