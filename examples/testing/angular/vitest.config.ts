import { defineConfig } from 'vitest/config';

// The builder of `ng test` makes these settings itself.
export default defineConfig({
  test: { environment: 'happy-dom', setupFiles: 'setup.ts' },
});
