//! Records for topics: sent once by whoever may, from what is staged, whatever died before. Kafka is a double that counts.

use futures::FutureExt;
use futures::future::BoxFuture;

use super::super::entry::{CommittedRecords, mark};
use super::super::send::{Outgoing, Topics, TopicsError};
use super::*;

/// Kafka as all attempts see it.
#[derive(Debug, Default)]
struct Kafka {
    epoch: usize,
    mark: Option<String>,
    offset: i64,
    /// What was sent, in order, as topic and content.
    sent: Vec<(String, String)>,
    transactions: usize,
}

/// Kafka as one attempt sees it.
#[derive(Debug)]
struct Producer {
    kafka: Arc<Mutex<Kafka>>,
    epoch: Mutex<usize>,
    /// What befalls its transactions, one after another.
    fates: Mutex<Vec<Fate>>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    /// Nothing is sent.
    Fails,
    /// It is sent, and the answer gets lost.
    AnswerLost,
    /// Kafka doesn't take it.
    Refused,
}

impl Topics for Producer {
    fn take_over(&self) -> BoxFuture<'_, Result<Option<String>, TopicsError>> {
        let mut kafka = self.kafka.lock().unwrap();
        kafka.epoch += 1;
        *self.epoch.lock().unwrap() = kafka.epoch;
        std::future::ready(Ok(kafka.mark.clone())).boxed()
    }

    fn send(&self, outgoing: Outgoing) -> BoxFuture<'_, Result<(), TopicsError>> {
        let again = |reason: &str| Err(TopicsError::Again(reason.to_owned()));
        let mut kafka = self.kafka.lock().unwrap();
        let fate = if outgoing.records.is_empty() { None } else { self.fates.lock().unwrap().pop() };
        let answer = match fate {
            _ if *self.epoch.lock().unwrap() != kafka.epoch => return std::future::ready(again("fenced")).boxed(),
            Some(Fate::Fails) => return std::future::ready(again("away")).boxed(),
            Some(Fate::Refused) => {
                return std::future::ready(Err(TopicsError::Fatal("too large".to_owned()))).boxed();
            }
            Some(Fate::AnswerLost) => again("no answer"),
            None => Ok(()),
        };
        let text = |bytes: Bytes| String::from_utf8(bytes.to_vec()).unwrap();
        kafka.transactions += 1;
        kafka.sent.extend(outgoing.records.into_iter().map(|(topic, bytes)| (topic, text(bytes))));
        (kafka.mark, kafka.offset) = (Some(outgoing.mark), outgoing.offset);
        std::future::ready(answer).boxed()
    }
}

/// An attempt with a producer of its own.
async fn begin(world: &World, kafka: &Arc<Mutex<Kafka>>, fates: &[Fate]) -> Result<Attempt, LogError> {
    begin_with(world, kafka, fates, true).await
}

async fn begin_with(
    world: &World,
    kafka: &Arc<Mutex<Kafka>>,
    fates: &[Fate],
    exactly_once: bool,
) -> Result<Attempt, LogError> {
    let fates = Mutex::new(fates.to_vec());
    let producer = Producer { kafka: Arc::clone(kafka), epoch: Mutex::default(), fates };
    let mut view = world.view();
    view.options = LogOptions { topics: Some(Arc::new(producer)), exactly_once, ..OPTIONS };
    view.begin().await
}

/// Commits ten records of a topic.
async fn commit(attempt: &mut Attempt) -> Result<(), LogError> {
    let commit = staged(attempt).await;
    attempt.decide(commit).await
}

async fn staged(attempt: &mut Attempt) -> Commit {
    let (start, end) = (attempt.log.next_offset(), attempt.log.next_offset() + 10);
    attempt.stage.write(0, 0, Bytes::from(format!("{start}..{end}")));
    attempt.stage.close_records(0, 0, "stations".to_owned(), 10);
    let (files, records) = attempt.stage.take().finish().await.unwrap();
    Commit { start, end, files, records, ..Commit::default() }
}

fn sent(kafka: &Arc<Mutex<Kafka>>) -> Vec<String> {
    kafka.lock().unwrap().sent.iter().map(|(topic, text)| format!("{topic} {text}")).collect()
}

