//! Who is at the other end of a request, as far as its connection tells, and
//! what the request is called between the two.

use std::net::{IpAddr, Ipv6Addr};

use http::{HeaderMap, HeaderName, HeaderValue};
use tokio_util::sync::CancellationToken;

/// Echoed where a client sent a usable one, made otherwise.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longest request id echoed.
const REQUEST_ID_BYTES: usize = 128;

/// The id of a request with these headers: every answer carries one.
pub fn request_id(headers: &HeaderMap) -> HeaderValue {
    let usable = |id: &&HeaderValue| {
        (1..=REQUEST_ID_BYTES).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic)
    };
    headers.get(REQUEST_ID).filter(usable).cloned().unwrap_or_else(|| {
        HeaderValue::from_str(&uuid::Uuid::now_v7().to_string())
            .expect("a UUID is hexadecimal digits and dashes")
    })
}

/// What a client counts as, wherever each client has a share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// An address; of IPv6 its network, since a client has a whole /64 to
    /// choose from.
    Network(IpAddr),
    /// Loopback, and proxies that name no client: they speak for many.
    Many,
    /// The clients of a proxy that names them in a way that cannot be read,
    /// all together: whoever can make a header unreadable gains no share by it.
    Unreadable,
}

impl Origin {
    /// What an address counts as.
    pub fn of(address: IpAddr) -> Self {
        let address = address.to_canonical();
        if address.is_loopback() {
            return Self::Many;
        }
        Self::Network(match address {
            IpAddr::V4(_) => address,
            IpAddr::V6(address) => {
                IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)))
            }
        })
    }
}

/// In the extensions of every request.
#[derive(Clone, Debug)]
pub struct Peer {
    /// What the client counts as.
    pub origin: Origin,
    /// Cancelled when the client has sent its last byte while its request is
    /// being answered: it may have gone, or wait for the answer. What only
    /// waits then answers at once.
    pub finished: CancellationToken,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_counts_by_its_network_and_loopback_as_many() {
        let of = |address: &str| Origin::of(address.parse().unwrap());
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
        assert_eq!(of("2001:db8:0:1::1"), of("2001:db8:0:1:ffff::2"));
        assert_ne!(of("2001:db8:0:1::1"), of("2001:db8:0:2::1"));
        for loopback in ["127.0.0.1", "::1", "::ffff:127.0.0.1"] {
            assert_eq!(of(loopback), Origin::Many);
        }
    }
}
