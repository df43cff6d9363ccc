"""Manifests as they reach the cluster: rendered by the real kubectl and helm, and the questions the checks ask of them."""

import os
import subprocess
import tempfile
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / ".peers/k8s/tools"
CHART = ROOT / "k8s/helm/coatcheck"


class Failed(Exception):
    """A tool refused. The text is its own."""


class Rendered:
    """The objects of one overlay or of the chart with one file of values."""

    def __init__(self, name, objects, brings_own=()):
        self.name = name
        self.objects = objects
        # Whatever a user of this source has already: (kind, namespace, name).
        self.brings_own = set(brings_own)

    def of(self, *kinds):
        return [each for each in self.objects if each["kind"] in kinds]

    def find(self, kind, namespace, name):
        for each in self.of(kind):
            if name_of(each) == name and namespace_of(each) == namespace:
                return each
        return None

    def has(self, kind, namespace, name):
        return (kind, namespace, name) in self.brings_own or self.find(kind, namespace, name) is not None

    def pods(self):
        """Each workload with its pod template."""
        return [(each, each["spec"]["template"]) for each in self.of("Deployment", "StatefulSet")]

    def pods_matching(self, namespace, selector):
        wanted = (selector or {}).get("matchLabels", {})
        return [pod for owner, pod in self.pods() if namespace_of(owner) == namespace and matches(pod, wanted)]


def containers(pod):
    """In the order in which they start."""
    return pod["spec"].get("initContainers", []) + pod["spec"]["containers"]


def matches(labelled, wanted):
    labels = labelled["metadata"].get("labels", {})
    return all(labels.get(key) == value for key, value in wanted.items())


def name_of(each):
    return each["metadata"]["name"]


def namespace_of(each):
    return each["metadata"].get("namespace")


def label(each):
    return f"{each['kind']} {namespace_of(each) or '-'}/{name_of(each)}"


def kustomize(folder):
    return _objects(_run([TOOLS / "kubectl", "kustomize", ROOT / folder]))


def with_component(name):
    """The shared service with one of k8s/components, as a user would add it."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(os.path.realpath(folder))
        base = os.path.relpath(ROOT / "k8s", place)
        lines = ["apiVersion: kustomize.config.k8s.io/v1beta1", "kind: Kustomization"]
        lines += [f"resources: [{base}/overlays/shared]", f"components: [{base}/components/{name}]"]
        (place / "kustomization.yaml").write_text("\n".join(lines), encoding="utf-8")
        return Rendered(f"k8s/overlays/shared with components/{name}", kustomize(place))


def helm(values, *more):
    command = [TOOLS / "helm", "template", "coatcheck", CHART, "--namespace", "coatcheck", "--values", values, *more]
    return _objects(_run(command))


def helm_lint(values):
    _run([TOOLS / "helm", "lint", "--strict", "--quiet", CHART, "--values", values])
    # Unlike `template`, this renders the notes too. It asks no cluster.
    _run([TOOLS / "helm", "install", "coatcheck", CHART, "--dry-run=client", "--namespace", "coatcheck", "--values", values])


def _run(command):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode != 0:
        raise Failed((done.stderr or done.stdout).strip())
    return done.stdout


def _objects(text):
    return [each for each in yaml.safe_load_all(text) if each]
