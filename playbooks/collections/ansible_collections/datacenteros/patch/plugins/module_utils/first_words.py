"""What a failed command says first: usually the cause."""

from __future__ import annotations


def first_words(command, code, output):
    """The first lines by which a command says why it failed."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    # apt writes the unmet dependencies before its error.
    named = [line for line in lines if line.startswith(("E:", "Error")) or " : Depends:" in line or " : PreDepends:" in line]
    return "{0}: {1}".format(command, "; ".join((named or lines)[:4])[:250] or "exit status {0}".format(code))
