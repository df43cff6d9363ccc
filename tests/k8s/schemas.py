"""Validates objects against the schemas that the API server would use. Strict: a field that a schema does not know is a mistake.

Kubernetes' own schemas come with the package kubernetes-validate; those of the projects' custom resources from a folder (../shared/crds in
CI). Rules in CEL (x-kubernetes-validations) are not evaluated. For kinds without a published schema in that folder, schemas/ holds the
fields that k8s/ uses, written by hand after the projects' API sources.
"""

import json
from pathlib import Path

import jsonschema
import kubernetes_validate

# The oldest release with everything that k8s/ uses switched on (native sidecars), and the newest known.
KUBERNETES = ("1.29", "1.37")
BY_HAND = Path(__file__).resolve().parent / "schemas"
META = {"name", "namespace", "labels", "annotations"}


class Schemas:
    def __init__(self, crds):
        """`crds`: a folder with a schema per custom resource, or None to pass those resources over."""
        self.crds = crds
        self.passed_over = set()
        self._validators = {}
        self._known = {}

    def problems(self, each):
        key = json.dumps(each, sort_keys=True)
        if key not in self._known:
            self._known[key] = self._problems(each)
        return self._known[key]

    def _problems(self, each):
        group = each["apiVersion"].rpartition("/")[0]
        unknown = set(each["metadata"]) - META
        found = [f"metadata.{key} is nothing that a manifest sets" for key in sorted(unknown)]
        if "." not in group or group.endswith(".k8s.io") and group != "gateway.networking.k8s.io":
            return found + self._own(each)
        return found + self._custom(each)

    def _own(self, each):
        found = []
        for version in KUBERNETES:
            try:
                kubernetes_validate.validate(each, version, strict=True)
            except kubernetes_validate.ValidationError as error:
                found.append(f"Kubernetes {version}: {_place(error)}: {error.message}")
            except kubernetes_validate.SchemaNotFoundError as error:
                found.append(error.message)
        return found

    def _custom(self, each):
        kind = f"{each['apiVersion'].replace('/', '_')}_{each['kind']}.json"
        if kind not in self._validators:
            schema = self._schema(kind)
            self._validators[kind] = schema and jsonschema.Draft4Validator(schema)  # OpenAPI 3.0 has its keywords
        validator = self._validators[kind]
        if validator:
            return [f"{_place(error)}: {error.message}" for error in validator.iter_errors(each)]
        if self.crds:
            return [f"there is no schema {kind}: is the kind, or its version, written right?"]
        self.passed_over.add(each["kind"])
        return []

    def _schema(self, kind):
        for folder in (self.crds, BY_HAND):
            if folder and (folder / kind).exists():
                schema = json.loads((folder / kind).read_text(encoding="utf-8"))
                schema["properties"].update({"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"type": "object"}})
                return closed(schema)
        return None


def closed(schema):
    """The schema with every object closed that does not say otherwise, as JSON Schema (OpenAPI's int-or-string has no type)."""
    result = dict(schema)
    if schema.get("x-kubernetes-int-or-string"):
        result["anyOf"] = [{"type": "integer"}, {"type": "string"}]
    if "properties" in schema:
        result["properties"] = {key: closed(value) for key, value in schema["properties"].items()}
        if not schema.get("x-kubernetes-preserve-unknown-fields"):
            result.setdefault("additionalProperties", False)
    if isinstance(schema.get("additionalProperties"), dict):
        result["additionalProperties"] = closed(schema["additionalProperties"])
    if isinstance(schema.get("items"), dict):
        result["items"] = closed(schema["items"])
    return result


def _place(error):
    return ".".join(str(step) for step in error.absolute_path) or "the object"
