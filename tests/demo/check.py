"""Uses the running demo as a browser would, through Envoy: sign in, call the API, outlive a token, sign out. Raises on the first surprise."""

import http.cookiejar
import json
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from html import unescape

from children import Failed


class Browser:
    """As much of a browser as this takes: cookies, redirects, self-navigating pages, and honest Fetch Metadata."""

    def __init__(self, origin):
        self.origin = origin
        # Browsers treat http://localhost as secure, so Secure cookies go there.
        jar = http.cookiejar.CookieJar(http.cookiejar.DefaultCookiePolicy(secure_protocols=("http", "https")))
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar), KeepRedirects)
        self.cookies = jar

    def navigate(self, url, form=None, site="none"):
        """Follows redirects and meta refreshes; returns (address, status, text) of where it ends."""
        for _ in range(20):
            headers = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Sec-Fetch-Site": site, "Accept": "text/html"}
            if form is not None:
                headers["Origin"] = origin_of(url)
            status, text, location = self._send(url, headers, form)
            form = None
            refresh = re.search(r'http-equiv="refresh"\s+content="[0-9.]+;\s*url=([^"]+)"', text, re.IGNORECASE)
            target = location or (unescape(refresh.group(1)) if refresh else None)
            if target is None:
                return url, status, text
            target = urllib.parse.urljoin(url, target)
            # A redirect chain that was once on another site stays cross-site; a page that navigates itself starts anew.
            crosses = origin_of(target) != origin_of(url) or (location and site == "cross-site")
            site = "cross-site" if crosses else "same-origin"
            url = target
        raise Failed(f"redirected in circles, last to {url.split('?')[0]}")

    def fetch(self, path):
        """A script's same-origin fetch: (status, JSON)."""
        headers = {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty", "Sec-Fetch-Site": "same-origin", "Accept": "*/*"}
        status, text, _ = self._send(self.origin + path, headers)
        return status, json.loads(text)

    def _send(self, url, headers, form=None):
        body = None if form is None else urllib.parse.urlencode(form).encode()
        try:
            answer = self._opener.open(urllib.request.Request(url, body, headers), timeout=20)
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            return answer.status, answer.read().decode(), answer.headers.get("location")


class KeepRedirects(urllib.request.HTTPRedirectHandler):
    """urllib would follow redirects itself, and with our headers unchanged."""

    def redirect_request(self, *_):
        return None


def origin_of(url):
    parts = urllib.parse.urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def expect(truth, what):
    if not truth:
        raise Failed(f"the check failed: {what}")


def submit_form(browser, url, text, fields):
    """Posts the page's form with its hidden fields and ours."""
    action = re.search(r'<form[^>]*action="([^"]+)"', text)
    expect(action, f"a form at {url.split('?')[0]}")
    hidden = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', text))
    return browser.navigate(urllib.parse.urljoin(url, unescape(action.group(1))), {**hidden, **fields}, site="same-origin")


def run(stack, report):
    """`report(what)` is called after each step."""
    browser = Browser(stack.origin)
    set_token_lifetime(stack.issuer, 2)

    status, body = browser.fetch("/api/hello")
    expect(status == 401 and "login_url" in body, f"a stranger's fetch gets 401 with a login_url, not {status} {body}")
    _, status, _ = browser.navigate(f"{stack.origin}/")
    expect(status == 200, f"the start page is open to strangers, not {status}")
    report("strangers see the page and get 401 from the API")

    url, _, text = browser.navigate(f"{stack.origin}/auth/login?return_to={urllib.parse.quote('/?hello=again')}")
    expect(url.startswith(stack.issuer), f"login leads to the provider, not to {url}")
    url, status, _ = submit_form(browser, url, text, {"login": "alice", "password": "ignored"})
    expect((url, status) == (f"{stack.origin}/?hello=again", 200), f"login lands where it was asked to, not at {status} {url}")
    status, body = browser.fetch("/auth/session")
    expect(body.get("authenticated") is True and body["claims"]["sub"] == "alice", f"the session is alice's: {body}")
    report("alice signed in at the provider and landed on the page she asked for")

    status, body = browser.fetch("/api/hello")
    expect(status == 200, f"the API answers 200, not {status} {body}")
    headers = body["headers"]
    expect(headers.get("authorization", "").startswith("Bearer "), f"the API received a bearer token: {headers}")
    expect(headers.get("x-user-id") == "alice" and "staff" in headers.get("x-user-groups", ""), f"and who she is: {headers}")
    expect("coatcheck" not in headers.get("cookie", ""), "and no cookie of ours")
    status, _ = browser.fetch("/api/admin/hello")
    expect(status == 200, f"alice is in staff: the admin API answers 200, not {status}")
    report("the API received her token and claims, and not the cookie")

    first = body["access_token"]["jti"]
    later = poll_for_other_token(browser, first)
    expect(later, "a new access token within 15 s of a 2 s lifetime")
    report("her token ran out and was renewed without a word")

    page = browser.navigate(f"{stack.origin}/auth/logout", {}, site="same-origin")
    if page[0].startswith(stack.issuer):
        page = submit_form(browser, page[0], page[2], {})
    expect(page[0].split("?")[0] == f"{stack.origin}/auth/logout/done", f"logout returns from the provider, not {page[:2]}")
    status, body = browser.fetch("/auth/session")
    expect(body.get("authenticated") is False, f"the session is gone: {body}")
    status, _ = browser.fetch("/api/hello")
    expect(status == 401, f"and the API answers 401, not {status}")
    report("she signed out, here and at the provider")


def poll_for_other_token(browser, first):
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        status, body = browser.fetch("/api/hello")
        expect(status == 200, f"no request fails while the token is renewed: {status} {body}")
        if body["access_token"]["jti"] != first:
            return True
        time.sleep(0.1)
    return False


def set_token_lifetime(issuer, seconds):
    body = json.dumps({"access_token": seconds}).encode()
    urllib.request.urlopen(urllib.request.Request(f"{issuer}/_control/lifetimes", body), timeout=5).close()
