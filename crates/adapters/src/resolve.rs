//! Host names to addresses, as the system resolves them, on a thread of the control plane.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::thread;

use node::port::adapter::{Reply, Resolver};
use node::{Answer, Question};
use tokio::runtime::{Builder, Handle};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;

use crate::limits;

/// The system's resolver: `/etc/hosts`, DNS, or whatever the machine is set up for. Addresses only; no NAPTR, no SRV.
#[derive(Debug)]
pub struct System {
    runtime: Handle,
    room: Arc<Semaphore>,
    /// Dropped, it ends the thread.
    _thread: Option<oneshot::Sender<()>>,
}

impl System {
    /// A resolver with a thread of its own, which ends when the resolver is dropped.
    ///
    /// # Errors
    ///
    /// When the system gives no thread.
    pub fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_io().enable_time().max_blocking_threads(16).build()?;
        let handle = runtime.handle().clone();
        let (alive, ended) = oneshot::channel();
        thread::Builder::new().name("control".into()).spawn(move || {
            // An error only says that the resolver is gone, which is what is waited for.
            let _ = runtime.block_on(ended);
            // A name that is still being looked up must not hold the end up.
            runtime.shutdown_background();
        })?;
        Ok(Self { _thread: Some(alive), ..Self::on(handle) })
    }

    /// A resolver that works on somebody else's runtime.
    #[must_use]
    pub fn on(runtime: Handle) -> Self {
        Self { runtime, room: Arc::new(Semaphore::new(limits::RESOLVING)), _thread: None }
    }
}

impl Resolver for System {
    fn resolve(&self, question: Question, reply: Reply) {
        let Question::Resolve { host, port, transport } = question else {
            return reply(Answer::Failed("only names of hosts are resolved here".into()));
        };
        let Ok(room) = Arc::clone(&self.room).try_acquire_owned() else {
            return reply(Answer::Failed("too many names are being resolved".into()));
        };
        let port = port.unwrap_or(transport.default_port());
        self.runtime.spawn(async move {
            let answer = resolved(&host, port, tokio::net::lookup_host((&*host, port))).await;
            drop(room);
            reply(answer);
        });
    }
}

async fn resolved<A>(host: &str, port: u16, lookup: impl Future<Output = io::Result<A>>) -> Answer
where
    A: Iterator<Item = SocketAddr>,
{
    if let Ok(address) = host.trim_matches(['[', ']']).parse::<IpAddr>() {
        return Answer::Addresses(vec![SocketAddr::new(address, port)]);
    }
    match timeout(limits::RESOLVE, lookup).await {
        Err(_) => Answer::Failed(format!("{host} was not resolved within {:?}", limits::RESOLVE)),
        Ok(Err(error)) => Answer::Failed(format!("{host} cannot be resolved: {error}")),
        Ok(Ok(found)) => {
            let mut addresses: Vec<SocketAddr> = Vec::new();
            for address in found {
                if addresses.len() < limits::ADDRESSES && !addresses.contains(&address) {
                    addresses.push(address);
                }
            }
            Answer::Addresses(addresses)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use sip::transport::Transport;

    use super::*;

    fn ask(host: &str, port: Option<u16>) -> Answer {
        let resolver = System::start().unwrap();
        let (sender, answers) = mpsc::channel();
        let question = Question::Resolve { host: host.into(), port, transport: Transport::Tls };
        resolver.resolve(question, Box::new(move |answer| sender.send(answer).unwrap()));
        answers.recv().unwrap()
    }

    #[test]
    fn localhost_has_an_address_with_the_port_of_the_transport() {
        let Answer::Addresses(addresses) = ask("localhost", None) else { panic!("no addresses") };
        assert!(addresses.iter().any(|address| address.ip().is_loopback() && address.port() == 5061), "{addresses:?}");
    }

    #[test]
    fn an_address_is_its_own_answer() {
        assert_eq!(ask("192.0.2.7", Some(5070)), Answer::Addresses(vec![([192, 0, 2, 7], 5070).into()]));
        assert_eq!(ask("[2001:db8::1]", Some(5070)), Answer::Addresses(vec!["[2001:db8::1]:5070".parse().unwrap()]));
    }

    #[test]
    fn a_name_that_does_not_exist_fails_in_words() {
        let Answer::Failed(words) = ask("nobody.invalid", None) else { panic!("an answer") };
        assert!(words.contains("nobody.invalid"), "{words}");
    }

    #[test]
    fn another_question_fails() {
        let resolver = System::start().unwrap();
        let (sender, answers) = mpsc::channel();
        let question = Question::WhoIs(node::port::Who::Number("1".into()));
        resolver.resolve(question, Box::new(move |answer| sender.send(answer).unwrap()));
        assert!(matches!(answers.recv().unwrap(), Answer::Failed(_)));
    }
}
