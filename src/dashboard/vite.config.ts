// Builds the dashboard into dist/dashboard: hashed files, compressed once, no request to another host.
import { gzipSync } from 'node:zlib';
import react from '@vitejs/plugin-react';
import { defineConfig, type Plugin } from 'vite';

/** Smaller files are sent as they are. */
const WORTH_COMPRESSING_BYTES = 1024;

export default defineConfig({
  root: import.meta.dirname,
  // Relative, so that a proxy may serve the dashboard under another path.
  base: './',
  plugins: [react(), compressed()],
  build: {
    outDir: '../../dist/dashboard',
    emptyOutDir: true,
    target: 'es2022',
    // The policy allows styles and scripts from files only.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    // The limit that counts is that of test/dashboard/build.test.ts.
    chunkSizeWarningLimit: 1000,
  },
});

/** Writes a `.gz` beside every file: the server compresses nothing while it serves. */
function compressed(): Plugin {
  return {
    name: 'compressed',
    generateBundle: {
      // After Vite has filled in the names of the scripts that are loaded later.
      order: 'post',
      handler(_options, bundle) {
        for (const [name, file] of Object.entries(bundle)) {
          const source = Buffer.from(file.type === 'chunk' ? file.code : file.source);
          if (source.length < WORTH_COMPRESSING_BYTES) continue;
          this.emitFile({ type: 'asset', fileName: `${name}.gz`, source: gzipSync(source, { level: 9 }) });
        }
      },
    },
  };
}
