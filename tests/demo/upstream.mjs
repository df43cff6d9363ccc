// The application behind Envoy: serves the small single-page app and an API that tells what reached it. No dependencies.
//
//   node tests/demo/upstream.mjs [port]        prints {"port": ...} once it listens on 127.0.0.1
//
// The API never repeats a token to the browser: it answers with its first characters and, of a JWT, the claims.

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { pathToFileURL } from 'node:url';

const PAGES = new Map([
  ['/', ['index.html', 'text/html; charset=utf-8']],
  ['/assets/app.js', ['app.js', 'text/javascript; charset=utf-8']],
  ['/assets/style.css', ['style.css', 'text/css; charset=utf-8']],
]);

/** `onRequest(request)` sees every request, WebSocket upgrades included, as it arrived. */
export function createUpstream({ onRequest = () => {} } = {}) {
  const server = createServer((request, response) => {
    onRequest(request);
    const { pathname } = new URL(request.url, 'http://upstream.invalid');
    if (pathname.startsWith('/api/')) return sendJson(response, 200, received(request));
    const page = PAGES.get(pathname);
    return page ? sendPage(response, ...page) : sendJson(response, 404, { error: `there is no ${pathname} here` });
  });
  server.on('upgrade', (request, socket) => {
    onRequest(request);
    acceptWebSocket(request, socket);
  });
  return server;
}

/** What this application received, fit for showing. */
function received(request) {
  const { authorization, ...headers } = request.headers;
  return {
    method: request.method,
    path: request.url,
    headers: authorization ? { authorization: shortened(authorization), ...headers } : headers,
    access_token: authorization ? claimsOf(authorization) : null,
  };
}

const shortened = (value) => `${value.slice(0, 'Bearer '.length + 8)}… (${value.length} characters)`;

/** The claims of a JWT bearer token; `null` when the token is opaque. */
function claimsOf(authorization) {
  try {
    return JSON.parse(Buffer.from(authorization.split('.')[1], 'base64url'));
  } catch {
    return null;
  }
}

function sendJson(response, status, body) {
  response.writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store' });
  response.end(JSON.stringify(body, null, 2));
}

function sendPage(response, file, type) {
  response.writeHead(200, {
    'content-type': type,
    'cache-control': 'no-store',
    'content-security-policy': "default-src 'self'; connect-src 'self'; base-uri 'none'; frame-ancestors 'none'",
  });
  response.end(readFileSync(new URL(`spa/${file}`, import.meta.url)));
}

/** Accepts the handshake (RFC 6455, section 4.2.2), says one word and closes. */
function acceptWebSocket(request, socket) {
  const accept = createHash('sha1').update(`${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
  socket.write(`HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: ${accept}\r\n\r\n`);
  const text = Buffer.from(`hello ${request.headers['x-user-id'] ?? 'stranger'}`);
  socket.end(Buffer.concat([Buffer.from([0x81, text.length]), text]));
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const server = createUpstream().listen(Number(process.argv[2] ?? 0), '127.0.0.1', () => {
    console.log(JSON.stringify({ port: server.address().port }));
  });
}
