#!/usr/bin/env python3
"""Renders everything in k8s/ and holds it to the schemas, to itself, and to the coatcheck.yaml inside.

    .peers/k8s/bin/python tests/k8s/check.py [--crds FOLDER]

With --crds every custom resource is validated too, strictly, against the schemas in that folder. COATCHECK_BIN names the binary
(default: target/debug/coatcheck).
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

import envoy_config
import gateways
import image
import instance
import live
import network
import pages
import rendered
import selftest
import workload
from schemas import Schemas
from secrets_dir import Secrets

import store

# What users of every source have already: the application, and its Gateway where the chart is told of one.
SHOP = [("Service", "shop", "shop")]
WITH_CHART = SHOP + [
    ("HTTPRoute", "shop", "shop"),
    ("Gateway", "gateways", "public"),
    ("Pod", "coatcheck", "redis"),
    ("Service", "coatcheck", "redis"),
    ("Service", "data", "valkey"),
    ("Secret", "coatcheck", "mine"),
    ("Secret", "coatcheck", "valkey"),
]


def sources():
    """Every overlay, and the chart with every file of values in its ci/."""
    for folder in sorted((rendered.ROOT / "k8s/overlays").iterdir()):
        name = f"k8s/overlays/{folder.name}"
        yield rendered.Rendered(name, rendered.kustomize(name), SHOP)
    for values in sorted((rendered.CHART / "ci").glob("*.yaml")):
        rendered.helm_lint(values)
        yield rendered.Rendered(f"k8s/helm/coatcheck with ci/{values.name}", rendered.helm(values), WITH_CHART)
    yield from pages.shown_values(WITH_CHART)
    for component in ("service-monitor", "pod-monitor"):
        yield rendered.with_component(component)


def problems(source, schemas, binary, secrets):
    by_schema = [f"{rendered.label(each)}: {problem}" for each in source.objects for problem in schemas.problems(each)]
    if by_schema:  # what follows relies on the form of things
        yield from by_schema
        return
    ones = instance.instances(source)
    if not ones:
        yield "no container runs the image coatcheck"
    yield from workload.problems(source, ones)
    configured = [one for one in ones if one.config]
    for area in (network, store, gateways, envoy_config):
        yield from area.problems(source, configured)
    for one in configured:
        yield from (f"coatcheck check: {mistake}" for mistake in instance.mistakes(one, binary, secrets))


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--crds", type=Path, metavar="FOLDER")
    crds = arguments.parse_args().crds
    if crds and not any(crds.glob("*.json")):
        sys.exit(f"{crds}: no schemas of custom resources there")
    binary = os.environ.get("COATCHECK_BIN") or rendered.ROOT / "target/debug/coatcheck"
    if not Path(binary).exists():
        sys.exit(f"{binary} is not built: cargo build, or name one in COATCHECK_BIN")
    with tempfile.TemporaryDirectory() as folder:
        sys.exit(1 if failures(Schemas(crds), binary, Secrets(folder)) else 0)


def failures(schemas, binary, secrets):
    """How many of all checks failed; each is printed."""
    failed = 0
    everything = list(sources())
    for source in everything:
        failed += report(source.name, problems(source, schemas, binary, secrets), f"{len(source.objects)} objects, sound")
    if schemas.passed_over:
        print(f"not validated without --crds: {', '.join(sorted(schemas.passed_over))}")
    failed += report("the commands in docs/", pages.command_problems(), "name what exists")
    failed += report("coatcheck render", render_problems(everything, schemas, binary, secrets), "prints objects that the schemas take")
    failed += report("Dockerfile", image.dockerfile_problems(), "pinned, and it copies what is there")
    shared = next(source for source in everything if source.name == "k8s/overlays/shared")
    failed += report(
        "Redis and coatcheck, started as k8s/overlays/shared says", live.problems(shared, binary, secrets), "they work together"
    )
    return failed + selftest.run(everything, lambda source: problems(source, schemas, binary, secrets), report, bool(schemas.crds))


def render_problems(everything, schemas, binary, secrets):
    """What `coatcheck render` makes of an app in each login mode."""
    for name in ("k8s/overlays/shared", "k8s/overlays/istio-sidecar"):
        source = next(each for each in everything if each.name == name)
        one = instance.instances(source)[0]
        for gateway in ("istio", "envoy-gateway"):
            for each in instance.rendered_for(gateway, one, binary, secrets):
                yield from (f"{gateway}, {name}: {rendered.label(each)}: {problem}" for problem in schemas.problems(each))


def report(name, problems, well):
    found = list(problems)
    print(f"{name}: " + ("WRONG" if found else well), flush=True)
    for problem in found:
        print(f"    {problem}")
    return bool(found)


if __name__ == "__main__":
    try:
        main()
    except rendered.Failed as error:
        sys.exit(str(error))
