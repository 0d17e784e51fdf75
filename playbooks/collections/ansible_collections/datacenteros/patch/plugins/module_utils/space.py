"""The file systems that an update writes to, with what is free on them."""

from __future__ import annotations

import os

# What is written where: kernels, the files of packages, the package database, downloaded files.
BOOT, FILES, DOWNLOADS = "boot", "files", "downloads"


def file_systems(system):
    """Each file system once, by its mount point, with what an update writes to it."""
    found = {}
    places = ((BOOT, "/boot"), (FILES, "/usr"), (FILES, system.DATABASE), (DOWNLOADS, system.DOWNLOADS))
    for holds, path in places:
        path = existing(path)
        try:
            device, stats = os.stat(path).st_dev, os.statvfs(path)
        except OSError as error:
            found[path] = {"path": path, "holds": [holds], "unknown": error.strerror}
            continue
        entry = found.setdefault(device, {"path": mount_point(path), "holds": [], **free(stats)})
        if holds not in entry["holds"]:
            entry["holds"].append(holds)
    return list(found.values())


def free(stats):
    """A file system without a fixed number of inodes, such as btrfs, reports none."""
    return {
        "free_bytes": stats.f_bavail * stats.f_frsize, "total_bytes": stats.f_blocks * stats.f_frsize,
        "free_inodes": stats.f_favail if stats.f_files else None,
    }


def existing(path):
    """The path or the nearest folder above it that exists."""
    while path != "/" and not os.path.isdir(path):
        path = os.path.dirname(path)
    return path


def mount_point(path):
    path = os.path.realpath(path)
    while not os.path.ismount(path):
        path = os.path.dirname(path)
    return path
