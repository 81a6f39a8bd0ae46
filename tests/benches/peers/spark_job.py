"""The reference job in Spark Structured Streaming: all that is in the topic, then the end (trigger availableNow).

    spark-submit spark_job.py BOOTSTRAP TOPIC OUTPUT CHECKPOINT
"""

import sys

from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import DoubleType, StringType, StructField, StructType

bootstrap, topic, output, checkpoint = sys.argv[1:]

TEXTS = ["id", "train_id", "station", "timestamp"]
NUMBERS = ["waiting_time", "ticket_check_time", "reduced_flow_factor"]

fields = [("id", StringType()), ("train_id", StringType()), ("station", StringType()), ("timestamp", StringType())]
fields += [(name, DoubleType()) for name in NUMBERS]
schema = StructType([StructField(name, kind) for name, kind in fields])

spark = SparkSession.builder.appName("rillgate's peer").getOrCreate()
spark.sparkContext.setLogLevel("ERROR")
messages = (
    spark.readStream.format("kafka")
    .option("kafka.bootstrap.servers", bootstrap)
    .option("subscribe", topic)
    .option("startingOffsets", "earliest")
    .load()
)
rows = messages.select(F.from_json(F.col("value").cast("string"), schema).alias("row")).select("row.*").dropna()
for name in TEXTS:
    rows = rows.filter(F.col(name) != "")
rows = rows.withColumn("timestamp", F.to_timestamp("timestamp"))
query = (
    rows.writeStream.format("parquet")
    .option("path", output)
    .option("checkpointLocation", checkpoint)
    .trigger(availableNow=True)
    .start()
)
query.awaitTermination()
spark.stop()
