"""Deployments of the product that outlive the connection that began them, known by their id, each done once by the vendor's
program.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time

from ansible_collections.datacenteros.patch.plugins.module_utils.detached import Detached, is_taken, read, write

FOLDER = "/var/lib/patch-manager/releases"
# The vendor's; it finds what to do in its environment, and exits with 0 when the version runs.
PROGRAM = "/etc/patch-manager/deploy-release"
ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}\Z")
LONGEST_OUTPUT = 1500


class Deployment(Detached):
    def __init__(self, deployment_id, folder=FOLDER):
        if not ID.match(deployment_id):
            raise ValueError("`{0}` cannot be the id of a deployment".format(deployment_id))
        super().__init__(folder, deployment_id)

    def first_record(self, known):
        return {"failure": None, "previous": self.installed()}

    def work(self, order, record):
        environment, seconds = order["environment"], order["seconds"]
        if self._wait_for_turn(seconds):
            record["failure"] = self._run(order["program"], environment, seconds)
        else:
            record["failure"] = "another deployment has kept this host for more than {0} s".format(seconds)
        record["state"] = "failed" if record["failure"] else "completed"
        if record["state"] == "completed":
            write(os.path.join(self.folder, "installed"), {"version": environment["RELEASE_VERSION"]})
        self.store(record)

    def installed(self):
        """The version that the last deployment brought here, when there was one."""
        return (read(os.path.join(self.folder, "installed")) or {}).get("version")

    def _wait_for_turn(self, seconds):
        """One after the other: the way back waits for the way there. The turn is kept until this process ends."""
        turn = os.open(os.path.join(self.folder, "host.lock"), os.O_RDWR | os.O_CREAT, 0o600)
        deadline = time.monotonic() + seconds
        while is_taken(turn):
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.1)
        return True

    def _run(self, program, environment, seconds):
        """Why it failed, or nothing."""
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
                # With all that it began.
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
                return "it took longer than {0} s and was ended".format(seconds)
        except OSError as error:
            return "`{0}` cannot be run: {1}".format(program, error.strerror)
        if code == 0:
            return None
        return self._last_words() or "`{0}` ended with exit status {1}".format(program, code)

    def _last_words(self):
        with open(self.base + ".log", "rb") as log:
            log.seek(0, os.SEEK_END)
            log.seek(max(0, log.tell() - LONGEST_OUTPUT))
            text = log.read().decode(errors="replace")
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return "".join(c if c.isprintable() else " " for c in "; ".join(lines[-3:]))
