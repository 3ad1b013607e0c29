//! The tests of a binary, read from its sources: those that libtest would run, by the names that it gives them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use syn::parse::Parser;
use syn::punctuated::Punctuated;
use syn::{Attribute, Ident, Item, Meta, Token};

/// Macros that make one test for each face of each name in them.
const FOR_EACH_FACE: [&str; 2] = ["behaviours", "on_both_runtimes"];

/// The tests of `tests/NAME.rs` or `tests/NAME/main.rs`, or the unit tests for `lib`. Where one stands for several faces,
/// its face is `*`.
pub(crate) fn tests_of(binary: &str) -> Result<BTreeSet<String>, String> {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let roots = match binary {
        "lib" => vec![package.join("src/lib.rs")],
        _ => vec![package.join(format!("tests/{binary}.rs")), package.join(format!("tests/{binary}/main.rs"))],
    };
    let root = roots.iter().find(|root| root.is_file()).ok_or(format!("there is no test binary {binary}"))?;
    let mut tests = BTreeSet::new();
    let items = items_of(root)?;
    collect(&items, root.parent().unwrap(), root.parent().unwrap(), "", &mut tests)?;
    Ok(tests)
}

/// Those of these items; `beside` is where `#[path]` counts from, `below` where the files of their modules are.
pub(crate) fn collect(
    items: &[Item],
    beside: &Path,
    below: &Path,
    prefix: &str,
    tests: &mut BTreeSet<String>,
) -> Result<(), String> {
    for item in items {
        match item {
            Item::Fn(function) if is_run(&function.attrs) => {
                tests.insert(format!("{prefix}{}", function.sig.ident));
            }
            Item::Mod(module) if is_built(&module.attrs) => {
                let name = module.ident.to_string();
                let prefix = format!("{prefix}{name}::");
                match (&module.content, path_of(&module.attrs)) {
                    (Some((_, items)), None) => collect(items, &below.join(&name), &below.join(&name), &prefix, tests)?,
                    (Some(_), Some(_)) => return Err(format!("{prefix} a #[path] for what is inline")),
                    (None, path) => {
                        let (file, inside) = file_of(&name, path, beside, below);
                        collect(&items_of(&file)?, file.parent().unwrap(), &inside, &prefix, tests)?;
                    }
                }
            }
            Item::Macro(call) if is_built(&call.attrs) && is_for_each_face(&call.mac) => {
                let names = Punctuated::<Ident, Token![,]>::parse_terminated
                    .parse2(call.mac.tokens.clone())
                    .map_err(|error| format!("{prefix}: {error}"))?;
                tests.extend(names.iter().map(|name| format!("{prefix}*::{name}")));
            }
            _ => {}
        }
    }
    Ok(())
}

fn items_of(file: &Path) -> Result<Vec<Item>, String> {
    let told = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
    let source = fs::read_to_string(file).map_err(|error| told(&error))?;
    Ok(syn::parse_file(&source).map_err(|error| told(&error))?.items)
}

/// The file of `mod name;`, and where the files of its own modules are.
fn file_of(name: &str, path: Option<String>, beside: &Path, below: &Path) -> (PathBuf, PathBuf) {
    match path {
        Some(path) => {
            let file = beside.join(path);
            let inside = file.parent().unwrap().to_owned();
            (file, inside)
        }
        None => {
            let (file, inside) = (below.join(format!("{name}.rs")), below.join(name));
            (if file.is_file() { file } else { inside.join("mod.rs") }, inside)
        }
    }
}

fn is_for_each_face(call: &syn::Macro) -> bool {
    FOR_EACH_FACE.iter().any(|name| call.path.is_ident(name))
}

fn is_run(attributes: &[Attribute]) -> bool {
    // The last segment: `tokio::test` makes one too.
    let is = |name: &str| {
        attributes.iter().any(|attribute| attribute.path().segments.last().is_some_and(|last| last.ident == name))
    };
    is("test") && !is("ignore") && is_built(attributes)
}

/// Whether `.ci/run` builds it: with all features, on Linux.
fn is_built(attributes: &[Attribute]) -> bool {
    attributes.iter().filter(|attribute| attribute.path().is_ident("cfg")).all(|attribute| {
        let Meta::List(list) = &attribute.meta else { return false };
        let condition = list.tokens.to_string();
        ["test", "unix", "target_os = \"linux\""].contains(&&*condition) || condition.starts_with("feature = ")
    })
}

fn path_of(attributes: &[Attribute]) -> Option<String> {
    let attribute = attributes.iter().find(|attribute| attribute.path().is_ident("path"))?;
    match &attribute.meta.require_name_value().ok()?.value {
        syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }) => Some(text.value()),
        _ => None,
    }
}
