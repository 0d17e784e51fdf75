"""The variables that a run passes to the role: names, types, defaults and meaning."""

from __future__ import annotations

from ansible_collections.datacenteros.patch.plugins.plugin_utils.errors import StepFailed

# name: (type, default). Times are seconds.
VARIABLES = {
    # How the inside of the host is reached: `model` through the sim-engine's API, `ssh` through Ansible's modules.
    "pm_driver": (str, "ssh"),
    "pm_sim_url": (str, ""),
    # Empty: no CMDB, so maintenance is not changed there.
    "pm_cmdb_url": (str, ""),
    # File with the bearer token. The token itself is never a variable, an argument or in the environment.
    "pm_token_file": (str, ""),
    "pm_vm_id": (str, ""),
    "pm_run_id": (str, "manual"),
    "pm_attempt": (int, 1),
    # Epoch of the run's owner, which a host compares with the highest that it has seen. 0: the run has no owners.
    "pm_epoch": (int, 0),
    # Package to the exact version the plan approved.
    "pm_updates": (dict, {}),
    # Packages that the update may remove, because the approved plan contains their removal.
    "pm_removals": (list, []),
    # The only versions that may be installed with or along with pm_updates, by package; empty for any.
    "pm_pinned": (dict, {}),
    # Whether a question about a transaction also asks for the state of the repositories.
    "pm_revisions": (bool, False),
    # The line that a shell runs as root before anything else on a host without Python; empty: nothing is installed.
    "pm_bootstrap_command": (str, ""),
    # The names of pm_updates in lists of those that belong together, and whether the policy allows to remove other packages.
    "pm_update_groups": (list, []),
    "pm_allow_removals": (bool, False),
    # Globs of packages that must not get a version along with pm_updates.
    "pm_denied": (list, []),
    # Whether preflight fetches the lists of the repositories, which proves that they answer.
    "pm_refresh": (bool, False),
    # Services that are stopped for the work and must be healthy afterwards.
    "pm_services": (list, []),
    # `never`, `listed` (pm_services and pm_restart_service_names) or `all`: the services to restart that run deleted files.
    "pm_restart_services": (str, "never"),
    "pm_restart_service_names": (list, []),
    # `never`, `if_required` (the host reports it after the update) or `always`.
    "pm_reboot": (str, "if_required"),
    # Boot id when the run first reached the host; a different one means that the reboot is done.
    "pm_boot_id_before": (str, ""),
    "pm_tests": (list, []),
    "pm_health_timeout_seconds": (float, 120.0),
    # How long all services must stay healthy without a break.
    "pm_health_stable_seconds": (float, 2.0),
    "pm_drain_timeout_seconds": (float, 60.0),
    # `planned`: the versions of pm_updates. `security`, `advisories` (those of pm_advisories) or `all`: what the host's
    # repositories offer at that level.
    "pm_selection": (str, "planned"),
    "pm_advisories": (list, []),
    # Package to its earlier version, for a rollback by the package manager.
    "pm_downgrades": (dict, {}),
    # By the name of a step: `timeout_seconds` of one try, `retries`, `backoff_seconds`, `on_failure`.
    "pm_steps": (dict, {}),
    # `command` (a list, run on the host) or `url`: status 0 or 2xx means that the host is drained.
    "pm_drain": (dict, {}),
    # `on` and `off`: lists of argument lists, run on the controller to notify monitoring.
    "pm_maintenance_hooks": (dict, {}),
    "pm_patch_timeout_seconds": (float, 1800.0),
    "pm_reboot_timeout_seconds": (float, 300.0),
    # Maintenance expires after this time if the run cannot end it.
    "pm_maintenance_seconds": (float, 7200.0),
    # How long a platform service may be unavailable before the step fails.
    "pm_api_retry_seconds": (float, 60.0),
    # How long a host may be silent, except during a reboot, before it counts as unreachable.
    "pm_unreachable_seconds": (float, 10.0),
    "pm_results_dir": (str, ""),
    "pm_snapshot_id": (str, ""),
    "pm_min_disk_free_percent": (float, 5.0),
    # Each a list of argument lists; no shell reads them.
    "pm_pre_downtime_commands": (list, []),
    "pm_pre_update_commands": (list, []),
    "pm_post_update_commands": (list, []),
    # Of the site's own, instead of the update to the versions of pm_updates.
    "pm_update_commands": (list, []),
    # While this file exists, no further step begins.
    "pm_stop_file": (str, ""),
    # Socket on the controller that answers what the platform's own rules decide, such as whether a host needs a reboot.
    "pm_judge_socket": (str, ""),
    # Seconds since the boot of the controller until which steps may begin; its owner keeps extending it.
    "pm_lease_file": (str, ""),
}


class Settings:
    """`settings.reboot` is the variable `pm_reboot`, of its type in `VARIABLES`."""

    def __init__(self, task_vars):
        self.host = str(task_vars.get("inventory_hostname", ""))
        for name, (kind, default) in VARIABLES.items():
            setattr(self, name[len("pm_"):], _read(name, kind, task_vars.get(name, default)))
        self.vm_id = self.vm_id or self.host
        self.owner = f"run:{self.run_id}"
        for name in [*self.services, *self.restart_service_names]:
            # Ansible's own module for services puts no `--` before the name.
            if not isinstance(name, str) or not name or name.startswith("-"):
                raise StepFailed(f"`{name}` is not the name of a service; systemctl would read it as an option")
        if self.driver not in ("model", "ssh"):
            raise StepFailed(f"pm_driver is `{self.driver}`; it must be `model` or `ssh`")
        if self.selection not in ("planned", "security", "advisories", "all"):
            raise StepFailed(f"pm_selection is `{self.selection}`; it must be `planned`, `security`, `advisories` or `all`")
        if self.restart_services not in ("never", "listed", "all"):
            raise StepFailed(f"pm_restart_services is `{self.restart_services}`; it must be `never`, `listed` or `all`")
        if self.reboot not in ("never", "if_required", "always"):
            raise StepFailed(f"pm_reboot is `{self.reboot}`; it must be `never`, `if_required` or `always`")


def _read(name, kind, value):
    if value is None:
        value = VARIABLES[name][1]
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise StepFailed(f"{name} must be of type {kind.__name__}, not {type(value).__name__}")
    return value
