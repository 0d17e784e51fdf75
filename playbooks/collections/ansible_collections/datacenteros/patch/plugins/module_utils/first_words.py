"""What a failed command says first: usually the cause."""

from __future__ import annotations

import re

# How the package systems begin a line that names a cause. apt writes the unmet dependencies before its error.
CAUSES = (
    "E:", "Error", "error:", "Problem", "dpkg: error", "dpkg: unrecoverable", "Failed", "Unable", "No match", "nothing provides",
    "W: GPG error", "W: Failed", "- Status code", "- Curl error", "- package", "- nothing provides", "- cannot install",
)
PARTS = (" : Depends:", " : PreDepends:", "No space left on device")
# The answer of a server, as apt shows it.
STATUS = re.compile(r"[45]\d\d  ?[A-Z]")


def first_words(command, code, output, longest=250):
    """The first lines by which a command says why it failed, with the command."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    named = [line for line in lines if _names_a_cause(line)]
    # dnf writes the cause below.
    named = [line for line in named if line != "Error:"]
    return "{0}: {1}".format(command, "; ".join((named or lines)[:4])[:longest] or "exit status {0}".format(code))


def _names_a_cause(line):
    return line.startswith(CAUSES) or any(part in line for part in PARTS) or STATUS.match(line) is not None
