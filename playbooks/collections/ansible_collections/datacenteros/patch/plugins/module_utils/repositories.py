"""The enabled repositories and module streams of a host, as its own files name them. Nothing is run and nothing is changed."""

from __future__ import annotations

import glob
import os
import re

VARIABLE = re.compile(r"\$\{?([a-z0-9_]+)\}?")
FALSE = ("0", "no", "false", "off")
# More than any real host has; the platform refuses longer lists.
MOST = 500


def repositories(root="/"):
    """The addresses of the enabled repositories, without credentials."""
    addresses = _apt(root) + _rpm(root)
    return sorted(set(_without_credentials(address) for address in addresses))[:MOST]


def enabled_modules(root="/"):
    """The module streams that dnf follows, `nodejs:20`."""
    found = []
    for _path, sections in _sections(root, "etc/dnf/modules.d/*.module"):
        for name, fields in sections:
            if fields.get("state") == "enabled" and fields.get("stream"):
                found.append("{0}:{1}".format(fields.get("name", name), fields["stream"]))
    return sorted(set(found))[:MOST]


def _without_credentials(address):
    return re.sub(r"^([a-z+]+://)[^/@]*@", r"\1", address)


def _lines(path):
    try:
        with open(path, errors="replace") as file:
            return file.read().splitlines()
    except OSError:
        return []


def _files(root, pattern):
    return sorted(glob.glob(os.path.join(root, pattern)))


def _apt(root):
    addresses = []
    for path in [os.path.join(root, "etc/apt/sources.list")] + _files(root, "etc/apt/sources.list.d/*.list"):
        for line in _lines(path):
            # `deb [signed-by=/x arch=amd64] https://address suite component`
            match = re.match(r"\s*deb\s+(?:\[[^\]]*\]\s+)?(\S+)", line)
            if match:
                addresses.append(match.group(1))
    for path in _files(root, "etc/apt/sources.list.d/*.sources"):
        for paragraph in "\n".join(_lines(path)).split("\n\n"):
            fields = dict(re.findall(r"(?mi)^([a-z-]+):[ \t]*(.*(?:\n[ \t].*)*)", paragraph))
            fields = {name.lower(): value for name, value in fields.items()}
            is_enabled = fields.get("enabled", "yes").strip().lower() not in FALSE
            if is_enabled and "deb" in fields.get("types", "").split():
                addresses += fields.get("uris", "").split()
    return addresses


def _rpm(root):
    variables = _variables(root)
    addresses = []
    for pattern in ("etc/yum.repos.d/*.repo", "etc/zypp/repos.d/*.repo"):
        for _path, sections in _sections(root, pattern):
            for _name, fields in sections:
                if fields.get("enabled", "1").lower() in FALSE:
                    continue
                for field in ("baseurl", "mirrorlist", "metalink"):
                    addresses += [_expand(address, variables) for address in fields.get(field, "").split()]
    return addresses


def _expand(address, variables):
    return VARIABLE.sub(lambda match: variables.get(match.group(1), match.group(0)), address)


def _variables(root):
    """`releasever` is what an administrator has set, or else the version of the host, with its minor release."""
    variables = {}
    for line in _lines(os.path.join(root, "etc/os-release")):
        if line.startswith("VERSION_ID="):
            variables["releasever"] = line.partition("=")[2].strip().strip("\"'")
    for folder in ("etc/yum/vars", "etc/dnf/vars"):
        for path in _files(root, folder + "/*"):
            lines = _lines(path)
            if lines and lines[0].strip():
                variables[os.path.basename(path)] = lines[0].strip()
    return variables


def _sections(root, pattern):
    """Files as `[name]` and `field=value`, with continued values; configparser refuses too much of what package managers accept."""
    found = []
    for path in _files(root, pattern):
        sections, fields, last = [], None, None
        for line in _lines(path):
            if not line.strip() or line.lstrip().startswith(("#", ";")):
                continue
            if line.startswith("[") and "]" in line:
                fields, last = {}, None
                sections.append((line[1 : line.index("]")], fields))
            elif fields is not None and line[0].isspace() and last:
                fields[last] += " " + line.strip()
            elif fields is not None and "=" in line:
                last, _equals, value = line.partition("=")
                last = last.strip().lower()
                fields[last] = value.strip()
        found.append((path, sections))
    return found
