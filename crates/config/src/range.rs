//! Numbers that go only so far: by their keys, so that a number far out is told the same as one that is just beyond.

/// Keys as the configuration lists them, with the least and the most that they take.
const RANGES: [(&str, u64, u64); 8] = [
    ("node.weight", 0, 16),
    ("stores.*.messages_per_room", 1, 1_000_000),
    ("stores.*.replicas", 1, 5),
    ("classes[].spread", 1, 64),
    ("classes[].replay.messages", 0, 10_000),
    ("classes[].presence.list_up_to", 0, 10_000),
    ("tenant_defaults.limits.rooms", 0, 10_000),
    ("tenants.*.limits.rooms", 0, 10_000),
];

/// The least and the most at a key's path, such as `classes[0].spread`.
pub(crate) fn of(path: &str) -> Option<(u64, u64)> {
    let found = RANGES.iter().find(|(key, _, _)| is_at(key, path));
    found.map(|(_, least, most)| (*least, *most))
}

fn is_at(key: &str, path: &str) -> bool {
    let (mut keys, mut segments) = (key.split('.'), path.split('.'));
    loop {
        match (keys.next(), segments.next()) {
            (None, None) => return true,
            (Some("*"), Some(_)) => {}
            (Some(key), Some(segment)) => {
                let name = segment.split_once('[').map_or(segment, |(name, _)| name);
                if key.strip_suffix("[]").unwrap_or(key) != name {
                    return false;
                }
            }
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_found_by_the_path_of_a_value() {
        assert_eq!(of("node.weight"), Some((0, 16)));
        assert_eq!(of("classes[12].spread"), Some((1, 64)));
        assert_eq!(of("classes[12].replay.messages"), Some((0, 10_000)));
        assert_eq!(of("tenants.acme.limits.rooms"), Some((0, 10_000)));
        assert_eq!(of("tenants.acme.limits.connections"), None);
        assert_eq!(of("node.weight.more"), None);
    }

    #[test]
    fn every_range_is_of_a_key() {
        let keys = crate::keys();
        for (key, _, _) in RANGES {
            assert!(keys.iter().any(|known| known.path == key), "{key}");
        }
    }
}
