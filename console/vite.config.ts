import { svelte } from '@sveltejs/vite-plugin-svelte';
import tailwindcss from '@tailwindcss/vite';
import { defineConfig } from 'vite';

// The services of a running platform, for `npm run dev`.
const platform = process.env.CONSOLE_PLATFORM ?? 'http://127.0.0.1:8080';
const services = ['/patch', '/cmdb', '/itsm', '/sim', '/access', '/healthz'];

export default defineConfig({
  base: '/console/',
  plugins: [svelte(), tailwindcss()],
  build: {
    target: 'es2022',
    cssTarget: 'chrome123',
    // An image or font inside a style sheet would need `data:` in the policy.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    rolldownOptions: { checks: { pluginTimings: false } },
  },
  server: { proxy: Object.fromEntries(services.map((path) => [path, platform])) },
});
