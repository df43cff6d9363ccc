// The real browser: Debian's Chromium from .peers/bin, driven by playwright-core.

import { chromium } from 'playwright-core';

const EXECUTABLE = new URL('../../.peers/bin/chromium', import.meta.url).pathname;

// Chromium looks for its maker's servers at every start; a test machine may have no way out.
const QUIET = [
  '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync', '--disable-quic', '--disable-gpu',
];

/** Starts Chromium with an empty profile. `args` are further switches, e.g. host resolver rules. */
export function launch(args = []) {
  return chromium.launch({
    executablePath: EXECUTABLE,
    headless: true,
    args: [...QUIET, ...(process.getuid?.() === 0 ? ['--no-sandbox'] : []), ...args],
  });
}
