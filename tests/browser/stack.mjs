// The stack behind the browser tests: the shipped envoy/edge-tls.yaml, coatcheck with an embedded store, the real provider, and the demo's
// application, all on ports of their own. Chromium is told where the hosts live, so that the origin is https://shop.test, as in production.
// With LOGIN_MODE=in_band it is the shipped envoy/in-band.yaml, behind something that terminates TLS.

import { execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createWriteStream, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { createServer as createTlsEnd } from 'node:tls';

import { createUpstream } from '../demo/upstream.mjs';

const ROOT = new URL('../../', import.meta.url).pathname;
const COATCHECK = process.env.COATCHECK_BIN ?? path.join(process.env.CARGO_TARGET_DIR ?? path.join(ROOT, 'target'), 'debug/coatcheck');
const PATIENCE_MS = 30_000;
const IN_BAND = process.env.LOGIN_MODE === 'in_band';

export const ORIGIN = 'https://shop.test';
/** Another site, and another origin of the same site (to which SameSite cookies do go). */
export const EVIL = 'http://evil.test';
export const SIBLING = 'https://sibling.shop.test';

/** Starts everything; `stop()` ends it. `edit` may change coatcheck's configuration text. */
export async function startStack({ edit = (config) => config } = {}) {
  const stack = new Stack();
  try {
    await stack.start(edit);
  } catch (error) {
    console.error(stack.logs());
    await stack.stop();
    throw error;
  }
  return stack;
}

class Stack {
  #folder = mkdtempSync(path.join(tmpdir(), 'coatcheck-browser-'));
  #children = [];
  #servers = [];
  #attackerPage = '';

  /** What reached the application: `{ method, url, headers }`, in order. */
  upstreamRequests = [];

  async start(edit) {
    const clientSecret = randomBytes(18).toString('base64url');
    this.issuer = await this.#startProvider(clientSecret);
    const app = await this.#listen(createUpstream({
      onRequest: ({ method, url, headers }) => this.upstreamRequests.push({ method, url, headers }),
    }));
    const tls = this.#makeCertificate();
    const attack = (_request, response) => {
      response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' });
      response.end(this.#attackerPage);
    };
    const evil = await this.#listen(createServer(attack));
    const sibling = await this.#listen(createTlsServer(tls, attack));
    const coatcheck = await this.#startCoatcheck(clientSecret, edit);
    const envoy = await this.#startEnvoy({ ...coatcheck, app });
    const edge = IN_BAND ? await this.#terminateTls(tls, envoy) : envoy;
    const hosts = { 'shop.test:443': edge, 'evil.test:80': evil, 'sibling.shop.test:443': sibling };
    this.hostRules = Object.entries(hosts).map(([host, port]) => `MAP ${host} 127.0.0.1:${port}`).join(', ');
  }

  /** Puts a page on the attacker's site (and on the sibling) and returns its address. */
  serveEvil(html, site = EVIL) {
    this.#attackerPage = `<!doctype html><html lang="en"><title>attacker</title><body>${html}</body></html>`;
    return `${site}/`;
  }

  /** The last words of every child, for a failed test. */
  logs(lines = 25) {
    return this.#children.map(({ name, log }) => {
      const text = existsSync(log) ? readFileSync(log, 'utf8').trimEnd().split('\n').slice(-lines).join('\n') : '';
      return `--- ${name}\n${text}`;
    }).join('\n');
  }

  async stop() {
    for (const server of this.#servers) {
      server.close();
      server.closeAllConnections?.();
    }
    await Promise.all(this.#children.map(async ({ child }) => {
      if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
      const killer = setTimeout(() => child.kill('SIGKILL'), 10_000);
      child.kill('SIGTERM');
      await once(child, 'exit');
      clearTimeout(killer);
    }));
    rmSync(this.#folder, { recursive: true, force: true });
  }

  async #startProvider(clientSecret) {
    const config = {
      clients: [{
        client_id: 'demo',
        client_secret: clientSecret,
        redirect_uris: [`${ORIGIN}/auth/callback`],
        post_logout_redirect_uris: [`${ORIGIN}/auth/logout/done`],
      }],
    };
    const provider = this.#spawn('provider', process.execPath, [path.join(ROOT, 'tests/peers/provider.mjs')], { PROVIDER_CONFIG: JSON.stringify(config) });
    return (await this.#eventually('the provider', () => jsonLines(provider.out)[0])).issuer;
  }

  /** The demo's configuration file, with addresses replaced. */
  async #startCoatcheck(clientSecret, edit) {
    const config = readFileSync(path.join(ROOT, 'tests/demo/coatcheck.yaml'), 'utf8')
      .replaceAll(/:900[123]\b/g, ':0')
      .replace('http://127.0.0.1:4000', this.issuer)
      .replace('http://localhost:8080', ORIGIN)
      .replace('login: {', IN_BAND ? 'login: { mode: in_band,' : 'login: {');
    const file = this.#write('coatcheck.yaml', edit(config));
    const { log } = this.#spawn('coatcheck', COATCHECK, ['serve', '-c', file], { DEMO_CLIENT_SECRET: clientSecret });
    const ports = await this.#eventually('coatcheck listening', () => {
      const found = jsonLines(log).map((line) => line.fields ?? {}).filter((fields) => fields.message === 'listening');
      return found.length === 3 && Object.fromEntries(found.map(({ listener, address }) => [listener, Number(address.split(':').at(-1))]));
    });
    await this.#eventually('coatcheck being ready', async () => (await statusOf(`http://127.0.0.1:${ports.admin}/readyz`)) === 200);
    return ports;
  }

  /** The shipped configuration, with addresses and the certificate's path replaced; returns the public port. */
  async #startEnvoy({ grpc, http, admin, app }) {
    const ports = { 8443: 0, 8080: 0, 9901: 0, 9001: grpc, 9002: http, 9003: admin, 3000: app };
    const config = readFileSync(path.join(ROOT, 'envoy', IN_BAND ? 'in-band.yaml' : 'edge-tls.yaml'), 'utf8')
      .replaceAll(/(?<=port_value: )\d+/g, (port) => ports[port] ?? port)
      .replaceAll('/etc/envoy/tls/', `${this.#folder}/`);
    const file = this.#write('envoy.yaml', config);
    const address = path.join(this.#folder, 'envoy-admin');
    this.#spawn('envoy', path.join(ROOT, '.peers/bin/envoy'), ['-c', file, '--admin-address-path', address, '--disable-hot-restart', '--log-level', 'warning']);
    await this.#eventually('Envoy starting', () => existsSync(address) && readFileSync(address, 'utf8'));
    const adminUrl = `http://${readFileSync(address, 'utf8')}`;
    await this.#eventually('Envoy being ready', async () => (await statusOf(`${adminUrl}/ready`)) === 200);
    await this.#eventually('Envoy finding coatcheck healthy', async () => {
      const clusters = await (await fetch(`${adminUrl}/clusters`)).text();
      return (IN_BAND ? ['grpc'] : ['grpc', 'http']).every((name) => new RegExp(`coatcheck_${name}::.*::health_flags::healthy`).test(clusters));
    });
    const { listener_statuses: listeners } = await (await fetch(`${adminUrl}/listeners?format=json`)).json();
    return listeners.find(({ name }) => name === 'public').local_address.socket_address.port_value;
  }

  /** What stands in front of an Envoy that speaks plain HTTP. */
  #terminateTls(tls, port) {
    return this.#listen(createTlsEnd(tls, (outside) => {
      const inside = connect(port, '127.0.0.1');
      outside.on('error', () => inside.destroy()).pipe(inside);
      inside.on('error', () => outside.destroy()).pipe(outside);
    }));
  }

  /** A certificate for the shop and its siblings, where the Envoy configuration will look for it. */
  #makeCertificate() {
    const [key, cert] = ['tls.key', 'tls.crt'].map((name) => path.join(this.#folder, name));
    execFileSync('openssl', [
      'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2', '-subj', '/CN=shop.test',
      '-addext', 'subjectAltName=DNS:shop.test,DNS:*.shop.test',
      '-keyout', key, '-out', cert,
    ], { stdio: 'pipe' });
    return { key: readFileSync(key), cert: readFileSync(cert) };
  }

  #spawn(name, command, args, env = {}) {
    const [out, log] = ['out', 'log'].map((kind) => path.join(this.#folder, `${name}.${kind}`));
    const child = spawn(command, args, { cwd: this.#folder, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
    child.on('error', (error) => console.error(`cannot start ${name} (${command}): ${error.message}`));
    child.stdout.pipe(createWriteStream(out));
    child.stderr.pipe(createWriteStream(log));
    process.once('exit', () => child.kill('SIGKILL'));
    const entry = { name, child, out, log };
    this.#children.push(entry);
    return entry;
  }

  #write(name, text) {
    const file = path.join(this.#folder, name);
    writeFileSync(file, text);
    return file;
  }

  async #listen(server) {
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    this.#servers.push(server);
    return server.address().port;
  }

  async #eventually(what, probe) {
    return eventually(what, () => {
      const dead = this.#children.find(({ child }) => child.exitCode !== null || child.pid === undefined);
      if (dead) throw new Error(`${dead.name} has ended while waiting for ${what}`);
      return probe();
    });
  }
}

/** Polls until `probe` returns something true; an error in it is final. */
export async function eventually(what, probe, patience = PATIENCE_MS) {
  const deadline = Date.now() + patience;
  for (;;) {
    const result = await probe();
    if (result) return result;
    if (Date.now() > deadline) throw new Error(`${what} did not happen within ${patience} ms`);
    await pause(50);
  }
}

async function statusOf(url) {
  try {
    return (await fetch(url)).status;
  } catch {
    return undefined;
  }
}

function jsonLines(file) {
  if (!existsSync(file)) return [];
  return readFileSync(file, 'utf8').split('\n').filter((line) => line.startsWith('{') && line.endsWith('}')).map((line) => JSON.parse(line));
}
