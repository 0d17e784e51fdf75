"""rpm with dnf: installed packages, packages on offer, and the commands that change them."""

from __future__ import annotations

import fnmatch
import glob
import os
import re
import shutil
import time

try:
    import sqlite3
except ImportError:  # Some distributions package it separately.
    sqlite3 = None

from ansible_collections.datacenteros.patch.plugins.module_utils import dnf_transaction, pinning
from ansible_collections.datacenteros.patch.plugins.module_utils.first_words import first_words

FIELDS = "%{NAME}|%|EPOCH?{%{EPOCH}:}:{}|%{VERSION}-%{RELEASE}|%{ARCH}|%{SOURCERPM}|%{INSTALLTIME}|%{VENDOR}"
# As in dnf's own plugin `needs-restarting`: a host that runs older versions of these needs a reboot. The platform compares
# kernels itself.
CORE = {"glibc", "linux-firmware", "systemd", "udev", "openssl-libs", "gnutls", "dbus", "dbus-broker"}
HISTORY = "/var/lib/dnf/history.sqlite"
# While another program reads the database or changes a package.
LOCK_PATIENCE_SECONDS = 15


class Rpm:
    KIND = "rpm"
    QUERY = "rpm"
    LOCKS = ("/var/lib/rpm/.rpm.lock", "/usr/lib/sysimage/rpm/.rpm.lock")
    DOWNLOADS = "/var/cache/dnf"
    DATABASE = "/var/lib/rpm"
    # Exit statuses of a transaction that was done, and of one that must be started once more for the rest.
    DONE = (0,)
    AGAIN = ()

    def __init__(self, run):
        self.run = run
        self.dnf = next((tool for tool in ("dnf", "yum") if shutil.which(tool)), None)
        self.TOOL = self.dnf or "dnf"
        self.REFRESH = "{0} makecache".format(self.TOOL)

    def missing_tool(self):
        return None if self.dnf else "dnf"

    def installed(self):
        # Older rpm does not know the label and refuses the whole query.
        code, out, _err = self.run(["rpm", "-qa", "--qf", FIELDS + "|%{MODULARITYLABEL}\n"])
        if code != 0 or "unknown tag" in out:
            _code, out, _err = self.run(["rpm", "-qa", "--qf", FIELDS + "\n"])
        packages = []
        for line in out.splitlines():
            name, version, arch, source, installed_at, vendor, module = (line + "|" * 6).split("|")[:7]
            if name == "gpg-pubkey" or not version:
                continue
            packages.append({
                "name": name, "version": version, "arch": arch, "source": re.sub(r"-[^-]+-[^-]+\.src\.rpm$", "", source),
                "source_version": version, "vendor": _known(vendor), "module": _known(module),
                "installed_at": int(installed_at) if installed_at.isdigit() else 0,
            })
        return packages

    def describe(self, packages):
        """Adds the versions on offer, whether the package is held, and whether the installed version is still on offer. Returns
        the first words of the package manager when it could not answer, which is not the same as no offer."""
        offers, problem = self._repoquery("--upgrades", "--latest-limit=1")
        if problem:
            return problem
        candidates = {(name, arch): version for name, arch, version in offers}
        rows = []
        if offers:
            rows, problem = self._repoquery("--available", "--showduplicates", *_operands({row[0] for row in offers}))
            if problem:
                return problem
        kept = set(rows)
        offered = {}
        for name, arch, version in rows:
            offered.setdefault((name, arch), []).append(version)
        held = self._held()
        for package in packages:
            key = (package["name"], package["arch"])
            package["candidate"] = candidates.get(key)
            package["offered"] = offered.get(key, []) if key in candidates else []
            package["held"] = any(fnmatch.fnmatchcase(package["name"], pattern) for pattern in held)
            package["returnable"] = (*key, re.sub(r"\A0:", "", package["version"])) in kept
        return None

    def _repoquery(self, *arguments):
        """Rows `(name, arch, [epoch:]version-release)` from the lists as last fetched, and why they cannot be read."""
        if not self.dnf:
            return [], "the host has no dnf"
        form = "%{name}|%{arch}|%{evr}\\n"
        code, out, err = self.run([self.dnf, "-q", "-C", "repoquery", "--qf", form, *arguments])
        if code != 0:
            return [], first_words("{0} repoquery {1}".format(self.dnf, arguments[0]), code, err or out)
        rows = (tuple(line.strip().split("|")) for line in out.splitlines())
        return [(name, arch, re.sub(r"\A0:", "", version)) for name, arch, version in (r for r in rows if len(r) == 3)], None

    @staticmethod
    def _held():
        """Names and patterns that dnf does not update: its locked versions and its excluded packages."""
        held = []
        for path in ("/etc/dnf/plugins/versionlock.list", "/etc/yum/pluginconf.d/versionlock.list"):
            for line in _lines(path):
                match = re.match(r"([^!#\s]+?)-(?:\d+:)?[^-\s]+-[^-\s]+\Z", line.strip())
                held.extend(match.groups() if match else ())
        for line in _lines("/etc/dnf/dnf.conf"):
            key, _, value = line.partition("=")
            if key.strip() in ("exclude", "excludepkgs"):
                held.extend(value.replace(",", " ").split())
        return held

    def refresh(self):
        # With `-q`, dnf does not say what the server answered.
        return self.run([self.dnf, "makecache", "--refresh"])

    def database_problem(self):
        code, out, err = self._verify()
        if code != 0:
            return (out + err).strip()[:500] or "exit status {0}".format(code)
        twice = self._twice()
        return "installed in two versions after an interrupted update: {0}".format(", ".join(twice)[:400]) if twice else None

    def _verify(self):
        """Retries, because a database that another program locks for a moment is not damaged."""
        deadline = time.monotonic() + LOCK_PATIENCE_SECONDS
        while True:
            answer = self.run(["rpm", "--verifydb"])
            if answer[0] == 0 or "transaction lock" not in answer[2] or time.monotonic() >= deadline:
                return answer
            time.sleep(0.5)

    def _twice(self):
        """Packages that are installed in two versions although only one is allowed; kernels may have several. dnf needs a
        second for this, so it runs only when rpm lists duplicates."""
        found = [(package["name"], package["arch"]) for package in self.installed()]
        if not self.dnf or len(set(found)) == len(found):
            return []
        code, out, _err = self.run([self.dnf, "-q", "-C", "repoquery", "--duplicates", "--qf", "%{name}\\n"])
        return sorted({line.strip() for line in out.splitlines() if line.strip()}) if code == 0 else []

    def repair(self):
        """Completes what an interrupted rpm left. Returns what was done, and the problem that is left."""
        if self.database_problem() is None:
            return None, None
        if self._verify()[0] != 0:
            self.run(["rpm", "--rebuilddb"])
        if self._twice():
            # Removes the older version and installs the files of the newer one again.
            self.run([self.dnf, "-y", "-q", "remove", "--duplicates"])
        return "completed what an interrupted rpm had left", self.database_problem()

    def exact(self, wanted, tag, downgrade=False, removals=(), download=False, cached=False, pinned=None):
        """The command that brings installed packages to these versions, for every architecture, or only downloads them. It
        removes, or replaces by their successors, only these packages, and installs no other than pinned versions. With `cached`
        it needs no network."""
        options = ["-y", "-q", self._tagged(tag), *(["--downloadonly"] if download else []), *(["-C"] if cached else [])]
        arguments = [*options, "downgrade" if downgrade else "install", *_operands(self._specifications(wanted))]
        python = None if downgrade else self._python()
        if python is None:
            return [self.dnf, *arguments]
        return dnf_transaction.command(python, arguments, removals, pinned=pinned)

    def refusal(self, _wanted, _removals, pinned=None):
        """The command of `exact` refuses by itself, if it is dnf 4."""
        is_limited = not pinned or self._python() is not None
        return None if is_limited else "`{0}` is not dnf 4, which can be limited to pinned versions".format(self.dnf)

    def foresee(self, wanted, pinned=None):
        """What dnf would do to bring installed packages to these versions, or the first words by which it refuses."""
        specifications = self._specifications(wanted)
        installed = {package["name"] for package in self.installed()}
        absent = sorted(set(wanted) - installed)
        if absent:
            return {"state": "refused", "reason": "`{0}` is not installed any more".format(absent[0])}
        python = self._python()
        if python is None:
            return {"state": "unknown", "reason": "`{0}` is not dnf 4, which can be asked for its transaction".format(self.dnf)}
        command = dnf_transaction.command(python, ["-y", "-q", "install", *_operands(specifications)], foresee=True, pinned=pinned)
        code, out, err = self.run(command)
        if code == dnf_transaction.NO_DNF:
            return {"state": "unknown", "reason": err.strip()[:250]}
        if code != 0:
            return {"state": "refused", "reason": first_words("{0} install".format(self.dnf), code, err or out)}
        # dnf says nothing when there is nothing to do.
        facts = dnf_transaction.printed(out) or {"updates": [], "installs": [], "removals": []}
        return pinning.checked({"state": "resolved", **facts}, pinned)

    def revisions(self):
        """The revision of each repository whose lists the host has."""
        return revisions_of(os.path.join(self.DOWNLOADS, "*", "repodata", "repomd.xml"), r"-[0-9a-f]{16}\Z")

    def _python(self):
        """The Python of dnf 4; `None` for another tool."""
        path = shutil.which(self.dnf) if self.dnf else None
        # Both `dnf` and `yum` are names of the program of dnf 4.
        if path is None or os.path.basename(os.path.realpath(path)) != "dnf-3":
            return None
        return dnf_transaction.python_of(path)

    def _specifications(self, wanted):
        specifications = {
            "{0}-{1}.{2}".format(package["name"], wanted[package["name"]], package["arch"])
            for package in self.installed() if package["name"] in wanted
        }
        return sorted(specifications)

    def selected(self, selection, advisories, tag):
        """The command for a level instead of exact versions; or `None` and the reason."""
        which = {"all": [], "security": ["--security"], "advisories": ["--advisory=" + ",".join(advisories)]}[selection]
        return [self.dnf, "-y", "-q", self._tagged(tag), *which, "upgrade"], None

    @staticmethod
    def _tagged(tag):
        return "--comment=patch-manager {0}".format(tag)

    @staticmethod
    def was_done(tag):
        """Whether dnf's history has a transaction of this name with a successful end; `None` when it has no such transaction."""
        if sqlite3 is None:
            return None
        try:
            history = sqlite3.connect("file:{0}?mode=ro".format(HISTORY), uri=True, timeout=5)
            query = "SELECT state FROM trans WHERE comment = ? ORDER BY id DESC LIMIT 1"
            row = history.execute(query, ("patch-manager {0}".format(tag),)).fetchone()
            history.close()
        except sqlite3.Error:
            return None
        # 1 is `done`.
        return None if row is None else row[0] == 1

    def most_files(self, names):
        """The number of files of the largest of these installed packages; `None` when it is not known."""
        names = _operands(names)
        if not names:
            return 0
        code, out, _err = self.run(["rpm", "-q", "--qf", "[%{NAME}\n]", *names])
        if code != 0:
            return None
        counts = {}
        for line in out.splitlines():
            counts[line] = counts.get(line, 0) + 1
        return max(counts.values()) if counts else 0

    def needs_restarting(self):
        """The answer of the package system's own tool: `yes`, `no`, `failed`; `None` without the tool."""
        if not shutil.which("needs-restarting"):
            return None
        return {0: "no", 1: "yes"}.get(self.run(["needs-restarting", "-r"])[0], "failed")

    def updated_since(self, booted_at, packages):
        """Core packages that were installed after the boot."""
        return sorted({package["name"] for package in packages if package["name"] in CORE and package["installed_at"] > booted_at})


def revisions_of(pattern, suffix):
    """The revision that each of these files names, by the name of the repository's folder without the suffix."""
    found = {}
    for path in sorted(glob.glob(pattern)):
        revision = re.search(r"<revision>\s*([^<\s]+)", "\n".join(_lines(path)))
        if revision:
            found[re.sub(suffix, "", os.path.basename(os.path.dirname(os.path.dirname(path))))] = revision.group(1)
    return found


def _operands(names):
    """dnf reads its arguments twice and does not accept `--` each time. rpm allows no name that begins like an option."""
    return sorted(name for name in names if not name.startswith("-"))


def _known(text):
    """rpm prints `(none)` for a field that the package does not have."""
    return None if text in ("", "(none)") else text


def _lines(path):
    try:
        with open(path) as file:
            return file.read().splitlines()
    except OSError:
        return []
