//! What becomes of a request to the store: it takes time both ways, gets lost, is refused, sent twice, and takes effect
//! although whoever sent it is stopped or dead.

use std::sync::Arc;
use std::time::Duration;

use object_store::path::Path;
use object_store::{Error, Result};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

use super::objects::path;
use super::points::{Doing, Point};
use super::process::Life;
use super::view::View;
use super::world::State;
use super::{Answer, Commit, Entry};

/// More requests than this in one schedule: something goes round in circles.
const OPERATIONS_MAX: u64 = 100_000;

/// What a request does at the store: at once, or the rest of it a little later.
pub enum Done<T> {
    Now(T),
    Then(Rest<T>),
}

type Rest<T> = Box<dyn FnOnce(&mut State) -> Result<T> + Send>;

pub type Effect<T> = Arc<dyn Fn(&mut State) -> Result<Done<T>> + Send + Sync>;

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    Done,
    Refused(Answer),
    RequestLost,
    AnswerLost,
    Twice,
    Late(Duration),
}

/// A request: what for, and what it needs.
pub struct Request<T> {
    pub path: String,
    pub doing: Doing,
    pub writes: bool,
    /// Fails if something is there.
    pub is_conditional: bool,
    pub effect: Effect<T>,
}

impl View {
    /// Asks the store, and returns when the answer is heard.
    pub async fn ask<T: Send + 'static>(&self, request: Request<T>) -> Result<T> {
        let Request { path, doing, writes, is_conditional, effect } = request;
        self.process.alive().await;
        self.strike(doing, false);
        self.process.alive().await;
        let fate = self.world.with(|state| {
            state.set_under_way(&self.attempt, doing);
            state.fate(writes, is_conditional)
        });
        self.say(|| {
            format!("{doing:?} {path}{}", if fate == Fate::Done { String::new() } else { format!(" [{fate:?}]") })
        });
        let _under_way = UnderWay { view: self, doing };
        let (tell, answer) = oneshot::channel();
        let view = self.clone();
        tokio::spawn(async move {
            view.world.latency().await;
            let result = view.meet(fate, doing, &path, &effect).await;
            view.strike(doing, true);
            view.world.latency().await;
            let _ = tell.send(result);
        });
        let result = answer.await.unwrap_or_else(|_| Err(Answer::Unavailable.error(&Path::default())));
        self.process.alive().await;
        if let Err(error) = &result {
            self.say(|| format!("{doing:?} answered: {error}"));
        }
        result
    }

    async fn meet<T: Send + 'static>(&self, fate: Fate, doing: Doing, text: &str, effect: &Effect<T>) -> Result<T> {
        let no_answer = || Answer::Unavailable.error(&path(text));
        let patience = Duration::from_secs(2);
        match fate {
            Fate::Done => self.serve(doing, text, effect).await,
            Fate::Refused(answer) => {
                let point = match (answer, doing) {
                    (Answer::Conflict, Doing::Deciding) => Some(Point::Conflict409),
                    (Answer::DiskFull, _) => Some(Point::DiskFull),
                    _ => None,
                };
                self.reach(point);
                Err(answer.error(&path(text)))
            }
            Fate::RequestLost => {
                sleep(patience).await;
                Err(no_answer())
            }
            Fate::AnswerLost => {
                let done = self.serve(doing, text, effect).await.is_ok();
                let point = match doing {
                    Doing::Deciding => Some(Point::CommitAnswerLost),
                    Doing::Publishing => Some(Point::CopyAnswerLost),
                    Doing::Ending => Some(Point::EndAnswerLost),
                    _ => None,
                };
                self.reach(point.filter(|_| done));
                sleep(patience).await;
                Err(no_answer())
            }
            Fate::Twice => {
                let _ = self.serve(doing, text, effect).await;
                self.serve(doing, text, effect).await
            }
            Fate::Late(pause) => {
                let (view, text, effect) = (self.clone(), text.to_owned(), Arc::clone(effect));
                tokio::spawn(async move {
                    sleep(pause).await;
                    let _ = view.serve(doing, &text, &effect).await;
                });
                sleep(patience).await;
                Err(no_answer())
            }
        }
    }

    async fn serve<T>(&self, doing: Doing, text: &str, effect: &Effect<T>) -> Result<T> {
        let done = self.world.with(|state| effect(state));
        let done = match done {
            Ok(Done::Now(done)) => Ok(done),
            Ok(Done::Then(rest)) => {
                self.world.latency().await;
                self.world.with(rest)
            }
            Err(error) => Err(error),
        };
        let outcome = if done.is_ok() { "done" } else { "not done" };
        self.say(|| format!("{doing:?} {text}: {outcome}"));
        if done.is_ok() && self.process.life() == Life::Dead {
            self.reach(Some(Point::EffectAfterDeath));
        }
        if let Err(Error::AlreadyExists { .. }) = &done {
            self.world.with(|state| state.count_taken(&self.attempt, doing, text));
        }
        done
    }

    fn strike(&self, doing: Doing, after: bool) {
        let blow = self.world.with(|state| state.strike(doing, after));
        if let Some(blow) = blow {
            self.world.deal(&self.process, blow);
        }
    }

    fn reach(&self, point: Option<Point>) {
        if let Some(point) = point {
            self.world.with(|state| state.figures.reach(point));
        }
    }

    fn say(&self, what: impl FnOnce() -> String) {
        self.world.say(|| format!("p{} {} {}", self.process.id, self.attempt, what()));
    }
}

