import { describe, expect, it } from '@jest/globals';
import { HELP, readCommandLine } from '../src/relay/command-line.ts';

const URL = 'http://couch:5984';
const read = (...args: readonly string[]) => readCommandLine(args, {});

describe('the command line of a relay', () => {
  it('has defaults', () => {
    expect(read('relay', URL)).toEqual({
      url: URL,
      auth: null,
      port: 5985,
      host: '127.0.0.1',
      drain: 5000,
      relay: {
        databases: undefined,
        recheck: 60_000,
        maxClients: 20_000,
        maxBacklog: 10_000,
        forward: false,
        publicStats: false,
      },
    });
  });

  it('takes each option of the help, and the help names each option', () => {
    const options = [...HELP.matchAll(/^ {2}(--[\w-]+)(?: ([A-Z]+))?/gm)];
    expect(options.map(([, name]) => name)).toHaveLength(11);
    for (const [, name = '', value] of options) {
      const args =
        value === undefined
          ? [name]
          : [name, value === 'NAMES' ? 'a,b-*' : value === 'ADDRESS' ? '::1' : '2000'];
      expect([name, 'text' in read('relay', URL, ...args)]).toEqual([name, name === '--help']);
    }
    expect(
      read('relay', URL, '--databases', 'a, b-*', '--forward', '--proxy-headers'),
    ).toMatchObject({
      relay: {
        databases: ['a', 'b-*'],
        forward: true,
        credentialHeaders: expect.arrayContaining(['x-auth-couchdb-token']),
      },
    });
  });

  it('takes the least and the largest values', () => {
    expect(
      read('relay', URL, '--port', '65535', '--recheck', '1000', '--max-backlog', '1'),
    ).toMatchObject({
      port: 65_535,
      relay: { recheck: 1000, maxBacklog: 1 },
    });
    expect(read('relay', URL, '--public-stats')).toMatchObject({ relay: { publicStats: true } });
    expect(read('--help')).toEqual({ text: HELP, isError: false });
    expect(read()).toEqual({ text: HELP, isError: true });
  });

  it('reads the credentials of the relay from the environment', () => {
    const env = { COUCHDB_USER: 'ada', COUCHDB_PASSWORD: 'secret' };
    expect(readCommandLine(['relay', URL], env)).toMatchObject({ auth: ['ada', 'secret'] });
    expect(readCommandLine(['relay', URL], { COUCHDB_PASSWORD: 'x' })).toMatchObject({
      isError: true,
    });
    expect(readCommandLine(['relay', URL], { COUCHDB_USER: 'ada' })).toMatchObject({
      isError: true,
      text: expect.stringContaining('must be set together'),
    });
  });

  it.each([
    [[], 'Usage: npx corduroy relay URL'],
    [['relay'], 'the URL of CouchDB is missing'],
    [['replay', URL], "the only command is 'relay'"],
    [['relay', URL, 'orders'], 'that belongs to no option'],
    [['relay', 'couch:5984'], 'must begin with http:// or https://'],
    [['relay', URL, '--prot', '1'], 'there is no option --prot'],
    [['relay', URL, '--port'], 'the option --port has a wrong value'],
    [['relay', URL, '--port', 'many'], '--port must be a whole number'],
    [['relay', URL, '--port', '70000'], '--port must be a number from 0 to 65535'],
    [['relay', URL, '--recheck', '10'], '--recheck must be at least 1000 milliseconds'],
    [['relay', URL, '--max-clients', '0'], 'must be at least 1'],
    [['relay', URL, '--max-backlog', '0'], 'must be at least 1'],
    [['relay', URL, '--port', '1e3'], '--port must be a whole number'],
    [['relay', URL, '--port', 'x1'], '--port must be a whole number'],
    [['relay', 'httpsx://couch'], 'must begin with http:// or https://'],
    [['relay', URL, '--databases', 'a,,b'], '--databases must be names with commas between them'],
  ])('%j is a mistake', (args, message) => {
    const result = readCommandLine(args, {});
    expect(result).toMatchObject({ isError: true, text: expect.stringContaining(message) });
  });

  it('never repeats a password', () => {
    const secret = 'http://ada:s3cret@couch:5984';
    for (const args of [
      ['relay', 'couch', secret],
      [secret],
      ['relay', `ftp${secret}`],
      ['relay', URL, `--${secret}`],
      ['relay', URL, '--port', secret],
    ])
      expect(JSON.stringify(readCommandLine(args, {}))).not.toContain('s3cret');
  });
});
