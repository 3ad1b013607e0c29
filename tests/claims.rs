//! Claims about the sources: the tests that SECURITY.md names exist, only one file of the library may be unsafe, and its
//! modules import each other in one direction.

use std::fs;
use std::path::{Path, PathBuf};

/// The text of every Rust file below this directory of the package.
fn sources(directory: &str) -> Vec<(PathBuf, String)> {
    let (mut files, mut directories) = (Vec::new(), vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(directory)]);
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                files.push((path, text));
            }
        }
    }
    files
}

/// Code of two words in SECURITY.md is a test: `lib` or the binary, and its name, of which the file's module is a part.
#[test]
fn the_tests_that_security_md_names_exist() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("SECURITY.md")).unwrap();
    let sources = [sources("tests"), sources("src")].concat();
    let mut named = 0;
    for code in text.split('`').skip(1).step_by(2) {
        let [binary, name] = code.split(' ').collect::<Vec<_>>()[..] else { continue };
        let path: Vec<_> = name.split("::").collect();
        let (function, modules) = path.split_last().unwrap();
        named += 1;
        let is_there = sources.iter().any(|(path, text)| {
            let file = path.with_extension("");
            let has = |part: &str| file.components().any(|component| component.as_os_str() == part);
            let binary = if binary == "lib" { "src" } else { binary };
            has(binary)
                && modules.iter().all(|module| ["*", "tests"].contains(module) || has(module))
                && text.contains(&format!("fn {function}("))
        });
        assert!(is_there, "{code}");
    }
    assert!(named > 0);
}

#[test]
fn only_ffi_rs_allows_unsafe_code() {
    let manifest = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).unwrap();
    assert!(manifest.contains("\nunsafe_code = \"deny\"\n"));
    for (path, text) in sources("src") {
        let allows = text.contains("allow(unsafe_code") || text.contains("expect(unsafe_code");
        assert!(!allows || path.ends_with("src/ffi.rs"), "{path:?}");
    }
}

/// CONTRIBUTING.md has the order; `lib.rs` is above all others.
#[test]
fn each_top_level_entry_imports_only_those_before_it() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("CONTRIBUTING.md")).unwrap();
    let list = text.split("<!-- import order -->").nth(1).unwrap().trim_start().split("\n\n").next().unwrap();
    let order: Vec<&str> = list.split('`').skip(1).step_by(2).collect();
    let place = |entry: &str| order.iter().position(|listed| *listed == entry);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut imports = 0;
    for (path, text) in sources("src") {
        let entry = path.strip_prefix(&root).unwrap().iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs");
        // The program is above the library.
        if entry == "lib" || entry == "bin" {
            continue;
        }
        let own = place(entry).unwrap_or_else(|| panic!("{entry} is not in the list of CONTRIBUTING.md"));
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
        for import in code.split("crate::").skip(1) {
            let name =
                import.split(|character: char| !(character.is_alphanumeric() || character == '_')).next().unwrap();
            // A public name, through `lib.rs`, in unit tests; and macros.
            let Some(imported) = place(name) else { continue };
            assert!(imported <= own, "{} imports {name}, which stands after it", path.display());
            imports += 1;
        }
    }
    assert!(imports > 100, "{imports}");
}
