// The demo's page. Login is a link, logout is a form; everything between is plain fetch, with no token anywhere.

const element = (id) => document.getElementById(id);

/** Shows a heading, an optional remark and facts as a table in the answer box. */
function show(title, facts, remark) {
  const heading = Object.assign(document.createElement('h3'), { textContent: title });
  const table = document.createElement('table');
  for (const [name, value] of Object.entries(facts)) {
    const row = table.insertRow();
    row.append(Object.assign(document.createElement('th'), { scope: 'row', textContent: name }));
    row.insertCell().textContent = typeof value === 'string' ? value : JSON.stringify(value);
  }
  const parts = [heading, table];
  if (remark) parts.splice(1, 0, Object.assign(document.createElement('p'), { textContent: remark }));
  element('answer').replaceChildren(...parts);
  element('answer').scrollIntoView({ block: 'nearest' });
}

/** GET as JSON; a network failure becomes an answer like any other. */
async function get(path) {
  try {
    const answer = await fetch(path, { headers: { accept: 'application/json' } });
    const text = await answer.text();
    return { status: answer.status, body: text.startsWith('{') ? JSON.parse(text) : { text } };
  } catch (error) {
    return { status: 0, body: { error: String(error) } };
  }
}

async function refreshStatus() {
  const { status, body } = await get('/auth/session');
  const signedIn = body.authenticated === true;
  element('sign-in').hidden = signedIn;
  element('sign-out').hidden = !signedIn;
  if (status !== 200) element('status').textContent = `The session endpoint answered ${status}.`;
  else element('status').textContent = signedIn ? `Signed in as ${body.claims.name ?? body.claims.sub}.` : 'Not signed in.';
  return { status, body };
}

async function showSession() {
  const { status, body } = await refreshStatus();
  const { claims = {}, ...facts } = body;
  for (const [name, value] of Object.entries(claims)) facts[`claim ${name}`] = value;
  show(`GET /auth/session → ${status}`, facts);
}

async function callApi(path) {
  const { status, body } = await get(path);
  if (status !== 200) return show(`GET ${path} → ${status}`, body, 'The request did not reach the API.');
  const { access_token: token, headers: { authorization, cookie, ...others } } = body;
  const facts = { authorization, cookie: cookie ?? '(none arrived)' };
  if (token) Object.assign(facts, { 'token id': token.jti, 'token expires in': `${Math.round(token.exp - Date.now() / 1000)} s` });
  const identityFirst = Object.entries(others).sort(([a], [b]) => b.startsWith('x-user-') - a.startsWith('x-user-'));
  return show(`GET ${path} → ${status}`, { ...facts, ...Object.fromEntries(identityFirst) }, 'What the API received:');
}

function showBrowser() {
  show('What scripts can read here', {
    'document.cookie': document.cookie || '(empty)',
    localStorage: localStorage.length === 0 ? '(empty)' : { ...localStorage },
    sessionStorage: sessionStorage.length === 0 ? '(empty)' : { ...sessionStorage },
  }, 'The session cookie is HttpOnly, so it is not in this list. Your browser’s developer tools show it: an opaque ticket, no token.');
}

element('who').addEventListener('click', showSession);
element('call').addEventListener('click', () => callApi('/api/hello'));
element('call-admin').addEventListener('click', () => callApi('/api/admin/hello'));
element('look').addEventListener('click', showBrowser);
refreshStatus();
