"""What FastAPI can't know of the admin API's OpenAPI document: keys, failures and their envelope, headers."""

from __future__ import annotations

from typing import Any

from comporta.gateway.openapi import said
from comporta.gateway.openapi.common import OpenAIError
from comporta.gateway.openapi.marks import schemas_of

JSON = dict[str, Any]

_KEYS: JSON = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An administrator's key."},
    "x-api-key": {"type": "apiKey", "in": "header", "name": "x-api-key", "description": "The same."},
    "api-key": {"type": "apiKey", "in": "header", "name": "api-key", "description": "The same."},
}
_ALWAYS = ("400", "401", "403", "500", "503")
_OF_BODIES = ("408", "413")
_SAID = said.REFUSALS | {
    "400": "The request is malformed; `param` names the field.",
    "403": "The key is not an administrator's.",
    "404": "There is no such object.",
    "413": "The body has more than 256 KiB.",
    "503": "Something of the gate's own is away.",
}
#: FastAPI's own form of a refusal, which this API never answers with.
_FOREIGN = ("HTTPValidationError", "ValidationError")


def completed(document: JSON) -> JSON:
    """The document with what was missing; changed where it stands."""
    _, envelope = schemas_of([OpenAIError])
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for name in _FOREIGN:
        schemas.pop(name, None)
    schemas.update(envelope)
    components["headers"] = {name: said.told(name) for name in said.ID}
    components["securitySchemes"] = _KEYS
    document["security"] = [{name: []} for name in _KEYS]
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            _tell(operation, path, method)
    return document


def _tell(operation: JSON, path: str, method: str) -> None:
    for parameter in operation.get("parameters", ()):
        parameter["schema"] = _without_null(parameter["schema"])
    answers = operation["responses"]
    answers.pop("422", None)
    for status in _statuses(operation, path, method):
        schema = {"$ref": "#/components/schemas/OpenAIError"}
        answers[status] = {"description": _SAID[status], "content": {"application/json": {"schema": schema}}}
    for answer in answers.values():
        answer["headers"] = {name: {"$ref": f"#/components/headers/{name}"} for name in said.ID}


def _statuses(operation: JSON, path: str, method: str) -> list[str]:
    found = list(_ALWAYS)
    if "requestBody" in operation:
        found += _OF_BODIES
    if "{" in path or "404" in operation["responses"]:
        found.append("404")
    if method != "get":
        found.append("409")
    return sorted(found)


def _without_null(schema: JSON) -> JSON:
    """No address can say null: what may be left out is only not there."""
    kept = [one for one in schema.get("anyOf", ()) if one != {"type": "null"}]
    if len(kept) != 1:
        return schema
    return {**{name: value for name, value in schema.items() if name != "anyOf"}, **kept[0]}
