"""The reference job as a good engineer writes it by hand: confluent-kafka, pyarrow's JSON reader, Parquet with zstd-1.

    arrow_job.py BOOTSTRAP TOPIC RECORDS FILE

One thread of Python; librdkafka and Arrow bring theirs. It commits nothing and survives nothing: what it costs is the work alone.
"""

import sys
import uuid

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json
import pyarrow.parquet
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

bootstrap, topic, records, file = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]

TEXTS = ["id", "train_id", "station"]
NUMBERS = ["waiting_time", "ticket_check_time", "reduced_flow_factor"]
TIMESTAMP = pa.timestamp("us", "UTC")
READ = pa.schema(
    [(name, pa.string()) for name in TEXTS] + [("timestamp", pa.string())] + [(name, pa.float64()) for name in NUMBERS]
)
WRITE = READ.set(READ.get_field_index("timestamp"), pa.field("timestamp", TIMESTAMP))
# Records that are turned into columns at once, and messages that are asked for at once.
BATCH = 100_000
CHUNK = 10_000
# One block for a batch, so that it is parsed in one go.
READ_OPTIONS = pyarrow.json.ReadOptions(use_threads=False, block_size=64 << 20)
PARSE_OPTIONS = pyarrow.json.ParseOptions(explicit_schema=READ, unexpected_field_behavior="ignore")

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


def clean(values):
    """Columns of records that lack nothing."""
    lines = pa.BufferReader(b"\n".join(values))
    table = pyarrow.json.read_json(lines, read_options=READ_OPTIONS, parse_options=PARSE_OPTIONS)
    conditions = [pc.fill_null(pc.not_equal(table[name], ""), False) for name in TEXTS + ["timestamp"]]
    conditions += [pc.is_valid(table[name]) for name in NUMBERS]
    keep = conditions[0]
    for condition in conditions[1:]:
        keep = pc.and_(keep, condition)
    table = table.filter(keep)
    at = table.schema.get_field_index("timestamp")
    return table.set_column(at, WRITE.field(at), table["timestamp"].cast(TIMESTAMP))


values = []
taken = 0
with pyarrow.parquet.ParquetWriter(file, WRITE, compression="zstd", compression_level=1) as writer:
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
            writer.write_table(clean(values))
            values.clear()
    if values:
        writer.write_table(clean(values))
consumer.close()
