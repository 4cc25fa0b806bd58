/**
 * How the console is built: `tools/build-web.ts` (its result is served by the API) and `tools/dev.ts` (the development server) use it.
 * Nothing is inlined and every script is a file of its own, because the served page allows no inline script.
 */
import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

export default defineConfig({
  root: "src/web",
  plugins: [react()],
  // The API puts a fresh nonce in place of this word with every page; styles that Mantine makes at run time carry it.
  html: { cspNonce: "STRATIFORM_NONCE" },
  build: {
    target: "es2023",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    rolldownOptions: {
      output: {
        codeSplitting: {
          groups: [
            { name: "flow", test: /node_modules\/(@xyflow|d3-|zustand)/ },
            { name: "vendor", test: /node_modules/ },
          ],
        },
      },
    },
  },
});
