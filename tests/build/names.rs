//! Reads a crate's public names from its source.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The names that `directory/file` exports, with `prefix` in front; those of public modules too. It understands what the two
/// crates are made of and fails on anything else.
pub(crate) fn exported(directory: &Path, file: &str, prefix: &str) -> BTreeSet<String> {
    let source = fs::read_to_string(directory.join(file)).expect("read the crate's source");
    let code: String =
        source.lines().map(|line| line.split("//").next().unwrap_or_default().trim()).collect::<Vec<_>>().join(" ");
    let mut names = BTreeSet::new();
    let mut items = code.split("pub ");
    items.next();
    for item in items {
        let item = item.split(';').next().unwrap_or_default();
        let (kind, rest) = item.split_once(' ').unwrap_or_else(|| panic!("{file}: not understood: pub {item}"));
        match kind {
            "mod" => names.extend(exported(directory, &format!("{rest}.rs"), &format!("{prefix}{rest}::"))),
            "const" => drop(names.insert(format!("{prefix}{}", rest.split(':').next().unwrap_or_default().trim()))),
            "use" => {
                let list = rest.split_once('{').map_or(rest, |(_, list)| list.trim_end().trim_end_matches('}'));
                for name in list.split(',').map(str::trim).filter(|name| !name.is_empty()) {
                    let name = name.rsplit(" as ").next().unwrap_or(name).rsplit("::").next().unwrap_or(name);
                    assert!(
                        name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'),
                        "{file}: not understood: {name}"
                    );
                    names.insert(format!("{prefix}{name}"));
                }
            }
            _ => panic!("{file}: not understood: pub {item}"),
        }
    }
    names
}
