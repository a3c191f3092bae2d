import type { RunningServer } from './running-server.ts';

export default async function globalTeardown(): Promise<void> {
  await (globalThis as { corduroyTestServer?: RunningServer }).corduroyTestServer?.stop();
}
