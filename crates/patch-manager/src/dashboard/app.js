"use strict";
// Reads the API with the user's token and shows it. All text is set as text, never as markup.

const content = document.getElementById("content");
const connection = document.getElementById("connection");
const TOKEN = "patch-manager-token";
const REFRESH_MS = 3000;
let timer = 0;

const STATE_CLASS = {
  succeeded: "good", compliant: "good", covered: "good",
  failed: "bad", halted: "bad", completed_with_errors: "bad", non_compliant: "bad", rolled_back: "bad", rollback_failed: "bad",
  timed_out: "bad", unreachable: "bad", expired: "bad", voided: "bad",
  paused: "wait", awaiting_approval: "wait", unknown: "wait", feed_too_old: "wait", out_of_support: "wait", not_covered: "bad", cancelled: "wait", skipped: "wait", pending: "",
};

class Refused extends Error {}

// Hosts and log lines shown with a run.
const MAX_HOSTS = 500;
const LOG_TAIL = 50;

async function api(path) {
  return (await ask(path)).json();
}

async function apiLines(path) {
  return (await (await ask(path)).text()).split("\n").filter((line) => line).map((line) => JSON.parse(line));
}

async function ask(path) {
  const answer = await fetch(path, { headers: { Authorization: `Bearer ${sessionStorage.getItem(TOKEN)}` } });
  if (answer.status === 401) throw new Refused((await answer.json()).detail);
  if (!answer.ok) throw new Error((await answer.json().catch(() => ({}))).detail || `the service answered ${answer.status}`);
  return answer;
}

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

const words = (state) => (state || "").replaceAll("_", " ");
const state = (name) => element("span", { className: STATE_CLASS[name] ?? "work" }, words(name));
const time = (text) => (text ? element("time", { dateTime: text, title: text }, new Date(text).toLocaleString()) : "–");
const minutes = (seconds) => `${(seconds / 60).toFixed(1)} min`;
const figure = (value, label) => element("div", { className: "figure" }, element("b", {}, String(value)), element("span", {}, label));

function table(columns, rows, empty) {
  if (rows.length === 0) return element("p", {}, empty);
  const head = element("tr", {}, ...columns.map((name) => element("th", { scope: "col" }, name)));
  const body = rows.map((cells) => element("tr", {}, ...cells.map((cell) => element("td", { className: String(cell).length > 50 ? "text" : "" }, cell))));
  return element("div", { className: "scroll" }, element("table", {}, element("thead", {}, head), element("tbody", {}, ...body)));
}

function shares(title, groups) {
  const rows = Object.entries(groups).map(([name, counts]) => {
    const bar = element("meter", { min: 0, max: 100, value: counts.percent, title: `${counts.percent.toFixed(1)} %` });
    return [name || "(none)", bar, `${counts.percent.toFixed(1)} %`, counts.compliant, counts.non_compliant, counts.unknown].map((cell) =>
      typeof cell === "number" ? String(cell) : cell);
  });
  return [element("h2", {}, title), table([title.replace("By ", ""), "", "share", "compliant", "lacking", "unknown"], rows, "Nothing is known yet.")];
}

function coverage(releases) {
  const rows = releases.map((one) => [one.release, String(one.hosts), state(one.state), one.feeds.map((feed) => feed.feed).join(", ") || "none",
    one.feeds.length ? time(one.feeds.map((feed) => feed.fetched_at).sort().at(-1)) : "never", one.end_of_support ?? "", one.reason ?? ""]);
  return [element("h2", {}, "Known advisories"),
    table(["release", "hosts", "state", "feeds", "last imported", "end of support", "reason"], rows, "No host is known yet.")];
}

async function showFleet() {
  const [compliance, runs] = await Promise.all([api("/patch/compliance"), api("/patch/runs?limit=20")]);
  const total = compliance.total;
  const rows = runs.items.map((run) => [
    element("a", { href: `/dashboard/runs/${run.id}` }, run.id.slice(0, 13)),
    run.advisory || run.policy_id || "by hand", state(run.state), words(run.strategy),
    `${run.hosts.succeeded} of ${run.hosts.total}`, String(run.hosts.failed), run.requested_by, time(run.created_at),
  ]);
  return [
    element("h1", {}, "Fleet"),
    element("div", { className: "figures" }, figure(`${total.percent.toFixed(1)} %`, "compliant"), figure(total.compliant, "hosts compliant"),
      figure(total.non_compliant, "lacking patches"), figure(total.unknown, "unknown")),
    element("h2", {}, "Runs"),
    table(["run", "of", "state", "strategy", "patched", "failed", "by", "started"], rows, "No run was started yet."),
    ...coverage(compliance.coverage), ...shares("By policy", compliance.by_policy), ...shares("By env", compliance.by_env), ...shares("By os", compliance.by_os),
  ];
}

