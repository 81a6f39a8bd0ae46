"""Reads tables for the tests, as anyone would: one JSON request a line on stdin, one JSON answer a line on stdout.

{"view": name, "glob": path, "format": "parquet" | "csv" | "jsonl"}  makes a view over files, Hive partitions as columns
{"sql": text}                                                       {"rows": [[...], ...]}
{"ids": file, "columns": [name, ...], "values": [name, ...],        {"rows": count, "doubles": [[id, first name, this name], ...],
 "as": name}                                                         "found": [[value of an id column, ..., of a value column, ...], ...]}
                                                                    doubles across all files given so far; names are for people; rows
                                                                    are found where values are asked for; times are numbers, in the
                                                                    file's unit
"""

import json
import sys

import duckdb
import pyarrow
import pyarrow.parquet

READ = {
    "parquet": "read_parquet('{}', hive_partitioning = true, filename = true)",
    # A date in one file needn't look like one in the next: text it stays.
    "csv": "read_csv('{}', hive_partitioning = true, filename = true, "
    "auto_type_candidates = ['BIGINT', 'DOUBLE', 'TIMESTAMP', 'VARCHAR'])",
    "jsonl": "read_json('{}', format = 'newline_delimited', hive_partitioning = true, filename = true)",
}

connection = duckdb.connect()
connection.execute("set TimeZone = 'UTC'")
first_seen = {}


def plain(value):
    """JSON's own types stay what they are; all else is written as DuckDB prints it."""
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def numbers(column):
    return column.cast(pyarrow.int64()) if pyarrow.types.is_timestamp(column.type) else column


def answer(request):
    if "view" in request:
        source = READ[request["format"]].format(request["glob"].replace("'", "''"))
        connection.execute(f"create or replace view {request['view']} as select * from {source}")
        return {}
    if "sql" in request:
        rows = connection.execute(request["sql"]).fetchall()
        return {"rows": [[plain(value) for value in row] for row in rows]}
    file, columns, name = request["ids"], request["columns"], request["as"]
    # Not by way of a dataset: a folder named `date=...` above the file would be read as a column.
    table = pyarrow.parquet.ParquetFile(file).read(columns=columns + request["values"])
    read = [numbers(table.column(column)).to_pylist() for column in columns + request["values"]]
    ids = read[0] if len(columns) == 1 else list(zip(*read[: len(columns)]))
    doubles = []
    for id in ids:
        before = first_seen.setdefault(id, name)
        if before is not name:
            doubles.append([id if len(columns) == 1 else " ".join(map(str, id)), before, name])
    # Twice in one file is a double too.
    if len(set(ids)) != len(ids):
        doubles.append(["several ids", name, name])
    found = list(zip(*read)) if request["values"] else []
    return {"rows": len(ids), "doubles": doubles[:10], "found": found}


for line in sys.stdin:
    try:
        print(json.dumps(answer(json.loads(line))), flush=True)
    except Exception as error:  # whatever it is, the test is to hear it
        print(json.dumps({"error": f"{type(error).__name__}: {error}"}), flush=True)
