// Bundles the page and its worker as classic scripts: pages opened by a double click take no modules.
//
//     node build.mjs            src/page/main.ts, src/worker/main.ts, styles/page.css -> build/
//     node build.mjs --ship     the same, packed, into src/distilseg/export/web/built/, which the wheel carries
//     node build.mjs --tests    tests/**/*.test.ts -> build/tests/, for `node --test`
//
// The page that export writes around them holds: <html lang="en">, a title, styles/page.css, a <body> with one paragraph
// for browsers that run no scripts, and page.js at its end. So src/page/main.ts makes every element, by `textContent` and
// never by `innerHTML`. Its content policy: default-src 'none'; scripts and styles by hash; worker-src blob:; img-src
// data: blob:. It forbids every request, style="" in markup (element.style in a script is allowed), eval, and event
// handlers in markup.

import { build } from "esbuild";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { gunzipSync, gzipSync } from "node:zlib";

const here = dirname(fileURLToPath(import.meta.url));
const modules = join(here, "node_modules");
const shipped = join(here, "../src/distilseg/export/web/built");
const common = { bundle: true, logLevel: "warning", charset: "utf8", legalComments: "none", absWorkingDir: here };
const script = {
  ...common,
  outdir: "build",
  platform: "browser",
  target: ["chrome116", "firefox121", "safari17"],
  minify: true,
  metafile: true,
};

/** Where ONNX Runtime's own threads find their script, and what a classic one has instead. */
const classic = { ...script, format: "iife", define: { "import.meta.url": "self.location.href" } };

async function bundles() {
  const found = [
    await build({ ...classic, entryPoints: { page: "src/page/main.ts", style: "styles/page.css" } }),
    await build({ ...classic, entryPoints: { worker: "src/worker/main.ts" } }),
    // Of the folder variant: threads start from its own URL, so it is a module; and once more for WebGPU.
    await build({ ...script, format: "esm", entryPoints: { served: "src/worker/main.ts" } }),
    await build({
      ...script,
      format: "esm",
      entryPoints: { webgpu: "src/worker/main.ts" },
      alias: { "onnxruntime-web/wasm": "onnxruntime-web/webgpu" },
    }),
  ];
  return new Set(found.flatMap(({ metafile }) => Object.keys(metafile.inputs)));
}

const files = {
  "page.js": "build/page.js",
  "style.css": "build/style.css",
  "worker.js": "build/worker.js",
  "served.js": "build/served.js",
  "webgpu.js": "build/webgpu.js",
  "engine.wasm": "node_modules/onnxruntime-web/dist/ort-wasm-simd-threaded.wasm",
  "webgpu.wasm": "node_modules/onnxruntime-web/dist/ort-wasm-simd-threaded.asyncify.wasm",
};

async function ship(inputs) {
  rmSync(shipped, { recursive: true, force: true });
  mkdirSync(shipped, { recursive: true });
  const digests = {};
  const add = (name, content) => {
    digests[name] = digest(content);
    writeFileSync(join(shipped, `${name}.gz`), gzipSync(content, { level: 9 }));
  };
  for (const [name, from] of Object.entries(files)) add(name, readFileSync(join(here, from)));
  add("licences.txt", licences(inputs));
  add("notices.txt", gunzipSync(readFileSync(join(here, "licences/onnxruntime-notices.txt.gz"))));
  const manifest = { format: 1, knows: await knows(), sources: sourcesDigest(), files: digests };
  writeFileSync(join(shipped, "manifest.json"), JSON.stringify(manifest, null, 1) + "\n");
}

/** One digest of all that the built files are made of: names and contents, in order. Tests compute it too. */
function sourcesDigest() {
  const names = ["build.mjs", "package-lock.json", "tsconfig.json", ...below("src"), ...below("styles")].sort();
  return digest(names.map((name) => `${digest(readFileSync(join(here, name)))}  ${name}\n`).join(""));
}

function below(folder) {
  return readdirSync(join(here, folder), { recursive: true })
    .map((name) => join(folder, name))
    .filter((name) => statSync(join(here, name)).isFile())
    .map((name) => name.split(sep).join("/"));
}

function digest(content) {
  return createHash("sha256").update(content).digest("hex");
}

async function knows() {
  await build({ ...common, entryPoints: ["src/knows.ts"], outfile: "build/knows.mjs", format: "esm", platform: "node" });
  return (await import(`./build/knows.mjs?${Date.now()}`)).KNOWS;
}

/** Of every package whose code is in a bundle: name, version, licence and its text. */
function licences(inputs) {
  const named = [...inputs].map((input) => /node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(input)?.[1]).filter(Boolean);
  const parts = [...new Set(named)].sort().map((name) => {
    const folder = join(modules, name);
    const about = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
    const file = readdirSync(folder).find((other) => /^licen[cs]e/i.test(other));
    const own = join(here, "licences", `${name.replace("/", "+")}.txt`);
    const text = file ? readFileSync(join(folder, file), "utf8") : existsSync(own) ? readFileSync(own, "utf8") : null;
    if (text === null) throw new Error(`${name}: no text of its licence; put it into ${relative(here, own)}`);
    return `${name} ${about.version}, ${about.license ?? "see below"}\n\n${text.trim()}\n`;
  });
  return parts.join(`\n${"-".repeat(72)}\n\n`);
}

if (process.argv.includes("--tests")) {
  const named = readdirSync(join(here, "tests"), { recursive: true }).filter((name) => name.endsWith(".test.ts"));
  await build({
    ...common,
    entryPoints: named.map((name) => `tests/${name}`),
    outdir: "build/tests",
    outbase: "tests",
    platform: "node",
    format: "esm",
    outExtension: { ".js": ".mjs" },
    target: "node20",
  });
  // The vectors' checks once more, for a browser.
  await build({ ...classic, metafile: false, minify: false, entryPoints: ["tests/vectors.ts"], outdir: "build/tests", globalName: "vectors" });
} else {
  const inputs = await bundles();
  if (process.argv.includes("--ship")) await ship(inputs);
}
