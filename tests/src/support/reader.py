"""Reads tables for the tests, as anyone would: one JSON request a line on stdin, one JSON answer a line on stdout.

{"view": name, "glob": path, "format": "parquet" | "csv" | "jsonl"}  makes a view over files, Hive partitions as columns
{"sql": text}                                                       {"rows": [[...], ...]}
{"ids": file, "column": name, "as": name}                           {"rows": count, "doubles": [[id, first name, this name], ...]}
                                                                    across all files given so far; names are for people
"""

import json
import sys

import duckdb
import pyarrow.parquet

READ = {
    "parquet": "read_parquet('{}', hive_partitioning = true, filename = true)",
    "csv": "read_csv('{}', hive_partitioning = true, filename = true)",
    "jsonl": "read_json('{}', format = 'newline_delimited', hive_partitioning = true, filename = true)",
}

connection = duckdb.connect()
connection.execute("set TimeZone = 'UTC'")
first_seen = {}


def plain(value):
    """JSON's own types stay what they are; all else is written as DuckDB prints it."""
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def answer(request):
    if "view" in request:
        source = READ[request["format"]].format(request["glob"].replace("'", "''"))
        connection.execute(f"create or replace view {request['view']} as select * from {source}")
        return {}
    if "sql" in request:
        rows = connection.execute(request["sql"]).fetchall()
        return {"rows": [[plain(value) for value in row] for row in rows]}
    file, column, name = request["ids"], request["column"], request["as"]
    # Not by way of a dataset: a folder named `date=...` above the file would be read as a column.
    ids = pyarrow.parquet.ParquetFile(file).read(columns=[column]).column(column).to_pylist()
    doubles = []
    for id in ids:
        before = first_seen.setdefault(id, name)
        if before is not name:
            doubles.append([id, before, name])
    # Twice in one file is a double too.
    if len(set(ids)) != len(ids):
        doubles.append(["several ids", name, name])
    return {"rows": len(ids), "doubles": doubles[:10]}


for line in sys.stdin:
    try:
        print(json.dumps(answer(json.loads(line))), flush=True)
    except Exception as error:  # whatever it is, the test is to hear it
        print(json.dumps({"error": f"{type(error).__name__}: {error}"}), flush=True)
