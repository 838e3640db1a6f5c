//! What a client may do in which rooms.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use ringway_protocol::name::{RoomName, UserId};
use ringway_protocol::pattern::Pattern;
use serde::{Deserialize, Serialize};

/// One thing that may be done in a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Right {
    /// Join it and hear what is published.
    Join,
    /// Publish to it.
    Publish,
    /// See who is there.
    Presence,
    /// Read what was published before.
    History,
    /// Ask the application.
    Call,
    /// Act on others: only an API key can have it, never a token.
    Manage,
}

/// A text isn't a right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a right; there are join, publish, presence, history, call and, for API keys, manage")]
pub struct UnknownRight;

impl Right {
    /// Every right.
    pub const ALL: [Self; 6] =
        [Self::Join, Self::Publish, Self::Presence, Self::History, Self::Call, Self::Manage];

    /// The right as it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Join => "join",
            Self::Publish => "publish",
            Self::Presence => "presence",
            Self::History => "history",
            Self::Call => "call",
            Self::Manage => "manage",
        }
    }

    fn bit(self) -> u8 {
        1 << (self as u8)
    }
}

impl FromStr for Right {
    type Err = UnknownRight;

    fn from_str(text: &str) -> Result<Self, UnknownRight> {
        Self::ALL.into_iter().find(|right| right.as_str() == text).ok_or(UnknownRight)
    }
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A set of rights, in one byte. Written as a list of names.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "Vec<Right>", into = "Vec<Right>")]
pub struct Rights(u8);

impl Rights {
    /// Whether the right is among them.
    pub fn contains(self, right: Right) -> bool {
        self.0 & right.bit() != 0
    }

    /// The rights, in their documented order.
    pub fn iter(self) -> impl Iterator<Item = Right> {
        Right::ALL.into_iter().filter(move |right| self.contains(*right))
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl FromIterator<Right> for Rights {
    fn from_iter<I: IntoIterator<Item = Right>>(rights: I) -> Self {
        Self(rights.into_iter().fold(0, |set, right| set | right.bit()))
    }
}

impl From<Vec<Right>> for Rights {
    fn from(rights: Vec<Right>) -> Self {
        rights.into_iter().collect()
    }
}

impl From<Rights> for Vec<Right> {
    fn from(rights: Rights) -> Self {
        rights.iter().collect()
    }
}

impl fmt::Debug for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// Rights in the rooms that match a pattern.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Grant {
    /// Which rooms. `$user` in it is the client's own name; who has none matches none of these.
    pub rooms: Pattern,
    /// What may be done there.
    pub rights: Rights,
}

/// All that a client may do. Grants add up: what any of them allows is allowed; what none allows isn't. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "Vec<Grant>", into = "Vec<Grant>")]
pub struct Grants(Arc<[Grant]>);

impl Grants {
    /// Nothing at all.
    pub fn none() -> Self {
        Self::default()
    }

    /// Everything, everywhere: where authentication is switched off.
    pub fn all() -> Self {
        // Two stars are a pattern, so there is always one grant.
        Pattern::parse("**")
            .map(|rooms| vec![Grant { rooms, rights: Right::ALL.into_iter().collect() }])
            .unwrap_or_default()
            .into()
    }

    /// Whether `user` may do this in that room.
    pub fn allows(&self, right: Right, room: &RoomName, user: Option<&UserId>) -> bool {
        let user = user.map(UserId::as_str);
        self.0.iter().any(|grant| grant.rights.contains(right) && grant.rooms.matches(room.as_str(), user))
    }

    /// All that `user` may do in that room.
    pub fn rights(&self, room: &RoomName, user: Option<&UserId>) -> Rights {
        let user = user.map(UserId::as_str);
        let matching = self.0.iter().filter(|grant| grant.rooms.matches(room.as_str(), user));
        Rights(matching.fold(0, |set, grant| set | grant.rights.0))
    }

    /// Whether another value shares this one's memory, so that somebody else has it.
    pub fn is_shared(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }

    /// Whether both are one in memory. Grants that are alike needn't be.
    pub fn is_shared_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// The grants one by one.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Grant> {
        self.0.iter()
    }
}

impl From<Vec<Grant>> for Grants {
    fn from(grants: Vec<Grant>) -> Self {
        Self(grants.into())
    }
}

impl From<Grants> for Vec<Grant> {
    fn from(grants: Grants) -> Self {
        grants.0.to_vec()
    }
}

impl FromIterator<Grant> for Grants {
    fn from_iter<I: IntoIterator<Item = Grant>>(grants: I) -> Self {
        Self(grants.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(rooms: &str, rights: &[Right]) -> Grant {
        Grant { rooms: Pattern::parse(rooms).unwrap(), rights: rights.iter().copied().collect() }
    }

    fn room(name: &str) -> RoomName {
        name.parse().unwrap()
    }

    #[test]
    fn grants_add_up() {
        let grants: Grants =
            [grant("board.**", &[Right::Join]), grant("board.7", &[Right::Publish, Right::Join])]
                .into_iter()
                .collect();
        assert!(grants.allows(Right::Join, &room("board.9.x"), None));
        assert!(!grants.allows(Right::Publish, &room("board.9"), None));
        assert!(grants.allows(Right::Publish, &room("board.7"), None));
        let rights: Vec<_> = grants.rights(&room("board.7"), None).iter().collect();
        assert_eq!(rights, [Right::Join, Right::Publish]);
    }

    #[test]
    fn no_grant_no_right() {
        for grants in [Grants::none(), [grant("a", &[])].into_iter().collect()] {
            for right in Right::ALL {
                assert!(!grants.allows(right, &room("a"), None));
            }
            assert!(grants.rights(&room("a"), None).is_empty());
        }
    }

    #[test]
    fn ones_own_rooms_are_ones_own() {
        let grants: Grants = [grant("inbox.$user", &[Right::Join])].into_iter().collect();
        let user = |name: &str| Some(name.parse::<UserId>().unwrap());
        assert!(grants.allows(Right::Join, &room("inbox.u1"), user("u1").as_ref()));
        assert!(!grants.allows(Right::Join, &room("inbox.u1"), user("u2").as_ref()));
        assert!(!grants.allows(Right::Join, &room("inbox.$user"), None));
        assert!(!grants.allows(Right::Join, &room("inbox.u1"), user("*").as_ref()), "a name is no pattern");
    }

    #[test]
    fn without_authentication_everything_is_allowed() {
        let grants = Grants::all();
        for right in Right::ALL {
            assert!(grants.allows(right, &room("any.thing {at} all"), None));
        }
    }

    #[test]
    fn grants_are_written_as_in_a_token() {
        let grants: Grants = [grant("a.*", &[Right::History, Right::Join])].into_iter().collect();
        let text = serde_json::to_string(&grants).unwrap();
        assert_eq!(text, r#"[{"rooms":"a.*","rights":["join","history"]}]"#);
        assert_eq!(serde_json::from_str::<Grants>(&text).unwrap(), grants);
    }

    #[test]
    fn every_right_reads_back() {
        for right in Right::ALL {
            assert_eq!(right.to_string().parse(), Ok(right));
            assert_eq!(serde_json::to_string(&right).unwrap(), format!("\"{right}\""));
        }
        assert_eq!("Join".parse::<Right>(), Err(UnknownRight));
    }
}
