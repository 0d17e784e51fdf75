"""The order of package versions as rpm and dpkg define it, to compare installed versions on the controller."""

from __future__ import annotations

import re
from itertools import zip_longest


def compare(packaging, left, right):
    """Less than, equal to or greater than zero when `left` is older than, the same as or newer than `right`."""
    if left == right:
        return 0
    return (_compare_rpm if packaging == "rpm" else _compare_dpkg)(left, right)


def is_at_least(packaging, installed, wanted):
    return installed is not None and compare(packaging, installed, wanted) >= 0


def newer_than_pinned(transaction, packaging, pinned):
    """What the repositories of the host offer in a newer version than the pinned one."""
    offered = transaction.get("newer") or []
    return [one for one in offered if one["package"] in pinned and compare(packaging, one["version"], pinned[one["package"]]) > 0]


def _sign(left, right):
    return (left > right) - (left < right)


def _epoch(version):
    head, colon, tail = version.partition(":")
    return (int(head), tail) if colon and head.isdigit() else (0, version)


# rpm: `[epoch:]version[-release]`; a side without release is compared by version alone.
def _compare_rpm(left, right):
    left_epoch, left_rest = _epoch(left)
    right_epoch, right_rest = _epoch(right)
    left_version, _, left_release = left_rest.partition("-")
    right_version, _, right_release = right_rest.partition("-")
    order = _sign(left_epoch, right_epoch) or _rpm_part(left_version, right_version)
    if order or not left_release or not right_release:
        return order
    return _rpm_part(left_release, right_release)


def _rpm_part(left, right):
    pattern = re.compile(r"[0-9]+|[A-Za-z]+|~|\^")
    for one, other in zip_longest(pattern.findall(left), pattern.findall(right)):
        if one == other:
            continue
        # A tilde sorts before everything, even the end; a caret after the end and before anything else.
        if "~" in (one, other):
            return -1 if one == "~" else 1
        if one is None or other is None:
            return -1 if one is None else 1
        if "^" in (one, other):
            return -1 if one == "^" else 1
        if one[0].isdigit() != other[0].isdigit():
            return 1 if one[0].isdigit() else -1
        order = _sign(int(one), int(other)) if one[0].isdigit() else _sign(one, other)
        if order:
            return order
    return 0


# dpkg: `[epoch:]upstream[-revision]`; text and numbers alternate, `~` sorts before the end, letters before the rest.
def _compare_dpkg(left, right):
    left_epoch, left_rest = _epoch(left)
    right_epoch, right_rest = _epoch(right)
    left_upstream, left_revision = _revision(left_rest)
    right_upstream, right_revision = _revision(right_rest)
    return (
        _sign(left_epoch, right_epoch)
        or _dpkg_part(left_upstream, right_upstream)
        or _dpkg_part(left_revision, right_revision)
    )


def _revision(version):
    upstream, dash, revision = version.rpartition("-")
    return (upstream, revision) if dash else (version, "0")


def _dpkg_part(left, right):
    pattern = re.compile(r"([^0-9]*)([0-9]*)")
    pairs = zip_longest(pattern.findall(left), pattern.findall(right), fillvalue=("", ""))
    for (left_text, left_number), (right_text, right_number) in pairs:
        for one, other in zip_longest(left_text, right_text):
            order = _sign(_dpkg_weight(one), _dpkg_weight(other))
            if order:
                return order
        order = _sign(int(left_number or 0), int(right_number or 0))
        if order:
            return order
    return 0


def _dpkg_weight(character):
    if character is None:
        return 0
    if character == "~":
        return -1
    return ord(character) if character.isalpha() else ord(character) + 256
