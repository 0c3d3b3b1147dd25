//! What one PUBLISH with one NOTIFY costs before anybody reads a word of it: the same datagrams and the same write, by a thread
//! that knows no SIP.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::thread;
use std::time::Duration;

use crate::load::socket::{self, Batch};

/// Octets of the datagrams, as they are in the comparison, and of what is written for each PUBLISH.
const PUBLISH: usize = 1_000;
const NOTIFY: usize = 1_800;
const ANSWER: usize = 300;
const WRITTEN: usize = 560;

/// What the datagrams begin with.
const PUBLISHED: &str = "P";
const NOTIFIED: &str = "N";
const ANSWERED: &str = "A";
const OVER: &str = "O";

/// How long nothing may come: nothing is sent again, as nothing gets lost on loopback while one is in flight.
const PATIENCE: Duration = Duration::from_secs(5);

/// Does it so many times, one in flight; the processor time of the serving thread for each.
pub(crate) fn cost(operations: u32, file: &Path) -> io::Result<Duration> {
    let (server, client) = (socket::bind()?, socket::bind()?);
    let at = server.local_addr()?;
    thread::scope(|scope| {
        let serving = scope.spawn(|| serve(&server, file));
        let asked = ask(&client, at, operations);
        client.send_to(OVER.as_bytes(), at)?;
        let spent = serving.join().unwrap_or_else(|_| Err(ErrorKind::Other.into()))?;
        asked.map(|()| spent / operations)
    })
}

/// Writes and answers until it is over; the processor time that this thread spent.
fn serve(socket: &UdpSocket, file: &Path) -> io::Result<Duration> {
    let mut log = File::create(file)?;
    let (notify, answer) = (datagram(NOTIFIED, NOTIFY), datagram(ANSWERED, ANSWER));
    let written = [b'w'; WRITTEN];
    let mut batch = Batch::default();
    let before = on_processor()?;
    loop {
        for number in 0..arrived(socket, &mut batch)? {
            match batch.text(number) {
                Some(text) if text.starts_with(PUBLISHED) => {
                    log.write_all(&written)?;
                    batch.answer(number, |into, _| notify.clone_into(into));
                    batch.answer(number, |into, _| answer.clone_into(into));
                }
                Some(text) if text.starts_with(OVER) => return Ok(on_processor()?.saturating_sub(before)),
                _ => {}
            }
        }
        batch.send(socket)?;
    }
}

/// Publishes, and answers each NOTIFY.
fn ask(socket: &UdpSocket, at: SocketAddr, operations: u32) -> io::Result<()> {
    let (publish, answer) = (datagram(PUBLISHED, PUBLISH), datagram(ANSWERED, ANSWER));
    let mut batch = Batch::default();
    for _ in 0..operations {
        socket.send_to(publish.as_bytes(), at)?;
        let mut awaited = 2;
        while awaited > 0 {
            for number in 0..arrived(socket, &mut batch)? {
                awaited -= 1;
                if batch.text(number).is_some_and(|text| text.starts_with(NOTIFIED)) {
                    batch.answer(number, |into, _| answer.clone_into(into));
                }
            }
            batch.send(socket)?;
        }
    }
    Ok(())
}

/// Waits until something is there; how many datagrams that are.
fn arrived(socket: &UdpSocket, batch: &mut Batch) -> io::Result<usize> {
    socket::wait([socket, socket], PATIENCE);
    match batch.take(socket)? {
        0 => Err(ErrorKind::TimedOut.into()),
        count => Ok(count),
    }
}

fn datagram(mark: &str, octets: usize) -> String {
    format!("{mark}{:1$}", "", octets - mark.len())
}

/// The time that this thread has spent on a processor.
fn on_processor() -> io::Result<Duration> {
    let text = fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanoseconds = text.split_ascii_whitespace().next().and_then(|nanoseconds| nanoseconds.parse().ok());
    nanoseconds.map(Duration::from_nanos).ok_or_else(|| ErrorKind::InvalidData.into())
}