function sinceApproval(diff) {
  if (!diff.verdict) return [];
  const rows = diff.lines.map((line) => [line.subject, line.what, line.approved ?? "", line.now ?? ""]);
  return [element("h2", {}, "Changes since the approval"), element("p", {}, diff.reason),
    table(["of", "difference", "approved", "now"], rows, `The plans are the same (compared ${diff.compared_at}).`)];
}

async function showRun(id) {
  const path = `/patch/runs/${encodeURIComponent(id)}`;
  const [run, diff, listedWaves, listedHosts, lines] = await Promise.all([api(path), api(`${path}/diff`), api(`${path}/waves?limit=1000`), api(`${path}/hosts?limit=${MAX_HOSTS}`),
    apiLines(`${path}/logs?format=ndjson&tail=${LOG_TAIL}`)]);
  const waves = listedWaves.items.map((wave) => [wave.name, words(wave.kind), words(wave.state), `${wave.hosts.succeeded} of ${wave.hosts.total}`, String(wave.hosts.failed)]);
  const waveOf = new Map(listedWaves.items.map((wave) => [wave.index, wave.name]));
  const more = listedHosts.next_page_token ? `The first ${MAX_HOSTS} of ${run.hosts.total} hosts; patchctl run hosts lists all.` : "";
  const hosts = listedHosts.items.map((host) => [host.ci_id, waveOf.get(host.wave) ?? "", state(host.state), String(host.attempts),
    String(host.changed.length), host.rebooted ? "yes" : "no",
    (host.pending_restart?.services ?? []).map((service) => service.name).join(", "), host.error ?? ""]);
  const predicted = run.prediction;
  const prediction = predicted ? `Predicted: ${minutes(predicted.duration_p50_seconds)} at P50 and ${minutes(predicted.duration_p95_seconds)} at P95,` +
    ` halts in ${(predicted.halt_probability * 100).toFixed(1)} % of runs, ${predicted.expected_failed_hosts.toFixed(2)} failed hosts on average,` +
    ` at most ${predicted.max_hosts_down} hosts down at once, ${predicted.expected_service_down_seconds.toFixed(0)} s of service below its minimum` : "";
  const log = lines.map((line) => `${line.at.slice(11, 19)} ${line.ci_id ? line.ci_id + ": " : ""}${line.text}`).join("\n");
  return [
    element("h1", {}, `Run ${run.id}`),
    element("p", {}, state(run.state), run.reason ? ` – ${run.reason}` : "", ` · change ${run.change_id ?? "none"} · requested by ${run.requested_by}`),
    element("div", { className: "figures" }, figure(run.hosts.succeeded, "patched"), figure(run.hosts.working, "at work"), figure(run.hosts.pending, "waiting"),
      figure(run.hosts.failed, "failed"), figure(`${run.tests.after_passed}/${run.tests.after}`, "tests after"), figure(run.tests.regressions, "regressions")),
    element("p", {}, prediction),
    element("h2", {}, "Waves"), table(["wave", "kind", "state", "patched", "failed"], waves, "No plan yet."),
    element("h2", {}, "Hosts"), table(["host", "wave", "state", "attempts", "packages", "rebooted", "pending restart", "reason"], hosts, "No host yet."),
    more ? element("p", {}, more) : null,
    ...sinceApproval(diff),
    element("h2", {}, "Log"), element("pre", {}, log || "Nothing yet."),
  ];
}

async function show() {
  clearTimeout(timer);
  const run = location.pathname.match(/^\/dashboard\/runs\/([^/]+)$/);
  try {
    const parts = await (run ? showRun(run[1]) : showFleet());
    content.replaceChildren(...parts.filter((part) => part !== null));
    connection.textContent = `as of ${new Date().toLocaleTimeString()}`;
  } catch (error) {
    if (error instanceof Refused) return signIn(error.message);
    connection.textContent = `not up to date: ${error.message}`;
  }
  timer = setTimeout(show, REFRESH_MS);
}

function signIn(refusal = "") {
  clearTimeout(timer);
  sessionStorage.removeItem(TOKEN);
  content.replaceChildren();
  document.getElementById("sign-in").hidden = false;
  document.getElementById("sign-out").hidden = true;
  document.getElementById("refusal").textContent = refusal;
}

function signedIn() {
  document.getElementById("sign-in").hidden = true;
  document.getElementById("sign-out").hidden = false;
  show();
}

document.getElementById("sign-in").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem(TOKEN, document.getElementById("token").value);
  document.getElementById("token").value = "";
  signedIn();
});
document.getElementById("sign-out").addEventListener("click", () => signIn());
if (sessionStorage.getItem(TOKEN)) signedIn(); else signIn();
