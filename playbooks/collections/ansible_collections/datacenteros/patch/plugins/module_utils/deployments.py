"""Deployments of the product, named by their id, each done once by the vendor's program. They outlive the connection that
began them.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time

from ansible_collections.datacenteros.patch.plugins.module_utils.detached import Detached, is_taken, read, write

FOLDER = "/var/lib/patch-manager/releases"
# The vendor's program. It reads its task from the environment, and exits with 0 when the version runs.
PROGRAM = "/etc/patch-manager/deploy-release"
ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}\Z")
LONGEST_OUTPUT = 1500


class Deployment(Detached):
    def __init__(self, deployment_id, folder=FOLDER):
        if not ID.match(deployment_id):
            raise ValueError("`{0}` is not a valid deployment id".format(deployment_id))
        super().__init__(folder, deployment_id)

    def first_record(self, known):
        return {"failure": None, "previous": self.installed()}

    def work(self, order, record):
        environment, seconds = order["environment"], order["seconds"]
        if self._wait_for_turn(seconds):
            record["failure"] = self._run(order["program"], environment, seconds)
        else:
            record["failure"] = "another deployment has occupied this host for more than {0} s".format(seconds)
        record["state"] = "failed" if record["failure"] else "completed"
        if record["state"] == "completed":
            write(os.path.join(self.folder, "installed"), {"version": environment["RELEASE_VERSION"]})
        self.store(record)

    def installed(self):
        """The version from the last deployment here, if there was one."""
        return (read(os.path.join(self.folder, "installed")) or {}).get("version")

    def _wait_for_turn(self, seconds):
        """Deployments of a host run one after the other: a rollback waits for the deployment. The lock ends with this process."""
        turn = os.open(os.path.join(self.folder, "host.lock"), os.O_RDWR | os.O_CREAT, 0o600)
        deadline = time.monotonic() + seconds
        while is_taken(turn):
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.1)
        return True

    def _run(self, program, environment, seconds):
        """Returns why it failed, or `None`."""
        try:
            with open(os.open(self.base + ".log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as log:
                child = subprocess.Popen(
                    [program], stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                    env={"PATH": os.defpath + ":/usr/sbin:/sbin:/usr/local/bin", "LC_ALL": "C.UTF-8", **environment},
                    start_new_session=True,
                )
            try:
                code = child.wait(timeout=seconds)
            except subprocess.TimeoutExpired:
                # With everything that it started.
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
                return "it took longer than {0} s and was killed".format(seconds)
        except OSError as error:
            return "`{0}` cannot be run: {1}".format(program, error.strerror)
        if code == 0:
            return None
        return self._last_output() or "`{0}` ended with exit status {1}".format(program, code)

    def _last_output(self):
        with open(self.base + ".log", "rb") as log:
            log.seek(0, os.SEEK_END)
            log.seek(max(0, log.tell() - LONGEST_OUTPUT))
            text = log.read().decode(errors="replace")
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return "".join(c if c.isprintable() else " " for c in "; ".join(lines[-3:]))
