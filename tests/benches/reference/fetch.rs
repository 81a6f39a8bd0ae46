//! What it costs to take the reference job's records from Kafka, alone: the host's own source, drained by one thread.

use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use rillgate::source::{
    Consumer, KafkaMessages, OnDataLoss, Owner, PartitionQueue, SourceError, SourceOptions, Start, TopicPartition,
};

use crate::common;
use crate::generate;
use crate::job::{median, spread};
use crate::process::{Usage, own_cpu};
use crate::record::RECORDS;
use support::kafka::Cluster;
use support::servers::{servers, unique};

/// Times that the topic is drained.
const RUNS: usize = 3;
/// As a task takes them.
const BATCH_ROWS: usize = 8192;
const BATCH_BYTES: usize = 16 << 20;
/// Without a message for so long something must be broken.
const BOUND: Duration = Duration::from_secs(30);

/// Drains the topic; CPU time is that of this whole process, librdkafka's threads included.
pub fn measure(cluster: &Cluster) {
    let topic = generate::reference(cluster);
    let runs: Vec<Usage> = (0..RUNS).map(|_| drain(&topic)).collect();
    println!("fetch alone: min, median, max");
    spread("records per CPU-second", &runs, |usage| RECORDS as f64 / usage.cpu);
    spread("records per second", &runs, |usage| RECORDS as f64 / usage.wall);
    let cpu = median(runs.iter().map(|usage| usage.cpu));
    common::record("fetch_ns_per_record", cpu * 1e9 / RECORDS as f64, "ns");
}

/// Hands the queues on, and begins each partition at its start.
struct Queues(Sender<PartitionQueue>);

impl Owner for Queues {
    fn assigned(&self, queues: Vec<PartitionQueue>) -> Vec<(TopicPartition, i64)> {
        let starts = queues.iter().map(|queue| (queue.partition.clone(), 0)).collect();
        queues.into_iter().for_each(|queue| self.0.send(queue).expect("somebody waits for it"));
        starts
    }

    fn revoked(&self, _: &[TopicPartition], _: bool) {}

    fn wanted(&self) -> Vec<TopicPartition> {
        Vec::new()
    }

    fn failed(&self, error: SourceError) {
        panic!("{error}");
    }
}

fn drain(topic: &str) -> Usage {
    let (begin, cpu) = (Instant::now(), own_cpu());
    let options = SourceOptions {
        properties: [("bootstrap.servers".to_owned(), servers().kafka.clone())].into_iter().collect(),
        group: unique("bench"),
        topics: vec![topic.to_owned()],
        start: Start::Earliest,
        on_data_loss: OnDataLoss::Fail,
    };
    let (sender, queues) = channel();
    let mut consumer = Consumer::connect(options).expect("a broker");
    consumer.join(Arc::new(Queues(sender))).expect("a group");
    let mut held: Vec<(PartitionQueue, KafkaMessages, i64)> = Vec::new();
    let (mut records, mut last) = (0, Instant::now());
    while records < RECORDS {
        for mut queue in queues.try_iter() {
            queue.wake(std::thread::current());
            let messages = KafkaMessages::new(queue.partition.clone());
            held.push((queue, messages, 0));
        }
        let mut taken = 0;
        for (queue, messages, next) in &mut held {
            taken += queue.take(messages, next, BATCH_ROWS, BATCH_BYTES).messages as u64;
            messages.clear();
        }
        records += taken;
        if taken > 0 {
            last = Instant::now();
        } else {
            assert!(last.elapsed() < BOUND, "waited in vain for more than {records} of {RECORDS} records");
            // The queues wake this thread; new ones come by the channel, which doesn't.
            std::thread::park_timeout(Duration::from_millis(1));
        }
    }
    drop(held);
    consumer.stop();
    Usage { wall: begin.elapsed().as_secs_f64(), cpu: own_cpu() - cpu, memory: 0.0 }
}
