//! The list of differences from pyzmq (`differences.toml`), each with the reason why this crate decides otherwise.

use std::collections::BTreeMap;

/// What both answer to one scenario, in the order of its lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Difference {
    pub(crate) ours: String,
    pub(crate) pyzmq: String,
}

/// Reads the file: tables with three strings each. No more of TOML is used, and anything else is refused.
pub(crate) fn listed(text: &str) -> Result<BTreeMap<String, Difference>, String> {
    let mut all = BTreeMap::new();
    let mut tables = text.split("\n[");
    // What stands before the first table are comments.
    if let Some(line) = tables.next().unwrap_or_default().lines().find(|line| !is_comment(line)) {
        return Err(format!("not understood: {line}"));
    }
    for table in tables {
        let (name, body) = table.split_once("]\n").ok_or_else(|| format!("not understood: [{table}"))?;
        let mut values = BTreeMap::new();
        for line in body.lines().filter(|line| !is_comment(line)) {
            let (key, value) = line.split_once(" = ").ok_or_else(|| format!("not understood: {line}"))?;
            // A literal string, so that there are no escapes to undo.
            let value = value.strip_prefix('\'').and_then(|value| value.strip_suffix('\''));
            let value = value.filter(|value| !value.contains('\'')).ok_or_else(|| format!("not understood: {line}"))?;
            if values.insert(key, value.to_owned()).is_some() {
                return Err(format!("{name}: {key} twice"));
            }
        }
        let mut take = |key| values.remove(key).filter(|value| !value.is_empty());
        let (Some(ours), Some(pyzmq), Some(_)) = (take("ours"), take("pyzmq"), take("reason")) else {
            return Err(format!("{name}: it takes ours, pyzmq and reason"));
        };
        if let Some(key) = values.keys().next() {
            return Err(format!("{name}: not understood: {key}"));
        }
        if all.insert(name.to_owned(), Difference { ours, pyzmq }).is_some() {
            return Err(format!("{name} twice"));
        }
    }
    Ok(all)
}

/// One line for each difference that isn't listed as it is, and for each that is listed and isn't there.
pub(crate) fn compare(listed: &BTreeMap<String, Difference>, seen: &BTreeMap<String, Difference>) -> Vec<String> {
    let mut faults = Vec::new();
    for (name, seen) in seen.iter().filter(|(_, seen)| seen.ours != seen.pyzmq) {
        let Difference { ours, pyzmq } = seen;
        match listed.get(name) {
            None => faults.push(format!("not listed: [{name}] ours = '{ours}', pyzmq = '{pyzmq}'")),
            Some(listed) if listed != seen => {
                faults
                    .push(format!("listed otherwise: [{name}] ours = '{ours}', pyzmq = '{pyzmq}'; listed: {listed:?}"));
            }
            Some(_) => {}
        }
    }
    for name in listed.keys() {
        match seen.get(name) {
            None => faults.push(format!("listed, but there is no such scenario: [{name}]")),
            Some(seen) if seen.ours == seen.pyzmq => {
                faults.push(format!("gone: [{name}]: both answer '{}'", seen.ours))
            }
            Some(_) => {}
        }
    }
    faults
}

fn is_comment(line: &str) -> bool {
    line.trim().is_empty() || line.starts_with('#')
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTED: &str = "# Why.\n\n[a]\nours = '400'\npyzmq = '200'\nreason = 'because'\n";

    fn seen(name: &str, ours: &str, pyzmq: &str) -> BTreeMap<String, Difference> {
        [(name.to_owned(), Difference { ours: ours.into(), pyzmq: pyzmq.into() })].into()
    }

    #[test]
    fn a_listed_difference_passes() {
        assert_eq!(compare(&listed(LISTED).unwrap(), &seen("a", "400", "200")), [""; 0]);
        assert_eq!(compare(&BTreeMap::new(), &seen("b", "400", "400")), [""; 0]);
    }

    #[test]
    fn an_unlisted_a_vanished_and_a_changed_difference_fail() {
        let listed = listed(LISTED).unwrap();
        for (name, ours, pyzmq) in [("a", "400", "400"), ("a", "200", "400"), ("a", "500", "200"), ("a", "400", "201")]
        {
            assert_eq!(compare(&listed, &seen(name, ours, pyzmq)).len(), 1, "{ours} {pyzmq}");
        }
        // One that isn't listed, and the listed one that has no scenario.
        assert_eq!(compare(&listed, &seen("b", "400", "200")).len(), 2);
    }

    #[test]
    fn a_file_that_is_not_understood_is_refused() {
        for text in [
            "nonsense\n",
            "\n[a]\nours = '400'\npyzmq = '200'\n",
            "\n[a]\nours = '400'\npyzmq = '200'\nreason = ''\n",
            "\n[a]\nours = \"400\"\npyzmq = '200'\nreason = 'x'\n",
            "\n[a]\nours = '400'\nours = '400'\npyzmq = '200'\nreason = 'x'\n",
            "\n[a]\nours = '400'\npyzmq = '200'\nreason = 'x'\nmore = 'x'\n",
            &format!("{LISTED}{LISTED}"),
        ] {
            assert!(listed(text).is_err(), "{text}");
        }
    }
}
