//! A TCP proxy that misbehaves when told to: cuts, refuses, holds, slows down, loses answers, says 503, and does what a test
//! wants at the very moment at which a request comes.

mod http;

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use http::Request;

/// What the proxy does with connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Passes everything on.
    Pass,
    /// Closes new connections at once, as where nobody listens.
    Refuse,
    /// Keeps everything to itself, and passes it on when the mode changes: a network that swallows packets for a while.
    Hold,
    /// Answers 503 to every HTTP request.
    Unavailable,
    /// Passes requests on and cuts the connection when the answer comes: it was done, and nobody heard.
    LoseAnswers,
    /// Ends.
    Stopped,
}

/// How slow a link is.
#[derive(Debug, Clone, Copy, Default)]
pub struct Link {
    /// Added to whatever passes, in each direction.
    pub latency: Duration,
    /// Of each connection, in each direction; 0 is no limit.
    pub bytes_per_second: u64,
}

/// When a trap springs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// The request has come and has not been passed on.
    Before,
    /// It was done, and its answer has not been passed on.
    After,
}

/// What a trap does; it may take its time, for which that one request waits. `false` cuts the connection.
pub type Spring = Box<dyn FnOnce() -> bool + Send>;

/// A proxy on a port of its own; gone when dropped.
#[derive(Debug)]
pub struct Proxy {
    shared: Arc<Shared>,
    port: u16,
}

#[derive(Debug)]
struct Shared {
    upstream: Mutex<String>,
    mode: Mutex<Mode>,
    mode_changed: Condvar,
    link: Mutex<Link>,
    trap: Mutex<Option<Trap>>,
    /// Those that are open, by numbers of their own.
    connections: Mutex<HashMap<u64, TcpStream>>,
    /// How many there have been.
    count: AtomicU64,
    /// Connections refused, requests answered with 503, answers lost.
    faults: AtomicU64,
}

struct Trap {
    request: Request,
    /// All of these are in it.
    holding: Vec<String>,
    /// So many more of them pass before it springs.
    skip: u32,
    moment: Moment,
    spring: Spring,
}

impl Trap {
    fn is_for(&self, bytes: &[u8]) -> bool {
        let has = |text: &String| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        self.request.begins(bytes) && self.holding.iter().all(has)
    }
}

impl std::fmt::Debug for Trap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Trap({:?} {:?} after {})", self.moment, self.request, self.skip)
    }
}

