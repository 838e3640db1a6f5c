//! Whether one pattern of rooms leaves nothing for another that comes after it.

use ringway_protocol::Pattern;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Byte(u8),
    /// `*`.
    Segment,
    /// `**`.
    Anything,
}

/// Whether every room that `later` means is one that `earlier` means too. Patterns with `$user` aren't looked into.
pub(crate) fn hides(earlier: &Pattern, later: &Pattern) -> bool {
    if earlier == later {
        return true;
    }
    if earlier.has_user() || later.has_user() {
        return false;
    }
    let (earlier, later) = (parts(earlier.as_str()), parts(later.as_str()));
    // Of `earlier` the parts so far cover the first n of `later`, where `covered[n]`. A wildcard covers any number of parts
    // none of which means more than it does itself.
    let mut covered = vec![false; later.len() + 1];
    covered[0] = true;
    for part in earlier {
        let mut next = vec![false; later.len() + 1];
        let mut open = false;
        for at in 0..=later.len() {
            match part {
                Part::Byte(_) => {
                    if covered[at] && later.get(at) == Some(&part) {
                        next[at + 1] = true;
                    }
                }
                Part::Segment | Part::Anything => {
                    open |= covered[at];
                    next[at] = open;
                    let too_much = [Some(&Part::Byte(b'.')), Some(&Part::Anything)];
                    if part == Part::Segment && too_much.contains(&later.get(at)) {
                        open = false;
                    }
                }
            }
        }
        covered = next;
    }
    covered[later.len()]
}

fn parts(pattern: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    for byte in pattern.bytes() {
        match (byte, parts.last()) {
            (b'*', Some(Part::Segment | Part::Anything)) => {
                parts.pop();
                parts.push(Part::Anything);
            }
            (b'*', _) => parts.push(Part::Segment),
            (byte, _) => parts.push(Part::Byte(byte)),
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::parse(text).expect("a pattern")
    }

    #[test]
    fn a_wider_pattern_hides_a_narrower_one() {
        for (earlier, later) in [
            ("**", "board.*"),
            ("board.**", "board.*"),
            ("board.**", "board.**.chat"),
            ("board.*", "board.7"),
            ("*.chat", "*.chat"),
            ("**.chat", "board.*.chat"),
            ("*.*", "a.*b"),
            ("***", "**"),
        ] {
            assert!(hides(&pattern(earlier), &pattern(later)), "{earlier} {later}");
        }
        for (earlier, later) in [
            ("board.*", "board.**"),
            ("*", "a.b"),
            ("board", "board.*"),
            ("a.**", "**"),
            ("*.chat", "**.chat"),
        ] {
            assert!(!hides(&pattern(earlier), &pattern(later)), "{earlier} {later}");
        }
    }

    /// Everything of up to so many of these.
    fn all(of: &[&str], length: usize) -> Vec<String> {
        let mut all = vec![String::new()];
        let mut last = all.clone();
        for _ in 0..length {
            last = last.iter().flat_map(|text| of.iter().map(move |part| format!("{text}{part}"))).collect();
            all.extend(last.clone());
        }
        all.remove(0);
        all
    }

    #[test]
    fn what_is_hidden_is_never_reached() {
        let patterns: Vec<Pattern> =
            all(&["a", ".", "*", "**"], 3).iter().map(|text| pattern(text)).collect();
        let rooms = all(&["a", "b", "."], 4);
        let means: Vec<Vec<bool>> = patterns
            .iter()
            .map(|pattern| rooms.iter().map(|room| pattern.matches(room, None)).collect())
            .collect();
        let mut found = 0;
        for (earlier, wide) in patterns.iter().zip(&means) {
            for (later, narrow) in patterns.iter().zip(&means) {
                if hides(earlier, later) {
                    found += 1;
                    assert!(
                        narrow.iter().zip(wide).all(|(narrow, wide)| !narrow || *wide),
                        "{earlier} {later}"
                    );
                }
            }
        }
        assert!(found > patterns.len(), "{found}");
    }
}
