// Pictures of every view of a running platform. Standard input has its address, a token, Chromium and the folder.
import { open } from './browser.js';
import { viewsOf, visit } from './views.js';

const input = JSON.parse(await new Promise((resolve) => {
  let text = '';
  process.stdin.on('data', (part) => (text += part)).on('end', () => resolve(text));
}));

async function first(path, find = () => true) {
  const answer = await fetch(input.base + path, { headers: { Authorization: `Bearer ${input.token}` } });
  if (!answer.ok) throw new Error(`${path} is answered with ${answer.status}: ${await answer.text()}`);
  const { items } = await answer.json();
  return items.find(find) ?? items[0];
}

const run = await first('/patch/runs?limit=100', (one) => one.hosts.failed > 0 && one.ended_at && one.started_at);
const known = {
  run: run?.id,
  change: run?.change_id ?? (await first('/itsm/changes?limit=1'))?.id,
  incident: (await first('/itsm/incidents?limit=1'))?.id ?? null,
  host: (await first('/patch/compliance/hosts?limit=1&status=non_compliant'))?.ci_id,
  policy: run?.policy_id ?? (await first('/patch/policies?limit=1'))?.id,
  cve: (await first('/patch/advisories?limit=1&affected=true'))?.cve_ids[0],
  release: (await first('/patch/releases?limit=1'))?.version ?? null,
  customer: (await first('/patch/customers?limit=1'))?.slug ?? null,
};
const only = process.env.CONSOLE_VIEWS?.split(',');
const views = viewsOf(known).filter(([name]) => !only || only.includes(name));
const browser = await open(input.chromium, input.base);
const found = [...(await visit(browser, input.base, input.token, views, input.folder, false)), ...browser.faults];
await browser.close();
if (found.length > 0) {
  console.error(found.join('\n'));
  process.exit(1);
}
