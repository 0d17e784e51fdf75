"""What a failed command says first: usually the cause."""

from __future__ import annotations

# How the package systems begin a line that names a cause. apt writes the unmet dependencies before its error.
CAUSES = (
    "E:", "Error", "error:", "Problem", "dpkg: error", "Failed", "Unable", "No match", "nothing provides", "W: GPG error", "W: Failed",
)
DEPENDENCIES = (" : Depends:", " : PreDepends:")


def first_words(command, code, output, longest=250):
    """The first lines by which a command says why it failed, with the command."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    named = [line for line in lines if line.startswith(CAUSES) or any(part in line for part in DEPENDENCIES)]
    # dnf writes the cause below.
    named = [line for line in named if line != "Error:"]
    return "{0}: {1}".format(command, "; ".join((named or lines)[:4])[:longest] or "exit status {0}".format(code))
