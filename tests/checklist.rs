//! The table in `checklist.txt` names tests that exist.

use std::path::Path;

#[test]
fn every_line_names_a_test_that_exists() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let table = std::fs::read_to_string(tests.join("checklist.txt")).unwrap();
    let mut lines = 0;
    for line in table.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (_, test) = line.split_once(" | ").unwrap_or_else(|| panic!("{line:?} has no test"));
        let mut words = test.split_whitespace();
        let (binary, path) = (words.next().unwrap(), words.next().unwrap());
        let (file, name) = match path.split("::").collect::<Vec<_>>()[..] {
            [module, name] | [module, "*", name] if module != "*" => {
                (tests.join(binary).join(format!("{module}.rs")), name)
            }
            ["*", name] | [name] => (tests.join(format!("{binary}.rs")), name),
            _ => panic!("{line:?}: what path is that?"),
        };
        let source =
            std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{line:?}: {}: {error}", file.display()));
        assert!(source.contains(&format!("fn {name}(")), "{line:?}: no such test in {}", file.display());
        lines += 1;
    }
    assert!(lines > 60, "the table has only {lines} lines");
}
