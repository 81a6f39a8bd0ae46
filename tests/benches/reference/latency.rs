//! How long it takes from a record sent to its row in a file that every reader sees, where files are closed each second.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::common::{self, Numbers};
use crate::generate::PARTITIONS;
use crate::job::{Job, TABLE};
use crate::record;
use support::host::Host;
use support::kafka::{Cluster, Producer, Record};
use support::reader::Ids;
use support::servers::unique;
use support::store::Place;

/// Times that it is measured.
const ROUNDS: u64 = 10;
/// Records sent each time, to all partitions.
const BURST: u64 = 1_000;
/// How often the table is listed.
const LOOK: Duration = Duration::from_millis(5);
/// How long a burst may take before something must be broken.
const BOUND: Duration = Duration::from_secs(60);

/// Measures from the first record of a burst handed to the producer to the last one's row seen: the wait for the trigger,
/// the commit and the look at the files are in it.
pub fn measure(cluster: &Cluster) {
    let (topic, place) = (unique("bench_latency"), Place::local());
    cluster.create_topic(&topic, i32::try_from(PARTITIONS).expect("a few partitions"), &[]);
    let sink = r#"format = "parquet", every = "1s""#.to_owned();
    let config = Job { sink, ..Job::reference(&topic, "key") }.config(&place);
    let path = config.path();
    let host = Host::start(&["run", "--config", path.to_str().expect("a path that is text")]);
    let producer = cluster.producer();
    let mut table = Table { place, files: BTreeSet::new(), ids: Ids::default(), rows: 0 };
    // The first burst also waits for the group.
    table.wait_for_burst(&topic, &producer, 0);
    let mut taken: Vec<f64> = (1..=ROUNDS).map(|round| table.wait_for_burst(&topic, &producer, round)).collect();
    host.stop();
    taken.sort_by(f64::total_cmp);
    let median = taken[taken.len() / 2];
    let (least, most) = (taken[0], taken[taken.len() - 1]);
    println!(
        "\nfirst record sent to last row seen, every = \"1s\": {least:.2}, {median:.2}, {most:.2} s (min, median, max)"
    );
    common::record("latency_first_to_last_record", median, "s");
}

struct Table {
    place: Place,
    /// Seen, and their rows counted.
    files: BTreeSet<String>,
    ids: Ids,
    rows: u64,
}

impl Table {
    /// Sends a burst and returns the seconds until all of it is seen.
    fn wait_for_burst(&mut self, topic: &str, producer: &Producer, round: u64) -> f64 {
        let (mut numbers, mut value) = (Numbers(round), Vec::new());
        let begin = Instant::now();
        for i in round * BURST..(round + 1) * BURST {
            record::write(&mut value, i, &mut numbers);
            let partition = i32::try_from(i % PARTITIONS).expect("a few partitions");
            producer.send(topic, &Record { partition: Some(partition), value: Some(&value), ..Record::default() });
        }
        producer.flush();
        while self.rows < (round + 1) * BURST {
            assert!(begin.elapsed() < BOUND, "waited in vain for the rows of burst {round}");
            std::thread::sleep(LOOK);
            self.look();
        }
        assert_eq!(self.rows, (round + 1) * BURST, "rows in the table");
        begin.elapsed().as_secs_f64()
    }

    fn look(&mut self) {
        let Place::Local(root) = &self.place else { return };
        for path in self.place.list(TABLE).into_keys() {
            if self.files.insert(path.clone()) {
                let added = self.ids.add(&root.path().join(&path), "id", &path);
                assert!(added.doubles.is_empty(), "ids twice: {:?}", added.doubles);
                self.rows += added.rows;
            }
        }
    }
}
