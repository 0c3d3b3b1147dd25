//! A loopback network for each test: 127.A.B.0/24, claimed for as long as the test runs.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr as UnixAddress, UnixListener};
use std::process;

/// The port that every party takes for UDP and TCP. Below the ports that the system gives out by itself.
pub const SIP: u16 = 25060;

/// The port that every party takes for TLS.
pub const SIPS: u16 = 25061;

/// A network of 254 addresses that no other test uses now, in this process or another.
#[derive(Debug)]
pub struct Network {
    first: u8,
    second: u8,
    _claim: UnixListener,
}

impl Network {
    /// Claims one. The claim is a name in the kernel, so it ends with the process at the latest.
    #[must_use]
    pub fn claim() -> Self {
        let start = process::id();
        (0..16_384_u32)
            .find_map(|step| {
                let number = start.wrapping_mul(7).wrapping_add(step) % 16_384;
                let [.., high, second] = number.to_be_bytes();
                let first = 64 + high;
                let name = UnixAddress::from_abstract_name(format!("offhook-tests/127.{first}.{second}")).ok()?;
                let claim = UnixListener::bind_addr(&name).ok()?;
                Some(Self { first, second, _claim: claim })
            })
            .expect("a loopback network is free")
    }

    /// The address of one of its hosts.
    #[must_use]
    pub fn host(&self, number: u8) -> Ipv4Addr {
        Ipv4Addr::new(127, self.first, self.second, number)
    }

    /// Where one of its hosts takes SIP over UDP and TCP.
    #[must_use]
    pub fn sip(&self, number: u8) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(self.host(number)), SIP)
    }

    /// Where one of its hosts takes SIP over TLS.
    #[must_use]
    pub fn sips(&self, number: u8) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(self.host(number)), SIPS)
    }
}
