"""The kinds of tests. Each judges an inspected host and returns whether the test passes, and a detail."""

from __future__ import annotations

from ansible_collections.datacenteros.patch.plugins.plugin_utils.versions import is_at_least


def _service(host, test):
    return next((service for service in host["services"] if service["name"] == test["service"]), None)


def service_active(host, test):
    service = _service(host, test)
    if service is None:
        return False, f"service `{test['service']}` does not exist"
    if not service["active"]:
        return False, f"service `{service['name']}` does not run"
    return service["healthy"], "runs and is healthy" if service["healthy"] else "runs and is not healthy"


def port_open(host, test):
    port = int(test["port"])
    open_ports = {service["port"] for service in host["services"] if service["active"] and service["port"]}
    # On a real host, a port may belong to a service that the run does not name.
    open_ports |= set(host.get("listening_ports", ()))
    return port in open_ports, f"port {port} is {'open' if port in open_ports else 'closed'}"


def package_installed(host, test):
    version = _installed(host, test["package"])
    return version is not None, f"`{test['package']}` is {'at ' + version if version else 'not installed'}"


def package_at_least(host, test):
    version = _installed(host, test["package"])
    enough = is_at_least(host["packaging"], version, str(test["version"]))
    return enough, f"`{test['package']}` is {'at ' + version if version else 'not installed'}; expected at least {test['version']}"


def config_valid(host, test):
    service = _service(host, test)
    if service is None:
        return False, f"service `{test['service']}` does not exist"
    return service["config_valid"], f"configuration is {'valid' if service['config_valid'] else 'not valid'}"


def disk_free(host, test):
    free, wanted = float(host["disk_free_percent"]), float(test.get("percent", 10))
    return free >= wanted, f"{free:.1f} % is free; expected at least {wanted:g} %"


def clock_synchronised(host, test):
    offset, limit = host["clock_offset_ms"], int(test.get("max_offset_ms", 500))
    if offset is None:
        return False, "the clock is not synchronised"
    return abs(offset) <= limit, f"the clock is off by {offset} ms, at most {limit} ms are allowed"


def reachable(host, test):
    return True, "answers"


def no_reboot_pending(host, test):
    """By the platform's verdict, which the action adds to the host. The detail says what is unknown about the kernel."""
    verdict = host["reboot_verdict"]
    return verdict["state"] != "needed", verdict["text"]


def package_database_consistent(host, test):
    problem = host["package_database_problem"]
    return problem is None, problem or "consistent"


def _installed(host, name):
    return next((package["version"] for package in host["packages"] if package["name"] == name), None)


CHECKS = {
    check.__name__: check
    for check in (
        service_active,
        port_open,
        package_installed,
        package_at_least,
        config_valid,
        disk_free,
        clock_synchronised,
        reachable,
        no_reboot_pending,
        package_database_consistent,
    )
}
