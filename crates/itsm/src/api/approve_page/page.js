
"use strict";
// Everything from outside is set as text, never as markup.
const element = (id) => document.getElementById(id);
const id = document.querySelector("main").dataset.change;
// Relative, so that the page also works below a path of a proxy's.
const path = "../itsm/changes/" + id;
let token = "";
// The secret of a one-time link is after `#`, which browsers do not send; it is removed from the address bar, too.
const secret = new URLSearchParams(location.hash.slice(1));
let link = secret.get("link") || "";
// Who comes back from a sign-in that failed may enter a token.
const wantsToken = secret.has("token");
// Where people sign in at an identity provider, the browser has a session, and a link alone decides nothing.
let isSession = false;
history.replaceState(null, "", location.pathname);
let change = null;
let tag = "";

async function ask(url, options) {
  const answer = await fetch(url, {
    ...options,
    headers: {
      ...(token ? { "Authorization": "Bearer " + token } : {}),
      ...(isSession && !token ? { "X-Patch-Console": "1" } : {}),
      ...options.headers,
    },
    credentials: isSession && !token ? "same-origin" : "omit",
    cache: "no-store",
  });
  const body = await answer.json();
  if (!answer.ok) throw Object.assign(new Error(body.detail || "the service answered " + answer.status), { status: answer.status });
  tag = answer.headers.get("ETag") || "";
  return body;
}

function say(text) {
  element("message").textContent = text;
}

function fact(name, value) {
  const term = document.createElement("dt");
  const text = document.createElement("dd");
  term.textContent = name;
  text.textContent = value;
  element("facts").append(term, text);
}

function prose(title, value) {
  if (!value || !value.trim()) return;
  const heading = document.createElement("h3");
  const text = document.createElement("pre");
  heading.textContent = title;
  text.textContent = value;
  element("prose").append(heading, text);
}

function show(read) {
  change = read;
  element("facts").replaceChildren();
  element("prose").replaceChildren();
  element("short_description").textContent = change.short_description;
  fact("State", change.state.replaceAll("_", " "));
  fact("Kind", change.kind);
  fact("Risk", change.risk.replaceAll("_", " "));
  fact("Requested by", change.requested_by);
  fact("From", change.start_at);
  fact("To", change.end_at);
  fact("Plan hash", change.plan_hash || "none");
  fact("CIs (" + change.ci_ids.length + ")", change.ci_ids.join(", "));
  for (const approval of change.approvals) {
    const note = (approval.comment ? ": " + approval.comment : "") + (approval.voided_at ? " (void)" : "");
    fact(approval.decision, approval.approver + " at " + approval.decided_at + note);
  }
  prose("Description", change.description);
  prose("Implementation", change.implementation_plan);
  prose("Backout", change.backout_plan);
  prose("Tests", change.test_plan);
  const hasEvidence = change.evidence && Object.keys(change.evidence).length > 0;
  prose("Evidence", hasEvidence ? JSON.stringify(change.evidence, null, 2) : "");
  element("approve").disabled = change.state !== "pending_approval";
  element("reject").disabled = !["pending_approval", "approved"].includes(change.state);
  element("change").hidden = false;
}

async function askByLink(verb, body) {
  return ask(id + "/" + verb, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ token: link, ...body }),
  });
}

async function readByLink() {
  try {
    const read = await askByLink("read", {});
    show(read.change);
    element("enter").hidden = true;
    say("You decide as " + read.approver + ", once, until " + read.expires_at + ".");
  } catch (error) {
    link = "";
    say(error.message);
  }
}

async function begin() {
  let provider = null;
  try {
    provider = (await ask("../access/oidc", {})).provider;
  } catch {
    // The token and the link work without it.
  }
  if (provider) await readBySession(provider);
  else if (link) await readByLink();
}

async function readBySession(provider) {
  link = "";
  const login = "../access/oidc/login?return_to=" + encodeURIComponent(location.pathname);
  element("provider").textContent = "Sign in with " + provider.name;
  element("provider").href = login;
  element("sign-in").hidden = false;
  isSession = true;
  try {
    const me = await ask("../access/me", {});
    show(await ask(path, {}));
    element("enter").hidden = true;
    element("sign-in").hidden = true;
    say("You decide as " + me.subject + ".");
  } catch (error) {
    if (error.status === 401 && !wantsToken) location.assign(login);
    else if (error.status !== 401) say(error.message);
  }
}

begin();

element("enter").addEventListener("submit", async (event) => {
  event.preventDefault();
  token = element("token").value.trim();
  element("token").value = "";
  try {
    show(await ask(path, {}));
    say("");
  } catch (error) {
    say(error.message);
  }
});

element("decide").addEventListener("submit", async (event) => {
  event.preventDefault();
  const verb = event.submitter ? event.submitter.value : "";
  if (!["approve", "reject"].includes(verb)) return;
  // The hash and the tag say which version of the change was read: a decision on any other is refused.
  const decision = { comment: element("comment").value, plan_hash: change.plan_hash };
  try {
    if (link) {
      const word = verb === "approve" ? "approved" : "rejected";
      show(await askByLink("decide", { decision: word, comment: decision.comment }));
      say("You have " + word + " this change.");
      return;
    }
    show(await ask(path + "/" + verb, {
      method: "POST",
      headers: { "Content-Type": "application/json", "If-Match": tag },
      body: JSON.stringify(decision),
    }));
    say(verb === "approve" ? "You have approved this change." : "You have rejected this change.");
  } catch (error) {
    say(error.message);
  }
});
