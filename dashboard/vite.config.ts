import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import react from "@vitejs/plugin-react";
import { defineConfig, type Plugin } from "vite";

// `npm run dev` serves the pages with hot reload and asks this API; the build goes into the Python package.
const api = process.env.HARBORX_API ?? "http://127.0.0.1:8000";

export default defineConfig({
  plugins: [react(), compressed()],
  build: {
    outDir: "../orchestrator/api/static",
    emptyOutDir: true,
    target: "es2022",
    chunkSizeWarningLimit: 700,
    rolldownOptions: {
      output: {
        // What every page needs in one file, what most share in another: forty small ones cost more than their bytes.
        codeSplitting: {
          groups: [
            {
              name: "base",
              test: /src\/(main|router|theme|shell\/|pages\/account\/)/,
              priority: 2,
            },
            {
              name: "parts",
              test: /src\/(api|parts\/(?!EChart|PageTabs|palette|statistics))/,
              priority: 1,
            },
          ],
        },
      },
    },
  },
  server: { proxy: { "/v1": api, "/functions": api } },
});

/** Each file once more, compressed as well as can be: the server need not do it for every visitor. */
function compressed(): Plugin {
  let folder = "";
  return {
    name: "compressed",
    apply: "build",
    configResolved(config) {
      folder = join(config.root, config.build.outDir, config.build.assetsDir);
    },
    closeBundle() {
      for (const name of readdirSync(folder)) {
        const content = readFileSync(join(folder, name));
        writeFileSync(join(folder, `${name}.gz`), gzipSync(content, { level: 9 }));
      }
    },
  };
}
