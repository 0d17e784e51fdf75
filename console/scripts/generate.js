// Writes the types of the services from their contracts. A field that the contract does not have is then a build error.
import { mkdir, writeFile } from 'node:fs/promises';
import openapi, { astToString } from 'openapi-typescript';

const SERVICES = ['patch-manager', 'cmdb', 'itsm'];
const contracts = new URL('../../openapi/', import.meta.url);
const target = new URL('../src/api/', import.meta.url);

await mkdir(target, { recursive: true });
for (const service of SERVICES) {
  const types = await openapi(new URL(`${service}.json`, contracts), { defaultNonNullable: false });
  await writeFile(new URL(`${service}.d.ts`, target), astToString(types));
}
