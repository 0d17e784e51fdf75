"""Foresees the exact package transaction of a host and writes it into `<pm_results_dir>/<host>.json`, on the controller.

The platform decides which packages it asks about and which are left out: each answer of the host goes to it, until it has no
further question.
"""

from __future__ import annotations

from ansible_collections.datacenteros.patch.plugins.plugin_utils import judge
from ansible_collections.datacenteros.patch.plugins.plugin_utils.errors import StepFailed
from ansible_collections.datacenteros.patch.plugins.plugin_utils.host_action import HostAction
from ansible_collections.datacenteros.patch.plugins.plugin_utils.results import write_result


class ActionModule(HostAction):
    def perform(self):
        settings = self.settings
        if settings.driver == "model":
            raise StepFailed("a model guest has no package manager to ask; it installs exactly its updates")
        answers, transactions = [], []
        while True:
            self.check_stop()
            question = {
                "question": "transaction", "groups": settings.update_groups, "allow_removals": settings.allow_removals,
                "denied": settings.denied, "answers": answers,
            }
            verdict = judge.ask(settings.judge_socket, question)
            if verdict["next"] == "done":
                break
            packages = sorted(verdict["packages"])
            found = self.host.foresee({name: settings.updates[name] for name in packages})
            # The platform decides by what would be removed, or by the refusal; the rest would only make its questions long.
            kept = {key: found[key] for key in ("state", "reason", "removals", "untested") if key in found}
            if settings.denied and found["state"] == "resolved":
                versions = found["updates"] + found["installs"]
                kept["brings"] = sorted({one["package"] for one in versions} - set(packages))
            answers.append({"packages": packages, **kept})
            transactions.append(found)
        # The transaction of what is kept is the answer to the question about exactly that.
        kept = sorted(verdict["packages"])
        answered = [found for asked, found in zip(answers, transactions) if asked["packages"] == kept]
        result = {"answers": answers, "packages": kept, "transaction": answered[-1] if answered else None}
        write_result(settings.results_dir, settings.host, result)
        return {"msg": f"{len(kept)} packages, {len(answers)} questions"}
