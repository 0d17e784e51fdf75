"""Attacks a private platform, part by part, and reports what got through. `cargo xtask attack` starts this."""

from __future__ import annotations

import argparse
import json
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import canaries
import duties
import fuzz
import slow
import vectors
from lab import SERVICES, Broken, Tools
from report import Report

FOUND, BROKEN = 1, 2
Attack = Callable[[Tools, Report], None]


def parts(full: bool) -> dict[str, Attack]:
    """Names and attacks. The whole attack has the requests of each service in several parts, which can be resumed."""
    found: dict[str, Attack] = {
        "duties": duties.attack,
        "vectors": vectors.attack,
        "secrets": canaries.attack,
        "slow": slow.attack,
    }
    if not full:
        found["requests"] = fuzz.sample
        return found
    for service in SERVICES:
        for number in range(1, fuzz.SHARES[service] + 1):
            found[f"requests-{service}-{number}"] = fuzz.share(service, number)
    return found


def main() -> int:
    arguments = read_arguments()
    tools = Tools(
        root=arguments.root,
        patchctl=arguments.patchctl,
        postgres=arguments.postgres,
        database_url=arguments.database_url_file.read_text().strip(),
        ansible=arguments.tools / "ansible-playbook",
        openbao=arguments.tools / "bao",
        vectors=arguments.vectors,
        seed=arguments.seed,
    )
    known = parts(arguments.full)
    chosen = arguments.part or list(known)
    unknown = [name for name in chosen if name not in known]
    if unknown:
        print(f"no part is named {unknown[0]}; there are {', '.join(known)}")
        return BROKEN
    results = [carry_out(name, known[name], tools, arguments) for name in chosen]
    return conclude(results)


def carry_out(name: str, attack: Attack, tools: Tools, arguments: argparse.Namespace) -> dict:
    kept = arguments.state / f"{name}.json"
    if arguments.full and not arguments.again and kept.exists():
        result = json.loads(kept.read_text())
        if result["build"] == arguments.build and result["seed"] == tools.seed and not result["failed"]:
            print(f"{name}: done before", flush=True)
            return result
    report = Report(name)
    broken = ""
    try:
        attack(tools, report)
    except Broken as error:
        broken = str(error)
    except Exception:  # noqa: BLE001 - a fault of the attack must not hide what the other parts find
        broken = traceback.format_exc()
    if broken:
        print(f"{name}: the attack could not be carried out: {broken}", flush=True)
        return {**report.content(arguments.build, tools.seed), "broken": broken}
    report.write(kept, arguments.build, tools.seed)
    result = report.content(arguments.build, tools.seed)
    show(result)
    return result


def show(result: dict) -> None:
    total, failed = sum(result["counted"].values()), sum(result["failed"].values())
    print(f"{result['part']}: {total:,} attempts, {failed:,} got through, {result['seconds']} s", flush=True)
    for finding in result["findings"]:
        print(f"  {finding['what']}: {finding['details']}", flush=True)
    for what, number in result["failed"].items():
        kept = sum(finding["what"] == what for finding in result["findings"])
        if number > kept:
            print(f"  {what}: {number - kept} more", flush=True)
    for what, why in result["skipped"].items():
        print(f"  skipped: {what}: {why}", flush=True)


def conclude(results: list[dict]) -> int:
    total = sum(sum(result["counted"].values()) for result in results)
    failed = sum(sum(result["failed"].values()) for result in results)
    skipped = [what for result in results for what in result["skipped"]]
    broken = [result["part"] for result in results if result.get("broken")]
    line = f"{total:,} attempts, {failed:,} got through"
    if skipped:
        line += f"; skipped: {', '.join(skipped)}"
    if broken:
        line += f"; could not be carried out: {', '.join(broken)}"
    print(line, flush=True)
    if broken:
        return BROKEN
    return FOUND if failed else 0


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, required=True, help="the workspace")
    parser.add_argument("--patchctl", type=Path, required=True)
    parser.add_argument("--postgres", type=Path, required=True, help="folder of the programs of PostgreSQL")
    parser.add_argument("--database-url-file", type=Path, required=True, help="a PostgreSQL in which databases are made")
    parser.add_argument("--tools", type=Path, required=True, help="folder of ansible-playbook and bao")
    parser.add_argument("--vectors", type=Path, required=True, help="folder of hostile values")
    parser.add_argument("--state", type=Path, required=True, help="folder of the results of parts")
    parser.add_argument("--build", required=True, help="what is attacked; results for something else are not used")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--again", action="store_true", help="also the parts that were done before")
    parser.add_argument("--part", action="append", help="only this part")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
