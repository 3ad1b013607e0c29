//! The committed figures, and their comparison with new ones.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

/// How far a figure may differ from the committed one, in both directions.
const ALLOWED: f64 = 0.03;
const UPDATE: &str = "cargo bench -p zmq-auth-benches --no-default-features --bench instructions -- --update";

/// Instructions for each decision, by case.
pub(crate) struct Figures {
    /// The compiler, on which the figures depend.
    compiler: String,
    cases: BTreeMap<String, u64>,
}

impl Figures {
    pub(crate) fn new(cases: Vec<(String, u64)>) -> Self {
        Figures { compiler: compiler(), cases: cases.into_iter().collect() }
    }

    pub(crate) fn committed() -> Result<Self> {
        let text = fs::read_to_string(file()).with_context(|| format!("{:?}; make it with {UPDATE}", file()))?;
        let mut figures = Figures { compiler: String::new(), cases: BTreeMap::new() };
        for line in text.lines() {
            if let Some(comment) = line.strip_prefix("# ") {
                figures.compiler = comment.to_owned();
            } else if !line.is_empty() {
                let (count, case) = line.trim_start().split_once("  ").with_context(|| format!("{line:?}"))?;
                figures.cases.insert(case.to_owned(), count.parse().with_context(|| format!("{line:?}"))?);
            }
        }
        Ok(figures)
    }

    pub(crate) fn write(&self) -> Result<()> {
        Ok(fs::write(file(), self.to_string())?)
    }

    /// Prints both, and returns whether they agree.
    pub(crate) fn compare(&self, committed: &Figures) -> Result<bool> {
        let mut alike = true;
        println!("instructions a decision: committed, now, difference");
        let names = self.cases.keys().chain(committed.cases.keys().filter(|name| !self.cases.contains_key(*name)));
        for name in names {
            let (Some(&now), Some(&before)) = (self.cases.get(name), committed.cases.get(name)) else {
                println!("  {name}: only {}", if self.cases.contains_key(name) { "now" } else { "committed" });
                alike = false;
                continue;
            };
            let difference = now as f64 / before as f64 - 1.0;
            let word = match difference {
                more if more > ALLOWED => "  MORE",
                less if less < -ALLOWED => "  LESS",
                _ => "",
            };
            alike &= word.is_empty();
            println!("{before:>7} {now:>7} {:>+6.1} %  {name}{word}", difference * 100.0);
        }
        if !alike {
            println!(
                "more than {:.0} % from benches/instructions.txt. If that is meant, also where it is less:",
                ALLOWED * 100.0
            );
            println!("  {UPDATE}");
        }
        if self.compiler != committed.compiler {
            println!("note: the committed figures are of {}, these of {}", committed.compiler, self.compiler);
        }
        Ok(alike)
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "# {}", self.compiler)?;
        self.cases.iter().try_for_each(|(case, count)| writeln!(f, "{count:>7}  {case}"))
    }
}

fn file() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("instructions.txt")
}

fn compiler() -> String {
    let output = Command::new(std::env::var_os("RUSTC").unwrap_or("rustc".into())).arg("-V").output();
    let version = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    format!("{}, {}", version.unwrap_or_else(|_| "an unknown rustc".into()), std::env::consts::ARCH)
}
