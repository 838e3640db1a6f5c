//! Announcements, departures and the question who is there.

use bytes::Bytes;
use ringway_ring::Announcement;

use super::Garbage;
use super::wire::{Reader, Writer};
use crate::message::ClusterEvent;

const ANNOUNCED: u64 = 0;
const DEPARTED: u64 = 1;
const HELLO: u64 = 2;

/// `[version, 0, announcement as a map with field names]`, `[version, 1, id, incarnation]` or `[version, 2]`.
pub(crate) fn write_cluster(event: &ClusterEvent) -> Bytes {
    match event {
        ClusterEvent::Announced(announcement) => {
            let map = rmp_serde::to_vec_named(&**announcement).expect("plain fields can be written");
            let mut writer = Writer::message(2, map.len() + 8);
            writer.u64(ANNOUNCED).bin(&map);
            writer.finish()
        }
        ClusterEvent::Departed { id, incarnation } => {
            let mut writer = Writer::message(3, 80);
            writer.u64(DEPARTED).str(id.as_str()).u64(*incarnation);
            writer.finish()
        }
        ClusterEvent::Hello => {
            let mut writer = Writer::message(1, 4);
            writer.u64(HELLO);
            writer.finish()
        }
    }
}

pub(crate) fn read_cluster(bytes: &[u8]) -> Result<ClusterEvent, Garbage> {
    let mut reader = Reader::message(bytes, 1)?;
    match reader.u64()? {
        ANNOUNCED => rmp_serde::from_slice::<Announcement>(reader.bin()?)
            .map(|announcement| ClusterEvent::Announced(Box::new(announcement)))
            .map_err(|_| Garbage::Malformed("not an announcement")),
        DEPARTED => Ok(ClusterEvent::Departed { id: reader.name()?, incarnation: reader.u64()? }),
        HELLO => Ok(ClusterEvent::Hello),
        _ => Err(Garbage::Malformed("a word about the cluster of an unknown kind")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_said_of_the_cluster_comes_back() {
        for event in samples::cluster() {
            assert_eq!(read_cluster(&write_cluster(&event)), Ok(event));
        }
    }

    proptest! {
        #[test]
        fn reading_anything_ends(bytes in proptest::collection::vec(any::<u8>(), 0..100), at: usize, byte: u8) {
            let _ = read_cluster(&bytes);
            for event in samples::cluster() {
                let mut damaged = write_cluster(&event).to_vec();
                let at = at % damaged.len();
                damaged[at] = byte;
                let _ = read_cluster(&damaged);
            }
        }
    }
}
