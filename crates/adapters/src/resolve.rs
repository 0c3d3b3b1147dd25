//! Host names to places: addresses as the system resolves them, NAPTR and SRV by the DNS, on a thread of the control plane.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::thread;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::RData;
use node::port::adapter::{Reply, Resolver};
use node::{Answer, Question};
use sip::Random;
use tokio::runtime::{Builder, Handle};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;

use crate::limits;
use crate::locate::{Naptr, Records, Srv, locate};

/// The machine's resolver: addresses from `/etc/hosts`, DNS, or whatever it is set up for; NAPTR and SRV from its name servers.
pub struct System {
    runtime: Handle,
    room: Arc<Semaphore>,
    names: Arc<Names>,
    /// For the weights of SRV records.
    random: Arc<Mutex<Random>>,
    /// Dropped, it ends the thread.
    _thread: oneshot::Sender<()>,
}

impl std::fmt::Debug for System {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("System").field("servers", &self.names.servers).finish_non_exhaustive()
    }
}

impl System {
    /// A resolver with a thread of its own, which ends when the resolver is dropped. It asks these name servers, for
    /// addresses too; where none is named, those of the system, and for addresses the system itself.
    ///
    /// # Errors
    ///
    /// When the system gives no thread or no randomness.
    pub fn start(servers: Vec<SocketAddr>) -> io::Result<Self> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(io::Error::other)?;
        let random = Random::from_seed(seed);
        let runtime = Builder::new_current_thread().enable_io().enable_time().max_blocking_threads(16).build()?;
        let guard = runtime.enter();
        let names = Arc::new(Names { dns: dns(&servers), servers });
        drop(guard);
        let handle = runtime.handle().clone();
        let (alive, ended) = oneshot::channel();
        thread::Builder::new().name("control".into()).spawn(move || {
            // An error only says that the resolver is gone, which is what is waited for.
            let _ = runtime.block_on(ended);
            // A name that is still being looked up must not hold the end up.
            runtime.shutdown_background();
        })?;
        let room = Arc::new(Semaphore::new(limits::RESOLVING));
        Ok(Self { runtime: handle, room, names, random: Arc::new(Mutex::new(random)), _thread: alive })
    }
}

impl Resolver for System {
    fn resolve(&self, question: Question, reply: Reply) {
        let Question::Resolve(resolve) = question else {
            return reply(Answer::Failed("only names of hosts are resolved here".into()));
        };
        let Ok(room) = Arc::clone(&self.room).try_acquire_owned() else {
            return reply(Answer::Failed("too many names are being resolved".into()));
        };
        let names = Arc::clone(&self.names);
        // Whoever panicked with it has left it as it was.
        let mut random =
            Random::from_number(self.random.lock().unwrap_or_else(std::sync::PoisonError::into_inner).u64());
        self.runtime.spawn(async move {
            let answer = match timeout(limits::RESOLVE, locate(&resolve, &*names, &mut random)).await {
                Err(_) => Answer::Failed(format!("{} was not resolved within {:?}", resolve.host, limits::RESOLVE)),
                Ok(Err(words)) => Answer::Failed(words),
                Ok(Ok(places)) => Answer::Places(places),
            };
            drop(room);
            reply(answer);
        });
    }
}

struct Names {
    servers: Vec<SocketAddr>,
    /// None where the machine names no server.
    dns: Option<TokioResolver>,
}

fn dns(servers: &[SocketAddr]) -> Option<TokioResolver> {
    let builder = if servers.is_empty() {
        TokioResolver::builder_tokio().ok()?
    } else {
        let named = servers.iter().map(|server| {
            let mut connections = vec![ConnectionConfig::udp(), ConnectionConfig::tcp()];
            for connection in &mut connections {
                connection.port = server.port();
            }
            NameServerConfig::new(server.ip(), true, connections)
        });
        let config = ResolverConfig::from_parts(None, Vec::new(), named.collect());
        TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
    };
    builder.build().ok()
}

/// A name that no search list changes.
fn absolute(name: &str) -> String {
    format!("{}.", name.trim_end_matches('.'))
}

fn plain(name: &impl ToString) -> String {
    let name = name.to_string();
    name.strip_suffix('.').filter(|rest| !rest.is_empty()).map_or(name.clone(), str::to_owned)
}

impl Records for Names {
    async fn naptr(&self, name: &str) -> Vec<Naptr> {
        let Some(dns) = &self.dns else { return Vec::new() };
        let Ok(found) = dns.lookup(absolute(name), hickory_resolver::proto::rr::RecordType::NAPTR).await else {
            return Vec::new();
        };
        let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
        let records = found.answers().iter().filter_map(|record| match &record.data {
            RData::NAPTR(naptr) => Some(Naptr {
                order: naptr.order,
                preference: naptr.preference,
                flags: text(&naptr.flags),
                service: text(&naptr.services),
                replacement: plain(&naptr.replacement),
            }),
            _ => None,
        });
        records.take(limits::RECORDS).collect()
    }

    async fn srv(&self, name: &str) -> Vec<Srv> {
        let Some(dns) = &self.dns else { return Vec::new() };
        let Ok(found) = dns.lookup(absolute(name), hickory_resolver::proto::rr::RecordType::SRV).await else {
            return Vec::new();
        };
        let records = found.answers().iter().filter_map(|record| match &record.data {
            RData::SRV(srv) => {
                Some(Srv { priority: srv.priority, weight: srv.weight, port: srv.port, target: plain(&srv.target) })
            }
            _ => None,
        });
        records.take(limits::RECORDS).collect()
    }

    async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, String> {
        let failed = |error: &dyn std::fmt::Display| format!("{host} cannot be resolved: {error}");
        match &self.dns {
            Some(dns) if !self.servers.is_empty() => {
                let found = dns.lookup_ip(absolute(host)).await.map_err(|error| failed(&error))?;
                Ok(found.iter().take(limits::ADDRESSES).collect())
            }
            _ => {
                let found = tokio::net::lookup_host((host, 0)).await.map_err(|error| failed(&error))?;
                let mut addresses: Vec<IpAddr> = Vec::new();
                for ip in found.map(|address| address.ip()) {
                    if addresses.len() < limits::ADDRESSES && !addresses.contains(&ip) {
                        addresses.push(ip);
                    }
                }
                Ok(addresses)
            }
        }
    }
}
