//! Where a host is reached (RFC 3263 section 4): NAPTR, SRV and addresses, in the order in which they are to be tried.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};

use node::port::{Place, Resolve};
use sip::Random;
use sip::transport::Transport;

use crate::limits;

/// One NAPTR record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Naptr {
    /// Records of a lower order come first.
    pub order: u16,
    /// Among those of one order, lower ones come first.
    pub preference: u16,
    /// `S` where SRV records follow.
    pub flags: String,
    /// Such as `SIP+D2T`.
    pub service: String,
    /// Where to look on.
    pub replacement: String,
}

/// One SRV record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Srv {
    /// Records of a lower priority come first.
    pub priority: u16,
    /// The share among those of one priority.
    pub weight: u16,
    /// The port.
    pub port: u16,
    /// The host; `.` where the service is not offered.
    pub target: String,
}

/// What the DNS knows. A name without records of a kind gives none of them; only addresses may fail.
pub trait Records {
    /// The NAPTR records of a name.
    fn naptr(&self, name: &str) -> impl Future<Output = Vec<Naptr>>;
    /// The SRV records of a name.
    fn srv(&self, name: &str) -> impl Future<Output = Vec<Srv>>;
    /// The addresses of a host.
    ///
    /// # Errors
    /// In words, when there are none.
    fn addresses(&self, host: &str) -> impl Future<Output = Result<Vec<IpAddr>, String>>;
}

/// Finds the places of a host.
///
/// # Errors
/// In words, when the name has no address at all.
pub async fn locate(resolve: &Resolve, records: &impl Records, random: &mut Random) -> Result<Vec<Place>, String> {
    if let Ok(address) = resolve.host.trim_matches(['[', ']']).parse() {
        return Ok(vec![resolve.place(address)]);
    }
    // A port in the URI rules out SRV, and with it NAPTR.
    if resolve.port.is_some() {
        return direct(resolve, records).await;
    }
    for (transport, name) in services(resolve, records).await {
        let hosts = weighed(records.srv(&name).await, random);
        let mut places: Vec<Place> = Vec::new();
        for srv in hosts {
            // A host without an address leaves the others to be tried.
            for ip in records.addresses(&srv.target).await.unwrap_or_default() {
                let place = Place { transport, address: SocketAddr::new(ip, srv.port) };
                if places.len() < limits::ADDRESSES && !places.contains(&place) {
                    places.push(place);
                }
            }
        }
        if !places.is_empty() {
            return Ok(places);
        }
    }
    direct(resolve, records).await
}

/// The addresses of the host itself.
async fn direct(resolve: &Resolve, records: &impl Records) -> Result<Vec<Place>, String> {
    let found = records.addresses(&resolve.host).await?;
    let mut places: Vec<Place> = Vec::new();
    for place in found.into_iter().map(|ip| resolve.place(ip)) {
        if places.len() < limits::ADDRESSES && !places.contains(&place) {
            places.push(place);
        }
    }
    Ok(places)
}

/// The names under which SRV records are looked for, in order.
async fn services(resolve: &Resolve, records: &impl Records) -> Vec<(Transport, String)> {
    let host = &resolve.host;
    let usual = |transport: Transport| match transport {
        Transport::Udp => (transport, format!("_sip._udp.{host}")),
        Transport::Tcp => (transport, format!("_sip._tcp.{host}")),
        Transport::Tls => (transport, format!("_sips._tcp.{host}")),
    };
    if let Some(transport) = resolve.transport {
        return vec![usual(if resolve.secure { Transport::Tls } else { transport })];
    }
    let ours =
        |transport: Transport| resolve.ours.contains(&transport) && (!resolve.secure || transport == Transport::Tls);
    let mut naptr = records.naptr(host).await;
    naptr.sort_by_key(|record| (record.order, record.preference));
    let offered = naptr.into_iter().filter(|record| record.flags.eq_ignore_ascii_case("s")).filter_map(|record| {
        let transport = match record.service.to_ascii_uppercase().as_str() {
            "SIP+D2U" => Transport::Udp,
            "SIP+D2T" => Transport::Tcp,
            "SIPS+D2T" => Transport::Tls,
            _ => return None,
        };
        ours(transport).then_some((transport, record.replacement))
    });
    let offered: Vec<_> = offered.collect();
    if !offered.is_empty() {
        return offered;
    }
    [Transport::Tls, Transport::Tcp, Transport::Udp]
        .into_iter()
        .filter(|transport| ours(*transport))
        .map(usual)
        .collect()
}

