// Owns one installed CouchDB, with its folder and its processes. installed-server.ts forks it. When
// the parent disconnects or ends, it stops the server and deletes the folder.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

const folder = mkdtempSync(join(tmpdir(), 'couchdb-under-test-'));
let settings;
let server;
let ended;

const requests = {
  start(request) {
    settings = request;
    configure(request);
    return launch();
  },
  async restart() {
    await end();
    return launch();
  },
  async awaitEnd() {
    await ended;
    return server.pid;
  },
};

process.on('message', async (message) => {
  const [[name, value]] = Object.entries(message);
  try {
    process.send({ pid: await requests[name](value) });
  } catch (error) {
    process.send({ error: String(error) });
  }
});

process.on('disconnect', async () => {
  await end();
  rmSync(folder, { recursive: true, force: true });
  process.exit(0);
});

// Only the parent ends a keeper: a signal to the process group must not prevent the cleanup.
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(name, () => {});

function configure({ launcher, port, username, password, member }) {
  const home = dirname(dirname(launcher));
  for (const name of ['data', 'views']) mkdirSync(join(folder, name));
  writeFileSync(
    join(folder, 'local.ini'),
    `[couchdb]
single_node = ${member === undefined}
${member === undefined ? '' : `uuid = ${member.secret}`}
database_dir = ${join(folder, 'data')}
view_index_dir = ${join(folder, 'views')}
uri_file = ${join(folder, 'couch.uri')}
[chttpd]
port = ${port}
bind_address = 127.0.0.1
${member === undefined ? '' : `[chttpd_auth]\nsecret = ${member.secret}`}
[cluster]
q = 2
n = ${member === undefined ? 1 : 3}
[smoosh]
state_dir = ${join(folder, 'data')}
[log]
writer = file
file = ${join(folder, 'couch.log')}
level = warning
[admins]
${username} = ${member === undefined ? password : member.passwordHash}
`,
  );
  // Without a node name the Erlang node is not distributed: it cannot conflict with others, opens
  // no other port, and needs no epmd, which would outlive it.
  const args = readFileSync(join(home, 'etc', 'vm.args'), 'utf8');
  writeFileSync(
    join(folder, 'vm.args'),
    args.replaceAll(/^\s*-(name|sname|setcookie|kernel inet_dist\w*)\s.*$/gm, '') +
      (member === undefined ? '' : distribution(member)),
  );
  settings.ini = `${join(home, 'etc', 'default.ini')} ${join(folder, 'local.ini')}`;
}

/**
 * Returns the arguments of a cluster node. Each node has its own loopback address, and all have the
 * same port, so that they connect without an epmd. The other nodes drop a frozen node after 5
 * seconds instead of a minute, because until then they wait for it if a sequence names it.
 */
function distribution({ address, port, secret }) {
  return `
-name couchdb@${address}
-setcookie ${secret}
-kernel inet_dist_use_interface {${address.replaceAll('.', ',')}}
-start_epmd false
-erl_epmd_port ${port}
-kernel net_ticktime 4
`;
}

async function launch() {
  server = spawn(settings.launcher, [], {
    cwd: folder,
    detached: true,
    stdio: 'ignore',
    env: {
      ...process.env,
      COUCHDB_INI_FILES: settings.ini,
      COUCHDB_ARGS_FILE: join(folder, 'vm.args'),
      ERL_FLAGS: '',
    },
  });
  ended = once(server, 'exit');
  await once(server, 'spawn');
  return server.pid;
}

/** Ends the server and its child processes: first with SIGTERM, after 5 seconds with SIGKILL. */
async function end() {
  if (!server) return;
  const late = setTimeout(() => killGroup('SIGKILL'), 5_000);
  killGroup('SIGCONT');
  killGroup('SIGTERM');
  if (server.exitCode === null && server.signalCode === null) await ended;
  clearTimeout(late);
  killGroup('SIGKILL');
}

function killGroup(name) {
  try {
    process.kill(-server.pid, name);
  } catch {
    // The group has no processes left.
  }
}
