"""Results of a host that the platform reads from a folder on the controller."""

from __future__ import annotations

import json
import os

from ansible_collections.datacenteros.patch.plugins.plugin_utils.errors import StepFailed


def write_result(folder, host, result):
    """Writes `<folder>/<host>.json`. It is renamed into place, so that a reader never sees half a file."""
    if not folder:
        raise StepFailed("pm_results_dir is not set; there is no folder for the result")
    if os.sep in host:
        raise StepFailed(f"`{host}` is not a valid file name")
    path = os.path.join(folder, host + ".json")
    partial = f"{path}.{os.getpid()}.partial"
    try:
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(result, file)
        os.replace(partial, path)
    except OSError as error:
        raise StepFailed(f"the result cannot be written to `{path}`: {error.strerror}") from None
