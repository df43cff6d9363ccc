// The pages that a person sees at the test provider. No script, except the one line that submits the logout form.

const STYLE = `
  body { font: 1rem/1.5 system-ui, sans-serif; color: #1d2733; background: #eef1f5; display: grid; place-items: center; min-height: 100vh; margin: 0 }
  main { background: #fff; padding: 2rem 2.5rem; border-radius: .75rem; box-shadow: 0 1px 6px #0002; width: min(20rem, 80vw) }
  h1 { font-size: 1.25rem; margin: 0 0 1rem }
  label { display: block; font-weight: 600; margin-top: 1rem }
  input { font: inherit; width: 100%; box-sizing: border-box; padding: .5rem; margin-top: .25rem; border: 1px solid #8795a5; border-radius: .375rem }
  button { font: inherit; margin-top: 1.5rem; padding: .5rem 1.25rem; border: 0; border-radius: .375rem; background: #1b5fb4; color: #fff; cursor: pointer }
  small { color: #55606e }
  .error { color: #a11 }`;

function page(title, body) {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title}</title>
<style>${STYLE}</style>
</head>
<body><main>
<h1>${title}</h1>
${body}
</main></body>
</html>`;
}

const escape = (text) => String(text).replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`);

/** The login form; it is posted to the address that showed it. */
export function loginPage({ action, hint = '', error }) {
  return page('Sign in at the test provider', `
${error ? `<p class="error" role="alert">${escape(error)}</p>` : ''}
<form method="post" action="${escape(action)}">
  <label for="login">Name</label>
  <input id="login" name="login" value="${escape(hint)}" autocomplete="username" required autofocus>
  <label for="password">Password</label>
  <input id="password" name="password" type="password" autocomplete="current-password">
  <button type="submit">Sign in</button>
</form>
<p><small>alice is in staff and dev, bob is in dev; any other name works too. The password is ignored.</small></p>`);
}

/** Shown for a moment on the way out: oidc-provider wants the logout confirmed by a form. */
export function logoutPage(form) {
  const confirmed = form.replace('</form>', '<input type="hidden" name="logout" value="yes"><button type="submit">Sign out</button></form>');
  return page('Signing out', `${confirmed}<script>document.forms[0].submit()</script>`);
}

export function signedOutPage() {
  return page('Signed out', '<p>You are signed out at the test provider.</p>');
}

export function errorPage(out) {
  return page('The test provider refused this request', Object.entries(out)
    .map(([name, value]) => `<p><strong>${escape(name)}</strong>: ${escape(value)}</p>`).join('\n'));
}
