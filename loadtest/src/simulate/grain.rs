//! What a node listens to: the rules of `docs/placement.md`, in the state that they come to rest in while nobody leaves.

use ringway_ring::SLOTS;

/// From so many rooms in a slot elsewhere on, the slot is listened to instead of them.
const ROOMS_FOR_A_SLOT: u16 = 8;

/// Ways to decide it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Grain {
    /// Own slots, and each room elsewhere by itself.
    Rooms,
    /// Slots.
    Slots,
    /// Own slots and rooms; a slot instead of eight rooms in it, everything once that is more than half of all slots; whatever
    /// turns out mostly unwanted is left again.
    Adaptive,
    /// The same, but nothing is left again.
    Unjudged,
    /// As [`Adaptive`](Self::Adaptive), and everything wherever at least half of it is wanted: not what is done, but what could be,
    /// since nodes tell how much is published on them.
    ByLoad,
    /// All there is.
    Everything,
}

impl Grain {
    pub(super) const ALL: [Self; 6] =
        [Self::Rooms, Self::Slots, Self::Adaptive, Self::Unjudged, Self::ByLoad, Self::Everything];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Rooms => "rooms",
            Self::Slots => "slots",
            Self::Adaptive => "adaptive",
            Self::Unjudged => "adaptive, unjudged",
            Self::ByLoad => "adaptive, by load too",
            Self::Everything => "everything",
        }
    }
}

/// A slot of another node's, in which this one has members.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Cell {
    /// Rooms with members here.
    pub(super) rooms: u16,
    /// Publications a second in them.
    pub(super) wanted: f64,
    /// Publications a second in all rooms of the slot.
    pub(super) all: f64,
}

/// What comes of it for one node.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Listens {
    pub(super) subscriptions: f64,
    /// Publications of others, a second.
    pub(super) received: f64,
    /// Those of them for rooms with members here.
    pub(super) wanted: f64,
}

impl Listens {
    pub(super) fn unwanted(&self) -> f64 {
        if self.received > 0.0 { 1.0 - self.wanted / self.received } else { 0.0 }
    }
}

/// `own`: slots of this node in which there are rooms. `elsewhere`: what is published a second in slots of others.
pub(super) fn listens(grain: Grain, own: usize, cells: &[Cell], elsewhere: f64) -> Listens {
    let wanted = cells.iter().map(|cell| cell.wanted).sum();
    let at_all = own + cells.len();
    let everything = Listens { subscriptions: f64::from(u8::from(at_all > 0)), received: elsewhere, wanted };
    let by = |coarse: fn(&Cell) -> bool| {
        let mut listens = Listens { subscriptions: own as f64, received: 0.0, wanted };
        for cell in cells {
            let coarse = coarse(cell);
            listens.subscriptions += if coarse { 1.0 } else { f64::from(cell.rooms) };
            listens.received += if coarse { cell.all } else { cell.wanted };
        }
        listens
    };
    let many = |cell: &Cell| cell.rooms >= ROOMS_FOR_A_SLOT;
    let worth = |cell: &Cell| cell.rooms >= ROOMS_FOR_A_SLOT && cell.wanted * 2.0 >= cell.all;
    let most = |slots: usize| own + slots > usize::from(SLOTS) / 2;
    match grain {
        Grain::Rooms => by(|_| false),
        Grain::Slots => by(|_| true),
        Grain::Everything => everything,
        Grain::Unjudged if most(cells.iter().filter(|cell| many(cell)).count()) => everything,
        Grain::Unjudged => by(many),
        Grain::Adaptive
            if everything.unwanted() <= 0.5 && most(cells.iter().filter(|cell| many(cell)).count()) =>
        {
            everything
        }
        Grain::ByLoad if at_all > 0 && everything.unwanted() <= 0.5 => everything,
        Grain::Adaptive | Grain::ByLoad => by(worth),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells(count: usize, rooms: u16, wanted: f64, all: f64) -> Vec<Cell> {
        vec![Cell { rooms, wanted, all }; count]
    }

    #[test]
    fn a_slot_instead_of_eight_rooms_where_that_is_mostly_wanted() {
        let few = cells(10, 7, 1.0, 1.0);
        assert_eq!(listens(Grain::Adaptive, 3, &few, 10.0).subscriptions, 73.0);
        let many = cells(10, 8, 1.0, 1.9);
        let listening = listens(Grain::Adaptive, 3, &many, 19.0);
        assert_eq!((listening.subscriptions, listening.received.round()), (13.0, 19.0));
        let unwanted = cells(10, 8, 1.0, 2.1);
        let listening = listens(Grain::Adaptive, 3, &unwanted, 21.0);
        assert_eq!((listening.subscriptions, listening.received), (83.0, 10.0));
        assert_eq!(listens(Grain::Unjudged, 3, &unwanted, 21.0).subscriptions, 13.0);
    }

    #[test]
    fn everything_once_it_is_most_of_the_slots() {
        let most = cells(8_190, 8, 1.0, 1.0);
        assert_eq!(listens(Grain::Adaptive, 2, &most, 20_000.0).subscriptions, 8_192.0);
        let listening = listens(Grain::Adaptive, 3, &most, 16_000.0);
        assert_eq!((listening.subscriptions, listening.received), (1.0, 16_000.0));
        assert_eq!(listens(Grain::Adaptive, 3, &most, 17_000.0).subscriptions, 8_193.0, "mostly unwanted");
        assert_eq!(listens(Grain::Unjudged, 3, &most, 17_000.0).subscriptions, 1.0);
    }

    #[test]
    fn nothing_here_nothing_heard() {
        for grain in Grain::ALL {
            assert_eq!(listens(grain, 0, &[], 100.0).subscriptions, 0.0, "{grain:?}");
        }
        assert_eq!(listens(Grain::Rooms, 5, &[], 100.0).unwanted(), 0.0);
    }
}
