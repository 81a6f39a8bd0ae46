//! The servers of a chaos run: a Kafka and an S3 server that may be killed, each instance with a link of its own to both.

use std::time::Duration;

use support::host::Config;
use support::kafka::Cluster;
use support::proxy::{Link, Mode, Proxy};
use support::servers::{OwnKafka, OwnS3};
use support::store::Place;

use crate::INSTANCES;

/// Everything but the host.
#[derive(Debug)]
pub struct Lab {
    /// The broker.
    pub kafka: OwnKafka,
    /// Each instance's way to it.
    pub kafka_links: Vec<Proxy>,
    /// The store, where the place isn't local.
    pub s3: OwnS3,
    /// Each instance's way to it.
    pub s3_links: Vec<Proxy>,
}

impl Lab {
    /// Starts the servers.
    pub fn start() -> Self {
        let kafka_links: Vec<Proxy> = (0..INSTANCES).map(|_| Proxy::before("127.0.0.1:9")).collect();
        let kafka = OwnKafka::start_behind(&kafka_links);
        let s3 = OwnS3::start();
        let s3_links = (0..INSTANCES).map(|_| Proxy::before(s3.s3.address())).collect();
        Self { kafka, kafka_links, s3, s3_links }
    }

    /// These pipelines as each of the instances has them configured: the same, but for its ways to Kafka and to the store.
    pub fn configs(&self, pipelines: &str, place: &Place) -> Vec<Config> {
        let links = self.kafka_links.iter().zip(&self.s3_links);
        let config = |(kafka, s3): (&Proxy, &Proxy)| {
            let seen = match place {
                Place::Local(_) => place.clone(),
                Place::S3 { .. } => place.through(&s3.address()),
            };
            // What the groups are at, for those who have to find out why they aren't where they should be.
            Config::new(&Cluster::at(&kafka.address()).with("debug", "cgrp,metadata"), &seen, pipelines)
        };
        links.map(config).collect()
    }

    /// Every link is as it should be again.
    pub fn heal(&self) {
        for link in self.kafka_links.iter().chain(&self.s3_links) {
            link.disarm();
            link.slow_down(Link::default());
            link.set(Mode::Pass);
        }
    }
}

/// How slow a slow link is.
pub fn slow(latency_ms: u64) -> Link {
    Link { latency: Duration::from_millis(latency_ms), bytes_per_second: 400_000 }
}
