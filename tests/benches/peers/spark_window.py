"""The windowed job in Spark Structured Streaming: all that is in the topic, then the end (trigger availableNow).

    spark-submit spark_window.py BOOTSTRAP TOPIC OUTPUT CHECKPOINT

Readings without their doubles, summed in windows of five minutes by turnstile; a window is written when its end is five minutes
behind the latest time.
"""

import sys

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

bootstrap, topic, output, checkpoint = sys.argv[1:]

TEXTS = ["CA", "UNIT", "SCP", "STATION", "LINENAME", "DIVISION", "DATE", "TIME", "DESC"]
SCHEMA = ", ".join(f"{name} STRING" for name in TEXTS) + ", ENTRIES BIGINT, EXITS BIGINT, ID STRING, TIMESTAMP TIMESTAMP"
GROUP = ["CA", "UNIT", "SCP", "STATION", "LINENAME", "DIVISION", "DATE", "DESC"]
TIME = "yyyy-MM-dd HH:mm:ss"

spark = SparkSession.builder.appName("rillgate's peer").getOrCreate()
spark.sparkContext.setLogLevel("ERROR")
messages = (
    spark.readStream.format("kafka")
    .option("kafka.bootstrap.servers", bootstrap)
    .option("subscribe", topic)
    .option("startingOffsets", "earliest")
    .load()
)
parsed = F.from_csv(F.col("value").cast("string"), SCHEMA, {"timestampFormat": TIME})
rows = messages.select(parsed.alias("row")).select("row.*")
rows = rows.withColumn("DATE", F.date_format(F.to_date("DATE", "MM-dd-yy"), "MM/dd/yyyy"))
sums = (
    rows.withWatermark("TIMESTAMP", "5 minutes")
    .dropDuplicates(["ID", "STATION", "TIMESTAMP"])
    .groupBy(F.window("TIMESTAMP", "5 minutes"), *GROUP)
    .agg(F.sum("ENTRIES").alias("ENTRIES"), F.sum("EXITS").alias("EXITS"))
    .withColumn("TIME", F.date_format("window.end", "HH:mm:ss"))
    .select(*TEXTS, "ENTRIES", "EXITS")
)
query = (
    sums.writeStream.format("csv")
    .option("header", True)
    .option("compression", "gzip")
    .option("path", output)
    .option("checkpointLocation", checkpoint)
    .trigger(availableNow=True)
    .start()
)
query.awaitTermination()
spark.stop()
