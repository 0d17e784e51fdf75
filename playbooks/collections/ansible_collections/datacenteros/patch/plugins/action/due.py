"""Which planned packages a real host still lacks, written as its package manager wants them."""

from __future__ import annotations

import re

from ansible_collections.datacenteros.patch.plugins.plugin_utils.errors import StepFailed
from ansible_collections.datacenteros.patch.plugins.plugin_utils.host_action import HostAction, installed_versions
from ansible_collections.datacenteros.patch.plugins.plugin_utils.versions import is_at_least

# Nothing that a package manager reads as an option, a path, a pattern or a list.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9+._-]*\Z")
VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9+.~:^_-]*\Z")


class ActionModule(HostAction):
    def perform(self):
        host = self.host.inspect()
        installed = installed_versions(host)
        joint = "=" if host["packaging"] == "dpkg" else "-"
        specifications = []
        for name, version in sorted(self.settings.updates.items()):
            if not NAME.match(name) or not VERSION.match(str(version)):
                raise StepFailed(f"`{name}` at `{version}` is not a package and a version")
            if not is_at_least(host["packaging"], installed.get(name), version):
                specifications.append(f"{name}{joint}{version}")
        return {"pm_specifications": specifications, "msg": f"{len(specifications)} packages are due"}
