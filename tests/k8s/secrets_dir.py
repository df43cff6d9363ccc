"""The Secrets of the manifests as files, made by the script that users run."""

import re
import subprocess
from pathlib import Path

from rendered import ROOT

SCRIPT = ROOT / "k8s/make-secrets.sh"
# Files that a pod mounts under another name than the script's.
MOUNTED_AS = {"redis-ca": "ca.crt", "redis-cert": "tls.crt", "redis-key": "tls.key"}


class Secrets:
    def __init__(self, folder):
        self.folder = Path(folder, "secrets")
        self.said = subprocess.run([SCRIPT, self.folder], capture_output=True, text=True, check=True).stdout
        (self.folder / "client").write_text("a client secret", encoding="utf-8")

    def behind(self, mounted):
        """The file that stands for one that a configuration names."""
        name = Path(mounted).name
        name = "key-1" if re.fullmatch(r"key-\d+", name) else MOUNTED_AS.get(name, name)
        return self.folder / name