impl Proxy {
    /// A proxy in front of `upstream` (`host:port`).
    pub fn before(upstream: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            upstream: Mutex::new(upstream.to_owned()),
            mode: Mutex::new(Mode::Pass),
            mode_changed: Condvar::new(),
            link: Mutex::default(),
            trap: Mutex::default(),
            connections: Mutex::default(),
            count: AtomicU64::new(0),
            faults: AtomicU64::new(0),
        });
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                let shared = Arc::clone(&accepting);
                match (connection, shared.mode()) {
                    (_, Mode::Stopped) => return,
                    (Ok(client), _) => drop(std::thread::spawn(move || shared.serve(client))),
                    (Err(_), _) => {}
                }
            }
        });
        Self { shared, port }
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `host:port` of where it listens.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Sends connections to come to another address: for a server that needs to know the proxy's port before it has its own.
    pub fn redirect(&self, upstream: &str) {
        upstream.clone_into(&mut lock(&self.shared.upstream));
    }

    /// Changes what is done from now on. Open connections are cut where the mode is about connections or requests.
    pub fn set(&self, mode: Mode) {
        *lock(&self.shared.mode) = mode;
        self.shared.mode_changed.notify_all();
        if matches!(mode, Mode::Refuse | Mode::Unavailable) {
            self.cut();
        }
    }

    /// Makes the link slow from now on, or fast again with the default.
    pub fn slow_down(&self, link: Link) {
        *lock(&self.shared.link) = link;
    }

    /// Cuts the connections that are open.
    pub fn cut(&self) {
        for (_, connection) in lock(&self.shared.connections).drain() {
            // One that has been closed meanwhile can't be shut down, and need not be.
            let _ = connection.shutdown(Shutdown::Both);
        }
    }

    /// Does something, once, when `skip` such requests have passed and another comes.
    pub fn trap(&self, request: Request, skip: u32, moment: Moment, spring: Spring) {
        *lock(&self.shared.trap) = Some(Trap { request, holding: Vec::new(), skip, moment, spring });
    }

    /// Does something, once, when such a request comes that has all of these texts in it, as far as it came with its first bytes: one of a
    /// few kilobytes did.
    pub fn trap_holding(&self, request: Request, holding: &[&str], moment: Moment, spring: Spring) {
        let holding = holding.iter().map(ToString::to_string).collect();
        *lock(&self.shared.trap) = Some(Trap { request, holding, skip: 0, moment, spring });
    }

    /// Takes the trap away; `false` if there is none any more, because it has sprung.
    pub fn disarm(&self) -> bool {
        lock(&self.shared.trap).take().is_some()
    }

    /// How often it has misbehaved: connections refused, requests answered with 503, answers lost.
    pub fn faults(&self) -> u64 {
        self.shared.faults.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.set(Mode::Stopped);
        self.cut();
        // The listening thread looks at the mode when somebody comes.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

impl Shared {
    fn mode(&self) -> Mode {
        *lock(&self.mode)
    }

    fn serve(self: Arc<Self>, client: TcpStream) {
        match self.mode() {
            Mode::Pass | Mode::LoseAnswers | Mode::Hold => self.pass(client),
            Mode::Refuse | Mode::Stopped => {
                self.faults.fetch_add(1, Ordering::SeqCst);
            }
            Mode::Unavailable => {
                if http::answer_unavailable(client).is_ok() {
                    self.faults.fetch_add(1, Ordering::SeqCst);
                }
            }
        }
    }

    fn pass(self: Arc<Self>, client: TcpStream) {
        let upstream = lock(&self.upstream).clone();
        let Ok(server) = TcpStream::connect(upstream) else { return };
        let (Ok(client_too), Ok(server_too), Ok(to_cut)) = (client.try_clone(), server.try_clone(), client.try_clone())
        else {
            return;
        };
        // Requests and answers of a few bytes should not wait for company.
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        lock(&self.connections).insert(number, to_cut);
        if self.mode() == Mode::Refuse || self.mode() == Mode::Unavailable {
            // The mode changed, and the connections were cut, before this one was among them.
            let _ = client.shutdown(Shutdown::Both);
        }
        let on_answer: Arc<Mutex<Option<Spring>>> = Arc::default();
        let (shared, for_answer) = (Arc::clone(&self), Arc::clone(&on_answer));
        std::thread::spawn(move || {
            copy(&client_too, &server_too, |request| {
                shared.carry(request.len());
                match shared.trapped(request) {
                    None => true,
                    Some((Moment::Before, spring)) => spring(),
                    Some((Moment::After, spring)) => {
                        *lock(&for_answer) = Some(spring);
                        true
                    }
                }
            });
        });
        copy(&server, &client, |answer| {
            self.carry(answer.len());
            let goes_on = lock(&on_answer).take().is_none_or(|spring| spring());
            let lost = self.mode() == Mode::LoseAnswers;
            self.faults.fetch_add(u64::from(lost), Ordering::SeqCst);
            goes_on && !lost
        });
        lock(&self.connections).remove(&number);
    }

    /// Takes the time that so many bytes take.
    fn carry(&self, bytes: usize) {
        let link = *lock(&self.link);
        let taken = bytes as u64 * 1_000_000 / link.bytes_per_second.max(1) * u64::from(link.bytes_per_second > 0);
        let time = link.latency + Duration::from_micros(taken);
        if !time.is_zero() {
            std::thread::sleep(time);
        }
        let held = self.mode_changed.wait_while(lock(&self.mode), |mode| *mode == Mode::Hold);
        drop(held.unwrap_or_else(PoisonError::into_inner));
    }

    /// What is to happen with this request, if it is the one.
    fn trapped(&self, bytes: &[u8]) -> Option<(Moment, Spring)> {
        let mut armed = lock(&self.trap);
        let trap = armed.as_mut().filter(|trap| trap.is_for(bytes))?;
        if trap.skip > 0 {
            trap.skip -= 1;
            return None;
        }
        armed.take().map(|trap| (trap.moment, trap.spring))
    }
}

/// A test that fails while it holds a lock leaves plain data behind.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Copies until one side ends or `passes` says no, then ends both.
fn copy(mut from: &TcpStream, mut to: &TcpStream, passes: impl Fn(&[u8]) -> bool) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if !passes(&buffer[..count]) || to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Instant;

    use super::*;

    /// A server that answers each line with the same line.
    fn echo() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        std::thread::spawn(move || {
            for connection in listener.incoming().map(Result::unwrap) {
                std::thread::spawn(move || copy(&connection, &connection, |_| true));
            }
        });
        address
    }

    fn ask(connection: &mut TcpStream, text: &str) -> Option<String> {
        connection.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        connection.write_all(text.as_bytes()).ok()?;
        let mut answer = vec![0; text.len()];
        connection.read_exact(&mut answer).ok()?;
        String::from_utf8(answer).ok()
    }

    /// A long run has more of them than a process may have open.
    #[test]
    fn connections_that_are_over_are_not_kept() {
        let proxy = Proxy::before(&echo());
        for _ in 0..5 {
            let mut connection = TcpStream::connect(proxy.address()).unwrap();
            assert_eq!(ask(&mut connection, "here").as_deref(), Some("here"));
        }
        let over = || lock(&proxy.shared.connections).is_empty().then_some(());
        super::super::wait::until(Duration::from_secs(30), "the connections to be forgotten", over);
    }

    #[test]
    fn passes_cuts_refuses_and_passes_again() {
        let proxy = Proxy::before(&echo());
        let connect = || TcpStream::connect(proxy.address()).unwrap();
        let mut first = connect();
        assert_eq!(ask(&mut first, "one").as_deref(), Some("one"));
        proxy.cut();
        assert_eq!(ask(&mut first, "two"), None, "cut");
        assert_eq!(ask(&mut connect(), "three").as_deref(), Some("three"), "a new connection passes");
        proxy.set(Mode::Refuse);
        assert_eq!(ask(&mut connect(), "four"), None, "refused");
        proxy.set(Mode::Pass);
        assert_eq!(ask(&mut connect(), "five").as_deref(), Some("five"));
    }

    #[test]
    fn holds_what_comes_and_lets_it_go_later() {
        let proxy = Proxy::before(&echo());
        let mut connection = TcpStream::connect(proxy.address()).unwrap();
        proxy.set(Mode::Hold);
        connection.write_all(b"late").unwrap();
        connection.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let mut answer = [0; 4];
        assert!(connection.read_exact(&mut answer).is_err(), "it was to be held");
        proxy.set(Mode::Pass);
        connection.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        connection.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"late");
    }

    #[test]
    fn a_slow_link_takes_its_time_both_ways() {
        let proxy = Proxy::before(&echo());
        let mut connection = TcpStream::connect(proxy.address()).unwrap();
        proxy.slow_down(Link { latency: Duration::from_millis(30), bytes_per_second: 100 });
        let start = Instant::now();
        assert_eq!(ask(&mut connection, "five.").as_deref(), Some("five."));
        assert!(start.elapsed() >= Duration::from_millis(2 * (30 + 50)), "it took {:?}", start.elapsed());
    }

    #[test]
    fn loses_the_answer_but_not_the_request() {
        let upstream = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = Proxy::before(&upstream.local_addr().unwrap().to_string());
        proxy.set(Mode::LoseAnswers);
        let asked = std::thread::spawn(move || {
            let mut connection = upstream.accept().unwrap().0;
            let mut request = [0; 4];
            connection.read_exact(&mut request).unwrap();
            connection.write_all(b"done").unwrap();
            request
        });
        let answer = ask(&mut TcpStream::connect(proxy.address()).unwrap(), "work");
        assert_eq!((answer, &asked.join().unwrap(), proxy.faults()), (None, b"work", 1));
    }

    #[test]
    fn a_trap_springs_at_the_request_it_was_set_for_before_or_after_it_was_done() {
        const PUT: &str = "PUT /b/_rillgate/p/t/0/log/1.json HTTP/1.1\r\n\r\n";
        for (moment, goes_on) in [(Moment::Before, true), (Moment::Before, false), (Moment::After, false)] {
            let proxy = Proxy::before(&echo());
            let (tell, sprung) = mpsc::channel();
            let spring = move || tell.send(()).is_ok() && goes_on;
            proxy.trap(Request::Entry, 1, moment, Box::new(spring));
            let mut connection = TcpStream::connect(proxy.address()).unwrap();
            assert_eq!(ask(&mut connection, "GET /log/ HTTP/1.1\r\n\r\n").map(|answer| answer.len()), Some(22));
            assert!(ask(&mut connection, PUT).is_some(), "the first one passes");
            assert!(sprung.try_recv().is_err());
            assert_eq!(ask(&mut connection, PUT).is_some(), goes_on, "{moment:?}");
            sprung.recv().unwrap();
            assert!(!proxy.disarm(), "it springs once");
        }
    }

    #[test]
    fn a_trap_for_what_a_request_holds_lets_others_pass() {
        let proxy = Proxy::before(&echo());
        proxy.trap_holding(Request::Event, &["live", "00ff"], Moment::Before, Box::new(|| false));
        let mut connection = TcpStream::connect(proxy.address()).unwrap();
        let mut put =
            |body: &str| ask(&mut connection, &format!("PUT /b/_rillgate/%40swaps/p/1.json HTTP/1.1\r\n\r\n{body}"));
        assert!(put("{live: 00fe}").is_some() && put("{out: 00ff}").is_some());
        assert!(put("{live: 00ff}").is_none());
    }

    #[test]
    fn answers_503_to_a_request_with_a_body() {
        let proxy = Proxy::before("127.0.0.1:9");
        proxy.set(Mode::Unavailable);
        let mut connection = TcpStream::connect(proxy.address()).unwrap();
        connection.write_all(b"PUT /b/k HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n").unwrap();
        connection.write_all(&[7; 100_000]).unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
        // Counted after the answer is on its way.
        super::super::wait::until(Duration::from_secs(10), "the fault to be counted", || {
            (proxy.faults() == 1).then_some(())
        });
    }
}