impl State {
    fn set_under_way(&mut self, attempt: &str, doing: Doing) {
        self.figures.operations += 1;
        if self.figures.operations == OPERATIONS_MAX {
            self.is_wrong(format!("{OPERATIONS_MAX} requests in one schedule"));
        }
        if let Some(attempt) = self.attempts.get_mut(attempt) {
            attempt.under_way.push(doing);
        }
    }

    fn fate(&mut self, writes: bool, is_conditional: bool) -> Fate {
        let now = Instant::now();
        let until = |time: Option<Instant>| time.is_some_and(|time| now < time);
        let weather = self.weather.clone();
        let fate = if until(weather.outage_until) {
            if self.rng.bool() { Fate::Refused(Answer::Unavailable) } else { Fate::RequestLost }
        } else if writes && until(weather.disk_full_until) {
            Fate::Refused(Answer::DiskFull)
        } else if self.chance(weather.refused) {
            Fate::Refused(Answer::Unavailable)
        } else if is_conditional && self.chance(weather.conflict) {
            Fate::Refused(Answer::Conflict)
        } else if self.chance(weather.request_lost) {
            Fate::RequestLost
        } else if self.chance(weather.answer_lost) {
            Fate::AnswerLost
        } else if is_conditional && self.chance(weather.twice) {
            Fate::Twice
        } else if writes && self.chance(weather.late) {
            Fate::Late(Duration::from_millis(self.rng.u64(0..60_000)))
        } else {
            Fate::Done
        };
        self.figures.faults += u64::from(fate != Fate::Done);
        fate
    }

    /// A copy whose source is gone: by someone else, if the attempt itself has decided the file.
    pub fn count_gone(&mut self, attempt: &str, target: &str) {
        let commit = self.attempts.get(attempt).and_then(|attempt| attempt.commit.as_ref());
        let is_own = |commit: &Commit| commit.files.iter().any(|file| target.ends_with(&file.path));
        if commit.is_some_and(is_own) {
            self.figures.reach(Point::StageRemovedEarly);
        }
    }

    /// A create that found something.
    fn count_taken(&mut self, attempt: &str, doing: Doing, path: &str) {
        let Some(there) = self.objects.all.get(path) else { return };
        let Ok(there) = serde_json::from_slice::<Entry>(&there.bytes) else { return };
        if there.attempt() == attempt {
            self.figures.reach(Point::Own412);
        } else if doing == Doing::Claiming && matches!(there, Entry::Claim(_)) {
            self.figures.reach(Point::TwoClaims);
        }
    }
}

/// Ends when the answer is heard, or nobody waits for it any more.
struct UnderWay<'a> {
    view: &'a View,
    doing: Doing,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.view.world.with(|state| {
            let Some(attempt) = state.attempts.get_mut(&self.view.attempt) else { return };
            if let Some(at) = attempt.under_way.iter().position(|doing| *doing == self.doing) {
                attempt.under_way.swap_remove(at);
            }
        });
    }
}
