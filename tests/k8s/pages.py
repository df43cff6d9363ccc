"""The pages about Kubernetes: what their commands name exists, and the values that they show render to something sound."""

import re
import tempfile
import textwrap
from pathlib import Path

import rendered
import workload

PAGES = sorted((rendered.ROOT / "docs/integrations").glob("*.md")) + [rendered.ROOT / "docs/operations.md"]
BLOCK = re.compile(r"^( *)(?:\d+\. )?```(\S+)(?: (\S+))?\n(.*?)^ *```", re.M | re.S)


def blocks(page, language, mark=None):
    for _, its, marked, text in BLOCK.findall(page.read_text(encoding="utf-8")):
        if its == language and (marked or None) == mark:
            yield textwrap.dedent(text)


def command_problems():
    for page in PAGES:
        for text in blocks(page, "sh"):
            for word in re.findall(r"(?<![\w/=-])(?:k8s|envoy)/[\w./-]+", text):
                if not (rendered.ROOT / word).exists():
                    yield f"{page.name}: there is no {word}"
            for secret in re.findall(r"create secret generic (\S+)", text):
                if secret not in workload.SECRETS:
                    yield f"{page.name}: no manifest mounts the Secret {secret}"
    told = {secret for page in PAGES for text in blocks(page, "sh") for secret in re.findall(r"create secret generic (\S+)", text)}
    for secret in workload.SECRETS - told:
        yield f"no page says how to make the Secret {secret}"


def shown_values(brings_own):
    """A source for each example of values."""
    for page in PAGES:
        for text in blocks(page, "yaml", "values"):
            with tempfile.NamedTemporaryFile("w", suffix=".yaml", encoding="utf-8") as values:
                values.write(text)
                values.flush()
                yield rendered.Rendered(f"the values in docs/integrations/{page.name}", rendered.helm(Path(values.name)), brings_own)
