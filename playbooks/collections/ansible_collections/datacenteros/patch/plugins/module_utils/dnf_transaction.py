"""dnf's own command line with a look at the transaction that it resolves, before anything is done.

The program below runs in the Python of dnf with the arguments of `dnf`, so that what is foreseen is resolved with the same
options as what is done. It either prints the transaction and ends, or ends if the transaction would remove more than it may.
"""

from __future__ import annotations

import json

MARK = "PATCH-MANAGER-TRANSACTION "
# Exit status of a Python without dnf 4.
NO_DNF = 97

PROGRAM = r"""
import json, re, sys
try:
    import dnf.cli.cli, dnf.cli.main, dnf.exceptions
    from dnf import transaction as kinds
except ImportError as error:
    sys.stderr.write("the Python of dnf has no dnf 4: {0}\n".format(error))
    sys.exit(97)

order = json.loads(sys.argv[1])
resolve = dnf.cli.cli.BaseCli.resolve
APPEARS = (kinds.PKG_INSTALL, kinds.PKG_UPGRADE, kinds.PKG_DOWNGRADE, kinds.PKG_OBSOLETE)
GIVES_WAY = (kinds.PKG_UPGRADED, kinds.PKG_DOWNGRADED)
IS_LOST = (kinds.PKG_REMOVE, kinds.PKG_OBSOLETED)


def version(package):
    return plain(package.evr)


def facts(base):
    new, old, lost = [], {}, []
    for item in base.transaction or ():
        if item.action in APPEARS:
            new.append(item.pkg)
        elif item.action in GIVES_WAY:
            old[(item.pkg.name, item.pkg.arch)] = item.pkg
            old.setdefault(item.pkg.name, item.pkg)
        elif item.action in IS_LOST:
            lost.append(item.pkg)
    names = set(package.name for package in new)
    # A package that changes its architecture is obsoleted by itself.
    for package in lost:
        old.setdefault(package.name, package)
    successors = {}
    for package in new:
        for other in base._goal.obsoleted_by_package(package):
            successors.setdefault(str(other), package.name)
    found = {"updates": [], "installs": [], "removals": []}
    download = grows = 0
    gone = set()
    for package in new:
        download += package.downloadsize
        grows += package.installsize
        before = old.get((package.name, package.arch)) or old.get(package.name)
        # Of kernels several versions are installed side by side, and the oldest goes.
        if before is None or (before in lost and str(before) not in successors):
            found["installs"].append({"package": package.name, "version": version(package), "origins": [package.reponame]})
            continue
        gone.add(before)
        found["updates"].append({
            "package": package.name, "from": version(before), "to": version(package), "origins": [package.reponame],
        })
    for package in lost:
        gone.add(package)
        if package.name in names and str(package) in successors:
            continue
        removal = {"package": package.name, "version": version(package)}
        successor = package.name if package.name in names else successors.get(str(package))
        if successor:
            removal["replaced_by"] = successor
        found["removals"].append(removal)
    grows -= sum(package.installsize for package in gone)
    found["download_bytes"] = download
    found["disk_bytes"] = download + max(0, grows)
    return found


def plain(text):
    return re.sub(r"\A0:", "", text)


def exclude_others(base):
    # Of a pinned package, the solver sees only the pinned version.
    pinned = order["pinned"]
    if pinned:
        offered = base.sack.query().available().filter(name=sorted(pinned))
        others = [package for package in offered if version(package) != plain(pinned[package.name])]
        if others:
            base.sack.add_excludes(base.sack.query().filter(pkg=others))


def checked(base, *arguments, **options):
    exclude_others(base)
    resolved = resolve(base, *arguments, **options)
    found = facts(base)
    if order["foresee"]:
        print("PATCH-MANAGER-TRANSACTION " + json.dumps(found))
        sys.stdout.flush()
        raise SystemExit(0)
    allowed = set(order["removals"])
    # The oldest kernel goes when there are as many as the host keeps.
    lost = [one["package"] for one in found["removals"] if one.get("replaced_by") != one["package"]]
    more = sorted(set(lost) - allowed)
    if more:
        raise dnf.exceptions.Error("the transaction would remove {0}, which the plan does not contain".format(", ".join(more)))
    new = [(one["package"], one["to"]) for one in found["updates"]]
    new += [(one["package"], one["version"]) for one in found["installs"]]
    pinned = order["pinned"]
    others = sorted("{0} {1}".format(*one) for one in new if pinned and plain(pinned.get(one[0], "")) != one[1])
    if others:
        raise dnf.exceptions.Error("the transaction would install {0}, which no pilot has tested".format(", ".join(others)))
    return resolved


dnf.cli.cli.BaseCli.resolve = checked
dnf.cli.main.user_main(sys.argv[2:], exit_code=True)
"""


def command(python, arguments, removals=(), foresee=False, pinned=None):
    """`dnf` with these arguments, which may remove these packages and install only pinned versions, or which only prints its
    transaction."""
    order = {"foresee": foresee, "removals": sorted(removals), "pinned": pinned or {}}
    return [python, "-I", "-c", PROGRAM, json.dumps(order), *arguments]


def python_of(program):
    """The Python that runs a script, as its first line names it; `None` if it is none."""
    try:
        with open(program, "rb") as file:
            first = file.readline(200).decode(errors="replace")
    except OSError:
        return None
    words = first[2:].split() if first.startswith("#!") else []
    if words and words[0].endswith("/env"):
        words = words[1:]
    return words[0] if words and "python" in words[0] else None


def printed(output):
    """The transaction that the program printed; `None` without one: there was nothing to do."""
    for line in output.splitlines():
        if line.startswith(MARK):
            return json.loads(line[len(MARK):])
    return None
