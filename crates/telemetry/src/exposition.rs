//! OpenMetrics text from several registries as one: a family that several of them have is one block, as the format wants.

/// The lines of one family.
#[derive(Default)]
struct Block<'a> {
    name: &'a str,
    descriptor: Vec<&'a str>,
    samples: Vec<&'a str>,
}

/// Puts texts together, families in the order in which they first appear. What describes a family comes from the first
/// text that has it.
pub(crate) fn merge(texts: &[String]) -> String {
    let mut blocks: Vec<Block<'_>> = Vec::new();
    for text in texts {
        // The block that lines belong to, and whether it began in this text.
        let mut current: Option<(usize, bool)> = None;
        for line in text.lines() {
            let Some(name) = described(line) else {
                if let Some((at, _)) = current {
                    blocks[at].samples.push(line);
                }
                continue;
            };
            let (at, fresh) = match current {
                Some(same) if blocks[same.0].name == name => same,
                _ => match blocks.iter().position(|block| block.name == name) {
                    Some(at) => (at, false),
                    None => {
                        blocks.push(Block { name, ..Block::default() });
                        (blocks.len() - 1, true)
                    }
                },
            };
            if fresh {
                blocks[at].descriptor.push(line);
            }
            current = Some((at, fresh));
        }
    }
    let mut whole = String::with_capacity(texts.iter().map(String::len).sum::<usize>() + 8);
    for line in blocks.iter().flat_map(|block| block.descriptor.iter().chain(&block.samples)) {
        whole.push_str(line);
        whole.push('\n');
    }
    whole
}

/// The family that a line of `# HELP`, `# TYPE` or `# UNIT` describes.
fn described(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("# ")?;
    let (what, rest) = rest.split_once(' ')?;
    matches!(what, "HELP" | "TYPE" | "UNIT").then(|| rest.split(' ').next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_gathered() {
        let a = "# HELP x X.\n# TYPE x counter\n# UNIT x bytes\nx_total{n=\"a\"} 1\n# HELP y Y.\n# TYPE y gauge\ny 1\n";
        let b = "# HELP y Other words.\n# TYPE y gauge\ny{n=\"b\"} 2\n# HELP x X.\n# TYPE x counter\n# UNIT x bytes\nx_total{n=\"b\"} 3\n";
        assert_eq!(
            merge(&[a.into(), b.into()]),
            "# HELP x X.\n# TYPE x counter\n# UNIT x bytes\nx_total{n=\"a\"} 1\nx_total{n=\"b\"} 3\n\
             # HELP y Y.\n# TYPE y gauge\ny 1\ny{n=\"b\"} 2\n"
        );
        assert_eq!(merge(&[]), "");
        assert_eq!(merge(&[String::new(), a.into()]), merge(&[a.into()]));
    }
}
