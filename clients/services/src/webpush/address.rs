//! Which endpoints the gateway may contact. Devices choose endpoints, so
//! without this a device could make the gateway call into its own network.
//!
//! Owns the address rules and a resolver that applies them to the very
//! addresses a connection is opened to, which a name that changes its mind
//! between check and use cannot get around.

use std::error::Error;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use crate::limits::CONNECT_TIMEOUT;

/// Which endpoints may be contacted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// `https` to public addresses.
    #[default]
    PublicHttps,
    /// Anything, `http` and private addresses too. For development and tests.
    AllowInsecure,
}

/// Why an endpoint is not contacted. Never quotes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// `http`.
    #[error("the endpoint is not an https address")]
    NotHttps,
    /// A literal address that is not public.
    #[error("the endpoint is not a public address")]
    NotPublic,
    /// A name that never leads to a service of the public internet.
    #[error("the endpoint's name is reserved and leads to no push service")]
    Reserved,
    /// A name with an address that is not public, at the moment.
    #[error("the endpoint's name leads to an address that is not public")]
    ResolvesToPrivate,
    /// No address, at the moment.
    #[error("the endpoint's name does not resolve")]
    Unresolved,
}

/// Last labels that no name of the internet has, whatever a resolver says
/// (RFC 2606, RFC 6761): they come from examples and from tests.
const RESERVED: [&str; 4] = ["example", "invalid", "localhost", "test"];

/// Ends of names that lead into local or other networks only (RFC 6762,
/// RFC 7686, RFC 8375, RFC 9476 and ICANN's `internal`).
const LOCAL: [&str; 5] = ["alt", "home.arpa", "internal", "local", "onion"];

