"""Writes one JSON line per event to the pipe whose number is in `PM_EVENTS_FD`.

Fields are bounded. Of other modules' results only the message is written. Ansible has applied `no_log` before. A slow
reader slows the play down; without a reader this plugin stays silent and never fails the play.
"""

from __future__ import annotations

DOCUMENTATION = """
name: events
type: notification
short_description: Event stream for the patch manager
description:
  - Writes one JSON line per event to an inherited pipe.
requirements:
  - The number of the pipe in the environment variable PM_EVENTS_FD.
"""

import json
import os
import threading
import time

from ansible.plugins.callback import CallbackBase

MAX_TEXT = 2000
MAX_DATA_BYTES = 256 * 1024
HEARTBEAT_SECONDS = 5


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "datacenteros.patch.events"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        number = os.environ.get("PM_EVENTS_FD", "")
        self.pipe = int(number) if number.isdigit() else None
        self.disabled = self.pipe is None
        self.started = {}
        # Lines of two threads must not mix.
        self.lock = threading.Lock()
        if self.pipe is not None:
            threading.Thread(target=self._beat, daemon=True).start()

    def _beat(self):
        while self.pipe is not None:
            self._write("heartbeat")
            time.sleep(HEARTBEAT_SECONDS)

    def v2_runner_on_start(self, host, task):
        self.started[(host.get_name(), task._uuid)] = time.monotonic()
        self._write("host_started", host=host.get_name(), **_task(task))

    def v2_runner_on_ok(self, result):
        self._result(result, "changed" if result.result.get("changed") else "ok")

    def v2_runner_on_failed(self, result, ignore_errors=False):
        self._result(result, "failed", ignored=bool(ignore_errors))

    def v2_runner_on_unreachable(self, result):
        self._result(result, "unreachable", ignored=bool(result.task.ignore_unreachable))

    def v2_runner_on_skipped(self, result):
        self._result(result, "skipped")

    def v2_runner_item_on_ok(self, result):
        self._item(result, "changed" if result.result.get("changed") else "ok")

    def v2_runner_item_on_failed(self, result):
        self._item(result, "failed")

    def v2_runner_item_on_skipped(self, result):
        self._item(result, "skipped")

    def v2_playbook_on_stats(self, stats):
        self._write("stats", hosts=sorted(stats.processed))

    def _result(self, result, status, ignored=False):
        began = self.started.pop((result.host.get_name(), result.task._uuid), None)
        duration = 0 if began is None else int((time.monotonic() - began) * 1000)
        self._host_result(result, status, item=None, duration_ms=duration, ignored=ignored)

    def _item(self, result, status):
        label = result.result.get("_ansible_item_label", result.result.get("item"))
        self._host_result(result, status, item=_text(label)[:200], duration_ms=0, ignored=False)

    def _host_result(self, result, status, item, duration_ms, ignored):
        values = result.result
        # The results of a loop's items were events of their own.
        data = {key: value for key, value in values.items() if key == "pm" or key.startswith("pm_")}
        self._write(
            "host_result",
            host=result.host.get_name(),
            **_task(result.task),
            status=status,
            item=item,
            message=_message(values),
            data=_bounded(data),
            duration_ms=duration_ms,
            ignored=ignored,
        )

    def _write(self, event, **fields):
        if self.pipe is None:
            return
        line = json.dumps({"event": event, **fields}, default=str).encode() + b"\n"
        with self.lock:
            try:
                while line:
                    line = line[os.write(self.pipe, line):]
            except OSError:
                self.pipe = None


def _task(task):
    # The name without the role's name, because there is only one role.
    return {"task": _text(task.name or task.action), "step": task.vars.get("managed_host_step")}


def _message(values):
    parts = [values.get("msg") or values.get("skip_reason")]
    if values.get("failed"):
        parts.extend(values.get(key) for key in ("stderr", "module_stderr"))
    return _text(": ".join(_text(part) for part in parts if part)) or None


def _text(value):
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= MAX_TEXT else text[:MAX_TEXT] + "…"


def _bounded(data):
    if not data:
        return None
    if len(json.dumps(data, default=str)) > MAX_DATA_BYTES:
        return {"pm_too_large": sorted(data)}
    return data
