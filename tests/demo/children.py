"""The demo's child processes: started with their output in a log file, watched, and stopped together."""

import os
import signal
import subprocess
import time


class Failed(Exception):
    """Something the person at the terminal must read; the message is all they see."""


class Child:
    """One running program. Its standard output and error go to `<name>.out` and `<name>.log`."""

    def __init__(self, name, command, folder, env=None):
        self.name = name
        self.out = folder / f"{name}.out"
        self.log = folder / f"{name}.log"
        # A session of its own: Ctrl-C reaches only us, and we stop the children in order.
        with open(self.out, "wb") as out, open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL, stdout=out, stderr=log, cwd=folder, env={**os.environ, **(env or {})}, start_new_session=True,
            )

    def is_alive(self):
        return self.process.poll() is None

    def last_lines(self, count=20):
        lines = self.out.read_text(errors="replace").splitlines() + self.log.read_text(errors="replace").splitlines()
        return "\n".join(f"    {line}" for line in lines[-count:])

    def obituary(self):
        return f"{self.name} has ended (exit code {self.process.returncode}); its last lines:\n{self.last_lines()}"


class Children:
    """All of them, in the order of their start."""

    def __init__(self, folder):
        self.folder = folder
        self._children = []

    def start(self, name, command, env=None):
        try:
            child = Child(name, command, self.folder, env)
        except OSError as error:
            raise Failed(f"cannot start {name}: {error}") from error
        self._children.append(child)
        return child

    def check(self):
        """Raises when one of them has died."""
        for child in self._children:
            if not child.is_alive():
                raise Failed(child.obituary())

    def wait_for(self, what, probe, seconds=30):
        """Polls `probe` until it returns something true; gives up with the youngest child's log, or when any child dies."""
        deadline = time.monotonic() + seconds
        while True:
            result = probe()
            if result:
                return result
            self.check()
            if time.monotonic() > deadline:
                youngest = self._children[-1]
                raise Failed(f"{what} did not happen within {seconds} s; {youngest.name} says:\n{youngest.last_lines()}")
            time.sleep(0.05)

    def last_lines(self, prefix):
        """What the children whose names begin so said last."""
        return "\n".join(f"{child.name} says:\n{child.last_lines()}" for child in self._children if child.name.startswith(prefix))

    def stop(self, seconds=15):
        """Asks all to end, waits, and kills what is left."""
        for child in reversed(self._children):
            if child.is_alive():
                child.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + seconds
        for child in self._children:
            try:
                child.process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.process.kill()
                child.process.wait()
        self._children.clear()
