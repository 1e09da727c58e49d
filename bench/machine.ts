// Describes the environment of a measurement: machine, versions, commit and date.
import { execFileSync } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import os from 'node:os';
import { LOAD_GENERATOR } from './load/load.ts';

/** Returns one line: processor, memory, system, versions, commit, date. */
export function machine(): string {
  const cores = os.cpus();
  return [
    `${String(cores.length)} × ${cores[0]?.model.trim() ?? 'unknown processor'}`,
    `${String(Math.round(os.totalmem() / 2 ** 30))} GiB`,
    systemName(),
    `Node ${process.versions.node}`,
    LOAD_GENERATOR,
    `http-proxy ${versionOf('http-proxy')}`,
    `Express ${versionOf('express')}`,
    `undici ${versionOf('undici')}`,
    ...(process.env['COUCHDB_HOME'] === undefined ? [] : [couchdbVersion(process.env['COUCHDB_HOME'])]),
    `commit ${commit()}`,
    new Date().toISOString().slice(0, 10),
  ].join(', ');
}

function systemName(): string {
  try {
    const name = /^PRETTY_NAME="?([^"\n]+)/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1];
    return `${name ?? os.type()} (${os.type()} ${os.release().split('-')[0] ?? ''})`;
  } catch {
    return `${os.type()} ${os.release()}`;
  }
}

function versionOf(name: string): string {
  const text = readFileSync(new URL(`../node_modules/${name}/package.json`, import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}

/** Version from the name of the `couch` library of the release. */
function couchdbVersion(home: string): string {
  const library = readdirSync(`${home}/lib`).find((name) => /^couch-\d/.test(name));
  return `CouchDB ${library?.slice('couch-'.length) ?? 'of unknown version'}`;
}

function commit(): string {
  try {
    return execFileSync('git', ['rev-parse', '--short', 'HEAD'], {
      encoding: 'utf8',
      cwd: import.meta.dirname,
    }).trim();
  } catch {
    return 'unknown';
  }
}
