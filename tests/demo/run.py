#!/usr/bin/env python3
"""`make demo`: the whole of coatcheck on this machine, real peers included, behind one URL.

    tests/demo/run.py                   the embedded store, one coatcheck
    tests/demo/run.py --store redis     a Redis of its own and two coatchecks
    tests/demo/run.py --check           start, sign in and out by script, stop; the exit code says whether all was well

Needs Rust, Python >= 3.9 and Node >= 20, and nothing beyond Python's standard library. COATCHECK_BIN=path uses a binary instead of building one.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import check
from children import Children, Failed
from stack import ROOT, Stack, free_port

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

WELCOME = """
  Open  {origin}

  - Sign in as alice (groups staff and dev), bob (dev) or anybody else; the password is ignored.
  - Call the API and see which headers it received: the token and your claims, but not the cookie.
  - Call the admin API as alice, then as bob.
  - Wait a minute and call the API again: the access token ran out, coatcheck renewed it, nobody was asked.
  - Look what this browser holds: nothing a script could read.
  - From a terminal: curl -i {origin}/api/hello

  Logs, configurations and data are in {folder}
  Ctrl-C stops everything.
"""


def say(what, detail="", seconds=None):
    took = "" if seconds is None else f"{seconds:6.1f} s"
    print(f"  {what:<13} {detail:<60} {took}".rstrip(), flush=True)


@contextmanager
def step(what):
    """Yields a dict whose `detail` is shown beside the time that the step took."""
    started = time.monotonic()
    result = {"detail": ""}
    yield result
    say(what, result["detail"], time.monotonic() - started)


def install(store):
    parts = ["demo"] + (["redis"] if store == "redis" else [])
    if subprocess.run([ROOT / "tests/install.sh", *parts]).returncode != 0:
        raise Failed("the peers could not be installed (see above)")


def build():
    given = os.environ.get("COATCHECK_BIN")
    if given:
        return Path(given).resolve()
    say("build", "cargo build (the first time takes some minutes)")
    if subprocess.run(["cargo", "build", "--quiet", "--bin", "coatcheck"], cwd=ROOT).returncode != 0:
        raise Failed("cargo build failed (see above)")
    return Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug" / "coatcheck"


def start(stack, store):
    with step("provider") as result:
        result["detail"] = stack.start_provider()
    with step("upstream") as result:
        result["detail"] = stack.start_upstream()
    if store == "redis":
        with step("redis") as result:
            result["detail"] = stack.start_redis()
    for name in ["coatcheck-1", "coatcheck-2"] if store == "redis" else ["coatcheck"]:
        with step(name) as result:
            result["detail"] = stack.start_coatcheck(name)
    with step("envoy") as result:
        result["detail"] = stack.start_envoy()


def watch(children):
    """Until somebody stops us, or a child dies."""
    while True:
        children.check()
        time.sleep(0.2)


def run_check(stack, children):
    try:
        check.run(stack, lambda what: say("checked", what))
    except (Failed, OSError) as failure:
        raise Failed(f"{failure}\n{children.last_lines('coatcheck')}") from failure
    children.check()


def run(options):
    install(options.store)
    with step("binary") as result:
        binary = build()
        result["detail"] = os.path.relpath(binary)
    port = free_port(options.port)
    if port != options.port:
        say("port", f"{options.port} is taken, using {port}")
    with tempfile.TemporaryDirectory(prefix="coatcheck-demo-") as folder:
        children = Children(Path(folder))
        stack = Stack(children, Path(folder), binary, port)
        try:
            start(stack, options.store)
            if options.check:
                run_check(stack, children)
            else:
                print(WELCOME.format(origin=stack.origin, folder=folder), flush=True)
                watch(children)
        finally:
            say("stopping")
            for name in STOP_SIGNALS:  # once is enough; stopping takes some seconds at most
                signal.signal(name, signal.SIG_IGN)
            children.stop()


def stop(number, _frame):
    """Ctrl-C is how a demo ends, so that is no failure."""
    sys.exit(0 if number == signal.SIGINT else 128 + number)


def main():
    parser = argparse.ArgumentParser(description="Runs coatcheck with real peers behind one URL.")
    parser.add_argument("--store", choices=["embedded", "redis"], default="embedded")
    parser.add_argument("--port", type=int, default=8080, help="the public port (another one if it is taken)")
    parser.add_argument("--check", action="store_true", help="sign in and out by script, then stop")
    options = parser.parse_args()
    for name in STOP_SIGNALS:
        signal.signal(name, stop)
    try:
        run(options)
    except Failed as failure:
        print(f"\n{failure}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