/// Whether the name is `end`, or below it.
fn is_within(name: &str, end: &str) -> bool {
    name.strip_suffix(end).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// Development may call its own machine by name.
fn is_reserved(name: &str, policy: Policy) -> bool {
    // A dot at the end changes nothing; the URL is in lower case already.
    let name = name.strip_suffix('.').unwrap_or(name);
    match policy {
        Policy::AllowInsecure if name == "localhost" => false,
        Policy::AllowInsecure => RESERVED.iter().any(|end| is_within(name, end)),
        Policy::PublicHttps => RESERVED.iter().chain(&LOCAL).any(|end| is_within(name, end)),
    }
}

/// Checks what the address itself shows: scheme, reserved names and literal
/// addresses.
pub fn check_literal(endpoint: &Url, policy: Policy) -> Result<(), EndpointError> {
    if let Some(Host::Domain(name)) = endpoint.host()
        && is_reserved(name, policy)
    {
        return Err(EndpointError::Reserved);
    }
    if policy == Policy::AllowInsecure {
        return Ok(());
    }
    if endpoint.scheme() != "https" {
        return Err(EndpointError::NotHttps);
    }
    match endpoint.host() {
        Some(Host::Ipv4(ip)) if !is_public(ip.into()) => Err(EndpointError::NotPublic),
        Some(Host::Ipv6(ip)) if !is_public(ip.into()) => Err(EndpointError::NotPublic),
        Some(_) => Ok(()),
        None => Err(EndpointError::NotPublic),
    }
}

/// Checks what [`check_literal`] does, and every address the name has now.
pub async fn check(endpoint: &Url, policy: Policy) -> Result<(), EndpointError> {
    check_literal(endpoint, policy)?;
    match endpoint.host() {
        Some(Host::Domain(name)) => lookup(name, policy).await.map(drop),
        _ => Ok(()),
    }
}

async fn lookup(name: &str, policy: Policy) -> Result<Vec<SocketAddr>, EndpointError> {
    // The port is the caller's: reqwest replaces 0 by the one in the address.
    let found = tokio::time::timeout(CONNECT_TIMEOUT, tokio::net::lookup_host((name, 0))).await;
    match found {
        Ok(Ok(found)) => admit(found.collect(), policy),
        Ok(Err(_)) | Err(_) => Err(EndpointError::Unresolved),
    }
}

/// All addresses or none: a name that mixes public and private ones is up to
/// something, and picking the public ones would depend on chance.
fn admit(found: Vec<SocketAddr>, policy: Policy) -> Result<Vec<SocketAddr>, EndpointError> {
    if found.is_empty() {
        return Err(EndpointError::Unresolved);
    }
    let all_public = found.iter().all(|address| is_public(address.ip()));
    if policy == Policy::PublicHttps && !all_public {
        return Err(EndpointError::ResolvesToPrivate);
    }
    Ok(found)
}

/// The system's resolver, minus names that lead into private networks.
#[derive(Debug)]
pub(crate) struct PublicResolver {
    policy: Policy,
}

impl PublicResolver {
    pub(crate) const fn new(policy: Policy) -> Self {
        Self { policy }
    }
}

impl Resolve for PublicResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let policy = self.policy;
        Box::pin(async move {
            let found = lookup(name.as_str(), policy).await.map_err(Blocked)?;
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// Carries the resolver's verdict through reqwest's chain of causes.
#[derive(Debug)]
struct Blocked(EndpointError);

impl fmt::Display for Blocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for Blocked {}

/// The resolver's verdict, if that is why a request failed.
pub(crate) fn blocked(error: &(dyn Error + 'static)) -> Option<EndpointError> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(Blocked(verdict)) = error.downcast_ref() {
            return Some(*verdict);
        }
        cause = error.source();
    }
    None
}

/// IPv4 networks that are not the public internet: first address and length
/// of the prefix (IANA's registry of special-purpose addresses, RFC 6890).
const SPECIAL_V4: [(Ipv4Addr, u32); 15] = [
    (Ipv4Addr::UNSPECIFIED, 8),           // this network
    (Ipv4Addr::new(10, 0, 0, 0), 8),      // private
    (Ipv4Addr::new(100, 64, 0, 0), 10),   // shared by carriers' customers
    (Ipv4Addr::new(127, 0, 0, 0), 8),     // loopback
    (Ipv4Addr::new(169, 254, 0, 0), 16),  // link-local; clouds' metadata
    (Ipv4Addr::new(172, 16, 0, 0), 12),   // private
    (Ipv4Addr::new(192, 0, 0, 0), 24),    // protocol assignments
    (Ipv4Addr::new(192, 0, 2, 0), 24),    // documentation
    (Ipv4Addr::new(192, 88, 99, 0), 24),  // 6to4 relays
    (Ipv4Addr::new(192, 168, 0, 0), 16),  // private
    (Ipv4Addr::new(198, 18, 0, 0), 15),   // benchmarks
    (Ipv4Addr::new(198, 51, 100, 0), 24), // documentation
    (Ipv4Addr::new(203, 0, 113, 0), 24),  // documentation
    (Ipv4Addr::new(224, 0, 0, 0), 4),     // multicast
    (Ipv4Addr::new(240, 0, 0, 0), 4),     // reserved
];

/// Parts of IPv6's global unicast range, `2000::/3`, that are not the public
/// internet either. Everything outside that range is not.
const SPECIAL_V6: [(Ipv6Addr, u32); 4] = [
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23), // protocol assignments, Teredo
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32), // documentation
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16), // 6to4
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20), // documentation
];

/// Prefixes of 96 bits before an IPv4 address: mapped, and translated for
/// networks that have no IPv4 (RFC 6052).
const AROUND_V4: [Ipv6Addr; 2] =
    [Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0)];

