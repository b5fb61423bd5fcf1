"""The page which describes a service to people: there is nothing in it to fetch, so that it works without a network."""

import json
from html import escape
from typing import Any

STYLE = """body { font: 16px/1.5 sans-serif; max-width: 50rem; margin: 2rem auto; padding: 0 1rem }
pre { background: #f3f3f3; padding: .6rem; overflow-x: auto } code { font-size: .9em }
table { border-collapse: collapse } td { padding: .15rem .8rem .15rem 0; vertical-align: top }"""


def page(schema: dict[str, Any], address: str) -> str:
    """HTML from a description as OpenAPI has it; `address` is that of the service, as the reader has it."""
    about = schema["info"]
    parts = [f"<h1>{escape(about['title'])}</h1><p>{escape(about['description'])}"]
    parts.append('The same for programs: <a href="openapi.json">openapi.json</a>.</p>')
    for path, methods in schema["paths"].items():
        for method, entry in methods.items():
            parts.append(f"<h2>{method.upper()} {escape(path)}</h2><p>{escape(entry['summary'])}</p>")
            if "requestBody" in entry:
                body = entry["requestBody"]["content"]["application/json"]["schema"]
                parts += [
                    _fields(body),
                    _example(address.rstrip("/") + path, body["examples"][0]),
                    _answer(entry, schema),
                ]
    inside = "\n".join(parts)
    return f"<!doctype html><meta charset=utf-8><title>regard</title><style>{STYLE}</style>\n{inside}\n"


def _fields(body: dict[str, Any]) -> str:
    """A table of the fields of a body."""
    rows = []
    for name, field in body["properties"].items():
        default = "needed" if name in body["required"] else json.dumps(field.get("default"))
        note = field.get("description", "")
        cells = (f"<code>{escape(name)}</code>", escape(_kind(field)), escape(default), escape(note))
        rows.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells))
    return f"<table><tr><td>field<td>kind<td>default<td>{''.join(rows)}</table>"


def _kind(field: dict[str, Any]) -> str:
    """The type of a field in words."""
    if "anyOf" in field:
        return " or ".join(_kind(one) for one in field["anyOf"])
    if field.get("type") == "array":
        inside = _kind(field["items"])
        return f"list of {f'({inside})' if ' or ' in inside else inside}"
    return str(field.get("type", ""))


def _example(address: str, example: dict[str, Any]) -> str:
    """A command which can be copied."""
    data = json.dumps(example, ensure_ascii=False).replace("'", "'\\''")
    text = f"curl {address} -H 'Content-Type: application/json' \\\n  -d '{data}'"
    return f"<pre>{escape(text)}</pre>"


def _answer(entry: dict[str, Any], schema: dict[str, Any]) -> str:
    """The fields of an answer."""
    name = entry["responses"]["200"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
    model = schema["components"]["schemas"][name]
    fields = ", ".join(f"<code>{escape(field)}</code>" for field in model["properties"])
    return f"<p>Answer: {fields}. {escape(model.get('description', ''))}</p>"
