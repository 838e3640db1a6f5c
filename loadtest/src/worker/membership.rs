//! Which rooms a connection is in: a pure function of the plan and the connection's number over all workers, so that every
//! process comes to the same answer.

use super::random::Random;
use crate::control::Membership;

/// A room, and what its name is to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Room {
    pub(crate) number: u32,
    pub(crate) kind: Kind,
}

/// Where a room belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nowhere in particular.
    Usual,
    /// To those for which the server has a flush window.
    Windowed,
    /// To a family whose tag its name bears; which of the family it is.
    Tagged { family: u32, member: u32 },
}

/// A membership plan, ready to be asked.
#[derive(Debug, Clone)]
pub(crate) struct Rooms {
    plan: Membership,
    /// For Zipf: the chance of each room (or family) and all before it, the last one 1.
    up_to: Vec<f64>,
}

impl Rooms {
    pub(crate) fn new(plan: &Membership) -> Rooms {
        let up_to = match *plan {
            Membership::One | Membership::Windowed | Membership::Own | Membership::Listed { .. } => {
                Vec::new()
            }
            Membership::Zipf { count, each, skew, tagged, .. } => {
                chances(if tagged { count / each.max(1) } else { count }, skew)
            }
        };
        Rooms { plan: plan.clone(), up_to }
    }

    /// What is asked here.
    pub(crate) fn plan(&self) -> &Membership {
        &self.plan
    }

    /// The rooms of connection `number`, counted over all workers: none twice, the home room first.
    pub(crate) fn of(&self, number: usize) -> Vec<u32> {
        match self.plan {
            Membership::One | Membership::Windowed => vec![0],
            Membership::Own => vec![number as u32],
            Membership::Listed { ref numbers } => {
                numbers.get(number % numbers.len().max(1)).copied().into_iter().collect()
            }
            Membership::Zipf { count, each, tagged: false, seed, .. } => {
                let mut random = of_connection(seed, number);
                self.choose(&mut random, each.min(count))
            }
            Membership::Zipf { each, tagged: true, seed, .. } => {
                let family = self.one(&mut of_connection(seed, number));
                (0..each as u32).map(|member| family * each as u32 + member).collect()
            }
        }
    }

    /// A room's number with what its name is to say.
    pub(crate) fn room(&self, number: u32) -> Room {
        let kind = match self.plan {
            Membership::Zipf { each, tagged: true, .. } => {
                let each = each.max(1) as u32;
                Kind::Tagged { family: number / each, member: number % each }
            }
            Membership::Windowed => Kind::Windowed,
            Membership::One | Membership::Own | Membership::Zipf { .. } | Membership::Listed { .. } => {
                Kind::Usual
            }
        };
        Room { number, kind }
    }

    /// How many of `total` connections are in each room; the last room that any is in is the last here.
    pub(crate) fn sizes(&self, total: usize) -> Vec<u32> {
        let mut sizes = Vec::new();
        for room in (0..total).flat_map(|number| self.of(number)) {
            let room = room as usize;
            if sizes.len() <= room {
                sizes.resize(room + 1, 0);
            }
            sizes[room] += 1;
        }
        sizes
    }

    fn one(&self, random: &mut Random) -> u32 {
        let chance = random.unit();
        self.up_to.partition_point(|up_to| *up_to <= chance).min(self.up_to.len().saturating_sub(1)) as u32
    }

    fn choose(&self, random: &mut Random, each: usize) -> Vec<u32> {
        /// Where a steep skew leaves next to nothing to choose from, the first rooms that are left do.
        const TRIES: usize = 64;
        let mut chosen: Vec<u32> = Vec::with_capacity(each);
        for _ in 0..each * TRIES {
            if chosen.len() == each {
                break;
            }
            let room = self.one(random);
            if !chosen.contains(&room) {
                chosen.push(room);
            }
        }
        let mut left = 0..;
        while chosen.len() < each {
            let room = left.next().expect("there are more numbers than rooms");
            if !chosen.contains(&room) {
                chosen.push(room);
            }
        }
        chosen
    }
}

