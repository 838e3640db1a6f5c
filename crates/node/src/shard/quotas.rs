//! What a room may use: held where all its publications come by, at the room's owner, and before they are numbered.

use std::time::Instant;

use ringway_backplane::message::Publication;
use ringway_config::{Class, RoomLimits};
use ringway_limits::{Bucket, Claim};

use crate::tenant::{Spent, TenantHere, TooMuch};

/// A room's limits, and what it has used of them. There only where its class has any.
#[derive(Debug)]
pub(crate) struct Quotas {
    limits: RoomLimits,
    publish: Bucket,
    bytes: Bucket,
}

impl Quotas {
    pub(crate) fn of(class: &Class) -> Option<Box<Quotas>> {
        let limits = class.room_limits();
        (limits != RoomLimits::default())
            .then(|| Box::new(Quotas { limits, publish: Bucket::unused(), bytes: Bucket::unused() }))
    }

    /// A room's class has changed. What was used of a rate stays used.
    pub(crate) fn change(present: Option<Box<Quotas>>, class: &Class) -> Option<Box<Quotas>> {
        let mut next = Quotas::of(class)?;
        if let Some(present) = present {
            (next.publish, next.bytes) = (present.publish, present.bytes);
        }
        Some(next)
    }

    /// The most members.
    pub(crate) fn members(&self) -> Option<u64> {
        self.limits.members
    }

    fn take(&self, spent: Spent) -> Result<(), TooMuch> {
        const PUBLISH: &str = "more is published to this room than may be";
        const BYTES: &str = "more bytes are published to this room than may be";
        let claims = [
            Claim::new(&self.publish, self.limits.publish, spent.publications, PUBLISH),
            Claim::new(&self.bytes, self.limits.bytes, spent.bytes_u32(), BYTES),
        ];
        Ok(Claim::take_all(&claims, Instant::now())?)
    }
}

/// Leaves those that are let through, which are the first ones; why the next isn't. `outside`: they come by no connection
/// of a node, and nobody has held them against the tenant's limits yet.
pub(crate) fn let_through(
    quotas: Option<&Quotas>,
    outside: Option<&TenantHere>,
    publications: &mut Vec<Publication>,
) -> Option<TooMuch> {
    if quotas.is_none() && outside.is_none() {
        return None;
    }
    for (index, publication) in publications.iter().enumerate() {
        let spent = Spent { bytes: publication.data.msgpack_len(), publications: 1 };
        let taken = quotas.map_or(Ok(()), |quotas| quotas.take(spent));
        let taken = taken.and_then(|()| outside.map_or(Ok(()), |tenant| tenant.usage.spend_outside(spent)));
        if let Err(over) = taken {
            publications.truncate(index);
            return Some(over);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(limits: &str) -> Class {
        let text = format!("gateway.auth = \"off\"\n[[classes]]\nrooms = \"**\"\n{limits}\n");
        let config = ringway_config::Config::from_text(&text, "test.toml".as_ref(), &Default::default());
        (**config.unwrap().tenants().class_of(&"r".parse().unwrap())).clone()
    }

    #[test]
    fn what_a_room_has_used_stays_used_when_its_limits_change() {
        let limited =
            |burst| class(&format!("limits = {{ publish_per_second = 1, publish_burst = {burst} }}"));
        let through = |quotas: &Option<Box<Quotas>>| {
            let one = Spent { bytes: 1, publications: 1 };
            (0..100).take_while(|_| quotas.as_ref().is_none_or(|quotas| quotas.take(one).is_ok())).count()
        };
        let quotas = Quotas::of(&limited(10));
        assert_eq!(through(&quotas), 10);
        let quotas = Quotas::change(quotas, &limited(2));
        assert_eq!(through(&quotas), 0);
        let quotas = Quotas::change(quotas, &limited(14));
        assert_eq!(through(&quotas), 4);
        let quotas = Quotas::change(quotas, &class(""));
        assert!(quotas.is_none() && through(&quotas) == 100);
        assert_eq!(through(&Quotas::change(quotas, &limited(3))), 3);
    }
}