/// Whether the address is one of the public internet.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let bits = u32::from(address);
    let within = |&(network, prefix): &(Ipv4Addr, u32)| {
        (bits ^ u32::from(network)).leading_zeros() >= prefix
    };
    !SPECIAL_V4.iter().any(within)
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let bits = u128::from(address);
    let shared = |network: Ipv6Addr| (bits ^ u128::from(network)).leading_zeros();
    if AROUND_V4.into_iter().any(|network| shared(network) >= 96) {
        let [.., a, b, c, d] = address.octets();
        return is_public_v4(Ipv4Addr::new(a, b, c, d));
    }
    let is_global_unicast = shared(Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0)) >= 3;
    is_global_unicast && !SPECIAL_V6.iter().any(|&(network, prefix)| shared(network) >= prefix)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn public(text: &str) -> bool {
        is_public(text.parse().unwrap())
    }

    #[test]
    fn special_addresses_are_not_public() {
        for address in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.8.8.8",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.9.9",
            "198.51.100.7",
            "203.0.113.7",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::127.0.0.1",
            "64:ff9b::10.0.0.1",
            "64:ff9b:1::8.8.8.8",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2002:a00:1::1",
            "3fff::1",
            "5f00::1",
            "fc00::1",
            "fd12:3456::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!public(address), "{address}");
        }
    }

    #[test]
    fn ordinary_addresses_are_public() {
        for address in [
            "8.8.8.8",
            "100.63.255.255",
            "100.128.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "198.17.0.1",
            "223.255.255.255",
            "2606:4700::1111",
            "2a00:1450:4001::1",
            "2001:4860::1",
            "::ffff:8.8.8.8",
            "64:ff9b::8.8.8.8",
        ] {
            assert!(public(address), "{address}");
        }
    }

    #[test]
    fn the_address_itself_is_checked_in_every_spelling() {
        let check = |text: &str| check_literal(&Url::parse(text).unwrap(), Policy::PublicHttps);
        assert_eq!(check("https://push.example.com/x"), Ok(()));
        assert_eq!(check("https://8.8.8.8/x"), Ok(()));
        assert_eq!(check("http://push.example.com/x"), Err(EndpointError::NotHttps));
        for host in
            ["127.0.0.1", "2130706433", "0x7f.1", "017700000001", "[::1]", "[::ffff:7f00:1]"]
        {
            assert_eq!(
                check(&format!("https://{host}/x")),
                Err(EndpointError::NotPublic),
                "{host}"
            );
        }
        let insecure = Url::parse("http://127.0.0.1/x").unwrap();
        assert_eq!(check_literal(&insecure, Policy::AllowInsecure), Ok(()));
    }

    #[test]
    fn names_that_lead_nowhere_are_reserved() {
        let check = |host: &str, policy| {
            check_literal(&Url::parse(&format!("https://{host}/x")).unwrap(), policy)
        };
        for host in ["push.invalid", "a.b.test", "PUSH.Example", "x.localhost.", "invalid"] {
            for policy in [Policy::PublicHttps, Policy::AllowInsecure] {
                assert_eq!(check(host, policy), Err(EndpointError::Reserved), "{host}");
            }
        }
        for host in ["localhost", "localhost.", "box.local", "a.internal", "x.home.arpa"] {
            assert_eq!(check(host, Policy::PublicHttps), Err(EndpointError::Reserved), "{host}");
            assert_eq!(check(host, Policy::AllowInsecure), Ok(()), "{host}");
        }
        for host in ["latest.net", "mytest", "example.org", "test.example.com", "home-arpa.net"] {
            assert_eq!(check(host, Policy::PublicHttps), Ok(()), "{host}");
        }
    }

    #[test]
    fn one_private_address_spoils_a_name() {
        let found =
            |list: &[&str]| list.iter().map(|ip| SocketAddr::new(ip.parse().unwrap(), 0)).collect();
        let mixed = || found(&["8.8.8.8", "10.0.0.1"]);
        assert!(admit(found(&["8.8.8.8"]), Policy::PublicHttps).is_ok());
        assert_eq!(admit(mixed(), Policy::PublicHttps), Err(EndpointError::ResolvesToPrivate));
        assert!(admit(mixed(), Policy::AllowInsecure).is_ok());
        assert_eq!(admit(found(&[]), Policy::AllowInsecure), Err(EndpointError::Unresolved));
    }
}
