"""Registers Avro schemas and sends records by them, as any producer does: fastavro and Confluent's client, nothing of rillgate's.

One JSON object a line comes in, one goes out:
  {"register": subject, "schema": {...}}                          -> {"id": 1}
  {"topic": ..., "value": id or null, "key": id or null,
   "records": [{"partition", "key", "value"}, ...]}                -> {"sent": 2}
The records' keys and values are JSON; those without a schema's id are bytes in hex.
"""

import io
import json
import struct
import sys
import urllib.parse
import urllib.request

import confluent_kafka
import fastavro

registry, servers = sys.argv[1:]
producer = confluent_kafka.Producer({"bootstrap.servers": servers, "enable.idempotence": True})
schemas = {}


def register(subject, schema):
    url = f"{registry}/subjects/{urllib.parse.quote(subject, safe='')}/versions"
    body = json.dumps({"schema": json.dumps(schema)}).encode()
    headers = {"Content-Type": "application/vnd.schemaregistry.v1+json"}
    with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=60) as answer:
        id = json.load(answer)["id"]
    schemas[id] = fastavro.parse_schema(schema)
    return id


def encode(id, value):
    if value is None:
        return None
    if id is None:
        return bytes.fromhex(value)
    out = io.BytesIO()
    out.write(struct.pack(">bI", 0, id))
    fastavro.schemaless_writer(out, schemas[id], value)
    return out.getvalue()


def answer(request):
    if "register" in request:
        return {"id": register(request["register"], request["schema"])}
    failed = []
    for record in request["records"]:
        producer.produce(
            request["topic"],
            key=encode(request["key"], record.get("key")),
            value=encode(request["value"], record["value"]),
            partition=record.get("partition", 0),
            on_delivery=lambda error, _: error and failed.append(str(error)),
        )
        producer.poll(0)
    left = producer.flush(60)
    if failed or left:
        raise RuntimeError(f"{left} records left, {failed[:3]}")
    return {"sent": len(request["records"])}


for line in sys.stdin:
    try:
        print(json.dumps(answer(json.loads(line))), flush=True)
    except Exception as error:
        print(json.dumps({"error": f"{type(error).__name__}: {error}"}), flush=True)