/// The rooms of connection `number` under a plan. Who asks for many keeps a [`Rooms`].
#[cfg(test)]
pub(crate) fn rooms_of(plan: &Membership, number: usize) -> Vec<u32> {
    Rooms::new(plan).of(number)
}

fn of_connection(seed: u64, number: usize) -> Random {
    Random::new(Random::new(seed ^ (number as u64).wrapping_mul(0xd6e8_feb8_6659_fd93)).next())
}

fn chances(count: usize, skew: f64) -> Vec<f64> {
    let weights: Vec<f64> = (1..=count.max(1)).map(|rank| (rank as f64).powf(-skew)).collect();
    let all: f64 = weights.iter().sum();
    let mut sum = 0.0;
    weights
        .iter()
        .map(|weight| {
            sum += weight / all;
            sum
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zipf(count: usize, each: usize, skew: f64, tagged: bool) -> Membership {
        Membership::Zipf { count, each, skew, tagged, seed: 7 }
    }

    #[test]
    fn one_is_room_zero_and_own_is_its_own() {
        assert_eq!(rooms_of(&Membership::One, 17), [0]);
        assert_eq!(rooms_of(&Membership::Windowed, 17), [0]);
        assert_eq!(rooms_of(&Membership::Own, 17), [17]);
    }

    #[test]
    fn listed_rooms_are_taken_in_turn() {
        let plan = Membership::Listed { numbers: vec![4, 9, 2] };
        assert_eq!((0..5).map(|number| rooms_of(&plan, number)[0]).collect::<Vec<_>>(), [4, 9, 2, 4, 9]);
        assert_eq!(Rooms::new(&plan).sizes(4), [0, 0, 1, 0, 2, 0, 0, 0, 0, 1]);
    }

    #[test]
    fn rooms_are_distinct_and_as_many_as_asked_for() {
        for plan in [zipf(1_000, 8, 1.0, false), zipf(10, 10, 1.0, false), zipf(5, 8, 3.0, false)] {
            let Membership::Zipf { count, each, .. } = plan else { unreachable!("made so") };
            for number in 0..200 {
                let mut rooms = rooms_of(&plan, number);
                assert!(rooms.iter().all(|room| (*room as usize) < count));
                rooms.sort_unstable();
                rooms.dedup();
                assert_eq!(rooms.len(), each.min(count));
            }
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_rooms_and_another_gives_others() {
        let plan = zipf(1_000, 4, 1.0, false);
        let other = Membership::Zipf { count: 1_000, each: 4, skew: 1.0, tagged: false, seed: 8 };
        let all = |plan: &Membership| (0..50).map(|number| rooms_of(plan, number)).collect::<Vec<_>>();
        assert_eq!(all(&plan), all(&plan));
        assert_ne!(all(&plan), all(&other));
    }

    #[test]
    fn the_first_rooms_are_as_full_as_zipf_says() {
        let sizes = Rooms::new(&zipf(100, 1, 1.0, false)).sizes(100_000);
        // 1/H(100) = 0.1928, half of it for the second.
        assert!((18_700..=19_900).contains(&sizes[0]), "{}", sizes[0]);
        assert!((9_200..=10_100).contains(&sizes[1]), "{}", sizes[1]);
        assert_eq!(sizes.iter().sum::<u32>(), 100_000);
        // Without skew all are alike.
        let even = Rooms::new(&zipf(10, 1, 0.0, false)).sizes(10_000);
        assert!(even.iter().all(|size| (850..=1_150).contains(size)), "{even:?}");
    }

    #[test]
    fn tagged_rooms_are_one_family() {
        let rooms = Rooms::new(&zipf(80, 4, 1.0, true));
        for number in 0..100 {
            let kinds: Vec<_> = rooms.of(number).iter().map(|room| rooms.room(*room).kind).collect();
            let Kind::Tagged { family, member: 0 } = kinds[0] else { panic!("{:?}", kinds[0]) };
            assert_eq!(kinds, [0, 1, 2, 3].map(|member| Kind::Tagged { family, member }));
            assert!(family < 20);
        }
        assert_eq!(rooms.sizes(100).iter().sum::<u32>(), 400);
    }
}
