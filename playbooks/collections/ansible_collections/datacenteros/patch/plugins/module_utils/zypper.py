"""rpm with zypper, as on openSUSE and SLES: packages on offer, and the commands that change them."""

from __future__ import annotations

import fnmatch
import re
import shutil
import xml.etree.ElementTree as ElementTree

from ansible_collections.datacenteros.patch.plugins.module_utils import pinning
from ansible_collections.datacenteros.patch.plugins.module_utils.first_words import first_words
from ansible_collections.datacenteros.patch.plugins.module_utils.rpm import Rpm, revisions_of

LOCKS = "/etc/zypp/locks"
RAW_LISTS = "/var/cache/zypp/raw/*/repodata/repomd.xml"
ZYPPER = ["zypper", "--non-interactive"]
# The workflow refreshes the lists; a question is answered from the lists as last fetched.
CACHED = [*ZYPPER, "--no-refresh"]
ASK = [*CACHED, "--xmlout"]
REBOOT_NEEDED = 102
UPDATED_ITSELF = 103
# How zypper shows a package that no enabled repository offers.
NO_REPOSITORY = "(System Packages)"


class Zypper(Rpm):
    TOOL = "zypper"
    REFRESH = "zypper refresh"
    DOWNLOADS = "/var/cache/zypp"
    # A reboot that zypper asks for is not a failure: the workflow decides about reboots.
    DONE = (0, REBOOT_NEEDED, UPDATED_ITSELF)
    # zypper first updates only itself, and wants to be called again for the rest.
    AGAIN = (UPDATED_ITSELF,)

    def __init__(self, run):
        self.run = run

    def missing_tool(self):
        return None if shutil.which("zypper") else "zypper"

    def describe(self, packages):
        tree, problem = self._ask("list-updates")
        if problem:
            return problem
        candidates = {
            (update.get("name"), update.get("arch")): _version(update.get("edition"))
            for update in tree.iter("update") if update.get("kind") == "package"
        }
        offers, problem = self._offers({name for name, _arch in candidates})
        if problem:
            return problem
        held = self._held()
        for package in packages:
            key = (package["name"], package["arch"])
            repositories = offers.get(key, {})
            package["candidate"] = candidates.get(key)
            package["offered"] = sorted(repositories) if key in candidates else []
            package["held"] = any(fnmatch.fnmatchcase(package["name"], pattern) for pattern in held)
            package["returnable"] = _version(package["version"]) in repositories
        return None

    def _offers(self, names):
        """For each name and architecture, the versions on offer with the names of their repositories; and why they cannot be
        read."""
        found = {}
        if not names:
            return found, None
        # Exit status 104 says that nothing was found.
        tree, problem = self._ask("search", "-s", "-x", "-t", "package", "--", *sorted(names), accepted=(0, 104))
        if problem:
            return found, problem
        for one in tree.iter("solvable"):
            if one.get("repository") not in (None, NO_REPOSITORY):
                versions = found.setdefault((one.get("name"), one.get("arch")), {})
                versions.setdefault(_version(one.get("edition")), []).append(one.get("repository"))
        return found, None

    def _ask(self, *arguments, accepted=(0,)):
        """The answer of a command that changes nothing, as XML; and the first words of zypper when it could not answer."""
        code, out, err = self.run([*ASK, *arguments])
        name = "zypper {0}".format(arguments[0])
        try:
            tree = ElementTree.fromstring(out)
        except ElementTree.ParseError:
            return None, first_words(name, code, err or out)
        if code not in accepted:
            return None, first_words(name, code, _complaints(tree) or err)
        return tree, None

    @staticmethod
    def _held():
        """Names and patterns that an operator has locked for every version and repository."""
        held, lock = [], {}
        try:
            with open(LOCKS) as file:
                lines = file.read().splitlines()
        except OSError:
            return held
        for line in [*lines, ""]:
            key, colon, value = line.partition(":")
            if colon:
                lock[key.strip()] = value.strip()
                continue
            is_narrow = {"version", "repo", "solvable_arch"} & set(lock)
            if lock.get("type", "package") == "package" and lock.get("solvable_name") and not is_narrow:
                held.append(lock["solvable_name"])
            lock = {}
        return held

    def refresh(self):
        return self.run([*ZYPPER, "refresh"])

    def _twice(self):
        """zypper allows several versions only of packages that may have them."""
        return []

    def exact(self, wanted, tag, downgrade=False, removals=(), download=False, cached=False, pinned=None):
        """The command that brings installed packages to these versions, for every architecture, or only downloads them. What was
        downloaded is used by itself. With `pinned`, it names the versions of what is changed along with them as well."""
        along = self._resolve(wanted, pinned)[1] if pinned else {}
        more = [*(["--oldpackage"] if downgrade else []), *(["--download-only"] if download else [])]
        return [*CACHED, *_tagged(tag), *_install(more), "--", *self._named(wanted, along)]

    def refusal(self, wanted, removals, pinned=None):
        """Why the update would remove more than these packages, or install other than pinned versions; `None` if it does not."""
        return pinning.why_not(self.foresee(wanted, pinned), removals)

    def foresee(self, wanted, pinned=None):
        """What zypper would do to bring installed packages to these versions, or the first words by which it refuses."""
        absent = sorted(set(wanted) - {package["name"] for package in self.installed()})
        if absent:
            return {"state": "refused", "reason": "`{0}` is not installed any more".format(absent[0])}
        return self._resolve(wanted, pinned)[0]

    def _resolve(self, wanted, pinned):
        return pinning.resolve(lambda along: self._simulate(wanted, along), pinned)

    def _named(self, wanted, along):
        if not along:
            return self._specifications(wanted)
        known = {package["name"] for package in self.installed()}
        new = ["{0}={1}".format(*one) for one in along.items() if one[0] not in known]
        return sorted({*self._specifications({**along, **wanted}), *new})

    @staticmethod
    def revisions():
        """The revision of each repository whose lists the host has."""
        return revisions_of(RAW_LISTS, r"\Z")

    def _simulate(self, wanted, along):
        tree, problem = self._ask(*_install(["--dry-run"]), "--", *self._named(wanted, along), accepted=self.DONE)
        if problem:
            return {"state": "refused", "reason": problem}
        summary = tree.find("install-summary")
        if summary is None:
            return {"state": "refused", "reason": first_words("zypper install", 0, _complaints(tree) or "no summary")}
        facts = _transaction(summary)
        new = [(one, one["to"]) for one in facts["updates"]] + [(one, one["version"]) for one in facts["installs"]]
        offers, problem = self._offers({one["package"] for one, _version in new})
        if problem:
            return {"state": "unknown", "reason": problem}
        for one, version in new:
            one["origins"] = sorted(set(offers.get((one["package"], one.pop("arch")), {}).get(version, [])))
        return {"state": "resolved", **facts}

    def selected(self, selection, advisories, tag):
        """The command for a level instead of exact versions; or `None` and the reason."""
        command = [*CACHED, "--non-interactive-include-reboot-patches", *_tagged(tag)]
        if selection == "all":
            return [*command, "update", "-y", "--auto-agree-with-licenses"], None
        if selection == "security":
            return [*command, "patch", "-y", "--auto-agree-with-licenses", "--category", "security"], None
        return [*command, *_install(["-t", "patch"]), "--", *advisories], None

    @staticmethod
    def was_done(_tag):
        """zypper's history has the name of the transaction, but not how it ended."""
        return None

    def needs_restarting(self):
        """The answer of `zypper needs-rebooting`: `yes`, `no`, `failed`."""
        return {0: "no", REBOOT_NEEDED: "yes"}.get(self.run([*CACHED, "needs-rebooting"])[0], "failed")


