"""Examples for the OpenAPI document: what a shape looks like, from its schema and from what things are called."""

from __future__ import annotations

from typing import Any, Final

_MOMENT: Final = "2026-11-25T10:00:00Z"
_ID: Final = "5f0c2f5e-52b6-4f1e-9f0a-0a4f5d1f2a11"
_KEY: Final = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI"
_FINGERPRINT: Final = "SHA256:uNiVztksCsDhcc0u9e8BrrvZPYUvM9m4ExAmPLeExAm"
_WORDS: Final[dict[str, str | list[str]]] = {
    "access_token": "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.e30.example",
    "authorized_keys_line": f'cert-authority,principals="harborx" {_KEY}',
    "code": "gpu_mismatch",
    "columns": ["t", "power_draw_watts"],
    "configuration_hash": "0123456789abcdef",
    "cpu_model": "AMD EPYC 9654",
    "cron": "0 3 * * *",
    "cuda_version": "13.0",
    "current_password": "ten or more",
    "driver_version": "580.95",
    "email": "name@example.com",
    "error_code": "gpu_mismatch",
    "fingerprint": _FINGERPRINT,
    "gpu_model": "NVIDIA H100",
    "gpu_name": "NVIDIA H100 80GB HBM3",
    "host_key": _KEY,
    "hosts": "*.gpu.example",
    "instance_id": "12345678",
    "interpreter": "/usr/bin/python3",
    "key": "hbx_example",
    "kernel": "6.1.0-40-amd64",
    "location": "Oslo",
    "message": "Done.",
    "mode": "cuda-graph",
    "name": "training",
    "new_password": "another of ten or more",
    "precision": "amp-bf16",
    "profile": "quick",
    "provider": "example-cloud",
    "public_key": _KEY,
    "requested_by": "api",
    "source": "pushed",
    "ssh_host": "your-gpu-host.com",
    "ssh_user": "root",
    "state": "passed",
    "status": "active",
    "submit_url": "https://harborx.example/functions/v1/submit-test-results",
    "test_status": "completed",
    "test_type": "resnet50",
    "timezone": "Europe/Berlin",
    "torch_version": "2.13.0",
    "type": "progress",
    "unit": "images/s",
    "user_agent": "Mozilla/5.0",
    "vast_instance_id": "12345678",
    "verdict": "passed",
    "worker": "gpu-desk-4711",
}
_NUMBERS: Final = {
    "batch_size": 32,
    "gpu_count": 8,
    "image_size": 224,
    "measured_gpu_count": 8,
    "price_per_hour": 2.49,
    "ssh_port": 22,
    "throughput_images_per_sec": 2450.0,
    "throughput_samples_per_sec": 2450.0,
    "throughput_low": 2440.0,
    "throughput_high": 2460.0,
}
_ABSENT: Final = ("every_hours", "next_cursor")  # beside a cron line, and on a last page
_OF_MEDIA: Final = {
    "text/event-stream": 'id: 7\nevent: progress\ndata: {"seq": 7}\n\n',
    "image/svg+xml": '<svg xmlns="http://www.w3.org/2000/svg"/>',
}


def complete(document: dict[str, Any]) -> None:
    """Every body that a request sends or a good answer brings has an example, one for each shape that has a name."""
    components = document["components"]
    for methods in document["paths"].values():
        for operation in methods.values():
            bodies = [operation.get("requestBody", {}), *operation["responses"].values()]
            for body in bodies:
                for media, told in body.get("content", {}).items():
                    _add(media, told, components)


def _add(media: str, told: dict[str, Any], components: dict[str, Any]) -> None:
    schemas = components["schemas"]
    name = told.get("schema", {}).get("$ref", "").rpartition("/")[2]
    if name:
        components["examples"][name] = {"value": _example(told["schema"], schemas)}
        told["examples"] = {name: {"$ref": f"#/components/examples/{name}"}}
    elif media in _OF_MEDIA:
        told["example"] = _OF_MEDIA[media]
    elif "schema" in told:
        told["example"] = _example(told["schema"], schemas)


def _example(schema: dict[str, Any], schemas: dict[str, Any], name: str = "") -> Any:
    if "$ref" in schema:
        return _example(schemas[schema["$ref"].rpartition("/")[2]], schemas, name)
    if "example" in schema:
        return schema["example"]
    if "anyOf" in schema:
        return None if name in _ABSENT else _example(schema["anyOf"][0], schemas, name)
    if "const" in schema or "enum" in schema:
        return schema.get("const", schema.get("default", schema.get("enum", [None])[0]))
    match schema.get("type"):
        case "object":
            inner = schema.get("properties", {})
            return {each: _example(below, schemas, each) for each, below in inner.items()}
        case "array":
            return _array(schema, schemas, name)
        case "string":
            return _text(schema, name)
        case "boolean":
            return schema.get("default", True)
        case _:
            return _number(schema, name)


def _array(schema: dict[str, Any], schemas: dict[str, Any], name: str) -> list[Any]:
    known = _WORDS.get(name)
    return known if isinstance(known, list) else [_example(schema["items"], schemas, name)]


def _text(schema: dict[str, Any], name: str) -> str:
    kind = schema.get("format")
    if kind in ("uuid", "date-time"):
        return _ID if kind == "uuid" else _MOMENT
    for word in (name, *(each for each in ("fingerprint", "gpu_name", "key") if each in name)):
        if isinstance(known := _WORDS.get(word), str):
            return known
    return _ID if name.endswith("_id") else "example"


def _number(schema: dict[str, Any], name: str) -> float:
    known = _NUMBERS.get(name, schema.get("default", schema.get("minimum", 1)))
    return max(1, int(known)) if schema.get("type") == "integer" else float(known) or 1.0
