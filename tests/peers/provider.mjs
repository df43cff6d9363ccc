// A real OpenID provider for the tests and the demo: oidc-provider on loopback, with a control API for tests (README.md beside this file).
// Prints one line of JSON on standard output once it answers: {"issuer": "...", "port": ...}. Everything else goes to standard error.
//
//   node tests/peers/provider.mjs [--host localhost] [--port 4000] [--config '{"lifetimes": {"access_token": 60}}' | --config @file.json]

import { randomBytes } from 'node:crypto';
import { createServer } from 'node:http';

import { Control, answer } from './provider/control.mjs';
import { merge, readConfig } from './provider/config.mjs';
import { generateKeys } from './provider/keys.mjs';
import { createProvider, handleInteraction, routes } from './provider/oidc.mjs';
import { Storage } from './provider/storage.mjs';

console.info = console.error; // oidc-provider's notices must not mix with the one line on standard output

class TestProvider {
  #control = new Control();
  #storage = new Storage();
  #cookieKeys = [randomBytes(32).toString('base64url')];
  #keys = generateKeys();
  #provider;

  constructor(issuer, settings) {
    this.issuer = issuer;
    this.settings = settings;
    this.#rebuild();
  }

  /** The provider object reads clients and keys once, so a change of either needs a new one over the same storage. */
  #rebuild() {
    const { issuer, settings } = this;
    this.#provider = createProvider({ issuer, settings, keys: this.#keys, storage: this.#storage, cookieKeys: this.#cookieKeys });
    this.#provider.on('server_error', (_ctx, error) => console.error(error));
  }

  #replaceClients(clients) {
    this.settings.clients = clients;
    this.#rebuild();
  }

  #rotateKeys({ keep_old: keepOld = true }) {
    this.#keys = [...generateKeys(), ...(keepOld ? this.#keys : [])];
    this.#rebuild();
  }

  async serve(request, response) {
    const { pathname } = new URL(request.url, this.issuer);
    if (pathname.startsWith('/_control/')) return this.#steer(pathname.slice('/_control/'.length), request, response);
    if (this.#control.cuts()) return request.socket.destroy();

    this.#control.watch(request, response, pathname);
    if (pathname.startsWith('/interaction/')) return handleInteraction(this.#provider, request, response, () => readForm(request));
    if (pathname === routes.token && request.method === 'POST') return this.#token(request, response);
    return this.#provider.callback()(request, response);
  }

  async #token(request, response) {
    const form = await readForm(request);
    request.body = form.toString(); // read already: oidc-provider takes it from here
    const pass = () => this.#provider.callback()(request, response);
    return this.#control.token({ request, response, form, keys: this.#keys, pass });
  }

  async #steer(command, request, response) {
    if (request.method === 'GET' && command === 'state') return answer(response, 200, this.#control.state());
    const body = JSON.parse((await readBody(request)) || '{}');
    const commands = {
      behaviour: () => this.#control.behave(body),
      reset: () => this.#control.reset(),
      lifetimes: () => { this.settings.lifetimes = merge(this.settings.lifetimes, body, 'lifetimes'); },
      clients: () => this.#replaceClients(body),
      rotate_keys: () => this.#rotateKeys(body),
      revoke_user: () => ({ revoked: this.#storage.revokeAccount(body.login) }),
    };
    if (request.method !== 'POST' || !Object.hasOwn(commands, command)) {
      return answer(response, 404, { error: `no such command; POST to: ${Object.keys(commands).join(', ')}; GET: state` });
    }
    return answer(response, 200, commands[command]() ?? {});
  }
}

async function readBody(request) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

const readForm = async (request) => new URLSearchParams(await readBody(request));

function main() {
  const { host, port, settings } = readConfig(process.argv.slice(2), process.env);
  let provider;
  const server = createServer((request, response) => {
    provider.serve(request, response).catch((error) => {
      console.error(error);
      if (!response.headersSent) answer(response, 400, { error: error.message });
    });
  });
  server.listen(port, '127.0.0.1', () => {
    const { port: bound } = server.address();
    provider = new TestProvider(`http://${host}:${bound}`, settings);
    console.log(JSON.stringify({ issuer: provider.issuer, port: bound }));
  });
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(0));
}

main();