def _install(more):
    # With the licences of new versions of what is installed; without them, an update ends at a question.
    return ["install", "-y", "--auto-agree-with-licenses", *more]


def _tagged(tag):
    return ["--userdata", "patch-manager {0}".format(tag)]


def _version(edition):
    return re.sub(r"\A0:", "", edition or "")


def _complaints(tree):
    """What zypper says is wrong: its errors, and the conflicts that it asks about."""
    said = [message.text for message in tree.iter("message") if message.get("type") == "error"]
    said += [description.text for description in tree.iter("description") if (description.text or "").startswith("Problem:")]
    return "\n".join("; ".join(line.strip() for line in text.splitlines()) for text in said if text)


def _transaction(summary):
    """`<to-upgrade>`, `<to-downgrade>` and others hold what replaces an installed version; `<to-install>` and `<to-remove>` what is new
    and what goes."""
    facts = {"updates": [], "installs": [], "removals": []}
    for section in summary:
        for one in section.iter("solvable"):
            # Patches, patterns and products install nothing themselves.
            if not section.tag.startswith("to-") or one.get("type") != "package":
                continue
            name, version, arch = one.get("name"), _version(one.get("edition")), one.get("arch")
            before = one.get("edition-old")
            if section.tag == "to-remove":
                facts["removals"].append({"package": name, "version": version})
            elif before is None:
                facts["installs"].append({"package": name, "version": version, "arch": arch})
            else:
                facts["updates"].append({"package": name, "from": _version(before), "to": version, "arch": arch})
    download, grows = int(summary.get("download-size", 0)), int(summary.get("space-usage-diff", 0))
    return {**facts, "download_bytes": download, "disk_bytes": download + max(0, grows)}
