//! Claims about the repository: the tests that SECURITY.md names exist, links between pages resolve, only one module of
//! the library may be unsafe, and its modules import each other in one direction.

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

/// In SECURITY.md, code of two words is a test: `lib` or the test binary, and the test's name with its modules.
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

/// The text without its blocks of code.
fn prose(text: &str) -> String {
    text.split("```").step_by(2).collect()
}

/// Whether the text has a heading with this anchor, as GitHub and rustdoc make them.
fn has_heading(text: &str, anchor: &str) -> bool {
    let headings = text.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    let is_kept = |character: &char| character.is_alphanumeric() || "-_ ".contains(*character);
    headings
        .map(|heading| heading.to_lowercase().chars().filter(is_kept).collect::<String>().replace(' ', "-"))
        .any(|heading| heading == anchor)
}

/// Links to files, and to headings of the pages, in the pages and in doc comments. (Rustdoc checks links to items.)
#[test]
fn links_between_pages_resolve() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: PathBuf| fs::read_to_string(&path).map(|text| (path, prose(&text)));
    let mut pages =
        ["examples", "fuzz", "vendor/zmq-sys"].map(|directory| root.join(directory).join("README.md")).to_vec();
    for directory in [root.to_owned(), root.join("src")] {
        let paths = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
        pages.extend(paths.filter(|path| path.extension().is_some_and(|extension| extension == "md")));
    }
    let mut texts: Vec<_> = pages.into_iter().map(|path| read(path).unwrap()).collect();
    for (path, text) in sources("src") {
        let docs = text.lines().map(str::trim_start).filter_map(|line| {
            let text = line.strip_prefix("//!").or_else(|| line.strip_prefix("///"))?;
            Some(text.strip_prefix(' ').unwrap_or(text))
        });
        texts.push((path, prose(&docs.collect::<Vec<_>>().join("\n"))));
    }
    let (mut files, mut headings) = (0, 0);
    for (path, text) in &texts {
        for link in text.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0)) {
            let (target, anchor) = link.split_once('#').map_or((link, None), |(target, anchor)| (target, Some(anchor)));
            let page = match target.strip_prefix("crate::") {
                Some(module) => root.join("src").join(module).with_extension("md"),
                None if target.is_empty() => path.clone(),
                None => path.parent().unwrap().join(target),
            };
            // Web addresses, and items.
            if target.contains(':') && (target.contains("//") || !page.exists()) {
                continue;
            }
            let is_item = path.extension().is_some_and(|extension| extension == "rs") && anchor.is_none();
            assert!(is_item || page.exists(), "{}: ({link})", path.display());
            files += usize::from(!is_item);
            if let Some(anchor) = anchor {
                let text = if page == *path { text.clone() } else { read(page).unwrap().1 };
                assert!(has_heading(&text, anchor), "{}: ({link}) has no such heading", path.display());
                headings += 1;
            }
        }
    }
    assert!(files > 20 && headings > 4, "{files} {headings}");
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

/// CONTRIBUTING.md lists the order; `lib.rs` may import everything.
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
        // The program may import all of the library.
        if entry == "lib" || entry == "bin" {
            continue;
        }
        let own = place(entry).unwrap_or_else(|| panic!("{entry} is not in the list of CONTRIBUTING.md"));
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
        for import in code.split("crate::").skip(1) {
            let name =
                import.split(|character: char| !(character.is_alphanumeric() || character == '_')).next().unwrap();
            // Macros, and public names that unit tests import through `lib.rs`.
            let Some(imported) = place(name) else { continue };
            assert!(imported <= own, "{} imports {name}, which is listed after it", path.display());
            imports += 1;
        }
    }
    assert!(imports > 100, "{imports}");
}
