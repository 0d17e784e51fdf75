"""dpkg with apt: installed packages, packages on offer, and the commands that change them."""

from __future__ import annotations

import glob
import os
import re
import shutil

from ansible_collections.datacenteros.patch.plugins.module_utils import pinning
from ansible_collections.datacenteros.patch.plugins.module_utils.apt_simulation import (
    add_sizes,
    read_simulation,
    read_sizes,
)
from ansible_collections.datacenteros.patch.plugins.module_utils.first_words import first_words

FIELDS = (
    "${binary:Package}\t${Version}\t${Architecture}\t${source:Package}\t${source:Version}\t${db:Status-Abbrev}\t${Origin}\n"
)
# A package's new settings replace the old ones only where the operator has not changed these.
KEEP_SETTINGS = ["--force-confdef", "--force-confold"]
APT = ["apt-get", "-y", "-q", "-o", "DPkg::Lock::Timeout=60"]
APT += ["-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold"]
HISTORY = "/var/log/apt/history.log"
LISTS = "/var/lib/apt/lists"


class Dpkg:
    KIND = "dpkg"
    QUERY = "dpkg-query"
    TOOL = "apt-get"
    REFRESH = "apt-get update"
    # The last two are those of the lists and of the downloaded files, for which apt does not wait.
    LOCKS = (
        "/var/lib/dpkg/lock-frontend", "/var/lib/dpkg/lock", "/var/lib/apt/lists/lock", "/var/cache/apt/archives/lock",
    )
    DOWNLOADS = "/var/cache/apt/archives"
    DATABASE = "/var/lib/dpkg"
    # Exit statuses of a transaction that was done, and of one that must be started once more for the rest.
    DONE = (0,)
    AGAIN = ()

    def __init__(self, run):
        self.run = run

    def missing_tool(self):
        return None if shutil.which("apt-get") else "apt-get"

    def installed(self):
        _code, out, _err = self.run(["dpkg-query", "-W", "-f", FIELDS])
        packages = []
        for line in out.splitlines():
            name, version, arch, source, source_version, status, origin = (line + "\t" * 6).split("\t")[:7]
            # The second letter is the state: `n` is not installed, `c` has only left-over settings.
            if len(status) < 2 or status[1] in "nc" or not version:
                continue
            packages.append({
                "name": name.split(":")[0], "version": version, "arch": arch, "source": source,
                "source_version": source_version, "vendor": origin.strip() or None,
            })
        return packages

    def describe(self, packages):
        """Adds the version on offer and its origin, whether the package is held, and whether the installed version is still on
        offer. Returns the first words of the package manager when it could not answer, which is not the same as no offer."""
        code, out, err = self.run(["apt-mark", "showhold"])
        if code != 0:
            return first_words("apt-mark showhold", code, out + err)
        held = {name.split(":")[0] for name in out.split()}
        found, problem = self.offers()
        if problem:
            return problem
        offers = {name: version for name, version, _origins in found}
        origins = {name: origin.strip().rstrip(",") for name, _version, origin in found}
        kept, problem = self.versions_on_offer(sorted(offers))
        if problem:
            return problem
        for package in packages:
            name = package["name"]
            package["candidate"] = offers.get(name)
            package["candidate_origin"] = origins.get(name)
            package["held"] = name in held
            package["returnable"] = (name, package["version"]) in kept
        return None

    def offers(self):
        """`(name, version, origins)` of every upgrade, from a simulation: `Inst name [old] (new origins [arch])`; and the first
        words of apt when it cannot resolve the upgrade."""
        command = ["apt-get", "-s", "-o", "Debug::NoLocking=1", "--ignore-hold", "dist-upgrade"]
        code, out, err = self.run(command)
        pattern = re.compile(r"^Inst (\S+) \[[^\]]*\] \((\S+) ([^)\[]*)", re.MULTILINE)
        if code != 0:
            return [], first_words("apt-get -s dist-upgrade", code, out + err)
        return [(name.split(":")[0], *rest) for name, *rest in pattern.findall(out)], None

    def versions_on_offer(self, names):
        """`(name, version)` of every version of these packages in the lists, and why they cannot be read."""
        if not names:
            return set(), None
        code, out, err = self.run(["apt-cache", "madison", "--", *names])
        if code != 0:
            return set(), first_words("apt-cache madison", code, err)
        rows = (line.split(" | ") for line in out.splitlines())
        return {(row[0].strip(), row[1].strip()) for row in rows if len(row) >= 3}, None

    def refresh(self):
        # By default, a repository that does not answer is only a warning, and outdated lists are used.
        return self.run(["apt-get", "-q", "-o", "APT::Update::Error-Mode=any", "-o", "DPkg::Lock::Timeout=60", "update"])

    def database_problem(self):
        code, out, err = self.run(["dpkg", "--audit"])
        problem = (out + err).strip()
        if not problem and os.path.isdir("/var/lib/dpkg/updates") and os.listdir("/var/lib/dpkg/updates"):
            problem = "dpkg was interrupted"
        return problem[:500] or (None if code == 0 else "exit status {0}".format(code))

    def repair(self):
        """Completes what an interrupted dpkg left. Returns what was done, and the problem that is left."""
        if self.database_problem() is None:
            return None, None
        self.run(["dpkg", *KEEP_SETTINGS, "--configure", "-a"])
        torn = self._torn()
        if torn:
            self.run([*APT, "install", "--reinstall", "--", *torn])
        self.run([*APT, "--fix-broken", "install"])
        return "completed what an interrupted dpkg had left", self.database_problem()

    def _torn(self):
        """Packages whose files are incomplete and must be installed again."""
        _code, out, _err = self.run(["dpkg-query", "-W", "-f", "${binary:Package} ${db:Status-Abbrev}\n"])
        return [line.split()[0] for line in out.splitlines() if line.rstrip("\n").endswith("R")]

    def exact(self, wanted, tag, downgrade=False, removals=(), download=False, cached=False, pinned=None):
        """The command that brings installed packages to these versions, for every architecture, or only downloads them.
        Without removals, apt itself refuses to remove anything. It fetches no file that is `cached` anyway. With `pinned`, it
        names the versions of what is changed along with them as well."""
        along = self._resolve(wanted, pinned)[1] if pinned else {}
        more = [] if removals else ["--no-remove"]
        more += ["--download-only"] if download else []
        more += ["--allow-downgrades"] if downgrade else self._limits(along)
        return [*APT, *self._tagged(tag), *more, "install", "--", *self._named(wanted, along)]

    def refusal(self, wanted, removals, pinned=None):
        """Why the update would remove more than these packages, or install other than pinned versions; `None` if it does not."""
        return pinning.why_not(self.foresee(wanted, pinned), removals) if removals or pinned else None

    def foresee(self, wanted, pinned=None):
        """What apt would do to bring installed packages to these versions, or the first words by which it refuses. With the
        options of the update, but it may remove packages, so that they are seen."""
        specifications = self._specifications(wanted)
        absent = set(wanted) - {specification.partition("=")[0].split(":")[0] for specification in specifications}
        if absent:
            return {"state": "refused", "reason": "`{0}` is not installed any more".format(sorted(absent)[0])}
        facts = self._resolve(wanted, pinned)[0]
        if facts["state"] != "resolved":
            return facts
        new = [(one["package"], one["to"]) for one in facts["updates"]]
        new += [(one["package"], one["version"]) for one in facts["installs"]]
        if new:
            code, out, _err = self.run(["apt-cache", "show", "--", *sorted({"{0}={1}".format(*pair) for pair in new})])
            add_sizes(facts, read_sizes(out) if code == 0 else {}, self._installed_sizes())
        return facts

    def _resolve(self, wanted, pinned):
        return pinning.resolve(lambda along: self._simulate(wanted, along), pinned)

    def _simulate(self, wanted, along):
        command = [*APT, "-s", "-o", "Debug::NoLocking=1", *self._limits(along), "install", "--", *self._named(wanted, along)]
        code, out, err = self.run(command)
        if code != 0:
            return {"state": "refused", "reason": first_words("apt-get -s install", code, out + err)}
        return {"state": "resolved", **read_simulation(out)}

    @staticmethod
    def _limits(along):
        # A package that is new and named counts as installed by hand, which would keep it on the host forever.
        return ["-o", "APT::Get::Mark-Auto=true"] if along else ["--only-upgrade"]

    def _named(self, wanted, along):
        if not along:
            return self._specifications(wanted)
        known = {package["name"] for package in self.installed()}
        new = ["{0}={1}".format(*one) for one in along.items() if one[0] not in known]
        return sorted({*self._specifications({**along, **wanted}), *new})

    @staticmethod
    def revisions():
        """The date of each archive whose lists the host has, by the name of the list."""
        found = {}
        for path in sorted(glob.glob(os.path.join(LISTS, "*Release"))):
            try:
                with open(path, encoding="utf-8", errors="replace") as file:
                    date = re.search(r"(?m)^Date: *(.+)$", file.read(65536))
            except OSError:
                continue
            if date:
                found[re.sub(r"_(In)?Release\Z", "", os.path.basename(path))] = date.group(1).strip()
        return found

    def _installed_sizes(self):
        _code, out, _err = self.run(["dpkg-query", "-W", "-f", "${Package} ${Installed-Size}\n"])
        rows = (line.split() for line in out.splitlines())
        return {row[0]: int(row[1]) * 1024 for row in rows if len(row) == 2 and row[1].isdigit()}

    def _specifications(self, wanted):
        specifications = []
        for package in self.installed():
            if package["name"] in wanted:
                name = "{0}:{1}".format(package["name"], package["arch"])
                # apt does not accept `all` as an architecture here.
                name = package["name"] if package["arch"] == "all" else name
                specifications.append("{0}={1}".format(name, wanted[package["name"]]))
        return sorted(set(specifications))

    def selected(self, selection, advisories, tag):
        """The command for a level instead of exact versions; or `None` and the reason."""
        if selection == "all":
            return [*APT, *self._tagged(tag), "--no-remove", "--with-new-pkgs", "upgrade"], None
        if selection == "security":
            offers, problem = self.offers()
            if problem:
                return None, problem
            wanted = {name: version for name, version, origins in offers if "security" in origins.lower()}
            return (self.exact(wanted, tag) if wanted else None), None
        return None, "apt does not know advisories; plan exact versions instead"

    @staticmethod
    def _tagged(tag):
        # apt ignores this option but records it with the command in its history.
        return ["-o", "PatchManager::Transaction={0}".format(tag)]

    @staticmethod
    def was_done(tag):
        """Whether apt's history has a transaction of this name with a successful end; `None` when it has no such transaction."""
        try:
            with open(HISTORY, encoding="utf-8", errors="replace") as file:
                entries = file.read().split("\n\n")
        except OSError:
            return None
        mine = [entry for entry in entries if "PatchManager::Transaction={0} ".format(tag) in entry]
        return None if not mine else "\nEnd-Date:" in mine[-1] and "\nError:" not in mine[-1]

    def most_files(self, names):
        """The number of files of the largest of these installed packages: so many are written before the old ones go. `None`
        when it is not known."""
        wanted = {package["name"]: package["arch"] for package in self.installed() if package["name"] in names}
        if not wanted:
            return 0 if not names else None
        named = [name if arch == "all" else "{0}:{1}".format(name, arch) for name, arch in sorted(wanted.items())]
        code, out, _err = self.run(["dpkg-query", "-L", "--", *named])
        counts = [len(part.splitlines()) for part in out.split("\n\n") if part.strip()]
        return max(counts) if code == 0 and counts else None

    def needs_restarting(self):
        """dpkg has no such tool; packages write the distribution's marker."""
        return None

    def updated_since(self, _booted_at, _packages):
        return []
