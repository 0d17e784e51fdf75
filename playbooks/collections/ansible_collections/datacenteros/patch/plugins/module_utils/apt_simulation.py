"""What apt prints when it only simulates, as facts."""

from __future__ import annotations

import re

# `Inst name [old] (new origin, origin [arch]) [...]`; a new package has no old version.
INSTALLS = re.compile(r"^Inst (\S+)(?: \[([^\]]*)\])? \((\S+)(?: ([^\[\]]*?))?(?: ?\[([^\]]*)\])?\)")
# apt writes `Purg` for a package whose settings go as well.
REMOVES = re.compile(r"^(?:Remv|Purg) (\S+) \[([^\]]*)\]")


def read_simulation(output):
    """Updates, new packages and removals. A package of a foreign architecture that is new or goes is named with it."""
    facts = {"updates": [], "installs": [], "removals": []}
    for line in output.splitlines():
        match = INSTALLS.match(line)
        if match:
            name, old, new, origins, _arch = match.groups()
            origins = [origin.strip() for origin in (origins or "").split(",") if origin.strip()]
            if old is None:
                facts["installs"].append({"package": name, "version": new, "origins": origins})
            else:
                facts["updates"].append({"package": name.split(":")[0], "from": old, "to": new, "origins": origins})
            continue
        match = REMOVES.match(line)
        if match:
            facts["removals"].append({"package": match.group(1), "version": match.group(2)})
    return facts


def read_sizes(output):
    """`(name, version)` to the size of the file and the installed size in bytes, from `apt-cache show`."""
    sizes = {}
    for paragraph in output.split("\n\n"):
        fields = dict(re.findall(r"(?m)^(Package|Version|Size|Installed-Size): *(\S+)", paragraph))
        if fields.get("Size", "").isdigit() and "Package" in fields and "Version" in fields:
            installed = fields.get("Installed-Size", "")
            kib = int(installed) if installed.isdigit() else 0
            sizes[(fields["Package"], fields["Version"])] = (int(fields["Size"]), kib * 1024)
    return sizes


def add_sizes(facts, sizes, installed):
    """Adds the bytes to download and the disk space needed; leaves them out if the size of a package is unknown.
    `installed` has the bytes of each installed package."""
    new = [(one["package"], one["to"]) for one in facts["updates"]]
    new += [(one["package"].split(":")[0], one["version"]) for one in facts["installs"]]
    if any(key not in sizes for key in new):
        return
    download = sum(sizes[key][0] for key in new)
    grows = sum(sizes[key][1] for key in new)
    for one in [*facts["updates"], *facts["removals"]]:
        grows -= installed.get(one["package"].split(":")[0], 0)
    facts["download_bytes"] = download
    facts["disk_bytes"] = download + max(0, grows)
