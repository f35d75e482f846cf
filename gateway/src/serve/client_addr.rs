//! The address a request comes from, seen through trusted proxies only.
//!
//! What a proxy wrote and what cannot be read is never passed over: the client
//! would be nobody, and nobody has no limit.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;

use crate::config::ForwardedHeader;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED: HeaderName = http::header::FORWARDED;

/// The client's address; `None` where a proxy names it in a way that cannot be
/// read. Walks the header from its end, where the nearest proxy wrote, to the
/// first address that is no trusted proxy: what stands before it may be made
/// up.
pub(crate) fn of(
    peer: IpAddr,
    headers: &HeaderMap,
    trusted: &[IpNet],
    header: ForwardedHeader,
) -> Option<IpAddr> {
    let mut client = peer.to_canonical();
    for hop in hops(headers, header) {
        if !trusted.iter().any(|network| network.contains(&client)) {
            break;
        }
        client = hop?.to_canonical();
    }
    Some(client)
}

/// The addresses that proxies wrote, the nearest first; `None` for one that
/// cannot be read.
fn hops(headers: &HeaderMap, header: ForwardedHeader) -> Vec<Option<IpAddr>> {
    let is_standard = match header {
        ForwardedHeader::Auto => !headers.contains_key(FORWARDED_FOR),
        ForwardedHeader::XForwardedFor => false,
        ForwardedHeader::Forwarded => true,
    };
    let name = if is_standard { FORWARDED } else { FORWARDED_FOR };
    // Several headers of one name are one list.
    let lines: Vec<&HeaderValue> = headers.get_all(name).iter().collect();
    let read = |line: &HeaderValue| match line.to_str() {
        Err(_) => vec![None],
        Ok(line) if is_standard => forwarded(line),
        Ok(line) => x_forwarded_for(line),
    };
    lines.into_iter().rev().flat_map(|line| read(line).into_iter().rev()).collect()
}

fn x_forwarded_for(line: &str) -> Vec<Option<IpAddr>> {
    line.split(',').map(str::trim).filter(|hop| !hop.is_empty()).map(address).collect()
}

/// RFC 7239, 4: `for=192.0.2.43;proto=https, for="[2001:db8::17]:4711"`.
fn forwarded(line: &str) -> Vec<Option<IpAddr>> {
    let Some(hops) = split(line, ',') else { return vec![None] };
    let hops = hops.into_iter().map(str::trim).filter(|hop| !hop.is_empty());
    hops.map(|hop| {
        let pairs = split(hop, ';')?.into_iter().map(|pair| pair.split_once('='));
        let mut named = pairs.flatten().filter(|(name, _)| name.trim().eq_ignore_ascii_case("for"));
        let (_, node) = named.next()?;
        let node = node.trim();
        let unquoted = node.strip_prefix('"').and_then(|node| node.strip_suffix('"'));
        // A hop has one client.
        named.next().is_none().then(|| address(unquoted.unwrap_or(node)))?
    })
    .collect()
}

