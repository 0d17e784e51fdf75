"""Keeps a transaction to pinned versions: those of the plan, which pilots have tested."""

from __future__ import annotations

# Each round adds the versions that the one before needs.
MOST_ROUNDS = 5
MOST_NAMED = 20


def plain(version):
    """rpm writes an epoch of 0 or leaves it out."""
    return version[2:] if version and version.startswith("0:") else version


def not_pinned(facts, pinned):
    """Name and version of each package that would get another version than the pinned one."""
    new = {one["package"]: one["to"] for one in facts["updates"]}
    new.update({one["package"]: one["version"] for one in facts["installs"]})
    return {name: version for name, version in new.items() if plain(pinned.get(name)) != plain(version)}


def resolve(ask, pinned):
    """The answer of `ask(more)`, which resolves a transaction that contains these further versions; and those that keep it to
    what is pinned. Without `pinned`, everything may be installed."""
    more = {}
    for _round in range(MOST_ROUNDS):
        found = ask(more)
        wrong = not_pinned(found, pinned) if pinned and found["state"] == "resolved" else {}
        if not wrong:
            return found, more
        known = {name: pinned[name] for name in wrong if name in pinned and name not in more}
        if not known:
            break
        more = {**more, **known}
    return untested(wrong), more


def checked(found, pinned):
    """The answer, or which of its packages no pilot has tested."""
    wrong = not_pinned(found, pinned) if pinned and found["state"] == "resolved" else {}
    return untested(wrong) if wrong else found


def untested(wrong):
    return {"state": "untested", "untested": ["{0} {1}".format(*one) for one in sorted(wrong.items())][:MOST_NAMED]}


def why_not(found, removals):
    """Why a foreseen transaction must not be done; `None` if it may: it removes only what it may."""
    if found["state"] == "untested":
        return "the transaction would install {0}, which no pilot has tested".format(", ".join(found["untested"]))
    if found["state"] != "resolved":
        return found["reason"]
    more = sorted({one["package"] for one in found["removals"]} - set(removals))
    return "the transaction would remove {0}, which the plan does not contain".format(", ".join(more)) if more else None