#[tokio::test(start_paused = true)]
async fn each_epoch_is_sent_once_with_its_mark_and_nothing_stays_staged() {
    let (world, kafka) = (World::new(), Arc::default());
    let mut attempt = begin(&world, &kafka, &[]).await.unwrap();
    commit(&mut attempt).await.unwrap();
    commit(&mut attempt).await.unwrap();
    assert_eq!(sent(&kafka), ["stations 0..10", "stations 10..20"]);
    {
        let kafka = kafka.lock().unwrap();
        assert_eq!(kafka.mark, Some(mark(2, attempt.log.attempt())));
        assert_eq!((kafka.offset, kafka.transactions), (20, 3), "one for the first mark");
    }
    assert_eq!(world.staged().await, Vec::<String>::new());
    assert_eq!(*attempt.acknowledged.lock().unwrap(), [10, 20]);
    begin(&world, &kafka, &[]).await.unwrap();
    assert_eq!(sent(&kafka).len(), 2, "a claim finds them sent");
    let report = world.verify().await;
    assert_eq!((report.records, report.pending_records, report.problems), (20, 0, vec![]));
}

#[tokio::test(start_paused = true)]
async fn what_was_decided_and_not_sent_or_sent_and_not_heard_of_is_found_by_the_next_claim() {
    for fate in [Fate::Fails, Fate::AnswerLost] {
        let (world, kafka) = (World::new(), Arc::default());
        let mut first = begin(&world, &kafka, &[fate]).await.unwrap();
        let error = commit(&mut first).await.unwrap_err();
        assert!(error.may_pass(), "{error}");
        assert_eq!(sent(&kafka).len(), usize::from(fate == Fate::AnswerLost));
        assert_eq!(world.verify().await.pending_records, 1);

        let mut second = begin(&world, &kafka, &[]).await.unwrap();
        assert_eq!(sent(&kafka), ["stations 0..10"], "{fate:?}");
        assert_eq!(world.staged().await, Vec::<String>::new());
        commit(&mut second).await.unwrap();
        assert_eq!(sent(&kafka).len(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn what_kafka_refuses_stops_the_pipeline_and_stays_staged() {
    let (world, kafka) = (World::new(), Arc::default());
    let mut attempt = begin(&world, &kafka, &[Fate::Refused]).await.unwrap();
    let error = commit(&mut attempt).await.unwrap_err();
    assert!(!error.may_pass() && error.to_string().contains("too large"), "{error}");
    assert_eq!(world.staged().await.len(), 1);
}

/// Whoever sleeps after its claim takes over from those who claimed later, and must not send then.
#[tokio::test(start_paused = true)]
async fn a_claim_that_slept_sends_nothing_though_kafka_lets_it_in() {
    let (world, kafka) = (World::new(), Arc::<Mutex<Kafka>>::default());
    let mut first = begin(&world, &kafka, &[Fate::Fails]).await.unwrap();
    commit(&mut first).await.unwrap_err();
    // It sleeps when it has created its CLAIM; the file that it would send stays, since nobody can remove it.
    let sleepy = {
        let mut view = world.view();
        let gate = Gate::new();
        view.faults.on(Operation::Put, "log/00000000000000000002.json", 1, Fault::HoldAnswer(Arc::clone(&gate)));
        let producer = Producer { kafka: Arc::clone(&kafka), epoch: Mutex::default(), fates: Mutex::default() };
        view.options = LogOptions { topics: Some(Arc::new(producer)), ..OPTIONS };
        let claiming = tokio::spawn(async move { view.begin().await.map(|_| ()) });
        gate.arrival().await;
        (claiming, gate)
    };
    let mut view = world.view();
    view.faults.on(Operation::Delete, "stage/", 100, Fault::Refuse(Answer::Denied));
    let producer = Producer { kafka: Arc::clone(&kafka), epoch: Mutex::default(), fates: Mutex::default() };
    view.options = LogOptions { topics: Some(Arc::new(producer)), ..OPTIONS };
    let mut second = view.begin().await.unwrap();
    commit(&mut second).await.unwrap();
    assert_eq!(sent(&kafka), ["stations 0..10", "stations 10..20"]);
    let (claiming, gate) = sleepy;
    gate.open();
    let error = claiming.await.unwrap().unwrap_err();
    assert!(matches!(error, LogError::Fenced { .. }), "{error}");
    assert_eq!(sent(&kafka).len(), 2, "sent once");
}

/// Decides an epoch that isn't sent.
async fn unsent(world: &World, kafka: &Arc<Mutex<Kafka>>) -> CommittedRecords {
    let mut attempt = begin(world, kafka, &[Fate::Fails]).await.unwrap();
    commit(&mut attempt).await.unwrap_err();
    world.commits().await.remove(0).records.remove(0)
}

#[tokio::test(start_paused = true)]
async fn where_kafka_has_forgotten_nobody_guesses() {
    let (world, kafka) = (World::new(), Arc::default());
    let file = unsent(&world, &kafka).await;
    kafka.lock().unwrap().mark = None;
    let error = begin(&world, &kafka, &[]).await.err().expect("it can't be told");
    assert!(!error.may_pass() && error.to_string().contains(&file.staged), "{error}");
    assert_eq!(sent(&kafka), Vec::<String>::new());

    // The two ways on that the message names.
    let (other, forgotten) = (World::new(), Arc::default());
    unsent(&other, &forgotten).await;
    forgotten.lock().unwrap().mark = None;
    begin_with(&other, &forgotten, &[], false).await.unwrap();
    assert_eq!(sent(&forgotten), ["stations 0..10"], "sent again");
    world.control.delete(&world.control_path(&file.staged)).await.unwrap();
    begin(&world, &kafka, &[]).await.unwrap();
    assert_eq!(sent(&kafka), Vec::<String>::new(), "taken for sent");
}

#[tokio::test(start_paused = true)]
async fn staged_records_that_are_gone_or_damaged_stop_the_pipeline() {
    let (world, kafka) = (World::new(), Arc::default());
    let file = unsent(&world, &kafka).await;
    let path = world.control_path(&file.staged);
    world.control.put(&path, "0..99".into()).await.unwrap();
    let error = begin(&world, &kafka, &[]).await.err().expect("damaged").to_string();
    assert!(error.contains(&file.staged) && error.contains("5 bytes"), "{error}");
    let problems = world.verify().await.problems;
    assert!(matches!(&problems[..], [problem] if problem.contains(&file.staged)), "{problems:?}");

    world.control.delete(&path).await.unwrap();
    let error = begin(&world, &kafka, &[]).await.err().expect("gone");
    assert!(!error.may_pass() && error.to_string().contains("they were not sent"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_mark_is_written_again_before_kafka_forgets_it() {
    let (world, kafka) = (World::new(), Arc::<Mutex<Kafka>>::default());
    let mut attempt = begin(&world, &kafka, &[]).await.unwrap();
    let transactions = || kafka.lock().unwrap().transactions;
    commit(&mut attempt).await.unwrap();
    assert_eq!(transactions(), 2);
    commit(&mut attempt).await.unwrap();
    assert_eq!(transactions(), 3);
    tokio::time::sleep(Duration::from_secs(3601)).await;
    let before = kafka.lock().unwrap().mark.clone();
    let decided = staged(&mut attempt).await;
    kafka.lock().unwrap().epoch += 1;
    let error = attempt.decide(decided).await.unwrap_err();
    assert!(error.may_pass(), "it finds out that it is fenced when it writes its mark again: {error}");
    assert_eq!((world.commits().await.len(), kafka.lock().unwrap().mark.clone()), (2, before), "before it decides");
    let mut next = begin(&world, &kafka, &[]).await.unwrap();
    commit(&mut next).await.unwrap();
    assert_eq!(transactions(), 5, "one for the mark, since nobody knows how old it is");
}

#[tokio::test(start_paused = true)]
async fn without_a_kafka_records_stay_where_they_are() {
    let (world, kafka) = (World::new(), Arc::default());
    unsent(&world, &kafka).await;
    let error = world.view().begin().await.err().expect("nobody to send them").to_string();
    assert!(error.contains("no Kafka"), "{error}");
    assert_eq!(world.staged().await.len(), 1);
}
