import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

import { defineConfig } from "vitest/config";

/** The licences of what is bundled, beside the bundle. */
function licences(): { name: string; generateBundle(this: { emitFile(file: object): void }): void } {
  return {
    name: "licences",
    generateBundle() {
      const manifest = JSON.parse(readFileSync("package.json", "utf8")) as { dependencies: Record<string, string> };
      const names = [...Object.keys(manifest.dependencies), "@preact/signals-core"];
      const texts = names.map((name) => {
        const folder = join("node_modules", name);
        const file = readdirSync(folder).find((entry) => /^licen[sc]e/i.test(entry));
        if (file === undefined) throw new Error(`${name} has no licence file`);
        return `${name}\n\n${readFileSync(join(folder, file), "utf8").trim()}\n`;
      });
      this.emitFile({ type: "asset", fileName: "licences.txt", source: texts.join(`\n${"-".repeat(80)}\n\n`) });
    },
  };
}

// The bundle is served by the Python server from /, under a content security policy without inline code,
// so nothing may be turned into data: or inline.
export default defineConfig({
  base: "./",
  plugins: [licences()],
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    outDir: "../src/fluoroscope/monitor/static",
    emptyOutDir: true,
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    target: "es2022",
    chunkSizeWarningLimit: 900,
  },
  test: { include: ["test/**/*.test.ts"], environment: "node" },
});
