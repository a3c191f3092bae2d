import { afterEach, describe, expect, it } from '@jest/globals';
import { readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basicAuth, type RunningServer } from '../running-server.ts';
import { needs } from '../server.ts';
import { startEmbedded, startIsolatedServer } from '../servers.ts';

// Servers as processes: several at once, killed, frozen, and stopped without remains.

let running: RunningServer | undefined;

afterEach(async () => {
  await running?.stop();
  running = undefined;
});

const folders = (): string[] =>
  readdirSync(tmpdir()).filter((name) => name.startsWith('couchdb-under-test-'));

const ask = (server: RunningServer, path: string, method = 'GET'): Promise<Response> =>
  fetch(`${server.url}${path}`, {
    method,
    headers: { authorization: basicAuth(server.username, server.password) },
    signal: AbortSignal.timeout(3_000),
  });

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

describe('an isolated server', () => {
  needs('process')(
    'is separate, and leaves neither a process nor a file',
    async () => {
      const before = folders();
      running = await startIsolatedServer();
      const { pid = 0 } = running;
      expect((await ask(running, '/own-database', 'PUT')).status).toBe(201);
      await running.stop();
      await running.stop();
      expect(isAlive(pid)).toBe(false);
      expect(folders()).toEqual(before);
      await expect(ask(running, '/')).rejects.toThrow();
    },
    30_000,
  );

  needs('process')(
    'can be frozen and resumed',
    async () => {
      running = await startIsolatedServer();
      await running.kill('SIGSTOP');
      const answer = ask(running, '/_all_dbs');
      const silence = new Promise((resolve) => setTimeout(resolve, 200, 'silence'));
      expect(await Promise.race([answer, silence])).toBe('silence');
      await running.kill('SIGCONT');
      expect((await answer).status).toBe(200);
      await running.kill('SIGSTOP');
    },
    30_000,
  );

  needs('process')(
    'dies of a kill',
    async () => {
      const before = folders();
      running = await startIsolatedServer();
      await running.kill('SIGKILL');
      await expect(ask(running, '/')).rejects.toThrow();
      await running.stop();
      expect(folders()).toEqual(before);
    },
    30_000,
  );

  needs('restart')(
    'comes back on its port with its data',
    async () => {
      running = await startIsolatedServer();
      const { url } = running;
      await ask(running, '/kept', 'PUT');
      await running.kill('SIGKILL');
      await running.restart?.();
      expect(running.url).toBe(url);
      expect((await ask(running, '/kept')).status).toBe(200);
      await running.restart?.();
      expect((await ask(running, '/kept')).status).toBe(200);
    },
    60_000,
  );
});

describe('an embedded server', () => {
  it('answers cross-origin requests with the cors option', async () => {
    running = await startEmbedded({ cors: true });
    const headers = {
      origin: 'http://example.com',
      'access-control-request-method': 'PUT',
      'access-control-request-headers': 'content-type, authorization',
    };
    const preflight = await fetch(`${running.url}/db`, { method: 'OPTIONS', headers });
    expect(preflight.status).toBe(204);
    expect(preflight.headers.get('access-control-allow-methods')).toContain('PUT');
    expect(preflight.headers.get('access-control-allow-headers')).toContain('content-type');
    const refused = await fetch(`${running.url}/none`, { headers });
    expect([refused.status, refused.headers.get('access-control-allow-origin')]).toEqual([
      404,
      'http://example.com',
    ]);
    expect(refused.headers.get('access-control-expose-headers')).toContain('etag');
  });

  it('needs no credentials without an admin', async () => {
    running = await startEmbedded();
    expect((await fetch(`${running.url}/open`, { method: 'PUT' })).status).toBe(201);
    const session = await (await fetch(`${running.url}/_session`)).json();
    expect(session).toMatchObject({ userCtx: { name: null, roles: ['_admin'] } });
  });

  it('stays fast after many feeds have disconnected', async () => {
    running = await startEmbedded();
    const { url } = running;
    await fetch(`${url}/busy`, { method: 'PUT' });
    for (let turn = 0; turn < 200; turn += 1) {
      const controller = new AbortController();
      const query = 'feed=continuous&since=now&heartbeat=1000';
      await fetch(`${url}/busy/_changes?${query}`, { signal: controller.signal });
      controller.abort();
    }
    const started = performance.now();
    for (let turn = 0; turn < 50; turn += 1) {
      await fetch(`${url}/busy/doc-${turn}`, { method: 'PUT', body: '{}' });
    }
    expect(performance.now() - started).toBeLessThan(2_000);
  });

  it('answers unsupported endpoints with 501', async () => {
    running = await startEmbedded();
    await fetch(`${running.url}/db`, { method: 'PUT' });
    const headers = { 'content-type': 'application/json' };
    const answer = await fetch(`${running.url}/db/_purge`, { method: 'POST', headers, body: '{}' });
    expect(answer.status).toBe(501);
    expect(await answer.json()).toEqual({
      error: 'not_implemented',
      reason: '_purge is not available on the embedded server',
    });
  });
});
