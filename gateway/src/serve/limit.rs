//! How many connections are open, in all and by address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ipnet::IpNet;

use crate::hub::peer::Origin;
use crate::metrics::label::ConnectionRefusal;
use crate::metrics::{Held, Metrics};

/// Counts open connections and refuses those beyond a limit.
#[derive(Debug)]
pub(crate) struct Connections {
    total: usize,
    per_address: usize,
    /// Networks that many clients come through.
    proxies: Arc<[IpNet]>,
    open: Mutex<Open>,
    metrics: Metrics,
}

#[derive(Debug, Default)]
struct Open {
    total: usize,
    by_origin: HashMap<Origin, usize>,
}

impl Connections {
    pub(crate) fn new(
        total: usize,
        per_address: usize,
        proxies: Arc<[IpNet]>,
        metrics: &Metrics,
    ) -> Self {
        let metrics = metrics.clone();
        Self { total, per_address, proxies, open: Mutex::default(), metrics }
    }

    /// Counts the connection for as long as the permit lives.
    pub(crate) fn admit(self: &Arc<Self>, peer: IpAddr) -> Result<Permit, ConnectionRefusal> {
        let origin = self.origin(peer);
        let mut open = self.lock();
        if open.total >= self.total {
            return Err(ConnectionRefusal::Total);
        }
        self.count(&mut open, origin)?;
        open.total += 1;
        let held = Held::in_gauge(&self.metrics.connections);
        Ok(Permit { place: ClientPlace { connections: Arc::clone(self), origin }, _held: held })
    }

    /// Counts a client that a proxy speaks for, for as long as the place lives.
    pub(crate) fn admit_client(
        self: &Arc<Self>,
        client: Origin,
    ) -> Result<ClientPlace, ConnectionRefusal> {
        self.count(&mut self.lock(), client)?;
        Ok(ClientPlace { connections: Arc::clone(self), origin: client })
    }

    /// What an address counts as. Proxies are not counted: they speak for many.
    pub(crate) fn origin(&self, address: IpAddr) -> Origin {
        if self.is_proxy(address) { Origin::Many } else { Origin::of(address) }
    }

    /// Whether this is one of the proxies.
    pub(crate) fn is_proxy(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.proxies.iter().any(|network| network.contains(&peer))
    }

    fn count(&self, open: &mut Open, origin: Origin) -> Result<(), ConnectionRefusal> {
        if origin == Origin::Many {
            return Ok(());
        }
        let of_origin = open.by_origin.entry(origin).or_default();
        if *of_origin >= self.per_address {
            return Err(ConnectionRefusal::PerAddress);
        }
        *of_origin += 1;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One open connection.
#[derive(Debug)]
pub(crate) struct Permit {
    place: ClientPlace,
    _held: Held,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.place.connections.lock().total -= 1;
    }
}

/// A client, counted by its address for as long as this lives.
#[derive(Debug)]
pub(crate) struct ClientPlace {
    connections: Arc<Connections>,
    origin: Origin,
}

impl Drop for ClientPlace {
    fn drop(&mut self) {
        let mut open = self.connections.lock();
        if let Some(count) = open.by_origin.get_mut(&self.origin) {
            *count -= 1;
            // Addresses that have gone must not fill the map.
            if *count == 0 {
                open.by_origin.remove(&self.origin);
            }
        }
    }
}

/// Where a proxied connection keeps the place of the client whose socket it
/// becomes. Only its last request can be an upgrade.
pub(crate) type ClientSlot = Arc<Mutex<Option<ClientPlace>>>;

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(total: usize, per_address: usize) -> Arc<Connections> {
        let proxies: Arc<[IpNet]> = Arc::new(["10.0.0.0/8".parse().unwrap()]);
        Arc::new(Connections::new(total, per_address, proxies, &Metrics::new()))
    }

    fn admit(limits: &Arc<Connections>, peer: &str) -> Result<Permit, ConnectionRefusal> {
        limits.admit(peer.parse().unwrap())
    }

    #[test]
    fn the_total_counts_everybody() {
        let limits = limits(2, 9);
        let first = admit(&limits, "127.0.0.1").unwrap();
        let _second = admit(&limits, "192.0.2.1").unwrap();
        assert_eq!(limits.metrics.connections.get(), 2);
        assert_eq!(admit(&limits, "192.0.2.2").unwrap_err(), ConnectionRefusal::Total);
        drop(first);
        assert!(admit(&limits, "192.0.2.2").is_ok());
    }

    #[test]
    fn an_address_has_its_own_limit() {
        let limits = limits(100, 1);
        let held = admit(&limits, "192.0.2.1").unwrap();
        assert!(admit(&limits, "192.0.2.2").is_ok());
        for same in ["192.0.2.1", "::ffff:192.0.2.1"] {
            assert_eq!(admit(&limits, same).unwrap_err(), ConnectionRefusal::PerAddress);
        }
        drop(held);
        assert!(admit(&limits, "192.0.2.1").is_ok());
        assert!(limits.open.lock().unwrap().by_origin.is_empty());
    }

    #[test]
    fn an_ipv6_network_counts_as_one_address() {
        let limits = limits(100, 1);
        let _held = admit(&limits, "2001:db8:0:1::1").unwrap();
        assert!(admit(&limits, "2001:db8:0:1:ffff::2").is_err());
        assert!(admit(&limits, "2001:db8:0:2::1").is_ok());
    }

    #[test]
    fn clients_that_cannot_be_told_apart_are_counted_together() {
        let limits = limits(100, 1);
        let _held = limits.admit_client(Origin::Unreadable).unwrap();
        assert!(limits.admit_client(Origin::Unreadable).is_err());
        assert!(limits.admit_client(limits.origin("192.0.2.1".parse().unwrap())).is_ok());
    }

    #[test]
    fn loopback_and_proxies_are_not_counted_by_address() {
        let limits = limits(100, 1);
        for peer in ["127.0.0.1", "::1", "10.1.2.3"] {
            let _permits = [admit(&limits, peer).unwrap(), admit(&limits, peer).unwrap()];
        }
    }
}
