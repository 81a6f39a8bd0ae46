"""The windowed job as a good engineer writes it by hand: confluent-kafka, pyarrow's CSV reader and its groups, gzip CSV.

    arrow_window.py BOOTSTRAP TOPIC RECORDS FILE

Readings without their doubles, summed in windows of five minutes by turnstile; a window is written when its end is five minutes
behind the latest time. One thread of Python; librdkafka and Arrow bring theirs. It commits nothing and survives nothing: what it
costs is the work alone.
"""

import gzip
import sys
import uuid
from datetime import timedelta

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

bootstrap, topic, records, file = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]

TEXTS = ["CA", "UNIT", "SCP", "STATION", "LINENAME", "DIVISION", "DATE", "TIME", "DESC"]
COUNTS = ["ENTRIES", "EXITS"]
COLUMNS = TEXTS + COUNTS + ["ID", "TIMESTAMP"]
GROUP = ["CA", "UNIT", "SCP", "STATION", "LINENAME", "DIVISION", "DATE", "DESC"]
OUT = TEXTS + COUNTS
SECONDS = pa.timestamp("s")
WINDOW = DELAY = timedelta(minutes=5)
# Records that are turned into columns at once, and messages that are asked for at once.
BATCH = 100_000
CHUNK = 10_000
READ_OPTIONS = pyarrow.csv.ReadOptions(use_threads=False, block_size=64 << 20, column_names=COLUMNS)
TYPES = {name: pa.string() for name in TEXTS + ["ID"]} | {name: pa.int64() for name in COUNTS} | {"TIMESTAMP": SECONDS}
CONVERT_OPTIONS = pyarrow.csv.ConvertOptions(column_types=TYPES, timestamp_parsers=["%Y-%m-%d %H:%M:%S"])

consumer = Consumer(
    {
        "bootstrap.servers": bootstrap,
        "group.id": uuid.uuid4().hex,
        "enable.auto.commit": False,
        "queued.min.messages": 500_000,
        "queued.max.messages.kbytes": 131_072,
        "fetch.message.max.bytes": 4 << 20,
    }
)
partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in partitions])

# Readings that were there already, by the window that they are in: forgotten with it.
seen = {}
# Sums so far, a table for each batch: those of a window meet when it is closed.
partial = []
latest = None


def is_new(window, reading):
    readings = seen.setdefault(window, set())
    if reading in readings:
        return False
    readings.add(reading)
    return True


def fold(values):
    """Adds readings to the sums of their windows."""
    global latest
    lines = pa.BufferReader(b"\n".join(values))
    table = pyarrow.csv.read_csv(lines, read_options=READ_OPTIONS, convert_options=CONVERT_OPTIONS)
    highest = pc.max(table["TIMESTAMP"]).as_py()
    latest = highest if latest is None else max(latest, highest)
    windows = pc.floor_temporal(table["TIMESTAMP"], 5, unit="minute")
    readings = pc.binary_join_element_wise(table["ID"], table["STATION"], pc.cast(table["TIMESTAMP"], pa.string()), ",")
    new = map(is_new, pc.cast(windows, pa.int64()).to_pylist(), readings.to_pylist())
    table = table.append_column("window", windows).filter(pa.array(new, pa.bool_()))
    partial.append(table.group_by(GROUP + ["window"]).aggregate([(name, "sum") for name in COUNTS]))


def close(out):
    """Writes the windows that nothing can come for any more."""
    table = pa.concat_tables(partial)
    closed = pc.less_equal(table["window"], pa.scalar(latest - DELAY - WINDOW, SECONDS))
    done = table.filter(closed)
    partial[:] = [table.filter(pc.invert(closed))]
    if not done.num_rows:
        return
    for window in pc.unique(pc.cast(done["window"], pa.int64())).to_pylist():
        seen.pop(window, None)
    done = done.group_by(GROUP + ["window"]).aggregate([(name + "_sum", "sum") for name in COUNTS])
    month, day, year = (pc.utf8_slice_codeunits(done["DATE"], at, at + 2) for at in (0, 3, 6))
    columns = {name: done[name] for name in GROUP}
    columns["DATE"] = pc.binary_join_element_wise(month, day, pc.binary_join_element_wise("20", year, ""), "/")
    columns["TIME"] = pc.strftime(pc.add(done["window"], pa.scalar(WINDOW, pa.duration("s"))), format="%H:%M:%S")
    for name in COUNTS:
        columns[name] = done[name + "_sum_sum"]
    pyarrow.csv.write_csv(pa.table({name: columns[name] for name in OUT}), out, HEADER.pop() if HEADER else NO_HEADER)


HEADER = [pyarrow.csv.WriteOptions(include_header=True)]
NO_HEADER = pyarrow.csv.WriteOptions(include_header=False)

values = []
taken = 0
# A window is closed at most as often as the clock passes an edge; looking each tenth batch costs next to nothing.
batches = 0
with gzip.open(file, "wb", compresslevel=1) as out:
    while taken < records:
        messages = consumer.consume(num_messages=min(CHUNK, records - taken), timeout=30)
        if not messages:
            sys.exit(f"no more records after {taken} of {records}")
        for message in messages:
            if message.error():
                sys.exit(str(message.error()))
        values.extend(message.value() for message in messages)
        taken += len(messages)
        if len(values) >= BATCH:
            fold(values)
            values.clear()
            batches += 1
            if batches % 10 == 0:
                close(out)
    if values:
        fold(values)
    close(out)
consumer.close()
