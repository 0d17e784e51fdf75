// Builds `dist/`, which is committed and becomes part of the patch-manager. Text is stored compressed.
//
// With `--check` nothing is written: the build is compared with `dist/`, byte for byte after decompression, because another
// version of the compressor may write other bytes for the same text.
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { constants, gunzipSync, gzipSync } from 'node:zlib';
import { build } from 'vite';

const root = fileURLToPath(new URL('..', import.meta.url));
const built = join(root, 'build');
const dist = join(root, 'dist');
const TEXT = /\.(html|js|css|svg|txt)$/;

async function list(folder) {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)))
    .sort();
}

async function committed() {
  const files = new Map();
  for (const name of await list(dist).catch(() => [])) {
    const bytes = await readFile(join(dist, name));
    files.set(name.replace(/\.gz$/, ''), name.endsWith('.gz') ? gunzipSync(bytes) : bytes);
  }
  return files;
}

async function fresh() {
  await build({ root, configFile: join(root, 'vite.config.ts'), logLevel: 'warn', build: { outDir: built, emptyOutDir: true } });
  const files = new Map();
  for (const name of await list(built)) files.set(name, await readFile(join(built, name)));
  await rm(built, { recursive: true });
  return files;
}

function differences(old, made) {
  const names = [...new Set([...old.keys(), ...made.keys()])].sort();
  return names.flatMap((name) => {
    if (!old.has(name)) return [`${name} is missing in dist/`];
    if (!made.has(name)) return [`${name} is in dist/ and is not built any more`];
    return old.get(name).equals(made.get(name)) ? [] : [`${name} is out of date in dist/`];
  });
}

async function write(files) {
  await rm(dist, { recursive: true, force: true });
  for (const [name, bytes] of files) {
    const isText = TEXT.test(name);
    const path = join(dist, isText ? `${name}.gz` : name);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, isText ? gzipSync(bytes, { level: constants.Z_BEST_COMPRESSION }) : bytes);
  }
}

const files = await fresh();
if (process.argv.includes('--check')) {
  const found = differences(await committed(), files);
  if (found.length > 0) {
    console.error(`${found.join('\n')}\nrun \`cargo xtask web\` and commit console/dist`);
    process.exit(1);
  }
} else {
  await write(files);
}
console.log(`${files.size} files`);
