"""JSON schemas for kubeconform, from the API server's own OpenAPI document and from custom resources' definitions: strict, so that a key
that is not known is a fault.
"""

import copy
import json

from ruamel.yaml import YAML

# As kubeconform is told to look for them.
TEMPLATE = "{{ .Group }}/{{ .ResourceKind }}_{{ .ResourceAPIVersion }}.json"

# kubeconform takes others by draft 4, to which a list of no required keys is a fault.
DRAFT = "http://json-schema.org/draft-07/schema#"

# What the document has as strings, and the API server takes as numbers too.
EITHER = {"anyOf": [{"type": "string"}, {"type": "integer"}, {"type": "number"}]}


def write(folder, kinds, swagger, definitions):
    """A schema for each of the `kinds` that the document at `swagger` has, and for each version of the `definitions`."""
    document = json.loads(swagger.read_text())["definitions"]
    shared = {name: _strict(part) for name, part in document.items()}
    for name, part in document.items():
        for kind in part.get("x-kubernetes-group-version-kind", []):
            if kind["kind"] in kinds:
                _put(folder, kind["group"], kind["kind"], kind["version"], {"$ref": f"#/definitions/{name}", "definitions": shared})
    for path in definitions:
        for definition in YAML(typ="safe").load_all(path.read_text()):
            spec = definition["spec"]
            for version in spec["versions"]:
                schema = version["schema"]["openAPIV3Schema"]
                schema["properties"].update(apiVersion={"type": "string"}, kind={"type": "string"}, metadata={"$ref": f"#/definitions/{_METADATA}"})
                used = {name: part for name, part in shared.items() if name.startswith("io.k8s.apimachinery.pkg.apis.meta.v1.")}
                _put(folder, spec["group"], spec["names"]["kind"], version["name"], dict(_strict(schema), definitions=used))


_METADATA = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"


def _put(folder, group, kind, version, schema):
    # kubeconform takes the version for the group of what is in none.
    place = folder / (group or version)
    place.mkdir(parents=True, exist_ok=True)
    (place / f"{kind.lower()}_{version}.json").write_text(json.dumps({"$schema": DRAFT} | schema))


def _strict(part):
    if isinstance(part, list):
        return [_strict(one) for one in part]
    if not isinstance(part, dict):
        return part
    if part.get("format") == "int-or-string" or part.get("x-kubernetes-int-or-string") or part.get("description", "").startswith("Quantity is "):
        return copy.deepcopy(EITHER)
    made = {key: _strict(value) for key, value in part.items() if not key.startswith("x-kubernetes-") and key != "properties"}
    if "properties" in part:
        made["properties"] = {name: _strict(value) for name, value in part["properties"].items()}
        if "additionalProperties" not in made and not part.get("x-kubernetes-preserve-unknown-fields"):
            made["additionalProperties"] = False
    return made