/// Splits a list outside of its quoted texts; `None` where a quote does not end.
fn split(list: &str, separator: char) -> Option<Vec<&str>> {
    let (mut parts, mut start, mut is_quoted, mut is_escaped) = (Vec::new(), 0, false, false);
    for (at, letter) in list.char_indices() {
        match letter {
            _ if is_escaped => is_escaped = false,
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            _ if letter == separator && !is_quoted => {
                parts.push(&list[start..at]);
                start = at + letter.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(&list[start..]);
    (!is_quoted).then_some(parts)
}

/// An address as proxies write it: alone, in brackets, with a port.
fn address(node: &str) -> Option<IpAddr> {
    if let Ok(address) = node.parse() {
        return Some(address);
    }
    if let Some(bracketed) = node.strip_prefix('[') {
        let (address, after) = bracketed.split_once(']')?;
        let is_end = after.is_empty() || after.strip_prefix(':').is_some_and(is_port);
        return is_end.then(|| address.parse().ok().map(IpAddr::V6))?;
    }
    let (address, port) = node.split_once(':')?;
    is_port(port).then(|| address.parse().ok().map(IpAddr::V4))?
}

/// It may be a made-up word (RFC 7239, 6.2): nothing is done with it.
fn is_port(port: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    !port.is_empty() && port.bytes().all(is_allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const X: &str = "x-forwarded-for";
    const F: &str = "forwarded";

    fn seen(peer: &str, header: ForwardedHeader, lines: &[(&str, &str)]) -> String {
        let trusted = ["10.0.0.0/8".parse().unwrap(), "2001:db8:a::/48".parse().unwrap()];
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        let client = of(peer.parse().unwrap(), &headers, &trusted, header);
        client.map_or_else(|| "unreadable".to_owned(), |address| address.to_string())
    }

    fn client(peer: &str, lines: &[(&str, &str)]) -> String {
        seen(peer, ForwardedHeader::Auto, lines)
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        let far = "203.0.113.9";
        assert_eq!(client("192.0.2.1", &[]), "192.0.2.1");
        assert_eq!(client("192.0.2.1", &[(X, far)]), "192.0.2.1", "not a proxy of ours");
        assert_eq!(client("192.0.2.1", &[(X, "made up")]), "192.0.2.1", "not a proxy of ours");
        assert_eq!(client("10.0.0.1", &[(X, far)]), far);
        assert_eq!(client("::ffff:10.0.0.1", &[(X, far)]), far);
        assert_eq!(client("10.0.0.1", &[(X, "1.1.1.1, 203.0.113.9, 10.0.0.2")]), far);
        assert_eq!(client("10.0.0.1", &[(X, "1.1.1.1"), (X, far), (X, "10.0.0.2")]), far);
        assert_eq!(client("10.0.0.1", &[(X, "made up, 203.0.113.9")]), far);
        assert_eq!(client("10.0.0.1", &[]), "10.0.0.1", "a proxy's own request");
    }

    #[test]
    fn addresses_are_read_in_every_usual_form() {
        for (written, address) in [
            ("203.0.113.9:51234", "203.0.113.9"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:51234", "2001:db8::1"),
            ("[::ffff:203.0.113.9]:1", "203.0.113.9"),
        ] {
            assert_eq!(client("10.0.0.1", &[(X, written)]), address, "{written}");
            let quoted = format!("for=\"{written}\";proto=https");
            assert_eq!(client("10.0.0.1", &[(F, &quoted)]), address, "{quoted}");
            let through = format!("{written}, 10.0.0.2:443, [2001:db8:a::1]:443");
            assert_eq!(client("10.0.0.1", &[(X, &through)]), address, "{through}");
        }
    }

    #[test]
    fn the_standard_header_is_read() {
        for (line, address) in [
            ("for=203.0.113.9", "203.0.113.9"),
            ("For=203.0.113.9:_secret;by=10.0.0.1", "203.0.113.9"),
            ("host=\"a,b;for=1.1.1.1\"; for=203.0.113.9", "203.0.113.9"),
            ("for=1.1.1.1, for=203.0.113.9, for=10.0.0.2", "203.0.113.9"),
            ("for=\"\\\", for=203.0.113.9", "unreadable"),
        ] {
            assert_eq!(client("10.0.0.1", &[(F, line)]), address, "{line}");
        }
        let lines = [(F, "for=1.1.1.1"), (F, "for=203.0.113.9")];
        assert_eq!(client("10.0.0.1", &lines), "203.0.113.9");
    }

    #[test]
    fn what_cannot_be_read_is_never_passed_over() {
        for line in [
            "made up",
            "unknown",
            "_hidden",
            "1.1.1.1, unknown",
            "1.2.3.4:",
            "[::1",
            "ü",
            "[1.1.1.1]",
        ] {
            assert_eq!(client("10.0.0.1", &[(X, line)]), "unreadable", "{line}");
        }
        for line in [
            "for=unknown",
            "for=_hidden",
            "proto=https",
            "for=1.1.1.1;for=2.2.2.2",
            "for=\"1.1.1.1",
            "for=\", for=1.1.1.1",
            "1.1.1.1",
            "ü",
        ] {
            assert_eq!(client("10.0.0.1", &[(F, line)]), "unreadable", "{line}");
        }
        let lines = [(X, "1.1.1.1"), (X, "ü")];
        assert_eq!(client("10.0.0.1", &lines), "unreadable");
    }

    /// A client may send the header that its proxy does not know.
    #[test]
    fn only_the_header_that_proxies_write_is_believed() {
        let both = [(X, "203.0.113.1"), (F, "for=203.0.113.2")];
        for (header, client) in [
            (ForwardedHeader::Auto, "203.0.113.1"),
            (ForwardedHeader::XForwardedFor, "203.0.113.1"),
            (ForwardedHeader::Forwarded, "203.0.113.2"),
        ] {
            assert_eq!(seen("10.0.0.1", header, &both), client);
        }
        assert_eq!(seen("10.0.0.1", ForwardedHeader::XForwardedFor, &both[1..]), "10.0.0.1");
    }
}
