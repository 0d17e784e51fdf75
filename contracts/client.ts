// What a client of each service writes. It compiles only while the contracts describe the answers precisely enough.
import createClient from "openapi-fetch";
import type { paths as Cmdb } from "./generated/cmdb";
import type { paths as Itsm } from "./generated/itsm";
import type { paths as PatchManager } from "./generated/patch-manager";
import type { paths as SimEngine } from "./generated/sim-engine";

const baseUrl = "http://127.0.0.1";
const cmdb = createClient<Cmdb>({ baseUrl });
const itsm = createClient<Itsm>({ baseUrl });
const patch = createClient<PatchManager>({ baseUrl });
const sim = createClient<SimEngine>({ baseUrl });

export async function hostsInMaintenance(): Promise<string[]> {
  const { data, error } = await cmdb.GET("/cmdb/cis", { params: { query: { limit: 1000 } } });
  if (error) throw new Error(`${error.status}: ${error.title}`);
  return data.items.filter((ci) => ci.maintenance).map((ci) => ci.id);
}

export async function approve(change: string): Promise<string> {
  const { data, error } = await itsm.POST("/itsm/changes/{id}/approve", { params: { path: { id: change } }, body: {} });
  if (error) throw new Error(`${error.status}: ${error.detail}`);
  return data.state;
}

export async function startRun(policy: string): Promise<string> {
  const { data, error } = await patch.POST("/patch/runs", { body: { policy_id: policy } });
  if (error) throw new Error(`${error.status}: ${error.detail}`);
  return data.id;
}

export async function revisionOfCustomer(slug: string): Promise<[string, number]> {
  const { data, error } = await patch.GET("/patch/customers/{slug}", { params: { path: { slug } } });
  if (error) throw new Error(`${error.status}: ${error.detail}`);
  // A stored customer has the fields it was created with, and its revision.
  return [data.name, data.revision];
}

export async function machines(): Promise<string[]> {
  const { data, error } = await sim.GET("/sim/vms");
  if (error) throw new Error(`${error.status}: ${error.title}`);
  return data.items.map((vm) => vm.id);
}