/// SRV records in the order in which they are tried: by priority, and within one by chance according to their weight
/// (RFC 2782).
fn weighed(records: Vec<Srv>, random: &mut Random) -> Vec<Srv> {
    let mut by_priority: BTreeMap<u16, Vec<Srv>> = BTreeMap::new();
    for record in records.into_iter().filter(|record| !record.target.trim_end_matches('.').is_empty()) {
        by_priority.entry(record.priority).or_default().push(record);
    }
    let mut ordered = Vec::new();
    for mut group in by_priority.into_values() {
        // Those of weight 0 first, so that they are drawn only where nothing else is.
        group.sort_by_key(|record| record.weight);
        while !group.is_empty() {
            let total: u64 = group.iter().map(|record| u64::from(record.weight)).sum();
            let drawn = random.below(total + 1);
            let mut sum = 0;
            let reached = group.iter().position(|record| {
                sum += u64::from(record.weight);
                sum >= drawn
            });
            ordered.push(group.remove(reached.unwrap_or(0)));
        }
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a zone file would say: NAPTR as `order preference flags service replacement`, SRV as `priority weight port target`.
    #[derive(Default)]
    struct Zone {
        naptr: Vec<(&'static str, &'static str)>,
        srv: Vec<(&'static str, &'static str)>,
        hosts: Vec<(&'static str, &'static str)>,
    }

    impl Records for Zone {
        async fn naptr(&self, name: &str) -> Vec<Naptr> {
            let own = self.naptr.iter().filter(|(own, _)| *own == name);
            own.map(|(_, text)| {
                let fields: Vec<&str> = text.split(' ').collect();
                Naptr {
                    order: fields[0].parse().unwrap(),
                    preference: fields[1].parse().unwrap(),
                    flags: fields[2].into(),
                    service: fields[3].into(),
                    replacement: fields[4].into(),
                }
            })
            .collect()
        }

        async fn srv(&self, name: &str) -> Vec<Srv> {
            let own = self.srv.iter().filter(|(own, _)| *own == name);
            own.map(|(_, text)| {
                let fields: Vec<&str> = text.split(' ').collect();
                let [priority, weight, port] = [0, 1, 2].map(|place| fields[place].parse().unwrap());
                Srv { priority, weight, port, target: fields[3].into() }
            })
            .collect()
        }

        async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, String> {
            let own: Vec<IpAddr> =
                self.hosts.iter().filter(|(own, _)| *own == host).map(|(_, ip)| ip.parse().unwrap()).collect();
            if own.is_empty() { Err(format!("{host} has no address")) } else { Ok(own) }
        }
    }

    const ALL: [Transport; 3] = [Transport::Udp, Transport::Tcp, Transport::Tls];

    fn ask(
        zone: &Zone,
        host: &str,
        port: Option<u16>,
        transport: Option<Transport>,
        secure: bool,
    ) -> Result<Vec<String>, String> {
        let resolve = Resolve { host: host.into(), port, transport, secure, ours: ALL.to_vec() };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let places = runtime.block_on(locate(&resolve, zone, &mut Random::from_number(1)))?;
        Ok(places.iter().map(|place| format!("{} {}", place.transport.uri_param(), place.address)).collect())
    }

    fn zone() -> Zone {
        Zone {
            naptr: vec![
                ("example.com", "50 50 s SIPS+D2T _sips._tcp.example.com"),
                ("example.com", "90 50 s SIP+D2T _sip._tcp.example.com"),
                ("example.com", "100 50 s SIP+D2U _sip._udp.example.com"),
            ],
            srv: vec![
                ("_sips._tcp.example.com", "0 1 5071 a.example.com"),
                ("_sips._tcp.example.com", "1 1 5072 b.example.com"),
                ("_sip._tcp.example.com", "0 1 5070 a.example.com"),
                ("_sip._udp.example.com", "0 1 5070 a.example.com"),
                ("_sip._udp.plain.example", "0 0 5080 a.example.com"),
                ("_sip._tcp.none.example", "0 0 0 ."),
            ],
            hosts: vec![
                ("a.example.com", "192.0.2.1"),
                ("a.example.com", "2001:db8::1"),
                ("b.example.com", "192.0.2.2"),
                ("example.com", "192.0.2.9"),
                ("none.example", "192.0.2.8"),
            ],
        }
    }

    #[test]
    fn naptr_says_the_transport_and_srv_host_and_port() {
        let all = ask(&zone(), "example.com", None, None, false).unwrap();
        assert_eq!(all, ["tls 192.0.2.1:5071", "tls [2001:db8::1]:5071", "tls 192.0.2.2:5072"]);
    }

    #[test]
    fn a_transport_in_the_uri_rules_out_naptr() {
        let all = ask(&zone(), "example.com", None, Some(Transport::Udp), false).unwrap();
        assert_eq!(all, ["udp 192.0.2.1:5070", "udp [2001:db8::1]:5070"]);
    }

    #[test]
    fn a_port_in_the_uri_rules_out_srv() {
        assert_eq!(ask(&zone(), "example.com", Some(5099), None, false).unwrap(), ["udp 192.0.2.9:5099"]);
        assert_eq!(ask(&zone(), "example.com", Some(5099), None, true).unwrap(), ["tls 192.0.2.9:5099"]);
    }

    #[test]
    fn sips_goes_over_tls_whatever_is_offered() {
        let all = ask(&zone(), "example.com", None, None, true).unwrap();
        assert!(all.iter().all(|place| place.starts_with("tls ")), "{all:?}");
        assert_eq!(ask(&zone(), "b.example.com", None, None, true).unwrap(), ["tls 192.0.2.2:5061"]);
    }

    #[test]
    fn without_naptr_the_srv_records_of_our_transports_are_looked_for() {
        let all = ask(&zone(), "plain.example", None, None, false).unwrap();
        assert_eq!(all, ["udp 192.0.2.1:5080", "udp [2001:db8::1]:5080"]);
    }

    #[test]
    fn without_srv_the_host_itself_is_asked_at_the_usual_port() {
        assert_eq!(ask(&zone(), "b.example.com", None, None, false).unwrap(), ["udp 192.0.2.2:5060"]);
        assert_eq!(ask(&zone(), "none.example", None, None, false).unwrap(), ["udp 192.0.2.8:5060"]);
    }

    #[test]
    fn an_address_is_its_own_answer() {
        assert_eq!(ask(&zone(), "192.0.2.7", Some(5070), None, false).unwrap(), ["udp 192.0.2.7:5070"]);
        assert_eq!(ask(&zone(), "[2001:db8::1]", None, None, true).unwrap(), ["tls [2001:db8::1]:5061"]);
    }

    #[test]
    fn a_name_without_any_address_fails_in_words() {
        assert_eq!(ask(&zone(), "nobody.invalid", None, None, false), Err("nobody.invalid has no address".into()));
    }

    #[test]
    fn weights_share_out_what_has_one_priority() {
        let srv = |weight, target: &str| Srv { priority: 0, weight, port: 1, target: target.into() };
        let mut random = Random::from_number(3);
        let mut first = BTreeMap::new();
        for _ in 0..10_000 {
            let order = weighed(vec![srv(0, "never"), srv(10, "seldom"), srv(90, "often")], &mut random);
            assert_eq!(order.len(), 3);
            *first.entry(order[0].target.clone()).or_insert(0_u32) += 1;
        }
        assert!(first["often"] > 8_500 && first["often"] < 9_300, "{first:?}");
        assert!(first["seldom"] > 700 && first["seldom"] < 1_300, "{first:?}");
    }
}
